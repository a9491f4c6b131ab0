"""Tools: functions that a plan may call, and collections of them."""

from plait.tools._kinds import Kind
from plait.tools._langchain import from_langchain, to_langchain
from plait.tools._preparation import Draft, Prepared, Preparer
from plait.tools._threads import call_in_thread
from plait.tools._tool import Tool, ToolAnnotations, tool
from plait.tools._toolbox import Toolbox
from plait.tools._types import (
    AnyType,
    ArrayType,
    BooleanType,
    EnumType,
    Field,
    NumberType,
    ObjectType,
    StringType,
    Type,
    UnionType,
    options_of,
    parse_schema,
    render_type,
)
from plait.tools._values import to_jsonable, to_text

__all__ = [
    "AnyType",
    "ArrayType",
    "BooleanType",
    "Draft",
    "EnumType",
    "Field",
    "Kind",
    "NumberType",
    "ObjectType",
    "Prepared",
    "Preparer",
    "StringType",
    "Tool",
    "ToolAnnotations",
    "Toolbox",
    "Type",
    "UnionType",
    "call_in_thread",
    "from_langchain",
    "options_of",
    "parse_schema",
    "render_type",
    "to_jsonable",
    "to_langchain",
    "to_text",
    "tool",
]
