"""The assistant's sixteen tools, to plan with, and toolboxes that come as a file of definitions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from plait.apps.evaluation._values import read_moment, with_defaults
from plait.errors import ConfigurationError, ToolCallError, ToolError
from plait.planners import Value
from plait.tools import Tool, Toolbox
from plait.tools.assistant import assistant_tools

_EVENT_LENGTH = timedelta(minutes=60)


def assistant_toolbox() -> Toolbox:
    """The assistant's sixteen tools as definitions: they can be planned with, and every call of them fails.

    Those that the assistant has are its own, so that prompts are the same.
    """
    real = {tool.name: tool for tool in assistant_tools(Path(), summarize=_no_summary)}
    planned = {tool.name: tool for tool in _definitions()}
    return Toolbox(
        replace(tool, function=_definition_only, _is_async=True) for tool in {**planned, **real}.values()
    )


def assistant_defaults(tool: Tool, arguments: Mapping[str, Value]) -> Mapping[str, Value]:
    """``arguments`` with those that were left out: an event ends 60 minutes after its start."""
    completed = dict(with_defaults(tool, arguments))
    start = completed.get("start_date")
    if tool.name == "create_calendar_event" and "end_date" not in completed and isinstance(start, str):
        moment = read_moment(start)
        if moment is not None:
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


async def _no_summary(text: str) -> str:
    raise ToolCallError(f"no model was given to summarize {len(text)} characters with")


def _definitions() -> list[Tool]:
    return [*_maps_tools(), *_talk_tools()]


def _maps_tools() -> list[Tool]:
    def maps_open_location(location: str) -> str:
        """Show a place on the map; gives its map link.

        Args:
            location: a place or an address
        """
        raise NotImplementedError

    def maps_show_directions(
        *, start_location: str = "", end_location: str, transport: Literal["d", "w", "r"] = "d"
    ) -> str:
        """Show the way to a place on the map; gives the link to the directions.

        Args:
            start_location: where to start; here if left out
            end_location: where to go
            transport: d by car, w on foot, r by public transport
        """
        raise NotImplementedError

    readers = (maps_open_location, maps_show_directions)
    return [Tool.from_function(f, read_only=True, open_world=False) for f in readers]


def _talk_tools() -> list[Tool]:
    def send_sms(recipients: list[str], message: str) -> str:
        """Send a text message.

        Args:
            recipients: phone numbers
            message: what it says
        """
        raise NotImplementedError

    def get_zoom_meeting_link(
        topic: str,
        start_time: datetime,
        duration: int = 60,
        meeting_invitees: list[str] = [],  # noqa: B006
    ) -> str:
        """Create a Zoom meeting; gives the link to join it.

        Args:
            topic: what the meeting is about
            start_time: when it starts
            duration: in minutes
            meeting_invitees: email addresses of those invited
        """
        raise NotImplementedError

    senders = (send_sms, get_zoom_meeting_link)
    return [Tool.from_function(f, read_only=False, destructive=False, open_world=True) for f in senders]
