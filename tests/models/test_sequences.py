"""The pool of sequences against a model of llama.cpp's cache that checks every call."""

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from plait.models._sequences import CachedSequence, SequencePool, n_common

TOKENS = st.lists(st.integers(0, 1), min_size=1, max_size=12)


@dataclass
class ModelCells:
    """A cache of cells, each with a token at a position and the sequences that it belongs to."""

    can_split: bool = True
    numbers: Any = field(default_factory=lambda: itertools.count(1000))
    rows: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """For each sequence its cells: number and token."""
    untouchable: set[int] = field(default_factory=set)
    """Sequences in which a request runs."""
    n_copies: int = 0

    def copy(self, source: int, target: int, n_tokens: int) -> None:
        assert self.can_split, "the state of such a model has no parts"
        assert source != target
        assert not self.rows.get(target), "llama.cpp would mix the two"
        assert 0 < n_tokens <= len(self.rows[source])
        assert target not in self.untouchable
        self.rows[target] = self.rows[source][:n_tokens]
        self.n_copies += 1

    def remove(self, sequence: int, first: int) -> bool:
        assert first >= 0
        assert sequence not in self.untouchable, "a request runs in it"
        row = self.rows.setdefault(sequence, [])
        if not self.can_split and 0 < first < len(row):
            return False
        del row[first:]
        return True

    def write(self, sequence: int, tokens: Sequence[int]) -> None:
        """What a batch does."""
        self.rows.setdefault(sequence, []).extend((next(self.numbers), token) for token in tokens)

    def tokens(self, sequence: int) -> list[int]:
        return [token for _, token in self.rows.get(sequence, [])]

    @property
    def n_used(self) -> int:
        return len({number for row in self.rows.values() for number, _ in row})


