"""The argument types of tools: JSON schema boiled down to what plans need.

:func:`parse_schema` turns any JSON schema into a small tree of types, from which the prompt's
signatures, the plan grammar, the lenient coercion and (for tools that come as a schema) the pydantic
model are made. References are resolved, ``allOf`` is merged, spellings outside the standard that real
function definitions use (``"dict"``, ``"float"``) are understood. Keywords that only narrow a type and
have no place here are noted as degraded; what cannot be expressed at all is refused by name.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeGuard
from urllib.parse import unquote

from plait.errors import ToolDefinitionError


@dataclass(frozen=True, slots=True)
class AnyType:
    """Any JSON value."""


@dataclass(frozen=True, slots=True)
class BooleanType:
    """``true`` or ``false``."""


@dataclass(frozen=True, slots=True)
class NumberType:
    """A number, or an integer where ``integer`` is true."""

    integer: bool = False
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None


@dataclass(frozen=True, slots=True)
class StringType:
    """A string; ``format`` is JSON schema's (``"date-time"``, ``"date"``, ``"email"``, ...)."""

    format: str | None = None
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class EnumType:
    """One of a few values; ``null`` is the enumeration of ``None``."""

    values: tuple[str | int | float | bool | None, ...]


@dataclass(frozen=True, slots=True)
class ArrayType:
    """A list. ``prefix`` gives the types of a tuple's first items, ``items`` those of the rest."""

    items: Type
    prefix: tuple[Type, ...] = ()
    min_items: int | None = None
    max_items: int | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One property of an object, or one argument of a tool."""

    name: str
    type: Type
    required: bool = True
    description: str = ""
    default: Any = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class ObjectType:
    """An object; ``extra`` is the type of properties that are not named, ``None`` if there are none."""

    fields: tuple[Field, ...] = ()
    extra: Type | None = None


@dataclass(frozen=True, slots=True)
class UnionType:
    """A value of any one of ``options``."""

    options: tuple[Type, ...]


Type: TypeAlias = (
    AnyType | BooleanType | NumberType | StringType | EnumType | ArrayType | ObjectType | UnionType
)

NULL = EnumType((None,))

_TYPE_NAMES = {
    "string": "string",
    "str": "string",
    "char": "string",
    "integer": "integer",
    "int": "integer",
    "long": "integer",
    "number": "number",
    "float": "number",
    "double": "number",
    "boolean": "boolean",
    "bool": "boolean",
    "array": "array",
    "list": "array",
    "tuple": "array",
    "object": "object",
    "dict": "object",
    "null": "null",
    "none": "null",
    "any": "any",
}
_NOT_CHECKED = (
    "$dynamicRef",
    "$recursiveRef",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxProperties",
    "minProperties",
    "multipleOf",
    "not",
    "patternProperties",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
)
_IMPLIED_TYPES = {
    "additionalProperties": "object",
    "maxProperties": "object",
    "minProperties": "object",
    "patternProperties": "object",
    "properties": "object",
    "items": "array",
    "maxItems": "array",
    "minItems": "array",
    "prefixItems": "array",
    "format": "string",
    "maxLength": "string",
    "minLength": "string",
    "pattern": "string",
    "exclusiveMaximum": "number",
    "exclusiveMinimum": "number",
    "maximum": "number",
    "minimum": "number",
}
_REMARKS = frozenset(
    (
        *("$anchor", "$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated"),
        *("description", "discriminator", "example", "examples", "externalDocs", "id", "nullable"),
        *("readOnly", "title", "writeOnly", "xml"),
    )
)
"""Keywords that do not narrow what a schema accepts."""
_MAX_DEPTH = 64
_MAX_PARTS = 2000
_BARE_NAME = re.compile(r"[A-Za-z_][\w.\-]*")


def parse_schema(schema: Mapping[str, Any], *, tool: str) -> tuple[ObjectType, tuple[str, ...]]:
    """The arguments that ``schema``, a JSON schema of type object, describes.

    Returns:
        The arguments and, for each keyword that could not be kept, a sentence about what is not checked.

    Raises:
        ToolDefinitionError: the schema is no object's, refers to something outside itself, or is malformed.
    """
    reader = _Reader(tool, schema)
    parsed = without_null(reader.type_of(schema, "arguments", ()))
    if isinstance(parsed, AnyType):
        parsed = ObjectType()
    if isinstance(parsed, UnionType):
        parsed = _one_object(parsed)
        reader.degraded.append("arguments: which of them go together is not checked")
    if not isinstance(parsed, ObjectType):
        raise ToolDefinitionError(
            f"the arguments of {tool!r} must be described by a schema of type object, "
            f"not of {render_type(parsed)}",
            tool=tool,
        )
    return parsed, tuple(dict.fromkeys(reader.degraded))


def parse_result(schema: Mapping[str, Any], *, tool: str) -> Type:
    """What ``schema``, a JSON schema of any type, says of a tool's result.

    Raises:
        ToolDefinitionError: it refers to something outside itself, or is malformed.
    """
    definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    wrapped = {"type": "object", "properties": {"result": schema}, **definitions}
    return parse_schema(wrapped, tool=tool)[0].fields[0].type


@dataclass
class _Reader:
    tool: str
    root: Mapping[str, Any]
    degraded: list[str] = field(default_factory=list)
    depth: int = 0
    n_parts: int = 0

    def type_of(self, schema: object, path: str, seen: tuple[str, ...]) -> Type:
        with self._level(path):
            if schema is True:
                return AnyType()
            schema = self._mapping(schema, path)
            if "$ref" in schema or "allOf" in schema:
                schema, seen = self._merged(schema, path, seen)
            if schema.get("nullable") is True:  # OpenAPI 3.0
                bare = {k: v for k, v in schema.items() if k != "nullable"}
                return _union([self.type_of(bare, path, seen), NULL])
            self._note_unchecked(schema, path)
            if "anyOf" in schema or "oneOf" in schema:
                return self._any_of(schema, path, seen)
            if "enum" in schema or "const" in schema:
                return self._enum(schema["enum"] if "enum" in schema else [schema["const"]], path)
            names = schema.get("type", _implied_type(schema))
            if isinstance(names, str) or not isinstance(names, Sequence):
                return self._named(names, schema, path, seen)
            if not names:
                raise self._refusal(path, f"has the type {names!r}; it needs at least one")
            return _union(self._named(name, schema, path, seen) for name in names)

    @contextmanager
    def _level(self, path: str) -> Iterator[None]:
        self.depth += 1
        self.n_parts += 1
        if self.depth > _MAX_DEPTH:
            raise self._refusal(path, f"is nested deeper than {_MAX_DEPTH} levels")
        if self.n_parts > _MAX_PARTS:  # references to references multiply
            raise self._refusal(path, f"is beyond the {_MAX_PARTS} parts that a schema may have; simplify it")
        yield
        self.depth -= 1

    def _merged(
        self, schema: Mapping[str, Any], path: str, seen: tuple[str, ...]
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """``schema`` with all that its ``$ref`` and ``allOf`` add, and the references seen by then."""
        merged = {k: v for k, v in schema.items() if k not in ("$ref", "allOf")}
        parts = list(self._list(schema.get("allOf", ()), "allOf", path))
        followed = seen
        if "$ref" in schema:
            pointer = schema["$ref"]
            if pointer in seen:
                self.degraded.append(f"{path}: the recursion into {pointer} is not checked")
            else:
                parts.insert(0, self._lookup(pointer, path))
                seen = followed = (*seen, pointer)
        for part in parts:
            if part is True:
                continue
            added = self._mapping(part, path)
            if "$ref" in added or "allOf" in added:
                with self._level(path):
                    added, inner = self._merged(added, path, seen)
                followed = tuple(dict.fromkeys((*followed, *inner)))
            self._add(merged, added, path)
        return merged, followed

    def _add(self, merged: dict[str, Any], added: Mapping[str, Any], path: str) -> None:
        for key, value in added.items():
            if key not in merged:
                merged[key] = value
            elif key == "properties":
                merged[key] = self._both_properties(merged[key], value, path)
            elif key == "required" and _is_list(value) and _is_list(merged[key]):
                merged[key] = [*merged[key], *value]
            elif key == "type":
                merged[key] = _both_types(merged[key], value)
            elif merged[key] != value and key not in _REMARKS:
                self.degraded.append(f"{path}: of two {key!r} in its allOf only the first is checked")

    def _both_properties(self, first: object, second: object, path: str) -> dict[str, Any]:
        both = dict(self._mapping(first, f"{path}.properties"))
        for name, prop in self._mapping(second, f"{path}.properties").items():
            both[name] = {"allOf": [both[name], prop]} if name in both and both[name] != prop else prop
        return both

    def _lookup(self, pointer: object, path: str) -> Any:
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            raise self._refusal(path, f"refers to {pointer!r}, which is outside the schema; inline it")
        node: Any = self.root
        for raw in unquote(pointer.removeprefix("#")).strip("/").split("/"):
            part = raw.replace("~1", "/").replace("~0", "~")
            if part == "":
                continue
            if isinstance(node, Mapping) and part in node:
                node = node[part]
            elif _is_list(node) and part.isdecimal() and int(part) < len(node):
                node = node[int(part)]
            else:
                raise self._refusal(path, f"refers to {pointer!r}, which does not exist")
        return node

    def _any_of(self, schema: Mapping[str, Any], path: str, seen: tuple[str, ...]) -> Type:
        keyword = "anyOf" if "anyOf" in schema else "oneOf"
        options = self._list(schema[keyword], keyword, path)
        if not options:
            raise self._refusal(path, f"has an empty {keyword}")
        if keyword == "anyOf" and "oneOf" in schema:
            self.degraded.append(f"{path}: 'oneOf' is not checked")
        handled = {"anyOf", "oneOf", *_NOT_CHECKED, *_REMARKS}
        base = {k: v for k, v in schema.items() if k not in handled}
        where = f"{path}.{keyword}"
        branches = [{"allOf": [option, base]} if base else option for option in options]
        return _union(self.type_of(branch, where, seen) for branch in branches)

    def _named(self, name: object, schema: Mapping[str, Any], path: str, seen: tuple[str, ...]) -> Type:
        known = _TYPE_NAMES.get(name.lower()) if isinstance(name, str) else None
        if known is None:
            raise self._refusal(path, f"has the type {name!r}; known are {', '.join(sorted(_TYPE_NAMES))}")
        if known == "string":
            return StringType(
                self._text(schema, "format", path),
                self._text(schema, "pattern", path),
                self._count(schema, "minLength", path),
                self._count(schema, "maxLength", path),
            )
        if known in ("integer", "number"):
            return self._number(schema, path, integer=known == "integer")
        if known == "boolean":
            return BooleanType()
        if known == "null":
            return NULL
        if known == "array":
            return self._array(schema, path, seen)
        if known == "object":
            return self._object(schema, path, seen)
        return AnyType()

    def _enum(self, values: object, path: str) -> Type:
        if not _is_list(values) or not values:
            raise self._refusal(path, f"has the enumeration {values!r}; it needs at least one value")
        if all(v is None or isinstance(v, (str, int, float, bool)) for v in values):
            return _enumeration(values)
        self.degraded.append(f"{path}: the enumeration of lists or objects is not checked")
        return AnyType()

    def _number(self, schema: Mapping[str, Any], path: str, *, integer: bool) -> NumberType:
        low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        minimum, maximum = schema.get("minimum"), schema.get("maximum")
        if isinstance(low, bool):  # draft 4 wrote a flag beside the bound
            low, minimum = (minimum, None) if low else (None, minimum)
        if isinstance(high, bool):
            high, maximum = (maximum, None) if high else (None, maximum)
        bounds = {"minimum": minimum, "maximum": maximum, "exclusiveMinimum": low, "exclusiveMaximum": high}
        for key, bound in bounds.items():
            if bound is not None and not _is_number(bound):
                raise self._refusal(path, f"has the {key} {bound!r}, which is no number")
        if integer:
            minimum, high = (None if b is None else math.ceil(b) for b in (minimum, high))
            maximum, low = (None if b is None else math.floor(b) for b in (maximum, low))
        return NumberType(integer, minimum, maximum, low, high)

    def _array(self, schema: Mapping[str, Any], path: str, seen: tuple[str, ...]) -> Type:
        items = schema.get("items", {})
        prefix = self._list(schema.get("prefixItems", ()), "prefixItems", path)
        if _is_list(items):  # the tuple spelling of drafts before 2020-12
            prefix, items = items, schema.get("additionalItems", {})
        closed = items is False
        longest = self._count(schema, "maxItems", path)
        return ArrayType(
            AnyType() if closed else self.type_of(items, f"{path}.items", seen),
            tuple(self.type_of(p, f"{path}.items[{i}]", seen) for i, p in enumerate(prefix)),
            self._count(schema, "minItems", path),
            min(len(prefix), longest or len(prefix)) if closed else longest,
        )

    def _object(self, schema: Mapping[str, Any], path: str, seen: tuple[str, ...]) -> Type:
        properties = self._mapping(schema.get("properties") or {}, f"{path}.properties")
        required = schema.get("required") or ()
        if isinstance(required, bool):  # draft 3 wrote a flag into the property
            required = ()
        for name in (*properties, *self._list(required, "required", path)):
            if not isinstance(name, str):
                raise self._refusal(path, f"has a property named {name!r}, which is no string")
        missing = sorted(set(required) - set(properties))
        fields = tuple(
            self._field(name, prop, name in required or _says_required(prop), f"{path}.{name}", seen)
            for name, prop in (*properties.items(), *((name, {}) for name in missing))
        )
        extra = schema.get("additionalProperties", not fields and path != "arguments")
        if extra is False and "patternProperties" in schema:
            extra = True
        return ObjectType(fields, None if extra is False else self.type_of(extra, f"{path}.*", seen))

    def _field(self, name: str, schema: Any, required: bool, path: str, seen: tuple[str, ...]) -> Field:
        described = schema if isinstance(schema, Mapping) else {}
        return Field(
            name,
            self.type_of(schema, path, seen),
            required,
            str(described.get("description") or ""),
            described.get("default"),
        )

    def _mapping(self, schema: object, path: str) -> Mapping[str, Any]:
        if schema is False:
            raise self._refusal(path, "is false, which no value satisfies; leave it out")
        if not isinstance(schema, Mapping):
            raise self._refusal(path, f"is {schema!r}, which is no JSON schema")
        return schema

    def _list(self, value: object, key: str, path: str) -> Sequence[Any]:
        if not _is_list(value):
            raise self._refusal(path, f"has the {key} {value!r}, which is no list")
        return value

    def _text(self, schema: Mapping[str, Any], key: str, path: str) -> str | None:
        value = schema.get(key)
        if value is not None and not isinstance(value, str):
            raise self._refusal(path, f"has the {key} {value!r}, which is no string")
        return value

    def _count(self, schema: Mapping[str, Any], key: str, path: str) -> int | None:
        value = schema.get(key)
        if value is None:
            return None
        if not _is_number(value) or value != int(value) or not 0 <= value <= sys.maxsize:
            raise self._refusal(path, f"has the {key} {value!r}, which is no count")
        return int(value)

    def _note_unchecked(self, schema: Mapping[str, Any], path: str) -> None:
        self.degraded.extend(f"{path}: {k!r} is not checked" for k in _NOT_CHECKED if k in schema)

    def _refusal(self, path: str, problem: str) -> ToolDefinitionError:
        return ToolDefinitionError(
            f"the schema of {self.tool!r} cannot be used: {path} {problem}", tool=self.tool
        )


def _implied_type(schema: Mapping[str, Any]) -> str:
    if _is_list(schema.get("required")):
        return "object"
    return next((name for key, name in _IMPLIED_TYPES.items() if key in schema), "any")


def _says_required(schema: object) -> bool:
    return isinstance(schema, Mapping) and schema.get("required") is True


def _both_types(first: Any, second: Any) -> Any:
    """The type names that are in both; ``first`` if there are none, as in ``integer`` and ``number``."""
    one = list(first) if _is_list(first) else [first]
    other = list(second) if _is_list(second) else [second]
    return [name for name in one if name in other] or first


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _enumeration(values: Iterable[Any]) -> EnumType:
    return EnumType(tuple({(isinstance(v, bool), v): v for v in values}.values()))


def _union(options: Iterable[Type]) -> Type:
    flat: list[Type] = []
    for option in options:
        flat.extend(options_of(option))
    if any(isinstance(option, AnyType) for option in flat):
        return AnyType()
    members = [option for option in flat if isinstance(option, EnumType) and option != NULL]
    if len(members) > 1:  # a list of constants is an enumeration
        first = flat.index(members[0])
        flat = [option for option in flat if option not in members]
        flat.insert(first, _enumeration(value for member in members for value in member.values))
    unique = tuple(dict.fromkeys(flat))
    return unique[0] if len(unique) == 1 else UnionType(unique)


def _one_object(union: UnionType) -> Type:
    """An object with the fields of all options, required where all require them; ``union`` if one is none."""
    fields: dict[str, list[Field]] = {}
    extra: Type | None = None
    for option in union.options:
        if not isinstance(option, ObjectType):
            return union
        for f in option.fields:
            fields.setdefault(f.name, []).append(f)
        extra = extra or (option.extra if option.fields else None)
    n_options = len(union.options)
    merged = (
        replace(
            same[0],
            type=_union(f.type for f in same),
            required=len(same) == n_options and all(f.required for f in same),
        )
        for same in fields.values()
    )
    return ObjectType(tuple(merged), extra)


def options_of(type_: Type) -> tuple[Type, ...]:
    """What a value of ``type_`` may be: the options of a union, or the type alone."""
    return type_.options if isinstance(type_, UnionType) else (type_,)


def without_null(type_: Type) -> Type:
    """``type_`` less the option of ``null``."""
    if isinstance(type_, UnionType) and NULL in type_.options:
        return _union(option for option in type_.options if option != NULL)
    return type_


def render_type(type_: Type) -> str:
    """``type_`` as a person reads it in a signature: ``list[str]``, ``"d" | "w"``, ``{lat: float}``."""
    match type_:
        case AnyType():
            return "any"
        case BooleanType():
            return "bool"
        case NumberType():
            return "int" if type_.integer else "float"
        case StringType():
            return {"date-time": "datetime", "date": "date", "time": "time"}.get(type_.format or "", "str")
        case EnumType():
            return " | ".join("null" if v is None else _quoted(v) for v in type_.values)
        case ArrayType():
            if type_.prefix:
                return f"[{', '.join(render_type(p) for p in type_.prefix)}]"
            return "list" if isinstance(type_.items, AnyType) else f"list[{render_type(type_.items)}]"
        case ObjectType():
            if not type_.fields:
                return "dict"
            inner = (
                f"{render_name(f.name)}{'' if f.required else '?'}: {render_type(f.type)}"
                for f in type_.fields
            )
            return f"{{{', '.join(inner)}}}"
        case UnionType():
            return " | ".join(render_type(option) for option in type_.options)


def render_name(name: str) -> str:
    """``name`` as a plan writes it: bare where it is plain, otherwise in quotes."""
    return name if _BARE_NAME.fullmatch(name) else _quoted(name)


def _quoted(value: str | float | bool) -> str:
    return json.dumps(value, ensure_ascii=False)
