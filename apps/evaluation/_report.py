"""A comparison as one HTML file that needs nothing else and asks nothing of the network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from plait._version import __version__
from plait.apps.evaluation import _charts, _dag, _report_style
from plait.apps.evaluation._charts import accuracy_chart, chip, distribution_chart, latency_chart
from plait.apps.evaluation._comparison import Comparison, compare
from plait.apps.evaluation._folder import LoadedRun
from plait.apps.evaluation._report_items import report_data
from plait.apps.evaluation._report_script import SCRIPT
from plait.apps.evaluation._run_facts import run_facts
from plait.apps.evaluation._tables import (
    NOTHING,
    Section,
    category_section,
    coverage_note,
    letter,
    p_text,
    pair_section,
    percent,
    percent_range,
    point_range,
    points,
    run_sections,
    seconds,
    times_note,
)
from plait.errors import ConfigurationError


def write_report(runs: Sequence[LoadedRun], path: Path) -> None:
    """Write the report of ``runs``, the first of which the others are compared with, to ``path``.

    Raises:
        ConfigurationError: the runs cannot be compared, or the file cannot be written.
    """
    page = report_html(runs)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigurationError(
            f"the report cannot be written to {path} ({error.strerror or error}); choose another file"
        ) from error


def report_html(runs: Sequence[LoadedRun]) -> str:
    """The report as text.

    Raises:
        ConfigurationError: the runs cannot be compared.
    """
    comparison = compare(runs)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    # Nothing may be loaded and no other script may run, whatever a model has written.
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    title = escape(f"plait eval {comparison.benchmark}")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_report_style.STYLE}{_charts.STYLE}{_dag.STYLE}</style>
</head>
<body>
<a class="skip" href="#items">To the items</a>
<div class="page">
{_header(comparison)}
<main>
{_result(comparison)}
{_time(comparison, runs)}
{_numbers(comparison)}
{_about(comparison)}
{_items(comparison)}
</main>
</div>
<script type="application/json" id="data">{embedded_json(report_data(runs))}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


def embedded_json(value: object) -> str:
    """``value`` as JSON that can stand in a script element: no character of markup is in it."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _header(comparison: Comparison) -> str:
    n_runs = len(comparison.runs)
    counts = [run.overall.n for run in comparison.runs]
    n_items = " to ".join(map(str, sorted({min(counts), max(counts)})))
    notes = filter(None, (coverage_note(comparison), times_note(comparison)))
    warnings = "".join(f'<p class="warn">{escape(note)}</p>' for note in notes)
    return f"""<header>
<h1>plait eval {escape(comparison.benchmark)}</h1>
<p>{escape(comparison.metric[:1].upper() + comparison.metric[1:])} of {n_items} items in {n_runs}
{"run" if n_runs == 1 else "runs"}; intervals are of 95 % confidence.
<span class="muted">Data and scoring {escape(comparison.fingerprint[:16])}; report of plait
{escape(__version__)}.</span></p>
{warnings}
<nav aria-label="Sections"><a href="#result">Result</a><a href="#time">Time</a>
<a href="#numbers">All numbers</a>
<a href="#about">What was run</a><a href="#items-title">Items</a></nav>
</header>"""


def _result(comparison: Comparison) -> str:
    rows = "".join(_overview_row(comparison, index) for index in range(len(comparison.runs)))
    columns = ["Accuracy", "95 % interval", "Time p50", "p95", "Prompt tokens", "Written", "Errors"]
    if comparison.pairs:
        columns[2:2] = ["Against A, points", "p"]
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("Run", *columns))
    return f"""<section aria-labelledby="result"><h2 id="result">Result</h2>
<div class="scroll" tabindex="0" role="group" aria-label="Overview"><table class="overview numbers">
<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>
<h3>Accuracy by category</h3>{accuracy_chart(comparison)}</section>"""


def _overview_row(comparison: Comparison, index: int) -> str:
    run = comparison.runs[index]
    latency, tokens = run.overall.latency, run.overall.tokens
    cells = [
        f"<b>{percent(run.overall.accuracy)}</b>",
        percent_range(run.overall.interval),
        *(_against_first(comparison, index) if comparison.pairs else []),
        f"{seconds(latency.total.p50_s)} s" if latency else NOTHING,
        f"{seconds(latency.total.p95_s)} s" if latency else NOTHING,
        f"{tokens.prompt:.0f}" if tokens else NOTHING,
        f"{tokens.completion:.0f}" if tokens else NOTHING,
        str(run.overall.n_errors),
    ]
    name = f"{chip(index)} {escape(run.label)}"
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _against_first(comparison: Comparison, index: int) -> list[str]:
    difference = comparison.pairs[index - 1].overall if index else None
    if difference is None:
        return [NOTHING, NOTHING]
    return [
        f"{points(difference.value)} <small>{point_range(difference.interval)}</small>",
        escape(p_text(difference.p_adjusted)),
    ]


