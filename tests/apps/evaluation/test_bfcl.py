"""The leaderboard's own data and checker; ``plait eval fetch`` puts them into the cache."""

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from plait.apps.evaluation import _packages
from plait.apps.evaluation._bfcl import CATEGORIES, EXPORT_MODEL, BFCLBenchmark, decoded_calls, export_runs
from plait.apps.evaluation._folder import RunFolder
from plait.apps.evaluation._packages import BFCL, benchmarks_folder, unpacked
from plait.apps.evaluation._trial import Trial, planned_calls, try_items
from plait.apps.evaluation._types import Attempt, ErrorRecord, Item, ItemRecord, RunConfig
from plait.errors import ConfigurationError, DownloadError, PlanError
from plait.models import ScriptedModel, ToolCall
from plait.models._pip import PipError
from plait.models._scripted import Reply
from plait.orchestrator import Run
from plait.planners import Plan, Task, parse_plan

SIZES = {
    "simple_python": 400,
    "multiple": 200,
    "parallel": 200,
    "parallel_multiple": 200,
    "irrelevance": 240,
    "live_simple": 258,
    "live_multiple": 1053,
    "live_parallel": 16,
    "live_parallel_multiple": 24,
    "live_irrelevance": 884,
    "live_relevance": 16,
}
UNANSWERABLE = {
    "parallel_multiple_26",
    "live_simple_106-63-0",
    "live_simple_112-68-0",
    "live_multiple_862-181-3",
    "live_multiple_964-207-0",
}
"""Items whose every possible answer has an argument that its function has not, or lacks one that it needs."""


@pytest.fixture(scope="module", autouse=True)
def package() -> Path:
    folder = benchmarks_folder() / f"{BFCL.name}-{BFCL.version}"
    if not (folder / ".complete").exists():
        pytest.fail(f"{BFCL.name} is not in the cache; run: plait eval fetch")
    return unpacked(BFCL)


@pytest.fixture(scope="module")
def benchmark(package: Path) -> BFCLBenchmark:
    return BFCLBenchmark()


@pytest.fixture(scope="module")
def items(benchmark: BFCLBenchmark) -> dict[str, Item]:
    return {item.id: item for item in benchmark.items()}


def of(items: Mapping[str, Item], category: str) -> list[Item]:
    return [item for item in items.values() if item.category == category]


def answer(item: Item) -> Plan:
    """The first possible answer; what may be left out is, unless the function needs it."""
    needed = {f["name"]: f["parameters"].get("required", ()) for f in item.data["function"]}
    tasks = []
    for number, call in enumerate(item.gold, 1):
        ((name, options),) = call.items()
        chosen = _chosen(options, needed[name])
        tasks.append(Task(number, name, {key: _first(value) for key, value in chosen.items()}))
    return Plan(tuple(tasks))


def _chosen(options: Mapping[str, list[Any]], needed: Any = ()) -> dict[str, Any]:
    found = {key: [v for v in values if v != ""] or values for key, values in options.items()}
    return {
        key: found[key][0] for key, values in options.items() if values and (values[0] != "" or key in needed)
    }


def _first(value: Any) -> Any:
    if isinstance(value, dict):
        return _chosen(value)
    return [_chosen(v) if isinstance(v, dict) else v for v in value] if isinstance(value, list) else value


def is_right(benchmark: BFCLBenchmark, item: Item, plan: Plan) -> bool:
    return benchmark.score(item, Attempt(plan, Run(item.query))).correct


def test_all_items_of_all_categories_load(benchmark: BFCLBenchmark) -> None:
    found = benchmark.items()
    assert Counter(item.category for item in found) == SIZES
    assert tuple(SIZES) == CATEGORIES
    assert len({item.id for item in found}) == len(found) == 3491


def test_every_item_has_a_request_functions_and_where_calls_are_scored_an_answer(
    items: dict[str, Item],
) -> None:
    for item in items.values():
        assert item.query.strip()
        assert (item.gold is None) == item.category.endswith("relevance")
        assert item.data["function"] or item.category == "live_irrelevance"


def test_only_the_chosen_categories_are_loaded() -> None:
    found = BFCLBenchmark(categories=["parallel", "live_parallel"]).items()
    assert Counter(item.category for item in found) == {"parallel": 200, "live_parallel": 16}


def test_functions_are_shown_as_the_data_has_them_without_a_hint_on_the_language(
    items: dict[str, Item],
) -> None:
    told = json.dumps([item.data["function"] for item in items.values()])
    assert "Python 3 syntax" not in told


