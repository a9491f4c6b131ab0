"""Training of an adapter: steps, schedule, checkpoints."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from random import Random
from typing import Any

import torch

from plait.errors import ConfigurationError
from plait.models import read_adapter
from plait.training._batches import make_lesson
from plait.training._encoding import EncodedGroup
from plait.training._loss import cross_entropy
from plait.training._network import LoRANetwork

_CHECKPOINT = "checkpoint.pt"
_LOG = "log.jsonl"


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How an adapter is trained."""

    rank: int = 16
    """Of the low-rank matrices."""
    alpha: float = 32.0
    """Scale of what the adapter adds, times the rank."""
    learning_rate: float = 1e-3
    """At its highest, after the warm-up; from there it falls as a cosine."""
    final_share: float = 0.05
    """The share of the learning rate that is left at the end."""
    n_warmup: int = 20
    """Steps in which it rises."""
    n_epochs: float = 1.0
    """How often each request is seen, where ``hours`` says nothing else."""
    hours: float | None = None
    """When to be finished: hours of steps, over all runs of the training; evaluations do not count."""
    max_gradient: float = 1.0
    """Longer gradients are cut to this length."""
    seed: int = 0
    """Of the first weights and of the order of groups."""
    checkpoint_s: float = 300.0
    """Seconds between checkpoints."""


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One step, as the log has it."""

    step: int
    """Counted from 1."""
    n_steps: int
    """Of the whole training; an estimate, where it ends by the clock."""
    loss: float
    """Mean cross entropy of the plans' tokens, in nats, all counted alike."""
    learning_rate: float
    n_tokens: int
    """That were computed."""
    seconds: float


