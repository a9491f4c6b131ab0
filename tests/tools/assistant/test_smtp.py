from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from plait.errors import ToolCallError
from plait.tools.assistant import SmtpTransport

pytestmark = pytest.mark.anyio
MESSAGE = b"Subject: Hi\r\n\r\n.dots\r\n..stay\r\n"


@pytest.mark.parametrize("security", ["tls", "starttls", "none"])
async def test_a_message_is_handed_over_with_each_kind_of_security(mail_host: Any, security: str) -> None:
    host = mail_host(security)
    await SmtpTransport(host.smtp).send(MESSAGE, "me@example.org", ["sid@example.com"])
    (taken,) = host.post_office.taken
    assert taken.content == MESSAGE
    assert (taken.mail_from, taken.rcpt_tos) == ("me@example.org", ["sid@example.com"])


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_server_that_nobody_vouches_for_is_not_given_the_password(
    mail_host: Any, security: str
) -> None:
    host = mail_host(security)
    with pytest.raises(
        ToolCallError, match=r"The SMTP server .* failed: .*[Cc]ertificate.*; nothing was sent"
    ):
        await SmtpTransport(replace(host.smtp, tls=None)).send(MESSAGE, "me@example.org", ["a@b"])
    assert host.post_office.taken == []


async def test_a_server_without_tls_is_not_talked_to_in_the_clear(mail_host: Any) -> None:
    plain = mail_host("none")
    for security in ("tls", "starttls"):
        server = replace(plain.smtp, security=security, timeout_s=5)
        if security == "starttls":
            server = replace(server, port=mail_host("tls").smtp.port, timeout_s=0.5)
        with pytest.raises(ToolCallError, match="nothing was sent"):
            await SmtpTransport(server).send(MESSAGE, "me@example.org", ["a@b"])
    assert plain.post_office.taken == []


async def test_an_account_without_a_user_is_not_logged_in_to(mail_host: Any) -> None:
    host = mail_host("none")
    with pytest.raises(ToolCallError, match=r"Authentication required"):
        await SmtpTransport(replace(host.smtp, user="")).send(MESSAGE, "me@example.org", ["a@b"])


async def test_a_message_too_large_for_the_server_is_refused_before_it_is_sent(mail_host: Any) -> None:
    host = mail_host("none")
    with pytest.raises(ToolCallError, match=r"The SMTP server .* failed: .*; nothing was sent"):
        await SmtpTransport(host.smtp).send(b"x" * (34 * 2**20), "me@example.org", ["a@b"])
    assert host.post_office.taken == []
