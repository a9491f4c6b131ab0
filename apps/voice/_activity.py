"""Whether a frame has speech in it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from plait.apps.voice._audio import FRAME_SAMPLES, Samples
from plait.errors import MissingExtraError

_CONTEXT_SAMPLES = 64
_STATE_SHAPE = (1, 1, 128)


class SpeechDetector(Protocol):
    """Looks at consecutive frames."""

    def probability(self, frame: Samples) -> float:
        """How likely it is, from 0 to 1, that somebody speaks in the frame of ``FRAME_SAMPLES``."""

    def reset(self) -> None:
        """Forget what was heard so far."""


class SileroDetector:
    """Silero VAD 6, as it comes in faster-whisper: half a millisecond a frame, on one thread, without torch.

    faster-whisper itself runs it over whole files; here its state is kept from frame to frame.

    Raises:
        MissingExtraError: faster-whisper or onnxruntime is not installed.
    """

    _h: npt.NDArray[np.float32]
    _c: npt.NDArray[np.float32]
    _context: npt.NDArray[np.float32]

    def __init__(self) -> None:
        try:
            from faster_whisper.vad import get_vad_model
        except ImportError as error:
            raise MissingExtraError("faster-whisper", "voice") from error
        self._session: Any = get_vad_model().session
        self.reset()

    def probability(self, frame: Samples) -> float:
        """How likely it is, from 0 to 1, that somebody speaks in the frame."""
        if frame.shape != (FRAME_SAMPLES,):
            raise ValueError(f"a frame has {FRAME_SAMPLES} samples, not shape {frame.shape}")
        sound = frame.astype(np.float32) / np.float32(32_768)
        inputs = {"input": np.concatenate((self._context, sound))[None], "h": self._h, "c": self._c}
        output, self._h, self._c = self._session.run(None, inputs)
        self._context = sound[-_CONTEXT_SAMPLES:]
        return float(output.squeeze())

    def reset(self) -> None:
        """Forget what was heard so far."""
        self._h = np.zeros(_STATE_SHAPE, np.float32)
        self._c = np.zeros(_STATE_SHAPE, np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)
