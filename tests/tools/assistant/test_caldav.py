from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar

from plait.errors import AmbiguousError, ConfigurationError, ToolCallError
from plait.tools.assistant import Address, CalDavStore, Calendars, DavServer, Reminders

NINE = datetime(2026, 11, 24, 9, 0)
MULTI = '<multistatus xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">%s</multistatus>'
FOUND = (
    "<response><href>%s</href><propstat><prop>%s</prop><status>HTTP/1.1 200 OK</status></propstat></response>"
)


@pytest.fixture
def host(dav_host: Any) -> Any:
    dav_host.make("Errands", "calendar", ["VTODO"])
    dav_host.make("Work", "calendar", ["VEVENT"])
    dav_host.make("Work abroad", "calendar", ["VEVENT"])
    dav_host.make("Friends", "addressbook")
    return dav_host


@pytest.fixture
def store(host: Any, berlin: ZoneInfo, noon: Callable[[], datetime]) -> CalDavStore:
    return CalDavStore(host.server("caldav"), tz=berlin, now=noon)


def test_the_usual_calendar_is_the_default_or_the_first_that_takes_the_kind(
    store: CalDavStore, host: Any
) -> None:
    assert Calendars(store).create_event("A", NINE).endswith((" calendar Work", " calendar Work abroad"))
    assert Reminders(store).create("B").endswith(" in list Errands")
    assert (
        Calendars(replace(store, default="abroad")).create_event("C", NINE).endswith(" calendar Work abroad")
    )


def test_a_calendar_is_found_by_part_of_its_name_and_never_made(store: CalDavStore, host: Any) -> None:
    assert Calendars(store).create_event("A", NINE, calendar="wörk").endswith("in calendar Work")
    with pytest.raises(ToolCallError, match="There is no calendar 'Sports' on the server, only Work"):
        Calendars(store).create_event("A", NINE, calendar="Sports")
    with pytest.raises(ToolCallError, match="There is no list 'Work' on the server, only Errands"):
        Reminders(store).create("A", list_name="Work")
    with pytest.raises(AmbiguousError, match=r"Several calendars match 'wor': .*; say which"):
        Calendars(store).create_event("A", NINE, calendar="wor")


def test_the_url_may_be_of_one_calendar(store: CalDavStore, host: Any) -> None:
    one = replace(store, server=host.server("caldav", "/me/Work%20abroad/"))
    assert Calendars(one).create_event("A", NINE).endswith("in calendar Work abroad")


def test_a_redirection_is_followed_as_the_question_it_was(store: CalDavStore, host: Any) -> None:
    led = replace(store, server=host.server("caldav", "/.well-known/caldav"))
    assert Calendars(led).create_event("A", NINE, calendar="Work").endswith("in calendar Work")


def test_invitations_are_sent_by_the_server_as_the_user(store: CalDavStore, host: Any) -> None:
    inviting = replace(store, organizer=Address("me@example.org"))
    Calendars(inviting).create_event("A", NINE, invitees=["sid@example.com"], calendar="Work")
    Calendars(inviting).create_event("B", NINE, calendar="Work")
    events = {str(e["SUMMARY"]): e for e in Calendar.from_ical(host.get("Work")).walk("VEVENT")}
    assert events["A"]["ORGANIZER"] == "mailto:me@example.org"
    assert "ORGANIZER" not in events["B"]


def test_each_kept_calendar_defines_the_zone_it_needs(store: CalDavStore, host: Any) -> None:
    Calendars(store, ZoneInfo("Europe/Berlin")).create_event("A", NINE, calendar="Work")
    text = host.get("Work")
    assert "TZID:Europe/Berlin" in text
    assert "DTSTART;TZID=Europe/Berlin:20261124T090000" in text


