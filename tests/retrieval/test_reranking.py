"""What a reranker puts in order."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from retrieval_samples import TOOLS, USAGES

from plait.errors import ConfigurationError, MissingExtraError, ModelError
from plait.retrieval import (
    CrossEncoderReranker,
    GroupedRetriever,
    HashingEncoder,
    RerankedIndex,
    Reranker,
    Retriever,
    Tool2Vec,
)

INDEX = Tool2Vec.fit(TOOLS, USAGES, HashingEncoder())


class Longest:
    """Finds that the longer a text is, the better it fits."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def score(self, query: str, texts: Sequence[str], /) -> list[float]:
        self.texts = list(texts)
        return [float(len(text)) for text in texts]


class Always:
    def __init__(self, *scores: float) -> None:
        self._scores = scores

    def score(self, query: str, texts: Sequence[str], /) -> Sequence[float]:
        return self._scores


def test_candidates_are_in_the_rerankers_order() -> None:
    longest = Longest()
    index = RerankedIndex(INDEX, longest)
    assert isinstance(index, Retriever)
    assert isinstance(index, GroupedRetriever)
    assert (index.names, index.groups) == (INDEX.names, INDEX.groups)
    found = index.search("rain in Porto", 3)
    assert len(found) == 3
    assert [tool.score for tool in found] == sorted(map(float, map(len, longest.texts)), reverse=True)[:3]
    assert any("do I need an umbrella today" in text for text in longest.texts)


def test_what_it_does_not_read_follows_in_the_indexs_order() -> None:
    plain = [tool.name for tool in INDEX.search("rain in Porto", 4)]
    found = [tool.name for tool in RerankedIndex(INDEX, Longest(), n_candidates=2).search("rain in Porto", 4)]
    assert set(found[:2]) == set(plain[:2])
    assert found[2:] == plain[2:]


def test_of_no_tools_nothing_is_found() -> None:
    assert RerankedIndex(Tool2Vec.fit((), (), HashingEncoder()), Always()).search("x", 3) == []


@pytest.mark.parametrize("scores", [(1.0,), (1.0, 2.0, 3.0, float("nan"))])
def test_a_reranker_that_gives_something_else_is_told(scores: tuple[float, ...]) -> None:
    with pytest.raises(ModelError, match="must give a finite number for each"):
        RerankedIndex(INDEX, Always(*scores)).search("x", 3)


def test_no_candidates_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="give one or more"):
        RerankedIndex(INDEX, Longest(), n_candidates=0)


class CrossEncoder:
    """As much of sentence-transformers as the adapter uses."""

    def __init__(self, name: str, **options: Any) -> None:
        if name == "nowhere":
            raise OSError("nowhere is not a model")
        self.options = options

    def predict(self, pairs: Sequence[tuple[str, str]], *, show_progress_bar: bool) -> Any:
        assert not show_progress_bar
        return np.array([len(set(query) & set(text)) for query, text in pairs], np.float32)


@pytest.fixture
def sentence_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("sentence_transformers")
    module.CrossEncoder = CrossEncoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)


@pytest.mark.usefixtures("sentence_transformers")
def test_a_cross_encoder_scores_pairs() -> None:
    reranker = CrossEncoderReranker("small", device="cpu")
    assert isinstance(reranker, Reranker)
    assert reranker.score("ab\ud800", ["abc", "xy", "a"]) == [2.0, 0.0, 1.0]
    assert len(RerankedIndex(INDEX, reranker).search("rain", 2)) == 2


@pytest.mark.usefixtures("sentence_transformers")
def test_a_cross_encoder_that_cannot_be_had_is_told() -> None:
    with pytest.raises(ModelError, match="'nowhere' cannot be had"):
        CrossEncoderReranker("nowhere")


def test_without_its_extra_a_cross_encoder_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"plait\[sentence-transformers\]"):
        CrossEncoderReranker("small")
