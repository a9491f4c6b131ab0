"""The grammar of plans over tools that say of which kinds values are, or what their results hold.

A rule's parameter, 64 bits, is what the parser knows at that place: for each argument that only takes
results whether there is one that it takes (a bit each: a "gate"), and of which sort the result of each call
is (a code of a few bits each, 0 where there is no such call yet). Results of known types are a sort each:
references reach only into what they have. Other results are of one sort if the same arguments take them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from plait.planners._forms import PERSON, Source, text_terminal
from plait.planners._lark_grammar import LarkWriter
from plait.planners._results import ResultPaths, Wanted, has_known_parts
from plait.planners._sorts import Sorts
from plait.planners._text_grammar import text_literal
from plait.tools import Field, Kind, NumberType, Tool, Type

_N_BITS = 64
_LEAST_TASKS = 10
"""Where the bits suffice for fewer tasks, it is not heeded what results hold."""


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
        return self.sorts.kind_of(self.tool, argument)

    def condition(self, argument: Field) -> str:
        is_own = self.tool is not None and any(argument is own for own in self.tool.arguments.fields)
        kind = self.kind_of(argument) if is_own and not argument.required else None
        return (
            ""
            if kind is None or kind.names not in self.sorts.gates
            else self._condition([self.sorts.gates.index(kind.names)])
        )

    def write(self) -> str:
        """The grammar of plans."""
        self._lay_out()
        number = self._write_number()
        calls: dict[int, list[str]] = {}
        for i, tool in enumerate(self.tools):
            call = f"{self._call(i, tool)}{self._condition(self._closed_of(tool))}"
            calls.setdefault(self.sorts.code(tool), []).append(call)
        has_room = f"eq({self._bits(len(self.numbers) - 1)}, 0)"
        plans = []
        for (code, options), member in zip(calls.items(), self.sorts.members.values(), strict=True):
            call, note = self.rule(f"calls{code}", *options), self._write_note(code, member)
            plans.append(f"{number} {call} {note} %if {has_room}")
        self.rule("plan", *plans, f'{number} "join()"')
        self._write_terminals()
        return self._grammar("start: plan::0")

    def _lay_out(self) -> None:
        """Give codes to the sorts of results, and see how many tasks there is room for."""
        self.sorts = self._sorted()
        if self._n_room < min(_LEAST_TASKS, len(self.numbers)):
            self.tools = [replace(tool, result=None) for tool in self.tools]
            self.earlier = {k: replace(tool, result=None) for k, tool in self.earlier.items()}
            self.sorts = self._sorted()
        self.numbers = self.numbers[: self._n_room]
        self._paths = ResultPaths(self.rule, self.path, text_literal)
        self._has_known_parts = any(has_known_parts(t.result) for t in (*self.tools, *self.earlier.values()))

    def _sorted(self) -> Sorts:
        return Sorts(self.tools, [tool for _, tool in self._earlier()], self.source)

    @property
    def _n_room(self) -> int:
        """How many tasks the parameter has room for."""
        return (_N_BITS - len(self.sorts.gates)) // self._n_code_bits

    @property
    def _n_code_bits(self) -> int:
        return len(self.sorts.members).bit_length()

    def _literals(self, type_: Type) -> list[str]:
        if self.kind is None or not (isinstance(type_, NumberType) and self.sorts.identifier(self.kind)):
            return super()._literals(type_)
        return [self._named_terminal(terminal) for terminal in self.sorts.terminals_of(self.kind.names) or ()]

    def _named_terminal(self, terminal: str) -> str:
        return self.terminals.setdefault(terminal, f"TEXT{len(self.terminals)}")

    def _earlier(self) -> list[tuple[int, Tool | None]]:
        return [(k, self.earlier.get(k)) for k in self.available(self.numbers[0])]

    def _closed_of(self, tool: Tool) -> list[int]:
        """The gates of the arguments that every call of ``tool`` has."""
        gates = self.sorts.gates
        kinds = [self.sorts.kind_of(tool, f) for f in tool.arguments.fields if f.required]
        return sorted({gates.index(k.names) for k in kinds if k is not None and k.names in gates})

    def _condition(self, gates: Sequence[int]) -> str:
        if not gates:
            return ""
        return f" %if {_all('and', [f'bit_set({gate})' for gate in gates])}"

    def _write_note(self, code: int, member: Tool) -> str:
        """The rule that goes on after a call whose result has this code."""
        opened = sum(1 << i for i, gate in enumerate(self.sorts.gates) if self.sorts.takes(gate, member))
        return self.rule(
            f"noted{code}",
            *[
                f'"\\n" plan::bit_or({opened | code << self._bit(i)}) %if {self._is_next(i)}'
                for i in range(len(self.numbers))
            ],
        )

    def _bit(self, i: int) -> int:
        """Where the code of the i-th new task's result begins."""
        return len(self.sorts.gates) + i * self._n_code_bits

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
        wanted = Wanted(type_, self.sorts.identifier(self.kind)) if self._has_known_parts else Wanted()
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
            path = self._paths.of(tool, wanted) if self.sorts.takes(names, tool) else None
            if path is not None:
                options.append(f'"{begin}{k}"{path}{end}')
        paths: dict[str, list[int]] = {}
        for code, tool in enumerate(self.sorts.members.values(), 1):
            path = self._paths.of(tool, wanted) if self.sorts.takes(names, tool) else None
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
        terminals = None if kind is None else self.sorts.terminals_of(kind.names)
        if terminals is None and kind is not None:
            is_copied = kind.verbatim and self.copies and self.source is not None
            terminal = text_terminal(is_person=kind.names == {PERSON}, is_copied=is_copied)
            terminals = None if terminal is None else [terminal]
        if terminals is None:
            inserted = self.inserting()
            return self.rule(f"string{i}", f'"\\"" ({" | ".join(["TEXT", "DOLLAR", *inserted])})* END')
        names = [self._named_terminal(terminal) for terminal in terminals]
        return self.rule(f"string{i}", *[f'"\\"" {name} "\\""' for name in names]) if names else None

    def _write_terminals(self) -> None:
        """Write the terminals that texts of kinds need."""
        if any("SOURCE" in terminal for terminal in self.terminals) and self.source is not None:
            self.rules.append(f"SOURCE: {self.source.lark}")
        self.rules += [f"{name}: {terminal}" for terminal, name in self.terminals.items()]


def _all(operator: str, conditions: Sequence[str]) -> str:
    """Conditions in one, of which each takes two."""
    first, *rest = conditions
    return f"{operator}({first}, {_all(operator, rest)})" if rest else first
