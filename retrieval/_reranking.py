"""A second stage from elsewhere: a model that has read request and tool puts what was found in order."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from plait.errors import ConfigurationError, MissingExtraError, ModelError
from plait.retrieval._encoders import clean
from plait.retrieval._types import ScoredTool

if TYPE_CHECKING:
    from plait.retrieval._tool2vec import Tool2Vec

_N_CANDIDATES = 32
_N_USAGES = 3  # of a tool that the reranker reads


@runtime_checkable
class Reranker(Protocol):
    """Says how well texts fit a request, having read both. Safe to use from threads."""

    def score(self, query: str, texts: Sequence[str], /) -> Sequence[float]:
        """A finite number for each of ``texts``, the higher the better."""
        ...


class CrossEncoderReranker:
    """A cross-encoder of sentence-transformers, such as ``cross-encoder/ms-marco-MiniLM-L6-v2``.

    Args:
        name: a name on the hub, or a folder.
        options: further arguments of ``sentence_transformers.CrossEncoder``, such as ``device``.

    Raises:
        MissingExtraError: the extra ``sentence-transformers`` is not installed.
        ModelError: the model cannot be had.
    """

    def __init__(self, name: str | os.PathLike[str], **options: Any) -> None:
        try:
            from sentence_transformers import CrossEncoder
        except ImportError as error:
            raise MissingExtraError("sentence-transformers", "sentence-transformers") from error
        self.name = os.fspath(name)
        self._lock = threading.Lock()  # models of torch may hold state while they run
        try:
            self._model = CrossEncoder(self.name, **options)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"the cross-encoder {self.name!r} cannot be had ({error}); give a name on the hub or a folder"
            ) from error

    def score(self, query: str, texts: Sequence[str], /) -> Sequence[float]:
        """The model's scores."""
        pairs = [(clean(query), clean(text)) for text in texts]
        with self._lock:
            found: list[float] = np.asarray(self._model.predict(pairs, show_progress_bar=False)).tolist()
        return found


class RerankedIndex:
    """An index whose first candidates a reranker puts in order. A retriever; never changes.

    The reranker reads a tool's own text and its first three usages.

    Args:
        index: finds the candidates, by its best ranking.
        reranker: puts them in order.
        n_candidates: how many of them; what is asked for beyond these follows in the index's order.

    Raises:
        ConfigurationError: ``n_candidates`` is not positive.
    """

    def __init__(self, index: Tool2Vec, reranker: Reranker, n_candidates: int = _N_CANDIDATES) -> None:
        if n_candidates < 1:
            raise ConfigurationError(f"n_candidates is {n_candidates}; give one or more")
        self._index = index
        self._reranker = reranker
        self._n_candidates = n_candidates
        usages: dict[str, list[str]] = {name: [] for name in index.names}
        for usage in index.usages:
            for name in usage.tools:
                usages[name].append(usage.query)
        self._texts = {
            tool.name: "\n".join((tool.text, *usages[tool.name][:_N_USAGES])) for tool in index.entries.tools
        }

    @property
    def names(self) -> Sequence[str]:
        """The tools' names, in alphabetical order."""
        return self._index.names

    @property
    def groups(self) -> Sequence[Sequence[str]]:
        """The index's groups."""
        return self._index.groups

    def search(self, query: str, k: int) -> list[ScoredTool]:
        """At most ``k`` tools for ``query``, the best first; scores are those of who put a tool there.

        Raises:
            ConfigurationError: ``k`` is not positive.
            ToolIndexError: the encoder is another one than that which made the index.
            ModelError: the reranker gives something else than a finite number for each text.
        """
        if k < 1:
            raise ConfigurationError(f"k is {k}; ask for one tool or more")
        found = self._index.search(query, max(k, self._n_candidates))
        candidates = found[: self._n_candidates]
        if not candidates:
            return []
        scores = self._reranker.score(query, [self._texts[tool.name] for tool in candidates])
        if np.shape(scores) != (len(candidates),) or not np.isfinite(scores).all():
            raise ModelError(
                f"the reranker gives {np.shape(scores)} numbers for {len(candidates)} texts, or some that "
                "are not finite; it must give a finite number for each"
            )
        pairs = sorted(zip(scores, candidates, strict=True), key=lambda pair: -pair[0])
        ordered = [ScoredTool(tool.name, float(score)) for score, tool in pairs]
        return [*ordered, *found[self._n_candidates :]][:k]
