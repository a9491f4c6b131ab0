"""A message that came in, read leniently: whatever its sender wrote, there is something to answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses
from html.parser import HTMLParser

from plait.errors import ToolCallError
from plait.tools.assistant._addresses import Address, read_address
from plait.tools.assistant._ics import one_line, plain

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")  # longer ones do not fit into the lines of a header
_TURNING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
"""What lays out text in another order than it stands in; marks that scripts need are not among them."""
_MARKS = frozenset('<>@,;"')
_JOINERS = "\u200c\u200d"  # Persian and Indian names are not spelled without them
_BREAKS = frozenset({"br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre"})
_UNSEEN = frozenset({"head", "script", "style", "title"})


@dataclass(frozen=True)
class Part:
    """An attachment: its file name, its MIME type and its bytes."""

    name: str
    mime_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Received:
    """What of a message is needed to answer it or to pass it on. Missing headers are empty."""

    message_id: str = ""
    references: tuple[str, ...] = ()
    """The identifiers of the messages before it in its thread, the oldest first."""
    author: tuple[Address, ...] = ()
    """Who wrote it."""
    answer_to: tuple[Address, ...] = ()
    """Where answers go: ``Reply-To``, else who wrote it."""
    to: tuple[Address, ...] = ()
    subject: str = ""
    date: str = ""
    """When it was sent, as its sender wrote it."""
    text: str = ""
    """What it says; HTML is reduced to its text."""
    attachments: tuple[Part, ...] = ()

    @property
    def from_line(self) -> str:
        """Who wrote it, for a person to read."""
        return ", ".join(map(str, self.author)) or "someone"

    @classmethod
    def parse(cls, raw: bytes) -> Received:
        """The message in these bytes (RFC 5322 and MIME), as far as it can be understood."""
        message = message_from_bytes(raw)
        body, attachments = _content(message)
        ids = _MESSAGE_ID.findall(_header(message, "Message-ID"))
        # Without References, an In-Reply-To of one identifier tells the thread (RFC 5322, 3.6.4).
        parents = _MESSAGE_ID.findall(_header(message, "References"))
        replied_to = _MESSAGE_ID.findall(_header(message, "In-Reply-To"))
        author = _addresses(message, "From")
        return cls(
            message_id=ids[0] if ids else "",
            references=tuple(dict.fromkeys(parents or (replied_to if len(replied_to) == 1 else ()))),
            author=author,
            answer_to=_addresses(message, "Reply-To") or author,
            to=_addresses(message, "To"),
            subject=_header(message, "Subject"),
            date=_header(message, "Date"),
            text=body,
            attachments=attachments,
        )


def _header(message: Message, name: str) -> str:
    """The decoded value on one line; unknown character sets and broken words stay as they are."""
    value = message.get(name)
    if value is None:
        return ""
    try:
        words = decode_header(value)
    except (HeaderParseError, ValueError):
        words = [(str(value), None)]
    return one_line("".join(_decoded(word, charset) for word, charset in words).translate(_TURNING))


def _decoded(content: bytes | str, charset: str | None) -> str:
    if isinstance(content, str):
        return content.encode("utf-8", "replace").decode()
    try:
        return content.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):
        return content.decode("latin-1")


def _addresses(message: Message, name: str) -> tuple[Address, ...]:
    """The addresses that can be written to. Encoded names are decoded only after they were told apart."""
    found = []
    for shown, spec in getaddresses([str(value) for value in message.get_all(name, [])]):
        holder = Message()
        holder["name"] = one_line(shown)
        try:
            address = Address(read_address(spec, name).spec)
        except ToolCallError:
            continue
        written = _header(holder, "name")
        is_name = written.casefold() not in {"", address.spec.casefold()}
        found.append(Address(address.spec, _name(written)) if is_name else address)
    return tuple(found)


def _name(text: str) -> str:
    """A name as its bearer wrote it, without what could make it look like an address, several, or another."""
    seen = (c for c in text if unicodedata.category(c) != "Cf" or c in _JOINERS)
    return " ".join("".join(" " if _separates(c) else c for c in seen).split())


def _separates(character: str) -> bool:
    """Whether it is a mark of address lists, in whatever width."""
    return not _MARKS.isdisjoint(unicodedata.normalize("NFKC", character))


def _content(message: Message) -> tuple[str, tuple[Part, ...]]:
    leaves = list(_leaves(message))
    by_type: dict[str, Message] = {}
    for part in filter(_is_text, leaves):
        by_type.setdefault(part.get_content_type(), part)
    body = by_type.get("text/plain", by_type.get("text/html"))
    attachments = tuple(
        _as_attachment(part, number)
        for number, part in enumerate(leaves, start=1)
        if part.get_content_disposition() == "attachment" or _file_name(part) or part.is_multipart()
    )
    return (_text(body) if body is not None else ""), attachments


def _leaves(message: Message) -> Iterator[Message]:
    """The parts that are not containers; a message inside the message is one part."""
    if message.get_content_maintype() != "multipart" or not message.is_multipart():
        yield message
        return
    for part in message.get_payload():
        if isinstance(part, Message):
            yield from _leaves(part)


def _is_text(part: Message) -> bool:
    is_text = part.get_content_maintype() == "text" and not part.is_multipart()
    return is_text and part.get_content_disposition() != "attachment" and not _file_name(part)


def _file_name(part: Message) -> str:
    try:
        return one_line((part.get_filename() or "").translate(_TURNING)).replace("/", "-").replace("\\", "-")
    except (HeaderParseError, LookupError, TypeError, ValueError):  # of malformed RFC 2231 parameters
        return ""


def _text(part: Message) -> str:
    text = _decoded(_payload(part), part.get_content_charset())
    return plain(_without_tags(text) if part.get_content_type() == "text/html" else text)


def _payload(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _as_attachment(part: Message, number: int) -> Part:
    if not part.is_multipart():
        return Part(_file_name(part) or f"part-{number}", part.get_content_type(), _payload(part))
    inner = part.get_payload(0)
    content = _whole(inner) if isinstance(inner, Message) else b""
    return Part(_file_name(part) or f"message-{number}.eml", "message/rfc822", content)


def _whole(message: Message) -> bytes:
    """A message with its headers, as it came, as far as that can be told."""
    try:
        return message.as_bytes()
    except UnicodeEncodeError:  # it says that it has parts, and has bytes that are no ASCII instead
        return message.as_string().encode(errors="replace")


class _TextOfHtml(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._unseen += tag in _UNSEEN
        if tag in _BREAKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))
        if tag in _BREAKS - {"br"}:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(re.sub(r"\s+", " ", data))


def _without_tags(html: str) -> str:
    parser = _TextOfHtml()
    parser.feed(html)
    parser.close()
    lines = [line.strip() for line in "".join(parser.pieces).splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
