"""The application Notes of macOS."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from plait.errors import AmbiguousError, ToolCallError
from plait.tools.assistant._ics import one_line, plain
from plait.tools.assistant._mac_undo import NOTE_STATE, mac_undoable
from plait.tools.assistant._match import best, did_you_mean, fold
from plait.tools.assistant._osascript import Script, ScriptRunner, run_json

MAX_KEPT_CHARS = 100_000
"""Of a note as it was before something was appended, pictures in it included; a longer one is not kept."""

TRASH_NAMES = (
    "Recently Deleted",
    "Apagadas Recentemente",
    "Apagados Recentemente",
    "Borrados recientemente",
    "Eliminadas recientemente",
    "Eliminados recientemente",
    "Eliminate di recente",
    "Eliminati di recente",
    "Nedávno smazané",
    "Nedávno vymazané",
    "Nemrég törölt",
    "Nemrég töröltek",
    "Nylig slettet",
    "Onlangs verwijderd",
    "Ostatnio usunięte",
    "Recent verwijderd",
    "Senast raderade",
    "Senest slettet",
    "Slettet for nylig",
    "Son Silinenler",
    "Suppressions récentes",
    "Supprimés récemment",
    "Zuletzt gelöscht",
    "Äskettäin poistetut",
    "Șterse recent",
    "Đã xóa gần đây",
    "Πρόσφατα διαγραμμένα",
    "Недавно удаленные",
    "Недавно удалённые",
    "Нещодавно видалені",
    "محذوفة مؤخرًا",
    "เพิ่งลบ",
    "最近削除した項目",
    "最近删除",
    "最近刪除",
    "최근 삭제된 항목",
    "최근 삭제한 항목",
)
"""What the folder with the deleted notes is called, as far as it is known.

Notes tells of no folder that it is this one, only its name, in the language that macOS has, or had when the
account was added; its database tells, but only who has access to the whole disk may read that.
"""

LIST_NOTES = Script(
    "Notes",
    "JavaScript",
    """
ObjC.import('Foundation');
function trashNames() {
  const names = [];
  try {
    for (const place of ['PrivateFrameworks/NotesShared.framework', 'Applications/Notes.app']) {
      const root = place.endsWith('.app') ? '/System/' : '/System/Library/';
      const bundle = $.NSBundle.bundleWithPath(root + place);
      const name = bundle.localizedStringForKeyValueTable('Recently Deleted', '', $());
      names.push(ObjC.unwrap(name));
    }
  } catch (error) { /* a macOS that keeps its words elsewhere; there are the known ones */ }
  return names.filter(name => name);
}
function run(argv) {
  const found = [];
  for (const folder of Application('Notes').folders()) {
    const [ids, names] = [folder.notes.id(), folder.notes.name()];
    names.forEach((name, i) => found.push({id: ids[i], name: name, folder: folder.name()}));
  }
  return JSON.stringify({trash: trashNames(), notes: found});
}
""",
)

ADD_NOTE = Script(
    "Notes",
    "JavaScript",
    NOTE_STATE
    + """
function run(argv) {
  const asked = JSON.parse(argv[0]);
  const app = Application('Notes');
  let folder = app.defaultAccount().defaultFolder();
  if (asked.folder) {
    if (app.folders.whose({name: asked.folder}).length === 0)
      app.defaultAccount().folders.push(app.Folder({name: asked.folder}));
    folder = app.folders.whose({name: asked.folder})[0];
  }
  const note = app.Note({body: asked.html});
  folder.notes.push(note);
  let made = {id: '', container: '', state: ''};
  try {
    made = {id: note.id(), container: note.container().id(), state: stateOf(note)};
  } catch (error) { /* it is made; it cannot be undone */ }
  return JSON.stringify({folder: folder.name(), ...made});
}
""",
)

READ_NOTE = Script(
    "Notes",
    "JavaScript",
    """
