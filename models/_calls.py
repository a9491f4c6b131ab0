"""Function calls in the text of models that write them as JSON: Qwen, Hermes, Llama 3, Mistral, Granite."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from plait.models._types import ToolCall

_WRAPPING = re.compile(
    r"</?tool_calls?>|</?tools?>|</?function_calls?>|<\|python_tag\|>|<\|tool_call\|>|\[/?TOOL_CALLS\]|```(?:json)?|[\[\],;\s]+"
)


def calls_in(text: str) -> tuple[str, list[ToolCall]]:
    """The calls that ``text`` contains, and the text around them.

    A call is a JSON object with a ``name`` and with ``arguments`` or ``parameters``, however it is wrapped.
    """
    calls: list[ToolCall] = []
    around: list[str] = []
    at = 0
    for start, end, value in _objects(text):
        name = value.get("name")
        arguments = value.get("arguments", value.get("parameters"))
        if isinstance(arguments, str):
            arguments = _decoded(arguments)
        if isinstance(name, str) and isinstance(arguments, dict):
            around.append(text[at:start])
            at = end
            calls.append(ToolCall(f"call_{len(calls)}", name, arguments))
    around.append(text[at:])
    if not calls:
        return text, []
    return " ".join(piece for part in around if (piece := _WRAPPING.sub(" ", part).strip())), calls


def _objects(text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    decoder = json.JSONDecoder(strict=False)
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield at, end, value
        at = text.find("{", end)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
