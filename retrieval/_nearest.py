"""The vectors nearest to one: every one compared, or a graph of neighbours searched (HNSW, in FAISS).

HNSW is arXiv 1603.09320. Where it begins to pay was measured with ``benchmarks/retrieval_speed.py``.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plait.errors import MissingExtraError
from plait.retrieval._bm25 import best
from plait.retrieval._types import Vectors

HNSW_ABOVE = 20_000
"""Vectors above which a graph is so much faster than comparing all that it is worth building."""

_NEIGHBOURS = 32  # of a vector, in each layer of the graph
_BUILD_BREADTH = 80
_SEARCH_BREADTH = 128
_MAX_CHANGED = 0.2  # of the vectors, before a graph is built anew

_log = logging.getLogger("plait.retrieval")

Rows = NDArray[np.intp]


class Nearest(Protocol):
    """Finds the rows of a matrix that have the highest inner products with a vector."""

    def search(self, vector: Vectors, k: int) -> tuple[Rows, Vectors]:
        """Rows and inner products of the ``k`` nearest, the nearest first."""
        ...


def has_faiss() -> bool:
    """Whether FAISS is installed; does not import it."""
    return importlib.util.find_spec("faiss") is not None


def products_of(vectors: Vectors, vector: Vectors) -> Vectors:
    """The inner product of ``vector`` with every row of ``vectors``.

    BLAS takes the rows one by one, as fast as memory gives them. Its product of a matrix and a vector, which
    ``vectors @ vector`` would be, takes twice as long for ten thousand rows, and may give rows that are the
    same different products.
    """
    products: Vectors = np.matmul(vectors[:, None], vector[:, None])[:, 0, 0]
    return products


class NumpyFlat:
    """Compares with every row."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def search(self, vector: Vectors, k: int) -> tuple[Rows, Vectors]:
        """Rows and inner products of the ``k`` nearest, the nearest first."""
        return best(products_of(self._vectors, vector), k)


