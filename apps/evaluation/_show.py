"""Runs beside each other: on a terminal, as CSV, as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from plait.apps._output import printable
from plait.apps.evaluation._calls import gold_calls, planned_calls
from plait.apps.evaluation._comparison import Comparison, DifferingItem, Outcome
from plait.apps.evaluation._summary import GroupSummary, Percentiles, RunSummary
from plait.apps.evaluation._tables import (
    Row,
    Section,
    category_section,
    coverage_note,
    letter,
    pair_section,
    run_sections,
    times_note,
    total_names,
)

CSV_COLUMNS = (
    "run", "path", "benchmark", "fingerprint", "metric", "model", "quantization", "planner", "plait_version",
    "category", "n", "n_right", "n_errors", "n_unparsed", "accuracy", "accuracy_low", "accuracy_high",
    "total_p50_s", "total_p95_s", "plan_p50_s", "plan_p95_s", "prefill_p50_s", "prefill_p95_s",
    "decode_p50_s", "decode_p95_s", "tools_p50_s", "tools_p95_s", "join_p50_s", "join_p95_s",
    "first_call_p50_s", "first_call_p95_s", "last_call_p50_s", "last_call_p95_s", "prompt_tokens",
    "cached_tokens", "completion_tokens", "forced_tokens", "cached_share", "forced_share",
    "draft_acceptance", "decoded_per_s", "generations", "calls", "cost_usd",
)  # fmt: skip
"""The columns of every CSV, in order; after them ``score.NAME`` for each further metric of the benchmark,
and ``total.NAME`` for each of the whole set, which only the row ``overall`` has.

Accuracies, shares and scores are from 0 to 1, tokens are means an item; what is unknown is empty.
"""

_TITLE_WIDTH, _CELL_WIDTH = 22, 19
_GAP = 2
_COLOURS = ("cyan", "yellow", "magenta", "green", "blue", "red")


def render(comparison: Comparison, console: Console, differences: int = 10) -> None:
    """Print tables, and at most ``differences`` of the items on which runs differ.

    Where the columns do not fit beside each other, there are more tables below each other.
    """
    _heading(comparison, console)
    for section in run_sections(comparison):
        _section(console, section, list(range(len(comparison.runs))))
    if comparison.pairs:
        others = [pair.other for pair in comparison.pairs]
        _section(console, pair_section(comparison), others)
        _section(console, category_section(comparison), others)
    if differences > 0 and comparison.differing:
        _differences(comparison, console, differences)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON types."""
    document: dict[str, Any] = TypeAdapter(Comparison).dump_python(comparison, mode="json")
    return document


def as_csv(comparison: Comparison) -> str:
    """One row for each run and category, ``overall`` among them; the columns are ``CSV_COLUMNS``."""
    text = io.StringIO()
    columns = [
        *CSV_COLUMNS,
        *(f"score.{name}" for name in comparison.scores),
        *(f"total.{name}" for name in total_names(comparison)),
    ]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for run in comparison.runs:
        for group in run.categories:
            writer.writerow(_csv_row(run, group))
        totals = {f"total.{name}": _rounded(value) for name, value in run.totals.items()}
        writer.writerow({**_csv_row(run, run.overall), **totals})
    return text.getvalue()


def _csv_row(run: RunSummary, group: GroupSummary) -> dict[str, Any]:
    identity = run.config.identity
    return {
        "run": run.path.name,
        "path": str(run.path),
        "benchmark": identity.benchmark,
        "fingerprint": identity.fingerprint,
        "metric": run.config.metric,
        "model": identity.model.name,
        "quantization": identity.model.quantization,
        "planner": identity.planner,
        "plait_version": identity.plait_version,
        "category": group.category,
        "n": group.n,
        "n_right": group.n_right,
        "n_errors": group.n_errors,
        "n_unparsed": group.n_unparsed,
        "accuracy": _rounded(group.accuracy),
        "accuracy_low": _rounded(group.interval.low),
        "accuracy_high": _rounded(group.interval.high),
        "generations": _rounded(group.generations),
        "calls": _rounded(group.calls),
        "cost_usd": _rounded(group.cost_usd),
        **dict(_csv_times(group)),
        **dict(_csv_tokens(group)),
        **{f"score.{name}": _rounded(value) for name, value in group.scores.items()},
    }


def _csv_times(group: GroupSummary) -> Iterator[tuple[str, float | None]]:
    for part in ("total", "plan", "prefill", "decode", "tools", "join", "first_call", "last_call"):
        times: Percentiles | None = getattr(group.latency, part, None)
        if times is not None:
            yield f"{part}_p50_s", _rounded(times.p50_s)
            yield f"{part}_p95_s", _rounded(times.p95_s)


