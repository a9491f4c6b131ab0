"""The vectors of tools: means of the vectors of the texts that stand for them."""

from __future__ import annotations

import numpy as np

from plait.retrieval._bert import lengths_of
from plait.retrieval._entries import Entries
from plait.retrieval._types import Vectors


def centroids_of(entries: Entries, vectors: Vectors) -> Vectors:
    """For each tool the normalized mean of the vectors of its text and of its usages."""
    return normalized_sums(entries, vectors)[0]


def normalized_sums(entries: Entries, vectors: Vectors) -> tuple[Vectors, Vectors]:
    """As :func:`centroids_of`, and the lengths of the sums of these vectors, of shape ``(tools,)``."""
    n_tools = len(entries.tools)
    texts, tools = (column[n_tools:] for column in entries.points)
    order = np.argsort(tools, kind="stable")
    texts, tools = texts[order], tools[order]
    places = np.arange(len(tools)) - np.searchsorted(tools, tools)  # of a usage among those of its tool
    sums = vectors[:n_tools].copy()
    for place in range(int(places.max(initial=-1)) + 1):
        now = places == place  # at most one usage of each tool, so that none is lost in the sum
        sums[tools[now]] += vectors[texts[now]]
    lengths = lengths_of(sums)
    sums /= lengths[:, None]
    return sums, lengths
