"""The incremental parser of the JSON form of a plan."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from typing import Any

from plait.planners._plan import Task, Value
from plait.planners._scanner import MAX_CHARS, MAX_TASKS, BracketScanner, Malformed, TextParser
from plait.planners._strings import JSON_STRINGS, interpolated

_PROLOGUE = '{"tasks":['
_KEY = range(_PROLOGUE.index('"') + 1, _PROLOGUE.index(":"))
_TASK_KEYS = {"tool", "arguments"}
_SHAPE = 'a task is {"tool": name, "arguments": {...}}'


class JSONPlanParser(TextParser):
    r"""Reads the JSON form of a plan, ``{"tasks": [{"tool": ..., "arguments": {...}}, ...]}``, as it arrives.

    Tasks are numbered in order from ``first``. In strings, references are written as in the plan
    language; ``\$`` is a dollar that begins none. What stands before the first brace is passed over.

    Args:
        first: number of the first task.
        earlier: numbers of tasks of earlier plans that this one may refer to.
        max_tasks: more tasks than this are an error.
        max_chars: more text than this is an error.
    """

    def __init__(
        self,
        *,
        first: int = 1,
        earlier: Collection[int] = (),
        max_tasks: int = MAX_TASKS,
        max_chars: int = MAX_CHARS,
    ) -> None:
        super().__init__(earlier=earlier, max_tasks=max_tasks, max_chars=max_chars)
        self._next = first
        self._n_prologue = 0
        self._allowed = "{]"
        self._scanner: BracketScanner | None = None

    def _step(self, char: str) -> Task | None:
        if self._scanner is not None:
            self._piece.append(char)
            return self._complete() if self._scanner.closes(char) else None
        if self._n_prologue < len(_PROLOGUE):
            self._in_prologue(char)
        elif not char.isspace():
            self._between_tasks(char)
        return None

    def _in_prologue(self, char: str) -> None:
        expected = _PROLOGUE[self._n_prologue]
        if char == expected:
            self._n_prologue += 1
        elif self._n_prologue and (self._n_prologue in _KEY or not char.isspace()):
            raise Malformed(f'expected {expected!r}, as in {{"tasks": [...]}}, not {char!r}')

    def _between_tasks(self, char: str) -> None:
        if char not in self._allowed:
            raise Malformed(f"expected {' or '.join(map(repr, self._allowed))}, not {char!r}")
        if char == "{":
            self._begin, self._piece = self._position, [char]
            self._scanner = BracketScanner("{", quotes='"')
        self._allowed = {",": "{", "]": "}"}.get(char, ",]")
        self.joined = char == "}"

    def _complete(self) -> Task | None:
        text = "".join(self._piece)
        entry = _decoded(text)
        tool, arguments = entry.get("tool"), entry.get("arguments", _Object())
        if not isinstance(tool, str) or not isinstance(arguments, _Object) or entry.keys() - _TASK_KEYS:
            raise Malformed(_SHAPE, 0)
        twice = entry.twice or arguments.twice
        if twice is not None:
            raise Malformed(f"{twice!r} is given twice", 0)
        self._scanner = None
        if tool == "join":
            self.joined = True
            return None
        self._check(tool, 0)
        task = Task(self._next, tool, {name: self._value(v, text) for name, v in arguments.items()})
        self._next += 1
        return self._added(task)

    def _value(self, value: Any, text: str) -> Value:
        if isinstance(value, str):
            try:
                return interpolated(value, self._known, JSON_STRINGS)
            except Malformed as problem:
                # Where it stands in the text, unless it is written with escapes there.
                written = value[problem.at or 0 :].partition("}")[0]
                raise Malformed(problem.reason, max(text.find(written), 0)) from None
        if isinstance(value, dict):
            return {key: self._value(item, text) for key, item in value.items()}
        return [self._value(item, text) for item in value] if isinstance(value, list) else value

    def _end(self) -> None:
        raise Malformed("the plan ends in the middle")


class _Object(dict[str, Any]):
    """A JSON object, and the first of its keys that it has twice."""

    twice: str | None = None


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    result = _Object(pairs)
    if len(result) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        result.twice = next(key for key in counts if counts[key] > 1)
    return result


def _constant(name: str) -> float:
    if name == "NaN":
        raise ValueError("NaN is no value")
    return float(name)


def _decoded(text: str) -> _Object:
    try:
        decoded = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, strict=False)
    except json.JSONDecodeError as error:
        raise Malformed(f"no JSON: {error.msg}", error.pos) from None
    except ValueError as error:
        raise Malformed(f"no JSON: {error}", 0) from None
    assert isinstance(decoded, _Object)  # it begins with a brace
    return decoded
