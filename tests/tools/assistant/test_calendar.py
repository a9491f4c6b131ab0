from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from plait.errors import ToolCallError
from plait.tools.assistant import CalendarFiles, Calendars, Home, Reminders
from plait.tools.assistant._ics import one_line, plain

Put = Callable[[str, str | bytes], Path]
NINE = datetime(2026, 11, 24, 9, 0)

FOREIGN = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Other//EN\r\nX-WR-CALNAME:Work\r\nX-ODD;A=b:kept  as is\r\n"
    "BEGIN:VEVENT\r\nZZZ-UNKNOWN:1\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20261124T080000Z\r\n"
    "DURATION:PT1H\r\nSUMMARY:Stand\r\n up\r\nEND:VEVENT\r\nBEGIN:VJOURNAL\r\nUID:2\r\nEND:VJOURNAL\r\n"
    "BEGIN:X-OWN\r\nX-P:1\r\nEND:X-OWN\r\nEND:VCALENDAR\r\n"
)


@pytest.fixture
def calendars(home: Home, berlin: ZoneInfo, noon: Callable[[], datetime]) -> Calendars:
    return Calendars(CalendarFiles(home, berlin, noon), berlin)


@pytest.fixture
def reminders(home: Home, berlin: ZoneInfo, noon: Callable[[], datetime]) -> Reminders:
    return Reminders(CalendarFiles(home, berlin, noon), berlin)


def read(path: Path) -> Any:
    return Calendar.from_ical(path.read_bytes())


def only(path: Path, kind: str) -> Any:
    (component,) = read(path).walk(kind)
    return component


def test_an_event_has_what_was_asked_for(calendars: Calendars, home: Home) -> None:
    status = calendars.create_event(
        "Standup",
        NINE,
        location="Room 3; 2nd floor",
        invitees=["sid@example.com", "Zoë Å <zoe@example.org>"],
        notes="Bring,\nnumbers",
    )
    assert status == (
        "Created the event 'Standup' on Tue 2026-11-24 09:00\N{EN DASH}10:00 in calendar Calendar"
        ", with 2 invitees"
    )
    event = only(home.calendars / "Calendar.ics", "VEVENT")
    assert event["SUMMARY"] == "Standup"
    assert event.start == NINE.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    assert event.end - event.start == timedelta(hours=1)
    assert event["LOCATION"] == "Room 3; 2nd floor"
    assert event["DESCRIPTION"] == "Bring,\nnumbers"
    assert [str(a) for a in event["ATTENDEE"]] == ["mailto:sid@example.com", "mailto:zoe@example.org"]
    assert event["ATTENDEE"][1].params["CN"] == "Zoë Å"
    assert event["DTSTAMP"].dt == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert event["UID"]


def test_a_new_calendar_is_valid_and_defines_its_time_zone(calendars: Calendars, home: Home) -> None:
    calendars.create_event("A", NINE, calendar="Team/Ops")
    raw = (home.calendars / "Team-Ops.ics").read_bytes()
    assert all(len(line) <= 75 for line in raw.split(b"\r\n"))
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"DTSTART;TZID=Europe/Berlin:20261124T090000\r\n" in raw
    calendar = read(home.calendars / "Team-Ops.ics")
    assert (calendar["VERSION"], calendar["X-WR-CALNAME"]) == ("2.0", "Team-Ops")
    assert calendar["PRODID"]
    (zone,) = calendar.walk("VTIMEZONE")
    assert zone.to_tz().utcoffset(NINE) == timedelta(hours=1)
    assert not calendar.get_missing_tzids()


def test_the_rest_of_a_file_stays_byte_for_byte(calendars: Calendars, put: Put) -> None:
    path = put("calendars/Work.ics", FOREIGN)
    calendars.create_event("New", NINE, calendar="work")
    calendars.create_event("Newer", NINE, calendar="WORK.ics")
    raw = path.read_bytes().decode()
    head = FOREIGN.removesuffix("END:VCALENDAR\r\n")
    assert raw.startswith(head)
    assert raw.endswith("END:VEVENT\r\nEND:VCALENDAR\r\n")
    assert raw.count("BEGIN:VTIMEZONE") == 1
    assert [str(e["SUMMARY"]) for e in read(path).walk("VEVENT")] == ["Standup", "New", "Newer"]
    assert [p.name for p in path.parent.iterdir()] == ["Work.ics"]


def test_a_file_with_line_feeds_keeps_them(calendars: Calendars, put: Put) -> None:
    path = put("calendars/Work.ics", "\ufeff" + FOREIGN.replace("\r\n", "\n"))
    calendars.create_event("New", NINE, calendar="Work")
    assert b"\r" not in path.read_bytes()
    assert path.read_bytes().startswith(b"\xef\xbb\xbfBEGIN")


