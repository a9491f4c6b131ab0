"""Arguments of tools that are moments: dates left in words are understood before they are validated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, ValidationInfo

from plait.tools.assistant._dates import read_moment

Now: TypeAlias = Callable[[], datetime]
"""Gives the present time, aware, in the user's zone."""


def moment(now: Now, *, after: str | None = None) -> Any:
    """The type of an argument that is a moment, in ISO 8601 or in English words.

    Prompts and schemas show it as a date-time. What cannot be understood is left to the validation, which
    refuses it.

    Args:
        now: what words are relative to.
        after: the argument that a time alone comes after, as an end comes after its start.
    """

    def read(value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
        start = info.data.get(after) if after else None
        is_number = value.strip().isdecimal()
        understood = read_moment(f"at {value}" if is_number else value, now(), after=start)
        if understood is None and is_number:  # which pydantic would take for seconds since 1970
            raise ValueError("a number is no date")
        return value if understood is None else understood

    return Annotated[datetime, BeforeValidator(read)]
