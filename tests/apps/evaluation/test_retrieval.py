"""The figures of retrieval: what they are made of and how they are computed."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from typer.testing import CliRunner

from plait.apps import _eval_retrieval
from plait.apps.cli import app
from plait.apps.evaluation import _retrieval_data
from plait.apps.evaluation._bfcl import BFCLBenchmark
from plait.apps.evaluation._nestful_data import Call, Part, Sample
from plait.apps.evaluation._retrieval import BASELINE, KS, RetrievalScore, compared, measure, score
from plait.apps.evaluation._retrieval_data import Pool, RetrievalSet, bfcl_pool, divided, nestful_pool
from plait.retrieval import HashingEncoder, Usage
from plait.retrieval._entries import ToolEntry
from plait.tools import Tool

TOOLS = tuple(ToolEntry(name, f"does {name}") for name in "abcdefghijkl")


@pytest.fixture(scope="module")
def pool() -> Pool:
    return bfcl_pool(BFCLBenchmark())


def test_all_functions_of_the_single_turn_python_categories_are_one_toolbox(pool: Pool) -> None:
    names = [tool.name for tool in pool.tools]
    assert len(names) == len(set(names)) == 2574
    assert {name for request in pool.requests for name in request.tools} <= set(names)


def test_no_request_stands_twice_in_the_pool(pool: Pool) -> None:
    texts = [" ".join(request.query.casefold().split()) for request in pool.requests]
    assert len(texts) == len(set(texts))


def test_no_request_is_both_a_usage_and_a_test(pool: Pool) -> None:
    data = divided(pool, seed=1)
    assert not {usage.query for usage in data.usages} & {test.query for test in data.tests}
    assert len(data.usages) > len(data.tests) > 700
    assert divided(pool, seed=1) == data != divided(pool, seed=2)


def test_half_of_a_functions_requests_are_usages_and_of_an_odd_number_one_more() -> None:
    requests = [Usage(f"{name}{i}", (name,)) for name, n in (("a", 4), ("b", 5), ("c", 1)) for i in range(n)]
    data = divided(Pool(TOOLS, tuple(requests)), seed=0)
    for name, n_usages, n_tests in (("a", 2, 2), ("b", 3, 2), ("c", 0, 0)):
        assert sum(name in usage.tools for usage in data.usages) == n_usages
        assert sum(name in test.tools for test in data.tests) == n_tests


def test_recall_and_gain_are_those_of_their_definitions() -> None:
    tests = [Usage("one", ("a", "b")), Usage("two", ("c",))]
    found = {"one": list("bxxa"), "two": list("xxxxxc")}
    scored = score("s", lambda query, vector, k: found[query][:k], tests, np.zeros((2, 1), np.float32))
    assert scored.recall == {1: 0.25, 3: 0.25, 5: 0.5, 10: 1.0}
    assert scored.complete == {1: 0, 3: 0, 5: 0.5, 10: 1.0}
    gain = (1 + 1 / np.log2(5)) / (1 + 1 / np.log2(3))
    assert scored.ndcg_at_5 == pytest.approx(gain / 2)


def test_usages_make_tools_found_that_their_texts_hide() -> None:
    usages = tuple(Usage(f"request {i} about w{name}", (name,)) for name in "abcdefghijkl" for i in range(5))
    tests = tuple(Usage(f"again w{name}", (name,)) for name in "abcdefghijkl")
    figures = measure(RetrievalSet(TOOLS, usages, tests), HashingEncoder(2048))
    scores = {s.name: s for s in figures.scores}
    assert scores["BM25"].recall[10] == 0
    assert scores["Tool2Vec, fused"].recall == dict.fromkeys(KS, 1.0)
    assert scores["Tool2Vec, fused"].ndcg_at_5 == 1


def test_misses_are_compared_with_those_of_descriptions() -> None:
    def made(name: str, at_3: float, at_5: float) -> RetrievalScore:
        return RetrievalScore(name, {1: 0, 3: at_3, 5: at_5, 10: 1}, {}, 0)

    rows = list(compared([made(BASELINE, 0.5, 1.0), made("x", 0.75, 1.0), made("y", 1.0, 0.5)]))
    assert [(at_3, at_5) for _, at_3, at_5 in rows] == [(1, 0), (0.5, 0), (0, np.inf)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve tools with ten requests each, and hashed words in the place of the default encoder."""
    requests = tuple(
        Usage(f"request {i} about w{tool.name}", (tool.name,)) for tool in TOOLS for i in range(10)
    )
    monkeypatch.setattr(_retrieval_data, "bfcl_pool", lambda benchmark: Pool(TOOLS, requests))
    monkeypatch.setattr(_eval_retrieval, "open_encoder", lambda name, output: HashingEncoder())


