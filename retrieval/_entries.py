"""What an index is made from: texts that stand for tools, and usages, in order and without repetition."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from plait.errors import UnknownToolError
from plait.retrieval._types import Usage


@dataclass(frozen=True, slots=True)
class ToolEntry:
    """A tool as the index knows it."""

    name: str
    """The tool's name."""
    text: str
    """Its name, description and arguments in words; see :func:`~plait.retrieval._text.tool_text`."""


@dataclass(frozen=True)
class Entries:
    """Tools and usages. A *text* is the text of a tool or the query of a usage: first those, then these."""

    tools: tuple[ToolEntry, ...]
    """In alphabetical order."""
    usages: tuple[Usage, ...]
    """One for each query, the earlier first; each has at least one tool, and all of them are there."""

    @classmethod
    def of(cls, tools: Iterable[ToolEntry], usages: Iterable[Usage]) -> Entries:
        """Sorted tools and merged usages: of one query, the tools of all its usages.

        Tools that are not among ``tools`` are left out, and so are usages of none but these.
        """
        by_name = {tool.name: tool for tool in tools}
        merged: dict[str, dict[str, None]] = {}
        for usage in usages:
            known = [name for name in usage.tools if name in by_name]
            if known:
                merged.setdefault(usage.query, {}).update(dict.fromkeys(known))
        return cls(
            tuple(by_name[name] for name in sorted(by_name)),
            tuple(Usage(query, tuple(names)) for query, names in merged.items()),
        )

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Each tool's place in ``tools``, by its name."""
        return {tool.name: number for number, tool in enumerate(self.tools)}

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """All texts."""
        return (*(tool.text for tool in self.tools), *(usage.query for usage in self.usages))

    @cached_property
    def documents(self) -> tuple[str, ...]:
        """For each tool its text and the queries of its usages, as one."""
        parts = [[tool.text] for tool in self.tools]
        for usage in self.usages:
            for name in usage.tools:
                parts[self.numbers[name]].append(usage.query)
        return tuple("\n".join(part) for part in parts)

    @cached_property
    def points(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which text is of which tool, as two columns, numbers of texts and of tools, ordered by text."""
        tools = [self.numbers[name] for usage in self.usages for name in usage.tools]
        lengths = [len(usage.tools) for usage in self.usages]
        n_tools = len(self.tools)
        texts = np.repeat(np.arange(n_tools, n_tools + len(lengths)), lengths)
        both = np.arange(n_tools)
        return (
            np.concatenate([both, texts]).astype(np.intp),
            np.concatenate([both, np.array(tools, int)]).astype(np.intp),
        )


def unknown_tools(usages: Iterable[Usage], known: Iterable[str]) -> list[str]:
    """The names in ``usages`` that are not known, each once."""
    names = set(known)
    return list(dict.fromkeys(name for usage in usages for name in usage.tools if name not in names))


def check_known(usages: Sequence[Usage], known: Sequence[str]) -> None:
    """Refuse usages of tools that are not there.

    Raises:
        UnknownToolError: naming the first of them and the closest that is there.
    """
    unknown = unknown_tools(usages, known)
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise UnknownToolError(
            f"usages name tools that are not there: {unknown[0]!r}{more}{hint} "
            "Mend the usages, or leave these out with skip_unknown=True",
            tool=unknown[0],
        )
