import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain_core.tools import BaseTool, InjectedToolArg, InjectedToolCallId, StructuredTool, ToolException
from langchain_core.tools import Tool as SimpleTool
from langchain_core.tools import tool as langchain_tool
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as OldModel

from plait.errors import ToolArgumentError, ToolCallError, ToolDefinitionError, ToolTimeoutError
from plait.tools import Tool, ToolAnnotations, Toolbox, from_langchain, to_langchain, tool

user: contextvars.ContextVar[str] = contextvars.ContextVar("user")


class Place(BaseModel):
    lat: float
    lon: float = 0.0


class Search(BaseModel):
    query: str = Field(description="what to look for")
    near: Place | None = None
    limit: int = Field(5, ge=1)


PARAMETERS = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "max-results": {"type": "integer", "default": 3}},
    "required": ["query"],
}


def search(query: str, near: Any = None, limit: int = 5) -> Any:
    return [query, near, limit]


async def asearch(query: str, near: Any = None, limit: int = 5) -> Any:
    return [query, near, limit]


def echo(**arguments: Any) -> Any:
    return arguments


async def aecho(**arguments: Any) -> Any:
    return arguments


@langchain_tool
def add(x: int, y: int = 2) -> int:
    """Add two numbers.

    Args:
        x: the one
    """
    return x + y


@langchain_tool
async def aadd(x: int, y: int = 2) -> int:
    """Add two numbers."""
    return x + y


class Adder(BaseTool):
    name: str = "adder"
    description: str = "Adds."

    def _run(self, x: int, y: int = 2) -> int:
        return x + y


class AsyncAdder(Adder):
    async def _arun(self, x: int, y: int = 2) -> int:
        return x + y + 100


class Remote(Adder):
    """Overrides the outermost method only."""

    async def ainvoke(self, *_: Any, **__: Any) -> Any:
        return "remote"


pydantic_search = StructuredTool(name="search", description="Searches.", args_schema=Search, func=search)
pydantic_asearch = StructuredTool(
    name="search", description="Searches.", args_schema=Search, coroutine=asearch
)
dict_echo = StructuredTool(name="mcp.search", description="Searches.", args_schema=PARAMETERS, func=echo)
dict_aecho = StructuredTool(
    name="mcp.search", description="Searches.", args_schema=PARAMETERS, coroutine=aecho
)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("foreign", "signature", "arguments", "result"),
    [
        (add, "add(x: int, y: int = 2)", {"x": "1"}, 3),
        (aadd, "aadd(x: int, y: int = 2)", {"x": 1, "y": 5}, 6),
        (Adder(), "adder(x: int, y: int = 2)", {"x": 1}, 3),
        (AsyncAdder(), "adder(x: int, y: int = 2)", {"x": 1}, 103),
        (Remote(), "adder(x: int, y: int = 2)", {"x": 1}, "remote"),
        (
            pydantic_search,
            "search(query: str, near?: {lat: float, lon?: float}, limit: int = 5)",
            {"query": "x", "near": '{"lat": 1}'},
            ["x", Place(lat=1), 5],
        ),
        (
            pydantic_asearch,
            "search(query: str, near?: {lat: float, lon?: float}, limit: int = 5)",
            {"query": "x", "limit": None},
            ["x", None, 5],
        ),
        (dict_echo, "mcp.search(query: str, max-results: int = 3)", {"query": "x"}, {"query": "x"}),
        (
            dict_aecho,
            "mcp.search(query: str, max-results: int = 3)",
            {"query": 5, "max-results": "2"},
            {"query": "5", "max-results": 2},
        ),
        (
            SimpleTool(name="shout", description="Shouts.", func=str.upper),
            "shout(tool_input: str)",
            {"tool_input": "hey"},
            "HEY",
        ),
    ],
)
async def test_a_langchain_tool_can_be_called(
    foreign: Any, signature: str, arguments: Any, result: Any
) -> None:
    made = from_langchain(foreign)
    assert made.signature == signature
    assert await made.ainvoke(arguments) == result


