"""How fast tools are found among 1,000, 10,000 and 100,000, with synthetic vectors and words.

    python benchmarks/retrieval_speed.py                       two minutes; graphs up to 20,000 vectors
    python benchmarks/retrieval_speed.py --tools 100000        an index of that size with graphs; four minutes
    python benchmarks/retrieval_speed.py --vectors 100000      a graph of that size beside comparing all

Vectors come in clusters, as those of texts do; queries are vectors with some noise. Milliseconds are medians.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from plait.retrieval import RANKINGS, Tool2Vec, Usage, Vectors, load_encoder, load_index, save_index
from plait.retrieval import _nearest as nearest
from plait.retrieval._candidates import N_FEATURES
from plait.retrieval._entries import Entries, ToolEntry
from plait.retrieval._nearest import HNSW, Nearest, NumpyFlat, Rows
from plait.retrieval._refiner import ToolRefiner
from plait.retrieval._second_stage import SecondStage

SIZES = (1_000, 10_000, 100_000)
STEPS = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
DIMENSION = 384
DEPTH = 64
N_QUERIES = 200
N_WORDS = 20_000
ENCODED = (
    "Text Sid",
    "Email the summary of report.pdf to Sid, and remind me on Friday at nine to water the plants",
)


class Synthetic:
    """Stands in for an encoder: vectors are drawn, not made from the texts."""

    dimension = DIMENSION
    fingerprint = "synthetic"

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._centres = self._rng.normal(size=(2_000, DIMENSION)).astype(np.float32)

    def encode(self, texts: Sequence[str], /) -> Vectors:
        """Vectors of random clusters."""
        centres = self._centres[self._rng.integers(0, len(self._centres), len(texts))]
        return unit(centres + 0.7 * self._rng.normal(size=centres.shape).astype(np.float32))


class FaissFlat:
    """Compares with every row, in FAISS; plait does so in numpy, which is no slower and needs no copy."""

    def __init__(self, vectors: Vectors) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self._index = faiss.IndexFlatIP(vectors.shape[1])
        self._index.add(vectors)

    def search(self, vector: Vectors, k: int) -> tuple[Rows, Vectors]:
        """Rows and inner products of the ``k`` nearest, the nearest first."""
        products, rows = self._index.search(vector[None], k)
        return rows[0], products[0]


def unit(vectors: Vectors) -> Vectors:
    """Rows of length 1."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def entries_of(n_tools: int, rng: np.random.Generator) -> Entries:
    """Tools with 15 words each, and a usage of 10 words for every fifth; words are as common as in prose."""

    def words(n: int) -> str:
        return " ".join(f"w{int(w)}x" for w in np.minimum(rng.zipf(1.3, n), N_WORDS))

    tools = [ToolEntry(f"tool_{i}", words(15)) for i in range(n_tools)]
    usages = [Usage(f"{words(10)} {i}", (f"tool_{i}",)) for i in range(0, n_tools, 5)]
    return Entries.of(tools, usages)


def median_ms(call: Callable[[Any], object], arguments: Sequence[Any]) -> float:
    """The median duration of a call, after some that do not count."""
    for argument in arguments[:5]:
        call(argument)
    times = []
    for argument in arguments:
        began = time.perf_counter()
        call(argument)
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times))


def searches(n_vectors: int, *, with_graph: bool) -> dict[str, float]:
    """Milliseconds of the 64 nearest of ``n_vectors`` by each means, and how the graph does."""
    vectors = Synthetic(1).encode([""] * n_vectors)
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(N_QUERIES, DIMENSION)).astype(np.float32)
    queries = list(unit(vectors[rng.integers(0, n_vectors, N_QUERIES)] + 0.03 * noise))
    found: dict[str, float] = {}
    means: dict[str, Nearest] = {"numpy_ms": NumpyFlat(vectors), "faiss_ms": FaissFlat(vectors)}
    if with_graph:
        began = time.perf_counter()
        means["hnsw_ms"] = HNSW.build(vectors)
        found["hnsw_build_s"] = time.perf_counter() - began
    for name, means_of_search in means.items():
        found[name] = median_ms(lambda query, m=means_of_search: m.search(query, DEPTH), queries)
    if with_graph:
        shares = []
        for query in queries:
            right = set(means["faiss_ms"].search(query, 10)[0].tolist())
            shares.append(len(right & set(means["hnsw_ms"].search(query, 10)[0].tolist())) / 10)
        found["hnsw_recall_at_10"] = float(np.mean(shares))
    return found


