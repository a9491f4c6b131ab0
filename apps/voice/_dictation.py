"""Recordings into text, as the microphone of the web page makes them."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np

from plait.apps.voice._activity import SileroDetector, SpeechDetector
from plait.apps.voice._audio import FRAME_SAMPLES, SAMPLE_RATE, Clip, Samples
from plait.apps.voice._endpoint import Endpointer, Timing, Utterance
from plait.apps.voice._recognition import Recognizer, WhisperRecognizer
from plait.errors import BusyError, MissingExtraError, ModelFileError, VoiceError
from plait.models import RECOGNIZER, find_speech
from plait.tools import call_in_thread

MAX_SECONDS = 60
"""The longest recording that is recognized."""
MAX_RATE = 48_000
"""The highest rate that a recording may have, in Hz."""
MAX_WAITING = 3
"""Recordings that may be at it or wait at a time."""
_MIN_RATE = 8_000
_TIMING = Timing(end_silence_samples=2 * SAMPLE_RATE, patience_samples=None)


def whisper_obstacle() -> str:
    """Why Whisper cannot be used here, in a sentence that says what to do; empty where it can."""
    if find_spec("faster_whisper") is None:
        return str(MissingExtraError("faster-whisper", "voice"))
    try:
        find_speech(RECOGNIZER, download=False)
    except ModelFileError as error:
        return str(error)
    return ""


def _open_whisper() -> WhisperRecognizer:
    return WhisperRecognizer(find_speech(RECOGNIZER, download=False))


class Dictation:
    """Recognizes recordings. Nothing is imported or loaded for it before it is first used.

    Only what the detector of voice activity takes for speech is recognized, since a recognizer hears its
    hints in silence too. A long recording is cut where nobody speaks for two seconds.

    Args:
        open_recognizer: loads the recognizer; called once, in a thread.
        open_detector: makes a detector; called for each recording, in a thread.
        obstacle: why nothing can be recognized here, in a sentence that says what to do; else empty.
    """

    def __init__(
        self,
        *,
        open_recognizer: Callable[[], Recognizer] = _open_whisper,
        open_detector: Callable[[], SpeechDetector] = SileroDetector,
        obstacle: Callable[[], str] = whisper_obstacle,
    ) -> None:
        self._open_recognizer = open_recognizer
        self._open_detector = open_detector
        self._obstacle = obstacle
        self._recognizer: Recognizer | None = None
        self._opening = asyncio.Lock()
        self._recognizing = asyncio.Lock()
        self._n_waiting = 0

    @property
    def obstacle(self) -> str:
        """Why nothing can be recognized here, in a sentence that says what to do; empty where it can."""
        return self._obstacle()

    async def prepare(self) -> Recognizer:
        """Load the recognizer, if that was not done yet; it takes seconds.

        Raises:
            MissingExtraError: faster-whisper is not installed.
            ModelFileError: its weights are not there.
            VoiceError: they cannot be used.
        """
        async with self._opening:
            if self._recognizer is None:
                self._recognizer = await call_in_thread(self._open_recognizer, {})
            return self._recognizer

    async def recognize(self, samples: Samples, hints: Sequence[str] = ()) -> str:
        """The words in the sound at ``SAMPLE_RATE``; empty where there are none. One recording at a time.

        Raises:
            BusyError: ``MAX_WAITING`` recordings are at it or wait already.
            PlaitError: as :meth:`prepare`.
        """
        if self._n_waiting >= MAX_WAITING:
            raise BusyError("other recordings are being recognized; try again in a moment")
        self._n_waiting += 1
        try:
            recognizer = await self.prepare()
            async with self._recognizing:
                pieces: list[Samples] = await call_in_thread(self._pieces, {"samples": samples})
                heard = [(await recognizer.recognize(piece, hints)).text for piece in pieces]
        finally:
            self._n_waiting -= 1
        return " ".join(text for text in heard if text)

    def _pieces(self, samples: Samples) -> list[Samples]:
        """What was said, without the silence around it."""
        detector, ear = self._open_detector(), Endpointer(_TIMING)
        pieces = []
        for at in range(0, len(samples), FRAME_SAMPLES):
            frame = samples[at : at + FRAME_SAMPLES]
            frame = np.pad(frame, (0, FRAME_SAMPLES - len(frame)))
            outcome = ear.push(frame, detector.probability(frame))
            if isinstance(outcome, Utterance):
                pieces.append(outcome.samples)
                ear = Endpointer(_TIMING)
        last = ear.finish()
        return [*pieces, last.samples] if isinstance(last, Utterance) else pieces


def read_recording(data: bytes) -> Samples:
    """A recording, a mono WAV file with 16 bits, at ``SAMPLE_RATE``.

    Raises:
        VoiceError: it is none, of a rate that is not taken, or longer than ``MAX_SECONDS``.
        MissingExtraError: it has another rate, and soxr is not installed.
    """
    try:
        with wave.open(io.BytesIO(data), "rb") as file:
            rate = file.getframerate()
            if (file.getnchannels(), file.getsampwidth()) != (1, 2) or not _MIN_RATE <= rate <= MAX_RATE:
                raise VoiceError(
                    f"the recording has {file.getnchannels()} channels of {8 * file.getsampwidth()} bits at "
                    f"{rate} Hz; send mono with 16 bits at {_MIN_RATE} to {MAX_RATE} Hz"
                )
            sound = file.readframes(MAX_SECONDS * rate + 1)
    except (EOFError, RuntimeError, wave.Error) as error:  # wave's RuntimeError: a chunk of a wrong size
        why = str(error) or "it is cut off"
        raise VoiceError(f"the recording is no WAV file ({why}); send one") from error
    samples = np.frombuffer(sound[: len(sound) // 2 * 2], "<i2").astype(np.int16)
    if len(samples) > MAX_SECONDS * rate:
        raise VoiceError(f"the recording is longer than {MAX_SECONDS} s; send it in parts")
    return Clip(samples, rate).at_rate(SAMPLE_RATE).samples
