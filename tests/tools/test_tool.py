import asyncio
import contextvars
import dataclasses
import enum
import functools
import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import numpy as np
import pytest
from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypedDict

from plait.errors import (
    ToolArgumentError,
    ToolCallError,
    ToolDefinitionError,
    ToolError,
    ToolTimeoutError,
    UnknownToolError,
)
from plait.tools import EnumType, NumberType, Tool, ToolAnnotations, tool

user: contextvars.ContextVar[str] = contextvars.ContextVar("user")


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


@dataclasses.dataclass
class Place:
    lat: float
    lon: float = 0.0


class Person(BaseModel):
    name: str
    boss: "Person | None" = None


class Options(TypedDict, total=False):
    limit: int


@tool(read_only=True, open_world=True, timeout_s=5)
async def weather(city: str, day: date | None = None, unit: Unit = Unit.CELSIUS) -> dict[str, float]:
    """The weather of a day.

    More about it.

    Args:
        city: where, as in
            "Rome"
        day (date, optional): today if left out
        unit: of the temperature

    Returns:
        Whatever.
    """
    return {}


def test_a_tool_is_described_by_its_function() -> None:
    assert weather.name == "weather"
    assert weather.description == "The weather of a day."
    assert weather.signature == ('weather(city: str, day?: date, unit: "c" | "f" = "c") -> dict')
    city, day, unit = weather.arguments.fields
    assert (city.description, city.required) == ('where, as in "Rome"', True)
    assert (day.description, day.required, day.default) == ("today if left out", False, None)
    assert (unit.description, unit.type) == ("of the temperature", EnumType(("c", "f")))
    assert weather.annotations == ToolAnnotations(read_only=True, open_world=True)
    assert (weather.timeout_s, weather.retries, weather.max_concurrency) == (5, 0, None)
    assert weather.degraded == ()


def test_a_function_definition_comes_out_and_goes_in_again() -> None:
    definition = weather.to_openai()
    assert definition["type"] == "function"
    assert definition["function"]["name"] == "weather"
    assert list(definition["function"]["parameters"]["properties"]) == ["city", "day", "unit"]
    assert "title" not in definition["function"]["parameters"]["properties"]["city"]
    again = Tool.from_schema(json.loads(json.dumps(definition)), returns="dict")
    assert again.signature == weather.signature
    assert again.description == weather.description


def test_a_definition_that_is_changed_leaves_the_tool_as_it_is() -> None:
    weather.to_openai()["function"]["parameters"]["properties"]["city"]["type"] = "integer"
    assert weather.to_openai()["function"]["parameters"]["properties"]["city"]["type"] == "string"


def test_the_signatures_of_functions() -> None:
    def everything(
        a,
        b: int,
        c: list[str],
        d: dict[str, int],
        e: tuple[float, float],
        f: Literal["x", 1],
        g: Place,
        h: Person,
        i: Options,
        j: str | list[str],
        k: datetime,
        l: time,  # noqa: E741
        m: Annotated[int, Field(ge=0, le=9)],
        n: bool = True,
        o: str = 'say "hi"\n',
        p: list[int] = [1],  # noqa: B006
        q: int | None = 5,
        r: Any = None,
        s: Path = Path("/tmp"),
        t: float = float("nan"),
        u: object = None,
        *,
        v: UUID | None = None,
    ) -> list[Place] | None: ...

    assert Tool.from_function(everything).signature.replace(", ", ",\n") == (
        "everything(a: any,\nb: int,\nc: list[str],\nd: dict,\ne: [float,\nfloat],\n"
        'f: "x" | 1,\n'
        "g: {lat: float,\nlon?: float},\nh: {name: str,\nboss?: any},\ni: {limit?: int},\n"
        "j: str | list[str],\nk: datetime,\nl: time,\nm: int,\n"
        'n: bool = true,\no: str = "say \\"hi\\"\\n",\np: list[int] = [1],\nq: int | null = 5,\nr?: any,\n'
        's: str = "/tmp",\nt: float = "NaN",\nu?: any,\nv?: str) -> list[{lat: float,\nlon?: float}] | null'
    )


