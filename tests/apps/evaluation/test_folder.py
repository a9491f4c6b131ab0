import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plait.apps.evaluation._folder import LoadedRun, RunFolder, find_runs, load_run, remove_run
from plait.apps.evaluation._types import ItemRecord, PlannedCall, Prices, RunConfig
from plait.errors import ConfigurationError

Make = Callable[..., Any]


@pytest.fixture
def config(make_config: Callable[..., RunConfig]) -> RunConfig:
    return make_config()


@pytest.fixture
def filled(tmp_path: Path, config: RunConfig, make_record: Callable[..., ItemRecord]) -> Path:
    """A run folder with the items a and b."""
    with RunFolder(tmp_path / "run", config) as folder:
        folder.add(make_record("a"))
        folder.add(make_record("b", correct=False))
    return tmp_path / "run"


def test_a_run_that_goes_on_knows_what_is_finished(
    filled: Path, config: RunConfig, make_record: Make
) -> None:
    with RunFolder(filled, config) as folder:
        assert list(folder.done) == ["a", "b"]
        folder.add(make_record("c"))
        assert list(folder.done) == ["a", "b", "c"]
    assert list(load_run(filled).items) == ["a", "b", "c"]


def test_a_record_is_on_disk_as_soon_as_it_is_added(
    tmp_path: Path, config: RunConfig, make_record: Make
) -> None:
    with RunFolder(tmp_path / "run", config) as folder:
        folder.add(make_record("a"))
        assert list(load_run(tmp_path / "run").items) == ["a"]


def test_of_two_records_of_an_item_the_last_one_counts_at_the_place_of_the_first(
    filled: Path, config: RunConfig, make_record: Make
) -> None:
    with RunFolder(filled, config) as folder:
        folder.add(make_record("a", correct=False))
        assert not folder.done["a"].correct
    run = load_run(filled)
    assert list(run.items) == ["a", "b"]
    assert not run.items["a"].correct


def test_a_run_is_called_after_its_model_and_planner(filled: Path) -> None:
    assert load_run(filled).label == "qwen2.5-coder-1.5b compiler"


@pytest.mark.parametrize("torn", ['{"id": "c", "categ', "{", "\udcff", '{"whole": "but without its end"}'])
def test_a_line_that_a_crash_tore_is_cut_off_and_its_item_is_open_again(
    filled: Path, config: RunConfig, make_record: Make, torn: str
) -> None:
    with (filled / "items.jsonl").open("ab") as file:
        file.write(torn.encode("utf-8", "surrogateescape"))
    assert list(load_run(filled).items) == ["a", "b"]
    with RunFolder(filled, config) as folder:
        assert list(folder.done) == ["a", "b"]
        folder.add(make_record("c"))
    assert list(load_run(filled).items) == ["a", "b", "c"]


def test_a_crash_before_the_first_record_was_whole_leaves_an_empty_run(
    tmp_path: Path, config: RunConfig
) -> None:
    with RunFolder(tmp_path, config):
        pass
    (tmp_path / "items.jsonl").write_text('{"id"', encoding="utf-8")
    with RunFolder(tmp_path, config) as folder:
        assert folder.done == {}
    assert (tmp_path / "items.jsonl").read_bytes() == b""