@pytest.mark.usefixtures("quick")
def test_the_command_prints_a_line_for_each_ranking_and_each_selection() -> None:
    done = CliRunner().invoke(app, ["eval", "retrieval"])
    assert done.exit_code == 0, done.output
    header, *lines = done.stdout.splitlines()
    assert header.split("\t")[:2] == ["ranking", "recall@1"]
    rows = {line.split("\t")[0]: [float(x) for x in line.split("\t")[1:]] for line in lines[:-5]}
    assert rows["Tool2Vec, fused"][2] > rows[BASELINE][2]
    assert rows[BASELINE][-2:] == [1, 1]
    assert lines[-3].split("\t")[0] == "selected for recall 0.95"


@pytest.mark.usefixtures("quick")
def test_the_document_says_what_was_measured() -> None:
    done = CliRunner().invoke(app, ["eval", "retrieval", "--seed", "3", "--json"])
    document = json.loads(done.stdout)
    assert (document["seed"], document["encoder"]) == (3, "hashed words 256")
    assert [document[name] for name in ("n_tools", "n_usages", "n_tests")] == [12, 60, 60]
    shares = {f"{kind}@{k}" for kind in ("recall", "complete") for k in KS}
    assert {"name", *shares, "ndcg@5", "misses@3", "misses@5"} == set(document["rankings"][0])
    assert set(document["selections"][0]) == {"wanted", "recall", "complete", "n_tools"}
    assert document["dataset"] == "bfcl"
    assert [selection["wanted"] for selection in document["selections"]] == [0.8, 0.9, 0.95, 0.98, 0.99]


def part(name: str, tools: dict[str, str], *samples: tuple[str, list[str]]) -> Part:
    made = {
        tool: Tool.from_schema({"name": tool, "description": described, "parameters": {}})
        for tool, described in tools.items()
    }
    calls = [
        Sample(input=query, output=[Call(name=called, arguments={}) for called in [*names, "var_result"]])
        for query, names in samples
    ]
    return Part(name, calls, made, {}, name.encode())


PARTS = (
    part("one", {"add": "Sums.", "list": "Lists."}, ("add, then list", ["add", "list", "add"])),
    part("two", {"add": "Sums.", "list": "Other."}, (" list it ", ["list"]), ("nothing", [])),
)


def test_nestfuls_tools_are_one_toolbox_and_a_request_has_all_tools_of_its_plan() -> None:
    pool = nestful_pool(PARTS)
    assert [tool.name for tool in pool.tools] == ["add", "list", "list#2"]
    assert pool.requests == (Usage("add, then list", ("add", "list")), Usage("list it", ("list#2",)))


def test_nestful_is_measured_too(monkeypatch: pytest.MonkeyPatch) -> None:
    names = "abcdefghijkl"
    samples = [(f"request {i} about w{n} w{m}", [n, m]) for i in range(10) for n, m in pairwise(names)]
    made = part("executable", {name: f"does {name}" for name in names}, *samples)
    monkeypatch.setattr("plait.apps.evaluation._packages.unpacked", lambda package: None)
    monkeypatch.setattr("plait.apps.evaluation._nestful_data.PARTS", {"executable": ""})
    monkeypatch.setattr("plait.apps.evaluation._nestful_data.read_part", lambda folder, name: made)
    monkeypatch.setattr(_eval_retrieval, "open_encoder", lambda name, output: HashingEncoder())
    done = CliRunner().invoke(app, ["eval", "retrieval", "--data", "nestful", "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert (document["dataset"], document["n_tools"]) == ("nestful", 12)
    fused = next(row for row in document["rankings"] if row["name"] == "Tool2Vec, fused")
    assert fused["complete@10"] >= fused["complete@5"] > 0.5
