"""The grammar of the plans that one toolbox allows, for engines that enforce one while they decode.

It allows only the toolbox's tools, only their arguments with their types and enumerations, required
ones always there, in the order of the signature, and only references to earlier tasks. The language is
the canonical form that :class:`~plait.planners.Plan` prints.

Three forms of one language: llguidance's Lark, in which a rule carries the number of its task as a
parameter, so that the size does not grow with the number of tasks; GBNF, which has no parameters, so
that each rule is written once for each task; and JSON schema, for the JSON form of a plan.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from plait.errors import GrammarError
from plait.models import Grammar
from plait.planners._plan import print_argument_name, print_value
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

MAX_TASKS = 24
"""Tasks that a grammar lets one plan have."""

_ESCAPE = r'\\(?:["\\\/bfnrt$]|u[0-9a-fA-F]{4})'
_PLAIN = r'[^"\\${\x00-\x1f\x7f]'
_GBNF_TERMINALS = r"""
ESCAPE ::= "\\" (["\\/bfnrt$] | "u" [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F])
TEXT ::= ([^"\\$\x00-\x1f\x7f] | ESCAPE)+
DOLLAR ::= "$"+ ([^"\\${\x00-\x1f\x7f] | ESCAPE)
INTEGER ::= "-"? UNSIGNED
UNSIGNED ::= "0" | [1-9] [0-9]*
NUMBER ::= INTEGER ("." [0-9]+)? ([eE] [-+]? [0-9]+)?
UNSIGNEDNUMBER ::= UNSIGNED ("." [0-9]+)? ([eE] [-+]? [0-9]+)?
DATE ::= [0-9] [0-9] [0-9] [0-9] "-" [01] [0-9] "-" [0-3] [0-9]
TIME ::= [0-2] [0-9] ":" [0-5] [0-9] (":" [0-5] [0-9])?
DATETIME ::= DATE [T ] TIME
NAME ::= [A-Za-z_] [A-Za-z0-9_]*
"""
_LARK_TERMINALS = rf"""
TEXT: /([^"\\$\x00-\x1f\x7f]|{_ESCAPE})+/
DOLLAR: /\$+({_PLAIN}|{_ESCAPE})/
INTEGER: /-?(0|[1-9][0-9]*)/
UNSIGNED: /0|[1-9][0-9]*/
NUMBER: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/
UNSIGNEDNUMBER: /(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/
DATE: /[0-9]{{4}}-[01][0-9]-[0-3][0-9]/
TIME: /[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?/
DATETIME: /[0-9]{{4}}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9](:[0-5][0-9])?/
NAME: /[A-Za-z_][A-Za-z0-9_]*/
"""


def plan_grammar(
    tools: Iterable[Tool], *, first: int = 1, unavailable: Set[int] = frozenset(), max_tasks: int = MAX_TASKS
) -> Grammar:
    """The grammar of plans over ``tools``, in all its forms.

    Args:
        tools: the tools that the prompt offers.
        first: number of the plan's first task; those below it are tasks of earlier plans.
        unavailable: numbers below ``first`` that may not be referred to, because those tasks failed.
        max_tasks: tasks that the plan may have at most.

    Raises:
        GrammarError: there is no tool, or one's default or enumeration cannot be written.
    """
    offered = sorted(tools, key=lambda t: t.name)
    if not offered:
        raise GrammarError("a plan needs at least one tool; the toolbox is empty")
    numbers = range(first, first + max_tasks)
    return Grammar(
        lark=_LarkWriter(offered, numbers, unavailable).write(),
        gbnf=_GBNFWriter(offered, numbers, unavailable).write(),
        json_schema=_JSONSchemaWriter(offered, numbers, unavailable).write(),
    )


def step_grammar(tools: Iterable[Tool], *, number: int, unavailable: Set[int] = frozenset()) -> Grammar:
    """The grammar of one turn: a thought, then call ``number`` or the answer. Lark and GBNF only.

    Raises:
        GrammarError: as for :func:`plan_grammar`.
    """
    offered = sorted(tools, key=lambda t: t.name)
    if not offered:
        raise GrammarError("a turn needs at least one tool; the toolbox is empty")
    numbers = range(number, number + 1)
    return Grammar(
        lark=_LarkWriter(offered, numbers, unavailable).write_step(),
        gbnf=_GBNFWriter(offered, numbers, unavailable).write_step(),
    )


_STRUCTURED = ("{", "[", "any", "dict", "list")


def _text(literal: str) -> str:
    return json.dumps(literal, ensure_ascii=False)


@dataclass
class _Writer:
    """What both textual forms share: the rules of calls, arguments and values.

    A *numbered* rule depends on the number of the task it stands in, because a reference may stand in
    it. ``use`` writes its name where it is used.
    """

    tools: Sequence[Tool]
    numbers: range
    unavailable: Set[int]
    rules: list[str] = field(default_factory=list)
    names: dict[Any, str] = field(default_factory=dict)

    @property
    def has_paths(self) -> bool:
        """Whether some result has parts to reach into."""
        return any(t.returns == "" or t.returns.startswith(_STRUCTURED) for t in self.tools)

    def available(self, number: int) -> list[int]:
        return [k for k in range(1, number) if k not in self.unavailable]

    def use(self, rule: str) -> str:
        raise NotImplementedError

    def rule(self, name: str, body: str) -> str:
        raise NotImplementedError

    def call_rules(self) -> list[str]:
        """Names of the rules of each tool's call."""
        return [self.rule(f"call{i}", self._call(tool)) for i, tool in enumerate(self.tools)]

    def _call(self, tool: Tool) -> str:
        try:
            arguments = self._sequence(tool.arguments.fields, f"args{len(self.names)}", self._argument)
        except (TypeError, ValueError) as error:
            raise GrammarError(
                f"no grammar can be built for {tool.name!r}: {error}", tool=tool.name
            ) from error
        return f"{_text(tool.name + '(')} {arguments} {_text(')')}"

    def _argument(self, argument: Field) -> str:
        return f"{_text(print_argument_name(argument.name) + '=')} {self.value(argument.type)}"

    def _property(self, argument: Field) -> str:
        return f"{_text(print_value(argument.name) + ': ')} {self.value(argument.type)}"

    def _sequence(self, fields: Sequence[Field], stem: str, write: Callable[[Field], str]) -> str:
        """Fields in order, optional ones left out or not, with commas just between those that are there."""
        self.names[stem] = stem
        rest = '""'  # what may follow once something has been written
        start: list[str] = ['""']  # what may stand when nothing has been written yet
        for i, f in reversed(list(enumerate(fields))):
            written = write(f)
            begins = f"{written} {rest}"
            start = [begins] if f.required else [begins, *start]
            following = f'", " {written} {rest}'
            if i > 0:
                rest = self.use(self.rule(f"{stem}rest{i}", following if f.required else f'{following} | ""'))
        return self.use(self.rule(stem, " | ".join(start)))

    def value(self, type_: Type) -> str:
        """The name, as it is used, of the rule of values of this type; a reference is one, too."""
        if type_ not in self.names:
            self.names[type_] = name = f"value{len(self.names)}"
            self.rule(name, f"{self.use('reference')} | {self._literal(type_)}")
        return self.use(self.names[type_])

    def _literal(self, type_: Type) -> str:
        match type_:
            case AnyType():
                text, inner = self.use("string"), self.value(type_)
                return (
                    f'{text} | NUMBER | "true" | "false" | "null" | "[" ({inner} (", " {inner})*)? "]"'
                    f' | "{{" ({text} ": " {inner} (", " {text} ": " {inner})*)? "}}"'
                )
            case BooleanType():
                return '"true" | "false"'
            case NumberType():
                unsigned = (
                    (type_.minimum or -1) >= 0 or type_.minimum == 0 or (type_.exclusive_minimum or -1) >= 0
                )
                return (
                    ("UNSIGNED" if unsigned else "INTEGER")
                    if type_.integer
                    else ("UNSIGNEDNUMBER" if unsigned else "NUMBER")
                )
            case StringType():
                terminal = {"date-time": "DATETIME", "date": "DATE", "time": "TIME"}.get(type_.format or "")
                return f'"\\"" {terminal} "\\""' if terminal else self.use("string")
            case EnumType():
                return " | ".join(_text(print_value(v)) for v in type_.values)
            case ArrayType():
                return self._array(type_)
            case ObjectType():
                return self._object(type_)
            case UnionType():
                return " | ".join(self._literal(option) for option in type_.options)

    def _array(self, type_: ArrayType) -> str:
        if type_.prefix:
            items = ' ", " '.join(self.value(p) for p in type_.prefix)
            more = "" if type_.max_items == len(type_.prefix) else f' (", " {self.value(type_.items)})*'
            return f'"[" {items}{more} "]"'
        item = self.value(type_.items)
        low, high = type_.min_items or 0, type_.max_items
        if high == 0:
            return '"[]"'
        more = f'(", " {item}){{{max(0, low - 1)},{"" if high is None else high - 1}}}'
        some = f"{item} {more}"
        return f'"[" {some} "]"' if low else f'"[" ({some})? "]"'

    def _object(self, type_: ObjectType) -> str:
        if not type_.fields:
            inner = self.value(type_.extra or AnyType())
            entry = f'{self.use("string")} ": " {inner}'
            return f'"{{" ({entry} (", " {entry})*)? "}}"'
        return f'"{{" {self._sequence(type_.fields, f"object{len(self.names)}", self._property)} "}}"'


@dataclass
class _LarkWriter(_Writer):
    plain: set[str] = field(default_factory=set)
    """Rules in which no reference can stand: llguidance wants those without a parameter."""

    def use(self, rule: str) -> str:
        return rule if rule in self.plain else f"{rule}::_"

    def rule(self, name: str, body: str) -> str:
        if "::" not in body:
            self.plain.add(name)
        self.rules.append(f"{self.use(name)}: {body}")
        return name

    def write(self) -> str:
        first, last = self.numbers[0], self.numbers[-1]
        call = self._call_rule()
        return self._grammar(
            f"start: plan::{first}",
            f'plan::_: number::_ {call} "\\n" plan::incr(_) %if le(_, {last})\n  | number::_ "join()"',
        )

    def write_step(self) -> str:
        call = self._call_rule()
        return self._grammar(
            f'start: "Thought: " LINE "\\n" (step::{self.numbers[0]} | "Answer: " ANSWER)',
            f"step::_: number::_ {call}",
            "LINE: /[^\\n]{1,400}/",
            "ANSWER: /[^\\x00]+/",
        )

    def _call_rule(self) -> str:
        return self.use(self.rule("call", " | ".join(self.use(call) for call in self.call_rules())))

    def _grammar(self, *start: str) -> str:
        last = self.numbers[-1]
        numbers = "\n  | ".join(f'"{k}. " %if eq(_, {k})' for k in (*self.numbers, last + 1))
        path = " path?" if self.has_paths else ""
        known = [k for k in range(1, last) if k not in self.unavailable]
        bare = [f'"${k}"{path} %if gt(_, {k})' for k in known]
        braced = [f'"${{{k}"{path} "}}" %if gt(_, {k})' for k in known]
        lines = [
            "%llguidance {}",
            *start,
            f"number::_: {numbers}",
            f"reference::_: {_alternatives(bare)}",
            f"inserted::_: {_alternatives(braced)}",
            'string::_: "\\"" (TEXT | DOLLAR | inserted::_)* "\\""',
        ]
        if self.has_paths:
            lines.append('path: ("." NAME | "[" UNSIGNED "]")+')
        return "\n".join([*lines, *self.rules]) + _LARK_TERMINALS


def _alternatives(options: list[str]) -> str:
    # A rule needs some alternative; this one can never be taken.
    return "\n  | ".join(options) if options else '"$" %if lt(_, 0)'


@dataclass
class _GBNFWriter(_Writer):
    number: int = 0

    def use(self, rule: str) -> str:
        return f"{rule}-{self.number}"

    def rule(self, name: str, body: str) -> str:
        self.rules.append(f"{name}-{self.number} ::= {body}")
        return name

    def value(self, type_: Type) -> str:
        if self.available(self.number):
            return super().value(type_)
        if type_ not in self.names:
            self.names[type_] = name = f"value{len(self.names)}"
            self.rule(name, self._literal(type_))
        return self.use(self.names[type_])

    def write(self) -> str:
        for number in self.numbers:
            self.number, self.names = number, {}
            self._rules_of_number()
            self.rules.append(
                f'plan-{number} ::= "{number}. " (call-{number} "\\n" plan-{number + 1} | "join()")'
            )
        last = self.numbers[-1] + 1
        return self._grammar(f"root ::= plan-{self.numbers[0]}", f'plan-{last} ::= "{last}. join()"')

    def write_step(self) -> str:
        self.number = self.numbers[0]
        self._rules_of_number()
        turn = f'("{self.number}. " call-{self.number} | "Answer: " [^\\x00]+)'
        return self._grammar(f'root ::= "Thought: " [^\\n]{{1,400}} "\\n" {turn}')

    def _grammar(self, *start: str) -> str:
        lines = [*start]
        if self.has_paths:
            lines.append('path ::= ("." NAME | "[" UNSIGNED "]")+')
        return "\n".join([*lines, *self.rules]) + _GBNF_TERMINALS

    def _rules_of_number(self) -> None:
        k = self.number
        calls = " | ".join(self.use(call) for call in self.call_rules())
        self.rules.append(f"call-{k} ::= {calls}")
        path = " path?" if self.has_paths else ""
        available = self.available(k)
        if not available:
            self.rules.append(f'string-{k} ::= "\\"" (TEXT | DOLLAR)* "\\""')
            return
        numbers = " | ".join(f'"{j}"' for j in available)
        self.rules.append(f'reference-{k} ::= "$" ({numbers}){path}')
        self.rules.append(f'inserted-{k} ::= "${{" ({numbers}){path} "}}"')
        self.rules.append(f'string-{k} ::= "\\"" (TEXT | DOLLAR | inserted-{k})* "\\""')


@dataclass(frozen=True)
class _JSONSchemaWriter:
    """The JSON form: ``{"tasks": [{"tool": ..., "arguments": {...}}, ...]}``.

    Which references a value may be is part of the schema; which may stand inside a longer text is not,
    and is checked by the parser.
    """

    tools: Sequence[Tool]
    numbers: range
    unavailable: Set[int]

    def write(self) -> dict[str, Any]:
        definitions = {f"task{k}": self._task(k) for k in self.numbers}
        return {
            "type": "object",
            "properties": {"tasks": {"anyOf": [self._tasks(n) for n in range(len(self.numbers) + 1)]}},
            "required": ["tasks"],
            "additionalProperties": False,
            "$defs": definitions,
        }

    def _tasks(self, n: int) -> dict[str, Any]:
        entries = [{"$ref": f"#/$defs/task{k}"} for k in self.numbers[:n]]
        sized = {"type": "array", "minItems": n, "maxItems": n}
        return {**sized, "prefixItems": entries, "items": False} if n else sized

    def _task(self, number: int) -> dict[str, Any]:
        return {"anyOf": [self._call(tool, number) for tool in self.tools]}

    def _call(self, tool: Tool, number: int) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"tool": {"const": tool.name}, "arguments": self._object(tool.arguments, number)},
            "required": ["tool", "arguments"],
            "additionalProperties": False,
        }

    def _object(self, type_: ObjectType, number: int) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {f.name: self._value(f.type, number) for f in type_.fields},
            "required": [f.name for f in type_.fields if f.required],
            "additionalProperties": False if type_.extra is None else self._value(type_.extra, number),
        }

    def _value(self, type_: Type, number: int) -> dict[str, Any]:
        literal = self._literal(type_, number)
        available = [str(k) for k in range(1, number) if k not in self.unavailable]
        plain_text = isinstance(type_, StringType) and literal == {"type": "string"}
        if not available or not literal or plain_text:
            return literal
        path = r"(\.[A-Za-z_][A-Za-z0-9_]*|\[[0-9]+\])*"
        reference = {"type": "string", "pattern": rf"^\$({'|'.join(available)}){path}$"}
        return {"anyOf": [literal, reference]}

    def _literal(self, type_: Type, number: int) -> dict[str, Any]:
        match type_:
            case AnyType():
                return {}
            case BooleanType():
                return {"type": "boolean"}
            case NumberType():
                bounds = {"minimum": type_.minimum, "maximum": type_.maximum}
                kind = "integer" if type_.integer else "number"
                return {"type": kind, **{k: v for k, v in bounds.items() if v is not None}}
            case StringType():
                known = type_.format in ("date-time", "date", "time")
                return {"type": "string", "format": type_.format} if known else {"type": "string"}
            case EnumType():
                return {"enum": list(type_.values)}
            case ArrayType():
                return self._array(type_, number)
            case ObjectType():
                return self._object(type_, number) if type_.fields else {"type": "object"}
            case UnionType():
                return {"anyOf": [self._literal(option, number) for option in type_.options]}

    def _array(self, type_: ArrayType, number: int) -> dict[str, Any]:
        array: dict[str, Any] = {"type": "array", "items": self._value(type_.items, number)}
        if type_.prefix:
            array["prefixItems"] = [self._value(p, number) for p in type_.prefix]
        bounds = {"minItems": type_.min_items, "maxItems": type_.max_items}
        return array | {k: v for k, v in bounds.items() if v is not None}