function run(argv) {
  const asked = JSON.parse(argv[0]);
  return JSON.stringify({text: Application('Notes').notes.byId(asked.id).plaintext()});
}
""",
)

APPEND_TO_NOTE = Script(
    "Notes",
    "JavaScript",
    NOTE_STATE
    + """
function run(argv) {
  const asked = JSON.parse(argv[0]);
  const note = Application('Notes').notes.byId(asked.id);
  const before = note.body();
  note.body = before + asked.html;
  let done = {before: null, container: '', state: ''};
  if (before.length <= asked.max_chars) try {
    done = {before: before, container: note.container().id(), state: stateOf(note)};
  } catch (error) { /* it is put in; it cannot be undone */ }
  return JSON.stringify(done);
}
""",
)


@dataclass(frozen=True)
class MacNotes:
    """A ``NoteStore`` of the application Notes. The first line of a note is its name there."""

    runner: ScriptRunner

    def create(self, name: str, content: str = "", folder: str = "") -> str:
        """Make a new note; the folder is made where it is missing."""
        title, place = one_line(name), one_line(folder)
        if not title:
            raise ToolCallError("The note has no name; give one")
        place = next((n.folder for n in self._all() if fold(n.folder) == fold(place)), place)
        for note in self._all():
            if fold(note.name) == fold(title) and (not place or note.folder == place):
                raise ToolCallError(f"The note {str(note)!r} exists; append to it or pick another name")
        html = f"<h1>{escape(title)}</h1>{_html(content)}"
        made = run_json(self.runner, ADD_NOTE, folder=place, html=html)
        where = f" in folder {made['folder']}" if place else ""
        return mac_undoable(
            f"Created the note {title!r}{where}",
            "note",
            id=made["id"],
            name=title,
            container=made["container"],
            state=made["state"],
        )

    def open(self, name: str, folder: str = "") -> str:
        """The text of the note, without its name."""
        note = self._find(name, folder, strict=False)
        text = str(run_json(self.runner, READ_NOTE, id=note.id)["text"])
        first, _, rest = text.partition("\n")
        return rest.lstrip("\n") if one_line(first) == one_line(note.name) else text

    def append(self, name: str, content: str, folder: str = "") -> str:
        """Add text to the end of the note."""
        if not content.strip():
            raise ToolCallError(f"There is nothing to append to the note {name!r}; give some content")
        note = self._find(name, folder, strict=True)
        html = f"<div><br></div>{_html(content)}"
        done = run_json(self.runner, APPEND_TO_NOTE, id=note.id, html=html, max_chars=MAX_KEPT_CHARS)
        text = f"Appended to the note {note.name!r} in folder {note.folder}"
        if done["before"] is None:
            return text
        return mac_undoable(
            text,
            "appended",
            id=note.id,
            name=note.name,
            container=done["container"],
            state=done["state"],
            before=done["before"],
        )

    def _all(self) -> list[_Listed]:
        """The notes that are not deleted."""
        listed = run_json(self.runner, LIST_NOTES)
        trash = {fold(name) for name in (*TRASH_NAMES, *listed["trash"])}
        return [_Listed(**note) for note in listed["notes"] if fold(note["folder"]) not in trash]

    def _find(self, name: str, folder: str, *, strict: bool) -> _Listed:
        """The one note that is meant. Models make up folders, which is harmless where one only reads."""
        notes = self._all()
        inside = [note for note in notes if fold(note.folder) == fold(one_line(folder))]
        among = inside if folder.strip() and (inside or strict) else notes
        found = best(name, ((note.name, note) for note in among))
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousError(f"Several notes match {name!r}: {', '.join(map(str, found))}; say which")
        where = f" in folder {folder}" if folder.strip() else ""
        raise ToolCallError(f"No note matches {name!r}{where}{did_you_mean(name, map(str, notes))}")


@dataclass(frozen=True)
class _Listed:
    id: str
    name: str
    folder: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}"


def _html(text: str) -> str:
    lines = plain(text).split("\n") if plain(text) else []
    return "".join(f"<div>{escape(line) or '<br>'}</div>" for line in lines)
