"""NESTFUL's files: sequences of calls that use each other's results, and the specifications of the tools."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, TypeAdapter, ValidationError

from plait.errors import ConfigurationError, ToolError
from plait.planners import Plan, Ref, Task, Value, make_text
from plait.tools import Tool

PARTS = {
    "executable": "executable/executable",
    "sgd": "non-executable/non-executable-sgd",
    "glaive": "non-executable/non-executable-glaive",
    "complexfuncbench": "complexfuncbench/complexfuncbench",
}
"""Where the files of each part begin, below ``data_v1``."""

_Form = TypeVar("_Form")
_FINAL = "var_result"
"""Names the results that are wanted; no call."""
_SHORT_NAMES = {
    "array": "list",
    "boolean": "bool",
    "integer": "int",
    "number": "float",
    "object": "dict",
    "string": "str",
}
_MAX_DEPTH = 6
_MAX_OUTLINE_CHARS = 2000
_SYNONYMS = {"float": "number", "int": "integer", "bool": "boolean"}
# The data also has a reference whose closing dollar is missing, at the end of its string.
_REFERENCE = re.compile(r"\$(?P<label>\w+)(?P<path>(?:\.[^$]*)?)(?:\$|\Z)")
_PUNCTUATION = re.compile(r"""[\s()\[\]{}"'`,=$#]+""")
_STEP = re.compile(r"\[(?P<index>[0-9]{1,9})\]|(?P<field>[^.\[\]]+)")


def _plain(name: str) -> str:
    return _PUNCTUATION.sub("_", name)


ToolName = Annotated[str, AfterValidator(_plain)]
"""A tool's name without what is punctuation in a plan: ``Reviews(Tips)`` becomes ``Reviews_Tips_``."""


class Call(BaseModel):
    """One call as NESTFUL writes it: references are ``$label.field$``."""

    name: ToolName
    arguments: dict[str, Any]
    label: str | None = None


class Sample(BaseModel):
    """A request and its right sequence of calls."""

    input: str
    output: list[Call]

    @property
    def calls(self) -> list[Call]:
        """The calls, without the closing one that only names results."""
        return [call for call in self.output if call.name != _FINAL]


class Spec(BaseModel):
    """One tool. Unknown keys (hosts, links, sample responses) are passed over."""

    name: ToolName
    description: str = ""
    query_parameters: dict[str, Any] = {}
    output_parameters: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Part:
    """One of NESTFUL's collections."""

    name: str
    samples: list[Sample]
    tools: dict[str, Tool]
    outputs: dict[str, dict[str, Any]]
    """The JSON schema of each tool's result, by the tool's name."""
    raw: bytes
    """The files' bytes."""


def read_part(folder: Path, name: str) -> Part:
    """A collection below ``folder``, which holds ``data_v1``.

    Raises:
        ConfigurationError: there is none of that name, or a file of it is missing or malformed.
    """
    if name not in PARTS:
        raise ConfigurationError(f"NESTFUL has no part {name!r}; choose from {', '.join(PARTS)}")
    begin = folder / "data_v1" / PARTS[name]
    data, spec = (begin.with_name(f"{begin.name}-{kind}.json") for kind in ("data", "spec"))
    samples = _read(data, TypeAdapter(list[Sample]))
    specs = _read(spec, TypeAdapter(list[Spec]))
    outputs = {s.name: _object_schema(s.output_parameters) for s in specs}
    tools = {s.name: _tool(s, outputs[s.name], spec) for s in specs}
    for number, sample in enumerate(samples, 1):
        missing = [call.name for call in sample.calls if call.name not in tools]
        if missing:
            raise ConfigurationError(f"{data}, sample {number}: {spec.name} has no tool {missing[0]!r}")
    return Part(name, samples, tools, outputs, data.read_bytes() + spec.read_bytes())


