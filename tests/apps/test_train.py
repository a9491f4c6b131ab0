import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from plait.apps.cli import app

TOOLS = '''
from plait import tool

@tool
def feed(animal: str, grams: int) -> str:
    """Feed an animal."""
    return "fed"

tools = [feed]
'''
SKELETON = {"q": "{n1} grams for {p1}, please", "plan": "feed(animal={p1}, grams={n1})"}


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "zoo_for_training.py").write_text(TOOLS)
    (tmp_path / "zoo.jsonl").write_text(
        "\n".join(json.dumps({**SKELETON, "q": f"{SKELETON['q']} {n}"}) for n in range(40))
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def synth(*arguments: str):  # type: ignore[no-untyped-def]
    return CliRunner().invoke(app, ["train", "synth", *arguments])


def test_data_for_ones_own_tools_come_from_ones_own_skeletons(zoo: Path) -> None:
    done = synth(
        "out", "--requests", "60", "--tools", "zoo_for_training:tools", "--skeletons", "zoo.jsonl", "--json"
    )
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["splits"]["train"]["n_requests"] >= 60
    groups = [json.loads(line) for line in (zoo / "out" / "train.jsonl").read_text().splitlines()]
    own = [
        item for group in groups if group["toolbox"] == "zoo_for_training:tools" for item in group["items"]
    ]
    assert own
    assert all(re.match(r"\d+\. (?!join)", item["plan"]) for item in own)


def test_tools_that_say_the_same_of_themselves_are_refused_by_name(zoo: Path) -> None:
    twin = (
        '\n@tool\ndef nourish(animal: str, grams: int) -> str:\n    """Feed  an animal."""\n    return \'\'\n'
    )
    text = TOOLS.replace("tools = [feed]", twin + "tools = [feed, nourish]")
    (zoo / "twins_for_training.py").write_text(text)
    done = synth("out", "--requests", "5", "--tools", "twins_for_training:tools", "--skeletons", "zoo.jsonl")
    assert done.exit_code == 2
    assert "the tools 'feed' and 'nourish' have the same description and arguments" in done.stderr


def test_the_report_is_a_text_without_json(zoo: Path) -> None:
    (zoo / "kept.jsonl").write_text(json.dumps({"id": "a", "query": "Feed the lion"}))
    done = synth(
        "out",
        "--requests",
        "10",
        "--tools",
        "zoo_for_training:tools",
        "--skeletons",
        "zoo.jsonl",
        "--compare-with",
        "kept.jsonl",
    )
    assert done.exit_code == 0, done.output
    assert "requests from" in done.stdout
    assert "compared: 1 requests, 0 of them a skeleton's" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--tools", "zoo_for_training:tools"], "belong together"),
        (["--skeletons", "zoo.jsonl"], "belong together"),
        (["--tools", "zoo_for_training:tools", "--skeletons", "none.jsonl"], "cannot be read"),
        (["--tools", "zoo_for_training:tools", "--skeletons", "empty.jsonl"], "no skeletons"),
        (["--compare-with", "zoo.jsonl"], 'must be an object with a "query"'),
        (["--compare-with", "broken.jsonl"], "line 1 is no JSON"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(
    zoo: Path, arguments: list[str], problem: str
) -> None:
    (zoo / "empty.jsonl").write_text("")
    (zoo / "broken.jsonl").write_text("{")
    done = synth("out", *arguments)
    assert done.exit_code == 2
    assert problem in " ".join(done.stderr.split())


def test_a_folder_that_has_a_data_set_is_left_as_it_is(zoo: Path) -> None:
    options = ("--requests", "5", "--tools", "zoo_for_training:tools", "--skeletons", "zoo.jsonl")
    assert synth("out", *options).exit_code == 0
    again = synth("out", *options)
    assert again.exit_code == 2
    assert "already" in again.stderr
