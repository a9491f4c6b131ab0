"""Flash attention on and off, on the device where models run here: seconds of batches behind a prompt.

    python benchmarks/flash_attention.py                          SmolLM2; about a minute
    python benchmarks/flash_attention.py --model NAME --prompt N  another one, behind N tokens

Rounds take turns between the two, and the least of them counts. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated
from unittest.mock import patch

import typer
from rich.console import Console
from rich.table import Table

from plait.models import _engine as engines
from plait.models import resolve
from plait.models._calibration import in_own_thread
from plait.models._engine import MAX_BATCH, Chunk, Engine

SIZES = (1, 2, 4, 8, 16)


def engine_with(name: str, *, flash_attention: bool) -> Engine:
    """The model with or without it, whatever is usual here."""
    choose = engines.choose_placement

    def choose_so(*args: object, **options: object) -> object:
        return replace(choose(*args, **options), flash_attention=flash_attention)  # type: ignore[arg-type]

    with patch.object(engines, "choose_placement", choose_so):
        return Engine(resolve(name, download=False), context_length=4096)


def seconds(engine: Engine, prompt: Sequence[int], n_tokens: int) -> float:
    """What a batch of so many tokens takes behind ``prompt``, which is in the cache; less than 1 s each."""
    sequence = engine.pool.take([*prompt, 0])
    assert sequence is not None, "nobody else uses the engine"
    began = time.perf_counter()
    engine.decode([Chunk(sequence, [0] * n_tokens, range(n_tokens))])
    took = time.perf_counter() - began
    engine.pool.truncate(sequence, len(prompt))
    engine.pool.release(sequence)
    return took


def prefill(engine: Engine, prompt: Sequence[int]) -> float:
    """Tokens a second of a prompt."""
    began = time.perf_counter()
    engine.compute(prompt)
    return len(prompt) / (time.perf_counter() - began)


def measure(name: str, n_prompt: int, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds by batch size, and tokens a second of the prompt, with it and without."""
    prompt = [i % 999 for i in range(n_prompt)]
    both = {kind: engine_with(name, flash_attention=kind == "on") for kind in ("off", "on")}
    speeds = {kind: in_own_thread(lambda e=engine: prefill(e, prompt)) for kind, engine in both.items()}
    times: dict[tuple[str, int], float] = {}
    for _ in range(rounds):
        for kind, engine in both.items():
            for size in SIZES:
                took = in_own_thread(lambda e=engine, n=size: seconds(e, prompt, n))
                times[kind, size] = min(took, times.get((kind, size), took))
    return {
        kind: {"prompt": speeds[kind], **{str(size): 1e3 * times[kind, size] for size in SIZES}}
        for kind in both
    }


def main(
    model: Annotated[str, typer.Option(help="A catalog name or a GGUF file.")] = "smollm2-135m",
    prompt: Annotated[int, typer.Option(help="Tokens before the batch.", min=MAX_BATCH)] = 1900,
    rounds: Annotated[int, typer.Option(help="How often each is measured.", min=1)] = 12,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare the two on this machine."""
    found = measure(model, prompt, rounds)
    if as_json:
        print(json.dumps({"model": model, "prompt": prompt, "flash_attention": found}, indent=2))
        return
    table = Table(title=f"{model}: milliseconds of a batch behind {prompt} tokens")
    for column in ("flash attention", *(f"{size}" for size in SIZES), "prompt, tokens/s"):
        table.add_column(column, justify="right")
    for kind, row in found.items():
        table.add_row(kind, *(f"{row[str(size)]:.1f}" for size in SIZES), f"{row['prompt']:.0f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
