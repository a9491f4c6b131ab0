"""Which tools the prompt for a request lists, and which of them its plan may call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from plait.errors import ConfigurationError
from plait.tools import Tool, Toolbox

if TYPE_CHECKING:
    from plait.retrieval import Retriever

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
        return len(self._fitting(self._toolbox.names, self._max_tokens)) == len(self._toolbox)

    def choose(self, query: str, called: Collection[str] = (), *, widely: bool = False) -> Listing:
        """The tools for a request.

        Args:
            query: the request.
            called: tools that were called before, which the plan may call again.
            widely: for another plan, where one failed: more tools, all of which may be called.

        Raises:
            PlaitError: the retriever cannot be used, and why.
        """
        if self.lists_all:
            return self._of_all(query, called, widely=widely)
        found = self._found(query, self._recall, _N_TOOLS)
        if self._recall > _LEAST_RECALL and len(self._fitting(found, self._max_tokens)) < len(found):
            found = self._found(query, _LEAST_RECALL, _N_TOOLS)
        wider = self._found(query, _WIDE_RECALL, _N_WIDE) if widely else []
        everything = () if found else self._toolbox.names  # nothing is known: all may be right
        wanted = list(dict.fromkeys([*self._known(called), *found, *wider, *everything]))
        group = self._group(found)
        left = self._max_tokens - sum(map(self._tokens, group))
        further = self._fitting([name for name in wanted if name not in group], left)
        if not group and not further:
            further = wanted[:1]  # that it does not fit is for the model to say
        return Listing(group, tuple(sorted(further)), frozenset())

    def _of_all(self, query: str, called: Collection[str], *, widely: bool) -> Listing:
        """All tools, of which those that are found may be called.

        What is left out spares no token here, and a tool that is missing ruins a plan: so more are wanted.
        """
        found = [] if widely else self._found(query, max(self._recall, _WIDE_RECALL), _N_TOOLS)
        allowed = frozenset([*self._known(called), *found]) if found else frozenset()
        return Listing(self._toolbox.names, (), allowed)

    def _known(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in self._names]

    def _found(self, query: str, recall: float, n_tools: int) -> list[str]:
        from plait.retrieval import CalibratedRetriever

        retriever = self._retriever
        if isinstance(retriever, CalibratedRetriever) and retriever.is_calibrated:
            tools = retriever.select(query, recall)
        else:
            tools = retriever.search(query, n_tools)
        return self._known(tool.name for tool in tools)

    def _group(self, found: Sequence[str]) -> tuple[str, ...]:
        """The group of tools that holds most of what was found, where it fits; of a tool's place, a part."""
        weights: dict[int, float] = {}
        for place, name in enumerate(found, 1):
            number = self._group_numbers.get(name)
            if number is not None:
                weights[number] = weights.get(number, 0.0) + 1 / place
        if not weights:
            return ()
        group = self._groups[max(weights, key=lambda number: weights[number])]
        return group if sum(map(self._tokens, group)) <= self._max_tokens else ()

    @cached_property
    def _groups(self) -> tuple[tuple[str, ...], ...]:
        from plait.retrieval import GroupedRetriever

        if not isinstance(self._retriever, GroupedRetriever):
            return ()
        known = (tuple(name for name in group if name in self._names) for group in self._retriever.groups)
        return tuple(group for group in known if group)

    @cached_property
    def _group_numbers(self) -> dict[str, int]:
        return {name: number for number, group in enumerate(self._groups) for name in group}

    def _fitting(self, names: Iterable[str], max_tokens: int) -> list[str]:
        """The first of these tools, as many as fit."""
        fitting: list[str] = []
        for name in names:
            max_tokens -= self._tokens(name)
            if max_tokens < 0:
                break
            fitting.append(name)
        return fitting

    def _tokens(self, name: str) -> int:
        if name not in self._counted:
            self._counted[name] = self._count(self._toolbox[name])
        return self._counted[name]

    def _check_known(self) -> None:
        from plait.retrieval import GroupedRetriever

        if not isinstance(self._retriever, GroupedRetriever):
            return
        known = set(self._retriever.names)
        unknown = [name for name in self._toolbox.names if name not in known]
        if unknown:
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            raise ConfigurationError(
                f"the retriever does not know the tool {unknown[0]!r}{more}; bring its index up to date with "
                "`plait index build` or Tool2Vec.synced"
            )
