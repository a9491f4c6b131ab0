"""iCalendar files (RFC 5545): adding one component to a file without touching the rest of it."""

from __future__ import annotations

import re
import threading
import unicodedata
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING
from uuid import uuid4

from plait.errors import ToolCallError
from plait.tools.assistant._home import needs
from plait.tools.assistant._zone import zone_name

if TYPE_CHECKING:
    from icalendar import Calendar, Component

_END = re.compile(rb"(?im)^END:VCALENDAR[ \t]*\r?$")
_warnings_lock = threading.Lock()


def read_calendars(raw: bytes, shown: str) -> list[Calendar]:
    """The calendars in the bytes of a file; none in an empty file.

    Args:
        raw: the file's bytes.
        shown: its name for messages.

    Raises:
        ToolCallError: it is no iCalendar file in UTF-8, or a damaged one.
    """
    with needs("icalendar"):
        from icalendar import Calendar
    try:
        text = raw.decode("utf-8-sig")
        # catch_warnings changes the whole process, so one thread at a time.
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            calendars = Calendar.from_ical(text, multiple=True)
    except (ValueError, LookupError) as error:
        raise ToolCallError(f"{shown} is damaged and was left as it is: {error}") from error
    if text.strip() and not (calendars and _END.search(raw)):
        raise ToolCallError(f"{shown} is damaged and was left as it is: it has no whole VCALENDAR")
    return calendars


def with_component(raw: bytes | None, component: Component, *, name: str, shown: str) -> bytes:
    """The file with one more component, everything that it had before byte for byte the same.

    Time zones that the component needs are added where the file does not define them.

    Args:
        raw: the file's bytes, or None for a new file.
        component: what to add; its times are in UTC, floating or in zones with IANA names.
        name: what a new calendar is called.
        shown: the file's name for messages.

    Raises:
        ToolCallError: the file is damaged.
    """
    calendars = read_calendars(raw or b"", shown)
    if not raw or not calendars:
        raw, known = _empty(name), set()
    else:
        known = {str(zone.get("TZID")) for zone in calendars[-1].walk("VTIMEZONE")}
    newline = b"\r\n" if b"\r\n" in raw else b"\n"
    added = b"".join(part.to_ical() for part in (*_zones(component, known), component))
    end = list(_END.finditer(raw))[-1].start()
    return raw[:end] + added.replace(b"\r\n", newline) + raw[end:]


def alone(component: Component) -> bytes:
    """A calendar of this one component and its time zones, as CalDAV keeps each (RFC 4791, 4.1)."""
    return with_component(None, component, name="", shown="")


def stamped(component: Component, now: datetime) -> Component:
    """The component with a UID of its own and the time of its making."""
    component.add("uid", str(uuid4()))
    component.add("dtstamp", now.astimezone(UTC))
    component.add("created", now.astimezone(UTC))
    return component


def plain(text: str) -> str:
    """The text without the control characters that iCalendar forbids; newlines become line feeds."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in lines if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cs"}).strip()


def one_line(text: str) -> str:
    """The text without control characters, its white space folded."""
    return " ".join(plain(text).split())


def _empty(name: str) -> bytes:
    from icalendar import Calendar

    calendar = Calendar()
    calendar.add("version", "2.0")
    calendar.add("prodid", "-//plait//assistant//EN")
    if name:
        calendar.add("x-wr-calname", name)
    return bytes(calendar.to_ical())


def _zones(component: Component, known: set[str]) -> Iterator[Component]:
    """The time zone definitions that the component needs and the file lacks."""
    from icalendar import Timezone

    zones: dict[str, tzinfo] = {}
    for key in ("DTSTART", "DTEND", "DUE"):
        tz = getattr(getattr(component.get(key), "dt", None), "tzinfo", None)
        if (name := zone_name(tz)) and tz and name not in known:
            zones[name] = tz
    for name, tz in zones.items():
        yield Timezone.from_tzinfo(tz, name)
