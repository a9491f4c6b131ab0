"""Which guesses of a draft stand, and what comes after them.

The tokens that stand are those that decoding one by one would have given, also with a temperature: the same
seed gives the same text. (Batches of different sizes may differ in the last bits of their logits, so at
ties within that noise the text may differ.)
"""

from __future__ import annotations

from collections.abc import Generator, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from plait.errors import GrammarError
from plait.models._batching import Step
from plait.models._drafts import DraftToken
from plait.models._grammars import first_line_of_error

Row = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class RandomChoice(Protocol):
    """What of numpy's generator is used."""

    def choice(self, a: int, *, p: npt.NDArray[np.float64]) -> Any:
        """One of 0 to ``a`` - 1, with these probabilities."""
        ...


class Rules(Protocol):
    """What a grammar allows behind each of some guesses; asked in the order of the guesses."""

    def permits(self, i: int, token: int) -> bool:
        """Whether ``token`` may come when ``i`` guesses stand; a wrong no costs only time."""
        ...

    def mask(self, i: int) -> Mask | None:
        """All tokens that may come when ``i`` guesses stand; ``None``: any."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which guesses stand, and what comes after them."""

    n_accepted: int
    """Guesses that stand, from the first on."""
    next_token: int | None
    """The token after them; ``None`` if all stand and no logits for what comes after them were given."""


def accept(
    rows: Sequence[Row],
    rules: Rules,
    drafted: Sequence[int],
    temperature: float,
    random: RandomChoice,
    barred: Set[int] = frozenset(),
) -> Verdict:
    """Decode over the guesses: go on as long as the model's own choice is the guess.

    For a guess that is certain about itself, as n-grams and a greedy draft model are, this is rejection
    sampling (arXiv 2211.17192): it stands with its probability p, and otherwise the token comes from the
    distribution without it. Here both are one draw of the model's own, so that the same seed gives
    the same text with drafts as without.

    Args:
        rows: row i are the logits, of shape (n_vocab,), for guess i; one more for what comes after all.
        rules: which tokens are allowed at row i. For greedy decoding the mask, which takes ten times as
            long as one token, is asked for only where the most likely token is not allowed.
        drafted: the guesses: only those, not tokens that the grammar forces between them. They are allowed.
        temperature: 0 is greedy.
        random: draws, where the temperature is above 0.
        barred: tokens that are not wanted at the first row, where there are others.

    Raises:
        GrammarError: a mask allows no token at all.
    """
    for i, row in enumerate(rows):
        guess = drafted[i] if i < len(drafted) else None
        token = _decide(row, i, rules, guess, temperature, random, barred if i == 0 else frozenset())
        if token != guess:
            return Verdict(i, token)
    return Verdict(len(drafted), None)


def _decide(
    row: Row,
    i: int,
    rules: Rules,
    guess: int | None,
    temperature: float,
    random: RandomChoice,
    barred: Set[int] = frozenset(),
) -> int:
    if temperature <= 0.0:
        likeliest = int(row.argmax())
        if likeliest not in barred and (likeliest == guess or rules.permits(i, likeliest)):
            return likeliest  # the largest of all, so of those that are allowed
    mask = rules.mask(i)
    if mask is not None:
        mask = mask[: len(row)]  # llguidance pads its masks to whole words
        if not mask.any():
            raise GrammarError("the grammar came to a dead end: it allows no token of this vocabulary")
        if barred:
            without = mask.copy()
            without[list(barred)] = False
            mask = without if without.any() else mask
        row = np.where(mask, row, np.float32(-np.inf))
    if temperature <= 0.0:
        return int(row.argmax())
    weights = np.exp(((row - row.max()) / temperature).astype(np.float64))
    return int(random.choice(len(weights), p=weights / weights.sum()))


def choose(row: Row, matcher: Any, temperature: float, random: RandomChoice) -> int:
    """The token that comes next by its logits, shape (n_vocab,), and the grammar.

    Raises:
        GrammarError: the grammar allows no token.
    """
    return _decide(row, 0, _Walk(matcher, ()), None, temperature, random)


