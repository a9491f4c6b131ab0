"""Attention of sequences that begin alike, with a gradient of its own.

What all sequences see of the common beginning is one product for all of them, forward and backward, and the
shares of attention are made again for the gradient, as in FlashAttention-2 (arXiv 2307.08691), not kept.

Rows are queries: those of the heads that share a key head are neighbours, so nothing is repeated. Scores have
the precision of the queries; sums and what is divided by them have 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_ROWS = 1024  # computed together, so that their scores stay in the cache


@dataclass(frozen=True, slots=True)
class Sight:
    """Which keys each query sees: those of the prefix, and those of its own sequence, none after itself."""

    n_prefix: int
    tails: tuple[tuple[int, int], ...]
    """Sequences and tokens of each group; tokens lie in this order, behind those of the prefix."""
    prefix_mask: Tensor
    """What is added to the prefix's own scores, shape (repeats * n_prefix, n_prefix)."""
    tail_masks: tuple[Tensor, ...]
    """What is added to the scores of each group's own tokens, shape (repeats * n_tokens, n_tokens)."""

    @classmethod
    def of(
        cls,
        n_prefix: int,
        tails: tuple[tuple[int, int], ...],
        repeats: int,
        precision: torch.dtype,
        device: torch.device,
    ) -> Sight:
        """That of groups of sequences, with ``repeats`` queries for each key."""

        def causal(n: int) -> Tensor:
            mask = torch.full((n, n), -torch.inf, dtype=precision, device=device).triu(1)
            return mask.repeat_interleave(repeats, 0)

        return cls(n_prefix, tails, causal(n_prefix), tuple(causal(n) for _, n in tails))

    def pieces(self, repeats: int) -> Iterator[_Piece]:
        """What is computed at once; for each query first what it sees of the prefix."""
        behind = repeats * (self.n_prefix + sum(n_sequences * n for n_sequences, n in self.tails))
        keys = slice(0, self.n_prefix)
        if self.n_prefix == 0:
            behind = 0  # there is nothing before the tails that they could see
        for i in range(0, repeats * self.n_prefix, _ROWS):
            rows = slice(i, min(i + _ROWS, repeats * self.n_prefix))
            yield _Piece(rows, keys, 1, self.prefix_mask[rows])
        for i in range(repeats * self.n_prefix, behind, _ROWS):
            yield _Piece(slice(i, min(i + _ROWS, behind)), keys, 1, None)
        start = self.n_prefix
        for (n_sequences, n), mask in zip(self.tails, self.tail_masks, strict=True):
            end = start + n_sequences * n
            yield _Piece(slice(repeats * start, repeats * end), slice(start, end), n_sequences, mask)
            start = end


@dataclass(frozen=True, slots=True)
class _Piece:
    """Queries that see the same keys, or as many sequences of them one behind the other."""

    rows: slice
    keys: slice
    n_sequences: int
    mask: Tensor | None

    def of_rows(self, x: Tensor) -> Tensor:
        return _by_sequence(x[:, self.rows], self.n_sequences)

    def of_keys(self, x: Tensor) -> Tensor:
        return _by_sequence(x[:, self.keys], self.n_sequences)

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        found: Tensor = self.of_rows(q) @ self.of_keys(k).mT
        return found if self.mask is None else found.add_(self.mask)


def _by_sequence(x: Tensor, n_sequences: int) -> Tensor:
    found: Tensor = x.unflatten(1, (n_sequences, -1))
    return found


def attend(q: Tensor, k: Tensor, v: Tensor, sight: Sight) -> Tensor:
    """Attention of queries that are scaled already.

    Args:
        q: shape (n_kv_heads, n * repeats, head_length).
        k: shape (n_kv_heads, n, head_length).
        v: the same shape.
        sight: who sees whom.

    Returns:
        shape and precision of ``q``.
    """
    found: Tensor = _Attention.apply(q, k, v, sight)  # type: ignore[no-untyped-call]
    return found


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, sight: Sight) -> Tensor:
        seen = q.new_zeros(q.shape, dtype=torch.float32)
        sums = q.new_zeros((*q.shape[:2], 1), dtype=torch.float32)
        highest = q.new_full((*q.shape[:2], 1), -torch.inf)
        for piece in sight.pieces(q.shape[1] // k.shape[1]):
            scores = piece.scores(q, k)
            before = piece.of_rows(highest)
            top = torch.maximum(scores.amax(-1, keepdim=True), before)
            shares = scores.sub_(top).exp_()
            left = (before - top).float().exp_()
            piece.of_rows(sums).mul_(left).add_(shares.sum(-1, keepdim=True, dtype=torch.float32))
            piece.of_rows(seen).mul_(left).add_(shares @ piece.of_keys(v))
            before.copy_(top)
        result = seen.div_(sums).to(q.dtype)
        ctx.sight = sight
        ctx.save_for_backward(q, k, v, result, highest, sums)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        q, k, v, result, highest, sums = ctx.saved_tensors
        # The division by the sums is done here, once, instead of to all shares.
        inner = (gradient.float() * result).sum(-1, keepdim=True).div_(sums).to(q.dtype)
        gradient = (gradient / sums).to(q.dtype)
        of_q, of_k, of_v = (torch.zeros_like(one, dtype=torch.float32) for one in (q, k, v))
        for piece in ctx.sight.pieces(q.shape[1] // k.shape[1]):
            rows, keys = piece.of_rows(gradient), piece.of_keys(k)
            shares = piece.scores(q, k).sub_(piece.of_rows(highest)).exp_()
            piece.of_keys(of_v).add_(shares.mT @ rows)
            of_scores = (rows @ piece.of_keys(v).mT).sub_(piece.of_rows(inner)).mul_(shares)
            piece.of_rows(of_q).add_(of_scores @ keys)
            piece.of_keys(of_k).add_(of_scores.mT @ piece.of_rows(q))
        return of_q.to(q.dtype), of_k.to(k.dtype), of_v.to(v.dtype), None
