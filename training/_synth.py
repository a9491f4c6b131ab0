"""Requests with right plans, made from skeletons: the data on which a small planner is trained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from importlib.resources import files
from itertools import chain
from random import Random
from typing import Any

from plait.errors import ConfigurationError
from plait.planners import PastTurn, Plan, Task, is_day
from plait.tools import StringType, Tool, Toolbox, Type, options_of
from plait.training._conversations import converse, past_turns, split_turns
from plait.training._filed import file_away
from plait.training._given import give
from plait.training._joined import can_be_joined, join
from plait.training._lasting import prolong
from plait.training._moments import with_clock_as_said
from plait.training._phrasing import STYLES, Part, Style, phrase
from plait.training._skeletons import Skeleton, Slot, SlotUse, ToolboxSkeletons, map_texts, split_marks, texts
from plait.training._slots import Filled, Filler, Vocabulary, pronoun, value_of
from plait.training._variants import Guise, Variant, as_it_is, vary

_FIRST_DAY = datetime(2024, 1, 1)
_N_DAYS = 4 * 365
_WORD = re.compile(r"[^\W\d_]{3,}")
_LETTER = re.compile(r"[^\W\d_]")
_STEM = 4  # letters; tools with words that begin alike may serve the same request


@dataclass(frozen=True, slots=True)
class Item:
    """A request with its right plan."""

    skeleton: str
    """Where it comes from."""
    style: Style
    """How it is said."""
    now: datetime
    """When it is said."""
    query: str
    plan: Plan
    tools: frozenset[str]
    """What the plan calls, under the names that the toolbox gives them."""
    instructions: str = ""
    """What the user wants to be kept in mind for every request."""
    earlier: tuple[PastTurn, ...] = ()
    """The requests before it in the same conversation; the plan goes on counting after their calls."""


@dataclass(frozen=True, slots=True)
class DataGroup:
    """Requests over the same tools at the same moment, so that their prompts begin with the same bytes."""

    name: str
    """Of the toolbox that the tools come from."""
    toolbox: Toolbox
    items: tuple[Item, ...]

    def as_json(self) -> dict[str, Any]:
        """A line of a data set's file."""
        items = [
            {
                "skeleton": item.skeleton,
                "style": item.style,
                "now": f"{item.now:%Y-%m-%dT%H:%M}",
                **({"instructions": item.instructions} if item.instructions else {}),
                **({"earlier": [_turn_as_json(turn) for turn in item.earlier]} if item.earlier else {}),
                "query": item.query,
                "plan": str(item.plan),
            }
            for item in self.items
        ]
        tools = [tool.to_openai()["function"] for tool in self.toolbox]
        return {"toolbox": self.name, "tools": tools, "items": items}


