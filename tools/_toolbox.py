"""An ordered collection of tools with unique names."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from typing import Any, TypeAlias

from plait.errors import DuplicateToolError, ToolDefinitionError, UnknownToolError
from plait.tools._tool import Tool

ToolLike: TypeAlias = Any
"""A :class:`Tool`, a function, or a LangChain ``BaseTool``."""


class Toolbox(Collection[Tool]):
    """Tools by name, always in alphabetical order, so that the same tools give the same prompt.

    Args:
        tools: tools, plain functions or LangChain tools, in any order.

    Raises:
        DuplicateToolError: two of them have one name.
        ToolDefinitionError: something else was given, or a tool cannot be expressed.
    """

    def __init__(self, tools: Iterable[ToolLike] = ()) -> None:
        found: dict[str, Tool] = {}
        for candidate in tools:
            tool = as_tool(candidate)
            if tool.name in found:
                raise DuplicateToolError(
                    f"two tools have the name {tool.name!r}; give one of them another with name=",
                    tool=tool.name,
                )
            found[tool.name] = tool
        self._tools = {name: found[name] for name in sorted(found)}

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __contains__(self, name: object) -> bool:
        return (name.name if isinstance(name, Tool) else name) in self._tools

    def __getitem__(self, name: str) -> Tool:
        """The tool of that name.

        Raises:
            UnknownToolError: naming the closest ones.
        """
        try:
            return self._tools[name]
        except KeyError:
            close = difflib.get_close_matches(str(name), self._tools, n=3) or list(self._tools)[:10]
            known = f"did you mean {', '.join(close)}?" if close else "the toolbox is empty"
            raise UnknownToolError(f"there is no tool {name!r}; {known}", tool=str(name)) from None

    def get(self, name: str) -> Tool | None:
        """The tool of that name, or ``None``."""
        return self._tools.get(name)

    def __add__(self, other: Iterable[ToolLike]) -> Toolbox:
        return Toolbox([*self, *other])

    def __repr__(self) -> str:
        return f"Toolbox({', '.join(self._tools)})"

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the toolbox's order."""
        return tuple(self._tools)

    def subset(self, names: Iterable[str]) -> Toolbox:
        """The toolbox of the tools with these names."""
        return Toolbox(self[name] for name in dict.fromkeys(names))


def as_tool(candidate: ToolLike) -> Tool:
    """A :class:`Tool` from a tool, a function or a LangChain ``BaseTool``."""
    if isinstance(candidate, Tool):
        return candidate
    if hasattr(candidate, "args_schema") and hasattr(candidate, "ainvoke"):
        from plait.tools._langchain import from_langchain

        return from_langchain(candidate)
    if callable(candidate) and not isinstance(candidate, type):
        return Tool.from_function(candidate)
    raise ToolDefinitionError(
        f"{candidate!r} is neither a tool nor a function; Tool.from_schema() makes a tool of a definition"
    )
