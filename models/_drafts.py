"""Drafts: guesses at the next tokens, which the model then verifies in one batch.

A draft guesses one token at a time, :func:`draft_tokens` makes a chain of the guesses. Under a grammar the
chain has only tokens that the grammar allows, and between them those that it forces, so that nothing is
verified that could not stand.

:class:`NGramDraft` is prompt lookup decoding (Saxena 2023): much of a plan stands in its prompt already.
Where prompt lookup copies a span, here each token is looked up anew, as REST (arXiv 2311.08252) does in a
data store, with the chances of prediction by partial matching (Cleary and Witten 1984).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from plait.errors import GrammarError
from plait.models._grammars import first_line_of_error

_UNSEEN = 0.3
_MEMORY_TOKENS = 4096
_MAX_CANDIDATES = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """A guess at the next token."""

    token: int
    confidence: float
    """The draft's own idea of the chance that it stands, 0 to 1; need not be calibrated."""


@dataclass(frozen=True, slots=True)
class DraftToken:
    """A guess in a chain, and the tokens that the grammar forces after it."""

    token: int
    confidence: float
    """As in :class:`Candidate`."""
    forced: tuple[int, ...] = ()
    """They stand if ``token`` does."""

    def __len__(self) -> int:
        """Tokens that it has in a batch."""
        return 1 + len(self.forced)


class Draft(Protocol):
    """Guesses how an answer goes on. One draft serves one answer."""

    def extend(self, tokens: Sequence[int]) -> None:
        """``tokens`` stand: they are what the answer goes on with."""
        ...

    def candidates(self, pending: Sequence[int]) -> Sequence[Candidate]:
        """What may come if the answer goes on with ``pending``, the likeliest first; empty: no idea."""
        ...


class NGramIndex:
    """Which tokens followed which n-grams in some texts, and how often.

    Adding a token takes constant time. An index that is only read may be shared between drafts.

    Args:
        min_ngram: length in tokens of the shortest context that is looked up.
        max_ngram: of the longest.
        word_of: makes tokens equal where they are context, by :func:`word_ids`; all differ by default.
    """

    def __init__(
        self, min_ngram: int = 2, max_ngram: int = 4, *, word_of: Sequence[int] | None = None
    ) -> None:
        if not 1 <= min_ngram <= max_ngram:
            raise ValueError(f"need 1 <= min_ngram <= max_ngram, not {min_ngram} and {max_ngram}")
        self.min_ngram = min_ngram
        self.max_ngram = max_ngram
        self._word_of = word_of
        self._recent: tuple[int, ...] = ()
        self._followers: dict[tuple[int, ...], dict[int, int]] = {}

    def add(self, tokens: Iterable[int]) -> None:
        """Add a text: no n-gram reaches from the one before it into this one."""
        self._recent = ()
        self.extend(tokens)

    def extend(self, tokens: Iterable[int]) -> None:
        """Add ``tokens`` to the end of the newest text."""
        for token in tokens:
            for n in range(self.min_ngram, len(self._recent) + 1):
                counts = self._followers.setdefault(self._recent[-n:], {})
                counts[token] = counts.pop(token, 0) + 1  # the newest is the last
            self._recent = (*self._recent, self._word(token))[-self.max_ngram :]

    def context(self, pending: Sequence[int]) -> tuple[int, ...]:
        """What tokens after the newest text and ``pending`` are looked up by."""
        words = tuple(self._word(token) for token in pending[-self.max_ngram :])
        return (*self._recent, *words)[-self.max_ngram :]

    def followers(self, words: tuple[int, ...]) -> dict[int, int]:
        """How often each token followed these words; the one seen last is the last."""
        return self._followers.get(words, {})

    def _word(self, token: int) -> int:
        return token if self._word_of is None else self._word_of[token]


def word_ids(pieces: Iterable[bytes]) -> list[int]:
    """For each token of a vocabulary the first that has its text but for case and a space before it.

    In a request stands " Tom Baker", in the plan "Tom Baker": in most vocabularies other tokens.
    """
    first: dict[bytes, int] = {}
    return [first.setdefault(piece.lower().removeprefix(b" ") or piece, i) for i, piece in enumerate(pieces)]


class AnswerMemory:
    """The last answers to similar prompts, as indexes for drafts: they have the structure of the next one.

    Args:
        max_tokens: about how many tokens of answers are kept, at least half of that.
        options: for :class:`NGramIndex`.
    """

    def __init__(self, max_tokens: int = _MEMORY_TOKENS, **options: Any) -> None:
        self._max_tokens = max_tokens
        self._options = options
        self._n_tokens = 0
        self.indexes: tuple[NGramIndex, ...] = (NGramIndex(**options),)
        """The newest first."""

    def add(self, tokens: Sequence[int]) -> None:
        """Add a complete answer."""
        if self._n_tokens and self._n_tokens + len(tokens) > self._max_tokens // 2:
            self.indexes = (NGramIndex(**self._options), self.indexes[0])
            self._n_tokens = 0
        self.indexes[0].add(tokens)
        self._n_tokens += len(tokens)


class PromptMemory:
    """The beginning that the last prompts share, indexed once: that takes milliseconds.

    Args:
        options: for :class:`NGramIndex`.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._last: list[int] = []
        self._shared: list[int] = []
        self._index: NGramIndex | None = None

    def split(self, prompt_tokens: Sequence[int]) -> tuple[tuple[NGramIndex, ...], list[int]]:
        """The index of the prompt's beginning, if prompts had that in common before, and its other tokens."""
        prompt = list(prompt_tokens)
        n = len(self._shared)
        if self._index is None or prompt[:n] != self._shared:
            n = _n_common(self._last, prompt)
            self._shared, self._index = prompt[:n], None
            if 2 * n >= len(prompt):
                self._index = NGramIndex(**self._options)
                self._index.add(self._shared)
        self._last = prompt
        if self._index is None:
            return (), prompt
        return (self._index,), prompt[n:]


