from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar

import plait.tools.assistant
from plait.errors import ToolArgumentError, ToolCallError
from plait.tools import Tool, Toolbox
from plait.tools.assistant import Home, Settings, assistant_tools

Put = Callable[[str, str | bytes], Path]

SIGNATURES = {
    "get_phone_number": "(name: str) -> str",
    "get_email_address": "(name: str) -> str",
    "create_calendar_event": (
        '(title: str, start_date: datetime, end_date?: datetime, location: str = "", '
        'invitees: list[str] = [], notes: str = "", calendar: str = "") -> str'
    ),
    "open_and_get_file_path": "(file_name: str) -> str",
    "summarize_pdf": "(pdf_path: str) -> str",
    "compose_new_email": (
        '(recipients: list[str], cc: list[str] = [], subject: str = "", context: str = "", '
        "attachments: list[str] = []) -> str"
    ),
    "reply_to_email": '(cc: list[str] = [], context: str = "", attachments: list[str] = []) -> str',
    "forward_email": (
        '(recipients: list[str], cc: list[str] = [], context: str = "", attachments: list[str] = []) -> str'
    ),
    "maps_open_location": "(location: str) -> str",
    "maps_show_directions": (
        '(start_location: str = "", end_location: str, transport: "d" | "w" | "r" = "d") -> str'
    ),
    "create_note": '(name: str, content: str = "", folder: str = "") -> str',
    "open_note": '(name: str, folder: str = "") -> str',
    "append_note_content": '(name: str, content: str, folder: str = "") -> str',
    "create_reminder": (
        '(name: str, due_date?: datetime, notes: str = "", list_name: str = "", priority: int = 0, '
        "all_day: bool = false) -> str"
    ),
    "send_sms": "(recipients: list[str], message: str) -> str",
    "get_zoom_meeting_link": (
        "(topic: str, start_time: datetime, duration: int = 60, meeting_invitees: list[str] = []) -> str"
    ),
}
SET_UP = Settings.model_validate(
    {
        "sms": {"url": "https://sms.example.org/?to={to}&text={message}"},
        "zoom": {"account_id": "account", "client_id": "client"},
    }
)
NINE = "2026-11-24T09:00:00"
SENDERS = {"compose_new_email", "reply_to_email", "forward_email", "send_sms", "get_zoom_meeting_link"}
READERS = {
    "maps_open_location",
    "maps_show_directions",
    "get_phone_number",
    "get_email_address",
    "open_and_get_file_path",
    "summarize_pdf",
    "open_note",
}


async def shorten(text: str) -> str:
    return f"Summary of: {text}"


@pytest.fixture
def tools(home: Home, berlin: ZoneInfo, noon: Callable[[], datetime]) -> dict[str, Tool]:
    made = assistant_tools(
        home,
        summarize=shorten,
        tz=berlin,
        now=noon,
        settings=SET_UP,
    )
    assert {tool.name for tool in Toolbox(made)} == SIGNATURES.keys()
    return {tool.name: tool for tool in made}


def test_names_arguments_order_and_defaults_are_tiny_agents(tools: dict[str, Tool]) -> None:
    assert list(tools) == list(SIGNATURES)
    assert {name: tool.signature.removeprefix(name) for name, tool in tools.items()} == SIGNATURES


def test_every_tool_and_every_argument_is_described_in_one_short_line(tools: dict[str, Tool]) -> None:
    for tool in tools.values():
        assert "\n" not in tool.description
        assert len(tool.description) < 80
        for described in tool.arguments.fields:
            assert described.description
            assert len(described.description) < 72
        assert not tool.degraded


def test_annotations_say_what_a_call_does(tools: dict[str, Tool]) -> None:
    assert {n for n, t in tools.items() if t.annotations.read_only} == READERS
    assert {n for n, t in tools.items() if t.annotations.destructive is False} == SIGNATURES.keys() - READERS
    assert {n for n, t in tools.items() if t.annotations.open_world} == {
        "create_calendar_event",
        "summarize_pdf",
        *SENDERS,
    }


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("summarize_pdf", {"pdf_path": "a.pdf"}, "Summaries need a model"),
        ("send_sms", {"recipients": ["555-0101"], "message": "Hi"}, r"add \[sms\] .* to assistant.toml"),
        ("get_zoom_meeting_link", {"topic": "x", "start_time": NINE}, r"add \[zoom\] .* to assistant.toml"),
    ],
)
async def test_a_tool_that_is_not_set_up_is_offered_and_says_so_before_anyone_approves_it(
    home: Home, tools: dict[str, Tool], name: str, arguments: dict[str, Any], said: str
) -> None:
    bare = {tool.name: tool for tool in assistant_tools(home.path)}
    assert not home.path.exists()
    assert {n: t.to_openai() for n, t in bare.items()} == {n: t.to_openai() for n, t in tools.items()}
    assert bare[name].annotations.read_only
    with pytest.raises(ToolCallError, match=said):
        await bare[name].ainvoke(arguments)


