"""Steady noise taken out of what the wake word is listened for in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from plait.apps.voice._audio import FRAME_SAMPLES, Samples

HOP_SAMPLES = FRAME_SAMPLES // 2
_OVERSUBTRACTED = 2.0
_LEAST_GAIN = 0.1
_RISE = 1.02  # of the noise in a hop of 16 ms, while a frequency is louder
_FALL = 0.1  # how much of the way it comes down in one
_SMOOTHING = 0.7
_SILENT_POWER = 256.0  # of a noise of one step of 16 bits; what is below was no sound at all
_Numbers = npt.NDArray[np.float64]


class NoiseSuppressor:
    """Lowers what is always there: fans, hum, hiss. Frames come out half a frame (16 ms) late.

    Spectral subtraction (Boll 1979); the noise of each frequency is told by its slowly rising minimum (after
    Martin 2001), since speech leaves a frequency again and again.
    """

    def __init__(self) -> None:
        self._window = np.sqrt(np.hanning(FRAME_SAMPLES + 1)[:FRAME_SAMPLES])
        self._heard: _Numbers = np.zeros(HOP_SAMPLES)
        self._overlap = np.zeros(HOP_SAMPLES)
        self._power: _Numbers = np.zeros(HOP_SAMPLES + 1)
        self._noise: _Numbers = np.zeros(HOP_SAMPLES + 1)

    def __call__(self, frame: Samples) -> Samples:
        """As many samples with less noise; the first half of them belongs to the frame before.

        Args:
            frame: ``FRAME_SAMPLES`` samples.
        """
        heard: _Numbers = np.concatenate((self._heard, frame.astype(np.float64)))
        first, second = heard[:FRAME_SAMPLES], heard[HOP_SAMPLES:]
        self._heard = second[HOP_SAMPLES:]
        cleared = np.concatenate([self._hop(first), self._hop(second)])
        limits = np.iinfo(np.int16)
        samples: Samples = np.clip(cleared, limits.min, limits.max).astype(np.int16)
        return samples

    def _hop(self, samples: _Numbers) -> _Numbers:
        """The next ``HOP_SAMPLES`` samples that nothing is added to any more."""
        spectrum = np.fft.rfft(samples * self._window)
        power = np.abs(spectrum) ** 2
        noise = self._track(power)
        gain = np.maximum(_LEAST_GAIN, 1.0 - _OVERSUBTRACTED * noise / np.maximum(power, 1e-9))
        cleared = np.fft.irfft(spectrum * gain) * self._window
        done = cleared[:HOP_SAMPLES] + self._overlap
        self._overlap = cleared[HOP_SAMPLES:]
        return done

    def _track(self, power: _Numbers) -> _Numbers:
        """How loud the noise is, by frequency."""
        smoothed = _SMOOTHING * self._power + (1.0 - _SMOOTHING) * power
        self._power = np.where(self._power < _SILENT_POWER, power, smoothed)
        falling = (1.0 - _FALL) * self._noise + _FALL * self._power
        rising = np.where(self._noise < _SILENT_POWER, self._power, _RISE * self._noise)
        self._noise = np.where(self._power < self._noise, falling, rising)
        return self._noise
