"""What a run came to, in numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from plait.apps.evaluation._folder import LoadedRun
from plait.apps.evaluation._nestful_data import Call
from plait.apps.evaluation._nestful_metrics import calls_of, official_scores
from plait.apps.evaluation._statistics import Interval, percentile, wilson_interval
from plait.apps.evaluation._types import ItemRecord, Prices, RunConfig, Times, TokenCounts, plan_of
from plait.errors import ConfigurationError

OVERALL = "overall"
"""What the group of all items is called."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of a time, in seconds."""

    p50_s: float
    p95_s: float
    mean_s: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Times of the items that were tried to their end."""

    total: Percentiles
    plan: Percentiles
    prefill: Percentiles
    """Until the first token, over all model calls of an item."""
    decode: Percentiles
    tools: Percentiles
    join: Percentiles
    first_call: Percentiles | None
    """From the start to the first call; ``None`` where no call was made."""
    last_call: Percentiles | None
    """From the start to the end of the last call."""


@dataclass(frozen=True, slots=True)
class TokenSummary:
    """Means of the items that were tried to their end, and shares of all their tokens."""

    prompt: float
    cached: float
    completion: float
    forced: float
    cached_share: float | None
    """Of the prompt tokens; ``None`` where there were none, as with the others."""
    forced_share: float | None
    """Of the completion tokens."""
    draft_acceptance: float | None
    """Of the drafted tokens."""
    decoded_per_s: float | None
    """Completion tokens a second of decoding."""


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """The items of one category, or all."""

    category: str
    n: int
    n_right: int
    n_errors: int
    """Items that failed with an error; they count as wrong."""
    n_unparsed: int
    """Items whose plan could not be read."""
    accuracy: float
    interval: Interval
    scores: dict[str, float]
    """Means of the benchmark's further metrics over the items that have them."""
    latency: Latency | None
    """``None`` where every item failed, as with ``tokens``."""
    tokens: TokenSummary | None
    generations: float
    """Model calls an item."""
    calls: float
    """Tool calls an item."""
    cost_usd: float | None
    """Of all items together; ``None`` where the run has no prices."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run."""

    label: str
    path: Path
    config: RunConfig
    overall: GroupSummary
    macro_accuracy: float
    """Mean of the categories' accuracies."""
    categories: tuple[GroupSummary, ...]
    """In the order of the items."""
    n_at_once: int
    """How many items were tried at a time, at most."""
    totals: Mapping[str, float]
    """Metrics from 0 to 1 of all items together that are no means of the items' own, by name; empty where
    the benchmark has none."""

    def category(self, name: str) -> GroupSummary | None:
        """The category of that name; ``None`` if the run tried none of its items."""
        return next((group for group in self.categories if group.category == name), None)


def summarize(run: LoadedRun) -> RunSummary:
    """The numbers of a run.

    Raises:
        ConfigurationError: it has no items.
    """
    records = list(run.items.values())
    if not records:
        raise ConfigurationError(
            f"{run.path} has no finished item yet; leave it out, or let plait eval fill it"
        )
    by_category: dict[str, list[ItemRecord]] = {}
    for record in records:
        by_category.setdefault(record.category, []).append(record)
    prices = run.config.prices
    groups = tuple(_group(name, members, prices) for name, members in by_category.items())
    return RunSummary(
        label=run.label,
        path=run.path,
        config=run.config,
        overall=_group(OVERALL, records, prices),
        macro_accuracy=fmean(group.accuracy for group in groups),
        categories=groups,
        n_at_once=max(record.workers for record in records),
        totals=_TOTALS.get(run.config.identity.benchmark, _no_totals)(records),
    )


def _group(category: str, records: Sequence[ItemRecord], prices: Prices | None) -> GroupSummary:
    n_right = sum(record.correct for record in records)
    ended = [record for record in records if record.error is None]
    return GroupSummary(
        category=category,
        n=len(records),
        n_right=n_right,
        n_errors=len(records) - len(ended),
        n_unparsed=sum(not record.parsed for record in records),
        accuracy=n_right / len(records),
        interval=wilson_interval(n_right, len(records)),
        scores=_mean_scores(records),
        latency=_latency([record.times for record in ended]) if ended else None,
        tokens=_tokens(ended) if ended else None,
        generations=fmean(
            len(record.generations) if record.model_calls is None else record.model_calls
            for record in records
        ),
        calls=fmean(record.n_calls for record in records),
        cost_usd=None if prices is None else sum(_cost(record.tokens, prices) for record in records),
    )


def _mean_scores(records: Iterable[ItemRecord]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for record in records:
        for name, value in record.scores.items():
            values.setdefault(name, []).append(value)
    return {name: fmean(found) for name, found in values.items()}


def _latency(times: Sequence[Times]) -> Latency:
    return Latency(
        total=_percentiles([t.total_s for t in times]),
        plan=_percentiles([t.plan_s for t in times]),
        prefill=_percentiles([t.prefill_s for t in times]),
        decode=_percentiles([t.decode_s for t in times]),
        tools=_percentiles([t.tools_s for t in times]),
        join=_percentiles([t.join_s for t in times]),
        first_call=_percentiles_if_any(t.first_call_s for t in times),
        last_call=_percentiles_if_any(t.last_call_s for t in times),
    )


def _percentiles_if_any(values: Iterable[float | None]) -> Percentiles | None:
    known = [value for value in values if value is not None]
    return _percentiles(known) if known else None


def _percentiles(values: Sequence[float]) -> Percentiles:
    return Percentiles(percentile(values, 50), percentile(values, 95), fmean(values))


def _tokens(records: Sequence[ItemRecord]) -> TokenSummary:
    def total(count: Callable[[TokenCounts], int]) -> int:
        return sum(count(record.tokens) for record in records)

    prompt, cached = total(lambda t: t.prompt), total(lambda t: t.cached)
    completion, forced = total(lambda t: t.completion), total(lambda t: t.forced)
    n = len(records)
    return TokenSummary(
        prompt=prompt / n,
        cached=cached / n,
        completion=completion / n,
        forced=forced / n,
        cached_share=_ratio(cached, prompt),
        forced_share=_ratio(forced, completion),
        draft_acceptance=_ratio(total(lambda t: t.accepted), total(lambda t: t.drafted)),
        decoded_per_s=_ratio(completion, sum(record.times.decode_s for record in records)),
    )


def _no_totals(records: Sequence[ItemRecord]) -> dict[str, float]:
    return {}


def _nestful_totals(records: Sequence[ItemRecord]) -> dict[str, float]:
    """What NESTFUL's own scorer gives for the whole set.

    An item that failed, or whose plan could not be read, has no calls.
    """
    return asdict(
        official_scores(
            (
                [Call.model_validate(call) for call in record.gold],
                calls_of(plan_of(record)) if record.error is None and record.parsed else [],
            )
            for record in records
        )
    )


_TOTALS: Mapping[str, Callable[[Sequence[ItemRecord]], dict[str, float]]] = {"nestful": _nestful_totals}
"""Whole-set metrics by the benchmark's name."""


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _cost(tokens: TokenCounts, prices: Prices) -> float:
    return (tokens.prompt * prices.prompt + tokens.completion * prices.completion) / 1e6
