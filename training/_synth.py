"""Requests with right plans, made from skeletons: the data on which a small planner is trained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib.resources import files
from random import Random
from typing import Any

from plait.planners import Plan, Task
from plait.tools import Tool, Toolbox
from plait.training._phrasing import STYLES, Part, Style, phrase
from plait.training._skeletons import Skeleton, Slot, SlotUse, ToolboxSkeletons, map_texts, split_marks, texts
from plait.training._slots import Filled, Filler, Vocabulary, pronoun, value_of
from plait.training._variants import Guise, Variant, as_it_is, vary

_FIRST_DAY = datetime(2024, 1, 1)
_N_DAYS = 4 * 365
_WORD = re.compile(r"[^\W\d_]{3,}")
_LETTER = re.compile(r"[^\W\d_]")
_SHARED_WORDS = 4  # letters; tools that have a longer word in common may serve the same request


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


@dataclass(frozen=True, slots=True)
class DataGroup:
    """Requests over one and the same tools, so that their prompts begin with the same bytes."""

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
                "query": item.query,
                "plan": str(item.plan),
            }
            for item in self.items
        ]
        tools = [tool.to_openai()["function"] for tool in self.toolbox]
        return {"toolbox": self.name, "tools": tools, "items": items}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a data set is made."""

    n_items: int
    """About how many requests."""
    group_size: int = 24
    """Requests over the same tools."""
    as_it_is: float = 0.4
    """The share of groups whose tools are offered as they are."""
    distractors: float = 0.3
    """The share of the others that has tools of other toolboxes among its own."""
    seed: int = 0


def synthesize(
    source: ToolboxSkeletons,
    recipe: Recipe,
    *,
    others: Sequence[Tool] = (),
    guises: Mapping[str, Guise] | None = None,
    share: tuple[float, float] = (0.0, 1.0),
) -> Iterator[DataGroup]:
    """Groups of requests over a toolbox; the same for the same seed.

    Every skeleton is used about equally often, each time with other names, times and wording.

    Args:
        source: the tools and the skeletons.
        recipe: how many, and how varied.
        others: tools of other toolboxes, to be mixed in.
        guises: other names and descriptions of the tools.
        share: the part of all names that may be used.
    """
    random = Random(f"{recipe.seed} {source.name}")  # noqa: S311  (nothing secret is drawn)
    vocabulary = Vocabulary(random, share)
    queue: list[Skeleton] = []
    size = min(recipe.group_size, recipe.n_items)
    mixable = others if any(skeleton.plan.tasks for skeleton in source.skeletons) else ()
    for _ in range(-(-recipe.n_items // max(size, 1))):
        variant, has_others = _variant(source.toolbox, recipe, random, mixable, guises)
        items: list[Item] = []
        while len(items) < size:
            if not queue:
                queue = random.sample(source.skeletons, len(source.skeletons))
            skeleton = queue.pop()
            if skeleton.plan.tasks or not has_others:  # other tools might serve what these cannot
                items.append(make_item(skeleton, variant, vocabulary, random))
        yield DataGroup(source.name, variant.toolbox, tuple(items))


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
        known = {word for tool in toolbox for word in _long_words(tool)}
        fitting = [tool for tool in others if not known & _long_words(tool)]
        strangers = random.sample(fitting, min(len(fitting), random.randrange(1, 9)))
    return vary(toolbox, random, guises=guises, distractors=strangers, may_drop=not strangers), bool(
        strangers
    )


def _long_words(tool: Tool) -> set[str]:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", tool.name)
    words = _WORD.findall(f"{name.replace('_', ' ')} {tool.description}")
    return {word.lower() for word in words if len(word) > _SHARED_WORDS}


def make_item(skeleton: Skeleton, variant: Variant, vocabulary: Vocabulary, random: Random) -> Item:
    """One request of a skeleton."""
    style = random.choices(list(STYLES), list(STYLES.values()))[0]
    now = _FIRST_DAY + timedelta(days=random.randrange(_N_DAYS), minutes=random.randrange(6 * 60, 22 * 60))
    filled = Filler(vocabulary, now, random, spoken=style == "spoken").fill(skeleton)
    plan = _filled_plan(skeleton.plan, filled)
    parts = [_said(part, filled) for part in skeleton.parts]
    said = phrase(parts, style, random, keep=[text for task in plan for text in texts(task.arguments)])
    if style == "spoken":
        plan = _filled_plan(skeleton.plan, {name: _lower(one) for name, one in filled.items()})
    query = "".join(part.text for part in said).strip()
    return Item(skeleton.id, style, now, query, variant.plan(plan))


def _said(part: str | Slot, filled: Mapping[str, Filled]) -> Part:
    if isinstance(part, str):
        return Part(part, is_value=False)
    one = filled[part.name]
    return Part(pronoun(one, part.kind) if part.is_pronoun else one.words, is_value=not part.is_pronoun)


def _lower(one: Filled) -> Filled:
    value = one.value.lower() if isinstance(one.value, str) else one.value
    return Filled(one.words.lower(), value, one.at, one.pronoun)


def _filled_plan(plan: Plan, filled: Mapping[str, Filled]) -> Plan:
    tasks = (Task(t.id, t.tool, map_texts(t.arguments, partial(_filled, filled))) for t in plan)
    return Plan(tuple(tasks))


def _filled(filled: Mapping[str, Filled], text: str) -> Any:
    """``text`` of a plan with what its slots stand for: values where it is nothing but these, else words."""
    parts = split_marks(text)
    if len(parts) == 1 and isinstance(parts[0], SlotUse):
        return value_of(parts[0], filled)
    if not any(isinstance(part, str) and _LETTER.search(part) for part in parts):
        return "".join(part if isinstance(part, str) else str(value_of(part, filled)) for part in parts)
    return "".join(part if isinstance(part, str) else filled[part.name].words for part in parts)


def assistant_guises() -> dict[str, Guise]:
    """Other names and descriptions of the assistant's tools."""
    text = (files("plait.training") / "data" / "assistant_guises.json").read_text(encoding="utf-8")
    return {name: Guise(**guise) for name, guise in json.loads(text).items()}
