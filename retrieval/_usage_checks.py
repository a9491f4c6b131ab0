"""Which of the usages that a model wrote are worth keeping."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from plait.retrieval._name_leaks import names_tool
from plait.retrieval._parts import encode
from plait.retrieval._text import split_words
from plait.retrieval._types import Usage, Vectors

if TYPE_CHECKING:
    from plait.retrieval._tool2vec import Tool2Vec
    from plait.tools import Toolbox

Refusal = Literal["no request", "names a tool", "repeated", "finds other tools"]
"""Why a usage is not kept."""

_MIN_WORDS, _MAX_WORDS = 3, 60
_TOO_ALIKE = 0.95  # cosine of two usages of one tool
_MIN_PLACES, _MAX_PLACES = 3, 10  # among which its tools must be found


class UsageChecker:
    """Checks usages one by one; each is compared with the index's and with those that were kept before.

    The round trip: a request must find the tools that it was written for, in ``index``, which knows none of
    the usages that are checked.

    Args:
        index: the tools, and the usages that they have.
        toolbox: the same tools with their descriptions.
    """

    def __init__(self, index: Tool2Vec, toolbox: Toolbox) -> None:
        self._index = index
        self._toolbox = toolbox
        self._n_places = min(max(len(index) // 4, _MIN_PLACES), _MAX_PLACES)
        self._known: set[str] = set()
        self._vectors: dict[str, list[Vectors]] = defaultdict(list)
        for usage, vector in zip(index.usages, index.parts.vectors[len(index) :], strict=True):
            self._remember(usage, vector)

    def keep(self, usage: Usage) -> Refusal | None:
        """Keep the usage, or say why not.

        Raises:
            ModelError: the encoder cannot be had, or gives something else than it should.
        """
        refusal = self._refusal_of_words(usage)
        if refusal is not None:
            return refusal
        vector = encode(self._index.encoder, [usage.query])[0]
        if any(float(other @ vector) > _TOO_ALIKE for name in usage.tools for other in self._vectors[name]):
            return "repeated"
        found = self._index.search_encoded(usage.query, vector, self._n_places, "fused")
        if not set(usage.tools) <= {tool.name for tool in found}:
            return "finds other tools"
        self._remember(usage, vector)
        return None

    def remember(self, usages: Sequence[Usage]) -> None:
        """Take these for kept."""
        if usages:
            vectors = encode(self._index.encoder, [usage.query for usage in usages])
            for usage, vector in zip(usages, vectors, strict=True):
                self._remember(usage, vector)

    def _remember(self, usage: Usage, vector: Vectors) -> None:
        self._known.add(_normalized(usage.query))
        for name in usage.tools:
            self._vectors[name].append(vector)

    def _refusal_of_words(self, usage: Usage) -> Refusal | None:
        words = split_words(usage.query)
        if not _MIN_WORDS <= len(words) <= _MAX_WORDS or "{" in usage.query or "()" in usage.query:
            return "no request"
        if any(names_tool(usage.query, name, self._toolbox[name].description) for name in usage.tools):
            return "names a tool"
        return "repeated" if " ".join(words) in self._known else None


def _normalized(query: str) -> str:
    return " ".join(split_words(query))
