"""Asking at the chat's terminal which calls may be made, and with which arguments."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rich.text import Text

from plait.apps._approval import read_answer
from plait.apps._output import Output, printable
from plait.apps.assistant._questions import Decision, Question, check_edits, read_edits
from plait.apps.assistant._reader import Reader
from plait.apps.assistant._words import describe_call
from plait.errors import ToolArgumentError
from plait.orchestrator import PendingCall
from plait.planners import references, written_value
from plait.tools import to_jsonable

_Edits = dict[int, dict[str, Any]]


async def decide_at_terminal(question: Question, output: Output, reader: Reader) -> Mapping[int, Decision]:
    """What the user decides on the calls of a question.

    Raises:
        EOFError, KeyboardInterrupt: the user leaves without an answer.
    """
    calls = {call.task.id: call for call in question.undecided}
    known = {str(k): k for k in calls}
    edits: _Edits = {}
    show_question(output, calls, edits)
    show_later(output, question.request.later)
    while True:
        line = await reader.reply(_prompt(len(calls)))
        words = line.lower().split()
        if words[:1] in (["e"], ["edit"]):
            number = known.get(words[1]) if len(words) > 1 else next(iter(calls)) if len(calls) == 1 else None
            if number is None:
                output.note(f"Say which: edit {' or edit '.join(known)}.")
                continue
            edits[number] = await _edited(calls[number], edits.get(number, {}), output, reader)
            show_question(output, {number: calls[number]}, edits)
            continue
        answer = read_answer(line, known) if words else None
        if answer is not None:
            approved = calls.keys() if answer is True else answer or set()
            return {k: Decision(k in approved, edits.get(k, {}) if k in approved else {}) for k in calls}


def show_question(output: Output, calls: Mapping[int, PendingCall], edits: _Edits) -> None:
    """Each call in words, with its facts and real arguments; what others wrote is marked."""
    for number, call in calls.items():
        arguments = {**call.arguments, **edits.get(number, {})}
        words = describe_call(call.tool, arguments, call.facts)
        output.console.print(Text(printable(f"  {number}. {' '.join(words.split())}"), style="bold"))
        for name, fact in call.facts.items():
            output.note(f"{name}: {fact}", indent=5)
            if name in call.untrusted_facts:
                output.note("written by others", style="yellow", indent=7)
        for name, value in arguments.items():
            output.note(f"{name} = {_shown(value, call.known)}", indent=5)
            waits_for = sorted({ref.task for ref in references(value)})
            if waits_for:
                results = " and ".join(f"the result of {k}" for k in waits_for)
                output.note(f"{results} is filled in when it is there", style="dim", indent=7)
            if name in call.written and name not in edits.get(number, {}):
                source = _shown(call.written[name], call.known)
                output.note(f"written for you from: {source}", style="dim", indent=7)
            if name in call.untrusted_arguments and name not in edits.get(number, {}):
                output.note("contains text that others wrote", style="yellow", indent=7)


def show_later(output: Output, calls: Iterable[PendingCall]) -> None:
    """What is asked about another time, since it is written from results that do not exist yet."""
    for call in calls:
        words = " ".join(describe_call(call.tool, call.arguments).split())
        output.note(f"Later you are asked about {call.task.id}, written from results then: {words}", indent=2)


async def _edited(
    call: PendingCall, edits: Mapping[str, Any], output: Output, reader: Reader
) -> dict[str, Any]:
    """The call's arguments as the user changes them, each in turn; enter leaves one as it is."""
    typed: dict[str, str] = {}
    while True:
        for field in call.tool.arguments.fields:
            current = edits.get(field.name, call.arguments.get(field.name))
            before = _shown(current, call.known) if current is not None else ""
            line = await reader.reply(f"  {field.name}:", default=typed.get(field.name, before))
            if line != before:
                typed[field.name] = line
            else:
                typed.pop(field.name, None)
        try:
            changed = {**edits, **read_edits(call, typed)}
            check_edits(call, changed)
        except ToolArgumentError as error:
            output.error(error)
            continue
        return changed


def _prompt(n_calls: int) -> str:
    if n_calls == 1:
        return "Make it? [y]es, [n]o or [e]dit:"
    return "Make them? [y]es, [n]o, the numbers of those to make, or edit NUMBER:"


def _shown(value: Any, known: Collection[int]) -> str:
    """A value as it is edited: texts bare, the rest as JSON."""
    written = written_value(value, known)
    return written if isinstance(written, str) else json.dumps(to_jsonable(written), ensure_ascii=False)
