"""Benchmarks that come in Python packages: fetched as wheels, without what they depend on, and unpacked.

Their dependencies clash with plait's, and only data and pure code in them are used, so they are never
installed.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from plait.errors import DownloadError
from plait.models._pip import PipError, find_wheel, pip_download

_DONE = ".complete"


@dataclass(frozen=True, slots=True)
class BenchmarkPackage:
    """A wheel of one version."""

    name: str
    """The package's name in the package index."""
    version: str
    sha256: str
    """Of the wheel, in lower-case hex."""


BFCL = BenchmarkPackage(
    "bfcl-eval", "2026.3.23", "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a"
)
NESTFUL = BenchmarkPackage(
    "nestful-wrapper", "0.1.7", "7e7b34b0491d6fb26e9670d6fca93f39a7cc9475e25962d39633889a04e26fe4"
)

PACKAGES = {"bfcl": BFCL, "nestful": NESTFUL}
"""By the names that the command line has for the benchmarks."""


def benchmarks_folder() -> Path:
    """Where benchmarks are unpacked: ``benchmarks`` in plait's cache folder of the platform."""
    from platformdirs import user_cache_path

    return user_cache_path("plait", appauthor=False) / "benchmarks"


def unpacked(package: BenchmarkPackage, folder: Path | None = None) -> Path:
    """The folder with the package's files; they are fetched through pip if they are not there yet.

    Args:
        package: which one.
        folder: where benchmarks are kept; :func:`benchmarks_folder` if not given.

    Raises:
        DownloadError: it is not there and cannot be fetched, or has another hash.
    """
    parent = folder or benchmarks_folder()
    target = parent / f"{package.name}-{package.version}"
    if (target / _DONE).exists():
        return target
    with _writing(package, parent):
        parent.mkdir(parents=True, exist_ok=True)
        with FileLock(parent / f"{target.name}.lock"):
            if not (target / _DONE).exists():
                _fetch(package, target)
    return target


def _fetch(package: BenchmarkPackage, target: Path) -> None:
    wheels = target.with_name(f"{target.name}.wheels")
    for old in (wheels, target):
        shutil.rmtree(old, ignore_errors=True)
    wheels.mkdir()
    try:
        pip_download([(package.name, package.version)], wheels)
        wheel = find_wheel(package.name, package.version, wheels)
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != package.sha256:
            raise DownloadError(
                f"the wheel of {package.name} {package.version} has the SHA-256 {found}, not "
                f"{package.sha256}; it was deleted, check where pip fetches from"
            )
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
        (target / _DONE).touch()
    except PipError as error:
        fix = (
            "make room there, or set XDG_CACHE_HOME to another folder"
            if error.is_disk_full
            else "run this once with a connection to a package index, after that it works offline"
        )
        raise DownloadError(
            f"the benchmark's package {package.name} {package.version} cannot be fetched into "
            f"{target.parent} ({error}); {fix}"
        ) from error
    finally:
        shutil.rmtree(wheels, ignore_errors=True)


@contextmanager
def _writing(package: BenchmarkPackage, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DownloadError(
            f"{package.name} cannot be unpacked into {folder}: {error.strerror or error}; make room there, "
            "or set XDG_CACHE_HOME to another folder"
        ) from error
