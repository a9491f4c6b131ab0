from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from plait.errors import ConfigurationError, ToolCallError
from plait.tools.assistant import ImapStore, Server


@pytest.mark.parametrize("security", ["tls", "starttls", "none"])
def test_messages_are_read_and_kept_with_each_kind_of_security(mail_host: Any, security: str) -> None:
    host = mail_host(security)
    store = ImapStore(host.imap)
    assert store.add(b"Subject: a\r\n\r\nHi\r\n", "Drafts") == "Drafts of me@example.org"
    assert ImapStore(host.imap, inbox="Drafts").newest() == b"Subject: a\r\n\r\nHi\r\n"


def test_a_draft_is_marked_as_one(mail_host: Any) -> None:
    host = mail_host()
    ImapStore(host.imap).add(b"Subject: a\r\n\r\n", "Drafts")
    with host.client() as client:
        client.select_folder("Drafts")
        assert [set(flags) - {rb"\Recent"} for flags in client.get_flags([*client.search()]).values()] == [
            {rb"\Draft", rb"\Seen"}
        ]


def test_folders_may_have_any_name(mail_host: Any) -> None:
    host = mail_host()
    assert ImapStore(host.imap, drafts='Entwürfe & "mehr"').add(b"a: b\r\n\r\n", "Drafts").startswith("Entw")
    assert host.folder('Entwürfe & "mehr"') == [b"a: b\r\n\r\n"]


def test_deleted_messages_are_not_the_newest(mail_host: Any) -> None:
    host = mail_host()
    host.receive(b"Subject: a\r\n\r\n")
    host.receive(b"Subject: b\r\n\r\n")
    with host.client() as client:
        client.select_folder("INBOX")
        client.delete_messages(max(client.search()))
    assert ImapStore(host.imap).newest() == b"Subject: a\r\n\r\n"


def test_a_wrong_password_is_told(mail_host: Any) -> None:
    host = mail_host()
    host.passwords["imap"] = "wrong"
    with pytest.raises(
        ToolCallError, match=r"does not accept the password of 'me@example.org'.*PLAIT_IMAP_PASSWORD"
    ):
        ImapStore(host.imap).newest()


def test_a_server_that_nobody_vouches_for_is_not_given_the_password(mail_host: Any) -> None:
    host = mail_host()
    with pytest.raises(
        ToolCallError, match=r"The IMAP server 127.0.0.1:\d+ failed: .*certificate verify failed"
    ):
        ImapStore(replace(host.imap, tls=None)).newest()


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [b"* OK hello\r\n"],
        [b"* OK hello\r\n", b"* CAPABILITY IMAP4rev1\r\n%s OK done\r\n", b"%s OK logged in\r\n"],
        [b"* OK hello\r\n", b"* CAPABILITY IMAP4rev1\r\n%s OK done\r\n", b"%s OK in\r\n", b"nonsense\r\n"],
        [b"220 this is SMTP\r\n"],
    ],
)
def test_a_server_that_breaks_off_or_talks_nonsense_is_named(background: Any, answers: list[bytes]) -> None:
    server = scripted(background, answers)
    with pytest.raises(ToolCallError, match=r"^The IMAP server 127\.0\.0\.1:\d+ failed: "):
        ImapStore(server).newest()


def scripted(background: Any, answers: list[bytes]) -> Server:
    """A server that gives these answers, each but the first to a command, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, answer in enumerate(answers):
            tag = (await reader.readline()).split(b" ")[0] if number else b""
            writer.write(answer.replace(b"%s", tag))
            await writer.drain()
        writer.close()

    secrets: Callable[[str, str], str] = lambda *_: "x"  # noqa: E731
    return Server(
        "imap",
        "127.0.0.1",
        background.listen(asyncio.start_server(serve, "127.0.0.1", 0)),
        "me",
        "none",
        secrets,
        timeout_s=20,
    )


@pytest.mark.parametrize("host", ["mail.example.org", "127.0.0.1.example.org", "10.0.0.1"])
def test_no_password_goes_over_a_network_in_the_clear(host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"would send the password to {host} in the clear"):
        Server("imap", host, 143, "me", "none")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_bridge_on_this_machine_may_do_without_tls(host: str) -> None:
    assert Server("imap", host, 143, "me", "none").security == "none"
