"""``plait eval``: what is tried, what is kept, what is said where, and the exit code."""

import csv
import io
import json
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import sleep
from types import ModuleType
from typing import Any

import pytest
import typer
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from typer.testing import CliRunner, Result

from plait.apps import cli
from plait.apps._setup import ModelOptions
from plait.apps.evaluation import _packages, _session
from plait.apps.evaluation._folder import LoadedRun, load_run
from plait.errors import ModelError
from plait.models import Message, Reply, ScriptedModel
from plait.models._pip import PipError
from plait.tools import Toolbox, tool

A, B, C, D = "look a up", "look b up and save it", "bake a cake", "look d up"
SCRIPT: dict[str, Any] = {
    A: '1. look_up(name="a")\n2. join()',
    B: '1. look_up(name="b")\n2. save(text=$1)\n3. join()',
    C: "1. join()",
    D: '1. save(text="d")\n2. join()',
}
"""What the model answers; the last is wrong."""


@tool(read_only=True, open_world=False)
def look_up(name: str) -> str:
    """Look something up."""
    raise AssertionError("no tool is called in an evaluation of plans")


@tool(read_only=False, open_world=False)
def save(text: str) -> str:
    """Save a text."""
    raise AssertionError("no tool is called in an evaluation of plans")


def call(tool_name: str, **arguments: Any) -> dict[str, Any]:
    return {"tool": tool_name, "args": arguments}


def line(id_: str, query: str, *calls: dict[str, Any]) -> str:
    return json.dumps({"id": id_, "now": "2027-03-01T09:00:00", "query": query, "plan": list(calls)})


LINES = (
    line("a", A, call("look_up", name="a")),
    line("b", B, call("look_up", name="b"), call("save", text="$1")),
    line("c", C),
    line("d", D, call("look_up", name="d")),
)


@dataclass
class Evaluation:
    """The command in an empty folder; its models are scripted, and keep what they were asked."""

    folder: Path
    script: dict[str, Any] = field(default_factory=lambda: dict(SCRIPT))
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Each request with the model that it was put to."""

    def write(self, *lines: str) -> Path:
        path = self.folder / "requests.jsonl"
        path.write_text("".join(text + "\n" for text in lines), encoding="utf-8")
        return path

    def __call__(self, *arguments: str, tools: str | None = "eval_tools:TOOLS", **options: Any) -> Result:
        own = ["--tools", tools] if tools and arguments[0] == "plans" else []
        return CliRunner().invoke(cli.app, ["eval", *arguments, *own], **options)

    def run(self, name: str = "scripted-compiler") -> LoadedRun:
        return load_run(self.folder / "plait-eval" / "plans" / name)

    def open_model(self, options: ModelOptions, *_: object) -> ScriptedModel:
        name = options.model if options.model.startswith("m") else "scripted"

        def answer(messages: Sequence[Message]) -> Any:
            query = next(q for q in self.script if q in messages[-1].content)
            self.asked.append((name, query))
            said = self.script[query]
            return said.pop(0) if isinstance(said, list) else said

        return ScriptedModel([answer] * 99, name=name)


@pytest.fixture
def toolbox(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that can be imported, with tools."""
    module = ModuleType("eval_tools")
    module.TOOLS = Toolbox([look_up, save])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "eval_tools", module)
    return module


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toolbox: ModuleType) -> Evaluation:
    monkeypatch.chdir(tmp_path)
    evaluation = Evaluation(tmp_path)
    evaluation.write(*LINES)
    monkeypatch.setattr(_session, "prepare_model", lambda *_: None)
    monkeypatch.setattr(_session, "open_model", evaluation.open_model)
    return evaluation


def check_error(result: Result, code: int, *parts: str) -> None:
    """That the command said in one sentence what is wrong, and nothing else."""
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert "unexpectedly" not in result.stderr
    for part in parts:
        assert part in result.stderr


def test_a_file_is_tried_and_its_accuracy_is_shown_with_intervals(evaluate: Evaluation) -> None:
    result = evaluate("plans", "requests.jsonl")
    assert result.exit_code == 0
    lines = {" ".join(text.split()[:-1]): text.split()[-1] for text in result.stdout.splitlines() if text}
    assert lines["overall (4) 75.0 %"] == "30.1-95.4"
    assert lines["tool recall 100.0"] == "%"
    assert "run folder: plait-eval/plans/scripted-compiler" in result.stderr
    assert {id_: record.correct for id_, record in evaluate.run().items.items()} == {
        **dict.fromkeys("abc", True),
        "d": False,
    }


def test_an_item_is_kept_with_prompt_output_plan_verdict_tokens_and_times(evaluate: Evaluation) -> None:
    evaluate("plans", "requests.jsonl", "--ids", "b")
    record = evaluate.run().items["b"]
    (generation,) = record.generations
    assert B in generation.messages[-1]["content"]
    assert generation.output == SCRIPT[B]
    assert [planned.model_dump() for planned in record.plan] == [
        {"id": 1, "tool": "look_up", "arguments": {"name": "b"}},
        {"id": 2, "tool": "save", "arguments": {"text": "$1"}},
    ]
    assert (record.correct, record.scores["arguments_right"]) == (True, 1.0)
    assert record.tokens.prompt > 0
    assert record.times.total_s > 0
    config = evaluate.run().config
    assert (config.identity.benchmark, config.identity.planner) == ("plans", "compiler")
    assert "cores" in config.hardware


