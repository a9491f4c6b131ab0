"""How good a plan is, measured against the right one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from plait.apps.evaluation._graphs import PlanGraph, find_isomorphism
from plait.apps.evaluation._values import MatchRules, Same, is_right, with_defaults
from plait.planners import Plan, Task, Value, print_value, references
from plait.tools import AnyType, Tool, Toolbox, Type

SCORING_VERSION = 1
"""Goes up whenever the same plan may get another score."""
_MAX_SHOWN = 80

Complete: TypeAlias = Callable[[Tool, Mapping[str, Value]], Mapping[str, Value]]
"""Fills in the arguments that a call leaves out."""


@dataclass(frozen=True, slots=True)
class PlanScore:
    """A plan's verdict."""

    success: bool
    """Its graph is isomorphic to the right plan's (TinyAgent's measure, arXiv 2409.00608)."""
    arguments_right: bool
    """And in one of the isomorphisms every argument that the right plan fixes has the right value."""
    right_tools: bool
    """It calls the right tools as often as it should."""
    detail: str
    """The first thing that is wrong, in a sentence; empty if nothing is."""


def score_plan(
    gold: Plan,
    attempt: Plan,
    toolbox: Toolbox,
    *,
    complete: Complete = with_defaults,
    rules: MatchRules = MatchRules(),  # noqa: B008  (frozen)
) -> PlanScore:
    """Compare ``attempt`` with the right plan.

    Args:
        gold: the right plan; arguments that it leaves out are not compared.
        attempt: the plan to be judged.
        toolbox: the tools of both; calls of any others are compared without defaults and types.
        complete: fills in what the attempt leaves out, before arguments are compared.
        rules: which arguments are compared less than exactly.
    """
    wanted, found = PlanGraph.of(gold), PlanGraph.of(attempt)
    judge = _Judge(gold, attempt, toolbox, complete, rules)
    mapping = find_isomorphism(wanted, found, judge.agrees)
    if mapping is not None:
        return PlanScore(True, True, True, "")
    mapping = find_isomorphism(wanted, found, cost=judge.n_wrong)
    if mapping is not None:
        return PlanScore(True, False, True, judge.first_wrong(mapping))
    right_tools = Counter(wanted.labels) == Counter(found.labels)
    return PlanScore(False, False, right_tools, _difference(wanted, found))


def tool_recall(gold: Plan, offered: Toolbox) -> float:
    """Of the tools in the right plan, the share that was offered; 1 for an empty plan."""
    names = {task.tool for task in gold}
    return sum(offered.get(name) is not None for name in names) / len(names) if names else 1.0


class _Judge:
    """Compares the arguments of calls. Calls are given by their positions in their plans."""

    def __init__(
        self, gold: Plan, attempt: Plan, toolbox: Toolbox, complete: Complete, rules: MatchRules
    ) -> None:
        self._gold, self._attempt = gold, attempt
        self._toolbox, self._rules = toolbox, rules
        self._nodes = {task.id: i for i, task in enumerate(gold)}
        self._others = {task.id: j for j, task in enumerate(attempt)}
        self._completed = [self._arguments(task, complete) for task in attempt]
        self._known: dict[tuple[int, int], bool] = {}

    def agrees(self, i: int, j: int, same: Same) -> bool:
        """Whether call ``j`` has the arguments that call ``i`` of the right plan asks for."""
        if (i, j) in self._known:
            return self._known[i, j]
        right = self._first_wrong_name(i, j, same) is None
        if not any(references(self._gold.tasks[i].arguments)):
            self._known[i, j] = right  # whichever calls are the same
        return right

    def n_wrong(self, i: int, j: int) -> int:
        """How many arguments of call ``j`` cannot be right."""
        return sum(1 for name in self._gold.tasks[i].arguments if not self._is_right(i, j, name, _may_be))

    def first_wrong(self, mapping: tuple[int, ...]) -> str:
        """A sentence about the first argument that is wrong when calls are mapped so."""

        def same(i: int, j: int) -> bool:
            return mapping[i] == j

        for i, task in enumerate(self._gold):
            name = self._first_wrong_name(i, mapping[i], same)
            if name is not None:
                return self._described(task, name, mapping)
        return ""

    def _described(self, task: Task, name: str, mapping: tuple[int, ...]) -> str:
        gold = task.arguments[name]
        given = self._completed[mapping[self._nodes[task.id]]]
        right = "any text" if gold is None else _shown(gold)
        if name not in given:
            return f"{name} of {task.tool} is missing, and should be {right}"
        return f"{name} of {task.tool} is {_shown(given[name])}, not {right}"

    def _first_wrong_name(self, i: int, j: int, same: Same) -> str | None:
        names = self._gold.tasks[i].arguments
        return next((name for name in names if not self._is_right(i, j, name, same)), None)

    def _is_right(self, i: int, j: int, name: str, same: Same) -> bool:
        task, given = self._gold.tasks[i], self._completed[j]

        def same_task(k: int, m: int) -> bool:
            return k in self._nodes and m in self._others and same(self._nodes[k], self._others[m])

        return name in given and is_right(
            task.arguments[name],
            given[name],
            self._type_of(task.tool, name),
            same_task,
            free_text=name in self._rules.free_text,
            unordered=name in self._rules.unordered,
        )

    def _arguments(self, task: Task, complete: Complete) -> Mapping[str, Value]:
        tool = self._toolbox.get(task.tool)
        return task.arguments if tool is None else complete(tool, task.arguments)

    def _type_of(self, tool: str, name: str) -> Type:
        known = self._toolbox.get(tool)
        fields = known.arguments.fields if known else ()
        return next((f.type for f in fields if f.name == name), AnyType())


def _may_be(i: int, j: int) -> bool:
    return True


def _difference(wanted: PlanGraph, found: PlanGraph) -> str:
    """A sentence about the first difference of two graphs that are not isomorphic."""
    missing = Counter(wanted.labels) - Counter(found.labels)
    extra = Counter(found.labels) - Counter(wanted.labels)
    for name in wanted.labels:
        if name in missing:
            return f"call of {name} missing"
    for name in found.labels:
        if name in extra:
            return f"extra call of {name}"
    for user, used in wanted.edges() - found.edges():
        return f"{user} does not use {used}'s result"
    for user, used in found.edges() - wanted.edges():
        return f"{user} uses {used}'s result, and should not"
    return "the calls use results of the wrong ones of several calls of one tool"


def _shown(value: Value) -> str:
    try:
        text = print_value(value)
    except (TypeError, ValueError):  # not-a-number, which a model's own function calling can give
        text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."
