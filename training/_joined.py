"""Several requests in one: what people ask in one breath, made of what they ask one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from plait.planners import Plan, Task
from plait.training._skeletons import Skeleton, Slot, map_texts, moved_mark
from plait.training._variants import is_lookup, renumbered

_MAX_CALLS = 8
_MAX_LETTERS = 450
_SHARE_PEOPLE = 0.25
_IS_ALL = re.compile(
    r"\b(?:that'?s (?:all|it)|nothing (?:else|more)|long one|lastly|finally|first(?:ly)?|second(?:ly)?|"
    r"(?:one|last|two|three|four|five|few) (?:more )?(?:things?|tasks?|jobs?|errands?))\b",
    re.IGNORECASE,
)
"""Words of requests that say how much is asked, or in which order."""
_LINKS = (
    ". Also, ", ". Also ", ". And ", ". Then ", " and then ", ". Oh, and ", ". Oh and ", "; ", ". Next, ",
    ". After that, ", ", plus ", ". Besides, ", ". While you're at it, ", "\n", ". ", ", and ", " and ",
    ", also ", " & ", " + ", ". Another thing: ", ". And one more: ", ". Apart from that, ", ", then ",
    ". Separately, ", " as well as ",
)  # fmt: skip
_TWO_SENTENCES = (
    " ", " Also, ", " And ", " Then ", " Oh, and ", " After that, ", "\n", " Besides, ", " Next, ",
)  # fmt: skip
"""For what already ends in a mark."""
_LISTS = (
    ("1. ", "\n2. ", "\n3. "),
    ("- ", "\n- ", "\n- "),
    ("1) ", " 2) ", " 3) "),
    ("", ". Second, ", ". Third, "),
)
_LIST_SHARE = 0.12


def can_be_joined(skeleton: Skeleton) -> bool:
    """Whether something else can be asked in the same breath."""
    return 0 < len(skeleton.plan) <= 4 and not skeleton.keep and _IS_ALL.search(skeleton.query) is None


def join(skeletons: Sequence[Skeleton], random: Random) -> Skeleton | None:
    """One request that asks for all that ``skeletons`` ask for; ``None`` where that would be too much.

    Now and then one person is meant in several of them, who is then looked up once.
    """
    if sum(len(one.plan) for one in skeletons) > _MAX_CALLS:
        return None
    merged = merge(skeletons, random, share_people=_SHARE_PEOPLE)
    query = _linked(merged.texts, random)
    if len(query) > _MAX_LETTERS:
        return None
    return Skeleton("+".join(one.id for one in skeletons), query, Plan(tuple(merged.tasks)))


@dataclass(frozen=True, slots=True)
class Merged:
    """Several skeletons with slots and calls of their own."""

    texts: list[str]
    """The requests, in order."""
    tasks: list[Task]
    """All calls, numbered from 1; what one request looks up is not looked up again for a later one."""
    ends: list[int]
    """How many calls there are when each request is served."""


def merge(skeletons: Sequence[Skeleton], random: Random, *, share_people: float) -> Merged:
    """``skeletons`` one after another, now and then with one person in several of them.

    Args:
        skeletons: the requests, in order.
        random: decides who is meant again.
        share_people: how often somebody is.
    """
    merged = Merged([], [], [])
    people: list[str] = []
    highest = 0
    for one in skeletons:
        names = _names(one, highest, people if random.random() < share_people else (), random)
        highest = max([highest, *(_number(name) for name in names.values())])
        people += [name for name in names.values() if name.rstrip("0123456789") == "p" and name not in people]
        merged.texts.append(_SLOT_NAME.sub(lambda found, names=names: names[found[0]], one.query))  # type: ignore[misc]
        merged.tasks[:] = _with(merged.tasks, _renamed(one.plan, names))
        merged.ends.append(len(merged.tasks))
    return merged


_SLOT_NAME = re.compile(r"(?<=\{)[a-z]+\d+(?=[:}])")


def _number(name: str) -> int:
    return int(re.sub(r"\D", "", name))


def _names(skeleton: Skeleton, highest: int, people: Sequence[str], random: Random) -> dict[str, str]:
    """What the slots of ``skeleton`` are called beside others that have numbers up to ``highest``."""
    slots = dict.fromkeys(part.name for part in skeleton.parts if isinstance(part, Slot))
    names = {name: f"{name.rstrip('0123456789')}{_number(name) + highest}" for name in slots}
    own = [name for name in slots if name.rstrip("0123456789") == "p"]
    if own and people:
        names[random.choice(own)] = random.choice(list(people))
    return names


def _renamed(plan: Plan, names: Mapping[str, str]) -> Plan:
    def rename(text: str) -> str:
        return moved_mark(text, names)

    return Plan(tuple(Task(t.id, t.tool, map_texts(t.arguments, rename, rename)) for t in plan))


def _with(tasks: Sequence[Task], plan: Plan) -> list[Task]:
    """``tasks`` and those of ``plan``; what is already looked up is not looked up again."""
    numbers: dict[int, int] = {}
    found = list(tasks)
    for task in plan:
        known = [
            t.id for t in found if is_lookup(t.tool) and (t.tool, t.arguments) == (task.tool, task.arguments)
        ]
        numbers[task.id] = known[0] if known else len(found) + 1
        if not known:
            found.append(renumbered(task, numbers))
    return found


def _linked(texts: Sequence[str], random: Random) -> str:
    if random.random() < _LIST_SHARE:
        marks = random.choice(_LISTS)
        return "".join(mark + text.strip().rstrip(".") for mark, text in zip(marks, texts, strict=False))
    linked = texts[0].strip()
    for text in texts[1:]:
        ends = linked.endswith((".", "!", "?", "…", ")", '"', "'"))
        link = random.choice(_TWO_SENTENCES if ends else _LINKS)
        linked += link + (_begun(text.strip()) if link.rstrip()[-1:] not in (".", "") else text.strip())
    return linked


def _begun(text: str) -> str:
    """``text`` as it goes on in a sentence: without the capital of its first word."""
    return text[0].lower() + text[1:] if re.match(r"[A-Z][a-z]", text) else text
