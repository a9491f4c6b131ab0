"""Reads a file of requests with their right plans: JSON lines, each checked before anything runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from plait.apps.evaluation._values import date_kind
from plait.errors import ConfigurationError, UnknownToolError
from plait.planners import Plan, Ref, Task, Value, references
from plait.planners._scanner import Malformed
from plait.planners._strings import JSON_STRINGS, interpolated
from plait.tools import StringType, Tool, Toolbox
from plait.tools._values import coerce

_ANY_CALL = range(1, 10**9)
_READERS: dict[str, Callable[[str], object]] = {
    "date-time": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
}
_LOOSE_REFERENCE = re.compile(r"(?<![\\$\w])\$(?P<call>[0-9]{1,9})(?![0-9]|[.,][0-9])")


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the file."""

    id: str
    now: datetime | None
    query: str
    plan: Plan
    """The right plan, numbered from 1."""
    calls: list[dict[str, Any]]
    """The same as it stands in the file."""


class _Call(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    tool: str
    args: dict[str, Any]


class _Line(BaseModel):
    """Other keys, such as remarks, are passed over."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str
    now: datetime | None
    query: str
    plan: list[_Call]


def read_requests(path: Path, toolbox: Toolbox) -> list[Request]:
    r"""The requests in ``path``, in order.

    In right plans ``$k`` is the result of call k, counted from 1, wherever it stands in a string; ``\$`` is
    a dollar that begins no reference.

    Raises:
        ConfigurationError: naming the line and what is wrong with it.
    """
    first_lines: dict[str, int] = {}
    requests = []
    for number, line in _lines(path):
        try:
            request = _request(line, toolbox)
        except _WrongLineError as problem:
            raise ConfigurationError(f"{path}, line {number}: {problem}") from None
        if request.id in first_lines:
            raise ConfigurationError(
                f"{path}, line {number}: the id {request.id!r} is line {first_lines[request.id]}'s already; "
                "ids must be unique"
            )
        first_lines[request.id] = number
        requests.append(request)
    if not requests:
        raise ConfigurationError(f"{path} holds no requests; give a file with one JSON object a line")
    return requests


class _WrongLineError(Exception):
    """What is wrong with a line."""


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error}); give a file with one JSON object a line, in UTF-8"
        ) from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


def _request(text: str, toolbox: Toolbox) -> Request:
    try:
        decoded = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise _WrongLineError(f"it is no JSON ({error})") from None
    try:
        line = _Line.model_validate(decoded)
    except ValidationError as error:
        raise _WrongLineError(_first_problem(error)) from None
    tasks = tuple(_task(number, call, toolbox) for number, call in enumerate(line.plan, 1))
    calls = [call.model_dump() for call in line.plan]
    return Request(line.id, line.now, line.query, Plan(tasks), calls)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no value")


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    what = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
    return (
        f"{where + ': ' if where else ''}{what}; "
        'a line is {"id", "now", "query", "plan": [{"tool", "args"}, ...]}'
    )


def _task(number: int, call: _Call, toolbox: Toolbox) -> Task:
    try:
        tool = toolbox[call.tool]
    except UnknownToolError as error:
        raise _WrongLineError(f"call {number}: {error}") from None
    arguments = {name: _value(value, number) for name, value in call.args.items()}
    for name, value in arguments.items():
        _check_argument(number, tool, name, value)
    return Task(number, call.tool, arguments)


def _check_argument(number: int, tool: Tool, name: str, value: Value) -> None:
    where = f"call {number} of {tool.name}"
    found = next((f for f in tool.arguments.fields if f.name == name), None)
    if found is None and tool.arguments.extra is None:
        known = ", ".join(f.name for f in tool.arguments.fields) or "none"
        raise _WrongLineError(f"{where} has the argument {name!r}; it takes {known}")
    kind = date_kind(found.type) if found else None
    if kind is not None and isinstance(value, str) and not _is_date(value, kind):
        raise _WrongLineError(f"{name} of {where} is {value!r}, which is no {kind}")
    for reference in references(value):
        if reference.task >= number:
            raise _WrongLineError(
                f"{name} of {where} refers to ${reference.task}, which is not the result of an earlier call; "
                f"write \\${reference.task} for a text"
            )


def _is_date(text: str, kind: str) -> bool:
    try:
        _READERS[kind](coerce(StringType(kind), text))
    except ValueError:
        return False
    return True


def _value(value: Any, number: int) -> Value:
    """``value`` with references where the strings of call ``number`` have them."""
    if isinstance(value, dict):
        return {key: _value(item, number) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item, number) for item in value]
    if not isinstance(value, str):
        return value
    try:
        read = interpolated(value, _ANY_CALL, JSON_STRINGS)
        return (
            read if isinstance(read, Ref) else interpolated(_braced(value, number), _ANY_CALL, JSON_STRINGS)
        )
    except Malformed as problem:
        raise _WrongLineError(f"call {number}: {problem.reason}") from None


def _braced(text: str, number: int) -> str:
    """``text`` with braces around references to earlier calls that stand in it without them."""

    def braced(found: re.Match[str]) -> str:
        return f"${{{found['call']}}}" if 0 < int(found["call"]) < number else found[0]

    return _LOOSE_REFERENCE.sub(braced, text)
