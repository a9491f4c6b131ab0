"""What shows that something is going on: a bar for transfers, a spinner for waits of unknown length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar

from plait.models import Progress


def is_animated(console: Console) -> bool:
    """Whether the console is a terminal that can redraw what it shows."""
    return console.is_terminal and not console.is_dumb_terminal


def waiting(console: Console, text: str) -> AbstractContextManager[object]:
    """A spinner with ``text`` while the block runs; nothing where it could not turn."""
    if not is_animated(console):
        return nullcontext()
    return console.status(escape(text), spinner="dots")


@contextmanager
def transfer_progress(console: Console, name: str) -> Iterator[Callable[[Progress], None]]:
    """What to hand to :func:`plait.models.pull` as ``progress``; the bar appears with the first report."""
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        expand=True,
        disable=not is_animated(console),
    )
    tasks: dict[str, TaskID] = {}

    def report(progress: Progress) -> None:
        if not tasks:
            bar.start()
        title = "fetching" if progress.phase == "download" else "checking"
        if title not in tasks:
            for old in tasks.values():
                bar.update(old, visible=False)
            tasks[title] = bar.add_task(f"{title} {escape(name)}", total=progress.total_bytes)
        bar.update(tasks[title], completed=progress.done_bytes, total=progress.total_bytes)

    try:
        yield report
    finally:
        if tasks:
            bar.stop()
