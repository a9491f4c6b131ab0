"""Running scripts of macOS: the script is a constant, and what users and models say are its arguments."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from plait.errors import ToolCallError
from plait.tools.assistant._ics import one_line

SCRIPT_TIMEOUT_S = 90.0  # the first start of an application, or a question of macOS to the user
_NOT_ALLOWED = -1743
_NUMBER = re.compile(r"\((-?\d+)\)\s*$")


@dataclass(frozen=True)
class Script:
    """A script for one application. Nothing is ever put into its text."""

    application: str
    language: Literal["AppleScript", "JavaScript"]
    text: str
    """Has a handler ``run(argv)``."""


class ScriptRunner(Protocol):
    """Runs scripts."""

    def __call__(self, script: Script, arguments: Sequence[str]) -> str:
        """What the ``run`` handler returns, given these arguments. It blocks.

        Raises:
            ToolCallError: it failed, or macOS does not allow it; the message says what the user can do.
        """
        ...


def system_osascript() -> ScriptRunner | None:
    """The runner of this machine; None where it is no Mac."""
    command = shutil.which("osascript") if sys.platform == "darwin" else None
    return Osascript(command) if command else None


@dataclass(frozen=True)
class Osascript:
    """A ``ScriptRunner`` that starts ``osascript`` with the script on its standard input.

    Args:
        command: the program's path.
        timeout_s: how long a script may take.
    """

    command: str
    timeout_s: float = SCRIPT_TIMEOUT_S

    def __call__(self, script: Script, arguments: Sequence[str]) -> str:
        """Run the script in a process of its own, without a shell."""
        argv = [self.command, "-l", script.language, "-", *(a.replace("\0", "") for a in arguments)]
        try:
            done = subprocess.run(  # noqa: S603
                argv,
                input=script.text,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ToolCallError(
                f"{script.application} did not answer within {self.timeout_s:g} s; it may have done what was "
                "asked or not; look whether it waits for an answer of yours"
            ) from error
        except (OSError, ValueError) as error:
            raise ToolCallError(f"{self.command} cannot be started: {error}") from error
        if done.returncode:
            raise _failure(script.application, done.stderr)
        return done.stdout.removesuffix("\n")


def run_json(runner: ScriptRunner, script: Script, **arguments: Any) -> Any:
    """What a JavaScript handler returns as JSON, given its arguments as one JSON object.

    Raises:
        ToolCallError: as the runner, or the answer is no JSON.
    """
    answer = runner(script, [json.dumps(arguments)])
    try:
        return json.loads(answer)
    except ValueError as error:
        raise ToolCallError(
            f"{script.application} answered what is no JSON: {one_line(answer)[:100]!r}"
        ) from error


def _failure(application: str, said: str) -> ToolCallError:
    reason = one_line(said)
    number = _NUMBER.search(reason)
    if number and int(number[1]) == _NOT_ALLOWED:
        return ToolCallError(
            f"macOS does not let plait use {application}; allow it in System Settings, Privacy & Security, "
            "Automation"
        )
    return ToolCallError(
        f"{application} failed: {reason.rpartition('execution error: ')[2] or 'no reason given'}"
    )
