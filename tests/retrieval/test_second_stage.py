"""What is learnt from usages: better orders, sets of the right size, and how it is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from retrieval_samples import TOOLS, USAGES, make_tool

from plait.errors import ConfigurationError, ToolIndexError
from plait.retrieval import HashingEncoder, Ranking, Tool2Vec, Usage, load_index, save_index, update_index
from plait.retrieval._adam import Adam
from plait.retrieval._candidates import N_FEATURES, candidates_of
from plait.retrieval._mlc import softmax, train_mlc
from plait.retrieval._refiner import RECALLS, Example, ToolRefiner, train_refiner

N_TOOLS = 72
GROUP = 6


def world(seed: int) -> tuple[list[Usage], list[Usage]]:
    """Usages and tests: a request has a word of its tool, or but one that a group of tools has in common."""
    rng = np.random.default_rng(seed)
    requests = []
    for _ in range(4):
        for tool in range(N_TOOLS):
            own = f"own{tool} " if rng.random() < 0.6 else ""
            noise = " ".join(f"w{i}" for i in rng.integers(0, 300, 4))
            requests.append(Usage(f"{own}group{tool // GROUP} {noise}", (f"tool_{tool}",)))
    return requests[:-N_TOOLS], requests[-N_TOOLS:]


USAGES_OF_WORLD, TESTS = world(1)
TOOLS_OF_WORLD = [make_tool(f"tool_{i}", "Does something.") for i in range(N_TOOLS)]
CLEAR = [test for test in TESTS if "own" in test.query]
UNCLEAR = [test for test in TESTS if "own" not in test.query]


@pytest.fixture(scope="module")
def index() -> Tool2Vec:
    return Tool2Vec.fit(TOOLS_OF_WORLD, USAGES_OF_WORLD, HashingEncoder(1024)).trained()


def recall(index: Tool2Vec, k: int, by: Ranking) -> float:
    found = [{tool.name for tool in index.search(test.query, k, by)} for test in TESTS]
    return float(np.mean([set(test.tools) <= names for test, names in zip(TESTS, found, strict=True)]))


def test_what_is_learnt_orders_better_than_what_is_not(index: Tool2Vec) -> None:
    assert recall(index, GROUP, "refined") >= recall(index, GROUP, "fused") > 0.8
    assert recall(index, GROUP, "mlc") > 0.8


def test_a_trained_index_ranks_by_what_it_learnt_if_nothing_else_is_said(index: Tool2Vec) -> None:
    query = TESTS[0].query
    assert index.best_ranking == "refined"
    assert index.search(query, 3) == index.search(query, 3, "refined")
    plain = Tool2Vec.fit(TOOLS, USAGES, HashingEncoder())
    assert plain.best_ranking == "fused"
    assert plain.search("rain", 3) == plain.search("rain", 3, "fused")


def test_refined_scores_are_probabilities_of_the_first_64(index: Tool2Vec) -> None:
    found = index.search(TESTS[0].query, 99, "refined")
    assert len(found) == len({tool.name for tool in found}) == 64
    scores = [tool.score for tool in found]
    assert sum(scores) == pytest.approx(1, abs=1e-4)
    assert scores == sorted(scores, reverse=True)


def test_the_same_seed_learns_the_same_and_another_another() -> None:
    usages = [Usage(f"request {i} of {i % 2}", ("add" if i % 2 else "play_song",)) for i in range(60)]
    index = Tool2Vec.fit(TOOLS, usages, HashingEncoder(64))
    one, two, other = (index.trained(seed).search("request 5", 4) for seed in (0, 0, 1))
    assert one == two != other


def selected(index: Tool2Vec, wanted: float, tests: list[Usage]) -> tuple[float, float]:
    """Of the tests, the share whose tool is selected, and how many tools are on average."""
    found = [{tool.name for tool in index.select(test.query, wanted)} for test in tests]
    hits = [test.tools[0] in names for test, names in zip(tests, found, strict=True)]
    return float(np.mean(hits)), float(np.mean([len(names) for names in found]))


def test_selections_hold_the_wanted_share_and_grow_with_it(index: Tool2Vec) -> None:
    (low, few), (high, many) = (selected(index, wanted, TESTS) for wanted in (0.8, 0.95))
    assert low > 0.8 - 0.1
    assert high > 0.95 - 0.1
    assert few < many < 3 * GROUP


def test_the_less_sure_it_is_the_more_tools_are_selected(index: Tool2Vec) -> None:
    assert selected(index, 0.9, CLEAR)[1] < selected(index, 0.9, UNCLEAR)[1]


def test_a_share_that_was_never_reached_selects_all_tools(index: Tool2Vec) -> None:
    found = index.select(TESTS[0].query, 1.0)
    assert {tool.name for tool in found} == set(index.names)
    assert len(found) == N_TOOLS
    assert found[:64] == index.search(TESTS[0].query, 64, "refined")


@pytest.mark.parametrize("wanted", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(index: Tool2Vec, wanted: float) -> None:
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        index.select("query", wanted)


def test_an_index_that_is_not_trained_says_how_to_train_it() -> None:
    index = Tool2Vec.fit(TOOLS, USAGES, HashingEncoder())
    for call in (
        lambda: index.search("x", 3, "refined"),
        lambda: index.search("x", 3, "mlc"),
        lambda: index.select("x"),
    ):
        with pytest.raises(ConfigurationError, match="plait index train"):
            call()


def test_too_few_usages_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="4 tools and 4 usages, too few"):
        Tool2Vec.fit(TOOLS, USAGES, HashingEncoder()).trained()
    one = [Usage(f"request {i}", ("only",)) for i in range(60)]
    with pytest.raises(ConfigurationError, match="1 tools and 60 usages"):
        Tool2Vec.fit([make_tool("only")], one, HashingEncoder()).trained()


def test_progress_counts_up_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    usages = [Usage(f"request {i} of {i % 2}", ("add" if i % 2 else "play_song",)) for i in range(60)]
    Tool2Vec.fit(TOOLS, usages, HashingEncoder(64)).trained(progress=lambda *n: told.append(n))
    assert told == [(n, 7) for n in range(8)]


# Changing and keeping


def test_what_was_learnt_serves_on_when_tools_come_and_go(index: Tool2Vec) -> None:
    changed = index.removing(["tool_1"]).adding(
        [make_tool("another", "Quite another thing.")], [Usage("something of another", ("another",))]
    )
    assert changed.search("quite another thing", 1, "mlc")[0].name == "another"
    assert "another" in {tool.name for tool in changed.search("quite another thing", 3)}
    clear = CLEAR[9]
    assert changed.search(clear.query, 1, "mlc")[0].name == clear.tools[0]
    assert "tool_1" not in {tool.name for tool in changed.select("own1 group0", 1.0)}
    nothing = changed.removing(changed.names)
    assert nothing.search("x") == nothing.select("x") == []


def test_what_was_learnt_is_saved_and_loaded(index: Tool2Vec, tmp_path: Path) -> None:
    save_index(index, tmp_path)
    loaded = load_index(tmp_path, HashingEncoder(1024))
    for by in ("refined", "mlc"):
        assert loaded.search(TESTS[0].query, 9, by) == index.search(TESTS[0].query, 9, by)
    assert loaded.select(TESTS[0].query) == index.select(TESTS[0].query)


def test_learnt_parts_of_another_index_are_found_out(index: Tool2Vec, tmp_path: Path) -> None:
    save_index(index.removing(["tool_0"]), tmp_path / "other")
    save_index(index, tmp_path / "here")
    foreign = json.loads((tmp_path / "other/index.json").read_text())["files"]["learnt_vectors"]
    manifest = json.loads((tmp_path / "here/index.json").read_text())
    manifest["files"]["learnt_vectors"] = foreign
    del manifest["checksum"]
    from plait.retrieval._manifest import _checksum

    (tmp_path / "here" / foreign).write_bytes((tmp_path / "other" / foreign).read_bytes())
    (tmp_path / "here/index.json").write_text(json.dumps({**manifest, "checksum": _checksum(manifest)}))
    with pytest.raises(ToolIndexError, match="do not go together"):
        load_index(tmp_path / "here")


def test_an_index_in_a_folder_is_trained_there(tmp_path: Path) -> None:
    encoder = HashingEncoder(64)
    usages = [Usage(f"request {i} of {i % 2}", ("add" if i % 2 else "play_song",)) for i in range(60)]
    save_index(Tool2Vec.fit(TOOLS, usages, encoder), tmp_path)
    update_index(tmp_path, Tool2Vec.trained)
    assert load_index(tmp_path, encoder).best_ranking == "refined"


# Parts


def test_candidates_have_their_signals(index: Tool2Vec) -> None:
    stage = index.parts.second_stage
    assert stage is not None
    test = TESTS[7]
    vector = HashingEncoder(1024).encode([test.query])[0]
    found = candidates_of(index, stage.mlc, test.query, vector)
    assert found.features.shape == (64, N_FEATURES)
    names = [index.names[row] for row in found.rows]
    assert names == [tool.name for tool in index.search(test.query, 64, "fused")]
    for column, by in ((1, "centroid"), (2, "usage"), (3, "description"), (4, "mlc")):
        scores = {tool.name: tool.score for tool in index.search(test.query, N_TOOLS, by)}
        assert found.features[:, column].tolist() == pytest.approx([scores[name] for name in names], abs=1e-5)
    assert (found.features[:, 6:12] <= 0).all()


def test_a_single_candidate_has_features_too() -> None:
    index = Tool2Vec.fit([make_tool("only", "One.")], (), HashingEncoder())
    vector = HashingEncoder().encode(["one"])[0]
    found = candidates_of(index, index.centroids, "one", vector)
    assert found.features.shape == (1, N_FEATURES)
    assert np.isfinite(found.features).all()


def test_learnt_vectors_tell_tools_apart_that_centroids_do_not() -> None:
    usages = [Usage(f"the same words and word{i} as ever", (f"tool_{i}",)) for i in range(5)]
    index = Tool2Vec.fit(TOOLS_OF_WORLD[:5], usages, HashingEncoder(256))
    learnt = train_mlc(index.entries, index.parts.vectors)
    queries = index.parts.vectors[5:]
    right = np.arange(5)

    def margin(vectors: np.ndarray) -> float:
        products = queries @ vectors.T
        others = np.where(np.eye(5, dtype=bool), -np.inf, products).max(axis=1)
        return float((products[right, right] - others).min())

    assert margin(learnt) > margin(index.centroids)


def examples(n: int, seed: int) -> list[Example]:
    """Right is the candidate whose first feature is highest."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        features = rng.normal(size=(int(rng.integers(3, 12)), N_FEATURES)).astype(np.float32)
        right = np.arange(len(features)) == features[:, 0].argmax()
        found.append(Example(features, right, 1))
    return found


