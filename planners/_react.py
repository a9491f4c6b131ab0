"""Baseline: one call a turn, each chosen when the last one's result is known.

After ReAct (arXiv 2210.03629), with plait's tools, language and grammar, so that what differs from
the compiler is the loop alone.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

from plait.errors import PlanError
from plait.models import ChatModel, Grammar, Message
from plait.planners._context import Answer, PlanContext, PlannerStep, PlanText
from plait.planners._dialects import argument_names
from plait.planners._grammar import step_grammar
from plait.planners._parser import PlanParser
from plait.planners._prompts import (
    describe_conversation,
    describe_day,
    describe_now,
    describe_outcome,
    step_result,
    step_rules,
    step_turns,
    tools_offered,
)
from plait.tools import Toolbox

_ANSWER = re.compile(r"^\s*(?:Thought:[^\n]*\n\s*)?Answer:\s*(.*)", re.DOTALL)


class ReactPlanner:
    """Plans one call at a time.

    Args:
        model: chooses each call and writes the answer.
        toolbox: the tools that the prompt offers.
        max_turns: how many calls a run may have.
        max_tokens: length of one turn.
    """

    answers = True

    def __init__(
        self, model: ChatModel, toolbox: Toolbox, *, max_turns: int = 12, max_tokens: int = 512
    ) -> None:
        self._model = model
        self._toolbox = toolbox
        self._max_tokens = max_tokens
        self.max_rounds = max_turns

    def messages(self, context: PlanContext) -> list[Message]:
        """The conversation so far: each call as the assistant's turn, its result as the user's."""
        request = f"{describe_now(context.now)}{describe_conversation(context)}Request: {context.query}"
        static = tools_offered(self._toolbox)
        tools = tools_offered(context.offer.listed(self._toolbox))
        turns = [
            Message.instructions(step_rules(has_clock=context.now is not None)),
            *step_turns(),
            Message(
                "user",
                f"{tools}\n\n{request}",
                static_chars=len(static),
                daily_chars=0 if tools != static else len(f"{tools}\n\n{describe_day(context.now)}"),
            ),
        ]
        for outcome in context.outcomes:
            turns.append(Message("assistant", str(outcome.task)))
            turns.append(Message("user", step_result(outcome.task.id, describe_outcome(outcome))))
        if context.feedback:
            turns[-1] = Message("user", f"{turns[-1].content}\n{context.feedback}")
        return turns

    def grammar(self, context: PlanContext) -> Grammar | None:
        """The grammar of one turn: a thought, then a call or the answer."""
        if self._model.grammar_kind not in ("lark", "gbnf"):
            return None
        return step_grammar(
            context.offer.callable(self._toolbox),
            number=context.next_number,
            unavailable=context.unavailable,
        )

    async def plan(self, context: PlanContext) -> AsyncGenerator[PlannerStep]:
        """One task, or the answer."""
        parser = PlanParser(
            argument_names(context.offer.listed(self._toolbox)),
            first=context.next_number,
            earlier=context.referable,
        )
        generation = self._model.stream(
            self.messages(context), grammar=self.grammar(context), max_tokens=self._max_tokens
        )
        written = ""
        found = None
        async with aclosing(generation):
            async for text in generation:
                yield PlanText(text)
                written += text
                if not _ANSWER.match(written):
                    found = next(parser.feed(text), None)
                if found is not None:
                    break
        yield generation.usage
        if found is not None:
            yield found
            return
        answer = _ANSWER.match(written)
        if answer is None:
            raise PlanError("the model wrote neither a call nor an answer", line=written[:120])
        yield Answer(answer[1].strip())
