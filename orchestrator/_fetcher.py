"""The task fetcher: starts every task the moment its last input exists.

Event-driven, in one task group: it moves only when the planner hands over a task or a call ends, and
what that makes ready starts in the same step. The work for a task is proportional to its references.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from plait.errors import (
    ApprovalError,
    DependencyError,
    PlaitError,
    ReferenceValueError,
    ToolError,
    UnknownToolError,
)
from plait.orchestrator._events import (
    ApprovalGiven,
    ApprovalRequested,
    Event,
    TaskFinished,
    TaskPlanned,
    TaskStarted,
)
from plait.orchestrator._policy import ApprovalRequest, Approver, PendingCall, Policy, ask_for_none
from plait.planners import Plan, Ref, Status, Task, TaskOutcome, substitute
from plait.tools import Tool, Toolbox, to_jsonable, to_text

Executor: TypeAlias = Callable[[Tool, Mapping[str, Any]], Awaitable[Any]]
"""Carries out one call; raises ToolError where it fails."""


async def call_tool(tool: Tool, arguments: Mapping[str, Any]) -> Any:
    """The default executor: the call is made in this process."""
    return await tool.ainvoke(arguments)


@dataclass(slots=True, eq=False)
class _Node:
    task: Task
    tool: Tool | None
    planned_s: float
    needs: frozenset[int]
    missing: int = 0
    dependents: list[_Node] = field(default_factory=list)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    untrusted: bool = False
    approved: bool = False
    started_s: float | None = None
    done: bool = False


class TaskFetcher:
    """Runs the tasks of one plan as they are planned.

    Args:
        toolbox: the tools that tasks may call.
        clock: seconds since the run began.
        emit: receives every event.
        executor: carries out a call.
        max_concurrency: calls that may run at once; ``None`` is no limit.
        policy: which calls wait for an approval.
        approve: who is asked; where nobody is, what needs an approval is declined.
        earlier: outcomes of the run's earlier plans. Tasks may refer to them, and a call that had
            finished with the same arguments is not made again.
    """

    def __init__(
        self,
        toolbox: Toolbox,
        *,
        clock: Callable[[], float],
        emit: Callable[[Event], None] = lambda event: None,
        executor: Executor = call_tool,
        max_concurrency: int | None = None,
        policy: Policy = ask_for_none,
        approve: Approver | None = None,
        earlier: Iterable[TaskOutcome] = (),
    ) -> None:
        self._toolbox = toolbox
        self._clock = clock
        self._emit = emit
        self._executor = executor
        self._max_concurrency = max_concurrency
        self._policy = policy
        self._approve = approve
        self._outcomes = {outcome.task.id: outcome for outcome in earlier}
        self._finished_calls = {
            _call_key(o.task.tool, o.arguments): o
            for o in self._outcomes.values()
            if o.status in ("ok", "failed")
        }
        self._nodes: dict[int, _Node] = {}
        self._queue: deque[_Node] = deque()
        self._tool_queues: dict[str, deque[_Node]] = defaultdict(deque)
        self._running_of: dict[str, int] = defaultdict(int)
        self._held: list[_Node] = []
        self._ready: deque[_Node] = deque()
        self._draining = False
        self._n_running = 0
        self._planning = True
        self._asking = False
        self._group = asyncio.TaskGroup()

    @property
    def outcomes(self) -> list[TaskOutcome]:
        """What the tasks of this plan came to so far, by number."""
        return [self._outcomes[k] for k in sorted(self._nodes) if k in self._outcomes]

    async def run(self, tasks: AsyncGenerator[Task]) -> None:
        """Run the tasks as they come; ends when all have ended.

        What ``tasks`` raises is raised when the tasks before it have ended. Cancelling this cancels
        every call under it, and what had not ended is recorded as cancelled.
        """
        failure: PlaitError | None = None
        try:
            async with self._group:
                try:
                    async with aclosing(tasks):
                        async for task in tasks:
                            self._add(task)
                except PlaitError as error:
                    failure = error
                self._planning = False
                self._ask_if_idle()
        except asyncio.CancelledError:
            self._record_cancelled()
            raise
        except (
            BaseExceptionGroup
        ) as group:  # not a tool's failure: a bug in the planner, executor or approver
            self._record_cancelled()
            raise group.exceptions[0] from None
        if failure is not None:
            raise failure

    def _add(self, task: Task) -> None:
        now = self._clock()
        self._emit(TaskPlanned(now, task))
        tool = self._toolbox.get(task.tool)
        node = _Node(task, tool, now, task.dependencies)
        for k in node.needs:
            dependency = self._nodes.get(k)
            if dependency is not None and not dependency.done:
                dependency.dependents.append(node)
                node.missing += 1
            elif k not in self._outcomes:
                self._nodes[task.id] = node
                self._end(
                    node, "failed", error=ReferenceValueError(f"${k} is not an earlier task", task=task.id)
                )
                return
        self._nodes[task.id] = node
        if node.missing == 0:
            self._become_ready(node)

    def _become_ready(self, node: _Node) -> None:
        """All inputs exist: fill them in, and start, queue or hold the call."""
        task = node.task
        if node.tool is None:
            self._end(node, "failed", error=self._unknown(task))
            return
        for k in node.needs:
            if not self._outcomes[k].ok:
                self._end(node, "skipped", error=self._dependency_error(task, self._outcomes[k]))
                return
            node.untrusted = node.untrusted or self._outcomes[k].untrusted
        try:
            node.arguments = substitute(task.arguments, self._result_of, to_text)
        except ReferenceValueError as error:
            error.task = task.id
            self._end(node, "failed", error=error)
            return
        if self._finished_calls:
            before = self._finished_calls.get(_call_key(task.tool, node.arguments))
            if before is not None:
                self._end(node, before.status, result=before.result, error=before.error, reused=True)
                return
        if self._policy(node.tool, node.untrusted) and not node.approved:
            self._held.append(node)
            self._ask_if_idle()
            return
        self._start(node, node.tool)

    def _start(self, node: _Node, tool: Tool) -> None:
        if self._max_concurrency is not None and self._n_running >= self._max_concurrency:
            self._queue.append(node)
        elif tool.max_concurrency is not None and self._running_of[tool.name] >= tool.max_concurrency:
            self._tool_queues[tool.name].append(node)
        else:
            self._n_running += 1
            self._running_of[tool.name] += 1
            self._group.create_task(self._execute(node, tool))

    async def _execute(self, node: _Node, tool: Tool) -> None:
        node.started_s = self._clock()
        self._emit(TaskStarted(node.started_s, node.task, node.arguments))
        result: Any = None
        failure: ToolError | None = None
        try:
            result = await self._executor(tool, node.arguments)
        except ToolError as error:
            failure = error
        self._n_running -= 1
        self._running_of[tool.name] -= 1
        self._end(node, "failed" if failure else "ok", result=result, error=failure)
        self._start_queued(tool)

    def _start_queued(self, tool: Tool) -> None:
        waiting = self._tool_queues.get(tool.name)
        if waiting:
            self._queue.appendleft(waiting.popleft())
        while self._queue and (self._max_concurrency is None or self._n_running < self._max_concurrency):
            node = self._queue.popleft()
            if node.tool is not None:
                self._start(node, node.tool)
        self._ask_if_idle()

    def _end(
        self,
        node: _Node,
        status: Status,
        *,
        result: Any = None,
        error: PlaitError | None = None,
        reused: bool = False,
    ) -> None:
        """Record an outcome and pass it on; a failure fails all that depend on it, without recursion."""
        now = self._clock()
        node.done = True
        outcome = TaskOutcome(
            task=node.task,
            status=status,
            result=result,
            error=error,
            arguments=node.arguments,
            planned_s=node.planned_s,
            started_s=node.started_s,
            finished_s=now,
            untrusted=node.untrusted or (node.tool is not None and node.tool.annotations.open_world is True),
            reused=reused,
        )
        self._outcomes[node.task.id] = outcome
        self._emit(TaskFinished(now, outcome))
        self._ready.extend(self._released_by(node))
        if self._draining:
            return
        self._draining = True
        while self._ready:
            self._become_ready(self._ready.popleft())
        self._draining = False

    def _released_by(self, node: _Node) -> Iterable[_Node]:
        for dependent in node.dependents:
            dependent.missing -= 1
            if dependent.missing == 0 and not dependent.done:
                yield dependent

    def _result_of(self, ref: Ref) -> Any:
        value = self._outcomes[ref.task].result
        for step in ref.path:
            value = _reach(value, step, ref)
        return value

    def _ask_if_idle(self) -> None:
        """When nothing else can run, ask once about everything that waits."""
        if self._held and not (self._planning or self._asking or self._n_running or self._queue):
            self._asking = True
            self._group.create_task(self._ask())

    async def _ask(self) -> None:
        held, self._held = self._held, []
        pending = {node.task.id: node for node in [*held, *self._waiting_on(held)]}
        calls = tuple(self._pending(pending[k]) for k in sorted(pending))
        request = ApprovalRequest(Plan(tuple(n.task for n in self._nodes.values())), calls)
        self._emit(ApprovalRequested(self._clock(), request))
        answer = await self._approve(request) if self._approve is not None else False
        approved = frozenset(pending) if answer is True else frozenset(answer or ()) & frozenset(pending)
        self._emit(ApprovalGiven(self._clock(), approved))
        for k in approved:
            pending[k].approved = True
        self._asking = False
        for node in held:
            if node.approved:
                self._become_ready(node)
            else:
                self._end(node, "declined", error=self._declined(node))
        for k, node in pending.items():
            if k not in approved and not node.done:
                self._end(node, "declined", error=self._declined(node))
        self._ask_if_idle()

    def _waiting_on(self, held: list[_Node]) -> list[_Node]:
        """Later calls that will need an approval, too, found by following results."""
        found: dict[int, _Node] = {}
        seen: dict[int, bool] = {}
        front = deque((node, node.untrusted or _is_open(node)) for node in held)
        while front:
            node, untrusted = front.popleft()
            for dependent in node.dependents:
                if seen.get(dependent.task.id, False) or (dependent.task.id in seen and not untrusted):
                    continue
                seen[dependent.task.id] = untrusted
                dependent.untrusted = dependent.untrusted or untrusted
                if dependent.tool is not None and self._policy(dependent.tool, dependent.untrusted):
                    found[dependent.task.id] = dependent
                front.append((dependent, dependent.untrusted or _is_open(dependent)))
        return list(found.values())

    def _pending(self, node: _Node) -> PendingCall:
        arguments = node.arguments or substitute(node.task.arguments, self._result_or_ref, _text_or_ref)
        tool = node.tool or self._toolbox[node.task.tool]
        return PendingCall(node.task, tool, arguments, node.untrusted)

    def _result_or_ref(self, ref: Ref) -> Any:
        known = self._outcomes.get(ref.task)
        return self._result_of(ref) if known is not None and known.ok else ref

    def _declined(self, node: _Node) -> ApprovalError:
        if self._approve is None:
            why = "needs an approval and there is nobody to ask; give the agent an approve function"
        else:
            why = "was declined"
        return ApprovalError(f"{node.task.tool} {why}", task=node.task.id)

    def _dependency_error(self, task: Task, cause: TaskOutcome) -> DependencyError:
        error = DependencyError(
            f"{task.tool} was not called because task {cause.task.id} ({cause.task.tool}) did not succeed",
            task=task.id,
        )
        error.__cause__ = cause.error
        return error

    def _unknown(self, task: Task) -> UnknownToolError:
        try:
            self._toolbox[task.tool]
        except UnknownToolError as error:
            return error
        raise AssertionError(task.tool)

    def _record_cancelled(self) -> None:
        for node in self._nodes.values():
            if not node.done:
                node.done = True
                outcome = TaskOutcome(
                    node.task,
                    "cancelled",
                    arguments=node.arguments,
                    planned_s=node.planned_s,
                    started_s=node.started_s,
                    finished_s=self._clock() if node.started_s is not None else None,
                )
                self._outcomes[node.task.id] = outcome
                self._emit(TaskFinished(self._clock(), outcome))


def _is_open(node: _Node) -> bool:
    return node.tool is not None and node.tool.annotations.open_world is True


def _text_or_ref(value: Any) -> str:
    return f"${{{str(value)[1:]}}}" if isinstance(value, Ref) else to_text(value)


def _reach(value: Any, step: str | int, ref: Ref) -> Any:
    """The field or item ``step`` of ``value``."""
    if isinstance(step, int) and isinstance(value, (list, tuple, str)):
        if -len(value) <= step < len(value):
            return value[step]
        raise ReferenceValueError(f"{ref}: there is no item {step} in a result of {len(value)} items")
    if isinstance(value, Mapping):
        if step in value:
            return value[step]
        known = ", ".join(map(str, list(value)[:10]))
        raise ReferenceValueError(f"{ref}: the result has no field {step!r}; it has {known or 'none'}")
    if isinstance(step, str) and not step.startswith("_") and hasattr(value, step):
        found = getattr(value, step)
        if not callable(found):
            return found
    raise ReferenceValueError(f"{ref}: the result is {type(value).__name__}, which has no {step!r}")


def _call_key(tool: str, arguments: Mapping[str, Any]) -> str:
    return json.dumps([tool, to_jsonable(arguments)], sort_keys=True)
