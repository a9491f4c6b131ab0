"""What each face shows of a call whose text was written for it and whose recipient was looked up."""

from dataclasses import replace
from pathlib import Path

import pytest

from plait.apps._approval import show_request
from plait.apps._output import Output
from plait.apps.assistant._approving import show_later, show_question
from plait.apps.voice._agent_responder import describe
from plait.orchestrator import ApprovalRequest, PendingCall
from plait.planners import Plan, Ref, Task, Template
from plait.tools.assistant import assistant_tools

REPLY = next(tool for tool in assistant_tools(Path("nowhere")) if tool.name == "reply_to_email")
CALL = PendingCall(
    Task(1, "reply_to_email", {"context": "tell her yes"}),
    REPLY,
    {"context": "Dear Maya, yes."},
    True,
    frozenset({"context"}),
    {"to": "m@example.org (Maya)", "subject": "Re: Tea"},
    {"context": "tell her yes"},
    frozenset({"to"}),
)


def test_the_chat_shows_to_whom_a_reply_goes_and_from_what_its_text_was_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_question(Output(as_json=False), {1: CALL}, {})
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert "to: m@example.org (Maya)" in lines
    assert lines[lines.index("to: m@example.org (Maya)") + 1] == "written by others"
    assert lines.count("written by others") == 1
    assert "subject: Re: Tea" in lines
    assert "context = Dear Maya, yes." in lines
    assert "written for you from: tell her yes" in lines
    assert "contains text that others wrote" in lines
    show_question(Output(as_json=False), {1: CALL}, {1: {"context": "Yes!"}})
    assert "written for you" not in capsys.readouterr().err


def test_the_chat_says_what_is_filled_in_and_what_it_will_ask_later(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = Template(("Dear Maya, ", Ref(2), r" is no ${1}."))
    call = replace(CALL, task=replace(CALL.task, id=3), arguments={"context": text}, known=frozenset({1, 2}))
    show_question(Output(as_json=False), {3: call}, {})
    show_later(Output(as_json=False), [call])
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    at = lines.index(r"context = Dear Maya, ${2} is no \${1}.")
    assert lines[at + 1] == "the result of 2 is filled in when it is there"
    assert lines[-1].startswith("Later you are asked about 3, written from results then: Reply to the email")


def test_a_run_at_the_terminal_shows_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    later = replace(CALL, task=replace(CALL.task, id=2))
    show_request(Output(as_json=False), ApprovalRequest(Plan((CALL.task,)), (CALL,), (later,)))
    shown = " ".join(capsys.readouterr().err.split())
    assert "Later you are asked about 2. reply_to_email, written from results then." in shown
    assert (
        'to: m@example.org (Maya) (written by others) subject: Re: Tea context = "Dear Maya, yes."' in shown
    )
    assert '(written for you from "tell her yes")' in shown


def test_the_voice_reads_back_to_whom_a_reply_goes() -> None:
    assert describe([replace(CALL, untrusted=False)]) == (
        "I would reply to email: to, which others wrote, m@example.org (Maya); subject, Re: Tea; "
        "context, Dear Maya, yes.. Shall I?"
    )
