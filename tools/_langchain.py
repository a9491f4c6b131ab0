"""Tools to and from LangChain."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from plait.errors import ToolCallError, ToolDefinitionError
from plait.tools._arguments import json_schema
from plait.tools._tool import Tool, ToolAnnotations

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


def from_langchain(
    tool: BaseTool, *, annotations: ToolAnnotations | None = None, timeout_s: float | None = 120.0
) -> Tool:
    """A :class:`Tool` that calls a LangChain ``BaseTool``, with the arguments a model may give.

    Raises:
        ToolDefinitionError: its schema cannot be expressed, or it needs an argument that LangGraph injects.
    """
    parameters = _parameters(tool)
    definition = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return Tool.from_schema(definition, _caller(tool), annotations=annotations, timeout_s=timeout_s)


def to_langchain(tool: Tool) -> BaseTool:
    """A LangChain ``BaseTool`` that calls ``tool``, with plait's validation, deadline and retries."""
    return _adapter()(
        name=tool.name,
        description=tool.description,
        args_schema=tool.to_openai()["function"]["parameters"],
        plait_tool=tool,
    )


def _caller(tool: BaseTool) -> Callable[..., Any]:
    from langchain_core.tools import BaseTool, StructuredTool, ToolException
    from langchain_core.tools import Tool as SimpleTool

    async def call(**arguments: Any) -> Any:
        try:
            return await tool.ainvoke(arguments)
        except ToolException as error:  # LangChain's word for a failure that is the user's to know
            raise ToolCallError(str(error), tool=tool.name) from error

    def call_sync(**arguments: Any) -> Any:
        try:
            return tool.invoke(arguments)
        except ToolException as error:
            raise ToolCallError(str(error), tool=tool.name) from error

    bases = (BaseTool, StructuredTool, SimpleTool)
    own = any(
        getattr(type(tool), method, None) not in [getattr(base, method) for base in bases]
        for method in ("_arun", "arun", "ainvoke")
    )
    # LangChain would run it in the event loop's pool, where a call that hangs keeps the interpreter alive.
    return call if own or getattr(tool, "coroutine", None) is not None else call_sync


def _parameters(tool: BaseTool) -> Any:
    from langchain_core.tools import Tool as SimpleTool

    if isinstance(tool, SimpleTool) and tool.args_schema is None:
        return {"type": "object", "properties": tool.args, "required": list(tool.args)}
    schema = tool.tool_call_schema
    if isinstance(schema, dict):
        return schema
    if not issubclass(schema, BaseModel):  # pydantic's version 1
        return schema.schema()
    parameters = json_schema(schema, tool=tool.name)
    expected = getattr(tool.args_schema, "model_fields", {})
    injected = [
        name for name, info in expected.items() if info.is_required() and name not in schema.model_fields
    ]
    if injected:
        raise ToolDefinitionError(
            f"{tool.name!r} needs {', '.join(injected)}, which LangGraph injects and plait cannot; "
            "wrap it in a function that sets it",
            tool=tool.name,
        )
    return parameters


@functools.cache
def _adapter() -> type[BaseTool]:
    from langchain_core.tools import BaseTool

    class PlaitTool(BaseTool):
        """Names no argument of its own: a tool's may have any name, also ``config`` or ``run_manager``."""

        plait_tool: Any = Field(exclude=True, repr=False)

        def _run(self, /, **arguments: Any) -> Any:
            context = contextvars.copy_context()
            with ThreadPoolExecutor(max_workers=1) as pool:  # this thread may have an event loop already
                return pool.submit(context.run, asyncio.run, self._arun(**arguments)).result()

        async def _arun(self, /, **arguments: Any) -> Any:
            return await self.plait_tool.ainvoke(arguments)

    return PlaitTool
