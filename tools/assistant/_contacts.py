"""Contacts: vCard files, read with vobject, and the lookup of people by name."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from plait.errors import AmbiguousError, ToolCallError
from plait.tools.assistant._home import Home, needs
from plait.tools.assistant._match import best, did_you_mean, fold

if TYPE_CHECKING:
    from vobject.base import ContentLine

_CARD = re.compile(r"(?ims)^BEGIN:VCARD\s*$.*?(?:^END:VCARD\s*?$|(?=^BEGIN:VCARD\s*$)|\Z)")
_FULL_NAME = re.compile(r"(?im)^(?:[\w-]+\.)?FN(?:;[^:\r\n]*)?:([^\r\n]+)")
_ESCAPED = re.compile(r"\\([\\,;:nN])")
_EMAIL_ORDER = ("home", "work")
_PHONE_ORDER = ("cell", "iphone", "mobile", "home", "main", "work")
_NOT_FOR_CALLS = frozenset({"fax", "pager"})
_NO_PREFERENCE = 101  # vCard 4 ranks PREF from 1, the best, to 100


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


@dataclass(frozen=True)
class Contacts:
    """The people in the vCard files (3.0 and 4.0) of ``home.contacts``."""

    home: Home

    def read(self) -> ContactBook:
        """All contacts as the files are now; a card that stands in two files counts once."""
        contacts: dict[Contact, None] = {}
        warnings: list[str] = []
        for path in sorted(self.home.contacts.glob("[!.]*.[vV][cC][fF]")):
            try:
                # What is not UTF-8 becomes lone surrogates, so that it spoils its own card only.
                text = self.home.read(path).decode("utf-8-sig", "surrogateescape")
            except ToolCallError as error:
                warnings.append(f"{self.home.shown(path)} was skipped: {error}")
                continue
            for number, match in enumerate(_CARD.finditer(text), start=1):
                try:
                    contacts[_parse(match.group())] = None
                except ValueError as error:
                    where = f"card {number}{_title(match.group())} of {self.home.shown(path)}"
                    warnings.append(f"{where} was skipped: {error}")
        return ContactBook(tuple(contacts), tuple(warnings))

    def find(self, name: str) -> Contact:
        """The one person whom ``name`` means: a full name, nickname, part of a name, or email address.

        Case and accents do not matter; close spellings are accepted where nothing else fits.

        Raises:
            ToolCallError: nobody or several people fit; the message lists who is near or who they are.
        """
        book = self.read()
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


def _title(card: str) -> str:
    match = _FULL_NAME.search(card)
    return f" ({match.group(1).encode('utf-8', 'replace').decode()})" if match else ""


def _parse(card: str) -> Contact:
    """One card.

    Raises:
        ValueError: a line is malformed, the card has no end or names nobody, or it is not UTF-8.
    """
    try:
        card.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it is not in UTF-8") from error
    lines = _lines(card)
    if lines[-1].name != "END":
        raise ValueError("it has no END:VCARD")
    by_name: dict[str, list[ContentLine]] = {}
    for line in lines:
        by_name.setdefault(line.name, []).append(line)
    nicknames = [nick for line in by_name.get("NICKNAME", ()) for nick in _parts(line.value, ",")]
    structured = next((_given_and_family(line.value) for line in by_name.get("N", ())), "")
    organization = next((_parts(line.value, ";")[0] for line in by_name.get("ORG", ())), "")
    name = next((_text(line.value) for line in by_name.get("FN", ())), "") or structured or organization
    if not name:
        raise ValueError("it has no name")
    if structured and structured != name:
        nicknames.append(structured)
    return Contact(
        name=name,
        nicknames=tuple(nick for nick in nicknames if nick),
        organization=organization,
        emails=_ordered(by_name.get("EMAIL", ()), _EMAIL_ORDER),
        phones=_ordered(by_name.get("TEL", ()), _PHONE_ORDER),
    )


def _lines(card: str) -> list[ContentLine]:
    """The unfolded lines, their values still encoded.

    vobject's own decoding of whole cards loses all nicknames but the first and fails on a damaged photo.
    """
    with needs("vobject"):
        from vobject.base import VObjectError, getLogicalLines, textLineToContentLine
    quoted_printable = "QUOTED-PRINTABLE" in card.upper()  # vCard 2.1
    try:
        lines = getLogicalLines(io.StringIO(card, newline=""), allowQP=quoted_printable)
        return [textLineToContentLine(line, number) for line, number in lines if line.strip()]
    except (VObjectError, LookupError) as error:  # LookupError: an unknown character set
        raise ValueError(str(error)) from error


def _ordered(lines: Iterable[ContentLine], kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The values, best first: by preference, then by kind, then as they stand in the card."""
    ranked: list[tuple[int, int, str]] = []
    for line in lines:
        types = _types(line)
        rank = min((kinds.index(kind) for kind in types if kind in kinds), default=len(kinds))
        if not types & _NOT_FOR_CALLS and (value := _address(line.value)):
            ranked.append((_preference(line, types), rank, value))
    return tuple(dict.fromkeys(value for *_, value in sorted(ranked, key=lambda entry: entry[:2])))


def _types(line: ContentLine) -> frozenset[str]:
    values = [*line.singletonparams, *line.params.get("TYPE", ())]
    return frozenset(kind.strip().lower() for value in values for kind in value.split(","))


def _preference(line: ContentLine, types: frozenset[str]) -> int:
    given = "".join(line.params.get("PREF", ())).strip()
    if given.isdecimal():
        return min(int(given[:3]), _NO_PREFERENCE)
    return 1 if "pref" in types else _NO_PREFERENCE


def _address(value: str) -> str:
    """A number or an email address without its URI scheme; an extension reads ``x12``."""
    text = _text(value)
    scheme, colon, rest = text.partition(":")
    if not colon or scheme.lower() not in {"tel", "mailto", "sms"}:
        return text
    bare, *parameters = unquote(rest).partition("?")[0].split(";")
    extension = next((p.partition("=")[2] for p in parameters if p.lower().startswith("ext=")), "")
    return f"{bare} x{extension}" if extension else bare


def _given_and_family(value: str) -> str:
    """``"Hsu;Sid;;;"`` gives ``"Sid Hsu"``."""
    family, given, *_ = (*_parts(value, ";"), "", "")
    return f"{given} {family}".strip()


def _parts(value: str, separator: str) -> list[str]:
    return [" ".join(_text(part).split()) for part in re.split(rf"(?<!\\){separator}", value)]


def _text(value: str) -> str:
    return _ESCAPED.sub(lambda m: "\n" if m.group(1) in "nN" else m.group(1), value).strip()
