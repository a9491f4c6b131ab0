"""The requests of all who talk to one server, one after another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

from plait.apps.assistant import Session, Turn
from plait.errors import PlaitError

_MAX_NAMES = 1000
_log = logging.getLogger("plait")


class Turns:
    """Starts a session's turns and sees them to their end, whoever asked and whoever has left since.

    Args:
        session: what carries them out.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._running: set[asyncio.Task[Any]] = set()
        self._named: dict[str, int] = {}

    async def start(self, query: str, *, name: str | None = None) -> int:
        """Begin a turn; gives its number.

        Args:
            query: the request.
            name: what the sender calls it; sent again under the same name it is not done again.

        Raises:
            BusyError: another turn is running, or the settings are being changed.
            ConfigurationError: the request is empty.
        """
        if name in self._named:
            return self._named[name]
        async with aclosing(self._session.follow(self._session.last_event)) as entries:
            turn = self._keep(self._session.ask(query))
            begun = asyncio.ensure_future(anext(entries))
            try:
                await asyncio.wait({turn, begun}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                begun.cancel()
                await asyncio.wait({begun})
        if turn.done() and not turn.cancelled():
            turn.result()  # raises, where the session refused
        number = len(self._session.turns)
        if name is not None:
            self._named[name] = number
            if len(self._named) > _MAX_NAMES:
                del self._named[next(iter(self._named))]
        return number

    def cancel(self, turn: int) -> bool:
        """Cancel that turn, if it is the one that runs."""
        current = self._session.current
        return current is not None and current.number == turn and self._session.cancel()

    def _keep(self, work: Coroutine[Any, Any, Turn]) -> asyncio.Task[Turn]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._let_go)
        return task

    def _let_go(self, task: asyncio.Task[Turn]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, PlaitError):
            _log.error("a turn ended with a bug", exc_info=error)
