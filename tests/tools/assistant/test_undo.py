"""What tools made on servers and in the applications of macOS can be undone, by a later process too."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from plait import ScriptedModel, Toolbox
from plait.apps.assistant import ActionLog, Session, Settings
from plait.apps.assistant._backend import assistant_undo
from plait.errors import ToolCallError
from plait.models import ChatModel
from plait.tools import call_in_thread
from plait.tools.assistant import (
    CalDavStore,
    CalDavUndoer,
    Calendars,
    MacCalendar,
    MacNotes,
    MacReminders,
    MacUndoer,
    Reminders,
    UndoableText,
    Zoom,
    ZoomUndoer,
    assistant_tools,
)
from plait.tools.assistant import Settings as AssistantSettings
from plait.tools.assistant._settings import CalendarSettings

NINE = datetime(2026, 11, 24, 9, 0)
TOKEN = (200, '{"access_token": "t0ken"}')
MADE = (201, '{"id": 8123, "join_url": "https://zoom.example/j/8123"}')


def account(text: str) -> Mapping[str, Any]:
    """What the history keeps of it."""
    assert isinstance(text, UndoableText)
    kept: Mapping[str, Any] = json.loads(json.dumps(dict(text.undo)))
    return kept


@pytest.fixture
def host(dav_host: Any) -> Any:
    dav_host.make("Errands", "calendar", ["VTODO"])
    dav_host.make("Work", "calendar", ["VEVENT"])
    return dav_host


@pytest.fixture
def store(host: Any, berlin: ZoneInfo, noon: Callable[[], datetime]) -> CalDavStore:
    return CalDavStore(host.server("caldav"), tz=berlin, now=noon)


@pytest.fixture
def caldav(host: Any) -> CalDavUndoer:
    return CalDavUndoer(lambda service, user: {("caldav", "me"): host.password}.get((service, user)))


def test_an_event_on_a_server_is_deleted_and_no_other(store: CalDavStore, host: Any, caldav: Any) -> None:
    made = Calendars(store).create_event("Dentist", NINE)
    Calendars(store).create_event("Lunch", NINE)
    assert made == "Created the event 'Dentist' on Tue 2026-11-24 09:00–10:00 in calendar Work"  # noqa: RUF001
    assert host.password not in json.dumps(account(made))
    assert caldav.undo(account(made)).startswith("The event 'Dentist' on Tue 2026-11-24")
    assert "Dentist" not in host.get("Work")
    assert "Lunch" in host.get("Work")
    with pytest.raises(ToolCallError, match="is not in calendar Work any more; there is nothing to undo"):
        caldav.undo(account(made))


def test_a_reminder_on_a_server_is_deleted(store: CalDavStore, host: Any, caldav: Any) -> None:
    made = Reminders(store).create("Water", NINE)
    assert caldav.undo(account(made)).endswith("was deleted from list Errands")
    assert "Water" not in host.get("Errands")


def test_what_was_changed_on_the_server_since_stays(store: CalDavStore, host: Any, caldav: Any) -> None:
    kept = account(Calendars(store).create_event("Dentist", NINE))
    path = kept["url"].partition("/me/")[2]
    text = host._ask("GET", f"/me/{path}", "")
    host._ask("PUT", f"/me/{path}", text.replace("Dentist", "Surgeon"))
    with pytest.raises(ToolCallError, match="has been changed since; remove it by hand"):
        caldav.undo(kept)
    assert "Surgeon" in host.get("Work")


def test_a_wrong_password_deletes_nothing(store: CalDavStore, host: Any) -> None:
    kept = account(Calendars(store).create_event("Dentist", NINE))
    with pytest.raises(ToolCallError, match="does not accept the password of 'me'"):
        CalDavUndoer(lambda *_: "wrong").undo(kept)
    assert "Dentist" in host.get("Work")


@pytest.mark.parametrize(("etag", "can_be_undone"), [('"abc"', True), ('W/"abc"', False), ("", False)])
def test_without_a_strong_etag_there_is_no_undo(
    store: CalDavStore, host: Any, monkeypatch: pytest.MonkeyPatch, etag: str, can_be_undone: bool
) -> None:
    """The answer to PUT tells none, so that it is asked for."""
    server = store.server
    ask = type(server).request

    def without_etag(self: Any, method: str, *more: Any) -> Any:
        answer = ask(self, method, *more)
        if method == "PUT":
            del answer.headers["ETag"]
        return answer

    monkeypatch.setattr(type(server), "request", without_etag)
    assert isinstance(Calendars(store).create_event("A", NINE), UndoableText)
    monkeypatch.setattr(CalDavStore, "_etag", lambda self, url: etag)
    assert isinstance(Calendars(store).create_event("B", NINE), UndoableText) is can_be_undone


@pytest.fixture
def zoom(stub: Any, berlin: ZoneInfo) -> Zoom:
    secrets = lambda service, user: "s3cret"  # noqa: E731
    return Zoom(
        "acc", "client", secrets=secrets, tz=berlin, api_url=f"{stub.url}/v2", oauth_url=f"{stub.url}/oauth"
    )


@pytest.mark.anyio
async def test_a_meeting_is_deleted_by_its_number(zoom: Zoom, stub: Any) -> None:
    stub.answers = [TOKEN, MADE, TOKEN, (204, "")]
    link = await zoom.create("Budget", NINE)
    assert link == "https://zoom.example/j/8123"
    assert "s3cret" not in json.dumps(account(link))
    undoer = ZoomUndoer(zoom.secrets)
    said = await call_in_thread(undoer.undo, {"account": account(link)})
    assert said == "The Zoom meeting 'Budget' was deleted"
    assert (stub.asked[-1].method, stub.asked[-1].path) == ("DELETE", "/v2/meetings/8123")
    assert stub.asked[-1].headers["Authorization"] == "Bearer t0ken"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((404, '{"code": 3001}'), "no meeting 8123 any more; there is nothing to undo"),
        ((400, '{"message": "no scopes"}'), "did not delete the meeting: it answered 400.*scope to delete"),
    ],
)
async def test_a_meeting_that_cannot_be_deleted_is_told(
    zoom: Zoom, stub: Any, answer: tuple[int, str], message: str
) -> None:
    stub.answers = [TOKEN, MADE, TOKEN, answer]
    kept = account(await zoom.create("Budget", NINE))
    with pytest.raises(ToolCallError, match=message):
        await call_in_thread(ZoomUndoer(zoom.secrets).undo, {"account": kept})


@pytest.mark.anyio
async def test_a_meeting_without_a_number_has_no_undo(zoom: Zoom, stub: Any) -> None:
    stub.answers = [TOKEN, (201, '{"join_url": "https://zoom.example/j/1"}')]
    assert not isinstance(await zoom.create("Budget", NINE), UndoableText)


def test_an_event_and_a_reminder_of_a_mac_are_deleted(mac: Any, berlin: ZoneInfo) -> None:
    mac.calendars["Home"], mac.lists["Errands"] = [], []
    event = Calendars(MacCalendar(mac), berlin).create_event("Dentist", NINE)
    reminder = Reminders(MacReminders(mac, tz=berlin), berlin).create("Water")
    undoer = MacUndoer(mac)
    assert undoer.undo(account(event)) == "Deleted the event 'Dentist'"
    assert undoer.undo(account(reminder)) == "Deleted the reminder 'Water'"
    assert (mac.calendars["Home"], mac.lists["Errands"]) == ([], [])
    with pytest.raises(ToolCallError, match="The event 'Dentist' is not there any more"):
        undoer.undo(account(event))


@pytest.mark.parametrize(
    "changed",
    [
        ("start_ms", "completed"),
        ("location", "notes"),
        ("notes", "due_ms"),
        ("invitees", "priority"),
    ],
)
def test_what_was_changed_on_the_mac_since_stays(
    mac: Any, berlin: ZoneInfo, changed: tuple[str, str]
) -> None:
    mac.calendars["Home"], mac.lists["Errands"] = [], []
    event = Calendars(MacCalendar(mac), berlin).create_event("Dentist", NINE)
    reminder = Reminders(MacReminders(mac, tz=berlin), berlin).create("Water")
    note = MacNotes(mac).create("Trip", "Map")
    mac.calendars["Home"][0][changed[0]] = "another"
    mac.lists["Errands"][0][changed[1]] = "another"
    mac.notes[0]["text"] += "\nTent"
    for made in (event, reminder, note):
        with pytest.raises(ToolCallError, match="has been changed since; undo it by hand"):
            MacUndoer(mac).undo(account(made))
    assert mac.calendars["Home"]
    assert mac.lists["Errands"]
    assert mac.notes


def test_notes_of_a_mac_are_deleted_and_put_back(mac: Any) -> None:
    notes, undoer = MacNotes(mac), MacUndoer(mac)
    made = notes.create("Trip", "Map")
    added = notes.append("Trip", "Tent")
    with pytest.raises(ToolCallError, match="changed since"):
        undoer.undo(account(made))
    assert undoer.undo(account(added)) == "Took back what was put into the note 'Trip'"
    assert notes.open("Trip") == "Map"
    assert undoer.undo(account(made)) == "Deleted the note 'Trip'"
    assert mac.notes == []


def test_a_note_in_another_folder_since_such_as_the_trash_stays_as_it_is(mac: Any) -> None:
    notes, undoer = MacNotes(mac), MacUndoer(mac)
    made = notes.create("Trip", "Map")
    added = notes.append("Trip", "Tent")
    mac.notes[0]["folder"] = "Zuletzt gelöscht"
    for done in (added, made):
        with pytest.raises(ToolCallError, match="The note 'Trip' is not where it was any more"):
            undoer.undo(account(done))
    assert len(mac.notes) == 1


def test_a_note_too_long_to_be_kept_is_not_put_back(mac: Any) -> None:
    notes = MacNotes(mac)
    notes.create("Trip", "x" * 200_000)
    assert not isinstance(notes.append("Trip", "Tent"), UndoableText)


def test_what_was_done_on_a_mac_cannot_be_undone_elsewhere(mac: Any) -> None:
    made = MacNotes(mac).create("Trip", "Map")
    with pytest.raises(ToolCallError, match="can only be undone there"):
        MacUndoer(None).undo(account(made))


def test_a_text_keeps_its_account_when_it_is_copied() -> None:
    text = UndoableText("done", {"kind": "x"})
    for twin in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert (twin, twin.undo) == ("done", {"kind": "x"})


@pytest.mark.anyio
async def test_a_later_process_undoes_what_a_session_made_on_the_server(host: Any, tmp_path: Path) -> None:
    class Desk:
        async def open_model(self, settings: Settings) -> ChatModel:
            plan = '1. create_calendar_event(title="Dentist", start_date="2026-11-24T09:00")\n2. join()'
            return ScriptedModel([plan])

        def open_tools(self, settings: Settings, model: ChatModel) -> Toolbox:
            calendars = CalendarSettings(backend="caldav", url=host.url, user="me")
            chosen = AssistantSettings(calendars=calendars)
            return Toolbox(assistant_tools(settings.home, settings=chosen, secrets=lambda *_: host.password))

    path = tmp_path / "history.sqlite3"
    home = tmp_path / "home"
    home.mkdir()
    with ActionLog(path) as log:
        async with Session(Desk(), Settings(home, is_asking=False), log=log, undo=assistant_undo) as session:
            turn = await session.ask("Dentist on Tuesday at 9")
        assert turn.run is not None
        assert turn.run.ok, turn.run.error
        assert log.action(1).can_be_undone
    assert "Dentist" in host.get("Work")
    done = subprocess.run(  # noqa: ASYNC221
        [sys.executable, "-m", "plait", "history", "undo", "1"],
        env={**os.environ, "PLAIT_HISTORY": str(path), "PLAIT_CALDAV_PASSWORD": host.password},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("The event 'Dentist' on Tue 2026-11-24")
    assert "Dentist" not in host.get("Work")
