"""The words that models are given.

What stays the same from request to request comes first and is byte for byte the same, so that its
prefill can be reused; the clock and the request come last.
"""

# ruff: noqa: E501  (a line of a prompt is a line)

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from plait.models import Message
from plait.planners._context import PastCall, PlanContext, TaskOutcome
from plait.planners._dialects import KEYWORD, CallForm, Dialect, PlanPrinter
from plait.planners._general_examples import GENERAL_EXAMPLES, PARTS_EXAMPLES
from plait.planners._parser import parse_plan
from plait.planners._plan import Plan, Ref, Task, Template
from plait.planners._results import has_known_parts
from plait.planners._step_examples import STEP_EXAMPLES
from plait.tools import Tool, to_text

_N_DAYS = 8
_MAX_RESULT_CHARS = 4000


@dataclass(frozen=True, slots=True)
class PlanExample:
    """A request and its right plan, to be shown to a model."""

    query: str
    plan: Plan


_PLAN_RULES = """\
You turn a request into a plan: a numbered list of tool calls, one call a line, with join() as the last line.

Rules:
- Call only the tools below{arguments} Leave out optional arguments that the request says nothing about.
- $1 is the result of call 1. Where a call needs the result of an earlier call, write $1, or ${1} inside a longer string; never make up a result.
{parts}- Calls that do not need each other run at the same time; do not make the same call twice.
{dates}- Do all that the request asks for and nothing else. If no tool can do it, the plan is just: {end}"""

_ARGUMENTS: Mapping[str, str] = {
    "keyword": ", with their arguments by name.",
    "compact": ". Required arguments come first, in the signature's order and without names; optional ones follow by name.",
    "relative": ". Required arguments come first, in the signature's order and without names; optional ones follow by name."
    ' Days may be named: "tomorrow", "Fri 15:00", "Fri+1w", "+3d", "14th", "03-05", "Fri 15:00+90m".',
}
"""How each dialect writes arguments; goes on from \"Call only the tools below\"."""

_JSON_RULES = """\
You turn a request into a plan: a JSON object {"tasks": [{"tool": name, "arguments": {...}}, ...]}, one entry a tool call, in order.

Rules:
- Call only the tools below, with their arguments by name. Leave out optional arguments that the request says nothing about.
- "$1" is the result of the first call. Where a call needs the result of an earlier call, write "$1", or ${1} inside a longer string; never make up a result.
{parts}- Calls that do not need each other run at the same time; do not make the same call twice.
{dates}- Do all that the request asks for and nothing else. If no tool can do it, the plan is {"tasks": []}."""

_STEP_RULES = """\
You do what the request asks by calling tools, one at a time. After each call you see its result.
Answer each turn in one of these two forms:

Thought: what to do next, in one sentence
1. tool(argument="value")

Thought: why nothing more is to be done
Answer: the answer to the request

Rules:
- Call only the tools below, with their arguments by name. Leave out optional arguments that the request says nothing about.
{dates}- $1 is the result of call 1; write $1, or ${1} inside a longer string, to pass a result on."""

_DATE_RULE = '- Write dates and times as "YYYY-MM-DD HH:MM", worked out from the current date.\n'

_PARTS_RULE = (
    "- $1.name is a field of that result, $1[0] the first item of a list, $1[0].name a field of the item.\n"
)

_NATIVE_RULES = "You do what the request asks by calling the functions you are given."

_JOIN_RULES = """\
You answer a request from the results of the tool calls that were made for it.
Use only what the results say. Answer briefly and directly, in the language of the request; do not mention the calls.
Say plainly what was not done."""

_REPLAN_RULE = """
If the results are not enough and other calls could help, write Replan: and what is missing. Otherwise write Answer: and the answer."""


def plan_rules(*, as_json: bool, has_clock: bool, dialect: Dialect = KEYWORD, has_parts: bool = False) -> str:
    """What a plan is and how to write it.

    About dates only where the request comes with a clock, about parts of results only where types tell them.
    """
    rules = _JSON_RULES if as_json else _PLAN_RULES
    rules = rules.replace("{parts}", _PARTS_RULE if has_parts else "")
    if as_json:
        return _with_dates(rules, has_clock=has_clock)
    rules = rules.replace("{arguments}", _ARGUMENTS[dialect.name])
    rules = rules.replace("{end}", PlanPrinter.of(dialect, ()).plan(Plan()))
    return _with_dates(rules, has_clock=has_clock)


