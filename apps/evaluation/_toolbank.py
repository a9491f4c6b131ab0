"""ToolBank's functions of numpy, pandas and AWS (arXiv 2409.02141), and requests for them that name none.

They come as three JSON files, of objects by the functions' qualified names: ``description`` says what a
function does, ``new_func`` is a neutral name for it, so that a model cannot go by the one that it knows.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.apps.evaluation._retrieval_data import RetrievalSet
from plait.errors import ConfigurationError
from plait.retrieval import Usage, read_usages
from plait.retrieval._entries import ToolEntry, unknown_tools
from plait.retrieval._name_leaks import names_tool
from plait.retrieval._text import tool_text
from plait.tools import Tool

FILES = (
    "aws_function_descriptions.json",
    "numpy_function_descriptions.json",
    "pandas_function_descriptions_with_classes.json",
)
"""The three files, in ToolBank's own folders or in one."""


@dataclass(frozen=True, slots=True)
class ToolBankFiles:
    """Where ToolBank's functions and the requests for them are."""

    folder: Path
    """Has the three files, itself or in folders below it."""
    queries: Path
    """The test requests: JSON lines with ``query`` and ``tools``."""
    usages: tuple[Path, ...] = ()
    """Requests that the index may know, such as generated ones, in the same form."""


@dataclass(frozen=True, slots=True)
class _Function:
    """One of ToolBank's functions."""

    name: str
    """Its qualified name."""
    neutral: str
    """Its neutral name; the qualified one for AWS."""
    description: str
    """What it does, and mostly with which parameters."""

    def definition(self) -> dict[str, Any]:
        """As a function definition; its parameters are only known in the description's words."""
        parameters = {"type": "object", "properties": {}}
        return {"name": self.name, "description": self.description, "parameters": parameters}


def toolbank_definitions(folder: Path) -> list[dict[str, Any]]:
    """The function definitions of ToolBank's files, as ``plait index build --tools`` takes them.

    Raises:
        ConfigurationError: a file is missing, or is something else.
    """
    return [function.definition() for function in _functions(folder)]


def read_toolbank(files: ToolBankFiles) -> tuple[RetrievalSet, str]:
    """ToolBank's functions with usages and test requests, and the fingerprint of all files.

    Raises:
        ConfigurationError: a file cannot be read or is something else; a request is for functions that are
            not there, comes twice, or names what it is for.
    """
    functions = {function.name: function for function in _functions(files.folder)}
    tests = read_usages(files.queries)
    _check_tools(tests, functions, files.queries)
    _check_requests(tests, functions, files.queries)
    tested = {_normalized(test.query) for test in tests}
    usages: list[Usage] = []
    for path in files.usages:
        found = read_usages(path)
        _check_tools(found, functions, path)
        for usage in found:
            if _normalized(usage.query) in tested:
                raise ConfigurationError(
                    f"{path} has a test request as a usage, {usage.query!r}; take it out, or it is no test"
                )
        usages += found
    entries = [
        ToolEntry(function.name, tool_text(Tool.from_schema(function.definition())))
        for function in functions.values()
    ]
    digest = hashlib.sha256()
    for path in (*_paths(files.folder), files.queries, *files.usages):
        digest.update(path.read_bytes())
    return RetrievalSet(tuple(entries), tuple(usages), tuple(tests)), digest.hexdigest()


def _paths(folder: Path) -> list[Path]:
    """The three files.

    Raises:
        ConfigurationError: one is missing.
    """
    paths = []
    for name in FILES:
        found = min(folder.rglob(name), default=None)
        if found is None:
            raise ConfigurationError(
                f"{folder} has no {name}; give the folder with ToolBank's {len(FILES)} files of descriptions"
            )
        paths.append(found)
    return paths


def _functions(folder: Path) -> Iterable[_Function]:
    for path in _paths(folder):
        try:
            entries: Any = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigurationError(
                f"{path} cannot be read as JSON ({error}); get ToolBank's file anew"
            ) from error
        if not isinstance(entries, dict):
            raise ConfigurationError(f"{path} holds no object of functions; get ToolBank's file anew")
        for name, entry in entries.items():
            yield _function(name, entry, path)


def _function(name: str, entry: Any, path: Path) -> _Function:
    fields = [entry.get(key) for key in ("new_func", "description")] if isinstance(entry, dict) else []
    match fields:
        case [str(neutral), str(description)] if neutral and description:
            return _Function(name, neutral, description)
    raise ConfigurationError(
        f"{path}: {name!r} has not both new_func and description as text; get ToolBank's file anew"
    )


def _check_tools(requests: Sequence[Usage], functions: Mapping[str, _Function], path: Path) -> None:
    unknown = unknown_tools(requests, functions)
    if unknown:
        name = unknown[0]
        close = difflib.get_close_matches(name, functions, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "name functions of ToolBank's files"
        raise ConfigurationError(f"{path} is for {name!r}, which is not among ToolBank's functions; {hint}")


def _check_requests(tests: Sequence[Usage], functions: Mapping[str, _Function], path: Path) -> None:
    """Refuse what would be no test: requests that come twice, or name what they are for."""
    if not tests:
        raise ConfigurationError(f"{path} has no requests; write JSON lines with query and tools")
    seen: set[str] = set()
    for test in tests:
        if _normalized(test.query) in seen:
            raise ConfigurationError(f"{path} has {test.query!r} twice; leave one out")
        seen.add(_normalized(test.query))
        for tool in test.tools:
            for name in (tool, functions[tool].neutral):
                if names_function(test.query, name):
                    raise ConfigurationError(
                        f"{path}: {test.query!r} names {name!r}, which it is to find; say it in other words"
                    )


def names_function(query: str, name: str) -> bool:
    """Whether a request has the words of the function's name in a row; one word is a name everywhere."""
    return names_tool(query, name, description="")


def _normalized(query: str) -> str:
    return " ".join(query.casefold().split())