def _n_common(a: Sequence[int], b: Sequence[int]) -> int:
    pairs = zip(a, b, strict=False)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


class NGramDraft:
    """Guesses what followed the same tokens before: in the request, examples, tools, the answer itself.

    Args:
        prompt_tokens: the prompt, or the part of it that is not in ``shared``; see :class:`PromptMemory`.
        min_ngram: length in tokens of the shortest context that is looked up.
        max_ngram: of the longest; longer contexts outweigh shorter ones.
        shared: indexes of other texts, such as :attr:`AnswerMemory.indexes`; only read.
        texts: further texts of this request, such as plans made earlier in the conversation.
        word_of: see :class:`NGramIndex`; those of ``shared`` must have the same.
    """

    def __init__(
        self,
        prompt_tokens: Sequence[int],
        min_ngram: int = 2,
        max_ngram: int = 4,
        *,
        shared: Sequence[NGramIndex] = (),
        texts: Iterable[Sequence[int]] = (),
        word_of: Sequence[int] | None = None,
    ) -> None:
        self._own = NGramIndex(min_ngram, max_ngram, word_of=word_of)
        for text in texts:
            self._own.add(text)
        self._own.add(prompt_tokens)
        self._layers = (self._own, *shared)

    def extend(self, tokens: Sequence[int]) -> None:
        """``tokens`` stand; from now on they are looked up, too."""
        self._own.extend(tokens)

    def candidates(self, pending: Sequence[int]) -> list[Candidate]:
        """What followed the last tokens, the likeliest first, the newest first of equally likely ones.

        Each length n of context in turn refines the chance that the shorter one gave:
        chance_n = (count + e chance_(n-1)) / (all counts + e), where e = (1 + different followers) / 2 is the
        weight of what was never seen here.
        """
        context = self._own.context(pending)
        chances: dict[int, float] = {}
        for n in range(self._own.min_ngram, len(context) + 1):
            counts = self._counts(context[-n:])
            if not counts:
                break
            escape = (1 + len(counts)) / 2
            scale = 1.0 / (sum(counts.values()) + escape)
            refined = {
                token: (count + escape * chances.get(token, _UNSEEN)) * scale
                for token, count in counts.items()
            }
            for token, chance in chances.items():
                refined.setdefault(token, escape * chance * scale)
            chances = refined
        best = sorted(chances.items(), key=lambda item: -item[1])[:_MAX_CANDIDATES]
        return [Candidate(token, chance) for token, chance in best]

    def _counts(self, words: tuple[int, ...]) -> dict[int, int]:
        counts: dict[int, int] = {}
        for index in self._layers:
            for token, count in reversed(index.followers(words).items()):
                counts[token] = counts.get(token, 0) + count
        return counts


def _as_it_says(confidence: float, position: int) -> float:
    return confidence


def _never(token: int) -> bool:
    return False


def draft_tokens(
    draft: Draft,
    matcher: Any = None,
    *,
    limit: int = 15,
    room: int = 1 << 30,
    chance: Callable[[float, int], float] = _as_it_says,
    least: float = 0.0,
    is_end: Callable[[int], bool] = _never,
) -> list[DraftToken]:
    """A chain of guesses behind what ``draft`` was told so far.

    Args:
        draft: makes the guesses.
        matcher: llguidance's, in the state behind the same tokens and with nothing forced there; it is
            left as it is. ``None``: no grammar.
        limit: guesses at most.
        room: tokens at most, forced ones included.
        chance: the chance that a guess of this confidence stands, and how many guesses come before it.
        least: ends the chain before the guess whose chance to be reached and stand is below this. The first
            guess is there in any case, to be compared with what comes.
        is_end: tokens that end the answer; they end the chain and are not in it, because to verify
            them takes the batch that would sample them.
    """
    guide = None if matcher is None else matcher.deep_copy()
    chain: list[DraftToken] = []
    pending: list[int] = []
    certainty = 1.0
    while len(chain) < limit and not (guide is not None and guide.is_stopped()):
        guess = _first_allowed(draft.candidates(pending), guide)
        if guess is None or is_end(guess.token):
            break
        certainty *= chance(guess.confidence, len(chain))
        if chain and certainty < least:
            break
        forced = () if guide is None else tuple(_forced_after(guess.token, guide))
        if len(pending) + 1 + len(forced) > room:
            break
        chain.append(DraftToken(guess.token, guess.confidence, forced))
        pending += (guess.token, *forced)
    return chain


def _first_allowed(candidates: Iterable[Candidate], guide: Any) -> Candidate | None:
    if guide is None:
        return next(iter(candidates), None)
    return next((c for c in candidates if guide.validate_tokens([c.token])), None)


def _forced_after(token: int, guide: Any) -> list[int]:
    guide.consume_token(token)
    forced: list[int] = [] if guide.is_stopped() else guide.compute_ff_tokens()
    if not guide.consume_tokens(forced):
        raise GrammarError(f"the grammar came to a dead end: {first_line_of_error(guide)}")
    return forced


def valid_prefix(matcher: Any, tokens: Sequence[int]) -> int:
    """How many of ``tokens``, from the first on, the grammar allows next; ``matcher`` is left as it is."""
    n: int = matcher.validate_tokens(list(tokens))
    return n