def test_the_schema_of_a_default_that_is_no_number_can_be_written_as_json() -> None:
    def f(x: float = float("inf")) -> None: ...

    assert json.dumps(Tool.from_function(f).to_openai(), allow_nan=False)


def test_a_default_that_json_cannot_express_is_no_reason_to_warn() -> None:
    sentinel = object()

    def f(x: Any = sentinel) -> None: ...

    assert Tool.from_function(f).signature == "f(x?: any) -> null"


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (int, " -> int"),
        (None, " -> null"),
        (Any, " -> any"),
        (Person, " -> {name: str, boss?: any}"),
        (list[Place], " -> list[{lat: float, lon?: float}]"),
        (np.ndarray, " -> ndarray"),
        (AsyncIterator[int], " -> AsyncIterator"),
        (Mapping[str, int], " -> dict"),
    ],
    ids=str,
)
def test_the_type_of_the_result_is_shown(hint: Any, expected: str) -> None:
    def f() -> None: ...

    f.__annotations__["return"] = hint
    assert Tool.from_function(f).signature == f"f(){expected}"


def test_an_unknown_result_is_not_shown() -> None:
    assert Tool.from_function(lambda x=1: x, name="f").signature == "f(x: any = 1)"


def test_descriptions_in_the_type_count_and_the_docstring_goes_first() -> None:
    def f(
        a: Annotated[int, Field(description="from the type")],
        b: Annotated[int, Field(description="from the type", ge=3)],
    ) -> None:
        """Do it.
        Args:
            b: from the docstring

        A remark that is no argument's.
        """

    made = Tool.from_function(f)
    assert made.description == "Do it."
    assert [x.description for x in made.arguments.fields] == ["from the type", "from the docstring"]
    assert made.arguments.fields[1].type == NumberType(integer=True, minimum=3)


def test_a_function_without_docstring_is_described_by_its_name() -> None:
    def send_an_email() -> None: ...

    assert Tool.from_function(send_an_email).description == "send an email"


@pytest.mark.anyio
async def test_an_alias_in_the_type_is_the_name_for_the_planner_only() -> None:
    @tool
    def f(file: Annotated[str, Field(alias="file name")]) -> str:
        return file

    assert f.signature == 'f("file name": str) -> str'
    assert await f.ainvoke({"file name": "x"}) == "x"


class Greeter:
    """Greets."""

    def __init__(self, word: str = "hello") -> None:
        self.word = word

    def __call__(self, name: str) -> str:
        """Say it."""
        return f"{self.word} {name}"

    def method(self, name: str) -> str:
        """Say it too."""
        return f"{self.word} {name}"

    async def amethod(self, name: str) -> str:
        """Say it later."""
        return f"{self.word} {name}"


class AsyncGreeter:
    async def __call__(self, name: str) -> str:
        """Say it."""
        return f"hello {name}"


def greet(word: str, name: str) -> str:
    """Say something."""
    return f"{word} {name}"


async def agreet(word: str, name: str) -> str:
    """Say something later."""
    return f"{word} {name}"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("function", "name", "description"),
    [
        (Greeter(), "Greeter", "Greets."),
        (AsyncGreeter(), "AsyncGreeter", "Say it."),
        (Greeter().method, "method", "Say it too."),
        (Greeter().amethod, "amethod", "Say it later."),
        (functools.partial(greet, "hello"), "greet", "Say something."),
        (functools.partial(agreet, "hello"), "agreet", "Say something later."),
        (lambda name: f"hello {name}", "<lambda>", "<lambda>"),
    ],
)
async def test_anything_that_can_be_called_is_a_tool(function: Any, name: str, description: str) -> None:
    made = Tool.from_function(function)
    assert (made.name, made.description) == (name, description)
    assert await made.ainvoke({"name": "Sid"}) == "hello Sid"


@pytest.mark.anyio
async def test_a_class_is_a_tool_that_builds_one() -> None:
    made = Tool.from_function(Place)
    assert made.signature == "Place(lat: float, lon: float = 0.0) -> {lat: float, lon?: float}"
    assert await made.ainvoke({"lat": "1"}) == Place(1.0)


def test_options_may_stand_beside_the_function() -> None:
    made = tool(greet, name="say", read_only=True, retries=2)  # type: ignore[call-overload]
    assert (made.name, made.annotations.read_only, made.retries) == ("say", True, 2)


