"""Who answers: the one seam between voice and how a request is carried out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Sentence:
    """Something to say."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Something that needs a yes. The responder waits for ``answered`` before it goes on.

    A yes counts only when the whole text was read aloud, a no at any time; nobody answering is a no.
    """

    text: str
    """What would be done, with all that is needed to decide."""
    answered: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Set to whether it may be done."""


Reply: TypeAlias = Sentence | Question


class Responder(Protocol):
    """Carries out requests and tells about it."""

    def respond(self, request: str) -> AsyncGenerator[Reply]:
        """What to say about ``request``, as it becomes known.

        Closing it early cancels what is under way.

        Raises:
            PlaitError: it cannot be carried out; the message is said and the session goes on.
        """
