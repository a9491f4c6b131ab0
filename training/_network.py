"""A transformer with LoRA in PyTorch, for training on many requests over the same tools.

The network is the one that llama.cpp computes: its weights come out of a GGUF file, dequantized, in the
order that the file has them, so that what is trained fits that very file.

Requests over the same tools share a long prefix. It is computed once with its gradient; only what follows
is computed for each request. Most of the work of a step is saved so, and the gradient is exactly that of
the whole sequences.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from plait.errors import ConfigurationError
from plait.models import read_gguf
from plait.training._attention import Sight, attend

ARCHITECTURES = ("llama", "qwen2")
"""llama.cpp's names of the networks that can be trained."""

LINEAR = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
"""llama.cpp's names of the layers that get an adapter, in every block."""

_GROUPS = (("attn_q", "attn_k", "attn_v"), ("attn_output",), ("ffn_gate", "ffn_up"), ("ffn_down",))


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a network."""

    architecture: str
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_length: int
    """Numbers in one head's query, key and value."""
    width: int
    """Numbers that stand for a token between layers."""
    rope_base: float
    """Of the rotary position embedding."""
    epsilon: float
    """Of the normalization."""

    @classmethod
    def of(cls, path: Path) -> Shape:
        """That of the model in a GGUF file.

        Raises:
            ConfigurationError: its architecture cannot be trained here.
            ModelFileError: it is no whole GGUF file.
        """
        info = read_gguf(path)
        kind = info.architecture or "unknown"
        if kind not in ARCHITECTURES:
            raise ConfigurationError(
                f"{path.name} is of the architecture {kind!r}, which cannot be trained; "
                f"choose a base of one of: {', '.join(ARCHITECTURES)}"
            )
        if not (info.n_layers and info.n_heads and info.n_kv_heads and info.embedding_length):
            raise ConfigurationError(f"{path.name} does not say its sizes; choose another base")
        head_length = info.key_length or info.embedding_length // info.n_heads
        base = info.metadata.get(f"{kind}.rope.freq_base", 10_000.0)
        epsilon = info.metadata.get(f"{kind}.attention.layer_norm_rms_epsilon", 1e-5)
        assert isinstance(base, float)
        assert isinstance(epsilon, float)
        return cls(
            kind,
            info.n_layers,
            info.n_heads,
            info.n_kv_heads,
            head_length,
            info.embedding_length,
            base,
            epsilon,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences that begin alike.

    The rows of ``tails`` go on where the prefix ends; the second part of a row may be padding, which nothing
    before it sees.
    """

    prefix: Tensor
    """Tokens that all sequences begin with, shape (n_prefix,)."""
    tails: tuple[Tensor, ...]
    """Tokens of the rest, each of shape (n_sequences, n_tokens); sequences of like length are together."""


_A, _B = ".lora_a", ".lora_b"
"""What the names of an adapter's tensors end in."""


class LoRANetwork(nn.Module):
    """A frozen network with trainable low-rank adapters on all linear layers of its blocks.

    After LoRA (arXiv 2106.09685): ``y = W x + (alpha / rank) B A x``, where ``B`` begins as zeros.

    Args:
        path: the GGUF file of the base.
        rank: rows of ``A``.
        alpha: the scale of what the adapter adds, times the rank.
        seed: of ``A``.
        device: where to compute.
        precision: of the products of matrices and of attention. Adapters, normalization and what passes from
            block to block have 32 bits always.

    Raises:
        ConfigurationError: the base is of another architecture.
    """

    def __init__(
        self,
        path: Path,
        *,
        rank: int = 16,
        alpha: float = 32.0,
        seed: int = 0,
        device: str = "cpu",
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.shape = Shape.of(path)
        self.rank = rank
        self.alpha = alpha
        weights = _weights(path, device, precision)
        self._embedding = weights["token_embd.weight"]
        self._head = weights.get("output.weight", self._embedding)
        self._norm = weights["output_norm.weight"]
        generator = torch.Generator().manual_seed(seed)
        self._blocks = nn.ModuleList(
            _Block(self.shape, weights, f"blk.{i}.", rank, alpha / rank, generator, device)
            for i in range(self.shape.n_layers)
        )

    def adapters(self) -> Iterator[tuple[str, nn.Parameter, nn.Parameter]]:
        """The name of each adapted weight, with ``A`` (rank, n_in) and ``B`` (n_out, rank)."""
        for i, block in enumerate(self._blocks):
            assert isinstance(block, _Block)
            for linear in block.linears():
                for name, b in zip(linear.names, linear.b, strict=True):
                    yield f"blk.{i}.{name}.weight", linear.a_of(name), b

    @property
    def scale(self) -> float:
        """What the product of the matrices is multiplied by."""
        return self.alpha / self.rank

    def load_adapter(self, path: Path) -> None:
        """Begin with an adapter in a GGUF file; see :meth:`begin_with`.

        Raises:
            RuntimeError: as there.
        """
        from gguf import GGUFReader

        reader = GGUFReader(path)
        found = {tensor.name: torch.tensor(tensor.data).float() for tensor in reader.tensors}
        alpha = reader.get_field("adapter.lora.alpha")
        ranks = {len(matrix) for name, matrix in found.items() if name.endswith(_A)}
        if alpha is None or len(ranks) != 1:
            raise RuntimeError(f"{path} has no adapter of one rank and scale")
        own = {
            f"{name}{ending}": matrix
            for name, *pair in self.adapters()
            for ending, matrix in zip((_A, _B), pair, strict=True)
        }
        self._begin_with(own, found, alpha.contents() / ranks.pop())

    def begin_with(self, state: Mapping[str, Tensor], *, scale: float) -> None:
        """Take the matrices of another network's ``state_dict``.

        Its rank may be smaller: then what is more here adds nothing to begin with, and both compute the same.

        Raises:
            RuntimeError: they are of another shape or scale, or of a higher rank.
        """
        self._begin_with(dict(self.named_parameters()), state, scale)

    def _begin_with(self, own: Mapping[str, Tensor], found: Mapping[str, Tensor], scale: float) -> None:
        if own.keys() != found.keys() or not math.isclose(scale, self.scale, rel_tol=1e-6):
            raise RuntimeError("the adapter is for other layers or of another scale")
        with torch.no_grad():
            for name, matrix in own.items():
                n_rows, n_columns = found[name].shape
                is_a = name.endswith(_A) or ".a." in name
                fixed, rank = (n_columns, n_rows) if is_a else (n_rows, n_columns)
                if fixed != matrix.shape[is_a] or rank > self.rank:
                    raise RuntimeError(f"{name} is of another shape")
                if not is_a:
                    matrix.zero_()
                matrix[:n_rows, :n_columns] = found[name]

    @property
    def head(self) -> Tensor:
        """What turns :meth:`hidden` into logits, shape (n_vocab, width)."""
        return self._head

    def forward(self, batch: Batch, wanted: Tensor) -> Tensor:
        """The logits at the ``wanted`` places, of shape (n_wanted, n_vocab) and 32 bits."""
        return functional.linear(self.hidden(batch, wanted), self._head).float()

    def hidden(self, batch: Batch, wanted: Tensor) -> Tensor:
        """What the logits are made of, at the ``wanted`` places of the tails.

        Args:
            batch: what to compute.
            wanted: places, counted over all tails laid end to end, each with its padding.

        Returns:
            shape (n_wanted, width).
        """
        layout = _Layout.of(batch, self.shape, self._embedding.dtype)
        x = self._embedding[torch.cat([batch.prefix, *(tail.flatten() for tail in batch.tails)])].float()
        for block in self._blocks:
            x = block(x, layout)
        x = x.index_select(0, layout.sight.n_prefix + wanted)
        x = functional.rms_norm(x, (self.shape.width,), self._norm, self.shape.epsilon)
        return x.to(self._head.dtype)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the tokens of a batch lie when all are one row, and what each may see."""

    sight: Sight
    turns: Tensor
    """The rotation of each token's position, complex, shape (n, 1, head_length / 2)."""

    @classmethod
    def of(cls, batch: Batch, shape: Shape, precision: torch.dtype) -> _Layout:
        n_prefix, device = len(batch.prefix), batch.prefix.device
        sizes = tuple((tail.shape[0], tail.shape[1]) for tail in batch.tails)
        places = [torch.arange(n_prefix, device=device)]
        for n_sequences, n in sizes:
            places.append(torch.arange(n_prefix, n_prefix + n, device=device).repeat(n_sequences))
        exponents = torch.arange(0, shape.head_length, 2, device=device) / shape.head_length
        angles = torch.cat(places)[:, None] / shape.rope_base**exponents
        sight = Sight.of(n_prefix, sizes, shape.n_heads // shape.n_kv_heads, precision, device)
        return cls(sight, torch.polar(torch.ones_like(angles), angles)[:, None])


class _Linear(nn.Module):
    """Linear layers over the same input as one, with an adapter for each."""

    def __init__(
        self,
        names: Sequence[str],
        weights: dict[str, Tensor],
        block: str,
        rank: int,
        scale: float,
        generator: torch.Generator,
        device: str,
    ) -> None:
        super().__init__()
        self.names = names
        parts = [weights[f"{block}{name}.weight"] for name in names]
        biases = [weights[bias] for name in names if (bias := f"{block}{name}.bias") in weights]
        self._weight = torch.cat(parts)
        self._bias = torch.cat(biases) if biases else None
        self._scale = scale
        n_in = self._weight.shape[1]
        a = [torch.randn(rank, n_in, generator=generator) / math.sqrt(n_in) for _ in parts]
        self.a = nn.ParameterList(one.to(device) for one in a)
        self.b = nn.ParameterList(torch.zeros(len(part), rank, device=device) for part in parts)

    def a_of(self, name: str) -> nn.Parameter:
        """``A`` of one layer."""
        found = self.a[self.names.index(name)]
        assert isinstance(found, nn.Parameter)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Shape (n, n_in) to (n, sum of n_out)."""
        x = x.to(self._weight.dtype)
        low = functional.linear(x, torch.cat(list(self.a)).to(x.dtype))
        up = (torch.block_diag(*self.b) * self._scale).to(x.dtype)
        return functional.linear(x, self._weight, self._bias).addmm_(low, up.T)


class _Block(nn.Module):
    """Attention and feed-forward network, each behind a normalization and beside a shortcut."""

    def __init__(
        self,
        shape: Shape,
        weights: dict[str, Tensor],
        name: str,
        rank: int,
        scale: float,
        generator: torch.Generator,
        device: str,
    ) -> None:
        super().__init__()
        self._shape = shape
        self._attention_norm = weights[f"{name}attn_norm.weight"]
        self._ffn_norm = weights[f"{name}ffn_norm.weight"]
        self._qkv, self._out, self._gate_up, self._down = (
            _Linear(group, weights, name, rank, scale, generator, device) for group in _GROUPS
        )

    def linears(self) -> tuple[_Linear, ...]:
        """The layers with adapters."""
        return self._qkv, self._out, self._gate_up, self._down

    def forward(self, x: Tensor, layout: _Layout) -> Tensor:
        """Shape (n, width) to the same."""
        shape = self._shape
        normed = functional.rms_norm(x, (shape.width,), self._attention_norm, shape.epsilon)
        x = x + self._out(self._attention(self._qkv(normed), layout))
        normed = functional.rms_norm(x, (shape.width,), self._ffn_norm, shape.epsilon)
        gate, up = self._gate_up(normed).chunk(2, dim=-1)
        added: Tensor = self._down(functional.silu(gate) * up)
        return x + added

    def _attention(self, qkv: Tensor, layout: _Layout) -> Tensor:
        # Always split, never sliced: the gradient of a slice is a tensor of zeros as large as the whole.
        s = self._shape
        heads = qkv.unflatten(-1, (-1, s.head_length))
        turned, v = heads.split([s.n_heads + s.n_kv_heads, s.n_kv_heads], dim=1)
        q, k = _rotate(turned, layout.turns, s.architecture).split([s.n_heads, s.n_kv_heads], dim=1)
        # Query heads that share a key head become further rows of it: nothing is repeated.
        rows = (q * s.head_length**-0.5).unflatten(1, (s.n_kv_heads, -1)).transpose(0, 1)
        seen = attend(rows.flatten(1, 2), k.transpose(0, 1), v.transpose(0, 1), layout.sight)
        by_token: Tensor = seen.unflatten(1, rows.shape[1:3]).transpose(0, 1).flatten(1)
        return by_token


def _rotate(x: Tensor, turns: Tensor, architecture: str) -> Tensor:
    """Rotate pairs of numbers by the position; ``x`` has shape (n, n_heads, head_length).

    Which two make a pair is as llama.cpp has it: neighbours in "llama", halves in the others.
    """
    if architecture == "llama":
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.complex(first.contiguous(), second.contiguous()) * turns
    return torch.cat([turned.real, turned.imag], dim=-1).to(x.dtype)


def _weights(path: Path, device: str, precision: torch.dtype) -> dict[str, Tensor]:
    """All tensors of a GGUF file by their names, those of normalization in 32 bits."""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    found: dict[str, Tensor] = {}
    for tensor in GGUFReader(path).tensors:
        data: Any = dequantize(tensor.data, tensor.tensor_type)
        # A copy: the reader's arrays are a read-only map of the file.
        kind = torch.float32 if tensor.name.endswith("_norm.weight") else precision
        found[tensor.name] = torch.tensor(data, dtype=kind, device=device)
    return found
