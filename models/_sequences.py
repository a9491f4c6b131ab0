"""Which tokens are in which sequence of the KV cache, and which cells sequences share.

A request has a sequence to itself while it runs. What it left stays there until the room is needed, and a
prompt that begins as another did, running or ended, starts behind what they have in common: the cells of
that part belong to both.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Cells(Protocol):
    """The cache itself, as llama.cpp has it."""

    def copy(self, source: int, target: int, n_tokens: int) -> None:
        """Make the first cells of the sequence ``source`` cells of ``target`` too."""
        ...

    def remove(self, sequence: int, first: int) -> bool:
        """Take the cells from position ``first`` on off a sequence; False, and nothing, if it cannot."""
        ...


@dataclass(slots=True, eq=False)
class CachedSequence:
    """One sequence of the cache."""

    id: int
    """llama.cpp's number of it."""
    tokens: list[int] = field(default_factory=list)
    """What is in the cache, from the first position on."""
    cells: list[int] = field(default_factory=list)
    """For each token a number of its cell; sequences that share a cell have the same number."""
    used_at: int = 0
    """When it was last taken; more is later."""
    is_busy: bool = False
    """Whether a request is running in it."""


class SequencePool:
    """The sequences of one context.

    Args:
        cells: the cache.
        n_sequences: how many sequences there are.
        n_cells: how many tokens the cache holds in all.
        can_split: whether a part of a sequence can be copied or taken off, as recurrent models cannot.
    """

    def __init__(self, cells: Cells, n_sequences: int, n_cells: int, *, can_split: bool = True) -> None:
        self._cells = cells
        self._can_split = can_split
        self._n_cells = n_cells
        self._holders: Counter[int] = Counter()
        self._numbers = itertools.count()
        self._clock = itertools.count(1)
        self.sequences = [CachedSequence(i) for i in range(n_sequences)]

    @property
    def n_used(self) -> int:
        """Cells that hold something."""
        return len(self._holders)

    def n_common(self, tokens: Sequence[int]) -> int:
        """How many of ``tokens``, from the first on, some sequence has."""
        return max(self._n_usable(s, tokens) for s in self.sequences)

    def take(self, tokens: Sequence[int], n_most: int | None = None) -> CachedSequence | None:
        """An idle sequence, now busy, with as much of the beginning of ``tokens`` as any sequence has.

        Of these it has at most the first ``n_most``, by default all but the last: logits are needed from
        there on. Where most of the sequence with the longest common beginning would be lost, what is common
        is copied to another one: prompts of different kinds keep their beginnings side by side. ``None`` if
        no sequence is idle.
        """
        best = self._best(tokens)
        n_common = min(self._n_usable(best, tokens), len(tokens) - 1 if n_most is None else n_most)
        idle = [s for s in self.sequences if not s.is_busy]
        others = [s for s in idle if s is not best]
        if not idle:
            return None
        if not best.is_busy and (2 * n_common >= len(best.tokens) or not others):
            self.truncate(best, n_common)
            return self._taken(best)
        target = min(others, key=lambda s: (bool(s.tokens), s.used_at))
        self.truncate(target, 0)
        if self._can_split and n_common > 0:
            self._cells.copy(best.id, target.id, n_common)
            target.tokens = best.tokens[:n_common]
            target.cells = best.cells[:n_common]
            self._holders.update(target.cells)
        return self._taken(target)

    def take_empty(self) -> CachedSequence | None:
        """An idle sequence, now busy, without tokens: the one that was not used for longest."""
        idle = [s for s in self.sequences if not s.is_busy]
        if not idle:
            return None
        target = min(idle, key=lambda s: (bool(s.tokens), s.used_at))
        self.truncate(target, 0)
        return self._taken(target)

    def _taken(self, sequence: CachedSequence) -> CachedSequence:
        sequence.is_busy = True
        sequence.used_at = next(self._clock)
        return sequence

    def release(self, sequence: CachedSequence) -> None:
        """The request in ``sequence`` has ended; what it left may be used by others, or make room."""
        sequence.is_busy = False

    def append(self, sequence: CachedSequence, tokens: Iterable[int]) -> None:
        """``tokens`` were computed behind the others of ``sequence``."""
        for token in tokens:
            number = next(self._numbers)
            sequence.tokens.append(token)
            sequence.cells.append(number)
            self._holders[number] = 1

    def truncate(self, sequence: CachedSequence, n_tokens: int) -> None:
        """Forget all but the first ``n_tokens``, or everything where no part can be forgotten."""
        if n_tokens >= len(sequence.tokens):
            return
        if not self._cells.remove(sequence.id, n_tokens):
            n_tokens = 0
            self._cells.remove(sequence.id, 0)
        for number in sequence.cells[n_tokens:]:
            self._holders[number] -= 1
            if not self._holders[number]:
                del self._holders[number]
        del sequence.tokens[n_tokens:], sequence.cells[n_tokens:]

    @property
    def idle(self) -> list[CachedSequence]:
        """Sequences that hold something for nobody, the longest unused first."""
        idle = [s for s in self.sequences if s.tokens and not s.is_busy]
        return sorted(idle, key=lambda s: s.used_at)

    @property
    def n_busy(self) -> int:
        """Cells that belong to running requests."""
        return len(self._busy_cells)

    def n_own(self, sequence: CachedSequence) -> int:
        """Cells of an idle sequence that belong to no running request."""
        return len(set(sequence.cells) - self._busy_cells)

    def make_room(self, n_tokens: int) -> bool:
        """Forget idle sequences, the longest unused first, until ``n_tokens`` more fit; whether they do."""
        for sequence in self.idle:
            if self.n_used + n_tokens <= self._n_cells:
                return True
            self.truncate(sequence, 0)
        return self.n_used + n_tokens <= self._n_cells

    def fits(self, tokens: Sequence[int], n_more: int) -> bool:
        """Whether ``tokens`` and ``n_more`` fit beside what busy sequences hold, if the idle make room.

        Of ``tokens`` there is at least one, and as much of them is shared as :meth:`take` would.
        """
        best = self._best(tokens)
        n_common = min(self._n_usable(best, tokens), len(tokens) - 1)
        held = self._busy_cells.union(best.cells[:n_common])
        return len(held) + len(tokens) - n_common + n_more <= self._n_cells

    def has_room_for(self, n_tokens: int) -> bool:
        """Whether a sequence is idle, and could take ``n_tokens`` that no other one has."""
        has_idle = not all(s.is_busy for s in self.sequences)
        return has_idle and self.n_busy + n_tokens <= self._n_cells

    @property
    def _busy_cells(self) -> set[int]:
        return set().union(*(s.cells for s in self.sequences if s.is_busy))

    def _best(self, tokens: Sequence[int]) -> CachedSequence:
        """Where a request with ``tokens`` would begin."""
        return max(self.sequences, key=lambda s: (self._n_usable(s, tokens), not s.is_busy, s.used_at))

    def _n_usable(self, sequence: CachedSequence, tokens: Sequence[int]) -> int:
        n = n_common(sequence.tokens, tokens)
        if self._can_split or (n == len(sequence.tokens) < len(tokens) and not sequence.is_busy):
            return n
        return 0


def n_common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning."""
    n = min(len(a), len(b))
    if a[:n] == b[:n]:
        return n
    return next(i for i in range(n) if a[i] != b[i])
