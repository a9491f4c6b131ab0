"""Quantizing a file: what comes out, what an importance matrix is worth, and what is refused."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics  # type: ignore[import-untyped]
from typing import Any

import llama_cpp
import numpy as np
import pytest

from plait.errors import ConfigurationError, ModelError, ModelFileError
from plait.models import read_gguf
from plait.models._gguf_writer import write_gguf
from plait.models._importance import ImportanceMatrix, TensorImportance
from plait.models._importance_run import compute_importance
from plait.models._llama_library import model_options
from plait.models._quantize import QUANTIZATIONS, find_quantization, quantize
from plait.models._quantize_job import QuantizeJob

Write = Callable[..., Path]
COLUMNS = 256


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model of 32-bit weights, whole enough to be quantized."""
    return write_source(tmp_path / "source.gguf")


def write_source(path: Path, **more: Any) -> Path:
    random = np.random.default_rng(0)
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "llama.context_length": 128,
        "llama.embedding_length": COLUMNS,
        "llama.block_count": 1,
        "llama.feed_forward_length": 512,
        "llama.attention.head_count": 4,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        **more,
    }
    tensors = {
        "token_embd.weight": random.standard_normal((32, COLUMNS)),
        "blk.0.attn_norm.weight": np.ones(COLUMNS),
        "blk.0.attn_q.weight": random.standard_normal((64, COLUMNS)),
        "blk.0.attn_v.weight": random.standard_normal((64, COLUMNS)),
    }
    write_gguf(path, metadata, tensors)
    return path


def importance(name: str = "blk.0.attn_q.weight", n: int = COLUMNS) -> ImportanceMatrix:
    sums = np.random.default_rng(1).gamma(0.3, size=(1, n))
    return ImportanceMatrix({name: TensorImportance(sums, np.array([16]))}, 1, 16)


def types(path: Path) -> dict[str, str]:
    return {tensor.name: tensor.type.name for tensor in read_gguf(path).tensors}


@pytest.mark.parametrize(
    ("quantization", "written", "main"),
    [
        ("Q8_0", "Q8_0", "Q8_0"),
        ("q4_0", "Q4_0", "Q4_0"),
        ("Q4_K", "Q4_K_M", "Q4_K"),
        ("IQ4_XS", "IQ4_XS", "IQ4_XS"),
        ("F16", "F16", "F16"),
    ],
)
def test_the_weights_have_the_type_that_was_asked_for(
    source: Path, quantization: str, written: str, main: str
) -> None:
    target = source.with_name("target.gguf")
    steps: list[tuple[int, int]] = []
    done = quantize(source, target, quantization, progress=lambda *step: steps.append(step))
    found = types(target)
    assert (found["blk.0.attn_q.weight"], found["blk.0.attn_norm.weight"]) == (main, "F32")
    assert done.quantization == done.target.quantization == written
    assert done.target.file_bytes == target.stat().st_size < source.stat().st_size
    assert steps == [(i, 4) for i in range(4)]
    assert (done.n_quantized, done.n_weighted) == (0 if main == "F16" else 3, 0)
    assert sorted(source.parent.iterdir()) == [source, target]


def test_a_matrix_changes_the_weights_it_is_about_and_no_others(source: Path) -> None:
    plain, weighted = source.with_name("plain.gguf"), source.with_name("weighted.gguf")
    quantize(source, plain, "Q4_K_M")
    done = quantize(source, weighted, "Q4_K_M", importance=importance())
    assert (done.n_weighted, done.n_quantized) == (1, 3)
    assert done.target.metadata["quantize.imatrix.entries_count"] == 1
    assert done.target.metadata["quantize.imatrix.chunks_count"] == 1
    assert weights(plain, "blk.0.attn_q.weight") != weights(weighted, "blk.0.attn_q.weight")
    for same in ("blk.0.attn_v.weight", "token_embd.weight"):
        assert weights(plain, same) == weights(weighted, same)


