"""Whether the value that a plan gives an argument is the right one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from plait.planners import Ref, Template, Value, references
from plait.tools import AnyType, ArrayType, ObjectType, StringType, Tool, Type, UnionType
from plait.tools._values import coerce

Same: TypeAlias = Callable[[int, int], bool]
"""Whether a task of the right plan, by its number, is (or may be) that task of the other one."""

_MOMENT = StringType("date-time")
_DATES = ("date-time", "date", "time")
_ISO = re.compile(r"\d{4}-\d\d?-\d\d?(?:[T ].*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class MatchRules:
    """What is compared less than exactly, by the arguments' names."""

    free_text: frozenset[str] = frozenset()
    """Wherever the right plan has text here, any text will do that uses the results of the same calls."""
    unordered: frozenset[str] = frozenset()
    """Lists whose order means nothing."""


ASSISTANT_RULES = MatchRules(
    free_text=frozenset({"content", "context", "message", "notes"}),
    unordered=frozenset({"attachments", "cc", "invitees", "meeting_invitees", "recipients"}),
)


def with_defaults(tool: Tool, arguments: Mapping[str, Value]) -> Mapping[str, Value]:
    """``arguments`` with the defaults of those that are left out; ``null`` counts as left out."""
    defaults = {f.name: f.default for f in tool.arguments.fields if not f.required and f.default is not None}
    return {**defaults, **{name: value for name, value in arguments.items() if value is not None}}


def read_moment(text: str) -> datetime | None:
    """The date and time that ``text`` names in any common notation; ``None`` if it names none completely."""
    try:
        return datetime.fromisoformat(coerce(_MOMENT, text))
    except ValueError:
        return None


def date_kind(type_: Type) -> str | None:
    """``"date-time"``, ``"date"`` or ``"time"`` where ``type_`` is one (or ``null``); ``None`` otherwise."""
    if isinstance(type_, UnionType):
        kinds = {date_kind(option) for option in type_.options if isinstance(option, StringType)}
        return kinds.pop() if len(kinds) == 1 else None
    return type_.format if isinstance(type_, StringType) and type_.format in _DATES else None


def is_right(
    gold: Value, value: Value, type_: Type, same: Same, *, free_text: bool = False, unordered: bool = False
) -> bool:
    """Whether ``value`` is what the right plan's ``gold`` asks for.

    ``None`` in the right plan is any text that is not empty, or a reference. A string with references needs
    references to the same calls, whatever else stands in it. A single value equals a list of it.
    """
    if gold is None:
        return _says_something(value)
    if isinstance(gold, Template) or (free_text and isinstance(gold, Ref)):
        return isinstance(value, (Ref, Template)) and _same_sources(gold, value, same)
    if isinstance(gold, Ref):
        return isinstance(value, Ref) and _same_source(gold, value, same)
    if free_text and isinstance(gold, str) and gold.strip():
        return _says_something(value)
    if isinstance(gold, (list, tuple)) or isinstance(value, (list, tuple)):
        return _lists_match(_as_list(gold), _as_list(value), type_, same, unordered)
    if isinstance(gold, Mapping):
        return isinstance(value, Mapping) and all(
            key in value and is_right(item, value[key], _field_type(type_, key), same)
            for key, item in gold.items()
        )
    return _scalars_match(gold, value, type_)


def has_perfect_matching(options: Sequence[Collection[int]]) -> bool:
    """Whether each position can have one of its options that no other position has (Kuhn's algorithm)."""
    holder: dict[int, int] = {}

    def place(position: int, tried: set[int]) -> bool:
        for option in options[position]:
            if option in tried:
                continue
            tried.add(option)
            if option not in holder or place(holder[option], tried):
                holder[option] = position
                return True
        return False

    return all(place(position, set()) for position in range(len(options)))


def _says_something(value: Value) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    if isinstance(value, (list, tuple)):
        return any(_says_something(item) for item in value)
    return value is not None


def _same_sources(gold: Value, value: Value, same: Same) -> bool:
    wanted, used = list(references(gold)), list(references(value))
    return all(any(_same_source(w, u, same) for u in used) for w in wanted) and all(
        any(_same_source(w, u, same) for w in wanted) for u in used
    )


def _same_source(gold: Ref, value: Ref, same: Same) -> bool:
    return same(gold.task, value.task) and gold.path in ((), value.path)


def _as_list(value: Value) -> Sequence[Value]:
    return value if isinstance(value, (list, tuple)) else [value]


def _lists_match(
    gold: Sequence[Value], value: Sequence[Value], type_: Type, same: Same, unordered: bool
) -> bool:
    if len(gold) != len(value):
        return False
    item_type = type_.items if isinstance(type_, ArrayType) else type_
    if not unordered:
        return all(is_right(g, v, item_type, same) for g, v in zip(gold, value, strict=True))
    return has_perfect_matching(
        [{i for i, v in enumerate(value) if is_right(g, v, item_type, same)} for g in gold]
    )


def _field_type(type_: Type, name: str) -> Type:
    fields = type_.fields if isinstance(type_, ObjectType) else ()
    return next((f.type for f in fields if f.name == name), AnyType())


def _scalars_match(gold: Any, value: Any, type_: Type) -> bool:
    if isinstance(gold, bool) or isinstance(value, bool):
        return _as_bool(gold) is not None and _as_bool(gold) == _as_bool(value)
    if isinstance(gold, (int, float)) or isinstance(value, (int, float)):
        return _as_number(gold) is not None and _as_number(gold) == _as_number(value)
    if not isinstance(gold, str) or not isinstance(value, str):
        return False
    return _folded(gold) == _folded(value) or _dates_match(gold, value, type_)


def _dates_match(gold: str, value: str, type_: Type) -> bool:
    kind = date_kind(type_)
    if kind in ("date", "time"):
        return bool(coerce(StringType(kind), gold) == coerce(StringType(kind), value))
    if kind is None and not (_ISO.fullmatch(gold) and _ISO.fullmatch(value)):
        return False
    moment = read_moment(gold)
    return moment is not None and moment == read_moment(value)


def _as_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(_folded(value)) if isinstance(value, str) else None


def _as_number(value: Any) -> Decimal | None:
    if not isinstance(value, (int, float, str)):
        return None
    try:
        number = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):
        return None
    return None if number.is_nan() else number


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()
