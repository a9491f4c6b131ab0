"""Calls whose tools work something out before they are shown to the user, or made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from plait import Agent, ScriptedModel
from plait.errors import ToolCallError, ToolTimeoutError
from plait.orchestrator import (
    POLICIES,
    Approval,
    ApprovalRequest,
    Event,
    PendingCall,
    TaskFetcher,
    TaskPreparing,
    TaskStarted,
)
from plait.planners import Ref, Task, TaskOutcome, Template
from plait.tools import Draft, Prepared, Tool, Toolbox

pytestmark = pytest.mark.anyio


@dataclass
class Post:
    """A tool that sends, whose text is written before, and two that read."""

    written: Mapping[str, Any] = field(default_factory=lambda: {"text": "Dear Sid, hello."})
    untrusted: frozenset[str] = frozenset()
    error: Exception | None = None
    writes_early: bool = False
    needs_results: bool = False
    drafts: list[Draft] = field(default_factory=list)
    sent: list[tuple[str, str, str]] = field(default_factory=list)

    def tools(self) -> list[Tool]:
        async def send(to: list[str], text: str = "") -> str:
            """Send a text."""
            self.sent.append(("unprepared", ", ".join(to), text))
            return "sent"

        async def prepared_send(to: list[str], text: str = "") -> str:
            self.sent.append(("prepared", ", ".join(to), text))
            return "sent"

        async def prepare(draft: Draft) -> Prepared:
            self.drafts.append(draft)
            if self.error is not None:
                raise self.error
            if self.needs_results and "text" in draft.waiting:
                return Prepared(needs_results=True)
            is_known = "text" in draft.arguments or (self.writes_early and "text" in draft.waiting)
            written = self.written if is_known else {}
            return Prepared(
                written, {"from": "me"}, self.untrusted & (written.keys() | {"from"}), prepared_send
            )

        async def look_up(name: str) -> str:
            """Look up an address."""
            return f"{name}@example.com"

        async def make_link() -> str:
            """Make a link."""
            return "https://link"

        async def read_page() -> str:
            """Read a page."""
            return "by others"

        async def save(text: str) -> str:
            """Save a text."""
            return f"saved {text}"

        return [
            Tool.from_function(read_page, read_only=True, open_world=True),
            Tool.from_function(save, read_only=False, open_world=False),
            Tool.from_function(send, read_only=False, open_world=True, prepare=prepare),
            Tool.from_function(look_up, read_only=True, open_world=False),
            Tool.from_function(make_link, read_only=False, open_world=False),
        ]

    async def run(
        self,
        *tasks: Task,
        policy: str = "writes",
        answer: Callable[[ApprovalRequest], Approval | bool] = lambda request: True,
        earlier: Iterable[TaskOutcome] = (),
        events: list[Event] | None = None,
    ) -> tuple[list[TaskOutcome], list[PendingCall]]:
        shown: list[PendingCall] = []

        async def approve(request: ApprovalRequest) -> Approval | bool:
            shown.extend(request.calls)
            return answer(request)

        async def planned() -> Any:
            for task in tasks:
                yield task

        fetcher = TaskFetcher(
            Toolbox(self.tools()),
            clock=lambda: 0.0,
            emit=([] if events is None else events).append,
            policy=POLICIES[policy],
            approve=approve,
            earlier=earlier,
            request="Write to Sid",
        )
        await fetcher.run(planned())
        return fetcher.outcomes, shown


SEND = Task(1, "send", {"to": ["sid@example.com"], "text": "say hello"})


async def test_what_is_sent_is_what_was_written_and_shown() -> None:
    post = Post()
    events: list[Event] = []
    (outcome,), (call,) = await post.run(SEND, events=events)
    assert call.arguments == {"to": ["sid@example.com"], "text": "Dear Sid, hello."}
    assert call.facts == {"from": "me"}
    assert call.written == {"text": "say hello"}
    assert post.sent == [("prepared", "sid@example.com", "Dear Sid, hello.")]
    assert len(post.drafts) == 1
    assert post.drafts[0].request == "Write to Sid"
    assert outcome.arguments["text"] == "Dear Sid, hello."
    assert outcome.planned_arguments == SEND.arguments
    kinds = [type(event) for event in events]
    assert kinds.index(TaskPreparing) < kinds.index(TaskStarted)


async def test_what_is_declined_is_not_sent() -> None:
    post = Post()
    (outcome,), _ = await post.run(SEND, answer=lambda request: False)
    assert outcome.status == "declined"
    assert post.sent == []


async def test_the_users_words_go_before_what_was_written() -> None:
    post = Post()
    await post.run(SEND, answer=lambda request: Approval(frozenset({1}), {1: {"text": "Hi Sid"}}))
    assert post.sent == [("prepared", "sid@example.com", "Hi Sid")]
    post = Post()
    await post.run(SEND, answer=lambda request: Approval(frozenset({1}), {1: {"to": ["ana@example.com"]}}))
    assert post.sent == [("prepared", "ana@example.com", "Dear Sid, hello.")]


async def test_results_in_a_text_are_told_apart_from_it() -> None:
    post = Post()
    text = Template(("ask about ", Ref(1)))
    await post.run(
        Task(1, "look_up", {"name": "sid"}), Task(2, "send", {"to": [Ref(1)], "text": text}), policy="none"
    )
    (draft,) = post.drafts
    assert draft.arguments == {"to": ["sid@example.com"], "text": "ask about sid@example.com"}
    assert draft.material == {"text": ("sid@example.com",)}


async def test_nothing_is_written_once_the_user_has_approved() -> None:
    """The text waits for a result that only comes after the approval: it goes out as the user saw it."""
    post = Post()
    text = Template(("Join: ", Ref(1)))
    tasks = (Task(1, "make_link", {}), Task(2, "send", {"to": ["sid@example.com"], "text": text}))
    _, shown = await post.run(*tasks)
    assert [call.task.id for call in shown] == [1, 2]
    assert shown[1].arguments["text"] == text
    assert shown[1].known == {1}
    assert shown[1].facts == {"from": "me"}
    assert [draft.arguments for draft in post.drafts] == [{"to": ["sid@example.com"]}]
    assert post.sent == [("prepared", "sid@example.com", "Join: https://link")]


async def test_a_text_is_written_around_a_result_that_comes_after_the_approval() -> None:
    post = Post(writes_early=True, written={"text": "Dear Sid, join at ${2}. Not $3. ${2}!"})
    text = Template(("send ", Ref(1), " the link ", Ref(2)))
    tasks = (
        Task(1, "look_up", {"name": "sid"}),
        Task(2, "make_link", {}),
        Task(3, "send", {"to": [Ref(1)], "text": text}),
    )
    outcomes, shown = await post.run(*tasks)
    (draft,) = post.drafts
    assert draft.waiting == {"text": "send sid@example.com the link ${2}"}
    assert draft.marks == {"text": ("${2}",)}
    assert draft.material == {"text": ("sid@example.com",)}
    parts = ("Dear Sid, join at ", Ref(2), ". Not $3. ", Ref(2), "!")
    assert shown[1].arguments["text"] == Template(parts)
    assert shown[1].written == {"text": Template(("send sid@example.com the link ", Ref(2)))}
    sent = "Dear Sid, join at https://link. Not $3. https://link!"
    assert post.sent == [("prepared", "sid@example.com", sent)]
    assert outcomes[2].planned_arguments == {
        "to": ["sid@example.com"],
        "text": "send sid@example.com the link https://link",
    }


@pytest.mark.parametrize("post", [Post(writes_early=True), Post(needs_results=True)], ids=["left", "needed"])
async def test_a_text_that_has_no_place_for_a_result_is_written_and_asked_about_when_that_exists(
    post: Post,
) -> None:
    text = Template(("summarize ", Ref(1)))
    tasks = (
        Task(1, "make_link", {}),
        Task(2, "send", {"to": ["sid@example.com"], "text": text}),
        Task(3, "send", {"to": ["ana@example.com"], "text": Ref(2)}),
        Task(4, "make_link", {}),
    )
    requests: list[ApprovalRequest] = []

    def answer(request: ApprovalRequest) -> bool:
        requests.append(request)
        return True

    _, shown = await post.run(*tasks, answer=answer)
    asked = [([call.task.id for call in r.calls], [call.task.id for call in r.later]) for r in requests]
    assert asked == [([1, 4], [2, 3]), ([2, 3], [])]
    assert shown[2].arguments == {"to": ["sid@example.com"], "text": "Dear Sid, hello."}
    assert shown[2].written == {"text": "summarize https://link"}
    assert [draft.material for draft in post.drafts[:2]] == [{}, {"text": ("https://link",)}]
    assert post.sent[0] == ("prepared", "sid@example.com", "Dear Sid, hello.")


async def test_what_is_to_be_written_from_a_declined_call_is_not_asked_about() -> None:
    post = Post(needs_results=True)
    tasks = (
        Task(1, "make_link", {}),
        Task(2, "send", {"to": ["sid@example.com"], "text": Template(("summarize ", Ref(1)))}),
    )
    outcomes, shown = await post.run(*tasks, answer=lambda request: False)
    assert [call.task.id for call in shown] == [1]
    assert [outcome.status for outcome in outcomes] == ["declined", "skipped"]
    assert post.sent == []


async def test_a_text_in_which_a_mark_stands_already_is_only_written_when_there_are_no_marks() -> None:
    """Others could have written it, to have a result put where they want it."""
    post = Post(writes_early=True)
    text = Template((Ref(1), ": ", Ref(2)))
    tasks = (
        Task(1, "look_up", {"name": "${2}"}),
        Task(2, "make_link", {}),
        Task(3, "send", {"to": ["sid@example.com"], "text": text}),
    )
    await post.run(*tasks)
    assert [draft.waiting for draft in post.drafts] == [{}]
    assert post.drafts[0].arguments["text"] == "${2}@example.com: https://link"
    assert post.sent == [("prepared", "sid@example.com", "Dear Sid, hello.")]


async def test_an_edited_text_may_use_another_result_and_is_filled_in_when_that_exists() -> None:
    post = Post()
    text = Template(("Join: ", Ref(2)))
    tasks = (
        Task(1, "make_link", {}),
        Task(2, "make_link", {}),
        Task(3, "send", {"to": ["sid@example.com"], "text": "Hello"}),
    )
    edits = {3: {"text": text}}
    outcomes, shown = await post.run(*tasks, answer=lambda request: Approval(frozenset({1, 2, 3}), edits))
    assert shown[2].known == {1, 2}
    assert post.sent == [("prepared", "sid@example.com", "Join: https://link")]
    post = Post()
    outcomes, _ = await post.run(*tasks, answer=lambda request: Approval(frozenset({3}), edits))
    assert [outcome.status for outcome in outcomes] == ["declined", "declined", "skipped"]
    assert post.sent == []


async def test_an_edit_that_uses_what_outsiders_wrote_makes_the_call_untrusted() -> None:
    post = Post()
    tasks = (Task(1, "read_page", {}), Task(2, "save", {"text": "mine"}))
    answer = Approval(frozenset({2}), {2: {"text": Ref(1)}})
    (_, saved), (call,) = await post.run(*tasks, answer=lambda request: answer)
    assert not call.untrusted
    assert (saved.result, saved.untrusted) == ("saved by others", True)


async def test_without_approval_the_text_is_written_before_the_call() -> None:
    post = Post()
    _, shown = await post.run(SEND, policy="none")
    assert not shown
    assert post.sent == [("prepared", "sid@example.com", "Dear Sid, hello.")]


@pytest.mark.parametrize(("policy", "asked"), [("untrusted", 1), ("none", 0)])
async def test_a_text_by_what_outsiders_wrote_is_shown_where_the_policy_wants_that(
    policy: str, asked: int
) -> None:
    post = Post(untrusted=frozenset({"text"}))
    _, shown = await post.run(SEND, policy=policy)
    assert len(shown) == asked
    assert all(call.untrusted and call.untrusted_arguments == {"text"} for call in shown)
    assert post.sent == [("prepared", "sid@example.com", "Dear Sid, hello.")]
    assert len(post.drafts) == 1


@pytest.mark.parametrize(("policy", "asked"), [("untrusted", 1), ("none", 0)])
async def test_a_fact_that_outsiders_told_is_marked_and_asked_about_like_an_argument(
    policy: str, asked: int
) -> None:
    post = Post(untrusted=frozenset({"from"}))
    _, shown = await post.run(SEND, policy=policy)
    assert len(shown) == asked
    for call in shown:
        assert call.untrusted
        assert (call.untrusted_facts, call.untrusted_arguments) == ({"from"}, frozenset())


async def test_what_waits_for_such_a_call_is_asked_about_too() -> None:
    """Its tool is not open-world, so that only its text tells that outsiders had a hand in it."""
    sent: list[str] = []

    async def keep(text: str) -> str:
        """Keep a text."""
        return text

    async def send(text: str) -> str:
        """Send a text."""
        sent.append(text)
        return "sent"

    async def prepare(draft: Draft) -> Prepared:
        return Prepared({"text": "by others"}, untrusted=frozenset({"text"}))

    async def planned() -> Any:
        yield Task(1, "keep", {"text": "write it"})
        yield Task(2, "send", {"text": Ref(1)})

    async def approve(request: ApprovalRequest) -> bool:
        assert [(call.task.id, call.arguments) for call in request.calls] == [(2, {"text": "by others"})]
        return False

    tools = [
        Tool.from_function(keep, read_only=False, open_world=False, prepare=prepare),
        Tool.from_function(send, read_only=False, open_world=True),
    ]
    fetcher = TaskFetcher(Toolbox(tools), clock=lambda: 0.0, policy=POLICIES["untrusted"], approve=approve)
    await fetcher.run(planned())
    assert [outcome.status for outcome in fetcher.outcomes] == ["ok", "declined"]
    assert sent == []


@pytest.mark.parametrize("policy", ["writes", "none"])
@pytest.mark.parametrize("error", [ToolCallError("There is no email"), ValueError("broken")])
async def test_a_call_that_cannot_be_prepared_fails_and_nobody_is_asked(
    policy: str, error: Exception
) -> None:
    post = Post(error=error)
    after = Task(2, "send", {"to": [Ref(1)]})
    (first, second), shown = await post.run(SEND, after, policy=policy)
    assert not shown
    assert (first.status, second.status) == ("failed", "skipped")
    assert isinstance(first.error, ToolCallError)
    assert str(error) in str(first.error)
    assert post.sent == []


async def test_others_are_still_asked_about_when_one_cannot_be_prepared() -> None:
    post = Post(error=ToolCallError("There is no email"))
    (first, second), shown = await post.run(SEND, Task(2, "make_link", {}))
    assert [call.task.id for call in shown] == [2]
    assert (first.status, second.status) == ("failed", "ok")


async def test_a_call_whose_text_was_written_is_not_made_again_by_the_next_plan() -> None:
    post = Post()
    outcomes, _ = await post.run(SEND)
    again, shown = await post.run(replace(SEND, id=2), earlier=outcomes)
    assert again[0].reused
    assert not shown
    assert len(post.sent) == 1


async def test_a_call_planned_without_arguments_is_not_made_again_either() -> None:
    made: list[str] = []

    async def reply(text: str = "") -> str:
        """Reply."""
        made.append(text)
        return "sent"

    async def prepare(draft: Draft) -> Prepared:
        return Prepared({"text": "Dear Sid."})

    toolbox = Toolbox([Tool.from_function(reply, read_only=False, open_world=True, prepare=prepare)])

    async def planned(number: int) -> AsyncIterator[Task]:
        yield Task(number, "reply", {})

    first = TaskFetcher(toolbox, clock=lambda: 0.0)
    await first.run(planned(1))
    again = TaskFetcher(toolbox, clock=lambda: 0.0, earlier=first.outcomes)
    await again.run(planned(2))
    assert again.outcomes[0].reused
    assert made == ["Dear Sid."]


async def test_a_preparation_has_the_tools_deadline() -> None:
    async def hang(draft: Draft) -> Prepared:
        await asyncio.Event().wait()
        return Prepared()

    async def act() -> None:
        """Act."""

    tool = Tool.from_function(act, prepare=hang, timeout_s=0.01)
    with pytest.raises(ToolTimeoutError):
        await tool.aprepare(Draft({}))


async def test_cancelling_a_run_stops_the_writing() -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def hang(draft: Draft) -> Prepared:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return Prepared()

    async def act() -> None:
        """Act."""

    tool = Tool.from_function(act, prepare=hang, read_only=False)
    agent = Agent(ScriptedModel(["1. act()\n2. join()"]), [tool], policy="writes", approve=None)
    running = asyncio.create_task(agent.run("Act"))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stopped.is_set()


async def test_arguments_reach_the_preparation_in_the_shapes_that_the_tool_wants() -> None:
    post = Post()
    await post.run(Task(1, "send", {"to": "sid@example.com", "text": "x"}))
    assert post.drafts[0].arguments["to"] == ["sid@example.com"]
