"""The planner of models that were fine-tuned for planning: its prompt is short, for they know the rules."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from plait.models import ChatModel, Message
from plait.planners._compiler import CompilerPlanner
from plait.planners._context import PlanContext
from plait.planners._dialects import RELATIVE, PlanPrinter
from plait.planners._plan import print_value
from plait.planners._prompts import describe_conversation, describe_outcomes
from plait.tools import Field, StringType, Tool, Toolbox
from plait.tools._types import render_name, render_type, without_null


class TunedPlanner(CompilerPlanner):
    """Plans all calls at once, with a model that ``plait train`` has made.

    The prompt is the one that such models are trained on: the tools, a line each, then the clock and the
    request; no rules and no examples. Plans are in the relative dialect: compact, with days as people name
    them, which are resolved against the clock of the context, or the machine's where it has none.

    Args:
        model: writes the plan.
        toolbox: the tools that the prompt offers.
        max_replans: how many further plans a run may have. ``plait train synth`` makes no requests that go on
            after a failure, and a small model does not do what it has never seen, so there are none.
        max_tokens: length of one plan.
    """

    _copies_names = True  # as in the data that such models are trained on

    def __init__(
        self, model: ChatModel, toolbox: Toolbox, *, max_replans: int = 0, max_tokens: int = 1024
    ) -> None:
        super().__init__(model, toolbox, max_replans=max_replans, max_tokens=max_tokens, dialect="relative")

    def messages(self, context: PlanContext) -> list[Message]:
        """The prompt for ``context``: the same bytes first for all requests over the same tools."""
        offer = context.offer
        request = tuned_request(context, PlanPrinter.of(RELATIVE, offer.listed(self._toolbox)))
        static = tuned_instructions(self._toolbox)
        listed = tuned_instructions(offer.listed(self._toolbox))
        return [Message("system", listed, static_chars=len(static)), Message("user", request)]


def tuned_instructions(tools: Iterable[Tool]) -> str:
    """The tools, a line each: name, arguments in the order of calls, what it does."""
    return "\n".join(f"{_signature(tool)}: {_one_line(tool.description)}" for tool in RELATIVE.arrange(tools))


def tuned_request(context: PlanContext, printer: PlanPrinter) -> str:
    """The clock, the request and what was done so far."""
    lines = [short_clock(context.now)] if context.now is not None else []
    if context.history or context.instructions:
        lines.append(describe_conversation(context, printer.task).rstrip())
    lines.append(context.query)
    if context.outcomes:
        lines.append("Done:\n" + describe_outcomes(context.outcomes, printer.task))
    if context.feedback:
        lines.append(context.feedback)
    return "\n".join(lines)


def short_clock(now: datetime) -> str:
    """Day and time in few tokens: "Wed 2026-03-04 09:12"."""
    return f"{now:%a %Y-%m-%d %H:%M}"


def _signature(tool: Tool) -> str:
    return f"{tool.name}({','.join(map(_argument, tool.arguments.fields))})"


def _argument(field: Field) -> str:
    """An argument as calls have it; texts need no type."""
    name, type_ = render_name(field.name), field.type
    if not field.required and field.default is None:
        name, type_ = f"{name}?", without_null(type_)
    is_text = isinstance(type_, StringType) and not type_.format
    typed = name if is_text else f"{name}:{render_type(type_).replace(' | ', '|')}"
    if field.required or field.default is None:
        return typed
    return f"{typed}={print_value(field.default, space='')}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