@pytest.mark.parametrize("category", ["live_simple", "live_parallel_multiple", "parallel", "multiple"])
def test_the_functions_of_every_item_become_tools(
    benchmark: BFCLBenchmark, items: dict[str, Item], category: str
) -> None:
    for item in of(items, category):
        toolbox = benchmark.toolbox(item)
        assert [tool.name for tool in toolbox] or not item.data["function"]
        assert {tool.name for tool in toolbox} == {f["name"] for f in item.data["function"]}


def test_an_item_without_functions_has_an_empty_toolbox(
    benchmark: BFCLBenchmark, items: dict[str, Item]
) -> None:
    empty = [item for item in items.values() if not item.data["function"]]
    assert empty
    assert all(len(benchmark.toolbox(item)) == 0 for item in empty)


def test_the_first_possible_answers_are_right(benchmark: BFCLBenchmark, items: dict[str, Item]) -> None:
    scored = [item for item in items.values() if item.gold is not None]
    assert len(scored) == 2351
    wrong = {item.id for item in scored if not is_right(benchmark, item, answer(item))}
    assert wrong == UNANSWERABLE


def test_plans_that_are_not_the_answer_are_wrong(benchmark: BFCLBenchmark, items: dict[str, Item]) -> None:
    for item in items.values():
        if item.gold is None or item.id in UNANSWERABLE:
            continue
        right = answer(item).tasks
        others = [
            (),
            right[1:],
            (*right, Task(99, right[0].tool, right[0].arguments)),
            (Task(1, "no_such_function", right[0].arguments), *right[1:]),
            (Task(1, right[0].tool, {**right[0].arguments, "no_such_argument": 1}), *right[1:]),
        ]
        assert not any(is_right(benchmark, item, Plan(tasks)) for tasks in others)


@pytest.mark.parametrize(
    "value", [None, 0.5, "no", [None], [[]], [{}], {}, {"a": {"b": []}}, ["a", 1], 10**400]
)
def test_odd_values_are_wrong_and_never_break_the_checker(
    benchmark: BFCLBenchmark, items: dict[str, Item], value: Any
) -> None:
    n_wrong = 0
    for item in items.values():
        if item.gold is None:
            continue
        plan = answer(item)
        odd = [Task(t.id, t.tool, dict.fromkeys(t.arguments, value)) for t in plan]
        n_wrong += not is_right(benchmark, item, Plan(tuple(odd)))
    assert n_wrong > 2200


def test_parallel_calls_may_come_in_any_order(benchmark: BFCLBenchmark, items: dict[str, Item]) -> None:
    parallel = of(items, "parallel")
    wrong = [i.id for i in parallel if not is_right(benchmark, i, Plan(tuple(reversed(answer(i).tasks))))]
    assert wrong == ["parallel_178"]  # the checker takes the first call that fits, which another needs more


def test_a_wrong_verdict_says_why_in_one_line(benchmark: BFCLBenchmark, items: dict[str, Item]) -> None:
    item = items["simple_python_0"]
    verdict = benchmark.score(item, Attempt(Plan(), Run(item.query)))
    assert verdict.detail.startswith("simple_function_checker:wrong_count")
    assert "\n" not in verdict.detail
    assert benchmark.score(item, Attempt(answer(item), Run(item.query))).detail == ""


@pytest.mark.parametrize(
    ("category", "called", "right"),
    [
        ("irrelevance", True, False),
        ("irrelevance", False, True),
        ("live_irrelevance", True, False),
        ("live_irrelevance", False, True),
        ("live_relevance", True, True),
        ("live_relevance", False, False),
    ],
)
def test_relevance_is_whether_anything_was_called(
    benchmark: BFCLBenchmark, items: dict[str, Item], category: str, called: bool, right: bool
) -> None:
    plan = Plan((Task(1, "anything", {}),) if called else ())
    item = of(items, category)[0]
    verdict = benchmark.score(item, Attempt(plan, Run(item.query)))
    assert verdict.correct is right
    assert bool(verdict.detail) is not right


def test_a_plan_that_broke_off_is_wrong_though_its_calls_are_right(
    benchmark: BFCLBenchmark, items: dict[str, Item]
) -> None:
    item = items["parallel_0"]
    run = Run(item.query, error=PlanError("it broke off"))
    verdict = benchmark.score(item, Attempt(answer(item), run))
    assert not verdict.correct
    assert "it broke off" in verdict.detail