def test_a_refiner_learns_what_tells_right_from_wrong() -> None:
    refiner = train_refiner([examples(80, seed) for seed in range(3)])
    tests = examples(100, 9)
    hits = [test.is_right[refiner.probabilities(test.features).argmax()] for test in tests]
    assert np.mean(hits) > 0.8


def test_examples_whose_right_tools_are_no_candidates_hold_the_recall_down() -> None:
    lost = [
        Example(example.features, np.zeros(len(example.features), bool), 1) for example in examples(60, 5)
    ]
    refiner = train_refiner([examples(40, 1) + lost[:30], examples(40, 2) + lost[30:]])
    assert refiner.masses.tolist() == [2.0] * len(RECALLS)
    assert refiner.n_enough(np.array([1.0], np.float32), 0.8) is None


def test_a_threshold_is_that_of_the_next_higher_share() -> None:
    values = {name: np.zeros(1, np.float32) for name in ToolRefiner.__slots__}
    values["masses"] = np.array([0.5, 0.7, 0.9, 0.95, 2.0], np.float32)
    refiner = ToolRefiner(**values)
    ordered = np.array([0.6, 0.2, 0.12, 0.08], np.float32)
    assert [refiner.n_enough(ordered, r) for r in (0.1, 0.8, 0.81, 0.95, 0.97)] == [1, 1, 2, 3, 4]
    assert refiner.n_enough(ordered, 0.99) is refiner.n_enough(ordered, 1.0) is None


