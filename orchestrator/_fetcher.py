"""The task fetcher: starts every task the moment its last input exists.

Event-driven, in one task group: it moves only when the planner hands over a task, a call ends or an
approval is given, and what that makes ready starts in the same step. The work for a task is
proportional to its references.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from plait.errors import (
    ApprovalError,
    ConfigurationError,
    DependencyError,
    PlaitError,
    PlanError,
    ReferenceValueError,
    ToolCallError,
    ToolError,
    UnknownToolError,
)
from plait.orchestrator._context import InContext
from plait.orchestrator._events import (
    ApprovalGiven,
    ApprovalRequested,
    Event,
    TaskFinished,
    TaskPlanned,
    TaskPreparing,
    TaskStarted,
)
from plait.orchestrator._policy import Approval, ApprovalRequest, Approver, PendingCall, Policy, ask_for_none
from plait.orchestrator._waiting import filled, mark_of, marks_of, with_results
from plait.planners import Plan, Ref, Status, Task, TaskOutcome, Template, references, substitute
from plait.tools import Draft, Prepared, Tool, Toolbox, to_text

Executor: TypeAlias = Callable[[Tool, Mapping[str, Any]], Awaitable[Any]]
"""Carries out one call; raises ToolError where it fails."""


async def call_tool(tool: Tool, arguments: Mapping[str, Any]) -> Any:
    """The default executor: the call is made in this process."""
    return await tool.ainvoke(arguments)


@dataclass(slots=True, eq=False)
class _Node:
    task: Task
    tool: Tool | None
    needs: frozenset[int]
    planned_s: float
    missing: int = 0
    """How many of the results that it needs do not exist yet."""
    dependents: list[_Node] = field(default_factory=list)
    untrusted: bool = False
    """An argument carries what outsiders may have written."""
    gated: bool = False
    """It must not be called before it is approved."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    planned: Mapping[str, Any] | None = None
    """The arguments before the tool's preparation or the user changed them, once they are known."""
    prepared: Prepared | None = None
    """What the tool has worked out about the call; what the user was shown, if he was asked."""
    started_s: float | None = None
    done: bool = False

    @property
    def result_is_untrusted(self) -> bool:
        return self.untrusted or (self.tool is not None and self.tool.annotations.open_world is True)


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
        past: outcomes of earlier requests of the conversation. Tasks may refer to them; the same call may
            be wanted again, and is made again.
        untrusted_plan: the planner has read what outsiders wrote, so that whatever it writes into an
            argument counts as untrusted.
        request: what the user asked for, for tools that prepare their calls.

    Raises:
        ConfigurationError: a limit that lets nothing run.
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
        past: Iterable[TaskOutcome] = (),
        untrusted_plan: bool = False,
        request: str = "",
    ) -> None:
        if max_concurrency is not None and max_concurrency < 1:
            raise ConfigurationError(f"max_concurrency is {max_concurrency}; give 1 or more, or None")
        self._toolbox = toolbox
        self._clock = clock
        self._emit = emit
        self._executor = executor
        self._max_concurrency = max_concurrency
        self._policy = policy
        self._approve = approve
        self._untrusted_plan = untrusted_plan
        self._request = request
        own = {outcome.task.id: outcome for outcome in earlier}
        self._finished_calls = _finished_calls(own.values())
        self._outcomes = {outcome.task.id: outcome for outcome in past} | own
        self._nodes: dict[int, _Node] = {}
        self._ready: deque[_Node] = deque()
        """To be looked at: newly planned, or a result that they need has come or will never come."""
        self._queue: deque[_Node] = deque()
        """To be called as soon as the limits allow it."""
        self._tool_queues: dict[str, deque[_Node]] = defaultdict(deque)
        """Those of the queue whose tool is at its own limit."""
        self._held: list[_Node] = []
        """To be called if they are approved."""
        self._n_running = 0
        self._running_of: dict[str, int] = defaultdict(int)
        self._planning = True
        self._all_ended = asyncio.Event()
        self._stopped_by: BaseException | None = None
        self._group = asyncio.TaskGroup()
        self._context = copy_context()
        """What every call starts with: what one call sets, no other sees."""

    @property
    def outcomes(self) -> list[TaskOutcome]:
        """What the tasks of this plan came to so far, by number."""
        return [self._outcomes[k] for k in sorted(self._nodes) if self._nodes[k].done]

    async def run(self, tasks: AsyncGenerator[Task]) -> None:
        """Run the tasks as they come; ends when all have ended.

        What ``tasks`` raises is raised when the tasks before it have ended. Cancelling this cancels
        every call under it, and what had not ended is recorded as cancelled.

        Raises:
            PlaitError: the planner's; or two tasks have one number (PlanError).
        """
        planner_error: PlaitError | None = None
        try:
            async with self._group:
                try:
                    planner_error = await self._take(tasks)
                    self._planning = False
                    self._advance()
                    await self._all_ended.wait()
                except BaseException as error:
                    self._stop(error)
                    raise
        except BaseExceptionGroup:
            pass  # a bug in the planner, executor or approver; the first exception is raised below
        finally:
            for node in self._nodes.values():
                if not node.done:
                    self._end(node, "cancelled")
        failure = planner_error if self._stopped_by is None else self._stopped_by
        if failure is not None:
            raise failure

    async def _take(self, tasks: AsyncGenerator[Task]) -> PlaitError | None:
        """Add the tasks as they come; gives back what ended the planning early."""
        async with aclosing(tasks):
            while True:
                try:
                    task = await anext(tasks)
                except StopAsyncIteration:
                    return None
                except PlaitError as error:
                    return error
                if task.id in self._nodes or task.id in self._outcomes:
                    return PlanError(f"two tasks of the run have the number {task.id}", line=str(task))
                self._add(task)
                await asyncio.sleep(0)  # tasks that come all at once must not hold up those that are ready

    def _stop(self, error: BaseException) -> None:
        """Start nothing any more; the first reason is the one that counts."""
        if self._stopped_by is None:
            self._stopped_by = error

    def _add(self, task: Task) -> None:
        node = _Node(task, self._toolbox.get(task.tool), task.dependencies, self._clock())
        self._emit(TaskPlanned(node.planned_s, task))
        node.untrusted = self._untrusted_plan
        for k in node.needs:
            source = self._nodes.get(k)
            if source is None or source.done:
                node.untrusted |= k in self._outcomes and self._outcomes[k].untrusted
            else:
                source.dependents.append(node)
                node.missing += 1
                node.untrusted |= source.result_is_untrusted
        node.gated = node.tool is not None and self._policy(node.tool, node.untrusted)
        self._nodes[task.id] = node
        self._ready.append(node)
        self._advance()

    def _advance(self) -> None:
        """Let everything move that can; where nothing can, ask about what waits for an approval."""
        self._spawn_from(self._next_call())

    def _next_call(self) -> _Node | None:
        """Settle what is ready, and take the first call that may start now."""
        if self._stopped_by is not None:
            return None
        self._settle()
        return self._take_call()

    def _spawn_from(self, node: _Node | None) -> None:
        """Start ``node`` and all others that may start, each in a task of its own."""
        while node is not None:
            self._group.create_task(self._call_on(node))
            node = self._take_call()
        if self._stopped_by is None and not (self._planning or self._n_running):
            if self._held:
                self._group.create_task(self._ask())
            else:
                self._all_ended.set()

    @property
    def _is_full(self) -> bool:
        return self._max_concurrency is not None and self._n_running >= self._max_concurrency

    def _take_call(self) -> _Node | None:
        """The next call that the limits allow, counted as running from now on."""
        while self._queue and self._stopped_by is None and not self._is_full:
            node = self._queue.popleft()
            tool = node.tool
            assert tool is not None
            if tool.max_concurrency is not None and self._running_of[tool.name] >= tool.max_concurrency:
                self._tool_queues[tool.name].append(node)
            else:
                self._n_running += 1
                self._running_of[tool.name] += 1
                return node
        return None

    def _settle(self) -> None:
        while self._ready:
            node = self._ready.popleft()
            error = None if node.done else self._obstacle(node)
            if error is not None:
                self._end(node, "skipped" if isinstance(error, DependencyError) else "failed", error=error)
            elif not (node.done or node.missing):
                self._prepare(node)

    def _obstacle(self, node: _Node) -> PlaitError | None:
        """Why the task can never run, if so."""
        task = node.task
        if node.tool is None:
            return self._unknown(task)
        for k in node.needs:
            outcome = self._outcomes.get(k)
            if outcome is not None and not outcome.ok:
                return _dependency_error(task, outcome)
            if outcome is None and (k == task.id or k not in self._nodes):
                return ReferenceValueError(f"${k} is not an earlier task", task=task.id)
        return None

    def _prepare(self, node: _Node) -> None:
        """All inputs exist: fill them in, and queue or hold the call."""
        try:
            node.arguments = substitute(node.task.arguments, self._result_of, to_text)
        except ReferenceValueError as error:
            error.task = node.task.id
            self._end(node, "failed", error=error)
            return
        if node.planned is None:
            node.planned = node.arguments
        before = self._finished_before(node)
        if node.prepared is not None and node.prepared.arguments:
            written = substitute(node.prepared.arguments, self._result_of, to_text)
            node.arguments = {**node.arguments, **written}
        if before is not None:
            node.untrusted |= before.untrusted
            self._end(node, before.status, result=before.result, error=before.error, reused=True)
        elif node.gated:
            self._held.append(node)
        else:
            self._queue.append(node)

    def _finished_before(self, node: _Node) -> TaskOutcome | None:
        if not self._finished_calls:
            return None
        key = _call_key(node.task.tool, node.arguments)
        return self._finished_calls.get(key) if key is not None else None

    async def _call_on(self, first: _Node) -> None:
        """Make a call, and then, in the same task, one that it made ready, and so on.

        The next one starts at once, not a turn of the event loop later, behind all other calls that
        ended in this turn. A call that never waited goes on in a new task, so that the others get theirs.
        """
        node: _Node | None = first
        try:
            while node is not None:
                waited = await self._execute(node)
                following = self._next_call()
                may_go_on = waited and not _is_cancelling()
                self._spawn_from(self._take_call() if may_go_on else following)
                node = following if may_go_on else None
        except BaseException as error:
            self._stop(error)
            raise

    async def _execute(self, node: _Node) -> bool:
        """Make one call and record what came of it; whether it ever waited."""
        tool = node.tool
        assert tool is not None
        if tool.prepare is not None:
            if node.prepared is None and not await self._prepare_ungated(node):
                self._release(tool)
                return True
            assert node.prepared is not None
            tool = tool.prepared(node.prepared)
        node.started_s = self._clock()
        self._emit(TaskStarted(node.started_s, node.task, node.arguments))
        call = InContext(self._executor(tool, node.arguments), self._context.copy())
        result, failure = await self._outcome_of(call, tool)
        self._release(tool)
        self._end(node, "failed" if failure else "ok", result=result, error=failure)
        return call.waited

    def _release(self, tool: Tool) -> None:
        """Count a call as ended, and let the next one of its tool have its place."""
        self._n_running -= 1
        self._running_of[tool.name] -= 1
        waiting = self._tool_queues.get(tool.name)
        if waiting:
            self._queue.appendleft(waiting.popleft())

    async def _prepare_ungated(self, node: _Node) -> bool:
        """Prepare a call that needs no approval; whether it still needs none and can be made."""
        if not await self._prepare_call(node):
            return False
        assert node.prepared is not None
        assert node.tool is not None
        if node.prepared.untrusted and self._policy(node.tool, True):
            node.gated = True
            self._held.append(node)
            return False
        return True

    async def _prepare_call(self, node: _Node) -> bool:
        """Let the tool work out what is open about a call; where it fails, so does the task.

        Where it can only do so when there are more results, the call stays unprepared.
        """
        tool = node.tool
        assert tool is not None
        known = {name: value for name, value in node.task.arguments.items() if self._is_known(value)}
        arguments = substitute(known, self._result_of, to_text)
        marks = self._marks(node.task, known)
        if node.missing and not all(marks.values()):
            return True
        self._emit(TaskPreparing(self._clock(), node.task))
        waiting = {name: node.task.arguments[name] for name in marks}
        material = {name: self._material(value) for name, value in (known | waiting).items()}
        draft = Draft(
            arguments,
            {k: texts for k, texts in material.items() if texts},
            self._request,
            substitute(waiting, self._result_or_ref, _text_or_ref),
            {name: tuple(found) for name, found in marks.items()},
        )
        call = InContext(tool.aprepare(draft), self._context.copy())
        try:
            prepared: Prepared = await call
        except ToolError as error:
            self._end(node, "failed", error=error)
            return False
        written = _to_be_filled(prepared.arguments, marks)
        if node.missing and (prepared.needs_results or written is None):
            return True
        node.prepared = replace(prepared, arguments=written or {})
        if node.prepared.untrusted and not node.untrusted:
            self._taint(node)
        if node.planned is not None and node.prepared.arguments:
            node.arguments = {**node.arguments, **node.prepared.arguments}
        return True

    def _taint(self, node: _Node) -> None:
        """Outsiders may have written what is in a call, and so in those that wait for its result."""
        node.untrusted = True
        for dependent in node.dependents:
            if not dependent.untrusted:
                self._taint(dependent)
                dependent.gated |= dependent.tool is not None and self._policy(dependent.tool, True)

    def _is_known(self, value: Any) -> bool:
        """Whether all results that a planned argument uses can be read."""
        return not any(isinstance(self._result_or_ref(ref), Ref) for ref in references(value))

    def _marks(self, task: Task, known: Mapping[str, Any]) -> dict[str, Mapping[str, Ref]]:
        """By argument that is a text and waits for results, the marks that stand in it for these.

        None where they could not be told apart from the rest of the text.
        """
        texts = {k: v for k, v in task.arguments.items() if isinstance(v, Template) and k not in known}
        return {
            name: marks_of(tuple(self._result_or_ref(p) if isinstance(p, Ref) else p for p in text.parts))
            for name, text in texts.items()
        }

    def _material(self, value: Any) -> tuple[str, ...]:
        """The results in a planned text that can be read."""
        parts = value.parts if isinstance(value, Template) else (value,)
        results = (self._result_or_ref(part) for part in parts if isinstance(part, Ref))
        return tuple(to_text(result) for result in results if not isinstance(result, Ref))

    async def _outcome_of(self, call: InContext, tool: Tool) -> tuple[Any, ToolError | None]:
        try:
            return await call, None
        except ToolError as error:
            return None, error
        except asyncio.CancelledError as error:
            if self._stopped_by is not None:
                raise
            failure = ToolCallError(f"{tool.name} failed: it cancelled itself", tool=tool.name)
            failure.__cause__ = error
            return None, failure

    def _end(
        self,
        node: _Node,
        status: Status,
        *,
        result: Any = None,
        error: PlaitError | None = None,
        reused: bool = False,
    ) -> None:
        """Record an outcome, and line up the tasks that it makes ready or impossible."""
        now = self._clock()
        node.done = True
        outcome = TaskOutcome(
            task=node.task,
            status=status,
            result=result,
            error=error,
            arguments=node.arguments,
            planned_arguments=node.planned if node.planned is not node.arguments else None,
            planned_s=node.planned_s,
            started_s=node.started_s,
            finished_s=now,
            untrusted=node.result_is_untrusted,
            reused=reused,
        )
        self._outcomes[node.task.id] = outcome
        self._emit(TaskFinished(now, outcome))
        ready = []
        for dependent in node.dependents:
            dependent.missing -= 1
            if not dependent.missing or not outcome.ok:
                ready.append(dependent)
        if len(ready) > 1:  # the first one starts at once, so let it be the one that most others wait for
            ready.sort(key=_n_dependents, reverse=True)
        self._ready.extend(ready)

    def _result_of(self, ref: Ref) -> Any:
        value = self._outcomes[ref.task].result
        for step in ref.path:
            with _reading(str(ref)):
                value = _reach(value, step, ref)
        return value

    async def _ask(self) -> None:
        """Ask once about all calls that wait for an approval now or will when others have been made."""
        try:
            held, self._held = self._held, []
            pending, later = await self._pending()
            if not pending:
                self._advance()
                return
            calls = tuple(self._pending_call(node) for node in pending.values())
            plan = Plan(tuple(node.task for node in self._nodes.values()))
            request = ApprovalRequest(plan, calls, tuple(map(self._pending_call, later)))
            self._emit(ApprovalRequested(self._clock(), request))
            approval = await self._approved(request)
            self._emit(ApprovalGiven(self._clock(), approval.approved, approval.edits))
            for k in approval.approved:
                pending[k].gated = False
                self._edit(pending[k], approval.edits.get(k, {}))
            for k, node in pending.items():
                if k not in approval.approved and not node.done:
                    self._end(node, "declined", error=self._declined(node))
                    self._settle()
            changed = [pending[k] for k in approval.approved if approval.edits.get(k)]
            self._ready.extend(node for node in changed if not (node.done or node.missing))
            self._queue.extend(node for node in held if not node.done and node not in changed)
            self._advance()
        except BaseException as error:
            self._stop(error)
            raise

    async def _pending(self) -> tuple[dict[int, _Node], list[_Node]]:
        """The calls to ask about, by number, each prepared so that it is shown as it will be made.

        And those to ask about later: they cannot be prepared yet, or use the results of such a call.
        """
        later: dict[int, _Node] = {}
        for k in sorted(self._nodes):
            node = self._nodes[k]
            if not self._is_pending(node):
                continue
            if node.needs & later.keys():
                later[k] = node
            elif node.tool is not None and node.tool.prepare is not None and node.prepared is None:
                if await self._prepare_call(node) and node.prepared is None:
                    later[k] = node
                self._settle()  # what needs its result is skipped where it failed
        pending = (k for k in sorted(self._nodes) if self._is_pending(self._nodes[k]))
        return {k: self._nodes[k] for k in pending if k not in later}, list(later.values())

    def _edit(self, node: _Node, edits: Mapping[str, Any]) -> None:
        """Put in the user's arguments, and wait for the results that are used now and for no others."""
        if not edits:
            return
        if node.prepared is not None:
            kept = {name: value for name, value in node.prepared.arguments.items() if name not in edits}
            node.prepared = replace(node.prepared, arguments=kept)
        node.task = replace(node.task, arguments={**node.task.arguments, **edits})
        needs = node.task.dependencies
        for k in node.needs - needs:
            source = self._nodes.get(k)
            if source is not None and not source.done:
                source.dependents.remove(node)
                node.missing -= 1
        for k in needs - node.needs:
            source = self._nodes.get(k)
            if source is not None and not source.done:
                source.dependents.append(node)
                node.missing += 1
        node.needs = needs
        if not node.untrusted and self._is_untrusted(edits):
            self._taint(node)

    async def _approved(self, request: ApprovalRequest) -> Approval:
        asked = frozenset(call.task.id for call in request.calls)
        if self._approve is None:
            return Approval(frozenset())
        try:
            answer = await self._approve(request)
        except asyncio.CancelledError:
            if self._stopped_by is not None:
                raise
            answer = False  # the question was withdrawn: a dialog closed, a connection lost
        if isinstance(answer, Approval):
            return replace(answer, approved=asked & answer.approved)
        return Approval(asked if answer is True else asked & frozenset(answer or ()))

    def _is_pending(self, node: _Node) -> bool:
        return node.gated and not node.done

    def _pending_call(self, node: _Node) -> PendingCall:
        assert node.tool is not None
        prepared = node.prepared or Prepared()
        planned = node.planned
        if planned is None:
            planned = filled(node.task.arguments, self._result_or_ref)
        marked = {name for name, value in node.task.arguments.items() if self._is_untrusted(value)}
        running = {k for k, other in self._nodes.items() if not other.done}
        ended = {k for k, outcome in self._outcomes.items() if outcome.ok}
        return PendingCall(
            node.task,
            node.tool,
            {**planned, **filled(prepared.arguments, self._result_or_ref)},
            node.untrusted,
            frozenset(marked) | (prepared.untrusted & prepared.arguments.keys()),
            prepared.facts,
            {name: planned.get(name) for name in prepared.arguments},
            prepared.untrusted & prepared.facts.keys(),
            frozenset(k for k in running | ended if k < node.task.id),
        )

    def _is_untrusted(self, value: Any) -> bool:
        """Whether outsiders may have written something in a planned argument."""
        if self._untrusted_plan:
            return True
        for k in {ref.task for ref in references(value)}:
            source = self._nodes.get(k)
            known = self._outcomes.get(k) if source is None else None
            if (source is not None and source.result_is_untrusted) or (known is not None and known.untrusted):
                return True
        return False

    def _result_or_ref(self, ref: Ref) -> Any:
        try:
            return self._result_of(ref) if ref.task in self._outcomes else ref
        except ReferenceValueError:
            return ref

    def _declined(self, node: _Node) -> ApprovalError:
        nobody = "needs an approval and nobody could be asked; give an approve function, or the option --yes"
        why = nobody if self._approve is None else "was declined"
        return ApprovalError(f"{node.task.tool} {why}", task=node.task.id)

    def _unknown(self, task: Task) -> UnknownToolError:
        try:
            self._toolbox[task.tool]
        except UnknownToolError as error:
            return error
        raise AssertionError(task.tool)


