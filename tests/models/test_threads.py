"""The choice of thread counts, with a clock that is made up."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from plait.models import read_gguf, this_machine
from plait.models._cores import Cores
from plait.models._measurements import keep_measurement, measurements_path, read_measurement
from plait.models._threads import ThreadCounts, measure_threads, performance_key, thread_candidates


class Clock:
    """Runs whose seconds a formula gives."""

    def __init__(self, seconds: Callable[[int, int], float]) -> None:
        self.calls: list[tuple[int, int]] = []
        self._seconds = seconds

    def __call__(self, n_threads: int, n_tokens: int) -> float:
        self.calls.append((n_threads, n_tokens))
        return self._seconds(n_threads, n_tokens)


def memory_bound(n_threads: int, n_tokens: int) -> float:
    """Single tokens gain nothing beyond 4 threads, batches do."""
    return 1 / n_threads if n_tokens > 1 else 1 / min(n_threads, 4)


def test_single_tokens_and_batches_have_counts_of_their_own() -> None:
    assert measure_threads(Clock(memory_bound), [1, 2, 4, 8]) == ThreadCounts(4, 8)


def test_a_further_thread_must_be_worth_it() -> None:
    assert measure_threads(Clock(lambda n, _: 1 - 0.005 * n), [1, 2, 3]) == ThreadCounts(1, 1)


def test_one_disturbed_measurement_changes_nothing() -> None:
    seen: list[int] = []

    def disturbed(n_threads: int, n_tokens: int) -> float:
        seen.append(n_threads)
        return 99.0 if n_threads == 4 and seen.count(4) == 2 else 1 / n_threads

    assert measure_threads(disturbed, [2, 4]).n_threads == 4


def test_counts_are_measured_by_turns_after_a_warming_up() -> None:
    clock = Clock(memory_bound)
    measure_threads(clock, [2, 1], n_rounds=2, batch_tokens=32)
    assert clock.calls == [
        (2, 1),
        (1, 1),
        (2, 1),
        (1, 1),
        (2, 1),
        (2, 32),
        (1, 32),
        (2, 32),
        (1, 32),
        (2, 32),
    ]


def test_where_there_is_no_choice_nothing_is_measured() -> None:
    clock = Clock(memory_bound)
    assert measure_threads(clock, [1]) == ThreadCounts(1, 1)
    assert clock.calls == []


@pytest.mark.parametrize("candidates", [[], [0, 1]])
def test_candidates_that_make_no_sense_are_refused(candidates: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one, all positive"):
        measure_threads(Clock(memory_bound), candidates)


def test_a_result_is_kept_for_its_key_and_its_candidates(tmp_path: Path) -> None:
    path, clock = tmp_path / "new" / "m.json", Clock(memory_bound)
    first = measure_threads(clock, [2, 8], key="here", path=path)
    n_calls = len(clock.calls)
    assert measure_threads(clock, [8, 2], key="here", path=path) == first
    assert len(clock.calls) == n_calls
    measure_threads(clock, [2, 8], key="there", path=path)
    measure_threads(clock, [2, 4], key="here", path=path)
    assert len(clock.calls) == 3 * n_calls
    assert [file.name for file in path.parent.iterdir()] == ["m.json"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace('"version": 1', '"version": 0'),
        lambda text: text.replace('"n_threads": 2', '"n_threads": 64'),
        lambda text: text.replace('"n_threads": 2', '"n_threads": "2"'),
        lambda text: text.replace('"n_threads": 2', '"n_threads": true'),
        lambda text: json.dumps({"version": 1, "entries": []}),
        lambda text: "[" * 100_000,
    ],
)
def test_a_damaged_file_is_measured_again(tmp_path: Path, damage: Callable[[str], str]) -> None:
    path, clock = tmp_path / "m.json", Clock(lambda n, _: float(n))
    expected = measure_threads(clock, [2, 8], key="here", path=path)
    n_calls = len(clock.calls)
    path.write_text(damage(path.read_text()))
    assert measure_threads(clock, [2, 8], key="here", path=path) == expected
    assert len(clock.calls) == 2 * n_calls
    assert read_measurement("threads|here|[2, 8]", path) == {"n_threads": 2, "n_threads_batch": 2}


def test_a_folder_that_cannot_be_written_to_costs_only_the_next_measurement(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert measure_threads(Clock(memory_bound), [1, 8], key="k", path=blocked / "m.json") == ThreadCounts(
        8, 8
    )


def test_the_oldest_of_many_measurements_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    entries = {f"k{i}": {"n": i} for i in range(250)}
    path.write_text(json.dumps({"version": 1, "entries": entries}))
    keep_measurement("new", {"n": -1}, path)
    kept = json.loads(path.read_text())["entries"]
    assert len(kept) == 200
    assert list(kept)[-1] == "new"
    assert "k0" not in kept


def test_measurements_lie_in_the_cache_folder_or_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for unset in ("", " "):
        monkeypatch.setenv("PLAIT_MEASUREMENTS", unset)
        assert measurements_path().name == "measurements.json"
        assert "plait" in measurements_path().parts
    monkeypatch.setenv("PLAIT_MEASUREMENTS", "~/elsewhere/m.json")
    assert measurements_path() == Path.home() / "elsewhere" / "m.json"


@pytest.mark.parametrize(
    ("cores", "candidates"),
    [
        (Cores(1, 1), [1]),
        (Cores(2, 2), [1, 2]),
        (Cores(6, 14), [1, 3, 6, 7, 14]),
        (Cores(8, 8), [1, 2, 4, 8]),
    ],
)
def test_halves_of_the_cores_and_the_fast_ones_are_tried(cores: Cores, candidates: list[int]) -> None:
    assert thread_candidates(cores) == candidates


def test_the_key_names_the_machine_and_the_shape_of_the_model(smollm2: Path) -> None:
    key = performance_key(read_gguf(smollm2), this_machine())
    assert this_machine().key in key
    assert "|llama|30|576|Q4_1=" in key
