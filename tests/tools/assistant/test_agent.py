"""The tools in an agent: what is sent waits for its approval, and what cannot be done asks for none."""

from __future__ import annotations

from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import pytest

from plait import Agent, ScriptedModel, Toolbox
from plait.orchestrator import ApprovalRequest
from plait.tools.assistant import Home, Settings, assistant_tools

pytestmark = pytest.mark.anyio
Put = Callable[[str, str | bytes], Path]
SID = "BEGIN:VCARD\nVERSION:4.0\nFN:Sid Hsu\nTEL:+1-503-555-0101\nEMAIL:sid@example.com\nEND:VCARD\n"
TWO = SID + SID.replace("Hsu", "Rao").replace("sid@", "rao@")


class Approvals:
    """Answers every request alike and keeps what was asked."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def __call__(self, request: ApprovalRequest) -> bool | Set[int]:
        self.asked += [call.tool.name for call in request.calls]
        return self.answer


def agent(plan: str, home: Home, approve: Approvals, **options: Any) -> Agent:
    toolbox = Toolbox(assistant_tools(home, **options))
    return Agent(ScriptedModel([plan, "done"]), toolbox, policy="writes", approve=approve, max_replans=0)


@pytest.fixture
def sending(home: Home, put: Put, mail_host: Any) -> tuple[Any, dict[str, Any]]:
    host = mail_host("none")
    put("contacts/a.vcf", SID)
    server = {"host": "127.0.0.1", "security": "none"}
    mail = {
        "address": "me@example.org",
        "send": True,
        "imap": {**server, "port": host.imap.port},
        "smtp": {**server, "port": host.smtp.port},
    }
    settings = Settings.model_validate({"mail": mail})
    return host, {"settings": settings, "secrets": lambda service, user: host.passwords[service]}


PLAN = (
    '1. get_email_address(name="Sid")\n'
    '2. compose_new_email(recipients=[$1], subject="Hi", context="On my way")\n3. join()'
)


@pytest.mark.parametrize("answer", [True, False])
async def test_an_email_goes_out_if_and_only_if_it_was_approved(
    home: Home, sending: tuple[Any, dict[str, Any]], answer: bool
) -> None:
    host, options = sending
    approvals = Approvals(answer)
    await agent(PLAN, home, approvals, **options).run("Tell Sid that I am on my way")
    assert approvals.asked == ["compose_new_email"]
    assert [envelope.rcpt_tos for envelope in host.post_office.taken] == (
        [["sid@example.com"]] if answer else []
    )
    assert len(host.folder("Sent")) == answer


async def test_what_is_not_set_up_is_told_and_nothing_is_asked(home: Home, put: Put) -> None:
    put("contacts/a.vcf", SID)
    plan = '1. get_phone_number(name="Sid")\n2. send_sms(recipients=[$1], message="Hi")\n3. join()'
    approvals = Approvals(True)
    run = await agent(plan, home, approvals).run("Text Sid hi")
    assert approvals.asked == []
    assert "add [sms] with the URL of a gateway to assistant.toml" in str(run.tasks[-1].error)


async def test_a_name_of_two_people_asks_which_and_nothing_is_sent(
    home: Home, put: Put, sending: tuple[Any, dict[str, Any]]
) -> None:
    host, options = sending
    put("contacts/a.vcf", TWO)
    approvals = Approvals(True)
    run = await agent(PLAN, home, approvals, **options).run("Tell Sid that I am on my way")
    assert "Several contacts match 'Sid': Sid Hsu, Sid Rao; say which" in str(run.tasks[0].error)
    assert (approvals.asked, host.post_office.taken) == ([], [])