def test_a_made_up_result_is_never_traced_in_arguments(
    benchmark: BFCLBenchmark, items: dict[str, Item]
) -> None:
    (tool,) = benchmark.toolbox(items["simple_python_0"])
    assert all(len(str(value)) < 4 for value in benchmark.stub(tool, {}, 999).values())


@pytest.mark.parametrize("before", [None, "/somewhere/else"])
def test_loading_leaves_environment_and_path_as_they_were(
    monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    if before is None:
        monkeypatch.delenv("BFCL_PROJECT_ROOT", raising=False)
    else:
        monkeypatch.setenv("BFCL_PROJECT_ROOT", before)
    path, environment = list(sys.path), dict(os.environ)
    loaded = BFCLBenchmark(categories=["simple_python"])
    item = loaded.items()[0]
    assert is_right(loaded, item, answer(item))
    assert sys.path == path
    assert dict(os.environ) == environment


def test_the_fingerprint_names_the_version_of_data_and_checker(benchmark: BFCLBenchmark) -> None:
    assert benchmark.fingerprint == f"bfcl-eval 2026.3.23 {BFCL.sha256[:16]}"


def test_an_unknown_category_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no category 'java'; choose from simple_python, multiple"):
        BFCLBenchmark(tmp_path, ["java"])
    assert not list(tmp_path.iterdir())


def test_without_package_and_network_the_fix_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(wanted: Any, target: Path) -> None:
        raise PipError("no route to host")

    monkeypatch.setattr(_packages, "pip_download", offline)
    with pytest.raises(DownloadError, match=r"bfcl-eval 2026\.3\.23 cannot be fetched .*run this once"):
        BFCLBenchmark(tmp_path)


# How the leaderboard reads the results of EXPORT_MODEL.
def official_decode(result: str) -> list[dict[str, dict[str, Any]]]:
    found = re.findall(r"<tool_call>\n(.*?)\n</tool_call>", result, re.DOTALL)
    return [{call["name"]: call["arguments"]} for call in map(json.loads, found)]


@pytest.fixture
def exported(
    tmp_path: Path, make_config: Callable[..., RunConfig]
) -> Callable[..., dict[str, list[dict[str, Any]]]]:
    """Writes a run of these records, exports it, and reads the files by their paths."""

    def export(*records: ItemRecord) -> dict[str, list[dict[str, Any]]]:
        with RunFolder(tmp_path / "run", make_config(benchmark="bfcl")) as folder:
            for record in records:
                folder.add(record)
        (out,) = export_runs([tmp_path / "run"], tmp_path / "out")
        assert out == tmp_path / "out"
        return {
            str(path.relative_to(out)): [json.loads(line) for line in path.read_text("ascii").splitlines()]
            for path in out.rglob("*.json")
        }

    return export


ODD_PLANS = [
    [],
    [Task(1, "math.factorial", {"number": 5})],
    [Task(1, "spotify.play", {"artist": "Zoë 大文 \U0001f600"}), Task(2, "spotify.play", {"artist": "$1"})],
    [Task(1, "f", {"price": "$5", "all": ["${1}", "\\$2", "costs $3.50 \\"], "a.b": {"c d": None}})],
    [Task(1, "f", {"text": "</tool_call>\n<tool_call>\n{}\n</tool_call>", "n": [1, 2.5, -3, 1e30, True]})],
    [Task(n, "f", {"n": n}) for n in range(1, 130)],
    [Task(1, "made up name", {}), Task(2, "join", {"\u2028": "\r\n\x85"})],
]


@pytest.mark.parametrize("tasks", ODD_PLANS)
def test_the_leaderboard_reads_the_very_calls_from_an_export(
    exported: Callable[..., dict[str, list[dict[str, Any]]]],
    make_record: Callable[..., ItemRecord],
    tasks: Any,
) -> None:
    plan = Plan(tuple(tasks))
    record = make_record("parallel_0", category="parallel", plan=planned_calls(plan))
    ((line,),) = exported(record).values()
    assert (
        official_decode(line["result"]) == [{t.tool: dict(t.arguments)} for t in tasks] == decoded_calls(plan)
    )


def test_references_are_exported_as_the_text_that_was_scored(
    exported: Callable[..., dict[str, list[dict[str, Any]]]], make_record: Callable[..., ItemRecord]
) -> None:
    plan = Plan(tuple(parse_plan('1. f()\n2. g(a=$1.x, b=["see ${1}"])\n3. join()')))
    record = make_record("parallel_0", category="parallel", plan=planned_calls(plan))
    ((line,),) = exported(record).values()
    wanted = [{"f": {}}, {"g": {"a": "$1.x", "b": ["see ${1}"]}}]
    assert official_decode(line["result"]) == wanted == decoded_calls(plan)


def test_every_category_has_a_file_where_the_leaderboard_looks_for_it(
    exported: Callable[..., dict[str, list[dict[str, Any]]]], make_record: Callable[..., ItemRecord]
) -> None:
    files = exported(*(make_record(f"{category}_0", category=category) for category in CATEGORIES))
    model = EXPORT_MODEL.replace("/", "_")
    assert set(files) == {
        f"{model}/{'live' if c.startswith('live') else 'non_live'}/BFCL_v4_{c}_result.json"
        for c in CATEGORIES
    }


def test_tokens_and_time_are_exported(
    exported: Callable[..., dict[str, list[dict[str, Any]]]], make_record: Callable[..., ItemRecord]
) -> None:
    record = make_record(
        "parallel_0",
        category="parallel",
        tokens={"prompt": 7, "completion": 3},
        times={"total_s": 1.5},
    )
    ((line,),) = exported(record).values()
    assert line["id"] == "parallel_0"
    assert (line["input_token_count"], line["output_token_count"], line["latency"]) == (7, 3, 1.5)


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("called", [True, False])
def test_an_item_that_failed_is_exported_as_what_the_leaderboard_counts_as_wrong(
    exported: Callable[..., dict[str, list[dict[str, Any]]]],
    make_record: Callable[..., ItemRecord],
    benchmark: BFCLBenchmark,
    items: dict[str, Item],
    category: str,
    called: bool,
) -> None:
    item = of(items, category)[0]
    plan = Plan((Task(1, "f", {}),) if called else ())
    if called and item.gold is not None:
        plan = answer(item)
    error = ErrorRecord(type="ModelError", message="it died")
    record = make_record(item.id, category=category, plan=planned_calls(plan), error=error, correct=False)
    ((line,),) = exported(record).values()
    read = Plan(
        tuple(Task(1, name, a) for call in official_decode(line["result"]) for name, a in call.items())
    )
    assert not is_right(benchmark, item, read)


def test_a_plan_that_broke_off_is_exported_as_wrong_where_calls_are_scored(
    exported: Callable[..., dict[str, list[dict[str, Any]]]],
    make_record: Callable[..., ItemRecord],
    items: dict[str, Item],
) -> None:
    item = items["parallel_0"]
    plan = planned_calls(answer(item))
    record = make_record(item.id, category="parallel", plan=plan, parsed=False, correct=False)
    ((line,),) = exported(record).values()
    assert official_decode(line["result"]) == []


def test_several_runs_are_exported_into_folders_of_their_own(
    tmp_path: Path, make_config: Callable[..., RunConfig], make_record: Callable[..., ItemRecord]
) -> None:
    runs = [tmp_path / planner for planner in ("compiler", "native")]
    for run in runs:
        with RunFolder(run, make_config(run.name, benchmark="bfcl")) as folder:
            folder.add(make_record("parallel_0", category="parallel"))
    assert export_runs(runs, tmp_path / "out") == [tmp_path / "out" / "compiler", tmp_path / "out" / "native"]
    assert len(list((tmp_path / "out").rglob("BFCL_v4_parallel_result.json"))) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("planner", ["compiler", "native", "react"])
async def test_items_are_tried_and_scored_with_every_planner(
    benchmark: BFCLBenchmark, items: dict[str, Item], planner: str
) -> None:
    item = items["parallel_0"]
    plan = answer(item)
    steps = [f"{task}" for task in plan]
    native = tuple(ToolCall(f"c{t.id}", t.tool.replace(".", "_"), t.arguments) for t in plan)
    script: dict[str, list[Any]] = {
        "compiler": [str(plan)],
        "native": [Reply("", native)],
        "react": [*steps, "Answer: done"],
    }
    records: list[ItemRecord] = []
    model = ScriptedModel(script[planner], context_length=100_000)
    await try_items(Trial(benchmark, model, planner), [item], records.append)
    assert records[0].error is None
    assert records[0].correct
    assert len(model.requests) == len(script[planner])
