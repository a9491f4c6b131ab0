"""Who may talk to the server: a token, a cookie in its place, and hosts that no rebinding can forge."""

from __future__ import annotations

import ipaddress
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MARK = "x-plait"
"""The header by which a program can tell that a plait answers, whether it may talk to it or not."""

_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "permissions-policy": (
        "microphone=(self), camera=(), display-capture=(), geolocation=(), hid=(), midi=(), payment=(), "
        "serial=(), usb=()"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    MARK: "serve",
}


class Access:
    """Lets requests through to ``app`` that come from the user, and adds the headers that keep a page safe.

    A request must name this machine by an address, ``localhost`` or ``host``, since a name of somebody
    else's may point here too (DNS rebinding); one from another site's page is refused whatever it carries.
    ``/?token=...`` gives a browser the cookie; other programs send ``Authorization: Bearer``.

    Args:
        app: what is protected.
        token: the secret of this server.
        host: the name or address that it was told to listen on.
        port: where it listens; cookies of two servers on one machine differ by it.
    """

    def __init__(self, app: ASGIApp, *, token: str, host: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._host = host.lower()
        self._cookie_name = f"plait_{port}"
        self._cookie = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        answer = self._refusal(Request(scope)) or self._app
        await answer(scope, receive, send_safely)

    def _refusal(self, request: Request) -> Response | None:
        headers = request.headers
        if not self._is_ours(headers.get("host", "")):
            return PlainTextResponse(
                "This name does not belong to plait serve; open it by its address, or name it with --host.\n",
                421,
            )
        if not _is_same_site(headers):
            return PlainTextResponse("Pages of other sites may not talk to plait serve.\n", 403)
        token = request.query_params.get("token")
        if request.url.path == "/" and token is not None and self._is_token(token):
            entered = RedirectResponse("/", 303)
            entered.set_cookie(self._cookie_name, self._cookie, httponly=True, samesite="strict")
            return entered
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return None
        if secrets.compare_digest(request.cookies.get(self._cookie_name, "").encode(), self._cookie.encode()):
            return None
        return PlainTextResponse(
            "Open the link that plait serve printed when it started; it has a token in it.\n",
            401,
            {"www-authenticate": "Bearer"},
        )

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token)

    def _is_ours(self, host: str) -> bool:
        name = (_split(host) or "").lower()
        return name in ("localhost", self._host) or _is_address(name)


def _split(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same_site(headers: Headers) -> bool:
    """Whether no browser says that another site's page made the request."""
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{headers.get('host', '')}".lower():
        return False
    is_link = headers.get("sec-fetch-mode") == "navigate"  # it carries nothing, the cookie being strict
    return is_link or headers.get("sec-fetch-site", "none") in ("none", "same-origin")
