"""Attention with a gradient of its own computes what PyTorch's does for each sequence as a whole."""

import pytest
import torch
from torch.nn import functional

from plait.training import _attention
from plait.training._attention import Sight, attend

N_KV_HEADS, REPEATS, LENGTH = 2, 3, 8
N_PREFIX, TAILS = 13, ((2, 4), (1, 9), (3, 1))
N = N_PREFIX + sum(n_sequences * n for n_sequences, n in TAILS)


@pytest.fixture
def qkv() -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(0)
    lengths = (REPEATS * N, N, N)
    return tuple(torch.randn(N_KV_HEADS, n, LENGTH, generator=random).requires_grad_() for n in lengths)


def ours(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return attend(q, k, v, Sight.of(N_PREFIX, TAILS, REPEATS, q.dtype, q.device))


def one_by_one(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Each query with a mask over all keys: those of the prefix and of its own sequence, up to itself."""
    sequences = [0] * N_PREFIX
    for n_sequences, n in TAILS:
        for _ in range(n_sequences):
            sequences += [sequences[-1] + 1] * n
    own = torch.tensor(sequences)
    seen = ((own[:, None] == own) | (own == 0)).tril()
    mask = seen.repeat_interleave(REPEATS, 0)
    return functional.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=mask, scale=1.0)[0]


@pytest.mark.parametrize("rows", [4, 1024])
def test_it_is_attention_and_its_gradient_is_attentions(
    rows: int, qkv: tuple[torch.Tensor, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_attention, "_ROWS", rows)
    upstream = torch.randn(N_KV_HEADS, REPEATS * N, LENGTH, generator=torch.Generator().manual_seed(1))
    found, expected = ours(*qkv), one_by_one(*qkv)
    torch.testing.assert_close(found, expected)
    for gradient, right in zip(
        torch.autograd.grad(found, qkv, upstream), torch.autograd.grad(expected, qkv, upstream), strict=True
    ):
        torch.testing.assert_close(gradient, right, rtol=1e-4, atol=1e-5)


def test_sequences_that_have_nothing_in_common_attend_to_themselves() -> None:
    random = torch.Generator().manual_seed(2)
    q, k, v = (torch.randn(N_KV_HEADS, n, LENGTH, generator=random) for n in (REPEATS * 5, 5, 5))
    found = attend(q, k, v, Sight.of(0, ((1, 5),), REPEATS, q.dtype, q.device))
    mask = torch.ones(5, 5).tril().bool().repeat_interleave(REPEATS, 0)
    expected = functional.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=mask, scale=1.0)
    torch.testing.assert_close(found, expected[0])


def test_scores_far_apart_neither_overflow_nor_vanish(qkv: tuple[torch.Tensor, ...]) -> None:
    q, k, v = (one.detach() for one in qkv)
    found = ours(q * 300, k, v)
    torch.testing.assert_close(found, one_by_one(q * 300, k, v))


def test_with_16_bits_it_is_the_same_but_for_rounding(qkv: tuple[torch.Tensor, ...]) -> None:
    coarse = ours(*(one.detach().bfloat16() for one in qkv))
    assert coarse.dtype == torch.bfloat16
    torch.testing.assert_close(coarse.float(), one_by_one(*qkv).detach(), rtol=0.05, atol=0.05)
