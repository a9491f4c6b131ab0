"""A planner for many tools: each request is planned with those that it may need."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from plait.errors import PlanError
from plait.models import ChatModel, Message
from plait.planners._context import Offer, PlanContext, Planner, PlannerStep
from plait.planners._listing import RECALL, Listing, ToolLister
from plait.planners._native import NativePlanner
from plait.planners._plan import Task
from plait.planners._prompts import PlanExample, describe_tools
from plait.tools import Tool, Toolbox, call_in_thread

if TYPE_CHECKING:
    from plait.planners._chosen_examples import ExampleFinder
    from plait.retrieval import Retriever

_MAX_PLANNERS = 64
_MAX_LATE_EXAMPLES = 3
_MAX_NAMES = 20  # that an error tells
_CONTEXT_SHARE = 2  # the model's context, divided by this, is for descriptions of tools


class RetrievingPlanner:
    """Finds the tools for each request, and lets another planner plan with them.

    As long as all tools fit into ``tool_tokens``, the prompt lists them all, the same for every request, and
    retrieval narrows what the plan may call. Of more, each request's prompt begins with one group of tools
    that belong together, so that a model's cache has the beginning of similar requests, and goes on with
    what else was found. The less sure the retriever is, the more tools are listed, up to all that fit.
    Another plan, after one that failed or a call that did not succeed, may call more.

    What is searched for is the request, what the user wants to be kept in mind, and, in a conversation, the
    request together with the one before it, for "yes, please do" says nothing by itself. What the run and
    the conversation have called is always offered.

    Args:
        make: makes the planner that plans, from the tools with which its prompts begin. It should heed
            ``PlanContext.offer``, as all of plait's do; one that does not is never told of further tools.
        model: the planner's model, whose tokens count.
        toolbox: all tools.
        retriever: finds those that a request may need; used from threads.
        examples: those with which prompts begin. A group has only what its tools allow; up to three of the
            others follow where their tools are listed.
        example_finder: finds worked examples for each request, in the place of these three.
        tool_tokens: tokens of the descriptions that a prompt may list; half of the context if not given.
        recall: the share of the right tools that should be listed, where the retriever is calibrated; where
            what is selected for it does not fit, 0.95.

    Raises:
        ConfigurationError: the retriever does not know all tools.
    """

    def __init__(
        self,
        make: Callable[[Toolbox], Planner],
        model: ChatModel,
        toolbox: Toolbox,
        retriever: Retriever,
        *,
        examples: Sequence[PlanExample] = (),
        example_finder: ExampleFinder | None = None,
        tool_tokens: int | None = None,
        recall: float = RECALL,
    ) -> None:
        self._make = make
        self._model = model
        self._toolbox = toolbox
        self._examples = examples
        self._finder = example_finder
        self._n_empty = model.count_tokens([Message("user", "")])
        if tool_tokens is None:
            tool_tokens = model.context_length // _CONTEXT_SHARE
        self._lister = ToolLister(toolbox, retriever, self._count_tool, max_tokens=tool_tokens, recall=recall)
        self._planners: dict[tuple[str, ...], Planner] = {}
        whole = self._planner(toolbox.names)
        self._as_json = isinstance(whole, NativePlanner)
        self.max_rounds = whole.max_rounds
        self.answers = whole.answers

    async def plan(self, context: PlanContext) -> AsyncGenerator[PlannerStep]:
        """The steps of the planner for this request.

        Raises (on iteration):
            PlanError: the plan calls a tool that was not listed.
            PlaitError: the retriever cannot be used, or what the planner raises.
        """
        listing: Listing
        listing, offer = await call_in_thread(self._find, {"context": context})
        planner = self._planner(listing.static)
        async with aclosing(planner.plan(replace(context, offer=offer))) as steps:
            async for step in steps:
                if isinstance(step, Task):
                    _check_listed(step, listing)
                yield step

    def _find(self, context: PlanContext) -> tuple[Listing, Offer]:
        is_wide = bool(context.feedback) or not all(outcome.ok for outcome in context.outcomes)
        listing = self._lister.choose(_queries(context), list(_called(context)), widely=is_wide)
        tools = tuple(self._toolbox[name] for name in listing.further)
        return listing, Offer(listing.allowed, tools, self._examples_for(context.query, listing))

    def _examples_for(self, query: str, listing: Listing) -> tuple[PlanExample, ...]:
        names = {*listing.static, *listing.further}
        offered = names & listing.allowed if listing.allowed else names
        if self._finder is not None:
            return self._finder.find(query, offered, self._count)
        called = [(example, {task.tool for task in example.plan}) for example in self._examples]
        static = set(listing.static)
        return tuple(e for e, tools in called if tools <= offered and not tools <= static)[
            :_MAX_LATE_EXAMPLES
        ]

    def _planner(self, static: tuple[str, ...]) -> Planner:
        """The planner whose prompts begin with these tools; of those used last some are kept."""
        planner = self._planners.pop(static, None) or self._make(self._toolbox.subset(static))
        self._planners[static] = planner
        if len(self._planners) > _MAX_PLANNERS:
            del self._planners[next(iter(self._planners))]
        return planner

    def _count_tool(self, tool: Tool) -> int:
        return self._count(json.dumps(tool.to_openai()) if self._as_json else describe_tools([tool]))

    def _count(self, text: str) -> int:
        """Tokens of the text, and of the line's end."""
        return self._model.count_tokens([Message("user", text)]) - self._n_empty + 1


def _called(context: PlanContext) -> Iterator[str]:
    """The tools that the run and the conversation have called, the last ones first."""
    yield from (outcome.task.tool for outcome in reversed(context.outcomes))
    for turn in reversed(context.history):
        yield from (call.task.tool for call in reversed(turn.calls))
    yield from context.called


def _queries(context: PlanContext) -> list[str]:
    """What is searched for: the request, also together with the one before it, and the instructions."""
    queries = [context.query]
    if context.history:
        queries.append(f"{context.history[-1].query}\n{context.query}")
    if context.instructions:
        queries.append(context.instructions)
    return queries


def _check_listed(task: Task, listing: Listing) -> None:
    """That the prompt has listed the task's tool.

    Raises:
        PlanError: it has not.
    """
    names = [*listing.static, *listing.further]
    if task.tool not in names:
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        raise PlanError(
            f"the tool {task.tool} of task {task.id} was not offered; offered are "
            f"{', '.join(names[:_MAX_NAMES])}{more}"
        )
