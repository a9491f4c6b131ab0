"""The header of a GGUF file: metadata and tensors, read without llama.cpp and without the weights.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from plait.models._files import file_error, file_errors
from plait.models._ggml_types import TensorType, tensor_type

_VERSIONS = (2, 3)
_MAX_ENTRIES = 1 << 20  # of metadata and of tensors; real files have hundreds
_MAX_STRINGS = 1 << 24  # in one array; vocabularies have up to some hundred thousand
_MAX_TEXT_BYTES = 1 << 20  # of a text that is kept; chat templates have some thousand
_MAX_VALUES = 1 << 12  # of numbers in an array that are kept: one for each layer, not a vocabulary's scores
_MAX_DIMENSIONS = 4
_UINT32, _STRING, _ARRAY = 4, 8, 9
_LAYOUTS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_DEFAULT_ALIGNMENT = 32
_ALIGNMENT_KEY = "general.alignment"

Number = int | float | bool


@dataclass(frozen=True, slots=True)
class MetadataArray:
    """An array among the metadata; of long ones and of texts only the length is kept."""

    length: int
    """How many values it has."""
    values: tuple[Number, ...] | None
    """The values, where they are few numbers."""


MetadataValue = Number | str | MetadataArray


class Tensor(NamedTuple):
    """What the header says about one tensor."""

    name: str
    """For example ``"blk.0.attn_q.weight"``."""
    shape: tuple[int, ...]
    """Sizes of the dimensions, the one that is contiguous in memory first."""
    type: TensorType
    """How its weights are stored."""
    offset: int
    """Where it begins, in bytes from the first weight."""

    @property
    def n_weights(self) -> int:
        """The number of weights."""
        n = 1
        for size in self.shape:
            n *= size
        return n

    @property
    def n_bytes(self) -> int:
        """What it takes in the file; 0 where its type is not known here."""
        return -(-self.n_weights // self.type.block_weights) * self.type.block_bytes


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """What stands before the weights."""

    version: int
    """Of the format."""
    metadata: Mapping[str, MetadataValue]
    """All keys, in the file's order."""
    tensors: tuple[Tensor, ...]
    """All tensors, in the file's order."""
    tensors_start: int
    """Where the first tensor is described, behind the metadata, in bytes from the start of the file."""
    weights_start: int
    """Where the first weight lies, in bytes from the start of the file."""
    file_bytes: int
    """The file's size."""


class _HeaderError(Exception):
    """The header is not that of a whole GGUF file; the message is the problem."""


def read_header(path: str | os.PathLike[str]) -> GGUFHeader:
    """The header of a GGUF file, if the file is as long as it says.

    Reads through a memory map, so that no claim in a hostile header makes it allocate anything.
    Weights of a type that is not known here are not counted.

    Raises:
        ModelFileError: the file is missing, unreadable, no GGUF file, of a version that is not
            supported, or shorter than its header says. The message says what to do.
    """
    path = Path(path)
    if not path.is_file():
        problem = "this is a folder" if path.is_dir() else "there is no such file"
        raise file_error(path, problem, "give the path of a GGUF file or a name of the catalog")
    try:
        with file_errors(path), path.open("rb") as file:
            _check_magic(file.read(4))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                header = _Reader(data).header()
        needed = _bytes_needed(header)
        if needed > header.file_bytes:
            raise _HeaderError(f"it is cut off: it has {header.file_bytes:,} bytes and needs {needed:,}")
    except _HeaderError as error:
        fix = "download it again, or give the path of another GGUF file"
        raise file_error(path, str(error), fix) from error
    return header


def _check_magic(magic: bytes) -> None:
    if magic == b"GGUF":
        return
    if not magic or b"GGUF".startswith(magic):
        raise _HeaderError("it is empty or cut off in the first bytes")
    raise _HeaderError(f"it is no GGUF file: it begins with {magic!r}, not with b'GGUF'")


def _bytes_needed(header: GGUFHeader) -> int:
    """The size that the file must have for its last weight to be in it."""
    return header.weights_start + max(
        (tensor.offset + tensor.n_bytes for tensor in header.tensors), default=0
    )


