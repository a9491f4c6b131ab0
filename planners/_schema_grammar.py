"""Writes the grammar of plans as a JSON schema of their JSON form."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from plait.planners._terminals import (
    ANY_DEPTH,
    MAX_STEPS,
    PATTERNS,
    item_counts,
    results_have_parts,
    string_pattern,
)
from plait.tools import (
    AnyType,
    ArrayType,
    BooleanType,
    EnumType,
    NumberType,
    ObjectType,
    StringType,
    Tool,
    Type,
    UnionType,
)

Schema = dict[str, Any]


@dataclass
class SchemaWriter:
    """The JSON form: ``{"tasks": [{"tool": ..., "arguments": {...}}, ...]}``.

    Which references a value may be is part of the schema; which may stand inside a longer text is not,
    and is checked by the parser.
    """

    tools: Sequence[Tool]
    numbers: range
    unavailable: Set[int]
    definitions: dict[str, Schema] = field(default_factory=dict)

    def write(self) -> Schema:
        """The schema of plans."""
        for number in self.numbers:
            calls = [self._call(tool, number) for tool in self.tools]
            self.definitions[f"task{number}"] = {"anyOf": calls}
        plans = {"anyOf": [self._tasks(n) for n in range(len(self.numbers) + 1)]}
        return {**_closed({"tasks": plans}, ["tasks"]), "$defs": self.definitions}

    def _tasks(self, n: int) -> Schema:
        sized: Schema = {"type": "array", "minItems": n, "maxItems": n}
        entries = [_defined(f"task{k}") for k in self.numbers[:n]]
        return {**sized, "prefixItems": entries, "items": False} if n else sized

    def _call(self, tool: Tool, number: int) -> Schema:
        arguments = self._fields(tool.arguments, number)
        return _closed({"tool": {"const": tool.name}, "arguments": arguments}, ["tool", "arguments"])

    def _fields(self, type_: ObjectType, number: int) -> Schema:
        required = [f.name for f in type_.fields if f.required]
        return _closed({f.name: self._value(f.type, number) for f in type_.fields}, required)

    def _value(self, type_: Type, number: int) -> Schema:
        literal = self._literal(type_, number)
        known = "|".join(str(k) for k in range(1, number) if k not in self.unavailable)
        has_every_string = isinstance(type_, AnyType) or literal == {"type": "string"}
        if not known or has_every_string:
            return literal
        step = f"([.]{PATTERNS['FIELD']}|\\[{PATTERNS['INDEX']}\\])"
        path = f"{step}{{0,{MAX_STEPS}}}" if results_have_parts(self.tools) else ""
        return {"anyOf": [literal, _matching(f"[$]({known}){path}")]}

    def _literal(self, type_: Type, number: int) -> Schema:
        match type_:
            case AnyType():
                return self._any(ANY_DEPTH)
            case BooleanType():
                return {"type": "boolean"}
            case NumberType():
                return _number(type_)
            case StringType():
                pattern = string_pattern(type_)
                return _matching(PATTERNS[pattern]) if pattern else {"type": "string"}
            case EnumType():
                # As the JSON form writes them, in which a bare dollar could begin a reference.
                return {"enum": [v.replace("$", "\\$") if isinstance(v, str) else v for v in type_.values]}
            case ArrayType():
                return self._array(type_, number)
            case ObjectType():
                return self._object(type_, number)
            case UnionType():
                return {"anyOf": [self._literal(option, number) for option in type_.options]}

    def _any(self, depth: int) -> Schema:
        name = f"any{depth}"
        if name not in self.definitions:
            scalar: Schema = {"type": ["string", "number", "boolean", "null"]}
            if depth > 0:
                inner = self._any(depth - 1)
                array: Schema = {"type": "array", "items": inner}
                mapping: Schema = {"type": "object", "additionalProperties": inner}
                scalar = {"anyOf": [scalar, array, mapping]}
            self.definitions[name] = scalar
        return _defined(name)

    def _array(self, type_: ArrayType, number: int) -> Schema:
        low, high = item_counts(type_)
        array: Schema = {"type": "array", "minItems": low}
        if high is not None:
            array["maxItems"] = high
        if type_.prefix:
            array["prefixItems"] = [self._value(p, number) for p in type_.prefix]
        closed = bool(type_.prefix) and high is not None and high <= len(type_.prefix)
        return {**array, "items": False if closed else self._value(type_.items, number)}

    def _object(self, type_: ObjectType, number: int) -> Schema:
        if type_.fields or type_.extra is None:
            return self._fields(type_, number)
        return {"type": "object", "additionalProperties": self._value(type_.extra, number)}


def _closed(properties: Schema, required: list[str]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _defined(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _matching(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^({pattern})$"}


def _number(type_: NumberType) -> Schema:
    bounds = {
        "minimum": type_.minimum,
        "maximum": type_.maximum,
        "exclusiveMinimum": type_.exclusive_minimum,
        "exclusiveMaximum": type_.exclusive_maximum,
    }
    kept = {keyword: bound for keyword, bound in bounds.items() if bound is not None}
    return {"type": "integer" if type_.integer else "number", **kept}
