from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from plait.errors import AmbiguousError, ConfigurationError, ToolCallError
from plait.tools.assistant import (
    CalendarFiles,
    Calendars,
    Contacts,
    Home,
    MacCalendar,
    MacContacts,
    MacMail,
    MacMessages,
    MacNotes,
    MacReminders,
    Notes,
    Osascript,
    Reminders,
    Script,
    Settings,
    SmsGateway,
    _mac_undo,
    _macos,
    _macos_mail,
    _macos_notes,
    open_backends,
    system_osascript,
)
from plait.tools.assistant._osascript import run_json
from plait.tools.assistant._sms import send_all

SCRIPTS = [
    value
    for module in (_mac_undo, _macos, _macos_mail, _macos_notes)
    for value in vars(module).values()
    if isinstance(value, Script)
]
HELLO = Script("Finder", "AppleScript", "on run argv\nreturn item 1 of argv\nend run")
NASTY = '"; do shell script "touch /tmp/x" --\n\'$(id)\' é \\'


@pytest.fixture
def osascript(tmp_path: Path) -> Callable[..., Osascript]:
    """The runner with a program in osascript's place that records how it was started."""

    def make(answer: str = "ok", error: str = "", status: int = 0, timeout_s: float = 20.0) -> Osascript:
        program = tmp_path / "osascript"
        record = tmp_path / "record.json"
        program.write_text(
            f"#!{sys.executable}\n"
            "import json, sys\n"
            f"json.dump([sys.argv[1:], sys.stdin.read()], open({str(record)!r}, 'w'))\n"
            f"sys.stderr.write({error!r}); print({answer!r}); sys.exit({status})\n",
            encoding="utf-8",
        )
        program.chmod(0o755)
        return Osascript(str(program), timeout_s)

    return make


def test_what_is_said_goes_into_the_arguments_and_never_into_the_script(
    osascript: Callable[..., Osascript], tmp_path: Path
) -> None:
    assert osascript("fine\nthere")(HELLO, [NASTY, "-e", ""]) == "fine\nthere"
    argv, script = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert argv == ["-l", "AppleScript", "-", NASTY, "-e", ""]
    assert script == HELLO.text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            "12:34: execution error: Not authorized to send Apple events to Finder. (-1743)",
            "allow it in System Sett",
        ),
        (
            "12:34: execution error: Finder got an error: no such thing (-1728)",
            "Finder failed: Finder got an error",
        ),
        ("", "Finder failed: no reason given"),
    ],
)
def test_what_fails_is_told_in_words(osascript: Callable[..., Osascript], error: str, said: str) -> None:
    with pytest.raises(ToolCallError, match=said):
        osascript(error=error, status=1)(HELLO, [])


def test_a_program_that_is_missing_or_answers_nonsense_is_told(osascript: Callable[..., Osascript]) -> None:
    with pytest.raises(ToolCallError, match="/none/osascript cannot be started"):
        Osascript("/none/osascript")(HELLO, [])
    with pytest.raises(ToolCallError, match="Finder answered what is no JSON: 'ok'"):
        run_json(osascript(), HELLO)


