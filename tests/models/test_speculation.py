import itertools
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer
from llguidance._tokenizer import TokenizerWrapper

from plait.errors import GrammarError
from plait.models._batch_cost import BatchCost, measure_batch_costs
from plait.models._batching import Step
from plait.models._drafts import Candidate, DraftToken, draft_tokens
from plait.models._speculation import LOSS_SHARE, DraftLengthPolicy
from plait.models._verification import Verdict, Verified, accept, verify

QWEN = BatchCost((1, 2, 4, 16), (1.0, 1.5, 2.4, 4.4))
SMOLLM2 = BatchCost((1, 2, 4, 16), (1.0, 1.8, 2.5, 7.6))
FREE = BatchCost((1, 16), (1.0, 1.0))
LINEAR = BatchCost((1, 16), (1.0, 16.0))
CURVES = [QWEN, SMOLLM2, FREE, LINEAR]


def chain(*confidences: float, forced: int = 0) -> list[DraftToken]:
    return [DraftToken(7, c, (8,) * forced) for c in confidences]


# The costs of batches


def test_costs_are_interpolated_and_go_on_beyond_the_largest_batch() -> None:
    assert [QWEN(n) for n in (1, 2, 3, 4, 10)] == pytest.approx([1.0, 1.5, 1.95, 2.4, 3.4])
    assert QWEN(28) == pytest.approx(4.4 + 2.0)
    assert QWEN.least_slope == pytest.approx(2 / 12)


@given(st.lists(st.floats(1e-6, 10), min_size=2, max_size=5))
def test_a_larger_batch_never_costs_less(seconds: list[float]) -> None:
    costs = BatchCost((1, 2, 4, 8, 16)[: len(seconds)], tuple(seconds))
    assert all(costs(n) <= costs(n + 1) + 1e-12 for n in range(1, 40))
    assert costs(1) == seconds[0]


@pytest.mark.parametrize(
    ("sizes", "seconds"),
    [
        ((2, 4), (1, 2)),
        ((1, 1), (1, 2)),
        ((1,), (1,)),
        ((1, 2), (1,)),
        ((1, 2), (0, 1)),
        ((1, 2), (1, np.nan)),
    ],
)
def test_costs_that_make_no_sense_are_refused(sizes: tuple[int, ...], seconds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"sizes must rise|times must be positive"):
        BatchCost(sizes, seconds)


class Machine:
    """A clock, and batches that take 1 s and 0.1 s for each token, once 50 times as long."""

    def __init__(self, slow_call: int = -1) -> None:
        self.now = 0.0
        self.sizes: list[int] = []
        self.slow_call = slow_call

    def decode(self, n_tokens: int) -> None:
        self.now += (1 + 0.1 * n_tokens) * (50 if len(self.sizes) == self.slow_call else 1)
        self.sizes.append(n_tokens)

    def measure(self, **options: Any) -> BatchCost:
        return measure_batch_costs(self.decode, clock=lambda: self.now, **options)


@pytest.mark.parametrize("slow_call", [0, 1, 5, 16])
def test_one_slow_batch_does_not_change_what_is_measured(slow_call: int) -> None:
    machine = Machine(slow_call)
    costs = machine.measure(budget_s=1e9)
    assert costs.seconds == pytest.approx((1.1, 1.2, 1.4, 1.8, 2.6))
    assert machine.sizes == [16, 1, *(1, 2, 4, 8, 16) * 3]


def test_a_slow_machine_is_measured_in_fewer_rounds() -> None:
    machine = Machine()
    machine.measure(rounds=10, budget_s=10.0)
    assert machine.sizes == [16, 1, *(1, 2, 4, 8, 16) * 2]


# The length of drafts


