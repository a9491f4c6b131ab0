"""How many threads are fastest, measured on the machine itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.models._cores import Cores
from plait.models._gguf_info import GGUFInfo
from plait.models._hardware import Machine
from plait.models._measurements import keep_measurement, read_measurement

_ROUNDS = 3
_BATCH_TOKENS = 64
_WORTH = 0.03  # of the time that a further thread must save; it is taken from the rest of the machine

Measure = Callable[[int, int], float]
"""Computes (with so many threads, so many tokens in one batch) and returns the seconds that it took."""


@dataclass(frozen=True, slots=True)
class ThreadCounts:
    """The numbers of threads to use."""

    n_threads: int
    """For one token at a time."""
    n_threads_batch: int
    """For many tokens at a time."""


def thread_candidates(cores: Cores) -> list[int]:
    """The thread counts that are worth a measurement, ascending: halves of the cores, and the fast ones."""
    n, counts = cores.n_all, {cores.n_fast, cores.n_all}
    while n > 1:
        n //= 2
        counts.add(n)
    return sorted(counts)


def performance_key(info: GGUFInfo, machine: Machine) -> str:
    """What measurements of this model on this machine depend on: its shape and its kinds of weights."""
    types = ",".join(f"{name}={size}" for name, size in info.bytes_by_type.items())
    return f"{machine.key}|{info.architecture}|{info.n_layers}|{info.embedding_length}|{types}"


def measure_threads(
    run: Measure,
    candidates: Iterable[int],
    *,
    key: str | None = None,
    path: Path | None = None,
    n_rounds: int = _ROUNDS,
    batch_tokens: int = _BATCH_TOKENS,
    anew: bool = False,
) -> ThreadCounts:
    """The fastest thread counts for one token and for a batch, from the cache or measured by ``run``.

    Args:
        run: measures; called ``n_rounds`` times for each count, by turns, after one call that warms up.
        candidates: thread counts to try.
        key: what the result depends on, such as :func:`performance_key`; ``None`` keeps nothing.
        path: the file of measurements; plait's own by default.
        n_rounds: measurements of each count; the least counts.
        batch_tokens: tokens of a batch.
        anew: measures even if the result is known.

    Raises:
        ValueError: there are no candidates.
    """
    counts = sorted(set(candidates))
    if not counts or counts[0] < 1:
        raise ValueError(f"thread counts to try are {counts}; give at least one, all positive")
    if len(counts) == 1:
        return ThreadCounts(counts[0], counts[0])
    cache_key = None if key is None else f"threads|{key}|{counts}"
    if cache_key is not None and not anew:
        known = _known(read_measurement(cache_key, path), counts)
        if known is not None:
            return known
    chosen = ThreadCounts(_fastest(run, counts, 1, n_rounds), _fastest(run, counts, batch_tokens, n_rounds))
    if cache_key is not None:
        values = {"n_threads": chosen.n_threads, "n_threads_batch": chosen.n_threads_batch}
        keep_measurement(cache_key, values, path)
    return chosen


def _known(values: Any, counts: Sequence[int]) -> ThreadCounts | None:
    """What was kept, if it is one of the counts in question."""
    if values is None:
        return None
    found = [values.get(name) for name in ("n_threads", "n_threads_batch")]
    if not all(type(value) is int and value in counts for value in found):
        return None
    return ThreadCounts(found[0], found[1])


def _fastest(run: Measure, counts: Sequence[int], n_tokens: int, n_rounds: int) -> int:
    """The smallest count that is about as fast as the fastest."""
    run(counts[-1], n_tokens)
    times: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(n_rounds):
        for count in counts:
            times[count].append(run(count, n_tokens))
    # The least: whatever else runs on the machine only adds to it.
    least = {count: min(seconds) for count, seconds in times.items()}
    limit = min(least.values()) * (1 + _WORTH)
    return next(count for count in counts if least[count] <= limit)