class _Reader:
    """A cursor over the header; every step is checked against the end of the file.

    Raises:
        _HeaderError: from every method, where the file ends too early or says what cannot be.
    """

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.position = 4

    def header(self) -> GGUFHeader:
        """Everything, from behind the magic bytes to the first weight."""
        version = self.number("I")
        if version not in _VERSIONS:
            raise _HeaderError(f"GGUF version {version} is not supported, only 2 and 3, little-endian")
        n_tensors = self.count(_MAX_ENTRIES, "tensors")
        n_entries = self.count(_MAX_ENTRIES, "metadata entries")
        metadata = dict(self.entry() for _ in range(n_entries))
        alignment = metadata.get(_ALIGNMENT_KEY, _DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment <= 0 or alignment % 8:
            raise _HeaderError("its header is damaged: the alignment is no multiple of 8")
        tensors_start = self.position
        tensors = tuple([self.tensor() for _ in range(n_tensors)])
        start = -(-self.position // alignment) * alignment if tensors else self.position
        return GGUFHeader(version, metadata, tensors, tensors_start, start, len(self.data))

    def number(self, layout: str) -> int:
        """The integer of that :mod:`struct` layout at the cursor."""
        return int(self.numbers(1, layout)[0])

    def numbers(self, n: int, layout: str) -> tuple[Number, ...]:
        """That many values of that layout at the cursor."""
        start = self.position
        self.skip(n * struct.calcsize(f"<{layout}"))
        return struct.unpack_from(f"<{n}{layout}", self.data, start)

    def count(self, limit: int, what: str) -> int:
        """A number of things, refused beyond ``limit`` so that no loop over them runs for minutes."""
        n = self.number("Q")
        if n > limit:
            raise _HeaderError(f"its header is damaged: it claims {n:,} {what}")
        return n

    def skip(self, n_bytes: int) -> None:
        """Move the cursor on."""
        if n_bytes > len(self.data) - self.position:
            raise _HeaderError(f"it is cut off in the header: it has only {len(self.data):,} bytes")
        self.position += n_bytes

    def text(self) -> str:
        """The text at the cursor, without what exceeds any real one."""
        n = self.number("Q")
        start = self.position
        self.skip(n)
        return self.data[start : start + min(n, _MAX_TEXT_BYTES)].decode(errors="replace")

    def entry(self) -> tuple[str, MetadataValue]:
        """One metadata entry: its key and its value."""
        key, kind = self.text(), self.number("I")
        if key == _ALIGNMENT_KEY and kind != _UINT32:
            raise _HeaderError("its header is damaged: the alignment is no multiple of 8")
        if kind == _STRING:
            return key, self.text()
        if kind == _ARRAY:
            return key, self.array()
        return key, self.numbers(1, self.layout(kind))[0]

    def array(self) -> MetadataArray:
        """An array of numbers or of texts; the format's authors use no others."""
        kind = self.number("I")
        if kind == _STRING:
            return self.texts()
        layout, n = self.layout(kind), self.number("Q")
        if n <= _MAX_VALUES:
            return MetadataArray(n, self.numbers(n, layout))
        self.skip(n * struct.calcsize(f"<{layout}"))
        return MetadataArray(n, None)

    def texts(self) -> MetadataArray:
        """Move past a vocabulary: by far the longest loop here, hence without a method call for each text."""
        n_strings = self.count(_MAX_STRINGS, "strings in one array")
        unpack, data, position = struct.Struct("<Q").unpack_from, self.data, self.position
        try:
            for _ in range(n_strings):
                position += 8 + unpack(data, position)[0]
        except (struct.error, OverflowError) as error:
            raise _HeaderError("it is cut off in the header, in a list of strings") from error
        self.skip(position - self.position)
        return MetadataArray(n_strings, None)

    def layout(self, kind: int) -> str:
        """The :mod:`struct` layout of one number of that type."""
        if kind not in _LAYOUTS:
            raise _HeaderError(f"its header is damaged: there is no metadata type {kind}")
        return _LAYOUTS[kind]

    def tensor(self) -> Tensor:
        """The description of one tensor."""
        name, n_dimensions = self.text(), self.number("I")
        if n_dimensions > _MAX_DIMENSIONS:
            raise _HeaderError(f"its header is damaged: a tensor has {n_dimensions} dimensions")
        shape = tuple(self.number("Q") for _ in range(n_dimensions))
        return Tensor(name, shape, tensor_type(self.number("I")), self.number("Q"))
