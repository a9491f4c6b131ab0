"""Seconds to the first text of an answer in a new process, without and with the prefix cache on disk.

    python benchmarks/prefix_cache.py                      SmolLM2; takes a few minutes
    python benchmarks/prefix_cache.py --model FILE.gguf    others; give it several times
    python benchmarks/prefix_cache.py --json               the same as JSON, with the machine it ran on

Each number is the median of several rounds. Each round starts a process of its own, and each asks something
else; "filling" is the one that finds the cache empty, and so shows what storing costs, "with" the next one on
the same day, "next day" the first of another day, whose date is not in the cache. Files are read from
the system's file cache, as they were written shortly before. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from plait import __version__
from plait.apps.evaluation._sixteen import assistant_toolbox
from plait.models import Grammar, LlamaModel, Message, load_model
from plait.planners import CompilerPlanner, PlanContext
from plait.planners._prompts import describe_day, join_instructions, join_request
from plait.tools import Toolbox

Mode = Literal["without", "filling", "with", "next day"]
MODES: tuple[Mode, ...] = ("without", "filling", "with", "next day")
PROMPTS = ("planner, 16 tools", "planner, 4 tools", "joiner")
QUERIES = (
    "What is the phone number of Ada Moreno, and when do we meet?",
    "Remind me to water the plants tomorrow at eight.",
    "Put the minutes of Friday's meeting into my notes.",
    "Write to Boris that I shall be ten minutes late.",
    "Find the lease and tell me when it ends.",
    "Plan a dinner with Ada and Boris on Saturday at seven.",
)
NOW = datetime(2026, 3, 4, 9, 12)
RATIOS = ("ratio", "next_day_ratio", "prefill_ratio")


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process took."""

    load_s: float
    """Seconds to load the model."""
    first_text_s: float
    """Seconds from the request to the first text of its answer."""
    prefill_s: float
    """Of these, seconds for the prompt; the rest is preparing the grammar and the first decoded token."""
    prompt_tokens: int
    restored_tokens: int


@dataclass(frozen=True, slots=True)
class Row:
    """The medians of one prompt with one model."""

    model: str
    prompt: str
    prompt_tokens: int
    restored_tokens: int
    load_s: float
    without_s: float
    filling_s: float
    with_s: float
    next_day_s: float
    without_prefill_s: float
    with_prefill_s: float
    file_bytes: int

    @property
    def ratio(self) -> float:
        """How many times as long the first text takes without the cache."""
        return self.without_s / self.with_s

    @property
    def next_day_ratio(self) -> float:
        """The same where the cache was filled on another day."""
        return self.without_s / self.next_day_s

    @property
    def prefill_ratio(self) -> float:
        """The same for the prompt alone, on the same day."""
        return self.without_prefill_s / self.with_prefill_s


def request(
    model: LlamaModel, prompt: str, query: str, now: datetime
) -> tuple[list[Message], Grammar | None]:
    """The messages and the grammar of one request."""
    context = PlanContext(query, now=now)
    if prompt == "joiner":
        return [Message.instructions(join_instructions(may_replan=True)), _asking(context)], None
    tools = list(assistant_toolbox())
    planner = CompilerPlanner(model, Toolbox(tools if "16" in prompt else tools[:4]))
    return planner.messages(context), planner.grammar(context)


def _asking(context: PlanContext) -> Message:
    return Message("user", join_request(context), daily_chars=len(describe_day(context.now)))


def measure_here(name: str, prompt: str, query: str, now: datetime) -> Sample:
    """One request in this process, which has loaded nothing yet; the environment says which cache."""
    began = time.perf_counter()
    model = load_model(name, context_length=4096)
    loaded = time.perf_counter()
    messages, grammar = request(model, prompt, query, now)

    async def first_text() -> Sample:
        asked = time.perf_counter()
        generation = model.stream(messages, grammar=grammar, max_tokens=4)
        await anext(aiter(generation))
        first_s = time.perf_counter() - asked
        await generation.text()
        await model.aclose()
        usage = generation.usage
        return Sample(loaded - began, first_s, usage.prefill_s, usage.prompt_tokens, usage.restored_tokens)

    return asyncio.run(first_text())


