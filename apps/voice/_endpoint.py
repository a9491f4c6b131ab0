"""Where what somebody says begins and ends. All times are counted in samples, none is measured."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from plait.apps.voice._audio import SAMPLE_RATE, Samples


@dataclass(frozen=True, slots=True)
class Timing:
    """When something counts as said. In samples at ``SAMPLE_RATE``; probabilities from 0 to 1."""

    threshold: float = 0.5
    """A frame with at least this probability has speech."""
    release: float = 0.35
    """Within speech, a frame with at least this probability still has it."""
    min_speech_samples: int = SAMPLE_RATE // 5
    """Speech that is shorter is a noise and forgotten."""
    end_silence_samples: int = SAMPLE_RATE * 7 // 10
    """A pause of this length ends what is said."""
    early_silence_samples: int = SAMPLE_RATE * 3 // 10
    """After a pause of this length it is likely enough to be the end that recognition may begin."""
    lead_samples: int = SAMPLE_RATE * 3 // 10
    """So much from before the first speech belongs to what is said; soft beginnings are in it."""
    trail_samples: int = SAMPLE_RATE // 5
    """So much from after the last speech belongs to what is said."""
    max_samples: int = SAMPLE_RATE * 28
    """What is said is cut off here; recognition hears 30 s at a time."""
    patience_samples: int | None = SAMPLE_RATE * 6
    """If no speech has begun after so long, nobody is going to speak; ``None`` waits for ever."""


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """What somebody said. Positions are samples since listening began."""

    samples: Samples
    """The sound, with a little of what was before and after."""
    speech_start: int
    """Where the first frame with speech begins."""
    speech_end: int
    """Where the last frame with speech ends."""
    decided_at: int
    """How much had been heard when it was known to have ended."""
    is_cut: bool = False
    """Whether it was cut off for its length."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody has spoken, as long as patience lasted."""

    decided_at: int


Outcome: TypeAlias = Utterance | Silence


class Endpointer:
    """Listens for one utterance, frame by frame.

    Speech begins with a frame at ``threshold``, goes on while frames stay at ``release``, and ends with
    ``end_silence_samples`` of frames below it. Only when it had ``min_speech_samples`` of speech in all is
    it an utterance; else it is forgotten.
    """

    def __init__(self, timing: Timing | None = None) -> None:
        self._timing = timing or Timing()
        self._n_heard = 0
        self._before: deque[Samples] = deque()
        self._n_before = 0
        self._said: list[Samples] = []
        self._n_lead = 0
        self._start = 0
        self._end = 0
        self._n_speech = 0
        self._n_last = 0

    @property
    def has_begun(self) -> bool:
        """Whether enough has been said for an utterance."""
        return bool(self._said) and self._n_speech >= self._timing.min_speech_samples

    def push(self, frame: Samples, probability: float) -> Outcome | None:
        """Hear the next frame; what it ends, if it ends something."""
        begin = self._n_heard
        self._n_last = len(frame)
        self._n_heard += len(frame)
        if not self._said:
            return self._wait(frame, probability, begin)
        self._said.append(frame)
        if probability >= self._timing.release:
            self._n_speech += len(frame)
            self._end = self._n_heard
        if self._n_heard - self._end >= self._timing.end_silence_samples:
            if self.has_begun:
                return self._utterance(is_cut=False)
            self._forget()
        elif self._n_heard - self._start >= self._timing.max_samples:
            return self._utterance(is_cut=True)
        return None

    def pausing(self) -> Utterance | None:
        """What was said so far, once in a pause: with the frame that makes it ``early_silence_samples`` long.

        Where nothing more is said, the utterance that the pause ends has the same samples.
        """
        early = max(self._timing.early_silence_samples, self._timing.trail_samples)
        pause = self._n_heard - self._end
        is_now = self.has_begun and pause - self._n_last < early <= pause
        return self._utterance(is_cut=False) if is_now else None

    def finish(self) -> Outcome:
        """What was said so far, where the speaker says that it is all."""
        return self._utterance(is_cut=False) if self.has_begun else Silence(self._n_heard)

    def _wait(self, frame: Samples, probability: float, begin: int) -> Outcome | None:
        if probability >= self._timing.threshold:
            self._n_lead = self._n_before
            self._said = [*self._before, frame]
            self._start, self._end, self._n_speech = begin, self._n_heard, len(frame)
            return None
        self._keep_before(frame)
        patience = self._timing.patience_samples
        return Silence(self._n_heard) if patience is not None and self._n_heard >= patience else None

    def _keep_before(self, frame: Samples) -> None:
        self._before.append(frame)
        self._n_before += len(frame)
        while self._before and self._n_before - len(self._before[0]) >= self._timing.lead_samples:
            self._n_before -= len(self._before.popleft())

    def _forget(self) -> None:
        said, self._said, self._n_speech = self._said, [], 0
        self._before.clear()
        self._n_before = 0
        for frame in said:
            self._keep_before(frame)

    def _utterance(self, *, is_cut: bool) -> Utterance:
        sound = np.concatenate(self._said)
        first = max(0, self._n_lead - self._timing.lead_samples)
        last = self._n_lead + self._end - self._start + self._timing.trail_samples
        return Utterance(sound[first:last], self._start, self._end, self._n_heard, is_cut)
