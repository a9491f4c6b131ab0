"""``plait index``: build, add, remove, learn, search, train, stats."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plait.apps._output import OK, Output, execute
from plait.apps._progress import is_animated, transfer_progress, waiting
from plait.apps._setup import ModelOptions, load_toolbox, open_model, open_runner
from plait.errors import ConfigurationError
from plait.models import DEFAULT_ENCODER, DEFAULT_WRITER, ENCODERS

if TYPE_CHECKING:
    from plait.retrieval import Encoder, GeneratedUsages, Tool2Vec, Usage
    from plait.tools import Toolbox

app = typer.Typer(
    help="Find the tools that a request needs, out of thousands.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_JOURNAL = "generating.jsonl"
_SENTENCE_TRANSFORMERS = "sentence-transformers:"


class RankingName(StrEnum):
    """How tools are ranked."""

    FUSED = "fused"
    CENTROID = "centroid"
    USAGE = "usage"
    BM25 = "bm25"
    DESCRIPTION = "description"
    REFINED = "refined"
    MLC = "mlc"


Folder = Annotated[Path, typer.Argument(help="The folder of the index.")]
Tools = Annotated[
    str | None, typer.Option(help="Tools, as module:attribute or as a JSON file of function definitions.")
]
Usages = Annotated[
    list[Path] | None,
    typer.Option(help="Requests with the tools they use: JSON lines with query and tools; several times."),
]
EncoderName = Annotated[
    str,
    typer.Option(
        "--encoder",
        help="A name of the catalog, a folder, or sentence-transformers:NAME.",
    ),
]
AsJSON = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.command("build")
def build_command(
    folder: Folder,
    tools: Tools = None,
    usages: Usages = None,
    encoder: EncoderName = DEFAULT_ENCODER,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Forget what is there, usages included; an interrupted --generate goes on."
        ),
    ] = False,
    generate: Annotated[
        int | None,
        typer.Option(
            help="Have a model write usages until each tool has so many; resumes where it was.", min=1
        ),
    ] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="Which model writes them.")] = DEFAULT_WRITER,
    base_url: Annotated[str | None, typer.Option(help="A server that has it.")] = None,
    as_json: AsJSON = False,
    debug: Debug = False,
) -> None:
    """Make an index of tools, or bring one up to date; the assistant's tools if none are given."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        from plait.retrieval import build_index

        began = time.perf_counter()
        toolbox, known = _toolbox(tools), _usages(usages)
        vectors = open_encoder(encoder, output)
        with encoding_progress(output) as progress:
            built = build_index(
                folder, toolbox, known, vectors, skip_unknown=True, fresh=fresh, progress=progress
            )
        if fresh and generate is None:  # one that is interrupted goes on, with the same command
            (folder / _JOURNAL).unlink(missing_ok=True)
        if generate is None:
            return _report(folder, built.index, built.notes, built.n_encoded, began, output)
        index, refused = generate_into(
            folder, built.index, toolbox, generate, ModelOptions(model, base_url), output
        )
        n_written = len(index.usages) - len(built.index.usages)
        notes = (*built.notes, f"{n_written} usages were written, and {refused}")
        return _report(folder, index, notes, built.n_encoded + n_written, began, output)

    execute(work, output)


@app.command("add")
def add_command(
    folder: Folder,
    tools: Tools = None,
    usages: Usages = None,
    encoder: EncoderName = DEFAULT_ENCODER,
    as_json: AsJSON = False,
    debug: Debug = False,
) -> None:
    """Add tools or usages; a tool of the same name is replaced. Only what is new is encoded."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        from plait.retrieval import update_index

        if tools is None and not usages:
            raise ConfigurationError("there is nothing to add; give --tools, --usages or both")
        began = time.perf_counter()
        toolbox: Any = _toolbox(tools) if tools is not None else ()
        known = _usages(usages)
        model = open_encoder(encoder, output)
        encoded = [0]
        with encoding_progress(output) as progress:

            def report(n_done: int, n_texts: int) -> None:
                encoded[0] = n_done
                progress(n_done, n_texts)

            index = update_index(
                folder,
                lambda old: old.adding(toolbox, known, skip_unknown=True, progress=report),
                model,
            )
        return _report(folder, index, _notes(index, known), encoded[0], began, output)

    execute(work, output)


@app.command("remove")
def remove_command(
    folder: Folder,
    names: Annotated[list[str], typer.Argument(help="Names of tools.")],
    as_json: AsJSON = False,
    debug: Debug = False,
) -> None:
    """Remove tools, and the usages that have no other tool."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        from plait.retrieval import update_index

        began = time.perf_counter()
        index = update_index(folder, lambda old: old.removing(names))
        return _report(folder, index, (), 0, began, output)

    execute(work, output)


