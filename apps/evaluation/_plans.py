"""The benchmark ``plans``: requests with their right plans, for the assistant's tools or any others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plait.apps.evaluation._requests import Request, read_requests
from plait.apps.evaluation._scoring import SCORING_VERSION, Complete, score_plan, tool_recall
from plait.apps.evaluation._sixteen import assistant_defaults
from plait.apps.evaluation._stubs import assistant_result
from plait.apps.evaluation._types import Attempt, Item, Verdict
from plait.apps.evaluation._values import ASSISTANT_RULES, MatchRules
from plait.errors import ConfigurationError
from plait.models import ChatModel
from plait.planners import PlanExample
from plait.tools import Tool, Toolbox


class PlansBenchmark:
    """Requests and their right plans from a file of JSON lines.

    A line is ``{"id", "now", "query", "plan": [{"tool", "args"}, ...]}``. In the arguments of a right plan
    ``$k`` is the result of call k, and ``null`` is any text that is not empty; arguments that are left out
    are not compared.

    Args:
        path: the file.
        toolbox: the tools that plans are made of.
        examples: worked examples for the compiler's prompt.
        name: what the command line calls it.
        complete: fills in what a plan leaves out before arguments are compared.
        rules: what of arguments is compared, and how.

    Raises:
        ConfigurationError: naming the file's first line that is wrong.
    """

    metric = "plan success"
    single_turn = False
    real_tools = False

    def __init__(
        self,
        path: Path,
        toolbox: Toolbox,
        examples: Sequence[PlanExample] = (),
        name: str = "plans",
        complete: Complete = assistant_defaults,
        rules: MatchRules = ASSISTANT_RULES,
    ) -> None:
        self.name = name
        self.examples = examples
        self._toolbox = toolbox
        self._complete = complete
        self._rules = rules
        self._requests = {request.id: request for request in read_requests(path, toolbox)}
        self.fingerprint = _fingerprint(path, toolbox, rules)

    def items(self) -> Sequence[Item]:
        """The requests in the file's order, each under the number of calls in its right plan."""
        return [
            Item(r.id, category_of(len(r.plan)), r.query, gold=r.calls, now=r.now)
            for r in self._requests.values()
        ]

    def toolbox(self, item: Item, model: ChatModel | None = None) -> Toolbox:
        """All tools."""
        return self._toolbox

    def stub(self, tool: Tool, arguments: Mapping[str, Any], number: int) -> Any:
        """A result like the tool's own, unique to ``number``."""
        return assistant_result(tool, arguments, number)

    def score(self, item: Item, attempt: Attempt) -> Verdict:
        """Plan success, arguments right and tool recall."""
        gold = self._request(item).plan
        found = score_plan(gold, attempt.plan, self._toolbox, complete=self._complete, rules=self._rules)
        scores = {
            "arguments_right": float(found.arguments_right),
            "tool_recall": tool_recall(gold, self.toolbox(item)),
            "right_tools": float(found.right_tools),
        }
        if attempt.unreadable:  # what stands before the place where it broke off may be right by chance
            return Verdict(
                correct=False, scores={**scores, "arguments_right": 0.0}, detail=attempt.unreadable
            )
        return Verdict(found.success, scores, found.detail)

    def _request(self, item: Item) -> Request:
        try:
            return self._requests[item.id]
        except KeyError:
            raise ConfigurationError(f"{self.name} has no item {item.id!r}; score its own items") from None


def category_of(n_calls: int) -> str:
    """What a right plan of so many calls is counted under."""
    if n_calls == 0:
        return "none"
    if n_calls == 1:
        return "1 call"
    return "2-3 calls" if n_calls <= 3 else "4+ calls"


def _fingerprint(path: Path, toolbox: Toolbox, rules: MatchRules) -> str:
    told = hashlib.sha256(path.read_bytes())
    for tool in toolbox:
        told.update(f"\n{tool.signature}: {tool.description}".encode())
    told.update(f"\nscoring {SCORING_VERSION}".encode())
    if rules != ASSISTANT_RULES:
        told.update(b" by plain rules")
    return told.hexdigest()
