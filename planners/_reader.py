"""Reads the arguments of one call by recursive descent."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from plait.planners._plan import Ref, Value
from plait.planners._scanner import Malformed
from plait.planners._strings import CALL_STRINGS, interpolated, reference_at, unescaped

_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_][\w.\-]*")
_SPACE = re.compile(r"\s*")
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


class CallReader:
    """The text of one call, whose brackets and quotes are known to match.

    Args:
        text: the call, to its closing parenthesis.
        at: offset of what follows the opening one.
        known: numbers of the tasks that it may refer to.
    """

    def __init__(self, text: str, at: int, known: Collection[int]) -> None:
        self._text = text
        self._at = at
        self._known = known

    def arguments(self, tool: str, signature: Sequence[str] | None) -> dict[str, Value]:
        """The arguments by name; those without one are bound by ``signature``.

        Raises:
            Malformed: at the first thing that cannot be read.
        """
        named: dict[str, Value] = {}
        n_positional = 0
        while not self._take(")"):
            begin = self._at
            name = self._argument_name()
            if name is None:
                if len(named) > n_positional:
                    raise Malformed("a positional argument follows one with a name", begin)
                name = _positional_name(n_positional, tool, signature, begin)
                n_positional += 1
            if name in named:
                raise Malformed(f"the argument {name!r} of {tool} is given twice", begin)
            named[name] = self._value()
            if self._ends(")"):
                break
        return named

    def _argument_name(self) -> str | None:
        begin = self._at
        name = self._key()
        if name is not None and self._take("="):
            return name
        self._at = begin
        return None

    def _value(self) -> Value:
        self._skip()
        char = self._text[self._at]
        if char in "\"'":
            return self._string()
        if char == "[":
            return self._list()
        if char == "{":
            return self._object()
        if char == "$":
            return self._reference()
        number = _NUMBER.match(self._text, self._at)
        if number:
            return self._number(number)
        word = _WORD.match(self._text, self._at)
        if word and word[0] in _WORDS:
            self._at = word.end()
            return _WORDS[word[0]]
        raise Malformed(f"expected a value, not {self._next!r}", self._at)

    def _string(self) -> Value:
        begin = self._at + 1
        try:
            return interpolated(self._string_body(), self._known, CALL_STRINGS)
        except Malformed as problem:
            raise Malformed(problem.reason, begin + (problem.at or 0)) from None

    def _string_body(self) -> str:
        quote, begin = self._text[self._at], self._at + 1
        end = begin
        while self._text[end] != quote:
            end += 2 if self._text[end] == "\\" else 1
        self._at = end + 1
        return self._text[begin:end]

    def _list(self) -> list[Value]:
        self._at += 1
        items: list[Value] = []
        while not self._take("]"):
            items.append(self._value())
            if self._ends("]"):
                break
        return items

    def _object(self) -> dict[str, Value]:
        self._at += 1
        items: dict[str, Value] = {}
        while not self._take("}"):
            key = self._key()
            if key is None:
                raise Malformed(f"expected a key, not {self._next!r}", self._at)
            if not self._take(":"):
                raise Malformed(f"expected ':', not {self._next!r}", self._at)
            items[key] = self._value()
            if self._ends("}"):
                break
        return items

    def _key(self) -> str | None:
        """The bare or quoted word that stands here."""
        if self._text[self._at] in "\"'":
            return unescaped(self._string_body())
        word = _WORD.match(self._text, self._at)
        if word is None:
            return None
        self._at = word.end()
        return word[0]

    def _number(self, number: re.Match[str]) -> int | float:
        self._at = number.end()
        if any(char in number[0] for char in ".eE"):
            return float(number[0])
        try:
            return int(number[0])
        except ValueError:  # Python reads no more than a few thousand digits
            raise Malformed("the number has too many digits", number.start()) from None

    def _reference(self) -> Ref:
        reference, self._at = reference_at(self._text, self._at, self._known)
        return reference

    @property
    def _next(self) -> str:
        return self._text[self._at : self._at + 20].partition("\n")[0]

    def _skip(self) -> None:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at

    def _take(self, char: str) -> bool:
        """Whether ``char`` comes next; if so, it is read."""
        self._skip()
        if self._text.startswith(char, self._at):
            self._at += 1
            return True
        return False

    def _ends(self, closing: str) -> bool:
        """Whether the list of things in brackets ends here, and not with a comma and more."""
        if self._take(","):
            return False
        if self._take(closing):
            return True
        raise Malformed(f"expected ',' or {closing!r}, not {self._next!r}", self._at)


def _positional_name(index: int, tool: str, signature: Sequence[str] | None, at: int) -> str:
    if signature is not None and index < len(signature):
        return signature[index]
    known = "is unknown" if signature is None else f"takes {len(signature)} arguments"
    raise Malformed(f"argument {index + 1} of {tool} has no name, and {tool} {known}", at)
