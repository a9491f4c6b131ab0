"""Continuous batching, with an engine whose logits depend on every token that its cache really holds."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.errors import GrammarError, ModelError
from plait.models._batching import Batcher, Step, Steps
from plait.models._engine import MAX_BATCH, MAX_ROWS, AbortedError, Chunk
from plait.models._sequences import CachedSequence, SequencePool

N_VOCAB = 5
DEADLINE_S = 5.0  # far beyond what a test takes; only a thread that hangs gets there


@cache
def row_after(tokens: tuple[int, ...]) -> Any:
    """The logits after ``tokens``, whatever else is computed."""
    return np.random.default_rng(tokens).normal(size=N_VOCAB).astype(np.float32)


def likeliest(tokens: Sequence[int]) -> int:
    return int(row_after(tuple(tokens)).argmax())


def answer_to(prompt: Sequence[int], n_tokens: int) -> list[int]:
    """The answer that a request gets alone."""
    tokens = list(prompt)
    for _ in range(n_tokens):
        tokens.append(likeliest(tokens))
    return tokens[len(prompt) :]


class FakeCells:
    """A cache whose cells hold tokens, shared by sequences as in llama.cpp."""

    def __init__(self) -> None:
        self.rows: dict[int, list[tuple[int, int]]] = {}
        self._numbers = itertools.count()

    def copy(self, source: int, target: int, n_tokens: int) -> None:
        assert not self.rows.get(target)
        self.rows[target] = self.rows[source][:n_tokens]

    def remove(self, sequence: int, first: int) -> bool:
        del self.rows.setdefault(sequence, [])[first:]
        return True

    def write(self, sequence: int, tokens: Sequence[int]) -> None:
        self.rows.setdefault(sequence, []).extend((next(self._numbers), token) for token in tokens)

    @property
    def n_used(self) -> int:
        return len({number for row in self.rows.values() for number, _ in row})


class FakeFlag:
    """In the place of the byte that stops llama.cpp."""

    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        self.is_set = True

    def clear(self) -> None:
        self.is_set = False


@dataclass(frozen=True)
class Part:
    """What one batch had of one request."""

    prompt: int
    """The first token of the request."""
    n_tokens: int


class FakeEngine:
    """Computes batches as the engine does, from what the cells hold."""

    can_split = True
    path = Path("fake.gguf")

    def __init__(self, n_cells: int = 4096, n_sequences: int = 8) -> None:
        self.lock = threading.Lock()
        self.n_cells = n_cells
        self.cells = FakeCells()
        self.pool = SequencePool(self.cells, n_sequences, n_cells)
        self.batches: list[list[Part]] = []
        self.fails_at: set[int] = set()
        self.abort_flag = FakeFlag()
        self.n_aborted = self.n_imported = 0
        self.before_batch: Callable[[int], None] = lambda n: None

    def decode(self, chunks: Sequence[Chunk]) -> list[list[Any]]:
        assert self.lock.locked()
        assert all(chunk.sequence.is_busy and chunk.tokens for chunk in chunks)
        assert len({chunk.sequence.id for chunk in chunks}) == len(chunks)
        n_new = sum(len(chunk.tokens) for chunk in chunks)
        assert n_new <= MAX_BATCH
        assert sum(len(chunk.logits_at) for chunk in chunks) <= MAX_ROWS
        number = len(self.batches)
        self.batches.append([Part([*c.sequence.tokens, *c.tokens][0], len(c.tokens)) for c in chunks])
        self.before_batch(number)
        if self.abort_flag.is_set:
            self.n_aborted += 1
            raise AbortedError
        if number in self.fails_at or not self.pool.make_room(n_new):
            for chunk in chunks:
                self.pool.truncate(chunk.sequence, 0)
            raise ModelError(f"batch {number} failed")
        return [self._append(chunk) for chunk in chunks]

    def export_state(self, sequence: CachedSequence, tokens: Sequence[int]) -> bytearray:
        assert self.lock.locked()
        assert list(tokens) == sequence.tokens
        return bytearray(len(tokens))

    def import_state(self, tokens: Sequence[int], *states: tuple[int, bytearray]) -> bool:
        ((end, state),) = states
        assert len(state) == end == len(tokens)
        sequence = self.pool.take_empty()
        assert sequence is not None
        assert self.pool.make_room(len(tokens))
        self.cells.write(sequence.id, tokens)
        self.pool.append(sequence, tokens)
        self.pool.release(sequence)
        self.n_imported += len(tokens)
        return True

    def _append(self, chunk: Chunk) -> list[Any]:
        start = len(chunk.sequence.tokens)
        self.cells.write(chunk.sequence.id, chunk.tokens)
        self.pool.append(chunk.sequence, chunk.tokens)
        assert self.cells.n_used <= self.n_cells
        known = tuple(token for _, token in self.cells.rows[chunk.sequence.id])
        return [row_after(known[: start + place + 1]) for place in chunk.logits_at]

    def parts_of(self, request: "Ask") -> list[int]:
        """How many tokens of ``request`` each batch had."""
        first = request.prompt[0]
        return [sum(part.n_tokens for part in batch if part.prompt == first) for batch in self.batches]


@dataclass(eq=False)
class Ask:
    """A request that decodes greedily, several tokens at a time if it guesses."""

    prompt: list[int]
    n_tokens: int = 5
    n_guesses: int = 0
    fails_after: int | None = None
    """Tokens after which it fails by itself."""
    beginnings: Sequence[Sequence[int]] = ()
    on_token: Callable[[int], None] = lambda n: None
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    answer: list[int] = field(default_factory=list)
    results: list[Exception | None] = field(default_factory=list)
    was_closed: bool = False
    was_alone: list[bool] = field(default_factory=list)
    n_cached: int = -1

    def is_cancelled(self) -> bool:
        return self.cancelled.is_set()

    def finish(self, error: Exception | None) -> None:
        self.results.append(error)
        self.ended.set()

    def steps(self, lane: Any) -> Steps:
        try:
            [row] = yield Step(self.prompt, [len(self.prompt) - 1])
            self.n_cached = lane.n_cached
            token = int(row.argmax())
            while len(self.answer) < self.n_tokens:
                self.was_alone.append(lane.is_alone)
                token = yield from self._go_on(lane, token)
        finally:
            self.was_closed = True

    def _go_on(self, lane: Any, token: int) -> Any:
        self.answer.append(token)
        self.on_token(len(self.answer))
        if len(self.answer) == self.fails_after:
            raise GrammarError("it came to a dead end")
        room = self.n_tokens - len(self.answer)
        # Half of the guesses are right.
        guesses = [
            (likeliest([*self.prompt, *self.answer]) + i) % 2 for i in range(min(self.n_guesses, room))
        ]
        rows = yield Step([token, *guesses], range(1 + len(guesses)))
        for i, row in enumerate(rows):
            token = int(row.argmax())
            if i == len(guesses) or token != guesses[i]:
                if i < len(guesses):
                    lane.forget(len(guesses) - i)
                return token
            self.answer.append(token)
        raise AssertionError

    def assert_right(self) -> None:
        assert self.results == [None]
        assert self.answer == answer_to(self.prompt, self.n_tokens)


def threads_of_batchers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "plait-decode-fake"]


def wait_for(*asks: Ask) -> None:
    """Wait for their ends, and for the thread's."""
    for ask in asks:
        assert ask.ended.wait(DEADLINE_S), "a request was never finished"
    for thread in threads_of_batchers():
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def assert_nothing_leaks(engine: FakeEngine, asks: Sequence[Ask]) -> None:
    assert not any(s.is_busy for s in engine.pool.sequences)
    assert not engine.lock.locked()
    assert engine.pool.n_used == engine.cells.n_used <= engine.n_cells
    for s in engine.pool.sequences:
        assert s.tokens == [token for _, token in engine.cells.rows.get(s.id, [])]
    assert all(len(ask.results) == 1 for ask in asks)
    assert all(ask.was_closed for ask in asks)