@pytest.mark.parametrize("broken", ["{", "", '{"id": "b"}', "[]", '{"surprise": 1}'])
def test_a_line_that_is_broken_in_the_middle_is_told_by_its_number(
    filled: Path, config: RunConfig, broken: str
) -> None:
    first, second = (filled / "items.jsonl").read_text(encoding="utf-8").splitlines()
    (filled / "items.jsonl").write_text(f"{first}\n{broken}\n{second}\n", encoding="utf-8")
    for use in (lambda: load_run(filled), lambda: RunFolder(filled, config)):
        with pytest.raises(ConfigurationError, match=r"items\.jsonl, line 2 .*delete the line"):
            use()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"planner": "react"}, 'planner: "compiler" there, "react" here'),
        ({"prompt_sha256": "00ff"}, 'prompt_sha256: "77e1.*" there, "00ff" here'),
        ({"benchmark": "bfcl"}, "benchmark"),
        ({"fingerprint": "other data"}, "fingerprint"),
        ({"plait_version": "9.9.9"}, 'plait_version: "0.1.0" there, "9.9.9" here'),
        ({"execute": False}, "execute: true there, false here"),
        ({"tool_latency_s": 0.25}, "tool_latency_s: 0.5 there, 0.25 here"),
    ],
)
def test_another_configuration_is_refused_and_the_difference_named(
    filled: Path, make_config: Make, changes: dict[str, Any], told: str
) -> None:
    before = (filled / "items.jsonl").read_bytes()
    with pytest.raises(ConfigurationError, match=told):
        RunFolder(filled, make_config(**changes))
    assert (filled / "items.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("field", "value"), [("sha256", "beef"), ("quantization", "Q8_0"), ("context_length", 4096)]
)
def test_other_weights_are_another_configuration(
    filled: Path, config: RunConfig, make_config: Make, field: str, value: object
) -> None:
    model = config.identity.model.model_copy(update={field: value})
    with pytest.raises(ConfigurationError, match=rf"model\.{field}: .* there, .* here") as caught:
        RunFolder(filled, make_config(model=model))
    assert "planner" not in str(caught.value)


def test_what_decides_no_outcome_may_change(filled: Path, config: RunConfig) -> None:
    later = config.model_copy(
        update={"started": "later", "command": ["plait", "eval"], "hardware": {"cores": 64}}
    )
    with RunFolder(filled, later) as folder:
        assert folder.config.started == config.started


def test_the_last_prices_given_count(filled: Path, config: RunConfig) -> None:
    prices = Prices(prompt=0.5, completion=1.5)
    with RunFolder(filled, config.model_copy(update={"prices": prices})):
        pass
    with RunFolder(filled, config) as folder:  # none are given, so those stay
        assert folder.config.prices == prices
    assert load_run(filled).config.prices == prices


def test_a_folder_that_is_being_filled_is_refused_to_others(
    tmp_path: Path, config: RunConfig, make_record: Make
) -> None:
    with RunFolder(tmp_path, config) as folder:
        with pytest.raises(ConfigurationError, match="filled by another process"):
            RunFolder(tmp_path, config)
        with pytest.raises(ConfigurationError, match="filled by another process"):
            remove_run(tmp_path)
        folder.add(make_record("a"))
    with RunFolder(tmp_path, config) as folder:
        assert list(folder.done) == ["a"]


