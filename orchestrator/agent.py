"""The agent: plan, fetch, join, and again if need be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from plait.errors import (
    AmbiguousError,
    ApprovalError,
    ConfigurationError,
    DeadlineError,
    DependencyError,
    PlaitError,
    PlanError,
    RunError,
)
from plait.models import PLANS, ChatModel, Usage, load_model, plain_model, purpose_of
from plait.orchestrator._events import (
    AnswerTextWritten,
    Event,
    JoinStarted,
    PlanFinished,
    PlanStarted,
    PlanTextWritten,
    Replanned,
    RunFinished,
    RunStarted,
)
from plait.orchestrator._fetcher import Executor, TaskFetcher, call_tool
from plait.orchestrator._history import History, recall
from plait.orchestrator._policy import Approver, Policy, find_policy
from plait.orchestrator._run import Run
from plait.planners import (
    Answer,
    AnswerText,
    CompilerPlanner,
    DialectName,
    ExampleFinder,
    Joiner,
    ModelJoiner,
    NativePlanner,
    Plan,
    PlanContext,
    PlanExample,
    Planner,
    PlanText,
    ReactPlanner,
    Replan,
    ResultsJoiner,
    RetrievingPlanner,
    Task,
    TaskOutcome,
    TunedPlanner,
)
from plait.tools import Toolbox

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from plait.retrieval import Retriever

PlannerFactory = Callable[[ChatModel, Toolbox], Planner]
Emit = Callable[[Event], None]
_FINAL = (AmbiguousError, ApprovalError, DependencyError)
"""What no other plan can mend: the user has to speak, or it follows from another failure."""
_NO_REASON = "The results so far do not suffice."
"""Why another plan is wanted, where the joiner does not say."""
_IDLE_ROUNDS = 3
"""After so many plans in a row without a new call, no new one comes."""
PLANNERS = ("compact", "compiler", "native", "react", "tuned")
JOINERS = ("model", "results")


class Agent:
    """Carries out requests with tools.

    Args:
        model: a chat model, the name of one in the catalog, or the path of a GGUF file.
        tools: tools, functions or LangChain tools.
        planner: ``"compiler"`` (one call writes the whole graph), ``"compact"`` (the same in fewer
            tokens), ``"tuned"`` (that with the short prompt of models that ``plait train`` made), ``"react"``
            or ``"native"`` (baselines), or a function of model and toolbox that makes a planner. ``None`` is
            what fits the model: ``"tuned"`` or ``"compiler"``.
        joiner: decides on answers: ``"model"`` (the model writes one where the results are none yet),
            ``"results"`` (the results themselves are shown, without another model call), or one of your own.
            ``None`` is what fits the model: ``"results"`` where it was fine-tuned to write plans only.
        examples: worked examples for the compiler's prompt.
        max_replans: further plans that a run may have when calls fail or results do not suffice; ``None`` is
            as many as its planner is good for: two, and none for ``"tuned"``.
        max_concurrency: calls that may run at once; ``None`` is no limit.
        deadline_s: seconds that a run may take; ``None`` is no limit.
        policy: which calls wait for an approval: ``"untrusted"`` (those that send or destroy and carry
            what outsiders wrote), ``"writes"``, ``"all"``, ``"none"``, or a function.
        approve: is asked about them, once a plan; without it they are declined.
        executor: carries out a call; the default calls the tool in this process.
        now: the user's clock; ``None`` for tools that have nothing to do with time: the prompt tells none.
        instructions: what the user wants to be kept in mind for every request, in his own words.
        history_tokens: how much of the prompt may tell of a conversation's earlier requests.
        retriever: finds the tools that a request may need, such as an index of :mod:`plait.retrieval`: for
            more tools than a prompt holds, and to narrow what a plan may call; see
            :class:`~plait.planners.RetrievingPlanner`.
        example_finder: with a retriever: finds worked examples for each request, beside those with which
            prompts begin.
        tool_tokens: with a retriever: tokens of the descriptions of tools that a prompt may list; half of the
            model's context if not given.

    Raises:
        UnknownModelError, ModelFileError, DownloadError: the model cannot be had.
        ToolDefinitionError, DuplicateToolError: the tools cannot be used.
        ConfigurationError: an option has an unknown value, or there are no tools.
    """

    def __init__(
        self,
        model: ChatModel | str,
        tools: Iterable[Any] | Toolbox,
        *,
        planner: str | PlannerFactory | None = None,
        joiner: str | Joiner | None = None,
        examples: Sequence[PlanExample] = (),
        max_replans: int | None = None,
        max_concurrency: int | None = None,
        deadline_s: float | None = None,
        policy: str | Policy = "untrusted",
        approve: Approver | None = None,
        executor: Executor = call_tool,
        now: Callable[[], datetime] | None = datetime.now,
        instructions: str = "",
        history_tokens: int = 512,
        retriever: Retriever | None = None,
        example_finder: ExampleFinder | None = None,
        tool_tokens: int | None = None,
    ) -> None:
        self.toolbox = tools if isinstance(tools, Toolbox) else Toolbox(tools)
        if not len(self.toolbox):
            raise ConfigurationError("an agent needs at least one tool; tools is empty")
        self._policy = find_policy(policy)
        _check_choice("planner", planner, PLANNERS)
        _check_choice("joiner", joiner, JOINERS)
        self.model: ChatModel = load_model(model) if isinstance(model, str) else model
        chosen = default_planner(self.model) if planner is None else planner
        make = partial(_make_planner, chosen, self.model, examples=examples, max_replans=max_replans)
        self.planner: Planner = make(self.toolbox)
        if retriever is not None:
            self.planner = RetrievingPlanner(
                make,
                self.model,
                self.toolbox,
                retriever,
                examples=examples,
                example_finder=example_finder,
                tool_tokens=tool_tokens,
            )
        self.joiner = _make_joiner(joiner, self.model, self.toolbox)
        self._max_concurrency = max_concurrency
        self._deadline_s = deadline_s
        self.approve = approve
        """Who is asked about calls that need an approval; may be set until the run begins."""
        self._executor = executor
        self._now = now
        self._instructions = " ".join(instructions.split())
        self._history_tokens = history_tokens

    async def run(self, query: str, *, earlier: Sequence[Run] = (), on_event: Emit | None = None) -> Run:
        """Carry out ``query``; ``on_event`` is called with every event as it happens.

        ``earlier`` are the conversation's runs before this one, oldest first: the planner is told what they
        asked, called and got, as far as ``history_tokens`` allow and outsiders have not written it, and the
        tasks may refer to their results. Tasks are numbered on through a conversation.

        A failure of a tool, the planner or the model does not raise: it is in the run, beside what had
        finished before; see :meth:`Run.raise_for_error`. Cancelling this cancels everything under it.
        """
        return await self._run(query, on_event or _ignore, earlier)

    def run_sync(self, query: str, *, earlier: Sequence[Run] = (), on_event: Emit | None = None) -> Run:
        """:meth:`run`, for scripts that have no event loop."""
        return asyncio.run(self.run(query, earlier=earlier, on_event=on_event))

    async def plan(self, query: str, *, on_event: Emit | None = None) -> Run:
        """Plan ``query`` and call nothing; the run has the plan and no tasks."""
        run = Run(query, now=self._now() if self._now is not None else None)
        clock = _clock()
        planning = _Planning(run, self._context(run, History(), 0, ""), clock, on_event or _ignore)
        try:
            async with asyncio.timeout(self._deadline_s) as deadline:
                async for _ in planning.tasks(self.planner):
                    pass
        except PlaitError as error:
            run.error = error
        except TimeoutError:
            if not deadline.expired():
                raise
            run.error = self._overdue()
        run.plans.append(Plan(tuple(planning.planned)))
        run.answer = planning.answer.text if planning.answer else ""
        run.timings.total_s = clock()
        return run

    async def stream(self, query: str) -> AsyncIterator[Event]:
        """The events of a run, as they happen; the last one is :class:`RunFinished`.

        Leaving the iteration early (``aclose``) cancels the run.
        """
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        running = asyncio.create_task(self._run(query, events.put_nowait))
        running.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def as_runnable(self) -> Runnable[str, Run]:
        """A LangChain runnable from a request to a :class:`Run`."""
        from langchain_core.runnables import RunnableLambda

        return RunnableLambda(self.run_sync, afunc=self.run, name="plait")

    async def aclose(self) -> None:
        """Release the model."""
        await self.model.aclose()

    async def __aenter__(self) -> Agent:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _run(self, query: str, emit: Emit, earlier: Sequence[Run] = ()) -> Run:
        """The core loop: plan and fetch, join, and again while another plan is wanted."""
        history = recall(earlier, self.model, max_tokens=self._history_tokens)
        run = Run(query, now=self._now() if self._now is not None else None)
        clock = _clock()
        emit(RunStarted(clock(), query))
        feedback = ""
        try:
            async with asyncio.timeout(self._deadline_s) as deadline:
                for round_ in range(self.planner.max_rounds):
                    decision = await self._plan_and_fetch(run, history, round_, feedback, clock, emit)
                    if decision is None:
                        decision = await self._join(run, history, round_, clock, emit)
                    if isinstance(decision, Answer):
                        run.answer = decision.text
                        break
                    feedback = decision.reason
                    emit(Replanned(clock(), feedback))
                else:
                    run.error = RunError(f"there was no answer after {self.planner.max_rounds} rounds")
        except PlaitError as error:
            run.error = error
        except TimeoutError as error:
            if not deadline.expired():  # somebody else's: the joiner's, the approver's
                run.error = RunError(f"the run failed: {error!r}")
                raise
            run.error = self._overdue()
        except asyncio.CancelledError:
            run.error = RunError("the run was cancelled")
            raise
        finally:
            run.timings.total_s = clock()
            emit(RunFinished(clock(), run))
        return run

    def _overdue(self) -> DeadlineError:
        return DeadlineError(f"the run did not end within its deadline of {self._deadline_s} s")

    async def _plan_and_fetch(
        self,
        run: Run,
        history: History,
        round_: int,
        feedback: str,
        clock: Callable[[], float],
        emit: Emit,
    ) -> Answer | Replan | None:
        """Plan, and run the tasks as they are planned. ``None``: it is for the joiner to decide."""
        fetcher = TaskFetcher(
            self.toolbox,
            clock=clock,
            emit=emit,
            executor=self._executor,
            max_concurrency=self._max_concurrency,
            policy=self._policy,
            approve=self.approve,
            earlier=run.tasks,
            past=history.outcomes,
            # A planner that has read what outsiders wrote may have been talked into its plan.
            untrusted_plan=any(outcome.untrusted for outcome in run.tasks),
            request=run.query,
        )
        emit(PlanStarted(clock(), round_))
        planning = _Planning(run, self._context(run, history, round_, feedback), clock, emit)
        failure: PlanError | None = None
        try:
            await fetcher.run(planning.tasks(self.planner))
        except PlanError as error:
            failure = error
        finally:
            run.plans.append(Plan(tuple(planning.planned)))
            run.tasks.extend(fetcher.outcomes)
            _time_calls(run, fetcher.outcomes)
        if planning.answer is not None:
            return planning.answer
        is_last = round_ + 1 == self.planner.max_rounds
        if failure is not None:
            if is_last:
                raise failure
            return Replan(f"The last plan was not valid: {failure}")
        if self.planner.answers:
            if _goes_round(run):
                raise RunError(
                    f"the planner asked {_IDLE_ROUNDS} times in a row only for what it had asked for before; "
                    "try another planner or model"
                )
            return Replan("")
        return None if is_last else _mending(run, fetcher.outcomes)

    async def _join(
        self, run: Run, history: History, round_: int, clock: Callable[[], float], emit: Emit
    ) -> Answer | Replan:
        began = clock()
        emit(JoinStarted(began))
        decision: Answer | Replan | None = None
        async with aclosing(self.joiner.join(self._context(run, history, round_, ""))) as steps:
            async for step in steps:
                if isinstance(step, AnswerText):
                    emit(AnswerTextWritten(clock(), step.text))
                elif isinstance(step, Usage):
                    run.usage += step
                else:
                    decision = step
        run.timings.join_s += clock() - began
        if decision is None:
            raise RunError("the joiner gave neither an answer nor the wish for another plan")
        if isinstance(decision, Replan) and not decision.reason.strip():
            return Replan(_NO_REASON)
        return decision

    def _context(self, run: Run, history: History, round_: int, feedback: str) -> PlanContext:
        return PlanContext(
            query=run.query,
            now=run.now,
            outcomes=tuple(run.tasks),
            plans=tuple(run.plans),
            feedback=feedback,
            rounds_left=self.planner.max_rounds - round_ - 1,
            first_number=history.first_number,
            history=history.turns,
            instructions=self._instructions,
            called=history.called,
        )


class _Planning:
    """One round of planning: passes the tasks on and keeps what else the planner says."""

    def __init__(self, run: Run, context: PlanContext, clock: Callable[[], float], emit: Emit) -> None:
        self._run = run
        self._context = context
        self._clock = clock
        self._emit = emit
        self.planned: list[Task] = []
        self.answer: Answer | None = None

    async def tasks(self, planner: Planner) -> AsyncGenerator[Task]:
        began = self._clock()
        failure: PlaitError | None = None
        try:
            async with aclosing(planner.plan(self._context)) as steps:
                async for step in steps:
                    if isinstance(step, Task):
                        self.planned.append(step)
                        yield step
                    elif isinstance(step, PlanText):
                        self._emit(PlanTextWritten(self._clock(), step.text))
                    elif isinstance(step, Usage):
                        self._run.usage += step
                    else:
                        self.answer = step
        except PlaitError as error:
            failure = error
            raise
        finally:
            self._run.timings.plan_s += self._clock() - began
            self._emit(PlanFinished(self._clock(), Plan(tuple(self.planned)), failure))


def _ignore(event: Event) -> None:
    pass


def _clock() -> Callable[[], float]:
    """Seconds since now."""
    began = time.perf_counter()
    return lambda: time.perf_counter() - began


def _goes_round(run: Run) -> bool:
    """Whether the last plans had tasks, and all of them were those of earlier plans, word for word."""
    earlier: list[tuple[str, Mapping[str, Any]]] = []
    n_idle = 0
    for plan in run.plans:
        asked = [(task.tool, task.arguments) for task in plan]
        n_idle = n_idle + 1 if asked and all(call in earlier for call in asked) else 0
        earlier += asked
    return n_idle >= _IDLE_ROUNDS


def _mending(run: Run, outcomes: Sequence[TaskOutcome]) -> Replan | None:
    """The wish for another plan, where one could mend what failed in this one."""
    failed = [o for o in outcomes if not o.ok and not isinstance(o.error, _FINAL)]
    if not failed or (run.replans and not any(o.started_s is not None for o in outcomes)):
        return None  # all went well; or the last replan found nothing new to call
    reasons = "; ".join(f"call {o.task.id} ({o.task.tool}) failed: {o.error}" for o in failed)
    return Replan(reasons)


def _time_calls(run: Run, outcomes: Sequence[TaskOutcome]) -> None:
    starts = [o.started_s for o in outcomes if o.started_s is not None]
    ends = [o.finished_s for o in outcomes if o.started_s is not None and o.finished_s is not None]
    if starts and run.timings.first_call_s is None:
        run.timings.first_call_s = min(starts)
    if starts and ends:
        run.timings.last_call_s = max(ends)
        run.timings.calls_s += max(ends) - min(starts)


def default_planner(model: ChatModel) -> str:
    """The name of the planner that fits ``model``."""
    return "tuned" if purpose_of(model) == PLANS else "compiler"


def _make_joiner(joiner: str | Joiner | None, model: ChatModel, toolbox: Toolbox) -> Joiner:
    if not (joiner is None or isinstance(joiner, str)):
        return joiner
    # Small models that were fine-tuned to write plans would make answers up.
    if joiner == "results" or (joiner is None and purpose_of(model) == PLANS):
        return ResultsJoiner(toolbox)
    return ModelJoiner(plain_model(model), toolbox)


def _check_choice(kind: str, chosen: object, known: Sequence[str]) -> None:
    if isinstance(chosen, str) and chosen not in known:
        raise ConfigurationError(f"there is no {kind} {chosen!r}; choose one of {', '.join(known)}")


def _make_planner(
    planner: str | PlannerFactory,
    model: ChatModel,
    toolbox: Toolbox,
    *,
    examples: Sequence[PlanExample],
    max_replans: int | None,
) -> Planner:
    if not isinstance(planner, str):
        return planner(model, toolbox)
    if planner == "react":
        return ReactPlanner(model, toolbox)
    if planner == "native":
        return NativePlanner(model, toolbox)
    if planner == "tuned":
        return TunedPlanner(model, toolbox, max_replans=max_replans or 0)
    n_replans = 2 if max_replans is None else max_replans
    dialect: DialectName = "compact" if planner == "compact" else "keyword"
    return CompilerPlanner(model, toolbox, examples=examples, max_replans=n_replans, dialect=dialect)
