"""Contacts: the lookup of people by name, wherever their cards are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from plait.errors import AmbiguousError, ToolCallError
from plait.tools.assistant._match import best, did_you_mean, fold


@dataclass(frozen=True)
class Contact:
    """One person. ``emails`` and ``phones`` have the one to use first."""

    name: str
    nicknames: tuple[str, ...] = ()
    organization: str = ""
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that the person may be called by."""
        return (self.name, *self.nicknames)


@dataclass(frozen=True)
class ContactBook:
    """The contacts in the order of their files, and a warning for each card or file not read."""

    contacts: tuple[Contact, ...]
    warnings: tuple[str, ...] = ()


class ContactSource(Protocol):
    """Where the user's contacts are."""

    def read(self) -> ContactBook:
        """All contacts as they are now.

        Raises:
            ToolCallError: none of them can be read.
        """
        ...


@dataclass(frozen=True)
class Contacts:
    """The lookup of people.

    Args:
        source: where they are.
    """

    source: ContactSource

    def find(self, name: str) -> Contact:
        """The one person whom ``name`` means: a full name, nickname, part of a name, or email address.

        Case and accents do not matter; close spellings are accepted where nothing else fits.

        Raises:
            ToolCallError: nobody or several people fit; the message lists who is near or who they are.
        """
        book = self.source.read()
        address = name.strip().casefold()
        found = [c for c in book.contacts if address in (email.casefold() for email in c.emails)]
        found = found or best(name, ((known, c) for c in book.contacts for known in c.names))
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousError(f"Several contacts match {name!r}: {', '.join(_labels(found))}; say which")
        raise _unknown(name, book)

    def email(self, name: str) -> str:
        """The email address of the person: the preferred one, else the home one, else the first.

        Raises:
            ToolCallError: as ``find``, or the person has no email address.
        """
        contact = self.find(name)
        if not contact.emails:
            raise ToolCallError(f"{contact.name} has no email address in the contacts{_has(contact.phones)}")
        return contact.emails[0]

    def phone(self, name: str) -> str:
        """The phone number of the person: the preferred one, else mobile, home, work; never a fax.

        Raises:
            ToolCallError: as ``find``, or the person has no phone number.
        """
        contact = self.find(name)
        if not contact.phones:
            raise ToolCallError(f"{contact.name} has no phone number in the contacts{_has(contact.emails)}")
        return contact.phones[0]


def _unknown(name: str, book: ContactBook) -> ToolCallError:
    if not book.contacts and not book.warnings:
        return ToolCallError(f"No contact matches {name!r}: there are no contacts yet")
    near = did_you_mean(name, (known for c in book.contacts for known in c.names))
    skipped = f" ({'; '.join(book.warnings[:3])})" if book.warnings else ""
    return ToolCallError(f"No contact matches {name!r}{near}{skipped}")


def _has(others: tuple[str, ...]) -> str:
    return f", only {others[0]}" if others else ""


def _labels(contacts: list[Contact]) -> Iterator[str]:
    """Their names, with a detail where two have the same."""
    count = Counter(fold(c.name) for c in contacts)
    for c in contacts:
        detail = next(iter((*c.emails, *c.phones, c.organization)), "")
        yield f"{c.name} ({detail})" if detail and count[fold(c.name)] > 1 else c.name
