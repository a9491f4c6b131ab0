"""How long drafts should be.

Speculative decoding (Leviathan et al., arXiv 2211.17192) verifies k guesses in one batch of 1 + k tokens.
It pays where expected tokens per second, (1 + sum of P_i) / cost(1 + k), are more than 1 / cost(1), P_i being
the chance that guesses 1 to i all stand. On a CPU a batch of two costs nearly twice one token, so the length
is chosen each time from measured costs and from how often guesses of this confidence stood lately.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from plait.models._batch_cost import BatchCost
from plait.models._drafts import DraftToken

MAX_DRAFT = 15
LOSS_SHARE = 0.01
"""The share of the decoding time that drafts may lose in the long run, and trials of costly ones, too."""

_BUCKET_EDGES = (0.3, 0.5, 0.7, 0.85, 0.93, 0.97, 0.99)
_PRIOR_STRENGTH = 4.0
_DECAY = 0.99
_START_STEPS = 8
_MAX_STEPS = 16


@dataclass(slots=True)
class _Bucket:
    """How guesses of similar confidence fared, the older the less it counts."""

    stood: float
    fell: float

    @property
    def chance(self) -> float:
        return self.stood / (self.stood + self.fell)

    def add(self, *, stood: bool) -> None:
        self.stood = self.stood * _DECAY + stood
        self.fell = self.fell * _DECAY + (not stood)


@dataclass(slots=True)
class SpeculationCounts:
    """What speculation did so far; times by the measured costs of batches."""

    steps: int = 0
    """Batches decoded, with drafts or without."""
    drafted: int = 0
    """Guesses verified."""
    accepted: int = 0
    """Of them, those that stood."""
    spent_s: float = 0.0
    """Seconds by which drafts made batches longer."""
    saved_s: float = 0.0
    """Seconds of the batches that accepted guesses made unnecessary."""


class DraftLengthPolicy:
    """Chooses how many guesses to verify: as many as give the most tokens a second, down to none.

    A batch of m new tokens that must be decoded anyway becomes longer by the first k guesses where this is
    largest and positive, n_i being the tokens of guess i with those that the grammar forces after it:

        pace * sum over i of P_i cost(n_i)  -  (cost(m + n_1 + ... + n_k) - cost(m))

    A guess that stands saves the batch that it would have had; ``pace`` is what that batch would take as
    decoding goes now, that is with drafts, over what it takes without. With m = n_i = 1 this chooses the k
    of the largest (1 + sum of P_i) / cost(1 + k), by Dinkelbach's method for ratios; with forced tokens
    that ratio would compare batches of different sizes.

    The chance that a guess stands is estimated from the last hundred or so of similar confidence, apart for
    those after a right guess, with a Beta prior around the square of the confidence, because n-grams believe
    too much. Where no guess is verified, the first is still compared with the token that the model chose:
    that costs nothing, so n-grams never have to be tried.

    Speculation does not make decoding slower. Guesses are verified on account of what earlier ones saved:
    in all, losses never exceed 1 % of the decoding time and a few single tokens' time (8 at the start; 16
    after as much was won). A draft that takes time itself and does not pay is asked for one guess now and
    then, in at most another 1 % of the time.

    Args:
        costs: of batches on this machine.
        draft_token_s: seconds that a guess takes; nothing for n-grams.
    """

    def __init__(self, costs: BatchCost, *, draft_token_s: float = 0.0) -> None:
        self._costs = costs
        self._draft_token_s = draft_token_s
        self._buckets = {after_right: _fresh_buckets() for after_right in (False, True)}
        self._any = _Bucket(_PRIOR_STRENGTH, 0.0)  # a draft that takes time is given a chance
        self._was_right = False
        self._won_s = _START_STEPS * costs(1)
        self._trial_s = 0.0
        self._taken_s = self._plain_s = 0.0
        self.counts = SpeculationCounts()

    @property
    def least_chance(self) -> float:
        """A guess that stands less often pays in no batch, so it need not be made."""
        return (self._costs.least_slope + self._draft_token_s) / self._costs(1)

    @property
    def pace(self) -> float:
        """Time lately over what it would have been without drafts, by the costs of batches; at most 1."""
        return min(1.0, self._taken_s / self._plain_s) if self._plain_s else 1.0

    @property
    def n_wanted(self) -> int:
        """How many guesses to make, 0 to 15: fewer only where guesses take time and do not pay."""
        if not self._draft_token_s:
            return MAX_DRAFT
        worth, certainty = 0.0, 1.0
        for k in range(1, MAX_DRAFT + 1):
            certainty *= self._any.chance
            worth += self.pace * certainty * self._costs(1)
            if worth > self._extra(1, k) + k * self._draft_token_s:
                affordable = int(self._won_s / self._draft_token_s)
                if affordable > 0:
                    return min(affordable, MAX_DRAFT)
                break
        return 1 if self._trial_s >= self._draft_token_s else 0

    def chance(self, confidence: float, position: int = 0) -> float:
        """How likely a guess of this confidence is to stand, if the ``position`` guesses before it do."""
        return self._bucket(confidence, position).chance

    def length(self, n_new: int, proposed: Sequence[DraftToken]) -> int:
        """How many of the guesses, from the first on, to verify behind ``n_new`` tokens: 0 to 15."""
        best, best_gain, certainty, worth, n_tokens = 0, 0.0, 1.0, 0.0, 0
        pace, credit = self.pace, self._won_s - len(proposed) * self._draft_token_s
        for i, guess in enumerate(proposed[:MAX_DRAFT]):
            certainty *= self.chance(guess.confidence, i)
            worth += pace * certainty * self._costs(len(guess))
            n_tokens += len(guess)
            extra = self._extra(n_new, n_tokens)
            if worth - extra > best_gain and extra <= credit:
                best, best_gain = i + 1, worth - extra
        return best

    def observe(
        self,
        n_new: int,
        proposed: Sequence[DraftToken],
        n_verified: int,
        n_accepted: int,
        next_token: int | None,
    ) -> None:
        """Learn from a batch; to be called after every one, also one without guesses.

        Args:
            n_new: tokens that were decoded anyway.
            proposed: all guesses that were made.
            n_verified: how many of them were in the batch.
            n_accepted: how many of those stood.
            next_token: what the model chose after them; ``None`` where the answer ended.
        """
        self._learn(proposed, n_accepted, next_token)
        spent = self._extra(n_new, sum(map(len, proposed[:n_verified])))
        drafting = len(proposed) * self._draft_token_s
        saved = sum(self._costs(len(guess)) for guess in proposed[:n_accepted])
        plain = self._costs(n_new)
        self._taken_s = self._taken_s * _DECAY + plain + spent + drafting
        self._plain_s = self._plain_s * _DECAY + plain + saved
        self._keep_accounts(plain, spent, drafting, saved)
        self.counts.steps += 1
        self.counts.drafted += n_verified
        self.counts.accepted += n_accepted
        self.counts.spent_s += spent + drafting
        self.counts.saved_s += saved

    def _learn(self, proposed: Sequence[DraftToken], n_accepted: int, next_token: int | None) -> None:
        for i, guess in enumerate(proposed[:n_accepted]):
            self._bucket(guess.confidence, i).add(stood=True)
            self._any.add(stood=True)
        right = n_accepted > 0
        if next_token is not None:
            # The first guess that fell or was not verified: the model's choice in its place is known.
            tested = proposed[n_accepted : n_accepted + 1]
            right = any(guess.token == next_token for guess in tested)
            for guess in tested:
                self._bucket(guess.confidence, n_accepted).add(stood=right)
                self._any.add(stood=right)
        self._was_right = right

    def _keep_accounts(self, plain: float, spent: float, drafting: float, saved: float) -> None:
        most = _MAX_STEPS * self._costs(1)
        trial = min(drafting, self._trial_s) if not spent else 0.0
        self._trial_s = min(self._trial_s + LOSS_SHARE * plain, most) - trial
        self._won_s = min(self._won_s + saved - spent - drafting + trial + LOSS_SHARE * plain, most)

    def _extra(self, n_new: int, n_tokens: int) -> float:
        return self._costs(n_new + n_tokens) - self._costs(n_new)

    def _bucket(self, confidence: float, position: int) -> _Bucket:
        after_right = position > 0 or self._was_right
        return self._buckets[after_right][bisect.bisect_right(_BUCKET_EDGES, confidence)]


def _fresh_buckets() -> list[_Bucket]:
    middles = [(low + high) / 2 for low, high in itertools.pairwise((0.0, *_BUCKET_EDGES, 1.0))]
    return [_Bucket(_PRIOR_STRENGTH * p**2, _PRIOR_STRENGTH * (1 - p**2)) for p in middles]