def test_weights_that_do_not_fit_together_are_refused(index: Tool2Vec) -> None:
    stage = index.parts.second_stage
    assert stage is not None
    arrays = stage.refiner.arrays()
    assert np.array_equal(ToolRefiner.of(arrays).hidden, stage.refiner.hidden)
    with pytest.raises(ValueError, match="fit together"):
        ToolRefiner.of({**arrays, "output": arrays["output"][:3]})
    with pytest.raises(ValueError, match="thresholds"):
        ToolRefiner.of({**arrays, "masses": arrays["masses"][:3]})
    with pytest.raises(KeyError):
        ToolRefiner.of({})


def test_shares_add_up_to_one_and_what_is_not_there_has_none() -> None:
    shares = softmax(np.array([[1.0, 2.0, -np.inf], [500.0, 0.0, 500.0]], np.float32))
    assert shares.sum(axis=1).tolist() == pytest.approx([1, 1])
    assert shares[0, 2] == 0


def test_adam_finds_the_lowest_point() -> None:
    place = np.array([3.0, -2.0], np.float32)
    adam = Adam([place], 0.1)
    for _ in range(300):
        adam.step([2 * (place - np.array([1.0, 1.0], np.float32))])
    assert place.tolist() == pytest.approx([1, 1], abs=1e-2)
    shrunk = np.ones((1, 1), np.float32)
    Adam([shrunk], 0.1, decay=1.0).step([np.zeros((1, 1), np.float32)])
    assert shrunk.item() == pytest.approx(0.9)
