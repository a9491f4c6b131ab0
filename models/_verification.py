"""Which guesses of a draft stand, and what comes after them.

The tokens that stand are those that decoding one by one would have given, also with a temperature: the same
seed gives the same text. (Batches of different sizes may differ in the last bits of their logits, so at
ties within that noise the text may differ.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from plait.errors import GrammarError
from plait.models._drafts import DraftToken

Row = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class RandomChoice(Protocol):
    """What of numpy's generator is used."""

    def choice(self, a: int, *, p: npt.NDArray[np.float64]) -> Any:
        """One of 0 to ``a`` - 1, with these probabilities."""
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
    mask_at: Callable[[int], Mask | None],
    drafted: Sequence[int],
    temperature: float,
    random: RandomChoice,
) -> Verdict:
    """Decode over the guesses: go on as long as the model's own choice is the guess.

    For a guess that is certain about itself, as n-grams and a greedy draft model are, this is rejection
    sampling (arXiv 2211.17192): it stands with its probability p, and otherwise the token comes from the
    distribution without it. Here both are one draw of the model's own, so that the same seed gives
    the same text with drafts as without.

    Args:
        rows: row i are the logits, of shape (n_vocab,), for guess i; one more for what comes after all.
        mask_at: which tokens the grammar allows at row i, ``None`` for all. Called at most once for each i,
            in order, and for greedy decoding only where the most likely token is not the guess. The
            guesses are tokens that it allows.
        drafted: the guesses: only those, not tokens that the grammar forces between them.
        temperature: 0 is greedy.
        random: draws, where the temperature is above 0.

    Raises:
        GrammarError: a mask allows no token at all.
    """
    for i, row in enumerate(rows):
        guess = drafted[i] if i < len(drafted) else None
        token = _decide(row, i, mask_at, guess, temperature, random)
        if token != guess:
            return Verdict(i, token)
    return Verdict(len(drafted), None)


def _decide(
    row: Row,
    i: int,
    mask_at: Callable[[int], Mask | None],
    guess: int | None,
    temperature: float,
    random: RandomChoice,
) -> int:
    if temperature <= 0.0 and guess is not None and int(row.argmax()) == guess:
        return guess  # allowed, and the largest of all: so it is of those that are allowed
    mask = mask_at(i)
    if mask is not None:
        mask = mask[: len(row)]  # llguidance pads its masks to whole words
        if not mask.any():
            raise GrammarError("the grammar came to a dead end: it allows no token of this vocabulary")
        row = np.where(mask, row, np.float32(-np.inf))
    if temperature <= 0.0:
        return int(row.argmax())
    weights = np.exp(((row - row.max()) / temperature).astype(np.float64))
    return int(random.choice(len(weights), p=weights / weights.sum()))


class VerifyingEngine(Protocol):
    """What of an engine verification needs."""

    def decode(self, tokens: Sequence[int], logits_at: Sequence[int]) -> None:
        """Append ``tokens`` to the current sequence, computing logits at these places in the batch."""
        ...

    def logits_of(self, place: int) -> Row:
        """The logits after the token at that place of the last batch."""
        ...

    def forget(self, n_tokens: int) -> None:
        """Take the last ``n_tokens`` off the current sequence again."""
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
    engine: VerifyingEngine,
    matcher: Any,
    new: Sequence[int],
    drafted: Sequence[DraftToken],
    *,
    temperature: float,
    random: RandomChoice,
) -> Verified:
    """Decode ``new`` and the guesses behind them in one batch, and forget the guesses that fall.

    Args:
        engine: its current sequence ends before ``new``.
        matcher: llguidance's, which has consumed ``new``; ``None``: no grammar.
        new: at least one token that must be decoded anyway.
        drafted: from :func:`~plait.models._drafts.draft_tokens` with this matcher; may be empty.
        temperature: as for :func:`accept`.
        random: as for :func:`accept`.

    Raises:
        GrammarError: the grammar allows no token, or not the guesses.
        ModelError: the engine failed.
    """
    guesses = [token for guess in drafted for token in (guess.token, *guess.forced)]
    places = [len(new) - 1]
    for guess in drafted:
        places.append(places[-1] + len(guess))
    engine.decode([*new, *guesses], places)
    walk = _Walk(matcher, drafted)
    if walk.ends_answer():
        places.pop()
    rows = [engine.logits_of(place) for place in places]
    verdict = accept(rows, walk.mask_at, [guess.token for guess in drafted], temperature, random)
    walk.go_to(verdict.n_accepted)
    standing = sum(map(len, drafted[: verdict.n_accepted]))
    if standing < len(guesses):
        engine.forget(len(guesses) - standing)
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

    def mask_at(self, i: int) -> Mask | None:
        """The tokens that are allowed when ``i`` guesses stand."""
        if self._matcher is None:
            return None
        self.go_to(i)
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            raise GrammarError(f"the grammar came to a dead end: {self._matcher.get_error().strip()}")
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
                f"the grammar refuses what was guessed under it: {matcher.get_error().strip()}"
            )
        return True
