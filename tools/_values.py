"""Values on their way: lenient reading of arguments, and results as JSON or text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

from plait.tools._types import (
    NULL,
    AnyType,
    ArrayType,
    EnumType,
    NumberType,
    ObjectType,
    StringType,
    Type,
    UnionType,
)


def coerce(type_: Type, value: Any) -> Any:
    """``value`` in the shape that ``type_`` wants, where there is only one sensible reading of it.

    A single value becomes a list, a number the string that is wanted, a date in words of any common
    notation an ISO string, an enumeration's member its exact spelling, a list or object that was
    written as a JSON string itself. Everything else is left for validation to judge.
    """
    match type_:
        case ArrayType():
            return _as_list(type_, value)
        case ObjectType():
            return _as_object(type_, value)
        case UnionType():
            return _as_union(type_, value)
        case EnumType():
            return _as_member(type_, value)
        case StringType():
            return _as_string(type_, value)
        case NumberType() if isinstance(value, str):
            return value.strip()
        case _:
            return value


def _as_list(type_: ArrayType, value: Any) -> Any:
    value = _unquoted(value, list)
    if isinstance(value, (tuple, set, frozenset)):
        value = list(value)
    if value is None:
        return value
    if not isinstance(value, list):
        value = [value]
    types = (*type_.prefix, *[type_.items] * max(0, len(value) - len(type_.prefix)))
    return [coerce(t, item) for t, item in zip(types, value, strict=False)]


def _as_object(type_: ObjectType, value: Any) -> Any:
    value = _unquoted(value, dict)
    if not isinstance(value, Mapping):
        return value
    fields = {f.name: f for f in type_.fields}
    coerced: dict[Any, Any] = {}
    for key, item in value.items():
        known = fields.get(key)
        if known is None:
            coerced[key] = coerce(type_.extra or AnyType(), item)
        elif item is None and not known.required and not _takes_null(known.type):
            continue  # models write null for "left out"
        else:
            coerced[key] = coerce(known.type, item)
    return coerced


def _as_union(type_: UnionType, value: Any) -> Any:
    options = [option for option in type_.options if option != NULL]
    if value is None or len(options) != 1:
        return value
    return coerce(options[0], value)


def _as_member(type_: EnumType, value: Any) -> Any:
    if any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in type_.values):
        return value
    wanted = str(value).strip().casefold()
    found = [v for v in type_.values if v is not None and str(v).casefold() == wanted]
    return found[0] if len(found) == 1 else value


def _as_string(type_: StringType, value: Any) -> Any:
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and type_.format in ("date-time", "date", "time"):
        return _iso(value, type_.format)
    return value


def _iso(text: str, kind: str) -> str:
    """``text`` as an ISO date-time, date or time, if it names one completely; otherwise unchanged."""
    from dateutil import parser

    try:  # what two different "today"s read alike leaves no part to guess
        first = parser.parse(text, default=datetime(2001, 1, 1))
        second = parser.parse(text, default=datetime(2002, 2, 2))
    except (parser.ParserError, OverflowError):
        return text
    if kind == "time":
        return first.timetz().isoformat() if first.timetz() == second.timetz() else text
    if first != second:
        return text
    return first.date().isoformat() if kind == "date" else first.isoformat()


def _unquoted(value: Any, wanted: type) -> Any:
    opening = "[" if wanted is list else "{"
    if not isinstance(value, str) or not value.lstrip().startswith(opening):
        return value
    try:
        decoded = json.loads(value)
    except ValueError:
        return value
    return decoded if isinstance(decoded, wanted) else value


def _takes_null(type_: Type) -> bool:
    if isinstance(type_, UnionType):
        return any(_takes_null(option) for option in type_.options)
    return isinstance(type_, AnyType) or (isinstance(type_, EnumType) and None in type_.values)


def to_jsonable(value: Any) -> Any:
    """``value`` as JSON types; what has no JSON form becomes its ``repr``."""
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(value, fallback=repr, bytes_mode="base64", inf_nan_mode="strings")
    except (PydanticSerializationError, ValueError, RecursionError):
        return repr(value)  # circular, or its own serializer failed


def to_text(value: Any) -> str:
    """``value`` as it stands in a message or a prompt: text as it is, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    jsonable = to_jsonable(value)
    return jsonable if isinstance(jsonable, str) else json.dumps(jsonable, ensure_ascii=False)
