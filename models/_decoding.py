"""The decode loop of one answer: what to compute next, and what comes of it.

Tokens that the grammar forces are appended in the same batch as the token before them, unsampled, and behind
them what a draft guesses, where that pays.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from plait.errors import GrammarError
from plait.models._batching import Lane, Step, Steps
from plait.models._generation import StopTexts
from plait.models._grammars import first_line_of_error
from plait.models._repetition import RoundBreaker, is_stuck
from plait.models._speculating import AnswerDraft, Speculation
from plait.models._types import FinishReason, Generation
from plait.models._verification import choose, verify
from plait.models._vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an answer answers."""

    tokens: list[int]
    """All of it."""
    beginnings: Sequence[Sequence[int]] = ()
    """The first of them, as far as they are the same in other requests: in all, then for a while."""


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """How an answer is decoded."""

    max_tokens: int
    """At most so many, forced ones included."""
    temperature: float
    """0 is greedy."""
    seed: int | None
    """For drawing; ``None`` draws differently each time."""
    stop: tuple[str, ...]
    """Texts that end the answer."""
    keeps_control_tokens: bool
    """Whether the text has control tokens in it, as where calls are read from it."""


class Decoding:
    """One answer; a request to the :class:`~plait.models._batching.Batcher`.

    Args:
        vocabulary: the model's.
        prompt: what is answered.
        options: how.
        matcher: llguidance's, or ``None`` for no grammar. Where it is not there yet, the prompt is
            computed in the meantime.
        speculation: makes drafts, for requests that run alone; ``None``: none are made.
        generation: is filled in.
        put: is given the text, then ``None``, or the error.
        is_cancelled: asked between batches.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        prompt: Prompt,
        options: DecodingOptions,
        matcher: Future[Any],
        speculation: Speculation | None,
        generation: Generation,
        put: Callable[[str | Exception | None], None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        self.beginnings = prompt.beginnings
        self.is_cancelled = is_cancelled
        self._vocabulary = vocabulary
        self._prompt = prompt.tokens
        self._options = options
        self._future_matcher = matcher
        self._matcher: Any = None
        self._speculation = speculation
        self._draft: AnswerDraft | None = None
        self._generation = generation
        self._usage = generation.usage
        self._put = put
        self._random = np.random.default_rng(options.seed)
        self._stop = StopTexts(options.stop)
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._answer: list[int] = []
        self._rounds = RoundBreaker()
        self._began = time.perf_counter()

    def finish(self, error: Exception | None) -> None:
        """Hand over the last of the text, and the end or the error."""
        if error is not None:
            self._generation.finish_reason = None
        elif self._generation.finish_reason != "cancelled" and not self._stop.found:
            rest = self._stop.feed(self._text.decode(b"", final=True)) + self._stop.flush()
            if rest:
                self._put(rest)
        self._put(error)

    def steps(self, lane: Lane) -> Steps:
        """Prefill and decode to the end; fills in the generation and hands text over as it comes."""
        reason: FinishReason = "cancelled"  # unless it comes to its end
        self._usage.prompt_tokens = len(self._prompt)
        try:
            token = yield from self._prefill(lane)
            while token is not None and not self._vocabulary.is_end(token):
                token = yield from self._go_on(lane, token)
            is_cut = token is None and not self._is_complete
            reason = "length" if is_cut else "stop"
            self._remember()
        finally:
            self._generation.finish_reason = reason
            took = time.perf_counter() - self._began
            self._usage.prefill_s = self._usage.prefill_s or took
            self._usage.decode_s = took - self._usage.prefill_s

    def _prefill(self, lane: Lane) -> Any:
        """Compute the prompt; gives the first token after it that is not forced, ``None`` at the end."""
        forced: list[int] = []
        if self._future_matcher.done():
            forced = self._begin_grammar()
        [row] = yield _with_last(self._prompt + forced)
        self._usage.cached_tokens = min(lane.n_cached, len(self._prompt))
        self._usage.restored_tokens = min(lane.n_restored, self._usage.cached_tokens)
        if self._matcher is None and (late := self._begin_grammar()):
            forced = late
            [row] = yield _with_last(late)
        self._usage.prefill_s = time.perf_counter() - self._began
        self._append(forced, n_forced=len(forced))
        return None if self._has_ended() else self._choose(row)

    def _begin_grammar(self) -> list[int]:
        """Wait for the grammar; returns the tokens that it begins with."""
        self._matcher = self._future_matcher.result()
        return self._forced(self._options.max_tokens)

    def _go_on(self, lane: Lane, token: int) -> Any:
        """Append ``token`` and what follows from it; gives the next that is neither forced nor guessed."""
        self._consume(token)
        forced = self._forced(self._n_left - 1)
        new = [token, *forced]
        self._append(new, n_forced=len(forced))
        if self._has_ended():
            return None
        barred = frozenset[int]() if self._matcher is None else self._rounds.barred(self._answer)
        draft = None if barred else self._draft_for(lane)
        guesses = [] if draft is None else draft.guesses(self._matcher, len(new), self._n_left - 1)
        verified = yield from verify(
            lane,
            self._matcher,
            new,
            guesses,
            temperature=self._options.temperature,
            random=self._random,
            barred=barred,
        )
        if draft is not None:
            draft.learn(verified.n_accepted, verified.next_token)
        self._usage.draft_tokens += len(guesses)
        self._usage.accepted_tokens += verified.n_accepted
        self._append(verified.tokens, n_forced=len(verified.tokens) - verified.n_accepted)
        return None if self._has_ended() else verified.next_token

    def _draft_for(self, lane: Lane) -> AnswerDraft | None:
        """The draft, in the state behind the answer so far; none beside other requests.

        What guesses cost in a batch that others share is not known, so none are made then.
        """
        if self._speculation is None or not lane.is_alone:
            self._draft = None
            return None
        if self._draft is None:
            self._draft = self._speculation.begin(self._prompt, self.is_cancelled)
            self._draft.extend(self._answer)
        return self._draft

    def _remember(self) -> None:
        if self._speculation is not None:
            self._speculation.remember(self._answer)

    @property
    def _n_left(self) -> int:
        return self._options.max_tokens - len(self._answer)

    @property
    def _is_complete(self) -> bool:
        """Whether the answer can have no further token."""
        return self._stop.found or (self._matcher is not None and self._matcher.is_stopped())

    def _has_ended(self) -> bool:
        is_stuck_text = self._matcher is None and is_stuck(self._answer)
        return self._is_complete or self._n_left <= 0 or is_stuck_text

    def _append(self, tokens: Sequence[int], *, n_forced: int) -> None:
        """``tokens`` stand: count them, and hand over their text."""
        if not tokens:
            return
        self._answer += tokens
        self._usage.completion_tokens += len(tokens)
        self._usage.forced_tokens += n_forced
        if self._draft is not None:
            self._draft.extend(tokens)
        special = self._options.keeps_control_tokens
        data = b"".join(self._vocabulary.piece(token, special=special) for token in tokens)
        text = self._stop.feed(self._text.decode(data))
        if text:
            self._put(text)

    def _forced(self, limit: int) -> list[int]:
        """The tokens that the grammar leaves no choice about, consumed, at most ``limit``."""
        if self._matcher is None or limit <= 0 or self._matcher.is_stopped():
            return []
        tokens: list[int] = self._matcher.compute_ff_tokens()[:limit]
        for token in tokens:
            self._consume(token)
        return tokens

    def _consume(self, token: int) -> None:
        if self._matcher is not None and not self._matcher.consume_token(token):
            raise GrammarError(f"the grammar came to a dead end: {first_line_of_error(self._matcher)}")

    def _choose(self, row: Any) -> int:
        return choose(row, self._matcher, self._options.temperature, self._random)


def _with_last(tokens: Sequence[int]) -> Step:
    """A step of which only the last logits are wanted."""
    return Step(tokens, [len(tokens) - 1])
