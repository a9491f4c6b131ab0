"""What a half-typed line may become: commands, and names of contacts and files."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plait.errors import PlaitError
from plait.tools.assistant import ContactFiles, Home

MAX_FILES = 2000
_MIN_CHARS = 2


@dataclass(frozen=True, slots=True)
class Completion:
    """A text for the place of the last ``length`` characters of a line."""

    text: str
    length: int


def complete(line: str, commands: Iterable[str], names: Sequence[str]) -> list[Completion]:
    """What ``line`` may go on with: a command where it begins with a slash, else a name of any words."""
    if line.startswith("/"):
        return [Completion(c, len(line)) for c in commands if c.startswith(line) and c != line]
    found: dict[str, Completion] = {}
    starts = [0, *(i + 1 for i, c in enumerate(line) if c in " (,\"'")]
    for start in reversed(starts):  # what fits the shortest beginning comes first
        typed = line[start:].casefold()
        if len(typed) >= _MIN_CHARS:
            for name in names:
                if name.casefold().startswith(typed) and len(name) > len(typed):
                    found.setdefault(name, Completion(name, len(typed)))
    return list(found.values())


def names_at(home: Path) -> list[str]:
    """The names of the contacts and files of a home; what cannot be read has no names."""
    try:
        folder = Home(home)
        people = [contact.name for contact in ContactFiles(folder).read().contacts]
    except PlaitError:  # completion is a convenience; the tools will say what is wrong
        return []
    return list(dict.fromkeys([*people, *itertools.islice(_files(folder), MAX_FILES)]))


def _files(home: Home) -> Iterator[str]:
    for folder, subfolders, files in os.walk(home.path):
        inside = Path(folder)
        subfolders[:] = sorted(
            s for s in subfolders if not s.startswith(".") and inside / s not in home.kept_apart
        )
        yield from (name for name in sorted(files) if not name.startswith("."))
