"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

_K = 60  # the paper's: how little the first places of one ranking count against agreement of several

T = TypeVar("T", bound=Hashable)


def fuse(rankings: Iterable[Iterable[T]]) -> list[tuple[T, float]]:
    """What stands in any of the rankings with its fused score, the best first.

    Of equal scores, what an earlier ranking has comes first.
    """
    scores: dict[T, float] = {}
    for ranking in rankings:
        for place, found in enumerate(ranking, 1):
            scores[found] = scores.get(found, 0.0) + 1 / (_K + place)
    return sorted(scores.items(), key=lambda entry: -entry[1])
