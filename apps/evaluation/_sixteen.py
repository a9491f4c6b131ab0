"""The assistant's sixteen tools, to plan with, and toolboxes that come as a file of definitions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from plait.apps.evaluation._values import read_moment, with_defaults
from plait.errors import ConfigurationError, ToolCallError, ToolError
from plait.planners import Value
from plait.tools import Tool, Toolbox
from plait.tools.assistant import Settings, assistant_tools

_EVENT_LENGTH = timedelta(minutes=60)


def assistant_toolbox() -> Toolbox:
    """The assistant's sixteen tools as definitions: they can be planned with, and every call fails."""
    return Toolbox(
        replace(tool, function=_definition_only, prepare=None, _is_async=True)
        for tool in assistant_tools(Path(), settings=Settings())
    )


def assistant_defaults(tool: Tool, arguments: Mapping[str, Value]) -> Mapping[str, Value]:
    """``arguments`` with those that were left out: an event ends 60 minutes after its start."""
    completed = dict(with_defaults(tool, arguments))
    start = completed.get("start_date")
    if tool.name == "create_calendar_event" and "end_date" not in completed and isinstance(start, str):
        moment = read_moment(start)
        if moment is not None and moment.replace(tzinfo=None) <= datetime.max - _EVENT_LENGTH:
            completed["end_date"] = (moment + _EVENT_LENGTH).isoformat()
    return completed


def toolbox_from_file(path: Path) -> Toolbox:
    """The tools of a JSON file with a list of function definitions (OpenAI's format, wrapped or not).

    Raises:
        ConfigurationError: the file cannot be read, or a definition in it cannot be used.
    """
    try:
        definitions = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} cannot be read as JSON ({error}); give a file with a list of function definitions"
        ) from error
    if not isinstance(definitions, list) or not definitions:
        raise ConfigurationError(f"{path} must hold a list of at least one function definition")
    tools = []
    for number, definition in enumerate(definitions, 1):
        try:
            tools.append(Tool.from_schema(definition))
        except ToolError as error:
            raise ConfigurationError(f"{path}, definition {number}: {error}") from error
    try:
        return Toolbox(tools)
    except ToolError as error:
        raise ConfigurationError(f"{path}: {error}") from error


async def _definition_only(**_: Any) -> str:
    raise ToolCallError("this is a definition only, to plan with; nothing was done")
