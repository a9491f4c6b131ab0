"""What ``plait eval retrieval`` does and shows."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from plait.apps._index import encoding_progress, open_encoder
from plait.apps._output import OK, Output
from plait.apps._progress import waiting

if TYPE_CHECKING:
    from plait.apps.evaluation._retrieval import RetrievalScore
    from plait.apps.evaluation._retrieval_data import Pool


_COMPLETE_AT = (5, 10)


def read_pool(data: str) -> tuple[Pool, str]:
    """The tools and requests of ``"bfcl"`` or ``"nestful"``, and the data's fingerprint.

    Raises:
        PlaitError: the data cannot be fetched or read.
    """
    from plait.apps.evaluation import _retrieval_data

    if data == "bfcl":
        from plait.apps.evaluation._bfcl import BFCLBenchmark

        benchmark = BFCLBenchmark()
        return _retrieval_data.bfcl_pool(benchmark), benchmark.fingerprint
    from plait.apps.evaluation._nestful_data import PARTS, read_part
    from plait.apps.evaluation._packages import NESTFUL, unpacked

    folder = unpacked(NESTFUL)
    parts = [read_part(folder, name) for name in PARTS]
    fingerprint = hashlib.sha256(b"".join(part.raw for part in parts)).hexdigest()
    return _retrieval_data.nestful_pool(parts), fingerprint


def evaluate_retrieval(dataset: str, encoder: str, seed: int, output: Output) -> int:
    """Measure the rankings on a benchmark's tools, and show what came out.

    Raises:
        PlaitError: the data or the encoder cannot be had.
    """
    from plait.apps.evaluation._retrieval import KS, compared, measure
    from plait.apps.evaluation._retrieval_data import divided

    with waiting(output.console, f"reading the tools of {dataset}"):
        pool, fingerprint = read_pool(dataset)
        data = divided(pool, seed)
    model = open_encoder(encoder, output)
    began = time.perf_counter()
    with encoding_progress(output) as progress:
        scores, selections = measure(data, model, progress)
    rows = list(compared(scores))
    if output.as_json:
        output.document(
            {
                "dataset": dataset,
                "data": fingerprint,
                "encoder": model.fingerprint,
                "seed": seed,
                "n_tools": len(data.tools),
                "n_usages": len(data.usages),
                "n_tests": len(data.tests),
                "rankings": [
                    {**score.as_json(), "misses@3": at_3, "misses@5": at_5} for score, at_3, at_5 in rows
                ],
                "selections": [asdict(selection) for selection in selections],
                "seconds": time.perf_counter() - began,
            }
        )
        return OK
    if not output.results.is_terminal:
        lines = [
            [score.name, *(f"{share:.4f}" for share in (*_shares(score), at_3, at_5))]
            for score, at_3, at_5 in rows
        ]
        lines += [
            [
                f"selected for recall {s.wanted}",
                f"{s.recall:.4f}",
                f"{s.complete:.4f} complete",
                f"{s.n_tools:.1f} tools",
            ]
            for s in selections
        ]
        columns = ["ranking", *(f"recall@{k}" for k in KS), *(f"complete@{k}" for k in _COMPLETE_AT)]
        columns += ["ndcg@5", "misses@3", "misses@5"]
        output.text("\n".join("\t".join(line) for line in [columns, *lines]))
        return OK
    counts = f"{len(data.tools):,} tools, {len(data.usages):,} usages, {len(data.tests):,} test requests"
    table = Table(title=f"{counts}; misses as shares of those of description embeddings")
    complete = (f"complete@{k}" for k in _COMPLETE_AT)
    for column in ("", *(f"recall@{k}" for k in KS), *complete, "nDCG@5", "misses@3", "misses@5"):
        table.add_column(column, justify="right" if column else "left")
    for score, at_3, at_5 in rows:
        numbers = [f"{100 * share:.1f}" for share in _shares(score)]
        table.add_row(score.name, *numbers, f"{at_3:.2f}", f"{at_5:.2f}")
    output.results.print(table)
    chosen = Table(title="as few tools as a wanted recall allows")
    for column in ("wanted recall", "recall", "complete", "tools"):
        chosen.add_column(column, justify="right")
    for s in selections:
        chosen.add_row(
            f"{s.wanted:.2f}", f"{100 * s.recall:.1f}", f"{100 * s.complete:.1f}", f"{s.n_tools:.1f}"
        )
    output.results.print(chosen)
    return OK


def _shares(score: RetrievalScore) -> list[float]:
    return [*score.recall.values(), *(score.complete[k] for k in _COMPLETE_AT), score.ndcg_at_5]
