"""The models folder: where files lie, whether they are whole, what is installed, what to remove."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from plait.models._catalog import all_names, files_of
from plait.models._files import file_error, file_errors
from plait.models._gguf import read_header
from plait.models._specs import FileSpec

MERGED = "merged"
"""The folder, in that of the models, of weights with an adapter in them."""

_HASH_CHUNK_BYTES = 1 << 23


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download or a check has come."""

    source: str
    """Where the bytes come from, in words."""
    done_bytes: int
    """Bytes that are there, those of earlier interrupted downloads included."""
    total_bytes: int | None
    """Bytes that there will be; ``None`` while nobody has told."""
    phase: Literal["download", "verify"]
    """Whether bytes are being fetched or the file's hash is being computed."""


ProgressCallback = Callable[[Progress], None]
"""Called from the thread that does the work, often; must return quickly."""


@dataclass(frozen=True, slots=True)
class Record:
    """What was verified about a file, written beside it as ``<file>.json``."""

    name: str
    """The catalog's name of the model."""
    sha256: str
    """The hash that the file was found to have, and should have, in lower-case hex."""
    size_bytes: int
    """The file's size when it was verified."""
    mtime_ns: int
    """Its modification time when it was verified, in nanoseconds."""
    source: str
    """Where it came from, in words."""
    date: str
    """When it was verified, ISO 8601 in UTC."""
    licence: str
    """The model's licence, as in the catalog."""


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """Something of the catalog that is in the models folder, with all its files."""

    name: str
    """The catalog's name of the model."""
    path: Path
    """The GGUF file, or the weights where there are several files."""
    size_bytes: int
    """The size of its files together."""
    verified: bool
    """The files' hashes were right once and the files have not been touched since."""
    record: Record | None
    """What was written down when ``path`` was verified; ``None`` for a file that was put there by hand."""