def test_one_json_document_is_all_there_is_on_standard_output(evaluate: Evaluation) -> None:
    result = evaluate("plans", "requests.jsonl", "--json")
    document = json.loads(result.stdout)
    assert set(document) == {
        *("benchmark", "fingerprint", "metric", "runs", "categories", "scores"),
        *("n_common", "pairs", "differing"),
    }
    (run,) = document["runs"]
    assert set(run) == {
        *("label", "path", "config", "overall", "macro_accuracy", "categories", "totals", "n_at_once")
    }
    assert set(run["overall"]) == {
        *("category", "n", "n_right", "n_errors", "n_unparsed", "accuracy", "interval", "scores"),
        *("latency", "tokens", "generations", "calls", "cost_usd"),
    }
    assert (document["metric"], run["overall"]["accuracy"]) == ("plan success", 0.75)
    assert [group["category"] for group in run["categories"]] == ["1 call", "2-3 calls", "none"]


def test_the_tools_may_be_function_definitions_in_a_json_file(evaluate: Evaluation, tmp_path: Path) -> None:
    definitions = [tool.to_openai() for tool in (look_up, save)]
    (tmp_path / "tools.json").write_text(json.dumps(definitions), encoding="utf-8")
    result = evaluate("plans", "requests.jsonl", tools="tools.json")
    assert result.exit_code == 0
    assert evaluate.run().items["b"].correct


def test_without_tools_the_assistants_are_planned_with(evaluate: Evaluation) -> None:
    evaluate.write(line("p", "phone Sid", call("get_phone_number", name="Sid")))
    evaluate.script = {"phone Sid": '1. get_phone_number(name="Sid")\n2. join()'}
    assert evaluate("plans", "requests.jsonl", tools=None).exit_code == 0
    assert evaluate.run().items["p"].correct


def test_every_model_is_tried_with_every_planner_and_all_stand_beside_each_other(
    evaluate: Evaluation,
) -> None:
    models = ("-m", "m1", "--model", "m2")
    result = evaluate("plans", "requests.jsonl", *models, "--planner", "compiler,native", "--json")
    document = json.loads(result.stdout)
    assert [run["label"] for run in document["runs"]] == [
        f"{model} {planner}" for model in ("m1", "m2") for planner in ("compiler", "native")
    ]
    # What native is told as text is no call, which is right for the cake alone.
    assert [run["overall"]["n_right"] for run in document["runs"]] == [3, 1, 3, 1]
    assert {item["id"] for item in document["differing"]} == {"a", "b"}
    assert [name for name, _ in evaluate.asked] == ["m1"] * 8 + ["m2"] * 8


def test_what_is_given_twice_is_tried_once(evaluate: Evaluation) -> None:
    twice = ("--planner", "compiler", "--planner", "compiler", "-m", "m1", "-m", "m1")
    assert evaluate("plans", "requests.jsonl", *twice, "--ids", "a").exit_code == 0
    assert evaluate.asked == [("m1", A)]


@pytest.mark.parametrize(
    ("options", "tried"),
    [
        (["--limit", "1"], "abc"),
        (["--category", "1 call"], "ad"),
        (["--category", "none,2-3 calls"], "bc"),
        (["--category", "none", "--category", "1 call", "--limit", "1"], "ac"),
        (["--ids", "d,b"], "bd"),
        (["--ids", "d", "--ids", "@ids.txt"], "acd"),
    ],
)
def test_only_chosen_items_are_tried(
    evaluate: Evaluation, tmp_path: Path, options: list[str], tried: str
) -> None:
    (tmp_path / "ids.txt").write_text("a\nc\n", encoding="utf-8")
    assert evaluate("plans", "requests.jsonl", *options).exit_code == 0
    assert "".join(evaluate.run().items) == tried


def test_a_seed_draws_the_same_items_again_and_a_larger_limit_keeps_them(evaluate: Evaluation) -> None:
    evaluate.write(*(line(f"i{k}", f"bake cake {k}.") for k in range(20)))
    evaluate.script = {f"bake cake {k}.": "1. join()" for k in range(20)}
    drawn = []
    for limit, out in (("5", "one"), ("5", "two"), ("9", "three")):
        evaluate("plans", "requests.jsonl", "--sample", "7", "--limit", limit, "--out", out)
        drawn.append(set(load_run(Path(out) / "scripted-compiler").items))
    assert drawn[0] == drawn[1] < drawn[2]
    assert drawn[0] != {f"i{k}" for k in range(5)}


