"""How well tools are found: recall and nDCG of every ranking, with and without usages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plait.apps.evaluation._retrieval_data import RetrievalSet
from plait.retrieval import Encoder, Ranking, Tool2Vec, Usage, Vectors
from plait.retrieval._entries import Entries
from plait.retrieval._parts import EncodingProgress, encode
from plait.retrieval._refiner import RECALLS

KS = (1, 3, 5, 10)
"""Where recall is measured."""

_NDCG_AT = 5
_ROWS: tuple[tuple[str, Ranking, bool], ...] = (
    ("BM25", "bm25", False),
    ("description embeddings", "description", False),
    ("both, fused", "fused", False),
    ("BM25 with usages", "bm25", True),
    ("Tool2Vec, centroids", "centroid", True),
    ("Tool2Vec, single usages", "usage", True),
    ("Tool2Vec, fused", "fused", True),
    ("Tool2Vec, learnt vectors (MLC)", "mlc", True),
    ("Tool2Vec, refined (ToolRefiner)", "refined", True),
)
BASELINE = "description embeddings"
"""The row whose misses the others are compared with."""


@dataclass(frozen=True, slots=True)
class RetrievalScore:
    """What one ranking found, as means over the test requests."""

    name: str
    """What the ranking is."""
    recall: Mapping[int, float]
    """By k, the share of a request's right tools that are among the first k."""
    complete: Mapping[int, float]
    """By k, the share of requests all of whose right tools are among the first k."""
    ndcg_at_5: float
    """Discounted gain of the first five, as a share of the best that could be."""

    def as_json(self) -> dict[str, Any]:
        """As fields for JSON."""
        recall = {f"recall@{k}": share for k, share in self.recall.items()}
        complete = {f"complete@{k}": share for k, share in self.complete.items()}
        return {"name": self.name, **recall, **complete, "ndcg@5": self.ndcg_at_5}


@dataclass(frozen=True, slots=True)
class SelectionScore:
    """What was selected for a wanted recall, as means over the test requests."""

    wanted: float
    """The recall that was asked for."""
    recall: float
    """The recall that was reached."""
    complete: float
    """The share of requests all of whose right tools were selected."""
    n_tools: float
    """How many tools were selected."""


Finder = Callable[[str, Vectors, int], Sequence[str]]
"""Finds names of tools from a request, its vector and their number, the best first."""


def measure(
    data: RetrievalSet, encoder: Encoder, progress: EncodingProgress | None = None
) -> tuple[list[RetrievalScore], list[SelectionScore]]:
    """The scores of all rankings, those without usages first, and of selections of as few tools as needed."""
    empty = Tool2Vec.fit((), (), encoder)
    plain = empty.with_entries(Entries.of(data.tools, ()), progress)
    index = plain.with_entries(Entries.of(data.tools, data.usages), progress).trained()
    vectors = query_vectors(data.tests, encoder, progress)
    scores = [
        score(name, _finder(index if with_usages else plain, by), data.tests, vectors)
        for name, by, with_usages in _ROWS
    ]
    return scores, [_selection(index, wanted, data.tests, vectors) for wanted in RECALLS]


def query_vectors(
    tests: Sequence[Usage], encoder: Encoder, progress: EncodingProgress | None = None
) -> Vectors:
    """The vectors of the test requests."""
    batches = []
    for start in range(0, len(tests), 256):
        batches.append(encode(encoder, [test.query for test in tests[start : start + 256]]))
        if progress is not None:
            progress(min(start + 256, len(tests)), len(tests))
    return np.concatenate(batches)


def score(name: str, find: Finder, tests: Sequence[Usage], vectors: Vectors) -> RetrievalScore:
    """What ``find`` finds for the test requests."""
    found = [list(find(test.query, vector, max(KS))) for test, vector in zip(tests, vectors, strict=True)]
    pairs = list(zip(tests, found, strict=True))
    return RetrievalScore(
        name,
        {k: float(np.mean([_recall(test, names[:k]) for test, names in pairs])) for k in KS},
        {k: float(np.mean([_has_all(test, names[:k]) for test, names in pairs])) for k in KS},
        float(np.mean([_ndcg(test, names[:_NDCG_AT]) for test, names in pairs])),
    )


def _selection(index: Tool2Vec, wanted: float, tests: Sequence[Usage], vectors: Vectors) -> SelectionScore:
    pairs = [
        (test, [tool.name for tool in index.select_encoded(test.query, vector, wanted)])
        for test, vector in zip(tests, vectors, strict=True)
    ]
    return SelectionScore(
        wanted,
        float(np.mean([_recall(test, names) for test, names in pairs])),
        float(np.mean([_has_all(test, names) for test, names in pairs])),
        float(np.mean([len(names) for _, names in pairs])),
    )


def _finder(index: Tool2Vec, by: Ranking) -> Finder:
    return lambda query, vector, k: [tool.name for tool in index.search_encoded(query, vector, k, by)]


def _recall(test: Usage, names: Sequence[str]) -> float:
    return len(set(test.tools) & set(names)) / len(test.tools)


def _has_all(test: Usage, names: Sequence[str]) -> bool:
    return set(test.tools) <= set(names)


def _ndcg(test: Usage, names: Sequence[str]) -> float:
    """Jarvelin and Kekalainen (2002), with gains of 0 and 1."""
    discounts = [1 / math.log2(place + 2) for place in range(_NDCG_AT)]
    gain = sum(d for d, name in zip(discounts, names, strict=False) if name in test.tools)
    return gain / sum(discounts[: len(test.tools)])


def compared(scores: Sequence[RetrievalScore]) -> Iterator[tuple[RetrievalScore, float, float]]:
    """Each score with its misses at 3 and at 5, as shares of those of description embeddings."""
    (baseline,) = (score for score in scores if score.name == BASELINE)
    for found in scores:
        at_3, at_5 = (_share(1 - found.recall[k], 1 - baseline.recall[k]) for k in (3, 5))
        yield found, at_3, at_5


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0 if part == 0 else math.inf
