"""Shortening a text to its most telling sentences, without a model.

A sentence counts for how central it is to the text (degree centrality over TF-IDF vectors, as LexRank has it:
Erkan and Radev 2004, arXiv 1109.2128), how early it stands, and what it shares with the words of a request.
Sentences are taken by maximal marginal relevance (Carbonell and Goldstein 1998), so that one thing is not
said twice, and stand in the order of the text.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, nlargest

from plait.orchestrator._sentences import Sentence, sentences_of, terms_of

GAP = "[...]"
"""Stands where sentences were left out."""
MAX_KINDS = 3000
"""Of so many sentences that differ, the worthiest, the best ones are told; what is left is not looked at."""

_CENTRALITY, _POSITION, _RELEVANCE = 0.6, 0.25, 0.6
_REDUNDANCY = 0.5  # of a sentence that says what another one says already
_MAX_LIKE = 10_000  # terms of other sentences that one is compared with, those of the rarest terms first

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
        max_chars: how long the best ones need to be together; by default all are ranked, of a very long text
            those of ``MAX_KINDS`` kinds.
    """
    sentences = sentences_of(text)
    kinds = _kinds([terms_of(text[s.start : s.end]) for s in sentences])
    vectors, weights = _vectors(kinds)
    wanted = _unit({term: weights.get(term, 0.0) for term in terms_of(about)})
    merits = [
        _CENTRALITY * central + _RELEVANCE * _dot(wanted, vector)
        for vector, central in zip(vectors, _centralities(vectors, kinds), strict=True)
    ]
    worth = [
        merits[kind] + _POSITION * (1.0 if s.is_first else 0.5) / (1.0 + math.log1p(i))
        for i, (s, kind) in enumerate(zip(sentences, kinds.of, strict=True))
    ]
    best: list[int] = []
    n_chars = 0
    for i in _diverse(vectors, worth, kinds):
        best.append(i)
        n_chars += sentences[i].end - sentences[i].start
        if max_chars is not None and n_chars > max_chars:
            break
    return Ranking(text, sentences, best)


@dataclass(frozen=True, slots=True)
class _Kinds:
    """The sentences by their terms: those that say the same are of one kind, and looked at once."""

    counts: Sequence[Counter[str]]
    """By kind, how often each term is in it."""
    sizes: Sequence[int]
    """By kind, how many sentences are of it."""
    of: Sequence[int]
    """By sentence, its kind."""


def _kinds(documents: Iterable[Sequence[str]]) -> _Kinds:
    known: dict[tuple[str, ...], int] = {}
    of = [known.setdefault(tuple(sorted(terms)), len(known)) for terms in documents]
    n_of = Counter(of)
    return _Kinds([Counter(terms) for terms in known], [n_of[kind] for kind in range(len(known))], of)


def _vectors(kinds: _Kinds) -> tuple[list[_Vector], _Vector]:
    """Each kind's TF-IDF vector of length 1, empty where no term tells it apart; and the terms' IDF."""
    n_with: Counter[str] = Counter()
    for count, size in zip(kinds.counts, kinds.sizes, strict=True):
        for term in count:
            n_with[term] += size
    weights = {term: math.log((len(kinds.of) + 1) / (n + 0.5)) for term, n in n_with.items()}
    return [
        _unit({t: n * weights[t] for t, n in count.items() if weights[t] > 0}) for count in kinds.counts
    ], weights


def _centralities(vectors: Sequence[_Vector], kinds: _Kinds) -> list[float]:
    """Each kind's likeness to all other sentences, from 0 to 1 (with 0.5 where they make up one whole).

    It comes from the sum of the vectors, so that no matrix of all pairs is made.
    """
    total = _sum(vectors, kinds.sizes)
    likeness = (max(0.0, _dot(vector, total) - 1.0) for vector in vectors)
    return [value / (value + 1.0) for value in likeness]


def _diverse(vectors: Sequence[_Vector], worth: Sequence[float], kinds: _Kinds) -> Iterator[int]:
    """The sentences of at most ``MAX_KINDS`` kinds by worth, less what those before say already.

    Worth only ever falls, so that a sentence is looked at again only when it comes to the top.
    """
    ranked = _worthiest(worth, kinds)
    holders: dict[str, list[int]] = defaultdict(list)
    for kind in ranked:
        for term in vectors[kind]:
            holders[term].append(kind)
    said = [0.0] * len(vectors)
    is_told: set[int] = set()
    heap = [(-value, i) for i, value in enumerate(worth) if kinds.of[i] in ranked]
    heapify(heap)
    while heap:
        before, best = heappop(heap)
        kind = kinds.of[best]
        now = _REDUNDANCY * said[kind] - worth[best]
        if now > before:
            heappush(heap, (now, best))
            continue
        yield best
        if kind in is_told:
            continue
        is_told.add(kind)
        likeness: dict[int, float] = defaultdict(float)
        n_left = _MAX_LIKE
        for term in sorted(vectors[kind], key=lambda term: len(holders[term])):
            n_left -= len(holders[term])
            if n_left < 0:
                break
            value = vectors[kind][term]
            for other in holders[term]:
                likeness[other] += value * vectors[other][term]
        if vectors[kind]:
            likeness[kind] = 1.0
        for other, value in likeness.items():
            said[other] = max(said[other], value)


def _worthiest(worth: Sequence[float], kinds: _Kinds) -> Set[int]:
    """The ``MAX_KINDS`` kinds with the worthiest sentences, in the order of the text."""
    top: dict[int, float] = {}
    for kind, value in zip(kinds.of, worth, strict=True):
        top[kind] = max(value, top.get(kind, value))
    if len(top) <= MAX_KINDS:
        return top.keys()
    kept = set(nlargest(MAX_KINDS, top, key=top.__getitem__))
    return {kind: None for kind in top if kind in kept}.keys()


def _unit(vector: _Vector) -> _Vector:
    length = math.sqrt(sum(value * value for value in vector.values()))
    return {term: value / length for term, value in vector.items() if value} if length else {}


def _dot(one: _Vector, other: _Vector) -> float:
    few, many = (one, other) if len(one) < len(other) else (other, one)
    return sum(value * many[term] for term, value in few.items() if term in many)


def _sum(vectors: Sequence[_Vector], times: Sequence[int]) -> _Vector:
    total: dict[str, float] = defaultdict(float)
    for vector, n in zip(vectors, times, strict=True):
        for term, value in vector.items():
            total[term] += n * value
    return total
