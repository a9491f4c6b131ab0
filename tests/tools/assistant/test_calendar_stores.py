"""One suite for every store of events and reminders: files of the home, a CalDAV server, and macOS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar

from plait.errors import ToolCallError
from plait.tools.assistant import (
    Address,
    CalDavStore,
    CalendarFiles,
    Calendars,
    Home,
    MacCalendar,
    MacReminders,
    Reminders,
)

NINE = datetime(2026, 11, 24, 9, 0)


@dataclass
class Case:
    """A store, and what another program finds in its calendars and lists by their names."""

    store: Any
    calendar: Callable[[str], Any]
    reminder_list: Callable[[str], Any]
    tz: ZoneInfo
    reminder_store: Any = None

    def calendars(self) -> Calendars:
        return Calendars(self.store, self.tz)

    def reminders(self) -> Reminders:
        return Reminders(self.reminder_store or self.store, self.tz)

    def event(self, name: str = "Work") -> Any:
        (event,) = self.calendar(name).walk("VEVENT")
        return event

    def todo(self, name: str = "Errands") -> Any:
        (todo,) = self.reminder_list(name).walk("VTODO")
        return todo


@pytest.fixture(params=["files", "caldav", "macos"])
def case(request: pytest.FixtureRequest, home: Home, berlin: ZoneInfo, noon: Callable[[], datetime]) -> Case:
    if request.param == "files":

        def read(name: str) -> Any:
            return Calendar.from_ical((home.path / name).read_bytes())

        return Case(
            CalendarFiles(home, berlin, noon),
            lambda name: read(f"calendars/{name}.ics"),
            lambda name: read(f"reminders/{name}.ics"),
            berlin,
        )
    if request.param == "macos":
        mac = request.getfixturevalue("mac")
        mac.calendars = {"Home & garden": [], "Work": []}
        mac.lists = {"Errands": []}
        return Case(MacCalendar(mac), mac.calendar, mac.reminder_list, berlin, MacReminders(mac, tz=berlin))
    host = request.getfixturevalue("dav_host")
    host.make("Work", "calendar", ["VEVENT"])
    host.make("Home & garden", "calendar", ["VEVENT"])
    host.make("Errands", "calendar", ["VTODO"])
    store = CalDavStore(host.server("caldav"), organizer=Address("me@example.org"), tz=berlin, now=noon)
    return Case(
        store,
        lambda name: Calendar.from_ical(host.get(name)),
        lambda name: Calendar.from_ical(host.get(name)),
        berlin,
    )


def test_an_event_is_kept_with_all_that_was_said(case: Case) -> None:
    status = case.calendars().create_event(
        "Budget; review, Zoë",
        NINE,
        NINE + timedelta(hours=2),
        "https://zoom.example/j/1?pwd=a;b",
        ["Sid <sid@example.com>", "zoe@example.com"],
        "Bring,\nnumbers",
        "Work",
    )
    assert status == (
        "Created the event 'Budget; review, Zoë' on Tue 2026-11-24 09:00\N{EN DASH}11:00 in calendar Work"
        ", with 2 invitees"
    )
    event = case.event()
    assert event["SUMMARY"] == "Budget; review, Zoë"
    assert event["DTSTART"].dt == NINE.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    assert event["DTEND"].dt - event["DTSTART"].dt == timedelta(hours=2)
    assert event["LOCATION"] == "https://zoom.example/j/1?pwd=a;b"
    assert event["DESCRIPTION"] == "Bring,\nnumbers"
    assert [str(a) for a in event["ATTENDEE"]] == ["mailto:sid@example.com", "mailto:zoe@example.com"]


def test_the_same_event_is_not_made_twice(case: Case) -> None:
    case.calendars().create_event("Standup", NINE, calendar="Work")
    with pytest.raises(
        ToolCallError, match=r"'standup' on Tue 2026-11-24 .* is in calendar Work already; nothing"
    ):
        case.calendars().create_event("standup", NINE, calendar="Work")
    case.calendars().create_event("Standup", NINE + timedelta(minutes=30), calendar="Work")
    case.calendars().create_event("Other", NINE, calendar="Work")
    assert len(case.calendar("Work").walk("VEVENT")) == 3


def test_a_reminder_is_kept_with_all_that_was_said(case: Case) -> None:
    status = case.reminders().create("Pay rent", NINE, "To the bank", "Errands", 1)
    assert status == "Created the reminder 'Pay rent' due Tue 2026-11-24 09:00 in list Errands"
    todo = case.todo()
    assert (todo["SUMMARY"], todo["DESCRIPTION"], todo["PRIORITY"]) == ("Pay rent", "To the bank", 1)
    assert todo["DUE"].dt == NINE.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    assert len(todo.walk("VALARM")) == 1


@pytest.mark.parametrize(("due", "kept"), [(NINE, date(2026, 11, 24)), (None, None)])
def test_a_reminder_may_be_due_on_a_day_or_never(case: Case, due: datetime | None, kept: date | None) -> None:
    case.reminders().create("Water plants", due, list_name="Errands", all_day=True)
    assert getattr(case.todo().get("DUE"), "dt", None) == kept


def test_the_same_reminder_is_not_made_twice(case: Case) -> None:
    case.reminders().create("Zoë's birthday", NINE, list_name="Errands")
    with pytest.raises(ToolCallError, match="is in list Errands already; nothing was changed"):
        case.reminders().create("Zoë's birthday", NINE, list_name="Errands")
    case.reminders().create("Zoë's birthday", NINE + timedelta(days=1), list_name="Errands")
    assert len(case.reminder_list("Errands").walk("VTODO")) == 2


def test_a_time_in_another_zone_is_that_instant(case: Case) -> None:
    case.calendars().create_event("Call", datetime(2026, 11, 24, 8, 0, tzinfo=UTC), calendar="Work")
    assert case.event()["DTSTART"].dt == datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def test_an_hour_that_comes_twice_is_kept_exactly(case: Case) -> None:
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # 02:30 in Berlin, for the second time
    case.calendars().create_event("Night shift", second, calendar="Work")
    assert case.event()["DTSTART"].dt.astimezone(UTC) == second


def test_bad_arguments_change_nothing(case: Case) -> None:
    with pytest.raises(ToolCallError, match="not after its start"):
        case.calendars().create_event("A", NINE, NINE - timedelta(hours=1), calendar="Work")
    with pytest.raises(ToolCallError, match="The invitee 'Sid' is no email address"):
        case.calendars().create_event("A", NINE, invitees=["Sid"], calendar="Work")
    with pytest.raises(ToolCallError, match="out of range"):
        case.reminders().create("A", NINE.replace(year=9999), list_name="Errands")
    with pytest.raises(ToolCallError, match="The priority 10 is not one"):
        case.reminders().create("A", list_name="Errands", priority=10)
    case.calendars().create_event("B", NINE, calendar="Work")
    assert case.event()["SUMMARY"] == "B"
