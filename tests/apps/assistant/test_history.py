"""The history of what was done, and undoing it."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from plait.apps.assistant import (
    ActionLog,
    HomeRecorder,
    HomeUndoer,
    Session,
    Settings,
    UndoRegistry,
    history_path,
    kind_of,
)
from plait.apps.cli import app
from plait.errors import ConfigurationError, ToolCallError
from plait.models import ChatModel, ScriptedModel
from plait.orchestrator import ApprovalRequested
from plait.planners import Ref
from plait.tools import Tool, ToolAnnotations, Toolbox, tool
from plait.tools.assistant import Home, assistant_tools

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
UNDO = UndoRegistry(undoers=[HomeUndoer()])


@pytest.fixture
def log(tmp_path: Path) -> Any:
    with ActionLog(tmp_path / "state" / "history.sqlite3") as log:
        yield log


class AtHome:
    """A session's backend over a real home folder."""

    def __init__(self, *plans: str) -> None:
        self._plans = plans

    async def open_model(self, settings: Settings) -> ChatModel:
        return ScriptedModel(self._plans)

    def open_tools(self, settings: Settings, model: ChatModel) -> Toolbox:
        return Toolbox(assistant_tools(settings.home, tz=UTC, now=lambda: NOW))


async def do(home: Path, log: ActionLog, *calls: str) -> None:
    """Make these calls in one turn."""
    plan = "\n".join([*(f"{i}. {call}" for i, call in enumerate(calls, 1)), f"{len(calls) + 1}. join()"])
    settings = Settings(home, "scripted", is_asking=False)
    recording = lambda s: UndoRegistry([HomeRecorder(Home(s.home))])  # noqa: E731
    async with Session(AtHome(plan), settings, log=log, undo=recording) as session:
        turn = await session.ask("Do it")
    assert turn.run is not None
    assert turn.run.ok, turn.run.to_json()


NOTE = 'create_note(name="Tea", content="Green", folder="Shop")'
MORE = 'append_note_content(name="Tea", content="Black")'
EVENT = 'create_calendar_event(title="Talk", start_date="2026-12-01 15:00", calendar="Work")'
OTHER = 'create_calendar_event(title="Walk", start_date="2026-12-02 15:00", calendar="Work")'
TODO = 'create_reminder(name="Water", due_date="2026-12-01 09:00")'


def files(home: Path) -> Mapping[str, bytes]:
    found = (path for path in home.rglob("*") if path.is_file() and ".plait" not in path.parts)
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in found}


