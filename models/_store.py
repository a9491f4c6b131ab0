"""The models folder: where files lie, whether they are whole, what is installed, what to remove."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from plait.errors import ModelFileError
from plait.models import _catalog
from plait.models._catalog import ModelSpec, find_spec

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
    """One model of the catalog whose file is in the models folder."""

    name: str
    """The catalog's name of the model."""
    path: Path
    """The GGUF file."""
    size_bytes: int
    """The file's size."""
    verified: bool
    """The file's hash was right once and the file has not been touched since."""
    record: Record | None
    """What was written down when it was verified; ``None`` for a file that was put there by hand."""


def models_folder() -> Path:
    """Where models are kept: ``PLAIT_MODELS``, or ``models`` in plait's cache folder of the platform."""
    chosen = os.environ.get("PLAIT_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("plait", appauthor=False) / "models"


def model_path(spec: ModelSpec, folder: str | os.PathLike[str] | None = None) -> Path:
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


def write_record(spec: ModelSpec, path: Path, sha256: str, source: str) -> Record:
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


def is_verified(spec: ModelSpec, path: Path) -> bool:
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
    spec: ModelSpec,
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
    """The models of the catalog whose files are in ``folder``, in the catalog's order.

    Reads no weights: ``verified`` compares size and time with the record. Files that the catalog does
    not know are not listed.
    """
    return list(_installed(folder))


def _installed(folder: str | os.PathLike[str] | None) -> Iterator[InstalledModel]:
    for spec in _catalog.CATALOG.values():
        path = model_path(spec, folder)
        if path.is_file():
            verified, record = is_verified(spec, path), read_record(path)
            yield InstalledModel(spec.name, path, path.stat().st_size, verified, record)


def verify(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
) -> Path:
    """Compute the hash of an installed model's whole file and compare it with the known one.

    The known hash is the catalog's or, where that has none, the one that was recorded when the model
    was downloaded; so this needs no network. Returns the file's path.

    Raises:
        UnknownModelError: the catalog has no such name.
        ModelFileError: the file is missing or differs, or no hash of it is known.
    """
    spec = find_spec(name)
    path = model_path(spec, folder)
    record = read_record(path)
    expected = spec.sha256 or (record.sha256 if record else None)
    if not path.is_file():
        raise _file_error(path, "there is no such file", _pull_hint(name), name)
    if expected is None:
        problem = "its right hash is not known: the catalog has none, and the file was put there by hand"
        raise _file_error(path, problem, _pull_hint(name), name)
    with file_errors(path, name):
        found = hash_file(path, str(path), progress)
    if found != expected:
        problem = f"its SHA-256 is {found}, but {expected} is right"
        raise _file_error(path, problem, f"run `plait models remove {name}`, then pull it again", name)
    if not is_verified(spec, path):
        with suppress(OSError):
            write_record(spec, path, expected, record.source if record else "placed by hand")
    return path


def remove(name: str, folder: str | os.PathLike[str] | None = None) -> int:
    """Delete a model's file, its record and what interrupted downloads of it left.

    Returns the number of bytes freed; 0 where nothing was there.

    Raises:
        UnknownModelError: the catalog has no such name.
        ModelFileError: a process is downloading it, or a file cannot be deleted.
    """
    from filelock import FileLock, Timeout

    spec = find_spec(name)
    path = model_path(spec, folder)
    if not path.parent.is_dir():
        return 0
    with file_errors(path, name):
        lock = FileLock(beside(path, ".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            fix = "wait for the download to end or stop it"
            raise _file_error(path, "it is being downloaded right now", fix, name) from error
        try:
            return remove_leftovers(path) + _delete(path) + _delete(beside(path, ".json"))
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


@contextmanager
def file_errors(path: Path, name: str | None = None) -> Iterator[None]:
    """Turn what the file system refuses into a ModelFileError."""
    try:
        yield
    except OSError as error:
        fix = "check the permissions, and that no other program has it open"
        raise _file_error(path, error.strerror or str(error), fix, name) from error


def _pull_hint(name: str) -> str:
    return f"run `plait models pull {name}`"


def _file_error(path: Path, problem: str, fix: str, name: str | None = None) -> ModelFileError:
    return ModelFileError(f"{path}: {problem}; {fix}", model=name or str(path))


# The GGUF header. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

_GGUF_VERSIONS = (2, 3)
_MAX_ENTRIES = 1 << 20  # of metadata and of tensors; real files have hundreds
_MAX_STRINGS = 1 << 24  # in one array; vocabularies have up to some hundred thousand
_MAX_DIMENSIONS = 4
_STRING, _ARRAY = 8, 9
_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_UINT32 = 4
_DEFAULT_ALIGNMENT = 32
_ALIGNMENT_KEY = b"general.alignment"

_PLAIN = {0: 4, 1: 2, 24: 1, 25: 2, 26: 4, 27: 8, 28: 8, 30: 2}
_BLOCKS_OF_32 = {2: 18, 3: 20, 6: 22, 7: 24, 8: 34, 9: 36, 20: 18, 39: 17}
_K_BLOCKS = {10: 84, 11: 110, 12: 144, 13: 176, 14: 210, 15: 292, 34: 54, 35: 66}
_I_BLOCKS = {16: 66, 17: 74, 18: 98, 19: 50, 21: 110, 22: 82, 23: 136, 29: 56}
_TENSOR_BLOCKS: dict[int, tuple[int, int]] = {
    kind: (n_weights, n_bytes)
    for n_weights, kinds in (
        (1, _PLAIN),
        (32, _BLOCKS_OF_32),
        (256, _K_BLOCKS | _I_BLOCKS),
        (64, {40: 36, 42: 18}),
        (128, {41: 18}),
    )
    for kind, n_bytes in kinds.items()
}
"""ggml's tensor types: how many weights one block has, and how many bytes it takes."""


class _HeaderError(Exception):
    """The header is not that of a whole GGUF file; the message is the problem."""


def check_gguf(path: str | os.PathLike[str]) -> None:
    """Check cheaply that a file is a whole GGUF file: its header, and that all weights are in it.

    Reads the header only, through a memory map, so that no claim in a hostile header makes it
    allocate anything. Finds files that are cut off; a changed byte among the weights is found by
    :func:`verify` alone. Weights of a type that is not known here are not counted.

    Raises:
        ModelFileError: the file is missing, unreadable, no GGUF file, of a version that is not
            supported, or shorter than its header says. The message says what to do.
    """
    path = Path(path)
    if not path.is_file():
        problem = "this is a folder" if path.is_dir() else "there is no such file"
        raise _file_error(path, problem, "give the path of a GGUF file or a name of the catalog")
    try:
        with file_errors(path), path.open("rb") as file:
            _check_magic(file.read(4))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                size = len(data)
                needed = _Header(data).end_of_weights()
        if needed > size:
            raise _HeaderError(f"it is cut off: it has {size:,} bytes and needs {needed:,}")
    except _HeaderError as error:
        fix = "download it again, or give the path of another GGUF file"
        raise _file_error(path, str(error), fix) from error


def _check_magic(magic: bytes) -> None:
    if magic == b"GGUF":
        return
    if not magic or b"GGUF".startswith(magic):
        raise _HeaderError("it is empty or cut off in the first bytes")
    raise _HeaderError(f"it is no GGUF file: it begins with {magic!r}, not with b'GGUF'")


class _Header:
    """A cursor over the header; every step is checked against the end of the file.

    Raises:
        _HeaderError: from every method, where the file ends too early or says what cannot be.
    """

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.position = 4
        self.alignment = _DEFAULT_ALIGNMENT

    def end_of_weights(self) -> int:
        """The size in bytes that the file must have for its last weight to be in it."""
        version = self.number("<I")
        if version not in _GGUF_VERSIONS:
            raise _HeaderError(f"GGUF version {version} is not supported, only 2 and 3, little-endian")
        n_tensors = self.count(_MAX_ENTRIES, "tensors")
        for _ in range(self.count(_MAX_ENTRIES, "metadata entries")):
            self.skip_entry()
        end = max((self.end_of_tensor() for _ in range(n_tensors)), default=0)
        if n_tensors == 0:
            return self.position
        start = -(-self.position // self.alignment) * self.alignment
        return start + end

    def number(self, layout: str) -> int:
        """The integer of that :mod:`struct` layout at the cursor."""
        start = self.position
        self.skip(struct.calcsize(layout))
        value: int = struct.unpack_from(layout, self.data, start)[0]
        return value

    def count(self, limit: int, what: str) -> int:
        """A number of things, refused beyond ``limit`` so that no loop over them runs for minutes."""
        n = self.number("<Q")
        if n > limit:
            raise _HeaderError(f"its header is damaged: it claims {n:,} {what}")
        return n

    def skip(self, n_bytes: int) -> None:
        """Move the cursor on."""
        if n_bytes > len(self.data) - self.position:
            raise _HeaderError(f"it is cut off in the header: it has only {len(self.data):,} bytes")
        self.position += n_bytes

    def skip_entry(self) -> None:
        """Move past one metadata entry, remembering it if it is the alignment."""
        n = self.number("<Q")
        start = self.position
        self.skip(n)
        is_alignment = n == len(_ALIGNMENT_KEY) and self.data[start : self.position] == _ALIGNMENT_KEY
        kind = self.number("<I")
        if is_alignment:
            self.read_alignment(kind)
        elif kind == _STRING:
            self.skip(self.number("<Q"))
        elif kind == _ARRAY:
            self.skip_array()
        else:
            self.skip(self.value_bytes(kind))

    def read_alignment(self, kind: int) -> None:
        """Read the alignment of the weights, in bytes."""
        value = self.number("<I") if kind == _UINT32 else 0
        if value == 0 or value % 8:
            raise _HeaderError("its header is damaged: the alignment is no multiple of 8")
        self.alignment = value

    def skip_array(self) -> None:
        """Move past an array of numbers or of strings; the format's authors use no others."""
        kind = self.number("<I")
        if kind != _STRING:
            self.skip(self.number("<Q") * self.value_bytes(kind))
            return
        # A vocabulary: by far the longest loop here, hence without a method call for each string.
        n_strings = self.count(_MAX_STRINGS, "strings in one array")
        unpack, data, position = struct.Struct("<Q").unpack_from, self.data, self.position
        try:
            for _ in range(n_strings):
                position += 8 + unpack(data, position)[0]
        except (struct.error, OverflowError) as error:
            raise _HeaderError("it is cut off in the header, in a list of strings") from error
        self.skip(position - self.position)

    def value_bytes(self, kind: int) -> int:
        """The size of one number of that type."""
        if kind not in _VALUE_BYTES:
            raise _HeaderError(f"its header is damaged: there is no metadata type {kind}")
        return _VALUE_BYTES[kind]

    def end_of_tensor(self) -> int:
        """Where the tensor described at the cursor ends, in bytes from the start of the weights."""
        self.skip(self.number("<Q"))
        n_dimensions = self.number("<I")
        if n_dimensions > _MAX_DIMENSIONS:
            raise _HeaderError(f"its header is damaged: a tensor has {n_dimensions} dimensions")
        n_weights = 1
        for _ in range(n_dimensions):
            n_weights *= self.number("<Q")
        block_weights, block_bytes = _TENSOR_BLOCKS.get(self.number("<I"), (1, 0))
        return self.number("<Q") + -(-n_weights // block_weights) * block_bytes
