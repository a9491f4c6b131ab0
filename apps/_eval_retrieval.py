"""What ``plait eval retrieval`` does and shows."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from plait.apps._index import encoding_progress, open_encoder
from plait.apps._output import OK, Output
from plait.apps._progress import waiting
from plait.errors import ConfigurationError

if TYPE_CHECKING:
    from plait.apps.evaluation._retrieval import RetrievalScore
    from plait.apps.evaluation._retrieval_data import Pool, RetrievalSet
    from plait.apps.evaluation._toolbank import ToolBankFiles


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


def toolbank_files(
    dataset: str, folder: Path | None, queries: Path | None, usages: Sequence[Path]
) -> ToolBankFiles | None:
    """The files for ``"toolbank"``; none for the others, which have their own.

    Raises:
        ConfigurationError: files are missing, or not for this data.
    """
    from plait.apps.evaluation._toolbank import ToolBankFiles

    if dataset != "toolbank":
        if folder or queries or usages:
            raise ConfigurationError(
                f"--tools, --queries and --usages are for --data toolbank; --data {dataset} has its own"
            )
        return None
    if queries is None:
        raise ConfigurationError(
            "--data toolbank needs --queries, test requests, for example benchmarks/toolbank_queries.jsonl"
        )
    return ToolBankFiles(toolbank_folder(folder), queries, tuple(usages))


def toolbank_folder(folder: Path | None) -> Path:
    """The folder, if there is one.

    Raises:
        ConfigurationError: none was given.
    """
    if folder is None:
        raise ConfigurationError("--data toolbank needs --tools, the folder with ToolBank's descriptions")
    return folder


def export_toolbank(folder: Path, file: Path, output: Output) -> int:
    """Write ToolBank's functions as definitions, for ``plait index build --tools``.

    Raises:
        ConfigurationError: the functions cannot be read, or the file not be written.
    """
    from plait.apps.evaluation._toolbank import toolbank_definitions

    definitions = toolbank_definitions(folder)
    try:
        file.write_text(json.dumps(definitions, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be written ({error.strerror or error}); choose another file"
        ) from error
    if output.as_json:
        output.document({"file": str(file), "n_tools": len(definitions)})
    else:
        output.text(f"{file}: {len(definitions):,} tools")
    return OK


def read_set(dataset: str, seed: int, files: ToolBankFiles | None) -> tuple[RetrievalSet, str]:
    """The tools, usages and test requests, and the data's fingerprint.

    Raises:
        PlaitError: the data cannot be fetched or read.
    """
    if files is not None:
        from plait.apps.evaluation._toolbank import read_toolbank

        return read_toolbank(files)
    from plait.apps.evaluation._retrieval_data import divided

    pool, fingerprint = read_pool(dataset)
    return divided(pool, seed), fingerprint


def evaluate_retrieval(
    dataset: str, encoder: str, seed: int, output: Output, files: ToolBankFiles | None = None
) -> int:
    """Measure the rankings on a benchmark's tools, and show what came out.

    Raises:
        PlaitError: the data or the encoder cannot be had.
    """
    from plait.apps.evaluation._retrieval import KS, compared, measure

    with waiting(output.console, f"reading the tools of {dataset}"):
        data, fingerprint = read_set(dataset, seed, files)
    model = open_encoder(encoder, output)
    began = time.perf_counter()
    with encoding_progress(output) as progress:
        figures = measure(data, model, progress)
    selections, cost = figures.selections, figures.cost
    rows = list(compared(figures.scores))
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
                "request_ms": {"encode": cost.encode_ms, "search": cost.search_ms},
                "seconds": time.perf_counter() - began,
            }
        )
        return OK
    output.note(
        f"a request takes {cost.encode_ms:.1f} ms to encode and {cost.search_ms:.1f} ms to search for "
        "(medians, fused)"
    )
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
    if not selections:
        return OK
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
