"""What every retriever does."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from retrieval_samples import TOOLS, USAGES

from plait.errors import ConfigurationError
from plait.retrieval import (
    CalibratedRetriever,
    GroupedRetriever,
    HashingEncoder,
    RerankedIndex,
    Retriever,
    Tool2Vec,
    Usage,
)

MANY = tuple(Usage(f"{usage.query} {number}", usage.tools) for usage in USAGES for number in range(15))
QUERIES = ("will it rain in Porto", "x", "", "tell Maya " * 10_000, "明日は雨が降りますか", "\ud800")


class Shortest:
    """A reranker that likes short texts."""

    def score(self, query: str, texts: Sequence[str], /) -> list[float]:
        return [-float(len(text)) for text in texts]


@pytest.fixture(scope="module", params=["index", "trained index", "reranked index"])
def retriever(request: pytest.FixtureRequest) -> Retriever:
    index = Tool2Vec.fit(TOOLS, MANY, HashingEncoder())
    made = {
        "index": lambda: index,
        "trained index": index.trained,
        "reranked index": lambda: RerankedIndex(index, Shortest(), n_candidates=3),
    }
    found: Retriever = made[request.param]()
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_at_most_as_many_are_found_as_are_wanted_each_once(retriever: Retriever, query: str) -> None:
    found = [tool.name for tool in retriever.search(query, 2)]
    assert len(found) == len(set(found)) == 2
    assert set(found) <= set(TOOLS.names)
    assert [tool.name for tool in retriever.search(query, 99)][:2] == found


def test_none_wanted_is_refused(retriever: Retriever) -> None:
    with pytest.raises(ConfigurationError):
        retriever.search("rain", 0)


def test_it_may_be_used_from_threads(retriever: Retriever) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda query: retriever.search(query, 3), QUERIES * 8))
    assert found == [retriever.search(query, 3) for query in QUERIES] * 8


def test_each_tool_is_in_one_group(retriever: Retriever) -> None:
    assert isinstance(retriever, GroupedRetriever)
    assert sorted(name for group in retriever.groups for name in group) == list(retriever.names)


def test_one_that_is_calibrated_selects_more_for_more_recall() -> None:
    index = Tool2Vec.fit(TOOLS, MANY, HashingEncoder())
    assert isinstance(index, CalibratedRetriever)
    assert not index.is_calibrated
    trained = index.trained()
    assert trained.is_calibrated
    few, many = (trained.select(QUERIES[0], recall) for recall in (0.8, 0.99))
    assert 1 <= len(few) <= len(many) <= len(TOOLS)
    assert many[: len(few)] == few
