"""NESTFUL's own metrics (arXiv 2409.03797), as its scorer computes them.

Its conventions are kept, odd ones too: a reference is compared by the tool that made the result and the
field; of several calls of one tool only the last one's parameters count towards the parameter F1; F1 is
the macro average over the names (or ``name = value`` pairs) that occur in the right sequences; calls are
compared position by position.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from plait.apps.evaluation._nestful_data import Call
from plait.planners import Plan, Ref, Template, Value


@dataclass(frozen=True, slots=True)
class NestfulScores:
    """What NESTFUL's scorer reports, each from 0 to 1."""

    f1_functions: float
    f1_parameters: float
    partial_accuracy: float
    """Mean share of the calls that are right, with their arguments, at their positions."""
    full_accuracy: float
    """Share of the sequences that are right in all."""


def official_scores(pairs: Iterable[tuple[Sequence[Call], Sequence[Call]]]) -> NestfulScores:
    """The metrics over a whole set of right and predicted sequences.

    Of a single pair they are its own; the two accuracies of a set are the means over its pairs, the two F1
    are not.
    """
    grounded = [(_grounded(gold), _grounded(found)) for gold, found in pairs]
    if not grounded:
        return NestfulScores(0.0, 0.0, 0.0, 0.0)
    names = [({c.name for c in gold}, {c.name for c in found}) for gold, found in grounded]
    accuracies = [_accuracy(gold, found) for gold, found in grounded]
    return NestfulScores(
        _macro_f1(names),
        _macro_f1([pair for gold, found in grounded for pair in _parameters(gold, found)]),
        sum(accuracies) / len(accuracies),
        sum(accuracy == 1.0 for accuracy in accuracies) / len(accuracies),
    )


def calls_of(plan: Plan) -> list[Call]:
    """``plan`` in NESTFUL's notation, its calls labelled ``var1``, ``var2``, ..."""
    labels = {task.id: f"var{number}" for number, task in enumerate(plan, 1)}
    return [
        Call(
            name=task.tool,
            arguments={name: _written(value, labels) for name, value in task.arguments.items()},
            label=labels[task.id],
        )
        for task in plan
    ]


def _written(value: Value, labels: dict[int, str]) -> Any:
    if isinstance(value, Ref):
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in value.path)
        return f"${labels.get(value.task, f'var{value.task}')}{''.join(steps)}$"
    if isinstance(value, Template):
        return "".join(part if isinstance(part, str) else _written(part, labels) for part in value.parts)
    if isinstance(value, dict):
        return {key: _written(item, labels) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(item, labels) for item in value]
    return value


def _grounded(calls: Sequence[Call]) -> list[Call]:
    """``calls`` with the tools' names in the place of labels, where a value begins with a reference."""
    names = {call.label.replace("$", ""): call.name for call in calls if call.label}
    return [
        Call(name=call.name, arguments={k: _grounded_value(v, names) for k, v in call.arguments.items()})
        for call in calls
    ]


def _grounded_value(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_grounded_value(item, names) if isinstance(item, str) else item for item in value]
    if not isinstance(value, str) or not value.startswith("$var") or "." not in value:
        return value
    label = value.split(".", 1)[0].replace("$", "")
    return value.replace(label, names[label]) if label in names else value


def _parameters(gold: Sequence[Call], found: Sequence[Call]) -> list[tuple[set[str], set[str]]]:
    """For each tool that either calls, the parameters of its last call."""
    right, given = (
        {c.name: {f"{k} = {v}" for k, v in c.arguments.items()} for c in cs} for cs in (gold, found)
    )
    return [(right.get(name, set()), given.get(name, set())) for name in {*right, *given}]


def _macro_f1(pairs: Sequence[tuple[set[str], set[str]]]) -> float:
    """The mean F1 of the labels that are right somewhere."""
    labels = set().union(*(gold for gold, _ in pairs))
    scores = []
    for label in labels:
        n_right = sum(label in gold for gold, _ in pairs)
        n_found = sum(label in found for _, found in pairs)
        n_both = sum(label in gold and label in found for gold, found in pairs)
        scores.append(2 * n_both / (n_right + n_found))
    return sum(scores) / len(scores) if scores else 0.0


def _accuracy(gold: Sequence[Call], found: Sequence[Call]) -> float:
    """The share of positions at which the calls are the same, after those of one name are aligned."""
    pairs = list(zip(gold, found, strict=True)) if len(gold) == len(found) else _aligned(gold, found)
    return sum(g is not None and f is not None and _printed(g) == _printed(f) for g, f in pairs) / max(
        len(pairs), 1
    )


def _aligned(gold: Sequence[Call], found: Sequence[Call]) -> list[tuple[Call | None, Call | None]]:
    pairs: list[tuple[Call | None, Call | None]] = []
    i = j = 0
    while i < len(gold) or j < len(found):
        if i < len(gold) and j < len(found) and gold[i].name == found[j].name:
            pairs.append((gold[i], found[j]))
            i, j = i + 1, j + 1
        elif i < len(gold):
            pairs.append((gold[i], None))
            i += 1
        else:
            pairs.append((None, found[j]))
            j += 1
    return pairs


def _printed(call: Call) -> str:
    return f"{call.name}({', '.join(sorted(f'{key} = {value}' for key, value in call.arguments.items()))})"
