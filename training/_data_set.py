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
from plait.training._skeletons import Skeleton, ToolboxSkeletons
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
    """Requests by the tools that they need, under their own names where they were renamed."""


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
    """With the requests that the data set must not know; ``None`` if none were given."""

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

    def groups(self, split: Split, recipe: Recipe, *, main_share: float = 0.6) -> Iterator[DataGroup]:
        """The requests of one part.

        Args:
            split: which part.
            recipe: how many requests, and how varied.
            main_share: the share of requests over the main tools, where there are others.
        """
        parts = (_part(source, split) for source in (self.main, *self.others))
        sources = [part for part in parts if part.skeletons]
        strangers = [tool for other in self.others if other.name not in UNSEEN for tool in other.toolbox]
        for source in sources:
            is_main = source.name == self.main.name
            share = 1 / len(sources)
            if split != "unseen" and len(sources) > 1:
                share = main_share if is_main else (1 - main_share) / (len(sources) - 1)
            own = replace(recipe, n_items=max(1, round(recipe.n_items * share)))
            yield from synthesize(
                source,
                replace(own, as_it_is=1.0) if split == "unseen" else own,
                others=[tool for tool in strangers if tool.name not in source.toolbox.names],
                guises=assistant_guises() if is_main and self.has_guises else None,
                share=_NAMES[split],
            )


def _part(source: ToolboxSkeletons, split: Split) -> ToolboxSkeletons:
    """``source`` with the skeletons that belong to one part."""
    return replace(source, skeletons=tuple(s for s in source.skeletons if _split_of(source, s) == split))


def _split_of(source: ToolboxSkeletons, skeleton: Skeleton) -> Split:
    if source.name in UNSEEN:
        return "unseen"
    is_validation = crc32(skeleton.query.encode()) % 1000 < 1000 * _VALIDATION_SHARE
    return "validation" if is_validation else "train"


def write_data_set(
    data: DataSet,
    folder: Path,
    recipes: dict[Split, Recipe],
    *,
    keep_out: Iterable[str] = (),
    done: Callable[[int], None] = lambda n: None,
) -> DataReport:
    """Write ``train.jsonl``, ``validation.jsonl``, ``unseen.jsonl`` and ``report.json`` into ``folder``.

    Args:
        data: where the requests come from.
        folder: is made if it is not there.
        recipes: for each part how many requests to make.
        keep_out: requests with which the skeletons are compared: those that the model will be measured on.
        done: told after each group how many requests were written.

    Raises:
        ConfigurationError: the folder has a data set already, or cannot be written.
    """
    if (folder / "report.json").exists():
        raise ConfigurationError(f"{folder} has a data set already; choose another folder")
    reports: dict[Split, SplitReport] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for split, recipe in recipes.items():
            summary = _Summary()
            with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
                for group in data.groups(split, recipe):
                    file.write(json.dumps(group.as_json(), ensure_ascii=False) + "\n")
                    summary.add(group)
                    done(len(group.items))
            reports[split] = summary.report
        report = DataReport(reports, overlap_of(data, keep_out))
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
            self._skeletons.add(item.skeleton)
            self._calls[len(item.plan)] += 1
            self._depth[depth(item.plan)] += 1
            self._styles[item.style] += 1
            self._tools.update({task.tool for task in item.plan})

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
    """Calls in the longest chain of which each needs the result of the one before."""
    depths: dict[int, int] = {}
    for task in plan:
        depths[task.id] = 1 + max((depths[k] for k in task.dependencies), default=0)
    return max(depths.values(), default=0)


def overlap_of(data: DataSet, requests: Iterable[str]) -> Overlap | None:
    """What ``requests`` have in common with the skeletons that are trained on."""
    found = list(requests)
    if not found:
        return None
    known: set[tuple[str, ...]] = set()
    moulds = []
    for source in (data.main, *data.others):
        for skeleton in _part(source, "train").skeletons:
            known |= _grams(" \0 ".join(part for part in skeleton.parts if isinstance(part, str)))
            moulds.append([_folded(part) for part in skeleton.parts if isinstance(part, str)])
    grams = [gram for request in found for gram in _grams(request)]
    return Overlap(
        n_requests=len(found),
        n_grams=len(grams),
        shared_grams=sum(gram in known for gram in grams),
        same_requests=sum(any(_is_of_mould(_folded(r), mould) for mould in moulds) for r in found),
    )


def _grams(text: str) -> set[tuple[str, ...]]:
    words = [part for piece in text.split("\0") for part in (*_WORD.findall(piece.casefold()), "\0")]
    runs = {tuple(words[i : i + _N_GRAM]) for i in range(len(words) - _N_GRAM + 1)}
    return {run for run in runs if "\0" not in run}


def _is_of_mould(request: str, mould: Sequence[str]) -> bool:
    """Whether the request has all parts of the mould in their order, and these are half of its words."""
    if 2 * sum(len(part.split()) for part in mould) < len(request.split()):
        return False
    if not (request.startswith(mould[0]) and request.endswith(mould[-1])):
        return False
    end = 0
    for part in mould:
        at = request.find(part, end)
        if at < 0:
            return False
        end = at + len(part)
    return True


def _folded(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))
