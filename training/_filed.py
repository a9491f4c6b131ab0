"""Requests that say where things belong: in which folder, on which list, in which calendar."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from plait.planners import Plan, Task
from plait.tools import StringType, Toolbox, Type, options_of
from plait.training._skeletons import Skeleton, mark_of, with_arguments
from plait.training._variants import is_lookup

_SLOTS: Mapping[str, str] = {
    "folder": "folder1",
    "list": "list1",
    "list_name": "list1",
    "calendar": "cal1",
    "calendar_name": "cal1",
}
"""What the arguments are called that say it, and which slot each takes."""
_BEHIND: Mapping[str, Sequence[str]] = {
    "folder1": (
        ", folder {}", " (folder {})", " in my {} folder", " in the folder {}", " in the {} folder",
        " in folder {}", " in the folder called {}", " under {}", " - folder: {} -", " [{}]", " in {}",
        ", the one in {},", " among my {} notes", " (in {})",
    ),
}  # fmt: skip
"""Said right behind the name of the thing."""
_AT_END: Mapping[str, Sequence[str]] = {
    "folder1": (
        ". Folder: {}", ", folder {}", ". It belongs in {}", " - that's in the {} folder",
        ". The folder is {}", " (folder {})", ", it's with the {} stuff", ". You'll find it under {}",
        ", in {}", "; folder = {}",
    ),
    "list1": (
        ", on my {} list", ", on the list {}", ". List: {}", " (list {})", ". Put it on the {} list",
        ", on the list called {}", " - goes on {}", ". That's one for the {} list", ", list {}",
        ". It belongs with my {} to-dos", ", under {}", " and put it on {}",
    ),
    "cal1": (
        ", calendar {}", " in my {} calendar", ", in the {} calendar", ". Calendar: {}", " (calendar {})",
        ". It goes in the calendar called {}", " - on the {} one, not my main calendar",
        ", in the calendar {}", ". Use the {} calendar", ". That's for the {} calendar", " on my {} calendar",
    ),
}  # fmt: skip
"""Said when all else is said."""
_AT_BEGIN: Mapping[str, Sequence[str]] = {
    "folder1": ("In the folder {}: ", "Folder {}. "),
    "list1": ("For my {} list: ", "{} list: ", "On the list {}, please: ", "List {}. "),
    "cal1": ("{} calendar: ", "In my {} calendar: ", "In the calendar called {}, please: ", "Calendar {}: "),
}
_CALENDARS = (
    "my {} calendar", "the {} calendar", "the calendar {}", "the calendar called {}", "my calendar {}",
    "the {} one of my calendars", "calendar {}",
)  # fmt: skip
_CALENDAR = re.compile(r"\b(?:my|the|our) calendar\b(?![\s\w]*\{cal)")
_SAYS_WHERE = re.compile(r"\b(?:folders?|lists?|calendars?|diary|planner|schedule|agenda)\b", re.IGNORECASE)
_MARKS = ".!?"


def file_away(skeleton: Skeleton, toolbox: Toolbox, random: Random, *, share: float) -> Skeleton:
    """``skeleton``, now and then with words that say where its new or known thing belongs.

    Only where one call of the plan could be told, the others look things up, and the request says nothing of
    the kind: then these words can mean nothing else.

    Args:
        skeleton: a request with its plan.
        toolbox: whose tools say what they take.
        random: decides which, and how it is said.
        share: of the requests of which it can be said.
    """
    found = _that_belongs(skeleton, toolbox) if share and random.random() < share else None
    if found is None:
        return skeleton
    task, argument = found
    slot = _SLOTS[argument]
    query = _said(skeleton, task, slot, random)
    if query is None:
        return skeleton
    filed = with_arguments(task, toolbox[task.tool], {argument: mark_of(slot)})
    plan = Plan(tuple(filed if one is task else one for one in skeleton.plan))
    return replace(skeleton, query=query, plan=plan)


def _that_belongs(skeleton: Skeleton, toolbox: Toolbox) -> tuple[Task, str] | None:
    """The call that could be told where its thing belongs, and its argument that says so."""
    could = []
    for task in skeleton.plan:
        fields = {field.name: field for field in toolbox[task.tool].arguments.fields}
        names = [name for name in _SLOTS if name in fields and not fields[name].required]
        if names and names[0] not in task.arguments and _is_text(fields[names[0]].type):
            could.append((task, names[0]))
        elif names or not is_lookup(task.tool):
            return None
    stems = {slot.stem for slot in skeleton.slots}
    return could[0] if len(could) == 1 and not stems & {"folder", "list", "cal"} else None


def _is_text(type_: Type) -> bool:
    return any(isinstance(one, StringType) for one in options_of(type_))


def _said(skeleton: Skeleton, task: Task, slot: str, random: Random) -> str | None:
    """The request with where it belongs; ``None`` where that would sound wrong."""
    query, name = skeleton.query, f"{{{slot}}}"
    if slot == "cal1" and len(_CALENDAR.findall(query)) == 1:
        return _CALENDAR.sub(random.choice(_CALENDARS).format(name), query)
    if _SAYS_WHERE.search(query):
        return None
    ways = [_at_end(query, way.format(name)) for way in _AT_END[slot]]
    ways += [way.format(name) + query for way in _AT_BEGIN[slot]]
    for behind in _BEHIND.get(slot, ()):
        ways += _behind_name(query, task, behind.format(name)) * 2
    return random.choice(ways)


def _at_end(query: str, words: str) -> str:
    return query.rstrip().rstrip(_MARKS) + words + ("." if words[0] == "." else "")


def _behind_name(query: str, task: Task, words: str) -> list[str]:
    """The request with ``words`` behind the slot that names the thing, if one does and they fit there."""
    for match in re.finditer(r"\{(?P<name>note\d+)\}[\"'\u201d\u2019]?(?P<next>.?)", query):
        if mark_of(match["name"]) not in task.arguments.values() or query.count(match["name"]) > 1:
            continue
        if match["next"].isalnum() or match["next"] in ("'", "\u2019", "-"):
            continue
        at = match.end() - len(match["next"])
        ends = words.rstrip(",-").rstrip() if match["next"] in (*",.;:!?)", "") else words
        return [query[:at] + ends + query[at:]]
    return []
