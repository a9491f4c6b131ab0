"""What a run of ``plait eval plans`` got wrong: by number of calls, tool, style, and kind of mistake.

    plait eval plans benchmarks/assistant_dev.jsonl --model plait-tiny --out runs
    python benchmarks/plan_mistakes.py runs/plait-tiny-tuned
    python benchmarks/plan_mistakes.py runs/plait-tiny-tuned --json

A request counts as spoken if it has no capital letter and no punctuation, as voice transcripts have none.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from plait.apps.evaluation._statistics import wilson_interval

N_MOST = 12
_ARGUMENT = re.compile(r"(\w+) of \w+ is ")


@dataclass(frozen=True, slots=True)
class Share:
    """How many of some requests were planned right."""

    name: str
    n: int
    n_right: int
    n_arguments_right: int


@dataclass(frozen=True, slots=True)
class Mistakes:
    """Everything about one run."""

    by_calls: list[Share]
    by_style: list[Share]
    by_tool: list[Share]
    """A request counts for every tool of its right plan."""
    kinds: dict[str, int]
    """Of wrong plans."""
    missing: dict[str, int]
    """Calls of the right plan that are not there, by tool."""
    extra: dict[str, int]
    """Calls that the right plan has not, by tool."""
    arguments: dict[str, int]
    """The first wrong argument of plans with the right calls."""


def is_spoken(query: str) -> bool:
    """Whether the request reads like a voice transcript."""
    return query == query.lower() and not re.search(r"[.,;:!?\"]", query)


def tools_of(calls: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How often each tool is called."""
    return Counter(call["tool"] for call in calls)


def kind_of(item: Mapping[str, Any]) -> str:
    """What is wrong with a plan, in a few words."""
    wanted, got = tools_of(item["gold"]), tools_of(item["plan"] or [])
    if item["error"] or not item["parsed"]:
        return "no plan"
    if not wanted:
        return "calls something where nothing can be done"
    if not got:
        return "calls nothing"
    missing, extra = wanted - got, got - wanted
    if missing and extra:
        return "other tools"
    if missing or extra:
        return "calls missing" if missing else "calls too many"
    return "right tools, wrong references"


def share(name: str, items: Iterable[Mapping[str, Any]]) -> Share:
    """The share of right plans among ``items``."""
    found = list(items)
    n_right = sum(item["correct"] for item in found)
    return Share(name, len(found), n_right, sum(bool(item["scores"]["arguments_right"]) for item in found))


def mistakes_of(items: list[dict[str, Any]]) -> Mistakes:
    """What the run in ``items`` got wrong."""
    lengths = sorted({len(item["gold"]) for item in items})
    tools = sorted({tool for item in items for tool in tools_of(item["gold"])})
    wrong = [item for item in items if not item["correct"]]
    missing: Counter[str] = Counter()
    extra: Counter[str] = Counter()
    for item in wrong:
        wanted, got = tools_of(item["gold"]), tools_of(item["plan"] or [])
        missing += wanted - got
        extra += got - wanted
    off = [item for item in items if item["correct"] and not item["scores"]["arguments_right"]]
    named = [found[1] for item in off if (found := _ARGUMENT.match(item["detail"]))]
    return Mistakes(
        by_calls=[share(str(n), (item for item in items if len(item["gold"]) == n)) for n in lengths],
        by_style=[
            share(name, (item for item in items if is_spoken(item["query"]) is spoken))
            for name, spoken in (("written", False), ("spoken", True))
        ],
        by_tool=[share(tool, (item for item in items if tool in tools_of(item["gold"]))) for tool in tools],
        kinds=dict(Counter(map(kind_of, wrong)).most_common()),
        missing=dict(missing.most_common(N_MOST)),
        extra=dict(extra.most_common(N_MOST)),
        arguments=dict(Counter(named).most_common(N_MOST)),
    )


def shares_table(title: str, shares: Iterable[Share]) -> Table:
    """What a person reads of shares."""
    table = Table(title=title)
    for column in ("", "requests", "plan success", "95 %", "arguments right"):
        table.add_column(column, justify="right" if column else "left")
    for one in shares:
        interval = wilson_interval(one.n_right, one.n)
        table.add_row(
            one.name,
            str(one.n),
            f"{one.n_right / one.n:.0%}",
            f"{interval.low:.0%}-{interval.high:.0%}",
            f"{one.n_arguments_right / one.n:.0%}",
        )
    return table


def counts_table(title: str, counts: Mapping[str, int]) -> Table:
    """What a person reads of counts."""
    table = Table("", "times", title=title)
    for name, n in counts.items():
        table.add_row(name, str(n))
    return table


def main(
    run: Annotated[Path, typer.Argument(help="The folder of the run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a run got wrong."""
    lines = (run / "items.jsonl").read_text(encoding="utf-8").splitlines()
    items = [json.loads(line) for line in lines]
    if any(item["gold"] is None for item in items):
        raise typer.BadParameter(f"{run} was kept without its right plans; run plait eval plans again")
    found = mistakes_of(items)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
        return
    console = Console()
    console.print(shares_table("By calls of the right plan", found.by_calls))
    console.print(shares_table("By style", found.by_style))
    console.print(shares_table("By tool of the right plan", found.by_tool))
    console.print(counts_table("Wrong plans", found.kinds))
    console.print(counts_table("Calls missing", found.missing))
    console.print(counts_table("Calls too many", found.extra))
    console.print(counts_table("First wrong argument", found.arguments))


if __name__ == "__main__":
    typer.run(main)
