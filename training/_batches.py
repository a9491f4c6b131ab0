"""Groups of encoded requests as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plait.training._encoding import EncodedExample, EncodedGroup
from plait.training._network import Batch

_TOGETHER = 2  # sequences that are padded to one length: padding is computed too, so few


@dataclass(frozen=True, slots=True)
class Lesson:
    """A batch, and what is to be learnt from it."""

    batch: Batch
    places: Tensor
    """Whose logits are learnt from, shape (n,), counted over all tails with their padding."""
    targets: Tensor
    """The tokens that are right there, shape (n,)."""
    weights: Tensor
    """How much each counts, shape (n,)."""


def make_lesson(group: EncodedGroup, device: str = "cpu") -> Lesson:
    """The sequences of a group, those of like length together."""
    tails: list[Tensor] = []
    places: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    start = 0
    for examples in _alike(group.examples):
        length = max(len(example.tokens) for example in examples)
        rows = []
        for example in examples:
            padding = length - len(example.tokens)
            rows.append([*example.tokens, *[0] * padding])
            learnt = range(example.n_prompt, len(example.tokens))
            places += [start + i - 1 for i in learnt]
            targets += [example.tokens[i] for i in learnt]
            weights += example.weights or [1.0] * len(learnt)
            start += length
        tails.append(torch.tensor(rows, device=device))
    batch = Batch(torch.tensor(group.prefix, device=device), tuple(tails))
    return Lesson(
        batch,
        torch.tensor(places, device=device),
        torch.tensor(targets, device=device),
        torch.tensor(weights, device=device),
    )


def _alike(examples: Sequence[EncodedExample]) -> Iterator[Sequence[EncodedExample]]:
    by_length = sorted(examples, key=lambda example: len(example.tokens))
    for i in range(0, len(by_length), _TOGETHER):
        yield by_length[i : i + _TOGETHER]