class Trainer:
    """Trains an adapter, a group a step; can be killed at any time and goes on from its last checkpoint.

    Args:
        base: the GGUF file that the adapter is for.
        groups: what to train on.
        folder: for checkpoints and the log; if there is a checkpoint of the same training, it goes on there.
        options: how.
        device: ``"cpu"``, ``"mps"`` or ``"cuda"``.
        precision: of what is computed; see :class:`LoRANetwork`.
        start: what to begin with: the folder of another training of the same base, of this rank or a smaller
            one, or a GGUF file that was exported from one.

    Raises:
        ConfigurationError: the folder has the checkpoint of another training, or the base cannot be trained.
    """

    def __init__(
        self,
        base: Path,
        groups: Sequence[EncodedGroup],
        folder: Path,
        options: TrainingOptions | None = None,
        *,
        device: str = "cpu",
        precision: torch.dtype = torch.float32,
        start: Path | None = None,
    ) -> None:
        self._options = options or TrainingOptions()
        self._groups = groups
        self._folder = folder
        self._device = device
        self._base = base
        self.network = LoRANetwork(
            base,
            rank=self._options.rank,
            alpha=self._options.alpha,
            seed=self._options.seed,
            device=device,
            precision=precision,
        )
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self._options.learning_rate, weight_decay=0.0
        )
        self.step = 0
        """Steps that were taken."""
        self._spent_s = 0.0
        self._identity = _identity(base, groups, self._options)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / _CHECKPOINT).exists():
            self._resume()
        elif start is not None:
            self._start_with(start)

    @property
    def n_steps(self) -> int:
        """Steps of the whole training; an estimate, where it ends by the clock."""
        if self._options.hours is None:
            return max(1, round(len(self._groups) * self._options.n_epochs))
        return max(self.step + (self._done < 1), round(self.step / self._done) if self.step else 0)

    @property
    def _done(self) -> float:
        """The share of the training that is behind: 1 at its end."""
        if self._options.hours is None:
            return self.step / self.n_steps
        return min(1.0, self._spent_s / (3600 * self._options.hours))

    def run(self) -> Iterator[TrainingStep]:
        """Take the steps that are left, each when the one before was consumed."""
        saved = time.monotonic()
        while self._done < 1:
            done = self._take_step()
            with (self._folder / _LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(asdict(done)) + "\n")
            if time.monotonic() - saved > self._options.checkpoint_s or self._done == 1:
                self.save()
                saved = time.monotonic()
            yield done

    def _take_step(self) -> TrainingStep:
        started = time.monotonic()
        group = self._groups[self._order(self.step)]
        rate = self._rate()
        for parameters in self._optimizer.param_groups:
            parameters["lr"] = rate
        lesson = make_lesson(group, self._device)
        weighted, plain = cross_entropy(
            self.network.hidden(lesson.batch, lesson.places),
            self.network.head,
            lesson.targets,
            lesson.weights,
        )
        self._optimizer.zero_grad()
        weighted.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._options.max_gradient)
        self._optimizer.step()
        loss = plain.item()
        seconds = time.monotonic() - started
        self.step += 1
        self._spent_s += seconds
        return TrainingStep(self.step, self.n_steps, loss, rate, group.n_tokens, seconds)

    def _order(self, step: int) -> int:
        """The group of that step: each epoch has another order."""
        epoch, i = divmod(step, len(self._groups))
        order = list(range(len(self._groups)))
        Random(f"{self._options.seed} {epoch}").shuffle(order)  # noqa: S311  (nothing secret)
        return order[i]

    def _rate(self) -> float:
        o = self._options
        if self.step < o.n_warmup:
            return o.learning_rate * (self.step + 1) / o.n_warmup
        warm = o.n_warmup / max(self.n_steps, o.n_warmup + 1) if o.hours is None else 0.0
        cosine = 0.5 * (1 + math.cos(math.pi * (self._done - warm) / (1 - warm)))
        return o.learning_rate * (o.final_share + (1 - o.final_share) * cosine)

    def save(self) -> None:
        """Write a checkpoint: the old one stays until the new one is whole.

        Raises:
            ConfigurationError: it cannot be written, e.g. because the disk is full.
        """
        state = {
            "identity": self._identity,
            "step": self.step,
            "spent_s": self._spent_s,
            "scale": self.network.scale,
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        part = self._folder / f".{_CHECKPOINT}.part"
        try:
            torch.save(state, part)
            part.replace(self._folder / _CHECKPOINT)
        except (OSError, RuntimeError) as error:  # torch says "RuntimeError" of a full disk
            part.unlink(missing_ok=True)
            raise ConfigurationError(
                f"the checkpoint {self._folder / _CHECKPOINT} cannot be written ({error}); make room and "
                "start again: it goes on from the last one"
            ) from error

    def _start_with(self, start: Path) -> None:
        try:
            if start.is_file():
                read_adapter(start).check_base(self._base)
                self.network.load_adapter(start)
            else:
                state = read_checkpoint(start, self._device)
                if "scale" not in state:
                    raise ConfigurationError(
                        f"the checkpoint in {start} was written by an older plait; export it with plait "
                        "train export and start with the file"
                    )
                self.network.begin_with(state["network"], scale=state["scale"])
        except RuntimeError as error:
            raise ConfigurationError(
                f"the adapter in {start} is of another base or scale, or of a higher rank ({error}); start "
                "with one like this, or without"
            ) from error

    def _resume(self) -> None:
        state = read_checkpoint(self._folder, self._device)
        if state["identity"] != self._identity:
            raise ConfigurationError(
                f"{self._folder / _CHECKPOINT} is of a training with another base, data set or options; "
                "choose another folder"
            )
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self._spent_s = state["spent_s"]


def read_checkpoint(folder: Path, device: str = "cpu") -> dict[str, Any]:
    """The last checkpoint in ``folder``.

    It has ``identity``, ``step``, ``spent_s``, ``scale``, ``network`` and ``optimizer``.

    Raises:
        ConfigurationError: there is none that can be read.
    """
    path = folder / _CHECKPOINT
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no checkpoint in {folder}; train first") from error
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise ConfigurationError(
            f"the checkpoint {path} cannot be read ({error}); remove it to start from the beginning"
        ) from error
    return state


def _identity(base: Path, groups: Sequence[EncodedGroup], options: TrainingOptions) -> str:
    """What must be the same for a training to go on."""
    told = {name: value for name, value in asdict(options).items() if name != "checkpoint_s"}
    digest = hashlib.sha256(json.dumps([base.name, base.stat().st_size, told]).encode())
    for group in groups:
        digest.update(repr(group).encode())
    return digest.hexdigest()
