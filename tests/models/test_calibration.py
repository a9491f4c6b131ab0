"""What is measured of a model on a machine, with an engine whose clock is made up."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plait.errors import ModelError
from plait.models import _calibration
from plait.models._batch_cost import BATCH_SIZES
from plait.models._calibration import costs_of_batches, draft_engine, speculation, tune_threads
from plait.models._cores import Cores
from plait.models._engine import MAX_ROWS, Chunk
from plait.models._sequences import SequencePool
from plait.models._speculating import ModelSpeculation, NGramSpeculation
from plait.models._threads import ThreadCounts


class NoCells:
    def copy(self, source: int, target: int, n_tokens: int) -> None:
        raise AssertionError("measuring shares nothing")

    def remove(self, sequence: int, first: int) -> bool:
        return True


@dataclass
class FakeEngine:
    """An engine on which a batch takes 1 s, and each token 0.25 s that some of the threads share."""

    n_gpu_layers: int = 0
    kv_type: str = "f16"
    n_cores: int = 4
    machine_key: str = "cpu"
    architecture: str = "llama"
    adapter: object = None
    can_split: bool = True
    now: float = 0.0
    batches: list[tuple[int, int]] = field(default_factory=list)
    """Of each batch the threads and the tokens."""
    threads: tuple[int, int] = (4, 4)

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.pool = SequencePool(NoCells(), 2, 64)
        self.placement = SimpleNamespace(
            n_gpu_layers=self.n_gpu_layers, n_threads=4, n_threads_batch=4, device="D", kv_type=self.kv_type
        )
        self.machine = SimpleNamespace(cores=Cores(self.n_cores, self.n_cores), key=self.machine_key)
        self.info = SimpleNamespace(
            bytes_by_type={"Q4_K": 7}, architecture=self.architecture, n_layers=2, embedding_length=8
        )
        self.vocabulary = SimpleNamespace(pieces=[b"a", b"b"], is_end=lambda token: False)

    @property
    def n_threads(self) -> int:
        return self.threads[0]

    @property
    def n_threads_batch(self) -> int:
        return self.threads[1]

    def set_threads(self, n_threads: int, n_threads_batch: int) -> None:
        self.threads = (n_threads, n_threads_batch)

    def decode(self, chunks: list[Chunk]) -> list[Any]:
        assert self.lock.locked()
        [chunk] = chunks
        n = len(chunk.tokens)
        assert list(chunk.logits_at) == list(range(n)), "as when guesses are verified"
        assert n <= MAX_ROWS
        self.pool.append(chunk.sequence, chunk.tokens)
        used = self.threads[n > 1]
        self.batches.append((used, n))
        self.now += 1 + n / 4 / min(used, 2 if n == 1 else 4)  # exact in binary
        return []


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "new" / "measurements.json"
    monkeypatch.setenv("PLAIT_MEASUREMENTS", str(path))
    return path


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes engines that share a clock."""
    engines: list[FakeEngine] = []

    def make_engine(**options: Any) -> FakeEngine:
        engines.append(FakeEngine(**options))
        return engines[-1]

    clock = SimpleNamespace(perf_counter=lambda: sum(engine.now for engine in engines))
    monkeypatch.setattr(_calibration, "time", clock)
    real = _calibration.measure_batch_costs
    monkeypatch.setattr(
        _calibration, "measure_batch_costs", lambda decode: real(decode, clock=clock.perf_counter)
    )
    yield make_engine
    for engine in engines:
        assert not engine.lock.locked()
        assert not any(s.is_busy or s.tokens for s in engine.pool.sequences)


