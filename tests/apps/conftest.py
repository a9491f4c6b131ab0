"""The command line in this process and in one of its own, with a scripted model and own tools; speech."""

import asyncio
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import pytest
from typer.testing import CliRunner, Result

from plait.apps import cli
from plait.apps.voice._audio import SAMPLE_RATE, Samples
from plait.apps.voice._voices import open_voice
from plait.models import VOICE, ScriptedModel, find_speech
from plait.tools import Toolbox, tool

DRIVER = Path(__file__).with_name("driver.py")
DEADLINE_S = 90.0


@tool(read_only=True, open_world=False)
def look_up(name: str) -> str:
    """Look something up."""
    return f"{name} found"


@tool(read_only=True, open_world=False)
def fail(why: str) -> str:
    """Fail."""
    raise ValueError(why)


@tool(read_only=True, open_world=False)
def odd() -> float:
    """Give what JSON has no number for."""
    return float("nan")


@tool(read_only=False, open_world=False)
def save(text: str) -> str:
    """Save a text."""
    return f"saved {text}"


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``invoke(*arguments, replies=...)``: the command in this process, its model scripted.

    Other options are the scripted model's.
    """
    module = ModuleType("sample_tools")
    module.TOOLS = Toolbox([look_up, fail, odd, save])  # type: ignore[attr-defined]
    module.NONE = []  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sample_tools", module)

    def invoke(
        *arguments: str, replies: Sequence[Any] = (), tools: str = "sample_tools:TOOLS", **options: Any
    ) -> Result:
        monkeypatch.setattr(cli, "open_model", lambda *_: ScriptedModel(replies, **options))
        return CliRunner().invoke(cli.app, [*arguments, "--tools", tools])

    return invoke


@dataclass
class Process:
    """A running ``plait`` whose output is read as it comes."""

    popen: subprocess.Popen[bytes]
    texts: dict[int, bytes] = field(default_factory=dict)

    def read_until(self, text: str, fd: int) -> str:
        """Everything that came out of ``fd`` so far, once ``text`` is in it."""
        end = time.monotonic() + DEADLINE_S
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            while text.encode() not in self.texts.setdefault(fd, b""):
                assert selector.select(end - time.monotonic()), (text, self.texts)
                chunk = self.read(fd)
                assert chunk, (text, self.texts)
        return self.texts[fd].decode()

    def read_all(self, fd: int) -> str:
        """All that comes out of ``fd`` to its end."""
        while self.read(fd):
            pass
        return self.texts.get(fd, b"").decode()

    def read(self, fd: int) -> bytes:
        try:
            chunk = os.read(fd, 65536)
        except OSError:  # Linux says so where a terminal's other side was closed
            chunk = b""
        self.texts[fd] = self.texts.get(fd, b"") + chunk
        return chunk

    def exit_code(self) -> int:
        return self.popen.wait(DEADLINE_S)


@contextmanager
def _start(
    *arguments: str,
    replies: Sequence[str] | None = None,
    env: dict[str, str] | None = None,
    tools: str | None = "driver:TOOLS",
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = subprocess.PIPE,
    stderr: int | IO[bytes] | None = subprocess.PIPE,
) -> Iterator[Process]:
    script = {} if replies is None else {"SCRIPT": json.dumps(replies)}
    own = ["--tools", tools] if tools else []
    quiet = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR")}
    popen = subprocess.Popen(
        [sys.executable, str(DRIVER), *arguments, *own],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env={**quiet, "TERM": "xterm", "COLUMNS": "80", **script, **(env or {})},
    )
    with popen:
        try:
            yield Process(popen)
        finally:
            popen.kill()


@pytest.fixture
def start() -> Any:
    """``with start(*arguments, replies=..., env=...) as process``: the command in a process of its own."""
    return _start


def check_document(document: dict[str, Any]) -> None:
    """That a run's JSON document has everything that the documentation promises."""
    assert isinstance(document["answer"], str)
    assert isinstance(document["replans"], int)
    for call in document["plan"]:
        assert set(call) >= {"id", "tool", "arguments"}
        assert isinstance(call["arguments"], dict)
    planned = {call["id"]: call["tool"] for call in document["plan"]}
    assert len(planned) == len(document["plan"])
    for task in document["tasks"]:
        assert set(task) >= {"id", "tool", "status", "result", "error", "started_s", "finished_s"}
        assert planned[task["id"]] == task["tool"]
        assert task["status"] in {"ok", "failed", "skipped", "declined", "cancelled"}
        assert (task["status"] == "ok") <= (task["error"] is None)
        if task["started_s"] is not None:
            assert 0 <= task["started_s"] <= task["finished_s"] <= document["timings"]["total_s"]
    assert set(document["timings"]) >= {"plan_s", "first_call_s", "total_s"}
    assert all(isinstance(n, int) for n in document["tokens"].values())


@pytest.fixture
def check() -> Callable[[dict[str, Any]], None]:
    return check_document


@pytest.fixture(scope="session")
def say(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Samples]]:
    """``say(*lines)``: the lines as piper speaks them, with settings that make it always speak the same."""

    def say(*lines: str) -> list[Samples]:
        fetched = find_speech(VOICE, download=False)
        settings = json.loads((fetched / "config.json").read_text(encoding="utf-8"))
        settings["inference"] |= {"noise_scale": 0.0, "noise_w": 0.0}
        model = tmp_path_factory.mktemp("voice") / "voice.onnx"
        model.symlink_to(fetched / "voice.onnx")
        model.with_name("voice.onnx.json").write_text(json.dumps(settings), encoding="utf-8")

        async def speak() -> list[Samples]:
            voice = await open_voice("piper", pytest.fail, model=model)
            try:
                return [(await voice.speak(line)).at_rate(SAMPLE_RATE).samples for line in lines]
            finally:
                await voice.aclose()

        return asyncio.run(speak())

    return say
