"""What ``--retriever`` means: an index of tools, or one that plait keeps for itself."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from plait.apps import _index
from plait.apps._output import Output
from plait.models import DEFAULT_ENCODER
from plait.tools import Toolbox

if TYPE_CHECKING:
    from plait.retrieval import Tool2Vec, Usage

AUTO = "auto"
"""In the place of an index: the one that plait keeps for these tools."""


def open_retriever(reference: str, tools: str | None, toolbox: Toolbox, output: Output) -> Tool2Vec:
    """The index of ``--retriever``, with the default encoder.

    ``auto`` is brought up to date with ``toolbox``. Another one is left as it is on disk; tools that it does
    not know, or knows otherwise, are added for this process alone.

    Args:
        reference: a folder, or ``auto``.
        tools: what ``--tools`` says; ``None`` for the assistant's.
        toolbox: these tools.
        output: shows what is waited for, and notes.

    Raises:
        ToolIndexError: there is no index there, or it is damaged or of another encoder or version.
        PlaitError: the encoder cannot be had.
    """
    from plait.retrieval import build_index, load_index
    from plait.retrieval._entries import ToolEntry
    from plait.retrieval._text import tool_text

    if reference == AUTO:
        encoder = _index.open_encoder(DEFAULT_ENCODER, output)
        usages = _assistant_usages() if tools is None else []
        with _index.encoding_progress(output) as progress:
            folder = auto_folder(tools)
            built = build_index(folder, toolbox, usages, encoder, skip_unknown=True, progress=progress)
        for note in built.notes:
            output.note(note, "yellow")
        return built.index
    index = load_index(reference)
    index = index.with_encoder(_index.open_encoder(DEFAULT_ENCODER, output))
    known = set(index.entries.tools)
    missing = [tool for tool in toolbox if ToolEntry(tool.name, tool_text(tool)) not in known]
    if missing:
        output.note(
            f"The index {reference} does not know {len(missing)} of the tools as they are, such as "
            f"{missing[0].name}; bring it up to date with: plait index build",
            "yellow",
        )
        with _index.encoding_progress(output) as progress:
            index = index.adding(missing, progress=progress)
    return index


def auto_folder(tools: str | None) -> Path:
    """Where the index is kept that ``auto`` means for ``--tools`` in the current folder.

    ``PLAIT_INDEXES`` is the folder of them all; by default ``indexes`` in plait's folder for data.
    """
    from platformdirs import user_data_path

    named = os.environ.get("PLAIT_INDEXES")
    folder = Path(named).expanduser() if named else user_data_path("plait", appauthor=False) / "indexes"
    if tools is None:
        return folder / "assistant"
    return folder / hashlib.sha256(f"{Path.cwd()}\0{tools}".encode()).hexdigest()[:16]


def _assistant_usages() -> list[Usage]:
    from plait.apps._examples import assistant_examples
    from plait.retrieval import Usage

    found = [Usage(e.query, tuple(task.tool for task in e.plan)) for e in assistant_examples()]
    return [usage for usage in found if usage.tools]
