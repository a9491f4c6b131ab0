"""A data set in a folder: what to train on, what to choose by, and toolboxes that training never sees."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from plait.errors import ConfigurationError
from plait.planners import Plan
from plait.tools import Toolbox
from plait.training._emphasis import TriedRequest, uses_after
from plait.training._skeletons import ToolboxSkeletons
from plait.training._synth import DataGroup, Recipe, assistant_guises, synthesize

Split = Literal["train", "validation", "unseen"]
SPLITS: tuple[Split, ...] = ("train", "validation", "unseen")
UNSEEN = frozenset(
    {
        "car_and_charging",
        "events_and_catering",
        "kitchen",
        "museum_tickets",
        "music_library",
        "parcels",
        "personal_banking",
        "school_office",
        "server_room",
        "wet_lab",
    }
)
"""Toolboxes that are kept out of training."""

_STRANGERS = frozenset(
    {
        "brew_kettle",
        "currency_and_stocks",
        "dungeon_screen",
        "energy_bills",
        "factory_maintenance",
        "family_tree",
        "farm_sensors",
        "fitness_tracker",
        "garden_book",
        "git_hosting",
        "medication_diary",
        "polls_and_people",
        "print_farm",
        "public_library",
        "shapes_and_sums",
        "sky_and_weather",
        "stats_lab",
        "warehouse_stock",
        "yarn_and_needle",
    }
)
"""Toolboxes whose tools may be offered beside others: what they do is hardly ever what another one is for."""

_MIN_SKELETONS = 2
_VALIDATION_SHARE = 0.05
_NAMES: dict[Split, tuple[float, float]] = {
    "train": (0.0, 0.9),
    "validation": (0.9, 1.0),
    "unseen": (0.9, 1.0),
}
_N_GRAM = 5
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class SplitReport:
    """How varied one part of a data set is."""

    n_requests: int
    n_groups: int
    n_skeletons: int
    """Different ones."""
    calls: dict[int, int]
    """Requests by the number of calls in their plans."""
    depth: dict[int, int]
    """Requests by the longest chain of calls that need each other's results."""
    styles: dict[str, int]
    """Requests by how they are said."""
    tools: dict[str, int]
    """Requests by the tools that they need, under the names that the toolboxes give them."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a set of requests has in common with the skeletons of a data set."""

    n_requests: int
    n_grams: int
    """Runs of five words in them."""
    shared_grams: int
    """Of these, the runs that stand in a skeleton, too."""
    same_requests: int
    """Requests that are a skeleton, but for the words in its slots."""


