"""Events and reminders: what is to be created, checked and said in the user's time zone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Protocol

from plait.errors import ToolCallError
from plait.tools.assistant._addresses import Address, read_addresses
from plait.tools.assistant._ics import one_line, plain
from plait.tools.assistant._undoable import account_of, undoable
from plait.tools.assistant._zone import day, day_and_time, in_zone, local_zone, span

DEFAULT_LENGTH = timedelta(minutes=60)


@dataclass(frozen=True)
class NewEvent:
    """An event to be created. Everything in it has been checked; the texts have no control characters."""

    title: str
    start: datetime
    """Aware: in the user's zone, or in UTC where only that is unambiguous."""
    end: datetime
    when: str
    """How a message says when it is."""
    location: str = ""
    invitees: tuple[Address, ...] = ()
    notes: str = ""


@dataclass(frozen=True)
class NewReminder:
    """A reminder to be created. Everything in it has been checked."""

    name: str
    due: datetime | date | None
    """A time (as an event's), a whole day, or never."""
    when: str
    """How a message says when it is due, with a space before it; empty for never."""
    notes: str = ""
    priority: int = 0
    """As in RFC 5545: 0 none, 1 the highest, 9 the lowest."""


class EventStore(Protocol):
    """Keeps events in calendars that have names. Its methods block."""

    def add_event(self, event: NewEvent, calendar: str) -> str:
        """Add an event to the calendar of that name, or to the usual one for ``""``; return its name,
        with how to undo that where it can be (:class:`UndoableText`).

        Raises:
            ToolCallError: it is there already, or it could not be added.
        """
        ...


class ReminderStore(Protocol):
    """Keeps reminders in lists that have names. Its methods block."""

    def add_reminder(self, reminder: NewReminder, list_name: str) -> str:
        """Add a reminder to the list of that name, or to the usual one for ``""``; return its name,
        with how to undo that where it can be (:class:`UndoableText`).

        Raises:
            ToolCallError: it is there already and still open, or it could not be added.
        """
        ...


@dataclass(frozen=True)
class Calendars:
    """Creates events.

    Args:
        store: keeps them.
        tz: the zone of naive times and of what is written; the machine's by default.
    """

    store: EventStore
    tz: tzinfo = field(default_factory=local_zone)

    def create_event(
        self,
        title: str,
        start: datetime,
        end: datetime | None = None,
        location: str = "",
        invitees: Sequence[str] = (),
        notes: str = "",
        calendar: str = "",
    ) -> str:
        """Add an event and return a sentence that says so.

        Args:
            title: what the event is called.
            start: when it starts; a naive time is in ``tz``.
            end: when it ends; ``DEFAULT_LENGTH`` after the start by default.
            location: a place or a link.
            invitees: email addresses, each alone or as ``"Name <address>"``.
            notes: a longer description.
            calendar: the calendar's name; the store's usual one by default.

        Raises:
            ToolCallError: the title is empty, the end is not after the start, an invitee is no email
                address, the event exists already, or the store failed.
        """
        title = _required(title, "event", "title")
        begins, ends = self._times(title, start, end)
        event = NewEvent(
            title=title,
            start=begins,
            end=ends,
            when=span(begins.astimezone(self.tz), ends.astimezone(self.tz)),
            location=one_line(location),
            invitees=read_addresses(invitees, "invitee"),
            notes=plain(notes),
        )
        name = self.store.add_event(event, calendar)
        n_guests = len(event.invitees)
        guests = f", with {n_guests} invitee{'s' * (n_guests > 1)}" if n_guests else ""
        text = f"Created the event {title!r} on {event.when} in calendar {name}{guests}"
        return undoable(text, account_of(name))

    def _times(self, title: str, start: datetime, end: datetime | None) -> tuple[datetime, datetime]:
        begins = in_zone(start, self.tz)
        ends = in_zone(end or begins.astimezone(UTC) + DEFAULT_LENGTH, self.tz)
        if ends <= begins:
            raise ToolCallError(
                f"The event {title!r} would end on {day_and_time(ends.astimezone(self.tz))}, not after its "
                f"start on {day_and_time(begins.astimezone(self.tz))}; give a later end"
            )
        return begins, ends


@dataclass(frozen=True)
class Reminders:
    """Creates reminders.

    Args:
        store: keeps them.
        tz: the zone of naive times and of what is written; the machine's by default.
    """

    store: ReminderStore
    tz: tzinfo = field(default_factory=local_zone)

    def create(
        self,
        name: str,
        due_date: datetime | None = None,
        notes: str = "",
        list_name: str = "",
        priority: int = 0,
        all_day: bool = False,
    ) -> str:
        """Add a reminder, which alerts when it is due, and return a sentence that says so.

        Args:
            name: what to be reminded of.
            due_date: when it is due; a naive time is in ``tz``; never by default.
            notes: a longer description.
            list_name: the list's name; the store's usual one by default.
            priority: as in RFC 5545: 0 none, 1 the highest, 9 the lowest.
            all_day: due on the day of ``due_date``, at no time of it.

        Raises:
            ToolCallError: the name is empty, the priority is not one, the same reminder is open
                already, or the store failed.
        """
        name = _required(name, "reminder", "name")
        if not 0 <= priority <= 9:
            raise ToolCallError(
                f"The priority {priority} is not one; give 0 (none) to 9, where 1 is the highest"
            )
        due, when = self._due(due_date, all_day)
        reminder = NewReminder(name, due, when, plain(notes), priority)
        kept_in = self.store.add_reminder(reminder, list_name)
        return undoable(f"Created the reminder {name!r}{when} in list {kept_in}", account_of(kept_in))

    def _due(self, time: datetime | None, all_day: bool) -> tuple[datetime | date | None, str]:
        if time is None:
            return None, ""
        due = in_zone(time, self.tz)
        local = due.astimezone(self.tz)
        return (local.date(), f" due {day(local)}") if all_day else (due, f" due {day_and_time(local)}")


def _required(text: str, thing: str, what: str) -> str:
    text = one_line(text)
    if not text:
        raise ToolCallError(f"The {thing} has no {what}; give one")
    return text
