"""Training of what comes after the first search: learnt vectors of tools, and the refiner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plait.errors import ConfigurationError
from plait.retrieval._candidates import candidates_of
from plait.retrieval._entries import Entries
from plait.retrieval._mlc import train_mlc
from plait.retrieval._refiner import Example, ToolRefiner, train_refiner
from plait.retrieval._types import Usage, Vectors

if TYPE_CHECKING:
    from plait.retrieval._tool2vec import Tool2Vec

_N_FOLDS = 5
_MIN_USAGES = 50

TrainingProgress = Callable[[int, int], None]
"""Called with the number of steps that are done, and of all steps."""


@dataclass(frozen=True, slots=True)
class SecondStage:
    """What was learnt from an index's usages."""

    mlc: Vectors
    """The tools' learnt vectors, of shape ``(tools, dimension)``; see :mod:`plait.retrieval._mlc`."""
    refiner: ToolRefiner
    """What orders candidates."""


def train_second_stage(
    index: Tool2Vec, seed: int = 0, progress: TrainingProgress | None = None
) -> SecondStage:
    """Learn from the usages of ``index``. In numpy, some seconds to minutes.

    The refiner must see requests as they will come, which no index knows. So usages are divided into five
    parts, and of each part the candidates are those of an index of the other four.

    Raises:
        ConfigurationError: there are fewer than 50 usages, or fewer than two tools.
    """
    entries = index.entries
    if len(entries.usages) < _MIN_USAGES or len(entries.tools) < 2:
        raise ConfigurationError(
            f"the index has {len(entries.tools)} tools and {len(entries.usages)} usages, too few to learn "
            f"from; add usages until there are {_MIN_USAGES} or more, of two tools or more"
        )
    report = progress or (lambda n_done, n_steps: None)
    parts = np.random.default_rng(seed).permutation(len(entries.usages)) % _N_FOLDS
    folds: list[list[Example]] = []
    for number in range(_N_FOLDS):
        report(number, _N_FOLDS + 2)
        folds.append(_examples(index, [int(i) for i in np.flatnonzero(parts == number)], seed))
    report(_N_FOLDS, _N_FOLDS + 2)
    refiner = train_refiner(folds, seed)
    report(_N_FOLDS + 1, _N_FOLDS + 2)
    mlc = train_mlc(entries, index.parts.vectors, seed)
    report(_N_FOLDS + 2, _N_FOLDS + 2)
    return SecondStage(mlc, refiner)


def _examples(index: Tool2Vec, left_out: Sequence[int], seed: int) -> list[Example]:
    """The usages with these numbers, with their candidates in an index of the others."""
    usages = index.entries.usages
    kept = set(range(len(usages))) - set(left_out)
    others = index.with_entries(Entries(index.entries.tools, tuple(usages[i] for i in sorted(kept))))
    mlc = train_mlc(others.entries, others.parts.vectors, seed)
    vectors = index.parts.vectors[len(index.entries.tools) :]
    return [_example(others, mlc, usages[i], vectors[i]) for i in left_out]


def _example(index: Tool2Vec, mlc: Vectors, usage: Usage, vector: Vectors) -> Example:
    found = candidates_of(index, mlc, usage.query, vector)
    right = [index.entries.numbers[name] for name in usage.tools]
    return Example(found.features, np.isin(found.rows, right), len(right))