def measure(name: str, prompt: str, query: str, now: datetime, cache: str) -> Sample:
    """The same in a new process."""
    done = subprocess.run(
        [sys.executable, __file__, "--model", name, "--one", f"{prompt}|{query}|{now.isoformat()}"],
        env={**os.environ, "PLAIT_PREFIX_CACHE": cache, "OMP_WAIT_POLICY": "passive"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Sample(**json.loads(done.stdout))


def rows_of(name: str, rounds: int) -> Iterator[Row]:
    """Each prompt's row; modes take turns, so that what else the machine does hits all of them."""
    for prompt in PROMPTS:
        samples: dict[Mode, list[Sample]] = {mode: [] for mode in MODES}
        file_bytes = 0
        for n in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                for i, mode in enumerate(MODES):
                    query = QUERIES[(2 * n + i) % len(QUERIES)]
                    cache = "off" if mode == "without" else folder
                    now = NOW + timedelta(days=mode == "next day", minutes=7 * i)
                    samples[mode].append(measure(name, prompt, query, now, cache))
                file_bytes = sum(file.stat().st_size for file in Path(folder).iterdir())
        yield Row(
            model=Path(name).stem if name.endswith(".gguf") else name,
            prompt=prompt,
            prompt_tokens=samples["with"][-1].prompt_tokens,
            restored_tokens=samples["with"][-1].restored_tokens,
            load_s=statistics.median(s.load_s for found in samples.values() for s in found),
            without_s=statistics.median(s.first_text_s for s in samples["without"]),
            filling_s=statistics.median(s.first_text_s for s in samples["filling"]),
            with_s=statistics.median(s.first_text_s for s in samples["with"]),
            next_day_s=statistics.median(s.first_text_s for s in samples["next day"]),
            without_prefill_s=statistics.median(s.prefill_s for s in samples["without"]),
            with_prefill_s=statistics.median(s.prefill_s for s in samples["with"]),
            file_bytes=file_bytes,
        )


def table_of(rows: list[Row]) -> Table:
    """The rows as a table."""
    table = Table(title="Seconds to the first text in a new process (median)")
    for column in ("model", "prompt"):
        table.add_column(column)
    columns = (
        "tokens",
        "from disk",
        "file MB",
        "load",
        "without",
        "filling",
        "with",
        "ratio",
        "next day",
        "ratio",
        "prompt alone",
    )
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.model,
            row.prompt,
            str(row.prompt_tokens),
            str(row.restored_tokens),
            f"{row.file_bytes / 1e6:.1f}",
            *(f"{s:.3f}" for s in (row.load_s, row.without_s, row.filling_s, row.with_s)),
            f"{row.ratio:.1f}",
            f"{row.next_day_s:.3f}",
            f"{row.next_day_ratio:.1f}",
            f"{row.prefill_ratio:.1f} ({row.without_prefill_s:.3f} / {row.with_prefill_s:.3f})",
        )
    return table


def machine() -> dict[str, str]:
    """Where the numbers come from."""
    import llama_cpp

    return {
        "plait": __version__,
        "llama-cpp-python": llama_cpp.__version__,
        "Python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load average": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
    }


def main(
    model: Annotated[list[str] | None, typer.Option(help="A catalog name or a GGUF file.")] = None,
    rounds: Annotated[int, typer.Option(help="How often each is measured.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    one: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure what the prefix cache saves."""
    models = model or ["smollm2-135m"]
    if one is not None:
        prompt, query, now = one.split("|")
        print(json.dumps(asdict(measure_here(models[0], prompt, query, datetime.fromisoformat(now)))))
        return
    where = machine()
    rows: list[Row] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("prompts", total=len(models) * len(PROMPTS))
        for name in models:
            for row in rows_of(name, rounds):
                rows.append(row)
                progress.advance(bar)
    if as_json:
        report = [{**asdict(row), **{name: getattr(row, name) for name in RATIOS}} for row in rows]
        print(json.dumps({"machine": where, "rows": report}, indent=2, ensure_ascii=False))
        return
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table_of(rows))
    console.print(", ".join(f"{key} {value}" for key, value in where.items()))


if __name__ == "__main__":
    typer.run(main)
