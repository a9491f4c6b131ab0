"""Worked examples for a request: those that help it most, and are not all alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from plait.errors import ConfigurationError
from plait.planners._prompts import PlanExample

if TYPE_CHECKING:
    from plait.retrieval import Encoder, Vectors

_RELEVANCE = 0.5  # how much likeness to the request counts against likeness to what is chosen already


class ExampleFinder:
    """Finds worked examples by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    Args:
        examples: all that there are; of those with one query, the first.
        encoder: makes vectors of their queries and of requests. First used when one is looked for.
        k: how many are wanted for a request.
        max_tokens: how many tokens they may have together.

    Raises:
        ConfigurationError: a number is not positive.
    """

    def __init__(
        self, examples: Sequence[PlanExample], encoder: Encoder, *, k: int = 2, max_tokens: int = 400
    ) -> None:
        if k < 1 or max_tokens < 1:
            raise ConfigurationError(
                f"k is {k} and max_tokens {max_tokens}; give positive numbers, or no ExampleFinder"
            )
        self._examples = tuple({example.query: example for example in reversed(examples)}.values())[::-1]
        self._encoder = encoder
        self._k = k
        self._max_tokens = max_tokens

    def __len__(self) -> int:
        return len(self._examples)

    def find(
        self, query: str, tools: Collection[str], count: Callable[[str], int]
    ) -> tuple[PlanExample, ...]:
        """The most helpful examples for ``query``, the most helpful last, next to the request.

        Each is like the request and unlike those that are chosen before it. One that does not fit is passed
        over for one that does. None where none of
        them calls anything: that would teach to call nothing.

        Args:
            query: the request. An example of the same words is not shown.
            tools: names of the tools that the plan may call; examples that call others are left out.
            count: tokens of a text.

        Raises:
            ModelError: the encoder cannot be had, or gives something else than it should.
        """
        rows = [
            row
            for row, example in enumerate(self._examples)
            if example.query != query and all(task.tool in tools for task in example.plan)
        ]
        if not rows:
            return ()
        vectors = self._vectors[rows]
        likeness = vectors @ self._encoder.encode([query])[0]
        nearest = vectors[:, 0] * 0  # how alike each is to what is chosen
        chosen: list[PlanExample] = []
        left = self._max_tokens
        places = list(range(len(rows)))
        while places and len(chosen) < self._k:
            place = max(places, key=lambda i: _RELEVANCE * likeness[i] - (1 - _RELEVANCE) * nearest[i])
            places.remove(place)
            example = self._examples[rows[place]]
            n_tokens = count(f"Request: {example.query}\nPlan:\n{example.plan}\n")
            if n_tokens <= left:
                chosen.append(example)
                left -= n_tokens
                nearest = (vectors @ vectors[place]).clip(min=nearest)
        return tuple(reversed(chosen)) if any(len(example.plan) for example in chosen) else ()

    @cached_property
    def _vectors(self) -> Vectors:
        return self._encoder.encode([example.query for example in self._examples])
