"""Notes: Markdown files in folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from plait.errors import AmbiguousError, ToolCallError
from plait.tools.assistant._home import Home, name_key, safe_name
from plait.tools.assistant._match import best, did_you_mean

_MD = re.compile(r"(?i)\.md$")
_LIST_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s")


@dataclass(frozen=True)
class Note:
    """A note's file, its name, and the folder it is in (``""`` for none)."""

    path: Path
    name: str
    folder: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}" if self.folder else self.name


@dataclass(frozen=True)
class NoteText:
    """What is to be put into a note."""

    name: str
    """The note's name, as it was given."""
    text: str
    material: tuple[str, ...] = ()
    """Results of other tools, such as a summary, that stand in the text."""
    waiting: tuple[str, ...] = ()
    """The marks, such as ``${1}``, that stand in the text for results that do not exist yet."""


class NoteStore(Protocol):
    """Keeps notes. Its methods block, and raise ``ToolCallError`` with a sentence for the user."""

    def create(self, name: str, content: str = "", folder: str = "") -> str:
        """Make a new note and return a sentence that says so."""
        ...

    def open(self, name: str, folder: str = "") -> str:
        """The text of a note."""
        ...

    def append(self, name: str, content: str, folder: str = "") -> str:
        """Add a paragraph to the end of a note and return a sentence that says so."""
        ...


@dataclass(frozen=True)
class Notes:
    """The notes of the home: ``notes/<name>.md`` and ``notes/<folder>/<name>.md``, in UTF-8."""

    home: Home

    def create(self, name: str, content: str = "", folder: str = "") -> str:
        """Make a new note and return a sentence that says so. The folder is made where it is missing.

        Raises:
            ToolCallError: there is a note of that name in the folder, or a name is unsafe.
        """
        stem = _stem(name)
        where = self._folder(folder)
        place = self.home.notes.joinpath(*where.split("/")) if where else self.home.notes
        new = Note(place / f"{stem}.md", stem, where)

        def write(raw: bytes | None) -> bytes:
            if raw is not None or any(name_key(n.name) == name_key(stem) for n in self._in(where)):
                raise ToolCallError(f"The note {str(new)!r} exists; append to it or pick another name")
            return _encoded(f"{content}\n" if content and not content.endswith("\n") else content)

        self.home.update(new.path, write)
        return f"Created the note {stem!r}" + (f" in folder {where}" if where else "")

    def open(self, name: str, folder: str = "") -> str:
        """The content of the note, its newlines as they are in the file.

        Args:
            name: the note's name; case and accents do not matter, a part or a close spelling will do
                where it means one note.
            folder: where to look; everywhere by default, and where there is no such folder: to read is
                harmless, and models make up folders.

        Raises:
            ToolCallError: no note or several notes fit, or it is not in UTF-8.
        """
        is_there = (self.home.notes / self._folder(folder)).is_dir()
        note = self.find(name, folder if is_there else "")
        return _decoded(self.home.read(note.path), note).removeprefix("\ufeff")

    def append(self, name: str, content: str, folder: str = "") -> str:
        """Add a paragraph to the end of a note and return a sentence that says so.

        A blank line goes before it, unless it carries on a list. The note's newlines are kept, and the
        new text gets the same ones. ``name`` and ``folder`` are as for ``open``.

        Raises:
            ToolCallError: there is nothing to append, or as ``open``.
        """
        if not content.strip():
            raise ToolCallError(f"There is nothing to append to the note {name!r}; give some content")
        note = self.find(name, folder)

        def add(raw: bytes | None) -> bytes:
            if raw is None:
                raise ToolCallError(f"The note {str(note)!r} has been removed meanwhile")
            return _encoded(joined(_decoded(raw, note), content))

        self.home.update(note.path, add)
        return f"Appended to the note {note.name!r}" + (f" in folder {note.folder}" if note.folder else "")

    def find(self, name: str, folder: str = "") -> Note:
        """The one note that ``name`` means, in ``folder`` or, where that is empty, anywhere.

        Raises:
            ToolCallError: no note or several notes fit.
        """
        where = self._folder(folder)
        notes = list(self._in(where) if folder.strip() else self._all())
        wanted = _MD.sub("", name.strip())
        found = best(wanted, ((n.name, n) for n in notes))
        if not found and "/" in wanted:  # "Folder/Name"
            found = best(wanted, ((str(n), n) for n in notes))
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousError(f"Several notes match {name!r}: {', '.join(map(str, found))}; say which")
        inside = f" in folder {where}" if folder.strip() else ""
        raise ToolCallError(f"No note matches {name!r}{inside}{did_you_mean(wanted, map(str, self._all()))}")

    def _all(self) -> Iterator[Note]:
        yield from self._in("", "**/*")

    def _in(self, folder: str, pattern: str = "*") -> Iterator[Note]:
        """The notes in a folder, sorted; hidden ones and links that leave the home are left out."""
        root = self.home.notes
        for path in sorted((root / folder).glob(f"{pattern}.[mM][dD]")):
            inside = path.relative_to(root)
            if any(part.startswith(".") for part in inside.parts) or not self.home.contains(path):
                continue
            if path.is_file():
                yield Note(path, path.stem, inside.parent.as_posix() if inside.parent.parts else "")

    def _folder(self, folder: str) -> str:
        """The folder's name below ``notes``, with forward slashes, in the spelling of one that is there."""
        asked = folder.strip().strip("/\\")
        if not asked:
            return ""
        parts: list[str] = []
        for part in re.split(r"[/\\]+", asked):
            name = safe_name(part, "folder name")
            parent = self.home.notes.joinpath(*parts)
            there = {name_key(p.name): p.name for p in sorted(parent.glob("*")) if p.is_dir()}
            parts.append(there.get(name_key(name), name))
        return "/".join(parts)


def joined(text: str, content: str) -> str:
    """The note's text with the new content after it, in the newlines of the text."""
    newline = "\r\n" if "\r\n" in text else "\n"
    added = newline.join(content.strip("\r\n").splitlines()) + newline
    body = text.rstrip("\r\n")
    if not body:
        return added
    last = re.split(r"\r?\n", body)[-1]
    carries_on = _LIST_ITEM.match(last) and _LIST_ITEM.match(added)
    return f"{body}{newline}{added}" if carries_on else f"{body}{newline}{newline}{added}"


def _stem(name: str) -> str:
    return safe_name(_MD.sub("", name.strip()), "note name")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # a model may write half of a surrogate pair


def _decoded(raw: bytes, note: Note) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ToolCallError(f"The note {str(note)!r} is not in UTF-8; convert the file first") from error
