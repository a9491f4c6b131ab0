"""The reader of GGUF headers; what it refuses stands in test_store, under check_gguf."""

import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.errors import ModelFileError
from plait.models import read_gguf
from plait.models._gguf import MetadataArray, read_header

LAYOUTS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
F32, Q4_K, Q6_K, UNKNOWN = 0, 12, 14, 9999
Write = Callable[..., Path]


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value_bytes(value: object, kind: int | None = None) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, list) and value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    if isinstance(value, list):
        return struct.pack(f"<IIQ{len(value)}I", 9, 4, len(value), *value)
    kind = 4 if kind is None else kind
    return struct.pack(f"<I{LAYOUTS[kind]}", kind, value)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a GGUF file of metadata and of tensors, each a name, a shape and a type."""

    def make(metadata: dict[str, object], tensors: list[tuple[str, tuple[int, ...], int]] = []) -> Path:  # noqa: B006
        entries = b"".join(text(key) + value_bytes(value) for key, value in metadata.items())
        described, offset = b"", 0
        for name, shape, kind in tensors:
            sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
            described += text(name) + sizes + struct.pack("<IQ", kind, offset)
            n = 1
            for size in shape:
                n *= size
            offset += n * 4
        header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata)) + entries + described
        path = tmp_path / "m.gguf"
        path.write_bytes(header + bytes(-len(header) % 32) + bytes(offset))
        return path

    return make


SHAPE = {
    "general.architecture": "tiny",
    "general.name": "A tiny model",
    "general.file_type": 15,
    "general.license": "mit",
    "general.organization": "Somebody",
    "general.source.url": "https://example.org/tiny",
    "tiny.block_count": 2,
    "tiny.context_length": 4096,
    "tiny.embedding_length": 256,
    "tiny.feed_forward_length": 512,
    "tiny.attention.head_count": 8,
    "tiny.attention.head_count_kv": 2,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["a", "", "b"],
}


def test_the_facts_are_read_from_the_header(write: Write) -> None:
    info = read_gguf(write(SHAPE, [("blk.0.a", (256, 4), Q4_K), ("b", (256,), F32), ("c", (256, 1), Q6_K)]))
    assert (info.architecture, info.name, info.quantization) == ("tiny", "A tiny model", "Q4_K_M")
    assert (info.n_layers, info.n_heads, info.kv_heads, info.n_kv_heads) == (2, 8, (2, 2), 2)
    assert (info.key_length, info.value_length, info.embedding_length) == (32, 32, 256)
    assert (info.context_length, info.n_vocab, info.tokenizer) == (4096, 3, "gpt2")
    assert (info.licence, info.author, info.url) == ("mit", "Somebody", "https://example.org/tiny")
    assert info.bytes_by_type == {"F32": 1024, "Q4_K": 576, "Q6_K": 210}
    assert info.weights_bytes == 1810
    assert info.n_parameters == 256 * 6
    assert not info.has_chat_template


def test_heads_and_layers_may_differ_from_layer_to_layer(write: Write) -> None:
    lengths = {"tiny.attention.key_length": 128, "tiny.attention.value_length": 64}
    info = read_gguf(write({**SHAPE, **lengths, "tiny.attention.head_count_kv": [0, 4]}))
    assert info.kv_heads == (0, 4)
    assert info.n_kv_heads == 4
    assert (info.key_length, info.value_length) == (128, 64)


def test_experts_and_a_sliding_window_are_told(write: Write) -> None:
    more = {"expert_count": 64, "expert_used_count": 8, "expert_feed_forward_length": 100}
    more["attention.sliding_window"] = 1024
    info = read_gguf(write(SHAPE | {f"tiny.{key}": value for key, value in more.items()}))
    assert (info.n_experts, info.n_experts_used, info.sliding_window) == (64, 8, 1024)
    assert info.feed_forward_length == 800


@pytest.mark.parametrize(
    ("template", "knows"),
    [
        ("{% if tools %}x{% endif %}", True),
        ("{%- for t in tools -%}{{ t }}{%- endfor -%}", True),
        ("{{ messages }} you have no tools {{ x }}", False),
        ("{{ toolset }}", False),
        ("{% broken", False),
    ],
)
def test_whether_the_template_has_a_place_for_tools_is_told(write: Write, template: str, knows: bool) -> None:
    info = read_gguf(write({**SHAPE, "tokenizer.chat_template": template}))
    assert info.has_chat_template
    assert info.template_knows_tools is knows


def test_a_second_template_for_tools_counts(write: Write) -> None:
    templates = {"tokenizer.chat_template": "{{ x }}", "tokenizer.chat_template.tool_use": "{{ tools }}"}
    assert read_gguf(write(SHAPE | templates)).template_knows_tools


def test_an_unknown_architecture_and_an_empty_file_have_no_facts_and_no_error(write: Write) -> None:
    info = read_gguf(write({"general.architecture": "unheard-of"}, [("t", (1 << 20,), UNKNOWN)]))
    assert info.architecture == "unheard-of"
    assert info.quantization == "type 9999"
    assert info.bytes_by_type == {"type 9999": 0}
    assert info.n_layers is info.n_heads is info.n_kv_heads is info.key_length is info.n_vocab is None
    assert read_gguf(write({})).architecture is None
    assert read_gguf(write({})).quantization == "none"


def test_values_of_types_that_their_keys_should_not_have_count_as_not_given(write: Write) -> None:
    wrong = {
        "tiny.block_count": "two",
        "general.name": 5,
        "tiny.context_length": ["x"],
        "general.file_type": "q",
    }
    info = read_gguf(write(SHAPE | wrong))
    assert info.n_layers is info.name is info.context_length is None
    assert info.kv_heads == ()


def test_a_claim_of_billions_of_layers_counts_as_damage(write: Write) -> None:
    info = read_gguf(write(SHAPE | {"tiny.block_count": 0xFFFF_FFFF}))
    assert info.n_layers is None
    assert info.kv_heads == ()


def test_every_type_of_value_is_read(tmp_path: Path) -> None:
    values = {kind: (True if layout == "?" else 3) for kind, layout in LAYOUTS.items()}
    entries = b"".join(text(f"k{kind}") + value_bytes(value, kind) for kind, value in values.items())
    path = tmp_path / "m.gguf"
    path.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, 0, len(values)) + entries)
    assert read_header(path).metadata == {f"k{kind}": value for kind, value in values.items()}


def test_of_long_arrays_and_of_texts_only_the_length_is_kept(write: Write) -> None:
    metadata = read_header(write({"short": [1, 2], "long": [7] * 5000, "texts": ["a"] * 3})).metadata
    assert metadata["short"] == MetadataArray(2, (1, 2))
    assert metadata["long"] == MetadataArray(5000, None)
    assert metadata["texts"] == MetadataArray(3, None)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_header_is_read_or_refused_and_never_worse(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, position: int, byte: int
) -> None:
    header = struct.pack("<4sIQQ", b"GGUF", 3, 1, len(SHAPE))
    header += b"".join(text(key) + value_bytes(value) for key, value in SHAPE.items())
    damaged = bytearray(header + tail)
    damaged[position % len(damaged)] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    path.write_bytes(damaged)
    with suppress(ModelFileError):
        assert read_gguf(path).weights_bytes <= len(damaged)


def test_the_small_model_is_described_as_it_is(smollm2: Path) -> None:
    info = read_gguf(smollm2)
    assert (info.architecture, info.quantization, info.licence) == ("llama", "Q4_1", "apache-2.0")
    assert (info.n_layers, info.n_heads, info.n_kv_heads, info.key_length) == (30, 9, 3, 64)
    assert info.n_vocab == 49152
    assert 134e6 < info.n_parameters < 164e6
    assert info.has_chat_template
    assert not info.template_knows_tools
    assert 0 < info.file_bytes - info.weights_bytes < 5e6
