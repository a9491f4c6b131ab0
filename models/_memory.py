"""What a model will take of memory, estimated before it is loaded, and whether there is that much."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from plait.errors import ModelMemoryError
from plait.models._gguf import Tensor
from plait.models._gguf_info import GGUFInfo

KVType = Literal["f16", "q8_0"]
"""How keys and values are stored: as 16-bit numbers, or as 8-bit ones in blocks of 32."""

_KV_BLOCKS: dict[KVType, tuple[int, int]] = {"f16": (1, 2), "q8_0": (32, 34)}
_CELLS = 256  # llama.cpp rounds the number of cells up to a multiple of this
_FLOAT = 4
_REPACKED_X86 = frozenset({"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"})
_REPACKED_ARM = _REPACKED_X86 | {"Q5_K", "Q6_K", "Q8_0"}


@dataclass(frozen=True)
class MemoryEstimate:
    """What a model and its context take of memory, in bytes."""

    weights_bytes: int
    """Weights. Those in main memory lie in the mapped file, but for the repacked ones."""
    kv_bytes: int
    """Keys and values of all cells of the cache."""
    compute_bytes: int
    """Intermediate results and logits, reserved for the largest batch; what small batches leave unused
    is never touched."""
    device_bytes: int = 0
    """What of all that lies in the memory of the GPU."""
    repacked_bytes: int = 0
    """Weights that llama.cpp copies into a layout that suits the CPU. The file's own pages of these stay
    mapped, and count as the process's, until the system wants them back; not part of ``total``."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes

    @property
    def host_bytes(self) -> int:
        """What lies in main memory."""
        return self.total - self.device_bytes


def estimate_memory(
    info: GGUFInfo,
    *,
    context_length: int,
    kv_type: KVType = "f16",
    n_batch: int = 512,
    n_sequences: int = 4,
    n_outputs: int | None = None,
    n_gpu_layers: int = 0,
    flash_attention: bool = True,
) -> MemoryEstimate:
    """What the model will take, by the formulas of llama.cpp's own allocations.

    Args:
        info: the file's header. What it does not tell counts as nothing, so that the estimate for an
            architecture that is not known is on the low side.
        context_length: tokens in the cache, of all sequences together.
        kv_type: how keys and values are stored.
        n_batch: tokens computed at a time, at most.
        n_sequences: sequences that share the cache.
        n_outputs: tokens of a batch whose logits are wanted, at most; ``None`` is all.
        n_gpu_layers: layers in the GPU's memory as llama.cpp counts them: the output is the last one, and
            the last ones go first.
        flash_attention: whether attention is computed without its matrix of weights.
    """
    parts = _Parts(info)
    layers = range(info.n_layers or 0)
    first_on_gpu = max(len(layers) + 1 - n_gpu_layers, 0) if n_gpu_layers > 0 else len(layers) + 1
    on_gpu = [layer for layer in layers if layer >= first_on_gpu]
    outputs = n_batch if n_outputs is None else min(n_batch, n_outputs)
    compute = max(
        _layer_compute(info, context_length, n_batch, flash_attention=flash_attention),
        _FLOAT * outputs * ((info.n_vocab or 0) + 2 * (info.embedding_length or 0)),
    )
    logits = _FLOAT * n_sequences * (info.n_vocab or 0)
    kv = [_kv_bytes(info, layer, context_length, kv_type) for layer in layers]
    device = sum(parts.layers.get(layer, 0) + kv[layer] for layer in on_gpu)
    device += (parts.output + compute) if n_gpu_layers > 0 else 0
    # Where the output's weights are the embedding's, a GPU has a copy of them.
    copied = parts.output if n_gpu_layers > 0 and parts.is_tied else 0
    inputs = 2 * _FLOAT * n_batch * (info.embedding_length or 0)
    host_compute = inputs if len(on_gpu) == len(layers) else compute
    return MemoryEstimate(
        weights_bytes=info.weights_bytes + copied,
        kv_bytes=sum(kv),
        compute_bytes=logits + (compute + host_compute if n_gpu_layers > 0 else compute),
        device_bytes=device,
        repacked_bytes=parts.repacked(first_on_gpu, output=n_gpu_layers == 0),
    )