def test_a_wrong_password_is_told(store: CalDavStore, host: Any) -> None:
    host.password = "wrong"
    with pytest.raises(ToolCallError, match=r"does not accept the password of 'me' .*PLAIT_CALDAV_PASSWORD"):
        Calendars(store).create_event("A", NINE)
    host.password = ""
    with pytest.raises(ToolCallError, match="There is no password for 'me'; set PLAIT_CALDAV_PASSWORD"):
        Calendars(store).create_event("A", NINE)


def test_an_account_without_calendars_says_so(dav_host: Any) -> None:
    with pytest.raises(
        ToolCallError, match=r"The CalDAV server at .* has nothing of the kind for 'me'; check the URL"
    ):
        Calendars(CalDavStore(dav_host.server("caldav"))).create_event("A", NINE)
    dav_host.make("Errands", "calendar", ["VTODO"])
    with pytest.raises(ToolCallError, match="has no calendar for 'me'; make one there"):
        Calendars(CalDavStore(dav_host.server("caldav"))).create_event("A", NINE)


def test_a_server_that_is_down_has_done_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        store = CalDavStore(DavServer("caldav", url, "me", lambda *_: "x", timeout_s=20))
        with pytest.raises(
            ToolCallError, match=r"The CalDAV server at .* cannot be reached .*; nothing was done"
        ):
            Calendars(store).create_event("A", NINE)


CALENDAR = FOUND % (
    "/cal/",
    "<resourcetype><collection/><C:calendar/></resourcetype><displayname>Cal</displayname>",
)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([(0, "")], "did not answer .*; it may have done what was asked or not"),
        ([(207, "<html>")], "answered what is no XML"),
        ([(200, "hello")], "answered 200 hello"),
        ([(500, "oops")], "answered 500 oops"),
        ([(404, "")], "has nothing of the kind"),
        ([(207, MULTI % CALENDAR), (0, "")], "did not answer"),
        ([(207, MULTI % CALENDAR), (207, MULTI % ""), (0, "")], "did not answer .*; it may have done"),
        (
            [(207, MULTI % CALENDAR), (207, MULTI % ""), (507, "full")],
            "did not take it: 507 full; nothing was created",
        ),
        ([(207, MULTI % CALENDAR), (207, MULTI % ""), (412, "")], "did not take it: 412"),
    ],
)
def test_a_server_that_fails_at_any_step_is_told(
    stub: Any, answers: list[tuple[int, str]], said: str
) -> None:
    stub.answers = answers
    store = CalDavStore(DavServer("caldav", stub.url, "me", lambda *_: "x", timeout_s=20))
    with pytest.raises(ToolCallError, match=said):
        Calendars(store).create_event("A", NINE)


def test_an_event_goes_where_the_server_says_that_the_calendar_is(stub: Any) -> None:
    stub.answers = [(207, MULTI % CALENDAR), (207, MULTI % ""), (201, "")]
    Calendars(CalDavStore(DavServer("caldav", f"{stub.url}/x", "me", lambda *_: "x"))).create_event("A", NINE)
    methods = [asked.method for asked in stub.asked]
    assert methods == ["PROPFIND", "REPORT", "PUT", "PROPFIND"]  # the last one for the ETag
    put = stub.asked[-2]
    assert put.path.startswith("/cal/")
    assert put.headers["If-None-Match"] == "*"
    assert "BEGIN:VEVENT" in put.body


def test_a_server_does_not_lead_the_password_astray(stub: Any) -> None:
    stub.answers = [
        (207, MULTI % (FOUND % ("http://evil.example/cal/", "<resourcetype><C:calendar/></resourcetype>")))
    ]
    with pytest.raises(ToolCallError, match=r"'http://evil.example/cal/', which is not encrypted"):
        Calendars(CalDavStore(DavServer("caldav", stub.url, "me", lambda *_: "x"))).create_event("A", NINE)


def test_the_address_of_a_server_must_be_encrypted() -> None:
    with pytest.raises(ConfigurationError, match="not encrypted; use https://"):
        DavServer("caldav", "http://dav.example.org", "me")
