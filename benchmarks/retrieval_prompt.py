"""What retrieval does for plans: success and prefill tokens, the assistant's tools alone and among others.

    python benchmarks/retrieval_prompt.py                             alone, among 500 and among 2,500; hours
    python benchmarks/retrieval_prompt.py --limit 2 --others 500      two requests, to see that it works
    python benchmarks/retrieval_prompt.py --model smollm2-135m --planner compact --json
    python benchmarks/retrieval_prompt.py --listing --others 100      without planning: what prompts list

Requests are drawn from ``assistant_dev.jsonl``; the others are the Berkeley leaderboard's functions. Rows:

- ``16 alone``: all tools in the prompt, without retrieval.
- ``16 alone, found``: the same prompt; plans may call what was found.
- ``16 + N, found``: the prompt lists what was found.
- ``16 + N, all that fit``: without retrieval: the 16 and as many of the others as the tokens for tools allow,
  which is more than anybody could know to list.

The index's usages are the leaderboard's own requests, and requests made from the training data's skeletons
(``plait.training``), of which none is a development request. Building it encodes some thousands of texts;
it is kept in ``--folder``. States of prompts go to a folder that is empty at the beginning of each row, and
a request that is not counted comes first. Prefill tokens are those of the prompt that were not in a cache.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Annotated

import typer
from platformdirs import user_cache_path
from rich.console import Console
from rich.progress import track
from rich.table import Table

from plait import Agent
from plait.apps._examples import assistant_examples
from plait.apps.evaluation._bfcl import BFCLBenchmark, function_definition
from plait.apps.evaluation._requests import Request, read_requests
from plait.apps.evaluation._scoring import score_plan
from plait.apps.evaluation._sixteen import assistant_defaults, assistant_toolbox
from plait.apps.evaluation._statistics import percentile, wilson_interval
from plait.apps.evaluation._values import ASSISTANT_RULES
from plait.models import ChatModel, Message, load_model
from plait.planners._listing import ToolLister
from plait.planners._prompts import describe_tools
from plait.retrieval import Tool2Vec, Usage, build_index, load_encoder, save_index
from plait.tools import Tool, Toolbox
from plait.training import Recipe, assistant_skeletons, synthesize

REQUESTS = Path(__file__).with_name("assistant_dev.jsonl")
N_USAGES = 400
"""Of the assistant's tools."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one way to prompt."""

    name: str
    n_tools: int
    """In the toolbox."""
    n_requests: int
    n_successes: int
    n_arguments_right: int
    prompt_tokens: float
    """Mean."""
    prefill_tokens: float
    """Mean."""
    p50_s: float


def leaderboard() -> tuple[list[Tool], list[Usage]]:
    """All functions, those of one name with numbers behind it, and the requests that call them."""
    names: dict[tuple[str, str], str] = {}
    n_of_name: dict[str, int] = {}
    tools: list[Tool] = []
    usages: list[Usage] = []
    taken = set(assistant_toolbox().names)
    for item in BFCLBenchmark().items():
        described = {}
        for function in item.data["function"]:
            key = function["name"], function["description"]
            described[function["name"]] = key
            if key not in names:
                number = n_of_name[key[0]] = n_of_name.get(key[0], 0) + 1
                names[key] = key[0] if number == 1 and key[0] not in taken else f"{key[0]}_{number}"
                if names[key] in taken:
                    names[key] += "_x"
                taken.add(names[key])
                tools.append(replace(Tool.from_schema(function_definition(function)), name=names[key]))
        called = dict.fromkeys(name for call in item.gold or () for name in call)
        if called:
            usages.append(Usage(item.query, tuple(names[described[name]] for name in called)))
    return tools, usages


def assistant_usages(seed: int) -> list[Usage]:
    """Made requests of the assistant's tools."""
    recipe = Recipe(N_USAGES, as_it_is=1.0, seed=seed)
    groups = synthesize(assistant_skeletons(assistant_toolbox()), recipe)
    items = [item for group in groups for item in group.items]
    return [Usage(item.query, tuple(sorted(item.tools))) for item in items if item.tools]


def index_of(tools: Toolbox, usages: Iterable[Usage], folder: Path) -> Tool2Vec:
    """A trained index in ``folder``; one that is there is used again."""
    encoder = load_encoder()
    built = build_index(folder, tools, usages, encoder, skip_unknown=True).index
    if not built.is_calibrated:
        built = built.trained()
        save_index(built, folder)
    return built


def fitting(tools: Toolbox, others: Sequence[Tool], model: ChatModel) -> Toolbox:
    """``tools`` and as many of the others as half of the model's context has room for."""
    room = model.context_length // 2 - model.count_tokens([Message("user", describe_tools(tools))])
    chosen: list[Tool] = []
    for tool in others:
        room -= model.count_tokens([Message("user", describe_tools([tool]))])
        if room < 0:
            break
        chosen.append(tool)
    return tools + chosen


async def measure(
    name: str,
    model_name: str,
    context_length: int,
    planner: str | None,
    toolbox: Toolbox,
    index: Tool2Vec | None,
    requests: Sequence[Request],
    others: Sequence[Tool] = (),
) -> Row:
    """Plan all ``requests`` in one way; with ``others``, beside as many of them as fit."""
    now = requests[0].now
    seconds: list[float] = []
    n_successes = n_arguments_right = prompt = prefill = 0
    with tempfile.TemporaryDirectory() as states:
        os.environ["PLAIT_PREFIX_CACHE"] = states
        model = load_model(model_name, context_length=context_length)
        toolbox = fitting(toolbox, others, model) if others else toolbox
        agent = Agent(
            model,
            toolbox,
            planner=planner,
            examples=assistant_examples(),
            retriever=index,
            now=lambda: now,
        )
        async with agent:
            await agent.plan("Hello")
            for request in track(requests, description=name, console=Console(stderr=True), transient=True):
                now = request.now
                began = perf_counter()
                run = await agent.plan(request.query)
                seconds.append(perf_counter() - began)
                prompt += run.usage.prompt_tokens
                prefill += run.usage.prefill_tokens
                if run.error is None:
                    rules = {"complete": assistant_defaults, "rules": ASSISTANT_RULES}
                    score = score_plan(request.plan, run.plan, toolbox, **rules)
                    n_successes += score.success
                    n_arguments_right += score.arguments_right
    n = len(requests)
    p50_s = percentile(seconds, 50)
    return Row(name, len(toolbox), n, n_successes, n_arguments_right, prompt / n, prefill / n, p50_s)


