"""What a tool works out about a call before it is made: texts that it writes, and facts that it finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Draft:
    """A call that is planned."""

    arguments: Mapping[str, Any]
    """Its arguments as they were planned, in the shapes that the tool wants and with results in the place of
    references, but not validated; those that wait for a result are missing, see ``waiting``."""
    material: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By argument, the results of other calls that stand in it, as text."""
    request: str = ""
    """What the user asked for, in the user's words; empty if unknown."""
    waiting: Mapping[str, str] = field(default_factory=dict)
    """The texts among the arguments that wait for results, with marks such as ``${1}`` for these."""
    marks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By argument of ``waiting``, its marks. What is written in its place must hold each of them, so that the
    results can be put in; else the call is prepared once more when they exist, see ``needs_results``."""

    def text(self, name: str) -> str | None:
        """An argument that is a text; ``None`` if it is missing or is none."""
        value = self.arguments.get(name)
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that is ready to be shown to the user, and to be made just as it is shown."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that take the place of planned ones, such as a text that was written for the call."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the arguments do not tell, such as to whom a reply goes: texts by what they are."""
    untrusted: frozenset[str] = frozenset()
    """Those of ``arguments`` and ``facts`` in which outsiders may have had a hand: texts that a model wrote
    after it had read theirs, an address that a message has its answers go to."""
    function: Callable[..., Any] | None = None
    """What is called in the place of the tool's function, with the same arguments, so that the facts hold
    whatever has changed meanwhile; sync or async as that is."""
    needs_results: bool = False
    """That it can only be worked out when all results that the call waits for exist, as an order to summarize
    one of them. Nothing else of it counts then, and the call is prepared, and asked about, at that time."""


Preparer: TypeAlias = Callable[[Draft], Awaitable[Prepared]]
"""Prepares a call. It changes nothing and sends nothing."""
