"""What a batch of n tokens costs on this machine."""

from __future__ import annotations

import bisect
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

BATCH_SIZES = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class BatchCost:
    """Seconds that batches of some sizes take; between them it interpolates.

    A larger batch never costs less than a smaller one: measurements that say so are noise and are raised.
    Beyond the largest size the slope of the last two goes on.

    Raises:
        ValueError: the sizes do not begin with 1 and rise, or a time is not positive.
    """

    sizes: tuple[int, ...]
    """Tokens, rising from 1; at least two sizes."""
    seconds: tuple[float, ...]
    """What a batch of each size takes."""

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in itertools.pairwise(self.sizes))
        if len(self.sizes) < 2 or self.sizes[0] != 1 or not rising or len(self.sizes) != len(self.seconds):
            raise ValueError(f"sizes must rise from 1 and have a time each: {self.sizes}, {self.seconds}")
        if not all(math.isfinite(s) and s > 0 for s in self.seconds):
            raise ValueError(f"times must be positive seconds: {self.seconds}")
        object.__setattr__(self, "seconds", tuple(itertools.accumulate(self.seconds, max)))

    def __call__(self, n_tokens: int) -> float:
        """Seconds of a batch of ``n_tokens``."""
        at = min(max(bisect.bisect_left(self.sizes, n_tokens), 1), len(self.sizes) - 1)
        low, high = self.sizes[at - 1], self.sizes[at]
        slope = (self.seconds[at] - self.seconds[at - 1]) / (high - low)
        return self.seconds[at - 1] + slope * (n_tokens - low)

    @property
    def least_slope(self) -> float:
        """Seconds that one more token costs where it costs least."""
        points = list(zip(self.sizes, self.seconds, strict=True))
        return min((b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(points))


def measure_batch_costs(
    decode: Callable[[int], object],
    *,
    sizes: Sequence[int] = BATCH_SIZES,
    rounds: int = 3,
    budget_s: float = 5.0,
    clock: Callable[[], float] = time.perf_counter,
) -> BatchCost:
    """Measure what batches cost: the least of a few rounds, in each of which every size has its turn.

    Whatever else runs on the machine only adds to it.

    Args:
        decode: decodes a batch of so many tokens behind a prompt of usual length, with the logits of every
            token, as verification does, and forgets them again.
        sizes: in tokens, rising from 1.
        rounds: how often; after ``budget_s`` seconds no further one begins.
        budget_s: see ``rounds``.
        clock: gives seconds.
    """
    decode(sizes[-1])  # the first call of each kind allocates
    decode(1)
    times: list[list[float]] = [[] for _ in sizes]
    began = clock()
    for _ in range(rounds):
        for size, taken in zip(sizes, times, strict=True):
            before = clock()
            decode(size)
            taken.append(clock() - before)
        if clock() - began > budget_s:
            break
    return BatchCost(tuple(sizes), tuple(min(taken) for taken in times))