def test_what_is_finished_is_not_tried_again(evaluate: Evaluation) -> None:
    evaluate("plans", "requests.jsonl", "--limit", "1")
    evaluate.asked.clear()
    result = evaluate("plans", "requests.jsonl")
    assert evaluate.asked == [("scripted", D)]
    assert "overall (4)" in result.stdout
    evaluate.asked.clear()
    assert evaluate("plans", "requests.jsonl").stdout == result.stdout
    assert evaluate.asked == []


def test_fresh_throws_earlier_results_away(evaluate: Evaluation) -> None:
    evaluate("plans", "requests.jsonl")
    evaluate.asked.clear()
    assert evaluate("plans", "requests.jsonl", "--ids", "c", "--fresh").exit_code == 0
    assert evaluate.asked == [("scripted", C)]
    assert list(evaluate.run().items) == ["c"]


def test_fresh_deletes_nothing_that_is_no_run(evaluate: Evaluation, tmp_path: Path) -> None:
    mine = tmp_path / "plait-eval" / "plans" / "scripted-compiler" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    check_error(evaluate("plans", "requests.jsonl", "--fresh"), 2, "scripted-compiler is no run folder")
    assert mine.read_text() == "mine"


def test_fresh_does_not_take_a_run_away_from_the_process_that_fills_it(evaluate: Evaluation) -> None:
    evaluate("plans", "requests.jsonl")
    run = evaluate.run()
    with _session.RunFolder(run.path, run.config):
        check_error(evaluate("plans", "requests.jsonl", "--fresh"), 2, "is being filled by another process")
    assert len(evaluate.run().items) == 4


def test_an_item_that_fails_is_wrong_told_apart_and_tried_again_if_asked(evaluate: Evaluation) -> None:
    evaluate.script[B] = Reply("1. look", error=ModelError("out of memory; close something"))
    result = evaluate("plans", "requests.jsonl", "--json")
    assert result.exit_code == 1
    assert "1 item failed with an error; --retry-errors tries again" in result.stderr
    overall = json.loads(result.stdout)["runs"][0]["overall"]
    assert (overall["n"], overall["n_right"], overall["n_errors"]) == (4, 2, 1)
    error = evaluate.run().items["b"].error
    assert error is not None
    assert error.message == "out of memory; close something"

    evaluate.asked.clear()
    assert evaluate("plans", "requests.jsonl").exit_code == 1
    assert evaluate.asked == []
    evaluate.script[B] = SCRIPT[B]
    assert evaluate("plans", "requests.jsonl", "--retry-errors").exit_code == 0
    assert evaluate.asked == [("scripted", B)]
    assert evaluate.run().items["b"].correct


def test_a_model_that_dies_ends_the_run_and_the_same_command_goes_on(evaluate: Evaluation) -> None:
    lines = [line(f"i{k}", f"bake cake {k}.") for k in range(9)]
    evaluate.write(*lines)
    dead = Reply(error=ModelError("the server is gone"))
    evaluate.script = {f"bake cake {k}.": dead if k >= 2 else "1. join()" for k in range(9)}
    result = evaluate("plans", "requests.jsonl")
    check_error(result, 1, "failed 5 times in a row", "the server is gone", "--retry-errors")
    assert len(evaluate.run().items) == 7

    evaluate.script = dict.fromkeys(evaluate.script, "1. join()")
    evaluate.asked.clear()
    assert evaluate("plans", "requests.jsonl", "--retry-errors").exit_code == 0
    assert len(evaluate.asked) == 7
    assert all(record.correct for record in evaluate.run().items.values())


def test_carried_out_calls_take_their_latency_and_are_a_run_of_their_own(evaluate: Evaluation) -> None:
    evaluate.script[B] = [SCRIPT[B], "Answer: saved"]
    options = ("--ids", "b", "--execute", "--tool-latency", "0.02")
    assert evaluate("plans", "requests.jsonl", *options).exit_code == 0
    run = evaluate.run("scripted-compiler-executed-0.02s")
    assert (run.config.identity.execute, run.config.identity.tool_latency_s) == (True, 0.02)
    assert run.items["b"].n_calls == 2
    assert run.items["b"].times.total_s >= run.items["b"].times.tools_s >= 0.04


