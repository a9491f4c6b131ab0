"""The vectors of tools: means of the vectors of the texts that stand for them."""

from __future__ import annotations

import numpy as np

from plait.retrieval._bert import normalized
from plait.retrieval._entries import Entries
from plait.retrieval._types import Vectors


def centroids_of(entries: Entries, vectors: Vectors) -> Vectors:
    """For each tool the normalized mean of the vectors of its text and of its usages."""
    n_tools = len(entries.tools)
    texts, tools = (column[n_tools:] for column in entries.points)
    order = np.argsort(tools, kind="stable")
    texts, tools = texts[order], tools[order]
    places = np.arange(len(tools)) - np.searchsorted(tools, tools)  # of a usage among those of its tool
    sums = vectors[:n_tools].copy()
    for place in range(int(places.max(initial=-1)) + 1):
        now = places == place  # at most one usage of each tool, so that none is lost in the sum
        sums[tools[now]] += vectors[texts[now]]
    return normalized(sums)
