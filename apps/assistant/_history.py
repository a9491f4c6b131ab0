"""The history: every call that a session made, in SQLite, in the user's state folder."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from platformdirs import user_state_path

from plait.apps.assistant._undo import UndoRegistry
from plait.errors import ConfigurationError, ToolCallError
from plait.tools import Tool, to_jsonable

ActionStatus = Literal["running", "ok", "failed", "cancelled"]
ActionKind = Literal["reads", "writes", "sends"]
RequestStatus = Literal["done", "unfinished"]
"""``done``: it was answered, and every call that was planned for it was made and succeeded."""

MAX_TEXT_CHARS = 4000
_INVITED = {"create_calendar_event": "invitees", "get_zoom_meeting_link": "meeting_invitees"}
_BUSY_S = 5.0
_VERSION = 2
_SCHEMA = """
CREATE TABLE actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    request TEXT NOT NULL,
    tool TEXT NOT NULL,
    kind TEXT NOT NULL,
    arguments TEXT NOT NULL,
    status TEXT NOT NULL,
    text TEXT NOT NULL,
    undo TEXT,
    undone_at TEXT,
    turn INTEGER,
    request_status TEXT
)
"""
_MIGRATIONS = {
    1: ("ALTER TABLE actions ADD COLUMN turn INTEGER", "ALTER TABLE actions ADD COLUMN request_status TEXT")
}
"""By the version of a file, what makes it one of the next."""
_COLUMNS = "id, at, request, tool, kind, arguments, status, text, undo, undone_at, turn, request_status"
_log = logging.getLogger("plait")


@dataclass(frozen=True, slots=True)
class Action:
    """One call that was made."""

    id: int
    at: datetime
    """When it began, in UTC."""
    request: str
    """What the user had asked for."""
    tool: str
    kind: ActionKind
    arguments: Mapping[str, Any]
    status: ActionStatus
    """``running`` for ever: the process ended in the middle. ``cancelled``: it may have been done."""
    text: str
    """The result or the error, as text; a long one is cut."""
    undo: Mapping[str, Any] | None
    """How it can be undone; ``None``: it cannot."""
    undone_at: datetime | None
    turn: int | None = None
    """The first call of the same request; ``None`` where ``request_status`` is."""
    request_status: RequestStatus | None = None
    """What became of the request; ``None``: it runs, its process ended before, or an older plait made it."""

    @property
    def can_be_undone(self) -> bool:
        """Whether it may still be undone."""
        return self.undo is not None and self.undone_at is None

    def to_json(self) -> dict[str, Any]:
        """The action as JSON types; ``undo`` says whether it can be undone."""
        return {
            "id": self.id,
            "at": self.at.isoformat(),
            "request": self.request,
            "tool": self.tool,
            "kind": self.kind,
            "arguments": dict(self.arguments),
            "status": self.status,
            "text": self.text,
            "undo": self.can_be_undone,
            "undone_at": None if self.undone_at is None else self.undone_at.isoformat(),
        }


def history_path() -> Path | None:
    """``PLAIT_HISTORY``, or a file in the user's state folder; ``None`` where the variable is ``off``."""
    named = os.environ.get("PLAIT_HISTORY")
    if named == "off":
        return None
    return Path(named).expanduser() if named else user_state_path("plait") / "history.sqlite3"


def kind_of(tool: Tool, arguments: Mapping[str, Any] | None = None) -> ActionKind:
    """What a call of ``tool`` does: what is not known to read counts as writing.

    Args:
        tool: what is called.
        arguments: with what; an event to which nobody is invited is sent to nobody. ``None``: with anything.
    """
    if tool.annotations.read_only:
        return "reads"
    people = _INVITED.get(tool.name)
    if arguments is not None and people in {f.name for f in tool.arguments.fields}:
        return "sends" if arguments.get(people or "") else "writes"
    return "sends" if tool.annotations.open_world else "writes"