def test_another_process_cannot_fill_a_folder_that_is_being_filled(tmp_path: Path, config: RunConfig) -> None:
    script = (
        "import sys; from pathlib import Path; from filelock import FileLock, Timeout\n"
        "try:\n    FileLock(Path(sys.argv[1]) / '.lock').acquire(timeout=0)\n"
        "except Timeout:\n    sys.exit(7)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with RunFolder(tmp_path, config):
        assert subprocess.run(command, check=False).returncode == 7
    assert subprocess.run(command, check=False).returncode == 0


def test_a_refused_folder_is_not_left_locked(filled: Path, config: RunConfig, make_config: Make) -> None:
    with pytest.raises(ConfigurationError):
        RunFolder(filled, make_config(planner="react"))
    with RunFolder(filled, config) as folder:
        assert list(folder.done) == ["a", "b"]


def test_removing_a_run_deletes_nothing_else(filled: Path, config: RunConfig) -> None:
    (filled / "report.html").write_text("mine", encoding="utf-8")
    (filled / "notes").mkdir()
    remove_run(filled)
    left = {path.name for path in filled.iterdir()}
    assert left - {".lock"} == {"report.html", "notes"}


def test_a_removed_run_starts_anew(filled: Path, make_config: Make) -> None:
    remove_run(filled)
    remove_run(filled)  # nothing is left to be removed, which is no mistake
    with RunFolder(filled, make_config(planner="react")) as folder:
        assert folder.done == {}


def test_what_a_crash_left_of_a_configuration_does_not_keep_a_run_from_being_removed(tmp_path: Path) -> None:
    (tmp_path / "config.json.new").write_text("{", encoding="utf-8")
    (tmp_path / ".lock").touch()
    remove_run(tmp_path)
    assert not (tmp_path / "config.json.new").exists()


def test_a_folder_that_is_no_run_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    (tmp_path / "items.jsonl").write_text("mine\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="no run folder, so nothing in it is deleted"):
        remove_run(tmp_path)
    assert (tmp_path / "items.jsonl").read_text(encoding="utf-8") == "mine\n"


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path, config: RunConfig) -> None:
    path = tmp_path / "file"
    path.write_text("mine", encoding="utf-8")
    for use in (lambda: remove_run(path), lambda: RunFolder(path, config)):
        with pytest.raises(ConfigurationError, match="cannot be written"):
            use()
    assert path.read_text(encoding="utf-8") == "mine"


def test_nothing_to_be_removed_is_no_mistake(tmp_path: Path) -> None:
    remove_run(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_items_without_a_configuration_are_not_added_to(tmp_path: Path, config: RunConfig) -> None:
    (tmp_path / "items.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"has items and no config\.json"):
        RunFolder(tmp_path, config)


def test_a_folder_of_another_format_is_refused_with_both_numbers(filled: Path, config: RunConfig) -> None:
    found = json.loads((filled / "config.json").read_text(encoding="utf-8"))
    changed = json.dumps({**found, "format": 2, "what_nobody_knows_yet": True})
    (filled / "config.json").write_text(changed, encoding="utf-8")
    for use in (lambda: load_run(filled), lambda: RunFolder(filled, config)):
        with pytest.raises(ConfigurationError, match="format 2, and this version of plait reads format 1"):
            use()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1, "surprise": 1}', '{"format": "one"}'])
def test_a_configuration_that_cannot_be_read_is_refused(filled: Path, text: str) -> None:
    (filled / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"config\.json cannot be read \(made by another version"):
        load_run(filled)


def test_a_folder_that_is_no_run_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"is no run folder: it has no config\.json"):
        load_run(tmp_path)


def test_a_folder_that_cannot_be_read_is_told(filled: Path) -> None:
    (filled / "items.jsonl").unlink()
    (filled / "items.jsonl").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_run(filled)


def test_a_full_disk_is_told_and_what_was_kept_before_stays(
    filled: Path, config: RunConfig, make_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill() -> None:
        with RunFolder(filled, config) as folder:
            monkeypatch.setattr(os, "fsync", full)
            folder.add(make_record("c"))

    with pytest.raises(ConfigurationError, match=r"cannot be written.*No space left"):
        fill()
    monkeypatch.undo()
    with RunFolder(filled, config) as folder:
        assert list(folder.done)[:2] == ["a", "b"]


def test_half_a_character_that_a_model_wrote_does_not_end_a_run(
    tmp_path: Path, config: RunConfig, make_record: Make
) -> None:
    call = PlannedCall(id=1, tool="note", arguments={"text": "sad \ud83d", "n": 1, "whole": "\U0001f600 é"})
    with RunFolder(tmp_path, config) as folder:
        folder.add(make_record("a", plan=[call]))
    arguments = load_run(tmp_path).items["a"].plan[0].arguments
    assert arguments == {"text": "sad ?", "n": 1, "whole": "\U0001f600 é"}


def test_odd_line_ends_in_a_record_do_not_break_its_line(
    tmp_path: Path, config: RunConfig, make_record: Make
) -> None:
    odd = "a\r\nb\u2028c\x85d\x0be\n"
    with RunFolder(tmp_path, config) as folder:
        folder.add(make_record("a", answer=odd))
        folder.add(make_record("b"))
    assert load_run(tmp_path).items["a"].answer == odd


def test_runs_are_found_in_the_folders_under_one(three_runs: list[LoadedRun]) -> None:
    parent = three_runs[0].path.parent
    assert find_runs(parent) == sorted(run.path for run in three_runs)
    assert find_runs(three_runs[0].path) == [three_runs[0].path]


@pytest.mark.parametrize("name", ["", "absent"])
def test_a_folder_without_runs_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="has no run in it"):
        find_runs(tmp_path / name)
