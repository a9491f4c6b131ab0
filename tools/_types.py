"""The argument types of tools: JSON schema boiled down to what plans need.

:func:`parse_schema` turns any JSON schema into a small tree of types, from which the prompt's
signatures, the plan grammar, the lenient coercion and (for tools that come as a schema) the pydantic
model are made. References are resolved, ``allOf`` is merged, spellings outside the standard that real
function definitions use (``"dict"``, ``"float"``) are understood. Keywords that only narrow a type and
have no place here are noted as degraded; what cannot be expressed at all is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

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
    default: Any = None


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
    "contains",
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
_MAX_DEPTH = 32


def parse_schema(schema: Mapping[str, Any], *, tool: str) -> tuple[ObjectType, tuple[str, ...]]:
    """The arguments that ``schema``, a JSON schema of type object, describes.

    Returns:
        The arguments and, for each keyword that could not be kept, a sentence about what is not checked.

    Raises:
        ToolDefinitionError: the schema is no object's, refers to something outside itself, or is malformed.
    """
    reader = _Reader(tool, schema)
    parsed = reader.type_of(schema, "arguments", ())
    if isinstance(parsed, AnyType):
        parsed = ObjectType()
    if not isinstance(parsed, ObjectType):
        raise ToolDefinitionError(
            f"the arguments of {tool!r} must be described by a schema of type object, not {schema!r}",
            tool=tool,
        )
    return parsed, tuple(reader.degraded)


@dataclass
class _Reader:
    tool: str
    root: Mapping[str, Any]
    degraded: list[str] = field(default_factory=list)

    def type_of(self, schema: object, path: str, seen: tuple[str, ...]) -> Type:
        if schema is True or schema == {}:
            return AnyType()
        if not isinstance(schema, Mapping):
            raise self._refusal(path, f"is {schema!r}, which is no JSON schema")
        if len(path) > 4000 or path.count(".") > _MAX_DEPTH:
            raise self._refusal(path, f"is nested deeper than {_MAX_DEPTH} levels")
        if "$ref" in schema:
            return self._referenced(schema, path, seen)
        if "allOf" in schema:
            return self.type_of(self._merged(schema, path, seen), path, seen)
        self._note_unchecked(schema, path)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                base = {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf", "description")}
                branches = [{**base, **option} if _narrows(base) else option for option in schema[keyword]]
                return _union(self.type_of(b, f"{path}.{keyword}", seen) for b in branches)
        if "enum" in schema or "const" in schema:
            return self._enum(schema["enum"] if "enum" in schema else [schema["const"]], path)
        names = schema.get("type", _implied_type(schema))
        if isinstance(names, str):
            return self._named(names, schema, path, seen)
        if isinstance(names, Sequence):
            return _union(self._named(name, schema, path, seen) for name in names)
        raise self._refusal(path, f"has the type {names!r}")

    def _referenced(self, schema: Mapping[str, Any], path: str, seen: tuple[str, ...]) -> Type:
        pointer = schema["$ref"]
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            raise self._refusal(path, f"refers to {pointer!r}, which is outside the schema; inline it")
        if pointer in seen:
            self.degraded.append(f"{path}: the recursion into {pointer} is not checked")
            return AnyType()
        siblings = {k: v for k, v in schema.items() if k != "$ref"}
        target = self._lookup(pointer, path)
        merged = {**target, **siblings} if isinstance(target, Mapping) else target
        return self.type_of(merged, path, (*seen, pointer))

    def _lookup(self, pointer: str, path: str) -> Any:
        node: Any = self.root
        for raw in pointer.removeprefix("#").strip("/").split("/"):
            part = raw.replace("~1", "/").replace("~0", "~")
            if part == "":
                continue
            if not isinstance(node, Mapping) or part not in node:
                raise self._refusal(path, f"refers to {pointer!r}, which does not exist")
            node = node[part]
        return node

    def _merged(self, schema: Mapping[str, Any], path: str, seen: tuple[str, ...]) -> dict[str, Any]:
        merged: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
        for part in schema["allOf"]:
            resolved = part
            while isinstance(resolved, Mapping) and "$ref" in resolved:
                if resolved["$ref"] in seen:
                    self.degraded.append(f"{path}: the recursion into {resolved['$ref']} is not checked")
                    resolved = {}
                    break
                seen = (*seen, resolved["$ref"])
                resolved = self._lookup(resolved["$ref"], path)
            if not isinstance(resolved, Mapping):
                raise self._refusal(path, f"has {part!r} in its allOf, which is no JSON schema")
            if "allOf" in resolved:
                resolved = self._merged(resolved, path, seen)
            for key, value in resolved.items():
                if key == "properties":
                    merged[key] = {**merged.get(key, {}), **value}
                elif key == "required":
                    merged[key] = [*merged.get(key, []), *value]
                else:
                    merged.setdefault(key, value)
        return merged

    def _named(self, name: object, schema: Mapping[str, Any], path: str, seen: tuple[str, ...]) -> Type:
        known = _TYPE_NAMES.get(name.lower()) if isinstance(name, str) else None
        if known is None:
            raise self._refusal(path, f"has the type {name!r}; known are {', '.join(sorted(_TYPE_NAMES))}")
        if known == "string":
            return StringType(
                schema.get("format"), schema.get("pattern"), schema.get("minLength"), schema.get("maxLength")
            )
        if known in ("integer", "number"):
            return _number(schema, integer=known == "integer")
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
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            raise self._refusal(path, f"has the enumeration {values!r}; it needs at least one value")
        if all(v is None or isinstance(v, (str, int, float, bool)) for v in values):
            return EnumType(tuple(dict.fromkeys(values)))
        self.degraded.append(f"{path}: the enumeration of lists or objects is not checked")
        return AnyType()

    def _array(self, schema: Mapping[str, Any], path: str, seen: tuple[str, ...]) -> Type:
        items = schema.get("items", {})
        prefix = schema.get("prefixItems", ())
        if isinstance(items, Sequence):  # the tuple spelling of drafts before 2020-12
            prefix, items = items, schema.get("additionalItems", {})
        closed = items is False
        return ArrayType(
            AnyType() if closed else self.type_of(items, f"{path}.items", seen),
            tuple(self.type_of(p, f"{path}.items[{i}]", seen) for i, p in enumerate(prefix)),
            schema.get("minItems"),
            len(prefix) if closed else schema.get("maxItems"),
        )

    def _object(self, schema: Mapping[str, Any], path: str, seen: tuple[str, ...]) -> Type:
        properties = schema.get("properties") or {}
        required = schema.get("required")
        names = set(required) if isinstance(required, Sequence) else set()
        missing = names - set(properties)
        if missing:
            properties = {**properties, **{name: {} for name in sorted(missing)}}
        fields = tuple(
            self._field(name, prop, name in names, f"{path}.{name}", seen)
            for name, prop in properties.items()
        )
        extra = schema.get("additionalProperties", not fields and path != "arguments")
        return ObjectType(fields, None if extra is False else self.type_of(extra, f"{path}.*", seen))

    def _field(self, name: str, schema: Any, required: bool, path: str, seen: tuple[str, ...]) -> Field:
        parsed = self.type_of(schema, path, seen)
        described = schema if isinstance(schema, Mapping) else {}
        if described.get("nullable") is True:  # OpenAPI 3.0
            parsed = _union([parsed, NULL])
        return Field(
            name,
            parsed,
            required,
            str(described.get("description") or ""),
            described.get("default"),
        )

    def _note_unchecked(self, schema: Mapping[str, Any], path: str) -> None:
        self.degraded.extend(f"{path}: {k!r} is not checked" for k in _NOT_CHECKED if k in schema)

    def _refusal(self, path: str, problem: str) -> ToolDefinitionError:
        return ToolDefinitionError(
            f"the schema of {self.tool!r} cannot be used: {path} {problem}", tool=self.tool
        )


def _narrows(base: Mapping[str, Any]) -> bool:
    return "properties" in base or "type" in base


def _implied_type(schema: Mapping[str, Any]) -> str:
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if "pattern" in schema or "format" in schema:
        return "string"
    return "any"


def _number(schema: Mapping[str, Any], *, integer: bool) -> NumberType:
    low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    minimum, maximum = schema.get("minimum"), schema.get("maximum")
    if isinstance(low, bool):  # draft 4 wrote a flag beside the bound
        low, minimum = (minimum, None) if low else (None, minimum)
    if isinstance(high, bool):
        high, maximum = (maximum, None) if high else (None, maximum)
    return NumberType(integer, minimum, maximum, low, high)


def _union(options: Any) -> Type:
    flat: list[Type] = []
    for option in options:
        flat.extend(option.options if isinstance(option, UnionType) else [option])
    unique = tuple(dict.fromkeys(flat))
    if any(isinstance(option, AnyType) for option in unique):
        return AnyType()
    return unique[0] if len(unique) == 1 else UnionType(unique)


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
            inner = (f"{f.name}{'' if f.required else '?'}: {render_type(f.type)}" for f in type_.fields)
            return f"{{{', '.join(inner)}}}"
        case UnionType():
            return " | ".join(render_type(option) for option in type_.options)


def _quoted(value: str | float | bool) -> str:
    return (
        f'"{value}"'
        if isinstance(value, str)
        else str(value).lower()
        if value is True or value is False
        else str(value)
    )
