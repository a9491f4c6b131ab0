"""Every way to find the nearest vectors finds them."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

from plait.errors import MissingExtraError
from plait.retrieval import Vectors
from plait.retrieval import _nearest as nearest
from plait.retrieval._nearest import (
    HNSW,
    Graph,
    GraphError,
    Nearest,
    NumpyFlat,
    opened,
    prepare,
    restored,
)

WAYS: dict[str, Callable[[Vectors], Nearest]] = {
    "numpy": NumpyFlat,
    "hnsw": HNSW.build,
    "hnsw that was moved": lambda vectors: HNSW.build(vectors[::-1].copy()).moved(
        np.arange(len(vectors))[::-1].copy(), vectors
    ),
    "hnsw of half": lambda vectors: HNSW.build(vectors[: len(vectors) // 2]).moved(
        np.arange(len(vectors) // 2), vectors
    ),
}


def vectors_of(n: int, dimension: int = 24, seed: int = 3) -> Vectors:
    values = np.random.default_rng(seed).normal(size=(n, dimension)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[[Vectors], Nearest]:
    return WAYS[request.param]


@pytest.mark.parametrize("k", [1, 10, 500])
def test_the_nearest_come_first_with_their_products(way: Callable[[Vectors], Nearest], k: int) -> None:
    vectors, (query,) = vectors_of(300), vectors_of(1, seed=4)
    rows, products = way(vectors).search(query, k)
    expected = vectors @ query
    assert len(rows) == len(set(rows.tolist())) == min(k, 300)
    assert np.allclose(products, expected[rows], atol=1e-5)
    assert np.allclose(products, np.sort(expected)[::-1][:k], atol=1e-5)
    assert (rows.dtype, products.dtype) == (np.intp, np.float32)


def test_rows_that_have_gone_are_not_found() -> None:
    vectors = vectors_of(200)
    kept = np.arange(200) % 2 == 0
    new_rows = np.where(kept, np.cumsum(kept) - 1, -1)
    graph = HNSW.build(vectors).moved(new_rows, vectors[kept])
    rows, products = graph.search(vectors[1], 5)
    assert np.allclose(products, np.sort(vectors[kept] @ vectors[1])[::-1][:5], atol=1e-5)
    assert rows.max() < 100
    assert graph.is_outdated


def test_a_graph_is_the_same_after_being_dumped_and_restored() -> None:
    vectors, (query,) = vectors_of(100), vectors_of(1, seed=4)
    search = HNSW.build(vectors)
    data = search.graph.dump()
    again = HNSW(Graph(lambda: restored(data), 100), search.rows, 100, lambda: vectors)
    assert again.search(query, 7)[0].tolist() == search.search(query, 7)[0].tolist()


def test_a_graph_that_cannot_be_had_is_done_without_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    vectors, (query,) = vectors_of(50), vectors_of(1, seed=4)
    data = Graph.build(vectors).dump()
    for load, n_vectors in (
        (lambda: restored(data), 49),
        (lambda: restored(data[:20].copy()), 50),
        (lambda: vectors, 50),
    ):
        search = HNSW(Graph(load, n_vectors), np.arange(n_vectors), 50, lambda: vectors)
        with pytest.raises(GraphError):
            search.search(query, 3)
        caplog.clear()
        assert opened(search) is None
        assert "all vectors are compared" in caplog.text


def test_a_graph_that_cannot_be_had_is_built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "HNSW_ABOVE", 10)
    vectors = vectors_of(50)

    def gone() -> None:
        raise FileNotFoundError

    old = HNSW(Graph(gone, 50), np.arange(50), 50, lambda: vectors)
    found = prepare(vectors, old, np.arange(50))
    assert found is not None
    assert found.search(vectors[7], 1)[0].tolist() == [7]


def test_rows_that_are_the_same_are_found_in_their_order() -> None:
    vectors = np.tile(vectors_of(1), (11, 1))
    assert NumpyFlat(vectors).search(vectors_of(1, seed=4)[0], 9)[0].tolist() == list(range(9))


def test_no_graph_is_built_where_faiss_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "HNSW_ABOVE", 10)
    monkeypatch.setattr(nearest.importlib.util, "find_spec", lambda name: None)
    assert prepare(vectors_of(11)) is None
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"plait\[faiss\]"):
        Graph.build(vectors_of(3))
