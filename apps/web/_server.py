"""The server on its port: from the first request to a clean end."""

from __future__ import annotations

import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import httpx
import uvicorn

from plait.apps.assistant import ActionLog, Session, Settings, UndoRegistry
from plait.apps.voice._dictation import Dictation
from plait.apps.web._access import MARK, Access
from plait.apps.web._app import create_app
from plait.errors import ConfigurationError

_PROBE_S = 1.0
_GRACE_S = 3
MIN_TOKEN_CHARS = 16


class WebServer:
    """A session for browsers and programs on a port.

    Args:
        session: not open yet; it is opened with the server and closed with it.
        bound: the socket that :func:`bind` gave.
        host: what it was bound to.
        token: the secret that lets in; a new one, if not given.
        log: the history that the page shows; ``None``: there is none.
        undo: what can undo an action of it, for the settings.
        dictation: recognizes what the page records; ``None``: it has no button for that.

    Raises:
        ConfigurationError: the token is too short to be a secret.
    """

    def __init__(
        self,
        session: Session,
        bound: socket.socket,
        *,
        host: str = "127.0.0.1",
        token: str | None = None,
        log: ActionLog | None = None,
        undo: Callable[[Settings], UndoRegistry] = lambda settings: UndoRegistry(),
        dictation: Dictation | None = None,
    ) -> None:
        if token is not None and len(token) < MIN_TOKEN_CHARS:
            raise ConfigurationError(
                f"the token in PLAIT_SERVE_TOKEN has {len(token)} characters; give it at least "
                f"{MIN_TOKEN_CHARS}, or leave it out for a random one"
            )
        self.token = token or secrets.token_urlsafe(32)
        self._session = session
        self._log = log
        self._undo = undo
        self._dictation = dictation
        self._socket = bound
        self._host = host
        self._port: int = bound.getsockname()[1]
        self._server: _Server | None = None

    @property
    def address(self) -> str:
        """The server's URL, without the token."""
        return f"http://{_shown(self._host)}:{self._port}"

    @property
    def link(self) -> str:
        """What to open in a browser."""
        return f"{self.address}/?token={self.token}"

    async def run(self, on_started: Callable[[], None] = lambda: None) -> None:
        """Serve until :meth:`stop`, Ctrl-C or SIGTERM, which cancel the turn that runs."""
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(self._session)
            app = create_app(session, log=self._log, undo=self._undo, dictation=self._dictation)
            guarded = Access(app, token=self.token, host=self._host, port=self._port)
            config = uvicorn.Config(
                guarded,
                access_log=False,
                lifespan="off",
                log_level="warning",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
                ws="none",
            )
            self._server = _Server(config, on_started=on_started, before_shutdown=stack.aclose)
            await self._server.serve([self._socket])

    def stop(self) -> None:
        """End :meth:`run` in order."""
        if self._server is not None:
            self._server.should_exit = True


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        *,
        on_started: Callable[[], None],
        before_shutdown: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._before_shutdown = before_shutdown

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._before_shutdown()  # streams of events end with the session, and connections with them
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but that a signal which was obeyed is not raised again."""
        before: dict[int, Any] = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, self.handle_exit)
            yield
        finally:
            for captured, handler in before.items():
                signal.signal(captured, handler)


@contextmanager
def bind(host: str, port: int) -> Iterator[socket.socket]:
    """The socket of a server; port 0 is any free one.

    Raises:
        ConfigurationError: the port is in use, or the host is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigurationError(f"--host {host} is no address of this machine: {error}") from error
    with socket.socket(family, kind, protocol) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(address)
            bound.listen()
        except OSError as error:
            raise ConfigurationError(_why_not(host, port, error)) from error
        yield bound


def _why_not(host: str, port: int, error: OSError) -> str:
    where = f"{_shown(host)}:{port}"
    if _is_plait(where):
        return (
            f"another plait serve is on {where}; open the link that it printed, stop it, or choose another "
            "port with --port"
        )
    return f"{where} cannot be listened on ({error.strerror}); choose another with --port or --host"


def _is_plait(where: str) -> bool:
    try:
        return MARK in httpx.get(f"http://{where}/", timeout=_PROBE_S, trust_env=False).headers
    except httpx.HTTPError:
        return False


def _shown(host: str) -> str:
    """The host as it stands in a URL that this machine's browser can open."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{shown}]" if ":" in shown else shown
