"""Tool2Vec (arXiv 2409.02141): a tool is found by the requests that use it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from plait.errors import ConfigurationError, ToolIndexError, UnknownToolError
from plait.retrieval._encoders import load_encoder
from plait.retrieval._entries import Entries, ToolEntry, check_known
from plait.retrieval._fusion import fuse
from plait.retrieval._nearest import Nearest, by_graph_or_all, compare_all
from plait.retrieval._parts import EncodingProgress, IndexParts, centroids_of, encode, updated
from plait.retrieval._text import tool_text
from plait.retrieval._types import Encoder, ScoredTool, Usage, Vectors
from plait.tools import Toolbox
from plait.tools._toolbox import ToolLike

Ranking = Literal["fused", "centroid", "usage", "bm25", "description"]
"""How tools are ranked; see :meth:`Tool2Vec.search`."""

RANKINGS: tuple[Ranking, ...] = get_args(Ranking)
"""All rankings, the default first."""

_FUSED: tuple[Ranking, ...] = ("centroid", "usage", "bm25")
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

    def search(self, query: str, k: int = 5, by: Ranking = "fused") -> list[ScoredTool]:
        """At most ``k`` tools for ``query``, the best first.

        Args:
            query: a request.
            k: how many are wanted.
            by: ``"centroid"``: the mean of a tool's usages and its text; ``"usage"``: the most similar of
                them; ``"bm25"``: shared words, for which no encoder is needed; ``"description"``: the tools'
                texts alone; ``"fused"``: the first three, by reciprocal rank.

        Raises:
            ConfigurationError: ``k`` is not positive, or there is no such ranking.
            ToolIndexError: the encoder is another one than that which made the index.
        """
        _check_request(k, by)
        if not len(self):
            return []
        vector = None if by == "bm25" else encode(self.encoder, [query])[0]
        return self.search_encoded(query, vector, k, by)

    def search_encoded(
        self, query: str, vector: Vectors | None, k: int, by: Ranking = "fused"
    ) -> list[ScoredTool]:
        """As :meth:`search`, with the query's vector, of shape ``(dimension,)``; ``"bm25"`` needs none."""
        _check_request(k, by)
        if not len(self):
            return []
        if by == "fused":
            depth = max(_MIN_DEPTH, _DEPTH * k)
            rankings = [self._rank(query, vector, depth, one)[0].tolist() for one in _FUSED]
            found = fuse(rankings)[:k]
        else:
            rows, scores = self._rank(query, vector, k, by)
            found = list(zip(rows.tolist(), scores.tolist(), strict=True))
        return [ScoredTool(self.entries.tools[row].name, score) for row, score in found]

    def _rank(
        self, query: str, vector: Vectors | None, k: int, by: Ranking
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Numbers and scores of at most ``k`` tools."""
        if by == "bm25":
            return self.parts.bm25.search(query, k)
        if vector is None:
            raise ConfigurationError(f"the ranking {by!r} needs the query's vector; encode the query")
        if by == "centroid":
            return self._nearest_centroids.search(vector, k)
        if by == "description":
            return self._nearest_descriptions.search(vector, k)
        return self._by_usage(vector, k)

    def _by_usage(self, vector: Vectors, k: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The tools of the nearest texts, each with the product of its nearest."""
        starts, owners = self._owners
        n_texts = len(self.parts.vectors)
        n_wanted = min(2 * k, n_texts)
        while True:
            texts, products = self._nearest_texts.search(vector, n_wanted)
            scores: dict[int, float] = {}
            for text, product in zip(texts.tolist(), products.tolist(), strict=True):
                for tool in owners[starts[text] : starts[text + 1]]:
                    scores.setdefault(tool, product)
            if len(scores) >= min(k, len(self)) or n_wanted >= n_texts:
                rows = np.fromiter(scores, np.intp, len(scores))[:k]
                return rows, np.fromiter(scores.values(), np.float32, len(scores))[:k]
            n_wanted = min(4 * n_wanted, n_texts)

    @cached_property
    def centroids(self) -> Vectors:
        """The tools' vectors, of shape ``(tools, dimension)``, in the order of ``names``."""
        return centroids_of(self.entries, self.parts.vectors)

    @cached_property
    def _owners(self) -> tuple[list[int], list[int]]:
        """The tools of text i are ``owners[starts[i]:starts[i + 1]]``."""
        texts, tools = self.entries.points
        starts = np.searchsorted(texts, np.arange(len(self.parts.vectors) + 1))
        return starts.tolist(), tools.tolist()

    @cached_property
    def _nearest_centroids(self) -> Nearest:
        return by_graph_or_all(self.parts.centroid_graph, lambda: self.centroids)

    @cached_property
    def _nearest_texts(self) -> Nearest:
        return by_graph_or_all(self.parts.text_graph, lambda: self.parts.vectors)

    @cached_property
    def _nearest_descriptions(self) -> Nearest:
        return compare_all(self.parts.vectors[: len(self)])

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

    def _check(self, encoder: Encoder) -> None:
        if encoder.fingerprint != self.encoder_fingerprint:
            raise ToolIndexError(
                f"the index was made with the encoder {self.encoder_fingerprint!r}, not with "
                f"{encoder.fingerprint!r}; give the encoder that made it, or build the index anew"
            )


def _check_request(k: int, by: str) -> None:
    if k < 1:
        raise ConfigurationError(f"k is {k}; ask for one tool or more")
    if by not in RANKINGS:
        raise ConfigurationError(f"there is no ranking {by!r}; choose from {', '.join(RANKINGS)}")
