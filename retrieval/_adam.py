"""Adam (arXiv 1412.6980) for arrays of numpy, with decoupled weight decay (arXiv 1711.05101)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_FIRST, _SECOND = 0.9, 0.999
_EPSILON = 1e-8


class Adam:
    """Changes arrays in place, step by step.

    Args:
        parameters: float32 arrays.
        rate: learning rate.
        decay: how much matrices shrink in a step, times the rate; vectors do not.
    """

    def __init__(self, parameters: Sequence[NDArray[np.float32]], rate: float, decay: float = 0.0) -> None:
        self.rate = rate
        self._parameters = parameters
        self._decay = decay
        self._n_steps = 0
        self._means = [np.zeros_like(p) for p in parameters]
        self._squares = [np.zeros_like(p) for p in parameters]

    def step(self, gradients: Sequence[NDArray[np.float32]]) -> None:
        """Go one step against the gradients, one for each parameter."""
        self._n_steps += 1
        rate = self.rate / (1 - _FIRST**self._n_steps)
        correction = np.float32(1 / np.sqrt(1 - _SECOND**self._n_steps))
        for parameter, gradient, mean, square in zip(
            self._parameters, gradients, self._means, self._squares, strict=True
        ):
            mean += np.float32(1 - _FIRST) * (gradient - mean)
            square += np.float32(1 - _SECOND) * (gradient * gradient - square)
            if self._decay and parameter.ndim > 1:
                parameter *= np.float32(1 - self.rate * self._decay)
            parameter -= np.float32(rate) * mean / (np.sqrt(square) * correction + np.float32(_EPSILON))
