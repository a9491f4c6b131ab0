from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from plait.errors import ConfigurationError
from plait.tools.assistant import (
    Address,
    CalDavStore,
    CalendarFiles,
    CardDavContacts,
    ContactFiles,
    Home,
    ImapStore,
    InternetMail,
    MaildirStore,
    Maps,
    Notes,
    Settings,
    SmsGateway,
    SmtpTransport,
    Zoom,
    assistant_tools,
    open_backends,
)

Put = Callable[[str, str | bytes], Path]
IMAP = {"host": "imap.example.org"}
SMTP = {"host": "smtp.example.org", "port": 587, "security": "starttls"}


def opened(home: Home, **settings: Any) -> Any:
    return open_backends(home, settings=Settings.model_validate(settings), secrets=lambda *_: "x")


def test_without_settings_everything_is_in_the_files_of_the_home(home: Home) -> None:
    backends = opened(home)
    assert isinstance(backends.contacts.source, ContactFiles)
    assert isinstance(backends.calendars.store, CalendarFiles)
    assert isinstance(backends.reminders.store, CalendarFiles)
    assert isinstance(backends.notes, Notes)
    assert isinstance(backends.mail.box, InternetMail)
    assert backends.mail.box.store == MaildirStore(home)
    assert not backends.mail.sends
    assert backends.maps == Maps("openstreetmap")
    assert (backends.messenger, backends.meetings) == (None, None)
    assert not home.path.exists()


def test_mail_is_where_the_settings_say(home: Home) -> None:
    mail = {"address": "me@example.org", "name": "Me", "send": True, "imap": IMAP, "smtp": SMTP}
    box = opened(home, mail=mail).mail.box
    assert isinstance(box.store, ImapStore)
    assert isinstance(box.transport, SmtpTransport)
    assert box.sender == Address("me@example.org", "Me")
    server = box.transport.server
    assert (server.host, server.port, server.security) == ("smtp.example.org", 587, "starttls")
    assert (server.user, server.password()) == ("me@example.org", "x")
    kept = opened(home, mail={**mail, "backend": "maildir"})
    assert isinstance(kept.mail.box.store, MaildirStore)
    assert kept.mail.sends


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"mail": {"send": True, "smtp": SMTP}},
            "mail.send is true and mail.address is missing; add it, or set",
        ),
        ({"mail": {"send": True, "address": "a@b"}}, r"mail.send is true and \[mail.smtp\] is missing"),
        ({"mail": {"backend": "imap"}}, r"mail.backend is 'imap' and \[mail.imap\] is missing; add it"),
        ({"mail": {"imap": IMAP}}, "mail.imap.user is missing; add it, or mail.address"),
        ({"mail": {"imap": {**IMAP, "user": "u", "security": "none"}}}, "'none' would send the password"),
        ({"calendars": {"url": "https://x"}}, "calendars.user is missing; add it, or set calendars.backend"),
        ({"contacts": {"backend": "carddav", "user": "u"}}, "contacts.url is missing"),
        ({"contacts": {"url": "http://x.example", "user": "u"}}, "not encrypted"),
        ({"sms": {"url": "https://x"}}, "no place for {to} and {message}"),
    ],
)
def test_settings_that_do_not_fit_together_name_the_file_and_the_fix(
    home: Home, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{home.path}/assistant\.toml: .*{said}"):
        opened(home, **settings)


def test_messages_meetings_maps_and_the_time_zone(home: Home) -> None:
    backends = opened(
        home,
        time_zone="Asia/Tokyo",
        sms={"url": "https://x", "json": {"to": "{to}", "text": "{message}"}},
        zoom={"account_id": "a", "client_id": "c", "host": "me@example.org"},
        maps={"provider": "google"},
    )
    assert isinstance(backends.messenger, SmsGateway)
    assert isinstance(backends.meetings, Zoom)
    assert backends.meetings.host == "me@example.org"
    assert backends.maps.provider == "google"
    assert backends.calendars.tz == backends.meetings.tz == ZoneInfo("Asia/Tokyo")


def test_a_url_puts_contacts_calendars_and_reminders_on_a_server(home: Home) -> None:
    account = {"url": "https://dav.example.org/", "user": "rowan"}
    backends = opened(
        home,
        mail={"address": "me@example.org"},
        contacts=account,
        calendars={"url": "https://dav.example.org/cal/", "default": "Work"},
        reminders={**account, "backend": "files"},
    )
    assert isinstance(backends.contacts.source, CardDavContacts)
    assert isinstance(backends.calendars.store, CalDavStore)
    assert isinstance(backends.reminders.store, CalendarFiles)
    assert (backends.contacts.source.server.user, backends.calendars.store.server.user) == (
        "rowan",
        "me@example.org",
    )
    assert backends.calendars.store.default == "Work"
    assert backends.calendars.store.organizer == Address("me@example.org")


def test_the_usual_calendar_and_list_of_the_files_can_be_set(home: Home) -> None:
    backends = opened(home, calendars={"default": "Personal"}, reminders={"default": "Errands"})
    assert backends.calendars.create_event("A", datetime(2026, 11, 24, 9)).endswith("in calendar Personal")
    assert backends.reminders.create("B").endswith("in list Errands")
    assert opened(home).reminders.create("C").endswith("in list Reminders")


def test_the_file_of_the_home_is_read(home: Home, put: Put) -> None:
    put("assistant.toml", "[maps]\nprovider = 'apple'\n")
    assert open_backends(home).maps.provider == "apple"
    put("assistant.toml", "[maps]\nprovider = 'paper'\n")
    with pytest.raises(ConfigurationError, match=r"assistant\.toml: maps\.provider: "):
        assistant_tools(home)
