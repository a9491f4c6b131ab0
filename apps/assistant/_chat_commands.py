"""The chat's commands: lines that begin with a slash."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from plait.apps._output import Output
from plait.apps._progress import waiting
from plait.apps.assistant._history import ActionLog
from plait.apps.assistant._session import Session
from plait.apps.assistant._settings import Settings
from plait.apps.assistant._undo import UndoRegistry
from plait.errors import ConfigurationError
from plait.tools import call_in_thread

_N_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Desk:
    """What commands work on."""

    session: Session
    output: Output
    log: ActionLog | None
    undo: Callable[[Settings], UndoRegistry]


@dataclass(frozen=True, slots=True)
class Command:
    """One command."""

    usage: str
    help: str
    do: Callable[[Desk, str], Awaitable[None]]


async def _help(desk: Desk, rest: str) -> None:
    for command in COMMANDS.values():
        desk.output.note(f"{command.usage:<22} {command.help}")


async def _clear(desk: Desk, rest: str) -> None:
    desk.session.clear()
    desk.output.note("A new conversation.", style="dim")


async def _tools(desk: Desk, rest: str) -> None:
    session = desk.session
    action, _, name = rest.partition(" ")
    off = session.settings.tools_off
    if action in ("on", "off") and name.strip():
        chosen = session.toolbox[name.strip()].name
        await _configure(desk, tools_off=off | {chosen} if action == "off" else off - {chosen})
    elif rest:
        raise ConfigurationError(f"/tools takes nothing, on NAME or off NAME, not {rest!r}")
    for tool in session.toolbox:
        is_off = tool.name in session.settings.tools_off
        desk.output.note(f"{'off' if is_off else 'on ':<4}{tool.signature}", style="dim" if is_off else "")


async def _model(desk: Desk, rest: str) -> None:
    if rest:
        with waiting(desk.output.console, f"loading {rest}"):
            await _configure(desk, model=rest)
    desk.output.note(f"model: {desk.session.settings.model}")


async def _home(desk: Desk, rest: str) -> None:
    if rest:
        await _configure(desk, home=_path(rest))
    desk.output.note(f"home: {desk.session.settings.home}")


async def _instructions(desk: Desk, rest: str) -> None:
    if rest:
        await _configure(desk, instructions="" if rest == "none" else rest)
    desk.output.note(f"instructions: {desk.session.settings.instructions or 'none'}")


async def _history(desk: Desk, rest: str) -> None:
    for action in reversed(_log(desk).actions(limit=_N_SHOWN, kinds=frozenset({"writes", "sends"}))):
        state = "undone" if action.undone_at else action.status
        desk.output.note(f"{action.id}. {action.tool}  {state}  {' '.join(action.text.split())}")


async def _undo(desk: Desk, rest: str) -> None:
    log = _log(desk)
    if rest and not rest.isdecimal():
        raise ConfigurationError(f"/undo takes the number of an action, as /history tells it, not {rest!r}")
    number = int(rest) if rest else next((a.id for a in log.actions() if a.can_be_undone), None)
    if number is None:
        raise ConfigurationError("nothing in the history can be undone")
    asked = {"number": number, "registry": desk.undo(desk.session.settings)}
    desk.output.note(await call_in_thread(log.undo, asked))  # a server may be asked


async def _quit(desk: Desk, rest: str) -> None:
    raise EOFError


COMMANDS: Mapping[str, Command] = {
    "/help": Command("/help", "what there is", _help),
    "/clear": Command("/clear", "begin a new conversation", _clear),
    "/tools": Command("/tools [on|off NAME]", "the tools, and turning them on and off", _tools),
    "/model": Command("/model [NAME]", "the model, and choosing another", _model),
    "/home": Command("/home [FOLDER]", "the home folder, and choosing another", _home),
    "/instructions": Command("/instructions [TEXT]", "what to keep in mind; none for nothing", _instructions),
    "/history": Command("/history", "what was written and sent", _history),
    "/undo": Command("/undo [NUMBER]", "undo the last action, or that one", _undo),
    "/quit": Command("/quit", "leave", _quit),
}


async def run_command(line: str, desk: Desk) -> None:
    """Carry out a line that begins with a slash.

    Raises:
        ConfigurationError: there is no such command, or it does not take that.
        PlaitError: what the command says.
        EOFError: the user leaves.
    """
    name, _, rest = line.partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        raise ConfigurationError(f"there is no command {name}; there are {', '.join(COMMANDS)}")
    await command.do(desk, rest.strip())


def _path(text: str) -> Path:
    return Path(text).expanduser()


async def _configure(desk: Desk, **changes: object) -> None:
    await desk.session.configure(replace(desk.session.settings, **changes))  # type: ignore[arg-type]


def _log(desk: Desk) -> ActionLog:
    if desk.log is None:
        raise ConfigurationError("PLAIT_HISTORY is off, so there is no history")
    return desk.log
