"""Writes small GGUF files: metadata, and tensors of 32-bit or 16-bit floats."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.models._files import file_errors

_VERSION = 3
_ALIGNMENT = 32
_F32, _F16 = 0, 1  # ggml's numbers of tensor types
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_NUMBERS: dict[type, tuple[int, str]] = {bool: (_BOOL, "?"), int: (_INT32, "i"), float: (_FLOAT32, "f")}

Value = str | bool | int | float | Sequence[str] | Sequence[int] | Sequence[float]


def write_gguf(
    path: str | os.PathLike[str], metadata: Mapping[str, Value], tensors: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Write a GGUF file of version 3.

    Args:
        path: the file, which is replaced if there is one.
        metadata: the values by their keys; a whole number is stored as ``uint32``, a list of them
            as ``int32``.
        tensors: arrays by their names, stored as 16-bit floats where they are such, else as 32-bit ones.
            The last axis is the one that is contiguous in memory, so it is the first dimension in the file.

    Raises:
        ModelFileError: the file cannot be written.
    """
    arrays = [
        np.ascontiguousarray(array, dtype="<f2" if array.dtype == np.float16 else "<f4")
        for array in tensors.values()
    ]
    offsets = accumulate((_padded(array.nbytes) for array in arrays), initial=0)
    header = struct.pack("<4sIQQ", b"GGUF", _VERSION, len(tensors), len(metadata))
    header += b"".join(_text(key) + _value(value) for key, value in metadata.items())
    for name, array, offset in zip(tensors, arrays, offsets, strict=False):
        sizes = struct.pack(f"<I{array.ndim}Q", array.ndim, *reversed(array.shape))
        header += (
            _text(name) + sizes + struct.pack("<IQ", _F16 if array.dtype == np.float16 else _F32, offset)
        )
    path = Path(path)
    with file_errors(path), path.open("wb") as file:
        file.write(header.ljust(_padded(len(header)), b"\0"))
        for array in arrays:
            file.write(array.tobytes().ljust(_padded(array.nbytes), b"\0"))


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // _ALIGNMENT) * _ALIGNMENT


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return struct.pack("<II", _UINT32, value)
    if isinstance(value, (bool, float)):
        kind, layout = _NUMBERS[type(value)]
        return struct.pack(f"<I{layout}", kind, value)
    return struct.pack("<I", _ARRAY) + _array(value)


def _array(values: Sequence[str] | Sequence[int] | Sequence[float]) -> bytes:
    texts = [value for value in values if isinstance(value, str)]
    if texts or not values:
        return struct.pack("<IQ", _STRING, len(texts)) + b"".join(map(_text, texts))
    kind, layout = _NUMBERS[type(values[0])]
    return struct.pack(f"<IQ{len(values)}{layout}", kind, len(values), *values)
