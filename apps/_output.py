"""What a command says and how it ends.

Results and JSON go to standard output, everything else to standard error, so that a pipe carries results
alone. With ``--json`` there is one document, whatever happens.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
import unicodedata
from collections.abc import Callable
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from plait.errors import ConfigurationError, PlaitError, RunError, UnknownModelError

OK, FAILED, USAGE, DECLINED, INTERRUPTED = 0, 1, 2, 3, 130

_BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def error_document(error: PlaitError) -> dict[str, Any]:
    """The document of a command that failed."""
    return {"error": {"type": type(error).__name__, "message": str(error)}}


class Output:
    """Where a command writes to.

    Args:
        as_json: one JSON document on standard output in the place of text.
        debug: tracebacks for errors.
        failure: makes the document of a command that came to nothing from the reason.
    """

    def __init__(
        self,
        *,
        as_json: bool,
        debug: bool = False,
        failure: Callable[[PlaitError], dict[str, Any]] = error_document,
    ) -> None:
        self.as_json = as_json
        self.console = Console(stderr=True, emoji=False, highlight=False)
        """Standard error."""
        self.results = Console(emoji=False, highlight=False)
        """Standard output, for results that are tables."""
        self._debug = debug
        self._failure = failure
        self._has_document = False
        self._is_interrupted = False

    def document(self, document: Any) -> None:
        """Write the command's JSON document; the first one is the one."""
        if not self._has_document:
            self._has_document = True
            is_unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
            typer.echo(json.dumps(document, ensure_ascii=not is_unicode, indent=2))

    def text(self, text: str) -> None:
        """Write a result: as it is into a pipe, harmless on a terminal."""
        typer.echo(printable(text) if sys.stdout.isatty() else text)

    def entry(self, title: str, facts: str, description: str) -> None:
        """Write one entry of a listing: a block on a terminal, a line with tabs into a pipe."""
        if sys.stdout.isatty():
            console = Console(emoji=False, highlight=False)
            console.print(Text(title, style="bold"))
            console.print(
                Padding(Text.assemble((facts, "cyan"), "  ", description), (0, 0, 0, 2), expand=False)
            )
        else:
            typer.echo("\t".join((title, " ".join(facts.split()), description)))

    def note(self, text: str, style: str = "", indent: int = 0) -> None:
        """Say something beside the result; on a terminal, its lines all begin ``indent`` columns in."""
        self._print(Text(printable(text), style=style), indent)

    def trace(self, error: BaseException) -> None:
        """With ``--debug``, say where an error comes from."""
        if self._debug:
            self.note("".join(traceback.format_exception(error)).rstrip(), style="dim")

    def error(self, error: BaseException) -> None:
        """Say what went wrong, in one sentence; with ``--debug``, where."""
        self.trace(error)
        self._print(Text.assemble(("error:", "bold red"), f" {printable(str(error))}"))

    def fail(self, error: PlaitError) -> None:
        """Say that the command came to nothing, and why."""
        if self.as_json:
            self.document(self._failure(error))
        self.error(error)

    def interrupted(self, document: Any = None, account: str = "Interrupted before it was done.") -> None:
        """Say that the command was interrupted, and how far it had come; what is said first is said."""
        if self._is_interrupted:
            return
        self._is_interrupted = True
        if self.as_json:
            self.document(document or self._failure(RunError("it was interrupted before it was done")))
        self.note(account, style="yellow")

    def _print(self, text: Text, indent: int = 0) -> None:
        if self.console.is_terminal:
            self.console.print(Padding(text, (0, 0, 0, indent), expand=False))
        else:
            self.console.print(" " * indent, text, sep="", soft_wrap=True)


def execute(work: Callable[[], int], output: Output) -> None:
    """Do ``work`` and exit with its code, or with the one that fits what went wrong."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an answer must get into a pipe of any encoding
    try:
        code = work()
    except KeyboardInterrupt:
        output.interrupted()
        code = INTERRUPTED
    except PlaitError as error:
        output.fail(error)
        code = USAGE if isinstance(error, (ConfigurationError, UnknownModelError)) else FAILED
    except BrokenPipeError:  # whoever read standard output has left; flushing at exit must not fail too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    except Exception as error:  # noqa: BLE001  (the program ends here, and says so in one sentence)
        output.fail(_unforeseen(error))
        code = FAILED
    raise typer.Exit(code)


def leave(code: int) -> NoReturn:
    """End the process at once: no thread that still decodes, or blocks in a tool, may hold it up."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _unforeseen(error: Exception) -> PlaitError:
    what = " ".join(f"{type(error).__name__}: {error}".split())
    unforeseen = PlaitError(f"plait failed unexpectedly ({what}); --debug shows where, please report it")
    unforeseen.__cause__ = error
    return unforeseen


def printable(text: str) -> str:
    """``text`` with everything that could steer a terminal, or turn its reading direction, as escapes."""
    return "".join(_escape(c) if _steers(c) else c for c in text)


def _steers(character: str) -> bool:
    if character in "\n\t":
        return False
    return unicodedata.category(character) in {"Cc", "Cs"} or ord(character) in _BIDI


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
