"""From arithmetic as people write it to Python's syntax, token by token; nothing else gets through."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from plait.errors import ToolCallError

Number: TypeAlias = int | float

_MAX_CHARS = 1000
_MAX_SHOWN = 80

_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SIGNS = str.maketrans("\u00d7\u00b7\u22c5\u00f7\u2212\u2013", "***/--")
"""Other characters for the signs."""
_TOKEN = re.compile(
    r"(?P<number>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<word>[^\W\d_]+\d*)"
    r"|(?P<comma>,)"
    r"|(?P<sign>\*\*|//|<=|>=|==|!=|[-+*/%()<>^])"
    r"|(?P<space>\s+)"
)


def _average(*numbers: Number) -> Number:
    return sum(numbers) / len(numbers)


def _total(*numbers: Number) -> Number:
    return sum(numbers)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of an expression."""

    call: Callable[..., Number]
    least: int = 1
    most: int | None = 1
    """Numbers that it takes; ``None`` is any number."""


FUNCTIONS = {
    "abs": Function(abs),
    "average": Function(_average, 1, None),
    "ceil": Function(math.ceil),
    "exp": Function(math.exp),
    "floor": Function(math.floor),
    "log": Function(math.log, 1, 2),
    "log10": Function(math.log10),
    "max": Function(max, 2, None),
    "mean": Function(_average, 1, None),
    "min": Function(min, 2, None),
    "round": Function(round, 1, 2),
    "sqrt": Function(math.sqrt),
    "sum": Function(_total, 1, None),
}
"""The functions that an expression may call, by name."""
CONSTANTS = {"e": math.e, "pi": math.pi}


def python_source(text: str) -> str:
    """``text`` in Python's syntax.

    Raises:
        ToolCallError: it is too long, or a part of it is not known or can be read in two ways.
    """
    if len(text) > _MAX_CHARS:
        raise refused(text, f"it has {len(text)} characters, and {_MAX_CHARS} are allowed")
    return " ".join(_Source(text).written())


def refused(text: str, why: str) -> ToolCallError:
    """The error that says what is wrong with an expression and what one may be made of."""
    shown = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
    return ToolCallError(
        f"cannot calculate {shown!r}: {why}; write one expression of numbers, + - * / ** ( ) and "
        f"{', '.join(FUNCTIONS)}"
    )


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


@dataclass(slots=True)
class _Group:
    function: str | None
    n_separators: int = 0
    tight: str = ""
    """A number with commas in it."""


class _Source:
    """Reads an expression and writes it anew."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._read())
        self._groups = [_Group(None)]

    def written(self) -> Iterator[str]:
        """The tokens in Python's syntax."""
        skip_until = 0
        for i, token in enumerate(self._tokens):
            if i < skip_until:
                continue
            if token.kind == "number":
                written, n_read = self._number(i)
                skip_until = i + n_read
                yield written
            elif token.kind == "word":
                yield self._word(i)
            else:
                yield self._sign(i)

    def _read(self) -> Iterator[_Token]:
        text = self._text.translate(_SIGNS)
        position = 0
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise refused(self._text, f"{self._text[position]!r} is no part of an expression")
            position = found.end()
            if found.lastgroup and found.lastgroup != "space":
                yield _Token(found.lastgroup, found[0])

    def _number(self, i: int) -> tuple[str, int]:
        """A number with the words that belong to it, and how many tokens they are."""
        text = self._tokens[i].text
        if "," in text:
            self._groups[-1].tight = text
        plain = text.replace(",", "")
        plain = str(int(plain)) if plain.isdecimal() else repr(float(plain))
        if plain == "inf":
            raise refused(self._text, "a number in it is too large")
        follower = self._peek(i + 1)
        if (power := _SCALES.get(follower.lower())) is not None:
            return f"({plain}*{10**power})", 2
        if follower.lower() == "percent" or (follower == "%" and not self._begins_operand(i + 2)):
            self._check_share(i)
            return f"({plain}/100)", 2
        return plain, 1

    def _check_share(self, i: int) -> None:
        """Refuse ``100 + 20%``, which some read as 120 and some as 100.2."""
        added = self._peek(i - 1) in ("+", "-") and i >= 2 and self._peek(i - 2) not in ("(", *"+-*/")
        if added and self._peek(i + 2) not in ("of", "*", "/"):
            raise refused(self._text, "a percentage is added; write 100 * 1.2 for 20% more than 100")

    def _word(self, i: int) -> str:
        word = self._tokens[i].text.lower()
        if word == "of" and self._peek(i - 1) in ("%", "percent"):
            return "*"
        if word in CONSTANTS or (word in FUNCTIONS and self._peek(i + 1) == "("):
            return word
        raise refused(self._text, f"{self._tokens[i].text!r} is no part of an expression")

    def _sign(self, i: int) -> str:
        token, group = self._tokens[i], self._groups[-1]
        if token.kind == "comma":
            group.n_separators += 1
        elif token.text == "(":
            before = self._peek(i - 1).lower()
            self._groups.append(_Group(before if before in FUNCTIONS else None))
        elif token.text == ")" and len(self._groups) > 1:
            self._groups.pop()
            many = group.function is not None and FUNCTIONS[group.function].most != 1
            if many and group.tight and not group.n_separators:
                raise refused(
                    self._text, f"{group.tight!r} may be one number or several; write a space after a comma"
                )
        return "**" if token.text == "^" else token.text

    def _peek(self, i: int) -> str:
        return self._tokens[i].text if 0 <= i < len(self._tokens) else ""

    def _begins_operand(self, i: int) -> bool:
        if not 0 <= i < len(self._tokens):
            return False
        token = self._tokens[i]
        is_operand = token.kind == "number" or token.text == "("
        return is_operand or token.text.lower() in (*FUNCTIONS, *CONSTANTS)