@given(st.sampled_from(CURVES), st.lists(st.floats(0, 1), max_size=15).map(tuple))
def test_without_forced_tokens_the_length_gives_the_most_tokens_a_second(
    costs: BatchCost, confidences: tuple[float, ...]
) -> None:
    policy = DraftLengthPolicy(costs)
    drafted = chain(*confidences)
    stand = itertools.accumulate((policy.chance(c, i) for i, c in enumerate(confidences)), lambda a, b: a * b)
    tokens = list(itertools.accumulate(stand, initial=1.0))
    rates = [expected / costs(1 + k) for k, expected in enumerate(tokens)]
    for _ in range(20):  # Dinkelbach: the pace that the best length gives makes it the best
        k = policy.length(1, drafted)
        policy._taken_s, policy._plain_s = costs(1 + k), tokens[k] * costs(1)
        policy._won_s = 100.0
    assert rates[policy.length(1, drafted)] == pytest.approx(max(max(rates), 1 / costs(1)))


def test_a_batch_that_costs_no_more_takes_all_guesses_and_one_that_costs_each_token_none() -> None:
    assert DraftLengthPolicy(FREE).length(1, chain(*[0.5] * 20)) == 15
    assert DraftLengthPolicy(LINEAR).length(1, chain(*[1.0] * 15)) == 0


def test_forced_tokens_make_a_guess_worth_more_where_their_batch_would_have_cost_more() -> None:
    policy = DraftLengthPolicy(SMOLLM2)
    assert policy.length(1, chain(0.9)) == 0
    assert policy.length(4, chain(0.9)) == 1


def _play(
    policy: DraftLengthPolicy, costs: BatchCost, n: int, rights: Iterator[int], confidence: float
) -> float:
    """Time over that without drafts, where as many guesses stand as ``rights`` tells."""
    taken = plain = 0.0
    for n_right in itertools.islice(rights, n):
        proposed = chain(*[confidence] * 15)
        k = policy.length(1, proposed)
        n_accepted = min(k, n_right)
        taken += costs(1 + k)
        plain += costs(1) * (1 + n_accepted)
        policy.observe(1, proposed, k, n_accepted, 7 if n_accepted < n_right else 9)
    return taken / plain


@pytest.mark.parametrize("costs", CURVES)
@pytest.mark.parametrize("confidence", [0.6, 0.98, 1.0])
def test_guesses_that_never_stand_cost_next_to_nothing(costs: BatchCost, confidence: float) -> None:
    policy = DraftLengthPolicy(costs)
    assert _play(policy, costs, 1000, itertools.repeat(0), confidence) <= 1 + LOSS_SHARE + 8 / 1000
    assert policy.length(1, chain(confidence)) == 0 or costs is FREE


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CURVES), st.lists(st.integers(0, 15), min_size=50, max_size=300), st.floats(0, 1))
def test_whatever_stands_the_loss_is_bounded(costs: BatchCost, rights: list[int], confidence: float) -> None:
    n = len(rights)
    ratio = _play(DraftLengthPolicy(costs), costs, n, iter(rights), confidence)
    assert ratio <= 1 + LOSS_SHARE + 8 / n + 1e-9


def test_a_change_for_the_worse_is_noticed_and_one_for_the_better_too() -> None:
    policy = DraftLengthPolicy(QWEN)
    assert _play(policy, QWEN, 200, itertools.repeat(15), 0.95) < 0.35
    assert _play(policy, QWEN, 400, itertools.repeat(0), 0.95) < 1.06
    assert policy.length(1, chain(*[0.95] * 15)) == 0
    _play(policy, QWEN, 400, itertools.repeat(15), 0.95)  # compared without being verified
    assert policy.length(1, chain(*[0.95] * 15)) >= 10


def test_guesses_after_a_right_one_are_believed_apart() -> None:
    policy = DraftLengthPolicy(QWEN)
    for _ in range(60):
        policy.observe(1, chain(0.8), 0, 0, 9)
        policy.observe(1, chain(0.8, 0.8), 1, 1, 7)
        policy.observe(1, [], 0, 0, 7)
    assert policy.chance(0.8, 1) > 0.9
    assert policy.chance(0.8) < 0.6


