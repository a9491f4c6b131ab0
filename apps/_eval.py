"""``plait eval``: models and planners on function-calling benchmarks, and what came out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plait.apps._eval_options import (
    SharedOptions,
    command_line,
    read_categories,
    read_ids,
    split,
    with_shared_options,
)
from plait.apps._index import EncoderName
from plait.apps._output import FAILED, INTERRUPTED, OK, Output, execute
from plait.apps._setup import load_toolbox
from plait.errors import ConfigurationError
from plait.models import DEFAULT_ENCODER

if TYPE_CHECKING:
    from plait.apps.evaluation._qa_data import QAKind
    from plait.apps.evaluation._session import EvalOptions
    from plait.apps.evaluation._types import Benchmark, Prices

app = typer.Typer(
    help="Measure models and planners on function-calling benchmarks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class RetrievalData(StrEnum):
    """Whose tools and requests measure retrieval."""

    BFCL = "bfcl"
    NESTFUL = "nestful"
    TOOLBANK = "toolbank"


DataFile = Annotated[
    Path,
    typer.Option(help="The benchmark's data file, as LLMCompiler's repository has it.", show_default=False),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Look up only what is in the cache, and say what is not.")
]
Runs = Annotated[list[Path], typer.Argument(help="Run folders, or folders with runs in them.")]


@app.command("plans")
@with_shared_options
def plans(
    file: Annotated[Path, typer.Argument(help="JSON lines with id, now, query and plan.")],
    options: SharedOptions,
    tools: Annotated[
        str | None,
        typer.Option(help="The tools: module:attribute, or a JSON file of function definitions."),
    ] = None,
) -> None:
    """Requests with right plans: plan success, arguments right, tool recall."""
    from plait.apps._examples import assistant_examples
    from plait.apps.evaluation._plans import PlansBenchmark
    from plait.apps.evaluation._sixteen import assistant_toolbox, toolbox_from_file
    from plait.apps.evaluation._values import MatchRules, with_defaults

    def make() -> Benchmark:
        if tools is None:
            return PlansBenchmark(file, assistant_toolbox(), assistant_examples())
        toolbox = toolbox_from_file(Path(tools)) if tools.endswith(".json") else load_toolbox(tools)
        return PlansBenchmark(file, toolbox, complete=with_defaults, rules=MatchRules())

    _evaluate("plans", make, options)


@app.command("data")
@with_shared_options
def data(
    file: Annotated[Path, typer.Argument(help="A part of a data set that plait train synth wrote.")],
    options: SharedOptions,
) -> None:
    """Requests of a data set, each over tools of its own: plan success."""

    def make() -> Benchmark:
        from plait.apps.evaluation._synthetic import DataSetBenchmark

        return DataSetBenchmark(file)

    _evaluate("data", make, options)


@app.command("bfcl")
@with_shared_options
def bfcl(
    options: SharedOptions,
    export: Annotated[
        Path | None, typer.Option(help="Write the leaderboard's own result files into this folder.")
    ] = None,
) -> None:
    """The Berkeley leaderboard's single-turn Python categories, with its own data and checker."""

    def make() -> Benchmark:
        from plait.apps.evaluation._bfcl import BFCLBenchmark

        return BFCLBenchmark()  # of all categories, so that a run may go on with further ones

    _evaluate("bfcl", make, options, export=export)


@app.command("nestful")
@with_shared_options
def nestful(
    options: SharedOptions,
    part: Annotated[
        list[str] | None, typer.Option(help="executable, glaive, sgd or complexfuncbench; executable alone.")
    ] = None,
) -> None:
    """Nested calls whose results feed later ones."""

    def make() -> Benchmark:
        from plait.apps.evaluation._nestful import NestfulBenchmark
        from plait.apps.evaluation._packages import NESTFUL, unpacked

        return NestfulBenchmark(unpacked(NESTFUL), tuple(split(part)) or ("executable",))

    _evaluate("nestful", make, options)