@app.command("search")
def search_command(
    folder: Folder,
    query: Annotated[str, typer.Argument(help="A request, in your own words.")],
    top: Annotated[int, typer.Option("--top", "-k", help="How many tools to find.", min=1)] = 5,
    by: Annotated[
        RankingName | None,
        typer.Option(help="How to rank; refined if the index is trained, else fused. bm25 needs no encoder."),
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(help="In the place of --top: as few tools as hold this share of the right ones."),
    ] = None,
    reranker: Annotated[
        str | None,
        typer.Option(help="A cross-encoder of sentence-transformers that puts what is found in order."),
    ] = None,
    encoder: EncoderName = DEFAULT_ENCODER,
    as_json: AsJSON = False,
    debug: Debug = False,
) -> None:
    """Find the tools for a request."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        from plait.retrieval import CrossEncoderReranker, RerankedIndex, load_index

        index = load_index(folder)
        if recall is not None and by is not None:
            raise ConfigurationError("--recall ranks by refined; leave --by out")
        if reranker is not None and (recall is not None or by is not None):
            raise ConfigurationError("--reranker ranks by itself; leave --by and --recall out")
        if by != RankingName.BM25 and len(index):
            index = index.with_encoder(open_encoder(encoder, output))
        ranking: str = by.value if by else index.best_ranking
        if reranker is not None:
            ranking = reranker
            with waiting(output.console, f"loading {reranker}"):
                reranked = RerankedIndex(index, CrossEncoderReranker(reranker))
            found = reranked.search(query, top)
        elif recall is not None:
            found = index.select(query, recall)
        else:
            found = index.search(query, top, by.value if by else None)
        if output.as_json:
            tools = [{"name": tool.name, "score": tool.score} for tool in found]
            output.document({"query": query, "by": ranking, "tools": tools})
        else:
            output.text("\n".join(f"{tool.score:.4f}\t{tool.name}" for tool in found))
        return OK

    execute(work, output)


@app.command("train")
def train_command(
    folder: Folder,
    seed: Annotated[int, typer.Option(help="Another seed, other folds and first weights.")] = 0,
    as_json: AsJSON = False,
    debug: Debug = False,
) -> None:
    """Learn from an index's usages how to order what is found, and how many tools are enough."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        from plait.retrieval import update_index

        began = time.perf_counter()
        with encoding_progress(output, "learning") as progress:
            index = update_index(folder, lambda old: old.trained(seed, progress))
        return _report(folder, index, (), 0, began, output)

    execute(work, output)


@app.command("stats")
def stats_command(folder: Folder, as_json: AsJSON = False, debug: Debug = False) -> None:
    """Tell what is in an index."""
    output = Output(as_json=as_json, debug=debug)
    execute(lambda: _stats(folder, output), output)


def generate_into(
    folder: Path, index: Tool2Vec, toolbox: Toolbox, n: int, options: ModelOptions, output: Output
) -> tuple[Tool2Vec, str]:
    """Have a model write usages and put them into the index; gives it, and says what was refused.

    A file in the folder keeps what is written, tool by tool, until all of it is in the index.

    Raises:
        PlaitError: the model cannot be had or failed; what was written so far is kept.
    """
    from plait.retrieval import generate_usages, update_index

    journal = folder / _JOURNAL
    with open_runner() as runner:
        model = open_model(options, runner, output.console)

        async def write() -> GeneratedUsages:
            try:
                with encoding_progress(output, "writing usages") as progress:
                    return await generate_usages(index, toolbox, model, n, journal=journal, progress=progress)
            finally:
                await model.aclose()

        generated = runner.run(write())
    with encoding_progress(output) as progress:
        index = update_index(
            folder,
            lambda old: old.adding((), generated.usages, skip_unknown=True, progress=progress),
            index.encoder,
        )
    journal.unlink(missing_ok=True)
    reasons = (f"{count} ({reason})" for reason, count in sorted(generated.n_refused.items()))
    refused = f"refused {', '.join(reasons) or 'none'}"
    if generated.too_long:
        refused += f"; the model has no room for {', '.join(generated.too_long)}"
    return index, refused


@app.command("learn")
def learn_command(
    folder: Folder,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Learn from all of them without asking.")] = False,
    encoder: EncoderName = DEFAULT_ENCODER,
    as_json: AsJSON = False,
    debug: Debug = False,
) -> None:
    """Learn from requests of your own in the history which tools they need. You choose; all stays here."""
    output = Output(as_json=as_json, debug=debug)
    execute(lambda: learn(folder, encoder, output, is_asking=not yes), output)