def entries(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["entries"]
    return found


# Threads


def test_threads_are_measured_once_for_each_model_and_machine_and_used(
    make: Callable[..., Any], kept: Path
) -> None:
    first, second = make(), make()
    assert tune_threads(first) == ThreadCounts(2, 4)
    assert tune_threads(second) == ThreadCounts(2, 4)
    assert first.batches
    assert second.batches == []
    assert first.threads == second.threads == (2, 4)
    assert [path.name for path in kept.parent.iterdir()] == ["measurements.json"]


@pytest.mark.parametrize(
    "other",
    [{"machine_key": "another"}, {"architecture": "qwen2"}, {"n_cores": 2}, {"adapter": object()}],
)
def test_another_model_or_machine_has_threads_of_its_own(make: Callable[..., Any], other: Any) -> None:
    tune_threads(make())
    engine = make(**other)
    tune_threads(engine)
    assert engine.batches


def test_beside_a_gpu_the_placements_threads_stay(make: Callable[..., Any], kept: Path) -> None:
    engine = make(n_gpu_layers=3)
    assert tune_threads(engine) == ThreadCounts(4, 4)
    assert engine.threads == (4, 4)
    assert engine.batches == []
    assert not kept.exists()


def test_on_one_core_there_is_nothing_to_measure(make: Callable[..., Any]) -> None:
    engine = make(n_cores=1)
    assert tune_threads(engine) == ThreadCounts(1, 1)
    assert engine.threads == (1, 1)
    assert engine.batches == []


# Costs of batches


def test_costs_are_measured_once_for_each_model_and_machine(make: Callable[..., Any]) -> None:
    first, second = make(), make()
    costs = costs_of_batches(first)
    assert costs.sizes == BATCH_SIZES
    assert costs.seconds == pytest.approx([1 + n / 4 / (2 if n == 1 else 4) for n in BATCH_SIZES])
    assert costs_of_batches(second) == costs
    assert second.batches == []


@pytest.mark.parametrize(
    "other",
    [
        {"machine_key": "another"},
        {"architecture": "qwen2"},
        {"adapter": object()},
        {"kv_type": "q8_0"},
        {"n_gpu_layers": 3},
        {"threads": (1, 4)},
        {"threads": (4, 1)},
    ],
)
def test_what_costs_depend_on_is_part_of_their_key(make: Callable[..., Any], other: Any) -> None:
    costs_of_batches(make())
    engine = make(**other)
    costs_of_batches(engine)
    assert engine.batches


def test_costs_are_measured_anew_where_that_is_asked_for_and_kept(make: Callable[..., Any]) -> None:
    costs_of_batches(make())
    slow = make()
    slow.decode = lambda chunks: _slow(slow, chunks)
    costs = costs_of_batches(slow, anew=True)
    assert costs.seconds == pytest.approx([9.0] * 5)
    assert costs_of_batches(make()) == costs


def _slow(engine: FakeEngine, chunks: list[Chunk]) -> list[Any]:
    engine.now += 9.0
    return []


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": None},
        {"sizes": [1]},
        {"sizes": [2, 4, 8, 16, 32]},
        {"sizes": [1, 2, 4, 8, "16"]},
        {"sizes": [1, 2, 4, 8, 16.5]},
        {"sizes": "12"},
        {"sizes": 5},
        {"seconds": [1.0] * 4},
        {"seconds": [0.0] * 5},
        {"seconds": [-1.0] * 5},
        {"seconds": [float("nan")] * 5},
        {"seconds": [1e400] * 5},
        {"seconds": [10**400] * 5},
        {"seconds": ["a"] * 5},
        {"seconds": [None] * 5},
        {"seconds": {"1": 1}},
    ],
)
def test_a_damaged_entry_is_measured_anew_and_replaced(
    make: Callable[..., Any], kept: Path, change: Any
) -> None:
    good = costs_of_batches(make())
    document = json.loads(kept.read_text())
    [key] = document["entries"]
    document["entries"][key].update(change)
    kept.write_text(json.dumps(document))
    engine = make()
    assert costs_of_batches(engine) == good
    assert engine.batches
    assert entries(kept)[key] == {"sizes": list(BATCH_SIZES), "seconds": list(good.seconds)}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', "\0" * 9], ids=repr)
