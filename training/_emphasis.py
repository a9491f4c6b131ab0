"""What a model gets wrong guides what it is trained on next, after LLM2LLM (arXiv 2403.15042).

LLM2LLM has a teacher write new examples like those that the student got wrong. Here they are on hand:
skeletons of the same kind are filled in more often. A kind is which tools a plan calls, and how often.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from plait.errors import ConfigurationError
from plait.training._skeletons import Skeleton, ToolboxSkeletons

TRIED = "tried.jsonl"
"""The file in a training's folder that says what the model was tried on last."""

_MOST = 3  # times more often than others a skeleton is used at most
_PRIOR = 2.0  # requests: how much the error rate of plans of that length counts beside the kind's own

Kind = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class TriedRequest:
    """A request that a model was tried on."""

    skeleton: str
    """Where it comes from."""
    right: bool
    """Whether its plan was."""


def read_tried(path: Path) -> list[TriedRequest]:
    """What ``plait train lora`` has written of its last evaluation.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [TriedRequest(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error}); give the folder of a training that was evaluated"
        ) from error


def write_tried(path: Path, tried: Iterable[TriedRequest]) -> None:
    """Write what :func:`read_tried` reads."""
    lines = [json.dumps({"skeleton": one.skeleton, "right": one.right}) + "\n" for one in tried]
    path.write_text("".join(lines), encoding="utf-8")


def uses_after(tried: Iterable[TriedRequest], sources: Iterable[ToolboxSkeletons]) -> dict[str, int]:
    """How often to use each skeleton in a round, by its id: once, or up to four times where much was wrong.

    The error rate of a kind that was tried little is drawn towards that of all plans of its length.

    Args:
        tried: what the model was tried on. Requests from skeletons that are not known are passed over.
        sources: all skeletons.
    """
    found = [(source.name, skeleton) for source in sources for skeleton in source.skeletons]
    kinds: Mapping[str, Kind] = {skeleton.id: _kind(name, skeleton) for name, skeleton in found}
    wrong: Counter[object] = Counter()
    total: Counter[object] = Counter()
    for one in tried:
        kind = kinds.get(one.skeleton)
        if kind is not None:
            for key in (kind, len(kind[1])):
                wrong[key] += not one.right
                total[key] += 1
    return {id_: 1 + round(_MOST * _error_rate(kind, wrong, total)) for id_, kind in kinds.items()}


def _error_rate(kind: Kind, wrong: Counter[object], total: Counter[object]) -> float:
    length = len(kind[1])
    of_length = wrong[length] / total[length] if total[length] else 0.0
    return (wrong[kind] + _PRIOR * of_length) / (total[kind] + _PRIOR)


def _kind(name: str, skeleton: Skeleton) -> Kind:
    return name, tuple(sorted(task.tool for task in skeleton.plan))
