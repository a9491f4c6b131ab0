import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from plait.apps.evaluation._qa import QABenchmark
from plait.apps.evaluation._qa_data import QAKind
from plait.apps.evaluation._sample import sample_wikipedia, write_sample
from plait.apps.evaluation._types import Attempt, Benchmark, Item, Verdict
from plait.apps.evaluation._wikipedia import Wikipedia
from plait.errors import LookupUnavailableError, RunError, ToolCallError, ToolTimeoutError
from plait.models import Message, ScriptedModel
from plait.orchestrator import Agent, Run
from plait.planners import Plan, Task, TaskOutcome

pytestmark = pytest.mark.anyio

KINDS: tuple[QAKind, ...] = get_args(QAKind)
VARGA, SELIN = 'search(query="Mount Varga")', 'search(query="Mt. Selin")'
SAMPLE: dict[tuple[QAKind, str], tuple[Sequence[str], dict[str, str], str]] = {
    ("parallelqa", "1"): (
        [
            VARGA,
            SELIN,
            'math(problem="height in m if 10% lower", context=[$1])',
            'math(problem="height in m if 5% higher", context=[$2])',
        ],
        {"height in m if 10% lower": "4210 * 0.9", "height in m if 5% higher": "3870 * 1.05"},
        "Mount Selin",
    ),
    ("parallelqa", "2"): (
        [VARGA, SELIN, 'math(problem="difference in m", context=[$1, $2])'],
        {"difference in m": "abs(4210 - 3870)"},
        "",
    ),
    ("parallelqa", "3"): (
        [
            'search(query="Lake Ombra")',
            'math(problem="twice the area in km2", context=[$1])',
            'search(query="Lake Tesk")',
            'math(problem="area in km2 less 20%", context=[$3])',
            'math(problem="${2} + ${4}")',
        ],
        {"twice the area in km2": "412 * 2", "area in km2 less 20%": "655 * 0.8"},
        "",
    ),
    ("parallelqa", "4"): (
        [
            'search(query="Noria")',
            'search(query="Kesland")',
            'search(query="Tarn")',
            'math(problem="average population in millions", context=[$1, $2, $3])',
        ],
        {"average population in millions": "(12.4 + 9.8 + 4.2) / 3"},
        "",
    ),
    ("hotpotqa", "varendonk-danal-work"): (
        ['search(query="Ilse Varendonk")', 'search(query="Mirko Danal")'],
        {},
        "Yes, both were composers.",
    ),
    ("hotpotqa", "varendonk-danal-country"): (
        ['search(query="Ilse Varendonk")', 'search(query="Mirko Danal")'],
        {},
        "No.",
    ),
    ("hotpotqa", "ferry-winters"): (
        ['search(query="Nine Winters")', 'search(query="The Glass Ferry")'],
        {},
        "The Glass Ferry (1931)",
    ),
    ("movie", "0"): (
        [
            f'search(query="{title}")'
            for title in ("The Silent Harbour", "Night Train to Kesk", "Two Left Shoes", "Codename Heron")
        ],
        {},
        "Codename Heron",
    ),
    ("movie", "1"): (
        [f'search(query="{title}")' for title in ("Two Left Shoes", "Waltz for Goats")],
        {},
        "Waltz for Goats.",
    ),
    ("movie", "2"): (
        [f'search(query="{title}")' for title in ("Cellar of Owls", "What the Fog Kept")],
        {},
        'The answer is "What the Fog Kept".',
    ),
}


def scripted(calls: Sequence[str], expressions: dict[str, str], answer: str) -> ScriptedModel:
    """A model that plans ``calls``, writes ``expressions`` for problems, and answers."""

    def reply(messages: Sequence[Message]) -> str:
        asked = messages[-1].content
        if asked.endswith("Expression:"):
            return expressions[asked.rsplit("Question: ", 1)[1].split("\n")[0]]
        if asked.startswith("Results:"):
            return f"Answer: {answer}"
        if replanned := re.search(r"from call (\d+) on", asked):
            return f"{replanned[1]}. join()"
        return "\n".join(f"{k}. {call}" for k, call in enumerate([*calls, "join()"], 1))

    return ScriptedModel([reply] * 20)


async def tried(benchmark: QABenchmark, item: Item, model: ScriptedModel) -> Verdict:
    agent = Agent(model, benchmark.toolbox(item, model), examples=benchmark.examples, policy="none", now=None)
    run = await agent.run(item.query)
    return benchmark.score(item, Attempt(run.plan, run))


@pytest.mark.parametrize(("kind", "id_"), list(SAMPLE))
async def test_a_sample_question_is_answered_end_to_end_without_a_network(
    kind: QAKind, id_: str, tmp_path: Path
) -> None:
    model = scripted(*SAMPLE[kind, id_])
    wikipedia = sample_wikipedia(tmp_path / "cache")
    benchmark = QABenchmark(kind, write_sample(kind, tmp_path), wikipedia=wikipedia)
    item = next(item for item in benchmark.items() if item.id == id_)
    verdict = await tried(benchmark, item, model)
    assert verdict.correct, verdict.detail
    assert all(0 <= score <= 1 for score in verdict.scores.values())
    if kind == "parallelqa":
        assert verdict.scores["within_10_percent"] == 1.0


