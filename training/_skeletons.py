"""Skeletons: requests that were written by hand, with their right plans and slots for what varies.

``training/data/README.md`` says how they are written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from plait.errors import ConfigurationError, PlanError
from plait.planners import Plan, Task, Template, Value, make_text, parse_plan
from plait.tools import Tool, Toolbox

_SLOT = re.compile(r"\{(?P<stem>[a-z]+)(?P<number>\d+)(?::(?P<kind>[a-z]+))?\}")
_SLOT_IN_PLAN = re.compile(r"(?<!\$)\{(?P<name>[a-z]+\d+)(?:\+(?P<more>[a-z]*\d+))?\}")
_MARK = re.compile("\ue000(?P<name>[a-z]+\\d+)(?:\\+(?P<more>[a-z]*\\d+))?\ue001")
TURN = "\ue002"
"""Where a request of a conversation ends and the next one begins."""
_NUMBERED = re.compile(r"\d+[. ]|join\(")
_ARGUMENT = re.compile(r"(?P<name>\w+)(?P<optional>\??): (?P<type>.+?)(?: = (?P<default>.+))?", re.DOTALL)
_PRONOUNS = frozenset({"he", "him", "his", "she", "her"})
_KINDS: Mapping[str, frozenset[str]] = {
    "p": frozenset({"", *_PRONOUNS}),
    "t": frozenset({"", "date", "datetime"}),
    "c": frozenset({"", "clock"}),
    "m": frozenset({"", "minutes"}),
    "f": frozenset({"", "any", "doc", "image", "pdf", "sheet"}),
    **{
        stem: frozenset({""})
        for stem in (
            "n",
            "email",
            "phone",
            "place",
            "city",
            "topic",
            "thing",
            "event",
            "note",
            "list",
            "folder",
            "cal",
        )
    },
}
"""What may come after the colon of a slot, by what values it takes."""
_TYPES: Mapping[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
}


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a request where a value goes."""

    name: str
    """Such as "p1": what values it takes, and which of the request's."""
    kind: str
    """What comes after the colon, such as "pdf"; empty if nothing does."""

    @property
    def stem(self) -> str:
        """What values it takes: "p" for people."""
        return self.name.rstrip("0123456789")

    def __str__(self) -> str:
        return f"{{{self.name}{':' if self.kind else ''}{self.kind}}}"

    @property
    def is_pronoun(self) -> bool:
        """Whether it is not the person itself but "he" or "his"."""
        return self.kind in _PRONOUNS


@dataclass(frozen=True, slots=True)
class SlotUse:
    """A slot where a plan has it."""

    name: str
    more: str
    """What is added to a moment: a number of minutes, or the slot of a duration; empty: nothing."""

    @property
    def slots(self) -> frozenset[str]:
        """Names of all slots that it takes."""
        return frozenset({self.name} | ({self.more} if self.more and not self.more.isdecimal() else set()))


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A request and its right plan, both with slots."""

    id: str
    """The file and the line."""
    query: str
    plan: Plan
    """With marks in its strings; see :func:`map_texts` and :func:`split_marks`."""
    keep: str = ""
    """What the user wants to be kept in mind for every request, with slots; empty if nothing."""
    turns: tuple[int, ...] = ()
    """How many of the plan's calls, the first ones, belong to each earlier request of the conversation;
    those requests stand before this one in ``query``, each with :data:`TURN` behind it."""

    @property
    def parts(self) -> list[str | Slot]:
        """The request: texts and slots in turn."""
        return _parts(self.query)

    @property
    def kept_parts(self) -> list[str | Slot]:
        """What is to be kept in mind: texts and slots in turn."""
        return _parts(self.keep)

    @property
    def slots(self) -> list[Slot]:
        """All slots, in the order in which they are said."""
        return [part for part in (*self.kept_parts, *self.parts) if isinstance(part, Slot)]

    @property
    def tools(self) -> frozenset[str]:
        """Names of the tools that the plan calls."""
        return frozenset(task.tool for task in self.plan)


def _parts(text: str) -> list[str | Slot]:
    parts: list[str | Slot] = []
    end = 0
    for found in _SLOT.finditer(text):
        parts.append(text[end : found.start()])
        parts.append(Slot(found["stem"] + found["number"], found["kind"] or ""))
        end = found.end()
    return [part for part in [*parts, text[end:]] if part != ""]


@dataclass(frozen=True, slots=True)
class ToolboxSkeletons:
    """A toolbox with skeletons for it."""

    name: str
    toolbox: Toolbox
    skeletons: tuple[Skeleton, ...]


def read_skeletons(lines: str, *, name: str, toolbox: Toolbox) -> tuple[Skeleton, ...]:
    """The skeletons of JSON lines with ``q`` and ``plan``.

    Raises:
        ConfigurationError: naming the line and what is wrong with it.
    """
    found = []
    for number, line in enumerate(lines.split("\n"), 1):
        if line.strip():
            found.append(_skeleton(_object(line, f"{name}, line {number}"), f"{name}:{number}", toolbox))
    return tuple(found)


def assistant_skeletons(toolbox: Toolbox) -> ToolboxSkeletons:
    """Those that come with plait for the assistant's tools, given as ``toolbox``."""
    found: list[Skeleton] = []
    for file in _data("assistant_", ".jsonl"):
        found += read_skeletons(file.read_text(encoding="utf-8"), name=_stem(file), toolbox=toolbox)
    return ToolboxSkeletons("assistant", toolbox, tuple(found))