class Graph:
    """FAISS's graph of neighbours, which may lie in a file until it is first needed.

    Args:
        load: gives FAISS's index.
        n_vectors: how many vectors it is of.
    """

    def __init__(self, load: Callable[[], Any], n_vectors: int) -> None:
        self._load = load
        self.n_vectors = n_vectors
        self._lock = threading.Lock()
        self._index: Any = None

    @classmethod
    def build(cls, vectors: Vectors) -> Graph:
        """The graph of ``vectors``; takes some seconds for ten thousand, minutes for a hundred thousand.

        Raises:
            MissingExtraError: FAISS is not installed.
        """
        faiss = _faiss()
        index = faiss.IndexHNSWFlat(vectors.shape[1], _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _BUILD_BREADTH
        index.add(vectors)
        graph = cls(lambda: index, len(vectors))
        graph.open()
        return graph

    def open(self) -> Any:
        """FAISS's index.

        Raises:
            GraphError: it cannot be had any more.
        """
        with self._lock:
            if self._index is None:
                try:
                    index = self._load()
                except (OSError, ValueError, RuntimeError, MissingExtraError) as error:
                    raise GraphError(str(error)) from error
                if not hasattr(index, "hnsw") or index.ntotal != self.n_vectors:
                    raise GraphError("it is one of other vectors")
                self._index = index
            return self._index

    def dump(self) -> NDArray[np.uint8]:
        """The graph as bytes; see :func:`restored`.

        Raises:
            GraphError: it cannot be had any more.
        """
        data: NDArray[np.uint8] = _faiss().serialize_index(self.open())
        return data


class GraphError(Exception):
    """A graph cannot be had. Whoever needs it compares all vectors, or builds another."""


def restored(data: NDArray[np.uint8]) -> Any:
    """FAISS's index from what :meth:`Graph.dump` gave."""
    return _faiss().deserialize_index(data)


class HNSW:
    """A search in a graph of the rows that there were when it was built.

    Rows that came later are compared one by one, and rows that have gone are passed over, so that a matrix
    may change without its graph being built anew.

    Args:
        graph: the graph.
        rows: for each vector of the graph its row today, or -1.
        n_rows: how many rows there are today.
        vectors: gives today's matrix.
    """

    def __init__(
        self, graph: Graph, rows: NDArray[np.int64], n_rows: int, vectors: Callable[[], Vectors]
    ) -> None:
        self.graph, self.rows, self._n_rows, self._vectors = graph, rows, n_rows, vectors
        in_graph = np.zeros(n_rows, bool)
        in_graph[rows[rows >= 0]] = True
        self._others = np.flatnonzero(~in_graph)

    @classmethod
    def build(cls, vectors: Vectors) -> HNSW:
        """A search in a new graph of ``vectors``; see :meth:`Graph.build`."""
        return cls(Graph.build(vectors), np.arange(len(vectors)), len(vectors), lambda: vectors)

    @property
    def is_outdated(self) -> bool:
        """Whether so much has changed that the graph should be built anew."""
        n_gone = int((self.rows < 0).sum())
        return len(self._others) + n_gone > _MAX_CHANGED * max(self._n_rows, 1)

    def moved(self, new_rows: NDArray[np.int64], vectors: Vectors) -> HNSW:
        """The search in a new matrix; ``new_rows`` has the place there of each row of the old one, or -1."""
        rows = np.where(self.rows >= 0, new_rows[np.maximum(self.rows, 0)], -1)
        return HNSW(self.graph, rows, len(vectors), lambda: vectors)

    def search(self, vector: Vectors, k: int) -> tuple[Rows, Vectors]:
        """Rows and inner products of about the ``k`` nearest, the nearest first.

        Raises:
            GraphError: the graph cannot be had any more.
        """
        n_graph = self.graph.n_vectors
        n_wanted = min(k, n_graph)
        while True:
            rows, products = self._search_graph(vector, n_wanted)
            if len(rows) >= k or n_wanted == n_graph:
                break
            n_wanted = min(2 * n_wanted, n_graph)
        if len(self._others):
            rows = np.concatenate([rows, self._others])
            products = np.concatenate([products, products_of(self._vectors()[self._others], vector)])
        return best(products.astype(np.float32), k, rows.astype(np.intp))

    def _search_graph(self, vector: Vectors, n_wanted: int) -> tuple[NDArray[np.int64], Vectors]:
        """Those of about the ``n_wanted`` nearest in the graph that are still there."""
        index = self.graph.open()
        breadth = _faiss().SearchParametersHNSW(efSearch=max(_SEARCH_BREADTH, n_wanted))
        with _one_thread():
            products, found = index.search(vector[None], n_wanted, params=breadth)
        rows = np.where(found[0] >= 0, self.rows[found[0]], -1)
        return rows[rows >= 0], products[0][rows >= 0]


def opened(graph: HNSW | None) -> HNSW | None:
    """The graph, if there is one that can be had; why one cannot is logged."""
    if graph is not None:
        try:
            graph.graph.open()
        except GraphError as error:
            _log.warning("a graph of neighbours cannot be used (%s); all vectors are compared", error)
            return None
    return graph


def prepare(
    vectors: Vectors, old: HNSW | None = None, new_rows: Sequence[int] | NDArray[np.int64] = ()
) -> HNSW | None:
    """The graph of ``vectors`` where one pays and can be had; that of the old matrix is used if it can be."""
    if len(vectors) <= HNSW_ABOVE or not has_faiss():
        return None
    if old is not None:
        moved = old.moved(np.asarray(new_rows, np.int64), vectors)
        if not moved.is_outdated:
            with suppress(GraphError):
                moved.graph.open()  # its file will go when the index is saved
                return moved
    return HNSW.build(vectors)


@contextmanager
def _one_thread() -> Iterator[None]:
    """FAISS searches for one vector in one thread, and with more has the others wait for each other in vain.

    The number is OpenMP's for the calling thread alone.
    """
    faiss = _faiss()
    n_threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(n_threads)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError("faiss-cpu", "faiss") from error
    return faiss
