"""Moments that last: requests that say when something ends, made of requests that say when it begins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time
from random import Random

from plait.planners import Plan, Task
from plait.tools import NumberType, StringType, Tool, Toolbox, Type, options_of
from plait.training._moments import duration, say_duration, say_span
from plait.training._skeletons import Skeleton, Slot, SlotUse, mark_of, split_marks, texts, with_arguments
from plait.training._slots import Filled

_START = re.compile(r"(?i)start|begin")
_END = re.compile(r"(?i)end|until|finish")
_LENGTH = re.compile(r"(?i)duration|length|minutes")
_SAYS_LENGTH = re.compile(
    r"(?i)\b(?:until|till|hours?|minutes?|mins?|ends?|ending|all day|half a day|long|lasts?|lasting|"
    r"through)\b"
)
"""Words of requests that may say how long it is already."""
_ASKS_START = re.compile(r"(?i)\b(?:starts?|starting|begins?|beginning|by|before|after|since|from)\W*$")
_SPANS = 0.65
"""The share that says the end; the others say how long it lasts."""


@dataclass(frozen=True, slots=True)
class _Lasting:
    """A tool that can be told when something ends."""

    start: str
    end: str | None
    length: str | None
    """Its argument that takes minutes."""

    @classmethod
    def of(cls, tool: Tool) -> _Lasting | None:
        def named(pattern: re.Pattern[str], kind: type[Type]) -> str | None:
            return next(
                (a.name for a in tool.arguments.fields if pattern.search(a.name) and _is(a.type, kind)), None
            )

        start, end, length = named(_START, StringType), named(_END, StringType), named(_LENGTH, NumberType)
        return cls(start, end, length) if start and (end or length) else None


def _is(type_: Type, kind: type[Type]) -> bool:
    return any(
        isinstance(one, kind) and (not isinstance(one, StringType) or one.format == "date-time")
        for one in options_of(type_)
    )


def prolong(
    skeleton: Skeleton,
    toolbox: Toolbox,
    filled: Mapping[str, Filled],
    now: datetime,
    random: Random,
    *,
    share: float,
) -> tuple[Skeleton, dict[str, Filled]]:
    """The skeleton with the ends of some of its moments, and what its slots stand for then.

    "tomorrow at 3 pm" becomes "tomorrow from 3 to 4:30 pm" or "tomorrow at 3 pm for 90 minutes", and calls
    that take an end or a length have it.

    Args:
        skeleton: a request with its plan.
        toolbox: whose tools say what they take.
        filled: what the slots stand for.
        now: when the request is made.
        random: decides which.
        share: of the moments that could last.
    """
    found = dict(filled)
    for slot in _that_could_last(skeleton, toolbox) if share else ():
        before = found[slot]
        if before.at is None or " " not in str(before.value) or random.random() >= share:
            continue
        minutes = duration(random)
        end = (before.at.hour * 60 + before.at.minute) + minutes
        length = f"l{slot[1:]}"
        found[length] = Filled(say_duration(minutes, random), minutes)
        if random.random() < _SPANS and end < 24 * 60:
            until = time(*divmod(end, 60))
            ends = datetime.combine(before.at, until)
            said = say_span(before.at, until, now.date(), random)
            found[slot] = replace(before, words=said.words, value=said.value)
            mark = f"u{slot[1:]}"
            found[mark] = Filled(said.words, f"{said.value.partition(' ')[0]} {until:%H:%M}", ends)
        else:
            found[slot] = replace(before, words=f"{before.words} for {found[length].words}")
            mark = f"{slot}+{length}"
        tasks = [_prolonged(task, toolbox, slot, mark, length) for task in skeleton.plan]
        skeleton = replace(skeleton, plan=Plan(tuple(tasks)))
    return skeleton, found


def _that_could_last(skeleton: Skeleton, toolbox: Toolbox) -> list[str]:
    """Slots of moments at which something begins of which nobody says how long it is."""
    if any(isinstance(p, str) and _SAYS_LENGTH.search(p) for p in skeleton.parts):
        return []
    slots = [part for part in skeleton.parts if isinstance(part, Slot)]
    if any(slot.stem in ("m", "c") for slot in slots):
        return []
    asked = {
        part.name
        for before, part in zip(skeleton.parts, skeleton.parts[1:], strict=False)
        if isinstance(part, Slot) and isinstance(before, str) and _ASKS_START.search(before)
    }
    names = [slot.name for slot in slots if slot.stem == "t" and slot.kind != "date"]
    return [
        name
        for name in dict.fromkeys(names)
        if names.count(name) == 1 and name not in asked and _only_begins(skeleton.plan, toolbox, name)
    ]


def _only_begins(plan: Plan, toolbox: Toolbox, slot: str) -> bool:
    """Whether each call that takes the moment takes it as a beginning, and has no end yet."""
    takers = []
    for task in plan:
        lasting = _Lasting.of(toolbox[task.tool])
        for name, value in task.arguments.items():
            uses = [use for text in texts(value) for use in _whole(text) if use.name == slot]
            if uses and (lasting is None or name != lasting.start or any(use.more for use in uses)):
                return False
            if uses and lasting is not None:
                takers.append(not {lasting.end, lasting.length} & task.arguments.keys())
    return bool(takers) and all(takers)


def _whole(text: str) -> list[SlotUse]:
    """The slot that ``text`` is, if it is one."""
    parts = split_marks(text)
    return [part for part in parts if isinstance(part, SlotUse)] if len(parts) == 1 else []


def _prolonged(task: Task, toolbox: Toolbox, slot: str, end: str, length: str) -> Task:
    lasting = _Lasting.of(toolbox[task.tool])
    if lasting is None or task.arguments.get(lasting.start) != mark_of(slot):
        return task
    more = {lasting.end: mark_of(end)} if lasting.end else {lasting.length: mark_of(length)}
    return with_arguments(task, toolbox[task.tool], {name: mark for name, mark in more.items() if name})