def learn(folder: Path, encoder: str, output: Output, *, is_asking: bool) -> int:
    """What ``plait index learn`` does."""
    from plait.apps._learning import choose, learnable
    from plait.retrieval import load_index, update_index

    began = time.perf_counter()
    index = load_index(folder)
    found = learnable(index)
    if not found:
        output.note("Nothing in the history is new to the index.")
        return _report(folder, index, (), 0, began, output)
    chosen = choose(found, folder, output) if is_asking else found
    if chosen:
        vectors = open_encoder(encoder, output)
        index = update_index(folder, lambda old: old.adding((), chosen, skip_unknown=True), vectors)
    return _report(folder, index, (), len(chosen), began, output)


def _stats(folder: Path, output: Output) -> int:
    from plait.retrieval import load_index
    from plait.retrieval._manifest import VERSION, read_manifest

    began = time.perf_counter()
    index = load_index(folder)
    load_s = time.perf_counter() - began
    manifest = read_manifest(folder)
    used = {name for usage in index.usages for name in usage.tools}
    document = {
        "folder": str(folder),
        "version": VERSION,
        "encoder": manifest.encoder,
        "tools_fingerprint": manifest.tools,
        "n_tools": len(index),
        "n_without_usages": len(index) - len(used),
        "n_usages": len(index.usages),
        "dimension": manifest.dimension,
        "trained": index.parts.second_stage is not None,
        "graphs": [name for name in manifest.files if name.endswith("graph")],
        "size_bytes": sum((folder / name).stat().st_size for name in manifest.files.values()),
        "load_s": load_s,
    }
    if output.as_json:
        output.document(document)
    else:
        output.text("\n".join(f"{name}\t{_shown(value)}" for name, value in document.items()))
    return OK


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return ", ".join(value) or "none" if isinstance(value, list) else str(value)


def _toolbox(tools: str | None) -> Toolbox:
    from plait.apps.evaluation._sixteen import assistant_toolbox, toolbox_from_file

    if tools is None:
        return assistant_toolbox()
    return toolbox_from_file(Path(tools)) if tools.endswith(".json") else load_toolbox(tools)


def _usages(paths: list[Path] | None) -> list[Usage]:
    from plait.retrieval import read_usages

    return [usage for path in paths or () for usage in read_usages(path)]


def open_encoder(name: str, output: Output) -> Encoder:
    """The encoder of ``--encoder``; one of the catalog that is not there yet is downloaded.

    Raises:
        PlaitError: it cannot be had, and why.
    """
    from plait.retrieval import SentenceTransformerEncoder, load_encoder

    if name.startswith(_SENTENCE_TRANSFORMERS):
        with waiting(output.console, f"loading {name}"):
            return SentenceTransformerEncoder(name.removeprefix(_SENTENCE_TRANSFORMERS))
    if name in ENCODERS:
        with transfer_progress(output.console, name) as progress:
            return load_encoder(name, progress=progress)
    return load_encoder(name)


@contextmanager
def encoding_progress(output: Output, title: str = "encoding") -> Iterator[Callable[[int, int], None]]:
    """What shows how many texts are encoded, or how much of something else is done."""
    from rich.progress import Progress

    with Progress(console=output.console, transient=True, disable=not is_animated(output.console)) as bar:
        task = bar.add_task(title, total=None, visible=False)
        yield lambda n_done, n_texts: bar.update(task, completed=n_done, total=n_texts, visible=True)


def _notes(index: Tool2Vec, usages: list[Usage]) -> tuple[str, ...]:
    from plait.retrieval._building import left_out

    return left_out(usages, index.names)


def _report(
    folder: Path, index: Tool2Vec, notes: tuple[str, ...], n_encoded: int, began: float, output: Output
) -> int:
    for note in notes:
        output.note(note, "yellow")
    n_tools, n_usages = len(index), len(index.usages)
    seconds = time.perf_counter() - began
    if output.as_json:
        output.document(
            {
                "folder": str(folder),
                "n_tools": n_tools,
                "n_usages": n_usages,
                "n_encoded": n_encoded,
                "notes": list(notes),
                "seconds": seconds,
            }
        )
    else:
        counts = f"{n_tools} tools, {n_usages} usages; {n_encoded} texts encoded"
        output.text(f"{folder}: {counts}, {seconds:.1f} s")
    return OK
