"""ToolBank's functions, the requests for them that name none, and what is measured with both."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from plait.apps import _eval_retrieval
from plait.apps.cli import app
from plait.apps.evaluation._retrieval import BASELINE
from plait.apps.evaluation._sixteen import toolbox_from_file
from plait.apps.evaluation._toolbank import (
    FILES,
    ToolBankFiles,
    names_function,
    read_toolbank,
    toolbank_definitions,
)
from plait.errors import ConfigurationError
from plait.retrieval import HashingEncoder, Usage, read_usages

QUERIES = Path(__file__).parents[3] / "benchmarks" / "toolbank_queries.jsonl"
DESCRIBED = (
    {"ec2.client.start_engine": ("ec2.client.start_engine", "Turns an engine on. Parameters: EngineId.")},
    {
        "numpy.hush": ("noise_reduction", "Makes an array quiet."),
        "numpy.linalg.spin": ("turn_around", "Turns a matrix by ninety degrees."),
    },
    {f"pandas.Series.f{n}": (f"neutral_{n}", f"Does the thing w{n} to a column.") for n in range(9)},
)
TESTS = (
    Usage("get the motor going", ("ec2.client.start_engine",)),
    Usage("silence, and upside down", ("numpy.hush", "numpy.linalg.spin")),
)


def write(folder: Path, described: Sequence[dict[str, tuple[str, str]]] = DESCRIBED) -> Path:
    """A folder with files in ToolBank's form."""
    folder.mkdir(exist_ok=True)
    for name, functions in zip(FILES, described, strict=True):
        entries = {key: {"new_func": new, "description": text} for key, (new, text) in functions.items()}
        (folder / name).write_text(json.dumps(entries), encoding="utf-8")
    return folder


def lines(path: Path, requests: Sequence[Usage]) -> Path:
    """A file of these requests."""
    rows = [json.dumps({"query": request.query, "tools": list(request.tools)}) for request in requests]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "toolbank")


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    return lines(tmp_path / "queries.jsonl", TESTS)


Evaluate = Callable[..., Result]


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Calls ``plait eval retrieval --data toolbank``, with hashed words in the default encoder's place."""
    monkeypatch.setattr(_eval_retrieval, "open_encoder", lambda name, output: HashingEncoder())

    def invoke(*arguments: object) -> Result:
        words = ["eval", "retrieval", "--data", "toolbank", *map(str, arguments)]
        return CliRunner().invoke(app, words)

    return invoke


def test_the_projects_requests_are_many_and_evenly_spread_over_the_three_libraries() -> None:
    requests = read_usages(QUERIES)
    of_library = Counter(
        {"numpy": "numpy", "pandas": "pandas"}.get(request.tools[0].split(".")[0], "aws")
        for request in requests
    )
    assert len(requests) >= 300
    assert min(of_library.values()) >= 100
    assert sum(len(request.tools) > 1 for request in requests) >= 100
    assert len({name for request in requests for name in request.tools}) >= 350


def test_no_request_of_the_project_names_what_it_is_for() -> None:
    named = [
        (request.query, name)
        for request in read_usages(QUERIES)
        for name in request.tools
        if names_function(request.query, name)
    ]
    assert named == []


def test_no_request_of_the_project_stands_there_twice_or_has_a_tool_twice() -> None:
    requests = read_usages(QUERIES)
    assert len({" ".join(request.query.casefold().split()) for request in requests}) == len(requests)
    assert all(len(set(request.tools)) == len(request.tools) <= 4 for request in requests)


@pytest.mark.parametrize("query", ["now spin it", "linalg spin", "use `spin`", "Spin!", "numpy.linalg.spin"])
def test_a_single_word_is_a_name_wherever_it_stands(query: str) -> None:
    assert names_function(query, "numpy.linalg.spin")
    assert not names_function("make it turn", "numpy.linalg.spin")


def test_functions_become_definitions_that_an_index_is_built_of(folder: Path, tmp_path: Path) -> None:
    definitions = toolbank_definitions(folder)
    file = tmp_path / "tools.json"
    file.write_text(json.dumps(definitions), encoding="utf-8")
    toolbox = toolbox_from_file(file)
    assert len(toolbox) == 12
    assert toolbox["numpy.hush"].description == "Makes an array quiet."


def test_files_are_found_in_folders_of_their_own(folder: Path, queries: Path) -> None:
    before, _ = read_toolbank(ToolBankFiles(folder, queries))
    for number, name in enumerate(FILES):
        (folder / f"bank_{number}").mkdir()
        (folder / name).rename(folder / f"bank_{number}" / name)
    data, _ = read_toolbank(ToolBankFiles(folder, queries))
    assert data == before
    assert (len(data.tools), data.usages, data.tests) == (12, (), TESTS)


