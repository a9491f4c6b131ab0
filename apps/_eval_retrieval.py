"""What ``plait eval retrieval`` does and shows."""

from __future__ import annotations

import time
from dataclasses import asdict

from rich.table import Table

from plait.apps._index import encoding_progress, open_encoder
from plait.apps._output import OK, Output
from plait.apps._progress import waiting


def evaluate_retrieval(encoder: str, seed: int, output: Output) -> int:
    """Measure the rankings on the leaderboard's functions, and show what came out."""
    from plait.apps.evaluation._bfcl import BFCLBenchmark
    from plait.apps.evaluation._retrieval import KS, compared, measure
    from plait.apps.evaluation._retrieval_data import bfcl_pool, divided

    with waiting(output.console, "reading the leaderboard's functions"):
        benchmark = BFCLBenchmark()
        data = divided(bfcl_pool(benchmark), seed)
    model = open_encoder(encoder, output)
    began = time.perf_counter()
    with encoding_progress(output) as progress:
        scores, selections = measure(data, model, progress)
    rows = list(compared(scores))
    if output.as_json:
        output.document(
            {
                "data": benchmark.fingerprint,
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
        columns = ["ranking", *(f"recall@{k}" for k in KS), "ndcg@5", "misses@3", "misses@5"]
        lines = [
            [score.name, *(f"{share:.4f}" for share in (*score.recall.values(), score.ndcg_at_5, at_3, at_5))]
            for score, at_3, at_5 in rows
        ]
        lines += [
            [f"selected for recall {s.wanted}", f"{s.recall:.4f}", f"{s.n_tools:.1f} tools"]
            for s in selections
        ]
        output.text("\n".join("\t".join(line) for line in [columns, *lines]))
        return OK
    counts = f"{len(data.tools):,} tools, {len(data.usages):,} usages, {len(data.tests):,} test requests"
    table = Table(title=f"{counts}; misses as shares of those of description embeddings")
    for column in ("", *(f"recall@{k}" for k in KS), "nDCG@5", "misses@3", "misses@5"):
        table.add_column(column, justify="right" if column else "left")
    for score, at_3, at_5 in rows:
        numbers = [f"{100 * share:.1f}" for share in (*score.recall.values(), score.ndcg_at_5)]
        table.add_row(score.name, *numbers, f"{at_3:.2f}", f"{at_5:.2f}")
    output.results.print(table)
    chosen = Table(title="as few tools as a wanted recall allows")
    for column in ("wanted recall", "recall", "tools"):
        chosen.add_column(column, justify="right")
    for s in selections:
        chosen.add_row(f"{s.wanted:.2f}", f"{100 * s.recall:.1f}", f"{s.n_tools:.1f}")
    output.results.print(chosen)
    return OK
