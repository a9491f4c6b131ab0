"""What there is in results of known types, and which of it an argument may refer to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from plait.planners._plan import Ref
from plait.planners._terminals import MAX_STEPS, string_pattern
from plait.tools import (
    AnyType,
    ArrayType,
    BooleanType,
    EnumType,
    Field,
    NumberType,
    ObjectType,
    StringType,
    Tool,
    Type,
    UnionType,
)

_Parts: TypeAlias = Iterator[tuple[str | None, Type]]
_ID = "id"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an argument refers to."""

    type: Type | None = None
    """A value that such an argument takes; ``None``: anything, to stand within a text."""
    identifier: str = ""
    """The plain name of the identifier that it has to be; empty: it need not be one."""


def has_known_parts(type_: Type | None) -> bool:
    """Whether it is known what results of this type hold."""
    match type_:
        case ObjectType():
            return bool(type_.fields)
        case ArrayType():
            return has_known_parts(type_.items)
        case UnionType():
            return any(map(has_known_parts, type_.options)) and all(
                has_known_parts(option) or _is_null(option) for option in type_.options
            )
        case _:
            return False


def identifier_of(argument: Field) -> str:
    """The plain name of ``argument`` if it is an identifier, such as "issue_id"; or nothing."""
    name = _plain(argument.name)
    is_one = isinstance(argument.type, StringType) and string_pattern(argument.type) is None
    is_one = is_one or isinstance(argument.type, NumberType)
    return name if is_one and name.endswith(_ID) and name != _ID else ""


def thing_of(argument: Field) -> str:
    """What ``argument`` identifies: the "issue" of "open_issue_id" and of "openIssueID"; or nothing."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", argument.name)
    return words[-2].lower() if len(words) > 1 else ""


def gives_identifier(tool: Tool, identifier: str) -> bool:
    """Whether the results of ``tool``, as far as they are known, hold an identifier of this name."""
    return any(_is_called(name, owner, identifier) for name, owner in _names(tool))


def _names(tool: Tool) -> Iterator[tuple[str, str]]:
    """The plain names of all values in a result, with those of what they are part of."""
    left: list[tuple[str, str, Type, int]] = []
    if tool.result is not None:
        left.append(("", _plain(tool.name), tool.result, MAX_STEPS))
    while left:
        name, owner, type_, n_steps = left.pop()
        if _is_scalar(type_):
            yield name, owner
        elif n_steps:
            left += [(*_renamed(part, name, owner), inner, n_steps - 1) for part, inner in _parts(type_)]


def _renamed(part: str | None, name: str, owner: str) -> tuple[str, str]:
    """The names of a part and of what it is part of; an item is called as its list."""
    return (name, owner) if part is None else (_plain(part), name or owner)


def _is_called(name: str, owner: str, identifier: str) -> bool:
    """Whether a value ``name`` of ``owner`` is the identifier.

    A "skyId" is an "originSkyId", and the "id" of an issue, or of what "list_issues" gives, an "issue_id".
    """
    if name != _ID:
        return name.endswith(_ID) and identifier.endswith(name)
    stem = identifier.removesuffix(_ID)
    return stem in owner or stem.endswith(owner.removesuffix("s"))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _parts(type_: Type) -> _Parts:
    """The parts that a step reaches, by name; those of a list have none."""
    match type_:
        case ObjectType():
            yield from ((part.name, part.type) for part in type_.fields)
        case ArrayType():
            yield from ((None, item) for item in (*type_.prefix, type_.items))
        case UnionType():
            for option in type_.options:
                yield from _parts(option)
        case _:
            return


def _is_null(type_: Type) -> bool:
    return isinstance(type_, EnumType) and set(type_.values) == {None}


def _is_open(type_: Type) -> bool:
    """Whether there may be parts that the type does not tell."""
    return isinstance(type_, AnyType) or (isinstance(type_, ObjectType) and type_.extra is not None)


def _is_scalar(type_: Type) -> bool:
    if isinstance(type_, UnionType):
        return any(_is_scalar(option) and not _is_null(option) for option in type_.options)
    return isinstance(type_, BooleanType | NumberType | StringType | EnumType | AnyType) and not _is_null(
        type_
    )


def _fits(wanted: Type, given: Type) -> bool:
    """Whether an argument takes such a value; a text takes a number, and a number a text, which is read."""
    if isinstance(given, UnionType):
        return any(_fits(wanted, option) for option in given.options if not _is_null(option))
    match wanted:
        case AnyType():
            return True
        case UnionType():
            return any(_fits(option, given) for option in wanted.options)
        case StringType() | EnumType():
            return _is_scalar(given)
        case NumberType():
            return isinstance(given, NumberType | StringType | AnyType)
        case BooleanType():
            return isinstance(given, BooleanType | AnyType)
        case ArrayType():
            return isinstance(given, ArrayType | AnyType)
        case ObjectType():
            return isinstance(given, ObjectType | AnyType)


@dataclass
class ResultPaths:
    """Writes the rules of what may follow a reference's number.

    Args:
        define: defines a rule; gives how it is used.
        any_path: what may follow where nothing is known.
        write: a text as the grammar writes it.
    """

    define: Callable[..., str]
    any_path: str
    write: Callable[[str], str]
    rules: dict[tuple[Type, Wanted, str, str, int], str | None] = field(default_factory=dict)

    def of(self, tool: Tool | None, wanted: Wanted) -> str | None:
        """What follows a reference to a result of ``tool``; ``None`` if nothing in it is wanted."""
        if tool is None or tool.result is None or not has_known_parts(tool.result):
            return self.any_path
        return self._rule(tool.result, wanted, "", _plain(tool.name) if wanted.identifier else "", MAX_STEPS)

    def _rule(self, type_: Type, wanted: Wanted, name: str, owner: str, n_steps: int) -> str | None:
        key = (type_, wanted, name, owner, n_steps)
        if key not in self.rules:
            options = list(dict.fromkeys(self._options(*key)))
            number = sum(rule is not None for rule in self.rules.values())
            self.rules[key] = " " + self.define(f"path{number}", *options) if options else None
        return self.rules[key]

    def _options(self, type_: Type, wanted: Wanted, name: str, owner: str, n_steps: int) -> Iterator[str]:
        if self._is_wanted(type_, wanted, name, owner):
            yield '""'
        if n_steps == 0:
            return
        if not wanted.identifier and _is_open(type_):
            yield self.any_path.strip()
        for part, inner in _parts(type_):
            names = _renamed(part, name, owner) if wanted.identifier else ("", "")
            rest = self._rule(inner, wanted, *names, n_steps - 1)
            if rest is not None:
                step = '"[" INDEX "]"' if part is None else self.write(str(Ref(1, (part,)))[2:])
                yield f"{step}{rest}"

    @staticmethod
    def _is_wanted(type_: Type, wanted: Wanted, name: str, owner: str) -> bool:
        if wanted.identifier:
            return _is_scalar(type_) and _is_called(name, owner, wanted.identifier)
        return wanted.type is None or _fits(wanted.type, type_)
