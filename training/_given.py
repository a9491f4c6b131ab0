"""Requests that give what others have looked up: an address instead of a name, a path instead of a file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from plait.planners import Plan, Ref, Task, references
from plait.tools import Kind, Toolbox
from plait.training._skeletons import Skeleton, Slot, SlotUse, mark_of, split_marks, texts
from plait.training._slots import Filled, Vocabulary
from plait.training._variants import dropped

_IS_SHOWN = re.compile(r"\b(?:open|pull|bring|show|display|launch|find|fetch|look|read|up)\b", re.IGNORECASE)
"""Words of requests that may want to see a file, which is a call, whatever the file is called by."""
_OWNED = ("'s", "\u2019s")


def give(
    skeleton: Skeleton,
    toolbox: Toolbox,
    filled: Mapping[str, Filled],
    vocabulary: Vocabulary,
    random: Random,
    *,
    share: float,
    spoken: bool,
) -> tuple[Plan, dict[str, Filled]]:
    """The skeleton's plan without some of its calls that look something up, and what its slots stand for.

    Args:
        skeleton: a request with its plan.
        toolbox: whose tools say which kinds they give and take.
        filled: what the slots stand for.
        vocabulary: makes addresses, numbers and folders.
        random: decides which.
        share: of what can be given instead of looked up.
        spoken: whether the request is a transcript of speech.
    """
    plan, now = skeleton.plan, dict(filled)
    gone: dict[int, str] = {}
    for task, slot, kind in _found(skeleton, toolbox) if share else ():
        if (
            random.random() < share
            and (one := _given(kind, now[slot], vocabulary, random, spoken)) is not None
        ):
            gone[task], now[slot] = slot, one
    if not gone:
        return plan, now
    kept = Plan(tuple(Task(t.id, t.tool, _without(t.arguments, gone)) for t in plan if t.id not in gone))
    return dropped(kept, ()), now


def _found(skeleton: Skeleton, toolbox: Toolbox) -> list[tuple[int, str, str]]:
    """Calls that could be spared: their numbers, the slots that they look up, and what kinds they give."""
    uses = Counter(name for task in skeleton.plan for text in texts(task.arguments) for name in _slots(text))
    owned = {
        part.name
        for part, after in zip(skeleton.parts, skeleton.parts[1:], strict=False)
        if isinstance(part, Slot) and isinstance(after, str) and after.startswith(_OWNED)
    }
    found = []
    for task in skeleton.plan:
        slots, kind = (
            [name for text in texts(task.arguments) for name in _slots(text)],
            toolbox[task.tool].gives,
        )
        if kind is None or kind not in _MAKERS or len(task.arguments) != 1 or len(slots) != 1:
            continue
        [slot] = slots
        is_shown = kind == "path" and _IS_SHOWN.search(skeleton.query) is not None
        is_named = slot in owned or uses[slot] > 1
        if not is_shown and not is_named and _is_only_passed_on(task, skeleton.plan, toolbox, kind):
            found.append((task.id, slot, kind))
    return found


def _slots(text: str) -> list[str]:
    return [part.name for part in split_marks(text) if isinstance(part, SlotUse)]


def _is_only_passed_on(task: Task, plan: Plan, toolbox: Toolbox, kind: str) -> bool:
    """Whether the result is used, and just by arguments that take this kind alone."""
    takers = [
        toolbox[other.tool].takes.get(name)
        for other in plan
        for name, value in other.arguments.items()
        if any(reference.task == task.id for reference in references(value))
    ]
    return bool(takers) and all(taker == Kind(kind) for taker in takers)


def _without(value: Any, gone: Mapping[int, str]) -> Any:
    """``value`` with slots in the place of references to calls that are gone."""
    if isinstance(value, Ref):
        return mark_of(gone[value.task]) if value.task in gone else value
    if isinstance(value, Mapping):
        return {key: _without(item, gone) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without(item, gone) for item in value]
    return value


def _given(kind: str, one: Filled, vocabulary: Vocabulary, random: Random, spoken: bool) -> Filled | None:
    """Such a value; ``None`` where nobody would say it."""
    value = _MAKERS[kind](vocabulary, one, random)
    if not spoken:
        return replace(one, words=value, value=value)
    if kind != "email":
        return None
    return replace(one, words=_spelled(value), value=value)


def _spelled(address: str) -> str:
    """An address as it is said."""
    said = {"@": " at ", ".": " dot ", "_": " underscore ", "-": " dash "}
    return "".join(said.get(letter, letter) for letter in address)


def _path(vocabulary: Vocabulary, one: Filled, random: Random) -> str:
    name = re.sub(r"\s+", random.choice("_-"), str(one.value))
    return f"{vocabulary.folder_path()}{name}"


_MAKERS: Mapping[str, Callable[[Vocabulary, Filled, Random], str]] = {
    "email": lambda vocabulary, _one, _random: vocabulary.address(),
    "phone": lambda vocabulary, _one, _random: vocabulary.phone(),
    "path": _path,
}
