"""A session's events, settings and tools as JSON, for the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from plait.apps.assistant import (
    Cleared,
    Decided,
    Decision,
    Entry,
    SessionEvent,
    Settings,
    SettingsChanged,
    SettingsFile,
    describe_call,
    kind_of,
)
from plait.errors import PlaitError
from plait.models import CATALOG, DEFAULT_MODEL, installed
from plait.orchestrator import (
    AnswerTextWritten,
    ApprovalGiven,
    ApprovalRequested,
    JoinStarted,
    PendingCall,
    PlanFinished,
    PlanStarted,
    PlanTextWritten,
    Replanned,
    RunFinished,
    RunStarted,
    TaskFinished,
    TaskPlanned,
    TaskPreparing,
    TaskStarted,
)
from plait.planners import Task, TaskOutcome, references, written_value
from plait.tools import Toolbox, to_jsonable, to_text

MAX_TEXT_CHARS = 8000


def entry_json(entry: Entry, toolbox: Toolbox) -> dict[str, Any]:
    """An event with its number, its turn and its ``type``."""
    return {"number": entry.number, "turn": entry.turn, **_event_json(entry.event, toolbox)}


def error_json(error: PlaitError | None) -> dict[str, str] | None:
    """What went wrong: the error's name, and its sentence."""
    return None if error is None else {"type": type(error).__name__, "message": str(error)}


def settings_json(settings: Settings, toolbox: Toolbox, kept: SettingsFile | None) -> dict[str, Any]:
    """The settings, with what there is to choose from and where changes are kept."""
    there = {model.name for model in installed()}
    return {
        "model": settings.model,
        "base_url": settings.base_url,
        "home": str(settings.home),
        "own_tools": settings.tools,
        "instructions": settings.instructions,
        "is_asking": settings.is_asking,
        "kept_in": None if kept is None else str(kept.path),
        "tools": [
            {
                "name": tool.name,
                "description": tool.description,
                "kind": kind_of(tool),
                "on": tool.name not in settings.tools_off,
            }
            for tool in toolbox
        ],
        "models": [
            {
                "name": spec.name,
                "size_bytes": spec.size_bytes,
                "installed": spec.name in there,
                "default": spec.name == DEFAULT_MODEL,
            }
            for spec in CATALOG.values()
        ],
    }


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision; edited arguments as somebody may have written them."""
    return {"approved": decision.approved, "edits": _written(dict(decision.edits))}


def _written(value: Any, known: Collection[int] = ()) -> Any:
    """An argument as JSON, as it is edited."""
    return to_jsonable(written_value(value, known))


def _event_json(event: SessionEvent, toolbox: Toolbox) -> dict[str, Any]:
    match event:
        case RunStarted():
            return {"type": "request", "query": event.query}
        case PlanStarted():
            return {"type": "planning", "round": event.round}
        case PlanTextWritten():
            return {"type": "plan_text", "text": event.text}
        case TaskPlanned():
            return {"type": "task", **_task_json(event.task, toolbox)}
        case PlanFinished():
            tasks = [_task_json(task, toolbox) for task in event.plan]
            return {"type": "plan", "tasks": tasks, "error": error_json(event.error)}
        case TaskPreparing():
            return {"type": "preparing", "task": event.task.id}
        case TaskStarted():
            words = _words(toolbox, event.task.tool, event.arguments)
            return {"type": "started", "task": event.task.id, "words": words}
        case TaskFinished():
            return {"type": "finished", **_outcome_json(event.outcome)}
        case ApprovalRequested():
            return {
                "type": "approval",
                "calls": [_call_json(call) for call in event.request.calls],
                "later": [
                    {"task": call.task.id, "words": describe_call(call.tool, call.arguments)}
                    for call in event.request.later
                ],
            }
        case ApprovalGiven():
            return {"type": "approval_given", "approved": sorted(event.approved)}
        case Decided():
            return {"type": "decided", "task": event.task, **decision_json(event.decision)}
        case JoinStarted():
            return {"type": "answering"}
        case AnswerTextWritten():
            return {"type": "answer_text", "text": event.text}
        case Replanned():
            return {"type": "replanned", "reason": event.reason}
        case RunFinished():
            run = event.run
            return {
                "type": "ended",
                "answer": run.answer,
                "ok": run.ok,
                "error": error_json(run.error),
                "seconds": round(run.timings.total_s, 3),
            }
        case Cleared():
            return {"type": "cleared"}
        case SettingsChanged():
            return {"type": "settings"}


def _task_json(task: Task, toolbox: Toolbox) -> dict[str, Any]:
    return {
        "task": task.id,
        "tool": task.tool,
        "kind": kind_of(toolbox[task.tool], task.arguments) if task.tool in toolbox.names else "writes",
        "needs": sorted(task.dependencies),
        "words": _words(toolbox, task.tool, task.arguments),
    }


def _outcome_json(outcome: TaskOutcome) -> dict[str, Any]:
    started, finished = outcome.started_s, outcome.finished_s
    return {
        "task": outcome.task.id,
        "status": outcome.status,
        "text": to_text(outcome.result)[:MAX_TEXT_CHARS] if outcome.ok else "",
        "error": error_json(outcome.error),
        "untrusted": outcome.untrusted,
        "reused": outcome.reused,
        "seconds": None if started is None or finished is None else round(finished - started, 3),
    }


def _call_json(call: PendingCall) -> dict[str, Any]:
    return {
        "task": call.task.id,
        "tool": call.tool.name,
        "kind": kind_of(call.tool, call.arguments),
        "words": describe_call(call.tool, call.arguments, call.facts),
        "facts": [
            {"name": name, "value": value, "untrusted": name in call.untrusted_facts}
            for name, value in call.facts.items()
        ],
        "arguments": [
            {
                "name": name,
                "value": _written(value, call.known),
                "untrusted": name in call.untrusted_arguments,
                "written_from": to_text(_written(call.written[name])) if name in call.written else None,
                "waits_for": sorted({ref.task for ref in references(value)}),
            }
            for name, value in call.arguments.items()
        ],
    }


def _words(toolbox: Toolbox, name: str, arguments: Mapping[str, Any]) -> str:
    if name not in toolbox.names:
        return name
    return describe_call(toolbox[name], arguments)[:MAX_TEXT_CHARS]