def _csv_tokens(group: GroupSummary) -> Iterator[tuple[str, float | None]]:
    if group.tokens is not None:
        for part in ("prompt", "cached", "completion", "forced"):
            yield f"{part}_tokens", _rounded(getattr(group.tokens, part))
        for part in ("cached_share", "forced_share", "draft_acceptance", "decoded_per_s"):
            yield part, _rounded(getattr(group.tokens, part))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _heading(comparison: Comparison, console: Console) -> None:
    console.print(Text(printable(comparison.benchmark), style="bold"))
    for index, run in enumerate(comparison.runs):
        identity = run.config.identity
        facts = [
            identity.model.quantization,
            f"plait {identity.plait_version}",
            f"tools of {identity.tool_latency_s:g} s" if identity.execute else None,
            f"{run.overall.n} items",
            _short_path(run, comparison.runs),
        ]
        text = Text.assemble(
            (letter(index), f"bold {_colour(index)}"),
            "  ",
            printable(run.label),
            (printable(f"  {', '.join(fact for fact in facts if fact)}"), "dim"),
        )
        _paragraph(console, text)
    for note in (coverage_note(comparison), times_note(comparison)):
        if note:
            _paragraph(console, Text(note, style="yellow"))


def _short_path(run: RunSummary, runs: Sequence[RunSummary]) -> str:
    """The end of the run's path that no other run has."""
    parts = run.path.parts
    others = [other.path.parts for other in runs if other is not run]
    lengths = range(1, len(parts) + 1)
    n = next((n for n in lengths if all(other[-n:] != parts[-n:] for other in others)), len(parts))
    return str(Path(*parts[-n:]))


def _section(console: Console, section: Section, runs: Sequence[int]) -> None:
    """One table, or several where the runs' columns do not fit beside each other."""
    if not section.rows:
        return
    widest = max(len(cell) for row in section.rows for cell in row.cells)
    # Columns stand below those of the table above, unless the terminal is too narrow for that.
    width = _CELL_WIDTH if _n_fitting(console, _CELL_WIDTH) >= len(runs) else widest
    n_columns = _n_fitting(console, width)
    for begin in range(0, len(runs), n_columns):
        table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, _GAP - 1, 0, 0), show_edge=False)
        table.add_column(Text(printable(section.title), style="bold"), overflow="fold", width=_TITLE_WIDTH)
        for index in runs[begin : begin + n_columns]:
            heading = Text(letter(index), style=f"bold {_colour(index)}")
            table.add_column(heading, justify="right", min_width=width, no_wrap=True)
        for row in section.rows:
            table.add_row(*_cells(row, begin, n_columns), style="bold" if row.is_total else "")
        console.print()
        console.print(table)
    _paragraph(console, Text(section.note, style="dim"))


def _n_fitting(console: Console, width: int) -> int:
    """How many columns of ``width`` fit beside the titles; at least one."""
    return max(1, (console.width - _TITLE_WIDTH) // (width + _GAP))


def _cells(row: Row, begin: int, n_columns: int) -> list[Text]:
    return [Text(printable(text)) for text in (row.title, *row.cells[begin : begin + n_columns])]


def _differences(comparison: Comparison, console: Console, limit: int) -> None:
    shown = comparison.differing[:limit]
    n = len(comparison.differing)
    console.print()
    which = f"{n}" if len(shown) == n else f"the first {len(shown)} of {n}"
    console.print(Text(f"Items on which runs differ: {which}", style="bold"))
    for item in shown:
        console.print()
        _item(item, console)


def _item(item: DifferingItem, console: Console) -> None:
    heading = Text.assemble((printable(item.id), "bold"), (printable(f"  {item.category}"), "dim"))
    _paragraph(console, heading)
    _paragraph(console, Text(printable(" ".join(item.query.split()))), 2)
    gold = gold_calls(item.gold)
    if gold is not None:
        _paragraph(console, Text("right plan", style="dim"), 2)
        _plan([str(call) for call in gold], console)
    elif item.gold is not None:
        _paragraph(console, Text("right answer", style="dim"), 2)
        told = item.gold if isinstance(item.gold, str) else json.dumps(item.gold, ensure_ascii=False)
        _plan([told], console)
    for index, outcome in enumerate(item.outcomes):
        if outcome is not None:
            _outcome(index, outcome, console)


def _outcome(index: int, outcome: Outcome, console: Console) -> None:
    why = outcome.error or outcome.detail
    verdict = ("right", "green") if outcome.correct else ("wrong", "red")
    heading = Text.assemble((letter(index), f"bold {_colour(index)}"), " ", verdict)
    if why and not outcome.correct:
        heading.append(printable(f": {' '.join(why.split())}"))
    _paragraph(console, heading, 2)
    _plan([str(call) for call in planned_calls(outcome.plan)], console)


def _plan(lines: Sequence[str], console: Console) -> None:
    for line in lines or ["no calls"]:
        _paragraph(console, Text(printable(line), style="" if lines else "dim"), 4)


def _paragraph(console: Console, text: Text, indent: int = 0) -> None:
    """A text that wraps on a terminal and stays on one line in a pipe."""
    if console.is_terminal:
        console.print(Padding(text, (0, 0, 0, indent), expand=False))
    else:
        console.print(" " * indent, text, sep="", soft_wrap=True)


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]
