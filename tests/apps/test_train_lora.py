"""From skeletons for one's own tools to a model that plans with them, with the real small model."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from plait.apps.cli import app
from plait.models import read_adapter, weights_fingerprint

TOOLS = '''
from plait import tool

@tool
def feed(animal: str, grams: int) -> str:
    """Feed an animal."""
    return "fed"

@tool
def weigh(animal: str) -> float:
    """Weigh an animal, in kilograms."""
    return 1.0

tools = [feed, weigh]
'''
SKELETONS = [
    {"q": "{n1} grams for {p1}, please", "plan": "feed(animal={p1}, grams={n1})"},
    {"q": "how heavy is {p1} by now", "plan": "weigh(animal={p1})"},
    {"q": "give {p1} {n1} grams and weigh {p2}", "plan": "feed(animal={p1}, grams={n1})\nweigh(animal={p2})"},
    {"q": "sing something for {p1}", "plan": ""},
]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    (folder / "zoo_that_learns.py").write_text(TOOLS)
    (folder / "zoo.jsonl").write_text("\n".join(map(json.dumps, SKELETONS)))
    return folder


@pytest.fixture(autouse=True)
def at_the_zoo(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(zoo)
    monkeypatch.syspath_prepend(zoo)


def plait(*arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return done.stdout


def failure(*arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments])
    assert done.exit_code == 2, done.output
    return " ".join(done.stderr.split())


@pytest.fixture(scope="module")
def trained(zoo: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(zoo)
        patch.syspath_prepend(zoo)
        plait(
            *("train", "synth", "data", "--requests", "60", "--group-size", "6", "--main-share", "1"),
            *("--tools", "zoo_that_learns:tools", "--skeletons", "zoo.jsonl"),
        )
        report = json.loads(
            plait(
                *("train", "lora", "data", "run", "--rank", "4", "--epochs", "0.4"),
                *("--evaluate-every", "2", "--evaluate", "2"),
            )
        )
    assert report["steps"] == 4
    assert report["evaluated"] == 2
    return zoo / "run"


def test_a_training_leaves_an_adapter_for_its_base_a_log_and_what_was_evaluated(
    trained: Path, smollm2: Path
) -> None:
    found = read_adapter(trained / "adapter.gguf")
    assert (found.base, found.base_name, found.purpose) == (
        weights_fingerprint(smollm2),
        "smollm2-135m",
        "plans",
    )
    steps = [json.loads(line)["step"] for line in (trained / "log.jsonl").read_text().splitlines()]
    tried = [json.loads(line) for line in (trained / "evaluations.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]
    assert [(line["step"], line["requests"]) for line in tried] == [(2, 2), (4, 2)]


def test_the_adapter_plans_with_the_prompt_that_it_was_trained_on(trained: Path) -> None:
    run = json.loads(
        plait(
            *("plan", "30 grams for Nadia, please", "--tools", "zoo_that_learns:tools"),
            *("--model", str(trained / "adapter.gguf")),
        )
    )
    assert {task["tool"] for task in run["plan"]} <= {"feed", "weigh"}
    assert 0 < run["tokens"]["prompt"] < 200  # the tools, a line each; no rules, no examples


def test_the_last_checkpoint_can_be_exported(trained: Path, tmp_path: Path) -> None:
    report = json.loads(plait("train", "export", str(trained), str(tmp_path / "zoo.gguf")))
    assert report["step"] == 4
    assert read_adapter(tmp_path / "zoo.gguf").base_name == "smollm2-135m"


def test_a_finished_training_is_not_taken_up_again(trained: Path) -> None:
    before = (trained / "log.jsonl").read_text()
    options = ("--rank", "4", "--epochs", "0.4", "--evaluate-every", "2", "--evaluate", "2")
    report = json.loads(plait("train", "lora", "data", "run", *options))
    assert report["steps"] == 4
    assert (trained / "log.jsonl").read_text() == before


def test_another_training_in_the_same_folder_is_refused(trained: Path) -> None:
    said = failure("train", "lora", "data", "run", "--rank", "4", "--epochs", "3")
    assert "of a training with another base, data set or options; choose another folder" in said


def test_the_end_is_given_by_the_data_or_by_the_clock(trained: Path) -> None:
    said = failure("train", "lora", "data", "other", "--epochs", "1", "--hours", "2")
    assert "--epochs and --hours both say when to end; give one of them" in said


def test_a_data_set_that_is_not_there_is_told_in_one_sentence(tmp_path: Path) -> None:
    said = failure("train", "lora", str(tmp_path), str(tmp_path / "run"))
    assert "train.jsonl cannot be read" in said
    assert "make a data set with plait train synth" in said


def test_a_folder_without_a_training_cannot_be_exported(tmp_path: Path) -> None:
    said = failure("train", "export", str(tmp_path), str(tmp_path / "x.gguf"))
    assert "give the folder of a training by plait train lora" in said


def test_a_device_that_is_not_here_is_refused_with_the_choices(tmp_path: Path) -> None:
    said = failure("train", "lora", str(tmp_path), str(tmp_path / "run"), "--device", "tpu")
    assert "--device tpu is not here; choose auto, or one of: cpu" in said


def test_an_unknown_precision_is_refused_with_the_choices(tmp_path: Path) -> None:
    said = failure("train", "lora", str(tmp_path), str(tmp_path / "run"), "--precision", "int8")
    assert "--precision int8 is unknown; choose auto, bf16 or fp32" in said


def test_the_parts_of_a_data_set_can_be_evaluated_each_request_over_its_own_tools(
    trained: Path, tmp_path: Path
) -> None:
    plait(
        *("eval", "data", "data/validation.jsonl", "--model", str(trained / "adapter.gguf")),
        *("--limit", "1", "--out", str(tmp_path)),
    )
    identity = json.loads((tmp_path / "adapter-tuned" / "config.json").read_text())["identity"]
    assert (identity["benchmark"], identity["planner"]) == ("data", "tuned")
    assert len(identity["model"]["adapter_sha256"]) == 64
