"""Trying the items of a benchmark with one model and one planner."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from plait.apps.evaluation._recording import RecordingModel, token_counts
from plait.apps.evaluation._tracing import StubExecutor, traced_plan
from plait.apps.evaluation._types import (
    Attempt,
    Benchmark,
    ErrorRecord,
    GenerationRecord,
    Item,
    ItemRecord,
    PlannedCall,
    Times,
    Verdict,
)
from plait.errors import ModelError, ModelServerError, PlaitError, PlanError, RunError
from plait.models import ChatModel
from plait.orchestrator import Agent, Run, call_tool
from plait.planners import CompilerPlanner, NativePlanner, Plan, PlanContext, ReactPlanner, json_value
from plait.planners._prompts import join_instructions
from plait.tools import Toolbox

_MAX_MODEL_FAILURES = 5
"""A model that fails this often in a row has died."""
_MODEL_FAILURES = (ModelError.__name__, ModelServerError.__name__)


class ScoringError(PlaitError):
    """A benchmark's scoring failed on a plan."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One model and one planner on one benchmark."""

    benchmark: Benchmark
    model: ChatModel
    planner: str
    execute: bool = False
    """Carry plans out and let an answer be written, to time whole runs."""
    tool_latency_s: float = 0.0
    """Seconds that every made-up call takes."""
    joiner: str | None = None
    """What :class:`~plait.orchestrator.Agent` takes, of planners that do not answer themselves."""

    async def attempt(self, item: Item) -> ItemRecord:
        """Try ``item``; what fails is in the record."""
        model = RecordingModel(self.model)
        run = Run(item.query)
        try:
            toolbox = self.benchmark.toolbox(item, model)
            if not len(toolbox):  # with nothing to call, no call is the only plan
                attempt = Attempt(Plan(), run)
                return _record(item, attempt, (), verdict=self._score(item, attempt))
            agent = self._agent(item, toolbox, model)
            run = await (agent.plan(item.query) if self._plans_only else agent.run(item.query))
            if run.error is not None and not isinstance(run.error, (PlanError, RunError)):
                raise run.error
            attempt = Attempt(traced_plan(run), run)
            return _record(item, attempt, model.generations, verdict=self._score(item, attempt))
        except PlaitError as error:
            return _record(item, Attempt(traced_plan(run), run), model.generations, error=error)

    def _score(self, item: Item, attempt: Attempt) -> Verdict:
        """The benchmark's verdict.

        Raises:
            ScoringError: a plan that its scoring did not foresee.
        """
        try:
            return self.benchmark.score(item, attempt)
        except PlaitError:
            raise
        except Exception as error:  # one odd plan must not end a run of hours
            raise ScoringError(
                f"the plan cannot be scored ({type(error).__name__}: {error}); please report it with the item"
            ) from error

    def prompt_sha256(self, items: Sequence[Item]) -> str:
        """The hash of what the model is first told about the first item of every category."""
        first: dict[str, list[Any]] = {}
        for item in items:
            if not first.get(item.category):
                first[item.category] = self._first_prompt(item)
        told = hashlib.sha256()
        for prompt in filter(None, first.values()):
            told.update(json.dumps(prompt, sort_keys=True).encode())
        if self.execute or self.benchmark.real_tools:  # what the joiner is told decides answers
            told.update(join_instructions(may_replan=True).encode())
        return told.hexdigest()

    @property
    def _plans_only(self) -> bool:
        """Whether one round of planning is all there is to it."""
        if self.execute or self.benchmark.real_tools:
            return False
        return self.planner in ("compiler", "compact", "tuned") or (
            self.planner == "native" and self.benchmark.single_turn
        )

    def _agent(self, item: Item, toolbox: Toolbox, model: ChatModel) -> Agent:
        benchmark = self.benchmark
        executor = call_tool if benchmark.real_tools else StubExecutor(benchmark, self.tool_latency_s)
        now = item.now
        return Agent(
            model,
            toolbox,
            planner=self.planner,
            joiner=self.joiner,
            examples=benchmark.examples,
            policy="none",
            executor=executor,
            now=(lambda: now) if now is not None else None,
        )

    def _first_prompt(self, item: Item) -> list[Any]:
        """What the model is first told about ``item``; nothing for an item without tools."""
        try:
            toolbox = self.benchmark.toolbox(item, self.model)
            return self._prompt(item, toolbox) if len(toolbox) else []
        except PlaitError as error:  # the item's own, as its record will say
            return [str(error)]

    def _prompt(self, item: Item, toolbox: Toolbox) -> list[Any]:
        planner = self._agent(item, toolbox, self.model).planner
        context = PlanContext(query=item.query, now=item.now)
        assert isinstance(planner, (CompilerPlanner, NativePlanner, ReactPlanner))
        told: list[Any] = [[message.role, message.content] for message in planner.messages(context)]
        if isinstance(planner, NativePlanner):
            return [*told, planner.definitions]
        grammar = planner.grammar(context)
        return [*told, None if grammar is None else [grammar.lark, grammar.gbnf, grammar.json_schema]]


async def try_items(
    trial: Trial, items: Iterable[Item], keep: Callable[[ItemRecord], None], *, workers: int = 1
) -> None:
    """Try ``items``, ``workers`` at a time, and hand each record to ``keep`` as soon as there is one.

    Raises:
        ModelError: the model failed too often in a row; the records before it are kept.
    """
    queue = iter(items)
    n_failures = 0

    async def work() -> None:
        nonlocal n_failures
        for item in queue:
            record = (await trial.attempt(item)).model_copy(update={"workers": workers})
            keep(record)
            is_model_failure = record.error is not None and record.error.type in _MODEL_FAILURES
            n_failures = n_failures + 1 if is_model_failure else 0
            if n_failures >= max(_MAX_MODEL_FAILURES, 2 * workers) and record.error is not None:
                raise ModelError(
                    f"the model {trial.model.name} failed {n_failures} times in a row (the last time: "
                    f"{record.error.message}); start it again, then repeat the command with --retry-errors"
                )

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _record(
    item: Item,
    attempt: Attempt,
    generations: Sequence[GenerationRecord],
    *,
    verdict: Verdict | None = None,
    error: PlaitError | None = None,
) -> ItemRecord:
    run = attempt.run
    timings = run.timings
    verdict = verdict or Verdict(correct=False)
    unread = isinstance(run.error, PlanError)
    return ItemRecord(
        id=item.id,
        category=item.category,
        query=item.query,
        gold=item.gold,
        correct=verdict.correct,
        scores=dict(verdict.scores),
        detail=verdict.detail or (str(run.error) if run.error is not None else ""),
        error=None if error is None else ErrorRecord(type=type(error).__name__, message=str(error)),
        parsed=not unread,
        plan=planned_calls(attempt.plan),
        answer=run.answer,
        generations=list(generations),
        model_calls=len(generations),
        n_calls=sum(o.started_s is not None for o in run.tasks),
        tokens=token_counts(run.usage),
        times=Times(
            total_s=round(timings.total_s, 6),
            plan_s=round(timings.plan_s, 6),
            prefill_s=round(run.usage.prefill_s, 6),
            decode_s=round(run.usage.decode_s, 6),
            tools_s=round(timings.calls_s, 6),
            join_s=round(timings.join_s, 6),
            first_call_s=_rounded(timings.first_call_s),
            last_call_s=_rounded(timings.last_call_s),
        ),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def planned_calls(plan: Plan) -> list[PlannedCall]:
    """The calls of ``plan`` as they are kept."""
    return [
        PlannedCall(id=task.id, tool=task.tool, arguments=json_value(dict(task.arguments))) for task in plan
    ]
