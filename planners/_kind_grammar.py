"""The grammar of plans over tools that say of which kinds values are, or what their results hold.

A rule's parameter, 64 bits, is what the parser knows at that place: for each argument that only takes
results whether there is one that it takes (a bit each: a "gate"), and of which sort the result of each call
is (a code of a few bits each, 0 where there is no such call yet). Results of known types are a sort each:
references reach only into what they have. Other results are of one sort if the same arguments take them.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from plait.planners._forms import FORMS, IDENTIFIER, PERSON, Source, form_terminal, text_terminal
from plait.planners._lark_grammar import LarkWriter
from plait.planners._results import ResultPaths, Wanted, gives_identifier, has_known_parts, identifier_of
from plait.planners._terminals import string_pattern
from plait.planners._text_grammar import text_literal
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

_N_BITS = 64
_LEAST_TASKS = 10
"""Where the bits suffice for fewer tasks, it is not heeded what results hold."""
_QUOTED = re.compile(r"""(?<!\w)(['"`])([\w.@-]{1,60})\1(?!\w)""")


def say_kinds(tools: Iterable[Tool]) -> bool:
    """Whether the tools say anything of kinds, or of what their results hold."""
    return any(tool.takes or tool.gives is not None or has_known_parts(tool.result) for tool in tools)


@dataclass
class KindLarkWriter(LarkWriter):
    """llguidance's Lark, in which arguments refer only to results, and parts of them, that they take."""

    source: Source | None = None
    """What literal texts are copied from; ``None``: it is not known, and they may be any."""
    copies: bool = False
    """Whether texts that are verbatim have to stand in the source."""
    earlier: Mapping[int, Tool] = field(default_factory=dict)
    """The tools of earlier tasks; of the results of those that are not in it nothing is known."""
    terminals: dict[str, str] = field(default_factory=dict)
    strings: dict[Kind | None, str | None] = field(default_factory=dict)
    referred: dict[tuple[frozenset[str] | None, Wanted, bool], list[str]] = field(default_factory=dict)
    members: dict[Hashable, Tool] = field(default_factory=dict)
    """One tool of each sort of results; the sort's code is its place, from 1."""
    gates: list[frozenset[str]] = field(default_factory=list)
    n_tails: int = 0
    tool: Tool | None = None
    """The one whose calls are being written."""

    def rule(self, name: str, *options: str) -> str:
        return super().rule(name, *(options or ('"-" %if lt(_, 0)',)))  # never

    def _call(self, index: int, tool: Tool) -> str:
        self.tool = tool
        return super()._call(index, tool)

    def kind_of(self, argument: Field) -> Kind | None:
        assert self.tool is not None
        return self._kinds[self.tool.name, argument.name]

    def condition(self, argument: Field) -> str:
        is_own = self.tool is not None and any(argument is own for own in self.tool.arguments.fields)
        kind = self.kind_of(argument) if is_own and not argument.required else None
        return (
            ""
            if kind is None or kind.names not in self.gates
            else self._condition([self.gates.index(kind.names)])
        )

    def write(self) -> str:
        """The grammar of plans."""
        self._lay_out()
        number = self._write_number()
        calls: dict[int, list[str]] = {}
        for i, tool in enumerate(self.tools):
            call = f"{self._call(i, tool)}{self._condition(self._closed_of(tool))}"
            calls.setdefault(self._code(tool), []).append(call)
        has_room = f"eq({self._bits(len(self.numbers) - 1)}, 0)"
        plans = []
        for (code, options), member in zip(calls.items(), self.members.values(), strict=True):
            call, note = self.rule(f"calls{code}", *options), self._write_note(code, member)
            plans.append(f"{number} {call} {note} %if {has_room}")
        self.rule("plan", *plans, f'{number} "join()"')
        self._write_terminals()
        return self._grammar("start: plan::0")

    def _lay_out(self) -> None:
        """Give codes to the sorts of results, and see how many tasks there is room for."""
        numbers = self.numbers
        self._classify()
        if len(self.numbers) < min(_LEAST_TASKS, len(numbers)):
            self.numbers = numbers
            self.tools = [replace(tool, result=None) for tool in self.tools]
            self.earlier = {k: replace(tool, result=None) for k, tool in self.earlier.items()}
            self._classify()
        self._paths = ResultPaths(self.rule, self.path, text_literal)
        self._has_known_parts = any(has_known_parts(t.result) for t in (*self.tools, *self.earlier.values()))

    def _classify(self) -> None:
        self._identifiers: dict[frozenset[str], str] = {}
        self._said: dict[frozenset[str], set[str]] = {}
        self._says_kinds = any(tool.takes or tool.gives is not None for tool in self.tools)
        self._kinds = {
            (tool.name, argument.name): self._kind_in(tool, argument)
            for tool in self.tools
            for argument in tool.arguments.fields
        }
        kinds = set(self._kinds.values())
        self._known = frozenset(name for kind in kinds if kind is not None for name in kind.names)
        taken = sorted({kind.names for kind in kinds if kind is not None}, key=sorted)
        self._taken = [*taken, *([None] if None in kinds else [])]
        self.members = {}
        for tool in self.tools:
            self.members.setdefault(self._sort(tool), tool)
        self.gates = [names for names in taken if self._is_closed(names)]
        self._n_code_bits = len(self.members).bit_length()
        self.numbers = self.numbers[: (_N_BITS - len(self.gates)) // self._n_code_bits]

    def _kind_in(self, tool: Tool, argument: Field) -> Kind | None:
        """What an argument takes; an identifier that results of other tools hold is a kind of its own."""
        if argument.name in tool.takes:
            return tool.takes[argument.name]
        identifier = identifier_of(argument)
        if identifier and any(gives_identifier(t, identifier) for t in self.tools if t is not tool):
            kind = Kind(f"identifier {identifier}")
            self._identifiers[kind.names] = identifier
            said = {found[2] for found in _QUOTED.finditer(argument.description)}
            default = {argument.default} if isinstance(argument.default, str) and argument.default else set()
            self._said.setdefault(kind.names, set()).update(said, default)
            return kind
        return None if not self._says_kinds or _may_be_text(argument.type) else Kind()

    def _takes(self, names: frozenset[str] | None, tool: Tool | None) -> bool:
        """Whether an argument takes a result, or part of it; if nothing is known of the result, it does."""
        if tool is None:
            return True
        if has_known_parts(tool.result):
            identifier = self._identifiers.get(names) if names else None
            return identifier is None or gives_identifier(tool, identifier)
        given = tool.gives
        return given is None or given in (self._known if names is None else names)

    def _sort(self, tool: Tool) -> Hashable:
        """What results have in common that the same arguments take in the same way."""
        if has_known_parts(tool.result):
            return tool.name
        return frozenset(names for names in self._taken if self._takes(names, tool))

    def _code(self, tool: Tool) -> int:
        return list(self.members).index(self._sort(tool)) + 1

    def _is_closed(self, names: frozenset[str]) -> bool:
        """Whether such an argument can be no literal, and no earlier task has a result for it."""
        if any(self._takes(names, tool) for _, tool in self._earlier()):
            return False
        return self._terminals_of(names) == []

    def _terminals_of(self, names: frozenset[str]) -> list[str] | None:
        """The terminals of texts of these kinds; ``None`` where they have no form, or no tool finds them."""
        if names in self._identifiers:
            forms, said = [IDENTIFIER], sorted(self._said[names])
        else:
            can_be_found = any(tool.gives in names for tool in self.tools)
            if not (can_be_found and names <= FORMS.keys()):
                return None
            forms, said = [FORMS[name] for name in sorted(names)], []
        terminals = [form_terminal(form, self.source) for form in forms]
        words = [f"/{re.escape(word)}/" for word in said]
        return [*(terminal for terminal in terminals if terminal is not None), *words]

    def _literals(self, type_: Type) -> list[str]:
        names = self.kind.names if self.kind is not None else frozenset[str]()
        if isinstance(type_, NumberType) and names in self._identifiers and not self._terminals_of(names):
            return []
        return super()._literals(type_)

    def _earlier(self) -> list[tuple[int, Tool | None]]:
        return [(k, self.earlier.get(k)) for k in self.available(self.numbers[0])]

    def _closed_of(self, tool: Tool) -> list[int]:
        """The gates of the arguments that every call of ``tool`` has."""
        kinds = [self._kinds[tool.name, f.name] for f in tool.arguments.fields if f.required]
        return sorted({self.gates.index(k.names) for k in kinds if k is not None and k.names in self.gates})

    def _condition(self, gates: Sequence[int]) -> str:
        if not gates:
            return ""
        return f" %if {_all('and', [f'bit_set({gate})' for gate in gates])}"

    def _write_note(self, code: int, member: Tool) -> str:
        """The rule that goes on after a call whose result has this code."""
        opened = sum(1 << i for i, gate in enumerate(self.gates) if self._takes(gate, member))
        return self.rule(
            f"noted{code}",
            *[
                f'"\\n" plan::bit_or({opened | code << self._bit(i)}) %if {self._is_next(i)}'
                for i in range(len(self.numbers))
            ],
        )

    def _bit(self, i: int) -> int:
        """Where the code of the i-th new task's result begins."""
        return len(self.gates) + i * self._n_code_bits

    def _bits(self, i: int) -> str:
        return f"[{self._bit(i)}:{self._bit(i + 1)}]"

    def _is_next(self, i: int) -> str:
        """The condition that the next task is the i-th new one."""
        conditions = [f"ne({self._bits(i - 1)}, 0)"] if i else []
        if i < len(self.numbers):
            conditions.append(f"eq({self._bits(i)}, 0)")
        return _all("and", conditions)

    def _write_number(self) -> str:
        numbers = (*self.numbers, self.numbers[-1] + 1)
        return self.rule(
            "number", *[f'"{k}{self.dialect.stop}" %if {self._is_next(i)}' for i, k in enumerate(numbers)]
        )

    def referring(self, type_: Type) -> list[str]:
        names = None if self.kind is None else self.kind.names
        identifier = self._identifiers.get(names, "") if names else ""
        wanted = Wanted(type_, identifier) if self._has_known_parts else Wanted()
        return self._references_to(names, wanted, is_value=True)

    def inserting(self) -> list[str]:
        names = None if self.kind is None else self.kind.names
        return self._references_to(names, Wanted(), is_value=False)

    def _references_to(self, names: frozenset[str] | None, wanted: Wanted, *, is_value: bool) -> list[str]:
        key = (names, wanted, is_value)
        if key not in self.referred:
            self.referred[key] = []
            options = self._references(names, wanted, *(("$", "") if is_value else ("${", ' "}"')))
            if options:
                self.referred[key] = [self.rule(f"reference{len(self.referred) - 1}", *options)]
        return self.referred[key]

    def _references(self, names: frozenset[str] | None, wanted: Wanted, begin: str, end: str) -> list[str]:
        """The references to what is ``wanted`` in results that such arguments take."""
        options = []
        for k, tool in self._earlier():
            path = self._paths.of(tool, wanted) if self._takes(names, tool) else None
            if path is not None:
                options.append(f'"{begin}{k}"{path}{end}')
        paths: dict[str, list[int]] = {}
        for code, tool in enumerate(self.members.values(), 1):
            path = self._paths.of(tool, wanted) if self._takes(names, tool) else None
            if path is not None:
                paths.setdefault(path, []).append(code)
        if paths:
            options += [
                self._reference(i, f"{begin}{k}", paths, end) for i, k in enumerate(self.numbers[:-1])
            ]
        return options

    def _reference(self, i: int, begin: str, paths: Mapping[str, list[int]], end: str) -> str:
        """The references to the i-th new task, whose result's sort decides on what may follow."""
        when = self._is_any(i, [code for codes in paths.values() for code in codes])
        if len(paths) == 1:
            return f'"{begin}"{next(iter(paths))}{end} %if {when}'
        options = [f"{path or chr(34) * 2} %if {self._is_any(i, codes)}" for path, codes in paths.items()]
        self.n_tails += 1
        return f'"{begin}" {self.rule(f"tail{self.n_tails}", *options)}{end} %if {when}'

    def _is_any(self, i: int, codes: Sequence[int]) -> str:
        """The condition that the i-th new task's result has one of ``codes``."""
        return _all("or", [f"eq({self._bits(i)}, {code})" for code in codes])

    def text(self) -> list[str]:
        if self.kind not in self.strings:
            self.strings[self.kind] = self._write_text(self.kind)
        written = self.strings[self.kind]
        return [] if written is None else [written]

    def _write_text(self, kind: Kind | None) -> str | None:
        """The rule of literal texts of ``kind``; ``None`` if there are none."""
        i = len(self.strings)
        terminals = None if kind is None else self._terminals_of(kind.names)
        if terminals is None and kind is not None:
            is_copied = kind.verbatim and self.copies and self.source is not None
            terminal = text_terminal(is_person=kind.names == {PERSON}, is_copied=is_copied)
            terminals = None if terminal is None else [terminal]
        if terminals is None:
            inserted = self.inserting()
            return self.rule(f"string{i}", f'"\\"" ({" | ".join(["TEXT", "DOLLAR", *inserted])})* END')
        names = [self.terminals.setdefault(t, f"TEXT{len(self.terminals)}") for t in terminals]
        return self.rule(f"string{i}", *[f'"\\"" {name} "\\""' for name in names]) if names else None

    def _write_terminals(self) -> None:
        """Write the terminals that texts of kinds need."""
        if any("SOURCE" in terminal for terminal in self.terminals) and self.source is not None:
            self.rules.append(f"SOURCE: {self.source.lark}")
        self.rules += [f"{name}: {terminal}" for terminal, name in self.terminals.items()]


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


def _all(operator: str, conditions: Sequence[str]) -> str:
    """Conditions in one, of which each takes two."""
    first, *rest = conditions
    return f"{operator}({first}, {_all(operator, rest)})" if rest else first