def test_a_file_that_changes_changes_the_fingerprint(folder: Path, queries: Path, tmp_path: Path) -> None:
    usages = lines(tmp_path / "usages.jsonl", [Usage("hush hush", ("numpy.hush",))])
    prints = {read_toolbank(ToolBankFiles(folder, queries, given))[1] for given in ((), (usages,))}
    write(folder, ({"ec2.client.start_engine": ("e", "Other.")}, *DESCRIBED[1:]))
    prints.add(read_toolbank(ToolBankFiles(folder, queries))[1])
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Usage("make it hush", ("numpy.hush",)), "names 'numpy.hush', which it is to find"),
        (Usage("some noise reduction", ("numpy.hush",)), "names 'noise_reduction', which it is to find"),
        (Usage("quiet please", ("numpy.hash",)), "did you mean 'numpy.hush'?"),
        (Usage("quiet please", ("zzz",)), "'zzz', which is not among ToolBank's functions; name functions"),
        (Usage("Get the  MOTOR going", ("ec2.client.start_engine",)), "twice; leave one out"),
    ],
)
def test_a_request_that_would_be_no_test_is_refused(
    folder: Path, tmp_path: Path, request_: Usage, said: str
) -> None:
    path = lines(tmp_path / "bad.jsonl", [*TESTS, request_])
    with pytest.raises(ConfigurationError, match=r"bad\.jsonl") as caught:
        read_toolbank(ToolBankFiles(folder, path))
    assert said in str(caught.value)


def test_a_test_request_is_refused_as_a_usage(folder: Path, queries: Path) -> None:
    with pytest.raises(ConfigurationError, match="has a test request as a usage"):
        read_toolbank(ToolBankFiles(folder, queries, (queries,)))


def test_a_file_without_requests_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no requests; write JSON lines"):
        read_toolbank(ToolBankFiles(folder, lines(tmp_path / "none.jsonl", [])))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, f"has no {FILES[1]}; give the folder"),
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "holds no object of functions"),
        ('{"numpy.hush": {"description": "Quiet."}}', "'numpy.hush' has not both new_func and description"),
        ('{"numpy.hush": {"new_func": "", "description": "Quiet."}}', "'numpy.hush' has not both"),
        ('{"numpy.hush": "Quiet."}', "'numpy.hush' has not both"),
    ],
)
def test_a_file_of_functions_that_is_missing_or_broken_is_named_with_the_fix(
    folder: Path, queries: Path, content: str | None, said: str, evaluate: Evaluate
) -> None:
    (folder / FILES[1]).unlink()
    if content is not None:
        (folder / FILES[1]).write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=FILES[1]) as caught:
        toolbank_definitions(folder)
    assert said in str(caught.value)
    done = evaluate("--tools", folder, "--queries", queries)
    assert done.exit_code == 2
    assert FILES[1] in "".join(done.stderr.split())


def test_without_usages_only_the_rankings_that_need_none_are_measured(
    evaluate: Evaluate, folder: Path, queries: Path
) -> None:
    done = evaluate("--tools", folder, "--queries", queries)
    assert done.exit_code == 0, done.output
    header, *rows = (line.split("\t") for line in done.stdout.splitlines())
    assert header[:2] == ["ranking", "recall@1"]
    assert [row[0] for row in rows] == ["BM25", BASELINE, "both, fused"]
    assert "a request takes" in " ".join(done.stderr.split())


def test_with_usages_the_rankings_by_them_are_measured_too(
    evaluate: Evaluate, folder: Path, queries: Path, tmp_path: Path
) -> None:
    usages = [
        Usage(f"{test.query} number {n}", test.tools) for test in TESTS for n in range(30)
    ]  # fifty are needed to train
    path = lines(tmp_path / "usages.jsonl", usages)
    done = evaluate("--tools", folder, "--queries", queries, "--usages", path, "--json")
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["dataset"] == "toolbank"
    assert [document[name] for name in ("n_tools", "n_usages", "n_tests")] == [12, 60, 2]
    recall = {row["name"]: row["recall@5"] for row in document["rankings"]}
    assert recall["Tool2Vec, fused"] == 1 > recall["BM25"]
    assert set(document["request_ms"]) == {"encode", "search"}
    assert [selection["wanted"] for selection in document["selections"]] == [0.8, 0.9, 0.95, 0.98, 0.99]


def test_functions_are_exported_and_nothing_is_measured(
    evaluate: Evaluate, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "tools.json"
    done = evaluate("--tools", folder, "--export-tools", file)
    assert (done.exit_code, done.stdout) == (0, f"{file}: 12 tools\n")
    assert json.loads(file.read_text(encoding="utf-8")) == toolbank_definitions(folder)
    done = evaluate("--tools", folder, "--export-tools", file, "--json")
    assert json.loads(done.stdout) == {"file": str(file), "n_tools": 12}


def test_a_file_that_cannot_be_written_is_named(evaluate: Evaluate, folder: Path, tmp_path: Path) -> None:
    done = evaluate("--tools", folder, "--export-tools", tmp_path / "none" / "tools.json")
    assert done.exit_code == 2
    assert "cannot be written" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "toolbank"], "needs --queries"),
        (["--data", "toolbank", "--queries", "q.jsonl"], "needs --tools"),
        (["--data", "toolbank", "--export-tools", "t.json"], "needs --tools"),
        (["--queries", "q.jsonl"], "are for --data toolbank"),
        (["--data", "nestful", "--tools", "folder"], "are for --data toolbank"),
        (["--export-tools", "t.json"], "--export-tools is for --data toolbank, not for bfcl"),
    ],
)
def test_options_that_are_missing_or_out_of_place_are_named(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["eval", "retrieval", *arguments])
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