def models_folder() -> Path:
    """Where models are kept: ``PLAIT_MODELS``, or ``models`` in plait's cache folder of the platform."""
    chosen = os.environ.get("PLAIT_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("plait", appauthor=False) / "models"


def model_path(spec: FileSpec, folder: str | os.PathLike[str] | None = None) -> Path:
    """Where the file of ``spec`` is or would be; ``folder`` defaults to :func:`models_folder`."""
    return (models_folder() if folder is None else Path(folder)) / spec.file_name


def beside(path: Path, suffix: str) -> Path:
    """The companion of a model file that has ``suffix`` after its whole name."""
    return path.with_name(path.name + suffix)


def hash_file(path: Path, source: str, progress: ProgressCallback | None = None) -> str:
    """The SHA-256 of the file in lower-case hex; ``source`` is only what progress calls it."""
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    buffer = bytearray(_HASH_CHUNK_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while n := file.readinto(buffer):
            digest.update(view[:n])
            done += n
            if progress is not None:
                progress(Progress(source, done, total, "verify"))
    return digest.hexdigest()


def read_record(path: Path) -> Record | None:
    """The record beside the model file; ``None`` where there is none that can be read."""
    try:
        fields = json.loads(beside(path, ".json").read_text(encoding="utf-8"))
        record = Record(**fields)
    except (OSError, ValueError, TypeError):
        return None
    return record if _has_declared_types(record) else None


def _has_declared_types(record: Record) -> bool:
    texts = (record.name, record.sha256, record.source, record.date, record.licence)
    numbers = (record.size_bytes, record.mtime_ns)
    return all(isinstance(text, str) for text in texts) and all(isinstance(number, int) for number in numbers)


def write_record(spec: FileSpec, path: Path, sha256: str, source: str) -> Record:
    """Write down, atomically, that the file at ``path`` was found to have the hash that it should have."""
    stat = path.stat()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = Record(spec.name, sha256, stat.st_size, stat.st_mtime_ns, source, now, spec.licence)
    write_json(beside(path, ".json"), asdict(record))
    return record


def write_json(path: Path, data: object) -> None:
    """Write ``data`` as JSON so that a reader sees the old file or the new one, never half of one."""
    temporary = beside(path, ".new")
    temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def file_sha256(path: Path, progress: ProgressCallback | None = None) -> str:
    """The SHA-256 of a model file; not computed again where the file is as it was when it was verified.

    Raises:
        OSError: the file cannot be read.
    """
    record, status = read_record(path), path.stat()
    if record is not None and (record.size_bytes, record.mtime_ns) == (status.st_size, status.st_mtime_ns):
        return record.sha256
    return hash_file(path, path.name, progress)


def is_verified(spec: FileSpec, path: Path) -> bool:
    """Whether the file was verified once and has the size and time of then; reads no weights."""
    record = read_record(path)
    if record is None or record.sha256 != (spec.sha256 or record.sha256):
        return False
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (stat.st_size, stat.st_mtime_ns) == (record.size_bytes, record.mtime_ns)


def adopt(
    spec: FileSpec,
    path: Path,
    *,
    sha256: str | None = None,
    progress: ProgressCallback | None = None,
) -> bool:
    """Verify a file that is there without a valid record, and record it if its hash is right.

    ``sha256`` is the hash that a hub publishes, if one was asked; else the catalog's or the old
    record's is used. False where the file is absent or wrong, or where no hash is known.
    """
    record = read_record(path)
    expected = spec.sha256 or sha256 or (record.sha256 if record else None)
    if expected is None or not path.is_file():
        return False
    if spec.size_bytes is not None and path.stat().st_size != spec.size_bytes:
        return False
    if hash_file(path, str(path), progress) != expected:
        return False
    with suppress(OSError):  # a folder that cannot be written to serves too, at the cost of the next hash
        write_record(spec, path, expected, record.source if record else "placed by hand")
    return True


def installed(folder: str | os.PathLike[str] | None = None) -> list[InstalledModel]:
    """What of the catalog (models, encoders, recognizers, voices) is in ``folder``, in the catalog's order.

    Reads no weights: ``verified`` compares size and time with the record. Files that the catalog does
    not know are not listed.
    """
    return list(_installed(folder))


def _installed(folder: str | os.PathLike[str] | None) -> Iterator[InstalledModel]:
    for name in all_names():
        files = {model_path(spec, folder): spec for spec in files_of(name)}
        if all(path.is_file() for path in files):
            size = sum(path.stat().st_size for path in files)
            verified = all(is_verified(spec, path) for path, spec in files.items())
            first = next(iter(files))
            yield InstalledModel(name, first, size, verified, read_record(first))


def verify(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
) -> Path:
    """Compute the hashes of an installed model's whole files and compare them with the known ones.

    A known hash is the catalog's or, where that has none, the one that was recorded when the model
    was downloaded; so this needs no network. Returns the path of the GGUF file, or of the weights.

    Raises:
        UnknownModelError: the catalog has no such name.
        ModelFileError: a file is missing or differs, or no hash of it is known.
    """
    paths = [_verify(spec, model_path(spec, folder), progress) for spec in files_of(name)]
    return paths[0]


def _verify(spec: FileSpec, path: Path, progress: ProgressCallback | None) -> Path:
    name = spec.name
    record = read_record(path)
    expected = spec.sha256 or (record.sha256 if record else None)
    if not path.is_file():
        raise file_error(path, "there is no such file", _pull_hint(name), name)
    if expected is None:
        problem = "its right hash is not known: the catalog has none, and the file was put there by hand"
        raise file_error(path, problem, _pull_hint(name), name)
    with file_errors(path, name):
        found = hash_file(path, str(path), progress)
    if found != expected:
        problem = f"its SHA-256 is {found}, but {expected} is right"
        raise file_error(path, problem, f"run `plait models remove {name}`, then pull it again", name)
    if not is_verified(spec, path):
        with suppress(OSError):
            write_record(spec, path, expected, record.source if record else "placed by hand")
    return path


def remove(name: str, folder: str | os.PathLike[str] | None = None) -> int:
    """Delete a model's files, their records, what interrupted downloads left, and what was merged of them.

    Returns the number of bytes freed; 0 where nothing was there.

    Raises:
        UnknownModelError: the catalog has no such name.
        ModelFileError: a process is downloading it, or a file cannot be deleted.
    """
    from filelock import FileLock, Timeout

    paths = [model_path(spec, folder) for spec in files_of(name)]
    path = paths[0]
    if not path.parent.is_dir():
        return 0
    with file_errors(path, name):
        lock = FileLock(beside(path, ".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            fix = "wait for the download to end or stop it"
            raise file_error(path, "it is being downloaded right now", fix, name) from error
        try:
            freed = sum(remove_leftovers(p) + _delete(p) + _delete(beside(p, ".json")) for p in paths)
            merged = (path.parent / MERGED).glob(f"{glob.escape(path.stem)}-*.gguf")
            return freed + sum(map(_delete, merged))
        finally:
            lock.release()


def remove_leftovers(path: Path) -> int:
    """Delete what unfinished downloads left beside ``path``; the bytes freed. Call under the lock."""
    suffixes = (".part", ".part.json", ".packages", ".packages.json", ".wheels")
    return sum(_delete(beside(path, suffix)) for suffix in suffixes)


def _delete(path: Path) -> int:
    """Delete a file or a folder if it is there; the bytes freed."""
    if path.is_dir():
        freed = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        shutil.rmtree(path)
        return freed
    try:
        freed = path.stat().st_size
    except FileNotFoundError:
        return 0
    path.unlink()
    return freed


def _pull_hint(name: str) -> str:
    return f"run `plait models pull {name}`"


def check_gguf(path: str | os.PathLike[str]) -> None:
    """Check cheaply that a file is a whole GGUF file: its header, and that all weights are in it.

    Finds files that are cut off; a changed byte among the weights is found by :func:`verify` alone.

    Raises:
        ModelFileError: the file is missing, unreadable, no GGUF file, of a version that is not
            supported, or shorter than its header says. The message says what to do.
    """
    read_header(path)
