"""Ten questions about things that do not exist, and a Wikipedia of them: the benchmarks without a network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from plait.apps.evaluation._qa_data import QAKind
from plait.apps.evaluation._wikipedia import Wikipedia


@dataclass(frozen=True, slots=True)
class SamplePage:
    """A page of the made-up Wikipedia."""

    title: str
    text: str
    """Its lead section."""
    redirects: tuple[str, ...] = ()
    """Other titles that lead to it."""
    is_disambiguation: bool = False


SAMPLE_PAGES = (
    SamplePage(
        "Mount Varga",
        "Mount Varga is the highest mountain of the Ostrel Range in Kesland. It stands 4,210 m (13,812 ft) "
        "above the sea and was first climbed in 1887.",
        redirects=("Mt. Varga",),
    ),
    SamplePage(
        "Mount Selin",
        "Mount Selin is an extinct volcano in the west of Noria. Its top lies at 3,870 metres (12,697 ft).",
    ),
    SamplePage(
        "Lake Ombra", "Lake Ombra is the deepest lake of Noria. It has an area of 412 km2 (159 sq mi)."
    ),
    SamplePage("Lake Tesk", "Lake Tesk is a shallow salt lake of 655 square kilometres (253 sq mi) in Tarn."),
    SamplePage(
        "Noria",
        "Noria is a republic on the Amber Sea. With 12.4 million people it is the largest of five states.",
    ),
    SamplePage("Kesland", "Kesland is a kingdom of 9.8 million people, known for its railways."),
    SamplePage("Tarn (country)", "Tarn is a country of 4.2 million people between Noria and Kesland."),
    SamplePage("Tarn", "Tarn may refer to:", is_disambiguation=True),
    SamplePage(
        "Ilse Varendonk",
        "Ilse Varendonk (3 May 1884 - 9 October 1951) was a Keslandic composer of four operas.",
    ),
    SamplePage(
        "Mirko Danal",
        "Mirko Danal (12 January 1890 - 30 March 1963) was a Norian composer and pianist, the first to write "
        "for the glass harp.",
    ),
    SamplePage(
        "The Glass Ferry",
        "The Glass Ferry is a novel by Anneke Rool. It was published in two volumes in 1931.",
    ),
    SamplePage(
        "Nine Winters", "Nine Winters is a novel of 1958 by Josip Trell about a family of bell founders."
    ),
    SamplePage(
        "The Silent Harbour", "The Silent Harbour is a 1962 spy thriller film set in the port of Kesk."
    ),
    SamplePage("Night Train to Kesk", "Night Train to Kesk is a 1965 film about a spy who loses his memory."),
    SamplePage(
        "Codename Heron", "Codename Heron is a 1968 spy thriller film about a courier and a lost code book."
    ),
    SamplePage("Two Left Shoes", "Two Left Shoes is a 1971 musical comedy film about a dancing school."),
    SamplePage("The Baker's Holiday", "The Baker's Holiday is a 1969 comedy film about a baker by the sea."),
    SamplePage("Waltz for Goats", "Waltz for Goats is a 1973 musical comedy film about a travelling band."),
    SamplePage("The Drowned Mill", "The Drowned Mill is a 1958 horror film about a miller who returns."),
    SamplePage("Cellar of Owls", "Cellar of Owls is a 1961 horror film in which a house listens."),
    SamplePage("What the Fog Kept", "What the Fog Kept is a 1963 horror film about a village that vanishes."),
)
"""Every page. No fact in them is one."""

SAMPLE_QUESTIONS: dict[QAKind, tuple[dict[str, Any], ...]] = {
    "parallelqa": (
        {
            "id": "1",
            "question": "If Mount Varga were 10% lower and Mount Selin 5% higher, which one would be higher?",
            "answer": "Mount Selin",
            "branch": 2,
        },
        {
            "id": "2",
            "question": "What is the difference in height in metres between Mount Varga and Mount Selin?",
            "answer": "340",
            "branch": 2,
        },
        {
            "id": "3",
            "question": "If Lake Ombra had twice its area and Lake Tesk 20% less, what would their areas be "
            "together in square kilometres?",
            "answer": "1348",
            "branch": 2,
        },
        {
            "id": "4",
            "question": "What is the average population of Noria, Kesland and Tarn in millions?",
            "answer": "8.80",
            "branch": 3,
        },
    ),
    "hotpotqa": (
        {
            "id": "varendonk-danal-work",
            "level": "easy",
            "question": "Were Ilse Varendonk and Mirko Danal both composers?",
            "answer": "yes",
        },
        {
            "id": "varendonk-danal-country",
            "level": "easy",
            "question": "Were Ilse Varendonk and Mirko Danal of the same nationality?",
            "answer": "no",
        },
        {
            "id": "ferry-winters",
            "level": "easy",
            "question": "Which novel was published first, Nine Winters or The Glass Ferry?",
            "answer": "The Glass Ferry",
        },
    ),
    "movie": (
        {
            "id": "0",
            "question": "Find a movie similar to The Silent Harbour, Night Train to Kesk\nOptions:\n"
            "Two Left Shoes\nCodename Heron\nThe Drowned Mill\n",
            "answer": "Codename Heron",
        },
        {
            "id": "1",
            "question": "Find a movie similar to Two Left Shoes, The Baker's Holiday\nOptions:\n"
            "Cellar of Owls\nThe Silent Harbour\nWaltz for Goats\n",
            "answer": "Waltz for Goats",
        },
        {
            "id": "2",
            "question": "Find a movie similar to The Drowned Mill, Cellar of Owls\nOptions:\n"
            "What the Fog Kept\nThe Baker's Holiday\nNight Train to Kesk\n",
            "answer": "What the Fog Kept",
        },
    ),
}
"""The questions of each benchmark, as its data has them."""


def write_sample(kind: QAKind, folder: Path) -> Path:
    """Write the sample questions of ``kind`` as a data file in ``folder``, and give its path."""
    path = folder / f"{kind}_sample.json"
    path.write_text(json.dumps(SAMPLE_QUESTIONS[kind], indent=2) + "\n", encoding="utf-8")
    return path


def sample_wikipedia(cache_dir: Path) -> Wikipedia:
    """The Wikipedia of :data:`SAMPLE_PAGES`, which needs no network."""
    return Wikipedia(cache_dir, transport=sample_transport(), api="https://wikipedia.invalid/w/api.php")


def sample_transport() -> httpx.MockTransport:
    """Answers MediaWiki's queries for titles and searches from :data:`SAMPLE_PAGES`."""
    return httpx.MockTransport(_answer)


