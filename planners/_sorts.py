"""Which arguments take which results: by the kinds that tools tell, and by what types say results hold."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Sequence
from functools import cached_property

from plait.planners._forms import DIGITS, FORMS, Form, Source, form_terminal, identifier_form
from plait.planners._results import gives_identifier, has_known_parts, identifier_of, thing_of
from plait.planners._terminals import string_pattern
from plait.tools import (
    AnyType,
    ArrayType,
    Field,
    Kind,
    NumberType,
    ObjectType,
    StringType,
    Tool,
    Type,
    UnionType,
)

_QUOTED = re.compile(r"""(?<!\w)(['"`])([\w.@-]{1,60})\1(?!\w)""")


def say_kinds(tools: Iterable[Tool]) -> bool:
    """Whether the tools say anything of kinds, or of what their results hold."""
    return any(tool.takes or tool.gives is not None or has_known_parts(tool.result) for tool in tools)


class Sorts:
    """What arguments take, and what results have in common that the same arguments take in the same way.

    Args:
        tools: those that may be called.
        earlier: the tools of earlier tasks whose results may be referred to; ``None`` where they are unknown.
        source: what literal texts are copied from; ``None``: it is not known, and they may be any.
    """

    def __init__(
        self, tools: Sequence[Tool], earlier: Collection[Tool | None], source: Source | None
    ) -> None:
        self._tools = tools
        self._earlier = earlier
        self._source = source
        self._identifiers: dict[frozenset[str], str] = {}
        self._in_digits: set[frozenset[str]] = set()
        self._forms: dict[frozenset[str], Form] = {}
        self._said: dict[frozenset[str], set[str]] = {}
        self._says_kinds = any(tool.takes or tool.gives is not None for tool in tools)
        self._kinds = {
            (tool.name, argument.name): self._kind_in(tool, argument)
            for tool in tools
            for argument in tool.arguments.fields
        }
        kinds = set(self._kinds.values())
        self._known = frozenset(name for kind in kinds if kind is not None for name in kind.names)
        self._taken = sorted({kind.names for kind in kinds if kind is not None}, key=sorted)
        self._any_unsaid = None in kinds

    @cached_property
    def members(self) -> dict[Hashable, Tool]:
        """One tool of each sort of results; the sort's code is its place, from 1."""
        members: dict[Hashable, Tool] = {}
        for tool in self._tools:
            members.setdefault(self._sort(tool), tool)
        return members

    @cached_property
    def gates(self) -> list[frozenset[str]]:
        """The kinds of arguments that take only results, of which there is none yet."""
        return [names for names in self._taken if self._is_closed(names)]

    def code(self, tool: Tool) -> int:
        """The code of the sort of ``tool``'s results."""
        return list(self.members).index(self._sort(tool)) + 1

    def kind_of(self, tool: Tool, argument: Field) -> Kind | None:
        """What an argument of ``tool`` takes; ``None``: nothing is said of it."""
        return self._kinds[tool.name, argument.name]

    def identifier(self, kind: Kind | None) -> str:
        """The plain name of the identifiers that are of ``kind``; empty: it is no such kind."""
        return "" if kind is None else self._identifiers.get(kind.names, "")

    def takes(self, names: frozenset[str] | None, tool: Tool | None) -> bool:
        """Whether an argument of the kinds ``names`` takes a result of ``tool``, or part of it.

        If nothing is known of the result, it does.
        """
        if tool is None:
            return True
        if has_known_parts(tool.result):
            identifier = self._identifiers.get(names) if names else None
            return identifier is None or gives_identifier(tool, identifier)
        given = tool.gives
        return given is None or given in (self._known if names is None else names)

    def terminals_of(self, names: frozenset[str]) -> list[str] | None:
        """The terminals of texts of these kinds; ``None`` where they have no form, or no tool finds them."""
        if names in self._identifiers:
            forms, said = self._forms_of(names), sorted(self._said[names])
        else:
            can_be_found = any(tool.gives in names for tool in self._tools)
            if not (can_be_found and names <= FORMS.keys()):
                return None
            forms, said = [FORMS[name] for name in sorted(names)], []
        terminals = [form_terminal(form, self._source) for form in forms]
        words = [f"/{re.escape(word)}/" for word in said]
        return [*(terminal for terminal in terminals if terminal is not None), *words]

    def _forms_of(self, names: frozenset[str]) -> list[Form]:
        """The forms that identifiers of a kind may have: if they are numbers, only that of these."""
        form = self._forms[names]
        if names not in self._in_digits:
            return [form]
        return [DIGITS] if self._source is None or self._source.holds(form) else []

    def _kind_in(self, tool: Tool, argument: Field) -> Kind | None:
        """What an argument takes; an identifier that results of other tools hold is a kind of its own."""
        if argument.name in tool.takes:
            return tool.takes[argument.name]
        identifier = identifier_of(argument)
        if identifier and any(gives_identifier(t, identifier) for t in self._tools if t is not tool):
            is_number = isinstance(argument.type, NumberType)
            kind = Kind(f"identifier {identifier}{' in digits' if is_number else ''}")
            if is_number:
                self._in_digits.add(kind.names)
            self._identifiers[kind.names] = identifier
            self._forms[kind.names] = identifier_form(thing_of(argument))
            said = {found[2] for found in _QUOTED.finditer(argument.description)}
            default = {str(argument.default)} if argument.default not in (None, "") else set()
            fitting = {word for word in said | default if word.isdecimal() or not is_number}
            self._said.setdefault(kind.names, set()).update(fitting)
            return kind
        return None if not self._says_kinds or _may_be_text(argument.type) else Kind()

    def _sort(self, tool: Tool) -> Hashable:
        if has_known_parts(tool.result):
            return tool.name
        taken = [*self._taken, *([None] if self._any_unsaid else [])]
        return frozenset(names for names in taken if self.takes(names, tool))

    def _is_closed(self, names: frozenset[str]) -> bool:
        """Whether such an argument can be no literal, and no earlier task has a result for it."""
        if any(self.takes(names, tool) for tool in self._earlier):
            return False
        return self.terminals_of(names) == []


def _may_be_text(type_: Type) -> bool:
    match type_:
        case StringType():
            return string_pattern(type_) is None
        case AnyType() | ObjectType():
            return True
        case ArrayType():
            return any(map(_may_be_text, (*type_.prefix, type_.items)))
        case UnionType():
            return any(map(_may_be_text, type_.options))
        case _:
            return False