@dataclass(frozen=True, slots=True)
class DataReport:
    """What was made."""

    splits: dict[Split, SplitReport]
    overlap: Overlap | None
    """With requests that the model will be measured on; ``None`` if none were given."""

    def as_json(self) -> dict[str, Any]:
        """The same as a JSON document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DataSet:
    """Where a data set comes from.

    Its skeletons are divided first, so that no two parts have one in common; the parts for choosing have
    other names of people, places and files, too.
    """

    main: ToolboxSkeletons
    """The tools that the model is for."""
    others: tuple[ToolboxSkeletons, ...] = ()
    """Further toolboxes, so that it reads tools instead of knowing them by heart."""
    has_guises: bool = False
    """Whether the main tools are the assistant's, for which other names and descriptions are known."""
    tried: tuple[TriedRequest, ...] = ()
    """What a model was tried on before: what it got wrong is trained on more."""

    def groups(self, split: Split, recipe: Recipe) -> Iterator[DataGroup]:
        """The requests of one part.

        Args:
            split: which part.
            recipe: how many requests, and how varied.

        Raises:
            ConfigurationError: there are too few skeletons for the main tools, or two of these cannot be
                told apart.
        """
        _check_distinct(self.main.toolbox)
        if len(self.main.skeletons) < _MIN_SKELETONS:
            raise ConfigurationError(
                f"{self.main.name} has {len(self.main.skeletons)} skeletons; write at least "
                f"{_MIN_SKELETONS}, and hundreds for a good model"
            )
        if all(one.keep for one in self.main.skeletons):
            raise ConfigurationError(
                f'all skeletons of {self.main.name} have a "keep"; write some without, for the part that '
                "validates"
            )
        if split != "train":
            # A benchmark's item is a request of its own.
            recipe = replace(recipe, conversations=0.0, instructions=0.0)
        sources = [part for source in self.others if (part := _part(source, split)).skeletons]
        strangers = [t for other in self.others if other.name in _STRANGERS for t in other.toolbox]
        uses = uses_after(self.tried, (self.main, *self.others)) if split == "train" else None
        n_main = 0
        if split != "unseen":
            n_main = round(recipe.n_items * recipe.main_share) if sources else recipe.n_items
            yield from synthesize(
                _part(self.main, split),
                replace(recipe, n_items=n_main, part=split),
                others=strangers,
                guises=assistant_guises() if self.has_guises else None,
                share=_NAMES[split],
                uses=uses,
            )
        for i, source in enumerate(sources):
            n_left = recipe.n_items - n_main
            n_items = n_left * (i + 1) // len(sources) - n_left * i // len(sources)
            own = replace(recipe, n_items=n_items, part=split)
            yield from synthesize(
                source,
                replace(own, as_it_is=1.0, joined=0.0, given=0.0, lasting=0.0, filed=0.0)
                if split == "unseen"
                else own,
                others=[tool for tool in strangers if tool.name not in source.toolbox.names],
                share=_NAMES[split],
                uses=uses,
            )


def _check_distinct(toolbox: Toolbox) -> None:
    """Check that no two tools say the same of themselves: no model can learn which of them is right.

    Raises:
        ConfigurationError: two do.
    """
    known: dict[tuple[str, ...], str] = {}
    for tool in toolbox:
        told = (" ".join(tool.description.casefold().split()), *(f.name for f in tool.arguments.fields))
        if told in known:
            raise ConfigurationError(
                f"the tools {known[told]!r} and {tool.name!r} have the same description and arguments, so "
                "nobody can tell which of them a request wants; describe what differs"
            )
        known[told] = tool.name


def _part(source: ToolboxSkeletons, split: Split) -> ToolboxSkeletons:
    """``source`` with the skeletons that belong to one part."""
    if source.name in UNSEEN:
        return source if split == "unseen" else replace(source, skeletons=())
    mixed = sorted(source.skeletons, key=lambda skeleton: crc32(skeleton.query.encode()))
    n_validation = max(1, round(len(mixed) * _VALIDATION_SHARE))
    validation = [one for one in mixed if not one.keep][:n_validation]
    parts = {"train": [one for one in mixed if one not in validation], "validation": validation, "unseen": []}
    return replace(source, skeletons=tuple(parts[split]))


def write_data_set(
    data: DataSet,
    folder: Path,
    recipes: dict[Split, Recipe],
    *,
    compare_with: Iterable[str] = (),
    done: Callable[[int], None] = lambda n: None,
) -> DataReport:
    """Write ``train.jsonl``, ``validation.jsonl``, ``unseen.jsonl`` and ``report.json`` into ``folder``.

    Args:
        data: where the requests come from.
        folder: is made if it is not there.
        recipes: for each part how many requests to make.
        compare_with: requests that the model will be measured on, to see whether a skeleton is one of them.
        done: told after each group how many requests were written.

    Raises:
        ConfigurationError: the folder has a data set already, or cannot be written.
    """
    for name in (*(f"{split}.jsonl" for split in SPLITS), "report.json"):
        if (folder / name).exists():
            raise ConfigurationError(f"{folder} has a {name} already; choose another folder")
    overlap = overlap_of(data, compare_with)
    reports: dict[Split, SplitReport] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for split, recipe in recipes.items():
            summary = _Summary()
            part = folder / f".{split}.part"
            with part.open("w", encoding="utf-8") as file:
                for group in data.groups(split, recipe):
                    file.write(json.dumps(group.as_json(), ensure_ascii=False) + "\n")
                    summary.add(group)
                    done(len(group.items))
            part.replace(folder / f"{split}.jsonl")
            reports[split] = summary.report
        report = DataReport(reports, overlap)
        text = json.dumps(report.as_json(), ensure_ascii=False, indent=2)
        (folder / "report.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written ({error}); choose another folder") from error
    return report


