"""What the command line's options mean: a model, a toolbox, an agent."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console

from plait.apps._progress import transfer_progress, waiting
from plait.errors import ConfigurationError
from plait.models import (
    DEFAULT_MODEL,
    ChatModel,
    HTTPModel,
    LangChainModel,
    LlamaModel,
    find_model,
    plain_model,
)
from plait.tools import Toolbox

JOINER_HELP = (
    "What ends a run: model (writes an answer where the results are none yet) or results (shows them, which "
    "takes no time and makes nothing up); what fits the model if not given."
)
_LANGCHAIN = "langchain:"
_LANGCHAIN_CONTEXT = 8192


class JoinerName(StrEnum):
    """The joiners that the command line offers."""

    MODEL = "model"
    RESULTS = "results"


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model to use."""

    model: str = DEFAULT_MODEL
    """A name in the catalog, a GGUF file, what the server calls it, or ``langchain:module:attribute``."""
    base_url: str | None = None
    """An OpenAI-compatible server in the place of the local engine."""
    context_length: int | None = None
    """Tokens of prompt and answer together; ``None`` is the model's own, at most 8192."""


@contextmanager
def open_runner() -> Iterator[asyncio.Runner]:
    """An event loop that does not tell of tasks which a second Ctrl-C tore apart."""

    def tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), KeyboardInterrupt):
            loop.default_exception_handler(context)

    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(tell)
        yield runner


def prepare_model(options: ModelOptions, console: Console) -> None:
    """Fetch what :func:`open_model` will need, as far as it can be told without loading anything.

    Raises:
        PlaitError: there is no such model, or it cannot be fetched.
    """
    if options.model.startswith(_LANGCHAIN):
        _langchain_model(options)
    elif options.base_url is None:
        with transfer_progress(console, options.model) as progress:
            find_model(options.model, progress=progress)


def open_model(options: ModelOptions, runner: asyncio.Runner, console: Console) -> ChatModel:
    """The model of these options; a catalog model that is not there yet is downloaded.

    Files are fetched and loaded outside the loop of ``runner``, where Ctrl-C ends what blocks.

    Args:
        options: which one.
        runner: connects to a server, in the loop in which the model will be used.
        console: shows what is waited for.

    Raises:
        PlaitError: it cannot be had, and why.
    """
    if is_served(options):
        with waiting(console, f"connecting to {options.base_url}"):
            return runner.run(connect_model(options))
    return load_model(options, console)


def is_served(options: ModelOptions) -> bool:
    """Whether the model is at a server: :func:`connect_model` opens it, and otherwise :func:`load_model`."""
    return options.base_url is not None and not options.model.startswith(_LANGCHAIN)


async def connect_model(options: ModelOptions) -> ChatModel:
    """The model at the server of these options.

    Raises:
        PlaitError: it cannot be reached, and why.
    """
    assert options.base_url is not None
    return await HTTPModel.connect(
        options.model,
        base_url=options.base_url,
        api_key=os.environ.get("PLAIT_API_KEY"),
        context_length=options.context_length,
    )


def load_model(options: ModelOptions, console: Console) -> ChatModel:
    """The model of these options that runs here; what is not there yet is downloaded.

    Raises:
        PlaitError: it cannot be had, and why.
    """
    if options.model.startswith(_LANGCHAIN):
        return _langchain_model(options)
    with transfer_progress(console, options.model) as progress:
        found = find_model(options.model, progress=progress)
    with waiting(console, f"loading {found.name}"):
        return LlamaModel(
            found.path, name=found.name, context_length=options.context_length, adapter=found.adapter
        )


def _langchain_model(options: ModelOptions) -> LangChainModel:
    reference = options.model.removeprefix(_LANGCHAIN)
    found = load_attribute(reference, "--model langchain:")
    from langchain_core.language_models import BaseChatModel

    if not isinstance(found, BaseChatModel):
        raise ConfigurationError(
            f"--model langchain:{reference} is of type {type(found).__name__}; "
            "it must be a LangChain chat model"
        )
    return LangChainModel(found, context_length=options.context_length or _LANGCHAIN_CONTEXT)


def default_home(kept: Path | None = None) -> Path:
    """``PLAIT_HOME``, or what was ``kept`` of earlier sessions, or the folder ``plait`` in the user's own."""
    return Path(os.environ.get("PLAIT_HOME") or kept or Path.home() / "plait").expanduser()


def open_toolbox(home: Path, tools: str | None, model: ChatModel | None) -> Toolbox:
    """The assistant's tools over ``home``, or those that ``tools``, a ``module:attribute``, names.

    ``model`` writes summaries, emails and notes; without one the tools can be listed, and those that need it
    fail when they are called.

    Raises:
        ConfigurationError: the home or the attribute cannot be used.
    """
    if tools is not None:
        return load_toolbox(tools)
    if not home.is_dir():
        problem = "is not a folder;" if home.exists() else "does not exist; create it, or"
        raise ConfigurationError(f"the home {home} {problem} choose another with --home or PLAIT_HOME")
    from plait.orchestrator import Summarizer
    from plait.tools.assistant import assistant_tools, system_opener, system_osascript

    opener, native = system_opener(), system_osascript()
    if model is None:
        return Toolbox(assistant_tools(home, opener=opener, native=native))
    from plait.apps.assistant._writers import EmailWriter, NoteWriter

    writer = plain_model(model)
    return Toolbox(
        assistant_tools(
            home,
            summarize=Summarizer(writer),
            write=EmailWriter(writer),
            write_note=NoteWriter(writer),
            opener=opener,
            native=native,
        )
    )


def load_toolbox(reference: str) -> Toolbox:
    """The toolbox that ``reference``, a ``module:attribute``, names.

    Raises:
        ConfigurationError: there is none, or it cannot be used.
    """
    found = load_attribute(reference, "--tools")
    toolbox = found if isinstance(found, Toolbox) else Toolbox(_listed(found, reference))
    if not len(toolbox):
        raise ConfigurationError(f"--tools {reference} has no tools in it; add one")
    return toolbox


def load_attribute(reference: str, option: str) -> Any:
    """What ``reference``, a ``module:attribute``, names; modules of the current folder are found too.

    Raises:
        ConfigurationError: naming ``option`` and why it cannot be loaded.
    """
    module_name, _, attribute = reference.partition(":")
    if not (module_name and attribute):
        raise ConfigurationError(
            f"{option} wants module:attribute, such as my_tools:TOOLS, not {reference!r}"
        )
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = getattr(importlib.import_module(module_name), attribute)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"{option} {reference} cannot be loaded ({why}); mend it") from error
    finally:
        sys.path.pop(0)
    return found


def _listed(found: Any, reference: str) -> list[Any]:
    if isinstance(found, (list, tuple, set, frozenset)):
        return list(found)
    kind = type(found).__name__
    raise ConfigurationError(
        f"--tools {reference} is of type {kind}; it must be a Toolbox or a list of tools"
    )
