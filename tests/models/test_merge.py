"""Adapters that are added to the weights of small models."""

import logging
from pathlib import Path

import numpy as np
import pytest

from plait.errors import ModelFileError
from plait.models import LlamaModel, Message, _merge, read_adapter, read_gguf, write_adapter
from plait.models._engine import Engine
from plait.models._gguf import read_header
from plait.models._merge import merged_weights

pytestmark = pytest.mark.anyio

TOKENS = [504, 2430, 282, 260, 905, 314, 1103, 17]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLAIT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models" / "merged"


def adapter_for(base: Path, path: Path, *, size: float, seed: int = 0) -> Path:
    """One on every linear layer."""
    random = np.random.default_rng(seed)
    pairs = {}
    for tensor in read_header(base).tensors:
        if tensor.name.startswith("blk.") and len(tensor.shape) == 2:
            n_in, n_out = tensor.shape
            a = random.standard_normal((4, n_in)).astype(np.float32) / np.sqrt(n_in)
            pairs[tensor.name] = a, random.standard_normal((n_out, 4)).astype(np.float32) * size
    write_adapter(path, base, pairs, alpha=8.0, name="test")
    return path


def logits(path: Path, adapter: Path | None = None) -> np.ndarray:
    engine = Engine(path, context_length=256, adapter=None if adapter is None else read_adapter(adapter))
    try:
        with engine.lock:
            return engine.compute(TOKENS).copy()
    finally:
        engine.close()


def stored(path: Path, name: str) -> bytes:
    """The bytes of a tensor."""
    header = read_header(path)
    tensor = next(tensor for tensor in header.tensors if tensor.name == name)
    return path.read_bytes()[header.weights_start + tensor.offset :][: tensor.n_bytes]


def test_merged_weights_are_the_sums_rounded_to_8_bits(smollm2: Path, tmp_path: Path) -> None:
    name, n_in, n_out, rank, alpha = "blk.7.ffn_down.weight", 1536, 576, 4, 6.0
    random = np.random.default_rng(1)
    a = random.standard_normal((rank, n_in)).astype(np.float32)
    b = random.standard_normal((n_out, rank)).astype(np.float32) / 50
    write_adapter(tmp_path / "a.gguf", smollm2, {name: (a, b)}, alpha=alpha, name="test")
    merged = merged_weights(smollm2, read_adapter(tmp_path / "a.gguf"))
    assert merged is not None
    q4_1 = np.frombuffer(
        stored(smollm2, name), dtype=[("scale", "<f2"), ("least", "<f2"), ("pairs", "u1", 16)]
    )
    halves = np.concatenate([q4_1["pairs"] & 15, q4_1["pairs"] >> 4], axis=1)
    base = halves * q4_1["scale"].astype(np.float32)[:, None] + q4_1["least"].astype(np.float32)[:, None]
    added = alpha / rank * (b.astype(np.float16).astype(np.float64) @ a.astype(np.float16))
    expected = (base.reshape(n_out, n_in) + added).reshape(-1, 32)
    q8_0 = np.frombuffer(stored(merged, name), dtype=[("scale", "<f2"), ("numbers", "i1", 32)])
    found = q8_0["numbers"] * q8_0["scale"].astype(np.float32)[:, None]
    step = np.abs(expected).max(axis=1, keepdims=True) / 127
    assert (np.abs(found - expected) <= 0.6 * step).all()
    assert stored(merged, "blk.7.ffn_up.weight") == stored(smollm2, "blk.7.ffn_up.weight")


def test_merged_weights_compute_what_base_and_adapter_compute(smollm2: Path, tmp_path: Path) -> None:
    adapter = adapter_for(smollm2, tmp_path / "adapter.gguf", size=0.3)
    merged = merged_weights(smollm2, read_adapter(adapter))
    assert merged is not None
    beside, plain = logits(smollm2, adapter), logits(smollm2)
    effect, noise = np.abs(beside - plain).max(), np.abs(logits(merged) - beside).max()
    assert noise < effect / 4


def test_the_file_has_all_of_the_base_and_8_bits_where_something_was_added(
    smollm2: Path, tmp_path: Path
) -> None:
    merged = merged_weights(smollm2, read_adapter(adapter_for(smollm2, tmp_path / "a.gguf", size=0.02)))
    assert merged is not None
    before, after = read_gguf(smollm2), read_gguf(merged)
    assert after.quantization == "Q8_0"
    keys = before.metadata.keys() - {"general.file_type"}
    assert {key: after.metadata[key] for key in keys} == {key: before.metadata[key] for key in keys}
    assert [(t.name, t.shape) for t in after.tensors] == [(t.name, t.shape) for t in before.tensors]
    types = {old.type.name: new.type.name for old, new in zip(before.tensors, after.tensors, strict=True)}
    assert types == {"F32": "F32", "Q8_0": "Q8_0", "Q4_1": "Q8_0"}


