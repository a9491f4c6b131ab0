"""KV states of prompts' static beginnings, as files that outlive the process.

One file a prefix, named after a fingerprint of all that the state depends on. Several processes may use one
folder: files appear in one step and are never changed, and whoever reads one checks the whole of it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from plait.errors import ConfigurationError

DEFAULT_MAX_BYTES = 2 * 10**9
"""Bytes that the folder may take if nothing else is said."""

_VERSION = 1
_MAGIC = b"plaitkv\0"
_HEADER = struct.Struct("<8sIIQ32s32s")  # magic, version, tokens, bytes, fingerprint, SHA-256 of the state
_SUFFIX = ".plaitkv"
_PART_SUFFIX = ".plaitkv-part"
_PART_LIFE_S = 3600.0  # who has not finished writing after that was killed
_log = logging.getLogger("plait.models")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a state is the state of."""

    digest: bytes
    """SHA-256 over the file format, the model, the engine and the tokens."""
    n_tokens: int
    """How many tokens the state is of."""

    @classmethod
    def of(cls, identity: Iterable[str], tokens: Sequence[int]) -> Fingerprint:
        """The fingerprint of ``tokens`` under the model and engine that ``identity`` describes."""
        digest = hashlib.sha256()
        for text in (f"plait prefix {_VERSION}", *identity):
            data = text.encode()
            digest.update(struct.pack("<Q", len(data)) + data)
        digest.update(struct.pack(f"<{len(tokens)}i", *tokens))
        return cls(digest.digest(), len(tokens))


class PrefixCache:
    """A folder of states with a limit on its size; the least recently used make room for new ones.

    Nothing that is wrong with the folder is ever an error for the caller: a state that cannot be read is
    ``None``, one that cannot be written is not there the next time.

    Args:
        folder: made when the first state is written. Files in it that are not the cache's are left alone.
        max_bytes: limit on the states' total size.

    Raises:
        ConfigurationError: the limit is not positive.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        if max_bytes <= 0:
            raise ConfigurationError(
                f"the prefix cache's limit is {max_bytes} bytes; give a positive number, or use no cache"
            )
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.problem: str | None = None
        """Why this process has stopped writing to the folder, if it has; reading goes on."""

    @classmethod
    def from_environment(cls) -> PrefixCache | None:
        """What ``PLAIT_PREFIX_CACHE`` (a folder, or ``off``) and ``PLAIT_PREFIX_CACHE_BYTES`` say.

        Raises:
            ConfigurationError: the limit is not a positive whole number.
        """
        chosen = os.environ.get("PLAIT_PREFIX_CACHE", "").strip()
        if chosen.lower() == "off":
            return None
        limit = os.environ.get("PLAIT_PREFIX_CACHE_BYTES", "").strip() or str(DEFAULT_MAX_BYTES)
        if not limit.isdecimal() or int(limit) == 0:
            raise ConfigurationError(
                f"PLAIT_PREFIX_CACHE_BYTES is {limit!r}; give a positive whole number of bytes, "
                "or set PLAIT_PREFIX_CACHE=off"
            )
        if chosen:
            return cls(Path(chosen).expanduser(), int(limit))
        from platformdirs import user_cache_path

        return cls(user_cache_path("plait", appauthor=False) / "prefixes", int(limit))

    def path(self, fingerprint: Fingerprint) -> Path:
        """Where the state of ``fingerprint`` is or would be."""
        return self.folder / (fingerprint.digest.hex() + _SUFFIX)

    def __contains__(self, fingerprint: Fingerprint) -> bool:
        try:
            return self.path(fingerprint).is_file()
        except OSError:  # a folder that may not be looked into
            return False

    def load(self, fingerprint: Fingerprint) -> bytearray | None:
        """The state as it was stored; ``None`` if there is none. A file that is not whole is deleted."""
        path = self.path(fingerprint)
        try:
            state = _read(path, fingerprint)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                _log.debug("prefix cache: cannot read %s: %s", path, error)
            return None
        if state is None:
            _log.debug("prefix cache: %s is damaged or not what its name says; deleted", path)
            self.discard(fingerprint)
            return None
        with suppress(OSError):
            os.utime(path)
        return state

    def store(self, fingerprint: Fingerprint, state: bytes | bytearray) -> bool:
        """Write a state, then delete the least recently used ones over the limit; whether it was written."""
        if self.problem is not None or _HEADER.size + len(state) > self.max_bytes:
            return False
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(fingerprint, state)
        except OSError as error:
            self.problem = f"the prefix cache cannot write to {self.folder}: {error}"
            _log.debug("%s", self.problem)
            return False
        self._evict()
        return True

    def discard(self, fingerprint: Fingerprint) -> None:
        """Delete the state, if it is there and can be deleted."""
        with suppress(OSError):
            self.path(fingerprint).unlink()

    def _write(self, fingerprint: Fingerprint, state: bytes | bytearray) -> None:
        header = _HEADER.pack(
            _MAGIC,
            _VERSION,
            fingerprint.n_tokens,
            len(state),
            fingerprint.digest,
            hashlib.sha256(state).digest(),
        )
        handle, part = tempfile.mkstemp(dir=self.folder, suffix=_PART_SUFFIX)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(header)
                file.write(state)
            Path(part).replace(self.path(fingerprint))
        except OSError:
            with suppress(OSError):
                Path(part).unlink()
            raise

    def _evict(self) -> None:
        now = time.time()
        files = list(self._files())
        total = sum(status.st_size for _, status in files)
        for path, status in sorted(files, key=lambda entry: entry[1].st_mtime_ns):
            if path.suffix == _PART_SUFFIX:
                doomed = now - status.st_mtime > _PART_LIFE_S
            else:
                doomed = total > self.max_bytes
            if doomed:
                with suppress(OSError):  # another process was faster, or has it open
                    path.unlink()
                    total -= status.st_size

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        with suppress(OSError):
            for entry in os.scandir(self.folder):
                if entry.name.endswith((_SUFFIX, _PART_SUFFIX)):
                    with suppress(OSError):
                        yield Path(entry.path), entry.stat()


def _read(path: Path, fingerprint: Fingerprint) -> bytearray | None:
    """The state in the file, ``None`` if any byte of the file is not as it was written."""
    with path.open("rb", buffering=0) as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None
        *found, size, digest, state_digest = _HEADER.unpack(header)
        if (*found, digest) != (_MAGIC, _VERSION, fingerprint.n_tokens, fingerprint.digest):
            return None
        if os.fstat(file.fileno()).st_size != _HEADER.size + size:
            return None
        state = bytearray(size)
        view, n_read = memoryview(state), 0
        while n_read < size and (n := file.readinto(view[n_read:])):
            n_read += n
    return state if hashlib.sha256(state).digest() == state_digest else None
