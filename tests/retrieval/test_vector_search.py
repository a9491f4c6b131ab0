"""Rankings by vectors, each by itself and together, against what they are defined as."""

from __future__ import annotations

import numpy as np
import pytest

from plait.retrieval import Usage, Vectors
from plait.retrieval import _nearest as nearest
from plait.retrieval._bm25 import BM25
from plait.retrieval._centroids import centroids_of
from plait.retrieval._entries import Entries, ToolEntry
from plait.retrieval._nearest import prepare
from plait.retrieval._parts import IndexParts
from plait.retrieval._vector_search import VectorSearch

N_TOOLS, N_USAGES, DIMENSION = 90, 160, 24


def drawn(n: int, seed: int) -> Vectors:
    values = np.random.default_rng(seed).normal(size=(n, DIMENSION)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


QUERIES = drawn(20, 8)


@pytest.fixture
def entries() -> Entries:
    """Tools with none, some and very many usages, of which some are of several tools."""
    rng = np.random.default_rng(7)
    names = [f"tool_{i:02}" for i in range(N_TOOLS)]
    drawn_names = [rng.permutation(names[: N_TOOLS // 2])[: rng.integers(1, 4)] for _ in range(N_USAGES)]
    usages = [Usage(f"usage {i}", tuple(map(str, drawn))) for i, drawn in enumerate(drawn_names)]
    many = [Usage(f"more {i}", (names[-1],)) for i in range(N_USAGES)]
    return Entries.of([ToolEntry(name, name) for name in names], [*usages, *many])


@pytest.fixture
def vectors(entries: Entries) -> Vectors:
    found = drawn(len(entries.texts), 6)
    found[5] = found[4]  # of the same text
    found[-N_USAGES:] = found[-1] + 0.4 * found[-N_USAGES:]  # so that one tool owns all that are near there
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(params=["compared", "a graph of texts", "graphs"])
def search(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, entries: Entries, vectors: Vectors
) -> VectorSearch:
    monkeypatch.setattr(nearest, "HNSW_ABOVE", 10)
    texts = None if request.param == "compared" else prepare(vectors)
    tools = prepare(centroids_of(entries, vectors)) if request.param == "graphs" else None
    return VectorSearch(entries, IndexParts(vectors, BM25.of(entries.documents), texts, tools))


def of_all(entries: Entries, products: Vectors) -> dict[int, float]:
    """The tools in the order of their nearest texts, one text after the other."""
    found: dict[int, float] = {}
    texts, tools = entries.points
    for text in np.argsort(-products, kind="stable").tolist():
        for tool in tools[texts == text].tolist():
            found.setdefault(tool, float(products[text]))
    return found


@pytest.mark.parametrize("k", [1, 7, 64, 500])
def test_tools_are_in_the_order_of_their_nearest_texts(
    search: VectorSearch, entries: Entries, vectors: Vectors, k: int
) -> None:
    for query in (*QUERIES, vectors[-1]):
        expected = of_all(entries, vectors @ query)
        tools, scores = search.by_usage(query, k)
        assert scores == pytest.approx(sorted(expected.values(), reverse=True)[:k], abs=1e-5)
        assert scores == pytest.approx([expected[tool] for tool in tools.tolist()], abs=1e-5)
        assert len(set(tools.tolist())) == min(k, N_TOOLS)


@pytest.mark.parametrize("k", [1, 64, 500])
def test_both_rankings_at_once_are_those_that_each_is_by_itself(
    search: VectorSearch, vectors: Vectors, k: int
) -> None:
    for query in (*QUERIES, vectors[-1]):
        both = search.by_both(query, k)
        for (tools, scores), (own_tools, own_scores) in zip(
            both, (search.by_centroid(query, k), search.by_usage(query, k)), strict=True
        ):
            assert tools.tolist() == own_tools.tolist()
            assert np.allclose(scores, own_scores, atol=1e-6)
            assert (tools.dtype, scores.dtype) == (np.intp, np.float32)


def test_the_nearest_usage_of_each_tool_is_found(
    search: VectorSearch, entries: Entries, vectors: Vectors
) -> None:
    rows = np.array([0, N_TOOLS - 1, 50], np.intp)
    expected = of_all(entries, vectors @ QUERIES[0])
    found = search.nearest_usages(QUERIES[0], rows)
    assert found == pytest.approx([expected[row] for row in rows.tolist()], abs=1e-6)
