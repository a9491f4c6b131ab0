"""Looking things up in Wikipedia, politely, and once: what was found is kept on disk."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import httpx

from plait._version import __version__
from plait.apps.evaluation._lookup_cache import LookupCache, LookupEntry, Page
from plait.errors import LookupUnavailableError, ToolCallError

_USER_AGENT = (
    f"plait/{__version__} (plait eval, benchmark questions started by hand) "
    f"python-httpx/{httpx.__version__} Python/{platform.python_version()}"
)
_AT_ONCE = 2
_N_HITS = 5
_MAX_QUERY_CHARS = 300
_READ_TIMEOUT_S = 20.0
_DEFAULT_WAIT_S = 1.0
_MAX_WAIT_S = 30.0
_BUSY = (429, 503)


class Wikipedia:
    """Lead sections of Wikipedia's pages, through MediaWiki's API.

    At most two requests are under way at once, a server that asks for a pause gets it once, and whatever
    was found, also that there is nothing, is kept in ``cache_dir`` and never asked for again. Delete the
    folder to look everything up anew.

    Args:
        cache_dir: where answers are kept: one JSON file a query.
        connect_timeout_s: seconds to wait for a connection.
        offline: ask nobody; only what is in the cache can be looked up.
        api: the address of the API.
        transport: carries the requests, for tests.
        sleep: how the pause that a server asks for is spent.
        unreachable_s: seconds for which a host that could not be reached is not tried again.

    Raises:
        ConfigurationError: the cache's folder cannot be made.
    """

    def __init__(
        self,
        cache_dir: Path,
        *,
        connect_timeout_s: float = 3.0,
        offline: bool = False,
        api: str = "https://en.wikipedia.org/w/api.php",
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        unreachable_s: float = 30.0,
    ) -> None:
        self._cache = LookupCache(cache_dir, writable=not offline)
        self._offline = offline
        self._api = api
        self._transport = transport
        self._timeout = httpx.Timeout(_READ_TIMEOUT_S, connect=connect_timeout_s)
        self._sleep = sleep
        self._unreachable_s = unreachable_s
        self._unreachable_until = 0.0
        self._client: httpx.AsyncClient | None = None
        # A semaphore belongs to one event loop; a script may have several, one after the other.
        self._lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def search(self, query: str, *, prefer: str = "", max_chars: int = 1500) -> str:
        """The beginning of the page on ``query``, or of the best one that a search for it finds.

        Args:
            query: the name of one thing.
            prefer: of several pages found, one with this word in its title comes first, e.g. ``"film"``.
            max_chars: where the text is cut, at the end of a sentence if there is one.

        Raises:
            LookupUnavailableError: Wikipedia cannot be reached, and the cache does not have it.
            ToolCallError: the query is empty or too long, or there is no such page.
        """
        query = " ".join(query.split())
        if not query:
            raise ToolCallError("there is nothing to look up: the query is empty; give a name", tool="search")
        if len(query) > _MAX_QUERY_CHARS:
            raise ToolCallError(
                f"the query has {len(query)} characters and at most {_MAX_QUERY_CHARS} are taken; "
                "look up one thing by its name",
                tool="search",
            )
        entry = self._cache.read(self._api, query)
        if entry is None:
            entry = await self._ask(query)
            self._cache.write(entry)
        return _best(entry, prefer, max_chars)

    async def aclose(self) -> None:
        """Release the connections. Safe to call twice."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _ask(self, query: str) -> LookupEntry:
        if self._offline:
            raise _unavailable(query, "lookups are offline", "run once with a network")
        if time.monotonic() < self._unreachable_until:
            raise _unavailable(query, "Wikipedia is not reachable", "check the network")
        lane = self._lanes.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE))
        async with lane:
            named = await self._pages(query, titles=query.replace("|", " "), redirects="1")
            exact = named[0] if named and named[0].text else None
            if exact is not None:
                return LookupEntry(api=self._api, query=query, exact=exact)
            hits = await self._pages(
                query, generator="search", gsrsearch=query, gsrlimit=str(_N_HITS), redirects="1"
            )
            return LookupEntry(api=self._api, query=query, exact=None, hits=tuple(h for h in hits if h.text))

    async def _pages(self, query: str, **selection: str) -> list[Page]:
        """The pages of a selection in the search's order, with their lead sections."""
        response = await self._get(query, selection)
        try:
            return _read_pages(response.json())
        except ValueError as error:
            raise _unavailable(
                query, f"Wikipedia's answer cannot be read ({error})", "try again later"
            ) from error

    async def _get(self, query: str, selection: dict[str, str]) -> httpx.Response:
        parameters = {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "prop": "extracts|pageprops",
            "ppprop": "disambiguation",
            "exintro": "1",
            "explaintext": "1",
            "exlimit": str(_N_HITS),
            **selection,
        }
        response = await self._send(query, parameters)
        if response.status_code in _BUSY:
            wait_s = _wait_s(response)
            if wait_s <= _MAX_WAIT_S:
                await self._sleep(wait_s)
                response = await self._send(query, parameters)
        if response.status_code != httpx.codes.OK:
            raise _unavailable(query, f"Wikipedia answered {response.status_code}", "try again later")
        return response

    async def _send(self, query: str, parameters: dict[str, str]) -> httpx.Response:
        if self._client is None:
            self._client = httpx.AsyncClient(
                transport=self._transport,
                timeout=self._timeout,
                headers={"User-Agent": _USER_AGENT},
                follow_redirects=True,
                # A kept connection belongs to one event loop, and would fail a script's second asyncio.run.
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        try:
            return await self._client.get(self._api, params=parameters)
        except httpx.RequestError as error:
            if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
                self._unreachable_until = time.monotonic() + self._unreachable_s
            raise _unavailable(query, "Wikipedia is not reachable", "check the network") from error


def _read_pages(answer: Any) -> list[Page]:
    """The pages in an answer of the API, in the search's order.

    Raises:
        ValueError: the answer has another shape.
    """
    if not isinstance(answer, dict) or "error" in answer:
        raise ValueError(f"it says {str(answer)[:200]}")
    query = answer.get("query", {})  # a search that finds nothing has none
    pages = query.get("pages", []) if isinstance(query, dict) else None
    if not isinstance(pages, list) or not all(isinstance(page, dict) for page in pages):
        raise ValueError("it has no list of pages")
    there = [page for page in pages if not page.get("missing") and not page.get("invalid")]
    return [
        Page(title=str(page.get("title", "")), text="" if _is_list(page) else _plain(page.get("extract")))
        for page in sorted(there, key=lambda page: page.get("index", 0))
    ]


def _is_list(page: dict[str, Any]) -> bool:
    return "disambiguation" in (page.get("pageprops") or {})


def _plain(text: Any) -> str:
    return " ".join(str(text or "").split())


def _best(entry: LookupEntry, prefer: str, max_chars: int) -> str:
    """The text that answers a query; where it is another page's than the one asked for, it says so."""
    if entry.exact is not None:
        return _shortened(entry.exact.text, max_chars)
    if not entry.hits:
        raise ToolCallError(
            f"Wikipedia has no page on {entry.query!r}; look it up by another name", tool="search"
        )
    preferred = [hit for hit in entry.hits if prefer and prefer in hit.title.lower()]
    best = (preferred or entry.hits)[0]
    others = "; ".join(hit.title for hit in entry.hits if hit is not best)
    similar = f" (Similar pages: {others}.)" if others and not preferred else ""
    return f"{best.title}: {_shortened(best.text, max_chars)}{similar}"


def _shortened(text: str, max_chars: int) -> str:
    if len(text) <= max_chars:
        return text
    cut = text[:max_chars]
    end = cut.rfind(". ")
    return f"{cut[: end + 1] if end > max_chars // 2 else cut} [...]"


def _wait_s(response: httpx.Response) -> float:
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else _DEFAULT_WAIT_S


def _unavailable(query: str, why: str, fix: str) -> LookupUnavailableError:
    return LookupUnavailableError(
        f"cannot look up {query!r}: {why} and it is not in the cache; {fix}",
        tool="search",
        queries=[query],
    )
