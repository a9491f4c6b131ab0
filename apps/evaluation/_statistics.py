"""How sure a measurement is: intervals, paired tests and percentiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

_Z_95 = 1.959963984540054
_RESAMPLES = 10_000
_SEED = 20_240


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the true value lies with 95 % confidence."""

    low: float
    high: float


def wilson_interval(n_right: int, n: int) -> Interval:
    """The 95 % score interval of a proportion; nothing tried tells nothing, from 0 to 1.

    E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference, Journal of
    the American Statistical Association 22. It holds for small samples and near 0 and 1 too.

    Raises:
        ValueError: more are right than there are, or a count is negative.
    """
    if not 0 <= n_right <= n:
        raise ValueError(f"{n_right} of {n} is no proportion")
    if n == 0:
        return Interval(0.0, 1.0)
    share, z2 = n_right / n, _Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if n_right == 0 else centre - half
    high = 1.0 if n_right == n else centre + half
    return Interval(max(0.0, low), min(1.0, high))


def mcnemar_p(n_only_first: int, n_only_other: int) -> float:
    """The two-sided p-value that two methods, tried on the same items, are right equally often.

    Only items on which they differ tell something; under the null hypothesis each is a fair coin. Exact
    form of Q. McNemar (1947), Note on the sampling error of the difference between correlated
    proportions or percentages, Psychometrika 12. The sum is of integers, so that thousands of items
    neither overflow nor round.

    Raises:
        ValueError: a count is negative.
    """
    if n_only_first < 0 or n_only_other < 0:
        raise ValueError(f"{n_only_first} and {n_only_other} are no counts")
    n = n_only_first + n_only_other
    ways = tail = 1
    for k in range(min(n_only_first, n_only_other)):
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return min(1.0, float(Fraction(2 * tail, 1 << n)))


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """The p-values of several tests, corrected for their number, in their order.

    S. Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def bootstrap_interval(n_only_first: int, n_only_other: int, n: int) -> Interval:
    """The 95 % interval of the difference in accuracy (other less first) on ``n`` common items.

    Paired percentile bootstrap, B. Efron and R. Tibshirani (1993), An Introduction to the Bootstrap,
    chapter 13. An item's difference is -1, 0 or 1, so to draw ``n`` items with replacement is to draw
    their three counts from a multinomial distribution. The seed is fixed: the same runs give the same
    interval.

    Raises:
        ValueError: there are no items, or more differ than there are.
    """
    if n <= 0 or min(n_only_first, n_only_other) < 0 or n_only_first + n_only_other > n:
        raise ValueError(f"{n_only_first} and {n_only_other} of {n} are no counts of items")
    shares = np.array([n_only_first, n_only_other, n - n_only_first - n_only_other]) / n
    counts = np.random.default_rng(_SEED).multinomial(n, shares, size=_RESAMPLES)
    low, high = np.percentile((counts[:, 1] - counts[:, 0]) / n, [2.5, 97.5])
    return Interval(float(low), float(high))


def percentile(values: Sequence[float], q: float) -> float:
    """The ``q``-th percentile, linear between the two nearest values.

    Definition 7 of R. Hyndman and Y. Fan (1996), Sample quantiles in statistical packages, The American
    Statistician 50.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values have no percentile")
    return float(np.percentile(np.asarray(values, dtype=float), q))