@contextmanager
def held(engine: FakeEngine) -> Iterator[Any]:
    """A batcher that begins when all of the block was submitted."""
    batcher: Any = Batcher(engine)  # type: ignore[arg-type]
    with engine.lock:
        yield batcher


def run(engine: FakeEngine, *asks: Ask) -> None:
    """Submit all at once, and wait."""
    with held(engine) as batcher:
        for ask in asks:
            batcher.submit(ask)
    wait_for(*asks)
    assert_nothing_leaks(engine, asks)


def prompt(first: int, n_tokens: int) -> list[int]:
    """A prompt whose first token tells it apart in the batches."""
    return [first, *(n % 7 for n in range(n_tokens - 1))]


# Each gets what it gets alone


@dataclass(frozen=True)
class Plan:
    """One request of a drawn history."""

    prompt: tuple[int, ...]
    n_tokens: int
    n_guesses: int
    arrives_at: int
    """Before which batch; the first ones come before any."""
    cancelled_at: int | None
    fails_after: int | None


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    beginning = draw(st.sampled_from([(), (1, 2) * 60, (1, 2) * 30 + (3,) * 90, (4,) * 33]))
    rest = draw(st.lists(st.integers(0, 4), min_size=1, max_size=40))
    return Plan(
        (*beginning, *rest),
        draw(st.integers(0, 12)),
        draw(st.sampled_from([0, 0, 2])),
        draw(st.integers(0, 12)),
        draw(st.none() | st.integers(0, 25)),
        draw(st.none() | st.none() | st.integers(1, 6)),
    )


