"""Sound files as source and sink."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from plait.apps.voice._audio import FRAME_SAMPLES, SAMPLE_RATE, Samples
from plait.errors import MissingExtraError, VoiceError

_BLOCK_S = 1.0


class FileSource:
    """A sound file of any rate, width, number of channels and format that libsndfile reads.

    It is read a second at a time, mixed to mono and resampled as it is read, so that a file of any length
    takes the same memory. The last frame is filled up with silence.

    Args:
        path: the file.

    Raises:
        VoiceError: it cannot be read, or is no sound file.
        MissingExtraError: soundfile or soxr is not installed.
    """

    is_live = False

    def __init__(self, path: Path) -> None:
        soundfile = _soundfile()
        self._path = path
        try:
            self._file = soundfile.SoundFile(path)
        except (OSError, soundfile.LibsndfileError) as error:
            raise VoiceError(f"{path} cannot be read as sound: {_why(path, error)}") from error

    async def frames(self) -> AsyncGenerator[Samples]:
        """The frames in order."""
        rest = np.zeros(0, np.int16)
        async for block in self._blocks():
            rest = np.concatenate((rest, block))
            n_whole = len(rest) // FRAME_SAMPLES * FRAME_SAMPLES
            for at in range(0, n_whole, FRAME_SAMPLES):
                yield rest[at : at + FRAME_SAMPLES]
            rest = rest[n_whole:]
        if len(rest):
            yield np.pad(rest, (0, FRAME_SAMPLES - len(rest)))

    async def _blocks(self) -> AsyncGenerator[Samples]:
        """The file in mono at the right rate, in blocks of no fixed length."""
        try:
            import soxr
        except ImportError as error:
            raise MissingExtraError("soxr", "voice") from error
        converter = soxr.ResampleStream(self._file.samplerate, SAMPLE_RATE, 1, dtype="float32")
        n_block = max(1, int(self._file.samplerate * _BLOCK_S))
        soundfile = _soundfile()
        is_last = False
        while not is_last:
            try:
                block = self._file.read(n_block, dtype="float32", always_2d=True)
            except (OSError, soundfile.LibsndfileError) as error:
                raise VoiceError(f"{self._path} is damaged: {error}; record it again") from error
            is_last = len(block) < n_block
            yield _as_int16(converter.resample_chunk(np.nan_to_num(block.mean(axis=1)), last=is_last))

    async def aclose(self) -> None:
        """Close the file."""
        self._file.close()


class FileSink:
    """A WAV file, mono with 16 bits, that keeps the time of what was listened to: pauses are in it.

    Args:
        path: the file; one that is there is replaced.
        rate: samples a second, in Hz.

    Raises:
        VoiceError: it cannot be written.
        MissingExtraError: soundfile is not installed.
    """

    ahead_samples = 0

    def __init__(self, path: Path, rate: int = 22_050) -> None:
        soundfile = _soundfile()
        self._path = path
        self.rate = rate
        try:
            self._file = soundfile.SoundFile(path, "w", rate, 1, "PCM_16", format="WAV")
        except (OSError, soundfile.LibsndfileError) as error:
            raise VoiceError(f"{path} cannot be written: {_why(path.parent, error)}") from error

    async def write(self, samples: Samples) -> None:
        """Append the samples."""
        soundfile = _soundfile()
        try:
            self._file.write(samples)
        except (OSError, soundfile.LibsndfileError) as error:
            raise VoiceError(f"{self._path} cannot be written: {error}; is the disk full?") from error

    async def silence(self, n_samples: int) -> None:
        """Append silence."""
        await self.write(np.zeros(n_samples, np.int16))

    def flush(self) -> None:
        """Nothing waits: what was written has been heard."""

    async def aclose(self) -> None:
        """Finish the file."""
        self._file.close()


def _as_int16(block: npt.NDArray[np.float32]) -> Samples:
    samples: Samples = np.clip(np.rint(block * 32_767.0), -32_768, 32_767).astype(np.int16)
    return samples


def _soundfile() -> ModuleType:
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtraError("soundfile", "voice") from error
    module: ModuleType = soundfile
    return module


def _why(path: Path, error: Exception) -> str:
    if not path.exists():
        return "it does not exist; check its path" if path.suffix else "its folder does not exist; create it"
    return f"{getattr(error, 'error_string', None) or error}; choose another file"
