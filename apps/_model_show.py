"""``plait models show``: what is in a GGUF file, what it takes of memory, and where it would run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from plait.apps._output import OK, Output
from plait.errors import MissingExtraError
from plait.models import (
    GGUFInfo,
    KVType,
    MemoryEstimate,
    Placement,
    available_memory,
    choose_placement,
    estimate_memory,
    read_gguf,
    resolve,
    this_machine,
)

_DEFAULT_CONTEXT = 8192  # the local engine's


@dataclass(frozen=True, slots=True)
class _Account:
    """All that is said about one file."""

    info: GGUFInfo
    context_length: int
    kv_type: KVType
    memory: MemoryEstimate
    placement: Placement | None
    free_bytes: int | None

    @property
    def fits(self) -> bool | None:
        """Whether there is enough memory; ``None`` where that is not known."""
        return None if self.free_bytes is None else self.memory.host_bytes <= self.free_bytes


def show(model: str, context_length: int | None, kv_type: KVType, output: Output) -> int:
    """Say what is in the file of a catalog name or a path.

    Raises:
        UnknownModelError, ModelFileError: there is no such file, or it is no whole GGUF file.
    """
    info = read_gguf(resolve(model, download=False))
    length = context_length or min(info.context_length or _DEFAULT_CONTEXT, _DEFAULT_CONTEXT)
    account = _account(info, length, kv_type)
    if output.as_json:
        output.document(_document(account))
        return OK
    lines = list(_facts(info)) + list(_types(info)) + list(_needs(account))
    width = max(len(label) for label, _ in lines)
    output.text("\n".join(f"{label:{width}}  {value}" for label, value in lines))
    return OK


def _account(info: GGUFInfo, context_length: int, kv_type: KVType) -> _Account:
    try:
        machine = this_machine()
    except MissingExtraError:  # the file can be looked at without what would run it
        memory = estimate_memory(info, context_length=context_length, kv_type=kv_type)
        return _Account(info, context_length, kv_type, memory, None, available_memory())
    placement = choose_placement(info, machine, context_length=context_length, kv_type=kv_type)
    return _Account(info, context_length, kv_type, placement.estimate, placement, machine.available_bytes)


def _facts(info: GGUFInfo) -> Iterator[tuple[str, str]]:
    """What the file tells of the model; nothing about what it does not tell."""
    heads = f"{info.n_heads} ({info.n_kv_heads} with keys and values)" if info.n_heads else None
    experts = f"{info.n_experts} ({info.n_experts_used} used)" if info.n_experts else None
    template = "knows tools" if info.template_knows_tools else "without tools"
    facts = {
        "file": str(info.path),
        "size": size(info.file_bytes),
        "name": info.name,
        "architecture": info.architecture or "not told",
        "parameters": parameters(info.n_parameters),
        "quantization": info.quantization,
        "context": f"{info.context_length} tokens" if info.context_length else None,
        "layers": info.n_layers,
        "heads": heads,
        "head size": f"{info.key_length} (keys), {info.value_length} (values)" if info.key_length else None,
        "embedding": info.embedding_length,
        "sliding window": f"{info.sliding_window} tokens" if info.sliding_window else None,
        "experts": experts,
        "vocabulary": f"{info.n_vocab} tokens" if info.n_vocab else None,
        "tokenizer": info.tokenizer,
        "chat template": template if info.has_chat_template else "none",
        "licence": info.licence,
        "author": info.author,
        "url": info.url,
    }
    # What a file tells may hold line breaks, and a line of output is one fact.
    return ((label, " ".join(str(value).split())) for label, value in facts.items() if value is not None)


def _types(info: GGUFInfo) -> Iterator[tuple[str, str]]:
    for name, n_bytes in info.bytes_by_type.items():
        n_tensors = sum(tensor.type.name == name for tensor in info.tensors)
        share = n_bytes / info.weights_bytes if info.weights_bytes else 0.0
        yield f"tensors {name}", f"{n_tensors}, {size(n_bytes)} ({share:.1%})"


def _needs(account: _Account) -> Iterator[tuple[str, str]]:
    memory = account.memory
    parts = f"weights {size(memory.weights_bytes)}, KV {size(memory.kv_bytes)}"
    yield (
        "memory",
        f"{size(memory.total)} ({parts}, working memory {size(memory.compute_bytes)}) "
        f"with {account.context_length} tokens of context, KV {account.kv_type}",
    )
    if memory.repacked_bytes:
        yield (
            "repacked",
            f"{size(memory.repacked_bytes)} of the weights, which the file's cached pages hold again",
        )
    if account.free_bytes is not None:
        yield "free memory", size(account.free_bytes) + ("" if account.fits else ": too little")
    if account.placement is not None:
        yield "runs on", _where(account.placement, account.info)


def _where(placement: Placement, info: GGUFInfo) -> str:
    threads = f"{placement.n_threads} threads, {placement.n_threads_batch} for prompts"
    if placement.n_gpu_layers == 0:
        return f"{placement.device}, {threads}"
    n_all = (info.n_layers or 0) + 1
    layers = (
        "all layers" if placement.n_gpu_layers >= n_all else f"{placement.n_gpu_layers} of {n_all} layers"
    )
    return f"{placement.device} with {layers} ({size(placement.estimate.device_bytes)}), {threads}"


def _document(account: _Account) -> dict[str, Any]:
    info, memory, placement = account.info, account.memory, account.placement
    return {
        "path": str(info.path),
        "size_bytes": info.file_bytes,
        "name": info.name,
        "architecture": info.architecture,
        "parameters": info.n_parameters,
        "quantization": info.quantization,
        "context_length": info.context_length,
        "layers": info.n_layers,
        "heads": info.n_heads,
        "kv_heads": info.n_kv_heads,
        "key_length": info.key_length,
        "value_length": info.value_length,
        "embedding_length": info.embedding_length,
        "sliding_window": info.sliding_window,
        "experts": info.n_experts,
        "experts_used": info.n_experts_used,
        "vocabulary": info.n_vocab,
        "tokenizer": info.tokenizer,
        "chat_template": info.has_chat_template,
        "template_knows_tools": info.template_knows_tools,
        "licence": info.licence,
        "author": info.author,
        "url": info.url,
        "weights_bytes": info.weights_bytes,
        "tensor_types": info.bytes_by_type,
        "memory": {
            "context_length": account.context_length,
            "kv_type": account.kv_type,
            "weights_bytes": memory.weights_bytes,
            "kv_bytes": memory.kv_bytes,
            "compute_bytes": memory.compute_bytes,
            "repacked_bytes": memory.repacked_bytes,
            "device_bytes": memory.device_bytes,
            "total_bytes": memory.total,
            "free_bytes": account.free_bytes,
            "fits": account.fits,
        },
        "placement": placement
        and {
            "device": placement.device,
            "gpu_layers": placement.n_gpu_layers,
            "threads": placement.n_threads,
            "threads_batch": placement.n_threads_batch,
        },
    }


def parameters(n: int) -> str:
    """A number of weights in short, e.g. ``"1.5B"``."""
    return f"{n / 1e9:.1f}B" if n >= 1e9 else f"{n / 1e6:.0f}M"


def size(n_bytes: int) -> str:
    """A size in short, e.g. ``"1.1 GB"``."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"