@pytest.mark.anyio
@pytest.mark.parametrize("call", [NOTE, EVENT, TODO])
@pytest.mark.parametrize("is_sample", [True, False])
async def test_what_was_created_is_gone_after_undo_and_nothing_else(
    call: str, is_sample: bool, tmp_path: Path, log: ActionLog
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    if is_sample:
        await do(home, log, MORE.replace("append_note_content", "create_note"), OTHER, TODO.replace("W", "X"))
        call = call.replace("Tea", "Coffee")
    before = files(home)
    await do(home, log, call)
    (action, *_) = log.actions()
    assert action.status == "ok"
    assert action.can_be_undone
    assert files(home) != before
    log.undo(action.id, UNDO)
    assert files(home) == before
    with pytest.raises(ConfigurationError, match="undone already"):
        log.undo(action.id, UNDO)


@pytest.mark.anyio
async def test_an_appended_text_is_taken_back_byte_for_byte(tmp_path: Path, log: ActionLog) -> None:
    note = tmp_path / "notes" / "Tea.md"
    note.parent.mkdir()
    note.write_bytes("Gr\u00fcn\r\n\r\n\r\n".encode())
    before = files(tmp_path / "notes")
    await do(tmp_path, log, MORE.replace("Black", "Gr\u00f6\u00dfe"))
    log.undo(1, UNDO)
    assert files(tmp_path / "notes") == before


@pytest.mark.anyio
async def test_what_was_changed_since_is_left_alone(tmp_path: Path, log: ActionLog) -> None:
    await do(tmp_path, log, NOTE)
    await do(tmp_path, log, MORE)
    changed = files(tmp_path / "notes")
    with pytest.raises(ToolCallError, match="changed since"):
        log.undo(1, UNDO)
    assert files(tmp_path / "notes") == changed
    assert log.action(1).can_be_undone
    log.undo(2, UNDO)
    log.undo(1, UNDO)
    assert files(tmp_path / "notes") == {}


@pytest.mark.anyio
async def test_an_event_leaves_a_calendar_that_has_changed_since(tmp_path: Path, log: ActionLog) -> None:
    await do(tmp_path, log, EVENT)
    await do(tmp_path, log, OTHER)
    log.undo(1, UNDO)
    text = (tmp_path / "calendars" / "Work.ics").read_text()
    assert "Walk" in text
    assert "Talk" not in text
    assert text.count("BEGIN:VEVENT") == text.count("END:VEVENT") == 1
    file = tmp_path / "calendars" / "Work.ics"
    file.write_text(text.replace("SUMMARY:Walk", "SUMMARY:Long walk"))
    with pytest.raises(ToolCallError, match="changed since"):
        log.undo(2, UNDO)
    file.unlink()
    with pytest.raises(ToolCallError, match="not there any more"):
        log.undo(2, UNDO)


@pytest.mark.anyio
async def test_calls_at_the_same_time_are_undone_each_for_itself(tmp_path: Path, log: ActionLog) -> None:
    await do(tmp_path, log, EVENT, OTHER, TODO, NOTE)
    by_text = {action.text.split("'")[1]: action.id for action in log.actions()}
    log.undo(by_text["Talk"], UNDO)
    log.undo(by_text["Tea"], UNDO)
    assert sorted(f for f in files(tmp_path) if "state" not in f) == [
        "calendars/Work.ics",
        "reminders/Reminders.ics",
    ]
    assert "Talk" not in (tmp_path / "calendars" / "Work.ics").read_text()


@pytest.mark.anyio
async def test_every_call_is_recorded_with_what_came_of_it(
    open_session: Callable[..., Session], desk: Any, log: ActionLog, tmp_path: Path
) -> None:
    plan = '1. find_email(name="Bo")\n2. save(text="a")\n3. send(to=["x@y"], text="b")\n4. join()'
    desk.replies["scripted"] = [plan, "4. join()"]
    settings = Settings(tmp_path, "scripted", is_asking=False)
    async with Session(desk, settings, log=log) as session:
        await session.ask("Do it all")
    found = {action.tool: action for action in log.actions()}
    assert {name: (a.kind, a.status) for name, a in found.items()} == {
        "find_email": ("reads", "failed"),
        "save": ("writes", "ok"),
        "send": ("sends", "ok"),
    }
    assert found["send"].arguments == {"to": ["x@y"], "text": "b"}
    assert found["send"].request == "Do it all"
    assert found["send"].text == "Sent to x@y"
    assert "nearest is Sid" in found["find_email"].text
    assert [a.tool for a in log.actions(kinds=frozenset({"sends"}))] == ["send"]
    with pytest.raises(ToolCallError, match="cannot be taken back"):
        log.undo(found["send"].id, UNDO)


@pytest.mark.anyio
async def test_a_result_may_say_itself_how_to_undo_it(log: ActionLog, tmp_path: Path) -> None:
    class Status(str):
        undo = {"kind": "shelf", "book": 7}  # noqa: RUF012

    class Shelf:
        kind = "shelf"

        def undo(self, account: Mapping[str, Any]) -> str:
            return f"took book {account['book']} down"

    @tool(read_only=False)
    async def put_up() -> str:
        """Put a book up."""
        return Status("It stands")

    class Backend(AtHome):
        def open_tools(self, settings: Settings, model: ChatModel) -> Toolbox:
            return Toolbox([put_up])

    settings = Settings(tmp_path, "scripted", is_asking=False)
    async with Session(Backend("1. put_up()\n2. join()"), settings, log=log) as session:
        await session.ask("Put it up")
    with pytest.raises(ToolCallError, match="nothing here can undo 'shelf'"):
        log.undo(1, UNDO)
    assert log.undo(1, UndoRegistry(undoers=[Shelf()])) == "took book 7 down"


@pytest.mark.anyio
async def test_a_call_that_cannot_be_recorded_is_not_made(desk: Any, log: ActionLog, tmp_path: Path) -> None:
    desk.replies["scripted"] = ['1. save(text="a")\n2. join()', "2. join()"]
    settings = Settings(tmp_path, "scripted", is_asking=False)
    async with Session(desk, settings, log=log) as session:
        with sqlite3.connect(log.path) as db:
            db.execute("DROP TABLE actions")
        turn = await session.ask("Save")
    assert desk.called("save") == []
    assert turn.run is not None
    assert "could not be written" in turn.run.answer


def test_two_processes_share_a_history(log: ActionLog) -> None:
    with ActionLog(log.path) as other:
        number = other.begin("r", assistant_tools("nowhere")[0], {})
        assert log.action(number).status == "running"


def test_an_older_history_is_brought_up_to_date_and_does_not_tell_what_became_of_requests(
    tmp_path: Path,
) -> None:
    path = tmp_path / "history.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TABLE actions (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, "
            "request TEXT NOT NULL, tool TEXT NOT NULL, kind TEXT NOT NULL, arguments TEXT NOT NULL, "
            "status TEXT NOT NULL, text TEXT NOT NULL, undo TEXT, undone_at TEXT)"
        )
        values = ("2026-11-21T10:00:00.000+00:00", "tea", "create_note", "writes", "{}", "ok", "")
        db.execute(f"INSERT INTO actions VALUES (NULL, {', '.join('?' * 7)}, NULL, NULL)", values)
        db.execute("PRAGMA user_version = 1")
    db.close()
    for _ in range(2):
        with ActionLog(path) as log:
            (action,) = log.actions()
            assert (action.request, action.turn, action.request_status) == ("tea", None, None)
    with ActionLog(path) as log:
        log.conclude([1], "done")
        assert log.action(1).request_status == "done"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("approved", "became"), [(True, "done"), (False, "unfinished"), (None, "unfinished")]
)
async def test_what_became_of_a_request_is_recorded(
    approved: bool | None, became: str, tmp_path: Path, log: ActionLog
) -> None:
    """Approved, declined, or cancelled while it waits."""
    plan = '1. open_note(name="Tea")\n2. create_note(name="Milk", content="$1")\n3. join()'
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "Tea.md").write_text("Green")
    async with Session(AtHome(plan), Settings(tmp_path, "scripted"), log=log) as session:

        async def answer() -> None:
            async for entry in session.follow():
                if isinstance(entry.event, ApprovalRequested):
                    if approved is None:
                        session.cancel()
                    else:
                        session.decide_all(1, approved=approved)
                    return

        async with asyncio.TaskGroup() as group:
            group.create_task(answer())
            group.create_task(session.ask("Copy the note on tea"))
    made = log.actions()
    assert len(made) == (2 if approved else 1)
    assert {(action.turn, action.request_status) for action in made} == {(1, became)}


