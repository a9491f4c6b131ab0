"""BM25, the words that it reads, and fusion."""

from __future__ import annotations

import numpy as np
import pytest
from retrieval_samples import make_tool

from plait.retrieval import _bm25 as bm25
from plait.retrieval._bm25 import BM25
from plait.retrieval._fusion import fuse
from plait.retrieval._text import split_words, tool_text

DOCUMENTS = ["the cat sat on the mat", "a cat", "dogs and cats and dogs", "", "the dog"]


def found(index: BM25, query: str, k: int = 10) -> list[int]:
    return index.search(query, k)[0].tolist()


def test_the_shorter_of_two_documents_with_the_word_comes_first() -> None:
    assert found(BM25.of(DOCUMENTS), "cat") == [1, 0]


def test_scores_are_those_of_the_formula() -> None:
    rows, scores = BM25.of(DOCUMENTS).search("cat", 5)
    mean, idf = 15 / 5, np.log(1 + (5 - 2 + 0.5) / (2 + 0.5))
    expected = {i: idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * n / mean)) for i, n in ((0, 6), (1, 2))}
    assert dict(zip(rows.tolist(), scores.tolist(), strict=True)) == pytest.approx(expected)


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    index = BM25.of(["common rare", "common other", "common third", "common common"])
    assert found(index, "common rare")[0] == 0


def test_nothing_is_found_without_a_common_word() -> None:
    assert found(BM25.of(DOCUMENTS), "horse") == found(BM25.of(DOCUMENTS), "") == []
    assert found(BM25.of([]), "cat") == found(BM25.of([""]), "cat") == []


def test_no_more_are_found_than_wanted_and_of_equals_the_first() -> None:
    assert found(BM25.of(["cat"] * 9), "cat", 3) == [0, 1, 2]


def test_documents_that_were_read_before_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    old = BM25.of(DOCUMENTS)
    read: list[str] = []
    monkeypatch.setattr(
        "plait.retrieval._bm25.split_words", lambda text: read.append(text) or split_words(text)
    )
    new = ["the dog", "a new bird", "a cat"]
    again = BM25.of(new, old, {text: i for i, text in enumerate(DOCUMENTS)})
    assert read == ["a new bird"]
    fresh = BM25.of(new)
    for query in ("cat", "a new dog", "bird", "mat"):
        rows, scores = again.search(query, 9)
        assert rows.tolist() == found(fresh, query)
        assert scores.tolist() == pytest.approx(fresh.search(query, 9)[1].tolist())


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_it_does_not_matter_how_many_words_count_as_common(
    monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    query = "the dogs and the cat"
    expected = BM25.of(DOCUMENTS).scores(query).tolist()
    monkeypatch.setattr(bm25, "_COMMON", share)
    assert BM25.of(DOCUMENTS).scores(query).tolist() == pytest.approx(expected)
    assert found(BM25.of(DOCUMENTS), "horse") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("get_user_by_id", ["get", "user", "by", "id"]),
        ("getHTTPResponse2xx", ["get", "http", "response", "2", "xx"]),
        ("S3.list-objects", ["s", "3", "list", "objects"]),
        ("Straße ÉTÉ", ["strasse", "été"]),
        ("明日の天気", ["明日", "日の", "の天", "天気"]),
        ("iPhoneを買う 猫", ["iphone", "を買", "買う", "猫"]),
        ("Погода в Москве", ["погода", "в", "москве"]),
        ("... _ -", []),
        ("", []),
    ],
)
def test_words_are_those_of_all_scripts_and_styles(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_the_text_of_a_tool_has_its_name_description_and_arguments_in_words() -> None:
    assert tool_text(make_tool("getUser", "A user.", "userId", "full_name")) == (
        "get user: A user. (user id, full name)"
    )
    assert tool_text(make_tool("now", "The time.")) == "now: The time."


def test_what_several_rankings_agree_on_comes_first() -> None:
    assert [name for name, _ in fuse([["a", "b", "c"], ["b", "d"]])] == ["b", "a", "d", "c"]
    assert fuse([]) == []
    assert fuse([["a"], ["b"]]) == [("a", 1 / 61), ("b", 1 / 61)]
