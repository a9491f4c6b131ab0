"""Sound as this package passes it on: frames in, clips out, and the seams to files and devices."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from plait.errors import MissingExtraError

SAMPLE_RATE = 16_000
"""Samples a second of everything that is listened to, in Hz."""
FRAME_SAMPLES = 512
"""Samples of a frame: 32 ms, what the voice activity detector looks at in one go."""

Samples: TypeAlias = npt.NDArray[np.int16]
"""Mono sound, one number a sample."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A piece of mono sound of any rate."""

    samples: Samples
    rate: int
    """Samples a second, in Hz."""

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate

    def at_rate(self, rate: int) -> Clip:
        """The same sound at another rate."""
        return self if rate == self.rate else Clip(resample(self.samples, self.rate, rate), rate)


class Source(Protocol):
    """Where frames of ``FRAME_SAMPLES`` samples at ``SAMPLE_RATE`` come from."""

    @property
    def is_live(self) -> bool:
        """Whether time passes by itself; a file waits until it is read on."""

    def frames(self) -> AsyncGenerator[Samples]:
        """The frames in order, until the sound ends; the next one is made when it is asked for.

        Raises:
            VoiceError: the device failed or the file is damaged.
        """

    async def aclose(self) -> None:
        """Let go of the file or device."""


class Sink(Protocol):
    """Where what is spoken goes."""

    @property
    def rate(self) -> int:
        """Samples a second that it takes, in Hz."""

    @property
    def ahead_samples(self) -> int:
        """How many samples it wants before they are due, so that it never runs out in between."""

    async def write(self, samples: Samples) -> None:
        """Take these samples; returns when there is room for more.

        Raises:
            VoiceError: the device failed or the file cannot be written.
        """

    async def silence(self, n_samples: int) -> None:
        """Nothing is said for so many samples."""

    def flush(self) -> None:
        """Forget what was taken and has not been heard yet."""

    async def aclose(self) -> None:
        """Let go of the file or device; a file is whole afterwards."""


def resample(samples: Samples, rate: int, to_rate: int) -> Samples:
    """The same sound at another rate, both in Hz.

    Raises:
        MissingExtraError: soxr is not installed.
    """
    if rate == to_rate:
        return samples
    try:
        import soxr
    except ImportError as error:
        raise MissingExtraError("soxr", "voice") from error
    converted: Samples = soxr.resample(samples, rate, to_rate)
    return converted
