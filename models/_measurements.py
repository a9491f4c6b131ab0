"""Measurements of speed that are kept from one process to the next, in plait's cache folder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_VERSION = 1
_MAX_ENTRIES = 200


def measurements_path() -> Path:
    """Where measurements are kept: the file that ``PLAIT_MEASUREMENTS`` names.

    By default ``measurements.json`` in plait's cache folder of the platform.
    """
    chosen = os.environ.get("PLAIT_MEASUREMENTS", "").strip()
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("plait", appauthor=False) / "measurements.json"


def read_measurement(key: str, path: Path | None = None) -> Mapping[str, Any] | None:
    """What was kept under ``key``; ``None`` if nothing was, or the file is damaged or of another version.

    The values are as some file has them: check them before use.
    """
    found = _entries(path or measurements_path()).get(key)
    return found if isinstance(found, dict) else None


def keep_measurement(key: str, values: Mapping[str, Any], path: Path | None = None) -> None:
    """Keep ``values``, which must be JSON, under ``key``; does nothing where the folder cannot be written to.

    A reader sees the old file or the new one. Of two processes that write at once the later one wins, and
    what the other kept is measured again some day.
    """
    path = path or measurements_path()
    entries = {k: v for k, v in _entries(path).items() if k != key} | {key: dict(values)}
    oldest = len(entries) - _MAX_ENTRIES
    entries = dict(list(entries.items())[max(0, oldest) :])
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, json.dumps({"version": _VERSION, "entries": entries}, indent=1))


def _entries(path: Path) -> dict[str, Any]:
    """All entries, the oldest first; none where the file is damaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        return {}
    entries = document.get("entries")
    return entries if isinstance(entries, dict) else {}


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=path.name, suffix=".new", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