@pytest.mark.parametrize(
    "name",
    ["mail.send", "mail-send", "mail/send", "mail:send", "1", "_x", "class", "naïve", "日本", "a" * 200],
)
def test_a_name_need_not_be_an_identifier(name: str) -> None:
    assert Tool.from_schema({"name": name}).signature == f"{name}()"
    assert Tool.from_function(greet, name=name).to_openai()["function"]["name"] == name


@pytest.mark.parametrize(
    "name", ["", "a b", "a\nb", "a(", "a)", "[a", 'a"', "a'", "a,", "a=", "$a", "#a", "join", "`a"]
)
def test_a_name_that_would_break_a_plan_is_refused(name: str) -> None:
    with pytest.raises(ToolDefinitionError, match=r"cannot be the name of a tool.*name=") as caught:
        Tool.from_schema({"name": name})
    assert caught.value.tool == name


def positional(x: int, /) -> None: ...
def variadic(*xs: int) -> None: ...
def keywords(**xs: int) -> None: ...
def unresolved(x: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821
def malformed(x: "1 +") -> None: ...  # type: ignore[valid-type]  # noqa: F722
def attribute(x: "json.nowhere") -> None: ...  # type: ignore[name-defined]
def inexpressible(x: Iterator[threading.Event]) -> None: ...
def array(x: np.ndarray) -> None: ...
def pattern(x: Annotated[str, Field(pattern="(")]) -> None: ...
def field_default(x: str = Field("a", description="q")) -> None: ...
def yields() -> Iterator[int]:
    yield 1


async def ayields() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (positional, "'x: int' .* cannot be passed by name"),
        (variadic, r"'\*xs: int' .* cannot be passed by name"),
        (keywords, r"'\*\*xs: int' .* cannot be passed by name"),
        (unresolved, "cannot be read: name 'Nowhere' is not defined"),
        (malformed, "cannot be read: .*1 +"),
        (attribute, "cannot be read: .*'nowhere'"),
        (inexpressible, "threading.Event"),
        (array, "numpy.ndarray"),
        (pattern, "cannot be validated: .*pattern"),
        (field_default, r"'x' .* write it into the type: Annotated\["),
        (yields, "return a list"),
        (ayields, "return a list"),
        (max, "no signature"),
        (5, "5"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_refused_by_name(function: Any, message: str) -> None:
    with pytest.raises(ToolDefinitionError, match=message) as caught:
        Tool.from_function(function)
    assert caught.value.tool == getattr(function, "__name__", "int")
    assert repr(caught.value.tool) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout_s": 0}, "timeout_s of 'greet' must be more than 0, or None, not 0"),
        ({"timeout_s": -1.0}, "timeout_s of 'greet' must be more than 0, or None, not -1.0"),
        ({"timeout_s": float("nan")}, "timeout_s of 'greet' must be more than 0, or None, not nan"),
        ({"retries": -1}, "retries of 'greet' must be 0 or more, not -1"),
        ({"max_concurrency": 0}, "max_concurrency of 'greet' must be 1 or more, or None, not 0"),
    ],
)
def test_limits_under_which_nothing_could_run_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        Tool.from_function(greet, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "wrap",
    [
        lambda body: body,
        lambda body: {"type": "function", "function": body},
        lambda body: {
            "name": body["name"],
            "description": body["description"],
            "inputSchema": body["parameters"],
        },
        lambda body: {
            "name": body["name"],
            "description": body["description"],
            "input_schema": body["parameters"],
        },
    ],
    ids=["json-schema", "openai", "mcp", "anthropic"],
)
def test_definitions_come_in_the_usual_wrappings(wrap: Any) -> None:
    parameters = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    made = Tool.from_schema(
        wrap({"name": "f", "description": "It does.", "parameters": parameters}), returns="int"
    )
    assert made.signature == "f(x: int) -> int"
    assert made.description == "It does."
    assert made.to_openai()["function"]["parameters"] == parameters


@pytest.mark.parametrize("definition", [{}, {"name": 5}, {"function": None}, {"function": {}}, "f", None, []])
def test_a_definition_without_a_name_is_refused(definition: Any) -> None:
    with pytest.raises(ToolDefinitionError, match="with a name") as caught:
        Tool.from_schema(definition)
    assert repr(definition) in str(caught.value)


