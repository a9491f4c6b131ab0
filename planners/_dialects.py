"""The dialects that a plan can be written in: with every argument's name, or in few tokens.

All are one language: the same parser reads them into the same plan, given the tools as
:meth:`Dialect.arrange` has them, and for the relative one the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from plait.errors import ConfigurationError
from plait.planners._plan import Plan, Task, print_argument_name, print_value
from plait.tools import Field, Tool

DialectName: TypeAlias = Literal["keyword", "compact", "relative"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How plans are written."""

    name: DialectName
    positional: bool
    """Whether required arguments stand first and without names, and defaults are left out."""
    stop: str
    """What stands between a task's number and its tool."""
    space: str
    """What follows commas and colons."""
    moment: str
    """What may stand between a date and a time, as a pattern."""
    relative: bool = False
    """Whether days may be named as people name them; see :func:`resolve_moment`."""

    def arrange(self, tools: Iterable[Tool]) -> list[Tool]:
        """``tools`` with their arguments in the order in which a call has them."""
        return [_required_first(tool) if self.positional else tool for tool in tools]

    def names(self, argument: Field) -> bool:
        """Whether a call writes the name of this argument."""
        return not (self.positional and argument.required)


KEYWORD = Dialect("keyword", positional=False, stop=". ", space=" ", moment="[T ]")
COMPACT = Dialect("compact", positional=True, stop=" ", space="", moment="[ ]")
RELATIVE = replace(COMPACT, name="relative", relative=True)
_DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (KEYWORD, COMPACT, RELATIVE)}


def dialect_of(name: str) -> Dialect:
    """The dialect of that name.

    Raises:
        ConfigurationError: there is none.
    """
    if name not in _DIALECTS:
        raise ConfigurationError(f"there is no dialect {name!r}; choose one of: {', '.join(_DIALECTS)}")
    return _DIALECTS[name]


def _required_first(tool: Tool) -> Tool:
    fields = sorted(tool.arguments.fields, key=lambda argument: not argument.required)
    return replace(tool, arguments=replace(tool.arguments, fields=tuple(fields)))


@dataclass(frozen=True, slots=True)
class CallForm:
    """What is to be known of a tool to write its calls."""

    required: tuple[str, ...]
    """Names of the arguments that it must have, in order."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Its other arguments in order, ``None`` where they have no default: whether to leave ``null`` out
    means the same is not for a printer to decide."""

    @classmethod
    def of(cls, tool: Tool) -> CallForm:
        """That of ``tool``."""
        fields = tool.arguments.fields
        return cls(
            tuple(f.name for f in fields if f.required), {f.name: f.default for f in fields if not f.required}
        )

    def position(self, name: str) -> int:
        """Where the argument comes in a call; one that the tool does not have comes last."""
        names = [*self.required, *self.defaults]
        return names.index(name) if name in names else len(names)

    def is_default(self, name: str, value: Any) -> bool:
        """Whether the argument need not be written."""
        default = self.defaults.get(name)
        return default is not None and repr(default) == repr(value)  # repr tells True from 1 and 1.0


@dataclass(frozen=True)
class PlanPrinter:
    """Prints plans in one dialect."""

    dialect: Dialect
    forms: Mapping[str, CallForm]
    """By the tools' names. Calls of other tools have all their arguments by name."""

    @classmethod
    def of(cls, dialect: Dialect, tools: Iterable[Tool]) -> PlanPrinter:
        """One for plans over ``tools``."""
        return cls(dialect, {tool.name: CallForm.of(tool) for tool in tools})

    def plan(self, plan: Plan, *, first: int = 1) -> str:
        """The whole plan, a task a line; ``first`` is the number of its first task, if it has one."""
        last = max((task.id for task in plan), default=first - 1)
        return "\n".join([*map(self.task, plan), f"{last + 1}{self.dialect.stop}join()"])

    def task(self, task: Task) -> str:
        """One line."""
        if not self.dialect.positional:
            return str(task)
        arguments = f",{self.dialect.space}".join(self._arguments(task, self.forms.get(task.tool)))
        return f"{task.id}{self.dialect.stop}{task.tool}({arguments})"

    def _arguments(self, task: Task, form: CallForm | None) -> Iterable[str]:
        rest = dict(task.arguments)
        form = form or CallForm(())
        for name in form.required:
            if name not in rest:
                break  # those after a gap have names
            yield print_value(rest.pop(name), space=self.dialect.space)
        for name in sorted(rest, key=form.position):
            if not form.is_default(name, rest[name]):
                yield f"{print_argument_name(name)}={print_value(rest[name], space=self.dialect.space)}"


def argument_names(tools: Iterable[Tool], *, dialect: DialectName = "keyword") -> dict[str, list[str]]:
    """The arguments' names by tool, in the order in which a dialect's calls have them.

    Given these, a parser knows what the arguments without names are.

    Raises:
        ConfigurationError: there is no such dialect.
    """
    arranged = dialect_of(dialect).arrange(tools)
    return {tool.name: [argument.name for argument in tool.arguments.fields] for tool in arranged}


def print_plan(plan: Plan, tools: Iterable[Tool], *, dialect: DialectName = "keyword", first: int = 1) -> str:
    """``plan`` as text in a dialect; ``str(plan)`` is the one with keywords.

    Args:
        plan: what to print.
        tools: what it may call.
        dialect: how.
        first: the number that its first task has, if it has one; in a conversation they go on counting.

    Raises:
        ConfigurationError: there is no such dialect.
    """
    return PlanPrinter.of(dialect_of(dialect), tools).plan(plan, first=first)