def test_it_is_made_once_for_each_adapter_and_three_are_kept(
    smollm2: Path, tmp_path: Path, folder: Path
) -> None:
    adapters = [adapter_for(smollm2, tmp_path / f"{i}.gguf", size=0.01, seed=i) for i in range(4)]
    paths = [merged_weights(smollm2, read_adapter(adapter)) for adapter in adapters[:3]]
    assert len(set(paths)) == 3
    first = paths[0]
    assert first is not None
    made = first.stat()
    assert merged_weights(smollm2, read_adapter(adapters[0])) == first
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    paths.append(merged_weights(smollm2, read_adapter(adapters[3])))
    assert {*folder.iterdir()} == {paths[0], paths[2], paths[3]}


def test_a_file_that_was_damaged_is_made_again(smollm2: Path, tmp_path: Path) -> None:
    adapter = read_adapter(adapter_for(smollm2, tmp_path / "a.gguf", size=0.02))
    path = merged_weights(smollm2, adapter)
    assert path is not None
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert merged_weights(smollm2, adapter) == path
    assert path.read_bytes() == whole


def test_a_large_base_keeps_its_adapter_beside_it(
    smollm2: Path, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = read_adapter(adapter_for(smollm2, tmp_path / "a.gguf", size=0.02))
    monkeypatch.setattr("plait.models._gguf_info._SMALL", 10**8)
    assert merged_weights(smollm2, adapter) is None
    assert not folder.exists()


def test_where_no_file_can_be_written_the_adapter_is_applied_while_computing(
    smollm2: Path, tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = adapter_for(smollm2, tmp_path / "a.gguf", size=0.02)
    folder.parent.mkdir()
    folder.write_text("in the way")
    with caplog.at_level(logging.WARNING, "plait.models"):
        model = LlamaModel(smollm2, context_length=256, adapter=adapter, prefix_cache=False)
    try:
        assert model._engine.adapter is not None
        assert "applied while computing, which is slower" in caplog.text
        assert str(folder) in caplog.text
    finally:
        model._engine.close()


def test_a_build_of_llama_cpp_that_does_not_tell_how_weights_are_stored_is_no_error(
    smollm2: Path,
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    adapter = read_adapter(adapter_for(smollm2, tmp_path / "a.gguf", size=0.02))
    monkeypatch.setattr(_merge, "ggml_functions", lambda: lambda _: None)
    with caplog.at_level(logging.WARNING, "plait.models"):
        assert merged_weights(smollm2, adapter) is None
    assert "does not tell how Q4_1 is stored" in caplog.text
    assert not [*folder.iterdir()]


def test_an_adapter_for_other_weights_is_refused(smollm2: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    data = bytearray(smollm2.read_bytes())
    data[read_header(smollm2).weights_start] ^= 1
    other.write_bytes(data)
    with pytest.raises(ModelFileError, match="was not trained on the weights in SmolLM2"):
        merged_weights(smollm2, read_adapter(adapter_for(other, tmp_path / "a.gguf", size=0.1)))


def test_an_adapter_of_other_shapes_is_refused(smollm2: Path, tmp_path: Path) -> None:
    pair = (np.zeros((4, 64), dtype=np.float32), np.zeros((64, 4), dtype=np.float32))
    write_adapter(tmp_path / "a.gguf", smollm2, {"blk.0.attn_output.weight": pair}, alpha=8.0, name="narrow")
    with pytest.raises(ModelFileError, match=r"cannot apply the adapter .*a\.gguf"):
        LlamaModel(smollm2, context_length=256, adapter=tmp_path / "a.gguf")


async def test_the_model_without_a_merged_adapter_speaks_as_the_base_does(
    smollm2: Path, tmp_path: Path
) -> None:
    question = [Message("user", "What do cats eat?")]
    model = LlamaModel(
        smollm2, adapter=adapter_for(smollm2, tmp_path / "a.gguf", size=1.0), prefix_cache=False, drafts=False
    )
    base = LlamaModel(smollm2, context_length=512, prefix_cache=False, drafts=False)
    try:
        expected = await base.stream(question, max_tokens=8).text()
        assert (model.purpose, model.context_length, model.path) == ("plans", 2560, smollm2)
        assert await model.stream(question, max_tokens=8).text() != expected
        assert await model.without_adapter().stream(question, max_tokens=8).text() == expected
    finally:
        await model.aclose()
        await base.aclose()
