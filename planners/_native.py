"""Baseline: the model's own function calling, as its chat template or its server offers it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import aclosing
from typing import Any

from plait.models import ChatModel, Message, ToolCall
from plait.planners._context import Answer, PlanContext, PlannerStep, PlanText
from plait.planners._plan import Task
from plait.planners._prompts import (
    describe_conversation,
    describe_day,
    describe_now,
    describe_outcome,
    native_instructions,
)
from plait.tools import Tool, Toolbox


class NativePlanner:
    """Lets the model call functions by its own convention, several a turn if it knows how to.

    Args:
        model: a model that was trained to call functions.
        toolbox: the functions that it is given.
        max_turns: how many turns with calls a run may have.
        max_tokens: length of one turn.
    """

    answers = True

    def __init__(
        self, model: ChatModel, toolbox: Toolbox, *, max_turns: int = 12, max_tokens: int = 1024
    ) -> None:
        self._model = model
        self._toolbox = toolbox
        self._max_tokens = max_tokens
        self.max_rounds = max_turns

    @property
    def definitions(self) -> list[dict[str, Any]]:
        """The toolbox in OpenAI's format."""
        return _definitions(self._toolbox)

    def messages(self, context: PlanContext) -> list[Message]:
        """The conversation so far, with calls and results as the model's convention has them."""
        request = f"{describe_now(context.now)}{describe_conversation(context)}{context.query}"
        turns = [
            Message.instructions(native_instructions()),
            Message("user", request, daily_chars=len(describe_day(context.now))),
        ]
        names = {own: name for name, own in _function_names(context.offer.listed(self._toolbox)).items()}
        outcomes = {o.task.id: o for o in context.outcomes}
        for plan in context.plans:
            batch = [outcomes[task.id] for task in plan]
            calls = tuple(
                ToolCall(f"call_{o.task.id}", names.get(o.task.tool, _stem(o.task.tool)), o.task.arguments)
                for o in batch
            )
            turns.append(Message("assistant", tool_calls=calls))
            turns += [Message("tool", describe_outcome(o), tool_call_id=f"call_{o.task.id}") for o in batch]
        if context.feedback:
            turns.append(Message("user", context.feedback))
        return turns

    async def plan(self, context: PlanContext) -> AsyncGenerator[PlannerStep]:
        """The calls of one turn, or the answer."""
        tools = context.offer.listed(self._toolbox)
        names = _function_names(tools)
        generation = self._model.stream(
            self.messages(context), tools=_definitions(tools), max_tokens=self._max_tokens
        )
        written = ""
        async with aclosing(generation):
            async for text in generation:
                yield PlanText(text)
                written += text
        yield generation.usage
        for number, call in enumerate(generation.tool_calls, context.next_number):
            yield Task(number, names.get(call.name, call.name), dict(call.arguments))
        if not generation.tool_calls:
            yield Answer(written.strip())


def _function_names(tools: Iterable[Tool]) -> dict[str, str]:
    """Names that function-calling interfaces accept to the tools' own names."""
    names: dict[str, str] = {}
    for tool in tools:
        stem = _stem(tool.name)
        name, n = stem, 2
        while name in names:
            name, n = f"{stem}_{n}", n + 1
        names[name] = tool.name
    return names


def _stem(name: str) -> str:
    """A tool's name without what function-calling interfaces refuse."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:60]


def _definitions(tools: Collection[Tool]) -> list[dict[str, Any]]:
    """The tools in OpenAI's format, with names that it accepts."""
    found = []
    for name, tool in zip(_function_names(tools), tools, strict=True):
        definition = tool.to_openai()
        found.append({**definition, "function": {**definition["function"], "name": name}})
    return found
