"""Contacts in vCard files (3.0 and 4.0, and 2.1 as far as it goes), read with vobject."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from plait.errors import ToolCallError
from plait.tools.assistant._contacts import Contact, ContactBook
from plait.tools.assistant._home import Home, needs

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
class ContactFiles:
    """A ``ContactSource`` of the files in ``home.contacts``, each with one or many cards."""

    home: Home

    def read(self) -> ContactBook:
        """All contacts as the files are now; a card that stands in two files counts once."""
        texts: list[tuple[str, str]] = []
        warnings: list[str] = []
        for path in sorted(self.home.contacts.glob("[!.]*.[vV][cC][fF]")):
            shown = self.home.shown(path)
            try:
                # What is not UTF-8 becomes lone surrogates, so that it spoils its own card only.
                texts.append((shown, self.home.read(path).decode("utf-8-sig", "surrogateescape")))
            except ToolCallError as error:
                warnings.append(f"{shown} was skipped: {error}")
        book = read_cards(texts)
        return ContactBook(book.contacts, (*warnings, *book.warnings))


def read_cards(texts: Iterable[tuple[str, str]]) -> ContactBook:
    """The contacts in texts of vCards, each once; what cannot be read is skipped with a warning.

    Args:
        texts: pairs of a name for messages and a text of one or many cards.
    """
    contacts: dict[Contact, None] = {}
    warnings: list[str] = []
    for shown, text in texts:
        for number, match in enumerate(_CARD.finditer(text), start=1):
            try:
                contacts[_parse(match.group())] = None
            except ValueError as error:
                warnings.append(f"card {number}{_title(match.group())} of {shown} was skipped: {error}")
    return ContactBook(tuple(contacts), tuple(warnings))


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
