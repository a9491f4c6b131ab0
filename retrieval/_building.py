"""Building an index for a toolbox from what there is: an older one, the usages of a damaged one, nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.errors import ConfigurationError, ToolIndexError
from plait.retrieval._encoders import load_encoder
from plait.retrieval._entries import check_known, unknown_tools
from plait.retrieval._folder import load_index, locked, write_index
from plait.retrieval._manifest import MANIFEST, check_ours, our_files
from plait.retrieval._parts import EncodingProgress
from plait.retrieval._tool2vec import Tool2Vec
from plait.retrieval._types import Encoder, Usage
from plait.tools import Toolbox
from plait.tools._toolbox import ToolLike

_KEPT = "usages.damaged.jsonl"


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """An index, and how it came about."""

    index: Tool2Vec
    """The index, which is in the folder now."""
    notes: tuple[str, ...]
    """What the user should know, a sentence each: what was damaged, left out, or built anew."""
    n_encoded: int
    """How many texts were encoded."""


def build_index(
    folder: str | os.PathLike[str],
    tools: Iterable[ToolLike],
    usages: Iterable[Usage] = (),
    encoder: Encoder | None = None,
    *,
    skip_unknown: bool = False,
    fresh: bool = False,
    progress: EncodingProgress | None = None,
) -> BuiltIndex:
    """Make the index in ``folder`` one of exactly ``tools``, from what there is of it.

    Of an index that is there, its usages are kept and only new texts are encoded. One that is damaged, or of
    another version or encoder, is built anew; all of its usages that can still be read are kept.

    Args:
        folder: where it is or will be.
        tools: a toolbox, or anything that one can be made of.
        usages: requests with the tools that they use, in addition to those that are there.
        encoder: makes vectors of texts; the default one if not given.
        skip_unknown: leave out of ``usages`` tools that are not among ``tools``, and say so.
        fresh: keep nothing of what is there, usages included.
        progress: called while texts are encoded.

    Raises:
        UnknownToolError: usages name tools that are not there.
        ToolIndexError: something else is in the folder, or another process does not stop writing.
        ConfigurationError: the folder cannot be written to.
        ModelError: the encoder cannot be had, or gives something else than it should.
    """
    toolbox, usages = Toolbox(tools), tuple(usages)
    encoder = load_encoder() if encoder is None else encoder
    notes: list[str] = []
    if not skip_unknown:
        check_known(usages, toolbox.names)
    notes += left_out(usages, toolbox.names)
    n_encoded = 0

    def count(n_done: int, n_texts: int) -> None:
        nonlocal n_encoded
        n_encoded = n_done
        if progress is not None:
            progress(n_done, n_texts)

    check_ours(Path(folder))
    with locked(folder) as path:
        old = None if fresh else _old(path, encoder, notes)
        if old is None:
            kept = () if fresh else _salvage(path, notes)
            old = Tool2Vec.fit((), (), encoder)
            usages = (*kept, *usages)
        index = old.synced(toolbox, usages, skip_unknown=True, progress=count)
        write_index(index, path)
    return BuiltIndex(index, tuple(notes), n_encoded)


def left_out(usages: Iterable[Usage], names: Iterable[str]) -> tuple[str, ...]:
    """A note on the tools in ``usages`` that are not among ``names``, if there are any."""
    unknown = unknown_tools(usages, names)
    if not unknown:
        return ()
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    return (f"usages name tools that are not there, which are left out: {', '.join(unknown[:5])}{more}",)


def read_usages(path: str | os.PathLike[str]) -> list[Usage]:
    """The usages in a file of JSON lines, such as ``{"query": "Text Sid", "tools": ["send_sms"]}``.

    Raises:
        ConfigurationError: the file cannot be read, or a line is something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{os.fspath(path)} cannot be read ({error}); give JSON lines with query and tools"
        ) from error
    found: list[Usage] = []
    for number, usage in _parsed(text):
        if usage is None:
            raise ConfigurationError(
                f"{os.fspath(path)}, line {number} is no usage; "
                'write {"query": "...", "tools": ["...", ...]} with one tool or more'
            )
        found.append(usage)
    return found


def _parsed(text: str) -> Iterator[tuple[int, Usage | None]]:
    """Each line's number and usage, ``None`` for one that is something else; empty lines are passed over."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                found: Any = json.loads(line)
            except (ValueError, RecursionError):
                found = None
            yield number, _usage(found)


def _usage(found: Any) -> Usage | None:
    query, tools = (found.get("query"), found.get("tools")) if isinstance(found, dict) else (None, None)
    if not isinstance(query, str) or not isinstance(tools, list) or not tools:
        return None
    return Usage(query, tuple(tools)) if all(isinstance(name, str) for name in tools) else None


def _old(path: Path, encoder: Encoder, notes: list[str]) -> Tool2Vec | None:
    """The index that is there, if it can be used."""
    if not (path / MANIFEST).exists() and not our_files(path):
        return None
    try:
        return load_index(path, encoder)
    except ToolIndexError as error:
        notes.append(f"built anew: {error}")
        return None


def _salvage(path: Path, notes: list[str]) -> tuple[Usage, ...]:
    """The usages that can be read of an index that cannot be used; a damaged file of them is kept."""
    files = [file for file in our_files(path) if file.name.startswith("usages-") and file.suffix == ".jsonl"]
    if not files:
        return ()
    try:
        data = files[-1].read_bytes()
    except OSError as error:
        raise ToolIndexError(
            f"the usages in {files[-1]} cannot be read ({error.strerror or error}); "
            "mend that, or build with `--fresh`, which forgets them"
        ) from error
    lines = list(_parsed(data.decode(errors="replace")))
    found = tuple(usage for _, usage in lines if usage is not None)
    if len(found) < len(lines):
        (path / _KEPT).write_bytes(data)
        notes.append(
            f"{len(lines) - len(found)} of {len(lines)} usages could not be read; "
            f"the file is kept as {path / _KEPT}"
        )
    return found