class _Parts:
    """The weights of a file by where they may lie."""

    def __init__(self, info: GGUFInfo) -> None:
        self._tensors = info.tensors
        self.layers: dict[int, int] = {}
        for tensor in info.tensors:
            layer = _layer(tensor)
            if layer is not None:
                self.layers[layer] = self.layers.get(layer, 0) + tensor.n_bytes

    @cached_property
    def is_tied(self) -> bool:
        """Whether the output's weights are the embedding's."""
        return not any(tensor.name == "output.weight" for tensor in self._tensors)

    @cached_property
    def output(self) -> int:
        """Bytes of what comes after the last layer."""
        names = ("output", "token_embd.") if self.is_tied else ("output",)
        return sum(tensor.n_bytes for tensor in self._tensors if tensor.name.startswith(names))

    def repacked(self, n_layers: int, *, output: bool) -> int:
        """Bytes that the CPU repacks of the first ``n_layers`` layers, and of the output if that is its."""
        names = {"output.weight", *(["token_embd.weight"] if self.is_tied else [])} if output else set()
        return sum(
            tensor.n_bytes
            for tensor in self._tensors
            if (tensor.name in names or ((layer := _layer(tensor)) is not None and layer < n_layers))
            and _is_repacked(tensor)
        )


def _layer(tensor: Tensor) -> int | None:
    """The layer that a tensor belongs to; none for embedding and output."""
    prefix, _, rest = tensor.name.partition(".")
    number = rest.partition(".")[0]
    return int(number) if prefix == "blk" and number.isdecimal() else None


def _is_repacked(tensor: Tensor) -> bool:
    """Whether llama.cpp repacks such a tensor on this kind of CPU."""
    types = _REPACKED_ARM if platform.machine().lower() in {"arm64", "aarch64"} else _REPACKED_X86
    return tensor.type.name in types and len(tensor.shape) >= 2 and tensor.shape[1] % 8 == 0


def _kv_bytes(info: GGUFInfo, layer: int, context_length: int, kv_type: KVType) -> int:
    """Bytes of one layer's cache. llama.cpp gives layers with a sliding window as much as the others."""
    n_heads = info.kv_heads[layer] if layer < len(info.kv_heads) else 0
    n_cells = -(-context_length // _CELLS) * _CELLS
    block, size = _KV_BLOCKS[kv_type]
    lengths = (n_heads * (info.key_length or 0), n_heads * (info.value_length or 0))
    return sum(n_cells * -(-length // block) * size for length in lengths)


def _layer_compute(info: GGUFInfo, context_length: int, n_batch: int, *, flash_attention: bool) -> int:
    """Bytes of one layer's intermediate results; layers use the same ones in turn.

    Fitted to what llama.cpp reports for Llama and Qwen2 models: the widest point is in the feed-forward
    part, or in the attention where its matrix of weights exists.
    """
    embedding, n_cells = info.embedding_length or 0, -(-context_length // _CELLS) * _CELLS
    feed_forward = _FLOAT * n_batch * (3 * (info.feed_forward_length or 0) + 4 * embedding)
    mask = n_cells * n_batch * (_FLOAT // 2 if flash_attention else _FLOAT)
    if flash_attention:
        return mask + feed_forward
    attention = attention_weights_bytes(info, context_length, n_batch) + _FLOAT * n_batch * 6 * embedding
    return mask + max(attention, feed_forward)


def attention_weights_bytes(info: GGUFInfo, context_length: int, n_batch: int) -> int:
    """Bytes of one layer's matrix of attention weights, which flash attention does without."""
    n_cells = -(-context_length // _CELLS) * _CELLS
    return _FLOAT * n_batch * (info.n_heads or 0) * n_cells


def check_memory(
    estimate: MemoryEstimate, available_bytes: int | None, *, model: str, kv_type: KVType = "f16"
) -> None:
    """Refuse a model that does not fit into main memory.

    ``available_bytes`` is what :func:`available_memory` says; ``None``, where that is not known, refuses
    nothing.

    Raises:
        ModelMemoryError: it does not fit; has the numbers, and the message says what to do.
    """
    if available_bytes is not None and estimate.host_bytes > available_bytes:
        raise ModelMemoryError(
            needed_bytes=estimate.host_bytes,
            available_bytes=available_bytes,
            weights_bytes=estimate.weights_bytes,
            kv_bytes=estimate.kv_bytes,
            compute_bytes=estimate.compute_bytes,
            device_bytes=estimate.device_bytes,
            kv_type=kv_type,
            model=model,
        )
