import itertools
import random
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as langchain_tool

from plait.errors import DuplicateToolError, ToolDefinitionError, UnknownToolError
from plait.tools import Tool, Toolbox, tool


@tool
def alpha(x: int, unit: str = "c") -> int:
    """The first."""
    return x


@tool(read_only=True)
async def beta(names: list[str]) -> str:
    """The second."""
    return ""


@langchain_tool
def gamma(x: int) -> int:
    """The third."""
    return x


def delta(x: float | None = None) -> None:
    """The fourth."""


class Callable:
    """The fifth."""

    def __call__(self, x: int) -> int:
        return x


def named(name: str) -> Tool:
    return Tool.from_schema({"name": name}, lambda: name)


def test_tools_functions_objects_and_langchain_tools_go_in() -> None:
    toolbox = Toolbox([gamma, delta, beta, alpha, Callable()])
    assert toolbox.names == ("Callable", "alpha", "beta", "delta", "gamma")
    assert len(toolbox) == 5
    assert all(isinstance(t, Tool) for t in toolbox)
    assert repr(toolbox) == "Toolbox(Callable, alpha, beta, delta, gamma)"


def test_the_same_tools_in_any_order_give_the_same_bytes() -> None:
    tools = [alpha, beta, gamma, delta, named("a.b"), named("A"), named("é"), named("10"), named("9")]
    shuffled = [random.Random(seed).sample(tools, len(tools)) for seed in range(20)]
    shuffled += [list(t) for t in itertools.islice(itertools.permutations(tools), 20)]
    texts = {"\n".join(t.signature for t in Toolbox(order)).encode() for order in shuffled}
    schemas = {repr([t.to_openai() for t in Toolbox(order)]) for order in shuffled}
    assert len(texts) == len(schemas) == 1
    assert Toolbox(tools).names == ("10", "9", "A", "a.b", "alpha", "beta", "delta", "gamma", "é")


def test_adding_and_choosing_keep_the_order() -> None:
    both = Toolbox([delta]) + Toolbox([alpha]) + (beta,)
    assert both.names == ("alpha", "beta", "delta")
    assert both.subset(["delta", "alpha"]).names == ("alpha", "delta")
    assert both.subset(["delta", "delta"]).names == ("delta",)
    assert both.subset([]).names == ()


def test_tools_are_looked_up_by_name() -> None:
    toolbox = Toolbox([alpha, beta])
    assert toolbox["alpha"] is alpha
    assert toolbox.get("alpha") is alpha
    assert toolbox.get("omega") is None
    assert "alpha" in toolbox
    assert alpha in toolbox
    assert "omega" not in toolbox


@pytest.mark.parametrize(
    ("tools", "name", "message"),
    [
        ([alpha, beta], "alhpa", "there is no tool 'alhpa'; did you mean alpha?"),
        ([alpha, beta], "zzz", "there is no tool 'zzz'; did you mean alpha, beta?"),
        ([], "alpha", "there is no tool 'alpha'; the toolbox is empty"),
        ([alpha], 0, "there is no tool 0; did you mean alpha?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_closest_ones(tools: Any, name: Any, message: str) -> None:
    with pytest.raises(UnknownToolError) as caught:
        Toolbox(tools)[name]
    assert str(caught.value) == message
    assert caught.value.tool == str(name)
    with pytest.raises(UnknownToolError):
        Toolbox(tools).subset([name])


def test_two_tools_of_one_name_are_refused_by_name() -> None:
    with pytest.raises(DuplicateToolError, match=r"'alpha'.*name=") as caught:
        Toolbox([alpha, beta, named("alpha")])
    assert caught.value.tool == "alpha"
    with pytest.raises(DuplicateToolError):
        Toolbox([alpha]) + Toolbox([alpha])


def test_one_tool_that_cannot_be_used_is_refused_by_its_own_name() -> None:
    def bad(*values: int) -> None:
        """It takes any number."""

    with pytest.raises(ToolDefinitionError, match="'bad'") as caught:
        Toolbox([alpha, bad, beta])
    assert caught.value.tool == "bad"


class NotBuilt(BaseTool):
    name: str = "not_built"
    description: str = ""

    def _run(self) -> None: ...


@pytest.mark.parametrize("candidate", ["alpha", None, 5, {"name": "x"}, int, NotBuilt], ids=repr)
def test_what_is_no_tool_is_refused_with_the_ways_to_make_one(candidate: Any) -> None:
    with pytest.raises(ToolDefinitionError, match=r"neither a tool nor a function; Tool\.from_schema\(\)"):
        Toolbox([candidate])
