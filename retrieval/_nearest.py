"""The vectors nearest to one: every one compared, in numpy or FAISS, or a graph of neighbours (HNSW).

HNSW is arXiv 1603.09320. Where it begins to pay was measured with ``benchmarks/retrieval_speed.py``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plait.errors import MissingExtraError
from plait.retrieval._bm25 import best
from plait.retrieval._types import Vectors

FAISS_ABOVE = 4_000
"""Vectors above which FAISS compares all of them faster than numpy."""
HNSW_ABOVE = 20_000
"""Vectors above which a graph is so much faster than comparing all that it is worth building."""

_NEIGHBOURS = 16  # of a vector, in each layer of the graph
_BUILD_BREADTH = 80
_SEARCH_BREADTH = 128
_MAX_CHANGED = 0.2  # of the vectors, before a graph is built anew

Rows = NDArray[np.intp]


class Nearest(Protocol):
    """Finds the rows of a matrix that have the highest inner products with a vector."""

    def search(self, vector: Vectors, k: int) -> tuple[Rows, Vectors]:
        """Rows and inner products of the ``k`` nearest, the nearest first."""
        ...


def has_faiss() -> bool:
    """Whether FAISS is installed; does not import it."""
    return importlib.util.find_spec("faiss") is not None


def compare_all(vectors: Vectors) -> Nearest:
    """An exact search, by whichever means is faster here."""
    return FaissFlat(vectors) if len(vectors) > FAISS_ABOVE and has_faiss() else NumpyFlat(vectors)


class NumpyFlat:
    """Compares with every row, in numpy."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def search(self, vector: Vectors, k: int) -> tuple[Rows, Vectors]:
        """Rows and inner products of the ``k`` nearest, the nearest first."""
        return best(self._vectors @ vector, k)


class FaissFlat:
    """Compares with every row, in FAISS.

    Raises:
        MissingExtraError: FAISS is not installed.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._index = _faiss().IndexFlatIP(vectors.shape[1])
        self._index.add(vectors)

    def search(self, vector: Vectors, k: int) -> tuple[Rows, Vectors]:
        """Rows and inner products of the ``k`` nearest, the nearest first."""
        products, rows = self._index.search(vector[None], min(k, self._index.ntotal))
        return rows[0].astype(np.intp), products[0]


class HNSW:
    """A graph of neighbours over the rows that there were when it was built.

    Rows that came later are compared one by one, and rows that have gone are passed over, so that a matrix
    may change without its graph being built anew.

    Args:
        graph: FAISS's index.
        rows: for each vector of the graph its row today, or -1.
        vectors: today's matrix.
    """

    def __init__(self, graph: Any, rows: NDArray[np.int64], vectors: Vectors) -> None:
        self._graph, self.rows, self._vectors = graph, rows, vectors
        in_graph = np.zeros(len(vectors), bool)
        in_graph[rows[rows >= 0]] = True
        self._others = np.flatnonzero(~in_graph)
        self._n_gone = int((rows < 0).sum())

    @classmethod
    def build(cls, vectors: Vectors) -> HNSW:
        """The graph of ``vectors``; takes about a second for a thousand.

        Raises:
            MissingExtraError: FAISS is not installed.
        """
        faiss = _faiss()
        graph = faiss.IndexHNSWFlat(vectors.shape[1], _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = _BUILD_BREADTH
        graph.add(vectors)
        return cls(graph, np.arange(len(vectors)), vectors)

    @classmethod
    def restore(cls, data: NDArray[np.uint8], rows: NDArray[np.int64], vectors: Vectors) -> HNSW:
        """The graph that :meth:`dump` gave.

        Raises:
            MissingExtraError: FAISS is not installed.
            ValueError: the data are of something else.
        """
        try:
            graph = _faiss().deserialize_index(data)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        if not hasattr(graph, "hnsw") or graph.ntotal != len(rows) or graph.d != vectors.shape[1]:
            raise ValueError("the graph is one of other vectors")
        return cls(graph, rows, vectors)

    def dump(self) -> NDArray[np.uint8]:
        """The graph as bytes, without ``rows``."""
        data: NDArray[np.uint8] = _faiss().serialize_index(self._graph)
        return data

    @property
    def is_outdated(self) -> bool:
        """Whether so much has changed that it should be built anew."""
        return len(self._others) + self._n_gone > _MAX_CHANGED * max(len(self._vectors), 1)

    def moved(self, new_rows: NDArray[np.int64], vectors: Vectors) -> HNSW:
        """The graph for a new matrix; ``new_rows`` has the place there of each row of the old one, or -1."""
        rows = np.where(self.rows >= 0, new_rows[np.maximum(self.rows, 0)], -1)
        return HNSW(self._graph, rows, vectors)

    def search(self, vector: Vectors, k: int) -> tuple[Rows, Vectors]:
        """Rows and inner products of about the ``k`` nearest, the nearest first."""
        n_wanted = min(k, self._graph.ntotal)
        while True:
            rows, products = self._search_graph(vector, n_wanted)
            if len(rows) >= k or n_wanted == self._graph.ntotal:
                break
            n_wanted = min(2 * n_wanted, self._graph.ntotal)
        if len(self._others):
            rows = np.concatenate([rows, self._others])
            products = np.concatenate([products, self._vectors[self._others] @ vector])
        return best(products.astype(np.float32), k, rows.astype(np.intp))

    def _search_graph(self, vector: Vectors, n_wanted: int) -> tuple[NDArray[np.int64], Vectors]:
        """Those of about the ``n_wanted`` nearest in the graph that are still there."""
        breadth = _faiss().SearchParametersHNSW(efSearch=max(_SEARCH_BREADTH, n_wanted))
        products, found = self._graph.search(vector[None], n_wanted, params=breadth)
        rows = np.where(found[0] >= 0, self.rows[found[0]], -1)
        return rows[rows >= 0], products[0][rows >= 0]


def prepare(
    vectors: Vectors, old: HNSW | None = None, new_rows: Sequence[int] | NDArray[np.int64] = ()
) -> HNSW | None:
    """The graph of ``vectors`` where one pays and can be had; that of the old matrix is used if it can be."""
    if len(vectors) <= HNSW_ABOVE or not has_faiss():
        return None
    if old is not None:
        moved = old.moved(np.asarray(new_rows, np.int64), vectors)
        if not moved.is_outdated:
            return moved
    return HNSW.build(vectors)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError("faiss-cpu", "faiss") from error
    return faiss
