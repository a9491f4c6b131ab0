"""Where the chat's lines come from: a terminal, or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from plait.apps.assistant._completion import Completion
from plait.errors import MissingExtraError
from plait.tools import call_in_thread

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession


class Reader(Protocol):
    """Gives the user's lines, one by one."""

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody who can be asked."""
        ...

    async def request(self) -> str:
        """The next request.

        Raises:
            EOFError: there is none any more.
            KeyboardInterrupt: the user does not want to finish the line.
        """
        ...

    async def reply(self, question: str, default: str = "") -> str:
        """The answer to a question; what was typed before it was asked is none. Raises as :meth:`request`."""
        ...

    def interrupt(self) -> bool:
        """End the line that is being typed with KeyboardInterrupt; ``False`` where none is."""
        ...


class PipeReader:
    """Reads requests from standard input, a line each; nobody can be asked."""

    can_ask = False

    async def request(self) -> str:
        """The next line."""
        line: str = await call_in_thread(sys.stdin.readline, {})
        if not line:
            raise EOFError
        return line.strip()

    async def reply(self, question: str, default: str = "") -> str:
        """Nobody answers."""
        raise EOFError

    def interrupt(self) -> bool:
        """No line is being typed."""
        return False


class TerminalReader:
    """Reads at the terminal, with editing, completion and earlier inputs; shows on standard error.

    Args:
        complete: what a line may become.
        inputs: the file of earlier inputs; ``None`` keeps none.

    Raises:
        MissingExtraError: prompt_toolkit is not installed.
    """

    can_ask = True

    def __init__(self, complete: Callable[[str], Iterable[Completion]], inputs: Path | None) -> None:
        try:
            from prompt_toolkit import PromptSession
            from prompt_toolkit.history import FileHistory, InMemoryHistory
            from prompt_toolkit.output import create_output
        except ImportError as error:
            raise MissingExtraError("prompt_toolkit", "assistant") from error
        output = create_output(sys.stderr)
        if inputs is not None:
            inputs.touch(mode=0o600)
        history = InMemoryHistory() if inputs is None else FileHistory(str(inputs))
        self._requests: PromptSession[str] = PromptSession(
            history=history, completer=_completer(complete), complete_in_thread=True, output=output
        )
        self._replies: PromptSession[str] = PromptSession(history=InMemoryHistory(), output=output)

    async def request(self) -> str:
        """The next line, typed at the prompt."""
        return (await self._requests.prompt_async("> ", handle_sigint=False)).strip()

    async def reply(self, question: str, default: str = "") -> str:
        """A line typed after the question has been shown."""
        _forget_typed_ahead()
        return (
            await self._replies.prompt_async(f"{question} ", default=default, handle_sigint=False)
        ).strip()

    def interrupt(self) -> bool:
        """End the prompt that is open."""
        for session in (self._requests, self._replies):
            if session.app.is_running:
                session.app.exit(exception=KeyboardInterrupt())
                return True
        return False


def _completer(complete: Callable[[str], Iterable[Completion]]) -> Any:
    from prompt_toolkit.completion import CompleteEvent, Completer
    from prompt_toolkit.completion import Completion as Shown
    from prompt_toolkit.document import Document

    class Names(Completer):
        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Shown]:
            for found in complete(document.text_before_cursor):
                yield Shown(found.text, start_position=-found.length)

    return Names()


def _forget_typed_ahead() -> None:
    """What was typed before a question was asked is no answer to it."""
    from prompt_toolkit.input.defaults import create_input
    from prompt_toolkit.input.typeahead import clear_typeahead

    clear_typeahead(create_input())
    if sys.platform != "win32":
        import termios

        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