def plan_of(calls: list[Call]) -> Plan:
    """The plan that ``calls`` are, numbered from 1; a reference to no earlier call is text."""
    known: dict[str, int] = {}
    tasks = []
    for number, call in enumerate(calls, 1):
        arguments = {name: _value(value, known) for name, value in call.arguments.items()}
        tasks.append(Task(number, call.name, arguments))
        if call.label:
            known[call.label] = number
    return Plan(tuple(tasks))


def _read(path: Path, form: TypeAdapter[_Form]) -> _Form:
    try:
        return form.validate_python(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(
            f"NESTFUL's file {path} cannot be read ({error.strerror or error}); "
            "give the folder that data_v1 is in"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path} is not as NESTFUL writes it: {where}: {first['msg']}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is no JSON ({error}); unpack it again") from error


def _tool(spec: Spec, output: dict[str, Any], path: Path) -> Tool:
    parameters = spec.query_parameters
    required = [
        name for name, p in parameters.items() if isinstance(p, Mapping) and p.get("required") is True
    ]
    definition = {
        "name": spec.name,
        "description": f"{spec.description.strip()} {_described(output)}".strip(),
        "parameters": {**_object_schema(parameters), "required": required},
        "outputSchema": output,
    }
    try:
        return Tool.from_schema(definition, returns="")  # the description tells it
    except ToolError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _described(output: dict[str, Any]) -> str:
    """The fields of a result, as deep as there is room for."""
    if not output["properties"]:
        return ""
    outlines = (_outline(output, depth) for depth in range(_MAX_DEPTH, 0, -1))
    fitting = next((text for text in outlines if len(text) <= _MAX_OUTLINE_CHARS), None)
    return f"Returns {fitting or _outline(output, 1)}"


def _outline(schema: Mapping[str, Any], depth: int) -> str:
    kind = schema.get("type", "string")
    if kind == "array":
        return f"list[{_outline(schema['items'], depth)}]" if "items" in schema else "list"
    if kind != "object" or not schema.get("properties"):
        return _SHORT_NAMES[kind]
    if depth == 0:
        return "dict"
    fields = (f"{_field_name(name)}: {_outline(s, depth - 1)}" for name, s in schema["properties"].items())
    return f"{{{', '.join(fields)}}}"


def _field_name(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name, ensure_ascii=False)


def _object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema of an object with these properties, all there."""
    schemas = {name: _schema(p) for name, p in properties.items()}
    return {"type": "object", "properties": schemas, "required": list(schemas)}


def _schema(spec: Any) -> dict[str, Any]:
    """A JSON schema of what NESTFUL's loose one means; a type that it does not name is a string."""
    if not isinstance(spec, Mapping):
        return {"type": "string"}
    kind = spec.get("type") or ("object" if spec.get("properties") else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "string"
    kind = _SYNONYMS.get(str(kind), str(kind))
    schema: dict[str, Any] = {"type": kind if kind in _SHORT_NAMES else "string"}
    if spec.get("description"):
        schema["description"] = str(spec["description"])
    default = spec.get("default", spec.get("default_value"))
    if default is not None:
        schema["default"] = default
    values = spec.get("enum") or spec.get("allowed_values")
    if values and isinstance(values, list) and kind in ("string", "number", "integer"):
        schema["enum"] = values
    if kind == "object" and spec.get("properties"):
        schema.update(_object_schema(spec["properties"]))
    if kind == "array" and spec.get("items"):
        schema["items"] = _schema(spec["items"])
    return schema


def _value(value: Any, known: Mapping[str, int]) -> Value:
    if isinstance(value, dict):
        return {key: _value(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item, known) for item in value]
    return _text(value, known) if isinstance(value, str) else value


def _text(text: str, known: Mapping[str, int]) -> Value:
    parts: list[str | Ref] = []
    end = 0
    for found in _REFERENCE.finditer(text):
        if found["label"] in known:
            parts += [text[end : found.start()], Ref(known[found["label"]], _path(found["path"]))]
            end = found.end()
    return make_text([*parts, text[end:]])


def _path(text: str) -> tuple[str | int, ...]:
    return tuple(int(step["index"]) if step["index"] else step["field"] for step in _STEP.finditer(text))
