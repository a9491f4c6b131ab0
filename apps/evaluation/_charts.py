"""Charts of a comparison as inline SVG, whose places are percents, so that they fit any width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from plait.apps.evaluation._comparison import Comparison
from plait.apps.evaluation._folder import LoadedRun
from plait.apps.evaluation._statistics import percentile
from plait.apps.evaluation._summary import GroupSummary
from plait.apps.evaluation._tables import NOTHING, letter, percent, percent_range, seconds

STYLE = """
.chart { margin: 0; }
.chart svg { display: block; width: 100%; overflow: visible; }
.chart .lane { display: grid; grid-template-columns: 11rem minmax(0, 1fr) 8.5rem; gap: 0 .8rem;
  padding: .3rem 0; border-top: 1px solid var(--line); }
.chart .name { overflow-wrap: anywhere; }
.chart .values { font-variant-numeric: tabular-nums; line-height: 18px; font-size: .8rem; text-align: right; }
.chart .values div { white-space: nowrap; }
.chart .axis { position: relative; height: 1.3rem; font-size: .72rem; color: var(--muted); }
.chart .axis span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.chart .axis span:first-child { transform: none; }
.chart .axis span:last-child { transform: translateX(-100%); }
.grid { stroke: var(--line); }
.whisker { stroke-width: 2; opacity: .5; }
.step { fill: none; stroke-width: 1.8; }
.prefill { fill: var(--prefill); } .decode { fill: var(--decode); } .tools { fill: var(--tools); }
.total { stroke: var(--text); stroke-width: 2; }
.swatch { display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin: 0 .35em 0 .9em; }
.swatch.prefill { background: var(--prefill); } .swatch.decode { background: var(--decode); }
.swatch.tools { background: var(--tools); }
@media (max-width: 640px) {
  .chart .lane { grid-template-columns: minmax(0, 1fr) 7.6rem; }
  .chart .name { grid-column: 1 / -1; }
}
"""
N_COLOURS = 6
_LANE = 18
_STEPS = 200
_QUARTERS = (0, 25, 50, 75, 100)


def chip(index: int) -> str:
    """The letter of a run in the run's colour."""
    return f'<span class="chip r{index % N_COLOURS}">{letter(index)}</span>'


def accuracy_chart(comparison: Comparison) -> str:
    """Accuracy and its interval of every run, by category."""
    rows = [(name, [run.category(name) for run in comparison.runs]) for name in comparison.categories]
    rows.append(("overall", [run.overall for run in comparison.runs]))
    lanes = "".join(_accuracy_lane(name, groups) for name, groups in rows)
    ticks = "".join(f'<span style="left:{x}%">{x} %</span>' for x in _QUARTERS)
    axis = f'<div class="lane"><div class="name"></div><div class="axis">{ticks}</div><div></div></div>'
    return f'<figure class="chart">{lanes}{axis}</figure>'


def latency_chart(comparison: Comparison) -> str:
    """The mean time of an item by what it was spent on, a bar for every run."""
    latencies = [run.overall.latency for run in comparison.runs]
    ends = [max(t.total.mean_s, t.prefill.mean_s + t.decode.mean_s + t.tools.mean_s) for t in latencies if t]
    longest = max(ends, default=0.0) or 1.0
    lanes = []
    for index, run in enumerate(comparison.runs):
        times = run.overall.latency
        if times is None:
            continue
        parts = (("prefill", times.prefill), ("decode", times.decode), ("tools", times.tools))
        bars, x = [], 0.0
        for kind, part in parts:
            width = 100 * part.mean_s / longest
            bars.append(f'<rect class="{kind}" x="{x:.2f}%" y="3" width="{width:.2f}%" height="14"/>')
            x += width
        at = f"{100 * times.total.mean_s / longest:.2f}%"
        bars.append(f'<line class="total" x1="{at}" x2="{at}" y1="0" y2="20"/>')
        said = ", ".join(
            f"{kind} {seconds(part.mean_s)} s" for kind, part in (*parts, ("total", times.total))
        )
        name = f"{chip(index)} {escape(run.label)}"
        lanes.append(_lane(name, _svg(20, said, "".join(bars)), [f"{seconds(times.total.mean_s)} s"]))
    return f'<figure class="chart">{"".join(lanes)}</figure>'


def distribution_chart(runs: Sequence[LoadedRun]) -> str:
    """Which share of the items took no longer than so many seconds, a line for every run."""
    times = [[r.times.total_s for r in run.items.values() if r.error is None] for run in runs]
    longest = max((percentile(values, 99) for values in times if values), default=0.0)
    if longest <= 0:
        return ""
    lines = "".join(
        f'<path class="step s{index % N_COLOURS}" vector-effect="non-scaling-stroke" '
        f'd="{_steps(values, longest)}"/>'
        for index, values in enumerate(times)
        if values
    )
    grid = "".join(
        f'<line class="grid" vector-effect="non-scaling-stroke" x1="0" x2="1000" y1="{y}" y2="{y}"/>'
        for y in (0, 50, 100, 150, 200)
    )
    ticks = "".join(
        f'<span style="left:{x}%">{seconds(longest * x / 100) if x else 0} s</span>' for x in _QUARTERS
    )
    return (
        f'<figure class="chart"><svg height="200" viewBox="0 0 1000 200" preserveAspectRatio="none" '
        f'role="img" aria-label="Share of items by the time they took">{grid}{lines}</svg>'
        f'<div class="axis">{ticks}</div></figure>'
    )


def _steps(values: Sequence[float], longest: float) -> str:
    points = (
        (min(1000.0, 1000 * percentile(values, 100 * k / _STEPS) / longest), 200 - 200 * k / _STEPS)
        for k in range(_STEPS + 1)
    )
    return "M" + "L".join(f"{x:.1f} {y:.0f}" for x, y in points)


def _accuracy_lane(name: str, groups: Sequence[GroupSummary | None]) -> str:
    marks = "".join(_marks(groups))
    values = [
        f"{chip(index)} {NOTHING if group is None else f'{percent(group.accuracy)}'} "
        f"<small>{'' if group is None else percent_range(group.interval)}</small>"
        for index, group in enumerate(groups)
    ]
    said = ", ".join(
        f"{letter(index)} {percent(group.accuracy)}"
        for index, group in enumerate(groups)
        if group is not None
    )
    return _lane(escape(name), _svg(len(groups) * _LANE, said, marks), values)


def _marks(groups: Sequence[GroupSummary | None]) -> Iterator[str]:
    height = len(groups) * _LANE
    for x in _QUARTERS:
        yield f'<line class="grid" x1="{x}%" x2="{x}%" y1="0" y2="{height}"/>'
    for index, group in enumerate(groups):
        if group is not None:
            y, kind = index * _LANE + _LANE / 2, f"s{index % N_COLOURS}"
            low, high = 100 * group.interval.low, 100 * group.interval.high
            yield f'<line class="whisker {kind}" x1="{low:.2f}%" x2="{high:.2f}%" y1="{y}" y2="{y}"/>'
            yield f'<circle class="f{index % N_COLOURS}" cx="{100 * group.accuracy:.2f}%" cy="{y}" r="4.5"/>'


def _lane(name: str, svg: str, values: Sequence[str]) -> str:
    listed = "".join(f"<div>{value}</div>" for value in values)
    return f'<div class="lane"><div class="name">{name}</div>{svg}<div class="values">{listed}</div></div>'


def _svg(height: int, said: str, content: str) -> str:
    return f'<svg height="{height}" role="img" aria-label="{escape(said)}">{content}</svg>'
