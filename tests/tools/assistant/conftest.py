from __future__ import annotations

import asyncio
import json
import re
import ssl
import tempfile
import threading
from argparse import Namespace
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

import httpx
import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from icalendar import Alarm, Calendar, Event, Todo
from imapclient import IMAPClient
from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend.dict import Config, DictBackend, Login
from pymap.imap import IMAPServer
from radicale.app import Application
from radicale.config import load as radicale_settings

from plait.tools.assistant import (
    DavServer,
    Home,
    Script,
    Server,
    _mac_undo,
    _macos,
    _macos_mail,
    _macos_notes,
)

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def berlin() -> ZoneInfo:
    return BERLIN


@pytest.fixture
def noon() -> Callable[[], datetime]:
    """A clock that stands still."""
    return lambda: datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def put(home: Home) -> Callable[[str, str | bytes], Path]:
    """Writes a file of the home, newlines as given."""

    def write(name: str, content: str | bytes) -> Path:
        path = home.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def make_pdf() -> Callable[[Sequence[str]], bytes]:
    """Builds a PDF with one page for each text (of Latin letters); an empty text gives an empty page."""

    def build(pages: Sequence[str], trailer: bytes = b"") -> bytes:
        kids = b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(len(pages)))
        objects = [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(pages)),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        ]
        for n, text in enumerate(pages):
            lines = b" T* ".join(
                b"(%s) Tj" % line.replace("(", r"\(").replace(")", r"\)").encode()
                for line in text.splitlines()
            )
            content = b"BT /F1 12 Tf 14 TL 72 720 Td %s ET" % lines
            objects += [
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R"
                b" /Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * n),
                b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
            ]
        out, offsets = bytearray(b"%PDF-1.4\n"), []
        for number, body in enumerate(objects, start=1):
            offsets.append(len(out))
            out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
        start = len(out)
        out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
        out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
        out += b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (
            len(objects) + 1,
            trailer,
            start,
        )
        return bytes(out)

    return build


