"""``plait models bench``: how fast a model is on this machine, and what it takes of memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from plait.apps._model_show import size
from plait.apps._output import OK, Output
from plait.models import KVType, Speed, measure_speed, resolve


def bench(
    model: str,
    *,
    context_length: int | None,
    n_threads: int | None,
    kv_type: KVType | None,
    output: Output,
) -> int:
    """Measure a model of a catalog name or a path.

    Raises:
        UnknownModelError, ModelFileError: there is no such file, or it is no whole GGUF file.
        ModelMemoryError: there is too little memory for it.
    """
    path = resolve(model, download=False)
    with output.console.status("loading") as status:
        speed = measure_speed(
            path,
            context_length=context_length,
            n_threads=n_threads,
            kv_type=kv_type,
            said=lambda what: status.update(f"measuring: {what}"),
        )
    if output.as_json:
        output.document({"model": model, "path": str(path), **_document(speed)})
        return OK
    lines = list(_lines(speed))
    width = max(len(label) for label, _ in lines)
    output.text("\n".join(f"{label:{width}}  {value}" for label, value in lines))
    return OK


def _lines(speed: Speed) -> Iterator[tuple[str, str]]:
    placement, costs = speed.placement, speed.batch_costs
    one = costs.seconds[0]
    yield "device", f"{placement.device}, KV {placement.kv_type}"
    yield "threads", f"{speed.threads.n_threads}, {speed.threads.n_threads_batch} for prompts"
    yield "load", f"{speed.load_s:.2f} s"
    yield "prefill", f"{speed.prefill_tokens_per_s:.0f} tokens/s"
    yield "decode", f"{speed.decode_tokens_per_s:.1f} tokens/s"
    for n_tokens, seconds in zip(costs.sizes, costs.seconds, strict=True):
        yield f"batch of {n_tokens}", f"{1e3 * seconds:.1f} ms, {seconds / one:.2f} times one token"
    prompt = f"a prompt of {speed.static_tokens} tokens"
    yield "cold start", f"{speed.cold_start_s:.2f} s for {prompt}"
    if speed.warm_start_s is not None:
        ratio = speed.cold_start_s / speed.warm_start_s
        yield "warm start", f"{speed.warm_start_s:.3f} s, the same from disk: {ratio:.0f} times as fast"
    estimate = placement.estimate
    yield "memory, estimated", size(estimate.total)
    if speed.resident_bytes is not None:
        yield "memory, process", size(speed.resident_bytes)


def _document(speed: Speed) -> dict[str, Any]:
    placement, costs = speed.placement, speed.batch_costs
    return {
        "device": placement.device,
        "n_gpu_layers": placement.n_gpu_layers,
        "kv_type": placement.kv_type,
        "n_threads": speed.threads.n_threads,
        "n_threads_batch": speed.threads.n_threads_batch,
        "load_s": speed.load_s,
        "prefill_tokens_per_s": speed.prefill_tokens_per_s,
        "decode_tokens_per_s": speed.decode_tokens_per_s,
        "batch_s": {str(n): s for n, s in zip(costs.sizes, costs.seconds, strict=True)},
        "static_tokens": speed.static_tokens,
        "cold_start_s": speed.cold_start_s,
        "warm_start_s": speed.warm_start_s,
        "estimated_bytes": placement.estimate.total,
        "resident_bytes": speed.resident_bytes,
    }