@pytest.mark.anyio
async def test_the_tools_work_on_the_files_of_the_home(
    tools: dict[str, Tool], home: Home, put: Put, make_pdf: Callable[[Sequence[str]], bytes]
) -> None:
    async def call(tool: str, /, **arguments: Any) -> Any:
        return await tools[tool].ainvoke(arguments)

    put(
        "contacts/a.vcf",
        "BEGIN:VCARD\nVERSION:4.0\nFN:Sid Hsu\nTEL:555-0101\nEMAIL:sid@example.com\nEND:VCARD\n",
    )
    put("documents/report.pdf", make_pdf(["All is well."]))
    assert await call("get_phone_number", name="Sid") == "555-0101"
    email = await call("get_email_address", name="Sid")
    path = await call("open_and_get_file_path", file_name="report")
    summary = await call("summarize_pdf", pdf_path=path)
    assert summary == "Summary of: All is well."
    await call("create_note", name="Report", content=summary, folder="Work")
    await call("append_note_content", name="Report", content="- sent to Sid")
    assert await call("open_note", name="report", folder="work") == f"{summary}\n\n- sent to Sid\n"
    event = await call(
        "create_calendar_event", title="Review", start_date="2026-11-24T09:00", invitees=[email]
    )
    assert event.startswith("Created the event 'Review' on Tue 2026-11-24 09:00")
    reminder = await call("create_reminder", name="Pay rent", due_date="2026-12-01T08:00:00", all_day=True)
    assert reminder == "Created the reminder 'Pay rent' due Tue 2026-12-01 in list Reminders"
    draft = await call(
        "compose_new_email", recipients=email, subject="Report", context=summary, attachments=path
    )
    assert draft == (
        "Saved the email 'Report' to sid@example.com with 1 attachment as a draft in Drafts of mail; "
        "it has not been sent"
    )
    made: Any = Calendar.from_ical((home.calendars / "Calendar.ics").read_bytes()).walk("VEVENT")[0]
    assert made["ATTENDEE"] == "mailto:sid@example.com"
    assert made["DTSTART"].dt.utcoffset() == timedelta(hours=1)


@pytest.mark.anyio
async def test_a_failure_is_the_tools_own_word(tools: dict[str, Tool]) -> None:
    with pytest.raises(ToolCallError, match=r"^No contact matches 'Sid': there are no contacts yet$"):
        await tools["get_phone_number"].ainvoke({"name": "Sid"})
    with pytest.raises(ToolArgumentError):
        await tools["create_reminder"].ainvoke({"name": "x", "due_date": "someday"})


def test_public_names_are_sorted_and_exist() -> None:
    names = plait.tools.assistant.__all__
    assert names == sorted(names)
    assert all(hasattr(plait.tools.assistant, name) for name in names)


@pytest.mark.anyio
async def test_a_summary_of_a_bare_file_name_looks_for_the_file(
    tools: dict[str, Tool], put: Any, make_pdf: Any
) -> None:
    put("documents/report.pdf", make_pdf(["All is well."]))
    assert await tools["summarize_pdf"].ainvoke({"pdf_path": "report.pdf"}) == "Summary of: All is well."
    with pytest.raises(ToolCallError, match="annals"):
        await tools["summarize_pdf"].ainvoke({"pdf_path": "annals.pdf"})


@pytest.mark.anyio
async def test_dates_in_words_are_understood_from_now_in_the_users_zone(tools: dict[str, Tool]) -> None:
    # Now is Saturday 21 November 2026, 13:00 in Berlin.
    event = await tools["create_calendar_event"].ainvoke(
        {"title": "A", "start_date": "next Tuesday at half past two", "end_date": "quarter to four"}
    )
    assert event.startswith("Created the event 'A' on Tue 2026-11-24 14:30\N{EN DASH}15:45 ")
    event = await tools["create_calendar_event"].ainvoke(
        {"title": "B", "start_date": "2026-11-24T19:00:00", "end_date": "9"}
    )
    assert event.startswith("Created the event 'B' on Tue 2026-11-24 19:00\N{EN DASH}21:00 ")
    reminder = await tools["create_reminder"].ainvoke({"name": "Tea", "due_date": "in 20 minutes"})
    assert reminder == "Created the reminder 'Tea' due Sat 2026-11-21 13:20 in list Reminders"
    meeting = tools["get_zoom_meeting_link"].validate({"topic": "C", "start_time": "tomorrow at noon"})
    assert meeting["start_time"] == datetime(2026, 11, 22, 12)


@pytest.mark.parametrize(
    "written", ["someday", "next week", "tomorrow at 25:00", "2026-02-30", "11/31/2026", "1795250000"]
)
def test_a_date_that_is_none_is_refused_before_anything_happens(tools: dict[str, Tool], written: str) -> None:
    for tool, argument in (("create_calendar_event", "start_date"), ("create_reminder", "due_date")):
        given = {"title" if tool == "create_calendar_event" else "name": "A", argument: written}
        with pytest.raises(ToolArgumentError, match=f"{argument}: .*, not '{written}'"):
            tools[tool].validate(given)