def _with_dates(rules: str, *, has_clock: bool) -> str:
    return rules.replace("{dates}", _DATE_RULE if has_clock else "")


def plan_instructions(
    tools: Collection[Tool],
    examples: Sequence[PlanExample],
    *,
    as_json: bool = False,
    has_clock: bool = True,
    dialect: Dialect = KEYWORD,
) -> str:
    """The static part of a planner's prompt: rules, tools in the toolbox's order, worked examples."""
    write = plan_as_json if as_json else PlanPrinter.of(dialect, tools).plan
    rules = plan_rules(
        as_json=as_json, has_clock=has_clock, dialect=dialect, has_parts=any_known_parts(tools)
    )
    parts = [rules, tools_offered(tools)]
    parts += [_example(example, write) for example in examples]
    return "\n\n".join(parts)


def describe_examples(examples: Iterable[PlanExample], write: Callable[[Plan], str]) -> str:
    """Worked examples, an empty line after each."""
    return "".join(f"{_example(example, write)}\n\n" for example in examples)


def _example(example: PlanExample, write: Callable[[Plan], str]) -> str:
    return f"Request: {example.query}\nPlan:\n{write(example.plan)}"


def any_known_parts(tools: Iterable[Tool]) -> bool:
    """Whether types tell of some result what there is in it."""
    return any(has_known_parts(tool.result) for tool in tools)


def general_turns(*, as_json: bool, dialect: Dialect = KEYWORD, has_parts: bool = False) -> list[Message]:
    """Worked examples that bring their own tools, each as a turn of its own."""
    turns = []
    for example in (*GENERAL_EXAMPLES, *(PARTS_EXAMPLES if has_parts else ())):
        plan = Plan(tuple(parse_plan(example.plan)))
        forms = {name: CallForm(required) for name, required in example.required.items()}
        turns += [
            Message("user", f"Tools:\n{example.tools}\n\nRequest: {example.query}\nPlan:"),
            Message("assistant", plan_as_json(plan) if as_json else PlanPrinter(dialect, forms).plan(plan)),
        ]
    return turns


def tools_offered(tools: Iterable[Tool]) -> str:
    """The tools as the planner's prompt offers them."""
    return f"Tools:\n{describe_tools(tools)}"


def step_rules(*, has_clock: bool = True) -> str:
    """How a planner that makes one call a turn writes a turn."""
    return _with_dates(_STEP_RULES, has_clock=has_clock)


def step_turns() -> list[Message]:
    """Worked examples of whole runs, one call a turn."""
    turns = []
    for example in STEP_EXAMPLES:
        turns.append(Message("user", f"Tools:\n{example.tools}\n\nRequest: {example.query}"))
        for number, (written, result) in enumerate(example.turns, 1):
            turns += [Message("assistant", written), Message("user", step_result(number, result))]
        turns.append(Message("assistant", example.answer))
    return turns


def step_result(number: int, result: str) -> str:
    """The turn that tells what came of a call."""
    return f"Result of call {number}: {result}"


def native_instructions() -> str:
    """The system prompt of a planner that uses the model's own function calling."""
    return _NATIVE_RULES


def join_instructions(*, may_replan: bool) -> str:
    """The static part of the joiner's prompt."""
    return _JOIN_RULES + (_REPLAN_RULE if may_replan else "")


def describe_tools(tools: Iterable[Tool]) -> str:
    """Each tool's signature and description, and what its arguments mean."""
    lines: list[str] = []
    for tool in tools:
        lines.append(f"- {tool.signature}: {_one_line(tool.description)}")
        lines += [f"    {f.name}: {_one_line(f.description)}" for f in tool.arguments.fields if f.description]
    return "\n".join(lines)


def describe_now(now: datetime | None) -> str:
    """The day, the coming days by name, so that small models need no calendar arithmetic, and the time.

    The time comes last, because what is before it need not be computed again on the same day. Empty where
    there is no clock.
    """
    if now is None:
        return ""
    return f"{describe_day(now)}Time: {now:%H:%M}\n"


def describe_day(now: datetime | None) -> str:
    """What :func:`describe_now` says first, which is the same all day; empty where there is no clock."""
    if now is None:
        return ""
    days = [now + timedelta(days=i) for i in range(_N_DAYS)]
    coming = ", ".join(f"{day:%A %Y-%m-%d}" for day in days[1:])
    return f"Today: {now:%A %Y-%m-%d} (tomorrow {coming})\n"