def whole_searches(n_tools: int, *, with_graph: bool) -> dict[str, float]:
    """Milliseconds of a search in an index of so many tools, by each ranking, and of loading it."""
    rng = np.random.default_rng(3)
    entries = entries_of(n_tools, rng)
    above = nearest.HNSW_ABOVE
    nearest.HNSW_ABOVE = above if with_graph else sys.maxsize
    began = time.perf_counter()
    index = Tool2Vec.fit((), (), Synthetic(4)).with_entries(entries)
    found = {"build_s": time.perf_counter() - began}
    nearest.HNSW_ABOVE = above
    index = with_second_stage(index)
    texts = [usage.query.rpartition(" ")[0] for usage in entries.usages[:N_QUERIES]]
    queries = list(zip(texts, Synthetic(5).encode(texts), strict=True))
    for by in RANKINGS:
        found[f"{by}_ms"] = median_ms(lambda q, by=by: index.search_encoded(q[0], q[1], 5, by), queries)
    with tempfile.TemporaryDirectory() as folder:
        save_index(index, folder)
        found["load_ms"] = median_ms(load_index, [folder] * 5)
        found["folder_mb"] = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
        encoder = Synthetic()
        began = time.perf_counter()
        load_index(folder, encoder).search_encoded(texts[0], queries[0][1], 5)
        found["load_and_first_search_ms"] = 1e3 * (time.perf_counter() - began)
    return found


def with_second_stage(index: Tool2Vec) -> Tool2Vec:
    """The index with a second stage that has learnt nothing, and takes as long as one that has."""
    shapes = {
        "mean": (N_FEATURES,),
        "scale": (N_FEATURES,),
        "hidden": (N_FEATURES, 96),
        "hidden_bias": (96,),
        "output": (96,),
        "masses": (5,),
    }
    refiner = ToolRefiner(**{name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    parts = replace(index.parts, second_stage=SecondStage(index.centroids, refiner))
    return Tool2Vec(index.entries, parts, encoder_fingerprint="synthetic", encoder=Synthetic())


def encoding() -> dict[str, float]:
    """Milliseconds of encoding one request, by its length, with the default encoder."""
    encoder = load_encoder(download=False)
    return {f"{len(text)} characters": median_ms(encoder.encode, [[text]] * 50) for text in ENCODED}


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """A table on standard output; none where nothing was measured."""
    if not rows:
        return
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = Table(title=title)
    for column in ("", *columns):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[c]:.3g}" if c in row else "-" for c in columns))
    Console(width=None if sys.stdout.isatty() else 170).print(table)


def main(
    tools: Annotated[list[int] | None, typer.Option(help="Only indexes of so many tools.")] = None,
    vectors: Annotated[list[int] | None, typer.Option(help="Only searches of so many vectors.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure on this machine."""
    chosen = bool(tools or vectors)
    limit = sys.maxsize if chosen else 20_000  # of what has a graph, which takes long to build
    n_vectors = vectors or ([] if chosen else STEPS)
    n_tools = tools or ([] if chosen else SIZES)
    found = {
        "vectors": {f"{n:,}": searches(n, with_graph=n <= limit) for n in n_vectors},
        "tools": {f"{n:,}": whole_searches(n, with_graph=n <= limit) for n in n_tools},
        "encoding": {"ms": encoding()},
    }
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    if as_json:
        print(json.dumps({**found, "peak_mb": peak_mb}, indent=2))
        return
    show(f"the {DEPTH} nearest of so many vectors", found["vectors"])
    show("a search in an index of so many tools", found["tools"])
    show("encoding one request", found["encoding"])


if __name__ == "__main__":
    typer.run(main)
