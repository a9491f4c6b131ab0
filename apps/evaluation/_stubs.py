"""Made-up results of the assistant's tools, each of them unique, so that its way can be followed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from plait.tools import Tool

_FIRST_NUMBER = 1000
_TOPICS = ("costs fell and sales rose", "the bridge needs new bolts", "the launch moves to spring")


def assistant_result(tool: Tool, arguments: Mapping[str, Any], number: int) -> Any:
    """The result of call ``number``: like the tool's own for the assistant's, made of its type for others."""
    made = _RESULTS.get(tool.name)
    return made(arguments, number) if made else typed_result(tool, number)


def typed_result(tool: Tool, number: int) -> Any:
    """A value of the type that ``tool`` says it returns, unique to ``number``; text where it says none."""
    kind = tool.returns.partition("[")[0].partition(" |")[0].strip()
    text = f"<{tool.name} result {number}>"
    values = {
        "int": _FIRST_NUMBER * 10 + number,
        "float": _FIRST_NUMBER * 10 + number + 0.5,
        "bool": True,
        "list": [text],
        "dict": {"result": text},
    }
    return values.get(kind, text)


def _phone(arguments: Mapping[str, Any], number: int) -> str:
    return f"+1-555-{_FIRST_NUMBER + number}"


def _email(arguments: Mapping[str, Any], number: int) -> str:
    return f"{_slug(arguments.get('name', ''), '.')}.{number}@example.com"


def _path(arguments: Mapping[str, Any], number: int) -> str:
    name = PurePosixPath(str(arguments.get("file_name", ""))).name or "file"
    return f"/home/user/Documents/{_FIRST_NUMBER + number}/{name}"


def _summary(arguments: Mapping[str, Any], number: int) -> str:
    return f"Summary {_FIRST_NUMBER + number}: {_TOPICS[number % len(_TOPICS)]}."


def _note(arguments: Mapping[str, Any], number: int) -> str:
    return f"Note {_FIRST_NUMBER + number}: {_TOPICS[number % len(_TOPICS)]}."


def _map_link(arguments: Mapping[str, Any], number: int) -> str:
    return f"https://maps.example.com/{_slug(arguments.get('location', ''), '-')}-{number}"


def _directions(arguments: Mapping[str, Any], number: int) -> str:
    return f"https://maps.example.com/to-{_slug(arguments.get('end_location', ''), '-')}-{number}"


def _zoom_link(arguments: Mapping[str, Any], number: int) -> str:
    return f"https://zoom.example.com/j/{_FIRST_NUMBER * 10**6 + number}"


def _status(done: str) -> Callable[[Mapping[str, Any], int], str]:
    return lambda arguments, number: f"{done} (no. {_FIRST_NUMBER + number})"


_RESULTS: dict[str, Callable[[Mapping[str, Any], int], str]] = {
    "append_note_content": _status("The note was extended"),
    "compose_new_email": _status("The email was sent"),
    "create_calendar_event": _status("The event was created"),
    "create_note": _status("The note was created"),
    "create_reminder": _status("The reminder was created"),
    "forward_email": _status("The email was forwarded"),
    "get_email_address": _email,
    "get_phone_number": _phone,
    "get_zoom_meeting_link": _zoom_link,
    "maps_open_location": _map_link,
    "maps_show_directions": _directions,
    "open_and_get_file_path": _path,
    "open_note": _note,
    "reply_to_email": _status("The reply was sent"),
    "send_sms": _status("The message was sent"),
    "summarize_pdf": _summary,
}


def _slug(text: Any, separator: str) -> str:
    return separator.join(re.findall(r"\w+", str(text).casefold())[:4]) or "unnamed"
