"""The importance matrix: how strongly a model uses each column of its weights.

A quantization that is given it rounds those columns most finely that the largest inputs are multiplied
with. The file is the GGUF that llama.cpp's llama-imatrix writes and llama-quantize reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.errors import ModelFileError
from plait.models._files import file_error, file_errors
from plait.models._gguf import GGUFHeader, Tensor, read_header
from plait.models._gguf_info import GGUFInfo
from plait.models._gguf_writer import Value, write_gguf

_SUMS, _COUNTS = ".in_sum2", ".counts"
_TYPE, _N_CHUNKS, _CHUNK_LENGTH = "general.type", "imatrix.chunk_count", "imatrix.chunk_size"
_DATASETS = "imatrix.datasets"
_FIX = "compute one from text, or give a file that llama-imatrix wrote as GGUF"


@dataclass(frozen=True, slots=True, eq=False)
class TensorImportance:
    """What one tensor of weights was multiplied with."""

    sums: npt.NDArray[np.float64]
    """Sums of the squares of the inputs, shape (n_matrices, n_columns); one matrix for each expert."""
    counts: npt.NDArray[np.int64]
    """Inputs that were summed, shape (n_matrices,)."""

    @property
    def means(self) -> npt.NDArray[np.float32]:
        """Mean squares of the inputs, shape (n_matrices, n_columns); ones for an expert that had none."""
        seen = self.counts[:, None] > 0
        return np.where(seen, self.sums / np.maximum(self.counts, 1)[:, None], 1.0).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class ImportanceMatrix:
    """What the weights of one model were multiplied with while it read a text."""

    tensors: Mapping[str, TensorImportance]
    """By the name of the tensor of weights."""
    n_chunks: int
    """Pieces of text that the model read."""
    chunk_length: int
    """Tokens of each."""

    def save(self, path: Path) -> None:
        """Write it as a GGUF file.

        Raises:
            ModelFileError: the file cannot be written.
        """
        metadata: dict[str, Value] = {
            _TYPE: "imatrix",
            _DATASETS: (),  # llama.cpp's tools want it to be there
            _N_CHUNKS: self.n_chunks,
            _CHUNK_LENGTH: self.chunk_length,
        }
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, tensor in sorted(self.tensors.items()):
            arrays[name + _SUMS] = tensor.sums
            arrays[name + _COUNTS] = tensor.counts[:, None]
        write_gguf(path, metadata, arrays)

    def check(self, info: GGUFInfo, path: Path | None = None) -> None:
        """Refuse to quantize a model with the matrix of another one.

        ``path`` is the matrix's file, for the message. Models of the same shape cannot be told apart.

        Raises:
            ModelFileError: a tensor is not in the model, or has another number of columns there.
        """
        tensors = {tensor.name: tensor for tensor in info.tensors}
        for name, importance in self.tensors.items():
            tensor = tensors.get(name)
            n_known = importance.sums.size
            if tensor is not None and n_known == n_columns(tensor):
                continue
            what = f"has {n_columns(tensor):,} there" if tensor is not None else "is not in that model"
            raise ModelFileError(
                f"{path or 'the importance matrix'} belongs to another model than {info.path}: {name}, of "
                f"which it has {n_known:,} columns, {what}; compute one from the model that is quantized",
                model=str(info.path),
            )


def n_columns(tensor: Tensor) -> int:
    """Columns that a tensor's importance has: those of all its matrices together."""
    return tensor.shape[0] * math.prod(tensor.shape[2:])


def load_importance(path: str | Path) -> ImportanceMatrix:
    """The matrix in a GGUF file of this module's or of llama-imatrix.

    Raises:
        ModelFileError: the file is missing, is no GGUF file (the older form of llama-imatrix, ``.dat``, is
            none), or holds no usable importance matrix.
    """
    path = Path(path)
    header = read_header(path)
    n_chunks, chunk_length = header.metadata.get(_N_CHUNKS), header.metadata.get(_CHUNK_LENGTH)
    names = [tensor.name.removesuffix(_SUMS) for tensor in header.tensors if tensor.name.endswith(_SUMS)]
    if not isinstance(n_chunks, int) or not isinstance(chunk_length, int) or not names:
        raise file_error(path, "this is no importance matrix", _FIX)
    arrays = _arrays(path, header)
    tensors = {name: _tensor(path, name, arrays) for name in names}
    return ImportanceMatrix(tensors, n_chunks, chunk_length)


def _arrays(path: Path, header: GGUFHeader) -> dict[str, npt.NDArray[np.float32]]:
    """The tensors of 32-bit floats, without their shapes."""
    with file_errors(path):
        return {
            tensor.name: np.fromfile(
                path, dtype="<f4", count=tensor.n_weights, offset=header.weights_start + tensor.offset
            )
            for tensor in header.tensors
            if tensor.type.name == "F32"
        }


def _tensor(path: Path, name: str, arrays: Mapping[str, npt.NDArray[np.float32]]) -> TensorImportance:
    sums, counts = arrays.get(name + _SUMS), arrays.get(name + _COUNTS)
    if sums is None or counts is None or not sums.size or not counts.size or sums.size % counts.size:
        raise file_error(path, f"its sums and counts for {name} do not fit together", _FIX)
    usable = all(np.isfinite(values).all() and (values >= 0).all() for values in (sums, counts))
    if not usable:
        raise file_error(path, f"its sums or counts for {name} are negative or no numbers", _FIX)
    return TensorImportance(
        sums.astype(np.float64).reshape(counts.size, -1), np.rint(counts).astype(np.int64)
    )
