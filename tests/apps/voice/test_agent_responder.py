"""An agent as responder: what is said, what is asked, what is called."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime

import pytest

from plait import Agent, ScriptedModel, tool
from plait.apps.voice._agent_responder import AgentResponder, ask_for_sends
from plait.apps.voice._responder import Question, Sentence
from plait.errors import DeadlineError

pytestmark = pytest.mark.anyio


class World:
    """Tools that keep what was done."""

    def __init__(self) -> None:
        self.done: list[str] = []

        @tool(read_only=True, open_world=False)
        def phone(name: str) -> str:
            """The phone number of a person."""
            return "+1 555 0100"

        @tool(read_only=False, open_world=True)
        def send_sms(recipients: list[str], message: str, at: datetime | None = None) -> str:
            """Send a message."""
            self.done.append(f"sms {recipients} {message}")
            return "Sent."

        @tool(read_only=False, open_world=False)
        def create_note(name: str) -> str:
            """Create a note."""
            self.done.append(f"note {name}")
            return "Created."

        self.tools = [phone, send_sms, create_note]


async def answer(
    plan: str, decide: Callable[[str], bool], policy: object = "writes"
) -> tuple[list[str], list[str], list[str]]:
    """What was said, what was asked, what was done."""
    world = World()
    agent = Agent(ScriptedModel([plan, "All is done. Bye."]), world.tools, policy=policy)  # type: ignore[arg-type]
    said, asked = [], []
    async with aclosing(AgentResponder(agent).respond("a request")) as replies:
        async for reply in replies:
            if isinstance(reply, Sentence):
                said.append(reply.text)
            else:
                asked.append(reply.text)
                reply.answered.set_result(decide(reply.text))
    return said, asked, world.done


SEND = '1. phone(name="Sid")\n2. send_sms(recipients=[$1], message="I am late")\n3. join()'
THREE = (
    '1. create_note(name="A")\n2. create_note(name="B")\n3. send_sms(recipients=["Ana"], message="One")\n'
    '4. send_sms(recipients=["Sid"], message="Two")\n5. join()'
)


async def test_what_is_sent_is_read_back_with_its_real_arguments() -> None:
    said, asked, done = await answer(SEND, lambda _: True)
    assert asked == ["I would send sms: recipients, + 1 5 5 5 0 1 0 0; message, I am late. Shall I?"]
    assert done == ["sms ['+1 555 0100'] I am late"]
    assert said


async def test_a_no_sends_nothing() -> None:
    _, asked, done = await answer(SEND, lambda _: False)
    assert len(asked) == 1
    assert done == []


async def test_each_send_needs_a_yes_of_its_own_and_writes_are_asked_about_together() -> None:
    _, asked, done = await answer(THREE, lambda question: "One" not in question)
    assert asked == [
        "I would create note: name, A. Then I would create note: name, B. Shall I?",
        "I would send sms: recipients, Ana; message, One. Shall I?",
        "I would send sms: recipients, Sid; message, Two. Shall I?",
    ]
    assert sorted(done) == ["note A", "note B", "sms ['Sid'] Two"]


async def test_with_the_policy_for_sends_writes_are_not_asked_about() -> None:
    _, asked, done = await answer(THREE, lambda _: False, ask_for_sends)
    assert len(asked) == 2
    assert sorted(done) == ["note A", "note B"]


async def test_a_time_is_read_as_a_person_would() -> None:
    plan = '1. send_sms(recipients=["Ana"], message="Hi", at="2026-11-24T14:30")\n2. join()'
    _, asked, _ = await answer(plan, lambda _: True)
    assert "at, Tuesday 24 November 2026 at 14:30." in asked[0]


async def test_leaving_early_cancels_the_run() -> None:
    world = World()
    agent = Agent(ScriptedModel([SEND]), world.tools, policy="writes")
    async with aclosing(AgentResponder(agent).respond("send it")) as replies:
        assert isinstance(await anext(replies), Question)
    assert world.done == []


async def test_a_run_that_fails_raises_its_error() -> None:
    async def forever(_: int) -> None:
        await asyncio.Event().wait()

    agent = Agent(ScriptedModel([SEND], before_chunk=forever), World().tools, deadline_s=0.01)
    with pytest.raises(DeadlineError):
        async for _ in AgentResponder(agent).respond("anything"):
            pass
