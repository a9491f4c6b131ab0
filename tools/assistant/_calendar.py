"""Events and reminders, kept in iCalendar files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from plait.errors import ToolCallError
from plait.tools.assistant._home import Home, name_key, needs, safe_name
from plait.tools.assistant._ics import one_line, plain, read_calendars, stamped, with_component
from plait.tools.assistant._match import fold
from plait.tools.assistant._zone import day, day_and_time, in_zone, local_zone, span

if TYPE_CHECKING:
    from icalendar import Calendar, Component, vCalAddress

DEFAULT_LENGTH = timedelta(minutes=60)
_ADDRESS = r"[^@\s<>,;:\"]+@[^@\s<>,;:\"]+"
_INVITEE = re.compile(rf"(?i)(?:mailto:)?({_ADDRESS})|(?P<name>[^<>]*)<(?P<address>{_ADDRESS})>")


def utc_now() -> datetime:
    """The time now, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Calendars:
    """The calendars of the home, one file each.

    Args:
        home: where they are.
        tz: the zone of naive times and of what is written; the machine's by default.
        now: gives the time of a change, aware.
    """

    home: Home
    tz: tzinfo = field(default_factory=local_zone)
    now: Callable[[], datetime] = utc_now

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
            calendar: the calendar's name; ``"Calendar"`` by default. It is made where it does not exist.

        Raises:
            ToolCallError: the title is empty, the end is not after the start, an invitee is no email
                address, the event exists already, or the calendar's file is damaged or in use.
        """
        with needs("icalendar"):
            from icalendar import Event
        title = _required(title, "event", "title")
        begins, ends = self._times(title, start, end)
        path = _file(self.home.calendars, calendar or "Calendar", "calendar name")
        event = stamped(Event(), self.now())
        event.add("summary", title)
        event.add("dtstart", begins)
        event.add("dtend", ends)
        for key, text in (("location", one_line(location)), ("description", plain(notes))):
            if text:
                event.add(key, text)
        addresses = list(dict.fromkeys(invitees))
        for invitee in addresses:
            event.add("attendee", _attendee(invitee))
        when = span(begins.astimezone(self.tz), ends.astimezone(self.tz))

        def add(raw: bytes | None) -> bytes:
            shown = self.home.shown(path)
            if _has_twin(read_calendars(raw or b"", shown), event, self.tz):
                raise ToolCallError(
                    f"The event {title!r} on {when} is in calendar {path.stem} already; nothing was changed"
                )
            return with_component(raw, event, name=path.stem, shown=shown)

        self.home.update(path, add)
        guests = f", with {len(addresses)} invitee{'s' * (len(addresses) > 1)}" if addresses else ""
        return f"Created the event {title!r} on {when} in calendar {path.stem}{guests}"

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
    """The lists of reminders of the home, one file of to-dos each. The arguments are ``Calendars``'."""

    home: Home
    tz: tzinfo = field(default_factory=local_zone)
    now: Callable[[], datetime] = utc_now

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
            list_name: the list's name; ``"Reminders"`` by default. It is made where it does not exist.
            priority: as in RFC 5545: 0 none, 1 the highest, 9 the lowest.
            all_day: due on the day of ``due_date``, at no time of it.

        Raises:
            ToolCallError: the name is empty, the priority is not one, the same reminder is open
                already, or the list's file is damaged or in use.
        """
        with needs("icalendar"):
            from icalendar import Todo
        name = _required(name, "reminder", "name")
        if not 0 <= priority <= 9:
            raise ToolCallError(
                f"The priority {priority} is not one; give 0 (none) to 9, where 1 is the highest"
            )
        path = _file(self.home.reminders, list_name or "Reminders", "list name")
        due, when = self._due(due_date, all_day)
        todo = stamped(Todo(), self.now())
        todo.add("summary", name)
        todo.add("status", "NEEDS-ACTION")
        if due:
            todo.add("due", due)
        if notes := plain(notes):
            todo.add("description", notes)
        if priority:
            todo.add("priority", priority)
        if isinstance(due, datetime):
            todo.add_component(_alarm(name))

        def add(raw: bytes | None) -> bytes:
            shown = self.home.shown(path)
            if _has_twin(read_calendars(raw or b"", shown), todo, self.tz):
                raise ToolCallError(
                    f"The reminder {name!r}{when} is in list {path.stem} already; nothing was changed"
                )
            return with_component(raw, todo, name=path.stem, shown=shown)

        self.home.update(path, add)
        return f"Created the reminder {name!r}{when} in list {path.stem}"

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


def _file(folder: Path, name: str, what: str) -> Path:
    """The file of that name, in the spelling of one that is there."""
    stem = safe_name(name.strip().removesuffix(".ics"), what)
    there = {name_key(path.stem): path for path in sorted(folder.glob("*.ics"))}
    return there.get(name_key(stem), folder / f"{stem}.ics")


def _attendee(invitee: str) -> vCalAddress:
    from icalendar import vCalAddress

    shown = one_line(invitee)
    match = _INVITEE.fullmatch(shown)
    if not match:
        raise ToolCallError(f"The invitee {shown!r} is no email address; look the address up first")
    attendee = vCalAddress(f"mailto:{match[1] or match['address']}")
    if name := (match["name"] or "").replace('"', "").strip():
        attendee.params["CN"] = name
    attendee.params["ROLE"] = "REQ-PARTICIPANT"
    attendee.params["PARTSTAT"] = "NEEDS-ACTION"
    attendee.params["RSVP"] = "TRUE"
    return attendee


def _alarm(name: str) -> Component:
    from icalendar import Alarm

    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("description", name)
    alarm.add("trigger", timedelta(0), parameters={"RELATED": "END"})
    return alarm


def _has_twin(calendars: Iterable[Calendar], new: Component, tz: tzinfo) -> bool:
    """Whether a component of the same kind, title and times is there and not done or cancelled."""
    return any(
        _identity(old, tz) == _identity(new, tz)
        for calendar in calendars
        for old in calendar.walk(new.name)
        if str(old.get("STATUS", "")).upper() not in {"COMPLETED", "CANCELLED"}
    )


def _identity(component: Component, tz: tzinfo) -> tuple[str, object, object]:
    start, end = _time(component, "DTSTART", tz), _time(component, "DTEND", tz) or _time(component, "DUE", tz)
    length = getattr(component.get("DURATION"), "dt", None)
    if end is None and isinstance(start, datetime) and isinstance(length, timedelta):
        end = start + length
    return fold(one_line(str(component.get("SUMMARY", "")))), start, end


def _time(component: Component, key: str, tz: tzinfo) -> datetime | date | None:
    """A time in UTC, or a day, or None where the property is missing or broken."""
    value = getattr(component.get(key), "dt", None)
    if isinstance(value, datetime):
        try:
            return (value if value.tzinfo else value.replace(tzinfo=tz)).astimezone(UTC)
        except OverflowError:
            return None
    return value if isinstance(value, date) else None
