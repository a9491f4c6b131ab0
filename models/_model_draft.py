"""A small model of the same vocabulary as a draft for a larger one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from plait.errors import ModelError
from plait.models._drafts import Candidate
from plait.models._vocabulary import Vocabulary

_MAX_CANDIDATES = 8


class DraftEngine(Protocol):
    """What of an engine a draft model needs."""

    def compute(self, tokens: Sequence[int], cancelled: Callable[[], bool]) -> npt.NDArray[np.float32] | None:
        """The logits after ``tokens``, shape (n_vocab,); ``None`` if it was cancelled on the way."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


class ModelDraft:
    """Guesses what a smaller model would write. It computes only what no earlier guess computed.

    Args:
        engine: the small model's, with a vocabulary that :func:`check_same_vocabulary` found equal. Whoever
            drafts holds its lock.
        prompt_tokens: the whole prompt.
        cancelled: asked between the batches of the prompt; once it is true there are no more guesses.
    """

    def __init__(
        self, engine: DraftEngine, prompt_tokens: Sequence[int], cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        self._engine = engine
        self._tokens = list(prompt_tokens)
        self._cancelled = cancelled

    def extend(self, tokens: Sequence[int]) -> None:
        """``tokens`` stand; what was computed behind other guesses is forgotten at the next guess."""
        self._tokens += tokens

    def candidates(self, pending: Sequence[int]) -> list[Candidate]:
        """The small model's likeliest tokens; the confidence is its probability."""
        row = self._engine.compute([*self._tokens, *pending], self._cancelled)
        if row is None:
            return []
        logits = row.astype(np.float64)
        weights = np.exp(logits - logits.max())
        n = min(_MAX_CANDIDATES, len(weights))
        best = np.argpartition(-weights, n - 1)[:n]
        best = best[np.argsort(-weights[best], kind="stable")]
        total = weights.sum()
        return [Candidate(int(token), float(weights[token] / total)) for token in best]


def vocabulary_fingerprint(engine: Vocabulary) -> str:
    """A hash of all tokens' bytes and of which end an answer; takes up to a second for 150,000 tokens."""
    digest = hashlib.sha256()
    for token in range(engine.n_vocab):
        piece = engine.piece(token, special=True)
        digest.update(len(piece).to_bytes(4, "little") + piece + (b"\1" if engine.is_end(token) else b"\0"))
    return digest.hexdigest()


def check_same_vocabulary(model: Vocabulary, draft: Vocabulary) -> None:
    """Check that the draft's tokens mean the same as the model's.

    Raises:
        ModelError: they do not; the message says in what they differ.
    """
    fix = "choose a draft model of the same family, or the same model at a lower quantization"
    if model.n_vocab != draft.n_vocab:
        raise ModelError(
            f"the draft model has {draft.n_vocab} tokens and the model {model.n_vocab}, so its guesses mean "
            f"something else; {fix}"
        )
    for kind in ("bos", "eos"):
        theirs, ours = draft.special_text(kind), model.special_text(kind)
        if theirs != ours:
            raise ModelError(f"the draft model's {kind} token is {theirs!r} and the model's {ours!r}; {fix}")
    if vocabulary_fingerprint(model) != vocabulary_fingerprint(draft):
        raise ModelError(
            f"the draft model's {draft.n_vocab} tokens are as many as the model's but differ from them; {fix}"
        )
