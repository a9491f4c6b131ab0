import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer
from llguidance._tokenizer import TokenizerWrapper

from plait.errors import ModelError
from plait.models._drafts import (
    AnswerMemory,
    Candidate,
    DraftToken,
    NGramDraft,
    NGramIndex,
    PromptMemory,
    draft_tokens,
    valid_prefix,
    word_ids,
)
from plait.models._model_draft import ModelDraft, check_same_vocabulary

PIECES = [*(bytes([b]) for b in range(256)), b"ab", b"abc", b" ab", b"red", b"green", b"</s>"]
END = len(PIECES) - 1
TEXTS = st.lists(st.integers(0, 3), max_size=40)


class _Pieces:
    eos_token_id = END
    bos_token_id = None
    tokens = PIECES
    special_token_ids = (END,)

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


TABLE = LLTokenizer(TokenizerWrapper(_Pieces()))


def matcher_of(lark: str) -> Any:
    matcher = LLMatcher(TABLE, LLMatcher.grammar_from_lark(lark), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    return matcher


class FixedDraft:
    """Guesses the tokens of a text one after the other; anything else if that is not wanted."""

    def __init__(self, *choices: Sequence[int]) -> None:
        self.choices = choices

    def extend(self, tokens: Sequence[int]) -> None:
        raise AssertionError("nothing stands yet")

    def candidates(self, pending: Sequence[int]) -> list[Candidate]:
        return [Candidate(c[len(pending)], 0.9) for c in self.choices if len(pending) < len(c)]


def guesses(draft: NGramDraft, pending: Sequence[int] = ()) -> list[int]:
    return [c.token for c in draft.candidates(pending)]


def test_what_followed_the_same_tokens_before_is_guessed() -> None:
    draft = NGramDraft([1, 2, 3, 4, 5, 1, 2])
    assert [guess.token for guess in draft_tokens(draft, limit=3)] == [3, 4, 5]


def test_a_longer_context_outweighs_a_more_frequent_continuation_of_a_shorter_one() -> None:
    draft = NGramDraft([9, 1, 2, 7, 8, 1, 2, 3, 8, 1, 2, 3, 9, 1, 2])
    assert guesses(draft)[0] == 7
    assert guesses(NGramDraft([9, 1, 2, 7, 8, 1, 2, 3, 8, 1, 2, 3, 6, 1, 2]))[0] == 3


def test_of_equally_frequent_continuations_the_newest_comes_first() -> None:
    assert guesses(NGramDraft([1, 2, 3, 1, 2, 4, 1, 2])) == [4, 3]


def test_what_stood_before_more_often_is_believed_more() -> None:
    once = NGramDraft([1, 2, 3, 0, 1, 2]).candidates([])[0]
    often = NGramDraft([1, 2, 3, 0, 1, 2, 3, 0, 1, 2]).candidates([])[0]
    seldom = NGramDraft([1, 2, 3, 0, 1, 2, 4, 9, 1, 2]).candidates([])[0]
    assert seldom.confidence < once.confidence < often.confidence < 1


def test_the_answer_is_looked_up_as_soon_as_it_stands() -> None:
    draft = NGramDraft([1, 2])
    assert guesses(draft) == []
    draft.extend([7, 8, 9, 7, 8])
    assert guesses(draft) == [9]


def test_pending_tokens_are_context_but_are_not_looked_up() -> None:
    draft = NGramDraft([1, 2, 3])
    assert guesses(draft, [1, 2]) == [3]
    assert guesses(draft, [5, 6, 5]) == []
    assert guesses(draft, [5, 6]) == []


def test_no_ngram_reaches_from_one_text_into_the_next() -> None:
    draft = NGramDraft([8, 1], texts=[[5, 1, 2], [3, 4]])
    assert guesses(draft, [5, 1]) == [2]
    assert guesses(draft, [2, 3]) == []


def test_a_capital_and_a_space_make_no_other_word() -> None:
    words = word_ids([b" Tom", b"tom", b" ", b" Baker", b"Tom", b'="', b" "])
    assert words == [0, 0, 2, 3, 0, 5, 2]
    draft = NGramDraft([2, 0, 3, 5, 5], word_of=words)
    assert guesses(draft, [6, 4]) == [3]


@given(TEXTS, TEXTS, st.integers(1, 3), st.integers(0, 2))
def test_an_index_grown_token_by_token_guesses_as_one_made_at_once(
    prompt: list[int], answer: list[int], low: int, more: int
) -> None:
    grown = NGramDraft(prompt, low, low + more)
    for token in answer:
        grown.extend([token])
    assert grown.candidates([]) == NGramDraft([*prompt, *answer], low, low + more).candidates([])


@given(TEXTS, TEXTS)
def test_confidences_fall_and_are_chances_of_tokens_that_followed_the_last_two(
    text: list[int], pending: list[int]
) -> None:
    candidates = NGramDraft(text).candidates(pending)
    chances = [c.confidence for c in candidates]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) <= 1 + 1e-9
    end = [*text, *pending][-2:]
    followers = {text[i + 2] for i in range(len(text) - 2) if text[i : i + 2] == end}
    assert {c.token for c in candidates} == followers


@pytest.mark.parametrize(("low", "high"), [(0, 2), (3, 2)])
def test_lengths_of_contexts_that_make_no_sense_are_refused(low: int, high: int) -> None:
    with pytest.raises(ValueError, match=f"{low} and {high}"):
        NGramIndex(low, high)


def test_earlier_answers_are_remembered_until_newer_ones_need_their_room() -> None:
    memory = AnswerMemory(max_tokens=12)
    memory.add([1, 2, 3])
    memory.add([1, 2, 4])
    memory.add([5, 6, 7])
    assert guesses(NGramDraft([1, 2], shared=memory.indexes)) == [4, 3]
    memory.add([8, 9, 8, 9, 8, 9])
    memory.add([8, 9, 8, 9, 8, 9])
    assert guesses(NGramDraft([1, 2], shared=memory.indexes)) == []
    assert guesses(NGramDraft([8, 9], shared=memory.indexes)) == [8]