@settings(max_examples=80, deadline=None)
@given(
    st.lists(plans(), min_size=1, max_size=12),
    st.sampled_from([(220, 2), (260, 8), (600, 3), (4096, 8)]),
    st.sets(st.integers(0, 25), max_size=2),
    st.sets(st.integers(0, 25), max_size=2),
)
def test_each_request_gets_what_it_gets_alone(
    drawn: list[Plan], size: tuple[int, int], fails_at: set[int], aborts_late_at: set[int]
) -> None:
    engine = FakeEngine(*size)
    engine.fails_at = fails_at
    asks = [Ask(list(p.prompt), p.n_tokens, p.n_guesses, p.fails_after) for p in drawn]
    todo = set(range(1, len(drawn)))

    def happen(number: int) -> None:
        for i in sorted(todo):
            if drawn[i].arrives_at <= number:
                todo.discard(i)
                batcher.submit(asks[i])
        for ask, plan in zip(asks, drawn, strict=True):
            if plan.cancelled_at == number:
                ask.cancelled.set()
                batcher.notice_cancelled()
        if number in aborts_late_at:  # by somebody who meant the batch before
            engine.abort_flag.set()

    engine.before_batch = happen
    with held(engine) as batcher:
        batcher.submit(asks[0])
    wait_for(asks[0])
    rest = sorted(todo)  # there were too few batches for these
    todo.clear()
    with engine.lock:
        for i in rest:
            batcher.submit(asks[i])
    wait_for(*asks)
    assert_nothing_leaks(engine, asks)
    n_failed = 0
    for ask, plan in zip(asks, drawn, strict=True):
        alone = answer_to(plan.prompt, plan.n_tokens)
        assert ask.answer == alone[: len(ask.answer)]
        [error] = ask.results
        if error is None:
            assert ask.cancelled.is_set() or ask.answer == alone
        elif isinstance(error, GrammarError):
            assert len(ask.answer) == plan.fails_after
        else:
            assert str(error) in {f"batch {n} failed" for n in fails_at}
            n_failed += 1
    assert n_failed == 0 or fails_at


def test_an_answer_depends_on_every_token_before() -> None:
    assert len({tuple(answer_to([*prompt(9, 50)[:n], 3, *prompt(9, 50)[n:]], 8)) for n in range(50)}) > 40


