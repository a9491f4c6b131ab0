"""The calls of a plan, or of a right answer that is one, as a report shows them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plait.apps.evaluation._types import PlannedCall

# In a kept plan, a dollar that begins no reference is escaped. In a right plan none is: there, $k may
# stand anywhere in a string, or $label where calls have labels.
_WHOLE = re.compile(r"\$\{?(\w+)\}?(?:[.\[].*)?\$?", re.DOTALL)
_IN_PLANNED = re.compile(r"\\\$|\$\{([0-9]+)")
_IN_GOLD = re.compile(r"\$\{?([0-9]+|[A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class Call:
    """A node of a plan's graph."""

    number: int
    tool: str
    arguments: tuple[tuple[str, str], ...]
    """Names and values, written as in the plan language."""
    needs: frozenset[int]
    """Numbers of earlier calls whose results the arguments use."""

    def __str__(self) -> str:
        return f"{self.number}. {self.tool}({', '.join(f'{name}={value}' for name, value in self.arguments)})"


def planned_calls(plan: Sequence[PlannedCall]) -> tuple[Call, ...]:
    """The calls of a kept plan."""
    known: dict[str, int] = {}
    calls = []
    for call in plan:
        calls.append(_call(call.id, call.tool, call.arguments, known, _IN_PLANNED))
        known[str(call.id)] = call.id
    return tuple(calls)


def gold_calls(gold: Any) -> tuple[Call, ...] | None:
    """The calls of a right answer that is a list of them; ``None`` where it is none.

    A call is ``{"tool", "args"}``, or ``{"name", "arguments"}`` and perhaps the ``"label"`` that others
    refer to it by.
    """
    if not isinstance(gold, list) or not all(map(_is_call, gold)):
        return None
    known: dict[str, int] = {}
    calls = []
    for number, call in enumerate(gold, 1):
        calls.append(_call(number, _tool(call), _arguments(call) or {}, known, _IN_GOLD))
        known[str(number)] = number
        if isinstance(call.get("label"), str):
            known[call["label"].removeprefix("$")] = number
    return tuple(calls)


def _is_call(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(_tool(value), str)
        and isinstance(_arguments(value), (dict, type(None)))
    )


def _tool(call: Mapping[str, Any]) -> Any:
    return call.get("tool", call.get("name"))


def _arguments(call: Mapping[str, Any]) -> Any:
    return call.get("args", call.get("arguments"))


def _call(
    number: int,
    tool: str,
    arguments: Mapping[str, Any],
    known: Mapping[str, int],
    embedded: re.Pattern[str],
) -> Call:
    used = {name for text in _texts(arguments) for name in _references(text, embedded)}
    printed = tuple((name, _printed(value, known)) for name, value in arguments.items())
    return Call(number, tool, printed, frozenset(known[name] for name in used if name in known))


def _references(text: str, embedded: re.Pattern[str]) -> Iterator[str]:
    whole = _WHOLE.fullmatch(text)
    if whole:
        yield whole[1]
    yield from (found[1] for found in embedded.finditer(text) if found[1])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _printed(value: Any, known: Mapping[str, int]) -> str:
    if isinstance(value, str):
        whole = _WHOLE.fullmatch(value)
        if whole and whole[1] in known:
            return value
        return json.dumps(value.replace("\\$", "$"), ensure_ascii=False)
    if isinstance(value, Mapping):
        items = (f"{json.dumps(str(k), ensure_ascii=False)}: {_printed(v, known)}" for k, v in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_printed(item, known) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)
