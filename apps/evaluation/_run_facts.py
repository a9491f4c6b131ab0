"""What runs were made with, as text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from plait.apps.evaluation._summary import RunSummary
from plait.apps.evaluation._tables import NOTHING
from plait.apps.evaluation._types import RunConfig


def run_facts(runs: Sequence[RunSummary]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of facts, and each run's; facts that no run has are left out."""
    facts: list[tuple[str, Callable[[RunConfig], Any]]] = [
        ("model", lambda c: c.identity.model.name),
        ("quantization", lambda c: c.identity.model.quantization),
        ("parameters", lambda c: _count(c.identity.model.parameters)),
        ("size", lambda c: _bytes(c.identity.model.size_bytes)),
        ("context, tokens", lambda c: c.identity.model.context_length),
        ("grammar", lambda c: c.identity.model.grammar),
        ("planner", lambda c: c.identity.planner),
        (
            "calls carried out",
            lambda c: f"tools of {c.identity.tool_latency_s:g} s" if c.identity.execute else None,
        ),
        ("joiner", lambda c: c.identity.joiner),
        ("plait", lambda c: c.identity.plait_version),
        (
            "prices, $ a million",
            lambda c: c.prices and f"{c.prices.prompt:g} prompt, {c.prices.completion:g} written",
        ),
        *((name.removesuffix("_bytes").replace("_", " "), _hardware(name)) for name in _hardware_names(runs)),
        ("started", lambda c: c.started),
        ("command", lambda c: shlex.join(c.command)),
        ("model sha256", lambda c: c.identity.model.sha256),
        ("prompt sha256", lambda c: c.identity.prompt_sha256),
    ]
    for name, fact in facts:
        cells = tuple(_text(fact(run.config)) for run in runs)
        if any(cell != NOTHING for cell in cells):
            yield name, cells
    yield "folder", tuple(run.path.name for run in runs)


def _hardware_names(runs: Sequence[RunSummary]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.config.hardware))


def _hardware(name: str) -> Callable[[RunConfig], Any]:
    def fact(config: RunConfig) -> Any:
        value = config.hardware.get(name)
        return _bytes(value) if name.endswith("_bytes") and isinstance(value, int) else value

    return fact


def _text(value: Any) -> str:
    if value is None or value == "":
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _count(n: int | None) -> str | None:
    return None if n is None else f"{n / 1e9:.2f} billion" if n >= 1e9 else f"{n / 1e6:.0f} million"


def _bytes(n: int | None) -> str | None:
    return None if n is None else f"{n / 2**30:.2f} GiB"
