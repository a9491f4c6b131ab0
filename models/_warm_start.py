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

    def fingerprint(self, tokens: Sequence[int], first: int = 0) -> Fingerprint:
        """The name of the state of ``tokens`` from the ``first`` on, under this model and engine."""
        part = (f"from {first}",) if first else ()
        return Fingerprint.of((*self._identity, *part), tokens)

    def restore(self, beginnings: Sequence[Sequence[int]]) -> int:
        """Bring into memory the longest of a prompt's beginnings that is on disk, if it is not there yet.

        Of a beginning that begins with another one only the rest is on disk. Where the shortest is in memory,
        nothing is read: the others have been computed by this process, or are now.

        Returns:
            The number of tokens whose state came from disk.
        """
        pool, parts = self._engine.pool, self._parts(beginnings)
        if not parts:
            return 0
        (_, shortest), (_, longest) = parts[0], parts[-1]
        if not self._is_worth_it(len(shortest) - pool.n_common(shortest)) or not pool.has_room_for(
            len(longest)
        ):
            return 0
        tokens: Sequence[int] = ()
        found: list[Fingerprint] = []
        states: list[tuple[int, bytearray]] = []
        for first, beginning in parts:
            fingerprint = self.fingerprint(beginning, first)
            state = self._cache.load(fingerprint)
            if state is None:
                break
            tokens = beginning
            found.append(fingerprint)
            states.append((len(beginning), state))
        if not states:
            return 0
        if not self._engine.import_state(tokens, *states):
            for fingerprint in found:
                self._cache.discard(fingerprint)
            return 0
        self._stored.update(fingerprint.digest for fingerprint in found)
        return len(tokens)

    def save(self, sequence: CachedSequence, beginnings: Sequence[Sequence[int]]) -> None:
        """Store the states of the beginnings, with which ``sequence`` begins, that are not on disk.

        Only copies of the states are made here; threads that outlive the caller's write them.
        """
        for first, tokens in self._parts(beginnings):
            fingerprint = self.fingerprint(tokens, first)
            if self._is_due(fingerprint):
                self._save(sequence, fingerprint, tokens, first)
            if fingerprint.digest not in self._stored and fingerprint not in self._cache:
                return  # what follows would be of no use without it

    def _save(
        self, sequence: CachedSequence, fingerprint: Fingerprint, tokens: Sequence[int], first: int
    ) -> None:
        state = self._engine.export_state(sequence, tokens, first=first)
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

    def _parts(self, beginnings: Sequence[Sequence[int]]) -> list[tuple[int, Sequence[int]]]:
        """The beginnings, each with the first token that is stored of it; none that add only a few."""
        parts: list[tuple[int, Sequence[int]]] = []
        n_before = 0
        for tokens in beginnings:
            if self._is_worth_it(len(tokens) - n_before):
                parts.append((n_before, tokens))
                n_before = len(tokens)
        return parts

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


def shared_tokens(beginning: list[int], prompt: list[int]) -> list[int]:
    """The tokens of ``prompt`` that a text determines with which it begins, given that text's: ``beginning``.

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
