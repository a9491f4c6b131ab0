"""Awaiting in a context of its own."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context

import pytest

from plait.orchestrator._context import InContext

pytestmark = pytest.mark.anyio

_SEEN: ContextVar[str] = ContextVar("seen", default="nothing")


async def test_what_is_awaited_sets_variables_in_its_own_context_alone() -> None:
    context = copy_context()

    async def call() -> str:
        _SEEN.set("before")
        await asyncio.sleep(0)
        return _SEEN.get()

    assert await InContext(call(), context) == "before"
    assert _SEEN.get() == "nothing"
    assert context[_SEEN] == "before"


async def test_it_tells_whether_it_had_to_wait() -> None:
    async def at_once() -> int:
        return 1

    async def later() -> int:
        await asyncio.sleep(0)
        return 2

    first, second = InContext(at_once(), copy_context()), InContext(later(), copy_context())

    assert (await first, first.waited) == (1, False)
    assert (await second, second.waited) == (2, True)


async def test_a_future_is_awaited_too() -> None:
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, 7)

    assert await InContext(future, copy_context()) == 7


async def test_an_exception_comes_out_as_it_was_raised() -> None:
    async def call() -> None:
        await asyncio.sleep(0)
        raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        await InContext(call(), copy_context())


async def test_cancelling_reaches_what_is_awaited_and_its_clean_up_runs_in_its_context() -> None:
    cleaned: list[str] = []
    began = asyncio.Event()

    async def call() -> None:
        _SEEN.set("inside")
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            cleaned.append(_SEEN.get())

    async def wrapped() -> None:
        await InContext(call(), copy_context())

    task = asyncio.create_task(wrapped())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == ["inside"]


async def test_what_swallows_its_cancelling_goes_on() -> None:
    began = asyncio.Event()

    async def call() -> str:
        try:
            began.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "went on"
        return "never"

    async def wrapped() -> object:
        return await InContext(call(), copy_context())

    task = asyncio.create_task(wrapped())
    await began.wait()
    task.cancel()
    assert await task == "went on"
