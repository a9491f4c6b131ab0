"""The forward pass of BERT (arXiv 1810.04805) in numpy, for sentence encoders with mean pooling.

It computes what the reference implementation computes, in float32 and with the exact GELU, for models of the
size of MiniLM as fast as it does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.errors import MissingExtraError, ModelFileError
from plait.retrieval._types import Vectors

Floats = NDArray[np.float32]

_PREFIX = "bert."  # what some checkpoints put before every name
_GELU_ROWS = 64  # so that its intermediate results stay in the cache
_ROWS_AT_ONCE = 4  # that BLAS multiplies in the time that one takes, or less


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The shape of a model, from its ``config.json``."""

    n_heads: int
    """Attention heads of a layer."""
    n_layers: int
    """Layers."""
    epsilon: float
    """What layer normalization adds to the variance."""
    max_positions: int
    """Tokens that the model can read at all."""

    @classmethod
    def read(cls, path: Path) -> BertConfig:
        """The configuration in the file.

        Raises:
            ModelFileError: it cannot be read, or is that of another kind of model.
        """
        try:
            found: Any = json.loads(path.read_text(encoding="utf-8"))
            kind, activation = found["model_type"], found["hidden_act"]
            positions = found.get("position_embedding_type", "absolute")
            config = cls(
                n_heads=int(found["num_attention_heads"]),
                n_layers=int(found["num_hidden_layers"]),
                epsilon=float(found["layer_norm_eps"]),
                max_positions=int(found["max_position_embeddings"]),
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _refused(
                path, f"is no configuration of a model ({type(error).__name__}: {error})"
            ) from error
        if (kind, activation, positions) != ("bert", "gelu", "absolute"):
            raise _refused(path, f"is of a {kind} with {activation} and {positions} positions, not of a BERT")
        return config


@dataclass(frozen=True, slots=True)
class _Layer:
    """The weights of one layer; matrices are (in, out)."""

    qkv: Floats
    qkv_bias: Floats
    output: Floats
    output_bias: Floats
    attention_norm: Floats
    attention_norm_bias: Floats
    up: Floats
    up_bias: Floats
    down: Floats
    down_bias: Floats
    norm: Floats
    norm_bias: Floats


class Bert:
    """A BERT without a head.

    Args:
        config: its shape.
        tensors: its weights by their names in the checkpoint, float32.

    Raises:
        KeyError: a weight is missing.
        ValueError: weights do not fit together.
    """

    def __init__(self, config: BertConfig, tensors: Mapping[str, Floats]) -> None:
        def weight(name: str) -> Floats:
            return tensors[name] if name in tensors else tensors[_PREFIX + name]

        self.config = config
        self._words = weight("embeddings.word_embeddings.weight")
        # All tokens are of the first segment, so that its embedding is the same for all positions.
        self._positions = (
            weight("embeddings.position_embeddings.weight")
            + weight("embeddings.token_type_embeddings.weight")[0]
        )
        self._norm = weight("embeddings.LayerNorm.weight")
        self._norm_bias = weight("embeddings.LayerNorm.bias")
        self._layers = [_layer(weight, f"encoder.layer.{i}.") for i in range(config.n_layers)]
        if self.dimension % config.n_heads or self._positions.shape != (config.max_positions, self.dimension):
            raise ValueError("the weights do not have the shapes that the configuration says")

    @property
    def dimension(self) -> int:
        """How many numbers a token's state, and a text's vector, has."""
        return int(self._words.shape[1])

    def mean_vectors(self, texts: Sequence[Sequence[int]]) -> Vectors:
        """For each text, the normalized mean of its tokens' last states.

        Args:
            texts: tokens of each, at least one and at most ``max_positions``; alike in length, because the
                shorter ones are computed at the length of the longest.
        """
        lengths = np.array([len(text) for text in texts])
        longest = int(lengths.max())
        if len(texts) == 1:
            longest = min(longest + -longest % _ROWS_AT_ONCE, self.config.max_positions)
        tokens = np.zeros((len(texts), longest), np.int64)
        for row, text in zip(tokens, texts, strict=True):
            row[: len(text)] = text
        is_token = np.arange(longest) < lengths[:, None]
        states = self._states(tokens, None if is_token.all() else is_token)
        states *= is_token[:, :, None]
        means: Floats = states.sum(axis=1) / lengths[:, None].astype(np.float32)
        return normalized(means)

    def _states(self, tokens: NDArray[np.int64], is_token: NDArray[np.bool_] | None) -> Floats:
        """Last states, (texts, tokens, dimension); ``is_token`` is false for padding."""
        n_texts, length = tokens.shape
        states = self._words[tokens] + self._positions[:length]
        states = states.reshape(n_texts * length, self.dimension)
        _normalize_rows(states, self._norm, self._norm_bias, self.config.epsilon)
        mask = None if is_token is None else np.where(is_token, 0, -np.inf).astype(np.float32)[:, None, None]
        for layer in self._layers:
            states += self._attention(layer, states, (n_texts, length), mask)
            _normalize_rows(states, layer.attention_norm, layer.attention_norm_bias, self.config.epsilon)
            hidden = states @ layer.up
            hidden += layer.up_bias
            _gelu(hidden)
            states += hidden @ layer.down
            states += layer.down_bias
            _normalize_rows(states, layer.norm, layer.norm_bias, self.config.epsilon)
        last: Floats = states.reshape(n_texts, length, self.dimension)
        return last

    def _attention(
        self, layer: _Layer, states: Floats, shape: tuple[int, int], mask: Floats | None
    ) -> Floats:
        n_heads = self.config.n_heads
        size = self.dimension // n_heads
        qkv = states @ layer.qkv
        qkv += layer.qkv_bias
        queries, keys, values = qkv.reshape(*shape, 3, n_heads, size).transpose(2, 0, 3, 1, 4)
        scores = queries @ keys.swapaxes(-1, -2)
        scores *= np.float32(1 / math.sqrt(size))
        if mask is not None:
            scores += mask
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ values).transpose(0, 2, 1, 3).reshape(len(states), self.dimension)
        result: Floats = mixed @ layer.output
        result += layer.output_bias
        return result


