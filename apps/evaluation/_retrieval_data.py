"""Tools, usages and test requests for measuring retrieval, from the Berkeley leaderboard's data and NESTFUL.

All functions of the leaderboard's single-turn Python categories are one toolbox, and all tools of NESTFUL
are one. Requests of functions that two or more requests call are divided in two: one half are usages, the
other half test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from plait.apps.evaluation._bfcl import BFCLBenchmark, function_definition
from plait.apps.evaluation._nestful_data import Part
from plait.apps.evaluation._types import Item
from plait.retrieval import Usage
from plait.retrieval._entries import ToolEntry
from plait.retrieval._text import tool_text
from plait.tools import Tool


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """What an index is built of, and what it is tested with."""

    tools: tuple[ToolEntry, ...]
    """All tools."""
    usages: tuple[Usage, ...]
    """Requests that the index may know."""
    tests: tuple[Usage, ...]
    """Requests that it has never seen, with the tools that are right."""


@dataclass(frozen=True, slots=True)
class Pool:
    """All tools and all requests, before they are divided."""

    tools: tuple[ToolEntry, ...]
    """Functions of different names or descriptions; of one name, the later ones with ``#`` and a number."""
    requests: tuple[Usage, ...]
    """Requests with the functions that they call, each once."""


def bfcl_pool(benchmark: BFCLBenchmark) -> Pool:
    """The functions of all items, and the requests of those that call some."""
    items = benchmark.items()
    named = _Names()
    for item in items:
        for function in item.data["function"]:
            if (function["name"], function["description"]) not in named.names:
                tool = Tool.from_schema(function_definition(function))
                named.add(function["name"], function["description"], tool_text(tool))
    return Pool(
        tuple(named.tools), tuple(_merged(_request(item, named.names) for item in items if item.gold))
    )


def nestful_pool(parts: Iterable[Part]) -> Pool:
    """The tools of these parts of NESTFUL, and the requests with all tools of their plans."""
    named = _Names()
    requests: list[Usage] = []
    for part in parts:
        for tool in part.tools.values():
            if (tool.name, tool.description) not in named.names:
                named.add(tool.name, tool.description, tool_text(tool))
        for sample in part.samples:
            called = dict.fromkeys(call.name for call in sample.calls)
            keys = [(name, part.tools[name].description) for name in called]
            requests.append(Usage(sample.input.strip(), tuple(named.names[key] for key in keys)))
    return Pool(tuple(named.tools), tuple(_merged(request for request in requests if request.tools)))


class _Names:
    """Tools by names that are all different: of one name, the later ones have ``#`` and a number."""

    def __init__(self) -> None:
        self.names: dict[tuple[str, str], str] = {}
        """By name and description."""
        self.tools: list[ToolEntry] = []
        self._n_of_name: dict[str, int] = defaultdict(int)

    def add(self, name: str, description: str, text: str) -> None:
        """Take a tool in."""
        self._n_of_name[name] += 1
        number = self._n_of_name[name]
        self.names[name, description] = name if number == 1 else f"{name}#{number}"
        self.tools.append(ToolEntry(self.names[name, description], text))


def divided(pool: Pool, seed: int) -> RetrievalSet:
    """One half of each function's requests as usages and the other half as tests; by the seed, which.

    A request that calls several functions is on one side for all of them, so that halves are as even as
    that allows; of an odd number, usages have one more. Functions that one request alone calls take no part.
    """
    of_tool: dict[str, list[int]] = defaultdict(list)
    for number, request in enumerate(pool.requests):
        for name in request.tools:
            of_tool[name].append(number)
    is_usage: dict[int, bool] = {}
    rng = Random(seed)  # noqa: S311
    for name in sorted(of_tool):
        numbers = of_tool[name]
        if len(numbers) < 2:
            continue
        rng.shuffle(numbers)
        n_missing = (len(numbers) + 1) // 2 - sum(is_usage.get(number, False) for number in numbers)
        for number in numbers:
            if number not in is_usage:
                is_usage[number] = n_missing > 0
                n_missing -= is_usage[number]
    sides = {
        side: [pool.requests[n] for n in sorted(is_usage) if is_usage[n] is side] for side in (True, False)
    }
    return RetrievalSet(pool.tools, tuple(sides[True]), tuple(sides[False]))


def _request(item: Item, names: dict[tuple[str, str], str]) -> Usage:
    described = {function["name"]: function["description"] for function in item.data["function"]}
    called: Sequence[str] = [name for call in item.gold for name in call]
    return Usage(item.query, tuple(dict.fromkeys(names[name, described[name]] for name in called)))


def _merged(requests: Iterable[Usage]) -> list[Usage]:
    """Requests of the same words as one, so that none is on both sides."""
    found: dict[str, Usage] = {}
    for request in requests:
        key = " ".join(request.query.casefold().split())
        first = found.get(key, request)
        found[key] = Usage(first.query, tuple(dict.fromkeys((*first.tools, *request.tools))))
    return list(found.values())
