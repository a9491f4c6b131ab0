"""Cross entropy over a large vocabulary, without the logits of all tokens in memory at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

_ROWS = 128  # tokens whose logits exist at the same time


def cross_entropy(hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The cross entropy of tokens, in nats.

    Logits and their gradient are made and used up some rows at a time, as in Liger Kernel (arXiv 2410.10989):
    in all they would be hundreds of times as large as ``hidden``.

    Args:
        hidden: shape (n, width).
        head: the frozen matrix from there to logits, shape (n_vocab, width).
        targets: the right tokens, shape (n,).
        weights: how much each counts, shape (n,).

    Returns:
        the weighted mean, which has a gradient, and the plain mean, which has none.
    """
    found: tuple[Tensor, Tensor] = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, head, targets, weights / weights.sum()
    )
    return found


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, shares: Tensor) -> Any:
        losses, gradients = [], []
        parts = (one.split(_ROWS) for one in (hidden, targets, shares))
        for rows, right, share in zip(*parts, strict=True):
            logs = functional.linear(rows, head).float().log_softmax(-1)
            losses.append(-logs.gather(1, right[:, None])[:, 0])
            gradient = logs.exp_()
            gradient.scatter_add_(1, right[:, None], torch.full_like(right[:, None], -1, dtype=logs.dtype))
            gradients.append((gradient * share[:, None]).to(head.dtype) @ head)
        ctx.save_for_backward(torch.cat(gradients))
        each = torch.cat(losses)
        plain = each.mean()
        ctx.mark_non_differentiable(plain)
        return (each * shares).sum(), plain

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *wanted: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient * wanted[0], None, None, None
