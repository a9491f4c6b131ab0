"""The same tools in other guises, so that a model reads what it is offered instead of knowing it by heart."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from plait.planners import Plan, Ref, Task, Template
from plait.tools import Tool, Toolbox

_VERBS: Mapping[str, tuple[str, ...]] = {
    "get": ("find", "look_up", "fetch"),
    "find": ("get", "look_up", "locate"),
    "search": ("find", "query", "look_for"),
    "create": ("make", "add", "new"),
    "add": ("create", "insert"),
    "send": ("deliver", "dispatch"),
    "show": ("display", "view"),
    "append": ("add_to", "extend"),
    "book": ("reserve",),
    "cancel": ("call_off",),
    "delete": ("remove", "erase"),
    "update": ("change", "edit"),
}
"""First words of names that say the same whatever follows."""
_LOOKUPS = re.compile(
    "calculate|check|compare|compute|count|current|describe|display|estimate|fetch|find|get|how|list|locate|look|lookup|"
    "maps|measure|open|pick|predict|query|read|search|show|status|summarize|summary|track|view|what|when|where|which|who"
)
"""First words of the names of tools that only find something out."""
_WORDS = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])")


Names = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Guise:
    """Other ways to present one tool."""

    names: Sequence[str] = ()
    descriptions: Sequence[str] = ()
    arguments: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Other names of its arguments."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A toolbox as a model is offered it."""

    toolbox: Toolbox
    names: Names
    """For each tool of the original that is still there, its name here."""
    arguments: Mapping[str, Names]
    """For each of these the names that its arguments have here, where they are others."""

    def plan(self, plan: Plan) -> Plan | None:
        """``plan`` with the tools that are there; ``None`` where it is not certain what is right then."""
        kept = without(plan, [task.tool for task in plan if task.tool not in self.names])
        return None if kept is None else Plan(tuple(map(self._translated, kept)))

    def _translated(self, task: Task) -> Task:
        names = self.arguments.get(task.tool, {})
        arguments = {names.get(name, name): value for name, value in task.arguments.items()}
        return Task(task.id, self.names[task.tool], arguments)


def as_it_is(toolbox: Toolbox) -> Variant:
    """``toolbox`` itself."""
    return Variant(toolbox, {tool.name: tool.name for tool in toolbox}, {})


def vary(
    toolbox: Toolbox,
    random: Random,
    *,
    guises: Mapping[str, Guise] | None = None,
    distractors: Iterable[Tool] = (),
    may_drop: bool = True,
) -> Variant:
    """``toolbox`` with other names and descriptions, and fewer or more tools.

    Args:
        toolbox: the original.
        random: decides what varies.
        guises: other names and descriptions by the tools' names.
        distractors: tools that may be offered beside the others.
        may_drop: whether some of the tools may be left out.
    """
    tools = list(toolbox)
    if may_drop and len(tools) > 2 and random.random() < 0.3:
        tools = random.sample(tools, max(2, len(tools) - random.choice((1, 1, 2, 3, 5))))
    restyle = _style(random)
    renames = random.random() < 0.5
    describes = random.random() < 0.5
    names: dict[str, str] = {}
    arguments: dict[str, Names] = {}
    descriptions: dict[str, str] = {}
    for tool in tools:
        guise = (guises or {}).get(tool.name, Guise())
        name = tool.name
        if renames:
            name = random.choice(guise.names) if guise.names else _renamed(name, random)
            arguments[tool.name] = _other_arguments(tool, guise, random)
        if describes and guise.descriptions:
            descriptions[tool.name] = random.choice(guise.descriptions)
        name = restyle(name)
        is_free = name not in names.values() and name not in toolbox.names
        names[tool.name] = name if is_free else tool.name
    offered = [
        _presented(
            tool, names, arguments.get(tool.name, {}), descriptions.get(tool.name, tool.description), toolbox
        )
        for tool in tools
    ]
    offered += [tool for tool in distractors if tool.name not in names.values()]
    return Variant(Toolbox(offered), names, arguments)


def _presented(tool: Tool, names: Names, arguments: Names, description: str, original: Toolbox) -> Tool:
    """``tool`` under its name here, with its arguments' names here and descriptions that know both."""
    is_as_it_was = names[tool.name] == tool.name and description == tool.description and not arguments
    if is_as_it_was and all(names.get(name) == name for name in original.names):
        return tool
    parameters = tool.to_openai()["function"]["parameters"]
    properties = {
        arguments.get(key, key): _with_names(schema, names, original)
        for key, schema in parameters.get("properties", {}).items()
    }
    required = [arguments.get(key, key) for key in parameters.get("required", [])]
    schema: dict[str, Any] = {**parameters, "properties": properties, "required": required}
    return Tool.from_schema({"name": names[tool.name], "description": description, "parameters": schema})


