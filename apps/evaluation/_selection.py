"""Which items of a benchmark are tried."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from plait.apps.evaluation._types import Item
from plait.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice of items."""

    categories: tuple[str, ...] = ()
    """Only these; all if empty."""
    ids: tuple[str, ...] = ()
    """Only these; all if empty."""
    limit: int | None = None
    """At most so many of each category."""
    sample: int | None = None
    """Seed for drawing at random; ``None`` takes the first. A larger limit keeps what a smaller one drew."""

    def of(self, items: Sequence[Item]) -> list[Item]:
        """The chosen items, in the order of the data.

        Raises:
            ConfigurationError: a category or an id does not exist, or nothing is left.
        """
        self._check(items)
        chosen = [
            item
            for item in items
            if (not self.categories or item.category in self.categories)
            and (not self.ids or item.id in self.ids)
        ]
        by_category: dict[str, list[Item]] = {}
        for item in chosen:
            by_category.setdefault(item.category, []).append(item)
        kept = {item.id for group in by_category.values() for item in self._limited(group)}
        if not kept:
            raise ConfigurationError("no item is left to try; choose other --category, --ids or --limit")
        return [item for item in chosen if item.id in kept]

    def _check(self, items: Sequence[Item]) -> None:
        known = list(dict.fromkeys(item.category for item in items))
        for category in self.categories:
            if category not in known:
                raise ConfigurationError(f"there is no category {category!r}; choose from {', '.join(known)}")
        ids = {item.id for item in items}
        missing = [id_ for id_ in self.ids if id_ not in ids]
        if missing and items:
            raise ConfigurationError(f"there is no item {missing[0]!r}; ids are such as {items[0].id!r}")

    def _limited(self, group: list[Item]) -> list[Item]:
        if self.sample is not None:
            random.Random(self.sample).shuffle(group)  # noqa: S311 - a repeatable draw, no secret
        return group if self.limit is None else group[: self.limit]
