"""Which processor cores this process may use."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from plait.models._control_groups import processor_quota

_CPUS = "sys/devices/system/cpu"
_FAST_SHARE = 0.7  # of the fastest core's capacity; slower ones make the fast ones wait at every step


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores that this process may use; hardware threads of one core count once."""

    n_fast: int
    """Cores, without those that are built to save power as far as these are known; at least 1."""
    n_all: int
    """All cores; at least 1."""


def available_cores(system: str = sys.platform) -> Cores:
    """The cores that this process may use, by its affinity and the quota of its control groups."""
    if system == "linux":
        return linux_cores(os.sched_getaffinity(0))
    n_logical = os.cpu_count() or 1
    # Where nothing tells: small machines rarely have two threads to a core, and bigger ones mostly do.
    n_all = (system == "darwin" and _sysctl("hw.physicalcpu")) or (
        n_logical if n_logical <= 4 else n_logical // 2
    )
    n_fast = (system == "darwin" and _sysctl("hw.perflevel0.physicalcpu")) or n_all
    return Cores(n_fast, n_all)


def linux_cores(allowed: Collection[int], root: Path = Path("/")) -> Cores:
    """As :func:`available_cores`, from the files under ``root``; ``allowed`` are hardware threads."""
    quota = processor_quota(root)
    # A part of a processor is left alone: a thread that is stopped in mid-step makes the others wait.
    limit = len(allowed) if quota is None else max(1, int(quota))
    fast, every = ({_core(root, cpu) for cpu in cpus} for cpus in (_fast(root, allowed), allowed))
    return Cores(max(1, min(len(fast), limit)), max(1, min(len(every), limit)))


def _core(root: Path, cpu: int) -> frozenset[int]:
    """The hardware threads of the core that ``cpu`` is one of."""
    return _cpu_list(root / _CPUS / f"cpu{cpu}/topology/thread_siblings_list") or frozenset({cpu})


def _fast(root: Path, allowed: Collection[int]) -> Collection[int]:
    """Of the hardware threads, those of fast cores; all where nothing is known, or none would be left."""
    intel = _cpu_list(root / "sys/devices/cpu_core/cpus")
    if intel:
        return intel & frozenset(allowed) or allowed
    capacities = {cpu: _capacity(root, cpu) for cpu in allowed}
    fastest = max(capacities.values(), default=0)
    return [cpu for cpu, capacity in capacities.items() if capacity >= _FAST_SHARE * fastest]


def _capacity(root: Path, cpu: int) -> int:
    """The kernel's measure of a core's speed; 0 where it has none, as on most machines with equal cores."""
    try:
        return int((root / _CPUS / f"cpu{cpu}/cpu_capacity").read_text())
    except (OSError, ValueError):
        return 0


def _cpu_list(path: Path) -> frozenset[int]:
    """The numbers in a list such as ``0-3,8``; none if there is no such file."""
    numbers: set[int] = set()
    with suppress(OSError, ValueError):
        for part in filter(None, path.read_text().strip().split(",")):
            first, _, last = part.partition("-")
            numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def _sysctl(name: str) -> int:
    """A number that macOS tells of the machine; 0 if it does not."""
    value, size = ctypes.c_int32(), ctypes.c_size_t(4)
    function = getattr(ctypes.CDLL(None), "sysctlbyname", None)
    status = function(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0) if function else -1
    return value.value if status == 0 else 0
