"""Maps: links to places and to directions, opened in the browser or the map application."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlencode

from plait.errors import ToolCallError
from plait.tools.assistant._files import Opener
from plait.tools.assistant._ics import one_line

MapProvider: TypeAlias = Literal["apple", "google", "openstreetmap"]
Transport: TypeAlias = Literal["d", "w", "r"]

MAX_PLACE_CHARS = 300

_TRAVEL_MODES: Mapping[Transport, str] = {"d": "driving", "w": "walking", "r": "transit"}
_ENGINES: Mapping[Transport, str] = {"d": "fossgis_osrm_car", "w": "fossgis_osrm_foot"}


@dataclass(frozen=True)
class Maps:
    """Links to maps.

    Args:
        provider: whose maps.
        opener: shows a link to the user; None where there is no one to see it.
    """

    provider: MapProvider = "openstreetmap"
    opener: Opener | None = None

    def location(self, place: str) -> str:
        """Show a place or an address on the map, and return the link.

        Raises:
            ToolCallError: no place is named, or the link cannot be opened.
        """
        place = _place(place, "place")
        match self.provider:
            case "apple":
                url = _link("https://maps.apple.com/", q=place)
            case "google":
                url = _link("https://www.google.com/maps/search/", api="1", query=place)
            case "openstreetmap":
                url = _link("https://www.openstreetmap.org/search", query=place)
        return self._shown(url)

    def directions(self, start: str, end: str, transport: Transport = "d") -> str:
        """Show the way between two places, and return the link.

        Args:
            start: where it begins; empty for where the user is.
            end: where it ends.
            transport: by car, on foot, or by public transport (``"r"``).

        Raises:
            ToolCallError: as ``location``, or the provider knows no public transport.
        """
        begin, end = one_line(start)[:MAX_PLACE_CHARS], _place(end, "destination")
        match self.provider:
            case "apple":
                url = _link("https://maps.apple.com/", saddr=begin, daddr=end, dirflg=transport)
            case "google":
                mode = _TRAVEL_MODES[transport]
                url = _link(
                    "https://www.google.com/maps/dir/",
                    api="1",
                    origin=begin,
                    destination=end,
                    travelmode=mode,
                )
            case "openstreetmap":
                if transport not in _ENGINES:
                    raise ToolCallError(
                        "OpenStreetMap has no directions by public transport; set maps.provider to "
                        "'apple' or 'google' in assistant.toml, or go by car or on foot"
                    )
                url = "https://www.openstreetmap.org/directions"
                url = _link(url, engine=_ENGINES[transport], **{"from": begin}, to=end)
        return self._shown(url)

    def _shown(self, url: str) -> str:
        if self.opener:
            try:
                self.opener(url)
            except OSError as error:
                raise ToolCallError(f"{url} cannot be opened: {error.strerror or error}") from error
        return url


def _place(text: str, what: str) -> str:
    place = one_line(text)
    if not place:
        raise ToolCallError(f"There is no {what}; name one")
    return place[:MAX_PLACE_CHARS]


def _link(base: str, **parameters: str) -> str:
    given = {name: value.encode("utf-8", "replace") for name, value in parameters.items() if value}
    return f"{base}?{urlencode(given)}"
