"""What Tool2Vec finds, and how it changes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from retrieval_samples import TOOLS, UNTRAINED, USAGES, CountingEncoder, make_tool

from plait.errors import ConfigurationError, DuplicateToolError, ModelError, ToolIndexError, UnknownToolError
from plait.retrieval import (
    BertEncoder,
    HashingEncoder,
    Ranking,
    Retriever,
    Tool2Vec,
    Usage,
    Vectors,
)
from plait.retrieval import _nearest as nearest
from plait.retrieval._centroids import centroids_of
from plait.retrieval._text import tool_text
from plait.tools import Toolbox

by_every_ranking = pytest.mark.parametrize("by", UNTRAINED)


@pytest.fixture
def index() -> Tool2Vec:
    return Tool2Vec.fit(TOOLS, USAGES, HashingEncoder(1024))


def names(index: Tool2Vec, query: str, k: int = 10, by: Ranking = "fused") -> list[str]:
    return [found.name for found in index.search(query, k, by)]


def assert_same(one: Tool2Vec, two: Tool2Vec) -> None:
    assert one.entries == two.entries
    assert np.array_equal(one.parts.vectors, two.parts.vectors)
    for query in ("rain in Porto", "numbers to add", "tell Sid", ""):
        for by in UNTRAINED:
            pairs = zip(one.search(query, 9, by), two.search(query, 9, by), strict=True)
            assert all(a.name == b.name and a.score == pytest.approx(b.score) for a, b in pairs)


# Searching


def test_a_tool_is_found_by_requests_that_use_it_though_its_description_has_none_of_their_words(
    index: Tool2Vec,
) -> None:
    assert names(index, "is an umbrella needed", 1) == ["get_weather"]
    assert names(index, "is an umbrella needed", 1, "description") != ["get_weather"]


def test_a_tool_without_usages_is_found_by_its_description(index: Tool2Vec) -> None:
    for by in UNTRAINED:
        assert names(index, "the sum of these two numbers", 1, by) == ["add"]


def test_a_tool_is_found_by_the_words_of_its_name_and_of_its_arguments(index: Tool2Vec) -> None:
    assert names(index, "mail", 1, "bm25") == ["sendMail"]
    assert names(index, "recipient", 1, "bm25") == ["sendMail"]


def test_the_scores_of_centroid_and_usage_are_the_products_that_they_are_named_after(index: Tool2Vec) -> None:
    encoder = HashingEncoder(1024)
    texts = [tool_text(TOOLS["get_weather"]), *(u.query for u in USAGES if "get_weather" in u.tools)]
    products = encoder.encode(texts) @ (vector := encoder.encode(["rain tomorrow"])[0])
    by_usage = {found.name: found.score for found in index.search("rain tomorrow", 9, "usage")}
    by_centroid = {found.name: found.score for found in index.search("rain tomorrow", 9, "centroid")}
    assert by_usage["get_weather"] == pytest.approx(products.max())
    mean = encoder.encode(texts).mean(axis=0)
    assert by_centroid["get_weather"] == pytest.approx(mean @ vector / np.linalg.norm(mean))


def test_the_fused_score_is_that_of_reciprocal_ranks(index: Tool2Vec) -> None:
    query = "will it rain in Porto"
    rankings = [names(index, query, by=by) for by in ("centroid", "usage", "bm25")]
    expected = {
        name: sum(1 / (60 + ranking.index(name) + 1) for ranking in rankings if name in ranking)
        for name in index.names
    }
    found = index.search(query, 9)
    assert {tool.name: tool.score for tool in found} == pytest.approx(expected)
    assert [tool.score for tool in found] == sorted(expected.values(), reverse=True)


@by_every_ranking
def test_no_tool_is_found_twice_and_no_more_than_wanted(index: Tool2Vec, by: Ranking) -> None:
    for k in (1, 2, 99):
        found = names(index, "write to Sid that it will rain, and add two numbers", k, by)
        assert len(found) == len(set(found)) == min(k, len(TOOLS), len(found))
        assert len(found) == min(k, len(TOOLS)) or by == "bm25"


@by_every_ranking
def test_any_query_is_answered(index: Tool2Vec, by: Ranking) -> None:
    for query in ("", " ", "?", "a", "\ud83d", "rain " * 20_000, "天気はどうですか", "x" * 100_000):
        assert len(index.search(query, 3, by)) <= 3


@by_every_ranking
def test_an_index_of_nothing_finds_nothing(by: Ranking) -> None:
    index = Tool2Vec.fit([], (), HashingEncoder())
    assert index.search("anything", 5, by) == []
    assert (len(index), index.names, index.centroids.shape) == (0, (), (0, 256))


def test_one_tool_is_found_by_anything() -> None:
    index = Tool2Vec.fit([make_tool("only", "One.")], (), HashingEncoder())
    assert names(index, "something else") == ["only"]


def test_tools_of_one_description_are_both_found() -> None:
    index = Tool2Vec.fit(
        [make_tool("get_user", "A user."), make_tool("getUser", "A user.")], (), HashingEncoder()
    )
    for by in UNTRAINED:
        assert names(index, "a user", 2, by) == ["getUser", "get_user"]


def test_a_tool_with_very_many_usages_does_not_hide_the_others() -> None:
    many = [Usage(f"play song number {i}", ("play_song",)) for i in range(300)]
    index = Tool2Vec.fit(TOOLS, many, HashingEncoder())
    assert set(names(index, "play song", 4, "usage")) == set(TOOLS.names)


def test_words_need_no_encoder() -> None:
    encoder = CountingEncoder()
    index = Tool2Vec.fit(TOOLS, USAGES, encoder)
    encoder.texts.clear()
    assert names(index, "umbrella", 1, "bm25") == ["get_weather"]
    assert encoder.texts == []


@pytest.mark.parametrize(("k", "by", "said"), [(0, "fused", "k is 0"), (3, "magic", "choose from fused")])
def test_a_search_that_cannot_be_is_refused(index: Tool2Vec, k: int, by: Ranking, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        index.search("query", k, by)
    with pytest.raises(ConfigurationError, match=said):
        Tool2Vec.fit([], (), HashingEncoder()).search("query", k, by)


def test_a_ranking_by_vectors_wants_one(index: Tool2Vec) -> None:
    with pytest.raises(ConfigurationError, match="encode the query"):
        index.search_encoded("query", None, 3)


def test_an_index_is_a_retriever(index: Tool2Vec) -> None:
    assert isinstance(index, Retriever)


def test_threads_find_what_one_finds(index: Tool2Vec) -> None:
    expected = index.search("rain in Porto", 4)
    fresh, found = Tool2Vec.fit(TOOLS, USAGES, HashingEncoder(1024)), []
    barrier = threading.Barrier(8)

    def search() -> None:
        barrier.wait(30)
        found.append(fresh.search("rain in Porto", 4))

    threads = [threading.Thread(target=search) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [expected] * 8


def test_minilm_finds_a_tool_by_what_a_request_means(minilm: BertEncoder) -> None:
    index = Tool2Vec.fit(TOOLS, USAGES, minilm)
    assert names(index, "Should I take a raincoat to Lisbon?", 1) == ["get_weather"]
    assert names(index, "What is 7 plus 12?", 1, "centroid") == ["add"]
    assert names(index, "play some jazz music", 1, "usage") == ["play_song"]


# Building


def test_usages_of_one_query_are_put_together() -> None:
    usages = [Usage("do both", ("add",)), Usage("do both", ("sendMail", "add"))]
    index = Tool2Vec.fit(TOOLS, usages, HashingEncoder())
    assert index.usages == (Usage("do both", ("add", "sendMail")),)


def test_usages_of_unknown_tools_are_refused_with_the_closest_name() -> None:
    usages = [*USAGES, Usage("a", ("get_wether",)), Usage("b", ("other", "get_wether"))]
    with pytest.raises(
        UnknownToolError, match="'get_wether' and 1 more; did you mean 'get_weather'"
    ) as caught:
        Tool2Vec.fit(TOOLS, usages, HashingEncoder())
    assert caught.value.tool == "get_wether"


def test_unknown_tools_are_left_out_if_that_is_wanted() -> None:
    usages = [*USAGES, Usage("a", ("other",)), Usage("b", ("other", "add"))]
    index = Tool2Vec.fit(TOOLS, usages, HashingEncoder(), skip_unknown=True)
    assert index.usages == (*USAGES, Usage("b", ("add",)))


def test_the_order_of_the_tools_does_not_matter() -> None:
    assert_same(
        Tool2Vec.fit(reversed(list(TOOLS)), USAGES, HashingEncoder()),
        Tool2Vec.fit(list(TOOLS), USAGES, HashingEncoder()),
    )


def test_each_text_is_encoded_once_and_progress_says_how_many_there_are() -> None:
    encoder, told = CountingEncoder(), []
    usages = [Usage(f"request {i}", ("add",)) for i in range(300)]
    Tool2Vec.fit(TOOLS, usages, encoder, progress=lambda *numbers: told.append(numbers))
    assert len(encoder.texts) == len(set(encoder.texts)) == 304
    assert told == [(256, 304), (304, 304)]


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(DuplicateToolError):
        Tool2Vec.fit([make_tool("a"), make_tool("a")], (), HashingEncoder())


class Wrong(HashingEncoder):
    """Gives what ``change`` makes of its vectors."""

    def __init__(self, change: str) -> None:
        super().__init__(16)
        self.change = change

    def encode(self, texts: Sequence[str], /) -> Vectors:
        vectors = super().encode(texts)
        if self.change == "type":
            return vectors.astype(np.float64)  # type: ignore[return-value]
        if self.change == "shape":
            return vectors[:, :8]
        return vectors * (np.float32(np.nan) if self.change == "nan" else np.float32(2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("type", "float64"),
        ("shape", r"shape \(4, 8\)"),
        ("nan", "other lengths"),
        ("length", "other lengths"),
    ],
)
def test_an_encoder_that_gives_something_else_is_found_out(change: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        Tool2Vec.fit(TOOLS, (), Wrong(change))


# Changing


def test_adding_a_tool_encodes_that_tool_alone() -> None:
    encoder = CountingEncoder()
    index = Tool2Vec.fit(TOOLS, USAGES, encoder)
    encoder.texts.clear()
    added = make_tool("book_table", "A table in a restaurant.", "time")
    usage = Usage("dinner for two at eight", ("book_table",))
    more = index.adding([added], [usage])
    assert encoder.texts == [tool_text(added), usage.query]
    assert_same(more, Tool2Vec.fit([*TOOLS, added], [*USAGES, usage], HashingEncoder()))
    assert "book_table" not in index


def test_removing_a_tool_encodes_nothing_and_forgets_what_only_it_used() -> None:
    encoder = CountingEncoder()
    index = Tool2Vec.fit(TOOLS, USAGES, encoder)
    encoder.texts.clear()
    less = index.removing(["get_weather"])
    assert encoder.texts == []
    assert less.usages == (Usage(USAGES[2].query, ("sendMail",)), USAGES[3])
    rest = [tool for tool in TOOLS if tool.name != "get_weather"]
    assert_same(less, Tool2Vec.fit(rest, USAGES, HashingEncoder(), skip_unknown=True))


def test_removing_all_tools_leaves_an_index_that_can_be_filled_again(index: Tool2Vec) -> None:
    nothing = index.removing(index.names)
    assert (len(nothing), nothing.usages) == (0, ())
    assert_same(nothing.adding(TOOLS, USAGES), index)


def test_removing_what_is_not_there_is_refused(index: Tool2Vec) -> None:
    with pytest.raises(UnknownToolError, match="'nothing'"):
        index.removing(["add", "nothing"])


def test_a_tool_that_changed_is_replaced_and_keeps_its_usages() -> None:
    encoder = CountingEncoder()
    index = Tool2Vec.fit(TOOLS, USAGES, encoder)
    encoder.texts.clear()
    changed = make_tool("get_weather", "Temperatures and wind.", "city")
    after = index.adding([changed])
    assert encoder.texts == [tool_text(changed)]
    assert_same(
        after,
        Tool2Vec.fit([*(t for t in TOOLS if t.name != "get_weather"), changed], USAGES, HashingEncoder()),
    )


def test_an_index_follows_a_toolbox() -> None:
    encoder = CountingEncoder()
    index = Tool2Vec.fit(TOOLS, USAGES, encoder)
    encoder.texts.clear()
    other = Toolbox([TOOLS["add"], TOOLS["sendMail"], make_tool("new", "New.")])
    after = index.synced(other)
    assert encoder.texts == ["new: New."]
    assert_same(after, Tool2Vec.fit(other, USAGES, HashingEncoder(), skip_unknown=True))
    with pytest.raises(UnknownToolError):
        index.synced(other, [Usage("x", ("get_weather",))])


def test_what_changes_nothing_gives_the_same_index(index: Tool2Vec) -> None:
    assert index.adding(TOOLS, USAGES) is index
    assert index.synced(TOOLS) is index


def test_another_encoder_is_refused(index: Tool2Vec) -> None:
    with pytest.raises(ToolIndexError, match=r"'hashed words 1024', not with 'hashed words 8'"):
        index.with_encoder(HashingEncoder(8))
    assert index.with_encoder(HashingEncoder(1024)).search("rain", 1) == index.search("rain", 1)


# Graphs


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few vectors are enough for a graph."""
    monkeypatch.setattr(nearest, "HNSW_ABOVE", 100)