def test_the_beginning_that_prompts_share_is_indexed_once() -> None:
    memory = PromptMemory()
    start = list(range(20))
    assert memory.split([*start, 50, 51]) == ((), [*start, 50, 51])
    (index,), rest = memory.split([*start, 60, 61])
    assert rest == [60, 61]
    again, rest = memory.split([*start, 70])
    assert again == (index,)
    assert rest == [70]
    assert guesses(NGramDraft([4, 5], shared=again)) == [6]
    assert memory.split([99, 98]) == ((), [99, 98])


def test_guesses_that_the_grammar_forbids_give_way_to_those_it_allows() -> None:
    draft = FixedDraft(b"xyz", b"ayz", b"abb")
    chain = draft_tokens(draft, matcher_of("start: /[ab]/ /[bc]{2,9}/"))
    assert bytes(g.token for g in chain) == b"abb"


def test_what_the_grammar_forces_comes_between_the_guesses_and_is_none() -> None:
    matcher = matcher_of('start: /[ab]/ "==" /[ab]/ "!"')
    chain = draft_tokens(FixedDraft(b"a==b!"), matcher)
    assert chain == [DraftToken(97, 0.9, (61, 61)), DraftToken(98, 0.9, (33,))]
    assert not matcher.is_stopped()
    assert matcher.validate_tokens([97]) == 1


def test_the_chain_ends_where_the_grammar_ends_the_answer() -> None:
    chain = draft_tokens(FixedDraft(b"aaaa"), matcher_of("start: /[ab]/ /[ab]/"))
    assert bytes(g.token for g in chain) == b"aa"


def test_the_chain_ends_before_a_token_that_ends_the_answer() -> None:
    chain = draft_tokens(FixedDraft([5, 6, END, 7]), is_end=lambda token: token == END)
    assert [g.token for g in chain] == [5, 6]


def test_the_chain_ends_where_hardly_any_guess_would_stand() -> None:
    chain = draft_tokens(FixedDraft([1] * 20), least=0.7)
    assert len(chain) == math.floor(math.log(0.7, 0.9))
    assert len(draft_tokens(FixedDraft([1] * 20), least=2.0)) == 1
    assert len(draft_tokens(FixedDraft([1] * 20), limit=4)) == 4
    assert len(draft_tokens(FixedDraft([1] * 20), chance=lambda confidence, position: 1.0, least=1.0)) == 15


def test_a_guess_whose_forced_tokens_have_no_room_is_not_made() -> None:
    def forced(room: int) -> list[DraftToken]:
        return draft_tokens(FixedDraft(b"a=b!"), matcher_of('start: /[ab]/ "=" /[ab]/ "!"'), room=room)

    assert [len(forced(room)) for room in range(6)] == [0, 0, 1, 1, 2, 2]


def test_the_valid_prefix_is_what_the_grammar_allows_and_consumes_nothing() -> None:
    matcher = matcher_of("start: /[ab]{3}/")
    assert valid_prefix(matcher, list(b"abxa")) == 2
    assert valid_prefix(matcher, [256]) == 1
    assert valid_prefix(matcher, list(b"xa")) == 0
    assert valid_prefix(matcher, list(b"bbb")) == 3


class CountingEngine:
    """After a token comes the next number, most likely."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def compute(self, tokens: Sequence[int], cancelled: Callable[[], bool]) -> Any:
        self.asked.append(list(tokens))
        return None if cancelled() else np.eye(10, dtype=np.float32)[(tokens[-1] + 1) % 10] * 9


def test_a_model_drafts_what_it_would_write_itself_with_its_probabilities() -> None:
    engine = CountingEngine()
    draft = ModelDraft(engine, [1, 2])
    draft.extend([3])
    chain = draft_tokens(draft, limit=3)
    assert [g.token for g in chain] == [4, 5, 6]
    assert engine.asked == [[1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5]]
    expected = math.exp(9) / (math.exp(9) + 9)
    assert chain[0].confidence == pytest.approx(expected)


def test_a_model_whose_answer_was_cancelled_drafts_nothing() -> None:
    assert draft_tokens(ModelDraft(CountingEngine(), [1], lambda: True)) == []


def vocabulary(*pieces: bytes, bos: str = "<s>", ends: Sequence[int] = (0,)) -> Any:
    return SimpleNamespace(
        n_vocab=len(pieces),
        piece=lambda token, special: pieces[token],
        special_text=lambda kind: bos if kind == "bos" else "</s>",
        is_end=lambda token: token in ends,
    )


def test_a_draft_model_of_the_same_vocabulary_is_taken() -> None:
    check_same_vocabulary(vocabulary(b"</s>", b"a"), vocabulary(b"</s>", b"a"))


@pytest.mark.parametrize(
    ("draft", "says"),
    [
        (vocabulary(b"</s>", b"a", b"b"), "has 3 tokens and the model 2"),
        (vocabulary(b"</s>", b"b"), "2 tokens are as many as the model's but differ"),
        (vocabulary(b"</s>", b"a", ends=(0, 1)), "differ"),
        (vocabulary(b"</s>", b"a", bos="<bos>"), "bos token is '<bos>' and the model's '<s>'"),
    ],
)
def test_a_draft_model_of_another_vocabulary_is_refused_with_the_difference(draft: Any, says: str) -> None:
    with pytest.raises(ModelError, match=f"{says}.*choose a draft model"):
        check_same_vocabulary(vocabulary(b"</s>", b"a"), draft)
