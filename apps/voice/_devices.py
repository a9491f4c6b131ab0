"""The microphone and the loudspeaker, through PortAudio."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator
from types import ModuleType
from typing import Any

import numpy as np

from plait.apps.voice._audio import FRAME_SAMPLES, SAMPLE_RATE, Samples
from plait.errors import MissingExtraError, VoiceError

_MAX_WAITING_FRAMES = 600
_SPEAKER_BLOCK_S = 0.02
_SPEAKER_AHEAD_S = 0.25
_SPEAKER_WANTED_S = 0.1
_WRITE_TIMEOUT_S = 5.0


class Microphone:
    """The default input device, or another.

    Frames that are not fetched wait, about 19 s of them; then the oldest are dropped and counted, so that
    a listener that falls behind hears what is said now.

    Args:
        device: PortAudio's number or name of the device; ``None`` is the system's default.

    Raises:
        VoiceError: there is no such device, or PortAudio is missing.
        MissingExtraError: sounddevice is not installed.
    """

    is_live = True

    def __init__(self, device: int | str | None = None) -> None:
        self.n_dropped = 0
        """Frames that nobody fetched in time."""
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Samples | None] = deque()
        self._arrived = asyncio.Event()
        self._stream = open_stream(
            "InputStream",
            device=device,
            samplerate=SAMPLE_RATE,
            channels=1,
            blocksize=FRAME_SAMPLES,
            callback=self._heard,
            finished_callback=self._ended,
        )

    async def frames(self) -> AsyncGenerator[Samples]:
        """What is heard, from now on."""
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            frame = self._waiting.popleft()
            if frame is None:
                raise VoiceError("the microphone stopped; check that it is plugged in and start again")
            yield frame

    async def aclose(self) -> None:
        """Close the device."""
        self._stream.close()

    def _heard(self, data: Any, n_frames: int, time: Any, status: Any) -> None:
        """Called by PortAudio's own thread."""
        self._hand_over(data[:, 0].copy())

    def _ended(self) -> None:
        self._hand_over(None)

    def _hand_over(self, frame: Samples | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._keep, frame)

    def _keep(self, frame: Samples | None) -> None:
        if len(self._waiting) >= _MAX_WAITING_FRAMES:
            self._waiting.popleft()
            self.n_dropped += 1
        self._waiting.append(frame)
        self._arrived.set()


class Speaker:
    """The default output device, or another.

    A quarter of a second is taken ahead of what is heard, then :meth:`write` waits.

    Args:
        device: PortAudio's number or name of the device; ``None`` is the system's default.
        rate: samples a second, in Hz.

    Raises:
        VoiceError: there is no such device, or PortAudio is missing.
        MissingExtraError: sounddevice is not installed.
    """

    def __init__(self, device: int | str | None = None, rate: int = 22_050) -> None:
        self.rate = rate
        self.ahead_samples = int(rate * _SPEAKER_WANTED_S)
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._ahead = np.zeros(0, np.int16)
        self._room = asyncio.Event()
        self._stream = open_stream(
            "OutputStream",
            device=device,
            samplerate=rate,
            channels=1,
            blocksize=int(rate * _SPEAKER_BLOCK_S),
            callback=self._wanted,
        )

    async def write(self, samples: Samples) -> None:
        """Take the samples; waits while a quarter of a second is ahead."""
        try:
            async with asyncio.timeout(_WRITE_TIMEOUT_S):
                while len(self._ahead) > self.rate * _SPEAKER_AHEAD_S:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError as error:
            raise VoiceError(
                "the loudspeaker takes no more sound; check the device, or choose another with --speaker"
            ) from error
        with self._lock:
            self._ahead = np.concatenate((self._ahead, samples))

    async def silence(self, n_samples: int) -> None:
        """Nothing: a device is silent by itself."""

    def flush(self) -> None:
        """Be silent at once."""
        with self._lock:
            self._ahead = self._ahead[:0]

    async def aclose(self) -> None:
        """Close the device."""
        self._stream.close()

    def _wanted(self, out: Any, n_frames: int, time: Any, status: Any) -> None:
        """Called by PortAudio's own thread."""
        with self._lock:
            block, self._ahead = self._ahead[:n_frames], self._ahead[n_frames:]
        out[: len(block), 0] = block
        out[len(block) :, 0] = 0
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._room.set)


def open_stream(kind: str, **options: Any) -> Any:
    """A started stream of sounddevice, ``"InputStream"`` or ``"OutputStream"``, of 16-bit samples.

    Raises:
        VoiceError: the device cannot be opened, or PortAudio is missing.
        MissingExtraError: sounddevice is not installed.
    """
    sounddevice = _sounddevice()
    what, option, other = {
        "InputStream": ("microphone", "--microphone", "--input FILE.wav"),
        "OutputStream": ("loudspeaker", "--speaker", "--output FILE.wav"),
    }[kind]
    try:
        stream = getattr(sounddevice, kind)(dtype="int16", **options)
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise VoiceError(
            f"the {what} cannot be opened ({error}); plug one in, choose one with {option}, or use {other}"
        ) from error
    return stream


def _sounddevice() -> ModuleType:
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtraError("sounddevice", "voice") from error
    except OSError as error:
        raise VoiceError(
            "PortAudio is missing; install it (on Debian and Ubuntu: apt install libportaudio2), "
            "or use --input FILE.wav and --output FILE.wav"
        ) from error
    module: ModuleType = sounddevice
    return module
