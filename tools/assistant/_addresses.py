"""Email addresses: read, checked, and free of anything that could reach into a header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from plait.errors import ToolCallError
from plait.tools.assistant._ics import one_line

MAX_LOCAL_CHARS = 64
MAX_ADDRESS_CHARS = 254

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_WRITTEN = re.compile(r"(?:(?i:mailto:))?(?P<bare>[^<>\s\"]+)|(?P<name>[^<>]*)<(?P<angled>[^<>\s]+)>")


@dataclass(frozen=True)
class Address:
    """A mailbox: ``spec`` is ``local@domain`` in ASCII, ``name`` may be empty."""

    spec: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name} <{self.spec}>" if self.name else self.spec


def read_address(text: str, what: str) -> Address:
    """The address that ``text`` writes: alone, after ``mailto:``, or as ``"Name <address>"``.

    A domain in other letters than ASCII becomes its IDNA form.

    Args:
        text: what the user or the model gave.
        what: what it is for, for the message, e.g. ``"recipient"``.

    Raises:
        ToolCallError: it is none.
    """
    shown = one_line(text)
    # What is left out of a header must not turn a wrong address into a right one.
    match = _WRITTEN.fullmatch(shown) if shown == text.strip() else None
    spec = _spec(match["bare"] or match["angled"]) if match else None
    if match is None or spec is None:
        raise ToolCallError(f"The {what} {shown!r} is no email address; look the address up first")
    return Address(spec, (match["name"] or "").replace('"', "").strip())


def read_addresses(texts: Iterable[str], what: str) -> tuple[Address, ...]:
    """The addresses, each mailbox once; one text may list several bare ones with commas or semicolons.

    Raises:
        ToolCallError: one of them is none.
    """
    found: dict[str, Address] = {}
    for written in chain.from_iterable(map(_listed, texts)):
        address = read_address(written, what)
        found.setdefault(address.spec.casefold(), address)
    return tuple(found.values())


def _listed(text: str) -> Iterator[str]:
    parts = [part.strip() for part in re.split(r"[,;]", text)]
    yield from parts if len(parts) > 1 and all(map(_spec, parts)) else [text]


def _spec(text: str) -> str | None:
    local, at, domain = text.rpartition("@")
    try:
        ascii_domain = domain.encode("idna").decode("ascii") if not domain.isascii() else domain
    except UnicodeError:
        return None
    fits = len(local) <= MAX_LOCAL_CHARS and len(local) + 1 + len(ascii_domain) <= MAX_ADDRESS_CHARS
    if at and fits and _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(ascii_domain):
        return f"{local}@{ascii_domain}"
    return None
