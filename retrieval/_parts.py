"""What is computed from an index's entries: vectors, words, graphs; and how little when these change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from plait.errors import ModelError
from plait.retrieval._bm25 import BM25
from plait.retrieval._centroids import centroids_of
from plait.retrieval._entries import Entries
from plait.retrieval._nearest import HNSW, prepare
from plait.retrieval._second_stage import SecondStage
from plait.retrieval._types import Encoder, Vectors

_TEXTS_AT_ONCE = 256  # that are encoded between two reports of progress
_LENGTH_TOLERANCE = 1e-3

EncodingProgress = Callable[[int, int], None]
"""Called with the number of texts that are encoded, and of those that there are to encode."""


@dataclass(frozen=True, slots=True)
class IndexParts:
    """What an index has besides its entries; all of it can be made from these and an encoder."""

    vectors: Vectors
    """Of all texts, in the order of ``Entries.texts``."""
    bm25: BM25
    """Of ``Entries.documents``."""
    text_graph: HNSW | None = None
    """Over ``vectors``; ``None`` where there are too few for it to pay."""
    centroid_graph: HNSW | None = None
    """Over the tools' centroids; ``None`` where there are too few for it to pay."""
    second_stage: SecondStage | None = None
    """What was learnt from usages, if something was."""

    @classmethod
    def empty(cls, dimension: int) -> IndexParts:
        """The parts of an index of nothing."""
        return cls(np.empty((0, dimension), np.float32), BM25.of(()))


def updated(
    old_entries: Entries,
    old: IndexParts,
    entries: Entries,
    encoder: Callable[[], Encoder],
    progress: EncodingProgress | None = None,
) -> IndexParts:
    """The parts for ``entries``; ``encoder`` is asked for, and encodes, only where a text is new.

    Raises:
        ModelError: the encoder gives something else than it should.
    """
    vectors = _vectors(old_entries, old.vectors, entries, encoder, progress)
    old_documents = {document: row for row, document in enumerate(old_entries.documents)}
    bm25 = BM25.of(entries.documents, old.bm25, old_documents)
    text_moves = _moves(_text_keys(old_entries), _text_keys(entries))
    tool_moves = _moves(_tool_keys(old_entries), _tool_keys(entries))
    centroids = centroids_of(entries, vectors)
    return IndexParts(
        vectors,
        bm25,
        prepare(vectors, old.text_graph, text_moves),
        prepare(centroids, old.centroid_graph, tool_moves),
        _moved(old.second_stage, tool_moves, centroids),
    )


def encode(encoder: Encoder, texts: Sequence[str]) -> Vectors:
    """The encoder's vectors of ``texts``, if they are what they should be.

    Raises:
        ModelError: they have another type, shape or length, or are no numbers.
    """
    vectors = encoder.encode(texts)
    wanted = (len(texts), encoder.dimension)
    if getattr(vectors, "dtype", None) != np.float32 or vectors.shape != wanted:
        kind = f"{getattr(vectors, 'dtype', type(vectors).__name__)} of shape {np.shape(vectors)}"
        raise ModelError(f"the encoder {encoder.fingerprint!r} gives {kind}, not float32 of shape {wanted}")
    lengths = np.linalg.norm(vectors, axis=1)
    if not (np.abs(lengths - 1) < _LENGTH_TOLERANCE).all():  # which is false for what is no number, too
        raise ModelError(f"the encoder {encoder.fingerprint!r} gives vectors of other lengths than 1")
    return vectors


def _moved(stage: SecondStage | None, moves: Sequence[int], centroids: Vectors) -> SecondStage | None:
    """What was learnt, for changed tools; a tool that is new or has new usages begins at its centroid."""
    if stage is None:
        return None
    mlc = centroids.copy()
    kept = [(old, new) for old, new in enumerate(moves) if new >= 0]
    mlc[[new for _, new in kept]] = stage.mlc[[old for old, _ in kept]]
    return SecondStage(mlc, stage.refiner)


def _vectors(
    old_entries: Entries,
    old: Vectors,
    entries: Entries,
    encoder: Callable[[], Encoder],
    progress: EncodingProgress | None,
) -> Vectors:
    """The vectors of all texts; of the new ones, each is encoded once."""
    sources = {text: row for row, text in enumerate(old_entries.texts)}
    missing = [text for text in dict.fromkeys(entries.texts) if text not in sources]
    sources |= {text: len(old) + i for i, text in enumerate(missing)}
    batches = [old]
    for start in range(0, len(missing), _TEXTS_AT_ONCE):
        batches.append(encode(encoder(), missing[start : start + _TEXTS_AT_ONCE]))
        if progress is not None:
            progress(min(start + _TEXTS_AT_ONCE, len(missing)), len(missing))
    return np.concatenate(batches)[[sources[text] for text in entries.texts]]


def _text_keys(entries: Entries) -> list[Hashable]:
    """What tells the rows of texts apart; their vectors are the same where these are."""
    tools = ((tool.name, tool.text) for tool in entries.tools)
    return [*tools, *(usage.query for usage in entries.usages)]


def _tool_keys(entries: Entries) -> list[Hashable]:
    """What tells the rows of centroids apart; they are the same where these are."""
    return [(tool.name, text) for tool, text in zip(entries.tools, entries.documents, strict=True)]


def _moves(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[int]:
    """For each of the old rows its place among the new ones, or -1."""
    places = {key: place for place, key in enumerate(new)}
    return [places.get(key, -1) for key in old]
