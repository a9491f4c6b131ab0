"""Email: new messages, replies and forwards, kept as drafts or sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from plait.errors import ToolCallError
from plait.tools import call_in_thread
from plait.tools.assistant._addresses import Address, read_addresses
from plait.tools.assistant._home import Home
from plait.tools.assistant._ics import one_line
from plait.tools.assistant._letters import Letter, read_attachments
from plait.tools.assistant._received import Received

Writer: TypeAlias = Callable[[Letter], Awaitable[str | None]]
"""Writes what an email says. It is given the letter with the context as its text, and the message that
is answered or passed on, if there is one, which outsiders wrote. What needs no writing it gives back. It
keeps the letter's marks in the text, or gives ``None``: then it is asked again when the results exist."""


class MailBox(Protocol):
    """Where the user's mail is read, drafted and sent."""

    async def selected(self) -> Received:
        """The message that is selected, or else the newest of the inbox.

        Raises:
            ToolCallError: there is none, or it cannot be read.
        """
        ...

    async def save_draft(self, letter: Letter) -> str:
        """Keep the letter for the user to send, and return where it is, such as ``"Drafts in mail"``.

        Raises:
            ToolCallError: it could not be kept.
        """
        ...

    async def send(self, letter: Letter) -> str:
        """Send the letter to all its recipients, or to none, and return what else there is to tell.

        Raises:
            ToolCallError: it was not sent; where that cannot be known, the message says so.
        """
        ...


async def context_as_it_is(letter: Letter) -> str:
    """The writer without a model: the email says what the context says."""
    return letter.text


@dataclass(frozen=True)
class Mail:
    """Writes emails for the user.

    Args:
        box: the mail program or server.
        home: where attachments are.
        sends: whether emails go out; else they are left in the drafts.
        writer: makes an email's text from the context.
        own: the user's own addresses. An answer to a message of the user's own goes to whom that went to.
    """

    box: MailBox
    home: Home
    sends: bool = False
    writer: Writer = context_as_it_is
    own: tuple[Address, ...] = ()

    async def compose(
        self,
        recipients: Sequence[str],
        cc: Sequence[str] = (),
        subject: str = "",
        context: str = "",
        attachments: Sequence[str] = (),
    ) -> str:
        """Write a new email and return a sentence that says what became of it.

        Raises:
            ToolCallError: a recipient is no address, an attachment is missing, or the mailbox failed.
        """
        return await self._finish(self.new(recipients, cc, subject, context), attachments)

    async def reply(self, cc: Sequence[str] = (), context: str = "", attachments: Sequence[str] = ()) -> str:
        """Answer the selected message; otherwise as ``compose``.

        Raises:
            ToolCallError: as ``compose``, or there is no message, or none that can be answered.
        """
        original = await self.box.selected()
        return await self._finish(self.answer(original, cc, context), attachments)

    async def forward(
        self,
        recipients: Sequence[str],
        cc: Sequence[str] = (),
        context: str = "",
        attachments: Sequence[str] = (),
    ) -> str:
        """Pass the selected message on, with its attachments; otherwise as ``compose``.

        Raises:
            ToolCallError: as ``compose``, or there is no message.
        """
        original = await self.box.selected()
        return await self._finish(self.passed_on(original, recipients, cc, context), attachments)

    def new(
        self, recipients: Sequence[str], cc: Sequence[str] = (), subject: str = "", text: str = ""
    ) -> Letter:
        """A new email, without attachments.

        Raises:
            ToolCallError: there is no recipient, or one is no address.
        """
        copies = read_addresses(cc, "copy recipient")
        return Letter(to=_recipients(recipients), text=text, cc=copies, subject=one_line(subject))

    def answer(self, original: Received, cc: Sequence[str] = (), text: str = "") -> Letter:
        """The answer to a message, without attachments.

        Raises:
            ToolCallError: as ``new``, or the message has no address that could be answered.
        """
        copies = read_addresses(cc, "copy recipient")
        own = {address.spec.casefold() for address in self.own}
        is_own = any(address.spec.casefold() in own for address in original.author)
        to = original.to if is_own else original.answer_to
        if not to:
            raise ToolCallError(
                f"The email {original.subject!r} has no address that could be answered; write a new one"
            )
        return Letter(to=to, text=text, cc=copies, kind="reply", original=original)

    def passed_on(
        self, original: Received, recipients: Sequence[str], cc: Sequence[str] = (), text: str = ""
    ) -> Letter:
        """A message that is passed on, without further attachments.

        Raises:
            ToolCallError: as ``new``.
        """
        copies = read_addresses(cc, "copy recipient")
        return Letter(to=_recipients(recipients), text=text, cc=copies, kind="forward", original=original)

    async def _finish(self, letter: Letter, attachments: Sequence[str]) -> str:
        parts = await call_in_thread(read_attachments, {"names": attachments, "home": self.home})
        letter = replace(letter, attachments=parts)
        written = await self.writer(letter)
        letter = letter if written is None else replace(letter, text=written)
        what = {"new": "email", "reply": "reply", "forward": "forward"}[letter.kind]
        about = f" {letter.title!r}" if letter.title else ""
        people = ", ".join(map(str, letter.recipients))
        n_parts = len(letter.attachments)
        files = f" with {n_parts} attachment{'s' * (n_parts > 1)}" if n_parts else ""
        if self.sends:
            note = await self.box.send(letter)
            return f"Sent the {what}{about} to {people}{files}{note and f' ({note})'}"
        place = await self.box.save_draft(letter)
        return f"Saved the {what}{about} to {people}{files} as a draft in {place}; it has not been sent"


def _recipients(texts: Sequence[str]) -> tuple[Address, ...]:
    addresses = read_addresses(texts, "recipient")
    if not addresses:
        raise ToolCallError("The email has no recipient; give an email address")
    return addresses
