"""Pydantic models of arguments, made from a function's signature or from a parsed JSON schema."""

from __future__ import annotations

import functools
import inspect
import itertools
import re
import reprlib
import typing
from collections.abc import Callable, Mapping
from datetime import date, time
from typing import Annotated, Any, Literal, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticOmit, SchemaError

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
    parse_result,
    parse_schema,
    render_type,
)

_CONFIG = ConfigDict(
    coerce_numbers_to_str=True, extra="forbid", protected_namespaces=(), regex_engine="python-re"
)
_PLACEHOLDER = re.compile(r"field_\d+")
"""Stands in the model for a name that pydantic does not take; the alias is the name itself."""
_ARGS_SECTION = re.compile(r"^(Args|Arguments|Parameters):\s*$")
_ANY_SECTION = re.compile(r"^[A-Z][A-Za-z ]+:\s*$")
_ARG_LINE = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def model_of_signature(function: Callable[..., Any], *, tool: str) -> type[BaseModel]:
    """A model with one field for each parameter of ``function``, by its type hints and docstring.

    Raises:
        ToolDefinitionError: a parameter cannot be passed by name, or its type has no JSON schema.
    """
    try:
        parameters = inspect.signature(function).parameters
        hints = type_hints(function)
    except (AttributeError, NameError, SyntaxError, TypeError, ValueError) as error:
        raise ToolDefinitionError(
            f"the signature of {tool!r} cannot be read: {error}; "
            "use type hints that can be resolved in its module",
            tool=tool,
        ) from error
    described = argument_descriptions(documentation(function))
    fields: dict[str, tuple[Any, Any]] = {}
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ToolDefinitionError(
                f"the parameter {str(parameter)!r} of {tool!r} cannot be passed by name; "
                "give each argument a parameter of its own",
                tool=tool,
            )
        if isinstance(parameter.default, FieldInfo):  # a call without it would receive the field itself
            raise ToolDefinitionError(
                f"the parameter {name!r} of {tool!r} has a pydantic Field as its default; "
                "write it into the type: Annotated[..., Field(...)]",
                tool=tool,
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints.get(name, Any), (default, described.get(name)))
    return _build(tool, fields)


def model_of_schema(arguments: ObjectType, *, tool: str) -> type[BaseModel]:
    """A model that accepts what ``arguments`` describes; values stay JSON types."""
    return _model_of_object(arguments, tool)


def schema_of_model(model: type[BaseModel], *, tool: str) -> tuple[ObjectType, tuple[str, ...]]:
    """The arguments that ``model`` accepts, and what of them the schema cannot express."""
    return parse_schema(json_schema(model, tool=tool), tool=tool)


def json_schema(model: type[BaseModel], *, tool: str) -> dict[str, Any]:
    """The JSON schema of what ``model`` accepts.

    Raises:
        ToolDefinitionError: it has none.
    """
    try:
        return model.model_json_schema(by_alias=True, schema_generator=_QuietGenerator)
    except (PydanticUserError, PydanticOmit, PydanticUndefinedAnnotation) as error:
        raise ToolDefinitionError(
            f"the arguments of {tool!r} have no JSON schema: {_in_one_line(error)}; "
            "use types that JSON can express",
            tool=tool,
        ) from error


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
    except Exception as error:  # a validator in the tool's own type hints may raise anything
        raise ToolArgumentError(
            f"{tool}: the arguments cannot be validated: {type(error).__name__}: {error}", tool=tool
        ) from error
    return _set_values(parsed)


def _set_values(parsed: BaseModel) -> dict[str, Any]:
    """What was given for ``parsed``, in the order of its fields, by its original names."""
    values: dict[str, Any] = {}
    for name, info in type(parsed).model_fields.items():
        if name in parsed.model_fields_set:
            original = info.alias if _PLACEHOLDER.fullmatch(name) else name
            values[name if original is None else original] = getattr(parsed, name)
    return {**values, **(parsed.model_extra or {})}


def type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The type hints of ``function``, with what is annotated in them."""
    return typing.get_type_hints(_documented(function), include_extras=True)


def returned_type(function: Callable[..., Any]) -> tuple[str, Type | None]:
    """The return type of ``function`` as a prompt shows it, and as it was understood.

    Empty and ``None`` if it has no hint; ``None`` as well where the hint cannot be understood.
    """
    hints = type_hints(function)
    hint = function if inspect.isclass(function) else hints.get("return", inspect.Signature.empty)
    if hint is inspect.Signature.empty:
        return "", None
    if hint is None or hint is type(None):
        return "null", None
    try:
        schema = TypeAdapter(hint).json_schema(mode="serialization", schema_generator=_QuietGenerator)
        parsed = parse_result(schema, tool="result")
    except (
        *(PydanticUserError, PydanticOmit, PydanticUndefinedAnnotation),
        *(SchemaError, ToolDefinitionError, TypeError),
    ):
        return str(getattr(hint, "__name__", "any")), None
    return render_type(parsed), parsed


def documentation(function: Callable[..., Any]) -> str:
    """The docstring of ``function``; for an object that can be called, that of its class or ``__call__``."""
    documented = _documented(function)
    own = inspect.getdoc(function) if documented is not function else None
    if own is None or isinstance(function, functools.partial):
        own = inspect.getdoc(documented)
    return own or ""


def summary(doc: str) -> str:
    """The first paragraph of a docstring, on one line."""
    lines = (line.strip() for line in doc.strip().splitlines())
    return " ".join(itertools.takewhile(lambda line: line and not _ARGS_SECTION.match(line), lines))


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
            if depth == 0 and (indent or _ANY_SECTION.match(text)):
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


class _Closed(BaseModel):
    model_config = _CONFIG


class _QuietGenerator(GenerateJsonSchema):
    """A default that JSON cannot express is left out of the schema, and that is no cause to warn."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012