class PoolMachine(RuleBasedStateMachine):
    """Requests come, compute, take back and go, in any order."""

    @initialize(can_split=st.booleans(), n_sequences=st.integers(1, 4), n_cells=st.integers(8, 40))
    def begin(self, can_split: bool, n_sequences: int, n_cells: int) -> None:
        self.n_cells = n_cells
        self.cells = ModelCells(can_split)
        self.pool = SequencePool(self.cells, n_sequences, n_cells, can_split=can_split)
        self.busy: list[CachedSequence] = []

    def _idle(self) -> list[CachedSequence]:
        return [s for s in self.pool.sequences if s not in self.busy]

    def _protect(self) -> None:
        self.cells.untouchable = {s.id for s in self.busy}

    @rule(tokens=TOKENS, share=st.none() | st.integers(0, 12))
    def take(self, tokens: list[int], share: int | None) -> None:
        n_most = None if share is None else min(share, len(tokens) - 1)
        before = max(n_common(s.tokens, tokens) for s in self.pool.sequences)
        had_idle = bool(self._idle())
        taken = self.pool.take(tokens, n_most)
        assert (taken is not None) == had_idle
        if taken is None:
            return
        assert taken not in self.busy
        n = len(taken.tokens)
        limit = len(tokens) - 1 if n_most is None else n_most
        assert taken.tokens == tokens[:n]
        assert n <= limit
        if self.cells.can_split:
            assert n == min(before, limit)
        self.busy.append(taken)
        self._protect()

    @rule()
    def take_empty(self) -> None:
        had_idle = bool(self._idle())
        taken = self.pool.take_empty()
        assert (taken is not None) == had_idle
        if taken is not None:
            assert taken.tokens == []
            assert taken not in self.busy
            self.busy.append(taken)
            self._protect()

    @precondition(lambda self: self.busy)
    @rule(tokens=TOKENS, data=st.data())
    def compute(self, tokens: list[int], data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(self.busy))
        if self.pool.make_room(len(tokens)):
            self.cells.write(sequence.id, tokens)
            self.pool.append(sequence, iter(tokens))
        else:
            assert all(s.tokens == [] for s in self._idle())

    @precondition(lambda self: self.busy)
    @rule(n=st.integers(0, 14), data=st.data())
    def forget(self, n: int, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(self.busy))
        tokens = list(sequence.tokens)
        self.cells.untouchable.discard(sequence.id)
        self.pool.truncate(sequence, n)
        whole = self.cells.can_split or n >= len(tokens)
        assert sequence.tokens == (tokens[:n] if whole else [])
        self._protect()

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(self.busy))
        tokens = list(sequence.tokens)
        self.pool.release(sequence)
        assert sequence.tokens == tokens
        self.busy.remove(sequence)
        self._protect()

    @rule(n=st.integers(0, 45))
    def make_room(self, n: int) -> None:
        needed = {cell for s in self.busy for cell in s.cells}
        assert self.pool.make_room(n) == (len(needed) + n <= self.n_cells)

    @rule(n=st.integers(0, 45))
    def there_is_room_for_another_where_one_is_idle_and_the_busy_leave_it(self, n: int) -> None:
        trial = copy.deepcopy(self.pool)
        assert self.pool.has_room_for(n) == (trial.take_empty() is not None and trial.make_room(n))

    @rule(tokens=TOKENS)
    def what_is_said_to_fit_does_and_nothing_else(self, tokens: list[int]) -> None:
        if not self._idle():
            return
        said = [self.pool.fits(tokens, n_more) for n_more in range(self.n_cells + 2)]
        trial = copy.deepcopy(self.pool)
        taken = trial.take(tokens)
        assert taken is not None
        n_new = len(tokens) - len(taken.tokens)
        held = {cell for s in trial.sequences if s.is_busy for cell in s.cells}
        assert said == [len(held) + n_new + n_more <= self.n_cells for n_more in range(self.n_cells + 2)]

    @invariant()
    def the_cells_are_those_of_the_cache(self) -> None:
        pairs = []
        for sequence in self.pool.sequences:
            assert sequence.tokens == self.cells.tokens(sequence.id)
            assert sequence.is_busy == (sequence in self.busy)
            assert len(sequence.cells) == len(sequence.tokens)
            numbers = [number for number, _ in self.cells.rows.get(sequence.id, [])]
            pairs += list(zip(sequence.cells, numbers, strict=True))
        # Two sequences share a number where they share a cell, and nowhere else.
        assert len(set(pairs)) == len({a for a, _ in pairs}) == len({b for _, b in pairs})

    @invariant()
    def each_cell_is_counted_once(self) -> None:
        assert self.pool.n_used == self.cells.n_used <= self.n_cells

    @invariant()
    def what_is_here_is_said_to_be_here(self) -> None:
        for sequence in self.pool.sequences:
            if self.cells.can_split:
                assert self.pool.n_common(sequence.tokens) == len(sequence.tokens)


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestPool = PoolMachine.TestCase


def pool_of(
    n_sequences: int, n_cells: int = 100, *, can_split: bool = True
) -> tuple[SequencePool, ModelCells]:
    cells = ModelCells(can_split)
    return SequencePool(cells, n_sequences, n_cells, can_split=can_split), cells


def run(pool: SequencePool, cells: ModelCells, tokens: Sequence[int], *, ends: bool = True) -> CachedSequence:
    """Compute all of ``tokens``."""
    sequence = pool.take(tokens)
    assert sequence is not None
    new = tokens[len(sequence.tokens) :]
    assert pool.make_room(len(new))
    cells.write(sequence.id, new)
    pool.append(sequence, new)
    if ends:
        pool.release(sequence)
    return sequence


def test_a_conversation_goes_on_in_its_own_sequence() -> None:
    pool, cells = pool_of(3)
    first = run(pool, cells, [1, 2, 3, 4])
    again = pool.take([1, 2, 3, 4, 5, 6])
    assert again is first
    assert again.tokens == [1, 2, 3, 4]
    assert cells.n_copies == 0


def test_what_an_idle_sequence_has_is_not_copied_from_a_busy_one() -> None:
    pool, cells = pool_of(3)
    first = run(pool, cells, [1, 2, 3, 4], ends=False)
    run(pool, cells, [1, 2, 3, 4, 9], ends=False)
    assert cells.n_copies == 1
    pool.release(first)
    assert pool.take([1, 2, 3, 4, 8]) is first
    assert cells.n_copies == 1


