"""Requests to services that act for the user, where it matters whether something has happened."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from plait.errors import ConfigurationError, ToolCallError
from plait.tools.assistant._ics import one_line
from plait.tools.assistant._servers import is_loopback

SHOWN_CHARS = 200


async def request(service: str, method: str, url: str, *, timeout_s: float, **options: Any) -> httpx.Response:
    """The answer of a service, whatever its status.

    Args:
        service: what to call it in messages.
        method: HTTP's.
        url: where it is.
        timeout_s: for each of connecting, sending and waiting.
        **options: what httpx takes: ``json``, ``data``, ``headers``, ``auth``.

    Raises:
        ToolCallError: it cannot be reached, or it does not answer; then the message says that the request
            may have been carried out.
    """
    host = urlsplit(url).hostname or ""
    with outcomes(service, host):
        # What is on this machine is not looked for through a proxy.
        async with httpx.AsyncClient(timeout=timeout_s, trust_env=not is_loopback(host)) as client:
            return await client.request(method, url, **options)


@contextmanager
def outcomes(service: str, host: str) -> Iterator[None]:
    """Turn what httpx raises into a ``ToolCallError`` that says what may have happened."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.PoolTimeout) as error:
        raise ToolCallError(
            f"{service} at {host} cannot be reached ({_why(error)}); nothing was done"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ToolCallError(
            f"{service} at {host} did not answer ({_why(error)}); it may have done what was asked or not"
        ) from error


def answer_text(response: httpx.Response) -> str:
    """The beginning of what a service says, on one line, for a message."""
    text = one_line(response.text)
    return f"{text[:SHOWN_CHARS]}..." if len(text) > SHOWN_CHARS else text


def check_url(url: str, option: str) -> str:
    """``url``, where it is one that secrets may be sent to.

    Raises:
        ConfigurationError: it is no URL, or it leaves the local network without TLS.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"{option} is {url!r}; give a URL that begins with https://")
    if parts.scheme == "http" and not _is_near(parts.hostname):
        raise ConfigurationError(
            f"{option} is {url!r}, which is not encrypted; use https:// outside of the local network"
        )
    return url


def _is_near(host: str) -> bool:
    try:
        return is_loopback(host) or ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _why(error: Exception) -> str:
    return one_line(str(error)) or type(error).__name__
