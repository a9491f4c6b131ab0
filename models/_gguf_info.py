"""What is in a GGUF file: the model's shape, its weights, its licence."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from plait.models._ggml_types import FILE_TYPES
from plait.models._gguf import GGUFHeader, MetadataArray, MetadataValue, Tensor, read_header

_GUESSED = 1024  # llama.cpp's mark on a file type that is not written in the file
_MAX_LAYERS = 4096  # what a header claims beyond that is damage
_SMALL = 400_000_000  # weights
_TEMPLATE = "tokenizer.chat_template"


@dataclass(frozen=True)
class GGUFInfo:
    """What the header of a GGUF file says. What a file does not tell is ``None``."""

    path: Path
    """The file."""
    version: int
    """Of the format."""
    file_bytes: int
    """The file's size."""
    architecture: str | None
    """llama.cpp's name of the model's kind, e.g. ``"qwen2"``."""
    name: str | None
    """What its makers call the model."""
    quantization: str
    """llama.cpp's name of the quantization, e.g. ``"Q4_K_M"``; the commonest type if it is not told."""
    context_length: int | None
    """Tokens that the model was trained for."""
    n_layers: int | None
    """Blocks of the network."""
    n_heads: int | None
    """Attention heads of a layer; the most, where layers differ."""
    kv_heads: tuple[int, ...]
    """Heads with keys and values of their own, for each layer; 0 for a layer that keeps no cache."""
    key_length: int | None
    """Numbers in one head's key."""
    value_length: int | None
    """Numbers in one head's value."""
    embedding_length: int | None
    """Numbers that stand for a token between layers."""
    feed_forward_length: int | None
    """Numbers inside a layer, at its widest, for one token; of all experts that it goes through."""
    n_vocab: int | None
    """Tokens in the vocabulary."""
    tokenizer: str | None
    """Kind of tokenizer, e.g. ``"gpt2"`` for byte-level BPE."""
    chat_template: str | None
    """The Jinja template of conversations."""
    template_knows_tools: bool
    """Whether a template has a place for function definitions."""
    sliding_window: int | None
    """Tokens that a layer with a sliding window sees."""
    n_experts: int | None
    """Experts of a layer, in a mixture of experts."""
    n_experts_used: int | None
    """Experts that one token goes through in a layer."""
    licence: str | None
    """Its licence, as its makers name it."""
    author: str | None
    """Who made it."""
    url: str | None
    """Where it comes from."""
    metadata: Mapping[str, MetadataValue]
    """All metadata."""
    tensors: tuple[Tensor, ...]
    """All tensors."""

    @cached_property
    def n_parameters(self) -> int:
        """The number of weights."""
        return sum(tensor.n_weights for tensor in self.tensors)

    @cached_property
    def weights_bytes(self) -> int:
        """What all weights take in the file."""
        return sum(tensor.n_bytes for tensor in self.tensors)

    @cached_property
    def bytes_by_type(self) -> dict[str, int]:
        """Bytes of the weights of each ggml type, the most first."""
        sizes: dict[str, int] = {}
        for tensor in self.tensors:
            sizes[tensor.type.name] = sizes.get(tensor.type.name, 0) + tensor.n_bytes
        return dict(sorted(sizes.items(), key=lambda item: -item[1]))

    @property
    def is_small(self) -> bool:
        """Whether it has at most 400 million weights, so that computing bounds its speed, and not memory."""
        return self.n_parameters <= _SMALL

    @property
    def n_kv_heads(self) -> int | None:
        """Heads with keys and values of their own; the most, where layers differ."""
        return max(self.kv_heads, default=None)

    @property
    def has_chat_template(self) -> bool:
        """Whether the file has a template of conversations."""
        return self.chat_template is not None


