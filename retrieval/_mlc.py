"""Multi-label classification: vectors of tools, moved from centroids to where requests tell them apart.

MLC after Tool2Vec (arXiv 2409.02141), as a linear classifier over the encoder's vectors: which tools a
request uses is the softmax over its products with the tools' vectors. Trained in numpy, with Adam.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.retrieval._adam import Adam
from plait.retrieval._centroids import centroids_of
from plait.retrieval._entries import Entries
from plait.retrieval._types import Vectors

_SHARPNESS = np.float32(20)  # what products, which are between -1 and 1, are multiplied with
_EPOCHS = 8
_BATCH = 256
_RATE = 2e-3
_STAY = 2e-4  # how strongly vectors are drawn back to the centroids


def train_mlc(entries: Entries, vectors: Vectors, seed: int = 0) -> Vectors:
    """The tools' vectors, of shape ``(tools, dimension)``, learnt from usages and from the tools' own texts.

    Args:
        entries: tools and usages.
        vectors: of all texts, in the order of ``entries.texts``.
        seed: of the order in which texts are seen.
    """
    start = centroids_of(entries, vectors)
    targets = _targets(entries)
    weights = start.copy()
    adam = Adam([weights], _RATE)
    rng = np.random.default_rng(seed)
    for _ in range(_EPOCHS if len(entries.tools) > 1 else 0):
        order = rng.permutation(len(vectors))
        for first in range(0, len(order), _BATCH):
            batch = order[first : first + _BATCH]
            error = softmax(_SHARPNESS * (vectors[batch] @ weights.T))
            for row, text in zip(error, batch.tolist(), strict=True):
                tools = targets[text]
                row[tools] -= np.float32(1 / len(tools))
            gradient = _SHARPNESS / np.float32(len(batch)) * (error.T @ vectors[batch])
            adam.step([gradient + np.float32(_STAY) * (weights - start)])
    return weights


def softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shares that add up to 1 in each row; what is ``-inf`` has none."""
    shares: NDArray[np.float32] = np.exp(values - values.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return shares


def _targets(entries: Entries) -> list[list[int]]:
    """For each text the tools that it is of."""
    own = [[number] for number in range(len(entries.tools))]
    return own + [[entries.numbers[name] for name in usage.tools] for usage in entries.usages]
