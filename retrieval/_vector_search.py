"""Tools by the vectors of the texts that stand for them: the nearest centroids, and the nearest texts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from plait.retrieval._bm25 import best
from plait.retrieval._centroids import normalized_sums
from plait.retrieval._entries import Entries
from plait.retrieval._nearest import HNSW, Nearest, NumpyFlat, Rows, opened, products_of
from plait.retrieval._parts import IndexParts
from plait.retrieval._types import Vectors

Ranked = tuple[Rows, Vectors]
"""Numbers of tools and their scores, the best first."""


class VectorSearch:
    """Ranks the tools of an index by their vectors' products with that of a request.

    What a ranking needs besides the vectors is computed when it is first asked for.

    Args:
        entries: tools and usages.
        parts: the vectors of their texts, and the graphs that there may be.
    """

    def __init__(self, entries: Entries, parts: IndexParts) -> None:
        self._entries = entries
        self._parts = parts

    @property
    def centroids(self) -> Vectors:
        """The tools' vectors, of shape ``(tools, dimension)``, in the order of their names."""
        return self._centroids[0]

    def by_centroid(self, vector: Vectors, k: int) -> Ranked:
        """The ``k`` tools with the nearest centroids."""
        return self._nearest_centroids.search(vector, k)

    def by_usage(self, vector: Vectors, k: int) -> Ranked:
        """The ``k`` tools of the nearest texts, each with the product of its nearest."""
        return self._owners_of(lambda n_texts: self._nearest_texts.search(vector, n_texts), k)

    def by_description(self, vector: Vectors, k: int) -> Ranked:
        """The ``k`` tools whose own texts are nearest."""
        return NumpyFlat(self._parts.vectors[: len(self._entries.tools)]).search(vector, k)

    def by_both(self, vector: Vectors, k: int) -> tuple[Ranked, Ranked]:
        """As :meth:`by_centroid` and :meth:`by_usage`, in about the time of one of them.

        A centroid is the sum of the vectors of a tool's texts, at length 1, so its product is the sum of
        their products, divided by that sum's length: where no graph serves, one pass over all texts will do.
        """
        if self._text_graph is not None:
            return self.by_centroid(vector, k), self.by_usage(vector, k)
        products = products_of(self._parts.vectors, vector)
        texts, tools = self._entries.points
        sums = np.bincount(tools, products[texts], len(self._entries.tools)).astype(np.float32)
        by_centroid = best(sums / self._centroids[1], k)
        return by_centroid, self._owners_of(lambda n_texts: best(products, n_texts), k)

    def nearest_usages(self, vector: Vectors, rows: NDArray[np.intp]) -> Vectors:
        """For each of these tools the product of ``vector`` with the nearest of its usages and its text."""
        starts, texts = self._texts
        parts = [texts[starts[row] : starts[row + 1]] for row in rows.tolist()]
        products = products_of(self._parts.vectors[np.concatenate(parts)], vector)
        ends = np.cumsum([len(part) for part in parts])
        found: Vectors = np.maximum.reduceat(products, [0, *ends[:-1]])
        return found

    def _owners_of(self, nearest_texts: Callable[[int], Ranked], k: int) -> Ranked:
        """The first ``k`` tools of the nearest texts, of which as many are asked for as that takes."""
        n_texts = len(self._parts.vectors)
        n_wanted = min(2 * k, n_texts)
        while True:
            tools, scores = self._owners(*nearest_texts(n_wanted))
            if len(tools) >= min(k, len(self._entries.tools)) or n_wanted >= n_texts:
                return tools[:k], scores[:k]
            n_wanted = min(4 * n_wanted, n_texts)

    def _owners(self, texts: Rows, scores: Vectors) -> Ranked:
        """The tools of these texts in their order, each with the score of its first."""
        starts, tools = self._tools
        lengths = starts[texts + 1] - starts[texts]
        ends = np.cumsum(lengths)
        places = np.arange(lengths.sum()) + np.repeat(starts[texts] - ends + lengths, lengths)
        owners, first = np.unique(tools[places], return_index=True)
        order = np.argsort(first)
        return owners[order], np.repeat(scores, lengths)[first[order]]

    @cached_property
    def _tools(self) -> tuple[Rows, Rows]:
        """The tools of text i are ``tools[starts[i]:starts[i + 1]]``."""
        texts, tools = self._entries.points
        return np.searchsorted(texts, np.arange(len(self._parts.vectors) + 1)), tools

    @cached_property
    def _texts(self) -> tuple[list[int], Rows]:
        """The texts of tool i are ``texts[starts[i]:starts[i + 1]]``."""
        texts, tools = self._entries.points
        order = np.argsort(tools, kind="stable")
        starts = np.searchsorted(tools[order], np.arange(len(self._entries.tools) + 1))
        return starts.tolist(), texts[order]

    @cached_property
    def _centroids(self) -> tuple[Vectors, Vectors]:
        """Centroids, and the lengths of the sums that they are made of."""
        return normalized_sums(self._entries, self._parts.vectors)

    @cached_property
    def _text_graph(self) -> HNSW | None:
        return opened(self._parts.text_graph)

    @cached_property
    def _nearest_texts(self) -> Nearest:
        return self._text_graph or NumpyFlat(self._parts.vectors)

    @cached_property
    def _nearest_centroids(self) -> Nearest:
        return opened(self._parts.centroid_graph) or NumpyFlat(self.centroids)
