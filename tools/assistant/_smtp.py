"""Sending mail over SMTP submission (RFC 6409), by aiosmtplib."""

from __future__ import annotations

from asyncio import BaseTransport, WriteTransport
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plait.errors import ToolCallError
from plait.tools.assistant._home import needs
from plait.tools.assistant._servers import Server

if TYPE_CHECKING:
    from aiosmtplib import SMTP

GOOD_BYE_S = 5.0


@dataclass(frozen=True)
class SmtpTransport:
    """A ``MailTransport`` with a connection for each message.

    Args:
        server: the server and the account; an account without a user is not logged in to.
    """

    server: Server

    async def send(self, message: bytes, sender: str, recipients: Sequence[str]) -> None:
        """Hand the message over. Where one recipient is refused, nobody gets it."""
        with needs("aiosmtplib"):
            from aiosmtplib import SMTP
            from aiosmtplib.errors import SMTPAuthenticationError, SMTPException
        server = self.server
        password = server.password() if server.user else ""
        client = SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            timeout=server.timeout_s,
            tls_context=None if server.security == "none" else server.context(),
            local_hostname="localhost",  # this machine's name is nobody's business
        )
        transport: BaseTransport | None = None
        try:
            await client.connect()
            transport = client.transport
            if server.user:
                await client.login(server.user, password)
            await client.mail(sender, options=_size(client, message))
            await _name_all(client, recipients)
            await _hand_over(client, message)
        except SMTPAuthenticationError as error:
            raise server.refused(error.message) from error
        except (SMTPException, OSError) as error:
            raise server.failed(f"{error}; nothing was sent") from error
        finally:
            client.close()
            if isinstance(transport, WriteTransport):
                transport.abort()  # TLS would wait for the server to say good-bye


def _size(client: SMTP, message: bytes) -> list[str]:
    """So that a message too large for the server is refused before it is transferred."""
    return [f"SIZE={len(message)}"] if client.supports_extension("size") else []


async def _name_all(client: SMTP, recipients: Sequence[str]) -> None:
    from aiosmtplib.errors import SMTPRecipientRefused

    refused = []
    for recipient in recipients:
        try:
            await client.rcpt(recipient)
        except SMTPRecipientRefused as error:
            refused.append(f"{recipient} ({error.code} {error.message})")
    if refused:
        raise ToolCallError(
            f"The mail server does not accept {', '.join(refused)}; nothing was sent to anyone"
        )


async def _hand_over(client: SMTP, message: bytes) -> None:
    """From here on a lost connection leaves open what became of the message."""
    from aiosmtplib.errors import (
        SMTPException,
        SMTPResponseException,
        SMTPServerDisconnected,
        SMTPTimeoutError,
    )

    try:
        await client.data(message)
    except SMTPResponseException as error:
        raise ToolCallError(
            f"The mail server refused the message: {error.code} {error.message}; nothing was sent"
        ) from error
    except (SMTPServerDisconnected, SMTPTimeoutError) as error:
        raise ToolCallError(
            f"The connection was lost while the message was handed over ({error}); it may have been sent "
            "or not, so look for it with a recipient or in Sent before it is sent again"
        ) from error
    with suppress(SMTPException):  # the server has the message, however it says good-bye
        await client.quit(timeout=GOOD_BYE_S)