def test_the_counts_tell_what_drafts_saved() -> None:
    policy = DraftLengthPolicy(QWEN)
    policy.observe(1, chain(0.9, 0.9, 0.9), 3, 2, 9)
    policy.observe(1, [], 0, 0, 9)
    counts = policy.counts
    assert (counts.steps, counts.drafted, counts.accepted) == (2, 3, 2)
    assert counts.spent_s == pytest.approx(1.4)
    assert counts.saved_s == pytest.approx(2.0)


def test_a_draft_that_takes_time_and_does_not_pay_is_hardly_asked() -> None:
    policy = DraftLengthPolicy(QWEN, draft_token_s=0.1)
    assert policy.n_wanted == 15
    asked = 0
    for _ in range(2000):
        proposed = chain(*[0.6] * policy.n_wanted)
        asked += len(proposed)
        policy.observe(1, proposed, 0, 0, 9)
    assert 0 < asked * 0.1 <= 2 * LOSS_SHARE * 2000 + 8
    for _ in range(4000):
        proposed = chain(*[0.6] * policy.n_wanted)
        k = policy.length(1, proposed)
        policy.observe(1, proposed, k, k, 7)
    assert policy.n_wanted == 15


# What stands


def token_by_token(
    rows: Sequence[Any], masks: Sequence[Any], drafted: Sequence[int]
) -> tuple[list[int], int | None]:
    """Greedy decoding one by one, as far as the rows are those of the text."""
    text: list[int] = []
    for row, mask in zip(rows, masks, strict=True):
        allowed = row if mask is None else np.where(mask, row, -np.inf)
        text.append(int(np.argmax(allowed)))
        if text != list(drafted[: len(text)]):
            return text[:-1], text[-1]
    return text, None


@st.composite
def verifications(draw: st.DrawFn, n_vocab: int = 4) -> tuple[list[Any], list[Any], list[int]]:
    n = draw(st.integers(0, 4))
    n_rows = n + draw(st.integers(0, 1))
    masks = [
        draw(st.none() | st.lists(st.booleans(), min_size=n_vocab, max_size=n_vocab).filter(any))
        for _ in range(n_rows)
    ]
    masks = [None if mask is None else np.array(mask) for mask in masks]
    rows = [
        np.array(draw(st.lists(st.integers(-3, 3), min_size=n_vocab, max_size=n_vocab)), dtype=np.float32)
        for _ in range(n_rows)
    ]
    allowed = [range(n_vocab) if mask is None else np.flatnonzero(mask).tolist() for mask in masks]
    return rows, masks, [draw(st.sampled_from(list(allowed[i]))) for i in range(n)]


class Masks:
    """Rules that are written down, and what was asked of them."""

    def __init__(self, masks: Sequence[Any], *, is_lazy: bool = False) -> None:
        self.masks = masks
        self.is_lazy = is_lazy
        self.asked: list[tuple[int, str]] = []

    def permits(self, i: int, token: int) -> bool:
        self.asked.append((i, "one"))
        return not self.is_lazy and (self.masks[i] is None or bool(self.masks[i][token]))

    def mask(self, i: int) -> Any:
        self.asked.append((i, "all"))
        return self.masks[i]


class NoRandom:
    def choice(self, a: int, *, p: Any) -> int:
        raise AssertionError("greedy decoding draws nothing")


@given(verifications(), st.booleans())
def test_greedy_tokens_are_those_of_decoding_one_by_one(
    case: tuple[list[Any], list[Any], list[int]], is_lazy: bool
) -> None:
    rows, masks, drafted = case
    rules = Masks(masks, is_lazy=is_lazy)
    verdict = accept(rows, rules, drafted, 0.0, NoRandom())
    text, next_token = token_by_token(rows, masks, drafted)
    assert verdict == Verdict(len(text), next_token)
    places = [i for i, _ in rules.asked]
    assert places == sorted(places)
    assert len(set(rules.asked)) == len(rules.asked)


