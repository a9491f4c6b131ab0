"""Text to speech, by programs in processes of their own; piper is GPL, so it is never imported."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import sys
import tempfile
import wave
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from plait.apps.voice._audio import Clip
from plait.errors import ConfigurationError, PlaitError, VoiceError
from plait.models import VOICE, find_speech

VOICES = ("auto", "piper", "espeak", "none")
_SENTENCE_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 5.0


class Voice(Protocol):
    """Reads sentences aloud."""

    @property
    def name(self) -> str:
        """What it is called in events."""

    async def speak(self, text: str) -> Clip:
        """The sound of ``text``, one line. When cancelled, the next call still gives its own text.

        Raises:
            VoiceError: it could not be spoken.
        """

    async def aclose(self) -> None:
        """End its process."""


class PiperVoice:
    """The program piper, which stays loaded: a line in, a WAV file out.

    Args:
        process: ``python -m piper`` or ``piper``, with ``--output-dir folder``.
        folder: where it writes; removed with :meth:`aclose`.
    """

    name = "piper"

    def __init__(self, process: Process, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._process = process
        self._folder = folder
        self._lock = asyncio.Lock()
        self._n_owed = 0

    @classmethod
    async def start(cls, model: Path, config: Path) -> PiperVoice:
        """Start piper with the voice in the file ``model`` and its settings in ``config``.

        Raises:
            VoiceError: piper is not installed or does not start.
        """
        if importlib.util.find_spec("piper") is not None:
            command = [sys.executable, "-m", "piper"]
        elif (found := shutil.which("piper")) is not None:
            command = [found]
        else:
            raise VoiceError("piper is not installed; install it with: pip install 'plait[voice]'")
        folder = tempfile.TemporaryDirectory(prefix="plait-voice-")
        try:
            placed = _placed(model, config, Path(folder.name))
            arguments = ["--model", str(placed), "--output-dir", folder.name]
            process = await asyncio.create_subprocess_exec(
                *command, *arguments, stdin=PIPE, stdout=DEVNULL, stderr=PIPE
            )
        except OSError as error:
            folder.cleanup()
            raise VoiceError(f"piper cannot be started: {error}; install it again") from error
        return cls(process, folder)

    async def speak(self, text: str) -> Clip:
        """The sound of ``text``."""
        async with self._lock:
            while self._n_owed:  # a call was cancelled while piper worked for it
                (await self._written()).unlink()
            assert self._process.stdin is not None
            self._n_owed += 1
            try:
                self._process.stdin.write(f"{' '.join(text.split())}\n".encode())
                await self._process.stdin.drain()
            except ConnectionError as error:
                raise VoiceError(f"piper ended: {await self._last_words()}") from error
            path = await self._written()
        try:
            return read_wav(path)
        finally:
            path.unlink(missing_ok=True)

    async def _written(self) -> Path:
        """The next file that piper says it wrote."""
        assert self._process.stderr is not None
        last = "it said nothing"
        try:
            async with asyncio.timeout(_SENTENCE_TIMEOUT_S):
                while line := (await self._process.stderr.readline()).decode(errors="replace").strip():
                    _, wrote, path = line.partition(":Wrote ")
                    if wrote:
                        self._n_owed -= 1
                        return Path(path)
                    last = line
        except TimeoutError as error:
            raise VoiceError(
                f"piper said nothing for {_SENTENCE_TIMEOUT_S:g} s; use --voice espeak"
            ) from error
        raise VoiceError(f"piper ended: {last}")

    async def _last_words(self) -> str:
        assert self._process.stderr is not None
        lines = (await self._process.stderr.read()).decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    async def aclose(self) -> None:
        """End the process and remove its folder."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                await self._process.communicate()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._folder.cleanup()


