"""Writes the grammar of plans as llguidance's Lark and as llama.cpp's GBNF."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field

from plait.errors import GrammarError
from plait.planners._plan import print_argument_name, print_key, print_value
from plait.planners._terminals import (
    ANY_DEPTH,
    MAX_STEPS,
    PATTERNS,
    item_counts,
    number_pattern,
    results_have_parts,
    string_pattern,
)
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

_QUOTE = r'"\""'
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')
_PARAMETER = re.compile(r"\b_\b")

# Texts in a string, and its end: a dollar stands for itself where no brace follows.
_LARK_STRINGS = r"""key: "\"" (TEXT | "$")* "\""
TEXT: /([^"\\$\x00-\x1f\x7f]|\\(["\\\/bfnrt$]|u[0-9a-fA-F]{4}))+/
DOLLAR: /\$+([^"\\${\x00-\x1f\x7f]|\\(["\\\/bfnrt$]|u[0-9a-fA-F]{4}))/
END: /\$*"/"""
_GBNF_STRINGS = r"""key ::= "\"" (TEXT | "$")* "\""
ESCAPE ::= "\\" (["\\/bfnrt$] | "u" [0-9a-fA-F]{4})
TEXT ::= [^"\\$\x00-\x1f\x7f] | ESCAPE
DOLLAR ::= "$"+ ([^"\\${\x00-\x1f\x7f] | ESCAPE)
END ::= "$"* "\""
"""


def _text(literal: str) -> str:
    """``literal`` as both forms write one."""
    literal.encode()  # refuses half a character, which Python can hold and no model can write
    return json.dumps(literal, ensure_ascii=False)


def _quoted(printed: str) -> str:
    """A string, given as it is printed, in tokens of which the quotes are two.

    Of tokens that begin alike, llguidance follows the longest: in one token, "auto" would hide every
    other string that begins with "a".
    """
    content = printed[1:-1]
    return " ".join([_QUOTE, *([_text(content)] if content else []), _QUOTE])


def _either(options: Sequence[str]) -> str:
    return " | ".join(options)


@dataclass
class _TextWriter(ABC):
    """What both forms share: the rules of calls, arguments and values.

    Most rules are numbered: what they allow depends on the number of the task that they are part of,
    because a reference may stand in it.
    """

    tools: Sequence[Tool]
    numbers: range
    unavailable: Set[int]
    rules: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    """How the rule of each kind of value is used."""
    references: list[str] = field(default_factory=list)
    """The rules of what refers to an earlier task: as a value, and within a string. Empty if nothing can."""
    n_objects: int = 0
    string: str = ""
    """The rule of strings without a format."""

    @abstractmethod
    def rule(self, name: str, *options: str) -> str:
        """Define a rule; gives how it is used."""

    @abstractmethod
    def write_references(self) -> list[str]:
        """Define the rules of references; gives ``references``."""

    def write_call(self) -> str:
        """Define what one call may be."""
        self.references = self.write_references()
        inserted = self.references[1:]
        self.string = self.rule("string", f"{_QUOTE} ({_either(['TEXT', 'DOLLAR', *inserted])})* END")
        return self.rule("call", *[self._call(i, tool) for i, tool in enumerate(self.tools)])

    @property
    def path(self) -> str:
        """What may follow the number in a reference."""
        return f' ("." FIELD | "[" INDEX "]"){{0,{MAX_STEPS}}}' if results_have_parts(self.tools) else ""

    def available(self, end: int) -> list[int]:
        """The tasks below ``end`` that may be referred to."""
        return [k for k in range(1, end) if k not in self.unavailable]

    def _call(self, index: int, tool: Tool) -> str:
        try:
            if not tool.name.isprintable():
                raise ValueError("its name has characters that cannot be printed")
            arguments = self._sequence(tool.arguments.fields, f"arguments{index}", self._argument)
            return self.rule(f"call{index}", f"{_text(tool.name + '(')} {arguments} {_text(')')}")
        except (TypeError, ValueError) as error:
            raise GrammarError(
                f"no grammar can be built for {tool.name!r}: {error}", tool=tool.name
            ) from error

    def _argument(self, argument: Field) -> str:
        return f"{_text(print_argument_name(argument.name) + '=')} {self._value(argument.type)}"

    def _property(self, property_: Field) -> str:
        return f'{_quoted(print_key(property_.name))} ": " {self._value(property_.type)}'

    def _sequence(self, fields: Sequence[Field], name: str, write: Callable[[Field], str]) -> str:
        """Fields in order, optional ones left out or not, with commas just between those that are there."""
        rest = '""'  # what may follow once something has been written
        start = ['""']  # what may stand when nothing has been written yet
        for i, field_ in reversed(list(enumerate(fields))):
            written = write(field_)
            start = [f"{written} {rest}", *([] if field_.required else start)]
            if i > 0:
                rest = self.rule(
                    f"{name}rest{i}", f'", " {written} {rest}', *([] if field_.required else [rest])
                )
        return self.rule(name, *start)

    def _value(self, type_: Type) -> str:
        if isinstance(type_, AnyType):
            return self._any(ANY_DEPTH)
        return self._named(repr(type_), lambda: self._literals(type_))

    def _any(self, depth: int) -> str:
        return self._named(f"any {depth}", lambda: self._any_literals(depth))

    def _named(self, kind: str, literals: Callable[[], list[str]]) -> str:
        """The rule of values of this kind; a reference is one, too."""
        if kind not in self.values:
            options = [*self.references[:1], *literals()]
            self.values[kind] = self.rule(f"value{len(self.values)}", *options)
        return self.values[kind]

    def _literals(self, type_: Type) -> list[str]:
        match type_:
            case AnyType():
                return self._any_literals(ANY_DEPTH)
            case BooleanType():
                return ['"true"', '"false"']
            case NumberType():
                return [number_pattern(type_)]
            case StringType():
                pattern = string_pattern(type_)
                return [f"{_QUOTE} {pattern} {_QUOTE}" if pattern else self.string]
            case EnumType():
                printed = [print_value(value) for value in type_.values]
                return [_quoted(text) if text.startswith('"') else _text(text) for text in printed]
            case ArrayType():
                return [self._array(type_)]
            case ObjectType():
                return [self._object(type_)]
            case UnionType():
                return [literal for option in type_.options for literal in self._literals(option)]

    def _any_literals(self, depth: int) -> list[str]:
        scalars = [self.string, "NUMBER", '"true"', '"false"', '"null"']
        if depth == 0:
            return scalars
        inner = self._any(depth - 1)
        return [*scalars, f'"[" ({inner} (", " {inner})*)? "]"', self._mapping(inner)]

    def _array(self, type_: ArrayType) -> str:
        low, high = item_counts(type_)
        if high == 0:
            return '"[" "]"'
        begin = [self._value(p) for p in type_.prefix or (type_.items,)][:high]
        n = len(begin)
        items = ""
        if high is None or high > n:
            items = (
                f'(", " {self._value(type_.items)}){{{max(0, low - n)},{"" if high is None else high - n}}}'
            )
        for i, item in reversed(list(enumerate(begin))):
            comma = '", " ' if i else ""
            items = f"{comma}{item} {items}"
            items = items if i < low else f"({items})?"
        return f'"[" {items} "]"'

    def _object(self, type_: ObjectType) -> str:
        if type_.fields:
            self.n_objects += 1
            name = f"object{self.n_objects}"
            return f'"{{" {self._sequence(type_.fields, name, self._property)} "}}"'
        return '"{" "}"' if type_.extra is None else self._mapping(self._value(type_.extra))

    def _mapping(self, inner: str) -> str:
        entry = f'key ": " {inner}'
        return f'"{{" ({entry} (", " {entry})*)? "}}"'


