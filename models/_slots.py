"""Which of a llama-server's slots each kind of prompt keeps, so that its state is still there next time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import sha256

from plait.models._types import Message

_N_CHARS = 256


def prompt_kind(messages: Sequence[Message]) -> str | None:
    """A stable name for how the prompt's static part begins; ``None`` if no part is static.

    Only the first characters count: planner, joiner and summaries differ there, while a planner whose
    tools are chosen anew for each request remains of one kind, and finds its instructions computed.
    """
    if not any(message.static_chars > 0 for message in messages):
        return None
    first = messages[0]
    start = first.content[: first.static_chars or None][:_N_CHARS]
    return sha256(f"{first.role}\n{start}".encode(errors="surrogatepass")).hexdigest()


class SlotMap:
    """Remembers which kind of prompt each slot was last given, and which slots requests of ours hold.

    A kind goes back to its own slot; a new one takes a slot that has no kind, the one that its name points
    to, so that the next process takes the same; then the slot that was least recently used. A slot that is
    busy is never chosen: the server would make the request wait for it while others are idle.
    """

    def __init__(self) -> None:
        self._kinds: dict[int, str] = {}  # least recently used first
        self._taken: set[int] = set()

    def take(self, kind: str, idle: Collection[int]) -> int | None:
        """A slot for a prompt of this kind, held until :meth:`release`; ``None`` if none is free.

        Args:
            kind: from :func:`prompt_kind`.
            idle: the slots that the server says are idle.
        """
        free = sorted(set(idle) - self._taken)
        if not free:
            return None
        slot = self._choose(kind, free)
        self._taken.add(slot)
        self._kinds.pop(slot, None)
        self._kinds[slot] = kind
        return slot

    def release(self, slot: int) -> None:
        """The request that held ``slot`` has ended."""
        self._taken.discard(slot)

    def _choose(self, kind: str, free: list[int]) -> int:
        own = [slot for slot in reversed(self._kinds) if self._kinds[slot] == kind and slot in free]
        if own:
            return own[0]
        unclaimed = [slot for slot in free if slot not in self._kinds]
        if unclaimed:
            return unclaimed[int(kind, 16) % len(unclaimed)]
        return next(slot for slot in self._kinds if slot in free)