def test_descriptions_and_options_are_kept() -> None:
    made = from_langchain(pydantic_search, annotations=ToolAnnotations(read_only=True), timeout_s=3)
    assert made.description == "Searches."
    assert made.arguments.fields[0].description == "what to look for"
    assert (made.annotations.read_only, made.timeout_s) == (True, 3)


@pytest.mark.anyio
async def test_wrong_arguments_never_reach_langchain() -> None:
    with pytest.raises(ToolArgumentError, match="limit: input should be greater than or equal to 1, not 0"):
        await from_langchain(pydantic_search).ainvoke({"query": "x", "limit": 0})


@pytest.mark.anyio
async def test_an_injected_argument_is_not_offered() -> None:
    @langchain_tool
    def save(text: str, owner: Annotated[str, InjectedToolArg] = "me") -> str:
        """Save."""
        return f"{text} of {owner}"

    made = from_langchain(save)
    assert made.signature == "save(text: str)"
    assert await made.ainvoke({"text": "x"}) == "x of me"
    with pytest.raises(ToolArgumentError, match="no argument owner"):
        await made.ainvoke({"text": "x", "owner": "Sid"})


@pytest.mark.parametrize("kind", [InjectedToolArg, InjectedToolCallId])
def test_a_tool_that_needs_what_only_langgraph_injects_is_refused_by_name(kind: Any) -> None:
    def save(text: str, owner: str) -> str:
        """Save."""
        return text

    save.__annotations__["owner"] = Annotated[str, kind]
    with pytest.raises(ToolDefinitionError, match="'save' needs owner, which LangGraph injects") as caught:
        Toolbox([add, langchain_tool(save)])
    assert caught.value.tool == "save"


def test_a_tool_whose_arguments_have_no_schema_is_refused_by_name() -> None:
    class Args(BaseModel):
        apply: Callable[[int], int]

    foreign = StructuredTool(name="map", description="Maps.", args_schema=Args, func=echo)
    with pytest.raises(ToolDefinitionError, match="'map' have no JSON schema") as caught:
        from_langchain(foreign)
    assert caught.value.tool == "map"


def test_a_tool_whose_name_would_break_a_plan_is_refused_by_name() -> None:
    with pytest.raises(ToolDefinitionError, match="'my tool' cannot be the name of a tool"):
        from_langchain(StructuredTool(name="my tool", description="", args_schema=PARAMETERS, func=echo))


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.anyio
async def test_what_a_langchain_tool_raises_for_the_user_is_the_tools_own_word(is_async: bool) -> None:
    def fail(x: int = 1) -> None:
        """Fail."""
        raise ToolException("no contact named Sid")

    async def afail(x: int = 1) -> None:
        """Fail."""
        fail()

    with pytest.raises(ToolCallError) as caught:
        await from_langchain(langchain_tool(afail if is_async else fail)).ainvoke({})
    assert str(caught.value) == "no contact named Sid"
    assert caught.value.tool == ("afail" if is_async else "fail")


@pytest.mark.anyio
async def test_any_other_failure_is_wrapped() -> None:
    @langchain_tool
    def fail() -> None:
        """Fail."""
        raise ValueError("bad")

    with pytest.raises(ToolCallError, match="fail failed: ValueError: bad"):
        await from_langchain(fail).ainvoke({})


@pytest.mark.anyio
async def test_a_sync_langchain_tool_runs_in_a_daemon_thread_with_the_callers_context() -> None:
    @langchain_tool
    def where() -> Any:
        """Say where."""
        return threading.current_thread().daemon, user.get()

    user.set("sid")
    assert await from_langchain(where).ainvoke({}) == (True, "sid")


@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_langchain_tool_that_hangs_is_left_at_its_deadline(is_async: bool) -> None:
    release = threading.Event()

    def hang() -> None:
        """Hang."""
        release.wait()

    async def ahang() -> None:
        """Hang."""
        await asyncio.Event().wait()

    with pytest.raises(ToolTimeoutError):
        await from_langchain(langchain_tool(ahang if is_async else hang), timeout_s=0.01).ainvoke({})
    release.set()


