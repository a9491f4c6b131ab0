"""The events of a session: one numbered stream that any number of faces follow, and follow again."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TypeAlias

from plait.apps.assistant._questions import Decision
from plait.apps.assistant._settings import Settings
from plait.orchestrator import AnswerTextWritten, Event, PlanTextWritten

MAX_ENTRIES = 20_000


@dataclass(frozen=True, slots=True)
class Decided:
    """The user's word on one call; it stands."""

    task: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class Cleared:
    """The conversation begins anew: what was said before is forgotten."""


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The session goes on with other settings."""

    settings: Settings


SessionEvent: TypeAlias = Event | Decided | Cleared | SettingsChanged


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a session."""

    number: int
    """Counts from 1; a later event has a greater one."""
    turn: int
    """The number of the turn that it belongs to; 0 for none."""
    event: SessionEvent


class EventStream:
    """Keeps a session's events, for those who follow now and those who come back.

    Args:
        max_entries: how many are kept; the oldest ones go first.
    """

    def __init__(self, *, max_entries: int = MAX_ENTRIES) -> None:
        self._entries: list[Entry] = []
        self._max_entries = max_entries
        self._n_appended = 0
        self._is_closed = False
        self._changed = asyncio.Event()

    @property
    def last(self) -> int:
        """The number of the newest entry; 0 before the first."""
        return self._n_appended

    def append(self, turn: int, event: SessionEvent) -> Entry:
        """Add an event and wake all who follow."""
        self._n_appended += 1
        entry = Entry(self._n_appended, turn, event)
        self._entries.append(entry)
        if len(self._entries) > self._max_entries:
            del self._entries[: len(self._entries) - self._max_entries]
        self._wake()
        return entry

    def forget_pieces(self, turn: int) -> None:
        """Drop the pieces of text of a turn that has ended: its plans and its answer have the whole."""
        pieces = (PlanTextWritten, AnswerTextWritten)
        self._entries = [e for e in self._entries if e.turn != turn or not isinstance(e.event, pieces)]

    async def follow(self, after: int = 0) -> AsyncGenerator[Entry]:
        """The entries whose number is above ``after``, in order, and then those to come, until it is closed.

        Who comes back with the number of the last entry that he saw misses nothing but the pieces of texts
        that are whole by now, and what is older than ``max_entries``.
        """
        seen = after
        while True:
            changed = self._changed
            start = bisect_right(self._entries, seen, key=lambda entry: entry.number)
            for entry in self._entries[start:]:
                seen = entry.number
                yield entry
            if changed is self._changed:
                if self._is_closed:
                    return
                await changed.wait()

    def close(self) -> None:
        """End all who follow, once they have seen everything."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
