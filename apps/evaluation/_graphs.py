"""Plans as graphs: whether two of them are the same but for the numbers of their calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from plait.apps.evaluation._values import Same, has_perfect_matching
from plait.planners import Plan

Agrees: TypeAlias = Callable[[int, int, Same], bool]
"""Whether a node of the first graph may be that node of the second, where the given pairs may be the same."""
Mapping: TypeAlias = tuple[int, ...]
"""For each node of the first graph the node of the second that it is."""
Cost: TypeAlias = Callable[[int, int], int]


@dataclass(frozen=True, slots=True)
class PlanGraph:
    """A plan's calls, labelled with their tools, and who uses whose result.

    Nodes are the positions of the calls in the plan. However often a call uses another's result, and
    however it stands in its arguments, that is one edge.
    """

    labels: tuple[str, ...]
    uses: tuple[frozenset[int], ...]
    """For each node those whose results it uses."""
    users: tuple[frozenset[int], ...]
    """For each node those that use its result."""

    @classmethod
    def of(cls, plan: Plan) -> PlanGraph:
        """The graph of ``plan``. A use of a call that is not in the plan is no edge."""
        nodes = {task.id: node for node, task in enumerate(plan)}
        uses = tuple(frozenset(nodes[k] for k in task.dependencies if k in nodes) for task in plan)
        users = tuple(
            frozenset(i for i, used in enumerate(uses) if node in used) for node in range(len(uses))
        )
        return cls(tuple(task.tool for task in plan), uses, users)

    def __len__(self) -> int:
        return len(self.labels)

    def edges(self) -> Counter[tuple[str, str]]:
        """How often which tool's call uses which tool's result."""
        return Counter(
            (self.labels[node], self.labels[used]) for node in range(len(self)) for used in self.uses[node]
        )


def find_isomorphism(
    first: PlanGraph, second: PlanGraph, agrees: Agrees | None = None, cost: Cost | None = None
) -> Mapping | None:
    """A one-to-one mapping of nodes that keeps labels and edges, and maps only nodes that agree.

    Colour refinement (Weisfeiler and Leman) first separates what can be told apart by structure; then nodes
    are mapped one by one, those with the fewest options first, and after each the options of all others are
    narrowed to those whose neighbours still fit and that still have a perfect matching.

    Args:
        first: a graph.
        second: another.
        agrees: what else must hold for two nodes to be the same; it must not turn true with fewer pairs.
        cost: of several options of a node those of a low cost are tried first.

    Returns:
        The mapping; ``None`` if there is none.
    """
    if sorted(first.labels) != sorted(second.labels):
        return None
    colours, other = _refined(first, second)
    if sorted(colours) != sorted(other):
        return None
    options = [{j for j, colour in enumerate(other) if colour == mine} for mine in colours]
    search = _Search(first, second, agrees or (lambda i, j, same: True), cost or (lambda i, j: 0))
    return search.completed(options)


def _refined(first: PlanGraph, second: PlanGraph) -> tuple[list[int], list[int]]:
    """Colours of the nodes of both graphs, the same where they cannot be told apart."""
    names = {label: colour for colour, label in enumerate(sorted({*first.labels, *second.labels}))}
    colours = [[names[label] for label in graph.labels] for graph in (first, second)]
    n_colours = len(names)
    while True:
        seen = [
            [_surroundings(graph, own, node) for node in range(len(graph))]
            for graph, own in zip((first, second), colours, strict=True)
        ]
        palette = {kind: colour for colour, kind in enumerate(sorted({*seen[0], *seen[1]}))}
        colours = [[palette[kind] for kind in kinds] for kinds in seen]
        if len(palette) == n_colours:
            return colours[0], colours[1]
        n_colours = len(palette)


def _surroundings(
    graph: PlanGraph, colours: Sequence[int], node: int
) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    used, users = (tuple(sorted(colours[k] for k in side[node])) for side in (graph.uses, graph.users))
    return colours[node], used, users


@dataclass(frozen=True, slots=True)
class _Search:
    first: PlanGraph
    second: PlanGraph
    agrees: Agrees = field(repr=False)
    cost: Cost = field(repr=False)

    def completed(self, options: list[set[int]]) -> Mapping | None:
        """A mapping to one of each node's options, which are changed."""
        if not self._narrow(options) or not has_perfect_matching(options):
            return None
        undecided = [i for i, found in enumerate(options) if len(found) > 1]
        if not undecided:
            return tuple(next(iter(found)) for found in options)
        i = min(undecided, key=lambda node: len(options[node]))
        for j in sorted(options[i], key=lambda node: (self.cost(i, node), node)):
            mapping = self.completed([{j} if k == i else found - {j} for k, found in enumerate(options)])
            if mapping is not None:
                return mapping
        return None

    def _narrow(self, options: list[set[int]]) -> bool:
        """Strike options that do not fit until all do; whether each node keeps one."""

        def same(i: int, j: int) -> bool:
            return j in options[i]

        changed = True
        while changed:
            changed = False
            for i, found in enumerate(options):
                kept = {j for j in found if self._fits(i, j, same)}
                changed = changed or len(kept) < len(found)
                options[i] = kept
        return all(options)

    def _fits(self, i: int, j: int, same: Same) -> bool:
        sides = ((self.first.uses[i], self.second.uses[j]), (self.first.users[i], self.second.users[j]))
        return all(
            all(any(same(k, m) for m in theirs) for k in mine)
            and all(any(same(k, m) for k in mine) for m in theirs)
            for mine, theirs in sides
        ) and self.agrees(i, j, same)