def test_an_application_that_hangs_may_have_done_it(tmp_path: Path) -> None:
    program = tmp_path / "osascript"
    program.write_text(f"#!{sys.executable}\nimport threading\nthreading.Event().wait()\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(ToolCallError, match=r"did not answer within 0\.2 s; it may have done what was asked"):
        Osascript(str(program), timeout_s=0.2)(HELLO, [])


def test_there_is_a_runner_on_a_mac_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert system_osascript() is None
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert system_osascript() is None
    (tmp_path / "osascript").write_text("", encoding="utf-8")
    (tmp_path / "osascript").chmod(0o755)
    assert system_osascript() == Osascript(str(tmp_path / "osascript"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.application)
def test_every_script_has_a_run_handler_and_no_place_to_fill_in(script: Script) -> None:
    handler = {"JavaScript": "function run(argv) {", "AppleScript": "on run argv"}[script.language]
    assert handler in script.text
    assert "do shell script" not in script.text
    assert "doShellScript" not in script.text
    assert "eval(" not in script.text
    assert script.text.count("{") == script.text.count("}")
    assert script.text.count("(") == script.text.count(")")


@pytest.mark.parametrize(
    ("state", "made", "undone", "read"),
    [
        (
            _mac_undo.EVENT_STATE,
            [_macos.ADD_EVENT],
            [_mac_undo.REMOVE_EVENT],
            ["startDate", "endDate", "location", "description", "attendees.email"],
        ),
        (
            _mac_undo.REMINDER_STATE,
            [_macos.ADD_REMINDER],
            [_mac_undo.REMOVE_REMINDER],
            ["body", "dueDate", "priority", "completed"],
        ),
        (
            _mac_undo.NOTE_STATE,
            [_macos_notes.ADD_NOTE, _macos_notes.APPEND_TO_NOTE],
            [_mac_undo.REMOVE_NOTE, _mac_undo.PUT_NOTE_BACK],
            ["body"],
        ),
    ],
)
def test_what_is_undone_is_compared_as_it_was_told_when_it_was_made(
    state: str, made: list[Script], undone: list[Script], read: list[str]
) -> None:
    assert all(f".{name}()" in state for name in read)
    assert all(state in script.text and "state: stateOf(" in script.text for script in made)
    assert all(state in script.text and "!== asked.state" in script.text for script in undone)
    assert all("Recently Deleted" not in script.text for script in undone)  # another name in each language


@pytest.mark.anyio
async def test_messages_get_number_and_text_as_two_arguments(mac: Any) -> None:
    assert await send_all(MacMessages(mac), ["+1 503 555 0101"], NASTY) == "Sent the message to +15035550101"
    assert mac.messages == [("+15035550101", NASTY)]


def test_the_usual_calendar_and_list_are_the_applications_own(mac: Any, berlin: Any) -> None:
    mac.calendars, mac.lists = {"Home": [], "Work": []}, {"Reminders": [], "Errands": []}
    nine = datetime(2026, 11, 24, 9)
    assert Calendars(MacCalendar(mac), berlin).create_event(NASTY, nine).endswith("in calendar Home")
    assert Calendars(MacCalendar(mac, "work"), berlin).create_event("B", nine).endswith("in calendar Work")
    assert Reminders(MacReminders(mac, tz=berlin), berlin).create("C").endswith("in list Reminders")
    with pytest.raises(ToolCallError, match="There is no calendar 'Sports', only Home, Work"):
        Calendars(MacCalendar(mac), berlin).create_event("A", nine, calendar="Sports")
    mac.lists["Errand run"] = []
    with pytest.raises(AmbiguousError, match="Several lists match 'err': Errands, Errand run; say which"):
        Reminders(MacReminders(mac, tz=berlin), berlin).create("A", list_name="err")
    mac.calendars = {}
    with pytest.raises(ToolCallError, match="There is no calendar that can be written to; make one first"):
        Calendars(MacCalendar(mac), berlin).create_event("A", nine)


def test_a_number_for_calls_goes_before_a_fax(mac: Any) -> None:
    phones = [("1", "_$!<HomeFAX>!$_"), ("2", "_$!<Work>!$_"), ("3", "iPhone"), ("4", "")]
    person = {"name": "Sid", "nickname": "S", "organization": "", "emails": []}
    mac.people = [
        {**person, "phones": [{"value": v, "kind": k} for v, k in phones]},
        {**person, "name": " ", "phones": []},
    ]
    (contact,) = MacContacts(mac).read().contacts
    assert contact.phones == ("3", "2", "4")
    assert Contacts(MacContacts(mac)).phone("S") == "3"


def opened(home: Home, mac: Any, **settings: Any) -> Any:
    return open_backends(home, settings=Settings.model_validate(settings), native=mac, secrets=lambda *_: "x")


def test_on_a_mac_the_applications_are_used_where_nothing_else_is_chosen(home: Home, mac: Any) -> None:
    backends = opened(home, mac)
    assert isinstance(backends.contacts.source, MacContacts)
    assert isinstance(backends.calendars.store, MacCalendar)
    assert isinstance(backends.reminders.store, MacReminders)
    assert isinstance(backends.notes, MacNotes)
    assert isinstance(backends.mail.box, MacMail)
    assert isinstance(backends.messenger, MacMessages)
    assert backends.maps.provider == "apple"
    assert mac.asked == []


def test_a_folder_of_the_home_or_a_setting_goes_before_the_applications(home: Home, mac: Any) -> None:
    (home.path / "notes").mkdir(parents=True)
    smtp = {"host": "smtp.example.org"}
    backends = opened(
        home,
        mac,
        calendars={"backend": "files"},
        mail={"address": "me@example.org", "send": True, "smtp": smtp},
        sms={"url": "https://x/{to}/{message}"},
        maps={"provider": "google"},
    )
    assert isinstance(backends.notes, Notes)
    assert isinstance(backends.calendars.store, CalendarFiles)
    assert not isinstance(backends.mail.box, MacMail)
    assert isinstance(backends.messenger, SmsGateway)
    assert backends.maps.provider == "google"
    assert isinstance(opened(home, mac, notes={"backend": "macos"}).notes, MacNotes)


def test_the_applications_of_macos_need_a_mac(home: Home) -> None:
    with pytest.raises(
        ConfigurationError, match=r"assistant\.toml: the backend 'macos' needs a Mac; choose another"
    ):
        open_backends(home, settings=Settings.model_validate({"mail": {"backend": "macos"}}))
