"""Usages from the user's own requests: which the history has, and which the user wants to be learnt."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence, Set
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
    """The requests that went well, with their tools, each once.

    A request went well if it was answered, and every call that was planned for it was made, succeeded and was
    not taken back: of another one the calls that were made are not the tools that it needs. What an older
    plait has recorded does not tell, and is passed over.
    """
    from plait.retrieval import Usage

    turns: dict[int, list[Action]] = {}
    for action in actions:
        if action.turn is not None:
            turns.setdefault(action.turn, []).append(action)
    found: dict[str, Usage] = {}
    for calls in turns.values():
        request = calls[0].request
        if request and all(map(_went_well, calls)):
            found[request] = Usage(request, tuple(dict.fromkeys(call.tool for call in calls)))
    return list(found.values())


def _went_well(call: Action) -> bool:
    return call.request_status == "done" and call.status == "ok" and call.undone_at is None


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
