"""What a plan is: tasks that call tools, and references from one to another.

The printed form is the canonical one; printing a plan and parsing it gives the same plan.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

_BARE_FIELD = re.compile(r"[A-Za-z_]\w*")
_BARE_ARGUMENT = re.compile(r"[A-Za-z_][\w.\-]*")
# A dollar that would begin a reference, or would with the reference that follows the text.
_MISLEADING_DOLLAR = re.compile(r"\$(?=\{|\Z)")
# One that would with its digits be a whole reference.
_LONE_DOLLAR = re.compile(r"\A\$(?=[0-9])")
_PLAIN = frozenset({str, int, float, bool, type(None)})
_BACKSLASHED = r"\\\g<0>"


@dataclass(frozen=True, slots=True)
class Ref:
    """``$k``: the result of task ``task``, or what ``path`` (fields and indices) reaches in it."""

    task: int
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return f"${self.task}{_print_path(self.path)}"


@dataclass(frozen=True, slots=True)
class Template:
    """A string with results in it: texts and references in turn, at least one of each."""

    parts: tuple[str | Ref, ...]


Value: TypeAlias = Any
"""``None``, bool, int, float, str, :class:`Ref`, :class:`Template`, or lists and dicts of these."""


@dataclass(frozen=True, slots=True)
class Task:
    """One line of a plan: call ``tool`` with ``arguments``."""

    id: int
    """The number by which other tasks refer to its result; positive, unique in a run."""
    tool: str
    """The tool's name."""
    arguments: Mapping[str, Value]
    """Arguments by name; references stand where results will."""

    @property
    def dependencies(self) -> frozenset[int]:
        """Numbers of the tasks whose results the arguments use."""
        found: set[int] = set()
        _collect(self.arguments, found)
        return frozenset(found)

    def __str__(self) -> str:
        printed = (f"{print_argument_name(n)}={print_value(v)}" for n, v in self.arguments.items())
        return f"{self.id}. {self.tool}({', '.join(printed)})"


@dataclass(frozen=True, slots=True)
class Plan:
    """A directed acyclic graph of tasks, in the order in which they were planned."""

    tasks: tuple[Task, ...] = ()

    def __str__(self) -> str:
        last = max((task.id for task in self.tasks), default=0)
        return "\n".join([*map(str, self.tasks), f"{last + 1}. join()"])

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def sinks(self) -> tuple[Task, ...]:
        """The tasks whose results no other task uses."""
        used = {k for task in self.tasks for k in task.dependencies}
        return tuple(task for task in self.tasks if task.id not in used)


def make_text(parts: Iterable[str | Ref]) -> str | Ref | Template:
    """What a string of these parts is: plain text, one reference, or a template."""
    merged: list[str | Ref] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    if not merged:
        return ""
    return merged[0] if len(merged) == 1 else Template(tuple(merged))


def references(value: Value) -> Iterator[Ref]:
    """Every reference in ``value``, in the order of the text."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Template):
        yield from (part for part in value.parts if isinstance(part, Ref))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from references(item)


def _collect(value: Value, found: set[int]) -> None:
    """Add the tasks that ``value`` refers to; :func:`references` for the scheduler, which calls it often."""
    kind = type(value)
    if kind is Ref:
        found.add(value.task)
    elif kind is dict:
        for item in value.values():
            _collect(item, found)
    elif kind is list:
        for item in value:
            _collect(item, found)
    elif kind not in _PLAIN:
        found.update(ref.task for ref in references(value))


def substitute(value: Value, result_of: Callable[[Ref], Any], to_text: Callable[[Any], str]) -> Any:
    """``value`` with results in the place of references, typed; in templates as text."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Ref):
        return result_of(value)
    if isinstance(value, Template):
        return "".join(p if isinstance(p, str) else to_text(result_of(p)) for p in value.parts)
    if isinstance(value, Mapping):
        return {key: substitute(item, result_of, to_text) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [substitute(item, result_of, to_text) for item in value]
    return value


def print_value(value: Value, *, space: str = " ") -> str:
    """``value`` as the plan language writes it, with ``space`` after commas and colons.

    Raises:
        ValueError: not-a-number has no written form.
        TypeError: it is no value of the plan language.
    """
    if isinstance(value, Ref):
        return str(value)
    if isinstance(value, Template):
        return f'"{"".join(map(_print_part, value.parts))}"'
    if isinstance(value, str):
        return f'"{_LONE_DOLLAR.sub(_BACKSLASHED, _print_part(value))}"'
    if isinstance(value, Mapping):
        entries = (f"{print_key(k)}:{space}{print_value(v, space=space)}" for k, v in value.items())
        return f"{{{f',{space}'.join(entries)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{f',{space}'.join(print_value(v, space=space) for v in value)}]"
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            raise ValueError("not-a-number cannot be written in a plan")
        return "1e999" if value > 0 else "-1e999"
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    raise TypeError(f"{value!r} cannot be written in a plan")


def _print_part(part: str | Ref) -> str:
    if isinstance(part, Ref):
        return f"${{{part.task}{_print_path(part.path)}}}"
    return _MISLEADING_DOLLAR.sub(_BACKSLASHED, _escape(part))


def _escape(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")


def print_key(key: object) -> str:
    """A key of an object as the plan language writes it. It holds no references.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(key, str):
        raise TypeError(f"the key {key!r} cannot be written in a plan; keys are text")
    return f'"{_escape(key)}"'


def print_argument_name(name: str) -> str:
    """The name of an argument as a call writes it: bare, or quoted where it is no word."""
    return name if _BARE_ARGUMENT.fullmatch(name) else print_key(name)


def _print_path(path: tuple[str | int, ...]) -> str:
    return "".join(
        f"[{step}]"
        if isinstance(step, int)
        else f".{step}"
        if _BARE_FIELD.fullmatch(step) and step.isascii()
        else f"['{_escape_path(step)}']"
        for step in path
    )


def _escape_path(step: str) -> str:
    """``step`` with everything but letters, digits and spaces as UTF-16 escapes, to stand in any string."""
    units = step.encode("utf-16-be", "surrogatepass")
    pairs = (units[i : i + 2] for i in range(0, len(units), 2))
    return "".join(
        chr(code) if (chr(code).isalnum() and code < 128) or code == 32 else f"\\u{code:04x}"
        for code in (int.from_bytes(pair) for pair in pairs)
    )
