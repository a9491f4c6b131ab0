"""What a run came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from plait.errors import PlaitError
from plait.models import Usage
from plait.planners import Plan, TaskOutcome
from plait.tools import to_jsonable


@dataclass(slots=True)
class Timings:
    """Seconds. Plan, calls and answer overlap, so they need not add up to the total."""

    plan_s: float = 0.0
    """Time in which a planner was writing."""
    first_call_s: float | None = None
    """From the start of the run to the first call; ``None`` if there was none."""
    last_call_s: float | None = None
    """From the start of the run to the end of the last call; ``None`` if there was none."""
    calls_s: float = 0.0
    """From the first call of each plan to the end of its last one."""
    join_s: float = 0.0
    """Time in which the answer was decided on and written."""
    total_s: float = 0.0
    """The whole run."""


@dataclass(slots=True)
class Run:
    """A request, its plans, its calls and its answer; what had finished before a failure is in it."""

    query: str
    answer: str = ""
    """The answer; empty if the run failed before there was one."""
    now: datetime | None = field(default=None, repr=False)
    """When the request was made, for planners and joiners; ``None``: they are told no time."""
    plans: list[Plan] = field(default_factory=list)
    """The plans in order; the tasks of a replan are numbered on."""
    tasks: list[TaskOutcome] = field(default_factory=list)
    """What became of each task, by number."""
    error: PlaitError | None = None
    """Why the run ended without an answer."""
    timings: Timings = field(default_factory=Timings)
    usage: Usage = field(default_factory=Usage)
    """Tokens and times of all model calls of planner and joiner together."""

    @property
    def ok(self) -> bool:
        """Whether there is an answer and every call of the last plan that made any succeeded."""
        last = next((plan for plan in reversed(self.plans) if len(plan)), Plan())
        ids = {task.id for task in last}
        return self.error is None and all(o.ok for o in self.tasks if o.task.id in ids)

    @property
    def replans(self) -> int:
        """How many plans there were after the first."""
        return max(0, len(self.plans) - 1)

    @property
    def plan(self) -> Plan:
        """All tasks of all plans: one graph."""
        return Plan(tuple(task for plan in self.plans for task in plan))

    def raise_for_error(self) -> Run:
        """Give the run back if it has an answer, and raise its error if not."""
        if self.error is not None:
            raise self.error
        return self

    def to_json(self) -> dict[str, Any]:
        """The run as JSON types: answer, plan, tasks, replans, timings, tokens, error."""
        return {
            "query": self.query,
            "answer": self.answer,
            "ok": self.ok,
            "error": _error_json(self.error),
            "plan": [{"id": t.id, "tool": t.tool, "arguments": _arguments(t.arguments)} for t in self.plan],
            "tasks": [_task_json(outcome) for outcome in self.tasks],
            "replans": self.replans,
            "timings": {
                "plan_s": round(self.timings.plan_s, 6),
                "first_call_s": _rounded(self.timings.first_call_s),
                "last_call_s": _rounded(self.timings.last_call_s),
                "calls_s": round(self.timings.calls_s, 6),
                "join_s": round(self.timings.join_s, 6),
                "total_s": round(self.timings.total_s, 6),
            },
            "tokens": {
                "prompt": self.usage.prompt_tokens,
                "cached": self.usage.cached_tokens,
                "prefill": self.usage.prefill_tokens,
                "completion": self.usage.completion_tokens,
                "forced": self.usage.forced_tokens,
            },
        }


def _task_json(outcome: TaskOutcome) -> dict[str, Any]:
    return {
        "id": outcome.task.id,
        "tool": outcome.task.tool,
        "status": outcome.status,
        "result": to_jsonable(outcome.result),
        "error": _error_json(outcome.error),
        "started_s": _rounded(outcome.started_s),
        "finished_s": _rounded(outcome.finished_s),
        "reused": outcome.reused,
        "untrusted": outcome.untrusted,
    }


def _error_json(error: PlaitError | None) -> dict[str, str] | None:
    return None if error is None else {"type": type(error).__name__, "message": str(error)}


def _arguments(value: Any) -> Any:
    from plait.planners import Ref, Template

    if isinstance(value, Ref):
        return str(value)
    if isinstance(value, Template):
        return "".join(part if isinstance(part, str) else f"${{{str(part)[1:]}}}" for part in value.parts)
    if isinstance(value, dict):
        return {key: _arguments(item) for key, item in value.items()}
    return [_arguments(item) for item in value] if isinstance(value, list) else to_jsonable(value)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