class Background:
    """An event loop in a thread of its own, for servers that the code under test talks to."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=20)

    def listen(self, starting: Coroutine[Any, Any, asyncio.Server]) -> int:
        """Start a server, which is closed at the end, and give its port."""
        self._servers.append(self.run(starting))
        return int(self._servers[-1].sockets[0].getsockname()[1])

    def close(self) -> None:
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=20)
        self.loop.close()

    async def _cancel_all(self) -> None:
        for server in self._servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # What TLS has not closed by now would wait for the other side, which is gone.
        for transport in list(getattr(self.loop, "_transports", {}).values()):
            transport.abort()
        await asyncio.sleep(0)  # the sockets close


@pytest.fixture
def background() -> Iterator[Background]:
    background = Background()
    yield background
    background.close()


@dataclass
class PostOffice:
    """Takes messages as an SMTP server does; tests say how it misbehaves."""

    users: dict[str, str]
    taken: list[Envelope] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    breaks_at_data: bool = False
    data_answer: str = "250 OK"

    def check(self, server: Any, session: Any, envelope: Any, mechanism: str, login: Any) -> AuthResult:
        known = isinstance(login, LoginPassword) and self.users.get(login.login.decode())
        return AuthResult(success=bool(known) and login.password.decode() == known, handled=False)

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 5.1.1 No such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.breaks_at_data:
            assert server.transport is not None
            server.transport.abort()
        elif self.data_answer.startswith("250"):
            self.taken.append(envelope)
        return self.data_answer


@dataclass
class MailHost:
    """A mail provider on loopback: an IMAP server (pymap) and an SMTP server (aiosmtpd), both with TLS."""

    imap: Server
    smtp: Server
    post_office: PostOffice
    passwords: dict[str, str]
    """What the user believes the passwords to be, by service."""

    def client(self) -> IMAPClient:
        is_tls = self.imap.security == "tls"
        client = IMAPClient(
            self.imap.host,
            port=self.imap.port,
            ssl=is_tls,
            ssl_context=self.imap.tls if is_tls else None,
            timeout=20,
        )
        client.login(self.imap.user, "right horse")
        return client

    def receive(self, raw: bytes) -> None:
        with self.client() as client:
            client.append("INBOX", raw)

    def folder(self, name: str) -> list[bytes]:
        with self.client() as client:
            if not client.folder_exists(name):
                return []
            client.select_folder(name, readonly=True)
            found = client.fetch(client.search(), ["BODY.PEEK[]"])
            return [found[uid][b"BODY[]"] for uid in sorted(found)]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def start_imap(
    tls: ssl.SSLContext, user: str, password: str, *, encrypted: bool = True
) -> asyncio.Server:
    config = Config(
        Namespace(passlib_cfg=None, proxy_protocol="noop"),
        host=None,
        port=0,
        demo_data=False,
        demo_user=user,
        demo_password=password,
        invalid_user_sleep=0.0,
        ssl_context=tls,
    )
    login = Login(config)
    await DictBackend._add_demo_user(config, login)
    config.apply_context()
    serve = ProxyProtocolReader(config.proxy_protocol).get_callback(IMAPServer(login, config))
    return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls if encrypted else None)


async def start_smtp(office: PostOffice, tls: ssl.SSLContext, *, encrypted: bool = True) -> asyncio.Server:
    def protocol() -> SMTP:
        return SMTP(
            office,
            hostname="post.example.org",
            authenticator=office.check,
            auth_require_tls=False,
            tls_context=None if encrypted else tls,
        )

    loop = asyncio.get_running_loop()
    return await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if encrypted else None)


@pytest.fixture
def mail_host(
    background: Background, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> Callable[..., MailHost]:
    def start(security: str = "tls") -> MailHost:
        user = "me@example.org"
        office = PostOffice({user: "right horse"})
        passwords = {"imap": "right horse", "smtp": "right horse"}
        is_tls = security == "tls"
        ports = {
            "imap": background.listen(start_imap(server_tls, user, "right horse", encrypted=is_tls)),
            "smtp": background.listen(start_smtp(office, server_tls, encrypted=is_tls)),
        }
        servers: dict[str, Any] = {
            service: Server(
                service=service,
                host="127.0.0.1",
                port=port,
                user=user,
                security=security,  # type: ignore[arg-type]
                secrets=lambda service, _: passwords.get(service),
                timeout_s=20,
                tls=client_tls,
            )
            for service, port in ports.items()
        }
        return MailHost(**servers, post_office=office, passwords=passwords)

    return start


@dataclass(frozen=True)
class Asked:
    """A request that a stub got."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Stub:
    """An HTTP service on loopback that records what it is asked and gives the answers it is told to."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    """Status and body, in order; the last is given again and again; status 0 hangs up."""


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            stub.asked.append(Asked(self.command, self.path, dict(self.headers), body))
            status, text = stub.answers.pop(0) if len(stub.answers) > 1 else stub.answers[0]
            if status:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(text.encode())
            self.close_connection = True

        do_GET = do_POST = do_PUT = do_PROPFIND = do_REPORT = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield stub
    server.shutdown()
    thread.join(timeout=20)
    server.server_close()


class _ThreadingWsgi(ThreadingMixIn, WSGIServer):
    daemon_threads = False  # so that closing waits for what is being answered


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@dataclass
class DavHost:
    """A Radicale on loopback with an account for ``me``, and collections made as clients make them."""

    url: str
    password: str = "right horse"

    def make(self, name: str, kind: str, components: Sequence[str] = ()) -> None:
        taken = "".join(f'<C:comp name="{each}"/>' for each in components)
        space = "urn:ietf:params:xml:ns:" + ("caldav" if kind == "calendar" else "carddav")
        kinds = f"<C:supported-calendar-component-set>{taken}</C:supported-calendar-component-set>"
        body = (
            f'<D:mkcol xmlns:D="DAV:" xmlns:C="{space}"><D:set><D:prop>'
            f"<D:resourcetype><D:collection/><C:{kind}/></D:resourcetype>"
            f"<D:displayname>{escape(name)}</D:displayname>"
            f"{kinds if taken else ''}</D:prop></D:set></D:mkcol>"
        )
        self._ask("MKCOL", f"/me/{quote(name)}/", body)

    def put(self, path: str, content: str) -> None:
        self._ask("PUT", f"/me/{quote(path)}", content)

    def get(self, name: str) -> str:
        """All of a collection as one file."""
        return self._ask("GET", f"/me/{quote(name)}/", "")

    def _ask(self, method: str, path: str, body: str) -> str:
        answer = httpx.request(
            method, f"{self.url}{path}", content=body.encode(), auth=("me", "right horse"), trust_env=False
        )
        assert answer.is_success, answer.text
        return answer.text

    def server(self, service: Any, path: str = "/") -> DavServer:
        """As the user has set it up."""
        return DavServer(service, f"{self.url}{path}", "me", lambda *_: self.password, timeout_s=20)


@pytest.fixture
def dav_host(tmp_path: Path) -> Iterator[DavHost]:
    folder = tmp_path / "radicale"
    folder.mkdir()
    (folder / "users").write_text("me:right horse\n", encoding="utf-8")
    settings = radicale_settings()
    settings.update(
        {
            "auth": {
                "type": "htpasswd",
                "htpasswd_filename": str(folder / "users"),
                "htpasswd_encryption": "plain",
                "delay": "0",
            },
            "storage": {"filesystem_folder": str(folder / "collections")},
            "logging": {"level": "critical"},
        },
        "test",
    )
    application = Application(settings)
    server = make_server("127.0.0.1", 0, application, _ThreadingWsgi, _QuietHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield DavHost(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join(timeout=20)
    server.server_close()


@dataclass
class MacDouble:
    """Does what the scripts ask of the applications of macOS, and records what osascript was given.

    It knows the scripts by identity: one with a word of the user's in it would be none of them.
    """

    tz: ZoneInfo
    asked: list[tuple[str, list[str]]] = field(default_factory=list)
    people: list[dict[str, Any]] = field(default_factory=list)
    calendars: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    notes: list[dict[str, str]] = field(default_factory=list)
    trash_names: list[str] = field(default_factory=list)
    """What macOS calls the folder of deleted notes in the user's language."""
    inbox: list[bytes] = field(default_factory=list)
    drafts: list[bytes] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    messages: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, script: Script, arguments: Sequence[str]) -> str:
        assert all(isinstance(argument, str) for argument in arguments)
        self.asked.append((script.application, list(arguments)))
        answer = self._handlers()[id(script)](*arguments)
        return answer if isinstance(answer, str) else json.dumps(answer)

    def _handlers(self) -> dict[int, Callable[..., Any]]:
        return {
            id(_macos.READ_CONTACTS): lambda _: self.people,
            id(_macos.LIST_CALENDARS): lambda _: list(self.calendars),
            id(_macos.ADD_EVENT): self._add_event,
            id(_macos.LIST_REMINDER_LISTS): lambda _: list(self.lists),
            id(_macos.ADD_REMINDER): self._add_reminder,
            id(_macos.SEND_MESSAGE): lambda number, text: self.messages.append((number, text)) or "ok",
            id(_macos_notes.LIST_NOTES): lambda _: {
                "trash": self.trash_names,
                "notes": [{key: note[key] for key in ("id", "name", "folder")} for note in self.notes],
            },
            id(_macos_notes.ADD_NOTE): self._add_note,
            id(_macos_notes.READ_NOTE): lambda asked: {"text": self._note(asked)["text"]},
            id(_macos_notes.APPEND_TO_NOTE): self._append,
            id(_mac_undo.REMOVE_EVENT): self._remove_event,
            id(_mac_undo.REMOVE_REMINDER): self._remove_reminder,
            id(_mac_undo.REMOVE_NOTE): self._remove_note,
            id(_mac_undo.PUT_NOTE_BACK): self._put_note_back,
            id(_macos_mail.READ_SELECTED): lambda: self.inbox[-1].decode() if self.inbox else "",
            id(_macos_mail.WRITE): self._write,
        }

    def _add_event(self, text: str) -> Any:
        asked = json.loads(text)
        events = self.calendars[asked.pop("calendar")]
        keys = ("title", "start_ms", "end_ms")
        if any(
            [e[k].lower() if k == "title" else e[k] for k in keys]
            == [asked[k].lower() if k == "title" else asked[k] for k in keys]
            for e in events
        ):
            return {"twin": True}
        events.append({**asked, "id": f"E{len(events)}"})
        return {"twin": False, "id": events[-1]["id"], "state": self._state(events[-1])}

    def _add_reminder(self, text: str) -> Any:
        asked = json.loads(text)
        reminders = self.lists[asked.pop("list")]
        if any((r["name"], r["due_ms"]) == (asked["name"], asked["due_ms"]) for r in reminders):
            return {"twin": True}
        reminders.append({**asked, "id": f"R{len(reminders)}", "completed": False})
        return {"twin": False, "id": reminders[-1]["id"], "state": self._state(reminders[-1])}

    def _add_note(self, text: str) -> Any:
        asked = json.loads(text)
        plain = self._plain(asked["html"])
        folder = asked["folder"] or "Notes"
        name = plain.partition("\n")[0]
        identifier = f"N{len(self.notes)}"
        self.notes.append({"id": identifier, "name": name, "folder": folder, "text": plain})
        return {"id": identifier, **self._place(self.notes[-1])}

    def _append(self, text: str) -> Any:
        note, asked = self._note(text), json.loads(text)
        before = note["text"]
        note["text"] = f"{before}\n{self._plain(asked['html'])}"
        if len(before) > asked["max_chars"]:
            return {"before": None, "container": "", "state": ""}
        return {"before": before, **self._place(note)}

    def _remove_event(self, text: str) -> Any:
        asked = json.loads(text)
        return self._remove(self.calendars.get(asked["calendar"], []), asked)

    def _remove_reminder(self, text: str) -> Any:
        asked = json.loads(text)
        return self._remove(self.lists.get(asked["list"], []), asked)

    def _remove_note(self, text: str) -> Any:
        return self._remove(self.notes, json.loads(text))

    def _put_note_back(self, text: str) -> Any:
        asked = json.loads(text)
        state = self._compared(self.notes, asked)
        if state == "removed":
            self._note(text)["text"] = asked["before"]
        return {"state": state}

    def _remove(self, items: list[Any], asked: dict[str, Any]) -> Any:
        state = self._compared(items, asked)
        if state == "removed":
            items[:] = [item for item in items if item["id"] != asked["id"]]
        return {"state": state}

    def _compared(self, items: list[Any], asked: dict[str, Any]) -> str:
        for item in items:
            if item["id"] == asked["id"]:
                if "folder" in item and self._place(item)["container"] != asked["container"]:
                    return "moved"
                return "removed" if self._state(item) == asked["state"] else "changed"
        return "missing"

    def _place(self, note: dict[str, str]) -> dict[str, str]:
        return {"folder": note["folder"], "container": f"id of {note['folder']}", "state": self._state(note)}

    @staticmethod
    def _state(item: dict[str, Any]) -> str:
        return json.dumps([value for name, value in item.items() if name != "folder"])

    def _note(self, text: str) -> dict[str, str]:
        return next(note for note in self.notes if note["id"] == json.loads(text)["id"])

    @staticmethod
    def _plain(html: str) -> str:
        lines = re.findall(r"<(?:div|h1)>(.*?)</(?:div|h1)>", html)
        return "\n".join(unescape(line.replace("<br>", "")) for line in lines)

    def _write(self, *arguments: str) -> str:
        kind, action, identifier, subject, text, to, cc, files = arguments
        message = EmailMessage()
        message["From"] = "Ana Sofia Reyes <me@example.org>"
        message["Date"] = "Sat, 21 Nov 2026 13:00:00 +0100"
        message["Message-ID"] = f"<{len(self.drafts)}{len(self.sent)}@example.org>"
        for name, people in (("To", to), ("Cc", cc)):
            pairs = [person.split("\x1e") for person in people.split("\x1f") if person]
            if pairs:
                message[name] = ", ".join(f"{who} <{spec}>" if who else spec for who, spec in pairs)
        if subject:
            message["Subject"] = subject
        if kind == "reply":
            originals = [message_from_bytes(raw) for raw in self.inbox]
            original = next(o for o in originals if o["Message-ID"] == f"<{identifier}>")
            message["In-Reply-To"] = f"<{identifier}>"
            message["References"] = f"{original['References'] or ''} <{identifier}>".strip()
        message.set_content(text)
        for path in filter(None, files.split("\x1f")):
            maintype, _, subtype = (guess_type(path)[0] or "application/octet-stream").partition("/")
            content = Path(path).read_bytes()
            message.add_attachment(content, maintype=maintype, subtype=subtype, filename=Path(path).name)
        (self.sent if action == "send" else self.drafts).append(message.as_bytes())
        return "ok"

    def calendar(self, name: str) -> Calendar:
        """What Calendar shows, as iCalendar."""
        calendar = Calendar()
        for made in self.calendars[name]:
            event = Event()
            event.add("summary", made["title"])
            event.add("dtstart", self._moment(made["start_ms"]))
            event.add("dtend", self._moment(made["end_ms"]))
            event.add("location", made["location"])
            event.add("description", made["notes"])
            for email in made["invitees"]:
                event.add("attendee", f"mailto:{email}")
            calendar.add_component(event)
        return calendar

    def reminder_list(self, name: str) -> Calendar:
        """What Reminders shows, as iCalendar."""
        calendar = Calendar()
        for made in self.lists[name]:
            todo = Todo()
            todo.add("summary", made["name"])
            todo.add("description", made["notes"])
            todo.add("priority", made["priority"])
            if made["due_ms"] is not None:
                due = self._moment(made["due_ms"])
                todo.add("due", due.date() if made["all_day"] else due)
                if not made["all_day"]:
                    todo.add_component(Alarm())
            calendar.add_component(todo)
        return calendar

    def _moment(self, ms: int) -> datetime:
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(self.tz)


@pytest.fixture
def mac(berlin: ZoneInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MacDouble:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # attachments for Mail go there
    return MacDouble(berlin)
