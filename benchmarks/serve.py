"""What `plait serve` costs: the page's first paint and size in Chromium, and the server's memory.

    python benchmarks/serve.py            # a minute
    python benchmarks/serve.py --json

The server is a process of its own with SmolLM2-135M over a copy of the sample home; the browser is Chromium
from the system (`PLAIT_CHROMIUM` names another), with an empty cache for each load, through loopback. First
paint is the browser's own "first-contentful-paint", counted from the navigation; bytes are all that it
received for the page. Memory is the process's resident set, with the mapped file of the weights in it.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from plait import __version__

HOME = Path(__file__).parent.parent / "examples" / "home"
MODEL = "smollm2-135m"
VIEWPORTS = {"desktop": {"width": 1280, "height": 860}, "phone": {"width": 375, "height": 740}}
REQUEST = "What is Maya Okafor's phone number?"
_DEADLINE_S = 300.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One run."""

    first_paint_ms: dict[str, float]
    """By viewport, the median of the rounds."""
    page_bytes: int
    n_files: int
    started_mb: float
    """Resident, in 10^6 bytes, before the first request."""
    answered_mb: float
    """After a request."""


def main(
    rounds: Annotated[int, typer.Option(help="How often the page is loaded.", min=1)] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the page and the server."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        shutil.copytree(HOME, home)
        with _served(home) as (link, process), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
            measured = _measure(browser, link, process.pid, rounds)
            browser.close()
    if as_json:
        machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        print(json.dumps({"plait": __version__, "machine": machine, **asdict(measured)}, indent=2))
        return
    table = Table("measured", "value", "goal")
    for name, milliseconds in measured.first_paint_ms.items():
        table.add_row(f"first paint, {name}", f"{milliseconds:.0f} ms", "500 ms")
    table.add_row(f"page, {measured.n_files} files", f"{measured.page_bytes / 1e3:.0f} KB", "300 KB")
    table.add_row("memory before the first request", f"{measured.started_mb:.0f} MB", "")
    table.add_row("memory after a request", f"{measured.answered_mb:.0f} MB", "")
    Console().print(table)


def _measure(browser: Browser, link: str, pid: int, rounds: int) -> Measured:
    paints: dict[str, float] = {}
    received: list[int] = []
    for name, viewport in VIEWPORTS.items():
        found = []
        for _ in range(rounds):
            context = browser.new_context(viewport=viewport)  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(link)
            found.append(_first_paint(page))
            received = _received(page)
            context.close()
        paints[name] = statistics.median(found)
    before = _resident_mb(pid)
    page = browser.new_page()
    page.goto(link)
    page.get_by_label("Your request").fill(REQUEST)
    page.get_by_role("button", name="Send").click()
    page.locator(".answer").wait_for(timeout=1000 * _DEADLINE_S)
    return Measured(paints, sum(received), len(received), before, _resident_mb(pid))


def _first_paint(page: Page) -> float:
    """Milliseconds from the navigation to the first text or picture."""
    milliseconds: float = page.evaluate(
        """new Promise(done => new PerformanceObserver(list => list.getEntriesByName("first-contentful-paint")
           .forEach(entry => done(entry.startTime))).observe({type: "paint", buffered: true}))"""
    )
    return milliseconds


def _received(page: Page) -> list[int]:
    """Bytes of the page and of each of its files, with their headers."""
    sizes: list[int] = page.evaluate(
        """["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind))
           .map(entry => entry.transferSize)"""
    )
    return sizes


def _resident_mb(pid: int) -> float:
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(told.stdout) * 1024 / 1e6


def _chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("PLAIT_CHROMIUM") or next((p for p in map(shutil.which, names) if p), None)
    if found is None:
        raise SystemExit("no Chromium here: apt-get install chromium, or name one in PLAIT_CHROMIUM")
    return found


@contextmanager
def _served(home: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server, and the link that it prints when it is ready."""
    command = [
        sys.executable,
        "-m",
        "plait",
        "serve",
        "--model",
        MODEL,
        "--home",
        str(home),
        "--port",
        "0",
        "--yes",
    ]
    environment: dict[str, Any] = {**os.environ, "PLAIT_HISTORY": "off"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            link = process.stdout.readline().strip()
            if not link:
                raise SystemExit("plait serve did not start; start it by hand to see why")
            yield link, process
        finally:
            process.terminate()


if __name__ == "__main__":
    typer.run(main)
