# ruff: noqa: E501  (a line of a prompt is a line)
"""What a model is told when it writes usages, and how its answer is read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from plait.models import Grammar, Message
from plait.tools import Tool

_WRITE = """\
You write requests that people make to an assistant which has tools.

Rules:
- Each request needs every one of the tools that you are told, and no other.
- Write as people talk: say what is wanted, with made-up names, places and numbers; nobody should have to ask back.
- Never name a tool and never speak of tools, functions, programs or APIs.
- Requests differ in words, length and what they are about. Some are questions, some commands, some half sentences."""

_POLISH = """\
You make requests to an assistant sound as people really say them.

Rules:
- Ask for the same thing, with the same names, places and numbers. Mend what is unclear, stiff or repeated.
- Never name a tool and never speak of tools, functions, programs or APIs.
- Write as many requests as you are given, in the same order."""

_EXAMPLE_TOOL = "- currency.convert(amount: float, source: str, target: str) -> float: Convert an amount of money from one currency into another."
_WRITTEN = """\
1. How many yen are 250 euros?
2. how much is my 80 dollar dinner in pesos"""
_STIFF = """\
1. Please perform the exchange of 250 euros to yen.
2. Convert dinner currency of 80 from dollars to pesos"""

PROMPTS_FINGERPRINT = hashlib.sha256(
    "\0".join((_WRITE, _POLISH, _EXAMPLE_TOOL, _WRITTEN, _STIFF)).encode()
).hexdigest()[:16]
"""Another one whenever the prompts are others."""

_MIN_CHARS, _MAX_CHARS = 8, 240
_NUMBERED = re.compile(r"^\s*\d+[.):]\s*(.+?)\s*$", re.MULTILINE)


def writing_messages(tools: Sequence[Tool], n: int) -> list[Message]:
    """Asks for ``n`` requests that need all of ``tools``; the beginning is the same for all tools."""
    return [
        Message.instructions(_WRITE),
        Message("user", _wanted(_EXAMPLE_TOOL, 2)),
        Message("assistant", _WRITTEN),
        Message("user", _wanted(described(tools), n)),
    ]


def polishing_messages(tools: Sequence[Tool], requests: Sequence[str]) -> list[Message]:
    """Asks for the same requests, said better."""
    return [
        Message.instructions(_POLISH),
        Message("user", _given(_EXAMPLE_TOOL, _STIFF)),
        Message("assistant", _WRITTEN),
        Message("user", _given(described(tools), numbered(requests))),
    ]


def requests_grammar(n: int) -> Grammar:
    """The grammar of ``n`` numbered requests, each on a line."""
    places = [f'"{"" if number == 1 else chr(92) + "n"}{number}. "' for number in range(1, n + 1)]
    line = f"{{{_MIN_CHARS},{_MAX_CHARS}}}"
    item = {"type": "string", "minLength": _MIN_CHARS, "maxLength": _MAX_CHARS}
    requests = {"type": "array", "items": item, "minItems": n, "maxItems": n}
    return Grammar(
        lark="%llguidance {}\nstart: " + " ".join(f"{p} LINE" for p in places) + f"\nLINE: /[^\\n]{line}/\n",
        gbnf="root ::= " + " ".join(f"{p} line" for p in places) + f"\nline ::= [^\\n]{line}",
        json_schema={
            "type": "object",
            "properties": {"requests": requests},
            "required": ["requests"],
            "additionalProperties": False,
        },
    )


def read_requests(text: str) -> list[str]:
    """The requests in an answer, as numbered lines or as JSON; those that are whole."""
    if text.lstrip().startswith("{"):
        try:
            found: Any = json.loads(text)
        except (ValueError, RecursionError):
            return []
        items = found.get("requests") if isinstance(found, dict) else None
        lines = [item for item in items if isinstance(item, str)] if isinstance(items, list) else []
    else:
        lines = _NUMBERED.findall(text)
    cleaned = (" ".join(line.split()).strip("\"'*` ") for line in lines)
    return [line for line in cleaned if line]


def numbered(requests: Sequence[str]) -> str:
    """The requests as numbered lines."""
    return "\n".join(f"{number}. {request}" for number, request in enumerate(requests, 1))


def described(tools: Sequence[Tool]) -> str:
    """The tools as prompts tell of them: signature, description and what is said of arguments."""
    lines: list[str] = []
    for tool in tools:
        lines.append(f"- {tool.signature}: {' '.join(tool.description.split())}")
        fields = (field for field in tool.arguments.fields if field.description)
        lines += [f"    {field.name}: {' '.join(field.description.split())}" for field in fields]
    return "\n".join(lines)


def _wanted(tools: str, n: int) -> str:
    return f"Tools:\n{tools}\n\nWrite {n} requests, one a line, numbered."


def _given(tools: str, requests: str) -> str:
    return f"Tools:\n{tools}\n\nRequests:\n{requests}"
