"""States of idle sequences, kept outside of the KV cache.

Attention passes over the cache up to the last cell that holds anything, for whatever sequence, and behind
long prompts that is most of the work of a small model.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from plait.models._sequences import n_common


class ParkedStates:
    """States by their tokens; the least recently used make room for new ones.

    Args:
        max_bytes: what they may take of memory.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._states: OrderedDict[tuple[int, ...], bytearray] = OrderedDict()

    @property
    def n_bytes(self) -> int:
        """What they take of memory."""
        return sum(map(len, self._states.values()))

    def put(self, tokens: Sequence[int], state: bytearray) -> bool:
        """Keep a state; False if it alone is over the limit. States of beginnings of ``tokens`` go."""
        if len(state) > self._max_bytes:
            return False
        for known in list(self._states):
            if n_common(known, tuple(tokens)) == len(known):
                del self._states[known]
        self._states[tuple(tokens)] = state
        while self.n_bytes > self._max_bytes:
            self._states.popitem(last=False)
        return True

    def find(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """The tokens of the state that has most of the beginning of ``tokens``; none if nothing is parked."""
        wanted = tuple(tokens)
        return max(self._states, key=lambda known: n_common(known, wanted), default=())

    def take(self, tokens: tuple[int, ...]) -> bytearray:
        """The state of exactly these tokens, which is no longer here then.

        Raises:
            KeyError: there is none.
        """
        return self._states.pop(tokens)
