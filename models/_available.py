"""How much main memory this process may still take, as each platform tells it."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path

from plait.models._control_groups import memory_left

_FREE_PAGES = ("free", "inactive", "speculative", "purgeable")


def available_memory(system: str = sys.platform) -> int | None:
    """Bytes of main memory that this process may still take without swapping; ``None`` where unknown.

    On Linux the limits of control groups count too; what the system caches of files counts as free.
    """
    if system == "linux":
        return linux_memory()
    if system == "darwin":
        return _macos_memory()
    if system == "win32":
        return _windows_memory()
    return None


def linux_memory(root: Path = Path("/")) -> int | None:
    """As :func:`available_memory`, from the files under ``root``."""
    amounts = [_mem_available(root), memory_left(root)]
    return min((amount for amount in amounts if amount is not None), default=None)


def _mem_available(root: Path) -> int | None:
    try:
        text = (root / "proc/meminfo").read_text()
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s*(\d+) kB$", text, flags=re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _macos_memory() -> int | None:
    try:
        done = subprocess.run(["/usr/bin/vm_stat"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return vm_stat_memory(done.stdout)


def vm_stat_memory(text: str) -> int | None:
    """Bytes that are free or can be freed at once, from what macOS's ``vm_stat`` prints."""
    size = re.search(r"page size of (\d+) bytes", text)
    pages = {name: re.search(rf"^Pages {name}:\s+(\d+)\.", text, flags=re.MULTILINE) for name in _FREE_PAGES}
    if size is None or pages["free"] is None:
        return None
    return int(size[1]) * sum(int(found[1]) for found in pages.values() if found)


class _MemoryStatus(ctypes.Structure):
    """What Windows fills in."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("available", ctypes.c_uint64),
        ("page_file_and_address_space", ctypes.c_uint64 * 5),
    )


def _windows_memory() -> int | None:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    windll = getattr(ctypes, "windll", None)
    is_told = windll is not None and windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.available) if is_told else None
