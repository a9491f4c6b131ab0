"""What retrieval is made of: encoders, usages, and retrievers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]
"""Vectors of texts: float32, a row for each."""


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into vectors whose inner products say how alike the texts are. Safe to use from threads."""

    @property
    def fingerprint(self) -> str:
        """A text that is another one whenever the same texts would get other vectors."""
        ...

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        ...

    def encode(self, texts: Sequence[str], /) -> Vectors:
        """The vectors of ``texts``, float32 of shape ``(len(texts), dimension)``, each of length 1."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """A request, and the tools that a right plan for it calls."""

    query: str
    """The request, in a user's words."""
    tools: tuple[str, ...]
    """Names of the tools."""


@dataclass(frozen=True, slots=True)
class ScoredTool:
    """A tool that was found."""

    name: str
    """The tool's name."""
    score: float
    """How well it fits: higher is better. Comparable within one search alone."""


@runtime_checkable
class Retriever(Protocol):
    """Finds the tools that a request may need. Safe to use from threads."""

    def search(self, query: str, k: int) -> Sequence[ScoredTool]:
        """At most ``k`` tools for ``query``, the best first."""
        ...


@runtime_checkable
class CalibratedRetriever(Retriever, Protocol):
    """A retriever that may know how many tools are enough."""

    @property
    def is_calibrated(self) -> bool:
        """Whether it does."""
        ...

    def select(self, query: str, recall: float) -> Sequence[ScoredTool]:
        """As few tools as hold the wanted share of the right ones, the best first; all where it is unsure."""
        ...


@runtime_checkable
class GroupedRetriever(Retriever, Protocol):
    """A retriever that knows which tools belong together."""

    @property
    def names(self) -> Sequence[str]:
        """The names of all tools that it can find."""
        ...

    @property
    def groups(self) -> Sequence[Sequence[str]]:
        """Names of tools that occur together or resemble each other; each tool is in one group."""
        ...
