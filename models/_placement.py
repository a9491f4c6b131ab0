"""Where a model runs: layers on a GPU, threads, and the type of its cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plait.models._gguf_info import GGUFInfo
from plait.models._hardware import Device, Machine
from plait.models._memory import KVType, MemoryEstimate, attention_weights_bytes, estimate_memory

_MARGIN_BYTES = 512 << 20  # left free on a GPU: for the desktop, and for what an estimate overlooks
_MARGIN_SHARE = 16  # the same as a share of the GPU's memory, where that is more
_THREADS_BESIDE_GPU = 4  # what the CPU has to do then is little
_ATTENTION_BYTES = 256 << 20  # of main memory, for a matrix that flash attention does without
_KV_BLOCK = 32  # heads of other lengths cannot be stored as 8-bit blocks


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs."""

    n_gpu_layers: int
    """Layers on the GPU as llama.cpp counts them: all are one more than the model has."""
    n_threads: int
    """CPU threads for one token at a time."""
    n_threads_batch: int
    """CPU threads for many tokens at a time."""
    flash_attention: bool | None
    """Whether to use it; ``None`` leaves it to llama.cpp, which does where the device can."""
    kv_type: KVType
    """How keys and values are stored."""
    device: str
    """ggml's name of where it runs, several joined with ``+``; ``"CPU"`` if no layer is on a GPU."""
    main_gpu: int | None
    """The one GPU to use, by its place among llama.cpp's; ``None`` spreads the layers over all of them."""
    estimate: MemoryEstimate
    """What it takes there."""


def choose_placement(
    info: GGUFInfo,
    machine: Machine,
    *,
    context_length: int,
    kv_type: KVType | None = None,
    n_batch: int = 512,
    n_sequences: int = 4,
    n_outputs: int | None = None,
) -> Placement:
    """Where to run the model: all of it on a GPU if it fits there, else as much as fits, else on the CPU.

    With ``kv_type`` ``None`` keys and values have 16 bits, or 8 if the model fits only so. The choice is
    made even if nothing fits; :func:`~plait.models._memory.check_memory` refuses. The other arguments are
    those of :func:`~plait.models._memory.estimate_memory`.
    """
    sizes: dict[str, Any] = {
        "context_length": context_length,
        "n_batch": n_batch,
        "n_sequences": n_sequences,
        "n_outputs": n_outputs,
    }
    is_matrix_small = attention_weights_bytes(info, context_length, n_batch) <= _ATTENTION_BYTES

    def place(n_gpu_layers: int, kv: KVType, gpus: Sequence[Device]) -> Placement:
        flash = _flash_attention(n_gpu_layers, kv, is_matrix_small=is_matrix_small)
        estimate = estimate_memory(
            info, **sizes, kv_type=kv, n_gpu_layers=n_gpu_layers, flash_attention=flash is not False
        )
        return _placement(estimate, n_gpu_layers, kv, flash, gpus, machine)

    kv_types = [kv_type] if kv_type is not None else _kv_types(info)
    n_all = (info.n_layers or 0) + 1
    for gpus in _groups(machine.gpus):
        for kv in kv_types:
            placement = place(n_all, kv, gpus)
            if placement.estimate.device_bytes <= _budget(gpus, machine):
                return placement
    for kv in kv_types:
        on_cpu = place(0, kv, ())
        if machine.available_bytes is None or on_cpu.estimate.total <= machine.available_bytes:
            break
    for n_layers in range(n_all - 1, 0, -1) if machine.gpus else ():
        placement = place(n_layers, kv, machine.gpus)
        if placement.estimate.device_bytes <= _budget(machine.gpus, machine):
            return placement
    return on_cpu


def _flash_attention(n_gpu_layers: int, kv_type: KVType, *, is_matrix_small: bool) -> bool | None:
    """Whether to use it: on a CPU it is the slower way, by ``benchmarks/flash_attention.py``."""
    if kv_type == "q8_0":  # of values; llama.cpp refuses it without
        return True
    return False if n_gpu_layers == 0 and is_matrix_small else None


def _kv_types(info: GGUFInfo) -> list[KVType]:
    lengths = (info.key_length or 1, info.value_length or 1)
    return ["f16", "q8_0"] if all(length % _KV_BLOCK == 0 for length in lengths) else ["f16"]


def _groups(gpus: Sequence[Device]) -> list[tuple[Device, ...]]:
    """GPUs to try: the one with the most free memory, then all; layers on several cost transfers."""
    if not gpus:
        return []
    best = max(gpus, key=lambda gpu: gpu.free_bytes)
    return [(best,)] if len(gpus) == 1 else [(best,), tuple(gpus)]


def _budget(gpus: Sequence[Device], machine: Machine) -> int:
    """Bytes that a model may take on these GPUs."""
    free = sum(max(0, gpu.free_bytes - max(_MARGIN_BYTES, gpu.total_bytes // _MARGIN_SHARE)) for gpu in gpus)
    if any(gpu.is_unified for gpu in gpus) and machine.available_bytes is not None:
        return min(free, machine.available_bytes)
    return free


def _placement(
    estimate: MemoryEstimate,
    n_gpu_layers: int,
    kv_type: KVType,
    flash_attention: bool | None,
    gpus: Sequence[Device],
    machine: Machine,
) -> Placement:
    is_mostly_on_gpu = bool(gpus) and estimate.host_bytes < estimate.device_bytes
    n_most = _THREADS_BESIDE_GPU if is_mostly_on_gpu else machine.cores.n_all
    return Placement(
        n_gpu_layers=n_gpu_layers,
        n_threads=min(machine.cores.n_fast, n_most),
        n_threads_batch=min(machine.cores.n_all, n_most),
        flash_attention=flash_attention,
        kv_type=kv_type,
        device="+".join(gpu.name for gpu in gpus) or "CPU",
        main_gpu=machine.gpus.index(gpus[0]) if len(gpus) == 1 else None,
        estimate=estimate,
    )