async def test_offline_the_answer_is_not_judged_and_the_error_says_what_is_missing(tmp_path: Path) -> None:
    path = write_sample("hotpotqa", tmp_path)
    offline = Wikipedia(tmp_path / "cache", offline=True)
    benchmark = QABenchmark("hotpotqa", path, wikipedia=offline)
    item = benchmark.items()[0]
    with pytest.raises(LookupUnavailableError, match="'Ilse Varendonk', 'Mirko Danal'") as missed:
        await tried(benchmark, item, scripted(*SAMPLE["hotpotqa", item.id]))
    assert missed.value.queries == ("Ilse Varendonk", "Mirko Danal")
    assert "not in the cache" in str(missed.value)


async def test_what_was_looked_up_once_is_answered_offline(tmp_path: Path) -> None:
    path = write_sample("movie", tmp_path)
    api = "https://wikipedia.invalid/w/api.php"
    for wikipedia in (sample_wikipedia(tmp_path), Wikipedia(tmp_path, offline=True, api=api)):
        benchmark = QABenchmark("movie", path, wikipedia=wikipedia)
        item = benchmark.items()[0]
        assert (await tried(benchmark, item, scripted(*SAMPLE["movie", item.id]))).correct


@pytest.mark.parametrize(
    ("answer", "correct"), [("The Glass Ferry", True), ("Nine Winters", False), ("", False)]
)
async def test_a_page_that_does_not_exist_is_no_network_failure_and_the_answer_is_judged(
    answer: str, correct: bool, tmp_path: Path
) -> None:
    benchmark = QABenchmark(
        "hotpotqa", write_sample("hotpotqa", tmp_path), wikipedia=sample_wikipedia(tmp_path / "cache")
    )
    model = scripted(['search(query="Xyzzy the Glass Ferry")', 'search(query="Xyzzy")'], {}, answer)
    verdict = await tried(benchmark, benchmark.items()[2], model)
    assert verdict.correct is correct
    assert verdict.scores["exact_match"] == float(correct)
    assert ("Wikipedia has no page on 'Xyzzy'" in verdict.detail) is not correct


def benchmark_of(tmp_path: Path, kind: QAKind, **entry: Any) -> tuple[QABenchmark, Item]:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([{"id": "0", **entry}]))
    benchmark = QABenchmark(kind, path, wikipedia=sample_wikipedia(tmp_path / "cache"))
    return benchmark, benchmark.items()[0]


def outcome(number: int, query: str, error: Exception | None = None) -> TaskOutcome:
    task = Task(number, "search", {"query": query})
    status = "ok" if error is None else "failed"
    return TaskOutcome(task, status, error=error, arguments={"query": query})  # type: ignore[arg-type]


def scored(benchmark: QABenchmark, item: Item, answer: str, *outcomes: TaskOutcome, **run: Any) -> Verdict:
    return benchmark.score(item, Attempt(Plan(), Run(item.query, answer, tasks=list(outcomes), **run)))


@pytest.mark.parametrize(
    ("answer", "correct", "exact", "within"),
    [
        ("340", True, 1, 1),
        ("343 m", True, 0, 1),
        ("370 m", False, 0, 1),
        ("400 m", False, 0, 0),
        ("", False, 0, 0),
    ],
)
def test_numbers_may_be_off_by_one_percent_and_the_papers_ten_are_reported_beside_it(
    tmp_path: Path, answer: str, correct: bool, exact: float, within: float
) -> None:
    benchmark, item = benchmark_of(tmp_path, "parallelqa", question="How high?", answer="340", branch=2)
    verdict = scored(benchmark, item, answer)
    assert (verdict.correct, verdict.scores["exact_match"]) == (correct, exact)
    assert verdict.scores["within_10_percent"] == within


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ("It is the Mount Selin.", True),
        ("Mount Varga", False),
        ("Mount Selin is higher than Mount Varga", False),
        ("Selin", False),
    ],
)
def test_a_name_is_right_alone(tmp_path: Path, answer: str, correct: bool) -> None:
    question = "If Mount Varga were lower and Mount Selin higher, which would be higher?"
    benchmark, item = benchmark_of(tmp_path, "parallelqa", question=question, answer="Mount Selin", branch=2)
    verdict = scored(benchmark, item, answer)
    assert verdict.correct is correct
    assert (verdict.detail == "") is correct