def _answer(request: httpx.Request) -> httpx.Response:
    asked = request.url.params
    if "titles" in asked:
        title = asked["titles"]
        page = next((p for p in SAMPLE_PAGES if title in (p.title, *p.redirects)), None)
        pages = [{"title": title, "missing": True} if page is None else _page(page)]
    else:
        found = list(_search(asked["gsrsearch"]))[: int(asked["gsrlimit"])]
        pages = [{**_page(page), "index": index} for index, page in enumerate(found, 1)]
    answer = {"batchcomplete": True}
    return httpx.Response(200, json={**answer, "query": {"pages": pages}} if pages else answer)


def _page(page: SamplePage) -> dict[str, Any]:
    extras = {"pageprops": {"disambiguation": ""}} if page.is_disambiguation else {}
    return {"ns": 0, "title": page.title, "extract": page.text, **extras}


def _search(query: str) -> Iterator[SamplePage]:
    """Pages whose title has a word of the query, those with most of them first."""
    words = set(re.findall(r"\w+", query.lower()))
    shared = {page.title: len(words & set(re.findall(r"\w+", page.title.lower()))) for page in SAMPLE_PAGES}
    ranked = sorted(SAMPLE_PAGES, key=lambda page: -shared[page.title])
    return (page for page in ranked if shared[page.title])
