"""Which tools the prompt for a request lists, and which of them its plan may call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeGuard

from plait.errors import ConfigurationError
from plait.tools import Tool, Toolbox

if TYPE_CHECKING:
    from plait.retrieval import GroupedRetriever, Retriever

RECALL = 0.98
"""The share of the right tools that a plan should be offered."""

_LEAST_RECALL = 0.95  # where what is selected for more does not fit
_WIDE_RECALL = 0.99
_N_TOOLS, _N_WIDE = 10, 40  # of a retriever that does not know how many are enough


@dataclass(frozen=True, slots=True)
class Listing:
    """Names of tools."""

    static: tuple[str, ...]
    """Those with which the prompt begins: all, or one group; the same for similar requests."""
    further: tuple[str, ...]
    """Those that it lists for this request."""
    allowed: frozenset[str]
    """Those that the plan may call; empty for all that are listed."""


class ToolLister:
    """Chooses tools for requests.

    Where all tools fit into ``max_tokens``, the prompt lists them all, and what was found only narrows what
    the plan may call. Where they do not, the prompt begins with the group of tools in which most was found,
    so that similar requests begin alike, and goes on with what else was found; the plan may call all of it.
    A group that leaves no room for what was found makes way for the next one.

    A retriever may know tools that the toolbox has not: they are passed over, and take no tool's place.

    Args:
        toolbox: all tools.
        retriever: finds those that a request may need.
        count: tokens of a tool's description.
        max_tokens: tokens of the descriptions of all tools that a prompt lists.
        recall: the share of the right tools that should be listed, where the retriever is calibrated; where
            what is selected for it does not fit, 0.95.

    Raises:
        ConfigurationError: the retriever says what it knows, and there are tools that it does not know.
    """

    def __init__(
        self,
        toolbox: Toolbox,
        retriever: Retriever,
        count: Callable[[Tool], int],
        *,
        max_tokens: int,
        recall: float = RECALL,
    ) -> None:
        self._toolbox = toolbox
        self._names = frozenset(toolbox.names)
        self._retriever = retriever
        self._count = count
        self._max_tokens = max_tokens
        self._recall = recall
        self._counted: dict[str, int] = {}
        self._check_known()

    @cached_property
    def lists_all(self) -> bool:
        """Whether all tools fit."""
        left = self._max_tokens
        for name in self._toolbox.names:
            left -= self._tokens(name)
            if left < 0:
                return False
        return True

    def choose(
        self, queries: Sequence[str], called: Collection[str] = (), *, widely: bool = False
    ) -> Listing:
        """The tools for a request.

        Args:
            queries: what is searched for: the request, and what else says what it is about. What is found
                for each is offered.
            called: tools that were called before, which the plan may call again.
            widely: for another plan, where one failed: more tools, all of which may be called.

        Raises:
            PlaitError: the retriever cannot be used, and why.
        """
        if self.lists_all:
            return self._of_all(queries, called, widely=widely)
        found = self._found(queries, self._recall, _N_TOOLS)
        if self._recall > _LEAST_RECALL and not self._all_fit(found):
            found = self._found(queries, _LEAST_RECALL, _N_TOOLS)
        wider = self._found(queries, _WIDE_RECALL, _N_WIDE) if widely else []
        everything = () if found else self._toolbox.names  # nothing is known: all may be right
        needed = [*found[:1], *self._known(called)]
        wanted = list(dict.fromkeys([*needed, *found, *wider, *everything]))
        group = self._group(found, list(dict.fromkeys(needed)))
        left = self._max_tokens - sum(map(self._tokens, group))
        further = self._fitting([name for name in wanted if name not in group], left)
        if not group and not further:
            further = wanted[:1]  # that it does not fit is for the model to say
        return Listing(group, tuple(sorted(further)), frozenset())

    def _of_all(self, queries: Sequence[str], called: Collection[str], *, widely: bool) -> Listing:
        """All tools, of which those that are found may be called.

        What is left out spares no token here, and a tool that is missing ruins a plan: so more are wanted.
        """
        found = [] if widely else self._found(queries, max(self._recall, _WIDE_RECALL), _N_TOOLS)
        allowed = frozenset([*self._known(called), *found]) if found else frozenset()
        return Listing(self._toolbox.names, (), allowed)

    def _known(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in self._names]

    def _found(self, queries: Sequence[str], recall: float, n_tools: int) -> list[str]:
        """What is found for each query, each once: first the best for each, then the second, and so on."""
        rankings = [self._found_for(query, recall, n_tools) for query in queries]
        places = (name for place in zip_longest(*rankings) for name in place if name is not None)
        return list(dict.fromkeys(places))

    def _found_for(self, query: str, recall: float, n_tools: int) -> list[str]:
        """The toolbox's tools for one query: so many, or as many as a calibrated retriever selects."""
        from plait.retrieval import CalibratedRetriever

        retriever = self._retriever
        if not (isinstance(retriever, CalibratedRetriever) and retriever.is_calibrated):
            return self._searched(query, n_tools)
        selected = [tool.name for tool in retriever.select(query, recall)]
        own = self._known(selected)
        n_wanted = min(len(selected), len(self._names))
        if len(own) == n_wanted:
            return own
        return list(dict.fromkeys([*own, *self._searched(query, n_wanted)]))[:n_wanted]

    def _searched(self, query: str, n_tools: int) -> list[str]:
        """The first ``n_tools`` of the toolbox; others that the retriever knows do not count."""
        n_asked = n_tools + self._n_others
        while True:
            found = self._retriever.search(query, n_asked)
            own = self._known(tool.name for tool in found)
            if len(own) >= min(n_tools, len(self._names)) or len(found) < n_asked:
                return own[:n_tools]
            n_asked *= 2

    @cached_property
    def _n_others(self) -> int:
        """How many tools the retriever says that it knows and the toolbox has not."""
        return len(set(self._retriever.names) - self._names) if _is_grouped(self._retriever) else 0

    def _group(self, found: Sequence[str], needed: Sequence[str]) -> tuple[str, ...]:
        """The group that holds most of what was found, and of a tool's place a part; none where none fits.

        Beside it there must be room for all that was found and ``needed``, or, where that is too much even
        without a group, for what is needed.
        """
        beside = list(dict.fromkeys([*needed, *found]))
        if not self._all_fit(beside):
            beside = self._fitting(needed, self._max_tokens)
        weights: dict[int, float] = {}
        for place, name in enumerate(found, 1):
            number = self._group_numbers.get(name)
            if number is not None:
                weights[number] = weights.get(number, 0.0) + 1 / place
        for number in sorted(weights, key=lambda number: -weights[number]):
            group = self._groups[number]
            if self._all_fit(dict.fromkeys([*group, *beside])):
                return group
        return ()

    @cached_property
    def _groups(self) -> tuple[tuple[str, ...], ...]:
        if not _is_grouped(self._retriever):
            return ()
        known = (tuple(name for name in group if name in self._names) for group in self._retriever.groups)
        return tuple(group for group in known if group)

    @cached_property
    def _group_numbers(self) -> dict[str, int]:
        return {name: number for number, group in enumerate(self._groups) for name in group}

    def _fitting(self, names: Iterable[str], max_tokens: int) -> list[str]:
        """The first of these tools, as many as fit; one that does not is passed over."""
        fitting: list[str] = []
        for name in names:
            n_tokens = self._tokens(name)
            if n_tokens <= max_tokens:
                max_tokens -= n_tokens
                fitting.append(name)
        return fitting

    def _all_fit(self, names: Iterable[str]) -> bool:
        return sum(map(self._tokens, names)) <= self._max_tokens

    def _tokens(self, name: str) -> int:
        if name not in self._counted:
            self._counted[name] = self._count(self._toolbox[name])
        return self._counted[name]

    def _check_known(self) -> None:
        if not _is_grouped(self._retriever):
            return
        known = set(self._retriever.names)
        unknown = [name for name in self._toolbox.names if name not in known]
        if unknown:
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            raise ConfigurationError(
                f"the retriever does not know the tool {unknown[0]!r}{more}; bring its index up to date with "
                "`plait index build` or Tool2Vec.synced"
            )


def _is_grouped(retriever: Retriever) -> TypeGuard[GroupedRetriever]:
    """Whether it knows groups; ``isinstance`` would make them to see that, before Python 3.12."""
    missing = object()
    members = (inspect.getattr_static(retriever, name, missing) for name in ("names", "groups"))
    return all(member is not missing for member in members)
