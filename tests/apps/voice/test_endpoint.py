"""Beginnings and ends of speech, to the sample."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.apps.voice._audio import FRAME_SAMPLES, SAMPLE_RATE
from plait.apps.voice._endpoint import Endpointer, Outcome, Silence, Timing, Utterance

N = FRAME_SAMPLES
TIMING = Timing(
    min_speech_samples=3 * N,
    end_silence_samples=4 * N,
    lead_samples=2 * N,
    trail_samples=N,
    max_samples=20 * N,
    patience_samples=10 * N,
)


def listen(probabilities: Iterable[float], timing: Timing = TIMING) -> tuple[Outcome | None, int, Endpointer]:
    """The outcome, how many frames it took; frame k is full of the number k."""
    endpointer = Endpointer(timing)
    n = 0
    for n, probability in enumerate(probabilities, 1):
        outcome = endpointer.push(np.full(N, n - 1, np.int16), probability)
        if outcome is not None:
            return outcome, n, endpointer
    return None, n, endpointer


def frames_in(utterance: Utterance) -> list[int]:
    assert len(utterance.samples) % N == 0
    return [int(number) for number in utterance.samples[::N]]


def test_an_utterance_ends_exactly_when_the_pause_is_long_enough() -> None:
    outcome, n, _ = listen([0] * 5 + [1] * 6 + [0] * 99)
    assert isinstance(outcome, Utterance)
    assert n == 5 + 6 + 4
    assert (outcome.speech_start, outcome.speech_end, outcome.decided_at) == (5 * N, 11 * N, 15 * N)
    assert frames_in(outcome) == [3, 4, *range(5, 11), 11]
    assert not outcome.is_cut


def test_a_pause_one_frame_shorter_belongs_to_what_is_said() -> None:
    outcome, n, _ = listen([1] * 3 + [0] * 3 + [1] * 2 + [0] * 4)
    assert isinstance(outcome, Utterance)
    assert (n, outcome.speech_start, outcome.speech_end) == (12, 0, 8 * N)


def test_speech_that_is_too_short_is_forgotten_and_the_next_one_heard() -> None:
    outcome, n, _ = listen([1, 1, 0, 0, 0, 0, *[1] * 3, 0, 0, 0, 0])
    assert isinstance(outcome, Utterance)
    assert (n, outcome.speech_start) == (13, 6 * N)
    assert frames_in(outcome)[0] == 4


def test_within_speech_the_lower_threshold_counts() -> None:
    assert isinstance(listen([0.6, 0.4, 0.4, 0, 0, 0, 0])[0], Utterance)
    assert isinstance(listen([0.4] * 10)[0], Silence)


def test_without_speech_patience_ends_after_its_samples() -> None:
    assert listen([0] * 99)[:2] == (Silence(10 * N), 10)


def test_without_patience_nothing_ends_and_little_is_kept() -> None:
    outcome, n, endpointer = listen([0] * 5000, Timing(patience_samples=None))
    assert (outcome, n) == (None, 5000)
    assert endpointer._n_before < SAMPLE_RATE * 3 // 10 + N


def test_patience_does_not_end_while_somebody_speaks() -> None:
    outcome, n, _ = listen([0] * 9 + [1] * 5 + [0] * 4)
    assert isinstance(outcome, Utterance)
    assert n == 18


def test_what_has_no_end_is_cut_off_at_the_limit() -> None:
    outcome, n, _ = listen([0] + [1] * 99)
    assert isinstance(outcome, Utterance)
    assert (n, outcome.is_cut) == (21, True)
    assert frames_in(outcome) == list(range(21))


def test_speech_is_known_to_have_begun_as_soon_as_it_is_long_enough() -> None:
    endpointer = Endpointer(TIMING)
    begun = []
    for probability in [0, 1, 1, 1, 0, 0, 0]:
        endpointer.push(np.zeros(N, np.int16), probability)
        begun.append(endpointer.has_begun)
    assert begun == [False, False, False, True, True, True, True]


@pytest.mark.parametrize(
    ("said", "kind"), [([], Silence), ([0, 0], Silence), ([0, 1, 1], Silence), ([0, 1, 1, 1], Utterance)]
)
def test_the_speaker_can_end_it_at_any_time(said: list[float], kind: type[Outcome]) -> None:
    endpointer = Endpointer(TIMING)
    for probability in said:
        assert endpointer.push(np.zeros(N, np.int16), probability) is None
    outcome = endpointer.finish()
    assert isinstance(outcome, kind)
    assert outcome.decided_at == len(said) * N


EARLY = replace(TIMING, early_silence_samples=2 * N)


def test_a_pause_is_told_once_and_early_with_all_that_the_end_will_have() -> None:
    endpointer = Endpointer(EARLY)
    told: list[tuple[int, list[int]]] = []
    for at, probability in enumerate([1] * 4 + [0] * 3 + [1] * 2 + [0] * 4):
        outcome = endpointer.push(np.full(N, at, np.int16), probability)
        pausing = endpointer.pausing() if outcome is None else None
        if pausing is not None:
            told.append((at, frames_in(pausing)))
    assert told == [(5, [0, 1, 2, 3, 4]), (10, list(range(10)))]
    assert isinstance(outcome, Utterance)
    assert frames_in(outcome) == told[-1][1]


def test_no_pause_is_told_of_what_is_too_short_to_be_said() -> None:
    endpointer = Endpointer(EARLY)
    for probability in [1, 1, 0, 0, 0]:
        endpointer.push(np.zeros(N, np.int16), probability)
        assert endpointer.pausing() is None


@given(st.lists(st.floats(0, 1), max_size=80), st.integers(0, 6))
def test_if_nothing_more_is_said_the_last_pause_has_the_samples_of_the_end(
    probabilities: list[float], n_early: int
) -> None:
    endpointer = Endpointer(replace(TIMING, early_silence_samples=n_early * N))
    last: Utterance | None = None
    for at, probability in enumerate([*probabilities, 0, 0, 0, 0]):
        outcome = endpointer.push(np.full(N, at, np.int16), probability)
        if outcome is not None:
            if isinstance(outcome, Utterance) and not outcome.is_cut and n_early < 4:
                assert last is not None
                assert np.array_equal(last.samples, outcome.samples)
            return
        last = endpointer.pausing() or last


@given(st.lists(st.floats(0, 1), max_size=80))
def test_whatever_is_heard_an_utterance_lies_within_it_and_obeys_the_timing(
    probabilities: list[float],
) -> None:
    outcome, n, _ = listen(probabilities)
    if isinstance(outcome, Silence):
        assert outcome.decided_at == n * N >= 10 * N
    elif isinstance(outcome, Utterance):
        assert 0 <= outcome.speech_start < outcome.speech_end <= outcome.decided_at == n * N
        pause = outcome.decided_at - outcome.speech_end
        assert outcome.is_cut or pause == 4 * N
        assert outcome.decided_at - outcome.speech_start <= 20 * N
        numbers = frames_in(outcome)
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert max(0, outcome.speech_start // N - 2) <= numbers[0] <= outcome.speech_start // N
        assert numbers[-1] <= outcome.speech_end // N