@pytest.mark.anyio
async def test_a_definition_without_a_function_can_be_planned_with_and_not_called() -> None:
    with pytest.raises(ToolCallError, match="f has a definition and no function") as caught:
        await Tool.from_schema({"name": "f", "parameters": {"properties": {"self": {}}}}).ainvoke({"self": 1})
    assert caught.value.tool == "f"


@pytest.mark.anyio
async def test_arguments_reach_a_function_in_its_own_types() -> None:
    @tool
    def take(d: date, u: Unit, p: Place, m: Person, ids: list[UUID], pair: tuple[int, str]) -> list[Any]:
        return [d, u, p, m, ids, pair]

    given = {
        "d": "May 5, 2024",
        "u": "C",
        "p": '{"lat": "1"}',
        "m": {"name": 7},
        "ids": str(UUID(int=1)),
        "pair": ["1", 2],
    }
    assert await take.ainvoke(given) == [
        date(2024, 5, 5),
        Unit.CELSIUS,
        Place(1.0),
        Person(name="7"),
        [UUID(int=1)],
        (1, "2"),
    ]


@pytest.mark.anyio
async def test_what_was_left_out_is_the_functions_own_default() -> None:
    sentinel = object()

    @tool
    def f(x: int = 1, y: Any = sentinel, *, z: list[int] = []) -> tuple[Any, ...]:  # noqa: B006
        return x, y, z

    assert await f.ainvoke({}) == (1, sentinel, [])
    assert await f.ainvoke({"x": None, "z": None}) == (1, sentinel, [])
    assert (await f.ainvoke({"y": None}))[1] is None


def fails_validation(value: int) -> int:
    raise KeyError("surprise")


class Evil:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


@tool
def strict(
    count: int,
    name: str = "",
    unit: Unit = Unit.CELSIUS,
    odd: Annotated[int, AfterValidator(fails_validation)] = 0,
) -> None:
    raise AssertionError("it must not be called")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "strict: count is missing"),
        ({"count": None}, "strict: count: input should be a valid integer, not None"),
        ({"count": 1, "nmae": "x"}, "strict: there is no argument nmae"),
        (
            {"count": "many", "unit": "kelvin"},
            "strict: count: input should be a valid integer, unable to parse string as an integer, "
            "not 'many'; unit: input should be 'c' or 'f', not 'kelvin'",
        ),
        ({"count": 1, "name": ["x"]}, "strict: name: input should be a valid string, not ['x']"),
        ({"count": 1, "odd": 1}, "strict: the arguments cannot be validated: KeyError: 'surprise'"),
        ({1: 2}, "strict: count is missing; 1: keys should be strings, not 1"),
        ([1], "strict: the arguments must be an object, not [1]"),
        (None, "strict: the arguments must be an object, not None"),
        ("x" * 10**7, f"strict: the arguments must be an object, not '{'x' * 37}...{'x' * 38}'"),
    ],
    ids=repr,
)
async def test_wrong_arguments_are_all_named_and_nothing_is_called(arguments: Any, message: str) -> None:
    with pytest.raises(ToolArgumentError) as caught:
        await strict.ainvoke(arguments)
    assert str(caught.value) == message
    assert caught.value.tool == "strict"


@pytest.mark.parametrize(
    "value",
    [Evil(), [Evil()], np.array([1, 2]), 10**5000, "x" * 10**7, b"\xff", object(), {"a": Evil()}],
    ids=type,
)
@pytest.mark.parametrize("argument", ["count", "name", "unit"])
def test_the_oddest_value_of_another_task_is_judged_in_one_line(argument: str, value: Any) -> None:
    try:
        strict.validate({"count": 1, argument: value})
    except ToolArgumentError as error:
        assert len(str(error)) < 400  # noqa: PT017


def test_a_value_nested_without_end_is_judged() -> None:
    value: list[Any] = []
    value.append(value)
    for _ in range(5000):
        value = [value]
    with pytest.raises(ToolArgumentError, match="name"):
        strict.validate({"count": 1, "name": value})


