"""One evaluation: every model with every planner on the chosen items, each into a run folder of its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from plait.apps._progress import is_animated, transfer_progress
from plait.apps._setup import ModelOptions, open_model, open_runner, prepare_model
from plait.apps.evaluation._configuration import model_record, run_config
from plait.apps.evaluation._folder import RunFolder, check_run, remove_run
from plait.apps.evaluation._selection import Selection
from plait.apps.evaluation._trial import Trial, try_items
from plait.apps.evaluation._types import Benchmark, Item, ItemRecord, Prices
from plait.errors import ConfigurationError
from plait.orchestrator import default_planner

_SPEED_OF_S = 3600.0  # items may take minutes each


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """How to evaluate."""

    models: tuple[ModelOptions, ...]
    planners: tuple[str, ...]
    selection: Selection
    out: Path
    """The folder that the run folders go into."""
    workers: int = 1
    """Items that are tried at a time."""
    fresh: bool = False
    """Throw away what the run folders hold."""
    retry_errors: bool = False
    """Try again what failed with an error."""
    execute: bool = False
    tool_latency_s: float = 0.0
    joiner: str | None = None
    prices: Prices | None = None
    command: tuple[str, ...] = ()


def evaluate(benchmark: Benchmark, options: EvalOptions, console: Console) -> list[Path]:
    """Try everything that is not done yet; gives back the run folders.

    Raises:
        PlaitError: a model or the data cannot be had, or a model died. What was finished is kept.
    """
    if options.execute and benchmark.real_tools:
        raise ConfigurationError(
            f"{benchmark.name} has real tools, and calls them anyway; leave out --execute and --tool-latency"
        )
    if options.joiner is not None and not (options.execute or benchmark.real_tools):
        raise ConfigurationError("--joiner needs --execute, since otherwise nothing is answered")
    items = benchmark.items()
    chosen = options.selection.of(items)
    models = tuple(dict.fromkeys(options.models))
    for model_options in models:  # what is missing is told, or fetched, before anything is measured
        prepare_model(model_options, console)
    paths: list[Path] = []
    for model_options in models:
        with open_runner() as runner:
            model = open_model(model_options, runner, console)
            try:
                with transfer_progress(console, model.name) as progress:
                    record = model_record(model, progress)
                planned = []
                for planner in options.planners or (default_planner(model),):
                    trial = Trial(
                        benchmark,
                        model,
                        planner,
                        execute=options.execute,
                        tool_latency_s=options.tool_latency_s,
                        joiner=options.joiner,
                    )
                    path = options.out / run_name(model.name, planner, options)
                    if path in paths:
                        raise ConfigurationError(
                            f"two of the models are called {model.name!r}, and their results would mix in "
                            f"{path}; evaluate them with two commands, each with an --out of its own"
                        )
                    config = run_config(trial, items, record, command=options.command, prices=options.prices)
                    if not options.fresh:
                        check_run(path, config)  # before hours are spent on another planner
                    planned.append((path, trial, config))
                for path, trial, config in planned:
                    if options.fresh:
                        remove_run(path)
                    with RunFolder(path, config) as folder:
                        _fill(folder, trial, chosen, options, runner, console)
                    paths.append(path)
            finally:
                runner.run(model.aclose())
    return paths


def run_name(model: str, planner: str, options: EvalOptions) -> str:
    """The name of a run's folder: what tells it from its neighbours."""
    stem = re.sub(r"[^\w.-]+", "-", f"{model}-{planner}").strip("-.")
    if not options.execute:
        return stem
    return "-".join(filter(None, (stem, "executed", f"{options.tool_latency_s:g}s", options.joiner)))


def _fill(
    folder: RunFolder,
    trial: Trial,
    chosen: Sequence[Item],
    options: EvalOptions,
    runner: asyncio.Runner,
    console: Console,
) -> None:
    todo = [item for item in chosen if _is_open(folder.done.get(item.id), options)]
    open_ids = {item.id for item in todo}
    kept = [folder.done[item.id] for item in chosen if item.id not in open_ids]
    title = f"{trial.benchmark.name} {trial.model.name} {trial.planner}"
    with _item_progress(console, title, len(chosen), kept) as show:

        def keep(record: ItemRecord) -> None:
            folder.add(record)
            show(record)

        runner.run(try_items(trial, todo, keep, workers=options.workers))


def _is_open(record: ItemRecord | None, options: EvalOptions) -> bool:
    return record is None or (options.retry_errors and record.error is not None)


@contextmanager
def _item_progress(
    console: Console, title: str, total: int, kept: Sequence[ItemRecord]
) -> Iterator[Callable[[ItemRecord], None]]:
    """A bar with the running accuracy and the time left."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[right]:.1%} right"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=_SPEED_OF_S,
        disable=not is_animated(console),
    )
    tried = list(kept)

    def right() -> float:
        return sum(record.correct for record in tried) / max(1, len(tried))

    with bar:
        task = bar.add_task(escape(title), total=total, completed=len(tried), right=right())

        def show(record: ItemRecord) -> None:
            tried.append(record)
            bar.update(task, completed=len(tried), right=right())

        yield show
