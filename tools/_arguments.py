"""Pydantic models of arguments, made from a function's signature or from a parsed JSON schema."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticOmit, SchemaError, ValidationError

from plait.errors import ToolArgumentError, ToolDefinitionError
from plait.tools._types import (
    AnyType,
    ArrayType,
    BooleanType,
    EnumType,
    NumberType,
    ObjectType,
    StringType,
    Type,
    UnionType,
    parse_schema,
    render_type,
)

_CONFIG = ConfigDict(coerce_numbers_to_str=True, extra="forbid", regex_engine="python-re")
_ARGS_SECTION = re.compile(r"^(Args|Arguments|Parameters):\s*$")
_ANY_SECTION = re.compile(r"^[A-Z][A-Za-z ]+:\s*$")
_ARG_LINE = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


def model_of_signature(function: Callable[..., Any], *, tool: str) -> type[BaseModel]:
    """A model with one field for each parameter of ``function``, by its type hints and docstring.

    Raises:
        ToolDefinitionError: a parameter cannot be passed by name, or its type has no JSON schema.
    """
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise ToolDefinitionError(f"the type hints of {tool!r} cannot be read: {error}", tool=tool) from error
    described = argument_descriptions(inspect.getdoc(function) or "")
    fields: dict[str, tuple[Any, Any]] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ToolDefinitionError(
                f"the parameter {str(parameter)!r} of {tool!r} cannot be passed by name; "
                "give each argument a parameter of its own",
                tool=tool,
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints.get(name, Any), (default, described.get(name)))
    return _build(tool, fields, _CONFIG)


def model_of_schema(arguments: ObjectType, *, tool: str) -> type[BaseModel]:
    """A model that accepts what ``arguments`` describes; values stay JSON types."""
    return _model_of_object(arguments, tool)


def schema_of_model(model: type[BaseModel], *, tool: str) -> tuple[ObjectType, tuple[str, ...]]:
    """The arguments that ``model`` accepts, and what of them the schema cannot express."""
    try:
        schema = model.model_json_schema(by_alias=True)
    except (PydanticUserError, PydanticOmit) as error:
        raise ToolDefinitionError(
            f"the arguments of {tool!r} have no JSON schema: {str(error).splitlines()[0]}; "
            "use types that JSON can express",
            tool=tool,
        ) from error
    return parse_schema(schema, tool=tool)


def validate(model: type[BaseModel], arguments: Any, *, tool: str) -> dict[str, Any]:
    """The typed values of the fields that ``arguments`` sets, by their original names.

    Raises:
        ToolArgumentError: naming every argument that is wrong, why, and its value.
    """
    try:
        parsed = model.model_validate(arguments)
    except ValidationError as error:
        problems = "; ".join(_problem(e) for e in error.errors(include_url=False, include_context=False))
        raise ToolArgumentError(f"{tool}: {problems}", tool=tool) from error
    fields = model.model_fields
    values = {fields[n].alias or n: getattr(parsed, n) for n in parsed.model_fields_set if n in fields}
    return {**values, **(parsed.model_extra or {})}


def returned_type(function: Callable[..., Any]) -> str:
    """The return type of ``function`` as a prompt shows it; empty if it has no hint."""
    try:
        hint = typing.get_type_hints(function, include_extras=True).get("return", inspect.Signature.empty)
    except (NameError, TypeError):
        return ""
    if hint is inspect.Signature.empty:
        return ""
    if hint is None or hint is type(None):
        return "null"
    try:
        schema = TypeAdapter(hint).json_schema(mode="serialization")
        wrapped = {"type": "object", "properties": {"it": schema}, "$defs": schema.get("$defs", {})}
        parsed, _ = parse_schema(wrapped, tool="result")
    except (PydanticUserError, SchemaError, ToolDefinitionError):
        return getattr(hint, "__name__", "any")
    return render_type(parsed.fields[0].type)


def summary(doc: str) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(doc.strip().split("\n\n")[0].split())


def argument_descriptions(doc: str) -> dict[str, str]:
    """What the ``Args:`` section of a docstring (Google's style) says of each parameter."""
    described: dict[str, str] = {}
    inside, indent, current = False, 0, ""
    for line in doc.splitlines():
        text = line.strip()
        if _ARGS_SECTION.match(text):
            inside, indent, current = True, 0, ""
        elif inside and text:
            depth = len(line) - len(line.lstrip())
            if depth == 0 and _ANY_SECTION.match(text):
                inside = False
                continue
            indent = indent or depth
            found = _ARG_LINE.match(text)
            if found and depth <= indent:
                current = found[1]
                described[current] = found[2].strip()
            elif current:
                described[current] = f"{described[current]} {text}".strip()
    return described


def _build(name: str, fields: Mapping[str, tuple[Any, Any]], config: ConfigDict) -> type[BaseModel]:
    """``fields`` maps a name to its type and a pair of default (``...`` if required) and description."""
    definitions: dict[str, Any] = {}
    for index, (field_name, (hint, (default, description))) in enumerate(fields.items()):
        safe = (
            field_name.isidentifier()
            and not field_name.startswith("_")
            and not hasattr(BaseModel, field_name)
        )
        definitions[field_name if safe else f"field_{index}"] = (
            hint,
            Field(default, description=description, alias=None if safe else field_name),
        )
    try:
        return create_model(_class_name(name), __config__=config, **definitions)
    except (PydanticUserError, SchemaError, TypeError) as error:
        raise ToolDefinitionError(
            f"the arguments of {name!r} cannot be validated: {str(error).splitlines()[0]}", tool=name
        ) from error


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in re.findall(r"[A-Za-z0-9]+", name)) + "Arguments"


