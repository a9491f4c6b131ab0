import json
from pathlib import Path
from typing import Any

import pytest

from plait.apps.evaluation._sixteen import assistant_defaults, assistant_toolbox, toolbox_from_file
from plait.errors import ConfigurationError, ToolCallError
from plait.planners import Ref
from plait.tools.assistant import assistant_tools

SIGNATURES = {
    "compose_new_email": ["recipients", "cc", "subject", "context", "attachments"],
    "reply_to_email": ["cc", "context", "attachments"],
    "forward_email": ["recipients", "cc", "context", "attachments"],
    "maps_open_location": ["location"],
    "maps_show_directions": ["start_location", "end_location", "transport"],
    "send_sms": ["recipients", "message"],
    "get_zoom_meeting_link": ["topic", "start_time", "duration", "meeting_invitees"],
}


async def summarize(text: str) -> str:
    return text


def test_there_are_sixteen_tools_with_tinyagents_arguments_in_order() -> None:
    toolbox = assistant_toolbox()
    assert len(toolbox) == 16
    for name, arguments in SIGNATURES.items():
        assert [f.name for f in toolbox[name].arguments.fields] == arguments


def test_what_the_assistant_has_reads_as_its_own_in_prompts(tmp_path: Path) -> None:
    toolbox = assistant_toolbox()
    for tool in assistant_tools(tmp_path, summarize=summarize):
        assert toolbox[tool.name].to_openai() == tool.to_openai()
        assert toolbox[tool.name].signature == tool.signature


def test_a_definition_looks_into_no_mailbox_before_a_call() -> None:
    assert [tool.name for tool in assistant_toolbox() if tool.prepare is not None] == []


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["get_phone_number", "summarize_pdf", "maps_open_location"])
async def test_a_definition_cannot_be_called(name: str) -> None:
    tool = assistant_toolbox()[name]
    with pytest.raises(ToolCallError, match="definition only"):
        await tool.ainvoke({f.name: "x" for f in tool.arguments.fields})


def test_an_event_ends_an_hour_after_its_start() -> None:
    tool = assistant_toolbox()["create_calendar_event"]
    completed = assistant_defaults(tool, {"title": "x", "start_date": "20 Nov 2026 23:30"})
    assert completed["end_date"] == "2026-11-21T00:30:00"
    assert completed["invitees"] == []


@pytest.mark.parametrize("start", ["soon", Ref(1), "9999-12-31T23:59:59"])
def test_an_event_without_a_start_that_can_be_read_has_no_end(start: Any) -> None:
    tool = assistant_toolbox()["create_calendar_event"]
    assert "end_date" not in assistant_defaults(tool, {"title": "x", "start_date": start})


def test_a_toolbox_comes_from_a_file_of_definitions(tmp_path: Path) -> None:
    bare = {"name": "look", "description": "Looks.", "parameters": {"properties": {"at": {"type": "string"}}}}
    path = tmp_path / "tools.json"
    path.write_text(json.dumps([bare, {"type": "function", "function": {"name": "wait"}}]), encoding="utf-8")
    toolbox = toolbox_from_file(path)
    assert toolbox.names == ("look", "wait")
    assert toolbox["look"].signature == "look(at?: str)"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "at least one function definition"),
        ('{"name": "x"}', "must hold a list"),
        ('[{"name": "a"}, {"title": "b"}]', "definition 2: a function definition is an object with a name"),
        ('[{"name": "a b"}]', "definition 1: 'a b' cannot be the name of a tool"),
        ('[{"name": "a"}, {"name": "a"}]', "two tools have the name 'a'"),
    ],
)
def test_a_file_that_is_no_list_of_definitions_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "tools.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"tools\.json") as caught:
        toolbox_from_file(path)
    assert problem in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        toolbox_from_file(tmp_path / "none.json")
