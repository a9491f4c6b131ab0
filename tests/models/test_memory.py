"""Estimates of memory against llama.cpp's own numbers, and refusals."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from plait.errors import ModelError, ModelMemoryError
from plait.models import GGUFInfo, MemoryEstimate, check_memory, estimate_memory, read_gguf
from plait.models._ggml_types import tensor_type
from plait.models._gguf import Tensor

Q4_K, Q6_K, Q8_0 = 12, 14, 8
MIB = 1 << 20


@pytest.fixture(scope="module")
def small(smollm2: Path) -> GGUFInfo:
    return read_gguf(smollm2)


@pytest.fixture(scope="module")
def measured(smollm2: Path) -> dict[tuple[str, int, int], dict[str, float]]:
    """What llama.cpp logs of its buffers, in bytes, by KV type, context and batch."""
    lib = pytest.importorskip("llama_cpp")
    from plait.models import _llama_library

    lines: list[str] = []
    collect = lib.llama_log_callback(lambda level, text, data: lines.append(text.decode(errors="replace")))
    library = _llama_library.llama_library()
    library.llama_log_set(collect, None)
    found = {}
    try:
        model = library.llama_model_load_from_file(bytes(smollm2), _llama_library.model_options(library))
        weights = buffers(lines)["model"]
        for kv_type, context_length, n_batch in [("f16", 2048, 512), ("f16", 8192, 128), ("q8_0", 2048, 128)]:
            options = library.llama_context_default_params()
            options.n_ctx, options.n_seq_max, options.kv_unified = context_length, 4, True
            options.n_batch = options.n_ubatch = n_batch
            options.type_k = options.type_v = {"f16": 1, "q8_0": 8}[kv_type]
            options.flash_attn_type = 1
            lines.clear()
            context = library.llama_init_from_model(model, options)
            found[kv_type, context_length, n_batch] = {"model": weights, **buffers(lines)}
            library.llama_free(context)
        library.llama_model_free(model)
    finally:
        library.llama_log_set(_llama_library._log_callback(library), None)
    return found


def buffers(lines: list[str]) -> dict[str, float]:
    """Bytes by kind: model, KV, compute, output."""
    sizes: dict[str, float] = {}
    for line in lines:
        match = re.search(r": +\S+ +(model|KV|compute|output) buffer size = +([\d.]+) MiB", line)
        if match and not line.startswith("~"):
            sizes[match[1]] = sizes.get(match[1], 0) + float(match[2]) * MIB
    return sizes


def test_the_estimate_is_what_llama_cpp_reserves(
    small: GGUFInfo, measured: dict[tuple[str, int, int], dict[str, float]]
) -> None:
    for (kv_type, context_length, n_batch), real in measured.items():
        estimate = estimate_memory(small, context_length=context_length, kv_type=kv_type, n_batch=n_batch)
        assert estimate.weights_bytes + estimate.repacked_bytes == pytest.approx(real["model"], rel=0.02)
        assert estimate.kv_bytes == pytest.approx(real["KV"], rel=0.001)
        assert estimate.compute_bytes == pytest.approx(real["compute"] + real["output"], rel=0.1)


def test_eight_bit_keys_and_values_take_little_more_than_half(small: GGUFInfo) -> None:
    wide = estimate_memory(small, context_length=4096).kv_bytes
    assert estimate_memory(small, context_length=4096, kv_type="q8_0").kv_bytes == wide * 34 // 64


def test_fewer_logits_take_less_and_no_flash_attention_takes_more(small: GGUFInfo) -> None:
    usual = estimate_memory(small, context_length=8192).compute_bytes
    assert estimate_memory(small, context_length=8192, n_outputs=64).compute_bytes < usual / 3
    assert estimate_memory(small, context_length=8192, flash_attention=False).compute_bytes == pytest.approx(
        166.4 * MIB, rel=0.05
    )


def test_layers_that_keep_no_cache_take_none(small: GGUFInfo) -> None:
    half = replace(small, kv_heads=(3, 0) * 15)
    whole = estimate_memory(small, context_length=1024).kv_bytes
    assert estimate_memory(half, context_length=1024).kv_bytes == whole // 2


@pytest.mark.parametrize(("machine", "kinds"), [("x86_64", {Q4_K}), ("arm64", {Q4_K, Q6_K, Q8_0})])
def test_what_the_cpu_repacks_depends_on_the_cpu(
    small: GGUFInfo, monkeypatch: pytest.MonkeyPatch, machine: str, kinds: set[int]
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    tensors = [Tensor(f"blk.0.{kind}", (256, 8), tensor_type(kind), 0) for kind in (Q4_K, Q6_K, Q8_0)]
    tensors += [
        Tensor("token_embd.weight", (256, 8), tensor_type(Q4_K), 0),  # looked up, not multiplied
        Tensor("output.weight", (256, 7), tensor_type(Q4_K), 0),  # no multiple of eight rows
    ]
    estimate = estimate_memory(replace(small, tensors=tuple(tensors)), context_length=256)
    assert estimate.repacked_bytes == sum(t.n_bytes for t in tensors[:3] if t.type in map(tensor_type, kinds))


def test_layers_go_to_the_gpu_from_the_last_one_on(small: GGUFInfo) -> None:
    estimates = [estimate_memory(small, context_length=2048, n_gpu_layers=n) for n in range(32)]
    on_gpu = [estimate.device_bytes for estimate in estimates]
    assert on_gpu[0] == 0
    assert on_gpu == sorted(on_gpu)
    assert all(estimate.host_bytes >= 0 for estimate in estimates)
    kv_of_a_layer = estimates[0].kv_bytes // 30
    assert on_gpu[2] - on_gpu[1] > kv_of_a_layer
    assert estimates[31].host_bytes < estimates[0].host_bytes / 2
    assert estimate_memory(small, context_length=2048, n_gpu_layers=999) == estimates[31]


def test_a_file_that_tells_nothing_of_the_model_is_estimated_by_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "empty.gguf"
    path.write_bytes(b"GGUF\x03\0\0\0" + bytes(16))
    estimate = estimate_memory(read_gguf(path), context_length=4096)
    assert (estimate.weights_bytes, estimate.kv_bytes) == (0, 0)
    assert estimate.total < 10 * MIB


def test_a_model_that_does_not_fit_is_refused_with_the_numbers() -> None:
    estimate = MemoryEstimate(4_400_000_000, 500_000_000, 200_000_000)
    with pytest.raises(ModelMemoryError) as caught:
        check_memory(estimate, 4_900_000_000, model="big")
    assert str(caught.value) == (
        "big needs 5.1 GB of memory (weights 4.4, KV 0.5, working memory 0.2) and 4.9 GB are free; "
        "choose a smaller context_length, kv_type 'q8_0' or a smaller model"
    )
    error = caught.value
    assert isinstance(error, ModelError)
    assert (error.model, error.needed_bytes, error.available_bytes) == ("big", 5_100_000_000, 4_900_000_000)
    assert (error.weights_bytes, error.kv_bytes, error.compute_bytes) == (
        4_400_000_000,
        500_000_000,
        200_000_000,
    )


def test_only_advice_that_can_help_is_given() -> None:
    estimate = MemoryEstimate(4_400_000_000, 500_000_000, 200_000_000)
    with pytest.raises(ModelMemoryError, match=r"choose a smaller model$"):
        check_memory(estimate, 3_000_000_000, model="big")
    with pytest.raises(ModelMemoryError, match=r"choose a smaller context_length or a smaller model$"):
        check_memory(estimate, 5_000_000_000, model="big", kv_type="q8_0")


def test_what_fits_or_cannot_be_known_is_not_refused() -> None:
    check_memory(MemoryEstimate(10, 10, 10), 30, model="m")
    check_memory(MemoryEstimate(10, 10, 10), None, model="m")
    check_memory(MemoryEstimate(10, 10, 10, device_bytes=25), 5, model="m")
    with pytest.raises(ModelMemoryError):
        check_memory(MemoryEstimate(10, 10, 10), 29, model="m")


def test_the_process_takes_no_more_than_the_estimate(small: GGUFInfo, smollm2: Path) -> None:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("the process's memory is read from Linux's /proc")
    from plait.models._engine import Engine

    def resident() -> int:
        found = re.search(r"^VmRSS:\s+(\d+) kB$", status.read_text(), flags=re.MULTILINE)
        assert found
        return int(found[1]) * 1024

    before = resident()
    engine = Engine(smollm2, context_length=2048)
    engine.compute(engine.vocabulary.tokenize("The quick brown fox jumps over the lazy dog. " * 20)[:200])
    grown = resident() - before
    engine.close()
    estimate = estimate_memory(small, context_length=2048)
    # What llama.cpp reserves for logits is not touched where one token's are wanted; llama.cpp's own
    # tables of the vocabulary, some tens of MB, are not estimated.
    assert estimate.kv_bytes * 0.9 < grown < estimate.total + 64 * MIB