@dataclass
class LarkWriter(_TextWriter):
    """llguidance's Lark: the number of the task is a parameter of its rules."""

    def rule(self, name: str, *options: str) -> str:
        body = "\n  | ".join(options)
        # llguidance wants no parameter where no reference can stand.
        used = f"{name}::_" if _PARAMETER.search(_LITERAL.sub("", body)) else name
        self.rules.append(f"{used}: {body}")
        return used

    def write_references(self) -> list[str]:
        known = self.available(self.numbers[-1])
        if not known:
            return []
        return [
            self.rule("reference", *[f'"${k}"{self.path} %if gt(_, {k})' for k in known]),
            self.rule("inserted", *[f'"${{{k}"{self.path} "}}" %if gt(_, {k})' for k in known]),
        ]

    def write(self) -> str:
        """The grammar of plans."""
        call, number, last = self.write_call(), self._write_number(), self.numbers[-1]
        self.rule("plan", f'{number} {call} "\\n" plan::incr(_) %if le(_, {last})', f'{number} "join()"')
        return self._grammar(f"start: plan::{self.numbers[0]}")

    def write_step(self) -> str:
        """The grammar of one turn."""
        self.rule("step", f"{self._write_number()} {self.write_call()}")
        step = f"step::{self.numbers[0]}"
        return self._grammar(
            f'start: "Thought: " LINE "\\n" ({step} | "Answer: " ANSWER)',
            r"LINE: /[^\x00-\x1f\x7f]{1,400}/",
            r"ANSWER: /[^\x00]+/",
        )

    def _write_number(self) -> str:
        numbers = (*self.numbers, self.numbers[-1] + 1)
        return self.rule("number", *[f'"{k}. " %if eq(_, {k})' for k in numbers])

    def _grammar(self, *lines: str) -> str:
        patterns = [f"{name}: /{pattern}/" for name, pattern in PATTERNS.items()]
        return "\n".join(["%llguidance {}", *lines, *self.rules, _LARK_STRINGS, *patterns, ""])


@dataclass
class GBNFWriter(_TextWriter):
    """llama.cpp's GBNF: each rule is written once for each number."""

    number: int = 0

    def rule(self, name: str, *options: str) -> str:
        used = f"{name}-{self.number}"
        self.rules.append(f"{used} ::= {' | '.join(options)}")
        return used

    def write_references(self) -> list[str]:
        known = " | ".join(f'"{k}"' for k in self.available(self.number))
        if not known:
            return []
        return [
            self.rule("reference", f'"$" ({known}){self.path}'),
            self.rule("inserted", f'"${{" ({known}){self.path} "}}"'),
        ]

    def write(self) -> str:
        """The grammar of plans."""
        for number in self.numbers:
            call = self._write_call_of(number)
            self.rule("plan", f'"{number}. " ({call} "\\n" plan-{number + 1} | "join()")')
        self.number = self.numbers[-1] + 1
        self.rule("plan", f'"{self.number}. join()"')
        return self._grammar(f"root ::= plan-{self.numbers[0]}")

    def write_step(self) -> str:
        """The grammar of one turn."""
        number = self.numbers[0]
        turn = f'("{number}. " {self._write_call_of(number)} | "Answer: " [^\\x00]+)'
        return self._grammar(f'root ::= "Thought: " [^\\x00-\\x1f\\x7f]{{1,400}} "\\n" {turn}')

    def _write_call_of(self, number: int) -> str:
        self.number, self.values, self.n_objects = number, {}, 0
        return self.write_call()

    def _grammar(self, *lines: str) -> str:
        patterns = [f"{name} ::= {pattern}" for name, pattern in PATTERNS.items()]
        return "\n".join([*lines, *self.rules, _GBNF_STRINGS, *patterns, ""])
