"""Tool2Vec (arXiv 2409.02141): a tool is found by the requests that use it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from plait.errors import ConfigurationError, ToolIndexError, UnknownToolError
from plait.retrieval._blas import one_thread
from plait.retrieval._candidates import candidates_of
from plait.retrieval._encoders import load_encoder
from plait.retrieval._entries import Entries, ToolEntry, check_known
from plait.retrieval._fusion import fuse
from plait.retrieval._groups import grouped
from plait.retrieval._nearest import NumpyFlat
from plait.retrieval._parts import EncodingProgress, IndexParts, encode, updated
from plait.retrieval._second_stage import SecondStage, TrainingProgress, train_second_stage
from plait.retrieval._text import tool_text
from plait.retrieval._types import Encoder, ScoredTool, Usage, Vectors
from plait.retrieval._vector_search import Ranked, VectorSearch
from plait.tools import Toolbox
from plait.tools._toolbox import ToolLike

Ranking = Literal["fused", "centroid", "usage", "bm25", "description", "refined", "mlc"]
"""How tools are ranked; see :meth:`Tool2Vec.search`."""

RANKINGS: tuple[Ranking, ...] = get_args(Ranking)
"""All rankings."""

_MIN_DEPTH = 64  # tools of each ranking that are fused, at least
_DEPTH = 4  # of these for each tool that is wanted


class Tool2Vec:
    """Finds tools by the requests that use them, by their descriptions and by words. Never changes.

    Make one with :meth:`fit`, or :func:`~plait.retrieval.load_index`. May be used from many threads at once.

    A tool's centroid is the mean of the vectors of its usages and of its own text, so that one without
    usages is found by its description, and one with few is not forgotten by what they leave out.

    Args:
        entries: tools and usages.
        parts: their vectors and words.
        encoder_fingerprint: of the encoder that made the vectors.
        encoder: that encoder; if none is given, the default one is loaded when it is first needed.

    Raises:
        ToolIndexError: ``encoder`` is another one than that which made the vectors.
    """

    def __init__(
        self,
        entries: Entries,
        parts: IndexParts,
        *,
        encoder_fingerprint: str,
        encoder: Encoder | None = None,
    ) -> None:
        self.entries = entries
        self.parts = parts
        self._vectors = VectorSearch(entries, parts)
        self.encoder_fingerprint = encoder_fingerprint
        if encoder is not None:
            self._check(encoder)
        self._given = encoder

    @classmethod
    def fit(
        cls,
        tools: Iterable[ToolLike],
        usages: Iterable[Usage] = (),
        encoder: Encoder | None = None,
        *,
        skip_unknown: bool = False,
        progress: EncodingProgress | None = None,
    ) -> Tool2Vec:
        """An index of ``tools``.

        Args:
            tools: a toolbox, or anything that one can be made of.
            usages: requests with the tools that they use; of those with one query, tools are put together.
            encoder: makes vectors of texts; the default one if not given.
            skip_unknown: leave out of ``usages`` tools that are not among ``tools``.
            progress: called while texts are encoded.

        Raises:
            UnknownToolError: usages name tools that are not there.
            ModelError: the encoder cannot be had, or gives something else than it should.
        """
        encoder = load_encoder() if encoder is None else encoder
        parts = IndexParts.empty(encoder.dimension)
        nothing = cls(Entries((), ()), parts, encoder_fingerprint=encoder.fingerprint, encoder=encoder)
        return nothing.adding(tools, usages, skip_unknown=skip_unknown, progress=progress)

    def __len__(self) -> int:
        return len(self.entries.tools)

    def __contains__(self, name: object) -> bool:
        return name in self.entries.numbers

    def __repr__(self) -> str:
        return f"<Tool2Vec of {len(self)} tools and {len(self.entries.usages)} usages>"

    @property
    def names(self) -> tuple[str, ...]:
        """The tools' names, in alphabetical order."""
        return tuple(self.entries.numbers)

    @property
    def usages(self) -> tuple[Usage, ...]:
        """The usages."""
        return self.entries.usages

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Names of tools that occur together or resemble each other; see :func:`grouped`."""
        return grouped(self.entries, self.centroids)

    @property
    def is_calibrated(self) -> bool:
        """Whether :meth:`select` can be used: the index is trained."""
        return self.parts.second_stage is not None

    @property
    def best_ranking(self) -> Ranking:
        """How tools are ranked where nothing else is said."""
        return "refined" if self.is_calibrated else "fused"

    @cached_property
    def encoder(self) -> Encoder:
        """What encodes queries.

        Raises:
            ToolIndexError: none was given, and the default one did not make this index.
        """
        if self._given is not None:
            return self._given
        encoder = load_encoder()
        self._check(encoder)
        return encoder

    def with_encoder(self, encoder: Encoder) -> Tool2Vec:
        """The same index with the encoder that made it.

        Raises:
            ToolIndexError: it is another one.
        """
        return Tool2Vec(
            self.entries, self.parts, encoder_fingerprint=self.encoder_fingerprint, encoder=encoder
        )

    # Searching

    def search(self, query: str, k: int = 5, by: Ranking | None = None) -> list[ScoredTool]:
        """At most ``k`` tools for ``query``, the best first.

        Args:
            query: a request.
            k: how many are wanted.
            by: ``"centroid"``: the mean of a tool's usages and its text; ``"usage"``: the most similar of
                them; ``"bm25"``: shared words, for which no encoder is needed; ``"description"``: the tools'
                texts alone; ``"fused"``: the first three, by reciprocal rank; ``"mlc"``: learnt vectors of
                tools, and ``"refined"``: the first 64 of ``"fused"``, put in order by what was learnt, for
                which the index must be trained. If not given, ``"refined"`` where it is, else ``"fused"``.

        Raises:
            ConfigurationError: ``k`` is not positive, there is no such ranking, or it needs training.
            ToolIndexError: the encoder is another one than that which made the index.
        """
        self._check_request(k, by)
        if not len(self):
            return []
        vector = None if by == "bm25" else encode(self.encoder, [query])[0]
        return self.search_encoded(query, vector, k, by)

    def search_encoded(
        self, query: str, vector: Vectors | None, k: int, by: Ranking | None = None
    ) -> list[ScoredTool]:
        """As :meth:`search`, with the query's vector, of shape ``(dimension,)``; ``"bm25"`` needs none."""
        self._check_request(k, by)
        by = by or self.best_ranking
        if not len(self):
            return []
        with one_thread():
            return self._search(query, vector, k, by)

    def _search(self, query: str, vector: Vectors | None, k: int, by: Ranking) -> list[ScoredTool]:
        if by == "refined":
            return self._refined(query, _needed(vector, by))[:k]
        if by == "fused":
            found = self._fused(query, _needed(vector, by), max(_MIN_DEPTH, _DEPTH * k))[:k]
        else:
            rows, scores = self._rank(query, vector, k, by)
            found = list(zip(rows.tolist(), scores.tolist(), strict=True))
        return [ScoredTool(self.entries.tools[row].name, score) for row, score in found]

    def _fused(self, query: str, vector: Vectors, depth: int) -> list[tuple[int, float]]:
        """Numbers and scores of the tools that are among the first ``depth`` of one of three rankings."""
        rankings = (*self._vectors.by_both(vector, depth), self.parts.bm25.search(query, depth))
        return fuse(rows.tolist() for rows, _ in rankings)

    def _rank(self, query: str, vector: Vectors | None, k: int, by: Ranking) -> Ranked:
        """Numbers and scores of at most ``k`` tools."""
        if by == "bm25":
            return self.parts.bm25.search(query, k)
        vector = _needed(vector, by)
        if by == "mlc":
            return NumpyFlat(self._learnt("mlc").mlc).search(vector, k)
        if by == "centroid":
            return self._vectors.by_centroid(vector, k)
        if by == "description":
            return self._vectors.by_description(vector, k)
        return self._vectors.by_usage(vector, k)

    def select(self, query: str, recall: float = 0.95) -> list[ScoredTool]:
        """As few tools as hold the wanted share of the right ones on average, the best first.

        The less sure the refiner is, the more they are. Where the share is more than it reached with
        requests that it did not know, they are all tools of the index, those that it did not order last.

        Args:
            query: a request.
            recall: the share of a request's right tools that should be among them; calibrated for 0.8, 0.9,
                0.95, 0.98 and 0.99, of which the next higher one is taken.

        Raises:
            ConfigurationError: the share is not between 0 and 1, or the index is not trained.
            ToolIndexError: the encoder is another one than that which made the index.
        """
        self._check_selection(recall)
        return self.select_encoded(query, encode(self.encoder, [query])[0], recall) if len(self) else []

    def select_encoded(self, query: str, vector: Vectors, recall: float = 0.95) -> list[ScoredTool]:
        """As :meth:`select`, with the query's vector, of shape ``(dimension,)``."""
        stage = self._check_selection(recall)
        if not len(self):
            return []
        with one_thread():
            found = self._refined(query, vector)
        n = stage.refiner.n_enough(np.array([tool.score for tool in found], np.float32), recall)
        if n is not None:
            return found[:n]
        listed = {tool.name for tool in found}
        return [*found, *(ScoredTool(name, 0.0) for name in self.names if name not in listed)]

    def trained(self, seed: int = 0, progress: TrainingProgress | None = None) -> Tool2Vec:
        """The same index with what can be learnt from its usages; in numpy, some seconds to minutes.

        Args:
            seed: of the division of usages and of the first weights.
            progress: called with the number of steps that are done, and of all.

        Raises:
            ConfigurationError: there are fewer than 50 usages, or fewer than two tools.
        """
        stage = train_second_stage(self, seed, progress)
        return Tool2Vec(
            self.entries,
            replace(self.parts, second_stage=stage),
            encoder_fingerprint=self.encoder_fingerprint,
            encoder=self._given_or_loaded,
        )

    def nearest_usages(self, vector: Vectors, rows: NDArray[np.intp]) -> Vectors:
        """For each of these tools the product of ``vector`` with the nearest of its usages and its text."""
        return self._vectors.nearest_usages(vector, rows)

    def _refined(self, query: str, vector: Vectors) -> list[ScoredTool]:
        """The candidates in the refiner's order, with its probabilities."""
        stage = self._learnt("refined")
        found = candidates_of(self, stage.mlc, query, vector)
        shares = stage.refiner.probabilities(found.features)
        order = np.argsort(-shares, kind="stable")
        return [ScoredTool(self.entries.tools[found.rows[i]].name, float(shares[i])) for i in order]

    def _learnt(self, what: str) -> SecondStage:
        if self.parts.second_stage is None:
            raise ConfigurationError(
                f"{what!r} needs an index that is trained; train it with `plait index train` or trained()"
            )
        return self.parts.second_stage

    @property
    def centroids(self) -> Vectors:
        """The tools' vectors, of shape ``(tools, dimension)``, in the order of ``names``."""
        return self._vectors.centroids

    # Changing

    def adding(
        self,
        tools: Iterable[ToolLike] = (),
        usages: Iterable[Usage] = (),
        *,
        skip_unknown: bool = False,
        progress: EncodingProgress | None = None,
    ) -> Tool2Vec:
        """An index with these tools and usages too; a tool of the same name is replaced, its usages stay.

        Only texts that are new are encoded. Arguments and errors are those of :meth:`fit`.
        """
        added = [ToolEntry(tool.name, tool_text(tool)) for tool in Toolbox(tools)]
        usages = tuple(usages)
        if not skip_unknown:
            check_known(usages, [*self.names, *(entry.name for entry in added)])
        kept = {entry.name: entry for entry in (*self.entries.tools, *added)}
        return self.with_entries(Entries.of(kept.values(), (*self.usages, *usages)), progress)

    def removing(self, names: Iterable[str]) -> Tool2Vec:
        """An index without these tools, and without the usages that have no other tool. Encodes nothing.

        Raises:
            UnknownToolError: a tool is not there.
        """
        gone = set(names)
        for name in gone:
            if name not in self:
                raise UnknownToolError(f"there is no tool {name!r} in the index", tool=name)
        kept = [entry for entry in self.entries.tools if entry.name not in gone]
        return self.with_entries(Entries.of(kept, self.usages))

    def synced(
        self,
        tools: Iterable[ToolLike],
        usages: Iterable[Usage] = (),
        *,
        skip_unknown: bool = False,
        progress: EncodingProgress | None = None,
    ) -> Tool2Vec:
        """An index of exactly ``tools``, with the usages of this one and ``usages``.

        Only texts that are new are encoded. Arguments and errors are those of :meth:`fit`.
        """
        entries = [ToolEntry(tool.name, tool_text(tool)) for tool in Toolbox(tools)]
        usages = tuple(usages)
        if not skip_unknown:
            check_known(usages, [entry.name for entry in entries])
        return self.with_entries(Entries.of(entries, (*self.usages, *usages)), progress)

    def with_entries(self, entries: Entries, progress: EncodingProgress | None = None) -> Tool2Vec:
        """An index of exactly these entries; vectors and words of those that this one has are used again."""
        if entries == self.entries:
            return self
        parts = updated(self.entries, self.parts, entries, lambda: self.encoder, progress)
        return Tool2Vec(
            entries, parts, encoder_fingerprint=self.encoder_fingerprint, encoder=self._given_or_loaded
        )

    @property
    def _given_or_loaded(self) -> Encoder | None:
        found: Encoder | None = self.__dict__.get("encoder", self._given)
        return found

    def _check_request(self, k: int, by: str | None) -> None:
        if k < 1:
            raise ConfigurationError(f"k is {k}; ask for one tool or more")
        if by is not None and by not in RANKINGS:
            raise ConfigurationError(f"there is no ranking {by!r}; choose from {', '.join(RANKINGS)}")
        if by in ("refined", "mlc"):
            self._learnt(by)

    def _check_selection(self, recall: float) -> SecondStage:
        if not 0 < recall <= 1:
            raise ConfigurationError(f"the recall is {recall:g}; give a share between 0 and 1")
        return self._learnt("select")

    def _check(self, encoder: Encoder) -> None:
        if encoder.fingerprint != self.encoder_fingerprint:
            raise ToolIndexError(
                f"the index was made with the encoder {self.encoder_fingerprint!r}, not with "
                f"{encoder.fingerprint!r}; give the encoder that made it, or build the index anew"
            )


def _needed(vector: Vectors | None, by: str) -> Vectors:
    if vector is None:
        raise ConfigurationError(f"the ranking {by!r} needs the query's vector; encode the query")
    return vector
