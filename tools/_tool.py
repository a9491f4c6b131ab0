"""A tool: a function that a plan may call, with all that is known about it."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, overload

from pydantic import BaseModel

from plait.errors import ToolArgumentError, ToolCallError, ToolDefinitionError, ToolError, ToolTimeoutError
from plait.tools._arguments import (
    model_of_schema,
    model_of_signature,
    returned_type,
    schema_of_model,
    summary,
    validate,
)
from plait.tools._threads import call_in_thread
from plait.tools._types import ObjectType, parse_schema, render_type, without_null
from plait.tools._values import coerce, to_jsonable

_NAME = re.compile(r"""[^\s()\[\]{}"'`,=$#]+""")
_FIRST_BACKOFF_S = 0.1


@dataclass(frozen=True, slots=True)
class ToolAnnotations:
    """What a call does to the world, with the names of the Model Context Protocol; ``None`` is unknown."""

    read_only: bool | None = None
    """It changes nothing."""
    destructive: bool | None = None
    """It may remove or overwrite something."""
    idempotent: bool | None = None
    """Calling it twice with the same arguments does what calling it once does."""
    open_world: bool | None = None
    """It talks to others: sends something out, or returns what outsiders wrote."""


@dataclass(frozen=True, eq=False, slots=True)
class Tool:
    """A callable tool. Build one with :func:`tool`, :meth:`from_function` or :meth:`from_schema`."""

    name: str
    """What a plan calls it; unique in a toolbox. Need not be an identifier."""
    description: str
    """What it does, in a sentence, for the planner."""
    arguments: ObjectType
    """Its arguments, in order."""
    arguments_model: type[BaseModel] = field(repr=False)
    """The pydantic model that validates them."""
    schema: Mapping[str, Any] = field(repr=False)
    """The JSON schema of its arguments, as it was given or as the signature gives it."""
    function: Callable[..., Any] = field(repr=False)
    """What is called: sync (run in a thread of its own) or async, with keyword arguments."""
    returns: str = ""
    """The type of its result as a prompt shows it; empty if unknown."""
    annotations: ToolAnnotations = field(default_factory=ToolAnnotations)
    """What a call does to the world."""
    timeout_s: float | None = 120.0
    """Deadline of one attempt, in seconds; ``None`` waits for ever."""
    retries: int = 0
    """Further attempts after an unexpected failure, for read-only or idempotent tools."""
    max_concurrency: int | None = None
    """Calls of this tool that may run at once in one run; ``None`` is no limit."""
    degraded: tuple[str, ...] = ()
    """What its schema says that plait does not check, a sentence each."""
    _is_async: bool = field(default=False, repr=False)

    @classmethod
    def from_function(
        cls,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        read_only: bool | None = None,
        destructive: bool | None = None,
        idempotent: bool | None = None,
        open_world: bool | None = None,
        timeout_s: float | None = 120.0,
        retries: int = 0,
        max_concurrency: int | None = None,
    ) -> Tool:
        """A tool from a function with type hints and a docstring.

        The first paragraph of the docstring is the description, its ``Args:`` section (Google's style) or
        ``Annotated[..., Field(description=...)]`` describes the arguments.

        Raises:
            ToolDefinitionError: the name or the signature cannot be used.
        """
        label = name or str(getattr(function, "__name__", type(function).__name__))
        model = model_of_signature(function, tool=label)
        arguments, degraded = schema_of_model(model, tool=label)
        return cls._checked(
            name=label,
            description=description or summary(inspect.getdoc(function) or "") or label.replace("_", " "),
            arguments=arguments,
            arguments_model=model,
            schema=_untitled(model.model_json_schema(by_alias=True)),
            function=function,
            returns=returned_type(function),
            annotations=ToolAnnotations(read_only, destructive, idempotent, open_world),
            timeout_s=timeout_s,
            retries=retries,
            max_concurrency=max_concurrency,
            degraded=degraded,
        )

    @classmethod
    def from_schema(
        cls,
        definition: Mapping[str, Any],
        function: Callable[..., Any] | None = None,
        *,
        returns: str = "",
        annotations: ToolAnnotations | None = None,
        timeout_s: float | None = 120.0,
        retries: int = 0,
        max_concurrency: int | None = None,
    ) -> Tool:
        """A tool from a function definition in OpenAI's format, with or without its ``"function"`` wrapper.

        ``function`` receives the arguments as keywords and as plain JSON types; without one the tool
        can be planned with, and every call of it fails.

        Raises:
            ToolDefinitionError: the definition has no name, or its parameters cannot be expressed.
        """
        body = definition.get("function", definition)
        label = body.get("name") if isinstance(body, Mapping) else None
        if not isinstance(label, str):
            raise ToolDefinitionError(f"a function definition needs a name: {definition!r}")
        parameters = body.get("parameters", body.get("inputSchema", body.get("input_schema")))
        arguments, degraded = parse_schema(parameters or {"type": "object"}, tool=label)
        return cls._checked(
            name=label,
            description=str(body.get("description") or label.replace("_", " ")),
            arguments=arguments,
            arguments_model=model_of_schema(arguments, tool=label),
            schema=parameters or {"type": "object", "properties": {}},
            function=function or _Unimplemented(label),
            returns=returns,
            annotations=annotations or ToolAnnotations(),
            timeout_s=timeout_s,
            retries=retries,
            max_concurrency=max_concurrency,
            degraded=degraded,
        )

    @classmethod
    def _checked(cls, *, name: str, function: Callable[..., Any], **rest: Any) -> Tool:
        if not _NAME.fullmatch(name) or name == "join":
            raise ToolDefinitionError(
                f"{name!r} cannot be the name of a tool: 'join' ends a plan, and white space, brackets, "
                "quotes, commas, '=', '$' and '#' are its punctuation; pass another with name=",
                tool=name,
            )
        call = getattr(function, "__call__", function)  # noqa: B004
        is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
        return cls(name=name, function=function, _is_async=is_async, **rest)

    @property
    def signature(self) -> str:
        """One line for a prompt: ``name(argument: type, optional?: type, other: type = default) -> type``."""
        parts = []
        for f in self.arguments.fields:
            if f.required:
                parts.append(f"{f.name}: {render_type(f.type)}")
            elif f.default is None:
                parts.append(f"{f.name}?: {render_type(without_null(f.type))}")
            else:
                parts.append(f"{f.name}: {render_type(f.type)} = {_literal(f.default)}")
        return f"{self.name}({', '.join(parts)})" + (f" -> {self.returns}" if self.returns else "")

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """``arguments`` coerced and validated: the keywords that the function is called with.

        Raises:
            ToolArgumentError: naming every argument that is wrong.
        """
        if not isinstance(arguments, Mapping):
            raise ToolArgumentError(
                f"{self.name}: the arguments must be an object, not {arguments!r}", tool=self.name
            )
        return validate(self.arguments_model, coerce(self.arguments, arguments), tool=self.name)

    async def ainvoke(self, arguments: Mapping[str, Any]) -> Any:
        """Validate ``arguments``, call the function, and give its result as it is.

        Raises:
            ToolArgumentError: the arguments are wrong; nothing was called.
            ToolTimeoutError: the last attempt passed ``timeout_s``. A sync function's thread cannot be
                stopped; its late result is discarded.
            ToolCallError: the function failed; what it raised is the cause.
        """
        keywords = self.validate(arguments) if arguments or self.arguments.fields else {}
        may_retry = self.annotations.read_only or self.annotations.idempotent
        for attempt in range(self.retries if may_retry else 0):
            try:
                return await self._attempt(keywords)
            except ToolError as error:
                if type(error) is ToolCallError and error.__cause__ is None:
                    raise  # the tool's own word, which a second call would only repeat
            await asyncio.sleep(_FIRST_BACKOFF_S * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
        return await self._attempt(keywords)

    async def _attempt(self, keywords: dict[str, Any]) -> Any:
        try:
            if self.timeout_s is None:
                return await self._call(keywords)
            async with asyncio.timeout(self.timeout_s) as deadline:
                return await self._call(keywords)
        except ToolError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise ToolCallError(f"{self.name} failed: it cancelled itself", tool=self.name) from error
        # The one boundary where a tool's exceptions become data; sys.exit() in a tool ends the tool.
        except (Exception, SystemExit) as error:
            if isinstance(error, TimeoutError) and self.timeout_s is not None and deadline.expired():
                raise ToolTimeoutError(
                    f"{self.name} did not answer within {self.timeout_s:g} s",
                    tool=self.name,
                    timeout_s=self.timeout_s,
                ) from error
            detail = str(error) or "no message"
            raise ToolCallError(
                f"{self.name} failed: {type(error).__name__}: {detail}", tool=self.name
            ) from error

    async def _call(self, keywords: dict[str, Any]) -> Any:
        if self._is_async:
            return await self.function(**keywords)
        result = await call_in_thread(self.function, keywords)
        return await result if inspect.isawaitable(result) else result

    def to_openai(self) -> dict[str, Any]:
        """The function definition in OpenAI's format."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.schema)}
        return {"type": "function", "function": function}


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    read_only: bool | None = None,
    destructive: bool | None = None,
    idempotent: bool | None = None,
    open_world: bool | None = None,
    timeout_s: float | None = 120.0,
    retries: int = 0,
    max_concurrency: int | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None, /, **options: Any
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Decorator that makes a :class:`Tool` of a sync or async function; see :meth:`Tool.from_function`.

    Examples:
        >>> @tool(read_only=True)
        ... async def population(city: str) -> int:
        ...     '''The number of people who live in a city.'''
    """
    if function is not None:
        return Tool.from_function(function)
    return lambda decorated: Tool.from_function(decorated, **options)


@dataclass(frozen=True, slots=True)
class _Unimplemented:
    tool: str

    async def __call__(self, **_: Any) -> Awaitable[Any]:
        raise ToolCallError(f"{self.tool} has a definition and no function to call", tool=self.tool)


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` without the titles that pydantic derives from the names."""
    properties = {
        name: {k: v for k, v in prop.items() if k != "title"}
        for name, prop in schema.get("properties", {}).items()
    }
    return {**{k: v for k, v in schema.items() if k != "title"}, "properties": properties}


def _literal(default: Any) -> str:
    return json.dumps(to_jsonable(default), ensure_ascii=False)