@pytest.mark.anyio
async def test_a_tool_without_arguments_takes_none() -> None:
    @tool
    def ping() -> str:
        return "pong"

    assert await ping.ainvoke({}) == "pong"
    with pytest.raises(ToolArgumentError, match="there is no argument x"):
        await ping.ainvoke({"x": 1})


@pytest.mark.anyio
async def test_results_come_as_they_are() -> None:
    results = [Evil(), object(), {1, 2}, float("nan"), b"\xff", None, Person(name="x")]
    left = list(reversed(results))
    made = Tool.from_function(lambda: left.pop(), name="f")
    assert all([await made.ainvoke({}) is result for result in results])


@pytest.mark.anyio
async def test_an_awaitable_that_a_sync_function_gives_is_awaited() -> None:
    @tool
    def later(x: int) -> Any:
        return agreet("hello", str(x))

    assert await later.ainvoke({"x": 1}) == "hello 1"


@pytest.mark.anyio
async def test_a_sync_function_sees_the_callers_context_variables_and_keeps_its_own_to_itself() -> None:
    def swap() -> str:
        before = user.get()
        user.set("other")
        return before

    user.set("sid")
    assert await Tool.from_function(swap).ainvoke({}) == "sid"
    assert user.get() == "sid"


def failing(error: BaseException, *, is_async: bool, **options: Any) -> tuple[Tool, list[int]]:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise error

    async def afail() -> None:
        fail()

    return Tool.from_function(afail if is_async else fail, name="f", **options), calls


class MuteError(Exception):
    __str__ = Evil.__repr__


@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("bad"), "f failed: ValueError: bad"),
        (ValueError(), "f failed: ValueError: no message"),
        (MuteError(), "f failed: MuteError: no message"),
        (SystemExit(3), "f failed: SystemExit: 3"),
        (asyncio.CancelledError(), "f failed: it cancelled itself"),
        (TimeoutError("its own"), "f failed: TimeoutError: its own"),
        (
            ExceptionGroup("two", [ValueError(), KeyError()]),
            "f failed: ExceptionGroup: two (2 sub-exceptions)",
        ),
        (RecursionError(), "f failed: RecursionError: no message"),
        (UnknownToolError("inner", tool="g"), "f failed: UnknownToolError: inner"),
        (ToolArgumentError("inner", tool="g"), "f failed: ToolArgumentError: inner"),
        (ToolTimeoutError("inner", tool="g"), "f failed: ToolTimeoutError: inner"),
    ],
    ids=repr,
)
async def test_what_a_function_raises_becomes_one_error_with_its_cause(
    error: BaseException, message: str, is_async: bool
) -> None:
    made, _ = failing(error, is_async=is_async)
    with pytest.raises(ToolCallError) as caught:
        await made.ainvoke({})
    assert str(caught.value) == message
    assert caught.value.tool == "f"
    assert isinstance(caught.value.__cause__, type(error))


@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_function_that_ends_an_iteration_fails_like_any_other(is_async: bool) -> None:
    made, _ = failing(StopIteration("end"), is_async=is_async)
    with pytest.raises(ToolCallError, match="f failed: RuntimeError: "):
        await made.ainvoke({})


@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("cause", [None, KeyError("sid")])
async def test_the_tools_own_word_is_passed_on_and_never_retried(cause: Any, is_async: bool) -> None:
    class NoContactError(ToolCallError):
        pass

    for error in (ToolCallError("no contact named Sid"), NoContactError("no contact named Sid")):
        error.__cause__ = cause
        made, calls = failing(error, is_async=is_async, retries=3, read_only=True)
        with pytest.raises(ToolCallError) as caught:
            await made.ainvoke({})
        assert caught.value is error
        assert (caught.value.tool, caught.value.__cause__) == ("f", cause)
        assert calls == [1]


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.tools._tool._FIRST_BACKOFF_S", 0)


