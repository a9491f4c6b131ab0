"""What the second stage knows of the tools that the first one has found for a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plait.retrieval._mlc import softmax
from plait.retrieval._types import Vectors

if TYPE_CHECKING:
    from plait.retrieval._tool2vec import Tool2Vec

N_CANDIDATES = 64
"""Tools that the second stage looks at, as in the paper."""

_SIGNALS = 6
N_FEATURES = 3 * _SIGNALS + 1
"""Numbers that it knows of each."""

_FUSED_SCALE, _BM25_SCALE = np.float32(60), np.float32(0.1)
_SHARPNESS = np.float32(5)  # of attention among candidates


@dataclass(frozen=True, slots=True)
class Candidates:
    """The tools that may be meant by a request."""

    rows: NDArray[np.intp]
    """Their numbers, the likeliest first."""
    features: NDArray[np.float32]
    """What is known of each, of shape ``(candidates, N_FEATURES)``."""


def candidates_of(index: Tool2Vec, mlc: Vectors, query: str, vector: Vectors) -> Candidates:
    """The first tools of the fused ranking, with what is known of them.

    For each, six signals: its fused score, the products of the request with the tool's centroid, nearest
    usage, own text and learnt vector, and BM25. Then how far each signal is behind the best, and, by
    attention among the candidates, how far it is from those of tools that resemble it. Last, its place.
    """
    found = index.search_encoded(query, vector, N_CANDIDATES, "fused")
    rows = np.array([index.entries.numbers[tool.name] for tool in found], np.intp)
    centroids = index.centroids[rows]
    signals = np.stack(
        [
            np.array([tool.score for tool in found], np.float32) * _FUSED_SCALE,
            centroids @ vector,
            index.nearest_usages(vector, rows),
            index.parts.vectors[rows] @ vector,
            mlc[rows] @ vector,
            index.parts.bm25.scores(query)[rows] * _BM25_SCALE,
        ],
        axis=1,
    ).astype(np.float32)
    places = np.log1p(np.arange(len(rows), dtype=np.float32))[:, None]
    behind = signals - signals.max(axis=0)
    beside = signals - _attention(centroids) @ signals
    return Candidates(rows, np.concatenate([signals, behind, beside, places], axis=1))


def _attention(vectors: Vectors) -> NDArray[np.float32]:
    """How much each candidate looks at each other one: the more, the more alike they are."""
    if len(vectors) == 1:
        return np.ones((1, 1), np.float32)
    alike = _SHARPNESS * (vectors @ vectors.T)
    np.fill_diagonal(alike, -np.inf)
    return softmax(alike)
