"""Letters: what is to be written to whom, and their form as internet messages (RFC 5322, MIME)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from mimetypes import MimeTypes
from pathlib import PurePath
from typing import Literal

from plait.errors import ToolCallError
from plait.tools.assistant._addresses import Address
from plait.tools.assistant._files import Files
from plait.tools.assistant._home import Home
from plait.tools.assistant._ics import one_line, plain
from plait.tools.assistant._match import fold
from plait.tools.assistant._received import Part, Received

MAX_ATTACHED_BYTES = 25 * 2**20
MAX_REFERENCES = 30  # a thread's first and last ones are enough to place a message

_POLICY = SMTP.clone(cte_type="7bit")  # passes through every server
# Python's headers break a long Message-ID in two encoded words, which no mail program puts together.
_WIRE_POLICY = _POLICY.clone(max_line_length=900)
_TYPES = MimeTypes()  # Python's own table, the same on every machine
_REGISTERED = {  # with IANA, and missing or outdated in that table
    ".7z": "application/x-7z-compressed",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".epub": "application/epub+zip",
    ".flac": "audio/flac",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".ics": "text/calendar",
    ".m4a": "audio/mp4",
    ".md": "text/markdown",
    ".mkv": "video/matroska",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ogg": "audio/ogg",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".rtf": "application/rtf",
    ".vcf": "text/vcard",
    ".wav": "audio/wav",
    ".webp": "image/webp",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".yaml": "application/yaml",
}
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
_REPLIES = re.compile(r"(?i)(re|aw|sv|vs|odp|antw)\s*(\[\d+\])?\s*:")
_FORWARDS = re.compile(r"(?i)(fwd?|wg|tr|vl|enc|doorst)\s*(\[\d+\])?\s*:")


@dataclass(frozen=True)
class Letter:
    """One email to be written. Everything in it has been checked."""

    to: tuple[Address, ...]
    text: str
    """What the user says; the original is quoted below it."""
    cc: tuple[Address, ...] = ()
    subject: str = ""
    """Of a new message; a reply and a forward take it from the original."""
    attachments: tuple[Part, ...] = ()
    kind: Literal["new", "reply", "forward"] = "new"
    original: Received | None = None
    """The message that is answered or passed on."""
    material: tuple[str, ...] = ()
    """Results of other tools, such as a summary, that stand in the text."""
    waiting: tuple[str, ...] = ()
    """The marks, such as ``${1}``, that stand in the text for results that do not exist yet."""

    @property
    def title(self) -> str:
        """The subject line."""
        if self.original is None:
            return self.subject
        prefix, known = ("Re: ", _REPLIES) if self.kind == "reply" else ("Fwd: ", _FORWARDS)
        subject = self.original.subject
        return subject if known.match(subject) else f"{prefix}{subject}".strip()

    @property
    def recipients(self) -> tuple[Address, ...]:
        """Everyone who gets it, each once."""
        everyone: dict[str, Address] = {}
        for address in (*self.to, *self.cc):
            everyone.setdefault(address.spec.casefold(), address)
        return tuple(everyone.values())


def as_message(letter: Letter, sender: Address | None, now: datetime) -> bytes:
    """The letter as a message in 7-bit MIME, with its own Message-ID and, in a thread, its place there.

    Args:
        letter: what to write.
        sender: the user's own address; without one, the mail program that sends the draft fills it in.
        now: its date, aware.
    """
    message = EmailMessage(_POLICY)
    if sender is not None:
        message["From"] = _header(sender)
    for name, addresses in (("To", letter.to), ("Cc", letter.cc)):
        if addresses:
            message[name] = [_header(address) for address in addresses]
    if letter.title:
        message["Subject"] = one_line(letter.title)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid(domain=sender.spec.rpartition("@")[2] if sender else "localhost")
    if letter.original is not None and letter.original.message_id:
        before = [i for i in letter.original.references if i != letter.original.message_id]
        thread = [*before[:1], *before[1:][-MAX_REFERENCES:], letter.original.message_id]
        message["In-Reply-To"] = letter.original.message_id
        message["References"] = " ".join(thread)
    message.set_content(body_text(letter))
    passed_on = letter.original.attachments if letter.original and letter.kind == "forward" else ()
    for part in (*letter.attachments, *passed_on):
        _attach(message, part)
    return message.as_bytes(policy=_WIRE_POLICY)


def read_attachments(names: Sequence[str], home: Home) -> tuple[Part, ...]:
    """The files of the home, by path or by exact name, with the MIME types of their extensions.

    Raises:
        ToolCallError: a file is missing, outside the home, unreadable, or they are more than
            ``MAX_ATTACHED_BYTES`` together.
    """
    parts, n_bytes = [], 0
    for name in dict.fromkeys(names):
        part = _read_attachment(name, home, MAX_ATTACHED_BYTES - n_bytes)
        n_bytes += len(part.content)
        parts.append(part)
    return tuple(parts)


def quoted(text: str) -> str:
    """The text with ``>`` before each line."""
    return "\n".join(
        f">{line}" if line.startswith(">") else f"> {line}".rstrip() for line in text.split("\n")
    )


def body_text(letter: Letter) -> str:
    """What the letter says, with the original quoted or passed on below."""
    text = plain(letter.text)
    original = letter.original
    if original is None:
        return f"{text}\n"
    if letter.kind == "reply":
        when = f"On {original.date}, " if original.date else ""
        below = f"{when}{original.from_line} wrote:\n{quoted(original.text)}"
    else:
        facts = (
            ("From", original.from_line),
            ("Date", original.date),
            ("Subject", original.subject),
            ("To", ", ".join(map(str, original.to))),
        )
        head = "\n".join(f"{name}: {value}" for name, value in facts if value)
        below = f"---------- Forwarded message ----------\n{head}\n\n{original.text}"
    return f"{text}\n\n{below}\n".lstrip("\n")


def _read_attachment(name: str, home: Home, n_bytes_left: int) -> Part:
    path = home.resolve(name)
    if not path.exists() and not {"/", "\\"} & set(name):
        # Models also give the name of a file that they should have looked for first.
        found = Files(home).find(name)
        if fold(name.strip()) not in {fold(found.name), fold(found.stem)}:
            raise ToolCallError(f"There is no file {name!r} to attach; did you mean {found.name!r}?")
        path = found
    if not path.is_file():
        raise ToolCallError(f"There is no file {home.shown(path)} to attach; give the path of a file")
    try:
        is_too_large = path.stat().st_size > n_bytes_left
    except OSError as error:
        raise ToolCallError(f"cannot read {home.shown(path)}: {error.strerror or error}") from error
    if is_too_large:
        raise ToolCallError(
            f"The attachments with {home.shown(path)} are more than {MAX_ATTACHED_BYTES // 2**20} MB, which "
            "mail servers do not take; share the file in another way"
        )
    return Part(path.name, _mime_type(path.name), home.read(path))


def _mime_type(name: str) -> str:
    if registered := _REGISTERED.get(PurePath(name).suffix.lower()):
        return registered
    kind, encoding = _TYPES.guess_type(name, strict=True)
    if encoding is not None:
        return _COMPRESSED.get(encoding, "application/octet-stream")
    return kind or "application/octet-stream"


def _attach(message: EmailMessage, part: Part) -> None:
    kind, _, subtype = part.mime_type.partition("/")
    if kind in {"message", "multipart"} or not subtype:  # these may not be base64 (RFC 2046, 5.2.1)
        kind, subtype = "application", "octet-stream"
    name = one_line(part.name).encode("utf-8", "replace").decode()
    message.add_attachment(part.content, maintype=kind, subtype=subtype, filename=name)


def _header(address: Address) -> HeaderAddress:
    return HeaderAddress(display_name=one_line(address.name), addr_spec=address.spec)
