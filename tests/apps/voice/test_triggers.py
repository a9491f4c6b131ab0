"""What begins listening; the wake word and speech activity are heard by the real networks."""

from collections.abc import Callable

import numpy as np
import pytest

from plait.apps.voice._activity import SileroDetector
from plait.apps.voice._audio import FRAME_SAMPLES, SAMPLE_RATE, Samples
from plait.apps.voice._triggers import WAKE_WORDS, AlwaysListening, PushToTalk, Trigger, WakeWord
from plait.errors import ConfigurationError

NOISE_DB = 16.0
SILENT = np.zeros(FRAME_SAMPLES, np.int16)


def frames(samples: Samples) -> list[Samples]:
    return [samples[at : at + FRAME_SAMPLES] for at in range(0, len(samples) - FRAME_SAMPLES, FRAME_SAMPLES)]


def noise(seconds: float, level: float) -> Samples:
    drawn = np.random.default_rng(7).normal(0, level * 32767, int(seconds * SAMPLE_RATE))
    return np.clip(drawn, -32768, 32767).astype(np.int16)


def music(seconds: float) -> Samples:
    """A melody with overtones, one note every 300 ms."""
    at = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    notes = np.array([262, 330, 392, 523, 440, 349])[(at / 0.3).astype(int) % 6]
    phase = 2 * np.pi * np.cumsum(notes) / SAMPLE_RATE
    sound = sum(np.sin(k * phase) / k for k in range(1, 6)) * np.exp(-3 * (at % 0.3))
    return (sound * 9000).astype(np.int16)


@pytest.mark.parametrize("sound", [noise(4, 0), noise(4, 0.001), noise(4, 0.1), music(4)])
@pytest.mark.parametrize("phrase", WAKE_WORDS)
def test_silence_noise_and_music_are_no_wake_word(sound: Samples, phrase: str) -> None:
    trigger = WakeWord(phrase)
    assert not any(trigger.begins(frame) for frame in frames(sound))
    assert not trigger.ends()


def test_the_wake_word_is_heard_through_steady_noise(say: Callable[..., list[Samples]]) -> None:
    (spoken,) = say("Okay Nabu.")
    pause = np.zeros(SAMPLE_RATE // 2)
    sound = np.concatenate((pause, spoken / 32768, pause))
    level = np.sqrt((sound[np.abs(sound) > 0.02] ** 2).mean()) / 10 ** (NOISE_DB / 20)
    drawn = np.random.default_rng(6).normal(0, level, len(sound))
    noisy = ((sound + drawn) * 16_000).astype(np.int16)
    trigger = WakeWord()
    assert any(trigger.begins(frame) for frame in frames(noisy))


def test_an_unknown_wake_word_is_answered_with_the_choices() -> None:
    with pytest.raises(ConfigurationError, match="no wake word 'okay'; choose one of alexa, hey jarvis"):
        WakeWord("okay")


def test_a_key_begins_with_one_press_and_ends_with_the_next() -> None:
    trigger: Trigger = PushToTalk()
    assert isinstance(trigger, PushToTalk)
    assert not trigger.begins(SILENT)
    trigger.press()
    assert trigger.begins(SILENT)
    assert not trigger.ends()
    trigger.press()
    assert trigger.ends()
    trigger.press()
    trigger.reset()
    assert not trigger.begins(SILENT)


def test_without_a_trigger_listening_never_stops() -> None:
    trigger: Trigger = AlwaysListening()
    trigger.reset()
    assert trigger.begins(SILENT)
    assert not trigger.ends()


@pytest.mark.parametrize("sound", [noise(3, 0), noise(3, 0.001), noise(3, 0.1)])
def test_silence_and_noise_are_no_speech(sound: Samples) -> None:
    detector = SileroDetector()
    assert np.mean([detector.probability(frame) for frame in frames(sound)]) < 0.2


def test_a_detector_that_forgot_hears_the_same_again() -> None:
    detector = SileroDetector()
    sound = frames(music(1))
    first = [detector.probability(frame) for frame in sound]
    detector.reset()
    assert [detector.probability(frame) for frame in sound] == first


def test_a_frame_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame has 512 samples"):
        SileroDetector().probability(np.zeros(100, np.int16))


def test_frame_by_frame_a_detector_hears_what_the_whole_file_gives() -> None:
    from faster_whisper.vad import get_vad_model

    sound = frames(music(2))
    detector = SileroDetector()
    alone = [detector.probability(frame) for frame in sound]
    whole = get_vad_model()(np.concatenate(sound).astype(np.float32) / 32768)
    assert alone[:-1] == pytest.approx(whole.squeeze()[:-1].tolist(), abs=1e-3)
