"""Tensors of a graph that llama.cpp computes, looked at from its callback."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.errors import ModelError
from plait.models._hardware import ggml_functions

_F32, _I32 = 0, 26  # ggml's numbers of tensor types
_DTYPES = {_F32: np.float32, _I32: np.int32}


class TensorFields(ctypes.Structure):
    """``struct ggml_tensor`` of ggml.h, up to the name.

    ggml has no functions that tell a tensor's operands and sizes. That an installed version still has
    this layout is checked by :meth:`TensorAccess.check`.
    """

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),  # sizes of the dimensions, the contiguous one first
        ("nb", ctypes.c_size_t * 4),  # bytes from one element to the next in each of them
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),  # operands
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
    )


class TensorAccess:
    """What can be asked about tensors, each given by its address.

    Raises:
        ModelError: this build of llama.cpp does not offer the functions.
    """

    def __init__(self) -> None:
        address, number, size = ctypes.c_void_p, ctypes.c_int64, ctypes.c_size_t
        self._name_address = _function("ggml_get_name", address, address)
        self._data_address = _function("ggml_get_data", address, address)
        self._n_elements = _function("ggml_nelements", number, address)
        self._n_bytes = _function("ggml_nbytes", size, address)
        self._op_of = _function("ggml_op_desc", ctypes.c_char_p, address)
        self._op_name = _function("ggml_op_name", ctypes.c_char_p, ctypes.c_int)
        self._copy = _function("ggml_backend_tensor_get", None, address, address, size, size)

    def op(self, address: int) -> bytes:
        """The operation that makes the tensor, e.g. ``b"MUL_MAT"``."""
        return bytes(self._op_of(address))

    def name(self, address: int) -> str:
        """Its name, without what a GPU's copy of a weight has around it: ``CUDA0#blk.0.attn_k.weight#0``."""
        name = ctypes.string_at(self._name_address(address)).decode(errors="replace")
        return name.split("#")[1] if "#" in name else name

    def operand(self, address: int, index: int) -> int:
        """The address of one of the tensors that it is made of; 0 if there is none."""
        return TensorFields.from_address(address).src[index] or 0

    def is_float32(self, address: int) -> bool:
        """Whether its values are 32-bit floats."""
        return bool(TensorFields.from_address(address).type == _F32)

    def shape(self, address: int) -> tuple[int, ...]:
        """Its four sizes, as numpy orders them: the contiguous dimension last."""
        return tuple(reversed(TensorFields.from_address(address).ne))

    def values(self, address: int) -> npt.NDArray[Any]:
        """A copy of its values (32-bit floats or integers), in the shape :meth:`shape`."""
        fields, n_bytes = TensorFields.from_address(address), self._n_bytes(address)
        data = np.empty(n_bytes, dtype=np.uint8)
        self._copy(address, data.ctypes.data, 0, n_bytes)
        values = data.view(_DTYPES[fields.type])
        return np.lib.stride_tricks.as_strided(values, self.shape(address), tuple(reversed(fields.nb)))

    def check(self, address: int) -> None:
        """Refuse a version of ggml that lays tensors out in another way than :class:`TensorFields`.

        ``address`` is that of the product of two matrices.

        Raises:
            ModelError: what the fields say differs from what ggml's functions say.
        """
        fields = TensorFields.from_address(address)
        agrees = (
            self._name_address(address) == address + TensorFields.name.offset
            and self._data_address(address) == fields.data
            and self._n_elements(address) == math.prod(fields.ne)
            and self._op_name(fields.op) == self.op(address)
        )
        if not agrees:
            raise ModelError(
                "the installed llama-cpp-python lays its tensors out in a way that plait does not know, and "
                "it cannot watch them; install version 0.3.36, or quantize without an importance matrix"
            )


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = ggml_functions()(name)
    if function is None:
        raise ModelError(
            f"the installed llama-cpp-python has no function {name}, so that plait cannot watch a model; "
            "install version 0.3.36, or quantize without an importance matrix"
        )
    function.restype, function.argtypes = result, list(arguments)
    return function
