"""The same tools in other guises, so that a model reads what it is offered instead of knowing it by heart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from plait.planners import Plan, Ref, Task, Template
from plait.tools import Tool, Toolbox

_VERBS: Mapping[str, tuple[str, ...]] = {
    "get": ("find", "look_up", "fetch", "read"),
    "find": ("get", "look_up", "locate"),
    "search": ("find", "query", "look_for"),
    "create": ("make", "add", "new"),
    "add": ("create", "put", "insert"),
    "send": ("deliver", "dispatch"),
    "open": ("show", "display"),
    "show": ("display", "view"),
    "list": ("show_all", "get_all"),
    "set": ("change", "put"),
    "append": ("add_to", "extend"),
    "compose": ("write", "send"),
    "book": ("reserve",),
    "cancel": ("call_off", "drop"),
    "delete": ("remove", "erase"),
    "update": ("change", "edit"),
}
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


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

    def plan(self, plan: Plan) -> Plan:
        """``plan`` with the tools that are there: without calls of the others, and of what needs those."""
        kept = without(plan, [task.tool for task in plan if task.tool not in self.names])
        return Plan(tuple(map(self._translated, kept)))

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
    if may_drop and random.random() < 0.3:
        tools = random.sample(tools, max(2, len(tools) - random.choice((1, 1, 2, 3, 5))))
    restyle = _style(random)
    renames = random.random() < 0.5
    describes = random.random() < 0.5
    names: dict[str, str] = {}
    arguments: dict[str, Names] = {}
    offered: list[Tool] = []
    for tool in tools:
        guise = (guises or {}).get(tool.name, Guise())
        name = tool.name
        if renames:
            name = random.choice(guise.names) if guise.names else _renamed(name, random)
            arguments[tool.name] = _other_arguments(tool, guise, random)
        description = (
            random.choice(guise.descriptions) if describes and guise.descriptions else tool.description
        )
        new = _presented(tool, restyle(name), description, arguments.get(tool.name, {}))
        if new.name in {other.name for other in offered}:
            new = _presented(tool, tool.name, description, arguments.get(tool.name, {}))
        names[tool.name] = new.name
        offered.append(new)
    taken = {tool.name for tool in offered}
    offered += [tool for tool in distractors if tool.name not in taken]
    return Variant(Toolbox(offered), names, arguments)


def _presented(tool: Tool, name: str, description: str, arguments: Names) -> Tool:
    """``tool`` under another name, with other names of its arguments."""
    if (name, description) == (tool.name, tool.description) and not arguments:
        return tool
    body = tool.to_openai()["function"]
    parameters = body["parameters"]
    properties = {arguments.get(key, key): schema for key, schema in parameters.get("properties", {}).items()}
    required = [arguments.get(key, key) for key in parameters.get("required", [])]
    schema: dict[str, Any] = {**parameters, "properties": properties, "required": required}
    return Tool.from_schema({"name": name, "description": description, "parameters": schema})


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
    words = [word.lower() for word in _WORDS.findall(name)]
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
    return lambda name: write([word.lower() for word in _WORDS.findall(name)])


def without(plan: Plan, tools: Sequence[str]) -> Plan:
    """``plan`` without the calls of ``tools``, without those that need their results, and without those whose
    results only these needed.
    """
    gone = {task.id for task in plan if task.tool in tools}
    for task in plan:
        if task.dependencies & gone:
            gone.add(task.id)
    for task in reversed(plan.tasks):
        users = [other.id for other in plan if task.id in other.dependencies]
        if users and set(users) <= gone:
            gone.add(task.id)
    numbers: dict[int, int] = {}
    kept = []
    for task in plan:
        if task.id not in gone:
            numbers[task.id] = len(numbers) + 1
            kept.append(_renumbered(task, numbers))
    return Plan(tuple(kept))


def _renumbered(task: Task, numbers: Mapping[int, int]) -> Task:
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