def _documented(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that has the type hints: of a partial, a class or an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isclass(function):
        return function.__init__
    return function if inspect.isroutine(function) else type(function).__call__


def _build(name: str, fields: Mapping[str, tuple[Any, Any]], extra: Any = None) -> type[BaseModel]:
    """A model of ``fields``, and of any others of the type ``extra``.

    ``fields`` maps a name to its type and a pair of default (``...`` if required) and description.
    """
    definitions: dict[str, Any] = {}
    for index, (field_name, (hint, (default, description))) in enumerate(fields.items()):
        safe = (
            field_name.isidentifier()
            and not field_name.startswith("_")
            and not hasattr(BaseModel, field_name)
            and not _PLACEHOLDER.fullmatch(field_name)
        )
        options: dict[str, Any] = {} if description is None else {"description": description}
        if not safe:
            options["alias"] = field_name
        definitions[field_name if safe else f"field_{index}"] = (hint, Field(default, **options))
    try:
        return create_model(_class_name(name), __base__=_base(extra), **definitions)
    except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError, TypeError, ValueError) as error:
        raise ToolDefinitionError(
            f"the arguments of {name!r} cannot be validated: {_in_one_line(error)}", tool=name
        ) from error


def _base(extra: Any) -> type[BaseModel]:
    if extra is None:
        return _Closed
    annotations = {"__pydantic_extra__": dict[str, extra]}
    config = ConfigDict(**{**_CONFIG, "extra": "allow"})
    namespace = {"__annotations__": annotations, "__module__": __name__, "model_config": config}
    return type("_Open", (BaseModel,), namespace)


def _in_one_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return " ".join(line.strip() for line in (lines if isinstance(error, SchemaError) else lines[:1]))


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in re.findall(r"[A-Za-z0-9]+", name)) + "Arguments"


def _model_of_object(type_: ObjectType, tool: str) -> type[BaseModel]:
    fields: dict[str, tuple[Any, Any]] = {}
    for f in type_.fields:
        hint = _hint(f.type, tool)
        fields[f.name] = (hint, (... if f.required else f.default, f.description or None))
    return _build(tool, fields, extra=None if type_.extra is None else _hint(type_.extra, tool))


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
                f"the schema of {tool!r} has the pattern {type_.pattern!r}, "
                f"which is no regular expression: {error}",
                tool=tool,
            ) from error
    bounds = Field(pattern=type_.pattern, min_length=type_.min_length, max_length=type_.max_length)
    if type_.format in ("date-time", "date", "time"):
        return Annotated[str, bounds, BeforeValidator(_as_iso)]
    return Annotated[str, bounds]


def _as_iso(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (date, time)) else value


def _array_hint(type_: ArrayType, tool: str) -> Any:
    prefix = tuple(_hint(p, tool) for p in type_.prefix)
    n_prefix, closed = len(prefix), bool(prefix) and type_.max_items == len(prefix)
    if closed and type_.min_items == n_prefix:
        return Annotated[tuple[prefix], AfterValidator(list)]  # type: ignore[valid-type]
    options = prefix if closed else (*prefix, _hint(type_.items, tool))
    bounds = Field(min_length=type_.min_items, max_length=type_.max_items)
    return Annotated[list[Union[options]], bounds]  # type: ignore[valid-type]  # noqa: UP007


def _object_hint(type_: ObjectType, tool: str) -> Any:
    if not type_.fields:
        return dict[str, Any] if type_.extra is None else dict[str, _hint(type_.extra, tool)]  # type: ignore[misc]
    model = _model_of_object(type_, tool)
    # The function behind a JSON schema expects plain objects, with what was left out left out.
    return Annotated[model, AfterValidator(_set_values)]


def _problem(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{where} is missing"
    if error["type"] == "extra_forbidden":
        return f"there is no argument {where}"
    return f"{where}: {error['msg'][:1].lower()}{error['msg'][1:]}, not {shown(error['input'])}"


def shown(value: Any) -> str:
    """``value`` in at most 80 characters, for a message; it never raises."""
    try:
        text = _SHORT.repr(value)
    except ValueError:  # an integer of more digits than Python writes out
        return f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."