def read_gguf(path: str | os.PathLike[str]) -> GGUFInfo:
    """What is in a GGUF file, of an architecture that is known or not; reads no weights.

    Raises:
        ModelFileError: the file is missing, cut off or no GGUF file; the message says what to do.
    """
    header = read_header(path)
    keys = _Keys(header.metadata)
    heads = keys.counts("attention.head_count")
    embedding = keys.count("embedding_length")
    head_length = embedding // max(heads) if embedding and heads and max(heads) else None
    return GGUFInfo(
        path=Path(path),
        version=header.version,
        file_bytes=header.file_bytes,
        architecture=keys.text("general.architecture"),
        name=keys.text("general.name"),
        quantization=_quantization(header),
        context_length=keys.count("context_length"),
        n_layers=keys.n_layers,
        n_heads=max(heads, default=None),
        kv_heads=keys.counts("attention.head_count_kv") or heads,
        key_length=keys.count("attention.key_length") or head_length,
        value_length=keys.count("attention.value_length") or head_length,
        embedding_length=embedding,
        feed_forward_length=_feed_forward_length(keys),
        n_vocab=_n_vocab(keys),
        tokenizer=keys.text("tokenizer.ggml.model"),
        chat_template=keys.text(_TEMPLATE),
        template_knows_tools=any(map(_knows_tools, keys.templates())),
        sliding_window=keys.count("attention.sliding_window"),
        n_experts=keys.count("expert_count"),
        n_experts_used=keys.count("expert_used_count"),
        licence=keys.text("general.license", "general.license.name"),
        author=keys.text("general.author", "general.organization"),
        url=keys.text("general.url", "general.source.url", "general.repo_url", "general.source.repo_url"),
        metadata=header.metadata,
        tensors=header.tensors,
    )


class _Keys:
    """The metadata by meaning; a value of a type that its key should not have counts as not given."""

    def __init__(self, metadata: Mapping[str, MetadataValue]) -> None:
        self.metadata = metadata
        self.architecture = self.text("general.architecture")
        n_layers = self.count("block_count")
        self.n_layers = n_layers if n_layers and n_layers <= _MAX_LAYERS else None

    def text(self, *keys: str) -> str | None:
        """The first of these keys that has a text."""
        values = (self.metadata.get(key) for key in keys)
        return next((value for value in values if isinstance(value, str) and value), None)

    def count(self, key: str) -> int | None:
        """A positive number of the architecture's; the largest, where layers differ."""
        return max(self._numbers(key), default=0) or None

    def counts(self, key: str) -> tuple[int, ...]:
        """Numbers of the architecture's, one for each layer; none if it does not tell."""
        numbers, n_layers = self._numbers(key), self.n_layers or 0
        return numbers * n_layers if len(numbers) == 1 else numbers[:n_layers]

    def templates(self) -> list[str]:
        """All templates: one for conversations, and in some files others for conversations with tools."""
        return [
            value
            for key, value in self.metadata.items()
            if isinstance(value, str) and (key == _TEMPLATE or key.startswith(f"{_TEMPLATE}."))
        ]

    def _numbers(self, key: str) -> tuple[int, ...]:
        value = self.metadata.get(f"{self.architecture}.{key}")
        values = value.values or () if isinstance(value, MetadataArray) else (value,)
        return tuple(n for n in values if isinstance(n, int) and not isinstance(n, bool) and n >= 0)


def _quantization(header: GGUFHeader) -> str:
    number = header.metadata.get("general.file_type")
    if isinstance(number, int) and number & ~_GUESSED in FILE_TYPES:
        return FILE_TYPES[number & ~_GUESSED]
    biggest = max(header.tensors, key=lambda tensor: tensor.n_bytes, default=None)
    return biggest.type.name if biggest is not None else "none"


def _feed_forward_length(keys: _Keys) -> int | None:
    expert = (keys.count("expert_feed_forward_length") or 0) * (keys.count("expert_used_count") or 0)
    return max(keys.count("feed_forward_length") or 0, expert) or None


def _n_vocab(keys: _Keys) -> int | None:
    tokens = keys.metadata.get("tokenizer.ggml.tokens")
    return tokens.length if isinstance(tokens, MetadataArray) else keys.count("vocab_size")


def _knows_tools(template: str) -> bool:
    """Whether the variable ``tools`` occurs in one of the template's tags."""
    tags = re.findall(r"\{%.*?%\}|\{\{.*?\}\}", template, flags=re.DOTALL)
    return any(re.search(r"\btools\b", tag) for tag in tags)
