"""Shortening a text to its most telling sentences, without a model.

A sentence counts for how central it is to the text (degree centrality over TF-IDF vectors, as LexRank has it:
Erkan and Radev 2004, arXiv 1109.2128), how early it stands, and what it shares with the words of a request.
Sentences are taken by maximal marginal relevance (Carbonell and Goldstein 1998), so that one thing is not
said twice, and stand in the order of the text.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from plait.orchestrator._sentences import Sentence, sentences_of, terms_of

GAP = "[...]"
"""Stands where sentences were left out."""

_CENTRALITY, _POSITION, _RELEVANCE = 0.6, 0.25, 0.6
_REDUNDANCY = 0.5  # of a sentence that says what another one says already

_Vector = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Ranking:
    """A text's best sentences."""

    text: str
    sentences: Sequence[Sentence]
    """All of them, in order."""
    best: Sequence[int]
    """The indices of the most telling ones, the best first, each next one for what it adds."""

    def longest(self, fits: Callable[[str], bool]) -> str:
        """As many of the best sentences as ``fits`` says fit, in their order."""
        low, high = 0, len(self.best)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if fits(self._of(middle)) else (low, middle - 1)
        return self._of(low)

    def _of(self, n_best: int) -> str:
        """Neighbours as they stand in the text, a gap between the others."""
        parts: list[str] = []
        before = -1
        for i in sorted(self.best[:n_best]):
            sentence = self.sentences[i]
            if before >= 0 and i == before + 1:
                parts.append(self.text[self.sentences[before].end : sentence.start])
            elif i:
                parts.append(f"\n{GAP}\n" if parts else f"{GAP}\n")
            parts.append(self.text[sentence.start : sentence.end])
            before = i
        if parts and before < len(self.sentences) - 1:
            parts.append(f"\n{GAP}")
        return "".join(parts)


def rank(text: str, *, about: str = "", max_chars: int | None = None) -> Ranking:
    """The sentences of ``text`` that say most about it.

    Args:
        text: in any language.
        about: what the reader wants to know; sentences that share its words go first.
        max_chars: how long the best ones need to be together; all are ranked by default, which takes long
            for a long text.
    """
    sentences = sentences_of(text)
    vectors, weights = _vectors([terms_of(text[s.start : s.end]) for s in sentences])
    wanted = _unit({term: weights.get(term, 0.0) for term in terms_of(about)})
    worth = [
        _CENTRALITY * central
        + _POSITION * (1.0 if s.is_first else 0.5) / (1.0 + math.log1p(i))
        + _RELEVANCE * _dot(wanted, vector)
        for i, (s, vector, central) in enumerate(zip(sentences, vectors, _centralities(vectors), strict=True))
    ]
    best: list[int] = []
    n_chars = 0
    for i in _diverse(vectors, worth):
        best.append(i)
        n_chars += sentences[i].end - sentences[i].start
        if max_chars is not None and n_chars > max_chars:
            break
    return Ranking(text, sentences, best)


def _vectors(documents: Sequence[Sequence[str]]) -> tuple[list[_Vector], _Vector]:
    """Each sentence's TF-IDF vector of length 1, empty where no term tells it apart; and the terms' IDF."""
    counts = [Counter(terms) for terms in documents]
    n_with: Counter[str] = Counter(term for count in counts for term in count)
    weights = {term: math.log((len(counts) + 1) / (n + 0.5)) for term, n in n_with.items()}
    return [
        _unit({t: n * weights[t] for t, n in count.items() if weights[t] > 0}) for count in counts
    ], weights


def _centralities(vectors: Sequence[_Vector]) -> list[float]:
    """Each sentence's likeness to all others, from 0 to 1 (with 0.5 where they make up one whole).

    It comes from the sum of the vectors, so that no matrix of all pairs is made.
    """
    total = _sum(vectors)
    likeness = (max(0.0, _dot(vector, total) - 1.0) for vector in vectors)
    return [value / (value + 1.0) for value in likeness]


def _diverse(vectors: Sequence[_Vector], worth: Sequence[float]) -> Iterator[int]:
    """The indices by worth, less what those before say already.

    Worth only ever falls, so that a sentence is looked at again only when it comes to the top.
    """
    holders: dict[str, list[int]] = defaultdict(list)
    for i, vector in enumerate(vectors):
        for term in vector:
            holders[term].append(i)
    said = [0.0] * len(vectors)
    heap = [(-value, i) for i, value in enumerate(worth)]
    heapify(heap)
    while heap:
        before, best = heappop(heap)
        now = _REDUNDANCY * said[best] - worth[best]
        if now > before:
            heappush(heap, (now, best))
            continue
        yield best
        likeness: dict[int, float] = defaultdict(float)
        for term, value in vectors[best].items():
            for i in holders[term]:
                likeness[i] += value * vectors[i][term]
        for i, value in likeness.items():
            said[i] = max(said[i], value)


def _unit(vector: _Vector) -> _Vector:
    length = math.sqrt(sum(value * value for value in vector.values()))
    return {term: value / length for term, value in vector.items() if value} if length else {}


def _dot(one: _Vector, other: _Vector) -> float:
    few, many = (one, other) if len(one) < len(other) else (other, one)
    return sum(value * many[term] for term, value in few.items() if term in many)


def _sum(vectors: Sequence[_Vector]) -> _Vector:
    total: dict[str, float] = defaultdict(float)
    for vector in vectors:
        for term, value in vector.items():
            total[term] += value
    return total
