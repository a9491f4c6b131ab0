"""``plait models``: list, pull, show, bench, quantize, verify, remove."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from plait.apps._model_bench import bench
from plait.apps._model_quantize import ImportanceOptions, quantize
from plait.apps._model_show import show, size
from plait.apps._output import OK, Output, execute
from plait.apps._progress import transfer_progress
from plait.models import (
    CATALOG,
    DEFAULT_ENCODER,
    DEFAULT_MODEL,
    ENCODERS,
    RECOGNIZER,
    SPEECH,
    VOICE,
    EncoderSpec,
    InstalledModel,
    ModelSpec,
    SpeechSpec,
    installed,
    pull,
    remove,
    verify,
)

_Spec = ModelSpec | EncoderSpec | SpeechSpec
_DEFAULTS = frozenset({DEFAULT_MODEL, DEFAULT_ENCODER, RECOGNIZER, VOICE})

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


class KVTypeName(StrEnum):
    """How keys and values may be stored."""

    F16 = "f16"
    Q8_0 = "q8_0"


Name = Annotated[str, typer.Argument(help="The model's name in the catalog.")]
AsJSON = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.command("list")
def list_models(as_json: AsJSON = False, debug: Debug = False) -> None:
    """List the catalog (models, encoders, recognizers, voices) and what of it is installed."""
    output = Output(as_json=as_json, debug=debug)
    execute(lambda: _list(output), output)


@app.command("pull")
def pull_model(name: Name = DEFAULT_MODEL, as_json: AsJSON = False, debug: Debug = False) -> None:
    """Fetch what the catalog has and check its hash; an interrupted download is resumed."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        with transfer_progress(output.console, name) as progress:
            path = pull(name, progress=progress)
        return _say(output, {"name": name, "path": str(path), "size_bytes": path.stat().st_size}, str(path))

    execute(work, output)


@app.command("show")
def show_model(
    model: Annotated[str, typer.Argument(help="A model of the catalog that is installed, or a GGUF file.")],
    context_length: Annotated[
        int | None, typer.Option(help="Tokens of prompt and answer together.", min=256)
    ] = None,
    kv_type: Annotated[KVTypeName, typer.Option(help="How keys and values are stored.")] = KVTypeName.F16,
    as_json: AsJSON = False,
    debug: Debug = False,
) -> None:
    """Show what is in a GGUF file, what memory it needs and where it would run."""
    output = Output(as_json=as_json, debug=debug)
    execute(lambda: show(model, context_length, kv_type.value, output), output)