@app.command("parallelqa")
@with_shared_options
def parallelqa(data: DataFile, options: SharedOptions, offline: Offline = False) -> None:
    """LLMCompiler's questions that want several searches and arithmetic."""
    _questions("parallelqa", data, options, offline=offline)


@app.command("hotpotqa")
@with_shared_options
def hotpotqa(data: DataFile, options: SharedOptions, offline: Offline = False) -> None:
    """HotpotQA's comparison questions: two searches and a comparison."""
    _questions("hotpotqa", data, options, offline=offline)


@app.command("movie")
@with_shared_options
def movie(data: DataFile, options: SharedOptions, offline: Offline = False) -> None:
    """Movie recommendations: eight searches and a choice."""
    _questions("movie", data, options, offline=offline)


@app.command("retrieval")
def retrieval(
    data: Annotated[
        RetrievalData,
        typer.Option(
            help="Whose tools and requests; nestful for plans of several tools, toolbank for its files."
        ),
    ] = RetrievalData.BFCL,
    encoder: EncoderName = DEFAULT_ENCODER,
    seed: Annotated[
        int, typer.Option(help="Which half of the requests are usages, of bfcl and nestful.")
    ] = 0,
    tools: Annotated[
        Path | None, typer.Option(help="toolbank: the folder with its files of function descriptions.")
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(help="toolbank: the test requests, as JSON lines with query and tools."),
    ] = None,
    usages: Annotated[
        list[Path] | None,
        typer.Option(help="toolbank: requests that the index may know, in the same form; several times."),
    ] = None,
    export_tools: Annotated[
        Path | None,
        typer.Option(help="toolbank: measure nothing, write the functions for plait index build --tools."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """How well tools are found among all those of the Berkeley leaderboard, of NESTFUL, or of ToolBank."""
    from plait.apps import _eval_retrieval

    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        if export_tools is not None:
            if data != RetrievalData.TOOLBANK:
                raise ConfigurationError(f"--export-tools is for --data toolbank, not for {data.value}")
            return _eval_retrieval.export_toolbank(
                _eval_retrieval.toolbank_folder(tools), export_tools, output
            )
        files = _eval_retrieval.toolbank_files(data.value, tools, queries, usages or ())
        return _eval_retrieval.evaluate_retrieval(data.value, encoder, seed, output, files)

    execute(work, output)


@app.command("fetch")
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="bfcl, nestful; both if none is given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Fetch benchmarks that come in packages, so that they can be used offline."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        from plait.apps._progress import waiting
        from plait.apps.evaluation._packages import PACKAGES, unpacked

        for name in names or ():
            if name not in PACKAGES:
                raise ConfigurationError(
                    f"there is no benchmark package {name!r}; choose from {', '.join(PACKAGES)}"
                )
        found = {}
        for name in dict.fromkeys(names or PACKAGES):
            with waiting(output.console, f"fetching {name}"):
                found[name] = str(unpacked(PACKAGES[name]))
        if output.as_json:
            output.document(found)
        else:
            output.text("\n".join(f"{name}\t{path}" for name, path in found.items()))
        return OK

    execute(work, output)


@app.command("show")
def show(
    runs: Runs,
    differences: Annotated[int, typer.Option(help="Items to list on which two runs differ.", min=0)] = 0,
    html: Annotated[Path | None, typer.Option(help="Write a report that opens offline.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="A row for every run and category.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Compare runs: accuracy, latency, tokens, and where they differ."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        from plait.apps.evaluation._folder import find_runs

        if as_csv and as_json:
            raise ConfigurationError("--csv and --json exclude each other; give one of them")
        found = [path for folder in runs for path in find_runs(folder)]
        _show(found, output, differences=differences, html=html, as_csv=as_csv)
        return OK

    execute(work, output)


def _questions(kind: QAKind, data: Path, options: SharedOptions, *, offline: bool) -> None:
    def make() -> Benchmark:
        from plait.apps.evaluation._packages import benchmarks_folder
        from plait.apps.evaluation._qa import QABenchmark
        from plait.apps.evaluation._wikipedia import Wikipedia

        wikipedia = Wikipedia(benchmarks_folder() / "wikipedia", offline=offline)
        return QABenchmark(kind, data, wikipedia=wikipedia)

    _evaluate(kind, make, options)


def _evaluate(
    name: str, make: Callable[[], Benchmark], options: SharedOptions, *, export: Path | None = None
) -> None:
    output = Output(as_json=options.as_json, debug=options.debug)

    def work() -> int:
        from plait.apps.evaluation._folder import load_run
        from plait.apps.evaluation._session import evaluate

        settings = _settings(name, options)
        try:
            benchmark = make()
            paths = evaluate(benchmark, settings, output.console)
        except KeyboardInterrupt:
            again = "the same command without --fresh" if options.fresh else "the same command"
            output.interrupted(account=f"Interrupted; what was finished is kept, {again} goes on.")
            return INTERRUPTED
        _show(paths, output)
        for path in paths:
            output.note(f"run folder: {path}")
        if export is not None:
            for folder in _export(paths, export):
                output.note(f"result folder for bfcl evaluate: {folder}")
        chosen = {item.id for item in settings.selection.of(benchmark.items())}
        errors = [i for path in paths for i in load_run(path).items.values() if i.error is not None]
        failed = sum(item.id in chosen for item in errors)
        if failed:
            output.note(f"{_items(failed)} failed with an error; --retry-errors tries again", "yellow")
        if len(errors) > failed:
            output.note(f"of items not chosen now, {_items(len(errors) - failed)} failed earlier", "yellow")
        return FAILED if failed else OK

    execute(work, output)


def _items(n: int) -> str:
    return "1 item" if n == 1 else f"{n} items"


def _settings(name: str, options: SharedOptions) -> EvalOptions:
    from plait.apps.evaluation._selection import Selection
    from plait.apps.evaluation._session import EvalOptions

    if options.tool_latency and not options.execute:
        raise ConfigurationError("--tool-latency needs --execute, since otherwise nothing is called")
    return EvalOptions(
        models=options.models,
        planners=options.planners,
        selection=Selection(
            read_categories(options.category), read_ids(options.ids), options.limit, options.sample
        ),
        out=options.out or Path("plait-eval") / name,
        workers=options.workers,
        fresh=options.fresh,
        retry_errors=options.retry_errors,
        execute=options.execute,
        tool_latency_s=options.tool_latency,
        joiner=None if options.joiner is None else options.joiner.value,
        prices=_prices(options.price),
        command=command_line(),
    )


def _prices(text: str | None) -> Prices | None:
    from plait.apps.evaluation._types import Prices

    if text is None:
        return None
    try:
        prompt, completion = (float(part) for part in text.split(","))
    except ValueError:
        prompt = completion = math.nan
    if not (0 <= prompt < math.inf and 0 <= completion < math.inf):
        raise ConfigurationError(f"--price wants two numbers such as 0.15,0.60, not {text!r}")
    return Prices(prompt=prompt, completion=completion)


def _show(
    paths: Sequence[Path],
    output: Output,
    *,
    differences: int = 0,
    html: Path | None = None,
    as_csv: bool = False,
) -> None:
    from plait.apps.evaluation._comparison import compare
    from plait.apps.evaluation._folder import load_run
    from plait.apps.evaluation._show import as_csv as csv_of
    from plait.apps.evaluation._show import as_json as json_of
    from plait.apps.evaluation._show import render

    runs = [load_run(path) for path in dict.fromkeys(paths)]
    comparison = compare(runs)
    if html is not None:
        from plait.apps.evaluation._report import write_report

        write_report(runs, html)
        output.note(f"report: {html}")
    if output.as_json:
        output.document(json_of(comparison))
    elif as_csv:
        output.text(csv_of(comparison).rstrip("\n"))
    else:
        render(comparison, output.results, differences=differences)


def _export(paths: Sequence[Path], folder: Path) -> list[Path]:
    from plait.apps.evaluation._bfcl import export_runs

    try:
        return export_runs(paths, folder)
    except OSError as error:
        raise ConfigurationError(
            f"--export {folder} cannot be written ({error.strerror or error}); choose another folder"
        ) from error