@pytest.mark.parametrize("make", ["damaged", "folder", "newer"])
def test_a_history_that_cannot_be_used_is_told(make: str, tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    if make == "damaged":
        path.write_bytes(b"no database" * 100)
    elif make == "folder":
        path.mkdir()
    else:
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    with pytest.raises(ConfigurationError, match="PLAIT_HISTORY"):
        ActionLog(path)


def test_the_file_is_the_users_alone_and_named_by_a_variable(
    log: ActionLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert log.path.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("PLAIT_HISTORY", str(tmp_path / "h"))
    assert history_path() == tmp_path / "h"
    monkeypatch.setenv("PLAIT_HISTORY", "off")
    assert history_path() is None
    monkeypatch.delenv("PLAIT_HISTORY")
    assert str(history_path()).endswith("history.sqlite3")


@pytest.mark.anyio
async def test_the_command_lists_shows_and_undoes(
    tmp_path: Path, log: ActionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIT_HISTORY", str(log.path))
    empty = CliRunner().invoke(app, ["history", "list"])
    assert empty.exit_code == 0
    await do(tmp_path, log, NOTE, TODO)
    listed = CliRunner().invoke(app, ["history", "list", "--limit", "1"])
    assert listed.exit_code == 0
    assert len(listed.stdout.splitlines()) == 1
    document = json.loads(CliRunner().invoke(app, ["history", "list", "--json", "--all"]).stdout)
    assert {entry["tool"] for entry in document} == {"create_note", "create_reminder"}
    number = next(entry["id"] for entry in document if entry["tool"] == "create_note")
    shown = CliRunner().invoke(app, ["history", "show", str(number)])
    assert "content = Green" in shown.stdout
    assert "Do it" in shown.stdout
    undone = CliRunner().invoke(app, ["history", "undo", str(number)])
    assert undone.exit_code == 0
    assert undone.stdout == "Deleted notes/Shop/Tea.md\n"
    assert not (tmp_path / "notes" / "Shop" / "Tea.md").exists()
    again = CliRunner().invoke(app, ["history", "undo", str(number), "--json"])
    assert again.exit_code == 2
    assert json.loads(again.stdout)["error"]["type"] == "ConfigurationError"
    assert CliRunner().invoke(app, ["history", "show", "99"]).exit_code == 2
    monkeypatch.setenv("PLAIT_HISTORY", "off")
    assert CliRunner().invoke(app, ["history", "list"]).exit_code == 2


@pytest.mark.parametrize(
    ("name", "people"), [("create_calendar_event", "invitees"), ("get_zoom_meeting_link", "meeting_invitees")]
)
def test_a_meeting_to_which_nobody_is_invited_is_sent_to_nobody(name: str, people: str) -> None:
    def function(**_: object) -> str:
        return ""

    field = {"type": "array", "items": {"type": "string"}}
    definition = {"name": name, "parameters": {"type": "object", "properties": {people: field}}}
    tool = Tool.from_schema(definition, function, annotations=ToolAnnotations(False, open_world=True))
    assert kind_of(tool) == kind_of(tool, {people: [Ref(1)]}) == "sends"
    assert kind_of(tool, {}) == kind_of(tool, {people: []}) == "writes"
    other = Tool.from_schema({"name": name}, function, annotations=ToolAnnotations(False, open_world=True))
    assert kind_of(other, {}) == "sends"