def test_executed_runs_that_end_with_results_are_runs_of_their_own(
    evaluate: Evaluation, tmp_path: Path
) -> None:
    options = ("--ids", "b", "--execute", "--joiner", "results")
    assert evaluate("plans", "requests.jsonl", *options).exit_code == 0
    run = evaluate.run("scripted-compiler-executed-0s-results")
    assert run.config.identity.joiner == "results"
    assert len(run.items["b"].generations) == 1
    assert run.items["b"].answer
    assert evaluate("show", "plait-eval", "--html", "report.html").exit_code == 0
    assert ">joiner<" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_prices_give_costs_also_when_they_are_told_later(evaluate: Evaluation) -> None:
    def cost(*options: str) -> Any:
        document = json.loads(evaluate("plans", "requests.jsonl", "--ids", "a", "--json", *options).stdout)
        return document["runs"][0]["overall"]["cost_usd"]

    assert cost() is None
    tokens = evaluate.run().items["a"].tokens
    assert cost("--price", "2,10") == pytest.approx((tokens.prompt * 2 + tokens.completion * 10) / 1e6)
    assert cost() == cost("--price", "2,10")
    assert "1,000 items" in evaluate("show", "plait-eval").stdout


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--planner", "tarot"], ["'tarot'", "compiler"]),
        (["--category", "mail"], ["'mail'", "1 call"]),
        (["--ids", "z"], ["'z'"]),
        (["--ids", "@none.txt"], ["@none.txt"]),
        (["--ids", "a", "--category", "none"], ["no item is left"]),
        (["--price", "3"], ["'3'", "0.15,0.60"]),
        (["--price", "nan,1"], ["'nan,1'"]),
        (["--price", "-1,1"], ["'-1,1'"]),
        (["--tool-latency", "0.5"], ["--execute"]),
        (["--joiner", "results"], ["--execute"]),
    ],
)
def test_a_wrong_option_is_told_before_a_model_is_opened(
    evaluate: Evaluation, monkeypatch: pytest.MonkeyPatch, options: list[str], parts: list[str]
) -> None:
    for name in ("prepare_model", "open_model"):
        monkeypatch.setattr(_session, name, lambda *_: pytest.fail("a model was opened"))
    check_error(evaluate("plans", "requests.jsonl", *options), 2, *parts)


@pytest.mark.parametrize("options", [["--limit", "0"], ["--workers", "0"], ["--tool-latency", "-1"], ["--x"]])
def test_an_option_that_cannot_be_read_is_a_matter_of_usage(evaluate: Evaluation, options: list[str]) -> None:
    result = evaluate("plans", "requests.jsonl", *options)
    assert result.exit_code == 2
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ([LINES[0], '{"id": "b", '], ["line 2", "no JSON"]),
        ([LINES[0], "", LINES[0]], ["line 3", "'a' is line 1's"]),
        ([line("a", A, call("loop_up", name="a"))], ["line 1", "call 1", "'loop_up'", "look_up"]),
        ([line("a", A, call("look_up", nome="a"))], ["line 1", "'nome'", "it takes name"]),
        ([], ["holds no requests"]),
    ],
)
def test_a_wrong_file_is_told_with_its_line(evaluate: Evaluation, lines: list[str], parts: list[str]) -> None:
    evaluate.write(*lines)
    check_error(evaluate("plans", "requests.jsonl"), 2, "requests.jsonl", *parts)