def test_models_of_pydantics_first_version_are_understood() -> None:
    class Args(OldModel):
        query: str
        limit: int = 5

    foreign = SimpleTool(name="old", description="Old.", func=echo, args_schema=Args)
    assert from_langchain(foreign).signature == "old(query: str, limit: int = 5)"


@tool(timeout_s=5)
async def weather(city: str, days: list[int] | None = None, unit: str = "c") -> dict[str, Any]:
    """The weather.

    Args:
        city: where
    """
    return {"city": city, "days": days, "unit": unit}


@pytest.mark.anyio
async def test_a_tool_can_be_called_by_langchain() -> None:
    made = to_langchain(weather)
    assert isinstance(made, BaseTool)
    assert (made.name, made.description) == ("weather", "The weather.")
    expected = {"city": "Rome", "days": [1], "unit": "c"}
    assert await made.ainvoke({"city": "Rome", "days": 1}) == expected
    call = {"name": "weather", "args": {"city": "Rome", "days": "[1]"}, "id": "1", "type": "tool_call"}
    message = await made.ainvoke(call)
    assert (message.tool_call_id, message.content) == ("1", '{"city": "Rome", "days": [1], "unit": "c"}')


def test_langchain_may_call_a_tool_from_sync_code() -> None:
    assert to_langchain(weather).invoke({"city": "Rome"})["city"] == "Rome"


@pytest.mark.anyio
async def test_langchain_may_call_a_tool_from_sync_code_inside_an_event_loop() -> None:
    @tool
    async def who() -> str:
        return user.get()

    user.set("sid")
    assert to_langchain(who).invoke({}) == "sid"


@pytest.mark.anyio
async def test_plaits_checks_hold_for_langchain_too() -> None:
    made = to_langchain(weather)
    with pytest.raises(ToolArgumentError, match="weather: city is missing"):
        await made.ainvoke({})
    with pytest.raises(ToolArgumentError, match="no argument town"):
        await made.ainvoke({"city": "Rome", "town": "x"})


@pytest.mark.anyio
@pytest.mark.parametrize(
    "name",
    [
        "config",
        "run_manager",
        "callbacks",
        "args",
        "kwargs",
        "tool_input",
        "self",
        "input",
        "name",
        "x y",
        "a.b",
        "_x",
    ],
)
async def test_an_argument_may_have_any_name_on_the_way_there_and_back(name: str) -> None:
    definition = {"name": "t", "parameters": {"properties": {name: {"type": "integer"}}}}
    made = to_langchain(Tool.from_schema(definition, echo))
    assert await made.ainvoke({name: "1"}) == {name: 1}
    assert made.invoke({name: 1}) == {name: 1}
    assert await from_langchain(made).ainvoke({name: "1"}) == {name: 1}


@pytest.mark.anyio
async def test_a_round_trip_keeps_schema_and_behaviour() -> None:
    again = from_langchain(to_langchain(weather))
    assert again.signature == weather.signature.removesuffix(" -> dict")
    assert again.arguments.fields[0].description == "where"
    assert await again.ainvoke({"city": "Rome"}) == await weather.ainvoke({"city": "Rome"})
    with pytest.raises(ToolArgumentError):
        await again.ainvoke({})


@pytest.mark.anyio
async def test_the_tools_own_word_survives_a_round_trip() -> None:
    @tool
    def fail() -> None:
        raise ToolCallError("no contact named Sid")

    with pytest.raises(ToolCallError) as caught:
        await from_langchain(to_langchain(fail)).ainvoke({})
    assert str(caught.value) == "no contact named Sid"


@pytest.mark.anyio
async def test_a_tool_without_arguments_makes_the_round_trip() -> None:
    @tool
    def ping() -> str:
        return "pong"

    assert await from_langchain(to_langchain(ping)).ainvoke({}) == "pong"
