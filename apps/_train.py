"""``plait train``: data for a small planner of one's own tools."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from plait.apps import _train_lora
from plait.apps._output import OK, Output, execute
from plait.apps._progress import is_animated
from plait.apps._setup import load_toolbox
from plait.errors import ConfigurationError

if TYPE_CHECKING:
    from plait.training import DataReport, DataSet, Recipe, Split

app = typer.Typer(
    help="Make a small planner for your own tools.", no_args_is_help=True, pretty_exceptions_enable=False
)

app.command()(_train_lora.lora)
app.command()(_train_lora.export)

_VALIDATION_PART = 20  # of the requests to train on, one in so many again to choose by
_N_UNSEEN = 10  # requests for each toolbox that training never sees


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="Where to write the data set.")],
    requests: Annotated[int, typer.Option(help="How many requests to train on.", min=1)] = 20_000,
    seed: Annotated[int, typer.Option(help="Another seed, another data set.")] = 0,
    tools: Annotated[
        str | None,
        typer.Option(help="Your own tools, as module:attribute, in the place of the assistant's."),
    ] = None,
    skeletons: Annotated[
        Path | None, typer.Option(help="Skeletons for your tools: JSON lines with q and plan.")
    ] = None,
    main_share: Annotated[
        float, typer.Option(help="The share of requests over the main tools.", min=0.05, max=1.0)
    ] = 0.6,
    group_size: Annotated[
        int,
        typer.Option(help="Requests over the same tools: more are trained faster, fewer vary more.", min=1),
    ] = 24,
    as_it_is: Annotated[
        float,
        typer.Option(help="The share of groups whose tools are not renamed or mixed.", min=0.0, max=1.0),
    ] = 0.4,
    learn_from: Annotated[
        Path | None,
        typer.Option(help="The folder of a training: what it got wrong is trained on more."),
    ] = None,
    compare_with: Annotated[
        Path | None,
        typer.Option(help="Requests to compare with: JSON lines with a query, as plait eval plans takes."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Make requests with right plans from skeletons."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        from plait.training import TRIED, Recipe, read_tried

        data = _data_set(tools, skeletons)
        if learn_from is not None:
            data = replace(data, tried=tuple(read_tried(learn_from / TRIED)))
        compared = _queries(compare_with) if compare_with is not None else []
        recipe = Recipe(requests, group_size=group_size, main_share=main_share, as_it_is=as_it_is, seed=seed)
        report = _write(data, folder, recipe, compared, output)
        if as_json:
            output.document({"folder": str(folder), **report.as_json()})
        else:
            output.text("\n".join(_lines(folder, report)))
        return OK

    execute(work, output)


def _data_set(tools: str | None, skeletons: Path | None) -> DataSet:
    """The assistant's skeletons, or one's own with those of other toolboxes.

    Raises:
        ConfigurationError: tools without skeletons, or the other way round, or a file that cannot be used.
    """
    from plait.apps.evaluation._sixteen import assistant_toolbox
    from plait.training import (
        DataSet,
        ToolboxSkeletons,
        assistant_skeletons,
        other_skeletons,
        read_skeletons,
    )

    if (tools is None) != (skeletons is None):
        raise ConfigurationError("--tools and --skeletons belong together; give both, or none of them")
    others = tuple(other_skeletons())
    if tools is None or skeletons is None:
        return DataSet(assistant_skeletons(assistant_toolbox()), others, has_guises=True)
    toolbox = load_toolbox(tools)
    found = read_skeletons(_text(skeletons), name=str(skeletons), toolbox=toolbox)
    if not found:
        raise ConfigurationError(f"{skeletons} has no skeletons; write one request with its plan a line")
    return DataSet(ToolboxSkeletons(tools, toolbox, found), others)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read ({error}); give a file of JSON lines") from error


def _queries(path: Path) -> list[str]:
    found = []
    for number, line in enumerate(_text(path).split("\n"), 1):
        try:
            entry: Any = json.loads(line) if line.strip() else None
        except ValueError as error:
            raise ConfigurationError(f"{path}, line {number} is no JSON ({error})") from error
        if entry is not None:
            if not isinstance(entry, dict) or not isinstance(entry.get("query"), str):
                raise ConfigurationError(f'{path}, line {number} must be an object with a "query"')
            found.append(entry["query"])
    return found


def _write(data: DataSet, folder: Path, recipe: Recipe, compared: list[str], output: Output) -> DataReport:
    from plait.training import UNSEEN, write_data_set

    n_validation = max(1, recipe.n_items // _VALIDATION_PART)
    recipes: dict[Split, Recipe] = {
        "train": recipe,
        "validation": replace(recipe, n_items=n_validation, group_size=6),
        "unseen": replace(recipe, n_items=_N_UNSEEN * len(UNSEEN), group_size=_N_UNSEEN),
    }
    total = sum(recipe.n_items for recipe in recipes.values())
    with Progress(console=output.console, transient=True, disable=not is_animated(output.console)) as bar:
        task = bar.add_task("writing requests", total=total)
        return write_data_set(
            data, folder, recipes, compare_with=compared, done=lambda n: bar.advance(task, n)
        )


def _lines(folder: Path, report: DataReport) -> list[str]:
    lines = []
    for split, part in report.splits.items():
        calls = ", ".join(f"{n}: {count}" for n, count in part.calls.items())
        depth = ", ".join(f"{n}: {count}" for n, count in part.depth.items())
        lines += [
            f"{folder / split}.jsonl: {part.n_requests} requests from {part.n_skeletons} skeletons, "
            f"{part.n_groups} sets of tools",
            f"  by number of calls  {calls}",
            f"  by depth            {depth}",
            f"  by style            {', '.join(f'{k}: {v}' for k, v in part.styles.items())}",
        ]
    if report.overlap is not None:
        o = report.overlap
        share = o.shared_grams / max(o.n_grams, 1)
        lines.append(
            f"compared: {o.n_requests} requests, {o.same_requests} of them a skeleton's; "
            f"{share:.2%} of their runs of five words stand in one"
        )
    return lines
