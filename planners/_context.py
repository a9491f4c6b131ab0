"""What planners and joiners are told, and what they say."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from plait.errors import PlaitError
from plait.models import Usage
from plait.planners._plan import Plan, Task
from plait.tools import Tool, to_text

if TYPE_CHECKING:
    from plait.planners._prompts import PlanExample

Status = Literal["ok", "failed", "skipped", "declined", "cancelled"]


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What became of one task. Times are seconds since the run began, ``None`` where it came to nothing."""

    task: Task
    """The task as it was planned."""
    status: Status
    """``skipped``: a task that it needs did not succeed. ``declined``: not approved."""
    result: Any = None
    """What the tool returned, with its type."""
    error: PlaitError | None = None
    """Why it did not succeed."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """The arguments with results in the place of references; empty if they could not be had."""
    planned_arguments: Mapping[str, Any] | None = None
    """The same as they were planned, where the tool's preparation or the user has changed them."""
    planned_s: float = 0.0
    started_s: float | None = None
    finished_s: float | None = None
    untrusted: bool = False
    """Whether outsiders may have written the result: the tool is open-world, or an argument was untrusted."""
    reused: bool = False
    """The same call had finished in an earlier plan of the run, so nothing was called."""

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return self.status == "ok"


@dataclass(frozen=True, slots=True)
class PastCall:
    """A call of an earlier request of the conversation, without what outsiders wrote."""

    task: Task
    """The task; without arguments where its planner had read what outsiders wrote."""
    status: Status
    text: str | None
    """What came of it, cut where it is long; ``None`` where outsiders may have written it."""

    @property
    def ok(self) -> bool:
        """Whether there is a result to refer to."""
        return self.status == "ok"


@dataclass(frozen=True, slots=True)
class PastTurn:
    """An earlier request of the conversation."""

    query: str
    """What the user asked, in his own words; cut where it is long."""
    calls: tuple[PastCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """What was found for one request: it narrows and completes what the planner's prompt always has."""

    allowed: frozenset[str] = frozenset()
    """Names of the tools that the plan may call; empty for all that the prompt lists."""
    tools: tuple[Tool, ...] = ()
    """Tools that the prompt lists for this request, after those that it always lists."""
    examples: tuple[PlanExample, ...] = ()
    """Worked examples for this request, the most helpful last; they come after the static part."""

    def listed(self, tools: Iterable[Tool]) -> list[Tool]:
        """The tools that the prompt lists, where ``tools`` are those that it always lists."""
        return [*tools, *self.tools]

    def callable(self, tools: Iterable[Tool]) -> list[Tool]:
        """Those of the listed tools that the plan may call."""
        return [tool for tool in self.listed(tools) if not self.allowed or tool.name in self.allowed]


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What a planner or joiner may know of a run."""

    query: str
    """The user's request, as it was written."""
    now: datetime | None = None
    """The user's clock; ``None``: the prompt tells none."""
    outcomes: Sequence[TaskOutcome] = ()
    """What the tasks of the run's earlier plans came to, in order of their numbers."""
    plans: Sequence[Plan] = ()
    """The run's plans so far, in order; the last one has just run."""
    feedback: str = ""
    """Why another plan is wanted."""
    rounds_left: int = 0
    """How many more plans the run may have after this one."""
    first_number: int = 1
    """The number of the run's first task; those below it belong to earlier requests of the conversation."""
    history: Sequence[PastTurn] = ()
    """The conversation's earlier requests, oldest first; the results of their calls may be referred to."""
    instructions: str = ""
    """What the user wants to be kept in mind for every request."""
    called: Sequence[str] = ()
    """The tools that the conversation has called, also in requests that ``history`` has no room for."""
    offer: Offer = Offer()
    """What retrieval found for the request; without retrieval nothing."""

    @property
    def next_number(self) -> int:
        """The number of the next task to be planned."""
        return max((o.task.id for o in self.outcomes), default=self.first_number - 1) + 1

    @property
    def referable(self) -> frozenset[int]:
        """The numbers of the tasks whose results a new task may use."""
        past = (call.task.id for turn in self.history for call in turn.calls if call.ok)
        return frozenset(past) | {o.task.id for o in self.outcomes if o.ok}

    @property
    def earlier_tasks(self) -> tuple[Task, ...]:
        """The tasks of the conversation and of the run's earlier plans that are told of."""
        past = (call.task for turn in self.history for call in turn.calls)
        return (*past, *(outcome.task for outcome in self.outcomes))

    @property
    def texts(self) -> list[str]:
        """All that the user and results have said, so far as it is told."""
        past = [turn.query for turn in self.history]
        past += [call.text for turn in self.history for call in turn.calls if call.text is not None]
        results = [to_text(outcome.result) for outcome in self.outcomes if outcome.ok]
        return [self.instructions, *past, *results, self.feedback, self.query]

    @property
    def unavailable(self) -> frozenset[int]:
        """The numbers below the next one that no new task may use."""
        return frozenset(range(1, self.next_number)) - self.referable


@dataclass(frozen=True, slots=True)
class PlanText:
    """A piece of what the planner's model writes."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerText:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of the run."""

    text: str


@dataclass(frozen=True, slots=True)
class Replan:
    """Another plan is wanted."""

    reason: str


PlannerStep: TypeAlias = Task | PlanText | Answer | Usage
JoinerStep: TypeAlias = AnswerText | Answer | Replan | Usage


class Planner(Protocol):
    """Turns a request into tasks, one by one, as they become known."""

    @property
    def max_rounds(self) -> int:
        """How often it may be asked in one run."""
        ...

    @property
    def answers(self) -> bool:
        """Whether it says itself when the run is over (react); otherwise a joiner does (compiler)."""
        ...

    def plan(self, context: PlanContext) -> AsyncGenerator[PlannerStep]:
        """Tasks in order; each refers to earlier ones only.

        An :class:`Answer` says that no further call is needed, and ends the run.

        Raises (on iteration):
            PlanError: the model wrote no plan. Tasks yielded before it stand.
            ModelError: the model failed.
        """
        ...


class Joiner(Protocol):
    """Decides, when a plan's tasks have ended, whether there is an answer or another plan is needed."""

    def join(self, context: PlanContext) -> AsyncGenerator[JoinerStep]:
        """Pieces of an answer and the whole :class:`Answer`, or a :class:`Replan`, as the last step."""
        ...