def test_an_empty_file_becomes_a_calendar(calendars: Calendars, put: Put) -> None:
    path = put("calendars/Work.ics", "\n")
    calendars.create_event("New", NINE, calendar="Work")
    assert only(path, "VEVENT")["SUMMARY"] == "New"


@pytest.mark.parametrize(
    "content",
    [b"hello", FOREIGN[:-20].encode(), b"\xff\xfe\x00", FOREIGN.replace("UID:1", "\xff").encode("latin-1")],
)
def test_a_damaged_file_is_named_and_left_alone(calendars: Calendars, put: Put, content: bytes) -> None:
    path = put("calendars/Work.ics", content)
    with pytest.raises(ToolCallError, match=r"calendars/Work\.ics is damaged and was left as it is"):
        calendars.create_event("New", NINE, calendar="Work")
    assert path.read_bytes() == content


def test_the_same_event_is_not_made_twice(calendars: Calendars, put: Put) -> None:
    path = put("calendars/Work.ics", FOREIGN)
    with pytest.raises(
        ToolCallError, match=r"'standup' on Tue 2026-11-24 09:00.10:00 is in calendar Work already"
    ):
        calendars.create_event(" standup", NINE, calendar="Work")
    assert path.read_bytes() == FOREIGN.encode()
    calendars.create_event("Standup", NINE, NINE + timedelta(minutes=15), calendar="Work")
    calendars.create_event("Standup", NINE)


@pytest.mark.parametrize("minutes", [0, -30])
def test_an_end_that_is_not_after_the_start_is_refused(
    calendars: Calendars, home: Home, minutes: int
) -> None:
    with pytest.raises(ToolCallError, match="not after its start on Tue 2026-11-24 09:00; give a later end"):
        calendars.create_event("A", NINE, NINE + timedelta(minutes=minutes))
    assert not home.path.exists()


@pytest.mark.parametrize("invitee", ["Sid", "555-0101", "a b@c", "", "sid@example.com\r\nX:1"])
def test_an_invitee_must_be_an_email_address(calendars: Calendars, home: Home, invitee: str) -> None:
    with pytest.raises(ToolCallError, match="no email address"):
        calendars.create_event("A", NINE, invitees=[invitee])
    assert not home.path.exists()


@pytest.mark.parametrize("year", [1, 1899, 2201, 9999])
def test_a_year_out_of_range_is_refused(calendars: Calendars, year: int) -> None:
    with pytest.raises(ToolCallError, match="out of range"):
        calendars.create_event("A", NINE.replace(year=year))


def test_an_event_needs_a_title(calendars: Calendars) -> None:
    with pytest.raises(ToolCallError, match="no title"):
        calendars.create_event(" \x00", NINE)


def test_an_event_over_midnight_names_both_days(calendars: Calendars) -> None:
    status = calendars.create_event("Party", NINE.replace(hour=23), NINE.replace(day=25, hour=1))
    assert "on Tue 2026-11-24 23:00 \N{EN DASH} Wed 2026-11-25 01:00 in" in status


@pytest.mark.parametrize(
    ("start", "written"),
    [
        (datetime(2026, 11, 24, 9, tzinfo=UTC), b"DTSTART;TZID=Europe/Berlin:20261124T100000"),
        (datetime(2026, 11, 24, 9, tzinfo=timezone(timedelta(hours=-5))), b"Berlin:20261124T150000"),
        (datetime(2026, 3, 29, 2, 30), b"Berlin:20260329T033000"),  # left out by summer time
        (datetime(2026, 10, 25, 2, 30), b"Berlin:20261025T023000"),  # the first of two
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), b"DTSTART:20261025T013000Z"),  # the second of two
    ],
)
def test_times_are_kept_in_the_zone(
    calendars: Calendars, home: Home, start: datetime, written: bytes
) -> None:
    calendars.create_event("A", start)
    assert written in (home.calendars / "Calendar.ics").read_bytes()


@pytest.mark.parametrize("tz", [UTC, ZoneInfo("UTC"), timezone(timedelta(hours=2))])
def test_a_zone_without_a_name_is_written_in_utc(home: Home, tz: timezone) -> None:
    status = Calendars(CalendarFiles(home, tz), tz).create_event("A", NINE)
    raw = (home.calendars / "Calendar.ics").read_bytes()
    hour = 9 - int(NINE.replace(tzinfo=tz).utcoffset() / timedelta(hours=1))  # type: ignore[operator]
    assert b"DTSTART:20261124T%02d0000Z" % hour in raw
    assert b"VTIMEZONE" not in raw
    assert "09:00\N{EN DASH}10:00" in status


