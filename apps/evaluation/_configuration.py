"""What a run was run with: the part that decides outcomes, and the part that only explains times."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plait._version import __version__
from plait.apps.evaluation._trial import Trial
from plait.apps.evaluation._types import Item, ModelRecord, Prices, RunConfig, RunIdentity
from plait.models import ChatModel, LlamaModel, Progress, file_sha256

_ENGINES = ("llama-cpp-python", "llguidance", "langchain-core", "httpx")


def run_config(
    trial: Trial,
    items: Sequence[Item],
    model: ModelRecord,
    *,
    command: Sequence[str] = (),
    prices: Prices | None = None,
) -> RunConfig:
    """The configuration of ``trial``; ``items`` are all of the benchmark's, whichever are chosen."""
    identity = RunIdentity(
        benchmark=trial.benchmark.name,
        fingerprint=trial.benchmark.fingerprint,
        model=model,
        planner=trial.planner,
        prompt_sha256=trial.prompt_sha256(items),
        plait_version=__version__,
        execute=trial.execute,
        tool_latency_s=trial.tool_latency_s,
        joiner=trial.joiner,
    )
    return RunConfig(
        identity=identity,
        metric=trial.benchmark.metric,
        hardware=hardware(),
        command=list(command),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        prices=prices,
    )


def model_record(model: ChatModel, progress: Callable[[Progress], None] | None = None) -> ModelRecord:
    """What identifies ``model``; a local file that was not verified before is hashed."""
    local = model if isinstance(model, LlamaModel) else None
    return ModelRecord(
        name=model.name,
        sha256=None if local is None else file_sha256(local.path, progress),
        adapter_sha256=None
        if local is None or local.adapter is None
        else file_sha256(local.adapter.path, progress),
        quantization=None if local is None else local.description,
        size_bytes=None if local is None else local.path.stat().st_size,
        parameters=None if local is None else local.n_parameters,
        context_length=model.context_length,
        grammar=model.grammar_kind,
    )


def hardware() -> dict[str, Any]:
    """The machine and the versions that times depend on."""
    return {
        "system": platform.platform(terse=True),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": _memory_gb(),
        "python": platform.python_version(),
        **{name: version for name in _ENGINES if (version := _version(name)) is not None},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _memory_gb() -> float | None:
    if not hasattr(os, "sysconf"):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