def test_an_error_is_a_json_document_too(evaluate: Evaluation) -> None:
    evaluate.write("{")
    result = evaluate("plans", "requests.jsonl", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["type"] == "ConfigurationError"


@pytest.mark.parametrize("tools", ["none.json", "eval_tools", "eval_tools:NO", "no_module_of_mine:X"])
def test_tools_that_cannot_be_had_are_told(evaluate: Evaluation, tools: str) -> None:
    check_error(evaluate("plans", "requests.jsonl", tools=tools), 2, tools)


def test_runs_of_two_configurations_do_not_mix(evaluate: Evaluation) -> None:
    evaluate("plans", "requests.jsonl")
    evaluate.write(*LINES[:2])
    check_error(evaluate("plans", "requests.jsonl"), 2, "fingerprint", "do not mix", "--fresh", "--out")
    assert len(evaluate.run().items) == 4
    assert evaluate("plans", "requests.jsonl", "--out", "other").exit_code == 0
    assert evaluate("plans", "requests.jsonl", "--fresh").exit_code == 0


def test_a_run_of_another_version_is_not_gone_on_with(evaluate: Evaluation) -> None:
    evaluate("plans", "requests.jsonl")
    config = evaluate.run().path / "config.json"
    text = config.read_text(encoding="utf-8")
    version = evaluate.run().config.identity.plait_version
    config.write_text(text.replace(f'"plait_version": "{version}"', '"plait_version": "0.0.1"'))
    check_error(evaluate("plans", "requests.jsonl"), 2, "plait_version", '"0.0.1"')
    config.write_text("{}")
    check_error(evaluate("plans", "requests.jsonl"), 2, "config.json cannot be read")


def test_a_benchmark_that_cannot_be_fetched_is_told(
    evaluate: Evaluation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline(*_: object) -> None:
        raise PipError("no connection")

    monkeypatch.setattr(_packages, "benchmarks_folder", lambda: tmp_path / "benchmarks")
    monkeypatch.setattr(_packages, "pip_download", offline)
    for arguments, package in (
        (["bfcl"], "bfcl-eval"),
        (["nestful"], "nestful-wrapper"),
        (["fetch", "nestful"], "nestful-wrapper"),
    ):
        check_error(evaluate(*arguments), 1, package, "no connection", "works offline")
    assert json.loads(evaluate("fetch", "bfcl", "--json").stdout)["error"]["type"] == "DownloadError"


def test_only_benchmarks_that_come_in_packages_can_be_fetched(evaluate: Evaluation) -> None:
    check_error(evaluate("fetch", "bfcl", "tau"), 2, "'tau'", "bfcl, nestful")


def test_what_was_fetched_is_told_with_its_folder(
    evaluate: Evaluation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_packages, "unpacked", lambda package: tmp_path / package.name)
    assert evaluate("fetch", "nestful").stdout == f"nestful\t{tmp_path / 'nestful-wrapper'}\n"
    assert set(json.loads(evaluate("fetch", "--json").stdout)) == {"bfcl", "nestful"}


def test_nestful_is_evaluated_with_its_own_metrics_of_the_whole_set(
    evaluate: Evaluation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    part = tmp_path / "data" / "data_v1" / "executable"
    part.mkdir(parents=True)
    spec = {
        "name": "find_stop",
        "query_parameters": {"place": {"type": "string", "required": True}},
        "output_parameters": {"id": {"type": "string"}},
    }
    gold = {"name": "find_stop", "arguments": {"place": "harbour"}, "label": "var1"}
    samples = [{"input": query, "output": [gold]} for query in ("the harbour's stop", "that stop again")]
    (part / "executable-spec.json").write_text(json.dumps([spec]), encoding="utf-8")
    (part / "executable-data.json").write_text(json.dumps(samples), encoding="utf-8")
    monkeypatch.setattr(_packages, "unpacked", lambda _: tmp_path / "data")
    evaluate.script = {
        "the harbour's stop": '1. find_stop(place="harbour")\n2. join()',
        "that stop again": "1. join()",
    }
    document = json.loads(evaluate("nestful", "--json").stdout)
    (run,) = document["runs"]
    assert (run["overall"]["n"], run["overall"]["n_right"]) == (2, 1)
    assert run["overall"]["scores"]["f1_functions"] == 0.5
    assert run["totals"]["f1_functions"] == pytest.approx(2 / 3)
    assert "Whole set" in evaluate("show", "plait-eval").stdout


@pytest.mark.parametrize("name", ["parallelqa", "hotpotqa", "movie"])
def test_questions_without_their_data_are_told(evaluate: Evaluation, name: str) -> None:
    check_error(evaluate(name, "--data", "none.json", "--offline"), 2, "none.json", "--data")


@pytest.fixture
def two_runs(evaluate: Evaluation) -> Evaluation:
    assert evaluate("plans", "requests.jsonl", "--planner", "compiler,native").exit_code == 0
    return evaluate


def test_runs_are_shown_from_their_folder_or_from_the_one_above(two_runs: Evaluation) -> None:
    above = two_runs("show", "plait-eval")
    each = two_runs("show", *(str(path) for path in sorted(Path("plait-eval/plans").iterdir())))
    assert above.exit_code == 0
    assert above.stdout == each.stdout
    assert "Against A" in above.stdout
    assert "p, exact McNemar" in above.stdout


def test_a_run_that_is_named_twice_is_shown_once(two_runs: Evaluation) -> None:
    assert two_runs("show", "plait-eval", "plait-eval").stdout == two_runs("show", "plait-eval").stdout


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}])
def test_a_pipe_gets_no_escapes(two_runs: Evaluation, env: Mapping[str, str]) -> None:
    result = two_runs("show", "plait-eval", "--differences", "5", env=dict(env))
    assert "\x1b" not in result.stdout
    assert A in result.stdout
    assert "right plan" in result.stdout
    assert '1. look_up(name="a")' in result.stdout


def test_differences_are_shown_only_when_asked_for(two_runs: Evaluation) -> None:
    assert A not in two_runs("show", "plait-eval").stdout
    assert "the first 1 of 2" in two_runs("show", "plait-eval", "--differences", "1").stdout


def test_csv_has_a_row_for_every_run_and_category(two_runs: Evaluation) -> None:
    rows = list(csv.DictReader(io.StringIO(two_runs("show", "plait-eval", "--csv").stdout)))
    assert [(row["planner"], row["category"]) for row in rows] == [
        (planner, category)
        for planner in ("compiler", "native")
        for category in ("1 call", "2-3 calls", "none", "overall")
    ]
    assert float(rows[3]["accuracy"]) == 0.75


def test_json_is_what_the_evaluation_itself_printed(two_runs: Evaluation) -> None:
    shown = two_runs("show", "plait-eval", "--json").stdout
    assert json.loads(shown) == json.loads(
        two_runs("plans", "requests.jsonl", "--planner", "compiler,native", "--json").stdout
    )


def test_a_report_is_written_beside_what_is_shown(two_runs: Evaluation, tmp_path: Path) -> None:
    result = two_runs("show", "plait-eval", "--html", "out/report.html")
    assert result.exit_code == 0
    assert "report: out/report.html" in result.stderr
    assert A in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_csv_and_json_exclude_each_other(two_runs: Evaluation) -> None:
    result = two_runs("show", "plait-eval", "--csv", "--json")
    assert result.exit_code == 2
    assert "--csv and --json exclude each other" in result.stderr


