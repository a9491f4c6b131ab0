from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from plait.errors import ToolCallError
from plait.tools.assistant import Maps

CAFE = "Café & Bar, 5 Main St #2"


def asked(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query, keep_blank_values=True)


@pytest.mark.parametrize(
    ("provider", "start", "key"),
    [
        ("openstreetmap", "https://www.openstreetmap.org/search?", "query"),
        ("apple", "https://maps.apple.com/?", "q"),
        ("google", "https://www.google.com/maps/search/?api=1&", "query"),
    ],
)
def test_a_place_is_shown_and_its_link_given(provider: str, start: str, key: str) -> None:
    opened: list[Path | str] = []
    url = Maps(provider, opened.append).location(CAFE)  # type: ignore[arg-type]
    assert url.startswith(start)
    assert asked(url)[key] == [CAFE]
    assert opened == [url]


@pytest.mark.parametrize(
    ("provider", "transport", "query"),
    [
        ("openstreetmap", "d", {"engine": ["fossgis_osrm_car"], "from": ["Home"], "to": [CAFE]}),
        ("openstreetmap", "w", {"engine": ["fossgis_osrm_foot"], "from": ["Home"], "to": [CAFE]}),
        ("apple", "r", {"saddr": ["Home"], "daddr": [CAFE], "dirflg": ["r"]}),
        ("google", "r", {"api": ["1"], "origin": ["Home"], "destination": [CAFE], "travelmode": ["transit"]}),
        ("google", "w", {"api": ["1"], "origin": ["Home"], "destination": [CAFE], "travelmode": ["walking"]}),
    ],
)
def test_directions_say_from_where_to_where_and_how(provider: str, transport: str, query: object) -> None:
    maps = Maps(provider)  # type: ignore[arg-type]
    assert asked(maps.directions("Home", CAFE, transport)) == query  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("provider", "key"), [("openstreetmap", "from"), ("apple", "saddr"), ("google", "origin")]
)
def test_without_a_start_the_way_begins_where_the_user_is(provider: str, key: str) -> None:
    assert key not in asked(Maps(provider).directions("", CAFE))  # type: ignore[arg-type]


def test_public_transport_needs_a_provider_that_knows_it() -> None:
    opened: list[Path | str] = []
    with pytest.raises(ToolCallError, match=r"no directions by public transport; set maps.provider"):
        Maps(opener=opened.append).directions("", CAFE, "r")
    assert opened == []


@pytest.mark.parametrize("place", ["", " \n\0"])
def test_a_place_must_be_named(place: str) -> None:
    with pytest.raises(ToolCallError, match="There is no place; name one"):
        Maps().location(place)
    with pytest.raises(ToolCallError, match="There is no destination; name one"):
        Maps().directions("Home", place)


def test_a_browser_that_does_not_start_is_told_with_the_link() -> None:
    def fail(target: Path | str) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(
        ToolCallError, match=r"^https://www.openstreetmap.org/search\?query=x cannot be opened"
    ):
        Maps(opener=fail).location("x")


def test_half_a_character_and_very_long_places_make_valid_links() -> None:
    assert Maps().location("a\ud83d" + "b" * 999).isascii()
    assert len(Maps().location("b" * 5000)) < 400