def _with_names(schema: Mapping[str, Any], names: Names, original: Toolbox) -> dict[str, Any]:
    """An argument's schema; where it speaks of a tool, with the name here, or without that if it has gone."""
    new = dict(schema)
    text = new.get("description", "")
    for tool in original:
        if tool.name in text:
            text = text.replace(tool.name, names[tool.name]) if tool.name in names else ""
    if "description" in new:
        new["description"] = text
    return new


def _other_arguments(tool: Tool, guise: Guise, random: Random) -> Names:
    known = {argument.name for argument in tool.arguments.fields}
    others: dict[str, str] = {}
    for argument in sorted(known & guise.arguments.keys()):
        choices = [name for name in guise.arguments[argument] if name not in known | {*others.values()}]
        if choices and random.random() < 0.6:
            others[argument] = random.choice(choices)
    return others


def _renamed(name: str, random: Random) -> str:
    """``name`` with another verb of the same meaning, if it has one that is known."""
    words = _words(name)
    others = _VERBS.get(words[0], ()) if words else ()
    if not others or random.random() < 0.3:
        return name
    return "_".join([random.choice(others), *words[1:]])


def _style(random: Random) -> Callable[[str], str]:
    """A way to write names: as they are, or all in one style."""
    prefix = random.choice(("app", "my", "tools", "api", "svc", "do"))
    styles: tuple[Callable[[list[str]], str], ...] = (
        "_".join,
        lambda words: words[0] + "".join(word.capitalize() for word in words[1:]),
        lambda words: "".join(word.capitalize() for word in words),
        lambda words: ".".join((words[0], "_".join(words[1:]))) if len(words) > 1 else words[0],
        lambda words: f"{prefix}_{'_'.join(words)}",
        lambda words: f"{prefix}.{'_'.join(words)}",
    )
    if random.random() < 0.6:
        return lambda name: name
    write = random.choice(styles)
    return lambda name: write(_words(name) or [name])


def without(plan: Plan, tools: Sequence[str]) -> Plan | None:
    """``plan`` where ``tools`` are not offered: without each of its parts that they belong to.

    A part is what hangs together by references. ``None`` where a part has something else to do than looking
    up what the missing calls need: whether that should still be done is a matter of taste.
    """
    missing = {task.id for task in plan if task.tool in tools}
    gone: set[int] = set()
    for part in _parts(plan):
        if not part & missing:
            continue
        affected = set(part & missing)
        for task in plan:
            if task.id in part and task.dependencies & affected:
                affected.add(task.id)
        if any(task.id in part - affected and not is_lookup(task.tool) for task in plan):
            return None
        gone |= part
    return dropped(plan, gone)


def dropped(plan: Plan, gone: Collection[int]) -> Plan:
    """``plan`` without the calls ``gone``, to which nothing refers, numbered from 1."""
    numbers: dict[int, int] = {}
    kept = []
    for task in plan:
        if task.id not in gone:
            numbers[task.id] = len(numbers) + 1
            kept.append(renumbered(task, numbers))
    return Plan(tuple(kept))


def is_lookup(name: str) -> bool:
    """Whether a tool of that name only finds something out."""
    return any(_LOOKUPS.fullmatch(word) for word in _words(name)[:2])


def _parts(plan: Plan) -> list[frozenset[int]]:
    """The calls that hang together by references, part by part."""
    parts: list[set[int]] = []
    for task in plan:
        linked = {task.id, *task.dependencies}
        touching = [part for part in parts if part & linked]
        parts = [part for part in parts if not part & linked]
        parts.append(linked.union(*touching))
    return [frozenset(part) for part in parts]


def _words(name: str) -> list[str]:
    """The words of a name in any style, in lower case."""
    return [word.lower() for word in _WORDS.findall(_HUMP.sub("_", name))]


def renumbered(task: Task, numbers: Mapping[int, int]) -> Task:
    """``task`` with other numbers, its own and those that it refers to."""

    def change(value: object) -> object:
        if isinstance(value, Ref):
            return Ref(numbers[value.task], value.path)
        if isinstance(value, Template):
            return Template(
                tuple(p if isinstance(p, str) else Ref(numbers[p.task], p.path) for p in value.parts)
            )
        if isinstance(value, Mapping):
            return {key: change(item) for key, item in value.items()}
        if isinstance(value, list):
            return [change(item) for item in value]
        return value

    return Task(numbers[task.id], task.tool, {name: change(value) for name, value in task.arguments.items()})
