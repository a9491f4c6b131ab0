"""Usages from the user's own requests: which the history has, and which the user wants to be learnt."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence, Set
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from plait.apps._approval import can_ask, read_answer
from plait.apps._output import Output
from plait.errors import ConfigurationError

if TYPE_CHECKING:
    from plait.apps.assistant import Action
    from plait.retrieval import Tool2Vec, Usage


def learnable(index: Tool2Vec) -> list[Usage]:
    """The requests in the history that went well and of which the index does not know all, the oldest first.

    Raises:
        ConfigurationError: there is no history, or it cannot be read.
    """
    from plait.apps.assistant import ActionLog, history_path

    path = history_path()
    if path is None:
        raise ConfigurationError("PLAIT_HISTORY is off, so there is no history; name a file with it")
    with ActionLog(path) as log:
        actions = log.actions()[::-1]
    known = {usage.query: set(usage.tools) for usage in index.usages}
    return [
        usage
        for usage in usages_of(actions)
        if all(name in index for name in usage.tools)
        and not set(usage.tools) <= known.get(usage.query, set())
    ]


def usages_of(actions: Iterable[Action]) -> list[Usage]:
    """The requests of which every call was made and not taken back, with their tools, each once."""
    from plait.retrieval import Usage

    found: dict[str, Usage] = {}
    for request, group in groupby(actions, key=lambda action: action.request):
        calls = list(group)
        if request and all(call.status == "ok" and call.undone_at is None for call in calls):
            found[request] = Usage(request, tuple(dict.fromkeys(call.tool for call in calls)))
    return list(found.values())


def choose(usages: Sequence[Usage], folder: Path, output: Output) -> list[Usage]:
    """Those that the user wants to be learnt; none where there is nobody to ask."""
    for number, usage in enumerate(usages, 1):
        output.note(f"{number}. {usage.query}  ->  {', '.join(usage.tools)}")
    output.note(f"What you choose is kept in {folder}, on this machine, and nowhere else.")
    if not can_ask():
        output.note("Nothing was learnt: run this at a terminal, or with --yes.")
        return []
    known = {str(number): number for number in range(1, len(usages) + 1)}
    answer: bool | Set[int] | None = None
    while answer is None:
        output.console.print(Text("Learn from these? y, n, or the numbers of those to learn from:"), end=" ")
        answer = read_answer(sys.stdin.readline(), known)
    if isinstance(answer, bool):
        return list(usages) if answer else []
    return [usage for number, usage in enumerate(usages, 1) if number in answer]