class Forgetful(Protocol):
    """What of a request's lane verification needs."""

    def forget(self, n_tokens: int) -> None:
        """Take the last ``n_tokens`` off the sequence again."""
        ...


@dataclass(frozen=True, slots=True)
class Verified:
    """What one batch gave."""

    tokens: tuple[int, ...]
    """The guesses that stand with the tokens forced after them: in the cache and consumed by the matcher."""
    n_accepted: int
    """How many guesses that are."""
    next_token: int | None
    """The token after them, not yet decoded nor consumed; ``None`` where the grammar ends the answer."""


def verify(
    lane: Forgetful,
    matcher: Any,
    new: Sequence[int],
    drafted: Sequence[DraftToken],
    *,
    temperature: float,
    random: RandomChoice,
    barred: Set[int] = frozenset(),
) -> Generator[Step, list[Row], Verified]:
    """Decode ``new`` and the guesses behind them in one step, and forget the guesses that fall.

    Args:
        lane: its sequence ends before ``new``.
        matcher: llguidance's, which has consumed ``new``; ``None``: no grammar.
        new: at least one token that must be decoded anyway.
        drafted: from :func:`~plait.models._drafts.draft_tokens` with this matcher; may be empty.
        temperature: as for :func:`accept`.
        random: as for :func:`accept`.
        barred: as for :func:`accept`.

    Raises:
        GrammarError: the grammar allows no token, or not the guesses.
    """
    guesses = [token for guess in drafted for token in (guess.token, *guess.forced)]
    places = [len(new) - 1]
    for guess in drafted:
        places.append(places[-1] + len(guess))
    walk = _Walk(matcher, drafted)
    if walk.ends_answer():
        places.pop()
    rows = yield Step([*new, *guesses], places)
    verdict = accept(rows, walk, [guess.token for guess in drafted], temperature, random, barred)
    walk.go_to(verdict.n_accepted)
    standing = sum(map(len, drafted[: verdict.n_accepted]))
    if standing < len(guesses):
        lane.forget(len(guesses) - standing)
    return Verified(tuple(guesses[:standing]), verdict.n_accepted, verdict.next_token)


class _Walk:
    """The matcher on its way over guesses: never further than what stands, so it never has to go back."""

    def __init__(self, matcher: Any, drafted: Sequence[DraftToken]) -> None:
        self._matcher = matcher
        self._drafted = drafted
        self._n_consumed = 0

    def ends_answer(self) -> bool:
        """Whether the answer is complete if all guesses stand."""
        if self._matcher is None or not self._drafted:
            return False
        ahead = self._matcher.deep_copy()
        return self._consume(ahead, self._drafted) and bool(ahead.is_stopped())

    def permits(self, i: int, token: int) -> bool:
        """Whether ``token`` may come when ``i`` guesses stand."""
        if self._matcher is None:
            return True
        self.go_to(i)
        return bool(self._matcher.validate_tokens([token]))

    def mask(self, i: int) -> Mask | None:
        """The tokens that are allowed when ``i`` guesses stand."""
        if self._matcher is None:
            return None
        self.go_to(i)
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            raise GrammarError(f"the grammar came to a dead end: {first_line_of_error(self._matcher)}")
        return np.unpackbits(bits, bitorder="little").view(np.bool_)

    def go_to(self, i: int) -> None:
        """Consume the guesses before ``i``."""
        if self._matcher is not None:
            self._consume(self._matcher, self._drafted[self._n_consumed : i])
        self._n_consumed = i

    def _consume(self, matcher: Any, guesses: Sequence[DraftToken]) -> bool:
        tokens = [token for guess in guesses for token in (guess.token, *guess.forced)]
        if not matcher.consume_tokens(tokens):
            raise GrammarError(
                f"the grammar refuses what was guessed under it: {first_line_of_error(matcher)}"
            )
        return True
