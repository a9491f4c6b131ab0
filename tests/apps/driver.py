"""The ``plait`` command with a scripted model, in a process of its own.

``SCRIPT`` is a JSON list of the model's replies; ``STALL`` is the number of the chunk before which a reply
stalls for good; ``GATE`` is a pipe that the tool ``gate`` reads; ``BLOCKED`` names a package that cannot
be imported; with ``TELL_DECODING`` a local model says when it begins. What a test waits for is said on
standard error.
"""

import asyncio
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

if "BLOCKED" in os.environ:
    sys.modules[os.environ["BLOCKED"]] = None  # type: ignore[assignment]

from plait.apps import cli
from plait.models import ScriptedModel
from plait.models._engine import Engine
from plait.tools import tool


@tool(read_only=True, open_world=False)
async def wait(name: str) -> str:
    """Wait for good."""
    say(f"waiting for {name}")
    await asyncio.Event().wait()
    return name


@tool(read_only=True, open_world=False)
def block(name: str) -> str:
    """Block a thread for good."""
    say(f"blocked by {name}")
    threading.Event().wait()
    return name


@tool(read_only=True, open_world=False)
async def block_pool(name: str) -> str:
    """Block a thread of the loop's own pool for good."""
    await asyncio.to_thread(block.function, name)
    return name


@tool(read_only=True, open_world=False)
async def linger(name: str) -> str:
    """Wait for good, and again when cancelled."""
    try:
        return await wait.function(name)
    finally:
        say("clearing up")
        await asyncio.Event().wait()


@tool(read_only=True, open_world=False)
def gate() -> str:
    """Wait until the test writes into the pipe."""
    say("at the gate")
    return Path(os.environ["GATE"]).read_text()


@tool(read_only=True, open_world=False)
def look_up(name: str) -> str:
    """Look something up."""
    return f"{name} found"


@tool(read_only=True, open_world=True)
def fetch(url: str) -> str:
    """Fetch a page."""
    return "\x1b[2J\u202epage"


@tool(read_only=False, open_world=False)
def save(text: str) -> str:
    """Save a text."""
    return f"saved {text}"


TOOLS = [wait, block, block_pool, linger, gate, look_up, fetch, save]


def say(text: str) -> None:
    os.write(2, f"<{text}>\n".encode())


async def stall(number: int) -> None:
    if str(number) == os.environ.get("STALL"):
        say("stalled")
        await asyncio.Event().wait()


def told_decode(self: Engine, chunks: Any) -> Any:
    say("decoding")
    return decode(self, chunks)


def scripted(*_: object) -> ScriptedModel:
    return ScriptedModel(json.loads(os.environ["SCRIPT"]), before_chunk=stall)


if __name__ == "__main__":
    sys.modules["driver"] = sys.modules["__main__"]
    if "SCRIPT" in os.environ:
        cli.open_model = scripted
        if sys.argv[1] == "eval":
            from plait.apps.evaluation import _session

            _session.open_model = scripted
            _session.prepare_model = lambda *_: None
    if "TELL_DECODING" in os.environ:
        decode, Engine.decode = Engine.decode, told_decode
    cli.main()
