"""Noise taken out of sound, frame by frame."""

import numpy as np
import numpy.typing as npt

from plait.apps.voice._audio import FRAME_SAMPLES, SAMPLE_RATE, Samples
from plait.apps.voice._noise import HOP_SAMPLES, NoiseSuppressor

Sound = npt.NDArray[np.float64]


def suppressed(sound: Sound) -> Sound:
    suppressor = NoiseSuppressor()
    samples = np.clip(sound, -32768, 32767).astype(np.int16)
    frames = [suppressor(samples[at : at + FRAME_SAMPLES]) for at in range(0, len(samples), FRAME_SAMPLES)]
    return np.concatenate(frames).astype(np.float64)


def noise(seconds: float, level: float) -> Sound:
    n = int(seconds * SAMPLE_RATE) // FRAME_SAMPLES * FRAME_SAMPLES
    return np.random.default_rng(3).normal(0, level * 32767, n)


def beeps(like: Sound) -> Sound:
    """A tone that is on for 200 ms and off for 300."""
    at = np.arange(len(like)) / SAMPLE_RATE
    return 6000 * np.sin(2 * np.pi * 1000 * at) * (at % 0.5 < 0.2)


def loudness(sound: Sound) -> float:
    return float(np.sqrt((sound**2).mean()))


def test_steady_noise_is_lowered_by_more_than_half() -> None:
    sound = noise(4, 0.03)
    assert loudness(suppressed(sound)[SAMPLE_RATE:]) < 0.4 * loudness(sound)


def test_noise_after_silence_is_lowered_too() -> None:
    sound = np.concatenate((np.zeros(20 * FRAME_SAMPLES), noise(3, 0.03)))
    assert loudness(suppressed(sound)[-SAMPLE_RATE:]) < 0.4 * loudness(sound[-SAMPLE_RATE:])


def test_what_comes_and_goes_stays_and_is_half_a_frame_late() -> None:
    background = noise(4, 0.01)
    sound = beeps(background)
    cleared = suppressed(sound + background)[SAMPLE_RATE + HOP_SAMPLES :]
    meant = sound[SAMPLE_RATE : len(sound) - HOP_SAMPLES]
    assert loudness(cleared - meant) < 0.2 * loudness(meant)


def test_silence_and_the_loudest_sound_pass() -> None:
    assert not suppressed(np.zeros(10 * FRAME_SAMPLES)).any()
    loud = np.tile([32767.0] * 64 + [-32768.0] * 64, 40)
    cleared: Samples = NoiseSuppressor()(loud[:FRAME_SAMPLES].astype(np.int16))
    assert cleared.dtype == np.int16
    assert len(cleared) == FRAME_SAMPLES
