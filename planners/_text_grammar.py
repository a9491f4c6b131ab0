"""What the two forms of the text's grammar, Lark and GBNF, have in common."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field

from plait.errors import GrammarError
from plait.planners._dialects import Dialect
from plait.planners._plan import print_argument_name, print_key, print_value
from plait.planners._terminals import (
    ANY_DEPTH,
    MAX_STEPS,
    item_counts,
    number_pattern,
    patterns,
    results_have_parts,
    string_pattern,
)
from plait.tools import (
    AnyType,
    ArrayType,
    BooleanType,
    EnumType,
    Field,
    Kind,
    NumberType,
    ObjectType,
    StringType,
    Tool,
    Type,
    UnionType,
)

_QUOTE = r'"\""'


def text_literal(literal: str) -> str:
    """``literal`` as both forms write one."""
    literal.encode()  # refuses half a character, which Python can hold and no model can write
    return json.dumps(literal, ensure_ascii=False)


def _quoted(printed: str) -> str:
    """A string, given as it is printed, in tokens of which the quotes are two.

    Of tokens that begin alike, llguidance follows the longest: in one token, "auto" would hide every
    other string that begins with "a".
    """
    content = printed[1:-1]
    return " ".join([_QUOTE, *([text_literal(content)] if content else []), _QUOTE])


def _either(options: Sequence[str]) -> str:
    return " | ".join(options)


@dataclass
class TextWriter(ABC):
    """What both forms share: the rules of calls, arguments and values.

    Most rules are numbered: what they allow depends on the number of the task that they are part of,
    because a reference may stand in it.
    """

    tools: Sequence[Tool]
    numbers: range
    unavailable: Set[int]
    dialect: Dialect
    rules: list[str] = field(default_factory=list)
    values: dict[tuple[Kind | None, str], str] = field(default_factory=dict)
    """How the rule of each sort of value is used."""
    references: list[str] = field(default_factory=list)
    """The rules of what refers to an earlier task: as a value, and within a string. Empty if nothing can."""
    n_objects: int = 0
    string: str = ""
    """The rule of strings without a format."""
    kind: Kind | None = None
    """What the argument that is being written takes, in the form that heeds it."""
    max_items: int | None = None
    """How many items a list may have of which nothing else is said."""

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

    def kind_of(self, argument: Field) -> Kind | None:
        """What ``argument`` takes, where this form heeds it."""
        return None

    def condition(self, argument: Field) -> str:
        """What follows an option with this optional argument: when it is one."""
        return ""

    def referring(self, type_: Type) -> list[str]:
        """The rule of references to values of this type that the argument takes which is being written."""
        return self.references[:1]

    def inserting(self) -> list[str]:
        """The rule of references within its texts."""
        return self.references[1:]

    def text(self) -> list[str]:
        """The rule of texts that the argument takes, if it takes any."""
        return [self.string]

    def _call(self, index: int, tool: Tool) -> str:
        try:
            if not tool.name.isprintable():
                raise ValueError("its name has characters that cannot be printed")
            arguments = self._sequence(tool.arguments.fields, f"arguments{index}", self._argument)
            return self.rule(
                f"call{index}", f"{text_literal(tool.name + '(')} {arguments} {text_literal(')')}"
            )
        except (TypeError, ValueError) as error:
            raise GrammarError(
                f"no grammar can be built for {tool.name!r}: {error}", tool=tool.name
            ) from error

    @property
    def patterns(self) -> dict[str, str]:
        """The regular expressions that rules name."""
        return patterns(separator=self.dialect.moment, relative=self.dialect.relative)

    @property
    def comma(self) -> str:
        """What stands between arguments, items and entries."""
        return text_literal(f",{self.dialect.space}")

    @property
    def colon(self) -> str:
        """What stands between a key and its value."""
        return text_literal(f":{self.dialect.space}")

    def _argument(self, argument: Field) -> str:
        self.kind = self.kind_of(argument)
        value = self._value(argument.type)
        if self.dialect.names(argument):
            return f"{text_literal(print_argument_name(argument.name) + '=')} {value}"
        return value

    def _property(self, property_: Field) -> str:
        return f"{_quoted(print_key(property_.name))} {self.colon} {self._value(property_.type)}"

    def _sequence(self, fields: Sequence[Field], name: str, write: Callable[[Field], str]) -> str:
        """Fields in order, optional ones left out or not, with commas just between those that are there."""
        rest = '""'  # what may follow once something has been written
        start = ['""']  # what may stand when nothing has been written yet
        for i, field_ in reversed(list(enumerate(fields))):
            written, when = write(field_), self.condition(field_)
            start = [f"{written} {rest}{when}", *([] if field_.required else start)]
            if i > 0:
                options = [f"{self.comma} {written} {rest}{when}", *([] if field_.required else [rest])]
                rest = self.rule(f"{name}rest{i}", *options)
        return self.rule(name, *start)

    def _value(self, type_: Type) -> str:
        if isinstance(type_, AnyType):
            return self._any(ANY_DEPTH)
        return self._named(repr(type_), type_, lambda: self._literals(type_))

    def _any(self, depth: int) -> str:
        return self._named(f"any {depth}", AnyType(), lambda: self._any_literals(depth))

    def _named(self, sort: str, type_: Type, literals: Callable[[], list[str]]) -> str:
        """The rule of values of this sort; a reference is one, too."""
        key = (self.kind, sort)
        if key not in self.values:
            options = [*self.referring(type_), *literals()]
            self.values[key] = self.rule(f"value{len(self.values)}", *options)
        return self.values[key]

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
                return [f"{_QUOTE} {pattern} {_QUOTE}"] if pattern else self.text()
            case EnumType():
                printed = [print_value(value) for value in type_.values]
                return [_quoted(text) if text.startswith('"') else text_literal(text) for text in printed]
            case ArrayType():
                return [self._array(type_)]
            case ObjectType():
                return [self._object(type_)]
            case UnionType():
                return [literal for option in type_.options for literal in self._literals(option)]

    def _any_literals(self, depth: int) -> list[str]:
        scalars = [*self.text(), "NUMBER", '"true"', '"false"', '"null"']
        if depth == 0:
            return scalars
        inner = self._any(depth - 1)
        more = "*" if self.max_items is None else f"{{0,{self.max_items - 1}}}"
        return [*scalars, f'"[" ({inner} ({self.comma} {inner}){more})? "]"', self._mapping(inner)]

    def _array(self, type_: ArrayType) -> str:
        low, high = item_counts(type_)
        if high == 0:
            return '"[" "]"'
        begin = [self._value(p) for p in type_.prefix or (type_.items,)][:high]
        n = len(begin)
        items = ""
        if high is None or high > n:
            most = self._most_items(type_.items) if high is None else high
            count = f"{{{max(0, low - n)},{'' if most is None else max(low, most) - n}}}"
            items = f"({self.comma} {self._value(type_.items)}){count}"
        for i, item in reversed(list(enumerate(begin))):
            items = f"{self.comma} {item} {items}" if i else f"{item} {items}"
            items = items if i < low else f"({items})?"
        return f'"[" {items} "]"'

    def _most_items(self, items: Type) -> int | None:
        """How many items a list may have of which nothing else is said; of numbers, which are short, more."""
        is_short = isinstance(items, NumberType | BooleanType)
        return None if self.max_items is None else self.max_items * (4 if is_short else 1)

    def _object(self, type_: ObjectType) -> str:
        if type_.fields:
            self.n_objects += 1
            name = f"object{self.n_objects}"
            return f'"{{" {self._sequence(type_.fields, name, self._property)} "}}"'
        return '"{" "}"' if type_.extra is None else self._mapping(self._value(type_.extra))

    def _mapping(self, inner: str) -> str:
        entry = f"key {self.colon} {inner}"
        return f'"{{" ({entry} ({self.comma} {entry})*)? "}}"'
