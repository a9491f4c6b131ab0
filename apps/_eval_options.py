"""The options that all benchmarks of ``plait eval`` share, declared once."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from plait.apps._setup import JOINER_HELP, JoinerName, ModelOptions
from plait.errors import ConfigurationError
from plait.models import DEFAULT_MODEL

Categories = Annotated[
    list[str] | None, typer.Option("--category", help="Only these categories; several times, or with commas.")
]


@dataclass(frozen=True, slots=True)
class SharedOptions:
    """What every benchmark can be told, as the command line has it."""

    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="A catalog name, a GGUF file, a server's model as NAME@URL, or langchain:module:name; "
            "several times for several.",
        ),
    ] = None
    planner: Annotated[
        list[str] | None,
        typer.Option(
            help="compiler, compact, tuned, react or native; several times, or with commas; what fits the "
            "model if none is given."
        ),
    ] = None
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server for all models; its key in PLAIT_API_KEY.")
    ] = None
    context_length: Annotated[
        int | None, typer.Option(help="Tokens of prompt and answer together.", min=256)
    ] = None
    category: Categories = None
    limit: Annotated[int | None, typer.Option(help="At most so many items of each category.", min=1)] = None
    sample: Annotated[
        int | None, typer.Option(help="Draw items at random with this seed; without it, the first are taken.")
    ] = None
    ids: Annotated[
        list[str] | None, typer.Option(help="Only these items; with commas, or @FILE with one a line.")
    ] = None
    workers: Annotated[
        int,
        typer.Option(
            help="Items tried at a time: for servers; a local model computes them in shared batches.", min=1
        ),
    ] = 1
    out: Annotated[
        Path | None, typer.Option(help="The folder of the run folders; plait-eval/BENCHMARK if not given.")
    ] = None
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw earlier results of these runs away.")] = False
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Try items again that failed with an error.")
    ] = False
    execute: Annotated[
        bool,
        typer.Option("--execute", help="Carry plans out with made-up tools, and answer: times whole runs."),
    ] = False
    tool_latency: Annotated[
        float, typer.Option(help="Seconds that each made-up call takes; with --execute.", min=0.0)
    ] = 0.0
    joiner: Annotated[JoinerName | None, typer.Option(help=f"{JOINER_HELP} With --execute.")] = None
    price: Annotated[
        str | None, typer.Option(help="Dollars for a million tokens: PROMPT,COMPLETION, e.g. 0.15,0.60.")
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False

    @property
    def models(self) -> tuple[ModelOptions, ...]:
        """Which models are tried."""
        return tuple(self._model(text) for text in self.model or [DEFAULT_MODEL])

    @property
    def planners(self) -> tuple[str, ...]:
        """Which planners are tried; none is what fits each model.

        Raises:
            ConfigurationError: there is no such planner.
        """
        from plait.orchestrator import PLANNERS

        chosen = tuple(split(self.planner))
        for planner in chosen:
            if planner not in PLANNERS:
                raise ConfigurationError(
                    f"there is no planner {planner!r}; choose from {', '.join(PLANNERS)}"
                )
        return tuple(dict.fromkeys(chosen))

    def _model(self, text: str) -> ModelOptions:
        name, at, url = text.partition("@http")
        return ModelOptions(name, f"http{url}" if at else self.base_url, self.context_length)


def with_shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command``, which takes ``options: SharedOptions``, all of them as options of its own."""
    hints = get_type_hints(SharedOptions, include_extras=True)
    shared = [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if f.default is MISSING else f.default,
            annotation=hints[f.name],
        )
        for f in fields(SharedOptions)
    ]
    own_hints = get_type_hints(command, include_extras=True)
    own = [
        p.replace(annotation=own_hints[p.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(command).parameters.values()
        if p.name != "options"
    ]

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        names = {f.name for f in fields(SharedOptions)}
        options = SharedOptions(**{name: given.pop(name) for name in names})
        command(**given, options=options)

    wrapper.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in [*own, *shared]}
    del wrapper.__wrapped__  # typer must read the signature above
    return wrapper


def split(texts: list[str] | None) -> list[str]:
    """The parts of options that may be given several times, or with commas."""
    return [part.strip() for text in texts or () for part in text.split(",") if part.strip()]


def read_ids(texts: list[str] | None) -> tuple[str, ...]:
    """The ids of ``--ids``, those of files included.

    Raises:
        ConfigurationError: a file cannot be read, or the option is there and names none.
    """
    found: list[str] = []
    for part in split(texts):
        if not part.startswith("@"):
            found.append(part)
            continue
        try:
            lines = Path(part[1:]).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"--ids {part} cannot be read ({error}); give a text file") from error
        found += [line.strip() for line in lines if line.strip()]
    return _some(tuple(found), texts, "--ids")


def read_categories(texts: list[str] | None) -> tuple[str, ...]:
    """The names of ``--category``.

    Raises:
        ConfigurationError: the option is there and names none.
    """
    return _some(tuple(split(texts)), texts, "--category")


def _some(found: tuple[str, ...], texts: list[str] | None, option: str) -> tuple[str, ...]:
    if texts and not found:  # none would be all
        raise ConfigurationError(f"{option} names nothing; leave it out to take all")
    return found


def command_line() -> tuple[str, ...]:
    """How this process was called, without the folder of the program."""
    return (Path(sys.argv[0]).name, *sys.argv[1:])
