"""Mail by the open protocols: kept in a Maildir or on an IMAP server, sent over SMTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Literal, Protocol, TypeAlias

from plait.errors import ToolCallError
from plait.tools import call_in_thread
from plait.tools.assistant._addresses import Address
from plait.tools.assistant._letters import Letter, as_message
from plait.tools.assistant._received import Received
from plait.tools.assistant._zone import local_zone, utc_now

MailFolder: TypeAlias = Literal["Drafts", "Sent"]


class MailStore(Protocol):
    """Where messages are kept. Its methods block."""

    def newest(self) -> bytes:
        """The newest message of the inbox, which stays as it is there, read or unread.

        Raises:
            ToolCallError: there is none, or it cannot be read.
        """
        ...

    def add(self, message: bytes, folder: MailFolder) -> str:
        """Keep a message in a folder, which is made where it is missing; return the folder's name.

        Raises:
            ToolCallError: it could not be kept.
        """
        ...


class MailTransport(Protocol):
    """What takes messages to other people."""

    async def send(self, message: bytes, sender: str, recipients: Sequence[str]) -> None:
        """Hand a message over for all of the recipients, or for none.

        Raises:
            ToolCallError: it was not sent; where that cannot be known, the message says so.
        """
        ...


@dataclass(frozen=True)
class InternetMail:
    """A ``MailBox`` over a store and a transport.

    Args:
        store: where messages are kept.
        sender: the user's own address; drafts may do without.
        transport: sends; without one there are only drafts.
        keeps_sent: whether a copy of what was sent goes into ``Sent``; some servers do that themselves.
        tz: the zone of the messages' dates.
        now: gives the present time, aware.
    """

    store: MailStore
    sender: Address | None = None
    transport: MailTransport | None = None
    keeps_sent: bool = True
    tz: tzinfo = field(default_factory=local_zone)
    now: Callable[[], datetime] = utc_now

    async def selected(self) -> Received:
        """The newest message of the inbox."""
        return Received.parse(await call_in_thread(self.store.newest, {}))

    async def save_draft(self, letter: Letter) -> str:
        """Keep the letter in the drafts."""
        return await self._keep(self._message(letter), "Drafts")

    async def send(self, letter: Letter) -> str:
        """Send the letter and keep a copy. That the copy cannot be kept does not unsend the letter."""
        if self.transport is None or self.sender is None:
            raise ToolCallError(
                "Nothing was sent: no mail server is configured; set mail.address and [mail.smtp]"
            )
        message = self._message(letter)
        await self.transport.send(message, self.sender.spec, [a.spec for a in letter.recipients])
        if self.keeps_sent:
            try:
                await self._keep(message, "Sent")
            except ToolCallError as error:
                return f"but no copy was kept: {error}"
        return ""

    def _message(self, letter: Letter) -> bytes:
        return as_message(letter, self.sender, self.now().astimezone(self.tz))

    async def _keep(self, message: bytes, folder: MailFolder) -> str:
        return str(await call_in_thread(self.store.add, {"message": message, "folder": folder}))