@app.command("bench")
def bench_model(
    model: Annotated[str, typer.Argument(help="A model of the catalog that is installed, or a GGUF file.")],
    context_length: Annotated[
        int | None, typer.Option(help="Tokens of prompt and answer together.", min=256)
    ] = None,
    kv_type: Annotated[
        KVTypeName | None, typer.Option(help="How keys and values are stored; as it fits, if not given.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; measured, if not given.", min=1)] = None,
    as_json: AsJSON = False,
    debug: Debug = False,
) -> None:
    """Measure how fast a model is on this machine, and what it takes of memory; up to a minute."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        return bench(
            model,
            context_length=context_length,
            n_threads=threads,
            kv_type=None if kv_type is None else kv_type.value,
            output=output,
        )

    execute(work, output)


@app.command("quantize")
def quantize_model(
    source: Annotated[str, typer.Argument(help="A model of the catalog that is installed, or a GGUF file.")],
    target: Annotated[Path, typer.Argument(help="The file to write.")],
    quantization: Annotated[
        str, typer.Option("--type", "-t", help="llama.cpp's name, such as Q4_K_M, Q8_0 or IQ4_XS.")
    ] = "Q4_K_M",
    text: Annotated[
        Path | None,
        typer.Option(help="Text like what the model is used for; weights that matter for it keep more."),
    ] = None,
    importance: Annotated[
        Path | None, typer.Option(help="An importance matrix in the place of a text.")
    ] = None,
    save_importance: Annotated[
        Path | None, typer.Option(help="Where to keep the importance matrix of the text.")
    ] = None,
    chunk_length: Annotated[
        int | None, typer.Option(help="Tokens of text that the model reads at a time; 512 by default.")
    ] = None,
    max_chunks: Annotated[
        int | None, typer.Option(help="Read no more of the text than so many chunks.", min=1)
    ] = None,
    requantize: Annotated[
        bool, typer.Option("--requantize", help="Take a file that is quantized already.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores by default.", min=1)] = None,
    as_json: AsJSON = False,
    debug: Debug = False,
) -> None:
    """Write a GGUF file with fewer bits, and with --text so that what matters for it is kept best."""
    output = Output(as_json=as_json, debug=debug)
    options = ImportanceOptions(text, importance, save_importance, chunk_length, max_chunks)

    def work() -> int:
        return quantize(
            source,
            target,
            quantization,
            options,
            requantize=requantize,
            force=force,
            n_threads=threads,
            output=output,
        )

    execute(work, output)


@app.command("verify")
def verify_model(name: Name = DEFAULT_MODEL, as_json: AsJSON = False, debug: Debug = False) -> None:
    """Compute an installed model's hash and compare it with what it should be."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        with transfer_progress(output.console, name) as progress:
            path = verify(name, progress=progress)
        return _say(output, {"name": name, "path": str(path), "ok": True}, f"{path} is what it should be")

    execute(work, output)


@app.command("remove")
def remove_model(name: Name, as_json: AsJSON = False, debug: Debug = False) -> None:
    """Delete an installed model."""
    output = Output(as_json=as_json, debug=debug)

    def work() -> int:
        freed = remove(name)
        text = f"{name} is gone, {size(freed)} freed" if freed else f"{name} was not installed"
        return _say(output, {"name": name, "freed_bytes": freed}, text)

    execute(work, output)


def _list(output: Output) -> int:
    here = {model.name: model for model in installed()}
    specs: list[_Spec] = [*CATALOG.values(), *ENCODERS.values(), *SPEECH.values()]
    if output.as_json:
        output.document([_entry(spec, here.get(spec.name)) for spec in specs])
        return OK
    for spec in specs:
        model = here.get(spec.name)
        state = "not installed" if model is None else "installed" if model.verified else "not verified"
        n_bytes = _size_bytes(spec)
        text = size(n_bytes) if n_bytes else "-"
        title = f"{spec.name} (default)" if _is_default(spec) else spec.name
        output.entry(title, f"{state:13}  {text:>6}  {spec.licence}", spec.description)
    return OK


def _entry(spec: _Spec, model: InstalledModel | None) -> dict[str, Any]:
    return {
        "name": spec.name,
        "kind": _kind(spec),
        "description": spec.description,
        "parameters": spec.parameters,
        "quantization": spec.quantization if isinstance(spec, ModelSpec) else None,
        "size_bytes": _size_bytes(spec),
        "licence": spec.licence,
        "default": _is_default(spec),
        "installed": model is not None,
        "verified": model is not None and model.verified,
        "path": str(model.path) if model is not None else None,
    }


def _is_default(spec: _Spec) -> bool:
    return spec.name in _DEFAULTS


def _kind(spec: _Spec) -> str:
    if isinstance(spec, SpeechSpec):
        return spec.kind
    return "chat" if isinstance(spec, ModelSpec) else "encoder"


def _size_bytes(spec: _Spec) -> int | None:
    files = [spec] if isinstance(spec, ModelSpec) else spec.files
    sizes = [file.size_bytes for file in files if file.size_bytes is not None]
    return sum(sizes) if len(sizes) == len(files) else None


def _say(output: Output, document: dict[str, Any], text: str) -> int:
    if output.as_json:
        output.document(document)
    else:
        output.text(text)
    return OK