def _time(comparison: Comparison, runs: Sequence[LoadedRun]) -> str:
    chips = " ".join(f"{chip(index)} {escape(run.label)}" for index, run in enumerate(comparison.runs))
    kinds = "".join(f'<span class="swatch {kind}"></span>{kind}' for kind in ("prefill", "decode", "tools"))
    return f"""<section aria-labelledby="time"><h2 id="time">Time</h2><div class="charts">
<div><h3>Where it goes: mean seconds an item</h3>{latency_chart(comparison)}
<p class="muted">{kinds}. Of all model calls; the line is the total, from which bars differ where parts
overlap or wait.</p></div>
<div><h3>How it spreads: share of items done after so many seconds</h3>{distribution_chart(runs)}
<p class="muted">{chips}. Lines rise from 0 to 100 %; the slowest 1 % is cut off.</p></div>
</div></section>"""


def _numbers(comparison: Comparison) -> str:
    tables = [_table(section, range(len(comparison.runs))) for section in run_sections(comparison)]
    if comparison.pairs:
        others = [pair.other for pair in comparison.pairs]
        tables += [
            _table(section, others) for section in (pair_section(comparison), category_section(comparison))
        ]
    return f"""<section aria-labelledby="numbers"><h2 id="numbers">All numbers</h2>
<div class="tables">{"".join(tables)}</div></section>"""


def _table(section: Section, runs: Sequence[int]) -> str:
    if not section.rows:
        return ""
    heads = "".join(f'<th scope="col">{chip(index)}</th>' for index in runs)
    rows = "".join(
        f'<tr{" class=sum" if row.is_total else ""}><th scope="row">{escape(row.title)}</th>'
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in row.cells)}</tr>"
        for row in section.rows
    )
    return f"""<div class="scroll" tabindex="0" role="group" aria-label="{escape(section.title)}">
<table class="numbers"><caption>{escape(section.title)}<span>{escape(section.note)}</span></caption>
<thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"""


def _about(comparison: Comparison) -> str:
    heads = "".join(f'<th scope="col">{chip(index)}</th>' for index in range(len(comparison.runs)))
    rows = "".join(_fact_row(name, cells) for name, cells in run_facts(comparison.runs))
    return f"""<section aria-labelledby="about"><h2 id="about">What was run</h2>
<div class="scroll" tabindex="0" role="group" aria-label="What was run"><table class="facts">
<thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table></div></section>"""


def _fact_row(name: str, cells: Sequence[str]) -> str:
    """What is the same in all runs is said once."""
    shown, span = (cells[:1], f' colspan="{len(cells)}"') if len(set(cells)) == 1 else (cells, "")
    kind = "code" if name in ("command", "model sha256", "prompt sha256") else "span"
    filled = "".join(f"<td{span}><{kind}>{escape(cell)}</{kind}></td>" for cell in shown)
    return f'<tr><th scope="row">{escape(name)}</th>{filled}</tr>'


def _items(comparison: Comparison) -> str:
    names = map(escape, comparison.categories)
    categories = "".join(f'<option value="{name}">{name}</option>' for name in names)
    wrong = "".join(
        f'<option value="{index}">{letter(index)} is wrong</option>' for index in range(len(comparison.runs))
    )
    heads = "".join(
        f'<th scope="col" class="verdict">{chip(index)}</th>' for index in range(len(comparison.runs))
    )
    return f"""<section aria-labelledby="items-title"><h2 id="items-title">Items</h2>
<form id="filter" role="search">
<label class="wide">Text in request, output or answer
<input name="text" type="search" autocomplete="off"></label>
<label>Category<select name="category"><option value="">all</option>{categories}</select></label>
<label>Verdict<select name="which"><option value="">all</option>
<option value="wrong">some run is wrong</option><option value="differ">runs differ</option>
<option value="error">ended in an error</option>{wrong}</select></label>
</form>
<div id="count" role="status"></div>
<noscript><p class="warn">The items need JavaScript; everything above does without.</p></noscript>
<table id="items"><caption class="sr">Every item with the verdict on each run</caption>
<thead><tr><th scope="col">Request</th>{heads}</tr></thead><tbody></tbody></table>
<button id="more" class="more" type="button" hidden>Show more</button></section>"""
