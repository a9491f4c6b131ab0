"""``plait models``: list, pull, verify, remove."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from plait.apps._progress import transfer_progress
from plait.errors import PlaitError, UnknownModelError
from plait.models import CATALOG, DEFAULT_MODEL, installed, pull, remove, verify

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

Name = Annotated[str, typer.Argument(help="The model's name in the catalog.")]
AsJSON = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.command("list")
def list_models(as_json: AsJSON = False, debug: Debug = False) -> None:
    """List the catalog and what of it is installed."""
    _execute(lambda: _list(as_json=as_json), debug=debug)


@app.command("pull")
def pull_model(name: Name = DEFAULT_MODEL, as_json: AsJSON = False, debug: Debug = False) -> None:
    """Fetch a model and check its hash; an interrupted download is resumed."""

    def work() -> None:
        with transfer_progress(Console(stderr=True), name) as progress:
            path = pull(name, progress=progress)
        _say({"name": name, "path": str(path), "size_bytes": path.stat().st_size}, str(path), as_json=as_json)

    _execute(work, debug=debug)


@app.command("verify")
def verify_model(name: Name = DEFAULT_MODEL, as_json: AsJSON = False, debug: Debug = False) -> None:
    """Compute an installed model's hash and compare it with what it should be."""

    def work() -> None:
        with transfer_progress(Console(stderr=True), name) as progress:
            path = verify(name, progress=progress)
        _say({"name": name, "path": str(path), "ok": True}, f"{path} is what it should be", as_json=as_json)

    _execute(work, debug=debug)


@app.command("remove")
def remove_model(name: Name, as_json: AsJSON = False, debug: Debug = False) -> None:
    """Delete an installed model."""

    def work() -> None:
        freed = remove(name)
        _say({"name": name, "freed_bytes": freed}, f"{name} is gone, {_size(freed)} freed", as_json=as_json)

    _execute(work, debug=debug)


def _list(*, as_json: bool) -> None:
    here = {model.name: model for model in installed()}
    if as_json:
        entries = [
            {
                "name": spec.name,
                "description": spec.description,
                "parameters": spec.parameters,
                "quantization": spec.quantization,
                "size_bytes": spec.size_bytes,
                "licence": spec.licence,
                "default": spec.name == DEFAULT_MODEL,
                "installed": spec.name in here,
                "verified": spec.name in here and here[spec.name].verified,
                "path": str(here[spec.name].path) if spec.name in here else None,
            }
            for spec in CATALOG.values()
        ]
        typer.echo(json.dumps(entries, indent=2))
        return
    table = Table("model", "size", "licence", "installed", "", box=None, pad_edge=False, header_style="bold")
    for spec in CATALOG.values():
        model = here.get(spec.name)
        state = "-" if model is None else "yes" if model.verified else "yes, not verified"
        size = _size(spec.size_bytes) if spec.size_bytes else "?"
        mark = "default" if spec.name == DEFAULT_MODEL else ""
        table.add_row(
            spec.name, size, spec.licence, state, f"{spec.description} {f'({mark})' if mark else ''}"
        )
    Console().print(table)


def _say(document: dict[str, Any], text: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(document, indent=2) if as_json else text)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def _execute(work: Callable[[], None], *, debug: bool) -> None:
    try:
        work()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except PlaitError as error:
        if debug:
            raise
        Console(stderr=True).print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2 if isinstance(error, UnknownModelError) else 1) from None