@pytest.mark.parametrize(
    ("gold", "answer", "correct"),
    [
        ("yes", "Yes, both.", True),
        ("yes", "no", False),
        ("no", "There is no way to tell", False),
        ("Josip Trell", "josip trell was older", True),
        ("Josip Trell", "Josip Trell was older than Anneke Rool", False),
        ("writer", "Both were a writer.", True),
        ("writer", "painters", False),
    ],
)
def test_comparisons_are_decided_or_named(tmp_path: Path, gold: str, answer: str, correct: bool) -> None:
    question = "Who was older, Josip Trell or Anneke Rool?"
    benchmark, item = benchmark_of(tmp_path, "hotpotqa", level="hard", question=question, answer=gold)
    assert scored(benchmark, item, answer).correct is correct


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ("Heron", True),
        ("Heron or Two Shoes", False),
        ("Two Shoes", False),
        ("The Silent Heron", False),
        ("", False),
    ],
)
def test_a_movie_is_right_if_it_is_the_only_option_named(tmp_path: Path, answer: str, correct: bool) -> None:
    question = "Find a movie similar to Harbour\nOptions:\nHeron\nThe Silent Heron\nTwo Shoes"
    benchmark, item = benchmark_of(tmp_path, "movie", question=question, answer="Heron")
    assert scored(benchmark, item, answer).correct is correct


def test_a_lookup_that_failed_and_then_succeeded_is_no_obstacle(tmp_path: Path) -> None:
    benchmark, item = benchmark_of(tmp_path, "hotpotqa", level="easy", question="Is it?", answer="yes")
    error = LookupUnavailableError("no network", queries=["A"])
    failed, found, other = outcome(1, "A", error), outcome(2, "A"), outcome(3, "B", error)
    assert scored(benchmark, item, "yes", failed, found).correct
    with pytest.raises(LookupUnavailableError, match="could not look up 'B'"):
        scored(benchmark, item, "yes", failed, found, other)


def test_a_search_that_took_too_long_is_not_judged_and_one_that_failed_otherwise_is(tmp_path: Path) -> None:
    benchmark, item = benchmark_of(tmp_path, "hotpotqa", level="easy", question="Is it?", answer="yes")
    with pytest.raises(LookupUnavailableError, match="'A'"):
        scored(benchmark, item, "yes", outcome(1, "A", ToolTimeoutError("late", tool="search")))
    assert scored(benchmark, item, "yes", outcome(1, "A", ToolCallError("no page"))).correct


def test_a_run_that_ended_without_an_answer_is_wrong_and_says_why(tmp_path: Path) -> None:
    benchmark, item = benchmark_of(tmp_path, "hotpotqa", level="easy", question="Is it?", answer="yes")
    verdict = scored(benchmark, item, "", error=RunError("no answer after 3 rounds"))
    assert not verdict.correct
    assert verdict.detail == "there is no answer: no answer after 3 rounds"
    assert scored(benchmark, item, "").detail == "the answer is empty"


@pytest.mark.parametrize("kind", KINDS)
def test_the_benchmark_says_what_it_is(kind: QAKind, tmp_path: Path) -> None:
    path = write_sample(kind, tmp_path)
    benchmark: Benchmark = QABenchmark(kind, path, wikipedia=sample_wikipedia(tmp_path / "cache"))
    assert benchmark.name == kind
    assert benchmark.fingerprint.startswith(f"{kind}-1-")
    assert benchmark.real_tools
    assert not benchmark.single_turn
    assert benchmark.metric == "answer right"
    item = benchmark.items()[0]
    expected = ("math", "search") if kind == "parallelqa" else ("search",)
    assert benchmark.toolbox(item).names == expected
    search = benchmark.toolbox(item)["search"]
    assert search.annotations.read_only
    assert search.annotations.open_world
    assert search.annotations.idempotent
    stubs = {str(benchmark.stub(tool, {"query": "A"}, n)) for tool in benchmark.toolbox(item) for n in (1, 2)}
    assert len(stubs) == 2 * len(expected)


def test_other_data_has_another_fingerprint(tmp_path: Path) -> None:
    first, _ = benchmark_of(tmp_path, "hotpotqa", level="easy", question="Is it?", answer="yes")
    second, _ = benchmark_of(tmp_path, "hotpotqa", level="easy", question="Is it?", answer="no")
    assert first.fingerprint != second.fingerprint


async def test_films_come_first_where_the_movie_benchmark_finds_several_pages(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        missing = {"title": "Heron", "missing": True}
        hits = [
            {"title": f"Heron {n}", "extract": f"{n}.", "index": i} for i, n in enumerate(("bird", "film"))
        ]
        return httpx.Response(
            200, json={"query": {"pages": [missing] if "titles" in request.url.params else hits}}
        )

    wikipedia = Wikipedia(tmp_path / "cache", transport=httpx.MockTransport(answer))
    benchmark = QABenchmark("movie", write_sample("movie", tmp_path), wikipedia=wikipedia)
    search = benchmark.toolbox(benchmark.items()[0])["search"]
    assert await search.ainvoke({"query": "Heron"}) == "Heron film: film."