def test_greedy_decoding_asks_for_a_whole_mask_only_where_the_likeliest_token_is_not_allowed() -> None:
    rows = [np.array([0, 1, 2, 3], np.float32)] * 3
    rules = Masks([np.array([True] * 4), np.array([True, True, True, False]), None])
    assert accept(rows, rules, [3, 2], 0.0, NoRandom()) == Verdict(2, 3)
    # A guess is allowed, so one that is the likeliest needs no question at all.
    assert rules.asked == [(1, "one"), (1, "all"), (2, "one")]


class Branching:
    """In the place of a random generator: goes the way it is told, and notes the chance of it."""

    def __init__(self, ways: Sequence[int]) -> None:
        self.ways = list(ways)
        self.chance = 1.0
        self.open: list[int] = []

    def choice(self, a: int, *, p: Any) -> int:
        if not self.ways:
            self.open = [i for i in range(a) if p[i] > 0]
            raise LookupError
        way = self.ways.pop(0)
        self.chance *= float(p[way])
        return way


def outcomes(
    rows: list[Any], masks: list[Any], drafted: list[int], temperature: float
) -> dict[Verdict, float]:
    """Every verdict with its exact probability, by walking all ways that the draws can go."""
    found: dict[Verdict, float] = {}
    ways: list[tuple[int, ...]] = [()]
    while ways:
        way = ways.pop()
        random = Branching(way)
        try:
            verdict = accept(rows, Masks(masks), drafted, temperature, random)
        except LookupError:
            ways += [(*way, token) for token in random.open]
        else:
            found[verdict] = found.get(verdict, 0.0) + random.chance
    return found


@settings(max_examples=60, deadline=None)
@given(verifications(), st.sampled_from([0.3, 1.0, 2.5]))
def test_sampled_tokens_have_exactly_the_model_s_distribution(
    case: tuple[list[Any], list[Any], list[int]], temperature: float
) -> None:
    rows, masks, drafted = case
    expected: dict[Verdict, float] = {}
    reached = 1.0
    for i, (row, mask) in enumerate(zip(rows, masks, strict=True)):
        weights = np.exp(row.astype(np.float64) / temperature) * (1 if mask is None else mask)
        chances = weights / weights.sum()
        for token, chance in enumerate(chances):
            if chance and not (i < len(drafted) and token == drafted[i]):
                expected[Verdict(i, token)] = reached * chance
        reached *= chances[drafted[i]] if i < len(drafted) else 0.0
    if len(rows) == len(drafted):
        expected[Verdict(len(drafted), None)] = reached
    assert outcomes(rows, masks, drafted, temperature) == pytest.approx(expected)


def test_a_grammar_that_allows_no_token_is_an_error() -> None:
    with pytest.raises(GrammarError, match="no token"):
        accept([np.zeros(4, np.float32)], Masks([np.zeros(32, bool)]), [], 0.0, NoRandom())


def test_the_padding_of_a_mask_is_no_token() -> None:
    mask = np.zeros(32, bool)
    mask[[2, 30]] = True
    assert accept([np.zeros(4, np.float32)], Masks([mask]), [], 0.0, NoRandom()) == Verdict(0, 2)


# Verification with an engine and a grammar

LETTERS = b"ab=!\0"


class _Pieces:
    eos_token_id = 4
    bos_token_id = None
    tokens = tuple(bytes([b]) for b in LETTERS)
    special_token_ids = (4,)

    def __call__(self, text: bytes) -> list[int]:
        return [LETTERS.index(b) for b in text if b in LETTERS]


TABLE = LLTokenizer(TokenizerWrapper(_Pieces()))
LARK = 'start: ("a=" /[ab]/ "!" | "b" /[ab=]{2}/){1,4}'


