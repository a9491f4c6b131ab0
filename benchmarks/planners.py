"""Planners side by side: seconds from request to finished plan, memory, tokens, plan success.

    python benchmarks/planners.py                                        the three of docs/training.md
    python benchmarks/planners.py smollm2-135m run/adapter.gguf:tuned    others, as MODEL or MODEL:PLANNER
    python benchmarks/planners.py run/adapter.gguf:tuned:free            without the grammar
    python benchmarks/planners.py --requests 100 --json                  more requests, as JSON

Requests are drawn from ``assistant_dev.jsonl``, the same for all. Every contender runs in a process of its
own, one after another, and is warm: a request that is not counted comes first, so that the static part of
the prompt is in memory. Peak memory is that of the process, with the model's file as far as it was read, and
with the context that the model has if nobody asks for another.
Run it on a machine that does nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from plait import Agent
from plait.apps._examples import assistant_examples
from plait.apps.evaluation._requests import Request, read_requests
from plait.apps.evaluation._scoring import score_plan
from plait.apps.evaluation._sixteen import assistant_defaults, assistant_toolbox
from plait.apps.evaluation._statistics import percentile, wilson_interval
from plait.apps.evaluation._values import ASSISTANT_RULES
from plait.models import ChatModel, Generation, GrammarKind, Message, load_model

REQUESTS = Path(__file__).with_name("assistant_dev.jsonl")
CONTENDERS = ("plait-tiny", "smollm2-135m:compact", "qwen2.5-coder-1.5b:compiler")
FREE = "free"
"""Says that the grammar is left off."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one contender did."""

    name: str
    n_requests: int
    p50_s: float
    p95_s: float
    n_successes: int
    n_arguments_right: int
    prompt_tokens: float
    """Mean, of which the static part is computed once."""
    written_tokens: float
    """Mean."""
    peak_bytes: int


class Unconstrained:
    """A model that enforces no grammar."""

    grammar_kind: GrammarKind | None = None

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self.name = model.name
        self.context_length = model.context_length

    def count_tokens(self, messages: Sequence[Message], **options: Any) -> int:
        """The model's count."""
        return self._model.count_tokens(messages, **options)

    def stream(self, messages: Sequence[Message], **options: Any) -> Generation:
        """The model's answer, free of any grammar."""
        return self._model.stream(messages, **{**options, "grammar": None})

    async def aclose(self) -> None:
        """Release the model."""
        await self._model.aclose()


def drawn(n: int, seed: int) -> list[Request]:
    """The requests that count."""
    found = read_requests(REQUESTS, assistant_toolbox())
    return Random(seed).sample(found, min(n, len(found)))


async def measure(contender: str, requests: Sequence[Request]) -> Row:
    """Plan all ``requests`` in this process."""
    name, _, rest = contender.partition(":")
    planner, _, freedom = rest.partition(":")
    model: ChatModel = load_model(name)
    if freedom == FREE:
        model = Unconstrained(model)
    toolbox = assistant_toolbox()
    seconds: list[float] = []
    scores = []
    prompt = written = 0
    now = None
    agent = Agent(
        model,
        toolbox,
        planner=planner or None,
        examples=assistant_examples(),
        now=lambda: now or requests[0].now,
    )
    async with agent:
        await agent.plan("Hello")
        for request in track(requests, description=contender, console=Console(stderr=True), transient=True):
            now = request.now
            began = perf_counter()
            run = await agent.plan(request.query)
            seconds.append(perf_counter() - began)
            rules = {"complete": assistant_defaults, "rules": ASSISTANT_RULES}
            scores.append(None if run.error else score_plan(request.plan, run.plan, toolbox, **rules))
            prompt += run.usage.prompt_tokens
            written += run.usage.completion_tokens
    n = len(requests)
    return Row(
        contender,
        n,
        percentile(seconds, 50),
        percentile(seconds, 95),
        sum(score is not None and score.success for score in scores),
        sum(score is not None and score.arguments_right for score in scores),
        prompt / n,
        written / n,
        peak_bytes(),
    )


def peak_bytes() -> int:
    """The most that this process has had in memory."""
    try:  # what getrusage says has the parent process in it
        return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_own_process(contender: str, requests: int, seed: int) -> Row:
    """:func:`measure` in another process, without what earlier ones left on disk."""
    done = subprocess.run(
        [sys.executable, __file__, contender, "--requests", str(requests), "--seed", str(seed), "--alone"],
        env={**os.environ, "PLAIT_PREFIX_CACHE": "off"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Row(**json.loads(done.stdout))


def table_of(rows: Sequence[Row]) -> Table:
    """What a person reads."""
    table = Table(title=f"{rows[0].n_requests} requests, one at a time, warm")
    table.add_column("model")
    for column in ("p50 s", "p95 s", "plan success", "95 %", "arguments", "prompt", "written", "peak MB"):
        table.add_column(column, justify="right")
    for row in rows:
        interval = wilson_interval(row.n_successes, row.n_requests)
        table.add_row(
            row.name,
            f"{row.p50_s:.2f}",
            f"{row.p95_s:.2f}",
            f"{row.n_successes / row.n_requests:.1%}",
            f"{interval.low:.0%}-{interval.high:.0%}",
            f"{row.n_arguments_right / row.n_requests:.1%}",
            f"{row.prompt_tokens:.0f}",
            f"{row.written_tokens:.0f}",
            f"{row.peak_bytes / 1e6:.0f}",
        )
    return table


def main(
    contenders: Annotated[
        list[str] | None, typer.Argument(help="MODEL, MODEL:PLANNER or MODEL:PLANNER:free")
    ] = None,
    requests: Annotated[int, typer.Option(help="How many requests.", min=1)] = 50,
    seed: Annotated[int, typer.Option(help="Which requests.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    alone: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Measure planners side by side."""
    chosen = contenders or list(CONTENDERS)
    if alone:
        print(json.dumps(asdict(asyncio.run(measure(chosen[0], drawn(requests, seed))))))
        return
    rows = [in_own_process(contender, requests, seed) for contender in chosen]
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 140).print(table_of(rows))


if __name__ == "__main__":
    typer.run(main)
