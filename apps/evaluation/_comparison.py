"""Runs of one benchmark beside each other, and each against the first, item by item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import median
from typing import Any

from plait.apps.evaluation._folder import LoadedRun
from plait.apps.evaluation._statistics import Interval, bootstrap_interval, holm_adjusted, mcnemar_p
from plait.apps.evaluation._summary import OVERALL, RunSummary, summarize
from plait.apps.evaluation._types import ItemRecord, PlannedCall, Times
from plait.errors import ConfigurationError

_MANY_CALLS = 3
"""From this number on, calls in parallel pay."""


@dataclass(frozen=True, slots=True)
class Difference:
    """In accuracy, on the items of a category, or all, that both runs tried."""

    category: str
    n: int
    first_accuracy: float
    other_accuracy: float
    value: float
    """Other less first, from -1 to 1."""
    n_only_first: int
    """Items that only the first run got right."""
    n_only_other: int
    p_value: float
    """Exact McNemar test; not corrected for the number of tests."""
    p_adjusted: float
    """By Holm: for all runs if it is overall, for all runs and categories if it is a category's."""
    interval: Interval
    """Of the difference, by a paired bootstrap."""


@dataclass(frozen=True, slots=True)
class TimeRatio:
    """Wall time of the other run to that of the first; below 1 the other is faster."""

    n: int
    """Items that both tried to their end."""
    of_sums: float
    median: float
    """Of the items' own ratios."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A run against the first."""

    other: int
    """Its index in ``Comparison.runs``."""
    n_common: int
    overall: Difference | None
    """``None`` where the two have no item in common."""
    categories: tuple[Difference, ...]
    only_first_right: tuple[str, ...]
    """Identifiers of items."""
    only_other_right: tuple[str, ...]
    time: TimeRatio | None
    time_many_calls: TimeRatio | None
    """On the items where both made the same number of calls, and at least three."""
    time_until_last_call: TimeRatio | None
    """The same until the last call was done: without the time that answers take."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run made of an item."""

    correct: bool
    detail: str
    error: str | None
    plan: tuple[PlannedCall, ...]


@dataclass(frozen=True, slots=True)
class DifferingItem:
    """An item that some runs got right and others did not."""

    id: str
    category: str
    query: str
    gold: Any
    outcomes: tuple[Outcome | None, ...]
    """One for every run; ``None``: the run did not try it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs of one benchmark."""

    benchmark: str
    fingerprint: str
    metric: str
    runs: tuple[RunSummary, ...]
    categories: tuple[str, ...]
    """Of all runs."""
    scores: tuple[str, ...]
    """Names of the further metrics of all runs."""
    n_common: int
    """Items that every run tried."""
    pairs: tuple[Pair, ...]
    """Every run but the first, against the first."""
    differing: tuple[DifferingItem, ...]


def compare(runs: Sequence[LoadedRun]) -> Comparison:
    """Compare runs; the first is what the others are measured against.

    Raises:
        ConfigurationError: there is no run, one has no items, or they are of different benchmarks or
            different versions of one.
    """
    if not runs:
        raise ConfigurationError("no run was given; give the folders that plait eval wrote to")
    for other in runs[1:]:
        _check_comparable(runs[0], other)
    summaries = tuple(summarize(run) for run in runs)
    identity = runs[0].config.identity
    return Comparison(
        benchmark=identity.benchmark,
        fingerprint=identity.fingerprint,
        metric=runs[0].config.metric,
        runs=summaries,
        categories=_in_order(group.category for summary in summaries for group in summary.categories),
        scores=_in_order(name for summary in summaries for name in summary.overall.scores),
        n_common=len(set.intersection(*(set(run.items) for run in runs))),
        pairs=_adjusted([_pair(runs[0], run, index) for index, run in enumerate(runs[1:], 1)]),
        differing=_differing(runs),
    )