@pytest.mark.anyio
@pytest.mark.usefixtures("no_backoff")
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("annotations", "n_calls"),
    [
        ({"read_only": True}, 3),
        ({"idempotent": True}, 3),
        ({}, 1),
        ({"destructive": True}, 1),
        ({"read_only": False, "idempotent": False, "open_world": True}, 1),
    ],
    ids=repr,
)
async def test_only_what_may_be_repeated_is_retried(annotations: Any, n_calls: int, is_async: bool) -> None:
    made, calls = failing(OSError("down"), is_async=is_async, retries=2, **annotations)
    with pytest.raises(ToolCallError, match="f failed: OSError: down"):
        await made.ainvoke({})
    assert len(calls) == n_calls


@pytest.mark.anyio
@pytest.mark.usefixtures("no_backoff")
async def test_a_retry_that_works_gives_its_result() -> None:
    outcomes = iter([OSError("down"), ToolCallError, OSError("down"), "up"])

    @tool(retries=5, idempotent=True)
    def flaky() -> str:
        outcome = next(outcomes)
        if outcome is ToolCallError:
            raise ToolCallError("no such page")
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    with pytest.raises(ToolCallError, match="no such page"):
        await flaky.ainvoke({})
    assert await flaky.ainvoke({}) == "up"


@pytest.mark.anyio
@pytest.mark.usefixtures("no_backoff")
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_function_that_hangs_is_left_at_its_deadline_each_time(is_async: bool) -> None:
    calls: list[int] = []
    release = threading.Event()

    def hang() -> None:
        calls.append(1)
        release.wait()

    async def ahang() -> None:
        calls.append(1)
        await asyncio.Event().wait()

    made = Tool.from_function(
        ahang if is_async else hang, name="f", timeout_s=0.01, retries=2, read_only=True
    )
    with pytest.raises(ToolTimeoutError) as caught:
        await made.ainvoke({})
    release.set()
    assert str(caught.value) == "f did not answer within 0.01 s"
    assert (caught.value.tool, caught.value.timeout_s) == ("f", 0.01)
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert len(calls) == 3


@pytest.mark.anyio
async def test_a_deadline_is_what_is_told_even_if_the_clean_up_fails() -> None:
    @tool(timeout_s=0.01)
    async def untidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while closing")

    with pytest.raises(ToolTimeoutError, match=r"untidy did not answer within 0\.01 s") as caught:
        await untidy.ainvoke({})
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.anyio
async def test_without_a_deadline_a_call_may_take_its_time() -> None:
    release = asyncio.Event()

    @tool(timeout_s=None)
    async def wait() -> str:
        await release.wait()
        return "done"

    call = asyncio.create_task(wait.ainvoke({}))
    release.set()
    assert await call == "done"


@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_cancelling_a_call_returns_at_once_and_is_no_failure(is_async: bool) -> None:
    loop, started, release = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    cleaned: list[int] = []

    def block() -> None:
        loop.call_soon_threadsafe(started.set)
        release.wait()

    async def ablock() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(1)

    made = Tool.from_function(ablock if is_async else block, retries=3, read_only=True)
    call = asyncio.create_task(made.ainvoke({}))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    release.set()
    assert cleaned == [1] * is_async


@pytest.mark.anyio
@pytest.mark.usefixtures("no_backoff")
async def test_a_cancelled_call_whose_clean_up_fails_is_cancelled_and_not_retried() -> None:
    started = asyncio.Event()
    calls: list[int] = []

    @tool(retries=3, read_only=True)
    async def untidy() -> None:
        calls.append(1)
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while closing")

    call = asyncio.create_task(untidy.ainvoke({}))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert calls == [1]


@pytest.mark.anyio
async def test_a_call_is_cancelled_between_two_attempts() -> None:
    failed = asyncio.Event()

    @tool(retries=30, read_only=True)
    async def down() -> None:
        failed.set()
        raise OSError

    call = asyncio.create_task(down.ainvoke({}))
    await failed.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.anyio
async def test_calls_of_one_tool_run_at_once() -> None:
    barrier = threading.Barrier(5)

    @tool
    def meet() -> int:
        return barrier.wait()

    assert sorted(await asyncio.gather(*(meet.ainvoke({}) for _ in range(5)))) == list(range(5))


def test_every_error_of_a_tool_is_a_tool_error() -> None:
    assert all(
        issubclass(error, ToolError)
        for error in (
            ToolArgumentError,
            ToolCallError,
            ToolTimeoutError,
            ToolDefinitionError,
            UnknownToolError,
        )
    )
