"""Arguments that wait for results; texts among them are written with marks for these."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from plait.planners import Ref, Template, Value, make_text
from plait.tools import to_text


def filled(value: Value, result_or_ref: Callable[[Ref], Any]) -> Value:
    """``value`` with the results that exist in the place of references; the other references stay.

    Args:
        value: a planned argument.
        result_or_ref: the result, or the reference itself where there is none yet.
    """
    if isinstance(value, Ref):
        return result_or_ref(value)
    if isinstance(value, Template):
        parts = (result_or_ref(part) if isinstance(part, Ref) else part for part in value.parts)
        return make_text(part if isinstance(part, Ref) else to_text(part) for part in parts)
    if isinstance(value, Mapping):
        return {key: filled(item, result_or_ref) for key, item in value.items()}
    return [filled(item, result_or_ref) for item in value] if isinstance(value, (list, tuple)) else value


def mark_of(ref: Ref) -> str:
    """What stands in a text for a result that does not exist yet, such as ``${1}``."""
    return f"${{{str(ref)[1:]}}}"


def marks_of(parts: tuple[Any, ...]) -> Mapping[str, Ref]:
    """The marks of the references that are left among the parts of a text, by what they stand for.

    There are none where another part holds one too, so that nobody could tell them apart.
    """
    marks = {mark_of(part): part for part in parts if isinstance(part, Ref)}
    told = [to_text(part) for part in parts if not isinstance(part, Ref)]
    return {} if any(mark in text for mark in marks for text in told) else marks


def with_results(text: str, marks: Mapping[str, Ref]) -> str | Ref | Template | None:
    """A text with references in the place of the marks; ``None`` if one of these is not in it."""
    if not marks or not all(mark in text for mark in marks):
        return None
    pieces = re.split(f"({'|'.join(map(re.escape, marks))})", text)
    return make_text(marks.get(piece, piece) for piece in pieces)
