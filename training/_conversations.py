"""Requests with others before them, as in a conversation: what was found then is not looked up again."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from random import Random

from plait.planners import PastCall, PastTurn, Plan, Task
from plait.tools import Tool
from plait.training._joined import merge
from plait.training._skeletons import TURN, Skeleton, Slot
from plait.training._slots import Vocabulary
from plait.training._variants import is_lookup

_SHARE_PEOPLE = 0.5
_ALIKE = 0.5
_TWO_BEFORE = 0.25
_PRONOUNS = 0.5
"""How often somebody whom the request before names is "him" or "her", where that could be nobody else."""
_WITHHELD = 0.3
"""The share of results that a prompt does not show, since outsiders may have written them."""
_TAKES_HIM = re.compile(
    r"(?i)\b(?:text|texts|texting|e-?mail|mail|invite|inviting|tell|telling|ask|asking|send|message|to|with|for|let|"
    r"forward|give|copy|cc|remind|warn|thank)\s+$"
)


def converse(skeleton: Skeleton, others: Sequence[Skeleton], random: Random) -> Skeleton:
    """``skeleton`` with one or two of ``others`` as earlier requests of the conversation.

    Where it is about one person, the request before it often is, too, so that this may be the same one.
    """
    alone = len(_people(skeleton.query)) == 1
    alike = [one for one in others if len(_people(one.query)) == 1] if alone else []
    before = [random.choice(alike if alike and random.random() < _ALIKE else others)]
    if random.random() < _TWO_BEFORE:
        before.insert(0, random.choice(others))
    merged = merge([*before, skeleton], random, share_people=_SHARE_PEOPLE)
    if skeleton.plan and merged.ends[-1] == merged.ends[-2]:
        return skeleton  # all that it looks up was looked up before: what is right then is nothing to plan
    *earlier, request = merged.texts
    if random.random() < _PRONOUNS:
        request = _with_pronouns(earlier[-1], request)
    return Skeleton(
        skeleton.id,
        f" {TURN} ".join([*earlier, request]),
        Plan(tuple(merged.tasks)),
        turns=tuple(end - start for start, end in zip([0, *merged.ends], merged.ends[:-1], strict=False)),
    )


def _with_pronouns(before: str, text: str) -> str:
    """``text`` with "him" or "her" for the one person of both requests, where each mention can be that."""
    people = _people(text)
    if len(people) != 1 or people != _people(before):
        return text
    parts: list[str] = []
    for part in Skeleton("", text, Plan()).parts:
        if isinstance(part, str) or part.name not in people or part.is_pronoun:
            parts.append(str(part))
        elif parts and _TAKES_HIM.search(parts[-1]):
            parts.append(f"{{{part.name}:him}}")
        else:
            return text
    said = "".join(parts)
    return text if re.search(r":him\}['\u2019]", said) else said


@cache
def _people(text: str) -> frozenset[str]:
    """The slots of people in a request."""
    slots = [part for part in Skeleton("", text, Plan()).parts if isinstance(part, Slot)]
    return frozenset(slot.name for slot in slots if slot.stem == "p")


def split_turns(query: str) -> list[str]:
    """The requests of a conversation, the last one last."""
    return [part.strip() for part in query.split(TURN)]


def past_turns(
    queries: Sequence[str],
    plan: Plan,
    turns: Sequence[int],
    tool_of: Callable[[str], Tool],
    vocabulary: Vocabulary,
    random: Random,
) -> tuple[PastTurn, ...]:
    """What a prompt tells of earlier requests, with results made up.

    Args:
        queries: the requests.
        plan: whose first calls are theirs.
        turns: how many for each.
        tool_of: the tool of that name, which says what its calls give.
        vocabulary: the values.
        random: decides which.
    """
    found, start = [], 0
    for query, n in zip(queries, turns, strict=True):
        calls = plan.tasks[start : start + n]
        results = [_result(task, tool_of(task.tool), vocabulary, random) for task in calls]
        found.append(
            PastTurn(query, tuple(PastCall(t, "ok", text) for t, text in zip(calls, results, strict=True)))
        )
        start += n
    return tuple(found)


def _result(task: Task, tool: Tool, vocabulary: Vocabulary, random: Random) -> str | None:
    """What came of a call, ``None`` where that is not told."""
    first = next((value for value in task.arguments.values() if isinstance(value, str)), task.tool)
    made: dict[str | None, Callable[[], str]] = {
        "email": vocabulary.address,
        "phone": vocabulary.phone,
        "path": lambda: f"{vocabulary.folder_path()}{first}",
        "link": lambda: (
            f"https://{random.choice(('maps', 'zoom', 'video'))}.example/{random.randrange(10**6)}"
        ),
    }
    if tool.gives in made:
        return made[tool.gives]()
    if random.random() < _WITHHELD:
        return None
    if is_lookup(tool.name):
        kind = random.choice(("topic", "thing", "note", "place", "event"))
        return random.choice((vocabulary.named(kind), str(random.randrange(1, 500))))
    return random.choice(("Done", "ok", f"Created {first!r}", f"Saved {first!r}", f"{task.tool}: done"))
