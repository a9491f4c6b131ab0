"""Requests to a model server: one httpx client, retries, and errors that say what to do."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from plait.errors import ConfigurationError, ModelServerError, PlaitError
from plait.models._refusals import RequestContext

if TYPE_CHECKING:
    import httpx

_RETRIED_STATUSES = {408, 409, 429, 500, 502, 503, 504}
_ABSENT_STATUSES = {400, 401, 403, 404, 405, 410, 421, 501}
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0


class Transport:
    """Sends requests to one server, again where that may help.

    Args:
        client: the client to use; by default one is made, and closed by :meth:`aclose`.
        url: the API's address, from :func:`api_url`.
        headers: sent with each request.
        timeout_s: seconds without a byte from the server.
        connect_timeout_s: seconds for the connection.
        retries: how often a request is sent again.
        sleep: how the waits between two attempts are spent.
    """

    def __init__(
        self,
        *,
        client: httpx.AsyncClient | None,
        url: str,
        headers: Mapping[str, str],
        timeout_s: float,
        connect_timeout_s: float,
        retries: int,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.url = url
        self._headers = dict(headers)
        self._retries = retries
        self._sleep = sleep
        self._owns_client = client is None
        self._client = client or _new_client(url, timeout_s, connect_timeout_s)

    @property
    def root(self) -> str:
        """The address without ``/v1``, under which servers keep what is not OpenAI's."""
        return self.url.removesuffix("/v1")

    async def aclose(self) -> None:
        """Close the connections, unless the client was given."""
        if self._owns_client:
            await self._client.aclose()

    async def send(self, context: RequestContext, method: str, **content: Any) -> httpx.Response:
        """The response to a request that was accepted, its body unread and for the caller to close.

        Raises:
            ModelServerError, ContextLengthError, GrammarError: what the last attempt came to.
        """
        if self._client.is_closed:
            raise context.failed("is not asked any more, as the model was closed; make a new one")
        for n_failed in itertools.count():
            outcome = await self._attempt(context, method, content)
            if not isinstance(outcome, _Failure):
                return outcome
            wait_s = _backoff_s(n_failed) if outcome.retry_after_s is None else outcome.retry_after_s
            if not outcome.may_pass or n_failed >= self._retries or wait_s > _LONGEST_WAIT_S:
                raise outcome.error
            await self._sleep(wait_s)
        raise AssertionError("itertools.count() does not end")

    async def get_json(self, context: RequestContext) -> dict[str, Any]:
        """The JSON object at ``context.url``, empty if the server has none there.

        Raises:
            ModelServerError: the server cannot be reached, is busy or failed.
        """
        try:
            response = await self.send(context, "GET")
        except ModelServerError as error:
            if error.status in _ABSENT_STATUSES:
                return {}
            raise
        return read_json(await read_body(response, context))

    async def ask(
        self, context: RequestContext, method: str = "GET", *, timeout_s: float, **content: Any
    ) -> str | None:
        """The answer to a question that the server need not answer, ``None`` if it does not.

        It is asked once. No refusal, failure or delay is an error: what was asked for is then left out.

        Args:
            context: what is asked; its ``url`` is where.
            method: the HTTP method.
            timeout_s: seconds until the whole answer must be there.
            content: the request's, as httpx takes it.
        """
        if self._client.is_closed:
            return None
        try:
            async with asyncio.timeout(timeout_s):
                outcome = await self._attempt(context, method, content)
                return None if isinstance(outcome, _Failure) else await read_body(outcome, context)
        except (ModelServerError, TimeoutError):
            return None

    async def _attempt(
        self, context: RequestContext, method: str, content: Mapping[str, Any]
    ) -> httpx.Response | _Failure:
        import httpx

        request = self._client.build_request(method, context.url, headers=self._headers, **content)
        try:
            response = await self._client.send(request, stream=True)
        except httpx.RequestError as error:
            may_pass = isinstance(
                error, (httpx.NetworkError, httpx.ConnectTimeout, httpx.RemoteProtocolError)
            )
            return _Failure(connection_error(context, error), may_pass)
        if response.is_success:
            return response
        refusal = context.refused(response.status_code, await read_body(response, context))
        may_pass = isinstance(refusal, ModelServerError) and refusal.status in _RETRIED_STATUSES
        return _Failure(refusal, may_pass, _retry_after_s(response))


@dataclass(frozen=True, slots=True)
class _Failure:
    """What one attempt came to."""

    error: PlaitError
    """What to raise if there is no further attempt."""
    may_pass: bool
    """Whether the same request may succeed later."""
    retry_after_s: float | None = None
    """Seconds that the server asks to wait."""


async def read_body(response: httpx.Response, context: RequestContext) -> str:
    """The whole body of ``response``, which is then closed.

    Raises:
        ModelServerError: the connection failed.
    """
    import httpx

    try:
        await response.aread()
    except httpx.RequestError as error:
        raise connection_error(context, error) from error
    finally:
        await response.aclose()
    return response.text


def read_json(body: str) -> dict[str, Any]:
    """The JSON object that ``body`` is; empty if it is none."""
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def connection_error(context: RequestContext, cause: httpx.RequestError) -> ModelServerError:
    """What went wrong between here and the server, and what to do about it."""
    import httpx

    if isinstance(cause, (httpx.ConnectError, httpx.ConnectTimeout)):
        what, fix = "cannot be reached", "start it, or check base_url"
    elif isinstance(cause, httpx.TimeoutException):
        what, fix = "did not answer in time", "raise timeout_s, or shorten the input"
    else:
        what, fix = "broke the connection off", "see the server's log for the cause"
    error = context.failed(f"{what} ({type(cause).__name__}: {cause}); {fix}")
    error.__cause__ = cause
    return error


def api_url(base_url: str) -> str:
    """``base_url`` without a slash at its end, and with ``/v1`` if it names only a host.

    Raises:
        ConfigurationError: it is no HTTP address.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            f"base_url is {base_url!r}, which is no HTTP address; give one such as 'http://localhost:8080/v1'"
        )
    url = base_url.rstrip("/")
    return url if parts.path.strip("/") else f"{url}/v1"


def _new_client(url: str, timeout_s: float, connect_timeout_s: float) -> httpx.AsyncClient:
    import httpx

    return httpx.AsyncClient(
        timeout=httpx.Timeout(timeout_s, connect=connect_timeout_s),
        # A kept connection belongs to one event loop, and would fail a script's second asyncio.run.
        limits=httpx.Limits(max_keepalive_connections=0),
        # A proxy of the environment is never the way to a server on this machine.
        trust_env=not _is_loopback(urlsplit(url).hostname or ""),
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _backoff_s(n_failed: int) -> float:
    """Seconds to wait after ``n_failed`` earlier failures: twice as long each time, give or take a half."""
    return _FIRST_WAIT_S * 2.0**n_failed * random.uniform(0.5, 1.5)  # noqa: S311 - it is no secret


def _retry_after_s(response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait, given as such or as a date."""
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
