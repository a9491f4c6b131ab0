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
