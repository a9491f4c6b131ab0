import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from plait.errors import (
    ApprovalError,
    ConfigurationError,
    DependencyError,
    PlanError,
    ReferenceValueError,
    ToolArgumentError,
    ToolCallError,
    ToolTimeoutError,
    UnknownToolError,
)
from plait.orchestrator import (
    POLICIES,
    Approval,
    ApprovalGiven,
    ApprovalRequest,
    ApprovalRequested,
    Event,
    TaskFetcher,
    TaskFinished,
    TaskPlanned,
    TaskStarted,
)
from plait.planners import Plan, Ref, Task, TaskOutcome, Template
from plait.tools import Tool, Toolbox

pytestmark = pytest.mark.anyio


def call(number: int, tool: str, /, **arguments: Any) -> Task:
    return Task(number, tool, arguments)


def work(number: int, *needs: int, tool: str = "work") -> Task:
    """A call of a tool of :class:`Stage` that uses the results of ``needs``."""
    return Task(number, tool, {"number": number, "inputs": [Ref(k) for k in needs]})


def as_tool(function: Callable[..., Any], **options: Any) -> Tool:
    return Tool.from_function(function, **options)


async def quiet() -> None:
    """Returns when every other task of the loop waits for something that only the test can bring."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    turns = 0
    while turns < 3 or any(t._fut_waiter is None or t._fut_waiter.done() for t in others if not t.done()):
        turns += 1
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}


async def planned(tasks: Iterable[Task], error: BaseException | None = None) -> AsyncGenerator[Task]:
    for task in tasks:
        yield task
    if error is not None:
        raise error


class Stage:
    """Tools whose calls end when the test says so, and a record of what happens."""

    def __init__(self, **limits: int | None) -> None:
        async def work(number: int, inputs: list[Any]) -> Any:
            self.running.append(number)
            self.most = max(self.most, len(self.running))
            try:
                return await self.ends[number]
            finally:
                self.running.remove(number)

        self.ends: dict[int, asyncio.Future[Any]] = {}
        self.running: list[int] = []
        self.most = 0
        self.tools = [
            as_tool(work, name=name, max_concurrency=limit, timeout_s=None)
            for name, limit in {"work": None, **limits}.items()
        ]

    def prepare(self, tasks: Iterable[Task]) -> None:
        loop = asyncio.get_running_loop()
        self.ends |= {task.id: loop.create_future() for task in tasks}

    async def end(self, number: int, outcome: Any = None) -> None:
        if isinstance(outcome, Exception):
            self.ends[number].set_exception(outcome)
        else:
            self.ends[number].set_result(outcome)
        await quiet()


@dataclass
class Running:
    """A fetcher at work, and its events."""

    fetcher: TaskFetcher
    events: list[Event]
    task: asyncio.Task[None]

    @property
    def outcomes(self) -> dict[int, TaskOutcome]:
        return {outcome.task.id: outcome for outcome in self.fetcher.outcomes}

    @property
    def statuses(self) -> dict[int, str]:
        return {k: outcome.status for k, outcome in self.outcomes.items()}

    @property
    def started(self) -> list[int]:
        return [e.task.id for e in self.events if isinstance(e, TaskStarted)]

    @property
    def requests(self) -> list[ApprovalRequest]:
        return [e.request for e in self.events if isinstance(e, ApprovalRequested)]

    async def finish(self) -> dict[int, TaskOutcome]:
        async with asyncio.timeout(30):
            await self.task
        return self.outcomes


def begin(
    tools: Iterable[Any] | Toolbox,
    tasks: Iterable[Task] | AsyncGenerator[Task],
    *,
    stage: Stage | None = None,
    **options: Any,
) -> Running:
    events: list[Event] = []
    ticks = itertools.count()
    if not isinstance(tasks, AsyncGenerator):
        tasks = list(tasks)
        if stage is not None:
            stage.prepare(tasks)
        tasks = planned(tasks)
    fetcher = TaskFetcher(
        tools if isinstance(tools, Toolbox) else Toolbox(tools),
        clock=lambda: float(next(ticks)),
        emit=events.append,
        **options,
    )
    return Running(fetcher, events, asyncio.create_task(fetcher.run(tasks)))


async def run(
    tools: Iterable[Any], tasks: Iterable[Task] | AsyncGenerator[Task], **options: Any
) -> dict[int, TaskOutcome]:
    return await begin(tools, tasks, **options).finish()


@as_tool
async def echo(value: Any) -> Any:
    return value


@as_tool
async def broken(value: Any = None) -> Any:
    raise ValueError("the disk is full")


@as_tool
async def text_length(text: str) -> int:
    return len(text)


# When tasks start


async def test_a_task_starts_while_the_planner_stalls_in_the_middle_of_the_next_line() -> None:
    stage, next_line = Stage(), asyncio.Event()
    tasks = [work(1), work(2, 1), work(3, 2)]
    stage.prepare(tasks)

    async def stalling() -> AsyncGenerator[Task]:
        yield tasks[0]
        yield tasks[1]
        await next_line.wait()
        yield tasks[2]

    running = begin(stage.tools, stalling())
    await quiet()
    assert stage.running == [1]
    await stage.end(1)
    assert stage.running == [2]
    await stage.end(2)
    assert running.statuses == {1: "ok", 2: "ok"}
    assert not running.task.done()
    next_line.set()
    await quiet()
    assert stage.running == [3]
    await stage.end(3)
    await running.finish()


async def test_a_planner_that_never_waits_does_not_hold_up_the_first_task() -> None:
    n_planned = 0

    async def torrent() -> AsyncGenerator[Task]:
        nonlocal n_planned
        for n_planned in range(1, 101):
            yield call(n_planned, "planned_so_far")

    async def planned_so_far() -> int:
        return n_planned

    outcomes = await run([planned_so_far], torrent())
    assert outcomes[1].result <= 3


async def test_tasks_that_finish_in_reverse_start_just_what_each_of_them_completes() -> None:
    stage = Stage()
    tasks = [work(1), work(2), work(3), work(4, 1), work(5, 2), work(6, 3), work(7, 4, 5, 6), work(8, 3, 1)]
    running = begin(stage.tools, tasks, stage=stage)
    await quiet()
    assert stage.running == [1, 2, 3]
    await stage.end(3)
    assert stage.running == [1, 2, 6]
    await stage.end(6)
    await stage.end(2)
    assert stage.running == [1, 5]
    await stage.end(5)
    assert stage.running == [1]
    await stage.end(1)
    assert sorted(stage.running) == [4, 8]
    await stage.end(8)
    assert stage.running == [4]
    await stage.end(4)
    assert stage.running == [7]
    await stage.end(7)
    await running.finish()
    assert running.started == [1, 2, 3, 6, 5, 4, 8, 7]


async def test_a_sync_tool_does_not_hold_up_the_others() -> None:
    async_has_run = threading.Event()

    def blocking() -> bool:
        return async_has_run.wait(30)

    async def prompt() -> None:
        async_has_run.set()

    outcomes = await run([blocking, prompt], [call(1, "blocking"), call(2, "prompt")])
    assert outcomes[1].result is True


async def test_what_a_result_makes_ready_starts_before_other_calls_that_end_in_the_same_turn() -> None:
    gate = asyncio.Event()
    order: list[str] = []

    async def first(name: str) -> str:
        await gate.wait()
        order.append(f"{name} ended")
        return name

    async def second(name: str) -> None:
        order.append(f"{name} followed")

    tasks = [call(1, "first", name="a"), call(2, "first", name="b")]
    tasks += [call(3, "second", name=Ref(1)), call(4, "second", name=Ref(2))]
    fetcher = TaskFetcher(Toolbox([as_tool(first), as_tool(second)]), clock=lambda: 0.0)
    running = asyncio.create_task(fetcher.run(planned(tasks)))
    await quiet()
    gate.set()
    await running

    assert order == ["a ended", "a followed", "b ended", "b followed"]


async def test_of_what_becomes_ready_at_once_the_call_that_most_others_wait_for_starts_first() -> None:
    gate = asyncio.Event()
    order: list[int] = []

    async def step(number: int, after: list[int]) -> int:
        order.append(number)
        await gate.wait()
        return number

    needs = {1: [], 2: [1], 3: [1], 4: [3], 5: [3]}
    tasks = [call(k, "step", number=k, after=[Ref(n) for n in of]) for k, of in needs.items()]
    fetcher = TaskFetcher(Toolbox([as_tool(step)]), clock=lambda: 0.0)
    running = asyncio.create_task(fetcher.run(planned(tasks)))
    await quiet()
    gate.set()
    await running

    assert order[:3] == [1, 3, 2]


async def test_what_a_call_sets_in_its_context_no_later_call_sees() -> None:
    seen: ContextVar[str] = ContextVar("seen", default="nothing")
    found: list[str] = []

    async def leaves_a_trace(after: list[str]) -> str:
        found.append(seen.get())
        await asyncio.sleep(0)
        seen.set("a trace")
        return "done"

    tasks = [call(k, "leaves_a_trace", after=[Ref(k - 1)] if k > 1 else []) for k in range(1, 4)]
    await TaskFetcher(Toolbox([as_tool(leaves_a_trace)]), clock=lambda: 0.0).run(planned(tasks))

    assert found == ["nothing"] * 3


async def test_no_tasks_are_no_work() -> None:
    assert await run([echo], []) == {}


# What tasks are given


class Point(BaseModel):
    x: int
    tags: list[str] = []


@dataclass
class Place:
    name: str
    at: Point
    notes: dict[str, Any] = field(default_factory=dict)


class Pair(NamedTuple):
    left: int
    right: str


PLACE = Place("home", Point(x=3, tags=["a", "b"]), {"first line": [10, 20], "n": {"deep": None}})


@pytest.mark.parametrize(
    ("result", "value", "expected"),
    [
        (PLACE, Ref(1), PLACE),
        (PLACE, Ref(1, ("name",)), "home"),
        (PLACE, Ref(1, ("at", "x")), 3),
        (PLACE, Ref(1, ("at", "tags", -1)), "b"),
        (PLACE, Ref(1, ("notes", "first line", 1)), 20),
        (PLACE, Ref(1, ("notes", "n", "deep")), None),
        (PLACE, [Ref(1, ("at",)), {"k": [Ref(1, ("name",))]}], [PLACE.at, {"k": ["home"]}]),
        (Pair(1, "r"), Ref(1, (1,)), "r"),
        (Pair(1, "r"), Ref(1, ("right",)), "r"),
        ((1, 2), Ref(1), (1, 2)),
        ("word", Ref(1, (0,)), "w"),
        (range(5), Ref(1, (2,)), 2),
        ({1: "one"}, Ref(1, (1,)), "one"),
        ({"items": "data, no method"}, Ref(1, ("items",)), "data, no method"),
        (2.5, Template(("is ", Ref(1), " or ", Ref(1), "?")), "is 2.5 or 2.5?"),
        ({"a": [1, None]}, Template(("got ", Ref(1))), 'got {"a": [1, null]}'),
        (PLACE, Template((Ref(1, ("at",)), "!")), '{"x": 3, "tags": ["a", "b"]}!'),
        ("$2 and ${3}", Template(("said: ", Ref(1))), "said: $2 and ${3}"),
        (None, Ref(1), None),
    ],
)
async def test_a_reference_stands_for_the_result_with_its_type(
    result: Any, value: Any, expected: Any
) -> None:
    async def give() -> Any:
        return result

    outcomes = await run([give, echo], [call(1, "give"), call(2, "echo", value=value)])
    assert outcomes[2].result == expected
    assert type(outcomes[2].result) is type(expected)
    assert outcomes[2].arguments == {"value": expected}


class Hostile:
    """A result whose own code fails."""

    _secret = "s"

    def method(self) -> None: ...

    @property
    def size(self) -> int:
        raise OSError("the handle is closed")

    def __repr__(self) -> str:
        raise TypeError("no text")


class Lazy(dict[str, Any]):
    def __contains__(self, key: object) -> bool:
        raise RuntimeError("the connection is gone")


@pytest.mark.parametrize(
    ("result", "value", "message"),
    [
        ({"a": 1, "b": 2}, Ref(1, ("c",)), r"\$1\.c: the result has no field 'c'; it has a, b"),
        ({}, Ref(1, ("c",)), r"no field 'c'; it has none"),
        ([1, 2], Ref(1, (2,)), r"\$1\[2\]: there is no item 2 in a result of 2 items"),
        ([1, 2], Ref(1, (-3,)), r"no item -3"),
        ([1, 2], Ref(1, ("a",)), r"the result is list, which has no 'a'"),
        (PLACE, Ref(1, ("at", "y")), r"the result is Point, which has no 'y'"),
        (PLACE, Ref(1, ("at", "model_dump")), r"no 'model_dump'"),
        (None, Ref(1, ("a",)), r"NoneType"),
        (7, Ref(1, (0,)), r"the result is int, which has no 0"),
        ({1, 2}, Ref(1, (0,)), r"the result is set"),
        (Hostile(), Ref(1, ("_secret",)), r"no '_secret'"),
        (Hostile(), Ref(1, ("__class__",)), r"no '__class__'"),
        (Hostile(), Ref(1, ("method",)), r"no 'method'"),
        (Hostile(), Ref(1, ("size",)), r"\$1\.size cannot be read: OSError: the handle is closed"),
        (Lazy(), Ref(1, ("a",)), r"RuntimeError: the connection is gone"),
    ],
)
async def test_what_a_reference_does_not_reach_fails_that_task_only(
    result: Any, value: Any, message: str
) -> None:
    async def give() -> Any:
        return result

    tasks = [call(1, "give"), call(2, "echo", value=value), call(3, "echo", value=Ref(1)), call(4, "give")]
    outcomes = await run([give, echo], tasks)
    assert [outcomes[k].status for k in (1, 2, 3, 4)] == ["ok", "failed", "ok", "ok"]
    error = outcomes[2].error
    assert isinstance(error, ReferenceValueError)
    assert error.task == 2
    assert outcomes[2].started_s is None
    with pytest.raises(ReferenceValueError, match=message):
        raise error


@pytest.mark.parametrize("number", [2, 3, 9])
async def test_a_reference_to_itself_or_a_later_task_fails_that_task_only(number: int) -> None:
    tasks = [call(1, "echo", value=1), call(2, "echo", value=[Ref(1), Ref(number)]), call(3, "echo", value=3)]
    outcomes = await run([echo], tasks)
    assert [outcomes[k].status for k in (1, 2, 3)] == ["ok", "failed", "ok"]
    assert isinstance(outcomes[2].error, ReferenceValueError)
    assert outcomes[2].error.task == 2


async def test_a_result_is_passed_on_as_the_object_that_it_is_however_large() -> None:
    text = "x" * 10_000_000
    seen: list[object] = []

    async def read() -> Any:
        return text

    async def keep(value: Any) -> None:
        seen.append(value)

    tasks = [
        call(1, "read"),
        call(2, "keep", value=Ref(1)),
        call(3, "text_length", text=Template(("<", Ref(1), ">"))),
    ]
    outcomes = await run([read, keep, text_length], tasks)
    assert seen[0] is text
    assert outcomes[3].result == 10_000_002


async def test_what_cannot_be_serialized_is_a_result_like_any_other() -> None:
    circular: list[Any] = []
    circular.append(circular)
    things = [object(), lambda: None, Hostile(), circular, threading.Lock(), float("nan")]

    async def make(i: int) -> Any:
        return things[i]

    tasks = [call(i + 1, "make", i=i) for i in range(len(things))]
    tasks += [call(10 + i, "echo", value=Ref(i + 1)) for i in range(len(things))]
    outcomes = await run([make, echo], tasks)
    assert all(outcomes[10 + i].result is thing for i, thing in enumerate(things))


# Failures


async def test_a_failure_reaches_its_dependents_with_the_cause_and_nobody_else() -> None:
    tasks = [
        call(1, "broken"),
        call(2, "echo", value=0),
        call(3, "echo", value=[Ref(1), Ref(2)]),  # a diamond below 1 and 2
        call(4, "echo", value=Ref(2)),
        call(5, "echo", value=[Ref(3), Ref(4)]),
        call(6, "echo", value=Ref(4)),
    ]
    outcomes = await run([broken, echo], tasks)
    statuses = [outcomes[k].status for k in range(1, 7)]
    assert statuses == ["failed", "ok", "skipped", "ok", "skipped", "ok"]
    first = outcomes[1].error
    assert isinstance(first, ToolCallError)
    assert isinstance(first.__cause__, ValueError)
    for k, blocker in ((3, 1), (5, 3)):
        error = outcomes[k].error
        assert isinstance(error, DependencyError)
        assert error.__cause__ is first
        assert error.task == k
        assert f"task {blocker} " in str(error)
        assert outcomes[k].started_s is None


async def test_a_dependent_is_skipped_at_once_though_its_other_inputs_are_still_being_made() -> None:
    stage = Stage()
    running = begin(stage.tools, [work(1), work(2), work(3, 1, 2), work(4, 3)], stage=stage)
    await quiet()
    await stage.end(2, ToolCallError("no"))
    assert running.statuses == {2: "failed", 3: "skipped", 4: "skipped"}
    await stage.end(1)
    assert {k: o.status for k, o in (await running.finish()).items()} == {
        1: "ok",
        2: "failed",
        3: "skipped",
        4: "skipped",
    }


@pytest.mark.parametrize("first", ["echo", "broken"])
async def test_a_chain_of_10_000_needs_no_recursion(first: str) -> None:
    n = 10_000
    release = asyncio.Event()

    async def gate() -> None:
        await release.wait()
        if first == "broken":
            raise ToolCallError("no")

    async def chain() -> AsyncGenerator[Task]:
        yield call(1, "gate")
        for k in range(2, n + 1):
            yield call(k, "echo", value=Ref(k - 1))
        release.set()

    outcomes = await run([as_tool(gate), echo], chain())
    assert len(outcomes) == n
    if first == "echo":
        assert all(outcome.ok for outcome in outcomes.values())
    else:
        assert Counter(o.status for o in outcomes.values()) == {"failed": 1, "skipped": n - 1}
        assert all(outcomes[k].error.__cause__ is outcomes[1].error for k in range(2, n + 1))


async def test_an_unknown_tool_fails_alone_and_names_the_closest() -> None:
    tasks = [call(1, "ecko", value=1), call(2, "echo", value=2), call(3, "echo", value=Ref(1))]
    outcomes = await run([echo], tasks)
    assert [outcomes[k].status for k in (1, 2, 3)] == ["failed", "ok", "skipped"]
    assert isinstance(outcomes[1].error, UnknownToolError)
    assert "echo" in str(outcomes[1].error)


async def test_arguments_that_do_not_fit_fail_that_call_only() -> None:
    outcomes = await run([text_length], [call(1, "text_length"), call(2, "text_length", text="ab")])
    assert isinstance(outcomes[1].error, ToolArgumentError)
    assert outcomes[2].result == 2


async def test_a_call_that_hangs_ends_at_its_deadline() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    outcomes = await run([as_tool(hang, timeout_s=0.01), echo], [call(1, "hang"), call(2, "echo", value=1)])
    assert isinstance(outcomes[1].error, ToolTimeoutError)
    assert outcomes[2].ok


async def test_a_tool_that_cancels_itself_fails_alone_and_gives_its_place_back() -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    async def shoot_oneself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()

    tasks = [
        call(1, "give_up"),
        call(2, "shoot_oneself"),
        call(3, "echo", value=Ref(2)),
        call(4, "echo", value=4),
    ]
    outcomes = await run([give_up, shoot_oneself, echo], tasks, max_concurrency=1)
    assert [outcomes[k].status for k in (1, 2, 3, 4)] == ["failed", "failed", "skipped", "ok"]
    assert "cancelled itself" in str(outcomes[2].error)


async def test_an_executor_whose_own_call_was_cancelled_fails_that_task_only() -> None:
    async def remote(tool: Tool, arguments: Mapping[str, Any]) -> Any:
        if arguments["value"] == 1:
            lost = asyncio.get_running_loop().create_future()
            lost.cancel()
            await lost
        return await tool.ainvoke(arguments)

    outcomes = await run([echo], [call(k, "echo", value=k) for k in (1, 2)], executor=remote)
    assert [outcomes[k].status for k in (1, 2)] == ["failed", "ok"]


# Limits


async def test_neither_limit_is_exceeded_and_a_full_tool_does_not_hold_up_others() -> None:
    stage = Stage(narrow=1)
    tasks = [*(work(k, tool="narrow") for k in (1, 2, 3)), *(work(k) for k in (4, 5, 6))]
    running = begin(stage.tools, tasks, stage=stage, max_concurrency=3)
    await quiet()
    assert stage.running == [1, 4, 5]  # 2 and 3 wait for their tool, not for a place
    await stage.end(4)
    assert stage.running == [1, 5, 6]
    await stage.end(1)
    assert stage.running == [5, 6, 2]
    await stage.end(5)
    assert stage.running == [6, 2]
    await stage.end(2)
    assert stage.running == [6, 3]
    await stage.end(3)
    await stage.end(6)
    await running.finish()


async def test_calls_that_wait_for_a_place_get_it_in_the_order_in_which_they_became_ready() -> None:
    stage = Stage()
    tasks = [work(1), work(2), work(3), work(4, 1), work(5, 2)]
    running = begin(stage.tools, tasks, stage=stage, max_concurrency=1)
    await quiet()
    for number in (1, 2, 3, 4, 5):  # what 1 makes ready does not jump the queue
        assert stage.running == [number]
        await stage.end(number)
    await running.finish()


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_limit_that_lets_nothing_run_is_refused(limit: int) -> None:
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        TaskFetcher(Toolbox([echo]), clock=float, max_concurrency=limit)


# The end of a run


async def test_cancelling_the_run_cancels_every_call_and_waits_for_its_clean_up() -> None:
    cleaned: list[int] = []
    stuck = asyncio.Event()

    async def hold(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(number)

    async def stalling() -> AsyncGenerator[Task]:
        try:
            yield call(1, "hold", number=1)
            yield call(2, "hold", number=2)
            yield call(3, "echo", value=Ref(1))
            yield call(4, "echo", value=4)
            await stuck.wait()
        finally:
            cleaned.append(0)

    running = begin([hold, echo], stalling(), executor=lambda tool, arguments: tool.ainvoke(arguments))
    await quiet()
    running.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.task
    assert sorted(cleaned) == [0, 1, 2]
    assert running.statuses == {1: "cancelled", 2: "cancelled", 3: "cancelled", 4: "ok"}
    ended = [e.outcome.task.id for e in running.events if isinstance(e, TaskFinished)]
    assert sorted(ended) == [1, 2, 3, 4]
    assert running.outcomes[1].started_s is not None
    assert running.outcomes[3].started_s is None


@pytest.mark.parametrize("stalled", [True, False])
@pytest.mark.parametrize("fails", [True, False])
async def test_a_call_that_ends_in_spite_of_the_cancellation_keeps_its_result_and_starts_nothing(
    stalled: bool, fails: bool
) -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if fails:
                raise ToolCallError("interrupted") from None
        return "sent"

    async def tasks() -> AsyncGenerator[Task]:
        yield call(1, "stubborn")
        yield call(2, "echo", value=Ref(1))
        yield call(3, "stubborn")
        if stalled:
            await asyncio.Event().wait()

    running = begin([stubborn, echo], tasks(), max_concurrency=1)
    await quiet()
    running.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.task
    assert running.statuses == {1: "failed" if fails else "ok", 2: "cancelled", 3: "cancelled"}
    assert running.started == [1]


async def test_a_deadline_around_the_run_is_seen_as_one_whatever_the_clean_up_raises() -> None:
    async def foul(tool: Tool, arguments: Mapping[str, Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("clean-up failed")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run([echo], [call(1, "echo", value=1)], executor=foul)


async def test_what_runs_ends_before_the_error_of_the_planner_is_raised() -> None:
    stage = Stage()
    tasks = [work(1), work(2, 1)]
    stage.prepare(tasks)
    error = PlanError("no closing parenthesis")
    running = begin(stage.tools, planned(tasks, error))
    await quiet()
    assert stage.running == [1]
    await stage.end(1)
    assert not running.task.done()
    await stage.end(2)
    with pytest.raises(PlanError) as caught:
        await running.task
    assert caught.value is error
    assert running.statuses == {1: "ok", 2: "ok"}


async def test_two_tasks_of_one_number_end_the_planning_and_the_first_stands() -> None:
    stage = Stage()
    tasks = [work(1), work(2, 1)]
    stage.prepare(tasks)
    running = begin(stage.tools, planned([*tasks, call(1, "work", number=9, inputs=[]), work(3)]))
    await quiet()
    await stage.end(1)
    await stage.end(2)
    with pytest.raises(PlanError, match="have the number 1"):
        await running.task
    assert running.statuses == {1: "ok", 2: "ok"}
    assert [e.task.id for e in running.events if isinstance(e, TaskPlanned)] == [1, 2]


async def test_a_number_of_an_earlier_plan_cannot_be_given_again() -> None:
    earlier = [TaskOutcome(call(1, "echo", value=1), "ok", result=1, arguments={"value": 1}, started_s=0.0)]
    running = begin([echo], [call(1, "echo", value=2)], earlier=earlier)
    with pytest.raises(PlanError, match="have the number 1"):
        await running.task
    assert running.outcomes == {}


class OwnError(Exception):
    pass


async def test_what_a_planner_should_not_raise_comes_out_as_itself_and_cancels_the_calls() -> None:
    stage = Stage()
    stage.prepare([work(1)])
    error = OwnError("planner")
    error.__cause__ = KeyError("why")
    running = begin(stage.tools, planned([work(1)], error))
    with pytest.raises(OwnError) as caught:
        await running.task
    assert caught.value is error
    assert isinstance(error.__cause__, KeyError)
    assert running.statuses == {1: "cancelled"}


async def test_the_exception_that_came_first_is_the_one_that_is_raised() -> None:
    async def foul(tool: Tool, arguments: Mapping[str, Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("second")

    async def tasks() -> AsyncGenerator[Task]:
        yield call(1, "echo", value=1)
        await quiet()
        raise OwnError("first")

    with pytest.raises(OwnError):
        await run([echo], tasks(), executor=foul)


@pytest.mark.parametrize("stalled", [True, False])
async def test_what_an_executor_should_not_raise_comes_out_as_itself(stalled: bool) -> None:
    async def executor(tool: Tool, arguments: Mapping[str, Any]) -> Any:
        if arguments["value"] == 1:
            raise OwnError("executor")
        await asyncio.Event().wait()

    async def tasks() -> AsyncGenerator[Task]:
        yield call(2, "echo", value=2)
        yield call(1, "echo", value=1)
        if stalled:
            await asyncio.Event().wait()

    running = begin([echo], tasks(), executor=executor)
    with pytest.raises(OwnError):
        await running.task
    assert running.statuses == {1: "cancelled", 2: "cancelled"}


async def test_what_an_approver_or_policy_should_not_raise_comes_out_as_itself() -> None:
    async def approve(request: ApprovalRequest) -> bool:
        raise OwnError("approver")

    def policy(tool: Tool, untrusted: bool) -> bool:
        raise OwnError("policy")

    for options in ({"approve": approve, "policy": POLICIES["all"]}, {"policy": policy}):
        running = begin([echo], [call(1, "echo", value=1)], **options)
        with pytest.raises(OwnError):
            await running.task


# Several plans


async def test_results_of_earlier_plans_can_be_used_and_their_failures_skip() -> None:
    earlier = [
        TaskOutcome(call(1, "echo"), "ok", result={"a": [1, 2]}),
        TaskOutcome(call(2, "broken"), "failed", error=ToolCallError("no")),
        TaskOutcome(call(3, "echo", value=Ref(2)), "skipped", error=DependencyError("no")),
        TaskOutcome(call(4, "echo"), "declined", error=ApprovalError("no")),
        TaskOutcome(call(5, "echo"), "cancelled"),
    ]
    tasks = [call(10 + k, "echo", value=Ref(k)) for k in range(1, 6)]
    outcomes = await run([echo], [*tasks, call(16, "echo", value=Ref(1, ("a", 1)))], earlier=earlier)
    assert outcomes[11].result == {"a": [1, 2]}
    assert outcomes[16].result == 2
    for k in (12, 13, 14, 15):
        assert outcomes[k].status == "skipped"
        assert isinstance(outcomes[k].error, DependencyError)
    assert outcomes[12].error.__cause__ is earlier[1].error
    assert outcomes[14].error.__cause__ is earlier[3].error


async def test_a_call_that_had_finished_is_not_made_again() -> None:
    calls: list[Any] = []

    async def send(text: Any) -> str:
        calls.append(text)
        if text == "bad":
            raise ToolCallError("no such address")
        return f"sent {text}"

    tools = [send, echo]
    first = [call(1, "send", text="a"), call(2, "send", text="bad"), call(3, "echo", value="a")]
    earlier = list((await run(tools, first)).values())
    second = [
        call(4, "send", text=Ref(3)),
        call(5, "send", text="bad"),
        call(6, "send", text="b"),
        call(7, "echo", value=Ref(4)),
    ]
    running = begin(tools, second, earlier=earlier)
    outcomes = await running.finish()
    assert calls == ["a", "bad", "b"]
    assert running.started == [6, 7]
    assert [outcomes[k].reused for k in (4, 5, 6, 7)] == [True, True, False, False]
    assert [outcomes[k].status for k in (4, 5, 6, 7)] == ["ok", "failed", "ok", "ok"]
    assert outcomes[7].result == "sent a"
    third = begin(tools, [call(8, "send", text="a")], earlier=[*earlier, *outcomes.values()])
    assert (await third.finish())[8].reused


async def test_only_a_call_that_was_really_made_stands_for_another() -> None:
    async def ping() -> str:
        return "pong"

    earlier = [
        # Failed before its arguments were known: no call of ping() without arguments.
        TaskOutcome(call(1, "ping", x=Ref(9)), "failed", error=ReferenceValueError("no")),
        TaskOutcome(call(2, "ping"), "cancelled", started_s=0.0),
        TaskOutcome(call(3, "ping"), "declined"),
    ]
    outcomes = await run([ping], [call(4, "ping")], earlier=earlier)
    assert outcomes[4].result == "pong"


class Blob:
    """Two of them look alike and are not the same."""

    def __repr__(self) -> str:
        return "[0 0 0 ... 0 0 0]"


@pytest.mark.parametrize("make", [Blob, Hostile, lambda: {1, Hostile()}])
async def test_calls_with_objects_are_the_same_only_with_the_same_objects(make: Callable[[], Any]) -> None:
    made = itertools.count()
    one, other = make(), make()

    async def use(value: Any) -> int:
        return next(made)

    earlier = [
        TaskOutcome(call(1, "give"), "ok", result=one),
        TaskOutcome(call(2, "give"), "ok", result=other),
    ]
    first = await run([use], [call(3, "use", value=Ref(1))], earlier=earlier)
    tasks = [call(4, "use", value=Ref(1)), call(5, "use", value=Ref(2)), call(6, "use", value="plain")]
    outcomes = await run([use], tasks, earlier=[*earlier, *first.values()])
    assert [outcomes[k].reused for k in (4, 5, 6)] == [True, False, False]


# Approval


def world(log: list[str]) -> list[Tool]:
    """A read, a read of what outsiders wrote, two writes, and a pure function."""

    async def look(value: Any = "seen") -> Any:
        log.append(f"look {value}")
        return value

    async def web(value: Any = "web") -> Any:
        log.append(f"web {value}")
        return value

    async def write(value: Any, other: Any = None) -> Any:
        log.append(f"write {value}")
        return f"wrote {value}"

    async def send(value: Any, other: Any = None) -> Any:
        log.append(f"send {value}")
        return f"sent {value}"

    return [
        as_tool(look, read_only=True, open_world=False),
        as_tool(web, read_only=True, open_world=True),
        as_tool(write, read_only=False, destructive=True, open_world=False),
        as_tool(send, read_only=False, open_world=True),
    ]


def answering(answer: Any, log: list[str]) -> Callable[[ApprovalRequest], Any]:
    async def approve(request: ApprovalRequest) -> Any:
        log.append(f"asked {[c.task.id for c in request.calls]}")
        return answer

    return approve


ALL_AFTER = ["write x", "send l", "write l", "look wrote x", "write got l and wrote x"]
PLAN = [
    call(1, "write", value="x"),
    call(2, "look", value="l"),
    call(3, "write", value=Ref(2), other=Ref(1)),  # waits for 1, too
    call(4, "look", value=Ref(1)),
    call(5, "write", value=Template(("got ", Ref(2), " and ", Ref(4)))),
    call(6, "look", value=Ref(2)),
    call(7, "send", value=Ref(6)),
]


@pytest.mark.parametrize(
    ("answer", "statuses", "after"),
    [
        (True, "ok ok ok ok ok ok ok", ALL_AFTER),
        (False, "declined ok skipped skipped skipped ok declined", []),
        (None, "declined ok skipped skipped skipped ok declined", []),
        ({1, 3, 5, 7}, "ok ok ok ok ok ok ok", ALL_AFTER),
        ({1, 2, 99}, "ok ok declined ok declined ok declined", ["write x", "look wrote x"]),
        ({3, 5, 7}, "declined ok skipped skipped skipped ok ok", ["send l"]),
        ({1, 5}, "ok ok declined ok ok ok declined", ["write x", "look wrote x", "write got l and wrote x"]),
    ],
)
async def test_the_question_is_asked_once_when_all_that_needs_no_approval_has_run(
    answer: Any, statuses: str, after: list[str]
) -> None:
    log: list[str] = []
    running = begin(world(log), PLAN, policy=POLICIES["writes"], approve=answering(answer, log))
    outcomes = await running.finish()
    assert log[:3] == ["look l", "look l", "asked [1, 3, 5, 7]"]
    assert sorted(log[3:]) == sorted(after)
    assert " ".join(outcomes[k].status for k in range(1, 8)) == statuses
    (request,) = running.requests
    assert request.plan == Plan(tuple(PLAN))
    given = [e.approved for e in running.events if isinstance(e, ApprovalGiven)]
    assert given == [{1, 3, 5, 7} & ({1, 3, 5, 7} if answer is True else set(answer or ()))]
    for outcome in outcomes.values():
        if outcome.status == "declined":
            assert isinstance(outcome.error, ApprovalError)
            assert outcome.error.task == outcome.task.id
            assert "was declined" in str(outcome.error)


async def test_an_approved_call_is_made_with_the_arguments_that_the_user_put_in() -> None:
    log: list[str] = []
    answer = Approval(frozenset({1, 3, 5, 7}), {1: {"value": "y"}, 7: {"other": 9}, 8: {"value": 1}})
    running = begin(world(log), PLAN, policy=POLICIES["writes"], approve=answering(answer, log))
    outcomes = await running.finish()
    assert sorted(log[3:]) == sorted(text.replace("x", "y") for text in ALL_AFTER)
    assert outcomes[1].arguments == {"value": "y"}
    assert outcomes[1].task == call(1, "write", value="y")
    assert outcomes[7].arguments == {"value": "l", "other": 9}
    (given,) = [e for e in running.events if isinstance(e, ApprovalGiven)]
    assert given.edits[1] == {"value": "y"}


async def test_a_call_does_not_wait_for_results_that_the_user_edited_away() -> None:
    log: list[str] = []
    answer = Approval(frozenset({3, 5}), {3: {"other": "mine"}, 5: {"value": "all mine"}})
    running = begin(world(log), PLAN, policy=POLICIES["writes"], approve=answering(answer, log))
    outcomes = await running.finish()
    assert sorted(log[3:]) == ["write all mine", "write l"]
    assert [outcomes[k].status for k in (1, 3, 4, 5, 7)] == ["declined", "ok", "skipped", "ok", "declined"]


async def test_a_dollar_in_an_edited_argument_is_plain_text() -> None:
    log: list[str] = []
    answer = Approval(frozenset({1}), {1: {"value": "$2"}})
    await run(world(log), PLAN, policy=POLICIES["writes"], approve=answering(answer, log))
    assert "write $2" in log


async def test_the_question_names_the_arguments_in_which_outsiders_may_have_written() -> None:
    tasks = [
        call(1, "web"),
        call(2, "look"),
        call(3, "send", value=Ref(2), other=Template(("see ", Ref(1)))),
        call(4, "send", value=Ref(2)),
    ]
    running = begin(world([]), tasks, policy=POLICIES["writes"], approve=answering(False, []))
    await running.finish()
    (request,) = running.requests
    assert [c.untrusted_arguments for c in request.calls] == [{"other"}, set()]
    assert [c.untrusted for c in request.calls] == [True, False]


async def test_results_of_earlier_requests_keep_their_label_and_are_not_taken_for_the_same_call() -> None:
    log: list[str] = []
    past = [TaskOutcome(call(1, "web"), "ok", result="web", untrusted=True, started_s=0.0, finished_s=1.0)]
    tasks = [call(2, "web"), call(3, "send", value=Ref(1))]
    running = begin(world(log), tasks, policy=POLICIES["untrusted"], approve=answering(False, log), past=past)
    outcomes = await running.finish()
    assert log == ["web web", "asked [3]"]
    assert not outcomes[2].reused


async def test_the_question_shows_real_arguments_and_references_where_there_are_none_yet() -> None:
    log: list[str] = []
    running = begin(world(log), PLAN, policy=POLICIES["writes"], approve=answering(True, log))
    await running.finish()
    (request,) = running.requests
    assert [dict(c.arguments) for c in request.calls] == [
        {"value": "x"},
        {"value": "l", "other": Ref(1)},
        {"value": Template(("got l and ", Ref(4)))},
        {"value": "l"},
    ]
    assert [c.tool.name for c in request.calls] == ["write", "write", "write", "send"]


async def test_a_downstream_call_whose_arguments_cannot_be_had_does_not_spoil_the_question() -> None:
    log: list[str] = []
    tasks = [
        call(1, "look", value={"a": 1}),
        call(2, "write", value=1),
        call(3, "write", value=Ref(2), other=Ref(1, ("nope",))),
        call(4, "write", value=Ref(2), other=Template(("is ", Ref(1, ("nope",))))),
    ]
    running = begin(world(log), tasks, policy=POLICIES["writes"], approve=answering(True, log))
    outcomes = await running.finish()
    assert [outcomes[k].status for k in (1, 2, 3, 4)] == ["ok", "ok", "failed", "failed"]
    (request,) = running.requests
    assert request.calls[1].arguments == {"value": Ref(2), "other": Ref(1, ("nope",))}
    assert request.calls[2].arguments["other"] == Template(("is ", Ref(1, ("nope",))))


async def test_a_call_that_can_never_be_made_is_not_asked_about() -> None:
    log: list[str] = []
    tasks = [
        call(1, "write", value=1),
        call(2, "broken"),
        call(3, "write", value=[Ref(1), Ref(2)]),
        call(4, "nothing", value=1),
        call(5, "write", value=Ref(4)),
    ]
    read = as_tool(broken.function, name="broken", read_only=True)
    running = begin([*world(log), read], tasks, policy=POLICIES["writes"], approve=answering(True, log))
    outcomes = await running.finish()
    assert log == ["asked [1]", "write 1"]
    assert outcomes[3].status == outcomes[5].status == "skipped"


async def test_nobody_is_asked_while_anything_can_still_run() -> None:
    """A held call becomes ready in the same step as one that can run; so does a queued one of a full tool."""
    stage, log = Stage(narrow=1), list[str]()
    tasks = [
        work(1, tool="narrow"),
        work(2, tool="narrow"),
        call(3, "write", value=Ref(1)),
        work(4, 1),
        call(5, "write", value=Ref(4)),
        call(6, "write", value=Ref(2)),
    ]
    reads = {"work", "narrow"}
    running = begin(
        [*stage.tools, *world(log)],
        tasks,
        stage=stage,
        policy=lambda tool, untrusted: tool.name not in reads,
        approve=answering(True, log),
    )
    await quiet()
    await stage.end(1, "one")
    assert log == []
    assert sorted(stage.running) == [2, 4]
    await stage.end(2, "two")
    assert log == []
    await stage.end(4, "four")
    await running.finish()
    assert log == ["asked [3, 5, 6]", "write one", "write two", "write four"]


async def test_nobody_is_asked_before_the_plan_is_complete() -> None:
    log: list[str] = []
    last_line = asyncio.Event()

    async def stalling() -> AsyncGenerator[Task]:
        yield call(1, "write", value=1)
        await last_line.wait()
        yield call(2, "write", value=2)

    running = begin(world(log), stalling(), policy=POLICIES["writes"], approve=answering(True, log))
    await quiet()
    assert log == []
    last_line.set()
    await running.finish()
    assert log[0] == "asked [1, 2]"


async def test_without_an_approver_what_needs_approval_is_declined_and_says_what_to_do() -> None:
    log: list[str] = []
    outcomes = await run(world(log), PLAN, policy=POLICIES["writes"])
    statuses = [outcomes[k].status for k in range(1, 8)]
    assert statuses == ["declined", "ok", "skipped", "skipped", "skipped", "ok", "declined"]
    assert "approve function" in str(outcomes[1].error)
    assert outcomes[4].error.__cause__ is outcomes[1].error


async def test_a_question_that_is_withdrawn_counts_as_no() -> None:
    async def closed(request: ApprovalRequest) -> bool:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        answer.cancel()
        return await answer

    log: list[str] = []
    outcomes = await run(world(log), [call(1, "write", value=1)], policy=POLICIES["all"], approve=closed)
    assert outcomes[1].status == "declined"
    assert log == []


async def test_cancelling_the_run_while_it_asks_makes_no_call() -> None:
    async def ask_for_ever(request: ApprovalRequest) -> bool:
        await asyncio.Event().wait()
        return True

    log: list[str] = []
    running = begin(world(log), PLAN, policy=POLICIES["writes"], approve=ask_for_ever)
    await quiet()
    running.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.task
    assert log == ["look l", "look l"]
    assert [running.statuses[k] for k in (1, 2, 3)] == ["cancelled", "ok", "cancelled"]


async def test_a_planner_that_fails_leaves_the_tasks_before_it_to_be_asked_about() -> None:
    log: list[str] = []
    tasks = planned([call(1, "write", value=1)], PlanError("bad"))
    running = begin(world(log), tasks, policy=POLICIES["writes"], approve=answering(True, log))
    with pytest.raises(PlanError):
        await running.task
    assert log == ["asked [1]", "write 1"]


async def test_a_finished_call_is_reused_without_a_question() -> None:
    log: list[str] = []
    options = {"policy": POLICIES["writes"], "approve": answering(True, log)}
    first = await run(world(log), [call(1, "write", value=1)], **options)
    second = await run(world(log), [call(2, "write", value=1)], earlier=first.values(), **options)
    assert second[2].reused
    assert log == ["asked [1]", "write 1"]


# Trust


async def test_what_comes_from_an_open_world_is_untrusted_and_so_is_all_that_is_made_from_it() -> None:
    log: list[str] = []
    tasks = [
        call(1, "web"),
        call(2, "look", value=Ref(1)),
        call(3, "look", value=Template(("<", Ref(2), ">"))),
        call(4, "look", value="mine"),
        call(5, "look", value=[Ref(4), {"deep": [Ref(3, (0,))]}]),
        call(6, "look", value=Ref(4)),
    ]
    outcomes = await run(world(log), tasks)
    assert {k for k, o in outcomes.items() if o.untrusted} == {1, 2, 3, 5}
    later = [call(7, "look", value=Ref(2)), call(8, "look", value=Ref(4))]
    outcomes = await run(world(log), later, earlier=outcomes.values())
    assert {k for k, o in outcomes.items() if o.untrusted} == {7}


async def test_calls_that_send_or_destroy_are_asked_about_when_they_carry_what_outsiders_wrote() -> None:
    log: list[str] = []
    tasks = [
        call(1, "web"),
        call(2, "look", value=Ref(1)),
        call(3, "send", value=Ref(2)),
        call(4, "send", value="mine"),
        call(5, "write", value=Ref(1)),
        call(6, "write", value="mine"),
        call(7, "send", value=Ref(6)),
        call(8, "send", value=Ref(4)),  # what the receiver answered is an outsider's word
        call(9, "write", value=Ref(8)),
    ]
    running = begin(world(log), tasks, policy=POLICIES["untrusted"], approve=answering({3}, log))
    outcomes = await running.finish()
    (request,) = running.requests
    assert [c.task.id for c in request.calls] == [3, 5, 8, 9]
    assert all(c.untrusted for c in request.calls)
    statuses = {k: o.status for k, o in outcomes.items() if not o.ok}
    assert statuses == {5: "declined", 8: "declined", 9: "skipped"}


async def test_the_question_knows_that_a_later_call_is_untrusted_by_a_result_that_is_already_there() -> None:
    log: list[str] = []
    tasks = [
        call(1, "web"),
        call(2, "write", value="mine"),
        call(3, "send", value=Ref(2), other=Ref(1)),
    ]
    always = POLICIES["untrusted"]

    def policy(tool: Tool, untrusted: bool) -> bool:
        return tool.name == "write" or always(tool, untrusted)

    running = begin(world(log), tasks, policy=policy, approve=answering(True, log))
    await running.finish()
    (request,) = running.requests
    assert [(c.task.id, c.untrusted) for c in request.calls] == [(2, False), (3, True)]


async def test_the_words_of_a_planner_that_has_read_what_outsiders_wrote_are_untrusted() -> None:
    log: list[str] = []
    running = begin(
        world(log), [call(1, "send", value="a")], policy=POLICIES["untrusted"], untrusted_plan=True
    )
    outcomes = await running.finish()
    assert outcomes[1].status == "declined"
    assert outcomes[1].untrusted


# Everything at once


@dataclass(frozen=True)
class Scenario:
    """A random graph, what its calls come to, who may run, and in which order things happen."""

    needs: list[list[int]]
    tools: list[str]
    fails: list[bool]
    limit: int | None
    approved: frozenset[int]
    planner_fails: bool

    @property
    def tasks(self) -> list[Task]:
        return [work(k + 1, *n, tool=t) for k, (n, t) in enumerate(zip(self.needs, self.tools, strict=True))]

    def before_the_question(self) -> dict[int, str]:
        status: dict[int, str] = {}
        for task, fails in zip(self.tasks, self.fails, strict=True):
            needed = {status[k] for k in task.dependencies}
            if task.tool == "unknown":
                status[task.id] = "failed"
            elif needed & {"failed", "skipped"}:
                status[task.id] = "skipped"
            elif task.tool.startswith("gated") or "waits" in needed:
                status[task.id] = "waits"
            else:
                status[task.id] = "failed" if fails else "ok"
        return status

    def asked(self) -> set[int]:
        before = self.before_the_question()
        return {t.id for t in self.tasks if t.tool.startswith("gated") and before[t.id] == "waits"}

    def after_the_question(self) -> dict[int, str]:
        status = self.before_the_question()
        for task in self.tasks:
            if status[task.id] == "waits" and {status[k] for k in task.dependencies} & {
                "declined",
                "skipped",
            }:
                status[task.id] = "skipped"
            elif task.id in self.asked() - self.approved:
                status[task.id] = "declined"
        return status

    def expected(self) -> dict[int, str]:
        status = self.after_the_question()
        for task, fails in zip(self.tasks, self.fails, strict=True):
            if status[task.id] == "waits":
                ready = all(status[k] == "ok" for k in task.dependencies)
                status[task.id] = ("failed" if fails else "ok") if ready else "skipped"
        return status


LIMITS = {"work": None, "one": 1, "two": 2, "gated": None, "gated_one": 1}


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    n = draw(st.integers(1, 12))
    needs = [draw(st.lists(st.integers(1, k), unique=True, max_size=3)) if k else [] for k in range(n)]
    return Scenario(
        needs,
        draw(st.lists(st.sampled_from([*LIMITS, "unknown"]), min_size=n, max_size=n)),
        draw(st.lists(st.sampled_from([False, False, False, True]), min_size=n, max_size=n)),
        draw(st.sampled_from([None, 1, 2, 3])),
        draw(st.frozensets(st.integers(1, n))),
        draw(st.booleans()),
    )


@settings(max_examples=200, deadline=None)
@given(scenarios(), st.data())
def test_every_task_ends_once_and_as_it_must_whatever_the_graph_the_limits_and_the_order(
    scenario: Scenario, data: st.DataObject
) -> None:
    asyncio.run(play(scenario, data))


async def play(scenario: Scenario, data: st.DataObject) -> None:
    stage, lines, tasks = Stage(**LIMITS), asyncio.Queue[Task | None](), scenario.tasks
    stage.prepare(tasks)
    limit_of = {tool.name: tool.max_concurrency for tool in stage.tools}
    by_number = {task.id: task for task in tasks}

    async def typed() -> AsyncGenerator[Task]:
        while (task := await lines.get()) is not None:
            yield task
        if scenario.planner_fails:
            raise PlanError("the text broke off")

    async def approve(request: ApprovalRequest) -> frozenset[int]:
        assert not stage.running
        return scenario.approved

    running = begin(
        stage.tools,
        typed(),
        max_concurrency=scenario.limit,
        policy=lambda tool, untrusted: tool.name.startswith("gated"),
        approve=approve,
    )
    unplanned: list[Task | None] = [*tasks, None]
    while not running.task.done():
        await quiet()
        check_that_nothing_waits_without_a_reason(running, stage, limit_of, scenario)
        steps: list[int] = ([0] if unplanned else []) + sorted(stage.running)
        if not steps:
            break
        step = data.draw(st.sampled_from(steps))
        if step == 0:
            lines.put_nowait(unplanned.pop(0))
        else:
            await stage.end(step, ToolCallError("no") if scenario.fails[step - 1] else step)
    if scenario.planner_fails:
        with pytest.raises(PlanError):
            await running.finish()
    else:
        await running.finish()
    assert running.statuses == scenario.expected()
    assert [{c.task.id for c in r.calls} for r in running.requests] == [scenario.asked()] * bool(
        scenario.asked()
    )
    check_the_events(running, by_number)


def check_that_nothing_waits_without_a_reason(
    running: Running, stage: Stage, limit_of: Mapping[str, int | None], scenario: Scenario
) -> None:
    """The limits hold, and what could be running is."""
    load = Counter(scenario.tasks[k - 1].tool for k in stage.running)
    assert scenario.limit is None or len(stage.running) <= scenario.limit
    assert all(n <= (limit_of[tool] or n) for tool, n in load.items())
    if len(stage.running) == scenario.limit:
        return
    statuses, started = running.statuses, set(running.started)
    for task in (e.task for e in running.events if isinstance(e, TaskPlanned)):
        inputs_exist = all(statuses.get(k) == "ok" for k in task.dependencies)
        approved = not task.tool.startswith("gated") or (
            bool(running.requests) and task.id in scenario.approved
        )
        if inputs_exist and approved and task.id not in started and task.id not in statuses:
            assert load[task.tool] == limit_of[task.tool], f"task {task.id} could run"


def check_the_events(running: Running, by_number: Mapping[int, Task]) -> None:
    times = [event.at_s for event in running.events]
    assert times == sorted(times)
    where: dict[type[Event], dict[int, int]] = {TaskPlanned: {}, TaskStarted: {}, TaskFinished: {}}
    for i, event in enumerate(running.events):
        if isinstance(event, (TaskPlanned, TaskStarted)):
            where[type(event)][event.task.id] = i
        elif isinstance(event, TaskFinished):
            where[TaskFinished][event.outcome.task.id] = i
    kinds = Counter(type(event) for event in running.events)
    assert kinds[TaskPlanned] == kinds[TaskFinished] == len(by_number)
    assert kinds[TaskStarted] == len(where[TaskStarted])
    assert set(where[TaskPlanned]) == set(where[TaskFinished]) == set(by_number)
    for k, task in by_number.items():
        outcome = running.outcomes[k]
        assert where[TaskPlanned][k] < where[TaskFinished][k]
        assert (outcome.started_s is not None) == (k in where[TaskStarted])
        if k in where[TaskStarted]:
            ends = [where[TaskFinished][d] for d in task.dependencies]
            assert max([where[TaskPlanned][k], *ends]) < where[TaskStarted][k] < where[TaskFinished][k]
        if outcome.ok:
            assert outcome.result == k
            assert outcome.arguments["inputs"] == [ref.task for ref in task.arguments["inputs"]]


@settings(max_examples=60, deadline=None)
@given(scenarios(), st.data())
def test_a_run_that_is_cancelled_anywhere_ends_every_task_and_leaves_nothing_running(
    scenario: Scenario, data: st.DataObject
) -> None:
    async def play_and_cancel() -> None:
        stage = Stage(**LIMITS)
        running = begin(stage.tools, scenario.tasks, stage=stage, max_concurrency=scenario.limit)
        for _ in range(data.draw(st.integers(0, 2 * len(scenario.tasks)))):
            await quiet()
            if not stage.running:
                break
            step = data.draw(st.sampled_from(sorted(stage.running)))
            await stage.end(step, ToolCallError("no") if scenario.fails[step - 1] else step)
        was_done = running.task.done()
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)
        assert was_done or running.task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        kinds = Counter(type(event) for event in running.events)
        assert kinds[TaskPlanned] == kinds[TaskFinished] == len(running.outcomes)
        assert {o.status for o in running.outcomes.values()} <= {"ok", "failed", "skipped", "cancelled"}

    asyncio.run(play_and_cancel())
