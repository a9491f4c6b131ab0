"""Kinds of texts: an email address, a phone number, the path of a file."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plait.errors import ToolDefinitionError


@dataclass(frozen=True, slots=True, init=False)
class Kind:
    """Which kinds of values an argument takes, or which kind a tool gives.

    Types say that an address and a phone number are texts; this tells them apart. It stands in the
    signature: ``recipients: list[Annotated[str, Kind("email")]]``, ``-> Annotated[str, Kind("phone")]``.
    While a plan is written, an argument then refers only to results of a kind that it takes, or of a tool
    that says nothing of its result's kind. An argument that says nothing takes all that some argument takes
    if it is a text, and nothing if it is a number or a date. So a result of a kind that no argument takes,
    such as a status, is never referred to.

    The kinds ``"email"``, ``"phone"``, ``"path"`` and ``"person"`` have a form, which the literal texts of an
    argument have too: an address has its sign, and the name of a person has none. Other names mean just
    themselves. Where the request holds no address, number or path, and a tool gives such, there is no
    literal at all: what takes it comes after what gives it.

    Args:
        names: the kinds; of a result just one, of an argument also none, which takes no result.
        verbatim: texts are written as the request (or the conversation) has them, as names are; enforced for
            models that ``plait train`` has made.
    """

    names: frozenset[str]
    """The kinds."""
    verbatim: bool
    """Whether texts stand in the request."""

    def __init__(self, *names: str, verbatim: bool = False) -> None:
        object.__setattr__(self, "names", frozenset(names))
        object.__setattr__(self, "verbatim", verbatim)


def kinds_of(hints: Mapping[str, Any], *, tool: str) -> tuple[str | None, dict[str, Kind]]:
    """The kind that a function with these type hints gives, and those that its arguments take.

    Raises:
        ToolDefinitionError: it gives no kind or several.
    """
    takes = {name: kind for name, hint in hints.items() if (kind := _kind_in(hint)) is not None}
    given = takes.pop("return", None)
    if given is None:
        return None, takes
    if len(given.names) != 1:
        raise ToolDefinitionError(
            f"the result of {tool!r} is of one kind, not of {len(given.names)}; name the one", tool=tool
        )
    return next(iter(given.names)), takes


def _kind_in(hint: Any) -> Kind | None:
    """The first one in ``hint``, also deep within lists and unions."""
    for part in (*getattr(hint, "__metadata__", ()), *typing.get_args(hint)):
        found = part if isinstance(part, Kind) else _kind_in(part)
        if found is not None:
            return found
    return None
