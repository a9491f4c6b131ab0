"""An agent as responder: its answer in sentences, its approvals as questions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Set
from datetime import date, datetime
from typing import Any

from plait.apps.voice._responder import Question, Reply, Sentence
from plait.apps.voice._sentences import SentenceSplitter
from plait.orchestrator import Agent, AnswerTextWritten, ApprovalRequest, Event, PendingCall
from plait.planners import Ref, Template
from plait.tools import Tool, to_jsonable

_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?")
_UNSPOKEN = str.maketrans("", "", '<>"')  # around addresses
_NUMBER = re.compile(r"\+?[\d\s().-]{6,}")


class AgentResponder:
    """Carries out requests with an agent, one at a time.

    Each call that sends something is read back by itself, with all its arguments, and needs a yes of its own.
    The other calls of a plan that need an approval are asked about together.

    Args:
        agent: its ``approve`` is set here; with the policy :func:`ask_for_sends` or a stricter one, nothing
            is sent without having been read back.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def respond(self, request: str) -> AsyncGenerator[Reply]:
        """The answer's sentences as they are written, and a question for what needs an approval."""
        replies: asyncio.Queue[Reply | None] = asyncio.Queue()
        splitter = SentenceSplitter()
        is_streamed = False

        def on_event(event: Event) -> None:
            nonlocal is_streamed
            if isinstance(event, AnswerTextWritten):
                is_streamed = True
                for sentence in splitter.push(event.text):
                    replies.put_nowait(Sentence(sentence))

        async def approve(asked: ApprovalRequest) -> Set[int]:
            return await _ask(asked, replies)

        self._agent.approve = approve
        running = asyncio.create_task(self._agent.run(request, on_event=on_event))
        running.add_done_callback(lambda _: replies.put_nowait(None))
        try:
            while (reply := await replies.get()) is not None:
                yield reply
            run = await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        for sentence in [*([] if is_streamed else splitter.push(run.answer)), *splitter.finish()]:
            yield Sentence(sentence)
        run.raise_for_error()


def ask_for_sends(tool: Tool, untrusted: bool) -> bool:
    """A policy: every call that is known to send something, or of which nothing is known."""
    known = tool.annotations
    return known.read_only is not True and known.open_world is not False


async def _ask(asked: ApprovalRequest, replies: asyncio.Queue[Reply | None]) -> Set[int]:
    """The numbers of the calls that the user said yes to."""
    sends = [call for call in asked.calls if ask_for_sends(call.tool, call.untrusted)]
    others = [call for call in asked.calls if call not in sends]
    approved: set[int] = set()
    for calls in [*([others] if others else []), *([call] for call in sends)]:
        question = Question(describe(calls))
        replies.put_nowait(question)
        if await question.answered:
            approved |= {call.task.id for call in calls}
    return approved


def describe(calls: list[PendingCall]) -> str:
    """The question for these calls, in words that can be read aloud, with every argument."""
    parts = [_described(call) for call in calls]
    return f"I would {' Then I would '.join(parts)} Shall I?"


def _described(call: PendingCall) -> str:
    facts = {
        f"{name}{', which others wrote' if name in call.untrusted_facts else ''}": fact.translate(_UNSPOKEN)
        for name, fact in call.facts.items()
    }
    told = {**facts, **_given(call.arguments)}
    arguments = "; ".join(f"{_words(name)}, {_spoken(value)}" for name, value in told.items())
    warning = " It contains text that others wrote." if call.untrusted else ""
    return f"{_words(call.tool.name)}{': ' if arguments else ''}{arguments}.{warning}"


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value not in (None, "", [], {})}


def _words(name: str) -> str:
    return " ".join(name.replace("_", " ").split())


def _spoken(value: Any) -> str:
    if isinstance(value, Ref):
        return f"the result of step {value.task}"
    if isinstance(value, Template):
        return "".join(part if isinstance(part, str) else _spoken(part) for part in value.parts)
    if isinstance(value, datetime):
        return f"{value:%A %d %B %Y at %H:%M}"
    if isinstance(value, date):
        return f"{value:%A %d %B %Y}"
    if isinstance(value, (list, tuple)):
        return " and ".join(_spoken(item) for item in value)
    if isinstance(value, str):
        if _TIME.fullmatch(value):
            return _spoken_time(value)
        is_number = _NUMBER.fullmatch(value) is not None
        return " ".join(c for c in value if c.isdigit() or c == "+") if is_number else value
    return str(to_jsonable(value))


def _spoken_time(text: str) -> str:
    """A date or a time of ISO 8601 as a person says it; as it is where there is no such day."""
    try:
        return _spoken(
            datetime.fromisoformat(text) if len(text) > len("2026-11-24") else date.fromisoformat(text)
        )
    except ValueError:
        return text