def other_skeletons() -> list[ToolboxSkeletons]:
    """Those that come with plait for other toolboxes."""
    found = []
    for file in _data("toolboxes_", ".json"):
        for box in json.loads(file.read_text(encoding="utf-8")):
            toolbox = Toolbox(tool_of(line) for line in box["tools"])
            entries = enumerate(box["skeletons"], 1)
            skeletons = tuple(_skeleton(entry, f"{box['name']}:{n}", toolbox) for n, entry in entries)
            found.append(ToolboxSkeletons(box["name"], toolbox, skeletons))
    return found


def _data(prefix: str, suffix: str) -> list[Traversable]:
    folder = files("plait.training") / "data"
    found = [file for file in folder.iterdir() if file.name.startswith(prefix) and file.name.endswith(suffix)]
    return sorted(found, key=lambda file: file.name)


def _stem(file: Traversable) -> str:
    return file.name.partition(".")[0]


def _object(line: str, where: str) -> Mapping[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise ConfigurationError(f"{where} is no JSON ({error})") from error
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("q", "plan")):
        raise ConfigurationError(f'{where} must be an object with two texts, "q", the request, and "plan"')
    if not isinstance(entry.get("keep", ""), str):
        raise ConfigurationError(f'{where} has a "keep" that is no text; write what is to be kept in mind')
    if not entry["q"].strip():
        raise ConfigurationError(f'{where} has an empty request in "q"; write what somebody would say')
    return entry


def _skeleton(entry: Mapping[str, Any], name: str, toolbox: Toolbox) -> Skeleton:
    try:
        skeleton = Skeleton(name, entry["q"], _plan(entry["plan"].strip()), entry.get("keep", ""))
        _check(skeleton, toolbox)
    except (PlanError, _WrongSkeletonError) as error:
        raise ConfigurationError(f"skeleton {name}: {error}") from error
    return skeleton


class _WrongSkeletonError(Exception):
    """What is wrong with a skeleton."""


def _check(skeleton: Skeleton, toolbox: Toolbox) -> None:
    found = skeleton.slots
    slots = {slot.name for slot in found if not slot.is_pronoun}
    for slot in found:
        kinds = _KINDS.get(slot.stem)
        if kinds is None or slot.kind not in kinds or (slot.is_pronoun and slot.name not in slots):
            raise _WrongSkeletonError(f"there is no slot {slot}; docs/training.md lists those that there are")
    if "{" in "".join(part for part in (*skeleton.kept_parts, *skeleton.parts) if isinstance(part, str)):
        raise _WrongSkeletonError("a brace in the request opens no slot")
    for task in skeleton.plan:
        tool = toolbox.get(task.tool)
        if tool is None:
            raise _WrongSkeletonError(f"there is no tool {task.tool!r}; the toolbox has {toolbox.names}")
        known = {argument.name: argument.required for argument in tool.arguments.fields}
        if unknown := task.arguments.keys() - known.keys():
            raise _WrongSkeletonError(f"{task.tool} has no argument {min(unknown)!r}")
        if missing := {name for name, required in known.items() if required} - task.arguments.keys():
            raise _WrongSkeletonError(f"the call of {task.tool} lacks {min(missing)!r}")
        marked = [split_marks(text) for text in texts(task.arguments)]
        marks = [mark for parts in marked for mark in parts if isinstance(mark, SlotUse)]
        used = {name for mark in marks for name in mark.slots}
        for parts in marked:
            for mark in parts:
                if (
                    isinstance(mark, SlotUse)
                    and mark.more
                    and (len(parts) > 1 or not mark.name.startswith("t"))
                ):
                    raise _WrongSkeletonError(
                        f"{mark.name}+{mark.more} is no moment that is a whole argument"
                    )
        if used - slots:
            raise _WrongSkeletonError(f"the plan has the slot {min(used - slots)!r}, and the request has not")