class HashEngine:
    """Its logits depend on all tokens before, so a wrong cache shows."""

    def __init__(self, seed: int, tokens: Sequence[int]) -> None:
        self.seed = seed
        self.tokens = list(tokens)
        self.n_batches = 0

    def run(self, work: Generator[Step, list[Any], Verified]) -> Verified:
        """Decode what ``work`` wants next until it has its result."""
        step = next(work)
        while True:
            try:
                step = work.send(self.decode(step))
            except StopIteration as end:
                verified: Verified = end.value
                return verified

    def decode(self, step: Step) -> list[Any]:
        assert step.tokens
        assert list(step.logits_at) == sorted(set(step.logits_at))
        self.n_batches += 1
        start = len(self.tokens)
        self.tokens += step.tokens
        return [self.row(self.tokens[: start + i + 1]) for i in step.logits_at]

    def row(self, tokens: Sequence[int]) -> Any:
        return np.random.default_rng([self.seed, *tokens]).normal(size=5).astype(np.float32)

    def forget(self, n_tokens: int) -> None:
        assert n_tokens > 0
        del self.tokens[-n_tokens:]


class Guesser:
    """Guesses at random; every token may come."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.tokens: list[int] = []

    def extend(self, tokens: Sequence[int]) -> None:
        self.tokens += tokens

    def candidates(self, pending: Sequence[int]) -> list[Candidate]:
        order = np.random.default_rng([self.seed, *self.tokens, *pending]).permutation(4)
        return [Candidate(int(token), 0.5) for token in order]


def write(seed: int, limit: int, temperature: float, *, grammar: bool) -> tuple[list[int], HashEngine]:
    """A whole answer; ``limit`` guesses a batch."""
    matcher = LLMatcher(TABLE, LLMatcher.grammar_from_lark(LARK), log_level=0) if grammar else None
    engine, draft = HashEngine(seed, [3]), Guesser(seed)
    random = np.random.default_rng(seed)
    answer: list[int] = []

    def consume(token: int) -> list[int]:
        if matcher is None:
            return [token]
        assert matcher.consume_token(token)
        forced = [] if matcher.is_stopped() else matcher.compute_ff_tokens()
        assert matcher.consume_tokens(forced)
        return [token, *forced]

    mask = None
    if matcher is not None:
        mask = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little").view(bool)
    new = consume(accept([engine.row([3])], Masks([mask]), [], temperature, random).next_token or 0)
    while len(answer) < 12:
        answer += new
        draft.extend(new)
        if matcher is not None and matcher.is_stopped():
            break
        drafted = draft_tokens(draft, matcher, limit=limit)
        work = verify(engine, matcher, new, drafted, temperature=temperature, random=random)
        verified = engine.run(work)
        answer += verified.tokens
        draft.extend(verified.tokens)
        assert engine.tokens == [3, *answer]
        if verified.next_token is None or verified.next_token == 4:
            break
        new = consume(verified.next_token)
    return answer[:12], engine


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from([0.0, 0.8]), st.booleans())
def test_an_answer_with_drafts_is_the_one_without(
    seed: int, limit: int, temperature: float, grammar: bool
) -> None:
    plain, slow = write(seed, 0, temperature, grammar=grammar)
    drafted, fast = write(seed, limit, temperature, grammar=grammar)
    assert drafted == plain
    assert fast.n_batches <= slow.n_batches


def test_guesses_that_the_grammar_refuses_are_an_error_and_no_answer() -> None:
    matcher = LLMatcher(TABLE, LLMatcher.grammar_from_lark(LARK), log_level=0)
    engine = HashEngine(1, [3])
    with pytest.raises(GrammarError, match="refuses what was guessed"):
        engine.run(verify(engine, matcher, [0], chain(0.9), temperature=0.0, random=NoRandom()))


def test_an_answer_that_its_guesses_complete_asks_for_no_logits_behind_them() -> None:
    matcher = LLMatcher(TABLE, LLMatcher.grammar_from_lark('start: "b" /[ab]/'), log_level=0)
    assert matcher.consume_token(1)
    step = next(
        verify(HashEngine(1, []), matcher, [1], [DraftToken(0, 0.9)], temperature=0.0, random=NoRandom())
    )
    assert (list(step.tokens), list(step.logits_at)) == ([1, 0], [0])
