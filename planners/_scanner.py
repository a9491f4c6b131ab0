"""What the two parsers share: text in, character by character; what is malformed; where a bracket closes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator

from plait.errors import PlanError
from plait.planners._plan import Task

MAX_TASKS = 100
MAX_CHARS = 200_000
MAX_NESTING = 64

_TOOL_NAME = re.compile(r"""[^\s()\[\]{}"'`,=$#]+""")
_PAIRS = {")": "(", "]": "[", "}": "{"}
_MAX_EXCERPT = 120


class Malformed(Exception):  # noqa: N818
    """What is wrong, and where: ``at`` is an offset in the text that was being read.

    Without one, the character that came last is what is wrong. The parsers make a
    :class:`~plait.errors.PlanError` of it, whose position counts from the beginning of the plan.
    """

    def __init__(self, reason: str, at: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at


class BracketScanner:
    """Follows strings and brackets to where the outermost bracket closes.

    Args:
        opening: the outermost bracket.
        quotes: the characters that a string may stand between.
    """

    def __init__(self, opening: str, *, quotes: str) -> None:
        self._open = [opening]
        self._quotes = quotes
        self._quote = ""
        self._escaped = False

    def closes(self, char: str) -> bool:
        """Whether ``char``, the next one, closes the outermost bracket.

        Raises:
            Malformed: it closes a bracket that is not open, or opens one too many.
        """
        if self._quote:
            if self._escaped:
                self._escaped = False
            elif char == "\\":
                self._escaped = True
            elif char == self._quote:
                self._quote = ""
        elif char in self._quotes:
            self._quote = char
        elif char in "([{":
            if len(self._open) == MAX_NESTING:
                raise Malformed(f"brackets are nested deeper than {MAX_NESTING}")
            self._open.append(char)
        elif char in ")]}":
            if self._open.pop() != _PAIRS[char]:
                raise Malformed(f"{char!r} closes a bracket that was not opened")
            return not self._open
        return False


class TextParser(ABC):
    """Reads text as it arrives, in any chunks."""

    def __init__(self, *, earlier: Collection[int], max_tasks: int, max_chars: int) -> None:
        self.joined = False
        """Whether the end of the plan was read; what follows it is ignored."""
        self._known = set(earlier)
        self._n_tasks = 0
        self._max_tasks = max_tasks
        self._max_chars = max_chars
        self._position = 0
        self._begin = 0
        self._piece: list[str] = []
        """What was read of the task or line that is being read, which begins at ``_begin``."""

    def feed(self, text: str) -> Iterator[Task]:
        """The tasks that ``text`` completes, one by one; it is read as far as they are asked for.

        Raises:
            PlanError: at the first thing that is malformed; the tasks before it were yielded.
        """
        for char in text:
            if self.joined:
                return
            try:
                if self._position >= self._max_chars:
                    raise Malformed(f"the plan is longer than {self._max_chars} characters")
                task = self._step(char)
            except Malformed as problem:
                raise self._error(problem) from None
            self._position += 1
            if task is not None:
                yield task

    def finish(self) -> Iterator[Task]:
        """Say that the text has ended. Yields nothing, but what is not complete now is an error.

        Raises:
            PlanError: the text ends in the middle of something.
        """
        yield from ()
        try:
            if not self.joined:
                self._end()
        except Malformed as problem:
            raise self._error(problem) from None

    @abstractmethod
    def _step(self, char: str) -> Task | None:
        """The task that ``char`` completes."""

    @abstractmethod
    def _end(self) -> None:
        """Raise if the text must not end here."""

    def _check(self, tool: str, at: int) -> None:
        """Raise if the task that begins here cannot be one."""
        if not _TOOL_NAME.fullmatch(tool):
            raise Malformed(f"{tool!r} is no name of a tool", at)
        if self._n_tasks == self._max_tasks:
            raise Malformed(f"the plan has more than {self._max_tasks} tasks", 0)

    def _added(self, task: Task) -> Task:
        self._known.add(task.id)
        self._n_tasks += 1
        self._piece = []
        return task

    def _error(self, problem: Malformed) -> PlanError:
        at = self._position - self._begin if problem.at is None else problem.at
        line = _line("".join(self._piece), at)
        return PlanError(problem.reason, position=self._begin + at, line=line)


def _line(text: str, at: int) -> str:
    """The line of ``text`` that offset ``at`` is in, or of a long one the part around it."""
    begin = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    if end - begin <= _MAX_EXCERPT:
        return text[begin:end]
    begin = max(begin, at - _MAX_EXCERPT // 2)
    return f"...{text[begin : begin + _MAX_EXCERPT]}..."
