"""WebDAV (RFC 4918) as far as CalDAV and CardDAV need it: finding, querying and adding to collections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from ssl import SSLContext
from typing import Literal
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree as ET

import httpx

from plait.errors import ConfigurationError, ToolCallError
from plait.tools.assistant._http import answer_text, check_url, outcomes
from plait.tools.assistant._servers import (
    TIMEOUT_S,
    Secrets,
    find_secret,
    is_loopback,
    password_variable,
    system_secrets,
)

DAV = "{DAV:}"
CALDAV = "{urn:ietf:params:xml:ns:caldav}"
CARDDAV = "{urn:ietf:params:xml:ns:carddav}"

MAX_REDIRECTS = 5
_MULTI_STATUS = 207


@dataclass(frozen=True)
class DavItem:
    """A resource and those of its properties that were asked for and are there."""

    url: str
    properties: ET.Element

    def text(self, name: str) -> str:
        """The text of a property; empty where it is missing."""
        return (self.properties.findtext(name) or "").strip()

    def links(self, name: str) -> list[str]:
        """The absolute URLs in a property."""
        found = self.properties.find(name)
        hrefs = found.iter(f"{DAV}href") if found is not None else ()
        return [urljoin(self.url, (href.text or "").strip()) for href in hrefs if href.text]

    def is_a(self, kind: str) -> bool:
        """Whether the resource is of that kind, such as ``CALDAV + "calendar"``."""
        return self.properties.find(f"{DAV}resourcetype/{kind}") is not None


@dataclass(frozen=True)
class DavServer:
    """A server of calendars or contacts, and the user's account on it. Its methods block.

    Args:
        service: ``"caldav"`` or ``"carddav"``; the name of its password.
        url: the server, the user's part of it, or one collection.
        user: the account.
        secrets: gives the password when it is needed.
        timeout_s: how long to wait for each answer.
        tls: whom to trust; the usual authorities by default.

    Raises:
        ConfigurationError: the URL is none, or not encrypted outside of the local network.
    """

    service: Literal["caldav", "carddav"]
    url: str
    user: str
    secrets: Secrets = field(default=system_secrets, repr=False)
    timeout_s: float = TIMEOUT_S
    tls: SSLContext | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_url(self.url, f"the URL of {self.service}")

    @property
    def name(self) -> str:
        """What messages call it."""
        return "The CalDAV server" if self.service == "caldav" else "The CardDAV server"

    def collections(self, kind: str, home_set: str, *properties: str) -> list[DavItem]:
        """The collections of a kind: the one at ``url``, or all in the user's home set (RFC 6764, 6).

        Args:
            kind: such as ``CALDAV + "calendar"``.
            home_set: the principal's property that leads to them.
            *properties: what else to ask for about each.

        Raises:
            ToolCallError: the server refused or failed, or has none of that kind for this user.
        """
        wanted = (f"{DAV}resourcetype", f"{DAV}displayname", *properties)
        for start in (self.url, urljoin(self.url, f"/.well-known/{self.service}")):
            item = self._find(start, f"{DAV}current-user-principal", home_set, *wanted)
            if item is None:
                continue
            if item.is_a(kind):
                return [item]
            homes = item.links(home_set)
            for principal in item.links(f"{DAV}current-user-principal") if not homes else ():
                found = self._find(principal, home_set)
                homes += found.links(home_set) if found else []
            items = [item for home in homes for item in self.find_all(home, "1", *wanted) if item.is_a(kind)]
            if items:
                return items
        raise ToolCallError(
            f"{self.name} at {self._host} has nothing of the kind for {self.user!r}; check the URL {self.url}"
        )

    def find_all(self, url: str, depth: str, *properties: str) -> list[DavItem]:
        """The resource at ``url`` and, with depth ``"1"``, those in it."""
        return self.report(url, _propfind(properties), method="PROPFIND", depth=depth)

    def report(
        self, url: str, body: ET.Element, *, method: str = "REPORT", depth: str = "1"
    ) -> list[DavItem]:
        """What the server answers to a query.

        Raises:
            ToolCallError: the server refused or failed, or its answer is no multi-status.
        """
        headers = {"Depth": depth, "Content-Type": "application/xml; charset=utf-8"}
        response = self.request(method, url, ET.tostring(body, "utf-8", xml_declaration=True), headers)
        if response.status_code in {404, 405}:
            raise _NothingThereError(f"{self.name} at {self._host} has nothing at {url}")
        if response.status_code != _MULTI_STATUS:
            raise ToolCallError(
                f"{self.name} at {self._host} answered {response.status_code} {answer_text(response)}"
            )
        return list(_items(response, self.name))

    def request(self, method: str, url: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
        """The answer to one request; redirections are followed with the method and the body kept.

        Raises:
            ToolCallError: the server cannot be reached, does not accept the password, or answers nothing.
        """
        password = find_secret(self.secrets, self.service, self.user)
        with (
            outcomes(self.name, self._host),
            httpx.Client(
                auth=(self.user, password),
                timeout=self.timeout_s,
                verify=self._context,
                trust_env=not is_loopback(self._host),
            ) as client,
        ):
            for _ in range(MAX_REDIRECTS):
                response = client.request(method, _checked(url), content=content, headers=headers)
                if not response.has_redirect_location:
                    break
                url = urljoin(url, response.headers["Location"])
        if response.status_code in {401, 403}:
            raise ToolCallError(
                f"{self.name} at {self._host} does not accept the password of {self.user!r} or does not "
                f"allow this ({response.status_code}); check {password_variable(self.service)} or the keyring"
            )
        return response

    @cached_property
    def _context(self) -> SSLContext:
        return self.tls or httpx.create_ssl_context()

    @property
    def _host(self) -> str:
        return urlsplit(self.url).netloc

    def _find(self, url: str, *properties: str) -> DavItem | None:
        try:
            return next(iter(self.find_all(url, "0", *properties)), None)
        except _NothingThereError:
            return None


class _NothingThereError(ToolCallError):
    """There is no such collection; another starting point may do."""


def _propfind(properties: Iterable[str]) -> ET.Element:
    body = ET.Element(f"{DAV}propfind")
    names = ET.SubElement(body, f"{DAV}prop")
    for name in properties:
        ET.SubElement(names, name)
    return body


def _checked(url: str) -> str:
    """``url``, to which the server led; the password goes there, so it must be a place for it."""
    try:
        return check_url(url, "the server's answer")
    except ConfigurationError as error:
        raise ToolCallError(str(error)) from error


def _items(response: httpx.Response, server: str) -> Iterator[DavItem]:
    try:
        root = ET.fromstring(response.content)  # noqa: S314  (expat limits the growth of entities)
    except ET.ParseError as error:
        raise ToolCallError(f"{server} answered what is no XML: {error}") from error
    for answer in root.iter(f"{DAV}response"):
        url = urljoin(str(response.url), (answer.findtext(f"{DAV}href") or "").strip())
        properties = ET.Element(f"{DAV}prop")
        for status in answer.iter(f"{DAV}propstat"):
            if " 200" in (status.findtext(f"{DAV}status") or " 200"):
                properties.extend(each for found in status.iter(f"{DAV}prop") for each in found)
        yield DavItem(url, properties)
