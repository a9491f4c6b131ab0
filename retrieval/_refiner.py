"""ToolRefiner: puts the tools that were found into a better order, and says how many are enough.

After Tool2Vec's (arXiv 2409.02141), with far fewer weights, so that some hundred usages are enough to train
it: one hidden layer over what is known of each candidate and, by attention, of those beside it. It knows
nothing of single tools, so that it serves on when tools are added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plait.retrieval._adam import Adam
from plait.retrieval._blas import one_thread
from plait.retrieval._candidates import N_FEATURES
from plait.retrieval._mlc import softmax

Floats = NDArray[np.float32]

RECALLS = (0.8, 0.9, 0.95, 0.98, 0.99)
"""For which shares of right tools there are thresholds."""

_HIDDEN = 32
_NETS = 3  # whose mean is used
_EPOCHS = 40
_BATCH = 64
_RATE = 3e-3
_DECAY = 1e-3
_FARTHEST = np.float32(4)
_MASSES = np.linspace(0, 1, 501)[1:]


@dataclass(frozen=True, slots=True)
class Example:
    """A request with its candidates."""

    features: Floats
    """Of shape ``(candidates, N_FEATURES)``."""
    is_right: NDArray[np.bool_]
    """Which of the candidates are right."""
    n_right: int
    """How many tools are right, those that are not among the candidates included."""


@dataclass(frozen=True, slots=True)
class ToolRefiner:
    """The weights; ``arrays`` and ``of`` take them to a file and back."""

    mean: Floats
    """Of each feature, over the examples."""
    scale: Floats
    """Standard deviation of each feature."""
    hidden: Floats
    """Of shape ``(N_FEATURES, hidden)``."""
    hidden_bias: Floats
    """Of shape ``(hidden,)``."""
    output: Floats
    """Of shape ``(hidden,)``."""
    masses: Floats
    """For each of ``RECALLS``, the share of probability that a selection must hold; above 1 for all tools."""

    def probabilities(self, features: Floats) -> Floats:
        """For each candidate the probability that, of a right tool drawn at random, it is that one."""
        known = _standardized(features, self.mean, self.scale)
        hidden = np.maximum(known @ self.hidden + self.hidden_bias, 0)
        return softmax(hidden @ self.output)

    def n_enough(self, ordered: Floats, recall: float) -> int | None:
        """How many of the candidates hold the wanted share of right tools; ``None`` if all of them do not.

        Args:
            ordered: probabilities, the highest first.
            recall: the share that is wanted, at most 1; that of the next higher threshold is used.
        """
        place = int(np.searchsorted(RECALLS, recall - 1e-9))
        if place == len(RECALLS) or self.masses[place] > 1:
            return None
        return _n_for_mass(ordered, float(self.masses[place]))

    def arrays(self) -> dict[str, Floats]:
        """All weights by name."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of(cls, arrays: Mapping[str, Floats]) -> ToolRefiner:
        """The refiner with these weights.

        Raises:
            KeyError: one is missing.
            ValueError: they do not fit together.
        """
        found = cls(**{name: arrays[name] for name in cls.__slots__})
        n_hidden = len(found.output)
        shapes = (found.mean.shape, found.scale.shape, found.hidden.shape, found.hidden_bias.shape)
        if shapes != ((N_FEATURES,), (N_FEATURES,), (N_FEATURES, n_hidden), (n_hidden,)):
            raise ValueError("the refiner's weights do not fit together")
        if len(found.masses) != len(RECALLS):
            raise ValueError("the refiner has another number of thresholds")
        return found


def train_refiner(folds: Sequence[Sequence[Example]], seed: int = 0) -> ToolRefiner:
    """A refiner from examples in folds; what it selects is calibrated on folds that were left out."""
    ordered: list[tuple[Floats, NDArray[np.bool_], int]] = []
    for number, left_out in enumerate(folds):
        others = [example for i, fold in enumerate(folds) if i != number for example in fold]
        refiner = _fit(others, seed, n_nets=1)
        for example in left_out:
            shares = refiner.probabilities(example.features)
            order = np.argsort(-shares, kind="stable")
            ordered.append((shares[order], example.is_right[order], example.n_right))
    final = _fit([example for fold in folds for example in fold], seed, n_nets=_NETS)
    return ToolRefiner(**{**final.arrays(), "masses": _calibrated(ordered)})


