"""What a batch of n tokens costs on this machine: measured once for each device and model, then kept."""

from __future__ import annotations

import bisect
import hashlib
import itertools
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

BATCH_SIZES = (1, 2, 4, 8, 16)
_VERSION = 1


@dataclass(frozen=True, slots=True)
class BatchCost:
    """Seconds that batches of some sizes take; between them it interpolates.

    A larger batch never costs less than a smaller one: measurements that say so are noise and are raised.
    Beyond the largest size the slope of the last two goes on.

    Raises:
        ValueError: the sizes do not begin with 1 and rise, or a time is not positive.
    """

    sizes: tuple[int, ...]
    """Tokens, rising from 1; at least two sizes."""
    seconds: tuple[float, ...]
    """What a batch of each size takes."""

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in itertools.pairwise(self.sizes))
        if len(self.sizes) < 2 or self.sizes[0] != 1 or not rising or len(self.sizes) != len(self.seconds):
            raise ValueError(f"sizes must rise from 1 and have a time each: {self.sizes}, {self.seconds}")
        if not all(math.isfinite(s) and s > 0 for s in self.seconds):
            raise ValueError(f"times must be positive seconds: {self.seconds}")
        object.__setattr__(self, "seconds", tuple(itertools.accumulate(self.seconds, max)))

    def __call__(self, n_tokens: int) -> float:
        """Seconds of a batch of ``n_tokens``."""
        at = min(max(bisect.bisect_left(self.sizes, n_tokens), 1), len(self.sizes) - 1)
        low, high = self.sizes[at - 1], self.sizes[at]
        slope = (self.seconds[at] - self.seconds[at - 1]) / (high - low)
        return self.seconds[at - 1] + slope * (n_tokens - low)

    @property
    def least_slope(self) -> float:
        """Seconds that one more token costs where it costs least."""
        points = list(zip(self.sizes, self.seconds, strict=True))
        return min((b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(points))


@dataclass(frozen=True, slots=True)
class CostKey:
    """What the cost of a batch depends on."""

    model: str
    """A fingerprint of the model's file."""
    device: str
    """The device that computes, and how many layers lie on it."""
    n_threads: int
    """CPU threads for a batch."""
    engine: str
    """Version of the engine, type of the KV cache and what else changes its speed."""


class _File(BaseModel):
    """A file of the cache."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: int
    key: dict[str, str | int]
    sizes: list[int]
    seconds: list[float]


def measure_batch_costs(
    decode: Callable[[int], object],
    *,
    sizes: Sequence[int] = BATCH_SIZES,
    rounds: int = 3,
    budget_s: float = 5.0,
    clock: Callable[[], float] = time.perf_counter,
) -> BatchCost:
    """Measure what batches cost: medians of a few rounds, in each of which every size has its turn.

    Args:
        decode: decodes a batch of so many tokens behind a prompt of usual length, with the logits of every
            token, as verification does, and forgets them again.
        sizes: in tokens, rising from 1.
        rounds: how often; after ``budget_s`` seconds no further one begins.
        budget_s: see ``rounds``.
        clock: gives seconds.
    """
    decode(sizes[-1])  # the first call of each kind allocates
    decode(1)
    times: list[list[float]] = [[] for _ in sizes]
    began = clock()
    for _ in range(rounds):
        for size, taken in zip(sizes, times, strict=True):
            before = clock()
            decode(size)
            taken.append(clock() - before)
        if clock() - began > budget_s:
            break
    return BatchCost(tuple(sizes), tuple(statistics.median(taken) for taken in times))


def batch_costs(
    key: CostKey, measure: Callable[[], BatchCost], *, folder: str | os.PathLike[str] | None = None
) -> BatchCost:
    """The costs that were measured for ``key`` earlier; otherwise those that ``measure`` gives, kept.

    A file that is damaged, of another version or of another key is replaced. Where the folder cannot be
    written, the costs are measured again next time.

    Args:
        key: what they belong to.
        measure: measures them, with :func:`measure_batch_costs`.
        folder: where they are kept; ``None`` is a folder in plait's cache folder.
    """
    path = (_cost_folder() if folder is None else Path(folder)) / f"{_name(key)}.json"
    kept = _read(path, key)
    if kept is not None:
        return kept
    costs = measure()
    with suppress(OSError):
        _write(path, key, costs)
    return costs


def _cost_folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("plait", appauthor=False) / "batch-costs"


def _name(key: CostKey) -> str:
    return hashlib.sha256(repr(tuple(asdict(key).items())).encode()).hexdigest()[:24]


def _read(path: Path, key: CostKey) -> BatchCost | None:
    try:
        file = _File.model_validate_json(path.read_bytes())
        if file.version != _VERSION or file.key != asdict(key):
            return None
        return BatchCost(tuple(file.sizes), tuple(file.seconds))
    except (OSError, ValidationError, ValueError):
        return None


def _write(path: Path, key: CostKey, costs: BatchCost) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _File(version=_VERSION, key=asdict(key), sizes=list(costs.sizes), seconds=list(costs.seconds))
    handle, new = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".new")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(file.model_dump_json(indent=1))
        Path(new).replace(path)
    except OSError:
        Path(new).unlink(missing_ok=True)
        raise
