"""The incremental parser of the plan language: characters in, tasks out.

Text may come in any chunks. Quotes and brackets are followed, character by character, to the parenthesis
that closes a call; then that call is read by recursive descent, once. So the whole takes time linear in
the text, and a task is out the moment its last character is in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from plait.planners._json_parser import JSONPlanParser
from plait.planners._plan import Task
from plait.planners._reader import CallReader
from plait.planners._scanner import MAX_CHARS, MAX_TASKS, BracketScanner, Malformed, TextParser

__all__ = ["JSONPlanParser", "PlanParser", "parse_plan"]

_NUMBER = re.compile(r"([0-9]+)(\.\s*|\s+\.\s+|\s+)?")
_TOOL = re.compile(r"([^\s()]+)\s*")
_JOIN = re.compile(r"(?:[0-9]+(?:\s*\.\s*|\s+))?join\s*")
_NUMBERED = re.compile(r"[0-9]+\s*[.):]")
_NUMBERED_CALL = re.compile(r"[0-9]+\s+[^\s()]+")  # in the compact dialect; in prose, too
_CALLED = re.compile(r"\w$")  # prose has a space before its parentheses
_REMARKS = ("#", "```", "<", "Thought")
_EXPECTED = "expected a call such as 1. tool(argument=value)"


class PlanParser(TextParser):
    """Reads plan text as it arrives.

    Comments, code fences, thoughts and lines in ``<...>`` are passed over, and so is prose before the
    first task.

    Args:
        signatures: argument names in order, for each tool; binds positional arguments.
        first: lowest number that a task may have.
        earlier: numbers of tasks of earlier plans that this one may refer to.
        max_tasks: more tasks than this are an error.
        max_chars: more text than this is an error.
    """

    def __init__(
        self,
        signatures: Mapping[str, Sequence[str]] | None = None,
        *,
        first: int = 1,
        earlier: Collection[int] = (),
        max_tasks: int = MAX_TASKS,
        max_chars: int = MAX_CHARS,
    ) -> None:
        super().__init__(earlier=earlier, max_tasks=max_tasks, max_chars=max_chars)
        self._signatures = signatures or {}
        self._first = first
        self._call: _Call | None = None
        self._skips_line = False

    def _step(self, char: str) -> Task | None:
        if self._call is not None:
            self._piece.append(char)
            return self._complete(self._call) if self._call.scanner.closes(char) else None
        if self._skips_line:
            self._skips_line = char != "\n"
        elif char == "\n":
            self._end_line()
            self._piece = []
        elif self._piece or not char.isspace():
            self._in_head(char)
        return None

    def _in_head(self, char: str) -> None:
        """What stands before a call's parenthesis, or before the end of a line without a call."""
        if not self._piece:
            self._begin = self._position
        self._piece.append(char)
        if char != "(":
            return
        head = "".join(self._piece[:-1])
        if _JOIN.fullmatch(head):
            self.joined = True
        elif _NUMBERED.match(head) or _NUMBERED_CALL.fullmatch(head):
            self._call = self._begun(head)
        elif head.startswith(_REMARKS) or not (self._n_tasks or _CALLED.search(head)):
            self._piece = []
            self._skips_line = True
        else:
            raise Malformed(_EXPECTED, 0)

    def _begun(self, head: str) -> _Call:
        digits, tool, at = _split(head)
        if not tool or at < len(head):
            raise Malformed(_EXPECTED, at)
        number = int(digits) if len(digits) < 10 else 0
        if number < self._first:
            raise Malformed(f"{digits[:20]} is no number of a task; they count from {self._first}", 0)
        if number in self._known:
            raise Malformed(f"there is already a task {number}", 0)
        self._check(tool, head.rindex(tool))
        return _Call(number, tool, len(head) + 1, BracketScanner("(", quotes="\"'"))

    def _complete(self, call: _Call) -> Task:
        reader = CallReader("".join(self._piece), call.at, self._known)
        arguments = reader.arguments(call.tool, self._signatures.get(call.tool))
        self._call = None
        return self._added(Task(call.number, call.tool, arguments))

    def _end(self) -> None:
        if self._call is not None:
            raise Malformed("the plan ends in the middle of a task")
        self._end_line()
        head = "".join(self._piece)
        if not self.joined and _NUMBERED_CALL.fullmatch(head):
            raise Malformed(_EXPECTED)

    def _end_line(self) -> None:
        head = "".join(self._piece)
        if _JOIN.fullmatch(head):
            self.joined = True
        elif _NUMBERED.match(head) or head.isdecimal():
            raise Malformed(_EXPECTED, _split(head)[2])
        elif head and self._n_tasks and not head.startswith(_REMARKS):
            raise Malformed(_EXPECTED, 0)


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that is being read."""

    number: int
    tool: str
    at: int
    """Offset of its first argument in the text of the task."""
    scanner: BracketScanner


def _split(head: str) -> tuple[str, str, int]:
    """The number and the tool that ``head`` begins with, and where they end."""
    number = _NUMBER.match(head)
    if number is None or not number[2]:
        return "", "", number.end() if number else 0
    tool = _TOOL.match(head, number.end())
    return (number[1], tool[1], tool.end()) if tool else (number[1], "", number.end())


def parse_plan(
    text: str,
    signatures: Mapping[str, Sequence[str]] | None = None,
    *,
    first: int = 1,
    earlier: Collection[int] = (),
) -> list[Task]:
    """All tasks of a whole plan text; the arguments are those of :class:`PlanParser`.

    Raises:
        PlanError: something in it is malformed.
    """
    parser = PlanParser(signatures, first=first, earlier=earlier)
    return [*parser.feed(text), *parser.finish()]
