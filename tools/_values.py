"""Values on their way: lenient reading of arguments, and results as JSON or text."""

from __future__ import annotations

import json
import time as clock
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, tzinfo
from pathlib import PurePath
from typing import Any
from uuid import UUID

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

_CLASSES = {"date-time": datetime, "date": date, "time": time}
_LONGEST_DATE = 100


def coerce(type_: Type, value: Any) -> Any:
    """``value`` in the shape that ``type_`` wants, where there is only one sensible reading of it.

    A single value becomes a list, a number the string that is wanted, a date in words of any common
    notation an ISO string, an enumeration's member its exact spelling, a list or object that was
    written as a JSON string itself. Everything else is left for validation to judge.
    """
    read = _READERS.get(type(type_))
    return value if read is None else read(type_, value)


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
    if value is not None and not isinstance(value, (str, int, float)):
        return value
    if any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in type_.values):
        return value
    written = _written(value)
    if written is None:
        return value
    wanted = written.strip().casefold()
    found = [v for v in type_.values if v is not None and str(v).casefold() == wanted]
    return found[0] if len(found) == 1 else value


def _as_string(type_: StringType, value: Any) -> Any:
    kind = type_.format or ""
    if isinstance(value, (datetime, date, time)):
        if isinstance(value, datetime) and kind in ("date", "time"):
            value = value.date() if kind == "date" else value.timetz()
        return value if type(value) is _CLASSES.get(kind) else value.isoformat()
    if isinstance(value, (PurePath, UUID)):
        return str(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _written(value) or value
    if isinstance(value, str) and kind in _CLASSES:
        return _iso(value, kind)
    return value


def _as_number(type_: NumberType, value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


_READERS: Mapping[type[Type], Callable[[Any, Any], Any]] = {
    ArrayType: _as_list,
    EnumType: _as_member,
    NumberType: _as_number,
    ObjectType: _as_object,
    StringType: _as_string,
    UnionType: _as_union,
}


def _written(value: str | float | None) -> str | None:
    try:
        return str(value)
    except ValueError:  # more digits than Python writes out
        return None


def _iso(text: str, kind: str) -> str:
    """``text`` as an ISO date-time, date or time, if it names one completely; otherwise unchanged."""
    from dateutil import parser

    if len(text) > _LONGEST_DATE:
        return text
    hour = 1 if kind == "time" else 0  # the time of a date that names none is midnight
    try:  # what two different "today"s read alike leaves no part to guess
        first = parser.parse(text, default=datetime(2001, 1, 1), tzinfos=_zone)
        second = parser.parse(text, default=datetime(2002, 2, 2, hour), tzinfos=_zone)
        read = first.timetz() if kind == "time" else first.date() if kind == "date" else first
        alike = first.timetz() == second.timetz() if kind == "time" else first == second
        return read.isoformat() if alike else text
    except (ValueError, OverflowError, TypeError):
        return text


def _zone(name: str | None, offset_s: int | None) -> tzinfo | None:
    """The zone that a text names; without this, dateutil would drop those it does not know."""
    from dateutil import tz

    if offset_s is not None:
        return tz.tzoffset(name, offset_s)
    if name is None:
        return None
    if name in clock.tzname:
        return tz.tzlocal()
    raise ValueError(f"the time zone {name!r} is not known")


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
    """``value`` as JSON types; what has no JSON form becomes its ``repr``. It never raises."""
    from pydantic_core import from_json, to_json

    try:
        text = to_json(value, fallback=_repr, bytes_mode="base64", inf_nan_mode="strings")
        return from_json(text, allow_inf_nan=False)
    except Exception:  # noqa: BLE001  (circular, or its own serializer failed, with any exception)
        return _printable(_repr(value))


def to_text(value: Any) -> str:
    """``value`` as it stands in a message or a prompt: text as it is, the rest as JSON. It never raises."""
    if isinstance(value, str):
        return _printable(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    jsonable = to_jsonable(value)
    return jsonable if isinstance(jsonable, str) else json.dumps(jsonable, ensure_ascii=False)


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  (its own __repr__ may raise anything)
        return f"<{type(value).__name__}>"


def _printable(text: str) -> str:
    """``text``, with what UTF-8 cannot say (names of files that are no text) escaped."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text
