"""Weights with an adapter in them: for small models faster than an adapter beside the weights.

An adapter that is applied while computing costs two products of thin matrices for every layer and token,
which a small model feels. So its adapter is added to the weights once, and the sums are kept as a file. They
are stored in 8 bits (Q8_0), which changes them less than the base's own quantization did, and which
processors multiply faster than types of odd sizes such as Q4_1.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import secrets
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from plait.errors import ModelFileError
from plait.models._adapter import Adapter
from plait.models._files import file_error, file_errors
from plait.models._ggml_types import FILE_TYPES, TENSOR_TYPES, TensorType
from plait.models._gguf import GGUFHeader, Tensor, read_header
from plait.models._gguf_info import read_gguf
from plait.models._hardware import ggml_functions
from plait.models._store import MERGED, file_sha256, models_folder

_VERSION = "1"
_N_KEPT = 3
_NUMBERS = {kind.name: number for number, kind in TENSOR_TYPES.items()}
_Q8_0, _F16 = TENSOR_TYPES[_NUMBERS["Q8_0"]], TENSOR_TYPES[_NUMBERS["F16"]]
_Q8_0_FILE = next(number for number, name in FILE_TYPES.items() if name == "Q8_0")
_FLOATS: dict[str, npt.DTypeLike] = {"F32": "<f4", "F16": "<f2"}
_ALIGNMENT = 32
_log = logging.getLogger("plait.models")


def merged_weights(base: Path, adapter: Adapter) -> Path | None:
    """The file of ``base`` with ``adapter`` in its weights, made if it is not there yet.

    It lies in the folder ``merged`` beside the models; the three that were used last are kept.

    Returns:
        ``None`` where merging gains nothing, because the base is large and waits for memory, which fewer bits
        spare, or where it is not possible; why it was not is logged.

    Raises:
        ModelFileError: the base or the adapter cannot be read, or they do not belong together.
    """
    if not read_gguf(base).is_small:
        return None
    adapter.check_base(base)
    header = read_header(base)
    folder = models_folder() / MERGED
    digest = hashlib.sha256(f"{_VERSION} {adapter.base} {file_sha256(adapter.path)}".encode()).hexdigest()
    path = folder / f"{base.stem}-{digest[:32]}.gguf"
    try:
        if _is_whole(path):
            with suppress(OSError):  # a folder that others keep can be read all the same
                _mark_used(path)
            return path
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{path.name}.{secrets.token_hex(4)}.part"
        try:
            _write(part, base, header, _Additions(adapter))
            part.replace(path)
            _mark_used(path)
        finally:
            part.unlink(missing_ok=True)
        _forget_old(folder)
    except OSError as error:
        _warn(adapter, f"{folder} must be a folder with room for a file ({error})")
        return None
    except _CannotMergeError as error:
        _warn(adapter, str(error))
        return None
    return path


def _warn(adapter: Adapter, problem: str) -> None:
    _log.warning("the adapter %s is applied while computing, which is slower: %s", adapter.path.name, problem)


class _CannotMergeError(Exception):
    """Something is stored in a way that cannot be merged here; the message is the problem."""


def _is_whole(path: Path) -> bool:
    """Whether the file is there; one that was damaged since is made again."""
    if not path.exists():
        return False
    try:
        read_header(path)
    except ModelFileError:
        return False
    return True


def _mark_used(path: Path) -> None:
    """Note the time of use; that of writing stays, by which states of prompts know the file."""
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def _forget_old(folder: Path) -> None:
    """Delete all but the files that were used last."""
    files = sorted(folder.glob("*.gguf"), key=lambda path: path.stat().st_atime_ns, reverse=True)
    for old in files[_N_KEPT:]:
        with suppress(OSError):  # another program has deleted it, or has it open where that forbids it
            old.unlink()


class _Additions:
    """What an adapter adds to weights.

    Raises:
        ModelFileError: the file cannot be read.
    """

    def __init__(self, adapter: Adapter) -> None:
        header = read_header(adapter.path)
        alpha = header.metadata.get("adapter.lora.alpha")
        if not isinstance(alpha, float):
            raise file_error(adapter.path, "it does not say its alpha", "export it again")
        self._alpha = alpha
        with file_errors(adapter.path):
            self._data = adapter.path.read_bytes()
        self._start = header.weights_start
        self._tensors = {tensor.name: tensor for tensor in header.tensors}

    def __contains__(self, name: str) -> bool:
        return f"{name}.lora_a" in self._tensors

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        """What is added to the weights of that name, shape (n_out, n_in)."""
        a, b = (self._tensors[f"{name}.lora_{letter}"] for letter in "ab")
        scale = np.float32(self._alpha / a.shape[1])  # a.shape[1] is the rank
        added: npt.NDArray[np.float32] = self._floats(b) @ (self._floats(a) * scale)
        return added

    def _floats(self, tensor: Tensor) -> npt.NDArray[np.float32]:
        return _dequantized(self._data, self._start + tensor.offset, tensor)


def _write(path: Path, base: Path, header: GGUFHeader, additions: _Additions) -> None:
    """Write the base's file anew: its metadata as they are, adapted weights in 8 bits, others as they are."""
    with base.open("rb") as source, path.open("wb") as target:
        start = _metadata(_read(source, 0, header.tensors_start), header)
        start += b"".join(_infos(header.tensors, additions))
        target.write(start.ljust(_padded(len(start)), b"\0"))
        for tensor in header.tensors:
            data = _read(source, header.weights_start + tensor.offset, tensor.n_bytes)
            if tensor.name in additions:
                weights, added = _dequantized(data, 0, tensor), additions[tensor.name]
                if weights.shape != added.shape:
                    shapes = f"{added.shape} in the place of {weights.shape}"
                    raise _CannotMergeError(f"what it adds to {tensor.name} has the shape {shapes}")
                data = _stored(weights + added)
            target.write(data.ljust(_padded(len(data)), b"\0"))


