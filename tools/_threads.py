"""Sync functions of tools, each in a daemon thread of its own.

A pool would bound how many run at once, and one whose call hangs would keep the interpreter from
ending; the few tens of microseconds that a thread costs are nothing to a call that blocks.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Mapping
from typing import Any


async def call_in_thread(function: Callable[..., Any], keywords: Mapping[str, Any]) -> Any:
    """``function(**keywords)`` in a new thread, with the caller's context variables.

    Cancelled while the function runs, it returns at once; the thread runs on and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def deliver(result: Any, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is None:
            outcome.set_result(result)
        else:
            outcome.set_exception(error)

    def work() -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = context.run(function, **keywords)
        except StopIteration as error:  # a future refuses it
            failure = RuntimeError(f"StopIteration: {error}")
        except BaseException as error:  # noqa: BLE001  (re-raised in the caller's task)
            failure = error
        try:
            loop.call_soon_threadsafe(deliver, result, failure)
        except RuntimeError:
            if not loop.is_closed():
                raise

    threading.Thread(target=work, name=f"plait-{getattr(function, '__name__', 'tool')}", daemon=True).start()
    return await outcome
