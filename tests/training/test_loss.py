"""The loss that is made some rows at a time is that of all at once."""

import pytest
import torch
from torch.nn import functional

from plait.training import _loss
from plait.training._loss import cross_entropy


@pytest.mark.parametrize("rows", [2, 128])
def test_the_weighted_mean_has_the_gradient_of_cross_entropy(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_loss, "_ROWS", rows)
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(7, 5, generator=random).requires_grad_()
    head = torch.randn(11, 5, generator=random)
    targets = torch.randint(11, (7,), generator=random)
    weights = torch.rand(7, generator=random)
    mean, plain = cross_entropy(hidden, head, targets, weights)
    each = functional.cross_entropy(hidden @ head.T, targets, reduction="none")
    expected = (each * weights).sum() / weights.sum()
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(plain, each.mean())
    (found,) = torch.autograd.grad(3 * mean, hidden)
    (right,) = torch.autograd.grad(3 * expected, hidden)
    torch.testing.assert_close(found, right)
