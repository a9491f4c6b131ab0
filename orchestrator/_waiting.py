"""Texts that wait for results: written with marks for these, which are told apart from what else says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plait.planners import Ref, Template
from plait.tools import to_text


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


def with_results(text: str, marks: Mapping[str, Ref]) -> Template | None:
    """A text with references in the place of the marks; ``None`` if one of these is not in it."""
    if not marks or not all(mark in text for mark in marks):
        return None
    pieces = re.split(f"({'|'.join(map(re.escape, marks))})", text)
    return Template(tuple(marks.get(piece, piece) for piece in pieces if piece))
