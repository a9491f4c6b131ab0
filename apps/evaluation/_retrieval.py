"""How well tools are found: recall and nDCG of every ranking, with and without usages."""

from __future__ import annotations

import math
import time
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
_N_TIMED = 50  # requests whose cost is measured
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


@dataclass(frozen=True, slots=True)
class RequestCost:
    """What it takes to find the tools of one request, as medians over test requests."""

    encode_ms: float
    """For the request's vector."""
    search_ms: float
    """For the fused ranking, once the vector is there."""


@dataclass(frozen=True, slots=True)
class RetrievalFigures:
    """What was measured."""

    scores: tuple[RetrievalScore, ...]
    """Of all rankings, those without usages first; of these alone if there are no usages."""
    selections: tuple[SelectionScore, ...]
    """Of as few tools as a wanted recall allows; none if there are no usages to learn that from."""
    cost: RequestCost
    """In the index with usages, if there are any."""


Finder = Callable[[str, Vectors, int], Sequence[str]]
"""Finds names of tools from a request, its vector and their number, the best first."""


def measure(
    data: RetrievalSet, encoder: Encoder, progress: EncodingProgress | None = None
) -> RetrievalFigures:
    """Measure all rankings, and selections of as few tools as needed.

    Raises:
        ConfigurationError: there are usages, but fewer than 50.
        ModelError: the encoder gives something else than it should.
    """
    empty = Tool2Vec.fit((), (), encoder)
    plain = empty.with_entries(Entries.of(data.tools, ()), progress)
    trained = None
    if data.usages:
        trained = plain.with_entries(Entries.of(data.tools, data.usages), progress).trained()
    vectors = query_vectors(data.tests, encoder, progress)
    scores: list[RetrievalScore] = []
    for name, by, with_usages in _ROWS:
        index = trained if with_usages else plain
        if index is not None:
            scores.append(score(name, _finder(index, by), data.tests, vectors))
    if trained is None:
        return RetrievalFigures(tuple(scores), (), _cost(plain, data.tests))
    selections = tuple(_selection(trained, wanted, data.tests, vectors) for wanted in RECALLS)
    return RetrievalFigures(tuple(scores), selections, _cost(trained, data.tests))


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


def _cost(index: Tool2Vec, tests: Sequence[Usage]) -> RequestCost:
    """Of requests one by one, as they come to an agent, and not in batches."""
    times: list[tuple[float, float]] = []
    for test in tests[:_N_TIMED]:
        began = time.perf_counter()
        (vector,) = encode(index.encoder, [test.query])
        encoded = time.perf_counter()
        index.search_encoded(test.query, vector, max(KS), "fused")
        times.append((encoded - began, time.perf_counter() - encoded))
    encode_s, search_s = np.median(times, axis=0)
    return RequestCost(1000 * float(encode_s), 1000 * float(search_s))


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
