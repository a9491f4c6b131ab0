"""One suite for every mailbox: a Maildir in the home and an IMAP server, which send over SMTP, and macOS."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from plait.errors import ToolCallError
from plait.tools import Draft
from plait.tools.assistant import (
    Address,
    Home,
    ImapStore,
    InternetMail,
    Letter,
    MacMail,
    Mail,
    MaildirStore,
    SmtpTransport,
)
from plait.tools.assistant._letters import as_message, read_attachments
from plait.tools.assistant._mail_review import MailReview, is_dictated

pytestmark = pytest.mark.anyio
Put = Callable[[str, str | bytes], Path]

ME = Address("me@example.org", "Ana Sofia Reyes")
QUESTION = b"""\
From: Sid Hsu <sid@example.com>
Reply-To: Sid at home <sid@home.example>
To: me@example.org
Subject: Gauges
Date: Fri, 20 Nov 2026 09:30:00 +0100
Message-ID: <q2@example.com>
References: <q0@example.com> <q1@example.com>
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: 8bit

When are the gauges due?
> Soon, I said.

Gr\xc3\xbc\xc3\x9fe
Sid
"""
WITH_FILE = b"""\
From: =?utf-8?q?Zo=C3=AB?= <zoe@example.com>
To: me@example.org
Subject: =?utf-8?q?Pl=C3=A4ne?=
Message-ID: <p@example.com>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html; charset=utf-8

<style>p {color: red}</style><p>The <b>plan</b>,<br>at last.</p>
--b
Content-Type: application/pdf
Content-Disposition: attachment; filename="plan.pdf"
Content-Transfer-Encoding: base64