def _check_comparable(first: LoadedRun, other: LoadedRun) -> None:
    one, two = first.config.identity, other.config.identity
    if one.benchmark != two.benchmark:
        raise ConfigurationError(
            f"{first.path} is a run of {one.benchmark} and {other.path} one of {two.benchmark}, which cannot "
            "be compared; give runs of one benchmark"
        )
    if one.fingerprint != two.fingerprint:
        raise ConfigurationError(
            f"{first.path} and {other.path} are runs of {one.benchmark} with different data or scoring "
            f"({one.fingerprint} and {two.fingerprint}), which cannot be compared; run one of them anew"
        )


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _pair(first: LoadedRun, other: LoadedRun, index: int) -> Pair:
    both = [(record, other.items[id_]) for id_, record in first.items.items() if id_ in other.items]
    many = [(a, b) for a, b in both if a.n_calls == b.n_calls >= _MANY_CALLS]
    categories = _in_order(a.category for a, _ in both)
    return Pair(
        other=index,
        n_common=len(both),
        overall=_difference(OVERALL, both) if both else None,
        categories=tuple(_difference(c, [(a, b) for a, b in both if a.category == c]) for c in categories),
        only_first_right=tuple(a.id for a, b in both if a.correct and not b.correct),
        only_other_right=tuple(b.id for a, b in both if b.correct and not a.correct),
        time=_time_ratio(both, _total),
        time_many_calls=_time_ratio(many, _total),
        time_until_last_call=_time_ratio(many, _until_last_call),
    )


def _difference(category: str, both: Sequence[tuple[ItemRecord, ItemRecord]]) -> Difference:
    n = len(both)
    n_only_first = sum(a.correct and not b.correct for a, b in both)
    n_only_other = sum(b.correct and not a.correct for a, b in both)
    p_value = mcnemar_p(n_only_first, n_only_other)
    return Difference(
        category=category,
        n=n,
        first_accuracy=sum(a.correct for a, _ in both) / n,
        other_accuracy=sum(b.correct for _, b in both) / n,
        value=(n_only_other - n_only_first) / n,
        n_only_first=n_only_first,
        n_only_other=n_only_other,
        p_value=p_value,
        p_adjusted=p_value,
        interval=bootstrap_interval(n_only_first, n_only_other, n),
    )


def _total(times: Times) -> float:
    return times.total_s


def _until_last_call(times: Times) -> float:
    return times.last_call_s or 0.0


def _time_ratio(
    both: Sequence[tuple[ItemRecord, ItemRecord]], seconds: Callable[[Times], float]
) -> TimeRatio | None:
    # What failed may have ended early, and a time of nothing has no ratio.
    ended = [(seconds(a.times), seconds(b.times)) for a, b in both if a.error is None and b.error is None]
    times = [(a, b) for a, b in ended if a > 0 and b > 0]
    if not times:
        return None
    return TimeRatio(
        len(times), sum(b for _, b in times) / sum(a for a, _ in times), median(b / a for a, b in times)
    )


def _adjusted(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs with p-values that are corrected for how many there are."""
    overall = iter(holm_adjusted([pair.overall.p_value for pair in pairs if pair.overall]))
    each = iter(holm_adjusted([d.p_value for d in chain.from_iterable(pair.categories for pair in pairs)]))
    return tuple(
        replace(
            pair,
            overall=pair.overall and replace(pair.overall, p_adjusted=next(overall)),
            categories=tuple(replace(difference, p_adjusted=next(each)) for difference in pair.categories),
        )
        for pair in pairs
    )


def _differing(runs: Sequence[LoadedRun]) -> tuple[DifferingItem, ...]:
    found = []
    for id_ in _in_order(id_ for run in runs for id_ in run.items):
        records = [run.items.get(id_) for run in runs]
        known = [record for record in records if record is not None]
        if len({record.correct for record in known}) > 1:
            outcomes = tuple(None if record is None else _outcome(record) for record in records)
            item = known[0]
            found.append(DifferingItem(id_, item.category, item.query, item.gold, outcomes))
    return tuple(found)


def _outcome(record: ItemRecord) -> Outcome:
    error = None if record.error is None else f"{record.error.type}: {record.error.message}"
    return Outcome(record.correct, record.detail, error, tuple(record.plan))