@dataclass(frozen=True, slots=True)
class ListingRow:
    """What prompts list, over all requests."""

    n_tools: int
    """In the toolbox."""
    n_requests: int
    n_complete: int
    """Requests all of whose right tools may be called."""
    all_tokens: int
    """Of the descriptions of all tools."""
    listed_tokens: float
    """Of those that are listed; mean."""
    further_tokens: float
    """Of those outside the static part, which no cache has; mean."""
    n_beginnings: int
    """Static parts, each computed once."""


def listing(toolbox: Toolbox, index: Tool2Vec, requests: Sequence[Request], model: ChatModel) -> ListingRow:
    """What is listed for ``requests``, without planning them."""
    n_empty = model.count_tokens([Message("user", "")])

    def count(tool: Tool) -> int:
        return model.count_tokens([Message("user", describe_tools([tool]))]) - n_empty + 1

    tokens = {tool.name: count(tool) for tool in toolbox}
    lister = ToolLister(toolbox, index, count, max_tokens=model.context_length // 2)
    found = [lister.choose([request.query]) for request in track(requests, console=Console(stderr=True))]
    n_complete = 0
    for request, one in zip(requests, found, strict=True):
        n_complete += {task.tool for task in request.plan} <= (one.allowed or {*one.static, *one.further})
    further = sum(tokens[name] for one in found for name in one.further)
    static = sum(tokens[name] for one in found for name in one.static)
    n = len(requests)
    return ListingRow(
        len(toolbox),
        n,
        n_complete,
        sum(tokens.values()),
        (static + further) / n,
        further / n,
        len({one.static for one in found}),
    )


def table_of(rows: Sequence[Row]) -> Table:
    """What a person reads."""
    table = Table(title=f"{rows[0].n_requests} requests, one at a time")
    table.add_column("prompt")
    for column in ("tools", "plan success", "95 %", "arguments", "prompt tokens", "prefill tokens", "p50 s"):
        table.add_column(column, justify="right")
    for row in rows:
        interval = wilson_interval(row.n_successes, row.n_requests)
        table.add_row(
            row.name,
            f"{row.n_tools:,}",
            f"{row.n_successes / row.n_requests:.1%}",
            f"{interval.low:.0%}-{interval.high:.0%}",
            f"{row.n_arguments_right / row.n_requests:.1%}",
            f"{row.prompt_tokens:.0f}",
            f"{row.prefill_tokens:.0f}",
            f"{row.p50_s:.2f}",
        )
    return table


def main(
    limit: Annotated[int, typer.Option(help="How many requests.", min=1)] = 200,
    others: Annotated[list[int] | None, typer.Option(help="Among how many others; several times.")] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="Which model.")] = "qwen2.5-coder-1.5b",
    planner: Annotated[str | None, typer.Option(help="Which planner; what fits the model.")] = None,
    context_length: Annotated[int, typer.Option(help="Tokens of prompt and answer.", min=1024)] = 8192,
    seed: Annotated[int, typer.Option(help="Which requests, which others.")] = 0,
    folder: Annotated[Path | None, typer.Option(help="Where indexes are kept.")] = None,
    only_listing: Annotated[bool, typer.Option("--listing", help="Plan nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure prompts with and without retrieval."""
    kept = folder or user_cache_path("plait", appauthor=False) / "benchmarks" / "retrieval_prompt"
    sixteen = assistant_toolbox()
    found = read_requests(REQUESTS, sixteen)
    requests = Random(seed).sample(found, min(limit, len(found)))
    functions, usages = leaderboard()
    Random(seed).shuffle(functions)
    usages = [*assistant_usages(seed), *usages]

    def row(name: str, toolbox: Toolbox, index: Tool2Vec | None, beside: Sequence[Tool] = ()) -> Row:
        return asyncio.run(measure(name, model, context_length, planner, toolbox, index, requests, beside))

    alone = index_of(sixteen, usages, kept / f"0-{seed}")
    if only_listing:
        counting = load_model(model, context_length=context_length)
        boxes = [(sixteen, alone)]
        for n_others in others or (500, 2500):
            box = sixteen + functions[:n_others]
            boxes.append((box, index_of(box, usages, kept / f"{n_others}-{seed}")))
        listings = [listing(box, index, requests, counting) for box, index in boxes]
        print(json.dumps([asdict(one) for one in listings], indent=2))
        return
    rows = [row("16 alone", sixteen, None), row("16 alone, found", sixteen, alone)]
    for n_others in others or (500, 2500):
        among = functions[:n_others]
        index = index_of(sixteen + among, usages, kept / f"{n_others}-{seed}")
        rows.append(row(f"16 + {n_others}, found", sixteen + among, index))
        rows.append(row(f"16 + {n_others}, all that fit", sixteen, None, among))
    if as_json:
        print(json.dumps([asdict(one) for one in rows], indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 140).print(table_of(rows))


if __name__ == "__main__":
    typer.run(main)
