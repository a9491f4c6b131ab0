from collections.abc import Callable

import pytest

from plait.errors import ConfigurationError
from plait.orchestrator import POLICIES
from plait.orchestrator._policy import find_policy
from plait.tools import Tool, ToolAnnotations

UNKNOWN = ToolAnnotations()
READ = ToolAnnotations(read_only=True)
WEB_READ = ToolAnnotations(read_only=True, open_world=True)
SEND = ToolAnnotations(read_only=False, open_world=True)
SEND_OR_READ = ToolAnnotations(open_world=True)
DELETE = ToolAnnotations(destructive=True)
NOTE = ToolAnnotations(read_only=False, destructive=False, open_world=False)
KINDS = (UNKNOWN, READ, WEB_READ, SEND, SEND_OR_READ, DELETE, NOTE)


def a_tool(annotations: ToolAnnotations) -> Tool:
    return Tool.from_schema({"name": "act"}, annotations=annotations)


@pytest.mark.parametrize(
    ("name", "untrusted", "asked"),
    [
        ("none", False, ()),
        ("none", True, ()),
        ("all", False, KINDS),
        ("all", True, KINDS),
        ("writes", False, (UNKNOWN, SEND, SEND_OR_READ, DELETE, NOTE)),
        ("writes", True, (UNKNOWN, SEND, SEND_OR_READ, DELETE, NOTE)),
        ("untrusted", False, ()),
        ("untrusted", True, (SEND, SEND_OR_READ, DELETE)),
    ],
)
def test_each_policy_asks_about_the_calls_that_its_name_says(
    name: str, untrusted: bool, asked: tuple[ToolAnnotations, ...]
) -> None:
    policy = find_policy(name)
    assert tuple(kind for kind in KINDS if policy(a_tool(kind), untrusted)) == asked


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_found_by_its_name(name: str) -> None:
    assert find_policy(name) is POLICIES[name]


def test_a_function_is_its_own_policy() -> None:
    policy: Callable[[Tool, bool], bool] = lambda tool, untrusted: untrusted  # noqa: E731
    assert find_policy(policy) is policy


def test_the_error_for_an_unknown_policy_lists_the_choices() -> None:
    with pytest.raises(ConfigurationError, match=r"'ask'.*all, none, untrusted, writes"):
        find_policy("ask")
