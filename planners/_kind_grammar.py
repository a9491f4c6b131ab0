"""The grammar of plans over tools that say of which kinds their results and arguments are.

A rule's parameter, 64 bits, is what the parser knows at that place: for each argument that only takes
results whether there is one that it takes (a bit each: a "gate"), and of which kind the result of each call
is (a code of a few bits each, 0 where there is no such call yet).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from plait.planners._forms import FORMS, PERSON, Source, form_terminal, text_terminal
from plait.planners._lark_grammar import LarkWriter
from plait.planners._terminals import string_pattern
from plait.tools import AnyType, ArrayType, Field, Kind, ObjectType, StringType, Tool, Type, UnionType

_N_BITS = 64


def say_kinds(tools: Iterable[Tool]) -> bool:
    """Whether the tools say anything of kinds."""
    return any(tool.takes or tool.gives is not None for tool in tools)


@dataclass
class KindLarkWriter(LarkWriter):
    """llguidance's Lark, in which arguments refer only to results of kinds that they take."""

    source: Source | None = None
    """What literal texts are copied from; ``None``: it is not known, and they may be any."""
    copies: bool = False
    """Whether texts that are verbatim have to stand in the source."""
    earlier: Mapping[int, str | None] = field(default_factory=dict)
    """The kinds of the results of earlier tasks; of those that are not in it nothing is known."""
    terminals: dict[str, str] = field(default_factory=dict)
    strings: dict[Kind | None, str | None] = field(default_factory=dict)
    referred: dict[frozenset[str] | None, list[str]] = field(default_factory=dict)
    codes: dict[frozenset[frozenset[str] | None], int] = field(default_factory=dict)
    gates: list[frozenset[str]] = field(default_factory=list)
    tool: Tool | None = None
    """The one whose calls are being written."""

    def rule(self, name: str, *options: str) -> str:
        return super().rule(name, *(options or ('"-" %if lt(_, 0)',)))  # never

    def _call(self, index: int, tool: Tool) -> str:
        self.tool = tool
        return super()._call(index, tool)

    def kind_of(self, argument: Field) -> Kind | None:
        assert self.tool is not None
        return self._kind_in(self.tool, argument)

    @staticmethod
    def _kind_in(tool: Tool, argument: Field) -> Kind | None:
        return tool.takes.get(argument.name) or (None if _may_be_text(argument.type) else Kind())

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
            calls.setdefault(self._code(tool.gives), []).append(call)
        has_room = f"eq({self._bits(len(self.numbers) - 1)}, 0)"
        plans = []
        for code, options in calls.items():
            call, note = self.rule(f"calls{code}", *options), self._write_note(code)
            plans.append(f"{number} {call} {note} %if {has_room}")
        self.rule("plan", *plans, f'{number} "join()"')
        self._write_terminals()
        return self._grammar("start: plan::0")

    def _lay_out(self) -> None:
        """Give codes to the kinds that differ, and see how many tasks there is room for."""
        arguments = [(tool, argument) for tool in self.tools for argument in tool.arguments.fields]
        kinds = {self._kind_in(tool, argument) for tool, argument in arguments}
        self._known = frozenset(name for kind in kinds if kind is not None for name in kind.names)
        taken = sorted({kind.names for kind in kinds if kind is not None}, key=sorted)
        self._taken = [*taken, *([None] if None in kinds else [])]
        for tool in self.tools:
            self.codes.setdefault(self._takers(tool.gives), len(self.codes) + 1)
        self.gates = [names for names in taken if self._is_closed(names)]
        self._n_code_bits = len(self.codes).bit_length()
        self.numbers = self.numbers[: (_N_BITS - len(self.gates)) // self._n_code_bits]

    def _takes(self, names: frozenset[str] | None, given: str | None) -> bool:
        """Whether an argument takes a result; where nothing is known of the result, it does."""
        return given is None or given in (self._known if names is None else names)

    def _takers(self, given: str | None) -> frozenset[frozenset[str] | None]:
        """Which of the arguments' kinds take such a result."""
        return frozenset(names for names in self._taken if self._takes(names, given))

    def _code(self, given: str | None) -> int:
        return self.codes[self._takers(given)]

    def _is_closed(self, names: frozenset[str]) -> bool:
        """Whether such an argument can be no literal, and no earlier task has a result for it."""
        if any(self._takes(names, given) for _, given in self._earlier()):
            return False
        return self._terminals_of(names) == []

    def _terminals_of(self, names: frozenset[str]) -> list[str] | None:
        """The terminals of texts of these kinds; ``None`` where they have no form, or no tool finds them."""
        can_be_found = any(tool.gives in names for tool in self.tools)
        if not (can_be_found and names <= FORMS.keys()):
            return None
        terminals = [form_terminal(FORMS[name], self.source) for name in sorted(names)]
        return [terminal for terminal in terminals if terminal is not None]

    def _earlier(self) -> list[tuple[int, str | None]]:
        return [(k, self.earlier.get(k)) for k in self.available(self.numbers[0])]

    def _closed_of(self, tool: Tool) -> list[int]:
        """The gates of the arguments that every call of ``tool`` has."""
        required = [f.name for f in tool.arguments.fields if f.required and f.name in tool.takes]
        return sorted({self.gates.index(n) for r in required if (n := tool.takes[r].names) in self.gates})

    def _condition(self, gates: Sequence[int]) -> str:
        if not gates:
            return ""
        return f" %if {_all('and', [f'bit_set({gate})' for gate in gates])}"

    def _write_note(self, code: int) -> str:
        """The rule that goes on after a call whose result has this code."""
        takers = next(takers for takers, c in self.codes.items() if c == code)
        opened = sum(1 << i for i, gate in enumerate(self.gates) if gate in takers)
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

    def referring(self) -> list[str]:
        names = None if self.kind is None else self.kind.names
        if names not in self.referred:
            self.referred[names] = self._write_references(names)
        return self.referred[names]

    def _write_references(self, names: frozenset[str] | None) -> list[str]:
        options = [(str(k), "") for k, given in self._earlier() if self._takes(names, given)]
        codes = sorted(code for takers, code in self.codes.items() if names in takers)
        if codes:
            options += [(str(k), f" %if {self._is_any(i, codes)}") for i, k in enumerate(self.numbers[:-1])]
        if not options:
            return []
        i = len(self.referred)
        return [
            self.rule(f"reference{i}", *[f'"${k}"{self.path}{when}' for k, when in options]),
            self.rule(f"inserted{i}", *[f'"${{{k}"{self.path} "}}"{when}' for k, when in options]),
        ]

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
            inserted = self.referring()[1:]
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
