"""The numbers of a comparison as text, the same on the terminal and in the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from plait.apps.evaluation._comparison import Comparison, Difference, Pair, TimeRatio
from plait.apps.evaluation._statistics import Interval
from plait.apps.evaluation._summary import GroupSummary, Latency, Percentiles, RunSummary, TokenSummary

NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    title: str
    cells: tuple[str, ...]
    """One for every run, or for every pair."""
    is_total: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Rows that belong together."""

    title: str
    note: str
    """What the cells are."""
    rows: tuple[Row, ...]


def total_names(comparison: Comparison) -> list[str]:
    """Names of the whole-set metrics of all runs."""
    return list(dict.fromkeys(name for run in comparison.runs for name in run.totals))


def letter(index: int) -> str:
    """What a run is called for short: A, B, ... Z, AA."""
    return (letter(index // 26 - 1) if index >= 26 else "") + chr(ord("A") + index % 26)


def run_sections(comparison: Comparison) -> list[Section]:
    """The tables with a column for every run; those with nothing to say are left out."""
    sections = [
        Section(f"Accuracy: {comparison.metric}", "percent, 95 % interval", tuple(_accuracy(comparison))),
        Section("Further scores", "mean, percent", tuple(_scores(comparison))),
        Section("Whole set", "percent, by the benchmark's own scorer", tuple(_totals(comparison))),
        Section("Failures", "items", tuple(_failures(comparison))),
        Section("Time", "seconds an item, p50 / p95", tuple(_times(comparison))),
        Section("Tokens and calls", "mean an item", tuple(_tokens(comparison))),
        Section("Cost", "dollars", tuple(_cost(comparison))),
    ]
    return [section for section in sections if section.rows]


def pair_section(comparison: Comparison) -> Section:
    """A column for every run but the first, against the first."""
    rows = [_pair_row(comparison, "items in common", lambda pair: str(pair.n_common))]
    rows += [
        _difference_row(comparison, "accuracy of A there", lambda d: percent(d.first_accuracy)),
        _difference_row(comparison, "its own there", lambda d: percent(d.other_accuracy)),
        _difference_row(comparison, "difference, points", lambda d: points(d.value), is_total=True),
        _difference_row(comparison, "95 % interval", lambda d: point_range(d.interval)),
        _difference_row(comparison, "p, exact McNemar", lambda d: p_text(d.p_value)),
    ]
    if len(comparison.pairs) > 1:
        rows.append(_difference_row(comparison, "p, by Holm", lambda d: p_text(d.p_adjusted)))
    rows.append(_pair_row(comparison, "only A is right", lambda pair: str(len(pair.only_first_right))))
    rows.append(_pair_row(comparison, "only it is right", lambda pair: str(len(pair.only_other_right))))
    rows += _time_rows(comparison, "wall time / A's", lambda pair: pair.time)
    rows += _time_rows(comparison, "same calls, 3 or more", lambda pair: pair.time_many_calls)
    rows += _time_rows(comparison, "until the last is done", lambda pair: pair.time_until_last_call)
    return Section("Against A", "on the items that both tried", tuple(rows))


def category_section(comparison: Comparison) -> Section:
    """The differences from the first run by category, in points, and their p-values."""
    return Section(
        "Against A by category",
        "points, p by exact McNemar and Holm",
        tuple(
            Row(name, tuple(_category_cell(pair, name) for pair in comparison.pairs))
            for name in (comparison.categories if len(comparison.categories) > 1 else ())
        ),
    )


def coverage_note(comparison: Comparison) -> str:
    """A warning where the runs did not try the same items; empty where they did."""
    counts = [run.overall.n for run in comparison.runs]
    if all(count == comparison.n_common for count in counts):
        return ""
    return (
        f"The runs did not try the same items: {comparison.n_common} are common to all. The columns are of "
        "each run's own items, the comparisons of common ones."
    )


def times_note(comparison: Comparison) -> str:
    """A warning where the runs' times cannot be compared; empty where they can."""
    reasons = []
    if any(run.n_at_once > 1 for run in comparison.runs):
        at_once = ", ".join(f"{run.n_at_once}" for run in comparison.runs)
        reasons.append(f"up to {at_once} items were tried at a time, and waited for each other")
    machines = {tuple(sorted(map(str, run.config.hardware.items()))) for run in comparison.runs}
    if len(machines) > 1:
        reasons.append("machines or versions of engines differ")
    return f"Times cannot be compared: {'; '.join(reasons)}." if reasons else ""


def percent(share: float | None) -> str:
    """``0.7333`` as ``73.3 %``."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


def percent_range(interval: Interval) -> str:
    """An interval of a proportion, in percent."""
    return f"{100 * interval.low:.1f}-{100 * interval.high:.1f}"


def points(difference: float) -> str:
    """A difference of two proportions, in points."""
    return f"{100 * difference + 0.0:+.1f}"


def point_range(interval: Interval) -> str:
    """An interval of a difference, in points."""
    return f"{points(interval.low)} to {points(interval.high)}"


def p_text(p_value: float) -> str:
    """A p-value."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def seconds(value: float) -> str:
    """A time with three digits that count."""
    return f"{value:.3f}" if value < 0.9995 else f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def _pair_row(comparison: Comparison, title: str, cell: Callable[[Pair], str]) -> Row:
    return Row(title, tuple(cell(pair) for pair in comparison.pairs))


def _difference_row(
    comparison: Comparison, title: str, cell: Callable[[Difference], str], *, is_total: bool = False
) -> Row:
    found = [pair.overall for pair in comparison.pairs]
    return Row(title, tuple(NOTHING if d is None else cell(d) for d in found), is_total)


def _category_cell(pair: Pair, name: str) -> str:
    found = next((d for d in pair.categories if d.category == name), None)
    return NOTHING if found is None else f"{points(found.value)} (p {_p_short(found.p_adjusted)})"


def _p_short(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"{p_value:.2g}" if p_value < 0.995 else "1"


def _accuracy(comparison: Comparison) -> Iterator[Row]:
    for name in comparison.categories:
        groups = [run.category(name) for run in comparison.runs]
        yield Row(_counted(name, groups), tuple(map(_accuracy_cell, groups)))
    totals = [run.overall for run in comparison.runs]
    yield Row(_counted("overall", totals), tuple(map(_accuracy_cell, totals)), is_total=True)
    if len(comparison.categories) > 1:
        yield Row("mean of categories", tuple(percent(run.macro_accuracy) for run in comparison.runs))


def _counted(name: str, groups: Iterable[GroupSummary | None]) -> str:
    counts = {group.n for group in groups if group is not None}
    return f"{name} ({'-'.join(map(str, sorted({min(counts), max(counts)})))})"


def _accuracy_cell(group: GroupSummary | None) -> str:
    return NOTHING if group is None else f"{percent(group.accuracy)}  {percent_range(group.interval)}"


def _scores(comparison: Comparison) -> Iterator[Row]:
    for name in comparison.scores:
        yield Row(
            name.replace("_", " "), tuple(percent(run.overall.scores.get(name)) for run in comparison.runs)
        )


def _totals(comparison: Comparison) -> Iterator[Row]:
    for name in total_names(comparison):
        cells = tuple(percent(run.totals.get(name)) for run in comparison.runs)
        yield Row(name.replace("_", " "), cells)


def _failures(comparison: Comparison) -> Iterator[Row]:
    yield _row(comparison, "ended in an error", lambda run: str(run.overall.n_errors))
    yield _row(comparison, "plan could not be read", lambda run: str(run.overall.n_unparsed))


def _times(comparison: Comparison) -> Iterator[Row]:
    parts: tuple[tuple[str, Callable[[Latency], Percentiles | None]], ...] = (
        ("total", lambda t: t.total),
        ("first call after", lambda t: t.first_call),
        ("last call done after", lambda t: t.last_call),
        ("planning", lambda t: t.plan),
        ("prefill", lambda t: t.prefill),
        ("decode", lambda t: t.decode),
        ("tools", lambda t: t.tools),
        ("joining", lambda t: t.join),
    )
    for title, part in parts:
        latencies = [run.overall.latency for run in comparison.runs]
        found = [None if latency is None else part(latency) for latency in latencies]
        if any(times is not None and times.p95_s > 0 for times in found):
            yield Row(title, tuple(map(_time_cell, found)), is_total=title == "total")


def _time_cell(times: Percentiles | None) -> str:
    return NOTHING if times is None else f"{seconds(times.p50_s)} / {seconds(times.p95_s)}"


def _tokens(comparison: Comparison) -> Iterator[Row]:
    yield _token_row(comparison, "prompt tokens", lambda t: f"{t.prompt:.0f}")
    yield _token_row(comparison, "from a cache", lambda t: percent(t.cached_share))
    yield _token_row(comparison, "written tokens", lambda t: f"{t.completion:.1f}")
    yield _token_row(comparison, "forced by grammar", lambda t: percent(t.forced_share))
    yield _token_row(comparison, "drafts accepted", lambda t: percent(t.draft_acceptance))
    yield _token_row(
        comparison, "written a second", lambda t: f"{t.decoded_per_s:.1f}" if t.decoded_per_s else NOTHING
    )
    yield _row(comparison, "model calls", lambda run: f"{run.overall.generations:.2f}")
    yield _row(comparison, "tool calls", lambda run: f"{run.overall.calls:.2f}")


def _cost(comparison: Comparison) -> Iterator[Row]:
    if any(run.overall.cost_usd is not None for run in comparison.runs):
        yield _row(comparison, "all items", lambda run: _dollars(run.overall.cost_usd))
        yield _row(
            comparison, "1,000 items", lambda run: _dollars(run.overall.cost_usd, 1000 / run.overall.n)
        )


def _dollars(cost: float | None, times: float = 1.0) -> str:
    return NOTHING if cost is None else f"{cost * times:.4f}" if cost * times < 1 else f"{cost * times:,.2f}"


def _row(comparison: Comparison, title: str, cell: Callable[[RunSummary], str]) -> Row:
    return Row(title, tuple(cell(run) for run in comparison.runs))


def _token_row(comparison: Comparison, title: str, cell: Callable[[TokenSummary], str]) -> Row:
    return _row(comparison, title, lambda run: cell(run.overall.tokens) if run.overall.tokens else NOTHING)


def _time_rows(comparison: Comparison, title: str, part: Callable[[Pair], TimeRatio | None]) -> Iterator[Row]:
    ratios = [part(pair) for pair in comparison.pairs]
    if any(ratios):
        yield Row(title, tuple(f"{r.of_sums:.2f} ({r.n} items)" if r else NOTHING for r in ratios))
        yield Row("  median of items", tuple(f"{r.median:.2f}" if r else NOTHING for r in ratios))