class EspeakVoice:
    """The program espeak-ng, started for each sentence.

    Args:
        language: one of its voices, such as ``"en-us"``.

    Raises:
        VoiceError: it is not installed.
    """

    name = "espeak"

    def __init__(self, language: str = "en-us") -> None:
        found = shutil.which("espeak-ng")
        if found is None:
            raise VoiceError("espeak-ng is not installed; install it (on Debian: apt install espeak-ng)")
        self._command = (found, "-v", language, "--stdin", "-w")

    async def speak(self, text: str) -> Clip:
        """The sound of ``text``."""
        with tempfile.TemporaryDirectory(prefix="plait-voice-") as folder:
            path = Path(folder) / "sentence.wav"
            process = await asyncio.create_subprocess_exec(
                *self._command, str(path), stdin=PIPE, stdout=DEVNULL, stderr=PIPE
            )
            try:
                async with asyncio.timeout(_SENTENCE_TIMEOUT_S):
                    _, said = await process.communicate(text.encode())
            except TimeoutError as error:
                raise VoiceError(f"espeak-ng did not end within {_SENTENCE_TIMEOUT_S:g} s") from error
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            if process.returncode:
                raise VoiceError(f"espeak-ng failed: {said.decode(errors='replace').strip()}")
            return read_wav(path)

    async def aclose(self) -> None:
        """Nothing runs between sentences."""


class NoVoice:
    """Says nothing: what would be said is in the events only."""

    name = "none"

    async def speak(self, text: str) -> Clip:
        """No sound."""
        return Clip(np.zeros(0, np.int16), 16_000)

    async def aclose(self) -> None:
        """Nothing runs."""


async def open_voice(wanted: str, tell: Callable[[str], None], *, model: Path | None = None) -> Voice:
    """The voice of that name; ``"auto"`` is piper, or else espeak-ng, or else none.

    Args:
        wanted: one of :data:`VOICES`.
        tell: is told in a sentence of each that was passed over.
        model: a voice for piper, beside which its ``.json`` lies; ``None`` is the catalog's, which must
            have been fetched.

    Raises:
        VoiceError: the one that was asked for by name cannot be used.
        ConfigurationError: there is no such name.
    """
    if wanted not in VOICES:
        raise ConfigurationError(f"there is no voice {wanted!r}; choose one of {', '.join(VOICES)}")
    if wanted in ("auto", "piper"):
        try:
            return await _piper(model)
        except PlaitError as error:
            if wanted == "piper":
                raise
            tell(f"{error}; espeak-ng speaks instead")
    if wanted in ("auto", "espeak"):
        try:
            return EspeakVoice()
        except VoiceError as error:
            if wanted == "espeak":
                raise
            tell(f"{error}; answers are shown and not spoken")
    return NoVoice()


async def _piper(model: Path | None) -> PiperVoice:
    """Piper, once it has spoken a word: a voice that cannot be loaded is noticed now."""
    if model is not None:
        config = model.with_name(f"{model.name}.json")
    else:
        folder = find_speech(VOICE, download=False)
        model, config = folder / "voice.onnx", folder / "config.json"
    voice = await PiperVoice.start(model, config)
    try:
        await voice.speak("Ready.")
    except BaseException:
        await voice.aclose()
        raise
    return voice


def _placed(model: Path, config: Path, folder: Path) -> Path:
    """The voice where its settings lie beside it, in ``<file>.json``: piper looks for them nowhere else."""
    if config == model.with_name(f"{model.name}.json"):
        return model
    placed = folder / "voice.onnx"
    shutil.copyfile(config, folder / "voice.onnx.json")
    try:
        placed.symlink_to(model.absolute())
    except OSError:  # Windows allows it to few
        shutil.copyfile(model, placed)
    return placed


def read_wav(path: Path) -> Clip:
    """A mono WAV file with 16 bits.

    Raises:
        VoiceError: it is none.
    """
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                raise VoiceError(f"{path} is not mono with 16 bits")
            data = file.readframes(file.getnframes())
            return Clip(
                np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16), file.getframerate()
            )
    except (OSError, EOFError, wave.Error) as error:
        raise VoiceError(f"the voice gave no sound ({path}: {error})") from error
