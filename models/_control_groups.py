"""Limits that Linux sets a group of processes, such as those of a container: memory and processor time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_GROUPS = "sys/fs/cgroup"
_CACHE_KEYS = {"inactive_file", "active_file", "total_inactive_file", "total_active_file"}


def memory_left(root: Path = Path("/")) -> int | None:
    """Bytes that the tightest group around this process leaves; ``None`` where there is no limit.

    What the kernel caches of files counts as free.
    """
    amounts = [
        limit - used + _cached(folder)
        for folder in _folders(root, "memory")
        for limit_file, used_file in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        )
        if (limit := _number(folder / limit_file)) is not None
        and (used := _number(folder / used_file)) is not None
    ]
    return max(0, min(amounts)) if amounts else None


def processor_quota(root: Path = Path("/")) -> float | None:
    """Processors' worth of time that the tightest group around this process grants; ``None`` if no limit."""
    quotas = [quota for folder in _folders(root, "cpu") if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the groups around this process that may limit it, of both versions of the interface."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2) if line.count(":") >= 2 else ("", "-", "/")
        if controllers and controller not in controllers.split(","):
            continue
        # Of the second version, all controllers share one tree. A container may see its own group as the
        # top while its path here is that of the host; what is not there limits nothing.
        top = root / _GROUPS / controllers if controllers else root / _GROUPS
        if controllers and not top.is_dir():
            top = root / _GROUPS / controller
        inner = PurePosixPath(path.lstrip("/"))
        yield from (top / folder for folder in (inner, *inner.parents))


def _quota(folder: Path) -> float | None:
    """Processors that one group grants."""
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period) if quota != "max" and int(period) > 0 else None
    quota_us, period_us = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return quota_us / period_us if quota_us and period_us and quota_us > 0 else None


def _cached(folder: Path) -> int:
    """Bytes of files that count as the group's and that the kernel takes back when it needs them."""
    try:
        pairs = [line.split() for line in (folder / "memory.stat").read_text().splitlines()]
        sizes = {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] in _CACHE_KEYS}
    except (OSError, ValueError):
        return 0
    totals = {key: size for key, size in sizes.items() if key.startswith("total_")}
    return sum((totals or sizes).values())


def _number(path: Path) -> int | None:
    """The number in that file; ``None`` if there is none, as where the limit is ``max``."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
