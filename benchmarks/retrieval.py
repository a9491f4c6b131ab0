"""How well tools are found among 2,574, over several divisions into usages and tests.

    python benchmarks/retrieval.py              five divisions; some minutes, nearly all of them for encoding
    python benchmarks/retrieval.py --seeds 1

Means and standard deviations in percent. One division is what ``plait eval retrieval`` shows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from plait.apps.evaluation._bfcl import BFCLBenchmark
from plait.apps.evaluation._retrieval import KS, measure
from plait.apps.evaluation._retrieval_data import bfcl_pool, divided
from plait.models import DEFAULT_ENCODER
from plait.retrieval import Encoder, Vectors, load_encoder


class Remembering:
    """An encoder that encodes each text once."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, Vectors] = {}

    @property
    def fingerprint(self) -> str:
        """That of the encoder."""
        return self._encoder.fingerprint

    @property
    def dimension(self) -> int:
        """That of the encoder."""
        return self._encoder.dimension

    def encode(self, texts: Sequence[str], /) -> Vectors:
        """What the encoder gives, or has given."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(new, self._encoder.encode(new), strict=True))
        return np.array([self._known[text] for text in texts], np.float32).reshape(-1, self.dimension)


def main(
    seeds: Annotated[int, typer.Option(help="How many divisions.", min=1)] = 5,
    encoder: Annotated[str, typer.Option(help="A name of the catalog or a folder.")] = DEFAULT_ENCODER,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure every ranking."""
    model, pool = Remembering(load_encoder(encoder)), bfcl_pool(BFCLBenchmark())
    rows: dict[str, list[list[float]]] = {}
    chosen: dict[str, list[list[float]]] = {}
    for seed in range(seeds):
        figures = measure(divided(pool, seed), model)
        for selection in figures.selections:
            numbers = [100 * selection.recall, selection.n_tools]
            chosen.setdefault(f"{selection.wanted}", []).append(numbers)
        for score in figures.scores:
            numbers = [*(score.recall[k] for k in KS), score.ndcg_at_5]
            rows.setdefault(score.name, []).append([100 * number for number in numbers])
    columns = [*(f"recall@{k}" for k in KS), "nDCG@5"]
    if as_json:
        print(json.dumps({"columns": columns, "rankings": rows, "selections": chosen}, indent=2))
        return
    table = Table(title=f"{len(pool.tools):,} tools, {seeds} divisions")
    for column in ("", *columns):
        table.add_column(column, justify="right" if column else "left")
    for name, found in rows.items():
        means, deviations = np.mean(found, axis=0), np.std(found, axis=0)
        table.add_row(name, *(f"{m:.1f} ± {d:.1f}" for m, d in zip(means, deviations, strict=True)))
    Console(width=None if sys.stdout.isatty() else 170).print(table)
    table = Table(title="as few tools as a wanted recall allows")
    for column in ("wanted recall", "recall", "tools"):
        table.add_column(column, justify="right")
    for name, found in chosen.items():
        means, deviations = np.mean(found, axis=0), np.std(found, axis=0)
        table.add_row(name, *(f"{m:.1f} ± {d:.1f}" for m, d in zip(means, deviations, strict=True)))
    Console(width=None if sys.stdout.isatty() else 170).print(table)


if __name__ == "__main__":
    typer.run(main)