class ActionLog:
    """The history in a file, which several processes may use at once.

    Args:
        path: the SQLite file; it and its folder are made where they do not exist, for the user alone.

    Raises:
        ConfigurationError: it cannot be opened, is no database, or is of a newer plait.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        try:
            self._prepare()
        except (sqlite3.Error, ConfigurationError) as error:
            self._db.close()
            if isinstance(error, ConfigurationError):
                raise
            raise self._unusable(error) from error

    def __enter__(self) -> ActionLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def begin(self, request: str, tool: Tool, arguments: Mapping[str, Any]) -> int:
        """Record a call that is about to be made; gives its number.

        Raises:
            ToolCallError: it could not be recorded, so it must not be made.
        """
        values = (_now(), request, tool.name, kind_of(tool, arguments), _dump(to_jsonable(dict(arguments))))
        try:
            cursor = self._db.execute(
                "INSERT INTO actions (at, request, tool, kind, arguments, status, text) "
                "VALUES (?, ?, ?, ?, ?, 'running', '')",
                values,
            )
        except sqlite3.Error as error:
            raise ToolCallError(
                f"{tool.name} was not called, since the history {self.path} could not be written: {error}; "
                "make room for it, or turn it off with PLAIT_HISTORY=off",
                tool=tool.name,
            ) from error
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def finish(
        self, number: int, status: ActionStatus, text: str, undo: Mapping[str, Any] | None = None
    ) -> None:
        """Record what came of a call. That it was made stands already, so a failure here is only logged."""
        account = None if undo is None else _dump(dict(undo))
        try:
            self._db.execute(
                "UPDATE actions SET status = ?, text = ?, undo = ? WHERE id = ?",
                (status, _storable(text[:MAX_TEXT_CHARS]), account, number),
            )
        except sqlite3.Error as error:
            _log.warning("the end of call %d is missing in the history %s: %s", number, self.path, error)

    def conclude(self, numbers: Sequence[int], status: RequestStatus) -> None:
        """Record what became of the request that these calls were made for; a failure is only logged."""
        marks = ", ".join("?" * len(numbers))
        query = f"UPDATE actions SET turn = ?, request_status = ? WHERE id IN ({marks})"  # noqa: S608
        try:
            self._db.execute(query, (min(numbers), status, *numbers))
        except sqlite3.Error as error:
            _log.warning("what became of a request is missing in the history %s: %s", self.path, error)

    def actions(self, *, limit: int | None = None, kinds: frozenset[str] | None = None) -> list[Action]:
        """The newest actions of these kinds (all, if not given), newest first.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        chosen = sorted(set(get_args(ActionKind)) & kinds) if kinds is not None else get_args(ActionKind)
        marks = ", ".join("?" * len(chosen))
        query = f"SELECT {_COLUMNS} FROM actions WHERE kind IN ({marks}) ORDER BY id DESC LIMIT ?"  # noqa: S608
        with self._reading():
            rows = self._db.execute(query, (*chosen, -1 if limit is None else limit)).fetchall()
        return [_action(row) for row in rows]

    def action(self, number: int) -> Action:
        """The action of that number.

        Raises:
            ConfigurationError: there is none.
        """
        with self._reading():
            query = f"SELECT {_COLUMNS} FROM actions WHERE id = ?"  # noqa: S608
            row = self._db.execute(query, (number,)).fetchone()
        if row is None:
            raise ConfigurationError(
                f"the history has no action {number}; `plait history list` tells the numbers"
            )
        return _action(row)

    def undo(self, number: int, registry: UndoRegistry) -> str:
        """Undo an action and say so; of several who try at once, one does.

        Raises:
            ConfigurationError: there is no such action, or it was undone before.
            ToolCallError: it cannot be undone, and why.
        """
        action = self.action(number)
        if action.undo is None:
            why = "reads only" if action.kind == "reads" else "cannot be taken back"
            raise ToolCallError(f"action {number} ({action.tool}) {why}; there is no undo for it")
        with self._reading():
            claimed = self._db.execute(
                "UPDATE actions SET undone_at = ? WHERE id = ? AND undone_at IS NULL", (_now(), number)
            )
        if not claimed.rowcount:
            raise ConfigurationError(f"action {number} ({action.tool}) was undone already")
        try:
            return registry.undo(action.undo)
        except BaseException:
            with self._reading():
                self._db.execute("UPDATE actions SET undone_at = NULL WHERE id = ?", (number,))
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise ConfigurationError(
                    f"the history {self.path} was written by a newer plait; update plait, or name another "
                    "file with PLAIT_HISTORY"
                )
            if version == 0:
                self._db.execute(_SCHEMA)
            for older in range(version or _VERSION, _VERSION):
                for statement in _MIGRATIONS[older]:
                    self._db.execute(statement)
            if version < _VERSION:
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"the history {self.path} cannot be used: {error}; move it away, name another file with "
            "PLAIT_HISTORY, or keep none with PLAIT_HISTORY=off"
        )


def _action(row: tuple[Any, ...]) -> Action:
    number, at, request, tool, kind, arguments, status, text, undo, undone_at, turn, request_status = row
    return Action(
        number,
        datetime.fromisoformat(at),
        request,
        tool,
        kind,
        json.loads(arguments),
        status,
        text,
        None if undo is None else json.loads(undo),
        None if undone_at is None else datetime.fromisoformat(undone_at),
        turn,
        request_status,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _dump(value: Any) -> str:
    return json.dumps(value)


def _storable(text: str) -> str:
    """``text`` without what UTF-8 cannot say."""
    return text.encode("utf-8", "backslashreplace").decode()