class _Summary:
    """Counts what a part of a data set holds."""

    def __init__(self) -> None:
        self._n_groups = 0
        self._skeletons: set[str] = set()
        self._calls: Counter[int] = Counter()
        self._depth: Counter[int] = Counter()
        self._styles: Counter[str] = Counter()
        self._tools: Counter[str] = Counter()

    def add(self, group: DataGroup) -> None:
        """Count ``group``."""
        self._n_groups += 1
        for item in group.items:
            self._skeletons.update(item.skeleton.split("+"))
            self._calls[len(item.plan)] += 1
            self._depth[depth(item.plan)] += 1
            self._styles[item.style] += 1
            self._tools.update(item.tools)

    @property
    def report(self) -> SplitReport:
        """What was counted."""
        return SplitReport(
            n_requests=self._styles.total(),
            n_groups=self._n_groups,
            n_skeletons=len(self._skeletons),
            calls=dict(sorted(self._calls.items())),
            depth=dict(sorted(self._depth.items())),
            styles=dict(self._styles.most_common()),
            tools=dict(self._tools.most_common()),
        )


def depth(plan: Plan) -> int:
    """Calls in the longest chain of which each needs the result of the one before.

    Calls of earlier requests are done and do not count.
    """
    depths: dict[int, int] = {}
    for task in plan:
        depths[task.id] = 1 + max((depths.get(k, 0) for k in task.dependencies), default=0)
    return max(depths.values(), default=0)


def overlap_of(data: DataSet, requests: Iterable[str]) -> Overlap | None:
    """What ``requests`` have in common with the skeletons that are trained on or chosen by."""
    found = list(requests)
    if not found:
        return None
    known: set[tuple[str, ...]] = set()
    moulds = []
    for source in (data.main, *data.others):
        for skeleton in () if source.name in UNSEEN else source.skeletons:
            known |= _grams(" \0 ".join(part for part in skeleton.parts if isinstance(part, str)))
            moulds.append([_folded(part) if isinstance(part, str) else None for part in skeleton.parts])
    grams = [gram for request in found for gram in _grams(request)]
    return Overlap(
        n_requests=len(found),
        n_grams=len(grams),
        shared_grams=sum(gram in known for gram in grams),
        same_requests=sum(
            any(_is_of_mould(request, mould) for mould in moulds) for request in map(_folded, found)
        ),
    )


def _grams(text: str) -> set[tuple[str, ...]]:
    words = [part for piece in text.split("\0") for part in (*_WORD.findall(piece.casefold()), "\0")]
    runs = {tuple(words[i : i + _N_GRAM]) for i in range(len(words) - _N_GRAM + 1)}
    return {run for run in runs if "\0" not in run}


def _is_of_mould(request: str, mould: Sequence[str | None]) -> bool:
    """Whether the request has all texts of the mould in their order, and these are half of its words.

    ``None`` in a mould is a slot.
    """
    texts = [part for part in mould if part]
    if 2 * sum(len(text.split()) for text in texts) < len(request.split()):
        return False
    begins = mould[0] is None or request.startswith(mould[0])
    ends = mould[-1] is None or request.endswith(mould[-1])
    end = 0
    for text in texts:
        at = request.find(text, end)
        if at < 0:
            return False
        end = at + len(text)
    return begins and ends


def _folded(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))