def _model_of_object(type_: ObjectType, tool: str) -> type[BaseModel]:
    fields: dict[str, tuple[Any, Any]] = {}
    for f in type_.fields:
        hint = _hint(f.type, tool)
        fields[f.name] = (hint, (... if f.required else f.default, f.description or None))
    extra: Literal["allow", "forbid"] = "forbid" if type_.extra is None else "allow"
    return _build(tool, fields, ConfigDict(**{**_CONFIG, "extra": extra}))


def _hint(type_: Type, tool: str) -> Any:
    match type_:
        case AnyType():
            return Any
        case BooleanType():
            return bool
        case NumberType():
            bounds = Field(
                ge=type_.minimum, le=type_.maximum, gt=type_.exclusive_minimum, lt=type_.exclusive_maximum
            )
            return Annotated[int if type_.integer else float | int, bounds]
        case StringType():
            return _string_hint(type_, tool)
        case EnumType():
            return Literal[type_.values]
        case ArrayType():
            return _array_hint(type_, tool)
        case ObjectType():
            return _object_hint(type_, tool)
        case UnionType():
            return Union[tuple(_hint(option, tool) for option in type_.options)]  # noqa: UP007


def _string_hint(type_: StringType, tool: str) -> Any:
    if type_.pattern is not None:
        try:
            re.compile(type_.pattern)
        except re.error as error:
            raise ToolDefinitionError(
                f"the schema of {tool!r} has the pattern {type_.pattern!r}, which is no regular expression: {error}",
                tool=tool,
            ) from error
    return Annotated[
        str, Field(pattern=type_.pattern, min_length=type_.min_length, max_length=type_.max_length)
    ]


def _array_hint(type_: ArrayType, tool: str) -> Any:
    options = (*(_hint(p, tool) for p in type_.prefix), _hint(type_.items, tool))
    bounds = Field(min_length=type_.min_items, max_length=type_.max_items)
    return Annotated[list[Union[options]], bounds]  # type: ignore[valid-type]  # noqa: UP007


def _object_hint(type_: ObjectType, tool: str) -> Any:
    from pydantic import AfterValidator

    if not type_.fields:
        return dict[str, Any] if type_.extra is None else dict[str, _hint(type_.extra, tool)]  # type: ignore[misc]
    model = _model_of_object(type_, tool)
    # The function behind a JSON schema expects plain objects, with what was left out left out.
    return Annotated[model, AfterValidator(lambda v: v.model_dump(by_alias=True, exclude_unset=True))]


def _problem(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{where} is missing"
    if error["type"] == "extra_forbidden":
        return f"there is no argument {where}"
    value = repr(error["input"])
    shown = value if len(value) <= 80 else f"{value[:77]}..."
    return f"{where}: {error['msg'][:1].lower()}{error['msg'][1:]}, not {shown}"
