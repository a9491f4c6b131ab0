"""The benchmark ``data``: requests of a data set by ``plait train synth``, each over its own tools."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plait.apps.evaluation._plans import category_of
from plait.apps.evaluation._scoring import SCORING_VERSION, score_plan, tool_recall
from plait.apps.evaluation._stubs import assistant_result
from plait.apps.evaluation._types import Attempt, Item, Verdict
from plait.models import ChatModel
from plait.planners import PlanExample, json_value
from plait.tools import Tool, Toolbox
from plait.training import Example, read_groups


class DataSetBenchmark:
    """Requests with right plans over toolboxes of many kinds.

    Free text in arguments is compared word by word here, so plan success is what to look at.

    Args:
        path: ``validation.jsonl`` or ``unseen.jsonl`` of a data set.

    Raises:
        ConfigurationError: the file cannot be read; the message has the line.
    """

    name = "data"
    metric = "plan success"
    single_turn = False
    real_tools = False
    examples: Sequence[PlanExample] = ()

    def __init__(self, path: Path) -> None:
        self._examples = {
            f"{i}.{k}": example
            for i, group in enumerate(read_groups(path), 1)
            for k, example in enumerate(group, 1)
        }
        self.fingerprint = hashlib.sha256(
            path.read_bytes() + f"\nscoring {SCORING_VERSION}".encode()
        ).hexdigest()

    def items(self) -> Sequence[Item]:
        """The requests in the file's order, each under the number of calls in its right plan."""
        return [
            Item(id_, category_of(len(e.plan)), e.query, gold=_calls(e), now=e.now)
            for id_, e in self._examples.items()
        ]

    def skeleton(self, item_id: str) -> str:
        """Where the request comes from."""
        return self._examples[item_id].skeleton

    def toolbox(self, item: Item, model: ChatModel | None = None) -> Toolbox:
        """The tools of the request's group."""
        return self._examples[item.id].toolbox

    def stub(self, tool: Tool, arguments: Mapping[str, Any], number: int) -> Any:
        """A made-up result, unique to ``number``."""
        return assistant_result(tool, arguments, number)

    def score(self, item: Item, attempt: Attempt) -> Verdict:
        """Plan success, arguments right and tool recall."""
        example = self._examples[item.id]
        plan = example.dated_plan
        found = score_plan(plan, attempt.plan, example.toolbox)
        scores = {
            "arguments_right": float(found.arguments_right),
            "tool_recall": tool_recall(plan, example.toolbox),
            "right_tools": float(found.right_tools),
        }
        if attempt.unreadable:
            return Verdict(
                correct=False, scores={**scores, "arguments_right": 0.0}, detail=attempt.unreadable
            )
        return Verdict(found.success, scores, found.detail)


def _calls(example: Example) -> list[dict[str, Any]]:
    return [{"tool": task.tool, "args": json_value(dict(task.arguments))} for task in example.dated_plan]
