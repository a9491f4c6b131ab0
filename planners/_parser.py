"""The incremental parser of the plan language: characters in, tasks out.

Text may come in any chunks. A scanner follows quotes and brackets, character by character, until the
parenthesis that closes a call; then that call is read by recursive descent, once. So the whole takes
time linear in the text, and a task is out the moment its last character is in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Any

from plait.errors import PlanError
from plait.planners._plan import Ref, Task, Value, make_text

MAX_TASKS = 100
MAX_CHARS = 200_000
_MAX_NESTING = 64

_QUOTED = r"""(?:[^'"\\\]]|\\u[0-9a-fA-F]{4})*"""
_PATH = rf"""(?:\.[A-Za-z_]\w*|\[-?\d+\]|\['{_QUOTED}'\]|\["{_QUOTED}"\])*"""
_STEP = re.compile(r"""\.(?P<name>[A-Za-z_]\w*)|\[(?P<index>-?\d+)\]|\[(['"])(?P<key>.*?)\3\]""")
_REF = re.compile(rf"\$(?:(?P<k>\d+)(?P<path>{_PATH})|\{{(?P<kb>\d+)(?P<pathb>{_PATH})\}})")
_BRACED = re.compile(rf"\$\{{(?P<k>\d+)(?P<path>{_PATH})\}}")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_WORD = re.compile(r"[A-Za-z_][\w.\-]*")
_NAME = re.compile(r"""[^\s()\[\]{}"'`,=$#]+""")
_SPACE = re.compile(r"\s*")
_HEAD = re.compile(r"\s*(\d+)\s*\.\s*([^\s()]+)\s*\(")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_PAIRS = {")": "(", "]": "[", "}": "{"}


class _State(Enum):
    BETWEEN = auto()  # white space, comments, fences, prose before the first task
    HEAD = auto()  # the number and the name, up to the parenthesis
    CALL = auto()  # inside the parentheses
    STRING = auto()
    SKIP = auto()  # to the end of the line
    DONE = auto()


class PlanParser:
    """Reads plan text as it arrives.

    Args:
        signatures: argument names in order, for each tool; binds positional arguments.
        earlier: numbers of tasks of earlier plans that this one may refer to.
        max_tasks: more tasks than this are an error.
        max_chars: more text than this is an error.
    """

    def __init__(
        self,
        signatures: Mapping[str, Sequence[str]] | None = None,
        *,
        earlier: Collection[int] = (),
        max_tasks: int = MAX_TASKS,
        max_chars: int = MAX_CHARS,
    ) -> None:
        self._signatures = signatures or {}
        self._known = set(earlier)
        self._ids: set[int] = set()
        self._max_tasks = max_tasks
        self._max_chars = max_chars
        self._state = _State.BETWEEN
        self._position = 0
        self._start = 0
        self._piece: list[str] = []
        self._open: list[str] = []
        self._quote = ""
        self._escaped = False

    @property
    def joined(self) -> bool:
        """Whether ``join()`` was read; what follows it is ignored."""
        return self._state is _State.DONE

    def feed(self, text: str) -> Iterator[Task]:
        """The tasks that ``text`` completes, one by one.

        Raises:
            PlanError: at the first thing that is malformed; the tasks before it were yielded.
        """
        for char in text:
            if self._state is _State.DONE:
                return
            if self._position >= self._max_chars:
                raise self._error(f"the plan is longer than {self._max_chars} characters")
            task = self._step(char)
            self._position += 1
            if task is not None:
                yield task

    def finish(self) -> Iterator[Task]:
        """Say that the text has ended. Yields nothing but makes unfinished text an error.

        Raises:
            PlanError: the text ends in the middle of a task.
        """
        yield from self.feed("\n") if self._state is _State.HEAD else ()
        if self._state in (_State.HEAD, _State.CALL, _State.STRING):
            raise self._error("the plan ends in the middle of a task")

    def _step(self, char: str) -> Task | None:
        if self._state is _State.BETWEEN:
            self._begin(char)
        elif self._state is _State.SKIP:
            if char == "\n":
                self._state = _State.BETWEEN
        else:
            self._piece.append(char)
            if self._state is _State.HEAD:
                self._in_head(char)
            elif self._state is _State.STRING:
                self._in_string(char)
            else:
                return self._in_call(char)
        return None

    def _begin(self, char: str) -> None:
        if char.isspace():
            return
        if char in "`#":
            self._state = _State.SKIP
            return
        self._start, self._piece, self._open = self._position, [char], []
        self._state = _State.HEAD

    def _in_head(self, char: str) -> None:
        if char == "(":
            self._open = ["("]
            self._state = _State.CALL
        elif char == "\n":
            head = "".join(self._piece)
            if re.match(r"\s*(\d+\s*\.\s*)?join\s*$", head):
                self._state = _State.DONE
            elif re.match(r"\s*\d+\s*\.", head) or (self._ids and not re.match(r"\s*(Thought|<)", head)):
                raise self._error("expected a call such as 1. tool(argument=value)")
            else:  # prose before the plan, a thought, an end marker: nothing that could be a task
                self._state = _State.BETWEEN

    def _in_string(self, char: str) -> None:
        if self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif char == self._quote:
            self._state = _State.CALL

    def _in_call(self, char: str) -> Task | None:
        if char in "\"'":
            self._quote, self._state = char, _State.STRING
        elif char in "([{":
            self._open.append(char)
            if len(self._open) > _MAX_NESTING:
                raise self._error(f"brackets are nested deeper than {_MAX_NESTING}")
        elif char in ")]}":
            if self._open.pop() != _PAIRS[char]:
                raise self._error(f"{char!r} closes a bracket that was not opened")
            if not self._open:
                return self._complete()
        return None

    def _complete(self) -> Task | None:
        text = "".join(self._piece)
        self._piece = []
        head = _HEAD.match(text)
        if head is None:
            if re.match(r"\s*join\s*\(", text):
                self._state = _State.DONE
                return None
            raise self._error("a task needs a number and a tool, such as 1. tool(argument=value)", text)
        number, tool = int(head[1]), head[2]
        if tool == "join":
            self._state = _State.DONE
            return None
        if not _NAME.fullmatch(tool):
            raise self._error(f"{tool!r} is no name of a tool", text)
        if number in self._ids or number in self._known or number < 1:
            raise self._error(f"there is already a task {number}" if number else "tasks count from 1", text)
        if len(self._ids) >= self._max_tasks:
            raise self._error(f"the plan has more than {self._max_tasks} tasks", text)
        reader = _Reader(text, self._start, frozenset(self._known))
        arguments = reader.arguments(head.end(), tool, self._signatures.get(tool))
        self._ids.add(number)
        self._known.add(number)
        self._state = _State.BETWEEN
        return Task(number, tool, arguments)

    def _error(self, reason: str, line: str | None = None) -> PlanError:
        return PlanError(reason, position=self._position, line=_excerpt(line or "".join(self._piece)))


class JSONPlanParser:
    r"""Reads the JSON form of a plan, ``{"tasks": [{"tool": ..., "arguments": {...}}, ...]}``, as it arrives.

    Tasks are numbered in order from ``first``. In strings, references are written as in the plan
    language; ``\$`` is a dollar that begins none.

    Args:
        first: number of the first task.
        earlier: numbers of tasks of earlier plans that this one may refer to.
        max_tasks: more tasks than this are an error.
        max_chars: more text than this is an error.
    """

    def __init__(
        self,
        *,
        first: int = 1,
        earlier: Collection[int] = (),
        max_tasks: int = MAX_TASKS,
        max_chars: int = MAX_CHARS,
    ) -> None:
        self._next = first
        self._known = set(earlier)
        self._last = first + max_tasks
        self._max_chars = max_chars
        self._position = 0
        self._depth = 0
        self._string = self._escaped = False
        self._piece: list[str] = []
        self.joined = False

    def feed(self, text: str) -> Iterator[Task]:
        """The tasks that ``text`` completes, one by one.

        Raises:
            PlanError: at the first thing that is malformed; the tasks before it were yielded.
        """
        for char in text:
            if self.joined:
                return
            if self._position >= self._max_chars:
                raise self._error(f"the plan is longer than {self._max_chars} characters")
            self._position += 1
            if self._step(char):
                yield self._complete()

    def finish(self) -> Iterator[Task]:
        """Say that the text has ended.

        Raises:
            PlanError: the JSON document is not complete.
        """
        yield from ()
        if not self.joined:
            raise self._error("the plan ends in the middle")

    def _step(self, char: str) -> bool:
        """Whether ``char`` closes a task: an object two levels deep."""
        if self._depth >= 3:
            self._piece.append(char)
        if self._string:
            if self._escaped:
                self._escaped = False
            elif char == "\\":
                self._escaped = True
            elif char == '"':
                self._string = False
        elif char == '"':
            self._string = True
        elif char in "{[":
            self._depth += 1
            if self._depth == 3:
                self._piece = [char]
        elif char in "}]":
            self._depth -= 1
            self.joined = self._depth <= 0
            return self._depth == 2
        return False

    def _complete(self) -> Task:
        text = "".join(self._piece)
        try:
            entry = json.loads(text)
        except ValueError as error:
            raise self._error(f"no JSON: {error}") from error
        tool, arguments = (
            (entry.get("tool"), entry.get("arguments", {})) if isinstance(entry, dict) else (None, None)
        )
        if not isinstance(tool, str) or not isinstance(arguments, dict):
            raise self._error('a task is {"tool": name, "arguments": {...}}')
        if self._next >= self._last:
            raise self._error("the plan has too many tasks")
        task = Task(self._next, tool, {name: self._value(v) for name, v in arguments.items()})
        self._known.add(self._next)
        self._next += 1
        return task

    def _value(self, value: Any) -> Value:
        if isinstance(value, str):
            try:
                return _interpolated(value, frozenset(self._known), _dollar_only)
            except _UnknownTaskError as error:
                raise self._error(str(error)) from None
        if isinstance(value, dict):
            return {key: self._value(item) for key, item in value.items()}
        return [self._value(item) for item in value] if isinstance(value, list) else value

    def _error(self, reason: str) -> PlanError:
        return PlanError(reason, position=self._position, line=_excerpt("".join(self._piece)))


class _UnknownTaskError(Exception):
    pass


class _Reader:
    """Recursive descent over the text of one call, whose brackets and quotes are known to match."""

    def __init__(self, text: str, offset: int, known: frozenset[int]) -> None:
        self._text = text
        self._offset = offset
        self._known = known
        self._at = 0

    def arguments(self, start: int, tool: str, signature: Sequence[str] | None) -> dict[str, Value]:
        self._at = start
        named: dict[str, Value] = {}
        n_positional = 0
        while not self._take(")"):
            key = self._argument_name()
            if key is None:
                if len(named) > n_positional:
                    raise self._error("a positional argument follows one with a name")
                if signature is None or n_positional >= len(signature):
                    known = "is unknown" if signature is None else f"takes {len(signature)} arguments"
                    raise self._error(
                        f"argument {n_positional + 1} of {tool} has no name, and {tool} {known}"
                    )
                key = signature[n_positional]
                n_positional += 1
            if key in named:
                raise self._error(f"the argument {key!r} of {tool} is given twice")
            named[key] = self._value()
            if not self._take(","):
                self._expect(")", "',' or ')'")
                break
        return named

    def _argument_name(self) -> str | None:
        self._skip()
        start = self._at
        word = _WORD.match(self._text, start)
        if word:
            self._at = word.end()
            name = word[0]
        elif self._text[start] in "\"'":
            body = self._string_body()
            name = "".join(p for p in _decoded(body))
        else:
            return None
        if self._take("="):
            return name
        self._at = start
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
            self._at = number.end()
            return _number(number[0])
        word = _WORD.match(self._text, self._at)
        if word and word[0] in _WORDS:
            self._at = word.end()
            return _WORDS[word[0]]
        raise self._error(f"expected a value, not {self._text[self._at : self._at + 20]!r}")

    def _string(self) -> Value:
        body = self._string_body()
        try:
            return _interpolated(body, self._known, _decoded)
        except _UnknownTaskError as error:
            raise self._error(str(error)) from None

    def _string_body(self) -> str:
        quote, start = self._text[self._at], self._at + 1
        end = start
        while self._text[end] != quote:
            end += 2 if self._text[end] == "\\" else 1
        self._at = end + 1
        return self._text[start:end]

    def _list(self) -> list[Value]:
        self._at += 1
        items: list[Value] = []
        while not self._take("]"):
            items.append(self._value())
            if not self._take(","):
                self._expect("]", "',' or ']'")
                break
        return items

    def _object(self) -> dict[str, Value]:
        self._at += 1
        items: dict[str, Value] = {}
        while not self._take("}"):
            self._skip()
            if self._text[self._at] in "\"'":
                key = "".join(_decoded(self._string_body()))
            else:
                word = _WORD.match(self._text, self._at)
                if not word:
                    raise self._error("expected a key")
                self._at, key = word.end(), word[0]
            self._expect(":", "':'")
            items[key] = self._value()
            if not self._take(","):
                self._expect("}", "',' or '}'")
                break
        return items

    def _reference(self) -> Ref:
        found = _REF.match(self._text, self._at)
        if not found:
            raise self._error("expected a reference such as $1")
        ref = _ref(found)
        if ref.task not in self._known:
            raise self._error(f"${ref.task} is not the result of an earlier task")
        self._at = found.end()
        return ref

    def _skip(self) -> None:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at

    def _take(self, char: str) -> bool:
        self._skip()
        if self._text[self._at : self._at + 1] == char:
            self._at += 1
            return True
        return False

    def _expect(self, char: str, wanted: str) -> None:
        if not self._take(char):
            raise self._error(f"expected {wanted}, not {self._text[self._at : self._at + 20]!r}")

    def _error(self, reason: str) -> PlanError:
        return PlanError(reason, position=self._offset + self._at, line=_excerpt(self._text))


def _interpolated(body: str, known: frozenset[int], decode: Any) -> Value:
    """The value of a string: its text, the reference that it is, or a template.

    Raises:
        _UnknownTaskError: ``${k}`` stands in it and task k is no earlier one.
    """
    whole = _REF.fullmatch(body)
    if whole and _ref(whole).task in known:
        return _ref(whole)
    parts: list[str | Ref] = []
    at = 0
    text: list[str] = []
    while at < len(body):
        if body[at] == "\\":
            text.append(body[at : at + 2])
            at += 2
            continue
        found = _BRACED.match(body, at) if body[at] == "$" else None
        if found is None:
            text.append(body[at])
            at += 1
            continue
        ref = _ref(found)
        if ref.task not in known:
            raise _UnknownTaskError(f"${{{ref.task}}} is not the result of an earlier task")
        parts += ["".join(decode("".join(text))), ref]
        text = []
        at = found.end()
    return make_text([*parts, "".join(decode("".join(text)))])


def _decoded(body: str) -> Iterator[str]:
    at = 0
    while at < len(body):
        if body[at] != "\\" or at + 1 == len(body):
            yield body[at]
            at += 1
            continue
        char = body[at + 1]
        digits = body[at + 2 : at + 6]
        if char == "u" and re.fullmatch(r"[0-9a-fA-F]{4}", digits):
            code, at = int(digits, 16), at + 6
            low = re.match(r"\\u(d[c-f][0-9a-f]{2})", body[at : at + 6], re.IGNORECASE)
            if 0xD800 <= code < 0xDC00 and low:
                code, at = 0x10000 + ((code - 0xD800) << 10) + int(low[1], 16) - 0xDC00, at + 6
            yield "�" if 0xD800 <= code < 0xE000 else chr(code)
            continue
        # An escape that JSON does not know keeps its backslash, as in Python: "\d" is two characters.
        yield _ESCAPES.get(char, char if char in "\"'\\/$\n" else f"\\{char}")
        at += 2


def _dollar_only(text: str) -> Iterator[str]:
    yield text.replace("\\$", "$")


def _ref(found: re.Match[str]) -> Ref:
    groups = found.groupdict()
    path = groups.get("path") or groups.get("pathb") or ""
    steps: list[str | int] = []
    for step in _STEP.finditer(path):
        if step["index"] is not None:
            steps.append(int(step["index"]))
        else:
            steps.append(step["name"] if step["name"] is not None else "".join(_decoded(step["key"])))
    return Ref(int(groups["k"] or groups["kb"]), tuple(steps))


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _excerpt(text: str) -> str:
    line = text.strip().split("\n")[0]
    return line if len(line) <= 120 else f"{line[:117]}..."


def parse_plan(text: str, signatures: Mapping[str, Sequence[str]] | None = None) -> list[Task]:
    """All tasks of a whole plan text.

    Raises:
        PlanError: something in it is malformed.
    """
    parser = PlanParser(signatures)
    return [*parser.feed(text), *parser.finish()]
