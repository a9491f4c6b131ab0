"""The static beginnings of prompts: computed once, then taken from disk by every later process."""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plait.models._prefix_cache import Fingerprint, PrefixCache
from plait.models._store import file_sha256, read_record

if TYPE_CHECKING:
    from plait.models._engine import Engine
    from plait.models._sequences import CachedSequence

_MIN_TOKENS = 32  # fewer are computed about as fast as a file is read
_N_AT_ONCE = 8
_HEAD_BYTES = 1 << 20
_EXIT_WAIT_S = 10.0


class WarmStart:
    """Takes an engine's prefixes from a cache on disk, and puts new ones there.

    The first few prefixes that a process meets are stored at once, later ones when they are met again: who
    offers other tools with each request would else write tens of megabytes for each.

    Args:
        engine: whoever calls :meth:`restore` and :meth:`save` holds its lock.
        cache: where the states lie.

    Raises:
        OSError: the model's file cannot be read.
    """

    def __init__(self, engine: Engine, cache: PrefixCache) -> None:
        self._engine = engine
        self._cache = cache
        self._seen: Counter[bytes] = Counter()
        self._stored: set[bytes] = set()
        self._writers: list[threading.Thread] = []
        adapted = [] if engine.adapter is None else [f"adapter {file_sha256(engine.adapter.path)}"]
        self._identity = (file_identity(engine.path), *adapted, *engine.state_format)
        # A process that ends right after its only answer still leaves the prefix behind.
        weakref.finalize(self, _finish, engine.lock, self._writers)

    def fingerprint(self, tokens: Sequence[int]) -> Fingerprint:
        """The name of the state of ``tokens`` under this model and engine."""
        return Fingerprint.of(self._identity, tokens)

    def restore(self, tokens: Sequence[int]) -> int:
        """Bring the state of ``tokens`` into memory, if it is on disk and not there yet.

        Returns:
            The number of tokens whose state came from disk: all or none.
        """
        pool = self._engine.pool
        if not self._is_worth_it(len(tokens) - pool.n_common(tokens)) or not pool.has_room_for(len(tokens)):
            return 0
        fingerprint = self.fingerprint(tokens)
        state = self._cache.load(fingerprint)
        if state is None:
            return 0
        if not self._engine.import_state(tokens, state):
            self._cache.discard(fingerprint)
            return 0
        self._stored.add(fingerprint.digest)
        return len(tokens)

    def save(self, sequence: CachedSequence, tokens: Sequence[int]) -> None:
        """Store the state of ``tokens``, with which ``sequence`` begins, if it is not on disk.

        Only the copy of the state is made here; a thread that outlives the caller's writes it.
        """
        if not self._is_worth_it(len(tokens)):
            return
        fingerprint = self.fingerprint(tokens)
        if not self._is_due(fingerprint):
            return
        state = self._engine.export_state(sequence, tokens)
        if state is None:
            return
        self._stored.add(fingerprint.digest)
        writer = threading.Thread(
            target=self._cache.store, args=(fingerprint, state), name="plait-prefix-writer"
        )
        try:
            writer.start()
        except RuntimeError:  # the interpreter is shutting down, and waits for the engine's lock
            self._cache.store(fingerprint, state)
        else:
            self._writers[:] = [*filter(threading.Thread.is_alive, self._writers), writer]

    def wait(self) -> None:
        """Return when all that was saved has been written."""
        for writer in [*self._writers]:
            writer.join()

    def _is_worth_it(self, n_tokens: int) -> bool:
        return n_tokens >= _MIN_TOKENS and self._engine.can_split

    def _is_due(self, fingerprint: Fingerprint) -> bool:
        digest = fingerprint.digest
        if self._cache.problem is not None or digest in self._stored:
            return False
        self._seen[digest] += 1
        return (len(self._seen) <= _N_AT_ONCE or self._seen[digest] > 1) and fingerprint not in self._cache


def _finish(lock: threading.Lock, writers: list[threading.Thread]) -> None:
    if lock.acquire(timeout=_EXIT_WAIT_S):  # whoever holds it may be about to save
        lock.release()
    for writer in writers:
        if writer is not threading.current_thread():
            writer.join(_EXIT_WAIT_S)


def static_tokens(beginning: list[int], prompt: list[int]) -> list[int]:
    """The tokens of ``prompt`` that its static text determines, given the ``beginning``: that text's tokens.

    The last of them may be another one where more text follows, so it never counts; what is before it
    is compared.
    """
    n = max(len(beginning) - 1, 0)
    while beginning[:n] != prompt[:n]:
        n -= 1
    return prompt[:n]


def file_identity(path: Path) -> str:
    """What tells a model's file from others, without reading all of it.

    Its hash where it was verified and not touched since, else its size, time and beginning.
    """
    status, record = path.stat(), read_record(path)
    if record is not None and (record.size_bytes, record.mtime_ns) == (status.st_size, status.st_mtime_ns):
        return f"sha256 {record.sha256}"
    with path.open("rb") as file:
        head = hashlib.sha256(file.read(_HEAD_BYTES)).hexdigest()
    return f"size {status.st_size} time {status.st_mtime_ns} head {head}"
