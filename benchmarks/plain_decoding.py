"""Plan success of plait's decoding (forced tokens and drafts) and of plain decoding, on the same requests.

    python benchmarks/plain_decoding.py benchmarks/assistant_dev.jsonl --out plain.jsonl --limit 60
    python benchmarks/plain_decoding.py benchmarks/assistant_dev.jsonl --out plain.jsonl     # and the rest

Both are greedy under the same grammar with the same weights and prompts, and take turns request by request.
In exact arithmetic their texts would be the same; on a real machine batches of other sizes round otherwise,
so that texts may differ where two tokens are nearly tied. What was tried is kept in ``--out``, and the same
command goes on with it. On two cores a request takes about 20 s with Qwen2.5-Coder-1.5B.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer
from engine import without_forced_tokens
from rich.console import Console
from rich.progress import track
from rich.table import Table

from plait.apps._examples import assistant_examples
from plait.apps.evaluation._plans import PlansBenchmark
from plait.apps.evaluation._sixteen import assistant_toolbox
from plait.apps.evaluation._statistics import bootstrap_interval, mcnemar_p, wilson_interval
from plait.apps.evaluation._trial import Trial
from plait.apps.evaluation._types import Item, ItemRecord
from plait.models import LlamaModel, resolve

WAYS = ("plait", "plain")


def main(
    file: Annotated[Path, typer.Argument(help="Requests with plans, as JSON lines.")],
    out: Annotated[Path, typer.Option(help="Where what was tried is kept.")],
    model: Annotated[str, typer.Option(help="A catalog name or a GGUF file.")] = "qwen2.5-coder-1.5b",
    limit: Annotated[int | None, typer.Option(help="So many requests, drawn at random.", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare both ways of decoding."""
    benchmark = PlansBenchmark(file, assistant_toolbox(), assistant_examples())
    items = list(benchmark.items())
    Random(1).shuffle(items)
    found = (
        {line["id"]: line for line in map(json.loads, out.read_text().splitlines())} if out.exists() else {}
    )
    wanted = items[:limit]
    left = [item for item in wanted if item.id not in found]
    if left:
        with out.open("a", encoding="utf-8") as kept, asyncio.Runner() as runner:
            path = resolve(model)
            models = {way: LlamaModel(path, name=model, drafts=way == "plait") for way in WAYS}
            for item in track(left, "requests", console=Console(stderr=True)):
                line = {way: _tried(benchmark, models[way], item, way, runner) for way in WAYS}
                kept.write(json.dumps({"id": item.id, **line}) + "\n")
                kept.flush()
                found[item.id] = {"id": item.id, **line}
            for loaded in models.values():
                runner.run(loaded.aclose())
    report = _report([found[item.id] for item in wanted])
    if as_json:
        print(json.dumps({"model": model, **report}, indent=2))
        return
    table = Table("measured", model)
    for name, value in report.items():
        table.add_row(name, value if isinstance(value, str) else str(value))
    Console().print(table)


def _tried(
    benchmark: PlansBenchmark, model: LlamaModel, item: Item, way: str, runner: asyncio.Runner
) -> dict[str, Any]:
    plainly: AbstractContextManager[None] = without_forced_tokens() if way == "plain" else nullcontext()
    with plainly:
        record: ItemRecord = runner.run(Trial(benchmark, model, "compiler").attempt(item))
    return {"correct": record.correct, "text": "".join(g.output for g in record.generations)}


def _report(lines: list[dict[str, Any]]) -> dict[str, Any]:
    n = len(lines)
    right = {way: sum(line[way]["correct"] for line in lines) for way in WAYS}
    only = {
        way: sum(line[way]["correct"] and not line[other]["correct"] for line in lines)
        for way, other in (WAYS, WAYS[::-1])
    }
    difference = bootstrap_interval(only["plain"], only["plait"], n)
    return {
        "requests": n,
        **{
            f"{way}: plan success": f"{right[way] / n:.1%} ({_ends(wilson_interval(right[way], n))})"
            for way in WAYS
        },
        "texts that differ": sum(line["plait"]["text"] != line["plain"]["text"] for line in lines),
        "right only in one way": f"plait {only['plait']}, plain {only['plain']}",
        "difference": f"{(only['plait'] - only['plain']) / n:+.1%} ({_ends(difference)})",
        "exact McNemar p": round(mcnemar_p(only["plait"], only["plain"]), 3),
    }


def _ends(interval: Any) -> str:
    return f"{interval.low:.1%} to {interval.high:.1%}"


if __name__ == "__main__":
    typer.run(main)