JVBERi0=
--b--
"""


internet = pytest.mark.parametrize("case", ["maildir", "imap"], indirect=True)


@dataclass
class Case:
    """A mailbox and the ways to look into it from outside."""

    mail: Mail
    receive: Callable[[bytes], None]
    folder: Callable[[str], list[bytes]]
    host: Any

    def parsed(self, name: str) -> list[EmailMessage]:
        messages = (raw.replace(b"\r\n", b"\n") for raw in self.folder(name))
        return [message_from_bytes(raw, policy=default) for raw in messages]  # type: ignore[misc]

    def draft(self) -> EmailMessage:
        (draft,) = self.parsed("Drafts")
        return draft

    @property
    def n_sent(self) -> int:
        return len(self.host.post_office.taken) if self.host else len(self.folder("Sent"))

    def sending(self) -> Mail:
        return replace(self.mail, sends=True)


@pytest.fixture(params=["maildir", "imap", "macos"])
def case(
    request: pytest.FixtureRequest,
    home: Home,
    put: Put,
    mail_host: Any,
    berlin: ZoneInfo,
    noon: Callable[[], datetime],
) -> Case:
    if request.param == "macos":
        mac = request.getfixturevalue("mac")
        folders = {"INBOX": mac.inbox, "Drafts": mac.drafts, "Sent": mac.sent}
        return Case(Mail(MacMail(mac), home, own=(ME,)), mac.inbox.append, folders.__getitem__, None)
    host = mail_host()
    receive, folder = host.receive, host.folder
    store: Any = ImapStore(host.imap)
    if request.param == "maildir":
        store = MaildirStore(home)
        numbers = iter(range(1_700_000_000, 1_800_000_000))

        def receive(raw: bytes) -> None:
            put(f"mail/INBOX/new/{next(numbers)}.M1P1.host", raw)

        def folder(name: str) -> list[bytes]:
            return [path.read_bytes() for path in sorted((home.mail / name).glob("cur/*"))]

    box = InternetMail(store, ME, SmtpTransport(host.smtp), tz=berlin, now=noon)
    return Case(Mail(box, home, own=(ME,)), receive, folder, host)


async def test_a_new_email_is_a_draft_by_default(case: Case, put: Put) -> None:
    put("documents/plan.pdf", b"%PDF-1.4")
    status = await case.mail.compose(
        ["Sid <sid@example.com>"],
        ["zoe@example.com"],
        "Grüße",
        "Hello Sid,\n\nit is done.",
        ["documents/plan.pdf"],
    )
    assert status.startswith(
        "Saved the email 'Grüße' to Sid <sid@example.com>, zoe@example.com with 1 attachment "
        "as a draft in Drafts of "
    )
    assert status.endswith("; it has not been sent")
    draft = case.draft()
    assert draft["From"] == "Ana Sofia Reyes <me@example.org>"
    assert (draft["To"], draft["Cc"]) == ("Sid <sid@example.com>", "zoe@example.com")
    assert (draft["Subject"], draft["Date"]) == ("Grüße", "Sat, 21 Nov 2026 13:00:00 +0100")
    assert str(draft["Message-ID"]).endswith("@example.org>")
    assert "In-Reply-To" not in draft
    body: Any = draft.get_body(("plain",))
    assert body.get_content() == "Hello Sid,\n\nit is done.\n"
    (attached,) = draft.iter_attachments()
    assert (attached.get_content_type(), attached.get_filename()) == ("application/pdf", "plan.pdf")
    assert attached.get_payload(decode=True) == b"%PDF-1.4"
    assert case.n_sent == 0


async def test_a_reply_goes_where_answers_go_and_stays_in_its_thread(case: Case) -> None:
    case.receive(WITH_FILE)
    case.receive(QUESTION)
    status = await case.mail.reply(["zoe@example.com"], "On Monday.")
    assert "the reply 'Re: Gauges' to Sid at home <sid@home.example>, zoe@example.com" in status
    draft = case.draft()
    assert (draft["To"], draft["Cc"]) == ("Sid at home <sid@home.example>", "zoe@example.com")
    assert draft["Subject"] == "Re: Gauges"
    assert draft["In-Reply-To"] == "<q2@example.com>"
    assert draft["References"] == "<q0@example.com> <q1@example.com> <q2@example.com>"
    assert draft.get_content() == (
        "On Monday.\n\n"
        "On Fri, 20 Nov 2026 09:30:00 +0100, Sid Hsu <sid@example.com> wrote:\n"
        "> When are the gauges due?\n>> Soon, I said.\n>\n> Grüße\n> Sid\n"
    )


async def test_a_forward_carries_text_and_attachments_on(case: Case) -> None:
    case.receive(QUESTION)
    case.receive(WITH_FILE)
    await case.mail.forward(["sid@example.com"], context="Have a look.")
    draft = case.draft()
    assert draft["Subject"] == "Fwd: Pläne"
    if case.host:  # Mail's own forwards cannot be used, see MacMail
        assert draft["References"] == "<p@example.com>"
    body: Any = draft.get_body(("plain",))
    assert body.get_content() == (
        "Have a look.\n\n---------- Forwarded message ----------\n"
        "From: Zoë <zoe@example.com>\nSubject: Pläne\nTo: me@example.org\n\nThe plan,\nat last.\n"
    )
    (attached,) = draft.iter_attachments()
    assert (attached.get_content_type(), attached.get_filename()) == ("application/pdf", "plan.pdf")
    assert attached.get_payload(decode=True) == b"%PDF-"


@internet
async def test_reading_a_message_to_answer_it_does_not_mark_it_as_read(case: Case) -> None:
    case.receive(QUESTION)
    before = case.folder("INBOX")
    await case.mail.reply(context="Yes.")
    assert case.folder("INBOX") == before
    if isinstance(case.mail.box, InternetMail) and isinstance(case.mail.box.store, ImapStore):
        with case.host.client() as client:
            client.select_folder("INBOX", readonly=True)
            assert client.search("SEEN") == []


@internet
async def test_what_is_sent_reaches_everyone_and_is_kept(case: Case) -> None:
    status = await case.sending().compose(["sid@example.com"], ["zoe@example.com"], "Hi", ".dot\nFrom here")
    assert status == "Sent the email 'Hi' to sid@example.com, zoe@example.com"
    (envelope,) = case.host.post_office.taken
    assert envelope.mail_from == "me@example.org"
    assert sorted(envelope.rcpt_tos) == ["sid@example.com", "zoe@example.com"]
    sent: Any = message_from_bytes(envelope.content, policy=default)
    assert sent.get_content().replace("\r\n", "\n") == ".dot\nFrom here\n"
    (kept,) = case.parsed("Sent")
    assert kept["Message-ID"] == sent["Message-ID"]
    assert case.folder("Drafts") == []


async def test_sending_is_the_users_choice(case: Case) -> None:
    case.receive(QUESTION)
    assert (await case.sending().reply(context="Yes.")).startswith(
        "Sent the reply 'Re: Gauges' to Sid at home"
    )
    assert case.n_sent == 1
    assert case.folder("Drafts") == []


async def test_there_is_nothing_to_answer_in_an_empty_inbox(case: Case) -> None:
    for action in (case.mail.reply(), case.mail.forward(["sid@example.com"])):
        with pytest.raises(ToolCallError, match="There is no email in "):
            await action


@pytest.mark.parametrize(
    "recipients", [[], ["Sid"], ["sid@example.com", "+1-555-0101"], ["a@b\r\nBcc: eve@example.com"]]
)
async def test_nothing_is_written_to_what_is_no_address(case: Case, recipients: list[str]) -> None:
    case.receive(QUESTION)
    for action in (case.mail.compose(recipients), case.mail.forward(recipients)):
        with pytest.raises(
            ToolCallError, match=r"is no email address; look the address up first|no recipient"
        ):
            await action
    with pytest.raises(ToolCallError, match="The copy recipient 'Zoe' is no email address"):
        await case.mail.reply(["Zoe"])
    assert case.folder("Drafts") == []


@internet
async def test_no_argument_and_no_original_reaches_into_the_headers(case: Case) -> None:
    case.receive(
        b'From: "Eve\\\r\n X-A: 1" <eve@example.com>\nSubject: =?utf-8?b?SGkNCkJjYzogZXZlQGV4YW1wbGUuY29t?=\n'
        b"Message-ID: <a@b>\n\nHi\n"
    )
    await case.mail.reply(context="Bcc: x@example.com\r\n\r\nFine")
    await case.mail.compose(["sid@example.com"], [], "Hi\r\nBcc: eve@example.com\r\n\r\nBody", "Text")
    known = {"From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "MIME-Version"}
    for draft in case.parsed("Drafts"):
        assert set(draft.keys()) <= known | {"Content-Type", "Content-Transfer-Encoding"}
    subjects = {str(draft["Subject"]) for draft in case.parsed("Drafts")}
    assert subjects == {"Re: Hi Bcc: eve@example.com", "Hi Bcc: eve@example.com Body"}


async def test_an_attachment_must_be_a_file_of_the_home(
    case: Case, home: Home, put: Put, tmp_path: Path
) -> None:
    put("documents/a/budget-2027.pdf", b"%PDF-")
    (tmp_path / "secret.txt").write_text("x", encoding="utf-8")
    for name, problem in (
        ("documents/none.pdf", "There is no file documents/none.pdf to attach"),
        (str(tmp_path / "secret.txt"), "outside the home folder"),
        ("../secret.txt", "outside the home folder"),
        ("documents", "There is no file documents to attach"),
        ("budget", "There is no file 'budget' to attach; did you mean 'budget-2027.pdf'"),
        ("annals.pdf", "No file matches 'annals.pdf'"),
    ):
        with pytest.raises(ToolCallError, match=problem):
            await case.mail.compose(["sid@example.com"], attachments=[name])
    assert case.folder("Drafts") == []
    await case.mail.compose(["sid@example.com"], attachments=["budget-2027.pdf", "budget-2027.pdf"])
    assert [part.get_filename() for part in case.draft().iter_attachments()] == ["budget-2027.pdf"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.pdf", "application/pdf"),
        ("a.PNG", "image/png"),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.ics", "text/calendar"),
        ("a.md", "text/markdown"),
        ("a.tar.gz", "application/gzip"),
        ("a.eml", "application/octet-stream"),  # message/rfc822 may not be base64
        ("a.unheard", "application/octet-stream"),
        ("Makefile", "application/octet-stream"),
    ],
)
def test_an_attachment_has_the_type_of_its_extension_and_its_very_bytes(
    home: Home, put: Put, name: str, kind: str
) -> None:
    content = bytes(range(256)) + b"\r\nFrom x\n.\n"
    put(name, content)
    (part,) = read_attachments([name], home)
    raw = as_message(Letter((ME,), "Hi", attachments=(part,)), ME, datetime(2026, 11, 21, tzinfo=UTC))
    (attached,) = message_from_bytes(raw, policy=default).iter_attachments()  # type: ignore[attr-defined]
    assert (attached.get_content_type(), attached.get_filename()) == (kind, name)
    assert attached.get_payload(decode=True) == content


def test_attachments_that_no_server_takes_are_refused_before_they_are_read(home: Home, put: Put) -> None:
    with put("a.bin", b"").open("r+b") as file:
        file.truncate(30 * 2**20)
    with pytest.raises(ToolCallError, match=r"The attachments with a\.bin are more than 25 MB"):
        read_attachments(["a.bin"], home)


async def test_the_writer_gets_the_letter_and_gives_its_text(case: Case) -> None:
    seen: list[Letter] = []

    async def write(letter: Letter) -> str:
        seen.append(letter)
        return f"Dear {letter.to[0].name}, {letter.text}."

    case.receive(QUESTION)
    await replace(case.mail, writer=write).reply(context="on Monday")
    (letter,) = seen
    assert letter.kind == "reply"
    assert letter.original
    assert letter.original.text.startswith("When are the gauges due?")
    assert case.draft().get_content().startswith("Dear Sid at home, on Monday.\n\nOn ")


async def test_a_reply_is_prepared_with_its_recipient_and_goes_to_the_message_that_was_shown(
    case: Case,
) -> None:
    case.receive(QUESTION)
    prepared = await MailReview(case.mail).reply(Draft({"context": "On Monday."}))
    assert prepared.facts == {"to": "sid@home.example (Sid at home)", "subject": "Re: Gauges"}
    assert prepared.untrusted == {"to", "subject"}  # the message told them
    assert prepared.arguments == {}
    assert case.folder("Drafts") == []
    case.receive(WITH_FILE)  # the newest one is another now
    assert prepared.function is not None
    await prepared.function(context="On Monday.")
    assert case.draft()["To"] == "Sid at home <sid@home.example>"
    assert case.draft()["Subject"] == "Re: Gauges"


async def test_a_forward_is_prepared_with_what_it_passes_on(case: Case) -> None:
    case.receive(WITH_FILE)
    prepared = await MailReview(case.mail).forward(Draft({"recipients": ["ana@example.com"]}))
    assert prepared.facts == {"from": "zoe@example.com (Zoë)", "subject": "Fwd: Pläne", "with": "plan.pdf"}
    assert prepared.untrusted == prepared.facts.keys()
    case.receive(QUESTION)
    assert prepared.function is not None
    await prepared.function(recipients=["ana@example.com"])
    assert case.draft()["Subject"] == "Fwd: Pläne"


async def test_a_text_is_written_before_the_call_and_not_again_in_it(case: Case) -> None:
    seen: list[Letter] = []

    async def write(letter: Letter) -> str:
        seen.append(letter)
        return f"Dear {letter.to[0].name}, on Monday."

    case.receive(QUESTION)
    draft = Draft({"context": "tell him on $1: Monday"}, {"context": ("Monday",)})
    prepared = await MailReview(replace(case.mail, writer=write)).reply(draft)
    assert prepared.arguments == {"context": "Dear Sid at home, on Monday."}
    assert "context" in prepared.untrusted  # its writer has read what Sid wrote
    assert seen[0].material == ("Monday",)
    assert prepared.function is not None
    await prepared.function(context="Dear Sid at home, on Monday.")
    assert len(seen) == 1
    assert case.draft().get_content().startswith("Dear Sid at home, on Monday.\n\nOn ")


async def test_a_new_emails_text_may_be_written_and_comes_from_no_outsider(case: Case) -> None:
    async def write(letter: Letter) -> str:
        return f"{letter.subject}: written"

    review = MailReview(replace(case.mail, writer=write))
    known = {"recipients": ["sid@example.com"], "subject": "Tea", "context": "ask him"}
    prepared = await review.new(Draft(known))
    assert (prepared.arguments, prepared.untrusted) == ({"context": "Tea: written"}, frozenset())
    assert not (await review.new(Draft({**known, "context": ""}))).arguments
    assert not (await review.new(Draft({"context": "ask him"}))).arguments  # to whom is not known yet
    dictated = Draft(known, request="Write to Sid “Ask him!” and nothing else")
    assert not (await review.new(dictated)).arguments
    with pytest.raises(ToolCallError, match="Sid"):
        await review.new(Draft({"recipients": ["Sid"]}))


async def test_nothing_to_reply_to_is_known_before_anyone_is_asked(case: Case) -> None:
    with pytest.raises(ToolCallError, match="no email"):
        await MailReview(case.mail).reply(Draft({"context": "Yes"}))


@pytest.mark.parametrize(
    ("text", "request_", "dictated"),
    [
        ("Ask him when.", 'Email Maya "ask him when"', True),
        ("Ask him when", "Schreib Maya: ask  him when!", True),
        ("ask him when", "Ask him when in an email", False),
        ("Ask him", "", False),
        ("", "Say: nothing", False),
        ("明天见", "给他写「明天见」", True),
    ],
)
def test_what_the_user_said_word_for_word_is_dictated(text: str, request_: str, dictated: bool) -> None:
    assert is_dictated(text, request_) is dictated


@internet
async def test_a_recipient_that_the_server_refuses_stops_the_whole_message(case: Case) -> None:
    case.host.post_office.refused.add("sid@example.com")
    with pytest.raises(
        ToolCallError, match=r"does not accept sid@example.com \(550 5.1.1 No such person\); nothing"
    ):
        await case.sending().compose(["sid@example.com", "zoe@example.com"], subject="Hi")
    assert case.host.post_office.taken == []
    assert case.folder("Sent") == []


@internet
async def test_a_wrong_password_is_told_and_nothing_is_sent(case: Case) -> None:
    case.host.passwords["smtp"] = "wrong"
    with pytest.raises(
        ToolCallError, match=r"does not accept the password of 'me@example.org'.*PLAIT_SMTP_PASSWORD"
    ):
        await case.sending().compose(["sid@example.com"])
    del case.host.passwords["smtp"]
    with pytest.raises(
        ToolCallError,
        match=r'There is no password for .* set PLAIT_SMTP_PASSWORD or .*keyring set "plait smtp"',
    ):
        await case.sending().compose(["sid@example.com"])
    assert case.host.post_office.taken == []


@internet
async def test_a_connection_lost_in_the_middle_leaves_open_whether_it_was_sent(case: Case) -> None:
    case.host.post_office.breaks_at_data = True
    with pytest.raises(ToolCallError, match="it may have been sent or not, so look for it"):
        await case.sending().compose(["sid@example.com"])
    assert case.folder("Sent") == []


@internet
async def test_a_message_that_the_server_refuses_is_not_sent(case: Case) -> None:
    case.host.post_office.data_answer = "554 5.7.1 This is spam"
    with pytest.raises(ToolCallError, match=r"refused the message: 554 5.7.1 This is spam; nothing was sent"):
        await case.sending().compose(["sid@example.com"])


@internet
async def test_a_server_that_is_down_is_named(case: Case, background: Any) -> None:
    server = background.run(asyncio.start_server(lambda *_: None, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    background.run(closed(server))
    box: Any = case.mail.box
    down = replace(case.host.smtp, port=port)
    mail = replace(case.mail, box=replace(box, transport=SmtpTransport(down)), sends=True)
    with pytest.raises(
        ToolCallError, match=rf"The SMTP server 127.0.0.1:{port} failed: .*; nothing was sent"
    ):
        await mail.compose(["sid@example.com"])


@internet
async def test_a_server_that_never_answers_is_given_up(case: Case, background: Any) -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    port = background.listen(asyncio.start_server(listen, "127.0.0.1", 0))
    silent = replace(case.host.smtp, port=port, security="none", timeout_s=0.2)
    box: Any = case.mail.box
    mail = replace(case.mail, box=replace(box, transport=SmtpTransport(silent)), sends=True)
    with pytest.raises(ToolCallError, match=r"The SMTP server .* failed: .*; nothing was sent"):
        await mail.compose(["sid@example.com"])
    reading = replace(case.mail, box=replace(box, store=ImapStore(replace(silent, service="imap"))))
    case.host.passwords["imap"] = "x"
    with pytest.raises(ToolCallError, match=r"The IMAP server .* failed: .*timed out"):
        await reading.reply()


async def closed(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()


@internet
async def test_a_mailbox_that_only_drafts_says_what_is_missing(case: Case) -> None:
    box: Any = case.mail.box
    for changed in (replace(box, transport=None), replace(box, sender=None)):
        with pytest.raises(ToolCallError, match=r"Nothing was sent: .* set mail.address and \[mail.smtp\]"):
            await replace(case.mail, box=changed, sends=True).compose(["sid@example.com"])


async def test_an_answer_to_an_own_message_goes_to_whom_that_went_to(case: Case) -> None:
    case.receive(b"From: ME@example.org\nTo: Sid <sid@example.com>\nSubject: Re: Hi\n\nHi\n")
    await case.mail.reply(context="One more thing.")
    draft = case.draft()
    assert (draft["To"], draft["Subject"]) == ("Sid <sid@example.com>", "Re: Hi")
    assert "In-Reply-To" not in draft


async def test_a_message_without_an_address_cannot_be_answered(case: Case) -> None:
    case.receive(b"From: undisclosed-recipients:;\nSubject: Hi\n\nHi\n")
    with pytest.raises(ToolCallError, match="The email 'Hi' has no address that could be answered"):
        await case.mail.reply()


@internet
async def test_a_long_thread_keeps_whole_identifiers(case: Case) -> None:
    ids = [f"<{'x' * 150}{number}@example.com>" for number in range(40)]
    case.receive(f"From: a@example.com\nMessage-ID: {ids[-1]}\nReferences: {' '.join(ids[:-1])}\n\n".encode())
    await case.mail.reply()
    draft = case.draft()
    assert draft["In-Reply-To"] == ids[-1]
    assert str(draft["References"]).split() == [ids[0], *ids[-31:]]


@pytest.mark.parametrize("case", ["maildir"], indirect=True)
async def test_a_home_that_is_read_only_is_told(case: Case, home: Home) -> None:
    case.receive(QUESTION)
    (home.path / "mail" / "Drafts").write_bytes(b"")  # also root cannot make a folder of it
    with pytest.raises(ToolCallError, match="cannot write to mail/Drafts: "):
        await case.mail.reply()


@pytest.mark.parametrize("case", ["maildir"], indirect=True)
async def test_a_copy_that_cannot_be_kept_does_not_unsend_the_email(case: Case, home: Home, put: Put) -> None:
    put("mail/Sent", b"")
    status = await case.sending().compose(["sid@example.com"])
    assert status.startswith(
        "Sent the email to sid@example.com (but no copy was kept: cannot write to mail/Sent"
    )
    assert len(case.host.post_office.taken) == 1


async def test_a_maildir_is_read_as_mail_programs_leave_it(home: Home, put: Put) -> None:
    put("mail/INBOX/cur/1700000009.x:2,ST", b"Subject: trashed\n\n")
    put("mail/INBOX/cur/1700000008.x:2,D", b"Subject: draft\n\n")
    older, newer = (
        put("mail/INBOX/new/1700000005.b", b"Subject: older\n\n"),
        put("mail/INBOX/cur/1700000005.a:2,S", b"Subject: newer\n\n"),
    )
    put("mail/INBOX/cur/1700000004.x:2,", b"Subject: oldest\n\n")
    put("mail/INBOX/tmp/1700000010.x", b"Subject: half\n\n")
    os.utime(older, ns=(1, 1))
    os.utime(newer, ns=(2, 2))
    assert MaildirStore(home).newest() == b"Subject: newer\n\n"
    MaildirStore(home).add(b"Subject: x\n\n", "Drafts")
    (draft,) = (home.mail / "Drafts" / "cur").iterdir()
    assert draft.name.endswith(":2,DS")
    assert datetime.fromtimestamp(draft.stat().st_mtime, UTC)
