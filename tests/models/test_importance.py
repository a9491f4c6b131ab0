"""The importance matrix: what it sums, its file, and what is refused."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_cpp.llama_cpp import _lib as libllama

from plait.errors import ConfigurationError, ModelError, ModelFileError
from plait.models import _ggml_tensors, read_gguf
from plait.models._ggml_tensors import TensorAccess, TensorFields
from plait.models._gguf import read_header
from plait.models._gguf_writer import write_gguf
from plait.models._importance import ImportanceMatrix, TensorImportance, load_importance
from plait.models._importance_run import _Watch, compute_importance

EMBEDDING, FEED_FORWARD, LAYERS, EXPERTS, USED, CONTEXT = 64, 96, 2, 4, 2, 128
TEXT = "Thirty-two_bytes_are_one_chunk._"  # a space would be a character of three bytes
Tiny = Callable[..., Path]


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """Writes a model of random weights whose tokens are bytes; with experts on request."""

    def make(*, experts: bool = False, norm: float = 1.0) -> Path:
        random = np.random.default_rng(0)

        def weights(*shape: int) -> Any:
            return random.standard_normal(shape) / np.sqrt(shape[-1])

        n = 3 + 256
        shape = {
            "context_length": CONTEXT,
            "embedding_length": EMBEDDING,
            "block_count": LAYERS,
            "feed_forward_length": FEED_FORWARD,
            "attention.head_count": 4,
            "attention.layer_norm_rms_epsilon": 1e-5,
            **({"expert_count": EXPERTS, "expert_used_count": USED} if experts else {}),
        }
        metadata: dict[str, Any] = {
            "general.architecture": "llama",
            **{f"llama.{key}": value for key, value in shape.items()},
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))],
            "tokenizer.ggml.scores": [0.0] * n,
            "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256],
            "tokenizer.ggml.add_bos_token": False,
            "tokenizer.ggml.add_space_prefix": False,
        }
        tensors = {"token_embd.weight": weights(n, EMBEDDING), "output_norm.weight": np.ones(EMBEDDING)}
        many, suffix = ((EXPERTS,), "_exps") if experts else ((), "")
        for layer in range(LAYERS):
            block = f"blk.{layer}."
            tensors |= {
                f"{block}attn_norm.weight": np.full(EMBEDDING, norm),
                f"{block}ffn_norm.weight": np.ones(EMBEDDING),
            }
            for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
                tensors[f"{block}{name}.weight"] = weights(EMBEDDING, EMBEDDING)
            if experts:
                tensors[f"{block}ffn_gate_inp.weight"] = weights(EXPERTS, EMBEDDING)
            for name in ("ffn_gate", "ffn_up"):
                tensors[f"{block}{name}{suffix}.weight"] = weights(*many, FEED_FORWARD, EMBEDDING)
            tensors[f"{block}ffn_down{suffix}.weight"] = weights(*many, EMBEDDING, FEED_FORWARD)
        path = tmp_path / "tiny.gguf"
        write_gguf(path, metadata, tensors)
        return path

    return make


def stored(path: Path, name: str, dtype: Any, n_weights: int) -> Any:
    """A tensor of the file as numpy sees it, in rows; ``dtype`` holds so many weights."""
    header = read_header(path)
    tensor = next(t for t in header.tensors if t.name == name)
    shape = (*tensor.shape[:0:-1], tensor.shape[0] // n_weights)
    return np.memmap(path, dtype, mode="r", offset=header.weights_start + tensor.offset, shape=shape)


def test_the_first_layers_sums_are_those_of_its_normed_embeddings(smollm2: Path) -> None:
    text = "A plan is a graph of calls: what is independent runs at the same time, and the rest waits. " * 2
    n = 32
    matrix = compute_importance(smollm2, text, chunk_length=n, max_chunks=1)
    model = llama_cpp.Llama(os.fspath(smollm2), vocab_only=True, verbose=False)
    tokens = model.tokenize(text.encode())[:n]
    model.close()
    q8_0 = np.dtype([("scale", "<f2"), ("values", "i1", 32)])
    blocks = stored(smollm2, "token_embd.weight", q8_0, 32)[tokens]
    rows = (blocks["scale"].astype(np.float64)[..., None] * blocks["values"]).reshape(n, -1)
    epsilon = read_gguf(smollm2).metadata["llama.attention.layer_norm_rms_epsilon"]
    normed = rows / np.sqrt((rows**2).mean(axis=1, keepdims=True) + epsilon)
    inputs = normed * stored(smollm2, "blk.0.attn_norm.weight", "<f4", 1)
    for name in ("attn_q", "attn_k", "attn_v"):
        importance = matrix.tensors[f"blk.0.{name}.weight"]
        np.testing.assert_allclose(importance.sums[0], (inputs**2).sum(axis=0), rtol=1e-4)
        assert importance.counts.tolist() == [n]


def test_every_matrix_of_every_layer_is_watched_for_every_token(smollm2: Path) -> None:
    matrix = compute_importance(smollm2, "one two three " * 20, chunk_length=16, max_chunks=1)
    expected = {
        tensor.name
        for tensor in read_gguf(smollm2).tensors
        if tensor.name.startswith("blk.") and len(tensor.shape) == 2
    }
    assert matrix.tensors.keys() == expected
    assert {int(tensor.counts[0]) for tensor in matrix.tensors.values()} == {16}
    assert all((tensor.sums >= 0).all() and tensor.sums.any() for tensor in matrix.tensors.values())


def test_the_same_text_twice_doubles_sums_and_counts(tiny: Tiny) -> None:
    steps: list[tuple[int, int]] = []
    once = compute_importance(tiny(), TEXT, chunk_length=32)
    twice = compute_importance(tiny(), TEXT * 2, chunk_length=32, progress=lambda *step: steps.append(step))
    assert (once.n_chunks, twice.n_chunks, twice.chunk_length) == (1, 2, 32)
    assert steps == [(1, 2), (2, 2)]
    assert once.tensors.keys() == twice.tensors.keys()
    for name, tensor in once.tensors.items():
        np.testing.assert_allclose(twice.tensors[name].sums, 2 * tensor.sums, rtol=1e-5)
        np.testing.assert_array_equal(twice.tensors[name].counts, 2 * tensor.counts)


def test_what_is_no_whole_chunk_and_what_is_beyond_the_limit_is_left_out(tiny: Tiny) -> None:
    path = tiny()
    assert compute_importance(path, TEXT * 2 + "more", chunk_length=32).n_chunks == 2
    assert compute_importance(path, TEXT * 4, chunk_length=32, max_chunks=3).n_chunks == 3
    assert compute_importance(path, TEXT * 4).chunk_length == CONTEXT  # shorter than the usual chunk


def test_each_expert_has_the_inputs_that_were_sent_to_it(tiny: Tiny) -> None:
    matrix = compute_importance(tiny(experts=True), TEXT * 3, chunk_length=32)
    n_tokens = 3 * 32
    for layer in range(LAYERS):
        router = matrix.tensors[f"blk.{layer}.ffn_gate_inp.weight"]
        experts = matrix.tensors[f"blk.{layer}.ffn_gate_exps.weight"]
        down = matrix.tensors[f"blk.{layer}.ffn_down_exps.weight"]
        assert experts.sums.shape == (EXPERTS, EMBEDDING)
        assert down.sums.shape == (EXPERTS, FEED_FORWARD)
        assert experts.counts.sum() == down.counts.sum() == USED * n_tokens
        assert len(set(experts.counts.tolist())) > 1
        # Every token goes, as it comes to the router, to so many experts.
        np.testing.assert_allclose(experts.sums.sum(axis=0), USED * router.sums[0], rtol=1e-4)
        # What an expert that was not used would have stays at zero.
        assert ((experts.sums.sum(axis=1) > 0) == (experts.counts > 0)).all()


def test_an_expert_that_had_no_input_counts_every_column_alike() -> None:
    tensor = TensorImportance(np.array([[2.0, 8.0], [0.0, 0.0]]), np.array([4, 0]))
    assert tensor.means.tolist() == [[0.5, 2.0], [1.0, 1.0]]


def test_llama_cpps_own_reader_takes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "matrix.gguf"
    tensor = TensorImportance(np.arange(8.0).reshape(2, 4), np.array([3, 5]))
    ImportanceMatrix({"blk.0.x.weight": tensor}, 7, 512).save(path)

    class Options(ctypes.Structure):
        _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))

    read, find = libllama.gguf_init_from_file, libllama.gguf_find_tensor
    read.restype, read.argtypes = ctypes.c_void_p, [ctypes.c_char_p, Options]
    key, number = libllama.gguf_find_key, libllama.gguf_get_val_u32
    for function in (find, key):
        function.restype, function.argtypes = ctypes.c_int64, [ctypes.c_void_p, ctypes.c_char_p]
    number.restype, number.argtypes = ctypes.c_uint32, [ctypes.c_void_p, ctypes.c_int64]
    free = libllama.gguf_free
    free.restype, free.argtypes = None, [ctypes.c_void_p]

    file = read(os.fsencode(path), Options(True, None))
    assert file
    assert {find(file, b"blk.0.x.weight.in_sum2"), find(file, b"blk.0.x.weight.counts")} == {0, 1}
    assert key(file, b"imatrix.datasets") >= 0
    assert number(file, key(file, b"imatrix.chunk_count")) == 7
    assert number(file, key(file, b"imatrix.chunk_size")) == 512
    free(file)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 40)), min_size=1, max_size=5),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=25, deadline=None)
def test_what_is_saved_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[int, int]], seed: int
) -> None:
    random = np.random.default_rng(seed)
    tensors = {
        f"blk.{i}.a.weight": TensorImportance(
            random.random(size).astype(np.float32).astype(np.float64), random.integers(0, 9999, size[0])
        )
        for i, size in enumerate(sizes)
    }
    path = tmp_path_factory.getbasetemp() / "round-trip.gguf"
    ImportanceMatrix(tensors, 3, 64).save(path)
    loaded = load_importance(path)
    assert (loaded.n_chunks, loaded.chunk_length) == (3, 64)
    assert loaded.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name].sums, tensor.sums)
        np.testing.assert_array_equal(loaded.tensors[name].counts, tensor.counts)


METADATA = {"general.type": "imatrix", "imatrix.chunk_count": 1, "imatrix.chunk_size": 512}
ONES, ONE = np.ones(4), np.ones(1)


@pytest.mark.parametrize(
    ("metadata", "tensors", "said"),
    [
        ({}, {"a.in_sum2": ONES, "a.counts": ONE}, "no importance matrix"),
        (METADATA, {"a.weight": ONES}, "no importance matrix"),
        (METADATA, {"a.in_sum2": ONES}, "a do not fit together"),
        (METADATA, {"a.in_sum2": ONES, "a.counts": np.ones(3)}, "a do not fit together"),
        (METADATA, {"a.in_sum2": ONES, "a.counts": np.ones(0)}, "a do not fit together"),
        (METADATA, {"a.in_sum2": ONES * np.nan, "a.counts": ONE}, "a are negative or no numbers"),
        (METADATA, {"a.in_sum2": ONES, "a.counts": -ONE}, "a are negative or no numbers"),
    ],
)
def test_a_file_without_a_usable_matrix_is_refused(
    tmp_path: Path, metadata: dict[str, Any], tensors: dict[str, Any], said: str
) -> None:
    path = tmp_path / "bad.gguf"
    write_gguf(path, metadata, tensors)
    with pytest.raises(ModelFileError, match=said):
        load_importance(path)


def test_the_older_form_of_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.dat"
    path.write_bytes((1).to_bytes(4, "little") + bytes(60))
    with pytest.raises(ModelFileError, match="no GGUF file"):
        load_importance(path)


def test_a_matrix_cannot_be_saved_where_there_is_no_folder(tmp_path: Path) -> None:
    matrix = ImportanceMatrix({"a.weight": TensorImportance(np.ones((1, 4)), np.array([1]))}, 1, 16)
    with pytest.raises(ModelFileError, match="check the permissions"):
        matrix.save(tmp_path / "none" / "matrix.gguf")


@pytest.mark.parametrize(
    ("name", "n", "said"),
    [("blk.9.attn_q.weight", 64, "not in that model"), ("blk.0.attn_q.weight", 32, "has 64 there")],
)
def test_the_matrix_of_another_model_is_refused(tiny: Tiny, name: str, n: int, said: str) -> None:
    matrix = ImportanceMatrix({name: TensorImportance(np.ones((1, n)), np.array([1]))}, 1, 16)
    with pytest.raises(ModelFileError, match=said):
        matrix.check(read_gguf(tiny()))


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("", {}, "empty"),
        (" \n", {}, "empty"),
        ("short", {}, "has 5 tokens, and one chunk takes 128"),
        (TEXT, {"chunk_length": 8}, "give 16 to 128"),
        (TEXT, {"chunk_length": CONTEXT + 1}, "give 16 to 128"),
        (TEXT, {"max_chunks": 0}, "at least 1"),
    ],
)
def test_a_text_or_an_option_that_cannot_be_used_is_named(
    tiny: Tiny, text: str, options: dict[str, int], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        compute_importance(tiny(), text, **options)


def test_a_model_whose_numbers_are_not_finite_is_refused(tiny: Tiny) -> None:
    with pytest.raises(ModelError, match=r"blk\.0\.attn_q\.weight are no finite numbers"):
        compute_importance(tiny(norm=float("nan")), TEXT, chunk_length=32)


def test_a_file_that_llama_cpp_cannot_load_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    write_gguf(path, {"general.architecture": "nobody-knows"}, {"a.weight": np.ones((32, 32))})
    with pytest.raises(ModelFileError, match=r"cannot load .*odd\.gguf"):
        compute_importance(path, TEXT)


def test_an_interruption_while_the_model_reads_is_not_lost(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def interrupt(self: _Watch, address: int) -> None:
        taken.append(address)
        raise KeyboardInterrupt

    monkeypatch.setattr(_Watch, "_take", interrupt)
    with pytest.raises(KeyboardInterrupt):
        compute_importance(tiny(), TEXT, chunk_length=32)
    assert len(taken) == 1


def test_a_ggml_of_another_layout_is_refused(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    class Longer(ctypes.Structure):
        _fields_ = tuple(
            (name, ctypes.c_void_p * 12) if name == "src" else (name, kind)
            for name, kind in TensorFields._fields_
        )

    monkeypatch.setattr(_ggml_tensors, "TensorFields", Longer)
    with pytest.raises(ModelError, match="lays its tensors out in a way"):
        compute_importance(tiny(), TEXT, chunk_length=32)


def test_a_ggml_without_the_functions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ggml_tensors, "ggml_functions", lambda: lambda _: None)
    with pytest.raises(ModelError, match="has no function ggml_get_name"):
        TensorAccess()


def test_the_name_of_a_weight_copied_to_a_gpu_is_the_weights() -> None:
    access = TensorAccess()
    tensor = TensorFields(name=b"CUDA0#blk.0.attn_k.weight#0")
    assert access.name(ctypes.addressof(tensor)) == "blk.0.attn_k.weight"