def load_bert(weights: Path, config: Path) -> Bert:
    """The model of these two files, which are in the hub's formats (safetensors and JSON).

    Raises:
        MissingExtraError: ``safetensors`` is not installed.
        ModelFileError: a file is missing, damaged or that of another kind of model.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise MissingExtraError("safetensors", "retrieval") from error
    shape = BertConfig.read(config)
    try:
        tensors = {name: _float32(tensor) for name, tensor in load_file(weights).items()}
        return Bert(shape, tensors)
    except (OSError, SafetensorError) as error:
        raise _refused(weights, f"cannot be read ({error})") from error
    except KeyError as error:
        raise _refused(weights, f"has no weight {error}") from error
    except ValueError as error:
        raise _refused(weights, f"does not go with {config.name}: {error}") from error


def normalized(vectors: Vectors) -> Vectors:
    """``vectors`` with every row of length 1; rows of zeros stay as they are."""
    return vectors / lengths_of(vectors)[:, None]


def lengths_of(vectors: Vectors) -> Vectors:
    """The length of every row, but for zeros a very small one, by which they can be divided."""
    lengths: Vectors = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return np.maximum(lengths, np.float32(1e-12))


def _layer(weight: Callable[[str], Floats], prefix: str) -> _Layer:
    attention = [f"{prefix}attention.self.{name}" for name in ("query", "key", "value")]

    def matrix(name: str) -> Floats:
        return np.ascontiguousarray(weight(f"{prefix}{name}.weight").T)

    def bias(name: str) -> Floats:
        return weight(f"{prefix}{name}.bias")

    return _Layer(
        qkv=np.concatenate([weight(f"{name}.weight") for name in attention]).T.copy(),
        qkv_bias=np.concatenate([weight(f"{name}.bias") for name in attention]),
        output=matrix("attention.output.dense"),
        output_bias=bias("attention.output.dense"),
        attention_norm=weight(f"{prefix}attention.output.LayerNorm.weight"),
        attention_norm_bias=bias("attention.output.LayerNorm"),
        up=matrix("intermediate.dense"),
        up_bias=bias("intermediate.dense"),
        down=matrix("output.dense"),
        down_bias=bias("output.dense"),
        norm=weight(f"{prefix}output.LayerNorm.weight"),
        norm_bias=bias("output.LayerNorm"),
    )


def _float32(tensor: NDArray[Any]) -> Floats:
    return np.asarray(tensor, np.float32) if tensor.dtype.kind == "f" else tensor


def _normalize_rows(states: Floats, weight: Floats, bias: Floats, epsilon: float) -> None:
    """Layer normalization, in place."""
    states -= states.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", states, states)[:, None] / np.float32(states.shape[1])
    states /= np.sqrt(variance + np.float32(epsilon))
    states *= weight
    states += bias


def _gelu(values: Floats) -> None:
    """Apply the exact GELU, x times the normal distribution's function of x, in place.

    The error function is Abramowitz and Stegun's 7.1.26, whose error of 1.5e-7 is float32's own.
    """
    one = np.float32(1)
    for start in range(0, len(values), _GELU_ROWS):
        x = values[start : start + _GELU_ROWS]
        size = np.abs(x)
        t = one / (one + np.float32(0.3275911 / math.sqrt(2)) * size)
        tail = np.float32(1.061405429) * t
        for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
            tail += np.float32(coefficient)
            tail *= t
        tail *= np.exp(np.float32(-0.5) * size * size)
        # x + |x| erf(|x| / sqrt 2), of which the half is wanted
        tail -= one
        tail *= size
        x -= tail
        x *= np.float32(0.5)


def _refused(path: Path, problem: str) -> ModelFileError:
    return ModelFileError(
        f"{path} {problem}; give the folder of a BERT sentence encoder with mean pooling, "
        "or use SentenceTransformerEncoder",
        model=str(path),
    )
