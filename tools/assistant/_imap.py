"""Mail on an IMAP server (RFC 9051), by IMAPClient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plait.errors import ToolCallError
from plait.tools.assistant._home import needs
from plait.tools.assistant._internet_mail import MailFolder
from plait.tools.assistant._servers import Server

if TYPE_CHECKING:
    from imapclient import IMAPClient

MAX_MESSAGE_BYTES = 50 * 2**20


@dataclass(frozen=True)
class ImapStore:
    """A ``MailStore`` on an IMAP server, with a connection for each call.

    Args:
        server: the server and the account.
        inbox: the folder whose newest message counts as selected.
        drafts: the folder of drafts; empty for the one that the server marks as such, else ``Drafts``.
        sent: the folder of copies; likewise.
    """

    server: Server
    inbox: str = "INBOX"
    drafts: str = ""
    sent: str = ""

    def newest(self) -> bytes:
        """The message that came in last; reading it does not mark it as seen."""
        with self._connected() as client:
            client.select_folder(self.inbox, readonly=True)
            uids = client.search(["UNDELETED"])
            if not uids:
                raise ToolCallError(f"There is no email in {self.inbox} of {self.server.user}")
            newest = max(uids)
            size = client.fetch([newest], ["RFC822.SIZE"]).get(newest, {}).get(b"RFC822.SIZE", 0)
            if size > MAX_MESSAGE_BYTES:
                raise ToolCallError(
                    f"The newest email has {size // 2**20} MB, the limit is {MAX_MESSAGE_BYTES // 2**20}; "
                    "answer it in the mail program"
                )
            found: dict[bytes, Any] = client.fetch([newest], ["BODY.PEEK[]"]).get(newest, {})
            if b"BODY[]" not in found:
                raise ToolCallError("The newest email was removed meanwhile; try again")
            return bytes(found[b"BODY[]"])

    def add(self, message: bytes, folder: MailFolder) -> str:
        """Append a message to the folder, marked as seen and, in the drafts, as a draft."""
        with needs("imapclient"):
            from imapclient import DRAFT, SEEN
        with self._connected() as client:
            name = self._folder(client, folder)
            client.append(name, message, flags=[SEEN, DRAFT] if folder == "Drafts" else [SEEN])
        return f"{name} of {self.server.user}"

    def _folder(self, client: IMAPClient, folder: MailFolder) -> str:
        named, flag = (self.drafts, rb"\Drafts") if folder == "Drafts" else (self.sent, rb"\Sent")
        name = str(named or client.find_special_folder(flag) or folder)
        if not client.folder_exists(name):
            client.create_folder(name)
        return name

    @contextmanager
    def _connected(self) -> Iterator[IMAPClient]:
        """A connection that is logged in; whatever goes wrong in it is a ``ToolCallError``."""
        with needs("imapclient"):
            from imapclient import IMAPClient
            from imapclient.exceptions import IMAPClientError, LoginError
        server = self.server
        password = server.password()
        try:
            with IMAPClient(
                server.host,
                port=server.port,
                ssl=server.security == "tls",
                ssl_context=server.context() if server.security == "tls" else None,
                timeout=server.timeout_s,
            ) as client:
                if server.security == "starttls":
                    client.starttls(server.context())
                client.login(server.user, password)
                yield client
        except LoginError as error:
            raise server.refused(str(error)) from error
        except (IMAPClientError, OSError, ValueError) as error:  # ValueError: an answer that is no IMAP
            raise server.failed(error) from error
