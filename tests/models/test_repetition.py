from pathlib import Path

import numpy as np
import pytest

from plait.models import Grammar, LlamaModel, Message
from plait.models._repetition import RoundBreaker, is_stuck
from plait.models._verification import Verdict, accept

BEGINNING = [7, 8, 9]


def rounds(length: int, n_tokens: int) -> list[int]:
    return [100 + i % length for i in range(n_tokens)]


@pytest.mark.parametrize(("length", "n_tokens"), [(1, 192), (3, 192), (5, 192), (6, 96), (16, 96), (32, 192)])
def test_an_answer_that_goes_round_is_told_its_next_token(length: int, n_tokens: int) -> None:
    answer = rounds(length, n_tokens + 1)
    assert RoundBreaker().barred(BEGINNING + answer[:-1]) == {answer[-1]}


@pytest.mark.parametrize(
    ("length", "n_tokens"), [(1, 191), (5, 191), (6, 95), (16, 95), (17, 101), (32, 191), (33, 1000)]
)
def test_fewer_rounds_and_longer_ones_are_left_alone(length: int, n_tokens: int) -> None:
    assert RoundBreaker().barred(BEGINNING + rounds(length, n_tokens)) == frozenset()


def test_an_answer_that_has_left_its_round_is_left_alone() -> None:
    assert RoundBreaker().barred([*rounds(3, 300), 7]) == frozenset()
    assert RoundBreaker().barred([]) == frozenset()


def test_an_answer_that_goes_round_again_is_told_sooner_and_to_do_something_else() -> None:
    breaker, answer = RoundBreaker(), rounds(3, 192)
    assert breaker.barred(answer) == {100}
    answer = [*answer, 50]  # it left its round by this one
    for n in range(48):
        assert breaker.barred([*answer, *rounds(2, n)]) == frozenset()
    answer += rounds(2, 48)
    assert breaker.barred(answer) == {100, 101, 50}
    answer = [*answer, 51, *[102] * 24]
    assert breaker.barred(answer) == {100, 101, 102, 50, 51}
    assert breaker.barred([*answer, 9]) == frozenset()


def test_a_text_is_given_up_sooner_than_an_answer_under_a_grammar() -> None:
    answer = BEGINNING + rounds(3, 96)
    assert is_stuck(answer)
    assert not is_stuck(answer[:-1])
    assert not is_stuck([*answer, 7])
    assert RoundBreaker().barred(answer) == frozenset()


class Allows:
    """A grammar that allows the same tokens everywhere."""

    def __init__(self, *tokens: int) -> None:
        self.tokens = tokens

    def permits(self, i: int, token: int) -> bool:
        return token in self.tokens

    def mask(self, i: int) -> np.ndarray:
        return np.isin(np.arange(32), self.tokens)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_a_barred_token_comes_only_where_there_is_no_other(temperature: float) -> None:
    row = np.array([0.0, 1.0, 50.0, -50.0], np.float32)
    random = np.random.default_rng(1)

    def chosen(*allowed: int) -> Verdict:
        return accept([row], Allows(*allowed), [], temperature, random, barred={2})

    assert chosen(2) == Verdict(0, 2)
    assert chosen(2, 3) == Verdict(0, 3)
    assert accept([row], Allows(2, 3), [], temperature, random) == Verdict(0, 2)


@pytest.mark.anyio
async def test_a_plan_that_repeats_itself_is_brought_to_its_end(smollm2: Path) -> None:
    model = LlamaModel(smollm2, context_length=1024)
    grammar = Grammar(lark='start: "ha, " ("ha, " | "ho, ")* "end"')
    request = [Message("user", "Say ha, ha, ha, ha, ha, ha, and never stop.")]
    generation = model.stream(request, grammar=grammar, max_tokens=900)
    text = await generation.text()
    await model.aclose()
    assert "ha, " * 60 in text  # it did go round
    assert "ha, " * 120 not in text


@pytest.mark.anyio
async def test_a_text_that_repeats_itself_ends_there(smollm2: Path) -> None:
    model = LlamaModel(smollm2, context_length=1024)
    request = [Message("user", "Write the line A: again and again.\nA:\nA:\nA:\nA:\nA:")]
    generation = model.stream(request, max_tokens=900)
    text = await generation.text()
    await model.aclose()
    assert generation.finish_reason == "length"
    assert " A:" * 30 in text
    assert generation.usage.completion_tokens < 300