def _n_dependents(node: _Node) -> int:
    return len(node.dependents)


def _is_cancelling() -> bool:
    """Whether a call has cancelled the task that it ran in."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _dependency_error(task: Task, cause: TaskOutcome) -> DependencyError:
    """Its cause is what failed first, not the chain of those that were skipped for it."""
    error = DependencyError(
        f"{task.tool} was not called because task {cause.task.id} ({cause.task.tool}) did not succeed",
        task=task.id,
    )
    error.__cause__ = cause.error.__cause__ if isinstance(cause.error, DependencyError) else cause.error
    return error


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Results bring code of their own, such as properties; what it raises fails the task that reads them."""
    try:
        yield
    except ReferenceValueError:
        raise
    except Exception as error:
        raise ReferenceValueError(f"{what} cannot be read: {type(error).__name__}: {error}") from error


def _text_or_ref(value: Any) -> str:
    return mark_of(value) if isinstance(value, Ref) else to_text(value)


def _to_be_filled(
    written: Mapping[str, Any], marks: Mapping[str, Mapping[str, Ref]]
) -> Mapping[str, Any] | None:
    """What was written, with references for marks; ``None`` where a text leaves a mark out."""
    texts = {n: with_results(text, marks[n]) for n, text in written.items() if n in marks}
    return None if None in texts.values() else {**written, **texts}


def _reach(value: Any, step: str | int, ref: Ref) -> Any:
    """The field or item ``step`` of ``value``."""
    if isinstance(step, int) and isinstance(value, Sequence):
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


def _finished_calls(outcomes: Iterable[TaskOutcome]) -> dict[str, TaskOutcome]:
    """The calls that were made and ended by themselves, by their keys."""
    made = [o for o in outcomes if o.started_s is not None and o.status in ("ok", "failed")]
    planned = (o.arguments if o.planned_arguments is None else o.planned_arguments for o in made)
    keyed = (
        *((_call_key(o.task.tool, arguments), o) for o, arguments in zip(made, planned, strict=True)),
        *((_call_key(o.task.tool, o.arguments), o) for o in made),
    )
    return {key: outcome for key, outcome in keyed if key is not None}


def _call_key(tool: str, arguments: Mapping[str, Any]) -> str | None:
    """The same for the same call; what has no JSON form counts by identity. ``None``: like no other."""
    from pydantic_core import to_jsonable_python

    try:
        with _reading("an argument"):
            plain = to_jsonable_python(dict(arguments), fallback=lambda value: f"{type(value)} {id(value)}")
            return json.dumps([tool, plain], sort_keys=True)
    except ReferenceValueError:
        return None
