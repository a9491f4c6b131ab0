from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

from hypothesis import example, given
from hypothesis import strategies as st

from plait.tools.assistant import Address, Letter, Part, Received
from plait.tools.assistant._letters import as_message

HEADERS = ["From", "To", "Reply-To", "Subject", "Date", "Message-ID", "References", "In-Reply-To"]
MIME = [
    b"Content-Type: multipart/mixed; boundary=b",
    b"Content-Type: text/html; charset=klingon",
    b"Content-Type: message/rfc822",
    b"Content-Transfer-Encoding: base64",
    b"Content-Transfer-Encoding: quoted-printable",
    b"Content-Disposition: attachment; filename*=klingon''%ff%00",
    b"Content-Disposition: attachment; filename*0*=x''a; filename*1=\xff",
    b"--b",
    b"--b--",
    b"",
]
BODY = b"Content-Type: multipart/alternative; boundary=b\n\n--b\n%s\n\n%s\n--b\n%s\n\n%s\n--b--\n"


def parse(*lines: bytes) -> Received:
    return Received.parse(b"\n".join(lines))


def test_plain_text_goes_before_html() -> None:
    html = b"Content-Type: text/html\n\n<p>rich</p>"
    raw = BODY % (b"Content-Type: text/html", b"<p>rich</p>", b"Content-Type: text/plain", b"plain")
    assert Received.parse(raw).text == "plain"
    assert Received.parse(html).text == "rich"


def test_html_is_reduced_to_what_is_seen() -> None:
    html = b"<head><title>T</title></head><body>A &amp; B<br/>c<script>x()</script><div>d</div>\n e</body>"
    assert parse(b"Content-Type: text/html; charset=utf-8", b"", html).text == "A & B\nc\nd\ne"


def test_a_message_inside_the_message_is_an_attachment() -> None:
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nSee below.\n--b\n"
        b"Content-Type: message/rfc822\n\nSubject: inner\n\nInner text\n--b--\n"
    )
    received = Received.parse(raw)
    assert received.text == "See below."
    (inner,) = received.attachments
    assert (inner.name, inner.mime_type) == ("message-2.eml", "message/rfc822")
    assert inner.content == b"Subject: inner\n\nInner text"


def test_a_name_cannot_pass_for_an_address_or_turn_the_text_around() -> None:
    received = parse(
        b'Reply-To: "Sid Lee <sid@corp.com>," <evil@x.com>, =?utf-8?q?=EF=BC=A0_a?= <b@x.com>',
        b'From: =?utf-8?q?=E2=80=AEmoc=2Eproc=E2=80=8F?= <evil@x.com>, "evil@x.com" <EVIL@x.com>',
        b"Subject: =?utf-8?q?bill=E2=80=AEfdp=2Eexe?=",
        b"",
        b"x",
    )
    assert received.answer_to == (Address("evil@x.com", "Sid Lee sid corp.com"), Address("b@x.com", "a"))
    assert received.author == (Address("evil@x.com", "moc.proc"), Address("EVIL@x.com"))
    assert received.subject == "billfdp.exe"


def test_names_that_hide_a_path_lose_it() -> None:
    received = parse(b'Content-Disposition: attachment; filename="../../etc/passwd"', b"", b"x")
    assert [part.name for part in received.attachments] == ["..-..-etc-passwd"]
    assert received.text == ""


def test_unknown_character_sets_and_encodings_are_read_as_well_as_can_be() -> None:
    received = parse(
        b"Subject: =?klingon?q?caf=E9?= =?utf-8?b?!!!?=",
        b"From: =?utf-8?q?Hsu=2C_Sid?= <sid@example.com>, broken <x@, ok@example.com",
        b"Content-Type: text/plain; charset=klingon",
        b"",
        b"caf\xe9",
    )
    assert received.subject.startswith("café")
    assert received.text == "café"
    assert Address("sid@example.com", "Hsu Sid") in received.author


def test_a_thread_is_told_by_its_last_parent_where_there_are_no_references() -> None:
    assert parse(b"In-Reply-To: <a@b>", b"").references == ("<a@b>",)
    assert parse(b"In-Reply-To: <a@b> <c@d>", b"").references == ()
    assert parse(b"References: <a@b>\n <c@d>", b"In-Reply-To: <e@f>", b"").references == ("<a@b>", "<c@d>")


@given(
    st.lists(st.tuples(st.sampled_from(HEADERS), st.binary(max_size=60))),
    st.lists(st.sampled_from(MIME) | st.binary(max_size=80), max_size=12),
)
@example(
    [("From", b"a@b, \xff <c@d>"), ("Message-ID", b"<a@b>\r\n X: y")], [b"Content-Type: text/plain", b""]
)
@example(
    [],
    [b"Content-Type: message/rfc822", b"", b"Content-Type: multipart/mixed; boundary=b", b"", b"caf\x80"],
)
def test_whatever_comes_in_can_be_answered_and_passed_on(
    headers: list[tuple[str, bytes]], rest: list[bytes]
) -> None:
    lines = [name.encode() + b": " + value for name, value in headers]
    received = Received.parse(b"\r\n".join([*lines, *rest]))
    for kind in ("reply", "forward"):
        letter = Letter(to=(Address("a@b"),), text="Hi", kind=kind, original=received)  # type: ignore[arg-type]
        raw = as_message(letter, Address("me@example.org"), datetime(2026, 11, 21, tzinfo=UTC))
        assert raw.isascii()
        assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
        assert [line for line in raw.split(b"\r\n\r\n")[0].split(b"\r\n") if line.startswith(b"To")] == [
            b"To: a@b"
        ]


@given(st.text(), st.text(), st.text(max_size=30), st.binary(max_size=100))
def test_what_is_written_arrives(subject: str, text: str, name: str, content: bytes) -> None:
    letter = Letter(
        (Address("a@b", "Zoë"),), text, subject=subject, attachments=(Part(name, "text/plain", content),)
    )
    raw = as_message(letter, None, datetime(2026, 11, 21, tzinfo=UTC))
    message = message_from_bytes(raw, policy=default)
    assert [part.get_payload(decode=True) for part in message.iter_attachments()] == [content]  # type: ignore[attr-defined]
    assert Received.parse(raw).subject == " ".join(str(message["Subject"] or "").split())