def test_a_folder_without_runs_is_told(evaluate: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_error(evaluate("show", "empty"), 2, "empty has no run in it")
    check_error(evaluate("show", "nowhere"), 2, "nowhere has no run in it")


def test_runs_of_different_data_are_not_compared(evaluate: Evaluation) -> None:
    evaluate("plans", "requests.jsonl")
    evaluate.write(*LINES[:2])
    evaluate("plans", "requests.jsonl", "--out", "other")
    check_error(evaluate("show", "plait-eval", "other"), 2, "different data or scoring")


def test_a_line_that_is_no_record_is_told_with_its_number(evaluate: Evaluation) -> None:
    evaluate("plans", "requests.jsonl")
    items = evaluate.run().path / "items.jsonl"
    items.write_text(items.read_text() + "{}\n")
    check_error(evaluate("show", "plait-eval"), 2, "items.jsonl, line 5")


@pytest.fixture
def real_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toolbox: ModuleType) -> Evaluation:
    """The command with models that it opens itself."""
    monkeypatch.chdir(tmp_path)
    evaluation = Evaluation(tmp_path)
    evaluation.write(LINES[0])
    return evaluation


class NamedFake(GenericFakeChatModel):
    """A fake that says what it is called."""

    model_name: str = "fake"


def test_a_langchain_model_is_evaluated(real_models: Evaluation, toolbox: ModuleType) -> None:
    toolbox.FAKE = NamedFake(messages=iter([AIMessage(SCRIPT[A])]))  # type: ignore[attr-defined]
    result = real_models("plans", "requests.jsonl", "-m", "langchain:eval_tools:FAKE")
    assert result.exit_code == 0, result.stderr
    assert real_models.run("fake-compiler").items["a"].correct


class RateLimitError(Exception):
    """What a provider's package raises."""


class LimitedFake(NamedFake):
    """A fake that refuses."""

    def _generate(self, *_: Any, **__: Any) -> Any:
        raise RateLimitError("too many requests")

    def _stream(self, *_: Any, **__: Any) -> Any:
        raise RateLimitError("too many requests")


def test_what_a_providers_package_raises_is_an_error_of_the_item(
    real_models: Evaluation, toolbox: ModuleType
) -> None:
    toolbox.FAKE = LimitedFake(messages=iter([]))  # type: ignore[attr-defined]
    result = real_models("plans", "requests.jsonl", "-m", "langchain:eval_tools:FAKE")
    assert result.exit_code == 1
    error = real_models.run("fake-compiler").items["a"].error
    assert error is not None
    assert error.type == "ModelError"
    assert "RateLimitError: too many requests" in error.message


def test_what_is_no_langchain_model_is_told(real_models: Evaluation) -> None:
    result = real_models("plans", "requests.jsonl", "-m", "langchain:eval_tools:TOOLS")
    check_error(result, 2, "langchain:eval_tools:TOOLS", "Toolbox", "LangChain chat model")
    result = real_models("plans", "requests.jsonl", "-m", "langchain:eval_tools")
    check_error(result, 2, "module:attribute")


def test_all_models_are_looked_for_before_the_first_is_tried(
    real_models: Evaluation, toolbox: ModuleType, tmp_path: Path
) -> None:
    toolbox.FAKE = NamedFake(messages=iter([]))  # type: ignore[attr-defined]
    models = ("-m", "langchain:eval_tools:FAKE", "-m", "no-such-model")
    check_error(real_models("plans", "requests.jsonl", *models), 2, "'no-such-model'", "smollm2-135m")
    assert not (tmp_path / "plait-eval").exists()


class _Handler(BaseHTTPRequestHandler):
    """A server that knows no more than chat completions, and is asked for plans in JSON."""

    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        plan = json.dumps({"tasks": [{"tool": "look_up", "arguments": {"name": "a"}}]})
        chunk = {"choices": [{"index": 0, "delta": {"content": plan}, "finish_reason": "stop"}]}
        body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def start_server() -> Iterator[Callable[[], str]]:
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start() -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/v1"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_model_on_a_server_is_evaluated(real_models: Evaluation, start_server: Callable[[], str]) -> None:
    options = ("-m", f"big/model@{start_server()}", "--context-length", "4096")
    result = real_models("plans", "requests.jsonl", *options)
    assert result.exit_code == 0, result.stderr
    run = real_models.run("big-model-compiler")
    assert run.items["a"].correct
    assert (run.config.identity.model.name, run.config.identity.model.context_length) == ("big/model", 4096)


def test_two_models_of_one_name_are_not_mixed(
    real_models: Evaluation, start_server: Callable[[], str]
) -> None:
    models = ("-m", f"m@{start_server()}", "-m", f"m@{start_server()}", "--context-length", "4096")
    check_error(
        real_models("plans", "requests.jsonl", *models), 2, "two of the models are called 'm'", "--out"
    )
    assert real_models.run("m-compiler").items["a"].correct


