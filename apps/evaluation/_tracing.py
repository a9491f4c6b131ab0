"""Made-up results, and finding them again in the arguments of later calls.

Planners that see results (react, native) pass values on where the compiler passes references. A
made-up result is unique in its run, so that such a value tells which call it came from.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from plait.apps.evaluation._types import Benchmark
from plait.errors import ToolArgumentError
from plait.orchestrator import Run
from plait.planners import Plan, Ref, Task, TaskOutcome, Template, make_text
from plait.tools import Tool

_MIN_CHARS = 4
"""Shorter values could be in an argument by chance."""
_LETTER = "0-9a-z_\u00df-\u058f"
"""Of scripts that put spaces between words: where one follows another, the word goes on."""


@dataclass(slots=True)
class StubExecutor:
    """Validates a call, waits, and makes up a result, in the place of calling the tool."""

    benchmark: Benchmark
    latency_s: float = 0.0
    """Seconds that a call takes."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def __call__(self, tool: Tool, arguments: Mapping[str, Any]) -> Any:
        """The made-up result.

        Raises:
            ToolArgumentError: the arguments are wrong.
        """
        number = next(self._numbers)
        checked = tool.validate(arguments)
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        return self.benchmark.stub(tool, checked, number)


def traced_plan(run: Run) -> Plan:
    """All calls of ``run`` that reached a tool, numbered from 1, with references where results were used.

    Where nothing was carried out, these are all tasks that were planned.
    """
    if not run.tasks:
        return run.plan
    outcomes = {outcome.task.id: outcome for outcome in run.tasks}
    numbers: dict[int, int] = {}
    made: dict[str, int] = {}
    tracer = _Tracer()
    tasks: list[Task] = []
    for task in run.plan:
        outcome = outcomes[task.id]
        if outcome.reused and outcome.ok:  # what needs it needs the call that was made
            numbers[task.id] = made[_call_key(outcome)]
        elif _reached_tool(outcome):
            number = numbers[task.id] = made[_call_key(outcome)] = len(tasks) + 1
            arguments = {name: tracer.traced(value, numbers) for name, value in task.arguments.items()}
            tasks.append(Task(number, task.tool, arguments))
            if outcome.ok:
                tracer.add(Ref(number), outcome.result)
    return Plan(tuple(tasks))


def _reached_tool(outcome: TaskOutcome) -> bool:
    """Whether a call was made; if so, whatever it refers to was made, or reused, before."""
    return outcome.started_s is not None and not isinstance(outcome.error, ToolArgumentError)


def _call_key(outcome: TaskOutcome) -> str:
    """The same for the same call."""
    return json.dumps([outcome.task.tool, outcome.arguments], sort_keys=True, default=repr)


class _Tracer:
    def __init__(self) -> None:
        self._sources: dict[str, Ref] = {}

    def add(self, ref: Ref, result: Any) -> None:
        """Remember every value in ``result``; of two equal ones, where it came from first."""
        for path, value in _leaves(result):
            text = _folded(value)
            if len(text) >= _MIN_CHARS:
                self._sources.setdefault(text, Ref(ref.task, (*ref.path, *path)))

    def traced(self, value: Any, numbers: Mapping[int, int]) -> Any:
        """``value`` with references renumbered, and where it holds known results, references to them."""
        if isinstance(value, Ref):
            return Ref(numbers[value.task], value.path)
        if isinstance(value, Template):
            return make_text(_flat(self.traced(part, numbers) for part in value.parts))
        if isinstance(value, Mapping):
            return {key: self.traced(item, numbers) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.traced(item, numbers) for item in value]
        if isinstance(value, str):
            return self._in_text(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._sources.get(_folded(value), value)
        return value

    def _in_text(self, text: str) -> str | Ref | Template:
        if not self._sources:
            return text
        known = "|".join(_pattern(source) for source in sorted(self._sources, key=len, reverse=True))
        # Folding may make one character into several: where each of them stood.
        places = [at for at, char in enumerate(text) for _ in char.casefold()] + [len(text)]
        parts: list[str | Ref] = []
        end = 0
        for found in re.finditer(known, text.casefold()):
            parts += [text[end : places[found.start()]], self._sources[_folded(found[0])]]
            end = places[found.end()]
        return make_text([*parts, text[end:]])


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield path, value


def _flat(parts: Iterable[Any]) -> Iterator[str | Ref]:
    for part in parts:
        if isinstance(part, Template):
            yield from part.parts
        else:
            yield part


def _folded(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 10001.0 is 10001
    return " ".join(str(value).casefold().split())


def _pattern(folded: str) -> str:
    """Finds ``folded`` where it is not a part of a longer word or number."""
    before = rf"(?<![{_LETTER}])(?<!\d\.)" if re.match(f"[{_LETTER}]", folded[0]) else ""
    after = rf"(?![{_LETTER}])(?!\.\d)" if re.match(f"[{_LETTER}]", folded[-1]) else ""
    return before + r"\s+".join(re.escape(word) for word in folded.split()) + after
