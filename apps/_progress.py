"""A progress bar for downloads and checks of models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from plait.models import Progress


@contextmanager
def transfer_progress(console: Console, name: str) -> Iterator[Callable[[Progress], None]]:
    """What to hand to :func:`plait.models.pull` as ``progress``; the bar appears with the first report."""
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    tasks: dict[str, int] = {}

    def report(progress: Progress) -> None:
        if not tasks:
            bar.start()
        title = f"{'fetching' if progress.phase == 'download' else 'checking'} {name} ({progress.source})"
        if title not in tasks:
            for old in tasks.values():
                bar.update(old, visible=False)  # type: ignore[arg-type]
            tasks[title] = bar.add_task(title, total=progress.total_bytes)
        bar.update(tasks[title], completed=progress.done_bytes, total=progress.total_bytes)  # type: ignore[arg-type]

    try:
        yield report
    finally:
        bar.stop()