def test_a_server_that_is_not_there_is_told(real_models: Evaluation) -> None:
    result = real_models("plans", "requests.jsonl", "-m", "m@http://127.0.0.1:9/v1")
    check_error(result, 1, "127.0.0.1:9", "cannot be reached")


def test_every_option_is_on_the_page_of_the_evaluation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    commands = typer.main.get_command(cli.app).commands["eval"].commands
    assert set(commands) == set(re.findall(r"`plait eval (\w+)`", text))
    for command in commands.values():
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("-") or f"`{option}" in text, f"{command.name} {option}"


@pytest.fixture
def three_lines(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    calls = [call("look_up", name="a"), call("save", text="$1")]
    path.write_text("\n".join([line("a", A), line("b", B, *calls), line("c", C)]), encoding="utf-8")
    return path


REPLIES = ["1. join()", '1. look_up(name="a")\n2. save(text=$1)\n3. join()', "1. join()"]
posix_only = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no signal for one other process, and no select on pipes"
)


@posix_only
@pytest.mark.parametrize("options", [[], ["--workers", "2"], ["--json"]], ids=["one", "workers", "json"])
def test_an_interrupt_keeps_what_was_finished_and_the_same_command_goes_on(
    start: Any, tmp_path: Path, three_lines: Path, options: list[str]
) -> None:
    command = ("eval", "plans", str(three_lines), "--out", str(tmp_path / "runs"), *options)
    with start(*command, replies=REPLIES, env={"STALL": "3"}) as process:
        process.read_until("<stalled>", process.popen.stderr.fileno())
        process.popen.send_signal(signal.SIGINT)
        error = process.read_all(process.popen.stderr.fileno())
        out = process.read_all(process.popen.stdout.fileno())
        assert process.exit_code() == 130
    run = load_run(tmp_path / "runs" / "scripted-compiler")
    assert "Interrupted; what was finished is kept, the same command goes on." in error
    assert "Traceback" not in error
    assert bool(out) == ("--json" in options)
    assert set(run.items) in ({"a"}, {"a", "c"})  # c, if another worker took it

    rest = [text for id_, text in zip("abc", REPLIES, strict=True) if id_ not in run.items]
    with start(*command, replies=rest) as process:
        process.read_all(process.popen.stdout.fileno())
        assert process.exit_code() == 0
    done = load_run(run.path)
    assert set(done.items) == set("abc")
    assert done.items["a"] == run.items["a"]
    assert all(record.correct for record in done.items.values())


@posix_only
def test_a_killed_process_loses_the_item_under_way_alone(
    start: Any, tmp_path: Path, three_lines: Path
) -> None:
    command = ("eval", "plans", str(three_lines), "--out", str(tmp_path / "runs"))
    with start(*command, replies=REPLIES, env={"STALL": "3"}) as process:
        process.read_until("<stalled>", process.popen.stderr.fileno())
        process.popen.kill()
        process.exit_code()
    with (tmp_path / "runs" / "scripted-compiler" / "items.jsonl").open("a") as torn:
        torn.write('{"id": "b", "cat')
    with start(*command, replies=REPLIES[1:]) as process:
        assert "overall (3)" in process.read_all(process.popen.stdout.fileno())
        assert process.exit_code() == 0


@posix_only
def test_two_processes_do_not_fill_one_folder(start: Any, tmp_path: Path, three_lines: Path) -> None:
    command = ("eval", "plans", str(three_lines), "--out", str(tmp_path / "runs"))
    with start(*command, replies=REPLIES, env={"STALL": "3"}) as first:
        first.read_until("<stalled>", first.popen.stderr.fileno())
        with start(*command, replies=REPLIES) as second:
            error = second.read_all(second.popen.stderr.fileno())
            assert second.exit_code() == 2
    assert "is being filled by another process" in error


@posix_only
def test_an_interrupt_ends_a_real_models_decoding(start: Any, tmp_path: Path, smollm2: Path) -> None:
    story = line("a", "Tell a very long story about a whale, then another one about a sailor.")
    (tmp_path / "requests.jsonl").write_text(story)
    with start(
        *("eval", "plans", str(tmp_path / "requests.jsonl"), "--model", str(smollm2)),
        *("--planner", "native", "--out", str(tmp_path / "runs")),
        env={"TELL_DECODING": "1"},
    ) as process:
        process.read_until("<decoding>", process.popen.stderr.fileno())
        run = tmp_path / "runs" / f"{smollm2.stem}-native"
        while not (run / "config.json").exists():  # until then only what decoding costs is measured
            assert process.popen.poll() is None
            sleep(0.01)
        process.popen.send_signal(signal.SIGINT)
        error = process.read_all(process.popen.stderr.fileno())
        assert process.exit_code() == 130
    assert "Interrupted;" in error
    assert "Traceback" not in error
    assert load_run(run).items == {}


# What is easily overlooked