def _calibrated(ordered: Sequence[tuple[Floats, NDArray[np.bool_], int]]) -> Floats:
    """For each of ``RECALLS`` the smallest mass that reaches it; 2 where none does."""
    reached = [
        np.mean([right[: _n_for_mass(shares, mass)].sum() / n for shares, right, n in ordered])
        for mass in _MASSES
    ]
    found = [next((mass for mass, r in zip(_MASSES, reached, strict=True) if r >= w), 2.0) for w in RECALLS]
    return np.array(found, np.float32)


def _n_for_mass(ordered: Floats, mass: float) -> int:
    """How many of the ordered probabilities add up to ``mass``."""
    return min(int(np.searchsorted(np.cumsum(ordered), mass - 1e-6)) + 1, len(ordered))


def _fit(examples: Sequence[Example], seed: int, n_nets: int) -> ToolRefiner:
    """The mean of some nets, as one net with all their hidden units."""
    known = np.concatenate([example.features for example in examples])
    mean, scale = known.mean(axis=0), known.std(axis=0) + np.float32(1e-6)
    features, is_there, targets = _padded(examples, mean, scale)
    with one_thread():
        nets = [_fit_one(features, is_there, targets, seed + number) for number in range(n_nets)]
    hidden, bias, output = (np.concatenate(parts, axis=-1) for parts in zip(*nets, strict=True))
    return ToolRefiner(
        mean, scale, hidden, bias, (output / n_nets).astype(np.float32), np.zeros(len(RECALLS), np.float32)
    )


def _standardized(features: Floats, mean: Floats, scale: Floats) -> Floats:
    """Features in standard deviations; what is far beyond all examples is as what is just beyond them."""
    known: Floats = np.clip((features - mean) / scale, -_FARTHEST, _FARTHEST)
    return known


def _padded(
    examples: Sequence[Example], mean: Floats, scale: Floats
) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Features, which candidates there are, and what their probabilities should be, of one length for all."""
    right = [example for example in examples if example.is_right.any()]
    longest = max(len(example.features) for example in right)
    features = np.zeros((len(right), longest, N_FEATURES), np.float32)
    is_there = np.zeros((len(right), longest), bool)
    targets = np.zeros((len(right), longest), np.float32)
    for i, example in enumerate(right):
        n = len(example.features)
        features[i, :n] = _standardized(example.features, mean, scale)
        is_there[i, :n] = True
        targets[i, :n] = example.is_right / example.is_right.sum()
    return features, is_there, targets


def _fit_one(
    features: Floats, is_there: NDArray[np.bool_], targets: Floats, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Hidden weights, their biases, and output weights of one net, by the cross-entropy of its softmax."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(0, np.sqrt(2 / N_FEATURES), (N_FEATURES, _HIDDEN)).astype(np.float32)
    bias = np.zeros(_HIDDEN, np.float32)
    output = rng.normal(0, np.sqrt(1 / _HIDDEN), (_HIDDEN, 1)).astype(np.float32)
    adam = Adam([hidden, bias, output], _RATE, _DECAY)
    for epoch in range(_EPOCHS):
        adam.rate = _RATE * min(1.0, 2 * (1 - epoch / _EPOCHS))
        order = rng.permutation(len(features))
        for first in range(0, len(order), _BATCH):
            batch = order[first : first + _BATCH]
            x = features[batch].reshape(-1, N_FEATURES)
            active = np.maximum(x @ hidden + bias, 0)
            logits = (active @ output).reshape(len(batch), -1)
            error = softmax(np.where(is_there[batch], logits, np.float32(-np.inf))) - targets[batch]
            error = error.reshape(-1, 1) / np.float32(len(batch))
            inner = (error @ output.T) * (active > 0)
            adam.step([x.T @ inner, inner.sum(axis=0), active.T @ error])
    return hidden, bias, output[:, 0]
