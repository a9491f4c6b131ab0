"""Where an answer goes round in circles.

A small model that decodes greedily may write the same few tokens until its answer is cut off. Under a
grammar such an answer is worth nothing, since it cannot be parsed, so it has to leave the round; a text can
end there.
"""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST_ROUND = 32
_LEAST_TOKENS = 192
_LEAST_TOKENS_OF_TEXT = 96
_PHRASE = 6
"""Tokens of a round from which on it is one of words, not a list of zeros."""
_LEAST_ROUNDS = 6
_LEAST_TOKENS_AGAIN = 24
_LEAST_ROUNDS_AGAIN = 3


class RoundBreaker:
    """Leads one answer under a grammar out of its rounds.

    They are at least six, and 96 tokens together, or 192 where a round has less than six tokens: no list of
    zeros that people ask for is as long.

    The first time that the answer goes round, only the token that would go on with the round is barred. If it
    goes round again, it is told so sooner each time, and all tokens of its rounds and those by which it left
    earlier ones are barred: what is left in a text is mostly its end.
    """

    def __init__(self) -> None:
        self._least = _LEAST_TOKENS
        self._barred: set[int] = set()
        self._n_left = 0

    def barred(self, answer: Sequence[int]) -> frozenset[int]:
        """The tokens that ``answer`` should not go on with; none where it does not repeat itself."""
        is_first = not self._n_left
        n_rounds = _LEAST_ROUNDS if is_first else _LEAST_ROUNDS_AGAIN
        length = _round_at_end(answer, least=min(self._least, _LEAST_TOKENS_OF_TEXT), n_rounds=n_rounds)
        if length is None or (length < _PHRASE and not _is_round(answer, length, self._least)):
            return frozenset()
        if not is_first:
            self._barred |= {*answer[-length:], answer[self._n_left]}
        self._n_left = len(answer)
        self._least = max(_LEAST_TOKENS_AGAIN, self._least // 4)
        return frozenset({answer[-length]} if is_first else self._barred)


def is_stuck(answer: Sequence[int]) -> bool:
    """Whether a text does nothing but repeat itself for its last 96 tokens, so that no more is to come."""
    return _round_at_end(answer, least=_LEAST_TOKENS_OF_TEXT, n_rounds=_LEAST_ROUNDS) is not None


def _round_at_end(answer: Sequence[int], *, least: int, n_rounds: int) -> int | None:
    """How long the rounds are, of at most 32 tokens, that ``answer`` ends with and that are all the same.

    ``None`` where there are fewer than ``n_rounds``, or fewer than ``least`` tokens together.
    """
    for length in range(1, min(_LONGEST_ROUND, len(answer) // n_rounds) + 1):
        if _is_round(answer, length, max(least, n_rounds * length)):
            return length
    return None


def _is_round(answer: Sequence[int], length: int, n_tokens: int) -> bool:
    """Whether each of the last ``n_tokens`` but the first round is the one ``length`` tokens before it."""
    end = len(answer)
    return n_tokens <= end and all(
        answer[i] == answer[i - length] for i in range(end - 1, end - n_tokens + length - 1, -1)
    )
