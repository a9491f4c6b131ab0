"""The terminal's view of a run: the plan as it is written, the calls as they run, and what came of them.

It goes to standard error, so that standard output carries the answer alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from plait.errors import DependencyError
from plait.orchestrator import (
    ApprovalRequest,
    ApprovalRequested,
    Event,
    JoinStarted,
    PlanFinished,
    PlanStarted,
    PlanTextWritten,
    Replanned,
    RunFinished,
    TaskFinished,
    TaskPlanned,
    TaskStarted,
)
from plait.planners import Task, TaskOutcome, print_value
from plait.tools import to_jsonable, to_text

_REFRESH_PER_SECOND = 12
_MARKS = {
    "ok": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("-", "yellow"),
    "declined": ("-", "yellow"),
    "cancelled": ("✗", "yellow"),
}


@dataclass(slots=True)
class _Row:
    task: Task
    started: float | None = None
    """On the view's own clock."""
    outcome: TaskOutcome | None = None


@dataclass
class RunView:
    """Shows one run. Feed it the run's events; use it as a context manager around the run.

    Args:
        console: where to; not a terminal gets one line an event instead of a moving picture.
    """

    console: Console
    _rows: dict[int, _Row] = field(default_factory=dict)
    _writing: str = ""
    _status: str = ""
    _live: Live | None = None

    def __enter__(self) -> RunView:
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=self._picture,
                console=self.console,
                refresh_per_second=_REFRESH_PER_SECOND,
                transient=False,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def pause(self) -> None:
        """Leave the picture as it is and give the terminal free, to ask the user something."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def resume(self) -> None:
        """Go on with what is still to come."""
        self._rows = {k: row for k, row in self._rows.items() if row.outcome is None}
        self.__enter__()

    def on_event(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case PlanStarted():
                self._status = "planning" if event.round == 0 else f"planning again ({event.round})"
            case PlanTextWritten():
                self._writing = (self._writing + event.text).rsplit("\n", 1)[-1]
            case TaskPlanned():
                self._rows[event.task.id] = _Row(event.task)
                self._writing = ""
                self._line(str(event.task))
            case PlanFinished():
                self._writing = self._status = ""
            case TaskStarted():
                self._rows[event.task.id].started = time.monotonic()
            case TaskFinished():
                self._finish(event.outcome)
            case JoinStarted():
                self._status = "answering"
            case Replanned():
                self._status = ""
                self._line(f"planning again: {event.reason}", style="yellow")
            case ApprovalRequested():
                self._status = "waiting for approval"
            case RunFinished():
                self._status = self._writing = ""
            case _:
                pass

    def _finish(self, outcome: TaskOutcome) -> None:
        row = self._rows.setdefault(outcome.task.id, _Row(outcome.task))
        row.outcome = outcome
        mark, style = _MARKS[outcome.status]
        self._line(f"{mark} {outcome.task.id} {describe(outcome)}", style=style)

    def _line(self, text: str, style: str | None = None) -> None:
        if not self.console.is_terminal:
            self.console.print(Text(text, style=style or ""), soft_wrap=True)

    def _picture(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(overflow="fold")
        for row in self._rows.values():
            table.add_row(self._mark(row), self._call(row))
        parts: list[RenderableType] = [table]
        if self._writing:
            parts.append(Text(f"  {self._writing}", style="dim"))
        if self._status:
            parts.append(Spinner("dots", text=Text(self._status, style="dim")))
        return Group(*parts)

    def _mark(self, row: _Row) -> RenderableType:
        if row.outcome is not None:
            mark, style = _MARKS[row.outcome.status]
            return Text(mark, style=style)
        return Spinner("dots", style="cyan") if row.started is not None else Text("·", style="dim")

    def _call(self, row: _Row) -> Text:
        text = Text(str(row.task), style="" if row.started or row.outcome else "dim")
        if row.outcome is not None:
            text.append(f"\n   {describe(row.outcome)}", style="dim" if row.outcome.ok else "red")
        elif row.started is not None:
            text.append(f"  {time.monotonic() - row.started:.1f} s", style="cyan")
        return text


def describe(outcome: TaskOutcome) -> str:
    """What became of a task, on one line, with its time in seconds."""
    if not outcome.ok:
        if isinstance(outcome.error, DependencyError):
            return f"not called: {outcome.error}"
        return f"{outcome.status}: {outcome.error or 'stopped'}"
    took = ""
    if outcome.started_s is not None and outcome.finished_s is not None:
        took = f" ({outcome.finished_s - outcome.started_s:.2f} s)"
    text = " ".join(to_text(outcome.result).split())
    return (text if len(text) <= 160 else f"{text[:157]}...") + (" (as before)" if outcome.reused else took)


def show_request(console: Console, request: ApprovalRequest) -> None:
    """The calls that wait for an approval, with their real arguments."""
    console.print("[bold]These calls change something or send it:[/bold]")
    for call in request.calls:
        console.print(
            f"  [bold]{call.task.id}  {escape(call.tool.name)}[/bold]: {escape(call.tool.description)}"
        )
        for name, value in call.arguments.items():
            console.print(Text(f"       {name} = {_shown(value)}"), soft_wrap=True)
        if call.untrusted:
            console.print("       [yellow]contains text that others wrote[/yellow]")


def _shown(value: object) -> str:
    try:
        return print_value(value)
    except (TypeError, ValueError):
        return str(to_jsonable(value))
