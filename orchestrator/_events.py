"""Every step of a run, as an event.

The terminal, the web page, the tracer, the journal and the evaluation read this one stream. ``at_s`` is
the time in seconds since the run began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from plait.errors import PlaitError
from plait.planners import Plan, Task, TaskOutcome

if TYPE_CHECKING:
    from plait.orchestrator._policy import ApprovalRequest
    from plait.orchestrator._run import Run


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A request came in."""

    at_s: float
    query: str


@dataclass(frozen=True, slots=True)
class PlanStarted:
    """A planner was asked; ``round`` counts from 0."""

    at_s: float
    round: int


@dataclass(frozen=True, slots=True)
class PlanTextWritten:
    """The planner's model wrote ``text``."""

    at_s: float
    text: str


@dataclass(frozen=True, slots=True)
class TaskPlanned:
    """A task is complete; it starts when its inputs exist."""

    at_s: float
    task: Task


@dataclass(frozen=True, slots=True)
class PlanFinished:
    """The planner has ended, by itself or with an error."""

    at_s: float
    plan: Plan
    error: PlaitError | None = None


@dataclass(frozen=True, slots=True)
class TaskPreparing:
    """What is open about a call is worked out, such as the text of an email; no tool is called yet."""

    at_s: float
    task: Task


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A tool is called; ``arguments`` have results in the place of references."""

    at_s: float
    task: Task
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskFinished:
    """A task has ended, in whatever way."""

    at_s: float
    outcome: TaskOutcome


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """Calls wait for an approval."""

    at_s: float
    request: ApprovalRequest


@dataclass(frozen=True, slots=True)
class ApprovalGiven:
    """The tasks of these numbers were approved, the others declined."""

    at_s: float
    approved: frozenset[int]
    edits: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """The arguments that the user changed, by task."""


@dataclass(frozen=True, slots=True)
class JoinStarted:
    """The plan's tasks have ended, and the joiner looks at what they brought."""

    at_s: float


@dataclass(frozen=True, slots=True)
class AnswerTextWritten:
    """A piece of the answer."""

    at_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Replanned:
    """Another plan is needed."""

    at_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run has ended."""

    at_s: float
    run: Run


Event: TypeAlias = (
    RunStarted
    | PlanStarted
    | PlanTextWritten
    | TaskPlanned
    | PlanFinished
    | TaskPreparing
    | TaskStarted
    | TaskFinished
    | ApprovalRequested
    | ApprovalGiven
    | JoinStarted
    | AnswerTextWritten
    | Replanned
    | RunFinished
)