def _turn_as_json(turn: PastTurn) -> dict[str, Any]:
    plan = Plan(tuple(call.task for call in turn.calls))
    return {"query": turn.query, "plan": str(plan), "results": [call.text for call in turn.calls]}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a data set is made."""

    n_items: int
    """How many requests."""
    group_size: int = 24
    """Requests over the same tools."""
    as_it_is: float = 0.4
    """The share of groups whose tools are offered as they are."""
    distractors: float = 0.3
    """The share of the others that has tools of other toolboxes among its own."""
    joined: float = 0.3
    """The share of requests, where they are short enough, that ask for what other skeletons ask as well; of
    those that need a single call a third of it, for these are what people ask most."""
    given: float = 0.12
    """The share of what is looked up that requests give as such: an address, a number, a path."""
    lasting: float = 0.3
    """The share of what begins at some moment of which requests say when it ends, too."""
    filed: float = 0.15
    """Of requests that could say where something belongs, in which folder, list or calendar, and do not, the
    share that does."""
    conversations: float = 0.2
    """The share of requests for training that have one or two others before them."""
    instructions: float = 0.05
    """The share of requests for training with something to be kept in mind that has nothing to do with them;
    what has to do with requests stands in skeletons."""
    main_share: float = 0.6
    """The share of requests over the main tools, where there are others."""
    seed: int = 0
    part: str = ""
    """Of the data set: each draws otherwise."""


def synthesize(
    source: ToolboxSkeletons,
    recipe: Recipe,
    *,
    others: Sequence[Tool] = (),
    guises: Mapping[str, Guise] | None = None,
    share: tuple[float, float] = (0.0, 1.0),
    uses: Mapping[str, int] | None = None,
) -> Iterator[DataGroup]:
    """Groups of requests over a toolbox; the same for the same seed.

    Every skeleton is used about equally often, each time with other names, times and wording.

    Args:
        source: the tools and the skeletons.
        recipe: how many, and how varied.
        others: tools of other toolboxes, to be mixed in.
        guises: other names and descriptions of the tools.
        share: the part of all names that may be used.
        uses: by the skeletons' ids how often in a round they are used, if not once.

    Raises:
        ConfigurationError: there are no skeletons.
    """
    if not source.skeletons:
        raise ConfigurationError(f"there are no skeletons for {source.name}; write some")
    random = Random(f"{recipe.seed} {recipe.part} {source.name}")  # noqa: S311  (nothing secret is drawn)
    vocabulary = Vocabulary(random, share)
    to_keep = _instructions()
    sociable = [one for one in source.skeletons if not one.keep]
    a_round = [one for one in source.skeletons for _ in range((uses or {}).get(one.id, 1))]
    joinable = [one for one in source.skeletons if can_be_joined(one)]
    queue: list[Skeleton] = []
    for start in range(0, recipe.n_items, recipe.group_size):
        size = min(recipe.group_size, recipe.n_items - start)
        variant, has_others = _variant(source.toolbox, recipe, random, others, guises)
        now = _FIRST_DAY + timedelta(
            days=random.randrange(_N_DAYS), minutes=random.randrange(6 * 60, 22 * 60)
        )
        items: list[Item] = []
        n_refused = 0
        while len(items) < size:
            if not items and n_refused > 2 * len(source.skeletons):  # none can be asked of these tools
                variant, has_others, n_refused = as_it_is(source.toolbox), False, 0
            if not queue:
                queue = random.sample(a_round, len(a_round))
            skeleton = file_away(queue.pop(), source.toolbox, random, share=recipe.filed)
            skeleton = _joined(skeleton, joinable, recipe.joined, random)
            calls = [len(skeleton.plan)]
            if not skeleton.keep:
                if recipe.conversations and random.random() < recipe.conversations:
                    skeleton = converse(skeleton, sociable, random)
                    calls += skeleton.turns
                if recipe.instructions and random.random() < recipe.instructions:
                    skeleton = replace(skeleton, keep=random.choice(to_keep))
            item = None
            if all(calls) or not has_others:  # others might serve what these tools cannot
                item = make_item(
                    skeleton,
                    source.toolbox,
                    variant,
                    now,
                    vocabulary,
                    random,
                    given=recipe.given,
                    lasting=recipe.lasting,
                )
            if item is None:
                n_refused += 1
            else:
                items.append(item)
        yield DataGroup(source.name, variant.toolbox, tuple(items))


def _joined(skeleton: Skeleton, others: Sequence[Skeleton], share: float, random: Random) -> Skeleton:
    """``skeleton``, now and then with one or two ``others`` in the same breath, in any order."""
    if len(skeleton.plan) == 1:
        share /= 3
    if not share or not others or not can_be_joined(skeleton) or random.random() >= share:
        return skeleton
    fellows = random.sample(others, min(len(others), random.choice((1, 1, 1, 2))))
    parts = [skeleton, *(one for one in fellows if one.id != skeleton.id)]
    random.shuffle(parts)
    return (join(parts, random) if len(parts) > 1 else None) or skeleton


def _variant(
    toolbox: Toolbox,
    recipe: Recipe,
    random: Random,
    others: Sequence[Tool],
    guises: Mapping[str, Guise] | None,
) -> tuple[Variant, bool]:
    """Tools to offer, and whether some of them come from elsewhere."""
    if random.random() < recipe.as_it_is:
        return as_it_is(toolbox), False
    strangers: list[Tool] = []
    if others and random.random() < recipe.distractors:
        known = {stem for tool in toolbox for stem in _stems(tool)}
        fitting = {tool.name: tool for tool in others if not known & _stems(tool)}
        strangers = random.sample(list(fitting.values()), min(len(fitting), random.randrange(1, 9)))
    return vary(toolbox, random, guises=guises, distractors=strangers, may_drop=not strangers), bool(
        strangers
    )


def _stems(tool: Tool) -> set[str]:
    """How the words of a tool's name and arguments begin."""
    names = [tool.name, *(argument.name for argument in tool.arguments.fields)]
    words = _WORD.findall(re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", " ".join(names)))
    return {word.lower()[:_STEM] for word in words}


def make_item(
    skeleton: Skeleton,
    source: Toolbox,
    variant: Variant,
    now: datetime,
    vocabulary: Vocabulary,
    random: Random,
    *,
    given: float = 0.0,
    lasting: float = 0.0,
) -> Item | None:
    """One request of a skeleton; ``None`` where it is not certain what would be right with these tools."""
    styles = {style: share for style, share in STYLES.items() if not (skeleton.keep and style == "spoken")}
    style = random.choices(list(styles), list(styles.values()))[0]
    spoken = style == "spoken"
    filled: Mapping[str, Filled] = Filler(vocabulary, now, random, spoken=spoken).fill(skeleton)
    skeleton, filled = prolong(skeleton, source, filled, now, random, share=lasting)
    share = 0.0 if skeleton.turns else given  # who is given by an address is not meant again
    slotted, filled = give(skeleton, source, filled, vocabulary, random, share=share, spoken=spoken)
    plan = _filled_plan(slotted, filled)
    parts = [_said(part, filled) for part in skeleton.parts]
    said = phrase(parts, style, random, keep=[text for task in plan for text in texts(task.arguments)])
    if spoken:
        plan = _filled_plan(slotted, {name: _lower(one) for name, one in filled.items()})
    requests = split_turns("".join(part.text for part in said))
    n_calls = [*skeleton.turns, len(plan) - sum(skeleton.turns)]
    words = chain.from_iterable([request] * n for request, n in zip(requests, n_calls, strict=True))
    translated = variant.plan(Plan(tuple(map(partial(_as_said, toolbox=source), plan, words))))
    if translated is None or (skeleton.turns and len(translated) < len(plan)):
        return None
    there = {new: old for old, new in variant.names.items()}
    *before, query = requests
    own = Plan(translated.tasks[sum(skeleton.turns) :])
    earlier = past_turns(
        before, translated, skeleton.turns, lambda name: source[there[name]], vocabulary, random
    )
    kept = "".join(_said(part, filled).text for part in skeleton.kept_parts)
    tools = frozenset(there[task.tool] for task in own)
    return Item(skeleton.id, style, now, query, own, tools, kept, earlier)


def _as_said(task: Task, words: str, *, toolbox: Toolbox) -> Task:
    """``task`` with times of day, and names that plans copy, as the ``words`` of its request have them.

    Where its tool takes a moment, a day without a time is its midnight.
    """
    tool = toolbox[task.tool]

    def timed(text: str) -> str:
        return f"{text} 00:00" if is_day(text) else with_clock_as_said(text, words)

    def spelled(text: str) -> str:
        found = None if text in words else re.search(rf"(?<!\w){re.escape(text)}(?!\w)", words, re.IGNORECASE)
        return found[0] if found else text

    changes = {name: spelled for name, kind in tool.takes.items() if kind.verbatim}
    changes |= {a.name: timed for a in tool.arguments.fields if _is_moment(a.type)}
    arguments = {
        name: map_texts(value, changes[name], str) if name in changes else value
        for name, value in task.arguments.items()
    }
    return Task(task.id, task.tool, arguments)


def _is_moment(type_: Type) -> bool:
    formats = {option.format for option in options_of(type_) if isinstance(option, StringType)}
    return "date-time" in formats and "date" not in formats


def _said(part: str | Slot, filled: Mapping[str, Filled]) -> Part:
    if isinstance(part, str):
        return Part(part, is_value=False)
    one = filled[part.name]
    return Part(pronoun(one, part.kind) if part.is_pronoun else one.words, is_value=not part.is_pronoun)


def _lower(one: Filled) -> Filled:
    value = one.value.lower() if isinstance(one.value, str) and one.at is None else one.value
    return Filled(one.words.lower(), value, one.at, one.pronoun)


def _filled_plan(plan: Plan, filled: Mapping[str, Filled]) -> Plan:
    whole, among = partial(_filled, filled), partial(_worded, filled)
    return Plan(tuple(Task(t.id, t.tool, map_texts(t.arguments, whole, among)) for t in plan))


def _filled(filled: Mapping[str, Filled], text: str) -> Any:
    """``text`` of a plan with what its slots stand for: values where it is nothing but these, else words."""
    parts = split_marks(text)
    if len(parts) == 1 and isinstance(parts[0], SlotUse):
        return value_of(parts[0], filled)
    if not any(isinstance(part, str) and _LETTER.search(part) for part in parts):
        return "".join(part if isinstance(part, str) else str(value_of(part, filled)) for part in parts)
    return _worded(filled, text)


def _worded(filled: Mapping[str, Filled], text: str) -> str:
    """``text`` with the words of the request in its slots."""
    return "".join(part if isinstance(part, str) else filled[part.name].words for part in split_marks(text))


def _instructions() -> list[str]:
    """What people want to be kept in mind and few requests have to do with."""
    text = (files("plait.training") / "data" / "instructions.json").read_text(encoding="utf-8")
    found: list[str] = json.loads(text)
    return found


def assistant_guises() -> dict[str, Guise]:
    """Other names and descriptions of the assistant's tools."""
    text = (files("plait.training") / "data" / "assistant_guises.json").read_text(encoding="utf-8")
    return {name: Guise(**guise) for name, guise in json.loads(text).items()}
