"""What tools say of the kinds of their results and arguments."""

from typing import Annotated

import pytest

from plait.errors import ToolDefinitionError
from plait.tools import Kind, Tool, tool


def test_kinds_are_read_from_the_signature() -> None:
    @tool
    def send(
        to: list[Annotated[str, Kind("email")]],
        about: Annotated[str | None, Kind("text", "link")] = None,
        n: int = 1,
        name: Annotated[str, Kind(verbatim=True)] | None = None,
    ) -> Annotated[str, Kind("status")]:
        """Send something."""
        return f"{to}{about}{n}{name}"

    assert send.gives == "status"
    assert send.takes == {"to": Kind("email"), "about": Kind("link", "text"), "name": Kind(verbatim=True)}
    assert send.signature == "send(to: list[str], about?: str, n: int = 1, name?: str) -> str"
    assert "status" not in str(send.to_openai())


def test_a_tool_that_says_nothing_has_none() -> None:
    @tool
    def look_up(what: str) -> str:
        """Look something up."""
        return what

    assert (look_up.gives, look_up.takes) == (None, {})


def test_a_result_is_of_one_kind() -> None:
    def find(name: str) -> Annotated[str, Kind("email", "phone")]:
        return name

    with pytest.raises(
        ToolDefinitionError, match="the result of 'find' is of one kind, not of 2; name the one"
    ):
        Tool.from_function(find)


def test_definitions_get_their_kinds_apart() -> None:
    definition = {
        "name": "find",
        "parameters": {"type": "object", "properties": {"name": {"type": "string"}}},
    }
    found = Tool.from_schema(definition, gives="email", takes={"name": Kind("person")})
    assert (found.gives, found.takes) == ("email", {"name": Kind("person")})
    with pytest.raises(ToolDefinitionError, match="'find' has no argument 'nam' to take a kind of value"):
        Tool.from_schema(definition, takes={"nam": Kind("person")})
