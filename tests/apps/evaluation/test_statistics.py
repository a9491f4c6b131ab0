import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.apps.evaluation._statistics import (
    bootstrap_interval,
    holm_adjusted,
    mcnemar_p,
    percentile,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("n_right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)],
)
def test_wilson_intervals_are_those_of_newcombes_table(n_right: int, n: int, low: float, high: float) -> None:
    interval = wilson_interval(n_right, n)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@given(st.integers(0, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_wilson_interval_holds_the_proportion_and_stays_between_0_and_1(counts: tuple[int, int]) -> None:
    n_right, n = counts
    interval = wilson_interval(n_right, n)
    assert 0 <= interval.low <= interval.high <= 1
    if n:
        assert interval.low <= n_right / n <= interval.high


@pytest.mark.parametrize(("n_right", "n"), [(3, 2), (-1, 2), (0, -1)])
def test_an_impossible_proportion_is_refused(n_right: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no proportion"):
        wilson_interval(n_right, n)


@pytest.mark.parametrize(
    ("first", "other", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (10, 2, 0.0385742), (6, 6, 1.0), (121, 59, 4.434e-6)],
)
def test_the_exact_mcnemar_test_gives_the_binomial_p_value(first: int, other: int, p: float) -> None:
    assert mcnemar_p(first, other) == pytest.approx(p, rel=1e-3)
    assert mcnemar_p(other, first) == mcnemar_p(first, other)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_p_is_the_sum_of_both_tails(first: int, other: int) -> None:
    n = first + other
    tail = sum(Fraction(math.comb(n, k), 2**n) for k in range(min(first, other) + 1))
    assert mcnemar_p(first, other) == pytest.approx(float(min(Fraction(1), 2 * tail)))


def test_mcnemar_neither_overflows_nor_vanishes_with_thousands_of_items() -> None:
    assert mcnemar_p(2500, 2500) == 1.0
    assert 0 < mcnemar_p(2650, 2350) < 1e-4
    assert mcnemar_p(5000, 0) == 0.0


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="no counts"):
        mcnemar_p(-1, 3)


def test_holm_corrects_the_smallest_most_and_keeps_the_order() -> None:
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_adjusted([0.7, 0.9]) == [1.0, 1.0]
    assert holm_adjusted([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_makes_a_p_value_smaller(p_values: list[float]) -> None:
    adjusted = holm_adjusted(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))


def test_the_bootstrap_interval_is_that_of_a_normal_where_there_are_many_items() -> None:
    interval = bootstrap_interval(100, 150, 1000)
    error = math.sqrt((0.25 - 0.05**2) / 1000)
    assert interval.low == pytest.approx(0.05 - 1.96 * error, abs=0.002)
    assert interval.high == pytest.approx(0.05 + 1.96 * error, abs=0.002)


def test_the_bootstrap_gives_the_same_interval_every_time() -> None:
    assert bootstrap_interval(7, 12, 80) == bootstrap_interval(7, 12, 80)


def test_runs_that_agree_everywhere_have_an_interval_of_nothing() -> None:
    interval = bootstrap_interval(0, 0, 40)
    assert (interval.low, interval.high) == (0.0, 0.0)


@pytest.mark.parametrize("counts", [(0, 0, 0), (3, 3, 5), (-1, 0, 5)])
def test_a_bootstrap_of_impossible_counts_is_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no counts of items"):
        bootstrap_interval(*counts)


def test_percentiles_lie_between_the_two_nearest_values() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile([1.0, 2.0, 3.0, 4.0], 95) == pytest.approx(3.85)
    assert percentile([7.0], 95) == 7.0


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentile([], 50)
