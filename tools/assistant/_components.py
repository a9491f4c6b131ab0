"""Events and reminders as iCalendar components (RFC 5545)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from plait.errors import ToolCallError
from plait.tools.assistant._addresses import Address
from plait.tools.assistant._calendar import NewEvent, NewReminder
from plait.tools.assistant._home import needs
from plait.tools.assistant._ics import one_line, stamped
from plait.tools.assistant._match import fold

if TYPE_CHECKING:
    from icalendar import Calendar, Component, vCalAddress


def event_component(event: NewEvent, now: datetime) -> Component:
    """The event as a VEVENT with a UID of its own, made ``now``."""
    with needs("icalendar"):
        from icalendar import Event
    made = stamped(Event(), now)
    made.add("summary", event.title)
    made.add("dtstart", event.start)
    made.add("dtend", event.end)
    for key, text in (("location", event.location), ("description", event.notes)):
        if text:
            made.add(key, text)
    for invitee in event.invitees:
        made.add("attendee", _attendee(invitee))
    return made


def todo_component(reminder: NewReminder, now: datetime) -> Component:
    """The reminder as a VTODO with a UID of its own, made ``now``; one with a time has an alarm."""
    with needs("icalendar"):
        from icalendar import Todo
    made = stamped(Todo(), now)
    made.add("summary", reminder.name)
    made.add("status", "NEEDS-ACTION")
    if reminder.due:
        made.add("due", reminder.due)
    if reminder.notes:
        made.add("description", reminder.notes)
    if reminder.priority:
        made.add("priority", reminder.priority)
    if isinstance(reminder.due, datetime):
        made.add_component(_alarm(reminder.name))
    return made


def has_twin(calendars: Iterable[Calendar], new: Component, tz: tzinfo) -> bool:
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


def already_there(what: str, where: str) -> ToolCallError:
    """What to say instead of creating something twice."""
    return ToolCallError(f"{what} is in {where} already; nothing was changed")


def _attendee(invitee: Address) -> vCalAddress:
    from icalendar import vCalAddress

    attendee = vCalAddress(f"mailto:{invitee.spec}")
    if invitee.name:
        attendee.params["CN"] = invitee.name
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
