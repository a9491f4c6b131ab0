"""Undoing what the assistant's tools wrote into the home folder: notes, events, reminders.

A call changes one file: it adds a note, or a part of a file in one place. The account of it says which file,
what was put in, what was taken out, and the hash of the file after it. A file that is as it was then is put
back; a calendar that has changed since loses the event or reminder alone, by its UID.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from plait.errors import ToolCallError
from plait.tools.assistant import Home

_COMPONENT = re.compile(
    rb"^BEGIN:(VEVENT|VTODO)[ \t]*\r?\n.*?^END:\1[ \t]*\r?(?:\n|\Z)", re.MULTILINE | re.DOTALL
)
_UID = re.compile(rb"^UID:.*?\r?\n(?![ \t])", re.MULTILINE | re.DOTALL)
_FOLDERS = {
    "append_note_content": "notes",
    "create_calendar_event": "calendars",
    "create_note": "notes",
    "create_reminder": "reminders",
}
_SUFFIXES = {".ics", ".md"}

_Snapshot = dict[str, bytes]
"""Files by their paths in the home, with forward slashes."""


@dataclass(frozen=True)
class HomeRecorder:
    """Finds out which file of a home a call has changed, and how."""

    home: Home
    tools: frozenset[str] = frozenset(_FOLDERS)

    def before(self, tool: str) -> _Snapshot:
        """The files that the tool may change."""
        root = self.home.path / _FOLDERS[tool]
        found = {}
        for path in root.rglob("*"):
            if path.suffix.lower() in _SUFFIXES and path.is_file() and self.home.contains(path):
                with suppress(OSError):  # what cannot be read, or goes meanwhile, is not this call's doing
                    found[path.relative_to(self.home.path).as_posix()] = path.read_bytes()
        return found

    def after(self, tool: str, before: _Snapshot) -> Mapping[str, Any] | None:
        """How to undo the change of the one file that differs; ``None`` where others changed files, too."""
        now = self.before(tool)
        changed = [name for name in now if before.get(name) != now[name]]
        if len(changed) != 1 or before.keys() - now.keys():
            return None
        name = changed[0]
        new, old = now[name], before.get(name)
        start = _n_alike(old or b"", new)
        end = _n_alike((old or b"")[start:][::-1], new[start:][::-1])
        return {
            "kind": HomeUndoer.kind,
            "home": str(self.home.path),
            "file": name,
            "is_new": old is None,
            "start": start,
            "added": _text(new[start : len(new) - end]),
            "removed": _text((old or b"")[start : len(old or b"") - end]),
            "after": sha256(new).hexdigest(),
        }


@dataclass(frozen=True)
class HomeUndoer:
    """Puts a file of a home back as it was before a call."""

    kind = "home file"

    def undo(self, account: Mapping[str, Any]) -> str:
        """Delete the file that the call made, or take back what it wrote.

        Raises:
            ToolCallError: the file has been removed, or changed where the call wrote.
        """
        home = Home(Path(account["home"]))
        path = home.resolve(account["file"])
        if not path.is_file():
            raise ToolCallError(f"{account['file']} is not there any more; there is nothing to undo")
        delete = False

        def put_back(raw: bytes | None) -> bytes:
            nonlocal delete
            if raw is None:
                raise ToolCallError(f"{account['file']} is not there any more; there is nothing to undo")
            is_untouched = sha256(raw).hexdigest() == account["after"]
            delete = is_untouched and account["is_new"]
            if is_untouched:
                return raw if delete else _put_back(raw, account)
            return _without_component(raw, account)

        home.update(path, put_back)
        if delete:
            try:
                path.unlink()
            except OSError as error:
                raise ToolCallError(f"cannot delete {account['file']}: {error.strerror}") from error
            return f"Deleted {account['file']}"
        return f"Took back what was written into {account['file']}"


def _put_back(raw: bytes, account: Mapping[str, Any]) -> bytes:
    start, added = account["start"], _bytes(account["added"])
    component = _COMPONENT.search(added)
    if (
        component is not None and not account["removed"]
    ):  # a time zone that came along stays: others may use it
        return raw[:start] + added[: component.start()] + added[component.end() :] + raw[start + len(added) :]
    return raw[:start] + _bytes(account["removed"]) + raw[start + len(added) :]


def _without_component(raw: bytes, account: Mapping[str, Any]) -> bytes:
    """The calendar without the event or reminder that the call added, if it is as it was."""
    added = _COMPONENT.search(_bytes(account["added"]))
    if added is None:
        raise ToolCallError(f"{account['file']} has been changed since; undo it by hand")
    uid = _UID.search(added[0])
    for found in _COMPONENT.finditer(raw):
        if uid is not None and uid[0].strip() in found[0]:
            if found[0].split() != added[0].split():
                raise ToolCallError(
                    f"the entry in {account['file']} has been changed since; remove it by hand"
                )
            return raw[: found.start()] + raw[found.end() :]
    raise ToolCallError(f"the entry is not in {account['file']} any more; there is nothing to undo")


def _n_alike(old: bytes, new: bytes) -> int:
    """How many bytes at the beginning both have in common."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(old), len(new)))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
