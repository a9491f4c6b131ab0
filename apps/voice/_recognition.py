"""Speech to text: Whisper through faster-whisper, on the CPU with weights in 8 bits."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from plait.apps.voice._audio import SAMPLE_RATE, Samples
from plait.errors import MissingExtraError, VoiceError
from plait.tools import call_in_thread

MIN_LOG_PROBABILITY = -1.0
"""What is recognized with a lower average log probability of its tokens is taken for no words at all."""
_MAX_COMPRESSION = 2.4  # OpenAI's own limit: a text that deflates better repeats itself
_MAX_NO_SPEECH = 0.6  # likewise
_WINDOW_S = 30.0
_HOP_S = 0.01
_MAX_HINT_TOKENS = 100


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was recognized."""

    text: str
    """The words; empty where there were none that could be relied on."""
    log_probability: float
    """Average natural logarithm of the tokens' probabilities."""
    rejected: str = ""
    """What was recognized and is not relied on."""


class Recognizer(Protocol):
    """Turns what somebody said into text."""

    async def recognize(self, samples: Samples, hints: Sequence[str] = ()) -> Transcript:
        """The words in the sound, at most 30 s at ``SAMPLE_RATE``.

        ``hints`` are names that may occur. They are for sound that has speech in it: on silence and noise,
        Whisper repeats them.
        """


class WhisperRecognizer:
    """Whisper, decoded greedily.

    Whisper always hears 30 s, most of them silence here, and its encoder takes by far the longest part of the
    time. So what was said is first heard in a window that is only a few seconds longer than it, and in the
    full one only where that gives a doubtful text: one of low probability, or one that repeats itself.

    Args:
        folder: a model in CTranslate2's format.
        language: the code of the language that is spoken, such as ``"en"``.
        n_threads: CPU threads; 0 is what CTranslate2 chooses.
        margin_s: seconds that the first window is longer than what was said.
        min_window_s: seconds that the first window has at least.

    Raises:
        VoiceError: the model cannot be loaded.
        MissingExtraError: faster-whisper is not installed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        language: str = "en",
        n_threads: int = 0,
        margin_s: float = 5.0,
        min_window_s: float = 10.0,
    ) -> None:
        try:
            from faster_whisper import WhisperModel
            from faster_whisper.tokenizer import Tokenizer
        except ImportError as error:
            raise MissingExtraError("faster-whisper", "voice") from error
        try:
            self._model: Any = WhisperModel(
                str(folder), device="cpu", compute_type="int8", cpu_threads=n_threads, local_files_only=True
            )
            self._tokenizer: Any = Tokenizer(
                self._model.hf_tokenizer, self._model.model.is_multilingual, "transcribe", language
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise VoiceError(f"the recognizer in {folder} cannot be used: {error}") from error
        self._margin_s = margin_s
        self._min_window_s = min_window_s
        self._lock = threading.Lock()

    async def recognize(self, samples: Samples, hints: Sequence[str] = ()) -> Transcript:
        """The words in the sound."""
        result: Transcript = await call_in_thread(self.recognize_now, {"samples": samples, "hints": hints})
        return result

    def recognize_now(self, samples: Samples, hints: Sequence[str] = ()) -> Transcript:
        """:meth:`recognize`, in this thread."""
        sound = samples.astype(np.float32) / 32_768
        seconds = len(samples) / SAMPLE_RATE
        window_s = min(_WINDOW_S, max(self._min_window_s, seconds + self._margin_s))
        with self._lock:
            features = self._model.feature_extractor(sound)
            heard = self._decode(features, window_s, seconds, hints)
            if window_s < _WINDOW_S and (heard.rejected or _repeats(heard.text)):
                heard = self._decode(features, _WINDOW_S, seconds, hints)
        return Transcript("", heard.log_probability, heard.text) if _repeats(heard.text) else heard

    def _decode(
        self, features: npt.NDArray[np.float32], window_s: float, seconds: float, hints: Sequence[str]
    ) -> Transcript:
        import ctranslate2

        n_frames = int(window_s / _HOP_S) // 2 * 2  # the encoder halves it
        window = features[:, :n_frames]
        window = np.pad(window, ((0, 0), (0, n_frames - window.shape[1])))
        prompt = self._model.get_prompt(self._tokenizer, self._hint_tokens(hints), without_timestamps=True)
        result = self._model.model.generate(
            ctranslate2.StorageView.from_array(np.ascontiguousarray(window[None])),
            [prompt],
            beam_size=1,
            max_length=min(448, len(prompt) + 20 + int(10 * seconds)),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
        )[0]
        text = self._tokenizer.decode(result.sequences_ids[0]).strip()
        score = float(result.scores[0])
        is_doubtful = score < MIN_LOG_PROBABILITY
        is_nothing = result.no_speech_prob > _MAX_NO_SPEECH and score < MIN_LOG_PROBABILITY / 2
        return Transcript("", score, text) if is_doubtful or is_nothing else Transcript(text, score)

    def _hint_tokens(self, hints: Sequence[str]) -> list[int]:
        """The prompt: as many of the names as there is room for."""
        tokens: list[int] = []
        for hint in hints:
            name = self._tokenizer.encode(f" {hint}," if hint is not hints[-1] else f" {hint}.")
            if len(tokens) + len(name) > _MAX_HINT_TOKENS:
                break
            tokens += name
        return tokens


def _repeats(text: str) -> bool:
    data = text.encode()
    return len(data) > 40 and len(data) / len(zlib.compress(data)) > _MAX_COMPRESSION
