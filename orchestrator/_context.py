"""Awaiting in a context of its own, without a task of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextvars import Context
from typing import Any


class InContext:
    """Awaits ``awaitable`` with every step of it in ``context``, as a task would.

    Args:
        awaitable: what is awaited, once.
        context: where it reads and sets its context variables.
    """

    __slots__ = ("_awaitable", "_context", "waited")

    def __init__(self, awaitable: Awaitable[Any], context: Context) -> None:
        self._awaitable = awaitable
        self._context = context
        self.waited = False
        """Whether it had to wait for anything so far."""

    def __await__(self) -> Generator[Any, Any, Any]:
        run = self._context.run
        steps = run(self._awaitable.__await__)
        step: Callable[..., Any] = steps.__next__
        value: tuple[Any, ...] = ()
        try:
            while True:
                try:
                    awaited = run(step, *value)
                except StopIteration as end:
                    return end.value
                self.waited = True
                try:
                    sent = yield awaited
                except BaseException as error:
                    throw = getattr(steps, "throw", None)
                    if throw is None:
                        raise
                    step, value = throw, (error,)
                else:
                    step, value = (steps.__next__, ()) if sent is None else (steps.send, (sent,))
        finally:
            close = getattr(steps, "close", None)
            if close is not None:
                run(close)
