"""Calendars and reminders on a CalDAV server (RFC 4791)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

from plait.errors import AmbiguousError, ToolCallError
from plait.tools.assistant._addresses import Address
from plait.tools.assistant._calendar import NewEvent, NewReminder
from plait.tools.assistant._components import already_there, event_component, has_twin, todo_component
from plait.tools.assistant._dav import CALDAV, DAV, DavItem, DavServer
from plait.tools.assistant._http import answer_text
from plait.tools.assistant._ics import alone, read_calendars
from plait.tools.assistant._match import best
from plait.tools.assistant._undoable import undoable
from plait.tools.assistant._zone import local_zone, utc_now

if TYPE_CHECKING:
    import httpx
    from icalendar import Calendar, Component

_COMPONENTS = f"{CALDAV}supported-calendar-component-set"


@dataclass(frozen=True)
class CalDavStore:
    """An ``EventStore`` and a ``ReminderStore`` on a server. Calendars are not made: one must be there.

    Args:
        server: the server and the account.
        default: the calendar or list that is used where none is named; the server's first by default.
        organizer: the user, as whom the server invites others; it then sends the invitations itself.
        tz: the zone of times that the server gives without one.
        now: gives the time of a change, aware.
    """

    server: DavServer
    default: str = ""
    organizer: Address | None = None
    tz: tzinfo = field(default_factory=local_zone)
    now: Callable[[], datetime] = utc_now

    def add_event(self, event: NewEvent, calendar: str) -> str:
        """Add an event to a calendar of the server."""
        place = self._place(calendar or self.default, "VEVENT", "calendar")
        component = event_component(event, self.now())
        if event.invitees and self.organizer:
            component.add("organizer", f"mailto:{self.organizer.spec}")
        span = {"start": _utc(event.start), "end": _utc(event.end)}
        query = _query("VEVENT", ET.Element(f"{CALDAV}time-range", span))
        return self._add(component, place, query, f"The event {event.title!r} on {event.when}", "calendar")

    def add_reminder(self, reminder: NewReminder, list_name: str) -> str:
        """Add a reminder to a list of the server."""
        place = self._place(list_name or self.default, "VTODO", "list")
        component = todo_component(reminder, self.now())
        named = ET.Element(f"{CALDAV}prop-filter", {"name": "SUMMARY"})
        ET.SubElement(named, f"{CALDAV}text-match").text = reminder.name
        what = f"The reminder {reminder.name!r}{reminder.when}"
        return self._add(component, place, _query("VTODO", named), what, "list")

    def _add(self, component: Component, place: DavItem, query: ET.Element, what: str, kind: str) -> str:
        name = _name(place)
        if has_twin(self._found(place, query), component, self.tz):
            raise already_there(what, f"{kind} {name}")
        url = f"{place.url.rstrip('/')}/{component['UID']}.ics"
        headers = {"Content-Type": "text/calendar; charset=utf-8", "If-None-Match": "*"}
        response = self.server.request("PUT", url, alone(component), headers)
        if not response.is_success:
            raise ToolCallError(
                f"{self.server.name} did not take it: {response.status_code} {answer_text(response)}; "
                "nothing was created"
            )
        account = self._account(response, what, f"{kind} {name}")
        return undoable(name, account)

    def _account(self, response: httpx.Response, what: str, place: str) -> Mapping[str, str] | None:
        """How to undo it; ``None`` where the server does not say what it made of it."""
        url = str(response.url)
        etag = response.headers.get("ETag") or self._etag(url)
        if not etag or etag.startswith("W/"):  # which no condition can be made on
            return None
        return {
            "kind": "caldav item",
            "server": self.server.url,
            "user": self.server.user,
            "url": url,
            "etag": etag,
            "what": what,
            "place": place,
        }

    def _etag(self, url: str) -> str:
        try:
            items = self.server.find_all(url, "0", f"{DAV}getetag")
        except ToolCallError:  # it is made all the same, and cannot be undone
            return ""
        return items[0].text(f"{DAV}getetag") if items else ""

    def _place(self, wanted: str, component: str, kind: str) -> DavItem:
        places = self.server.collections(f"{CALDAV}calendar", f"{CALDAV}calendar-home-set", _COMPONENTS)
        fitting = [place for place in places if _takes(place, component)]
        if not fitting:
            raise ToolCallError(f"{self.server.name} has no {kind} for {self.server.user!r}; make one there")
        if not wanted:
            return fitting[0]
        found = best(wanted, ((_name(place), place.url) for place in fitting))
        chosen = [place for place in fitting if place.url in found]
        if len(chosen) == 1:
            return chosen[0]
        if chosen:
            names = ", ".join(map(_name, chosen))
            raise AmbiguousError(f"Several {kind}s match {wanted!r}: {names}; say which")
        raise ToolCallError(
            f"There is no {kind} {wanted!r} on the server, only {', '.join(map(_name, fitting))}"
        )

    def _found(self, place: DavItem, query: ET.Element) -> list[Calendar]:
        items = self.server.report(place.url, query)
        texts = [item.text(f"{CALDAV}calendar-data") for item in items]
        return [calendar for text in texts for calendar in read_calendars(text.encode(), _name(place))]


def _takes(place: DavItem, component: str) -> bool:
    kinds = place.properties.find(_COMPONENTS)
    return kinds is None or component in {kind.get("name") for kind in kinds}


def _name(place: DavItem) -> str:
    return place.text(f"{DAV}displayname") or unquote(urlsplit(place.url).path.rstrip("/").rpartition("/")[2])


def _query(component: str, condition: ET.Element) -> ET.Element:
    query = ET.Element(f"{CALDAV}calendar-query")
    ET.SubElement(ET.SubElement(query, f"{DAV}prop"), f"{CALDAV}calendar-data")
    calendar = ET.SubElement(
        ET.SubElement(query, f"{CALDAV}filter"), f"{CALDAV}comp-filter", {"name": "VCALENDAR"}
    )
    ET.SubElement(calendar, f"{CALDAV}comp-filter", {"name": component}).append(condition)
    return query


def _utc(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y%m%dT%H%M%SZ}"
