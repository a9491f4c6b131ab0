"""The Berkeley Function-Calling Leaderboard's single-turn Python categories.

Its own data and its own AST checker, loaded from the package ``bfcl-eval`` (Patil et al., "The Berkeley
Function Calling Leaderboard", ICML 2025).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from plait.apps.evaluation._folder import LoadedRun, load_run
from plait.apps.evaluation._packages import BFCL, unpacked
from plait.apps.evaluation._types import Attempt, Item, ItemRecord, Verdict, plan_of
from plait.errors import ConfigurationError, PlanError
from plait.models import ChatModel
from plait.planners import Plan, PlanExample, Ref, Template, json_value
from plait.tools import Tool, Toolbox

CATEGORIES = (
    "simple_python",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
)
EXPORT_MODEL = "Qwen/Qwen3-1.7B-FC"
"""Under whose name exported results are scored; see :func:`export_runs`."""
_MODEL = "plait"
_PROJECT_ROOT = "BFCL_PROJECT_ROOT"
"""What the package reads when it is imported."""
_TYPES = {"dict": "object", "float": "number", "tuple": "array"}


class BFCLBenchmark:
    """The leaderboard's data and checker.

    Args:
        folder: where benchmarks are kept; plait's cache folder if not given.
        categories: which ones; all if empty.

    Raises:
        DownloadError: the package is not there and cannot be fetched.
        ConfigurationError: there is no such category.
    """

    name = "bfcl"
    metric = "AST accuracy"
    single_turn = True
    real_tools = False

    def __init__(self, folder: Path | None = None, categories: Sequence[str] = ()) -> None:
        for category in categories:
            if category not in CATEGORIES:
                raise ConfigurationError(
                    f"bfcl has no category {category!r}; choose from {', '.join(CATEGORIES)}"
                )
        self._categories = tuple(categories) or CATEGORIES
        self._package = unpacked(BFCL, folder)

    @property
    def fingerprint(self) -> str:
        """The package's version and hash: it holds data and checker both."""
        return f"{BFCL.name} {BFCL.version} {BFCL.sha256[:16]}"

    @property
    def examples(self) -> Sequence[PlanExample]:
        """Worked examples that go with any toolbox: none, every item has tools of its own."""
        return ()

    def items(self) -> Sequence[Item]:
        """The items of the chosen categories, in the data's order."""
        return [item for category in self._categories for item in self._items_of(category)]

    def toolbox(self, item: Item, model: ChatModel | None = None) -> Toolbox:
        """The item's own functions."""
        return Toolbox(Tool.from_schema(function_definition(f)) for f in item.data["function"])

    def stub(self, tool: Tool, arguments: Mapping[str, Any], number: int) -> Any:
        """A word of success, for planners that want to see results; too short to be traced in arguments."""
        return {"status": "ok", "call": number}

    def score(self, item: Item, attempt: Attempt) -> Verdict:
        """The official checker's verdict."""
        calls = decoded_calls(attempt.plan)
        if item.category.endswith("relevance"):
            wanted = not item.category.endswith("irrelevance")
            detail = "no function was called" if wanted else "a function was called where none fits"
            return Verdict(bool(calls) is wanted, detail="" if bool(calls) is wanted else detail)
        if isinstance(attempt.run.error, PlanError):
            return Verdict(correct=False, detail=str(attempt.run.error))
        try:
            result = self._checker.ast_checker(
                item.data["function"], calls, item.gold, self._python, item.category, _MODEL
            )
        except (OverflowError, TypeError, ValueError) as error:  # of a value that its author did not think of
            return Verdict(correct=False, detail=f"the checker cannot read a value ({error})")
        return Verdict(bool(result["valid"]), detail=_reason(result))

    @cached_property
    def _checker(self) -> ModuleType:
        with _importable(self._package):
            return importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker")

    @cached_property
    def _python(self) -> Any:
        with _importable(self._package):
            return importlib.import_module("bfcl_eval.constants.enums").Language.PYTHON

    def _items_of(self, category: str) -> Iterator[Item]:
        with _importable(self._package):
            utils = importlib.import_module("bfcl_eval.utils")
            entries = utils.load_dataset_entry(
                category, include_prereq=False, include_language_specific_hint=False
            )
            # Some ground truths have other ids than their entries; the order is the same.
            answers = (
                [None] * len(entries)
                if category.endswith("relevance")
                else [answer["ground_truth"] for answer in utils.load_ground_truth_entry(category)]
            )
        for entry, answer in zip(entries, answers, strict=True):
            yield Item(
                id=entry["id"],
                category=category,
                query=_query(entry["question"]),
                gold=answer,
                data={"function": entry["function"]},
            )


