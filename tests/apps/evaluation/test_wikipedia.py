import asyncio
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from plait.apps.evaluation._wikipedia import Wikipedia
from plait.errors import ConfigurationError, LookupUnavailableError, PlaitError, ToolCallError

pytestmark = pytest.mark.anyio

Answer = httpx.Response | Exception
MOUNT = {"title": "Mount Varga", "extract": "Mount Varga is 4,210 m high.\nIt is in Kesland."}
MISSING = {"title": "X", "missing": True}


def pages(*found: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json={"batchcomplete": True, "query": {"pages": list(found)}})


class Server:
    """Gives the answers in turn, and keeps what it was asked; used up, it cannot be reached."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else httpx.ConnectError("no route")
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def wikipedia(tmp_path: Path, pauses: list[float]) -> Callable[..., Wikipedia]:
    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    def wikipedia(handler: Any, **options: Any) -> Wikipedia:
        transport = httpx.MockTransport(handler)
        return Wikipedia(tmp_path / "cache", transport=transport, sleep=pause, **options)

    return wikipedia


def kept(folder: Path) -> list[Path]:
    return sorted((folder / "cache").iterdir())


async def test_a_name_gives_the_beginning_of_its_page_as_one_paragraph(
    wikipedia: Callable[..., Wikipedia],
) -> None:
    server = Server(pages(MOUNT))
    assert await wikipedia(server).search("Mount  Varga ") == "Mount Varga is 4,210 m high. It is in Kesland."
    asked = server.requests[0]
    assert asked.url.params["titles"] == "Mount Varga"
    assert asked.url.params["redirects"] == "1"
    assert asked.headers["User-Agent"].startswith("plait/")


async def test_a_name_without_a_page_gives_the_best_page_and_names_the_others(
    wikipedia: Callable[..., Wikipedia],
) -> None:
    second = {"title": "Varga (name)", "extract": "A name.", "index": 2}
    server = Server(pages(MISSING), pages(second, {**MOUNT, "index": 1}))
    text = await wikipedia(server).search("Varga mountain")
    assert text.startswith("Mount Varga: Mount Varga is 4,210 m high.")
    assert text.endswith("(Similar pages: Varga (name).)")
    assert server.requests[1].url.params["gsrsearch"] == "Varga mountain"


async def test_a_disambiguation_page_is_passed_over_for_what_a_search_finds(
    wikipedia: Callable[..., Wikipedia],
) -> None:
    heron = {"title": "Heron", "extract": "Heron may refer to:", "pageprops": {"disambiguation": ""}}
    bird = {"title": "Heron (bird)", "extract": "A wader.", "index": 2}
    server = Server(pages(heron), pages({**heron, "index": 1}, bird))
    assert await wikipedia(server).search("Heron") == "Heron (bird): A wader."


async def test_of_several_pages_a_preferred_kind_comes_first(wikipedia: Callable[..., Wikipedia]) -> None:
    hits = [
        {"title": "Heron (bird)", "extract": "A wader.", "index": 1},
        {"title": "Heron (1968 film)", "extract": "A thriller.", "index": 2},
    ]
    source = wikipedia(Server(pages(MISSING), pages(*hits)))
    assert await source.search("Heron", prefer="film") == "Heron (1968 film): A thriller."
    assert (await source.search("Heron")).startswith("Heron (bird): A wader.")  # from the cache


async def test_a_name_that_nothing_is_found_for_is_an_error_and_is_not_asked_for_again(
    wikipedia: Callable[..., Wikipedia],
) -> None:
    server = Server(pages(MISSING), httpx.Response(200, json={"batchcomplete": True}))
    source = wikipedia(server)
    for _ in range(2):
        with pytest.raises(ToolCallError, match="no page on 'Xyzzy'") as failed:
            await source.search("Xyzzy")
        assert not isinstance(failed.value, LookupUnavailableError)
    assert len(server.requests) == 2


async def test_a_long_page_is_cut_at_the_end_of_a_sentence_and_says_so(
    wikipedia: Callable[..., Wikipedia],
) -> None:
    page = {"title": "Long", "extract": "First sentence here. Second sentence. " + "x" * 90}
    source = wikipedia(Server(pages(page)))
    assert await source.search("Long", max_chars=50) == "First sentence here. Second sentence. [...]"
    assert await source.search("Long", max_chars=30) == "First sentence here. [...]"
    assert (await source.search("Long")).endswith("xxx")


@pytest.mark.parametrize(("query", "why"), [("  ", "is empty"), ("x" * 301, "301 characters")])
async def test_what_cannot_be_a_name_is_refused_before_anybody_is_asked(
    wikipedia: Callable[..., Wikipedia], query: str, why: str
) -> None:
    server = Server()
    with pytest.raises(ToolCallError, match=why):
        await wikipedia(server).search(query)
    assert server.requests == []


async def test_a_bar_does_not_ask_for_several_pages(wikipedia: Callable[..., Wikipedia]) -> None:
    server = Server(pages(MOUNT))
    await wikipedia(server).search("a|b")
    assert server.requests[0].url.params["titles"] == "a b"


async def test_what_was_found_is_kept_and_serves_offline(
    wikipedia: Callable[..., Wikipedia], tmp_path: Path
) -> None:
    await wikipedia(Server(pages(MOUNT))).search("Mount Varga")
    assert len(kept(tmp_path)) == 1
    offline = wikipedia(Server(), offline=True)
    assert (await offline.search("Mount Varga")).startswith("Mount Varga is")


async def test_offline_what_is_not_kept_is_unavailable(wikipedia: Callable[..., Wikipedia]) -> None:
    server = Server(pages(MOUNT))
    with pytest.raises(
        LookupUnavailableError, match=r"cannot look up 'Mount Varga': lookups are offline"
    ) as e:
        await wikipedia(server, offline=True).search("Mount Varga")
    assert e.value.queries == ("Mount Varga",)
    assert isinstance(e.value, PlaitError)
    assert server.requests == []


async def test_an_unreachable_wikipedia_is_unavailable_and_is_left_alone_for_a_while(
    wikipedia: Callable[..., Wikipedia],
) -> None:
    server = Server()
    source = wikipedia(server)
    message = "cannot look up 'A': Wikipedia is not reachable and it is not in the cache"
    with pytest.raises(LookupUnavailableError, match=message):
        await source.search("A")
    with pytest.raises(LookupUnavailableError, match="'B': Wikipedia is not reachable"):
        await source.search("B")
    assert len(server.requests) == 1


async def test_after_that_while_it_is_tried_again(wikipedia: Callable[..., Wikipedia]) -> None:
    source = wikipedia(Server(httpx.ConnectTimeout("slow"), pages(MOUNT)), unreachable_s=0.0)
    with pytest.raises(LookupUnavailableError):
        await source.search("Mount Varga")
    assert "4,210 m" in await source.search("Mount Varga")


@pytest.mark.parametrize(
    "answers",
    [
        [httpx.ReadTimeout("slow")],
        [httpx.Response(500)],
        [httpx.Response(403)],
        [httpx.Response(200, text="<html>")],
        [httpx.Response(200, json=["query"])],
        [httpx.Response(200, json={"error": {"code": "x", "info": "y"}})],
        [httpx.Response(200, json={"query": {"pages": {"1": {}}}})],
        [httpx.Response(200, json={"query": []})],
        [pages(MISSING), httpx.ReadError("cut")],
    ],
)
async def test_an_answer_that_is_none_is_unavailable_and_is_not_kept(
    wikipedia: Callable[..., Wikipedia], tmp_path: Path, answers: Iterable[Answer]
) -> None:
    with pytest.raises(LookupUnavailableError, match="cannot look up 'Mount Varga'"):
        await wikipedia(Server(*answers)).search("Mount Varga")
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("headers", "waited"),
    [({"Retry-After": "7"}, 7.0), ({}, 1.0), ({"Retry-After": "Wed, 01 Jan 2020 00:00:00 GMT"}, 1.0)],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_gets_the_pause_that_it_asks_for_once(
    wikipedia: Callable[..., Wikipedia],
    pauses: list[float],
    headers: dict[str, str],
    waited: float,
    status: int,
) -> None:
    server = Server(httpx.Response(status, headers=headers), pages(MOUNT))
    assert "4,210 m" in await wikipedia(server).search("Mount Varga")
    assert pauses == [waited]

    busy = Server(*[httpx.Response(status, headers=headers) for _ in range(3)])
    with pytest.raises(LookupUnavailableError, match=f"answered {status}"):
        await wikipedia(busy).search("Mount Selin")
    assert len(busy.requests) == 2


async def test_a_pause_of_an_hour_is_not_waited_for(
    wikipedia: Callable[..., Wikipedia], pauses: list[float]
) -> None:
    with pytest.raises(LookupUnavailableError, match="answered 429"):
        await wikipedia(Server(httpx.Response(429, headers={"Retry-After": "3600"}))).search("Mount Varga")
    assert pauses == []


@pytest.mark.parametrize(
    "damaged",
    ["", "{", "null", '{"format": 2}', "\x00\xff", '{"format": 1, "api": "a", "query": "q", "exact": null}'],
)
async def test_a_damaged_file_in_the_cache_is_fetched_anew(
    wikipedia: Callable[..., Wikipedia], tmp_path: Path, damaged: str
) -> None:
    await wikipedia(Server(pages(MOUNT))).search("Mount Varga")
    (file,) = kept(tmp_path)
    whole = file.read_text()
    file.write_text(damaged, encoding="latin-1")

    with pytest.raises(LookupUnavailableError):
        await wikipedia(Server(), offline=True).search("Mount Varga")
    assert "4,210 m" in await wikipedia(Server(pages(MOUNT))).search("Mount Varga")
    assert file.read_text() == whole


async def test_two_addresses_do_not_share_what_they_found(wikipedia: Callable[..., Wikipedia]) -> None:
    other = {"title": "Mount Varga", "extract": "Een berg."}
    await wikipedia(Server(pages(MOUNT))).search("Mount Varga")
    dutch = wikipedia(Server(pages(other)), api="https://nl.wikipedia.invalid/w/api.php")
    assert await dutch.search("Mount Varga") == "Een berg."


async def test_at_most_two_requests_are_under_way_at_once(wikipedia: Callable[..., Wikipedia]) -> None:
    n_running, most, go = 0, 0, asyncio.Event()

    async def handle(request: httpx.Request) -> httpx.Response:
        nonlocal n_running, most
        n_running += 1
        most = max(most, n_running)
        if n_running == 2:
            go.set()
        async with asyncio.timeout(5):
            await go.wait()
        n_running -= 1
        return pages({"title": request.url.params["titles"], "extract": "Text."})

    source = wikipedia(handle)
    found = await asyncio.gather(*(source.search(f"Page {i}") for i in range(6)))
    assert found == ["Text."] * 6
    assert most == 2


def test_it_serves_several_event_loops_one_after_the_other(wikipedia: Callable[..., Wikipedia]) -> None:
    source = wikipedia(lambda request: pages(MOUNT))

    async def several(prefix: str) -> list[str]:
        return await asyncio.gather(*(source.search(f"{prefix}{i}") for i in range(4)))

    assert len(asyncio.run(several("a"))) == len(asyncio.run(several("b"))) == 4
    asyncio.run(source.aclose())
    asyncio.run(source.aclose())


async def test_a_cache_that_cannot_be_written_costs_only_the_next_lookup(
    wikipedia: Callable[..., Wikipedia], tmp_path: Path
) -> None:
    server = Server(pages(MOUNT), pages(MOUNT))
    source = wikipedia(server)
    (tmp_path / "cache").rmdir()
    assert "4,210 m" in await source.search("Mount Varga")
    assert "4,210 m" in await source.search("Mount Varga")
    assert len(server.requests) == 2


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cache folder .*file"):
        Wikipedia(tmp_path / "file")


async def test_files_of_the_cache_are_json_that_names_its_query(
    wikipedia: Callable[..., Wikipedia], tmp_path: Path
) -> None:
    await wikipedia(Server(pages(MOUNT))).search("Mount Varga")
    (file,) = kept(tmp_path)
    entry = json.loads(file.read_text())
    assert (entry["format"], entry["query"], entry["exact"]["title"]) == (1, "Mount Varga", "Mount Varga")
