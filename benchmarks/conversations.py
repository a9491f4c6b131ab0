"""Plan success in the middle of a conversation: the same requests alone and after others.

    python benchmarks/conversations.py                    plait-tiny, 100 requests, after 0, 1 and 3 others
    python benchmarks/conversations.py --model MODEL --requests 200 --after 2 --json

Requests are drawn from ``assistant_dev.jsonl``; those before them too, and have nothing to do with them. The
planner is told their right plans with results made up, as the assistant tells it of earlier requests:
results of tools that read what outsiders wrote are withheld.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from plait.apps._examples import assistant_examples
from plait.apps.evaluation._requests import Request, read_requests
from plait.apps.evaluation._scoring import score_plan
from plait.apps.evaluation._sixteen import assistant_defaults, assistant_toolbox
from plait.apps.evaluation._statistics import wilson_interval
from plait.apps.evaluation._stubs import assistant_result
from plait.apps.evaluation._values import ASSISTANT_RULES
from plait.errors import PlanError
from plait.models import ChatModel, load_model
from plait.orchestrator.agent import default_planner
from plait.planners import (
    CompilerPlanner,
    PastCall,
    PastTurn,
    Plan,
    PlanContext,
    Planner,
    Task,
    TunedPlanner,
)
from plait.tools import Toolbox, to_text
from plait.training._variants import renumbered

REQUESTS = Path(__file__).with_name("assistant_dev.jsonl")


@dataclass(frozen=True, slots=True)
class Row:
    """What came of the requests after some others."""

    n_before: int
    n_requests: int
    n_successes: int
    n_unreadable: int
    """Plans that could not be read; they count as wrong."""


def history_of(requests: Sequence[Request], toolbox: Toolbox) -> tuple[tuple[PastTurn, ...], int]:
    """What a prompt tells of ``requests``, and how many calls they took."""
    turns: list[PastTurn] = []
    n = 0
    for request in requests:
        numbers = {task.id: n + k for k, task in enumerate(request.plan, 1)}
        calls = [past_call(renumbered(task, numbers), toolbox) for task in request.plan]
        turns.append(PastTurn(request.query, tuple(calls)))
        n += len(calls)
    return tuple(turns), n


def past_call(task: Task, toolbox: Toolbox) -> PastCall:
    """The call, done."""
    tool = toolbox[task.tool]
    text = None if tool.annotations.open_world else to_text(assistant_result(tool, task.arguments, task.id))
    return PastCall(task, "ok", text)


async def is_right(planner: Planner, request: Request, before: Sequence[Request], toolbox: Toolbox) -> bool:
    """Whether the plan for ``request`` is right after the others.

    Raises:
        PlanError: it cannot be read.
    """
    history, n = history_of(before, toolbox)
    context = PlanContext(request.query, now=request.now, history=history, first_number=n + 1)
    tasks = [step async for step in planner.plan(context) if isinstance(step, Task)]
    numbers = {task.id: k for k, task in enumerate(tasks, 1)}
    if any(k not in numbers for task in tasks for k in task.dependencies):
        return False  # it uses a result of a request that it has nothing to do with
    plan = Plan(tuple(renumbered(task, numbers) for task in tasks))
    return score_plan(request.plan, plan, toolbox, complete=assistant_defaults, rules=ASSISTANT_RULES).success


def planner_of(model: ChatModel, toolbox: Toolbox) -> Planner:
    """The one that the assistant uses with ``model``."""
    if default_planner(model) == "tuned":
        return TunedPlanner(model, toolbox)
    return CompilerPlanner(model, toolbox, examples=assistant_examples())


async def measure(model: ChatModel, n: int, after: Sequence[int], seed: int) -> list[Row]:
    """One row for each number of requests before."""
    toolbox = assistant_toolbox()
    found = read_requests(REQUESTS, toolbox)
    random = Random(seed)
    planner = planner_of(model, toolbox)
    chosen = random.sample(found, min(n, len(found)))
    rows = []
    for n_before in after:
        n_right = n_unreadable = 0
        for request in track(chosen, f"after {n_before}", console=Console(stderr=True), transient=True):
            before = random.sample([other for other in found if other is not request], n_before)
            try:
                n_right += await is_right(planner, request, before, toolbox)
            except PlanError:
                n_unreadable += 1
        rows.append(Row(n_before, len(chosen), n_right, n_unreadable))
    await model.aclose()
    return rows


def main(
    model: Annotated[str, typer.Option(help="The model, as anywhere in plait.")] = "plait-tiny",
    requests: Annotated[int, typer.Option(help="How many requests.", min=1)] = 100,
    after: Annotated[list[int] | None, typer.Option(help="How many others come before; several.")] = None,
    seed: Annotated[int, typer.Option(help="Which requests.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure plan success after other requests."""
    rows = asyncio.run(measure(load_model(model), requests, after or [0, 1, 3], seed))
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    table = Table(title=f"{model}, {rows[0].n_requests} requests")
    for column in ("requests before", "plan success", "95 %", "unreadable"):
        table.add_column(column, justify="right")
    for row in rows:
        interval = wilson_interval(row.n_successes, row.n_requests)
        share = f"{row.n_successes / row.n_requests:.1%}"
        table.add_row(
            str(row.n_before), share, f"{interval.low:.0%}-{interval.high:.0%}", str(row.n_unreadable)
        )
    Console(width=None if sys.stdout.isatty() else 100).print(table)


if __name__ == "__main__":
    typer.run(main)
