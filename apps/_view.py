"""The terminal's view of a run: the plan as it is written, the calls as they run, and what came of them.

It goes to standard error, so that standard output carries the answer alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from plait.apps._output import printable
from plait.apps._progress import is_animated
from plait.orchestrator import (
    AnswerTextWritten,
    Event,
    JoinStarted,
    PlanFinished,
    PlanStarted,
    PlanTextWritten,
    Replanned,
    RunFinished,
    TaskFinished,
    TaskPlanned,
    TaskPreparing,
    TaskStarted,
)
from plait.planners import Task, TaskOutcome
from plait.tools import to_text

_REFRESH_PER_SECOND = 10
_MAX_LINES = 4
_LINES_PER_ROW = 2
_MAX_RESULT_CHARS = 160
_PREPARING = "preparing"
_MARKS = {
    "ok": ("✓", "+", "green"),
    "failed": ("✗", "x", "red"),
    "skipped": ("-", "-", "yellow"),
    "declined": ("-", "-", "yellow"),
    "cancelled": ("✗", "x", "yellow"),
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
        transient: the picture goes when the run has ended.
    """

    console: Console
    transient: bool = False
    _rows: dict[int, _Row] = field(default_factory=dict)
    _writing: str = ""
    _status: str = ""
    _status_since: float = 0.0
    _spinner: Spinner = field(default_factory=lambda: Spinner("dots", style="cyan"))
    _live: Live | None = None
    _is_moving: bool = False

    def __enter__(self) -> RunView:
        if is_animated(self.console):
            self._is_moving = True
            self._live = Live(
                get_renderable=self._picture,
                console=self.console,
                refresh_per_second=_REFRESH_PER_SECOND,
                transient=self.transient,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def pause(self) -> None:
        """Leave the picture as it is and give the terminal free, to ask the user something."""
        self._say("")
        if self._live is not None:
            self._is_moving = False
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
                self._say("planning again" if event.round else "reading the prompt")
            case PlanTextWritten():
                self._write("planning", event.text)
            case TaskPlanned():
                self._rows[event.task.id] = _Row(event.task)
                self._writing = ""
                self._line(str(event.task))
            case TaskPreparing():
                self._say(f"{_PREPARING} {event.task.id}")
            case TaskStarted():
                if self._status.startswith(_PREPARING):
                    self._say("")
                row = self._row(event.task)
                row.task, row.started = event.task, time.monotonic()  # its arguments may have been edited
            case TaskFinished():
                self._finish(event.outcome)
            case JoinStarted():
                self._say("reading the results")
            case AnswerTextWritten():
                self._write("answering", event.text)
            case Replanned() if event.reason:
                self._replan(event.reason)
            case PlanFinished() | RunFinished():
                self._say("")
            case _:
                pass

    def _row(self, task: Task) -> _Row:
        return self._rows.setdefault(task.id, _Row(task))

    def _say(self, status: str) -> None:
        self._status, self._status_since, self._writing = status, time.monotonic(), ""

    def _write(self, status: str, text: str) -> None:
        if self._status != status:
            self._say(status)
        self._writing += text

    def _finish(self, outcome: TaskOutcome) -> None:
        self._row(outcome.task).outcome = outcome
        mark, style = self._mark_of(outcome)
        self._line(f"{mark} {outcome.task.id}. {describe(outcome)}", style)

    def _replan(self, reason: str) -> None:
        self.pause()
        self._rows.clear()
        self.console.print(Text(printable(f"Planning again: {reason}"), style="yellow"))
        self.__enter__()

    def _line(self, text: str, style: str = "") -> None:
        if not is_animated(self.console):
            self.console.print(Text(printable(text), style=style), soft_wrap=True)

    def _picture(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(overflow="fold")
        rows, n_hidden = self._shown_rows()
        if n_hidden:
            table.add_row("", Text(f"... {n_hidden} done", style="dim"))
        for row in rows:
            table.add_row(self._mark(row), self._call(row))
        if self._writing.strip():
            room = _MAX_LINES * self.console.width
            table.add_row("", Text(printable(self._writing.strip())[-room:], style="dim"))
        if self._status:
            waited = time.monotonic() - self._status_since
            text = f"{self._status}  {waited:.0f} s" if waited >= 2 else self._status
            table.add_row(self._spinner, Text(text, style="dim"))
        return table

    def _shown_rows(self) -> tuple[list[_Row], int]:
        """The rows, without the first finished ones where the moving picture has no room for all."""
        rows = list(self._rows.values())
        n_over = len(rows) - (self.console.height // _LINES_PER_ROW - 2) if self._is_moving else 0
        hidden = [row.task.id for row in rows if row.outcome is not None][: max(0, n_over)]
        return [row for row in rows if row.task.id not in hidden], len(hidden)

    def _mark(self, row: _Row) -> RenderableType:
        if row.outcome is not None:
            mark, style = self._mark_of(row.outcome)
            return Text(mark, style=style)
        return self._spinner if row.started is not None else Text(".", style="dim")

    def _mark_of(self, outcome: TaskOutcome) -> tuple[str, str]:
        mark, plain, style = _MARKS[outcome.status]
        return (mark if self.console.encoding.lower().startswith("utf") else plain), style

    def _call(self, row: _Row) -> RenderableType:
        call = printable(_shortened(str(row.task), _MAX_LINES * self.console.width))
        text = Text(call, style="" if row.started or row.outcome else "dim")
        if row.outcome is not None:
            result = Text(printable(describe(row.outcome)), style="dim" if row.outcome.ok else "red")
            return Group(text, Padding(result, (0, 0, 0, 3)))
        if row.started is not None:
            text.append(f"  {time.monotonic() - row.started:.1f} s", style="cyan")
        return text


def describe(outcome: TaskOutcome) -> str:
    """What became of a task, on one line, with its time in seconds."""
    if outcome.status == "cancelled":
        return "not called" if outcome.started_s is None else "stopped"
    if not outcome.ok:
        return str(outcome.error)
    took = ""
    if outcome.started_s is not None and outcome.finished_s is not None:
        took = f" ({outcome.finished_s - outcome.started_s:.2f} s)"
    text = _shortened(" ".join(to_text(outcome.result).split()), _MAX_RESULT_CHARS)
    return text + (" (as before)" if outcome.reused else took)


def _shortened(text: str, n: int) -> str:
    return text if len(text) <= n else f"{text[: n - 3]}..."
