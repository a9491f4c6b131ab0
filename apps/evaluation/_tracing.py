"""Made-up results, and finding them again in the arguments of later calls.

Planners that see results (react, native) pass values on where the compiler passes references. A
made-up result is unique in its run, so that such a value tells which call it came from.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from plait.apps.evaluation._types import Benchmark
from plait.errors import ToolArgumentError, UnknownToolError
from plait.orchestrator import Run
from plait.planners import Plan, Ref, Task, Template, make_text
from plait.tools import Tool

_MIN_CHARS = 4
"""Shorter values could be in an argument by chance."""


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
    outcomes = {outcome.task.id: outcome for outcome in run.tasks}
    unheard = {
        k
        for k, o in outcomes.items()
        if isinstance(o.error, (ToolArgumentError, UnknownToolError)) or o.reused
    }
    used = {k for task in run.plan if task.id not in unheard for k in task.dependencies}
    kept = [task for task in run.plan if task.id not in unheard or task.id in used]
    numbers = {task.id: number for number, task in enumerate(kept, 1)}
    tracer = _Tracer()
    tasks = []
    for task in kept:
        arguments = {name: tracer.traced(value, numbers) for name, value in task.arguments.items()}
        tasks.append(Task(numbers[task.id], task.tool, arguments))
        if task.id in outcomes and outcomes[task.id].ok:
            tracer.add(Ref(numbers[task.id]), outcomes[task.id].result)
    return Plan(tuple(tasks))


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
        parts: list[str | Ref] = []
        end = 0
        for found in re.finditer(rf"(?<!\w)(?:{known})(?!\w)", text, re.IGNORECASE):
            parts += [text[end : found.start()], self._sources[_folded(found[0])]]
            end = found.end()
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
    return " ".join(str(value).split()).casefold()


def _pattern(folded: str) -> str:
    return r"\s+".join(re.escape(word) for word in folded.split())
