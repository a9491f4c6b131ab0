"""The planner of this design: one model call writes the whole graph.

After LLMCompiler (arXiv 2312.04511). Tasks are handed over while the model is still writing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from functools import cached_property

from plait.errors import PlanError
from plait.models import ChatModel, Grammar, Message
from plait.planners._context import Offer, PlanContext, PlannerStep, PlanText
from plait.planners._dialects import (
    KEYWORD,
    Dialect,
    DialectName,
    PlanPrinter,
    argument_names,
    dialect_of,
)
from plait.planners._forms import Source
from plait.planners._grammar import plan_grammar, plan_lark
from plait.planners._moments import resolve_moments
from plait.planners._parser import JSONPlanParser, PlanParser
from plait.planners._plan import Task
from plait.planners._prompts import (
    PlanExample,
    any_known_parts,
    check_examples,
    describe_day,
    describe_examples,
    describe_tools,
    general_turns,
    plan_as_json,
    plan_instructions,
    plan_request,
    plan_rules,
    tools_offered,
)
from plait.planners._sorts import say_kinds
from plait.tools import Tool, Toolbox


class CompilerPlanner:
    """Plans all calls at once, as a graph.

    Args:
        model: writes the plan. If it enforces a grammar, only valid plans can be written.
        toolbox: the tools that the prompt offers.
        examples: worked examples for the prompt; those that use other tools are left out. Where none
            is left, general ones that bring their own tools show what a plan is.
        max_replans: how many further plans a run may have.
        max_tokens: length of one plan.
        dialect: how plans are written in prompts, grammar and answers; "compact" takes fewer tokens, and in
            "relative", which is compact otherwise, days may be named as people name them. Models that take
            only JSON schema write JSON in all of them.

    Raises:
        ConfigurationError: there is no such dialect.
    """

    answers = False
    _copies_names = False  # a language may inflect them, which a large model undoes

    def __init__(
        self,
        model: ChatModel,
        toolbox: Toolbox,
        *,
        examples: Sequence[PlanExample] = (),
        max_replans: int = 2,
        max_tokens: int = 1024,
        dialect: DialectName = "keyword",
    ) -> None:
        self._model = model
        self._toolbox = toolbox
        self._examples = check_examples(examples, toolbox)
        self._max_tokens = max_tokens
        self._chosen = dialect_of(dialect)
        self.max_rounds = 1 + max_replans

    def _instructions(self, *, has_clock: bool) -> str:
        """The beginning of the prompt: the same bytes for every request."""
        if self._examples:
            return plan_instructions(
                self._tools,
                self._examples,
                as_json=self._as_json,
                has_clock=has_clock,
                dialect=self._dialect,
            )
        return plan_rules(
            as_json=self._as_json, has_clock=has_clock, dialect=self._dialect, has_parts=self._has_parts
        )

    @cached_property
    def _first_grammar(self) -> Grammar:
        return plan_grammar(self._toolbox, dialect=self._chosen.name)

    @property
    def _dialect(self) -> Dialect:
        """The chosen one; what accompanies the JSON form has always been in the one with keywords."""
        return KEYWORD if self._as_json else self._chosen

    @property
    def _tools(self) -> list[Tool]:
        """The tools as the prompt offers them."""
        return self._dialect.arrange(self._toolbox)

    @cached_property
    def _has_parts(self) -> bool:
        return any_known_parts(self._toolbox)

    @property
    def _as_json(self) -> bool:
        return self._model.grammar_kind == "json_schema"

    def messages(self, context: PlanContext) -> list[Message]:
        """The prompt for ``context``: what differs from request to request comes last."""
        offer = context.offer
        instructions = self._instructions(has_clock=context.now is not None)
        printer = PlanPrinter.of(self._dialect, offer.listed(self._toolbox))
        examples = describe_examples(offer.examples, plan_as_json if self._as_json else printer.plan)
        request = examples + plan_request(context, printer.task)
        further = self._dialect.arrange(offer.tools)
        day, varies = describe_day(context.now), bool(examples or further)
        if self._examples:
            more = f"\n\nMore tools:\n{describe_tools(further)}" if further else ""
            return [
                Message("system", instructions + more, static_chars=len(instructions)),
                Message("user", request, daily_chars=0 if varies else len(day)),
            ]
        turns = general_turns(as_json=self._as_json, dialect=self._dialect, has_parts=self._has_parts)
        static = tools_offered(self._tools)
        tools = tools_offered([*self._tools, *further])
        return [
            Message.instructions(instructions),
            *turns,
            Message(
                "user",
                f"{tools}\n\n{request}",
                static_chars=len(static),
                daily_chars=0 if varies else len(f"{tools}\n\n{day}"),
            ),
        ]

    def grammar(self, context: PlanContext) -> Grammar | None:
        """The grammar for ``context``; ``None`` if the model enforces none.

        Raises:
            GrammarError: no grammar can be built; the error names the tool.
        """
        if self._model.grammar_kind is None:
            return None
        tools, dialect = context.offer.callable(self._toolbox), self._chosen.name
        first, unavailable = context.next_number, context.unavailable
        if first == 1 and context.offer == Offer():
            grammar = self._first_grammar
        else:
            grammar = plan_grammar(tools, first=first, unavailable=unavailable, dialect=dialect)
        if not say_kinds(tools):
            return grammar
        listed = {tool.name: tool for tool in context.offer.listed(self._toolbox)}
        lark = plan_lark(
            tools,
            first=first,
            unavailable=unavailable,
            dialect=dialect,
            earlier={t.id: listed[t.tool] for t in context.earlier_tasks if t.tool in listed},
            source=Source.of(context.texts),
            copies=self._copies_names,
        )
        return replace(grammar, lark=lark)

    async def plan(self, context: PlanContext) -> AsyncGenerator[PlannerStep]:
        """Tasks in the order in which the model writes them, each as soon as it is complete."""
        parser = self._parser(context)
        generation = self._model.stream(
            self.messages(context), grammar=self.grammar(context), max_tokens=self._max_tokens
        )
        async with aclosing(generation):
            async for text in generation:
                yield PlanText(text)
                for task in parser.feed(text):
                    yield self._dated(task, context)
                if parser.joined:
                    break
        yield generation.usage
        if generation.finish_reason == "length" and not parser.joined:
            raise PlanError(f"the plan was cut off after {self._max_tokens} tokens")
        for task in parser.finish():
            yield self._dated(task, context)

    def _dated(self, task: Task, context: PlanContext) -> Task:
        """``task`` with dates where the dialect lets days be named."""
        if not self._dialect.relative:
            return task
        tool = next((tool for tool in context.offer.listed(self._toolbox) if tool.name == task.tool), None)
        return task if tool is None else resolve_moments(task, tool, context.now or datetime.now())

    def _parser(self, context: PlanContext) -> PlanParser | JSONPlanParser:
        first, earlier = context.next_number, context.referable
        if self._as_json:
            return JSONPlanParser(first=first, earlier=earlier)
        signatures = argument_names(context.offer.listed(self._toolbox), dialect=self._chosen.name)
        return PlanParser(signatures, first=first, earlier=earlier)
