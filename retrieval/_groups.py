"""Which tools belong together, so that prompts for similar requests can begin alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from plait.retrieval._blas import one_thread
from plait.retrieval._entries import Entries
from plait.retrieval._types import Vectors

_MAX_TOOLS = 8  # of a group: what a prompt lists for the sake of one of them
_NEIGHBOURS = 8  # of each tool that it may be joined with for resemblance
_MIN_CLOSENESS = 0.4
_ROWS_AT_ONCE = 1024


def grouped(entries: Entries, centroids: Vectors) -> tuple[tuple[str, ...], ...]:
    """Groups of at most eight tools, each tool in one; names and groups in alphabetical order.

    The closest are joined first, as long as their groups together are small enough. How close two tools are:
    the cosine of their centroids, and the share of the usages of the rarer one that are of both. The same
    entries and vectors always give the same groups.

    Args:
        entries: tools and usages.
        centroids: the tools' vectors, of shape ``(tools, dimension)``, each of length 1.
    """
    closeness = _alike(centroids)
    for (one, other), share in _together(entries):
        cosine = closeness.get((one, other), float(centroids[one] @ centroids[other]))
        closeness[one, other] = cosine + share
    group_of = list(range(len(entries.tools)))
    members = {number: [number] for number in group_of}
    for (one, other), _ in sorted(closeness.items(), key=lambda entry: (-round(entry[1], 4), entry[0])):
        if closeness[one, other] < _MIN_CLOSENESS:
            break
        into, gone = group_of[one], group_of[other]
        if into != gone and len(members[into]) + len(members[gone]) <= _MAX_TOOLS:
            members[into] += members.pop(gone)
            for number in members[into]:
                group_of[number] = into
    names = (tuple(sorted(entries.tools[number].name for number in group)) for group in members.values())
    return tuple(sorted(names))


def _alike(centroids: Vectors) -> dict[tuple[int, int], float]:
    """The cosines of each tool with its nearest neighbours, by pairs of numbers, the lower first."""
    n_tools = len(centroids)
    n_nearest = min(_NEIGHBOURS, n_tools - 1)
    if n_nearest < 1:
        return {}
    found: dict[tuple[int, int], float] = {}
    with one_thread():
        for start in range(0, n_tools, _ROWS_AT_ONCE):
            cosines = centroids[start : start + _ROWS_AT_ONCE] @ centroids.T
            rows = np.arange(len(cosines))
            cosines[rows, start + rows] = -np.inf
            nearest = np.argpartition(-cosines, n_nearest - 1, axis=1)[:, :n_nearest]
            for row, others in enumerate(nearest.tolist()):
                for other in others:
                    pair = (min(start + row, other), max(start + row, other))
                    found[pair] = float(cosines[row, other])
    return found


def _together(entries: Entries) -> Iterator[tuple[tuple[int, int], float]]:
    """Pairs of tools that a usage has, with the share of the usages of the rarer one that have both."""
    n_usages: Counter[int] = Counter()
    n_common: Counter[tuple[int, int]] = Counter()
    for usage in entries.usages:
        numbers = sorted(entries.numbers[name] for name in usage.tools)
        n_usages.update(numbers)
        n_common.update(combinations(numbers, 2))
    for (one, other), n in n_common.items():
        yield (one, other), n / min(n_usages[one], n_usages[other])
