"""Events and reminders in the iCalendar files of the home."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from plait.tools.assistant._calendar import NewEvent, NewReminder
from plait.tools.assistant._components import already_there, event_component, has_twin, todo_component
from plait.tools.assistant._home import Home, name_key, safe_name
from plait.tools.assistant._ics import read_calendars, with_component
from plait.tools.assistant._zone import local_zone, utc_now

if TYPE_CHECKING:
    from icalendar import Component


@dataclass(frozen=True)
class CalendarFiles:
    """An ``EventStore`` and a ``ReminderStore`` of the files in ``home.calendars`` and ``home.reminders``.

    A calendar or list that is not there is made.

    Args:
        home: where they are.
        tz: the zone of times that a file gives without one.
        now: gives the time of a change, aware.
        default: the calendar or list that is used where none is named; by default ``Calendar`` and
            ``Reminders``.
    """

    home: Home
    tz: tzinfo = field(default_factory=local_zone)
    now: Callable[[], datetime] = utc_now
    default: str = ""

    def add_event(self, event: NewEvent, calendar: str) -> str:
        """Add an event to ``<calendar>.ics``."""
        path = _file(self.home.calendars, calendar or self.default or "Calendar", "calendar name")
        self._add(
            event_component(event, self.now()), path, f"The event {event.title!r} on {event.when}", "calendar"
        )
        return path.stem

    def add_reminder(self, reminder: NewReminder, list_name: str) -> str:
        """Add a reminder to ``<list>.ics``."""
        path = _file(self.home.reminders, list_name or self.default or "Reminders", "list name")
        self._add(
            todo_component(reminder, self.now()),
            path,
            f"The reminder {reminder.name!r}{reminder.when}",
            "list",
        )
        return path.stem

    def _add(self, component: Component, path: Path, what: str, kind: str) -> None:
        def add(raw: bytes | None) -> bytes:
            shown = self.home.shown(path)
            if has_twin(read_calendars(raw or b"", shown), component, self.tz):
                raise already_there(what, f"{kind} {path.stem}")
            return with_component(raw, component, name=path.stem, shown=shown)

        self.home.update(path, add)


def _file(folder: Path, name: str, what: str) -> Path:
    """The file of that name, in the spelling of one that is there."""
    stem = safe_name(name.strip().removesuffix(".ics"), what)
    there = {name_key(path.stem): path for path in sorted(folder.glob("*.ics"))}
    return there.get(name_key(stem), folder / f"{stem}.ics")
