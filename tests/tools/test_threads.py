import asyncio
import contextvars
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from plait.tools._threads import call_in_thread

pytestmark = pytest.mark.anyio

user: contextvars.ContextVar[str] = contextvars.ContextVar("user")


async def test_it_runs_in_a_daemon_thread_of_its_own_and_gives_the_result() -> None:
    def run(x: int) -> tuple[int, threading.Thread]:
        return x, threading.current_thread()

    result, thread = await call_in_thread(run, {"x": 1})
    assert result == 1
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert thread.name == "plait-run"


async def test_context_variables_are_carried_in_and_not_out() -> None:
    def swap() -> str:
        before = user.get()
        user.set("other")
        return before

    user.set("sid")
    assert await call_in_thread(swap, {}) == "sid"
    assert user.get() == "sid"


async def test_calls_run_at_once_however_many_there_are() -> None:
    barrier = threading.Barrier(50)
    indices = await asyncio.gather(*(call_in_thread(barrier.wait, {}) for _ in range(50)))
    assert sorted(indices) == list(range(50))


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyError("k"), asyncio.CancelledError()])
async def test_what_it_raises_is_raised_in_the_caller(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await call_in_thread(fail, {})
    assert caught.value is error


@pytest.mark.parametrize("stop", [StopIteration("end"), StopAsyncIteration("end")])
async def test_the_end_of_an_iterator_does_not_hang_the_caller(stop: Exception) -> None:
    def fail() -> None:
        raise stop

    with pytest.raises((RuntimeError, StopAsyncIteration), match="end"):
        await call_in_thread(fail, {})


async def test_cancelling_returns_while_the_function_still_runs() -> None:
    started, release, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def block() -> None:
        loop.call_soon_threadsafe(started.set)
        release.wait()
        ended.set()

    task = asyncio.create_task(call_in_thread(block, {}))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ended.is_set()
    release.set()
    assert ended.wait(10)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_late_outcome_is_dropped_in_silence(fails: bool) -> None:
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    started, release = asyncio.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def block() -> str:
        threads.append(threading.current_thread())
        loop.call_soon_threadsafe(started.set)
        release.wait()
        if fails:
            raise ValueError
        return "late"

    task = asyncio.create_task(call_in_thread(block, {}))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    threads[0].join()
    taken = asyncio.Event()
    loop.call_soon(taken.set)  # after what the thread delivered
    await taken.wait()
    assert complaints == []


def test_an_outcome_after_the_end_of_the_loop_is_dropped_in_silence() -> None:
    release = threading.Event()
    threads: list[threading.Thread] = []

    def block() -> None:
        threads.append(threading.current_thread())
        release.wait()

    async def main() -> None:
        async with asyncio.timeout(0.01):
            await call_in_thread(block, {})

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    release.set()
    threads[0].join()  # pytest makes an error of what a thread raises


def test_a_function_that_hangs_does_not_keep_the_interpreter_from_ending() -> None:
    script = """
        import asyncio, threading
        from langchain_core.tools import tool as langchain_tool
        from plait.errors import ToolTimeoutError
        from plait.tools import Tool, from_langchain

        def hang() -> None:
            "Hang."
            threading.Event().wait()

        async def main():
            foreign = from_langchain(langchain_tool(hang), timeout_s=0.01)
            for tool in (Tool.from_function(hang, timeout_s=0.01), foreign):
                try:
                    await tool.ainvoke({})
                except ToolTimeoutError as error:
                    print(error)

        asyncio.run(main())
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout.splitlines() == [
        "hang did not answer within 0.01 s",
        "hang did not answer within 0.01 s",
    ]
    assert (ended.returncode, ended.stderr) == (0, "")
