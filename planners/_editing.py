r"""Arguments as people read and edit them: references as in a plan, and ``\$`` for a dollar that is none."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from plait.errors import ReferenceValueError
from plait.planners._plan import Ref, Template, Value, make_text
from plait.planners._scanner import Malformed
from plait.planners._strings import BARE_REFERENCE, BRACED_REFERENCE, reference_at, task_number

# Backslashes count only before a dollar; there, two of them are one.
_DOLLAR = re.compile(r"(?P<slashes>\\*)\$")
_LAST_SLASHES = re.compile(r"\\+\Z")
_TWICE = r"\g<0>\g<0>"


def written_value(value: Value, known: Collection[int]) -> Any:
    r"""``value`` with its references written out, so that :func:`read_value` gives it back.

    A reference is ``$1``, or ``${1}`` within a text. Only a dollar that would be read as one gets a
    backslash, so that other texts stand as they are: ``$5``, ``${HOME}`` and ``C:\``, but ``\${1}``.

    Args:
        value: an argument.
        known: the numbers of the tasks that it may refer to.
    """
    if isinstance(value, Ref):
        return str(value)
    if isinstance(value, Template):
        return "".join(_written_parts(value.parts))
    if isinstance(value, str):
        return f"\\{value}" if _is_reference(value, known) else _escaped(value)
    if isinstance(value, dict):
        return {key: written_value(item, known) for key, item in value.items()}
    return [written_value(item, known) for item in value] if isinstance(value, (list, tuple)) else value


def read_value(written: Any, known: Collection[int]) -> Value:
    r"""What somebody wrote, with its references.

    As in a plan, ``$1`` alone and ``${1}`` within a text are the result of task 1, and ``\$`` is a dollar.

    Args:
        written: JSON types.
        known: the numbers of the tasks that it may refer to.

    Raises:
        ReferenceValueError: it refers to another one.
    """
    if isinstance(written, str):
        return reference_at(written, 0, known)[0] if _is_reference(written, known) else _read(written, known)
    if isinstance(written, dict):
        return {key: read_value(item, known) for key, item in written.items()}
    return [read_value(item, known) for item in written] if isinstance(written, list) else written


def _is_reference(text: str, known: Collection[int]) -> bool:
    whole = BARE_REFERENCE.fullmatch(text)
    return whole is not None and task_number(whole) in known


def _written_parts(parts: tuple[str | Ref, ...]) -> Iterator[str]:
    for part, following in zip(parts, (*parts[1:], ""), strict=True):
        if isinstance(part, Ref):
            yield f"${{{str(part)[1:]}}}"
        else:
            text = _escaped(part)
            yield _LAST_SLASHES.sub(_TWICE, text) if isinstance(following, Ref) else text


def _escaped(text: str) -> str:
    def escape(dollar: re.Match[str]) -> str:
        begins_one = BRACED_REFERENCE.match(text, dollar.end() - 1) is not None
        return dollar["slashes"] * 2 + ("\\$" if begins_one else "$")

    return _DOLLAR.sub(escape, text)


def _read(text: str, known: Collection[int]) -> Value:
    parts: list[str | Ref] = []
    begin = 0
    while dollar := _DOLLAR.search(text, begin):
        at, n_slashes = dollar.end() - 1, len(dollar["slashes"])
        parts.append(text[begin : dollar.start()] + "\\" * (n_slashes // 2))
        if n_slashes % 2 or not BRACED_REFERENCE.match(text, at):
            parts.append("$")
            begin = at + 1
            continue
        try:
            reference, begin = reference_at(text, at, known)
        except Malformed:
            unknown = f"{text[at:].partition('}')[0]}}}"
            raise ReferenceValueError(
                f"{unknown} is not the result of an earlier step; write \\{unknown} for just these characters"
            ) from None
        parts.append(reference)
    return make_text([*parts, text[begin:]])
