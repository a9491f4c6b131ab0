"""``plait chat``: a conversation at the terminal.

Answers go to standard output, everything else to standard error. Ctrl-C ends what is going on (the turn, the
question, the line that is being typed) and not the chat.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path

from plait.apps._output import DECLINED, FAILED, INTERRUPTED, OK, Output, leave
from plait.apps._view import RunView
from plait.apps.assistant._approving import decide_at_terminal
from plait.apps.assistant._chat_commands import COMMANDS, Desk, run_command
from plait.apps.assistant._completion import Completion, complete, names_at
from plait.apps.assistant._history import ActionLog
from plait.apps.assistant._questions import Question
from plait.apps.assistant._reader import Reader
from plait.apps.assistant._session import Session, Turn
from plait.apps.assistant._settings import Settings
from plait.apps.assistant._stream import Cleared, Decided, SettingsChanged
from plait.apps.assistant._undo import UndoRegistry
from plait.errors import ApprovalError, PlaitError
from plait.orchestrator import ApprovalRequested, RunFinished
from plait.tools import call_in_thread


class Names:
    """What requests may name; read once for each home, and not while somebody types."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._home: Path | None = None

    async def read(self, settings: Settings) -> None:
        """Read the contacts and files of the settings' home, if it is another one."""
        if settings.tools is None and settings.home != self._home:
            self._home = settings.home
            self._names = await call_in_thread(names_at, {"home": settings.home})

    def complete(self, line: str) -> list[Completion]:
        """What the line may go on with."""
        return complete(line, COMMANDS, self._names)


class Chat:
    """A conversation between one reader and a session.

    Args:
        session: an open session.
        reader: where requests and answers come from.
        output: where answers and all else go to.
        names: what is completed; kept to the session's home.
        log: the history, for the commands about it.
        undo: undoes actions, for the settings.
    """

    def __init__(
        self,
        session: Session,
        reader: Reader,
        output: Output,
        *,
        names: Names,
        log: ActionLog | None,
        undo: Callable[[Settings], UndoRegistry],
    ) -> None:
        self._session = session
        self._reader = reader
        self._output = output
        self._desk = Desk(session, output, log, undo)
        self._names = names
        self._n_interrupts = 0

    async def run(self) -> int:
        """Carry out request after request until there are no more; the exit code of the last one."""
        code = OK
        if self._reader.can_ask:
            self._output.note("Say what is to be done. /help tells more, Ctrl-D leaves.", style="dim")
        with self._interrupts():
            while True:
                self._n_interrupts = 0
                await self._names.read(self._session.settings)
                try:
                    line = await self._reader.request()
                    if line.startswith("/"):
                        await run_command(line, self._desk)
                    elif line:
                        code = self._report(await self._turn(line))
                except KeyboardInterrupt:
                    self._output.note("Ctrl-D leaves.", style="dim")
                except EOFError:
                    return code
                except PlaitError as error:
                    self._output.error(error)

    async def _turn(self, query: str) -> Turn:
        before = self._session.last_event
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._session.ask(query))
            await self._show(before)
        return asking.result()

    async def _show(self, after: int) -> None:
        """Show the turn's events, and ask what is to be asked, until the turn has ended."""
        with RunView(self._output.console) as view:
            async with aclosing(self._session.follow(after)) as entries:
                async for entry in entries:
                    event = entry.event
                    if isinstance(event, (Cleared, Decided, SettingsChanged)):
                        continue
                    view.on_event(event)
                    if isinstance(event, ApprovalRequested) and self._session.question is not None:
                        view.pause()
                        await self._ask(self._session.question)
                        view.resume()
                    elif isinstance(event, RunFinished):
                        return

    async def _ask(self, question: Question) -> None:
        """Get an answer; without one the turn is cancelled, so that nothing is called."""
        if not self._reader.can_ask:
            self._session.decide_all(question.turn, approved=False)
            self._output.note("Calls that write or send were refused: chat at a terminal, or with --yes.")
            return
        try:
            decisions = await decide_at_terminal(question, self._output, self._reader)
        except (EOFError, KeyboardInterrupt):
            self._n_interrupts += 1
            self._session.cancel()
            return
        with suppress(ApprovalError):  # the turn was cancelled meanwhile
            self._session.decide(question.turn, decisions)

    def _report(self, turn: Turn) -> int:
        run = turn.run
        assert run is not None
        if run.answer:
            self._output.text(run.answer)
        if run.error is not None and self._n_interrupts:
            self._output.note("Cancelled. What is marked as done stays done.", style="yellow")
        elif run.error is not None:
            self._output.error(run.error)
        if run.error is None and any(outcome.status == "declined" for outcome in run.tasks):
            return DECLINED
        return OK if run.ok else FAILED

    @contextmanager
    def _interrupts(self) -> Iterator[None]:
        """Take SIGINT for what is going on, while the chat goes on."""
        loop = asyncio.get_running_loop()
        chat = asyncio.current_task()
        assert chat is not None

        def interrupt() -> None:
            self._n_interrupts += 1
            if self._reader.interrupt():
                return
            if self._session.current is None:
                chat.cancel()  # nothing runs and nobody types: a pipe
            elif self._n_interrupts == 1:
                self._session.cancel()
            else:  # what runs does not end
                leave(INTERRUPTED)

        try:
            loop.add_signal_handler(signal.SIGINT, interrupt)
        except NotImplementedError:  # Windows; there Ctrl-C ends the chat
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)
