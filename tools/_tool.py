"""A tool: a function that a plan may call, with all that is known about it."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import json
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, overload

from pydantic import BaseModel

from plait.errors import ToolArgumentError, ToolCallError, ToolDefinitionError, ToolError, ToolTimeoutError
from plait.tools._arguments import (
    documentation,
    json_schema,
    model_of_schema,
    model_of_signature,
    returned_type,
    shown,
    summary,
    type_hints,
    validate,
)
from plait.tools._kinds import Kind, kinds_of
from plait.tools._preparation import Draft, Prepared, Preparer
from plait.tools._threads import call_in_thread
from plait.tools._types import (
    ObjectType,
    Type,
    parse_result,
    parse_schema,
    render_name,
    render_type,
    without_null,
)
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
    result: Type | None = field(default=None, repr=False)
    """The type of its result; ``None`` if unknown. References reach only into what it has."""
    gives: str | None = None
    """The kind of its result, one of :class:`Kind`'s names; ``None`` if nothing is known."""
    takes: Mapping[str, Kind] = field(default_factory=dict)
    """The kinds that its arguments take, by their names; of those that are not in it nothing is known."""
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
    prepare: Preparer | None = field(default=None, repr=False)
    """Works out, before a call is shown to the user or made, what the planned arguments leave open."""
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
        prepare: Preparer | None = None,
    ) -> Tool:
        """A tool from a function with type hints and a docstring.

        The first paragraph of the docstring is the description, its ``Args:`` section (Google's style) or
        ``Annotated[..., Field(description=...)]`` describes the arguments.

        Raises:
            ToolDefinitionError: the name or the signature cannot be used.
        """
        label = name or _name_of(function)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ToolDefinitionError(
                f"{label!r} yields its results, which nothing could read twice; return a list", tool=label
            )
        model = model_of_signature(function, tool=label)
        gives, takes = kinds_of(type_hints(function), tool=label)
        returns, result = returned_type(function)
        schema = json_schema(model, tool=label)
        arguments, degraded = parse_schema(schema, tool=label)
        return cls._checked(
            name=label,
            description=description or summary(documentation(function)) or label.replace("_", " "),
            arguments=arguments,
            arguments_model=model,
            schema=_untitled(to_jsonable(schema)),
            function=function,
            returns=returns,
            result=result,
            gives=gives,
            takes=takes,
            annotations=ToolAnnotations(read_only, destructive, idempotent, open_world),
            timeout_s=timeout_s,
            retries=retries,
            max_concurrency=max_concurrency,
            degraded=degraded,
            prepare=prepare,
        )

    @classmethod
    def from_schema(
        cls,
        definition: Mapping[str, Any],
        function: Callable[..., Any] | None = None,
        *,
        returns: str | None = None,
        gives: str | None = None,
        takes: Mapping[str, Kind] | None = None,
        annotations: ToolAnnotations | None = None,
        timeout_s: float | None = 120.0,
        retries: int = 0,
        max_concurrency: int | None = None,
    ) -> Tool:
        """A tool from a function definition in OpenAI's format, with or without its ``"function"`` wrapper.

        ``function`` receives the arguments as keywords and as plain JSON types; without one the tool
        can be planned with, and every call of it fails. ``gives`` and ``takes`` are the tool's. Where the
        definition has an ``outputSchema``, as those of the Model Context Protocol may, that is the result's
        type; ``returns`` is how a prompt shows it.

        Raises:
            ToolDefinitionError: the definition has no name, its parameters cannot be expressed, or ``takes``
                names an argument that it does not have.
        """
        body: Any = definition
        if isinstance(body, Mapping):
            body = body.get("function", body)
        label = body.get("name") if isinstance(body, Mapping) else None
        if not isinstance(label, str):
            raise ToolDefinitionError(
                f"a function definition is an object with a name, which is text, not {definition!r}"
            )
        parameters = body.get("parameters", body.get("inputSchema", body.get("input_schema")))
        arguments, degraded = parse_schema({} if parameters is None else parameters, tool=label)
        output = body.get("outputSchema")
        result = None if output is None else parse_result(output, tool=label)
        unknown = set(takes or ()) - {argument.name for argument in arguments.fields}
        if unknown:
            raise ToolDefinitionError(
                f"{label!r} has no argument {min(unknown)!r} to take a kind of value", tool=label
            )
        return cls._checked(
            name=label,
            description=str(body.get("description") or label.replace("_", " ")),
            arguments=arguments,
            arguments_model=model_of_schema(arguments, tool=label),
            schema=parameters
            if parameters and parameters is not True
            else {"type": "object", "properties": {}},
            function=function or _Unimplemented(label),
            returns=(render_type(result) if result else "") if returns is None else returns,
            result=result,
            gives=gives,
            takes=dict(takes or {}),
            annotations=annotations or ToolAnnotations(),
            timeout_s=timeout_s,
            retries=retries,
            max_concurrency=max_concurrency,
            degraded=degraded,
        )

    @classmethod
    def _checked(
        cls,
        *,
        name: str,
        function: Callable[..., Any],
        timeout_s: float | None,
        retries: int,
        max_concurrency: int | None,
        **rest: Any,
    ) -> Tool:
        if not _NAME.fullmatch(name) or name == "join":
            raise ToolDefinitionError(
                f"{name!r} cannot be the name of a tool: 'join' ends a plan, and white space, brackets, "
                "quotes, commas, '=', '$' and '#' are its punctuation; pass another with name=",
                tool=name,
            )
        limits = (
            ("timeout_s", timeout_s, timeout_s is None or timeout_s > 0, "more than 0, or None"),
            ("retries", retries, retries >= 0, "0 or more"),
            (
                "max_concurrency",
                max_concurrency,
                max_concurrency is None or max_concurrency > 0,
                "1 or more, or None",
            ),
        )
        for option, value, fits, wanted in limits:
            if not fits:
                raise ToolDefinitionError(f"{option} of {name!r} must be {wanted}, not {value!r}", tool=name)
        call = getattr(function, "__call__", function)  # noqa: B004
        is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
        return cls(
            name=name,
            function=function,
            timeout_s=timeout_s,
            retries=retries,
            max_concurrency=max_concurrency,
            _is_async=is_async,
            **rest,
        )

    @property
    def signature(self) -> str:
        """One line for a prompt: ``name(argument: type, optional?: type, other: type = default) -> type``."""
        parts = []
        for f in self.arguments.fields:
            name = render_name(f.name)
            if f.required:
                parts.append(f"{name}: {render_type(f.type)}")
            elif f.default is None:
                parts.append(f"{name}?: {render_type(without_null(f.type))}")
            else:
                parts.append(f"{name}: {render_type(f.type)} = {_literal(f.default)}")
        return f"{self.name}({', '.join(parts)})" + (f" -> {self.returns}" if self.returns else "")

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """``arguments`` coerced and validated: the keywords that the function is called with.

        Raises:
            ToolArgumentError: naming every argument that is wrong.
        """
        if not isinstance(arguments, Mapping):
            raise ToolArgumentError(
                f"{self.name}: the arguments must be an object, not {shown(arguments)}", tool=self.name
            )
        return validate(self.arguments_model, coerce(self.arguments, arguments), tool=self.name)

    def shaped(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """``arguments`` in the shapes that the tool wants, as far as that is plain; nothing is validated."""
        types = {f.name: f.type for f in self.arguments.fields}
        return {
            name: coerce(types[name], value) if name in types else value for name, value in arguments.items()
        }

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
        n_retries = self.retries if may_retry else 0
        attempt = 0
        while True:
            result, failure = await self._attempt(self._call, keywords)
            if failure is None:
                return result
            if attempt >= n_retries:
                raise failure
            await asyncio.sleep(_FIRST_BACKOFF_S * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
            attempt += 1

    async def aprepare(self, draft: Draft) -> Prepared:
        """What the tool's ``prepare`` works out about a planned call; nothing where it has none.

        Raises:
            ToolTimeoutError: it passed ``timeout_s``.
            ToolCallError: it failed, or says that the call could not succeed.
        """
        if self.prepare is None:
            return Prepared()
        shaped = replace(draft, arguments=coerce(self.arguments, draft.arguments))
        prepared, failure = await self._attempt(self.prepare, shaped)
        if failure is not None:
            raise failure
        assert isinstance(prepared, Prepared)
        return prepared

    def prepared(self, prepared: Prepared) -> Tool:
        """The tool as it is called after ``prepared`` was shown."""
        return replace(self, function=prepared.function or self.function, prepare=None)

    async def _attempt(
        self, work: Callable[[Any], Awaitable[Any]], given: Any
    ) -> tuple[Any, ToolError | None]:
        """What ``work`` gives, or how it failed in a way that another attempt might not.

        Raises:
            ToolCallError: the tool's own word, which a second attempt would only repeat.
        """
        n_cancelled = _cancelling()
        try:
            async with asyncio.timeout(self.timeout_s) as deadline:
                return await work(given), None
        except ToolCallError as error:
            error.tool = error.tool or self.name
            raise
        # The one boundary where a tool's exceptions become data; sys.exit() in a tool ends the tool.
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _cancelling():
                raise
            if _cancelling() > n_cancelled:  # its clean-up failed
                raise asyncio.CancelledError from error
            return None, self._failure(error, late=deadline.expired())

    def _failure(self, error: BaseException, *, late: bool) -> ToolError:
        failure: ToolError
        if late:
            failure = ToolTimeoutError(
                f"{self.name} did not answer within {self.timeout_s:g} s",
                tool=self.name,
                timeout_s=self.timeout_s,
            )
        elif isinstance(error, asyncio.CancelledError):
            failure = ToolCallError(f"{self.name} failed: it cancelled itself", tool=self.name)
        else:
            detail = f"{type(error).__name__}: {_message(error)}"
            failure = ToolCallError(f"{self.name} failed: {detail}", tool=self.name)
        failure.__cause__ = error
        return failure

    async def _call(self, keywords: dict[str, Any]) -> Any:
        if self._is_async:
            return await self.function(**keywords)
        result = await call_in_thread(self.function, keywords)
        return await result if inspect.isawaitable(result) else result

    def to_openai(self) -> dict[str, Any]:
        """The function definition in OpenAI's format."""
        parameters = copy.deepcopy(dict(self.schema))
        function = {"name": self.name, "description": self.description, "parameters": parameters}
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
    prepare: Preparer | None = None,
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
        return Tool.from_function(function, **options)
    return lambda decorated: Tool.from_function(decorated, **options)


@dataclass(frozen=True, slots=True)
class _Unimplemented:
    tool: str

    async def __call__(self, /, **_: Any) -> Any:
        raise ToolCallError(f"{self.tool} has a definition and no function to call", tool=self.tool)


def _cancelling() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _message(error: BaseException) -> str:
    try:
        return str(error) or "no message"
    except Exception:  # noqa: BLE001  (its own __str__ may raise anything)
        return "no message"


def _name_of(function: Callable[..., Any]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` without the titles that pydantic derives from the names."""
    properties = {
        name: {k: v for k, v in prop.items() if k != "title"}
        for name, prop in schema.get("properties", {}).items()
    }
    return {**{k: v for k, v in schema.items() if k != "title"}, "properties": properties}


def _literal(default: Any) -> str:
    return json.dumps(to_jsonable(default), ensure_ascii=False)