def weights(path: Path, name: str) -> bytes:
    info = read_gguf(path)
    tensor = next(tensor for tensor in info.tensors if tensor.name == name)
    last = max(info.tensors, key=lambda t: t.offset)
    start = info.file_bytes - (last.offset + -(-last.n_bytes // 32) * 32) + tensor.offset
    return path.read_bytes()[start : start + tensor.n_bytes]


def test_the_smallest_quantizations_are_made_with_a_matrix(source: Path) -> None:
    both = importance().tensors | importance("blk.0.attn_v.weight").tensors
    target = source.with_name("target.gguf")
    quantize(source, target, "Q2_K_S", importance=ImportanceMatrix(both, 1, 16))
    assert types(target)["blk.0.attn_q.weight"] == "Q2_K"


def test_with_a_matrix_answers_stay_closer_to_the_source(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a text of another subject than the matrix is from, with the same types; a quarter less."""
    options = model_options(llama_cpp)
    monkeypatch.setattr(llama_cpp.llama_cpp, "llama_model_default_params", lambda: options)
    matrix = compute_importance(smollm2, topics["specialnames"], chunk_length=128, max_chunks=1)
    plain, weighted = tmp_path / "plain.gguf", tmp_path / "weighted.gguf"
    quantize(smollm2, plain, "Q3_K_S", requantize=True)
    done = quantize(smollm2, weighted, "Q3_K_S", importance=matrix, requantize=True)
    assert done.n_weighted > 0.9 * done.n_quantized
    assert types(plain) == types(weighted)
    text = topics["import"]
    wanted = log_probabilities(smollm2, text)
    lost, lost_weighted = (divergence(wanted, log_probabilities(path, text)) for path in (plain, weighted))
    assert 0 < lost_weighted < 0.85 * lost


def log_probabilities(path: Path, text: str, n: int = 128) -> Any:
    """Of every next token after each of the first ``n``."""
    model = llama_cpp.Llama(os.fspath(path), n_ctx=n, n_batch=n, logits_all=True, verbose=False)
    model.eval(model.tokenize(text.encode())[:n])
    logits = np.array(model.scores[:n], dtype=np.float64)
    model.close()
    logits -= logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def divergence(wanted: Any, got: Any) -> float:
    """Kullback-Leibler's, mean over the tokens, in nats."""
    return float((np.exp(wanted) * (wanted - got)).sum(axis=1).mean())


def test_an_unknown_quantization_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigurationError, match=r"no quantization 'Q9'.*Q4_K_M.*Q8_0"):
        find_quantization("Q9")
    assert all(find_quantization(name.lower()) == name for name in QUANTIZATIONS)


def test_what_is_quantized_already_is_taken_only_on_request(source: Path) -> None:
    once, twice = source.with_name("once.gguf"), source.with_name("twice.gguf")
    quantize(source, once, "Q8_0")
    with pytest.raises(ConfigurationError, match=r"quantized already \(Q8_0\).*--requantize"):
        quantize(once, twice, "Q4_0")
    assert not twice.exists()
    quantize(once, twice, "Q4_0", requantize=True)
    assert types(twice)["blk.0.attn_q.weight"] == "Q4_0"


def test_a_target_that_exists_is_replaced_only_by_force(source: Path) -> None:
    target = source.with_name("target.gguf")
    target.write_bytes(b"precious")
    with pytest.raises(ConfigurationError, match=r"target\.gguf exists.*--force"):
        quantize(source, target, "Q8_0")
    assert target.read_bytes() == b"precious"
    quantize(source, target, "Q8_0", force=True)
    assert types(target)["blk.0.attn_q.weight"] == "Q8_0"


def test_the_source_is_never_the_target(source: Path) -> None:
    before = source.read_bytes()
    link = source.with_name("link.gguf")
    link.symlink_to(source)
    for target in (source, source.parent / "." / source.name, link):
        with pytest.raises(ConfigurationError, match="is the file that is to be quantized"):
            quantize(source, target, "Q8_0", force=True)
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("target", "said"), [(".", "is a folder"), ("none/target.gguf", "folder of .* does not exist")]
)
def test_a_target_that_cannot_be_is_refused(source: Path, target: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        quantize(source, source.parent / target, "Q8_0", force=True)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"text", "no GGUF file"), (b"GGUF", "cut off")]
)
def test_a_source_that_is_no_model_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    source = tmp_path / "source.gguf"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(ModelFileError, match=said):
        quantize(source, tmp_path / "target.gguf", "Q8_0")


def test_a_part_of_a_model_is_refused(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.gguf", **{"split.count": 3})
    with pytest.raises(ConfigurationError, match="one of 3 parts"):
        quantize(source, tmp_path / "target.gguf", "Q8_0")


def test_a_matrix_that_would_not_be_used_and_one_that_is_needed_are_named(source: Path) -> None:
    target = source.with_name("target.gguf")
    with pytest.raises(ConfigurationError, match="Q8_0 makes no use of an importance matrix"):
        quantize(source, target, "Q8_0", importance=importance())
    with pytest.raises(ConfigurationError, match="IQ2_XS needs an importance matrix"):
        quantize(source, target, "IQ2_XS")


def test_the_matrix_of_another_model_is_refused(source: Path) -> None:
    for other in (importance("blk.7.attn_q.weight"), importance(n=COLUMNS * 2)):
        with pytest.raises(ModelFileError, match="belongs to another model"):
            quantize(source, source.with_name("target.gguf"), "Q4_0", importance=other)


def test_too_little_space_is_said_with_the_numbers(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 5_000_000))
    with pytest.raises(ModelFileError, match=r"needs 17 MB, and the disk has 5 MB free; make room"):
        quantize(source, source.with_name("target.gguf"), "Q8_0")


def test_an_interruption_leaves_nothing(source: Path) -> None:
    def interrupt(n_done: int, n_all: int) -> None:
        raise KeyboardInterrupt

    target = source.with_name("target.gguf")
    with pytest.raises(KeyboardInterrupt):
        quantize(source, target, "Q4_K_M", importance=importance(), progress=interrupt)
    assert list(source.parent.iterdir()) == [source]


def test_what_llama_cpp_refuses_is_told_in_its_words_and_leaves_nothing(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.gguf", **{"general.architecture": "nobody-knows"})
    target = tmp_path / "target.gguf"
    target.write_bytes(b"precious")
    with pytest.raises(ModelError, match=r"could not quantize .* to Q8_0: unknown model architecture"):
        quantize(source, target, "Q8_0", force=True)
    assert sorted(tmp_path.iterdir()) == [source, target]
    assert target.read_bytes() == b"precious"


def test_a_process_that_dies_is_an_error_with_its_last_words(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuantizeJob, "to_json", lambda _: "{}")
    with pytest.raises(ModelError, match=r"its process ended with status 1 \(TypeError"):
        quantize(source, source.with_name("target.gguf"), "Q8_0")
    assert list(source.parent.iterdir()) == [source]


def test_a_process_that_nobody_listens_to_any_more_deletes_its_file(source: Path) -> None:
    target = source.with_name("target.gguf")
    job = QuantizeJob(os.fspath(source), os.fspath(target), 7, None, requantize=False, n_threads=1)
    command = [sys.executable, "-m", "plait.models._quantize_worker", job.to_json()]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writing)
    assert done.returncode != 0
    assert not target.exists()
