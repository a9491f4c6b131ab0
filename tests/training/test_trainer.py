"""Steps, checkpoints and the log of a training."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count, islice, pairwise
from pathlib import Path

import pytest
import torch

from plait.errors import ConfigurationError, ModelFileError
from plait.training._batches import make_lesson
from plait.training._encoding import EncodedExample, EncodedGroup
from plait.training._export import export_adapter
from plait.training._trainer import Trainer, TrainingOptions

OPTIONS = TrainingOptions(rank=4, alpha=8.0, learning_rate=0.01, n_warmup=3, n_epochs=6, checkpoint_s=0.0)


def group(seed: int) -> EncodedGroup:
    """Two requests, each of which is answered by one letter thrice."""
    prefix = (1, 40 + seed, 50, 60)
    return EncodedGroup(
        prefix, tuple(EncodedExample((70 + i, 71, *[100 + i] * 3, 2), 2) for i in range(2 + seed % 2))
    )


GROUPS = [group(seed) for seed in range(4)]


@pytest.fixture
def base(write_network: Callable[..., Path]) -> Path:
    return write_network()


def losses(trainer: Trainer, n: int | None = None) -> list[float]:
    return [step.loss for step in islice(trainer.run(), n)]


def parameters(trainer: Trainer) -> Sequence[torch.Tensor]:
    return [p.detach().clone() for p in trainer.network.parameters()]


def test_the_loss_falls(base: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, n_epochs=30, learning_rate=0.03)
    found = losses(Trainer(base, GROUPS, tmp_path / "run", options))
    assert len(found) == 120
    assert sum(found[-4:]) < 0.7 * sum(found[:4])


def test_only_the_plan_is_learnt_from_the_token_before_each_of_its_tokens() -> None:
    long = EncodedExample((5, 6, 7, 30, 31, 2), 3, (4.0, 1.0, 1.0))
    short = EncodedExample((8, 40, 2), 1)
    lesson = make_lesson(EncodedGroup((1, 9), (long, short)))
    rows = torch.cat([tail.flatten() for tail in lesson.batch.tails])
    assert lesson.targets.tolist() == [40, 2, 30, 31, 2]
    assert rows[lesson.places].tolist() == [8, 40, 7, 30, 31]
    assert lesson.weights.tolist() == [1.0, 1.0, 4.0, 1.0, 1.0]
    assert lesson.batch.prefix.tolist() == [1, 9]


def test_a_training_that_was_killed_goes_on_as_if_nothing_had_been(base: Path, tmp_path: Path) -> None:
    whole = Trainer(base, GROUPS, tmp_path / "whole", OPTIONS)
    expected = losses(whole)
    first = losses(Trainer(base, GROUPS, tmp_path / "parts", OPTIONS), n=10)
    second = Trainer(base, GROUPS, tmp_path / "parts", OPTIONS)
    assert second.step == len(first) == 10
    assert first + losses(second) == pytest.approx(expected, rel=1e-6)
    for ours, theirs in zip(parameters(second), parameters(whole), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_training_by_the_clock_ends_in_time_at_the_lowest_rate_however_often_it_was_killed(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plait.training._trainer.time.monotonic", count(step=60.0).__next__)
    options = replace(OPTIONS, hours=0.5)  # a step reads the clock at its beginning and its end: a minute
    first = list(islice(Trainer(base, GROUPS, tmp_path / "run", options).run(), 11))
    second = Trainer(base, GROUPS, tmp_path / "run", options)
    steps = [*first, *second.run()]
    assert [step.step for step in steps] == list(range(1, 31))
    assert {step.n_steps for step in steps} == {30}
    rates = [step.learning_rate for step in steps]
    assert all(later < earlier for earlier, later in pairwise(rates[3:]))
    assert rates[-1] == pytest.approx(OPTIONS.learning_rate * OPTIONS.final_share, rel=0.1)
    assert list(second.run()) == []


def test_a_training_may_begin_with_the_adapter_of_another(base: Path, tmp_path: Path) -> None:
    first = Trainer(base, GROUPS, tmp_path / "first", OPTIONS)
    losses(first)
    second = Trainer(base, GROUPS[:2], tmp_path / "second", OPTIONS, start=tmp_path / "first")
    assert second.step == 0
    for ours, theirs in zip(parameters(second), parameters(first), strict=True):
        torch.testing.assert_close(ours, theirs)
    for other in (replace(OPTIONS, rank=OPTIONS.rank - 1), replace(OPTIONS, alpha=1.0)):
        with pytest.raises(ConfigurationError, match="is of another base or scale, or of a higher rank"):
            Trainer(base, GROUPS, tmp_path / "third", other, start=tmp_path / "first")


@pytest.mark.parametrize("is_exported", [False, True])
def test_a_training_may_go_on_with_a_higher_rank(base: Path, tmp_path: Path, is_exported: bool) -> None:
    first = Trainer(base, GROUPS, tmp_path / "first", OPTIONS)
    losses(first)
    start = tmp_path / "first"
    if is_exported:
        start = tmp_path / "adapter.gguf"
        export_adapter(first.network, base, start, name="first")
    wider = replace(OPTIONS, rank=2 * OPTIONS.rank, alpha=2 * OPTIONS.alpha)
    second = Trainer(base, GROUPS, tmp_path / "second", wider, start=start)
    batch, wanted = make_lesson(GROUPS[0]).batch, torch.tensor([0, 1])
    tolerance = 1e-2 if is_exported else 1e-5  # it is kept in 16 bits
    ours, theirs = second.network(batch, wanted), first.network(batch, wanted)
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    losses(second)
    widths = {b.shape[1] for _, _, b in second.network.adapters()}
    assert widths == {wider.rank}
    assert all(b[:, OPTIONS.rank :].abs().sum() > 0 for _, _, b in second.network.adapters())


def test_a_training_may_begin_with_an_exported_adapter_of_the_same_base(
    base: Path, tmp_path: Path, write_network: Callable[..., Path]
) -> None:
    first = Trainer(base, GROUPS, tmp_path / "first", OPTIONS)
    losses(first)
    adapter = tmp_path / "adapter.gguf"
    export_adapter(first.network, base, adapter, name="first")
    second = Trainer(base, GROUPS[:2], tmp_path / "second", OPTIONS, start=adapter)
    for ours, theirs in zip(parameters(second), parameters(first), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)  # it is kept in 16 bits
    for other in (replace(OPTIONS, rank=OPTIONS.rank - 1), replace(OPTIONS, alpha=1.0)):
        with pytest.raises(ConfigurationError, match="is of another base or scale, or of a higher rank"):
            Trainer(base, GROUPS, tmp_path / "third", other, start=adapter)
    with pytest.raises(ModelFileError, match="was not trained on the weights"):
        Trainer(write_network("qwen2"), GROUPS, tmp_path / "fourth", OPTIONS, start=adapter)


def test_in_16_bits_the_loss_falls_as_well(base: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, n_epochs=10, learning_rate=0.03)
    fine = losses(Trainer(base, GROUPS, tmp_path / "fine", options))
    coarse = losses(Trainer(base, GROUPS, tmp_path / "coarse", options, precision=torch.bfloat16))
    assert fine != coarse
    assert coarse == pytest.approx(fine, rel=0.05)


def test_a_training_may_go_on_in_another_precision(base: Path, tmp_path: Path) -> None:
    losses(Trainer(base, GROUPS, tmp_path, OPTIONS), n=5)
    assert Trainer(base, GROUPS, tmp_path, OPTIONS, precision=torch.bfloat16).step == 5


def test_a_finished_training_has_nothing_left_to_do(base: Path, tmp_path: Path) -> None:
    losses(Trainer(base, GROUPS, tmp_path, OPTIONS))
    assert losses(Trainer(base, GROUPS, tmp_path, OPTIONS)) == []


@pytest.mark.parametrize(
    ("groups", "options"),
    [
        (GROUPS[:3], OPTIONS),
        (GROUPS, replace(OPTIONS, learning_rate=0.5)),
        (GROUPS, replace(OPTIONS, seed=1)),
    ],
)
def test_the_folder_of_another_training_is_refused(
    base: Path, tmp_path: Path, groups: list[EncodedGroup], options: TrainingOptions
) -> None:
    losses(Trainer(base, GROUPS, tmp_path, OPTIONS), n=1)
    with pytest.raises(ConfigurationError, match="of a training with another base, data set or options"):
        Trainer(base, groups, tmp_path, options)


def test_a_damaged_checkpoint_is_an_error_that_says_what_to_do(base: Path, tmp_path: Path) -> None:
    losses(Trainer(base, GROUPS, tmp_path, OPTIONS), n=1)
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(ConfigurationError, match=r"cannot be read .*; remove it to start from the beginning"):
        Trainer(base, GROUPS, tmp_path, OPTIONS)


def test_a_full_disk_leaves_the_last_checkpoint(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses(Trainer(base, GROUPS, tmp_path, OPTIONS), n=5)

    def full(state: object, path: Path) -> None:
        path.write_bytes(b"half of")
        raise OSError(28, "No space left on device")

    going_on = Trainer(base, GROUPS, tmp_path, OPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(ConfigurationError, match=r"No space left on device.*; make room and start again"):
            losses(going_on)
    assert Trainer(base, GROUPS, tmp_path, OPTIONS).step == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "llama.gguf", "log.jsonl"]


def test_the_log_has_every_step_with_the_learning_rate_of_a_cosine(base: Path, tmp_path: Path) -> None:
    losses(Trainer(base, GROUPS, tmp_path / "run", OPTIONS))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 25))
    rates = [line["learning_rate"] for line in lines]
    assert rates[:4] == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.01])
    assert all(a > b for a, b in pairwise(rates[3:]))
    assert rates[-1] < 0.001


def test_every_group_is_seen_once_an_epoch(base: Path, tmp_path: Path) -> None:
    trainer = Trainer(base, GROUPS, tmp_path, OPTIONS)
    orders = [[trainer._order(4 * epoch + i) for i in range(4)] for epoch in range(6)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len({tuple(order) for order in orders}) > 1