def test_another_kind_of_prompt_leaves_the_long_one_whole_and_shares_its_cells() -> None:
    pool, cells = pool_of(3)
    long = run(pool, cells, [1, 2, 3, 4, 5, 6, 7, 8])
    short = pool.take([1, 2, 9])
    assert short is not None
    assert short is not long
    assert (short.tokens, len(long.tokens), pool.n_used) == ([1, 2], 8, 8)


def test_of_sequences_without_what_is_needed_the_longest_unused_goes() -> None:
    pool, cells = pool_of(2)
    old = run(pool, cells, [1, 1, 1])
    new = run(pool, cells, [2, 2, 2])
    assert pool.take([3, 3]) is old
    assert new.tokens == [2, 2, 2]


def test_room_is_made_by_the_longest_unused_and_only_as_far_as_needed() -> None:
    pool, cells = pool_of(3, 9)
    sequences = [run(pool, cells, [n] * 3) for n in (1, 2, 3)]
    run(pool, cells, [1, 1, 1])  # used again, so the second is the oldest now
    assert pool.make_room(2)
    assert [len(s.tokens) for s in sequences] == [3, 0, 3]


def test_a_shared_cell_is_free_only_when_nobody_has_it() -> None:
    pool, cells = pool_of(2, 10)
    a = run(pool, cells, [1, 2, 3, 4, 5, 6], ends=False)
    b = run(pool, cells, [1, 2, 3, 4, 9], ends=False)
    assert pool.n_used == cells.n_used == 7
    pool.release(a)
    assert pool.make_room(5)
    assert (a.tokens, b.tokens, pool.n_used) == ([], [1, 2, 3, 4, 9], 5)
    assert not pool.make_room(6)


def test_a_running_request_lends_its_beginning() -> None:
    pool, cells = pool_of(2)
    run(pool, cells, [1, 2, 3, 4], ends=False)
    other = pool.take([1, 2, 3, 5])
    assert other is not None
    assert other.tokens == [1, 2, 3]


def test_a_recurrent_model_goes_on_only_where_a_whole_sequence_is_the_beginning() -> None:
    pool, cells = pool_of(3, can_split=False)
    first = run(pool, cells, [1, 2, 3])
    assert pool.n_common([1, 2, 3, 4]) == 3
    assert pool.n_common([1, 2, 3]) == pool.n_common([1, 2, 9]) == 0
    assert pool.take([1, 2, 3, 4]) is first
    assert first.tokens == [1, 2, 3]
    other = pool.take([1, 2, 3, 4])  # the first runs, and its state cannot be copied
    assert other is not None
    assert other.tokens == []
    pool.truncate(first, 2)
    assert first.tokens == []


def test_a_recurrent_models_running_request_saves_nobody_any_cells() -> None:
    pool, cells = pool_of(2, 8, can_split=False)
    run(pool, cells, [1, 2, 3, 4], ends=False)
    assert pool.fits([1, 2, 3, 4], 0)
    assert not pool.fits([1, 2, 3, 4, 5], 0)


@given(TOKENS, TOKENS)
def test_the_common_beginning_is_the_longest(a: list[int], b: list[int]) -> None:
    n = n_common(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


@given(TOKENS)
def test_nothing_is_common_with_an_empty_pool(tokens: list[int]) -> None:
    pool, _ = pool_of(2, 12)
    assert pool.n_common(tokens) == 0
    assert pool.fits(tokens, 12 - len(tokens))
    assert not pool.fits(tokens, 13 - len(tokens))


def test_where_all_are_busy_nobody_is_taken() -> None:
    pool, _ = pool_of(1)
    assert pool.take([1]) is not None
    assert pool.take([1]) is None
    assert pool.take_empty() is None


@pytest.mark.parametrize("can_split", [True, False])
@given(tokens=TOKENS, n=st.integers(0, 11))
def test_logits_can_be_had_from_any_place_on(can_split: bool, tokens: list[int], n: int) -> None:
    assume(n < len(tokens))
    pool, cells = pool_of(2, can_split=can_split)
    run(pool, cells, tokens)
    sequence = pool.take(tokens, n)
    assert sequence is not None
    assert len(sequence.tokens) == (n if can_split else 0)