def _read(source: BinaryIO, offset: int, n_bytes: int) -> bytes:
    source.seek(offset)
    return source.read(n_bytes)


def _metadata(metadata: bytes, header: GGUFHeader) -> bytes:
    """What the base's file begins with, up to its tensors, with 8 bits as the file's type."""
    if header.metadata.get("general.alignment", _ALIGNMENT) != _ALIGNMENT:
        raise _CannotMergeError(f"the base's tensors are not aligned to {_ALIGNMENT} bytes")
    key = struct.pack("<Q", len(b"general.file_type")) + b"general.file_type" + struct.pack("<I", 4)
    place = metadata.find(key)
    if place < 0:
        return metadata
    end = place + len(key)
    return metadata[:end] + struct.pack("<I", _Q8_0_FILE) + metadata[end + 4 :]


def _infos(tensors: Iterable[Tensor], additions: _Additions) -> Iterator[bytes]:
    """What the file's header says about each tensor."""
    offset = 0
    for tensor in tensors:
        if tensor.type.name not in _NUMBERS:
            raise _CannotMergeError(f"weights of {tensor.type.name} are not known here")
        kind = tensor.type
        if tensor.name in additions:
            kind = _type_of_sum(tensor.shape[0])
        name = tensor.name.encode()
        yield struct.pack("<Q", len(name)) + name
        yield struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        yield struct.pack("<IQ", _NUMBERS[kind.name], offset)
        offset += _padded(tensor.n_weights // kind.block_weights * kind.block_bytes)


def _type_of_sum(n_in: int) -> TensorType:
    """How weights are stored to which something was added: in 8 bits, if their rows are of whole blocks."""
    return _Q8_0 if n_in % _Q8_0.block_weights == 0 else _F16


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // _ALIGNMENT) * _ALIGNMENT


def _dequantized(data: bytes, offset: int, tensor: Tensor) -> npt.NDArray[np.float32]:
    """The weights of a tensor that begins at ``offset``, shape (n_out, n_in)."""
    shape = tuple(reversed(tensor.shape))
    if tensor.type.name in _FLOATS:
        kind = np.dtype(_FLOATS[tensor.type.name])
        stored = memoryview(data)[offset : offset + tensor.n_bytes]
        return np.asarray(np.frombuffer(stored, dtype=kind).reshape(shape), dtype=np.float32)
    weights = np.empty(shape, dtype=np.float32)
    source = np.frombuffer(data, dtype=np.uint8, count=tensor.n_bytes, offset=offset)
    _dequantizer(tensor.type.name)(source.ctypes.data, weights.ctypes.data, tensor.n_weights)
    return weights


def _dequantizer(kind: str) -> Any:
    """The function of ggml that turns weights of that type into 32-bit floats."""
    name = kind[:-1].lower() + kind[-1] if kind.endswith("_K") else kind.lower()
    function = ggml_functions()(f"dequantize_row_{name}")
    if function is None:
        raise _CannotMergeError(f"the installed llama-cpp-python does not tell how {kind} is stored")
    function.restype, function.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    return function


def _stored(weights: npt.NDArray[np.float32]) -> bytes:
    """The bytes of weights of shape (n_out, n_in); a block of Q8_0 is a scale and 32 whole numbers."""
    if _type_of_sum(weights.shape[1]) is _F16:
        return weights.astype("<f2").tobytes()
    blocks = weights.reshape(-1, _Q8_0.block_weights)
    scales = np.abs(blocks).max(axis=1) / 127
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    stored = np.empty(len(blocks), dtype=[("scale", "<f2"), ("numbers", "i1", _Q8_0.block_weights)])
    stored["scale"] = scales
    stored["numbers"] = np.rint(blocks * inverse[:, None])
    return stored.tobytes()
