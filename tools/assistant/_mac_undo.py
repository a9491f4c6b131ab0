"""Undoing what was made in the applications of macOS: events, reminders, notes and texts put into notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Any

from plait.errors import ToolCallError
from plait.tools.assistant._osascript import Script, ScriptRunner, run_json
from plait.tools.assistant._undoable import undoable

EVENT_STATE = """
function stateOf(event) {
  return JSON.stringify([event.summary(), event.startDate(), event.endDate(), event.alldayEvent(),
    event.location() || '', event.description() || '', event.url() || '', event.recurrence() || '',
    event.attendees.email()]);
}
"""
"""What an event is compared by: all that matters to a person, not the time of its last copy."""

REMINDER_STATE = """
function stateOf(reminder) {
  return JSON.stringify([reminder.name(), reminder.body() || '', reminder.dueDate(), reminder.alldayDueDate(),
    reminder.remindMeDate(), reminder.priority(), reminder.completed()]);
}
"""
"""What a reminder is compared by."""

NOTE_STATE = """
function stateOf(note) {
  const body = note.body();
  let [low, high] = [0x811c9dc5, 0x01000193];
  for (let i = 0; i < body.length; i++) {
    low = Math.imul(low ^ body.charCodeAt(i), 0x01000193);
    high = Math.imul(high ^ body.charCodeAt(i), 0x85ebca6b);
  }
  return [body.length, low >>> 0, high >>> 0].join(' ');
}
"""
"""What a note is compared by: a number made of its whole text as HTML, pictures in it included."""

_REMOVE_ITEM = """
function run(argv) {
  const asked = JSON.parse(argv[0]);
  const app = Application('$application');
  for (const place of app.${place}s.whose({name: asked.$place})()) {
    const found = place.$items.whose({$key: asked.id});
    if (found.length === 0) continue;
    if (stateOf(found[0]) !== asked.state) return JSON.stringify({state: 'changed'});
    app.delete(found[0]);
    return JSON.stringify({state: 'removed'});
  }
  return JSON.stringify({state: 'missing'});
}
"""

_UNDO_NOTE = """
function run(argv) {
  const asked = JSON.parse(argv[0]);
  const app = Application('Notes');
  const found = app.notes.whose({id: asked.id});
  if (found.length === 0) return JSON.stringify({state: 'missing'});
  if (found[0].container().id() !== asked.container) return JSON.stringify({state: 'moved'});
  if (stateOf(found[0]) !== asked.state) return JSON.stringify({state: 'changed'});
  $undo;
  return JSON.stringify({state: 'removed'});
}
"""


def _script(application: str, text: str, **names: str) -> Script:
    """A script from this module's own words; what users say is no part of it."""
    return Script(application, "JavaScript", Template(text).substitute(application=application, **names))


REMOVE_EVENT = _script("Calendar", EVENT_STATE + _REMOVE_ITEM, place="calendar", items="events", key="uid")
REMOVE_REMINDER = _script(
    "Reminders", REMINDER_STATE + _REMOVE_ITEM, place="list", items="reminders", key="id"
)
REMOVE_NOTE = _script("Notes", NOTE_STATE + _UNDO_NOTE, undo="app.delete(found[0])")
PUT_NOTE_BACK = _script("Notes", NOTE_STATE + _UNDO_NOTE, undo="found[0].body = asked.before")

_KIND = "macos"
_SCRIPTS = {
    "appended": (PUT_NOTE_BACK, "Took back what was put into the note {name!r}", "The note {name!r}"),
    "event": (REMOVE_EVENT, "Deleted the event {title!r}", "The event {title!r}"),
    "note": (REMOVE_NOTE, "Deleted the note {name!r}", "The note {name!r}"),
    "reminder": (REMOVE_REMINDER, "Deleted the reminder {name!r}", "The reminder {name!r}"),
}


def mac_undoable(text: str, what: str, /, **facts: Any) -> str:
    """``text`` with how to undo what it tells of, unless the application gave no identifier."""
    return undoable(text, {"kind": _KIND, "what": what, **facts} if facts["id"] else None)


@dataclass(frozen=True)
class MacUndoer:
    """Deletes what a call made in an application of macOS, if it is as it was then.

    Args:
        runner: runs the scripts; ``None`` where there is no Mac.
    """

    runner: ScriptRunner | None
    kind = _KIND

    def undo(self, account: Mapping[str, Any]) -> str:
        """Delete it by its identifier, or put the note back. It blocks.

        Raises:
            ToolCallError: it has been changed or removed since, or the application failed.
        """
        if self.runner is None:
            raise ToolCallError("this was done on a Mac and can only be undone there")
        script, done, what = _SCRIPTS[account["what"]]
        facts = {name: value for name, value in account.items() if name not in {"kind", "what"}}
        state = run_json(self.runner, script, **facts)["state"]
        if state == "changed":
            raise ToolCallError(f"{what.format(**facts)} has been changed since; undo it by hand")
        if state == "moved":  # perhaps into the trash, whose name is another one in each language
            raise ToolCallError(f"{what.format(**facts)} is not where it was any more; undo it by hand")
        if state == "missing":
            raise ToolCallError(f"{what.format(**facts)} is not there any more; there is nothing to undo")
        return done.format(**facts)
