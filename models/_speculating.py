"""Speculative decoding on one model: what drafts are made from, and how long they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from plait.models._batch_cost import BatchCost
from plait.models._drafts import (
    AnswerMemory,
    Draft,
    DraftToken,
    NGramDraft,
    PromptMemory,
    draft_tokens,
    word_ids,
)
from plait.models._model_draft import DraftEngine, ModelDraft
from plait.models._speculation import DraftLengthPolicy, SpeculationCounts

_MAX_TOKENS = 64  # of a chain of guesses, forced ones included


class Speculation(Protocol):
    """Makes the drafts of one answer after another."""

    def begin(self, prompt_tokens: Sequence[int], cancelled: Callable[[], bool]) -> AnswerDraft:
        """The draft of the answer to a prompt."""
        ...

    def remember(self, answer: Sequence[int]) -> None:
        """A complete answer."""
        ...

    @property
    def counts(self) -> SpeculationCounts:
        """What drafts did so far."""
        ...

    def close(self) -> None:
        """Free what drafts are made with."""
        ...


class AnswerDraft:
    """Guesses how one answer goes on, as far as that pays.

    Args:
        draft: makes the guesses.
        policy: says how many to verify, and learns from what comes of them.
        is_end: tokens that end an answer.
    """

    def __init__(self, draft: Draft, policy: DraftLengthPolicy, is_end: Callable[[int], bool]) -> None:
        self._draft = draft
        self._policy = policy
        self._is_end = is_end
        self._proposed: list[DraftToken] = []
        self._n_new = self._n_chosen = 0

    def extend(self, tokens: Sequence[int]) -> None:
        """``tokens`` stand."""
        self._draft.extend(tokens)

    def guesses(self, matcher: Any, n_new: int, room: int) -> list[DraftToken]:
        """What to verify behind ``n_new`` tokens, at most ``room`` tokens; often nothing."""
        policy = self._policy
        self._proposed = draft_tokens(
            self._draft,
            matcher,
            limit=policy.n_wanted,
            room=min(room, _MAX_TOKENS),
            chance=policy.chance,
            least=policy.least_chance,
            is_end=self._is_end,
        )
        self._n_new, self._n_chosen = n_new, policy.length(n_new, self._proposed)
        return self._proposed[: self._n_chosen]

    def learn(self, n_accepted: int, next_token: int | None) -> None:
        """What came of the last guesses."""
        self._policy.observe(self._n_new, self._proposed, self._n_chosen, n_accepted, next_token)


class NGramSpeculation:
    """Drafts from the prompt, the answer so far, and earlier answers of this model.

    Args:
        costs: of batches on this machine.
        pieces: the bytes of every token.
        is_end: tokens that end an answer.
    """

    def __init__(self, costs: BatchCost, pieces: Sequence[bytes], is_end: Callable[[int], bool]) -> None:
        self._word_of = word_ids(pieces)
        self._is_end = is_end
        self._policy = DraftLengthPolicy(costs)
        self._answers = AnswerMemory(word_of=self._word_of)
        self._prompts = PromptMemory(word_of=self._word_of)

    @property
    def counts(self) -> SpeculationCounts:
        """What it did so far."""
        return self._policy.counts

    def begin(self, prompt_tokens: Sequence[int], cancelled: Callable[[], bool]) -> AnswerDraft:
        """The draft of the answer to a prompt; n-grams need not be cancelled."""
        known, rest = self._prompts.split(prompt_tokens)
        draft = NGramDraft(rest, shared=(*self._answers.indexes, *known), word_of=self._word_of)
        return AnswerDraft(draft, self._policy, self._is_end)

    def remember(self, answer: Sequence[int]) -> None:
        """A complete answer: the next one may have its structure."""
        self._answers.add(answer)

    def close(self) -> None:
        """Nothing is to be freed."""


class ModelSpeculation:
    """Drafts from a smaller model.

    Args:
        costs: of batches of the large model.
        engine: the small model's.
        draft_token_s: seconds that it takes for a token.
        is_end: tokens that end an answer.
    """

    def __init__(
        self, costs: BatchCost, engine: DraftEngine, draft_token_s: float, is_end: Callable[[int], bool]
    ) -> None:
        self._engine = engine
        self._is_end = is_end
        self._policy = DraftLengthPolicy(costs, draft_token_s=draft_token_s)

    @property
    def counts(self) -> SpeculationCounts:
        """What it did so far."""
        return self._policy.counts

    def begin(self, prompt_tokens: Sequence[int], cancelled: Callable[[], bool]) -> AnswerDraft:
        """The draft of the answer to a prompt."""
        draft = ModelDraft(self._engine, prompt_tokens, cancelled)
        return AnswerDraft(draft, self._policy, self._is_end)

    def remember(self, answer: Sequence[int]) -> None:
        """A model learns nothing from an answer."""

    def close(self) -> None:
        """Free the small model."""
        self._engine.close()
