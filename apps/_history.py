"""``plait history``: what was done, and undoing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from plait.apps._output import OK, Output, execute
from plait.errors import ConfigurationError

if TYPE_CHECKING:
    from plait.apps.assistant import Action, ActionLog

app = typer.Typer(
    help="What sessions did: list and show it, and undo what can be undone.", no_args_is_help=True
)

Number = Annotated[int, typer.Argument(help="The action's number, as the list tells it.")]
AsJSON = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
_CHANGES = frozenset({"writes", "sends"})


@app.command("list")
def list_actions(
    limit: Annotated[int, typer.Option(help="How many, the newest first.", min=1)] = 20,
    everything: Annotated[bool, typer.Option("--all", help="Also what only read.")] = False,
    as_json: AsJSON = False,
    debug: Debug = False,
) -> None:
    """List what was written and sent, the newest first."""

    def work(log: ActionLog, output: Output) -> None:
        actions = log.actions(limit=limit, kinds=None if everything else _CHANGES)
        if as_json:
            output.document([action.to_json() for action in actions])
            return
        for action in actions:
            output.entry(f"{action.id}. {action.tool}", _facts(action), " ".join(action.text.split()))
        if not actions:
            output.note(f"Nothing is in the history {log.path}.")

    _with_log(work, as_json=as_json, debug=debug)


@app.command()
def show(number: Number, as_json: AsJSON = False, debug: Debug = False) -> None:
    """Show one action whole."""

    def work(log: ActionLog, output: Output) -> None:
        action = log.action(number)
        if as_json:
            output.document(action.to_json())
            return
        output.text(f"{action.id}. {action.tool}  {_facts(action)}\nfor: {action.request}")
        for name, value in action.arguments.items():
            output.text(f"  {name} = {value}")
        output.text(action.text)

    _with_log(work, as_json=as_json, debug=debug)


@app.command()
def undo(number: Number, as_json: AsJSON = False, debug: Debug = False) -> None:
    """Undo an action: delete the note, event, reminder or meeting it made, or take back what it wrote."""

    def work(log: ActionLog, output: Output) -> None:
        from plait.apps.assistant import UndoRegistry
        from plait.apps.assistant._backend import assistant_undoers

        done = log.undo(number, UndoRegistry(undoers=assistant_undoers()))
        if as_json:
            output.document({"id": number, "text": done})
        else:
            output.text(done)

    _with_log(work, as_json=as_json, debug=debug)


def _with_log(work: Callable[[ActionLog, Output], None], *, as_json: bool, debug: bool) -> None:
    output = Output(as_json=as_json, debug=debug)

    def opened() -> int:
        from plait.apps.assistant import ActionLog, history_path

        path = history_path()
        if path is None:
            raise ConfigurationError("PLAIT_HISTORY is off, so there is no history; name a file with it")
        with ActionLog(path) as log:
            work(log, output)
        return OK

    execute(opened, output)


def _facts(action: Action) -> str:
    """When, what kind, and what became of it."""
    undone = "undone" if action.undone_at else "can be undone" if action.can_be_undone else ""
    return "  ".join(
        part
        for part in (f"{action.at.astimezone():%Y-%m-%d %H:%M}", action.kind, action.status, undone)
        if part
    )
