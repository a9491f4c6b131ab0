"""Asking the user, at the terminal, which calls may be made."""

from __future__ import annotations

import os
import sys
from collections.abc import Set

from rich.text import Text

from plait.apps._output import Output, printable
from plait.apps._view import RunView
from plait.orchestrator import ApprovalRequest, Approver
from plait.planners import print_value
from plait.tools import call_in_thread, to_jsonable


def can_ask() -> bool:
    """Whether there is somebody to ask: a terminal to show the question on, and one to answer at."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def terminal_approver(output: Output, view: RunView) -> Approver:
    """Asks at the terminal; ``view`` makes room for the question."""

    async def ask(request: ApprovalRequest) -> bool | Set[int]:
        known = {str(call.task.id): call.task.id for call in request.calls}
        view.pause()
        try:
            show_request(output, request)
            _forget_typed_ahead()
            answer: bool | Set[int] | None = None
            while answer is None:
                output.console.print(Text(_question(len(known)), style="bold"), end=" ")
                line = await call_in_thread(_read_line, {})
                answer = read_answer(line, known)
        except BaseException:  # the prompt's line is still open
            output.console.print()
            raise
        if not line:
            output.console.print()
        view.resume()
        return answer

    return ask


def show_request(output: Output, request: ApprovalRequest) -> None:
    """The calls that wait for an approval, with their real arguments."""
    title = "This call changes or sends" if len(request.calls) == 1 else "These calls change or send"
    output.note(f"\n{title} something:", style="bold")
    for call in request.calls:
        number, tool = call.task.id, call.tool
        output.console.print(
            Text.assemble((printable(f"  {number}. {tool.name}"), "bold"), f"  {printable(tool.description)}")
        )
        for name, fact in call.facts.items():
            others = "  (written by others)" if name in call.untrusted_facts else ""
            output.note(f"{name}: {fact}{others}", style="yellow" if others else "", indent=7)
        for name, value in call.arguments.items():
            written = f"  (written for you from {_shown(call.written[name])})" if name in call.written else ""
            output.note(f"{name} = {_shown(value)}{written}", indent=7)
        if call.untrusted:
            output.note("contains text that others wrote", style="yellow", indent=7)
    for call in request.later:
        output.note(f"Later you are asked about {call.task.id}. {call.tool.name}, written from results then.")


def read_answer(line: str, known: dict[str, int]) -> bool | Set[int] | None:
    """All, none, or some of the ``known`` numbers; ``None`` if ``line`` says none of these."""
    words = line.replace(",", " ").lower().split()
    if not line or words in (["n"], ["no"]):
        return False
    if words in (["y"], ["yes"]):
        return True
    return {known[word] for word in words} if words and all(word in known for word in words) else None


def _question(n_calls: int) -> str:
    if n_calls == 1:
        return "Make it? [y]es or [n]o:"
    return "Make them? [y]es, [n]o, or the numbers of those to make:"


def _read_line() -> str:
    """A line of the terminal; empty at its end. Unbuffered: a thread that waits here holds no lock."""
    return os.read(sys.stdin.fileno(), 4096).decode(errors="replace")


def _forget_typed_ahead() -> None:
    """What was typed before the question was asked is no answer to it."""
    if sys.platform != "win32":
        import termios

        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


def _shown(value: object) -> str:
    try:
        return print_value(value)
    except (TypeError, ValueError):
        return str(to_jsonable(value))