@pytest.mark.parametrize(("option", "value"), [("--ids", ","), ("--ids", "@none.txt"), ("--category", " , ")])
def test_an_option_that_names_nothing_is_not_all(evaluate: Evaluation, option: str, value: str) -> None:
    Path("none.txt").write_text("\n \n", encoding="utf-8")
    result = evaluate("plans", "requests.jsonl", option, value)
    check_error(result, 2, f"{option} names nothing; leave it out to take all")
    assert evaluate.asked == []


def test_a_file_of_ids_has_one_a_line(evaluate: Evaluation) -> None:
    evaluate.write(line("a 1", A, call("look_up", name="a")), *LINES[1:])
    Path("ids.txt").write_text("a 1\n\nb\n", encoding="utf-8-sig")
    assert evaluate("plans", "requests.jsonl", "--ids", "@ids.txt").exit_code == 0
    assert list(evaluate.run().items) == ["a 1", "b"]


def test_texts_and_orders_of_own_tools_are_compared(evaluate: Evaluation, toolbox: ModuleType) -> None:
    @tool(read_only=False)
    def post(message: str, recipients: list[str]) -> str:
        """Post a message."""
        return f"{message}{recipients}"

    toolbox.TOOLS = Toolbox([post])  # type: ignore[attr-defined]
    gold = call("post", message="deploy now", recipients=["a", "b"])
    evaluate.write(line("right", A, gold), line("text", B, gold), line("order", D, gold))
    for query, arguments in (
        (A, 'message="Deploy now", recipients=["a", "b"]'),
        (B, 'message="something else", recipients=["a", "b"]'),
        (D, 'message="deploy now", recipients=["b", "a"]'),
    ):
        evaluate.script[query] = f"1. post({arguments})\n2. join()"
    evaluate("plans", "requests.jsonl")
    scores = {id_: record.scores["arguments_right"] for id_, record in evaluate.run().items.items()}
    assert scores == {"right": 1.0, "text": 0.0, "order": 0.0}


def test_a_folder_of_another_configuration_is_told_before_anything_is_tried(evaluate: Evaluation) -> None:
    assert evaluate("plans", "requests.jsonl", "--limit", "1").exit_code == 0
    config = evaluate.folder / "plait-eval/plans/scripted-compiler/config.json"
    config.write_text(config.read_text().replace('"plait_version": "', '"plait_version": "9.'))
    evaluate.asked.clear()
    result = evaluate("plans", "requests.jsonl", "--planner", "compact,compiler")
    check_error(result, 2, "was made with another configuration", "--fresh")
    assert evaluate.asked == []


def test_earlier_failures_of_other_items_are_told_and_fail_nothing(evaluate: Evaluation) -> None:
    evaluate.script[B] = [ModelError("the server is gone"), SCRIPT[B]]
    assert evaluate("plans", "requests.jsonl", "--ids", "a,b").exit_code == 1
    result = evaluate("plans", "requests.jsonl", "--ids", "a", "--retry-errors")
    assert result.exit_code == 0
    assert "of items not chosen now, 1 item failed earlier" in result.stderr
    assert "--retry-errors tries again" not in result.stderr


def test_runs_without_items_and_other_files_are_passed_over(evaluate: Evaluation) -> None:
    evaluate("plans", "requests.jsonl", "--ids", "a")
    runs = evaluate.folder / "plait-eval"
    (runs / "models").mkdir()
    (runs / "models" / "config.json").write_text('{"hidden_size": 576}')
    (runs / "empty").mkdir()
    (runs / "empty" / "config.json").write_bytes((runs / "plans/scripted-compiler/config.json").read_bytes())
    (runs / "empty" / "items.jsonl").touch()
    assert evaluate("show", "plait-eval").exit_code == 0
    check_error(evaluate("show", "plait-eval/empty"), 2, "has no finished item yet")


def test_runs_of_one_name_are_told_apart_and_times_that_differ_in_kind_are_warned_of(
    evaluate: Evaluation,
) -> None:
    evaluate("plans", "requests.jsonl", "--ids", "a", "--out", "mine")
    evaluate("plans", "requests.jsonl", "--ids", "a", "--out", "theirs", "--workers", "4")
    shown = evaluate("show", "mine", "theirs", "--html", "report.html").stdout
    assert "mine/scripted-compiler" in shown
    assert "theirs/scripted-compiler" in shown
    warning = "Times cannot be compared: up to 1, 4 items were tried at a time"
    assert warning in shown
    assert warning in Path("report.html").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(evaluate("show", "mine", "theirs", "--csv").stdout)))
    assert {row["path"] for row in rows} == {"mine/scripted-compiler", "theirs/scripted-compiler"}
    assert "Times cannot be compared" not in evaluate("show", "mine").stdout


def test_made_up_tools_are_refused_where_the_tools_are_real(evaluate: Evaluation) -> None:
    questions = [{"id": "0", "question": "Which is higher?", "answer": "yes", "level": "easy"}]
    Path("data.json").write_text(json.dumps(questions), encoding="utf-8")
    result = evaluate("hotpotqa", "--data", "data.json", "--execute", "--tool-latency", "5")
    check_error(result, 2, "hotpotqa has real tools, and calls them anyway; leave out --execute")
