"""What an index's ``index.json`` says, and which files of a folder are an index's."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.errors import ToolIndexError

VERSION = 2
"""Of the format of the folder."""

MANIFEST = "index.json"
"""The file that names the others."""

_FORMAT = "plait tool index"
_PART = re.compile(
    r"(tools|usages|vectors|words|learnt(_vectors)?|(text|centroid)_graph(_rows)?)-[0-9a-f]{16}\.(jsonl|npy|npz)(\.new)?|index\.json\.new"
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``index.json`` says."""

    encoder: str
    """Fingerprint of the encoder."""
    tools: str
    """Fingerprint of the tools: a hash of their names and texts."""
    n_tools: int
    """How many tools there are."""
    n_usages: int
    """How many usages there are."""
    dimension: int
    """How many numbers a vector has."""
    files: Mapping[str, str]
    """The file's name for each part, with the first half of its SHA-256 in it."""

    def dump(self) -> bytes:
        """The file's content."""
        fields = {
            "format": _FORMAT,
            "version": VERSION,
            "encoder": self.encoder,
            "tools": self.tools,
            "n_tools": self.n_tools,
            "n_usages": self.n_usages,
            "dimension": self.dimension,
            "files": dict(self.files),
        }
        return (json.dumps({**fields, "checksum": _checksum(fields)}, indent=1) + "\n").encode()


def check_ours(path: Path) -> None:
    """Refuse a folder whose ``index.json`` is that of something else.

    Raises:
        ToolIndexError: naming it.
    """
    try:
        found: Any = json.loads((path / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError, RecursionError):
        is_ours = any(our_files(path))
    else:
        is_ours = isinstance(found, dict) and found.get("format") == _FORMAT
    if not is_ours:
        raise ToolIndexError(f"{path / MANIFEST} is not that of a tool index; choose another folder")


def our_files(path: Path) -> list[Path]:
    """The parts of indexes in the folder, those of interrupted changes included, the oldest first."""
    with suppress(OSError):
        found = [file for file in path.iterdir() if _PART.fullmatch(file.name)]
        return sorted(found, key=lambda file: file.stat().st_mtime_ns)
    return []


def read_manifest(path: Path) -> Manifest:
    """What ``index.json`` in the folder says.

    Raises:
        ToolIndexError: there is none, it is damaged, or that of something else or of another version.
    """
    try:
        found: Any = json.loads((path / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ToolIndexError(f"there is no index in {path}; build one with `plait index build`") from error
    except OSError as error:
        raise ToolIndexError(f"the index in {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"{MANIFEST} is no JSON") from error
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise ToolIndexError(f"{path / MANIFEST} is not that of a tool index; choose another folder")
    if found.get("version") != VERSION:
        raise ToolIndexError(
            f"the index in {path} has version {found.get('version')!r}, and this plait reads {VERSION}; "
            "build it anew with `plait index build`"
        )
    if found.pop("checksum", None) != _checksum(found):
        raise damaged(path, f"{MANIFEST} was changed by something else")
    try:
        return Manifest(**{field: found[field] for field in Manifest.__slots__})
    except (TypeError, KeyError) as error:
        raise damaged(path, f"{MANIFEST} lacks {error}") from error


def damaged(path: Path, problem: str) -> ToolIndexError:
    """The error that says so, and what to do."""
    return ToolIndexError(
        f"the index in {path} is damaged ({problem}); build it anew with `plait index build`, "
        "which keeps its usages"
    )


def _checksum(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:32]
