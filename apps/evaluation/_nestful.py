"""The benchmark ``nestful``: nested calls, each using fields of earlier results (arXiv 2409.03797)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from plait.apps.evaluation._nestful_data import Call, Part, plan_of, read_part
from plait.apps.evaluation._nestful_metrics import calls_of, official_scores
from plait.apps.evaluation._scoring import SCORING_VERSION, score_plan
from plait.apps.evaluation._types import Attempt, Item, Verdict
from plait.models import ChatModel
from plait.planners import PlanExample
from plait.tools import Tool, Toolbox

N_TOOLS = 10
"""Tools that a prompt offers, unless the right sequence needs more."""


class NestfulBenchmark:
    """NESTFUL's first data set.

    The data does not say which tools a prompt offers. As in NESTFUL's second data set, where each sample
    brings a short list of its own, these are the right ones among others of the same part: ``n_tools`` in
    all, the others drawn by a hash of the item's id, so that every run and every machine offers the same.
    Each tool's description tells the fields of its result, which NESTFUL's prompts show, too.

    Args:
        folder: the folder that holds ``data_v1``.
        parts: which of its parts: ``"executable"``, ``"sgd"``, ``"glaive"``, ``"complexfuncbench"``.
        examples: worked examples for the compiler's prompt.
        n_tools: how many tools a prompt offers.

    Raises:
        ConfigurationError: a file is missing or malformed, or there is no such part.
    """

    name = "nestful"
    metric = "plan success"
    single_turn = False
    real_tools = False

    def __init__(
        self,
        folder: Path,
        parts: Sequence[str] = ("executable",),
        *,
        examples: Sequence[PlanExample] = (),
        n_tools: int = N_TOOLS,
    ) -> None:
        self.examples = examples
        self._parts = {name: read_part(folder, name) for name in parts}
        self._n_tools = n_tools
        self._boxes: dict[str, Toolbox] = {}
        self._outputs = {
            name: schema for part in self._parts.values() for name, schema in part.outputs.items()
        }
        self.fingerprint = _fingerprint(self._parts, n_tools)

    def items(self) -> Sequence[Item]:
        """The samples of all parts, in the files' order, each under its part."""
        return [
            Item(
                id=f"{part.name}-{number:04d}",
                category=part.name,
                query=sample.input.strip(),
                gold=[call.model_dump() for call in sample.calls],
            )
            for part in self._parts.values()
            for number, sample in enumerate(part.samples, 1)
        ]

    def toolbox(self, item: Item, model: ChatModel | None = None) -> Toolbox:
        """The tools of the right sequence, among others."""
        if item.id not in self._boxes:
            self._boxes[item.id] = self._chosen(item)
        return self._boxes[item.id]

    def stub(self, tool: Tool, arguments: Mapping[str, Any], number: int) -> Any:
        """An object with the fields that the tool's specification tells, every value unique to ``number``."""
        return _made_up(self._outputs[tool.name], tool.name, number)

    def score(self, item: Item, attempt: Attempt) -> Verdict:
        """Plan success and arguments right, and NESTFUL's own metrics of this one item."""
        calls = _calls(item)
        found = score_plan(plan_of(calls), attempt.plan, self.toolbox(item))
        official = official_scores([(calls, calls_of(attempt.plan))])
        scores = {
            "arguments_right": float(found.arguments_right),
            "right_tools": float(found.right_tools),
            "f1_functions": official.f1_functions,
            "f1_parameters": official.f1_parameters,
            "partial_accuracy": official.partial_accuracy,
            "full_accuracy": official.full_accuracy,
        }
        if attempt.unreadable:  # what stands before the place where it broke off may be right by chance
            return Verdict(
                correct=False, scores={**scores, "arguments_right": 0.0}, detail=attempt.unreadable
            )
        return Verdict(found.success, scores, found.detail)

    def _chosen(self, item: Item) -> Toolbox:
        tools = self._parts[item.category].tools
        needed = dict.fromkeys(call.name for call in _calls(item))
        others = sorted(
            (name for name in tools if name not in needed),
            key=lambda name: hashlib.sha256(f"{item.id} {name}".encode()).digest(),
        )
        n_others = max(0, self._n_tools - len(needed))
        return Toolbox(tools[name] for name in [*needed, *others[:n_others]])


def _calls(item: Item) -> list[Call]:
    return [Call.model_validate(call) for call in item.gold]


def _fingerprint(parts: Mapping[str, Part], n_tools: int) -> str:
    told = hashlib.sha256()
    for part in parts.values():
        told.update(part.name.encode() + part.raw)
    told.update(f"{n_tools} tools, scoring {SCORING_VERSION}".encode())
    return told.hexdigest()


def _made_up(schema: Mapping[str, Any], tool: str, number: int) -> Any:
    leaves = count(1)

    def value(schema: Mapping[str, Any], name: str) -> Any:
        kind = schema.get("type")
        if kind == "object" and schema.get("properties"):
            return {key: value(item, key) for key, item in schema["properties"].items()}
        if kind == "array":
            return [value(schema.get("items", {}), name)]
        if kind == "boolean":
            return True
        if schema.get("enum"):  # a later call takes no other value
            return schema["enum"][number % len(schema["enum"])]
        leaf = number * 1000 + next(leaves)
        if kind in ("number", "integer"):
            return 1_000_000 + leaf
        return f"{name.replace(' ', '_').lower()}_{leaf}"

    return value(schema, tool)
