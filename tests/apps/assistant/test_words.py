"""Calls in words."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from plait.apps.assistant import describe_call
from plait.planners import Ref, Template
from plait.tools import Tool
from plait.tools.assistant import assistant_tools

HOME = {tool.name: tool for tool in assistant_tools(Path("nowhere"))}


def made(name: str, **arguments: str) -> Tool:
    """A tool of the assistant's that needs more than the home folder."""
    properties = {argument: {"type": type_} for argument, type_ in arguments.items()}
    return Tool.from_schema({"name": name, "parameters": {"type": "object", "properties": properties}})


EMAIL = made(
    "compose_new_email",
    recipients="array",
    cc="array",
    subject="string",
    context="string",
    attachments="array",
)


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        (
            EMAIL,
            {"recipients": ["a@x", "b@x"], "subject": "Hi", "context": Ref(3), "attachments": ["/r.pdf"]},
            "Email a@x, b@x about “Hi”, saying “the result of 3”, attach /r.pdf",
        ),
        (EMAIL, {"recipients": [Ref(1), "b@x"]}, "Email the result of 1, b@x"),
        (
            EMAIL,
            {"recipients": ["a@x"], "context": Template(("Join ", Ref(2, ("url",)), " or ${1}"))},
            "Email a@x, saying “Join [the result of 2] or ${1}”",
        ),
        (
            HOME["create_calendar_event"],
            {"title": "Talk", "start_date": datetime(2026, 3, 4, 15), "invitees": ["a@x"], "location": ""},
            "Create the event “Talk” from 2026-03-04 15:00, invite a@x",
        ),
        (
            HOME["create_reminder"],
            {"name": "Water", "due_date": "2026-03-04 00:00", "all_day": True, "priority": 0},
            "Remind you of “Water”, due 2026-03-04",
        ),
        (
            HOME["create_note"],
            {"name": "A", "folder": "Work", "content": "b"},
            "Create the note “A”, in the folder Work, saying “b”",
        ),
        (HOME["append_note_content"], {"name": "A", "content": "b"}, "Add to the note “A”, saying “b”"),
        (
            made("send_sms", recipients="array", message="string"),
            {"recipients": ["+49 1"], "message": "Yes"},
            "Send a text message to +49 1, saying “Yes”",
        ),
        (made("order", item="string", n="integer"), {"item": "tea", "n": 2}, "order: item tea, n 2"),
        (made("ping"), {}, "ping"),
        (made("send_sms", to="string"), {"to": "+49 1"}, "send_sms: to +49 1"),
    ],
)
def test_a_call_is_told_in_words_with_its_real_arguments(
    tool: Tool, arguments: dict[str, Any], words: str
) -> None:
    assert describe_call(tool, arguments) == words


@pytest.mark.parametrize(
    "tool", [t for t in HOME.values() if not t.annotations.read_only], ids=lambda t: t.name
)
def test_every_argument_of_a_call_that_writes_is_told(tool: Tool) -> None:
    arguments = {f.name: f"told {f.name}" for f in tool.arguments.fields}
    words = describe_call(tool, arguments)
    for name in arguments.keys() - {"all_day"}:
        assert f"told {name}" in words


@pytest.mark.parametrize(
    ("name", "facts", "words"),
    [
        (
            "reply_to_email",
            {"to": "Maya <m@x>", "subject": "Re: Tea"},
            "Reply to Maya <m@x> with the subject “Re: Tea”, saying “Yes”",
        ),
        ("reply_to_email", {}, "Reply to the email, saying “Yes”"),
        (
            "forward_email",
            {"from": "Maya <m@x>", "subject": "Fwd: Tea", "with": "a.pdf"},
            "Forward the email of Maya <m@x> with the subject “Fwd: Tea” to s@x, with a.pdf, saying “Yes”",
        ),
    ],
)
def test_what_the_arguments_do_not_tell_is_told_too(name: str, facts: dict[str, str], words: str) -> None:
    arguments = {"context": "Yes"} | ({"recipients": ["s@x"]} if name == "forward_email" else {})
    assert describe_call(HOME[name], arguments, facts) == words


def test_facts_about_other_tools_are_listed() -> None:
    assert (
        describe_call(made("order", item="string"), {"item": "tea"}, {"from": "Ana"})
        == "order: from Ana, item tea"
    )
