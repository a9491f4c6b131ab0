"""What is measured once for each model and machine: how many threads are fastest, and what a batch costs."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from plait.models._batch_cost import BatchCost, measure_batch_costs
from plait.models._measurements import keep_measurement, read_measurement
from plait.models._threads import ThreadCounts, measure_threads, performance_key, thread_candidates

if TYPE_CHECKING:
    from plait.models._engine import Engine
    from plait.models._speculating import Speculation

Result = TypeVar("Result")

_THREADS_BATCH = 16  # tokens; enough to tell counts apart, and few enough not to keep the user waiting
_THREADS_ROUNDS = 2


def in_own_thread(work: Callable[[], Result]) -> Result:
    """What ``work`` returns, done in a thread that ends with it.

    OpenMP gives each thread that computes workers of its own, which stay as long as that thread does. Where
    all of them are more than the cores, each waits asleep instead of spinning, at every one of a model's
    hundreds of barriers a token, and small models become much slower. So nothing is computed in a thread
    that lives on: the main one, above all.
    """
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(work).result()


def tune_threads(engine: Engine, *, anew: bool = False) -> ThreadCounts:
    """Let ``engine`` use as many threads as are fastest, measured unless it is known.

    On a GPU the placement's numbers stay: there threads do little.

    Args:
        engine: what to measure and to set.
        anew: measures in any case.
    """
    placement = engine.placement
    if placement.n_gpu_layers > 0:
        return ThreadCounts(placement.n_threads, placement.n_threads_batch)

    def run(n_threads: int, n_tokens: int) -> float:
        engine.set_threads(n_threads, n_threads)
        return seconds_of_batch(engine, n_tokens)

    with engine.lock:
        counts = in_own_thread(
            lambda: measure_threads(
                run,
                thread_candidates(engine.machine.cores),
                key=_key(engine),
                n_rounds=_THREADS_ROUNDS,
                batch_tokens=_THREADS_BATCH,
                anew=anew,
            )
        )
        engine.set_threads(counts.n_threads, counts.n_threads_batch)
    return counts


def costs_of_batches(engine: Engine, *, anew: bool = False) -> BatchCost:
    """What batches cost on ``engine`` as it is set up, measured unless it is known.

    Args:
        engine: what to measure.
        anew: measures in any case.
    """
    placement, threads = engine.placement, f"{engine.n_threads}+{engine.n_threads_batch}"
    key = "|".join(
        (
            "batches",
            _key(engine),
            f"{placement.device} {placement.n_gpu_layers} {placement.kv_type} {threads}",
        )
    )
    known = None if anew else _known(key)
    if known is not None:
        return known
    with engine.lock:
        costs = in_own_thread(
            lambda: measure_batch_costs(lambda n_tokens: seconds_of_batch(engine, n_tokens))
        )
    keep_measurement(key, {"sizes": list(costs.sizes), "seconds": list(costs.seconds)})
    return costs


def _key(engine: Engine) -> str:
    """What measurements of this engine depend on; an adapter costs, whatever is in it."""
    key = performance_key(engine.info, engine.machine)
    return key if engine.adapter is None else f"{key}|adapter"


def _known(key: str) -> BatchCost | None:
    """What was kept, if it is whole."""
    values = read_measurement(key) or {}
    try:
        sizes = tuple(operator.index(size) for size in values.get("sizes", ()))
        return BatchCost(sizes, tuple(float(seconds) for seconds in values.get("seconds", ())))
    except (TypeError, ValueError, OverflowError):
        return None


def seconds_of_batch(engine: Engine, n_tokens: int) -> float:
    """What a batch takes behind nothing, with the logits of its tokens, as when guesses are verified."""
    from plait.models._engine import MAX_ROWS, Chunk

    sequence = engine.pool.take_empty()
    assert sequence is not None, "measured while nobody else uses the engine"
    try:
        began = time.perf_counter()
        engine.decode([Chunk(sequence, [0] * n_tokens, range(n_tokens)[-MAX_ROWS:])])
        return time.perf_counter() - began
    finally:
        engine.pool.truncate(sequence, 0)
        engine.pool.release(sequence)


def speculation(engine: Engine, drafts: str | Path | bool) -> Speculation | None:
    """What makes drafts for ``engine``; ``None`` for a model that cannot take guesses back.

    Args:
        engine: whose tokens are guessed.
        drafts: True, or the path of a small model.

    Raises:
        ModelError: the small model's vocabulary is another one.
        ModelFileError, ModelMemoryError: it cannot be loaded.
    """
    from plait.models._speculating import ModelSpeculation, NGramSpeculation

    if not engine.can_split:
        return None
    costs = costs_of_batches(engine)
    vocabulary = engine.vocabulary
    if isinstance(drafts, bool):
        return NGramSpeculation(costs, vocabulary.pieces, vocabulary.is_end)
    small = draft_engine(engine, Path(drafts))
    return ModelSpeculation(costs, small, costs_of_batches(small)(1), vocabulary.is_end)


def draft_engine(engine: Engine, path: Path) -> Engine:
    """The small model at ``path``, with as long a context as ``engine`` has.

    Raises:
        ModelError: its vocabulary is another one.
        ModelFileError, ModelMemoryError: it cannot be loaded.
    """
    from plait.models._engine import Engine
    from plait.models._model_draft import check_same_vocabulary

    small = Engine(path, context_length=engine.context_length)
    try:
        check_same_vocabulary(engine.vocabulary, small.vocabulary)
        tune_threads(small)
    except BaseException:
        small.close()
        raise
    return small
