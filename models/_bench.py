"""How fast a model is on this machine, and what it takes of memory."""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plait.models._batch_cost import BatchCost
from plait.models._calibration import costs_of_batches, in_own_thread, seconds_of_batch, tune_threads
from plait.models._memory import KVType
from plait.models._placement import Placement
from plait.models._prefix_cache import PrefixCache
from plait.models._threads import ThreadCounts
from plait.models._warm_start import WarmStart

if TYPE_CHECKING:
    from plait.models._engine import Engine

_ROUNDS = 3
_DECODED = 16
_STATIC_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians of a few rounds."""

    load_s: float
    """Seconds to load the weights, from wherever the system had them."""
    placement: Placement
    """Where it runs."""
    threads: ThreadCounts
    """CPU threads that it uses."""
    prefill_tokens_per_s: float
    """Tokens of a prompt, in batches of 512."""
    decode_tokens_per_s: float
    """Tokens one by one, behind a prompt."""
    batch_costs: BatchCost
    """Seconds of small batches."""
    static_tokens: int
    """Tokens of the prompt of the next two."""
    cold_start_s: float
    """Seconds to compute them."""
    warm_start_s: float | None
    """Seconds to take their state from disk; ``None`` for a model whose state cannot be stored."""
    resident_bytes: int | None
    """Memory of the process at the end; ``None`` where the system does not tell."""


def measure_speed(
    path: Path,
    *,
    context_length: int | None = None,
    n_threads: int | None = None,
    kv_type: KVType | None = None,
    said: Callable[[str], None] = lambda what: None,
) -> Speed:
    """Measure a model, for up to a minute; what the engine keeps of such measurements is measured anew.

    Args:
        path: a GGUF file.
        context_length: as for :class:`~plait.models.LlamaModel`.
        n_threads: as there.
        kv_type: as there.
        said: is told what is measured next.

    Raises:
        ModelFileError, ModelMemoryError, ModelError: it cannot be loaded, or fails.
    """
    from plait.models._engine import Engine

    said("loading")
    began = time.perf_counter()
    engine = Engine(path, context_length=context_length, n_threads=n_threads, kv_type=kv_type)
    load_s = time.perf_counter() - began
    with contextlib.closing(engine):
        said("threads")
        threads = ThreadCounts(engine.n_threads, engine.n_threads)
        if n_threads is None:
            threads = tune_threads(engine, anew=True)
        said("batches")
        costs = costs_of_batches(engine, anew=True)
        return in_own_thread(lambda: _measured(engine, load_s, threads, costs, said))


def _measured(
    engine: Engine, load_s: float, threads: ThreadCounts, costs: BatchCost, said: Callable[[str], None]
) -> Speed:
    from plait.models._engine import MAX_BATCH

    n_batch = min(MAX_BATCH, engine.context_length)
    n_static = min(_STATIC_TOKENS, engine.context_length - 2 * _DECODED)
    said("prefill")
    prefill = statistics.median(seconds_of_batch(engine, n_batch) for _ in range(_ROUNDS))
    said("cold start")
    prompt = [token % engine.vocabulary.n_vocab for token in range(n_static)]
    began = time.perf_counter()
    engine.compute(prompt)
    cold_s = time.perf_counter() - began
    said("decode")
    decoded = statistics.median(_decode_s(engine, prompt, number) for number in range(_ROUNDS))
    said("warm start")
    return Speed(
        load_s=load_s,
        placement=engine.placement,
        threads=threads,
        prefill_tokens_per_s=n_batch / prefill,
        decode_tokens_per_s=_DECODED / decoded,
        batch_costs=costs,
        static_tokens=n_static,
        cold_start_s=cold_s,
        warm_start_s=_warm_start_s(engine, prompt),
        resident_bytes=_resident_bytes(),
    )


def _decode_s(engine: Engine, prompt: list[int], number: int) -> float:
    """Seconds to append some tokens to the prompt one by one."""
    tokens = [*prompt]
    began = time.perf_counter()
    for i in range(_DECODED):
        tokens.append((number + i) % engine.vocabulary.n_vocab)
        engine.compute(tokens)
    return time.perf_counter() - began


def _warm_start_s(engine: Engine, prompt: list[int]) -> float | None:
    """Seconds to take the state of ``prompt`` from disk."""
    if not engine.can_split:
        return None
    with tempfile.TemporaryDirectory() as folder:
        warm_start = WarmStart(engine, PrefixCache(folder))
        sequence = engine.pool.take([*prompt, 0])
        assert sequence is not None, "nobody else uses the engine"
        warm_start.save(sequence, [prompt])
        engine.pool.release(sequence)
        warm_start.wait()
        for cached in engine.pool.sequences:
            engine.pool.truncate(cached, 0)
        began = time.perf_counter()
        restored = WarmStart(engine, PrefixCache(folder)).restore([prompt])
        return time.perf_counter() - began if restored else None


def _resident_bytes() -> int | None:
    """What the system says that this process holds in memory, now or at its peak."""
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        import resource

        return pages * resource.getpagesize()
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