def test_a_damaged_file_is_measured_anew(make: Callable[..., Any], kept: Path, text: str) -> None:
    good = costs_of_batches(make())
    kept.write_text(text)
    engine = make()
    assert costs_of_batches(engine) == good
    assert engine.batches
    assert len(entries(kept)) == 1


def test_a_folder_that_cannot_be_written_to_costs_only_the_time_to_measure(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PLAIT_MEASUREMENTS", str(tmp_path / "file" / "m.json"))
    engines = [make(), make()]
    assert costs_of_batches(engines[0]) == costs_of_batches(engines[1])
    assert all(engine.batches for engine in engines)
    assert tune_threads(engines[0]) == ThreadCounts(2, 4)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    make: Callable[..., Any], kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs_of_batches(make())
    before = kept.read_text()

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    costs_of_batches(make(architecture="qwen2"))
    assert kept.read_text() == before
    assert [path.name for path in kept.parent.iterdir()] == ["measurements.json"]


# What makes drafts


def test_drafts_of_ngrams_need_the_costs_and_nothing_else(make: Callable[..., Any], kept: Path) -> None:
    assert isinstance(speculation(make(), True), NGramSpeculation)
    assert [key.split("|")[0] for key in entries(kept)] == ["batches"]


def test_a_model_that_cannot_take_guesses_back_gets_no_drafts_and_no_measurement(
    make: Callable[..., Any], kept: Path
) -> None:
    engine = make(can_split=False)
    assert speculation(engine, True) is None
    assert speculation(engine, "small.gguf") is None
    assert engine.batches == []
    assert not kept.exists()


@dataclass
class FakeVocabulary:
    """As many tokens as there are letters."""

    letters: str = "ab"
    pieces: list[bytes] = field(default_factory=list)

    @property
    def n_vocab(self) -> int:
        return len(self.letters)

    def piece(self, token: int, special: bool = False) -> bytes:
        return self.letters[token].encode()

    def special_text(self, kind: str) -> str:
        return ""

    def is_end(self, token: int) -> bool:
        return False


@pytest.fixture
def opened(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Small models that can be opened: by their file's name their engines."""
    small = {"same.gguf": make(architecture="small"), "other.gguf": make(architecture="small")}
    small["same.gguf"].vocabulary = FakeVocabulary()
    small["other.gguf"].vocabulary = FakeVocabulary("abc")
    for engine in small.values():
        engine.closed = []
        engine.close = lambda engine=engine: engine.closed.append(True)

    def open_engine(path: Path, *, context_length: int) -> Any:
        small[path.name].context_length = context_length
        return small[path.name]

    monkeypatch.setattr("plait.models._engine.Engine", open_engine)
    return small


def test_a_small_model_drafts_with_threads_and_costs_of_its_own(
    make: Callable[..., Any], opened: dict[str, Any], kept: Path
) -> None:
    large = make()
    large.vocabulary, large.context_length = FakeVocabulary(), 99
    made = speculation(large, "folder/same.gguf")
    assert isinstance(made, ModelSpeculation)
    small = opened["same.gguf"]
    assert (small.context_length, small.threads, small.closed) == (99, (2, 4), [])
    assert [key.split("|")[0] for key in entries(kept)] == ["batches", "threads", "batches"]
    assert made._policy._draft_token_s == pytest.approx(1.125)


def test_a_small_model_of_another_vocabulary_is_refused_and_freed(
    make: Callable[..., Any], opened: dict[str, Any]
) -> None:
    large = make()
    large.vocabulary, large.context_length = FakeVocabulary(), 99
    with pytest.raises(ModelError, match=r"has 3 tokens and the model 2.*choose a draft model"):
        draft_engine(large, Path("other.gguf"))
    assert opened["other.gguf"].closed == [True]
    assert opened["other.gguf"].batches == []