MANY = [make_tool(f"tool_{i}", f"Does thing {i} with thing {i * 7 % 200}.") for i in range(200)]
REQUESTS = [Usage(f"please do {i * 3} now", (f"tool_{i}", f"tool_{199 - i}")) for i in range(100)]


def assert_finds_the_same(one: Tool2Vec, two: Tool2Vec) -> None:
    for query in ("thing 5", "do 30 now", "something"):
        for by in ("centroid", "usage"):
            a, b = one.search(query, 5, by), two.search(query, 5, by)
            assert [x.score for x in a] == pytest.approx([x.score for x in b], abs=1e-5)


def test_a_graph_finds_what_comparing_all_finds(graphs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Tool2Vec.fit(MANY, REQUESTS, HashingEncoder(64))
    assert index.parts.text_graph is not None
    assert index.parts.centroid_graph is not None
    monkeypatch.setattr(nearest, "HNSW_ABOVE", 10_000)
    assert_finds_the_same(index, Tool2Vec.fit(MANY, REQUESTS, HashingEncoder(64)))


def test_a_graph_serves_on_when_little_changes_and_is_built_anew_when_much_does(
    graphs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Tool2Vec.fit(MANY, REQUESTS, HashingEncoder(64))
    built = []
    real = nearest.HNSW.build
    monkeypatch.setattr(nearest.HNSW, "build", lambda vectors: built.append(len(vectors)) or real(vectors))
    changed = index.removing(["tool_0", "tool_50"]).adding(
        [make_tool("another", "Does thing 5.")], [Usage("please do 30 now, please", ("another", "tool_7"))]
    )
    assert built == []
    assert changed.parts.text_graph is not None
    assert "another" in names(changed, "thing 5", 3)
    fresh = Tool2Vec.fit(
        [
            *(tool for tool in MANY if tool.name not in ("tool_0", "tool_50")),
            make_tool("another", "Does thing 5."),
        ],
        changed.usages,
        HashingEncoder(64),
    )
    assert_finds_the_same(changed, fresh)
    built.clear()
    changed.removing(names(changed, "thing", 60))
    assert len(built) == 2


def test_centroids_are_those_of_the_texts_of_each_tool(index: Tool2Vec) -> None:
    assert np.allclose(index.centroids, centroids_of(index.entries, index.parts.vectors))
    assert np.allclose(np.linalg.norm(index.centroids, axis=1), 1, atol=1e-5)