def decoded_calls(plan: Plan) -> list[dict[str, dict[str, Any]]]:
    """The calls of ``plan`` as the leaderboard's decoders give them.

    The single-turn categories have no results to refer to: a reference is left as its text.
    """
    return [{task.tool: {k: _plain(v) for k, v in task.arguments.items()}} for task in plan]


def export_runs(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Write a run's items as the leaderboard's result files, which ``bfcl evaluate --partial-eval`` scores.

    They are in the form of :data:`EXPORT_MODEL`, a model that the leaderboard knows and whose calls are
    read from JSON, so that every name and value survives. With several runs, each has a folder of its own.

    Args:
        paths: run folders of this benchmark.
        folder: where to; the leaderboard takes it as ``--result-dir``.

    Returns:
        The folder of each run.
    """
    return [_export_run(load_run(path), folder if len(paths) == 1 else folder / path.name) for path in paths]


def _export_run(run: LoadedRun, folder: Path) -> Path:
    by_category: dict[str, list[dict[str, Any]]] = {}
    for record in run.items.values():
        by_category.setdefault(record.category, []).append(_result_line(record))
    for category, lines in by_category.items():
        group = "live" if category.startswith("live_") else "non_live"
        target = folder / EXPORT_MODEL.replace("/", "_") / group
        target.mkdir(parents=True, exist_ok=True)
        # In ASCII, because the leaderboard reads with the encoding of the system.
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (target / f"BFCL_v4_{category}_result.json").write_text(text, encoding="ascii")
    return folder


def _result_line(record: ItemRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "result": _result_text(record),
        "input_token_count": record.tokens.prompt,
        "output_token_count": record.tokens.completion,
        "latency": record.times.total_s,
    }


def _result_text(record: ItemRecord) -> str:
    """What the leaderboard reads ``record`` from: its calls; for a failure, what is wrong for every item."""
    calls = decoded_calls(plan_of(record))
    is_ast = not record.category.endswith("relevance")
    if record.error is not None or (is_ast and not record.parsed):
        calls = [{"no_plan": {}}] if record.category.endswith("irrelevance") else []
    objects = ({"name": name, "arguments": a} for call in calls for name, a in call.items())
    return "\n".join(f"<tool_call>\n{json.dumps(o, ensure_ascii=False)}\n</tool_call>" for o in objects)


def _plain(value: Any) -> Any:
    if isinstance(value, (Ref, Template)):
        return json_value(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _query(question: Sequence[Sequence[Mapping[str, str]]]) -> str:
    """The request; where there is more than one turn, each with who says it."""
    turns = [turn for conversation in question for turn in conversation]
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in turns)


def function_definition(function: Mapping[str, Any]) -> dict[str, Any]:
    """A function of the data with the type names of JSON schema."""
    return {**function, "parameters": _schema(function["parameters"])}


def _schema(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    converted = {key: value for key, value in schema.items() if key != "optional"}
    kind = converted.get("type")
    if kind == "any":
        del converted["type"]
    elif kind in _TYPES:
        converted["type"] = _TYPES[kind]
    if isinstance(converted.get("properties"), Mapping):
        converted["properties"] = {k: _schema(v) for k, v in converted["properties"].items()}
    if "items" in converted:
        converted["items"] = _schema(converted["items"])
    return converted


def _reason(result: Mapping[str, Any]) -> str:
    """What the checker says, in one line."""
    if result["valid"]:
        return ""
    return " ".join(f"{result.get('error_type', '')}: {result['error']}".split())[:500]


@contextmanager
def _importable(package: Path) -> Iterator[None]:
    """Make the unpacked package importable, with a stub in the place of its table of models.

    That table imports the clients of every provider; the checker asks it only whether a model's
    functions have their dots replaced, and plait's have not.
    """
    stub = ModuleType("bfcl_eval.constants.model_config")
    stub.MODEL_CONFIG_MAPPING = {_MODEL: SimpleNamespace(underscore_to_dot=False)}  # type: ignore[attr-defined]
    sys.modules.setdefault(stub.__name__, stub)
    before = os.environ.get(_PROJECT_ROOT)
    os.environ[_PROJECT_ROOT] = str(package)
    sys.path.insert(0, str(package))
    try:
        yield
    finally:
        sys.path.remove(str(package))
        if before is None:
            del os.environ[_PROJECT_ROOT]
        else:
            os.environ[_PROJECT_ROOT] = before