def plan_request(context: PlanContext, write: Callable[[Task], str] = str) -> str:
    """The part of a planner's prompt that changes: the clock, what was done, the request.

    ``write`` prints the calls that were made.
    """
    parts = (
        [describe_conversation(context, write).rstrip()] if context.history or context.instructions else []
    )
    if context.outcomes:
        parts += [f"Request: {context.query}", "Done so far:\n" + describe_outcomes(context.outcomes, write)]
        parts.append(
            f"{context.feedback}\nPlan the calls that are still missing, from call {context.next_number} on: those that failed, "
            "mended (with the name that the error suggests), and what needs them. Results above can be used by their numbers; "
            "do not repeat calls that succeeded."
        )
    else:
        if context.feedback:
            parts.append(context.feedback)
        parts.append(f"Request: {context.query}")
        if context.next_number > 1:
            parts.append(f"Number the calls from {context.next_number} on.")
    return describe_now(context.now) + "\n".join([*parts, "Plan:"])


def join_request(context: PlanContext) -> str:
    """The part of the joiner's prompt that changes."""
    done = (
        describe_outcomes(context.outcomes) if context.outcomes else "(no tool was called, nothing was done)"
    )
    before = describe_conversation(context)
    return f"{describe_now(context.now)}{before}Results:\n{done}\n\nRequest: {context.query}"


def describe_conversation(context: PlanContext, write: Callable[[Task], str] = str) -> str:
    """What the user always wants to be kept in mind, and the conversation so far; empty where there is none."""
    parts = [f"Keep in mind: {context.instructions}\n"] if context.instructions else []
    if context.history:
        parts.append("Earlier requests, done; their results can be used by their numbers:\n")
    for turn in context.history:
        parts.append(f"Request: {turn.query}\n")
        parts += [f"{write(call.task)}\n-> {_describe_past(call)}\n" for call in turn.calls]
    return "".join(parts)


def _describe_past(call: PastCall) -> str:
    """What came of a call of an earlier request; what outsiders may have written is only named."""
    if call.text is not None:
        return call.text
    return f"(text by others, in ${call.task.id})" if call.ok else call.status


def describe_outcomes(outcomes: Iterable[TaskOutcome], write: Callable[[Task], str] = str) -> str:
    """Each call and what came of it."""
    return "\n".join(f"{write(outcome.task)}\n-> {describe_outcome(outcome)}" for outcome in outcomes)


def describe_outcome(outcome: TaskOutcome) -> str:
    """A result or failure as a prompt shows it; a long result is cut, and says by how much."""
    if not outcome.ok:
        return f"{outcome.status}: {outcome.error}" if outcome.error else outcome.status
    text = to_text(outcome.result)
    if len(text) <= _MAX_RESULT_CHARS:
        return text or "(empty)"
    return f"{text[:_MAX_RESULT_CHARS]} [... {len(text) - _MAX_RESULT_CHARS} more characters]"


def plan_as_json(plan: Plan) -> str:
    """The JSON form of a plan whose tasks are numbered from 1."""
    entries = [
        {"tool": t.tool, "arguments": {k: json_value(v) for k, v in t.arguments.items()}} for t in plan
    ]
    return json.dumps({"tasks": entries}, ensure_ascii=False)


def json_value(value: Any) -> Any:
    """``value`` as the JSON form of a plan writes it: references as texts, a ``$`` that is none escaped."""
    if isinstance(value, Ref):
        return str(value)
    if isinstance(value, Template):
        return "".join(json_value(p) if isinstance(p, str) else f"${{{str(p)[1:]}}}" for p in value.parts)
    if isinstance(value, dict):
        return {k: json_value(v) for k, v in value.items()}
    if isinstance(value, list):
        return [json_value(v) for v in value]
    # A text that would read as a reference gets the escape of the JSON form.
    return value.replace("$", "\\$") if isinstance(value, str) and "$" in value else value


def _one_line(text: str) -> str:
    return " ".join(text.split())


def check_examples(examples: Iterable[PlanExample], tools: Iterable[Tool]) -> tuple[PlanExample, ...]:
    """The examples that use only ``tools``: one that shows another tool would teach what is not there.

    None, if what is left only shows that no tool fits: that alone would teach to call nothing.
    """
    names = {tool.name for tool in tools}
    kept = tuple(e for e in examples if all(task.tool in names for task in e.plan))
    return kept if any(len(e.plan) for e in kept) else ()
