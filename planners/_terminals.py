"""The parts of a plan's grammar that all its forms have in common."""

from __future__ import annotations

from collections.abc import Iterable

from plait.tools import ArrayType, NumberType, StringType, Tool

ANY_DEPTH = 5
"""How deep lists and objects may be nested in an argument of any type."""
MAX_STEPS = 5
"""How far a reference may reach into a result."""
_MAX_COUNTED = 50

_UNSIGNED = "([0]|[1-9][0-9]{0,18})"
_FRACTION = "([.][0-9]{1,25})?([eE][-+]?[0-9]{1,2})?"
_DATE = "[12][0-9]{3}[-]([0][1-9]|[1][0-2])[-]([0][1-9]|[12][0-9]|[3][01])"
_TIME = "([01][0-9]|[2][0-3])[:][0-5][0-9]([:][0-5][0-9])?"

_NAMED_DAY = (
    "[t][o][d][a][y]|[t][o][m][o][r][r][o][w]"
    "|([M][o][n]|[T][u][e]|[W][e][d]|[T][h][u]|[F][r][i]|[S][a][t]|[S][u][n])([+][1-9][w])?"
    "|[+][1-9][0-9]{0,2}[dw]|([1-9]|[12][0-9]|[3][01])([s][t]|[n][d]|[r][d]|[t][h])"
    "|([0][1-9]|[1][0-2])[-]([0][1-9]|[12][0-9]|[3][01])"
)
_DAY = f"({_DATE}|{_NAMED_DAY})"
_CLOCK = "(([01][0-9]|[2][0-3])[:][0-5][0-9]|([1-9]|[1][0-2])[:][0-5][0-9][ap][m])"
_MINUTES = "[+][1-9][0-9]{0,4}[m]"

PATTERNS = {
    "INTEGER": f"[-]?{_UNSIGNED}",
    "UNSIGNED": _UNSIGNED,
    "POSITIVE": "[1-9][0-9]{0,18}",
    "NUMBER": f"[-]?{_UNSIGNED}{_FRACTION}",
    "UNSIGNEDNUMBER": f"{_UNSIGNED}{_FRACTION}",
    "DATE": _DATE,
    "TIME": _TIME,
    "DATETIME": f"{_DATE}[T ]{_TIME}",
    "FIELD": "[A-Za-z_][A-Za-z0-9_]{0,63}",
    "INDEX": "([0]|[1-9][0-9]{0,5})",
}
"""Regular expressions that GBNF reads alike: letters stand in brackets. What could go on for ever (digits
that a small model repeats) is bounded."""

_FORMATS = {"date": "DATE", "time": "TIME", "date-time": "DATETIME"}
_STRUCTURED = ("{", "[", "any", "dict", "list")


def patterns(*, separator: str, relative: bool = False) -> dict[str, str]:
    """``PATTERNS``, with ``separator``, a pattern too, between date and time.

    Where ``relative``, days may be named; see :func:`~plait.planners.resolve_moment`.
    """
    if not relative:
        return {**PATTERNS, "DATETIME": f"{_DATE}{separator}{_TIME}"}
    return {**PATTERNS, "DATE": _DAY, "DATETIME": f"({_DAY}{separator}{_CLOCK}({_MINUTES})?|{_MINUTES})"}


def number_pattern(type_: NumberType) -> str:
    """The name of the pattern of such numbers; of bounds it keeps the sign."""
    at_least, above = type_.minimum, type_.exclusive_minimum
    positive = (at_least is not None and at_least > 0) or (above is not None and above >= 0)
    if not type_.integer:
        return "UNSIGNEDNUMBER" if positive or at_least == 0 else "NUMBER"
    return "POSITIVE" if positive else "UNSIGNED" if at_least == 0 else "INTEGER"


def string_pattern(type_: StringType) -> str | None:
    """The name of the pattern of such strings, if their format has one."""
    return _FORMATS.get(type_.format or "")


def item_counts(type_: ArrayType) -> tuple[int, int | None]:
    """How many items a list has at least and at most; ``None`` where that is not worth counting.

    Raises:
        ValueError: no list is that short and that long.
    """
    low = len(type_.prefix) if type_.min_items is None else type_.min_items
    high = type_.max_items
    if high is not None and low > high:
        raise ValueError(f"no list has at least {low} and at most {high} items")
    return min(low, _MAX_COUNTED), high if high is None or high <= _MAX_COUNTED else None


def results_have_parts(tools: Iterable[Tool]) -> bool:
    """Whether the result of some tool may have parts to reach into."""
    return any(not t.returns or any(mark in t.returns for mark in _STRUCTURED) for t in tools)
