"""Tools to and from LangChain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.tools._tool import Tool, ToolAnnotations

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


def from_langchain(
    tool: BaseTool, *, annotations: ToolAnnotations | None = None, timeout_s: float | None = 120.0
) -> Tool:
    """A :class:`Tool` that calls a LangChain ``BaseTool``, with the arguments a model may give.

    Raises:
        ToolDefinitionError: its schema cannot be expressed.
    """

    async def call(**arguments: Any) -> Any:
        return await tool.ainvoke(arguments)

    schema = tool.tool_call_schema
    parameters = schema if isinstance(schema, dict) else _json_schema(schema)
    definition = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return Tool.from_schema(definition, call, annotations=annotations, timeout_s=timeout_s)


def to_langchain(tool: Tool) -> BaseTool:
    """A LangChain ``StructuredTool`` that calls ``tool``, with plait's validation, deadline and retries."""
    from langchain_core.tools import StructuredTool

    async def call(**arguments: Any) -> Any:
        return await tool.ainvoke(arguments)

    return StructuredTool(
        name=tool.name,
        description=tool.description,
        args_schema=tool.to_openai()["function"]["parameters"],
        coroutine=call,
    )


def _json_schema(model: Any) -> dict[str, Any]:
    as_schema = model.model_json_schema if hasattr(model, "model_json_schema") else model.schema
    schema: dict[str, Any] = as_schema()
    return schema