def texts(value: Value) -> list[str]:
    """Every text in ``value``."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    map_texts(value, note, note)
    return found


def _plan(text: str) -> Plan:
    if _NUMBERED.match(text):
        raise _WrongSkeletonError("calls are written without numbers, and join() is not written at all")
    lines = [f"{number}. {line}" for number, line in enumerate(text.split("\n"), 1)] if text else []
    return Plan(tuple(parse_plan("\n".join([*map(_marked, lines), f"{len(lines) + 1}. join()"]))))


def _marked(line: str) -> str:
    """``line`` with a mark in the place of each slot, in quotes where the slot was not."""

    def mark(found: re.Match[str]) -> str:
        more = f"+{found['more']}" if found["more"] else ""
        text = mark_of(f"{found['name']}{more}")
        return text if _is_quoted(line, found.start()) else f'"{text}"'

    return _SLOT_IN_PLAN.sub(mark, line)


def _is_quoted(line: str, place: int) -> bool:
    return len(re.findall(r'(?<!\\)"', line[:place])) % 2 == 1


def mark_of(name: str) -> str:
    """What stands for a slot in a text of a skeleton's plan."""
    return f"\ue000{name}\ue001"


def with_arguments(task: Task, tool: Tool, more: Mapping[str, Any]) -> Task:
    """``task`` with more arguments, all in the order of its tool's."""
    arguments = {**task.arguments, **more}
    names = [argument.name for argument in tool.arguments.fields]
    return replace(task, arguments={name: arguments[name] for name in names if name in arguments})


def moved_mark(text: str, names: Mapping[str, str]) -> str:
    """``text`` from a skeleton's plan with its slots under other names."""

    def rename(found: re.Match[str]) -> str:
        more = found["more"]
        return mark_of(names[found["name"]] + (f"+{names.get(more, more)}" if more else ""))

    return _MARK.sub(rename, text)


def split_marks(text: str) -> list[str | SlotUse]:
    """``text`` from a skeleton's plan: texts and slots in turn."""
    parts: list[str | SlotUse] = []
    end = 0
    for found in _MARK.finditer(text):
        parts += [text[end : found.start()], SlotUse(found["name"], found["more"] or "")]
        end = found.end()
    return [part for part in [*parts, text[end:]] if part != ""]


def map_texts(value: Value, change: Callable[[str], Any], in_templates: Callable[[str], str]) -> Any:
    """``value`` with ``change`` done to every text in it, and ``in_templates`` to those among references."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Template):
        return make_text(in_templates(part) if isinstance(part, str) else part for part in value.parts)
    if isinstance(value, Mapping):
        return {key: map_texts(item, change, in_templates) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [map_texts(item, change, in_templates) for item in value]
    return value


def tool_of(line: str) -> Tool:
    """The tool of a line such as ``book(title: str, copies?: int, day: "mon" | "tue" = "mon"): Books it.``.

    Raises:
        ConfigurationError: it cannot be read.
    """
    signature, separator, description = line.partition("): ")
    name, opening, inner = signature.removesuffix(")" if not separator else "").partition("(")
    if not opening:
        raise ConfigurationError(f"{line!r} is no signature with a description")
    arguments = [_ARGUMENT.fullmatch(part) for part in _split(inner)]
    if None in arguments:
        raise ConfigurationError(f"the arguments of {line!r} cannot be read")
    found = [argument for argument in arguments if argument is not None]
    properties = {a["name"]: _schema(a["type"], a["default"]) for a in found}
    required = [a["name"] for a in found if not a["optional"] and a["default"] is None]
    return Tool.from_schema(
        {
            "name": name.strip(),
            "description": description,
            "parameters": {"type": "object", "properties": properties, "required": required},
        }
    )


def _split(inner: str) -> list[str]:
    """The arguments of a signature; commas in quotes and brackets separate nothing."""
    parts, depth, quoted = [""], 0, False
    for char in inner:
        quoted ^= char == '"'
        depth += 0 if quoted else (char in "[{") - (char in "]}")
        if char == "," and not quoted and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def _schema(type_: str, default: str | None) -> dict[str, Any]:
    if type_.startswith('"'):
        schema: dict[str, Any] = {
            "type": "string",
            "enum": [json.loads(choice) for choice in type_.split(" | ")],
        }
    elif type_.startswith("list["):
        schema = {"type": "array", "items": _schema(type_[5:-1], None)}
    elif type_ in _TYPES:
        schema = dict(_TYPES[type_])
    else:
        raise ConfigurationError(
            f"there is no type {type_!r} in signatures; choose one of: {', '.join(_TYPES)}"
        )
    return schema if default is None else {**schema, "default": _literal(default)}


def _literal(text: str) -> Any:
    return json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
