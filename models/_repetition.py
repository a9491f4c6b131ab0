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
_LEAST_ROUNDS = 6


def next_of_round(answer: Sequence[int], *, least: int = _LEAST_TOKENS) -> int | None:
    """The token with which ``answer`` would go on repeating itself; ``None`` where it does not.

    It does if it ends with rounds of at most 32 tokens that are all the same: at least six of them, and
    ``least`` tokens together. No list of zeros that people ask for is as long as the default, 192.
    """
    for length in range(1, min(_LONGEST_ROUND, len(answer) // _LEAST_ROUNDS) + 1):
        n_tokens = max(least, _LEAST_ROUNDS * length)
        if n_tokens <= len(answer) and _is_round(answer, length, n_tokens):
            return answer[-length]
    return None


def is_stuck(answer: Sequence[int]) -> bool:
    """Whether a text does nothing but repeat itself for its last 96 tokens, so that no more is to come."""
    return next_of_round(answer, least=_LEAST_TOKENS_OF_TEXT) is not None


def _is_round(answer: Sequence[int], length: int, n_tokens: int) -> bool:
    """Whether each of the last ``n_tokens`` but the first round is the one ``length`` tokens before it."""
    end = len(answer)
    return all(answer[i] == answer[i - length] for i in range(end - 1, end - n_tokens + length - 1, -1))
