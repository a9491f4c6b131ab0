"""Answers that need no model: results that are the answer already, and what failed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from typing import Any

from plait.planners._context import PlanContext, TaskOutcome
from plait.tools import Toolbox, to_text

_MAX_VALUE_CHARS = 80
_LOOKING = re.compile(r"(?:get|fetch|find|look ?up|read|show|open|search|list|check) ", re.IGNORECASE)
"""How names of tools begin that only find something out."""
_WORD_BREAK = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")


def _call(outcome: TaskOutcome) -> tuple[str, Mapping[str, Any]]:
    """What was planned to be called; the same for a call that is wanted again."""
    planned = outcome.planned_arguments
    return outcome.task.tool, outcome.arguments if planned is None else planned


def direct_answer(context: PlanContext, toolbox: Toolbox) -> str | None:
    """The answer, where no model is needed to give it: what actions report, one value, or what failed."""
    final = _final(context)
    values = [o for o in final if not _is_action(o, toolbox)]
    if len(values) > 1 or not all(_is_value(o.result) for o in values):
        return None
    return "\n".join([*map(_report, final), *what_failed(context)]) or None


def shown_results(context: PlanContext, toolbox: Toolbox) -> str:
    """What actions report, what was found out, each with what it is of, and what failed; empty if nothing.

    "Kenji: +1-503-555-0107" where one tool was called for several people, "Phone number: ..." where several
    tools were called. What was found out for other calls is left out.
    """
    final = _final(context)
    labels = _labels([o for o in final if not _is_action(o, toolbox)])
    lines = [_labelled(labels[o.task.id], _value(o)) if o.task.id in labels else _report(o) for o in final]
    return "\n".join([*lines, *what_failed(context)]).rstrip()


def _final(context: PlanContext) -> list[TaskOutcome]:
    """What succeeded and was no step towards another call; once, where a later plan wanted it again."""
    used = {k for o in context.outcomes for k in o.task.dependencies}
    repeated = [_call(o) for o in context.outcomes if o.reused]
    return [
        o
        for o in context.outcomes
        if o.ok and o.task.id not in used and (o.reused or _call(o) not in repeated)
    ]


def _report(outcome: TaskOutcome) -> str:
    return f"{outcome.task.tool}: done" if _is_nothing(outcome.result) else to_text(outcome.result)


def _value(outcome: TaskOutcome) -> str:
    return "(nothing)" if _is_nothing(outcome.result) else to_text(outcome.result)


def _is_nothing(result: Any) -> bool:
    return result is None or (isinstance(result, str | list | dict) and not result)


def what_failed(context: PlanContext) -> list[str]:
    """What is to be said of calls that did not succeed and that no other plan mended."""
    return [_not_done(outcome) for outcome in _unmended(context)]


def _labels(outcomes: Sequence[TaskOutcome]) -> dict[int, str]:
    """By the tasks' numbers what each result is of, in words that tell them apart: none for one alone."""
    calls = Counter(o.task.tool for o in outcomes)
    labels = {}
    for outcome in outcomes:
        others = [o.arguments for o in outcomes if o.task.tool == outcome.task.tool and o is not outcome]
        telling = [
            " ".join(to_text(value).split())[:_MAX_VALUE_CHARS]
            for name, value in outcome.arguments.items()
            if any(other.get(name) != value for other in others)
        ]
        name = _readable(outcome.task.tool) if len(calls) > 1 or not telling else ""
        label = " ".join([name, ", ".join(telling)]).strip()
        labels[outcome.task.id] = label if len(outcomes) > 1 else ""
    return labels


def _readable(name: str) -> str:
    """A tool's name as people would say what it gives: "Phone number" for "get_phone_number"."""
    words = " ".join(_WORD_BREAK.split(name)).strip()
    words = words[found.end() :] if (found := _LOOKING.match(words)) else words
    return words[:1].upper() + words[1:].lower()


def _labelled(label: str, text: str) -> str:
    if not label:
        return text
    return f"{label}:\n{text}\n" if "\n" in text else f"{label}: {text}"


def _is_action(outcome: TaskOutcome, toolbox: Toolbox) -> bool:
    tool = toolbox.get(outcome.task.tool)
    return tool is not None and tool.annotations.read_only is False


def _is_value(result: Any) -> bool:
    if isinstance(result, str):
        return 0 < len(result) <= _MAX_VALUE_CHARS and "\n" not in result
    return isinstance(result, (bool, int, float, date, time))


def _unmended(context: PlanContext) -> Iterable[TaskOutcome]:
    """What failed in the last plan that did anything; earlier failures were replanned."""
    last = next((plan for plan in reversed(context.plans) if len(plan)), None)
    ids = {task.id for task in last} if last else set()
    return (o for o in context.outcomes if o.task.id in ids and not o.ok)


def _not_done(outcome: TaskOutcome) -> str:
    why = str(outcome.error or outcome.status)
    return (
        f"Not done: {why}" if why.startswith(outcome.task.tool) else f"Not done: {outcome.task.tool}: {why}"
    )
