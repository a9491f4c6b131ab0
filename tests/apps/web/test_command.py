"""``plait serve`` as a process: the link it prints, Ctrl-C, what is wrong at its start."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from plait.apps.web import bind

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal for one other process")
DRIVER = Path(__file__).parents[1] / "driver.py"
DEADLINE_S = 60.0
PLAN = '["1. wait(name=\\"a\\")\\n2. join()"]'


def start(*arguments: str, tools: str = "driver:TOOLS", **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(DRIVER), "serve", "--port", "0", *arguments, "--tools", tools],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SCRIPT": PLAN, **env},
    )


def read_until(stream: Any, text: str) -> str:
    """The line with ``text`` in it."""
    for line in stream:
        if text in line:
            return str(line)
    raise AssertionError(f"{text!r} was never said")


@posix_only
def test_an_interrupt_cancels_the_turn_ends_the_streams_and_is_no_failure() -> None:
    with start() as process:
        link = read_until(process.stdout, "http://127.0.0.1:").strip()
        address, _, token = link.partition("/?token=")
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=address, headers=headers, timeout=DEADLINE_S, trust_env=False) as client:
            assert client.post("/api/requests", json={"text": "Wait"}).status_code == 202
            read_until(process.stderr, "<waiting for a>")
            with client.stream("GET", "/api/events") as events:
                told = ""
                for line in events.iter_lines():
                    told += line
                    if '"type": "started"' in line:
                        process.send_signal(signal.SIGINT)
        error = process.stderr.read() if process.stderr else ""
        assert process.wait(DEADLINE_S) == 0
    assert '"type": "ended"' in told
    assert "Traceback" not in error
    assert "Error" not in error


@posix_only
def test_the_token_may_be_given_and_must_be_a_secret() -> None:
    with start(PLAIT_SERVE_TOKEN="0123456789abcdef") as process:
        assert read_until(process.stdout, "http://").strip().endswith("/?token=0123456789abcdef")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    with start(PLAIT_SERVE_TOKEN="secret") as process:
        read_until(process.stderr, "PLAIT_SERVE_TOKEN has 6 characters")
        assert process.wait(DEADLINE_S) == 2


def test_a_taken_port_is_told_before_a_model_is_loaded() -> None:
    with bind("127.0.0.1", 0) as taken, start("--port", str(taken.getsockname()[1])) as process:
        read_until(process.stderr, "cannot be listened on")
        assert process.wait(DEADLINE_S) == 2


def test_without_the_extra_the_fix_is_told() -> None:
    with start(BLOCKED="uvicorn") as process:
        read_until(process.stderr, "pip install 'plait[serve]'")
        assert process.wait(DEADLINE_S) == 1
