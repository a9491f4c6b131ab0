"""Worked examples for the planner's prompt, none of them from the benchmarks' data."""

from __future__ import annotations

from typing import Any

from plait.apps.evaluation._qa_data import QAKind, suffixed
from plait.planners import Plan, PlanExample, Ref, Task, make_text


def qa_examples(kind: QAKind) -> tuple[PlanExample, ...]:
    """The examples of ``kind``."""
    return {"hotpotqa": _HOTPOTQA, "movie": _MOVIE, "parallelqa": _PARALLELQA}[kind]


def _example(kind: QAKind, question: str, *calls: dict[str, Any]) -> PlanExample:
    tasks = (
        Task(k, "search" if "query" in arguments else "math", arguments)
        for k, arguments in enumerate(calls, 1)
    )
    return PlanExample(suffixed(kind, question), Plan(tuple(tasks)))


def _search(query: str) -> dict[str, Any]:
    return {"query": query}


def _math(*problem: str | Ref, context: tuple[int, ...] = ()) -> dict[str, Any]:
    text = {"problem": make_text(problem)}
    return {**text, "context": [Ref(k) for k in context]} if context else text


_PARALLELQA = (
    _example(
        "parallelqa",
        "Which is longer, the Loire or the Tagus?",
        _search("Loire"),
        _search("Tagus"),
    ),
    _example(
        "parallelqa",
        "If Lake Garda had 20% less area and Lake Balaton half as much again, which would be smaller?",
        _search("Lake Garda"),
        _search("Lake Balaton"),
        _math("area of Lake Garda in square km with 20% less", context=(1,)),
        _math("area of Lake Balaton in square km times 1.5", context=(2,)),
    ),
    _example(
        "parallelqa",
        "By how many metres would the Matterhorn, were it 5% higher, differ from the higher one of the Eiger "
        "and Mont Ventoux?",
        _search("Matterhorn"),
        _search("Eiger"),
        _search("Mont Ventoux"),
        _math("height of the Matterhorn in metres if it were 5% higher", context=(1,)),
        _math("height of the Eiger in metres", context=(2,)),
        _math("height of Mont Ventoux in metres", context=(3,)),
        _math("abs(", Ref(4), " - max(", Ref(5), ", ", Ref(6), "))"),
    ),
)
_HOTPOTQA = (
    _example(
        "hotpotqa",
        "Were the composers Clara Schumann and Fanny Hensel both born in Leipzig?",
        _search("Clara Schumann"),
        _search("Fanny Hensel"),
    ),
    _example(
        "hotpotqa",
        "Which novel came out first, Effi Briest or The Leopard?",
        _search("Effi Briest"),
        _search("The Leopard"),
    ),
)
_MOVIE = (
    _example(
        "movie",
        "Find a movie similar to Waxworks, Nosferatu, Faust\nOptions:\nThe Golem\nTop Hat",
        *map(_search, ("Waxworks", "Nosferatu", "Faust", "The Golem", "Top Hat")),
    ),
    _example(
        "movie",
        "Find a movie similar to Key Largo, Rio Bravo\nOptions:\nDuck Soup\nRed River\nGaslight",
        *map(_search, ("Key Largo", "Rio Bravo", "Duck Soup", "Red River", "Gaslight")),
    ),
)