def test_an_hour_is_an_hour_when_the_clocks_change(calendars: Calendars, home: Home) -> None:
    calendars.create_event("A", datetime(2026, 3, 29, 1, 30))
    event = only(home.calendars / "Calendar.ics", "VEVENT")
    assert event["DTEND"].dt.astimezone(UTC) - event["DTSTART"].dt.astimezone(UTC) == timedelta(hours=1)
    assert event["DTEND"].dt.hour == 3


def test_a_foreign_time_zone_name_gives_no_warning(calendars: Calendars, put: Put) -> None:
    zone = "/freeassociation.sourceforge.net/Europe/Berlin"
    path = put(
        "calendars/Work.ics",
        FOREIGN.replace("DTSTART:20261124T080000Z", f"DTSTART;TZID={zone}:20261124T090000"),
    )
    calendars.create_event("New", NINE, calendar="Work")
    raw = path.read_bytes()
    assert zone.encode() in raw
    assert raw.count(b"BEGIN:VEVENT") == 2


def test_events_of_many_threads_are_all_kept(calendars: Calendars, home: Home) -> None:
    start = threading.Barrier(6)

    def work(n: int) -> None:
        start.wait()
        for k in range(3):
            calendars.create_event(f"{n} {k}", NINE)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(home.calendars / "Calendar.ics").walk("VEVENT")) == 18


@given(title=st.text(min_size=1, max_size=80), notes=st.text(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_text_survives_the_file(calendars: Calendars, home: Home, title: str, notes: str) -> None:
    path = home.calendars / "Calendar.ics"
    path.unlink(missing_ok=True)
    try:
        calendars.create_event(title, NINE, notes=notes, location=notes)
    except ToolCallError:
        return
    event = only(path, "VEVENT")
    assert event["SUMMARY"] == one_line(title)
    assert event.get("DESCRIPTION", "") == plain(notes)
    assert event.get("LOCATION", "") == one_line(notes)
    calendars.create_event("Next", NINE)
    assert len(read(path).walk("VEVENT")) == 2


def test_a_reminder_is_a_to_do_with_an_alarm(reminders: Reminders, home: Home) -> None:
    status = reminders.create("Pay rent", NINE, "To Åke", "Home", 1)
    assert status == "Created the reminder 'Pay rent' due Tue 2026-11-24 09:00 in list Home"
    todo = only(home.reminders / "Home.ics", "VTODO")
    assert todo["DUE"].dt == NINE.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    assert (todo["SUMMARY"], todo["DESCRIPTION"], todo["PRIORITY"]) == ("Pay rent", "To Åke", 1)
    assert todo["STATUS"] == "NEEDS-ACTION"
    (alarm,) = todo.walk("VALARM")
    assert alarm["TRIGGER"].dt == timedelta(0)
    assert alarm["TRIGGER"].params["RELATED"] == "END"


def test_a_reminder_for_a_day_has_no_time(reminders: Reminders, home: Home) -> None:
    status = reminders.create("Pay rent", datetime(2026, 11, 24, 23, 30, tzinfo=UTC), all_day=True)
    assert status == "Created the reminder 'Pay rent' due Wed 2026-11-25 in list Reminders"
    todo = only(home.reminders / "Reminders.ics", "VTODO")
    assert todo["DUE"].dt == date(2026, 11, 25)
    assert not todo.walk("VALARM")
    assert not read(home.reminders / "Reminders.ics").walk("VTIMEZONE")


def test_a_reminder_needs_no_date(reminders: Reminders, home: Home) -> None:
    assert reminders.create("Buy milk", all_day=True) == "Created the reminder 'Buy milk' in list Reminders"
    assert "DUE" not in only(home.reminders / "Reminders.ics", "VTODO")


def test_an_open_reminder_is_not_made_twice_and_a_done_one_may_be(reminders: Reminders, home: Home) -> None:
    reminders.create("Buy milk", NINE)
    with pytest.raises(
        ToolCallError, match="'buy milk' due Tue 2026-11-24 09:00 is in list Reminders already"
    ):
        reminders.create("buy milk", NINE)
    path = home.reminders / "Reminders.ics"
    path.write_bytes(path.read_bytes().replace(b"NEEDS-ACTION", b"COMPLETED"))
    reminders.create("Buy milk", NINE)
    assert len(read(path).walk("VTODO")) == 2


@pytest.mark.parametrize("priority", [-1, 10])
def test_a_priority_is_from_0_to_9(reminders: Reminders, priority: int) -> None:
    with pytest.raises(ToolCallError, match="give 0"):
        reminders.create("A", priority=priority)