def test_requests_from_many_threads_are_all_answered() -> None:
    engine = FakeEngine()
    batcher = Batcher(engine)  # type: ignore[arg-type]
    asks = [Ask(prompt(100 + n, 20 + 11 * n), 4) for n in range(24)]
    start = threading.Barrier(8)

    def submit(some: Sequence[Ask]) -> None:
        start.wait(DEADLINE_S)
        for ask in some:
            batcher.submit(ask)

    threads = [threading.Thread(target=submit, args=(asks[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    wait_for(*asks)
    for ask in asks:
        ask.assert_right()
    assert_nothing_leaks(engine, asks)


def test_an_answer_that_is_read_asks_the_next_question_from_within() -> None:
    engine = FakeEngine()
    second = Ask(prompt(102, 30))
    first = Ask(prompt(101, 30), on_token=lambda n: batcher.submit(second) if n == 5 else None)
    with held(engine) as batcher:
        batcher.submit(first)
    wait_for(first, second)
    first.assert_right()
    second.assert_right()


# Who computes when


def test_a_short_answer_is_in_every_batch_while_a_long_prompt_is_read_and_both_go_on() -> None:
    engine = FakeEngine()
    decoding, reading = Ask(prompt(101, 10), 60), Ask(prompt(102, 1000), 3)
    run(engine, decoding, reading)
    decoding.assert_right()
    reading.assert_right()
    together = list(zip(engine.parts_of(decoding), engine.parts_of(reading), strict=True))[1:30]
    assert all(short == 1 for short, _ in together)
    assert all(long > 0 for _, long in together)
    assert max(long for _, long in together) <= 64


def test_a_long_prompt_alone_is_read_in_whole_batches() -> None:
    engine = FakeEngine()
    ask = Ask(prompt(101, 3 * MAX_BATCH + 7), 1)
    run(engine, ask)
    ask.assert_right()
    assert engine.parts_of(ask)[:4] == [MAX_BATCH] * 3 + [7]


def test_long_prompts_share_each_batch_in_equal_parts() -> None:
    engine = FakeEngine()
    asks = [Ask(prompt(101 + n, 700 + n), 2) for n in range(4)]
    run(engine, *asks)
    for ask in asks:
        ask.assert_right()
    for batch in engine.batches[:5]:
        assert [part.n_tokens for part in batch] == [MAX_BATCH // 4] * 4


def test_what_a_prompt_does_not_need_of_its_part_goes_to_the_others() -> None:
    engine = FakeEngine()
    small, large = Ask(prompt(101, 50), 1), Ask(prompt(102, 1000), 1)
    run(engine, large, small)
    assert (engine.parts_of(small)[0], engine.parts_of(large)[0]) == (50, MAX_BATCH - 50)


def test_a_prompt_that_begins_as_one_under_way_waits_and_computes_only_the_rest() -> None:
    engine = FakeEngine()
    shared = prompt(101, 900)
    first, second = Ask([*shared, 1], 20), Ask([*shared, 2, 3, 4], 20)
    other = Ask(prompt(102, 900), 20)
    run(engine, first, second, other)
    for ask in (first, second, other):
        ask.assert_right()
    assert (first.n_cached, second.n_cached, other.n_cached) == (0, 900, 0)
    n_computed = sum(engine.parts_of(first))  # of both, since they begin with the same token
    assert n_computed == 901 + 3 + 20 + 20
    assert engine.parts_of(other)[0] > 0, "who shares nothing does not wait"


def test_an_ended_requests_beginning_is_not_computed_again() -> None:
    engine = FakeEngine()
    shared = prompt(101, 300)
    first, second = Ask([*shared, 1], 5), Ask([*shared, 2], 5)
    run(engine, first)
    n_before = sum(engine.parts_of(first))
    run(engine, second)
    second.assert_right()
    assert second.n_cached == 300
    assert sum(engine.parts_of(second)) - n_before == 1 + 5


def test_more_requests_than_sequences_run_as_those_before_them_end_in_their_order() -> None:
    engine = FakeEngine(n_sequences=2)
    ended: list[int] = []
    asks = [
        Ask(prompt(101 + n, 20), 4, on_token=lambda i, n=n: ended.append(n) if i == 4 else None)
        for n in range(7)
    ]
    run(engine, *asks)
    for ask in asks:
        ask.assert_right()
    assert ended == sorted(ended)
    assert max(len(batch) for batch in engine.batches) == 2


def test_a_request_is_told_whether_it_is_alone() -> None:
    engine = FakeEngine()
    long, short = Ask(prompt(101, 10), 12), Ask(prompt(102, 10), 3)
    run(engine, long, short)
    assert short.was_alone == [False] * 3
    assert long.was_alone[0] is False
    assert long.was_alone[-1] is True
    assert long.was_alone == sorted(long.was_alone)


def test_one_that_waits_makes_the_others_not_alone() -> None:
    engine = FakeEngine(n_sequences=1)
    first, second = Ask(prompt(101, 10), 4), Ask(prompt(102, 10), 4)
    run(engine, first, second)
    assert first.was_alone == [False] * 4
    assert second.was_alone == [True] * 4


# A full cache


def test_when_the_cache_is_full_the_youngest_steps_back_and_still_ends_right() -> None:
    engine = FakeEngine(n_cells=700)
    old, young = Ask(prompt(101, 200), 300), Ask(prompt(102, 100), 250)
    run(engine, old, young)
    old.assert_right()
    young.assert_right()
    assert all(engine.parts_of(old)[: len(old.answer)]), "the older one goes on in every batch"
    assert 0 in engine.parts_of(young)
    assert sum(engine.parts_of(young)) > 350, "what it had was computed again"


def test_one_that_stepped_back_goes_on_before_those_that_came_after_it() -> None:
    engine = FakeEngine(n_cells=700)
    old, young = Ask(prompt(101, 200), 300), Ask(prompt(102, 100), 250)
    third = Ask(prompt(103, 300), 5)
    young.on_token = lambda n: batcher.submit(third) if n == 100 else None
    with held(engine) as batcher:
        for ask in (old, young):
            batcher.submit(ask)
    wait_for(old, young, third)
    assert_nothing_leaks(engine, [old, young, third])
    for ask in (old, young, third):
        ask.assert_right()
    stepped_back = engine.parts_of(young).index(0, 50)
    went_on = next(n for n, part in enumerate(engine.parts_of(young)) if n > stepped_back and part)
    began = next(n for n, part in enumerate(engine.parts_of(third)) if part)
    assert stepped_back < went_on < began


def test_one_with_guesses_that_steps_back_is_computed_again_in_batches() -> None:
    engine = FakeEngine(n_cells=1500)
    old, young = Ask(prompt(101, 600), 300), Ask(prompt(102, 500), 200, n_guesses=2)
    run(engine, old, young)
    old.assert_right()
    young.assert_right()


def test_many_tokens_with_guesses_behind_them_are_computed_in_several_batches() -> None:
    class Forced(Ask):
        def steps(self, lane: Any) -> Steps:
            tokens = [n % 3 for n in range(MAX_BATCH + 60)]
            rows = yield Step([*self.prompt, *tokens], [MAX_BATCH + 20, MAX_BATCH + 59])
            known = [*self.prompt, *tokens]
            self.answer = [int(row.argmax()) for row in rows]
            assert self.answer == [likeliest(known[: MAX_BATCH + 21]), likeliest(known[: MAX_BATCH + 60])]
            self.was_closed = True

    engine = FakeEngine()
    forced, other = Forced(prompt(101, 5)), Ask(prompt(102, 5), 40)
    run(engine, forced, other)
    assert forced.results == [None]
    assert len(forced.answer) == 2
    other.assert_right()


def test_one_that_finds_no_room_beside_the_others_begins_when_there_is() -> None:
    engine = FakeEngine(n_cells=1000)
    first, second = Ask(prompt(101, 500), 20), Ask(prompt(102, 600), 5)
    run(engine, first, second)
    first.assert_right()
    second.assert_right()
    alone = len(engine.parts_of(first)) - engine.parts_of(first)[::-1].index(1)
    assert not any(engine.parts_of(second)[:alone])


def test_one_that_does_not_fit_even_alone_fails_alone() -> None:
    engine = FakeEngine(n_cells=300)
    asks = [Ask(prompt(101, 280), 40), Ask(prompt(102, 50), 5)]
    run(engine, *asks)
    assert isinstance(asks[0].results[0], ModelError)
    asks[1].assert_right()


def test_idle_beginnings_leave_the_cache_beside_others_and_come_back_when_they_are_wanted() -> None:
    engine = FakeEngine()
    batcher: Any = Batcher(engine)  # type: ignore[arg-type]

    def ask(first: int, n_tokens: int) -> Ask:
        asked = Ask(prompt(first, n_tokens))
        batcher.submit(asked)
        wait_for(asked)
        assert_nothing_leaks(engine, [asked])
        asked.assert_right()
        return asked

    ask(101, 600)
    ask(202, 300)  # beside it 600 cells would lie idle
    assert engine.pool.n_used == 305
    ask(303, 90)  # these 305 too, more than 256
    assert engine.pool.n_used == 95
    assert engine.n_imported == 0
    assert ask(101, 600).n_cached == 599
    assert engine.n_imported == 605
    assert ask(202, 300).n_cached == 299
    assert engine.n_imported == 605 + 305


def test_what_one_request_begins_with_moves_to_the_first_cells_when_others_leave() -> None:
    engine = FakeEngine()
    run(engine, Ask(prompt(101, 600)), Ask(prompt(202, 600)))
    assert engine.pool.n_used == 2 * 605
    again = Ask(prompt(202, 600))
    run(engine, again)
    again.assert_right()
    assert (again.n_cached, engine.n_imported, engine.pool.n_used) == (599, 605, 605)


def test_few_idle_cells_stay() -> None:
    engine = FakeEngine()
    for first in (101, 202, 303):
        run(engine, Ask(prompt(first, 90)))
    assert engine.pool.n_used == 3 * 95


def test_idle_beginnings_make_room() -> None:
    engine = FakeEngine(n_cells=400)
    for n in range(5):
        ask = Ask(prompt(101 + n, 150), 10)
        run(engine, ask)
        ask.assert_right()
    assert engine.pool.n_used <= 400


# Errors and cancelling


def test_cancelling_one_leaves_the_others_and_its_beginning() -> None:
    engine = FakeEngine()
    asks = [Ask(prompt(101 + n, 40), 30) for n in range(3)]
    engine.before_batch = lambda n: asks[1].cancelled.set() if n == 10 else None
    run(engine, *asks)
    asks[0].assert_right()
    asks[2].assert_right()
    assert asks[1].results == [None]
    assert 0 < len(asks[1].answer) < 30
    assert not any(engine.parts_of(asks[1])[11:])
    again = Ask([*asks[1].prompt, *asks[1].answer, 1], 3)
    run(engine, again)
    assert again.n_cached >= 40


def test_a_batch_that_nobody_wants_any_more_is_stopped() -> None:
    engine = FakeEngine()
    asks = [Ask(prompt(101 + n, 40), 30) for n in range(2)]
    wanted: list[int] = []

    def leave(number: int) -> None:
        if number in (5, 9):
            asks[number == 9].cancelled.set()
            batcher.notice_cancelled()
            wanted.append(engine.n_aborted)

    engine.before_batch = leave
    with held(engine) as batcher:
        for ask in asks:
            batcher.submit(ask)
    wait_for(*asks)
    assert_nothing_leaks(engine, asks)
    assert (wanted, engine.n_aborted, len(engine.batches)) == ([0, 0], 1, 10)
    assert asks[0].answer == answer_to(asks[0].prompt, 30)[: len(asks[0].answer)]
    again = Ask(list(asks[1].prompt), 30)
    run(engine, again)
    again.assert_right()


def test_a_batch_that_was_stopped_by_mistake_is_computed_again() -> None:
    engine = FakeEngine()
    engine.before_batch = lambda n: engine.abort_flag.set() if n in (0, 4) else None
    asks = [Ask(prompt(101 + n, 40), 10) for n in range(2)]
    run(engine, *asks)
    for ask in asks:
        ask.assert_right()
    assert engine.n_aborted == 2


def test_nothing_is_stopped_while_nothing_is_computed() -> None:
    engine = FakeEngine()
    batcher = Batcher(engine)  # type: ignore[arg-type]
    batcher.notice_cancelled()
    assert not engine.abort_flag.is_set


def test_a_stop_that_comes_when_its_batch_has_ended_stops_no_other() -> None:
    engine, ask = FakeEngine(), Ask(prompt(101, 40))
    engine.abort_flag.set()
    run(engine, ask)
    ask.assert_right()
    assert engine.n_aborted == 0


def test_one_that_is_cancelled_before_it_begins_computes_nothing() -> None:
    engine = FakeEngine()
    gone, there = Ask(prompt(101, 40)), Ask(prompt(102, 40))
    gone.cancelled.set()
    run(engine, gone, there)
    there.assert_right()
    assert gone.answer == []
    assert sum(engine.parts_of(gone)) == 0


def test_one_that_is_cancelled_while_it_waits_for_a_sequence_never_begins() -> None:
    engine = FakeEngine(n_sequences=1)
    first, second, third = (Ask(prompt(101 + n, 40), 10) for n in range(3))
    engine.before_batch = lambda n: second.cancelled.set() if n == 3 else None
    run(engine, first, second, third)
    first.assert_right()
    third.assert_right()
    assert sum(engine.parts_of(second)) == 0


def test_when_the_prompt_that_another_waits_for_is_cancelled_the_other_computes_it() -> None:
    engine = FakeEngine()
    shared = prompt(101, 2000)
    first, second = Ask([*shared, 1]), Ask([*shared, 2])
    engine.before_batch = lambda n: first.cancelled.set() if n == 1 else None
    run(engine, first, second)
    assert first.answer == []
    second.assert_right()
    assert second.n_cached == 2 * MAX_BATCH


def test_an_error_in_one_request_is_its_own() -> None:
    engine = FakeEngine()
    wrong, right = Ask(prompt(101, 40), 20, fails_after=3), Ask(prompt(102, 40), 20)
    run(engine, wrong, right)
    assert isinstance(wrong.results[0], GrammarError)
    right.assert_right()


def test_an_error_before_the_first_step_is_handed_over() -> None:
    class Wrong(Ask):
        def steps(self, lane: Any) -> Steps:
            self.was_closed = True
            raise GrammarError("refused")
            yield

    engine = FakeEngine()
    wrong, right = Wrong(prompt(101, 4)), Ask(prompt(102, 40))
    run(engine, wrong, right)
    assert isinstance(wrong.results[0], GrammarError)
    right.assert_right()


def test_a_batch_that_fails_ends_those_in_it_and_the_next_ones_are_right() -> None:
    engine = FakeEngine(n_sequences=2)
    engine.fails_at = {4}
    asks = [Ask(prompt(101 + n, 40), 20) for n in range(4)]
    run(engine, *asks)
    assert [type(ask.results[0]) for ask in asks] == [ModelError, ModelError, type(None), type(None)]
    asks[2].assert_right()
    asks[3].assert_right()
    again = Ask(list(asks[0].prompt), 20)
    run(engine, again)
    again.assert_right()


def test_what_nobody_foresaw_ends_all_and_the_next_request_is_answered() -> None:
    engine = FakeEngine(n_sequences=2)

    def broken(number: int) -> None:
        if number == 4:
            raise ZeroDivisionError

    engine.before_batch = broken
    asks = [Ask(prompt(101 + n, 40), 20) for n in range(4)]
    with held(engine) as batcher:
        for ask in asks:
            batcher.submit(ask)
    wait_for(*asks)
    assert [type(ask.results[0]) for ask in asks] == [ZeroDivisionError] * 4
    assert not any(s.is_busy for s in engine.pool.sequences)
    again = Ask(list(asks[0].prompt), 20)
    batcher.submit(again)
    wait_for(again)
    again.assert_right()


def test_no_thread_is_left_and_the_next_request_starts_another() -> None:
    engine = FakeEngine()
    for n in range(3):
        ask = Ask(prompt(101 + n, 10))
        run(engine, ask)
        assert threads_of_batchers() == []
        ask.assert_right()


def test_one_thread_serves_all() -> None:
    engine = FakeEngine()
    asks = [Ask(prompt(101 + n, 10)) for n in range(4)]
    with held(engine) as batcher:
        for ask in asks:
            batcher.submit(ask)
        assert len(threads_of_batchers()) == 1
    wait_for(*asks)


def test_a_request_that_answers_nothing_ends() -> None:
    class Empty(Ask):
        def steps(self, lane: Any) -> Steps:
            self.was_closed = True
            return
            yield

    engine = FakeEngine()
    empty, other = Empty([1]), Ask(prompt(102, 10))
    run(engine, empty, other)
    assert (empty.results, engine.parts_of(empty)) == ([None], [0] * len(engine.batches))
    other.assert_right()


# Beginnings on disk


class FakeWarmStart:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.restored: list[tuple[int, ...]] = []
        self.saved: list[tuple[tuple[int, ...], bool]] = []

    def restore(self, beginnings: Sequence[Sequence[int]]) -> int:
        if not beginnings:
            return 0
        (tokens,) = beginnings
        self.restored.append(tuple(tokens))
        return len(tokens) // 2

    def save(self, sequence: Any, beginnings: Sequence[Sequence[int]]) -> None:
        if not beginnings:
            return
        (tokens,) = beginnings
        self.saved.append((tuple(tokens), sequence.tokens[: len(tokens)] == list(tokens)))


def test_a_static_beginning_is_restored_once_before_and_saved_once_after() -> None:
    engine, warm = FakeEngine(n_sequences=2), FakeWarmStart()
    asks = [Ask(prompt(101 + n, 40), 5, beginnings=[prompt(101 + n, 40)[:30]]) for n in range(4)]
    with engine.lock:
        batcher = Batcher(engine, warm)  # type: ignore[arg-type]
        for ask in asks:
            batcher.submit(ask)
    wait_for(*asks)
    statics = [tuple(ask.beginnings[0]) for ask in asks]
    assert warm.restored == statics
    assert Counter(warm.saved) == Counter((static, True) for static in statics)


def test_one_that_stepped_back_is_not_restored_again() -> None:
    engine, warm = FakeEngine(n_cells=700), FakeWarmStart()
    asks = [Ask(prompt(101, 200), 300), Ask(prompt(102, 100), 250, beginnings=[prompt(102, 100)[:50]])]
    with engine.lock:
        batcher = Batcher(engine, warm)  # type: ignore[arg-type]
        for ask in asks:
            batcher.submit(ask)
    wait_for(*asks)
    assert 0 in engine.parts_of(asks[1])
    assert warm.restored.count(tuple(asks[1].beginnings[0])) == 1
    asks[1].assert_right()


@pytest.mark.parametrize("n_requests", [1, 3])
def test_a_cancelled_request_still_leaves_its_beginning(n_requests: int) -> None:
    engine, warm = FakeEngine(), FakeWarmStart()
    asks = [Ask(prompt(101 + n, 40), 50, beginnings=[prompt(101 + n, 40)[:30]]) for n in range(n_requests)]
    engine.before_batch = lambda n: asks[0].cancelled.set() if n == 5 else None
    with engine.lock:
        batcher = Batcher(engine, warm)  # type: ignore[arg-type]
        for ask in asks:
            batcher.submit(ask)
    wait_for(*asks)
    assert (tuple(asks[0].beginnings[0]), True) in warm.saved
