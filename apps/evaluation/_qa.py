"""LLMCompiler's question-answering benchmarks (arXiv 2312.04511): parallelqa, hotpotqa and movie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from plait.apps.evaluation._maths import Maths
from plait.apps.evaluation._qa_data import QAKind, load_qa
from plait.apps.evaluation._qa_examples import qa_examples
from plait.apps.evaluation._qa_scoring import (
    alternatives,
    as_number,
    decision,
    named,
    normalized,
    rivals,
    says_number,
    says_only,
    token_f1,
)
from plait.apps.evaluation._types import Attempt, Item, Verdict
from plait.apps.evaluation._wikipedia import Wikipedia
from plait.errors import LookupUnavailableError, ToolTimeoutError
from plait.models import ChatModel
from plait.orchestrator import Run
from plait.planners import PlanExample, TaskOutcome
from plait.tools import Tool, Toolbox

_SCORING = 1
"""To be raised whenever an answer may be judged otherwise than before."""
_TOLERANCE = 0.01
_PUBLISHED_TOLERANCE = 0.1
_SEARCH_TIMEOUT_S = 60.0
_SEARCHES_AT_ONCE = 8
_MAX_CHARS = {"parallelqa": 1500, "hotpotqa": 1000, "movie": 400}
"""What a search returns of a page: what an answer is likely to need, so that small contexts hold it."""


class QABenchmark:
    """One of LLMCompiler's question-answering benchmarks, with real lookups and sums.

    An answer, which is free text, is right

    - for hotpotqa: if its first decision is the right one of yes and no; or if it has the right words
      together, and names no alternative that the question offers with "or";
    - for movie: if it names the right option and no other;
    - for parallelqa: if its number is within 1 % of the right one; or if it has the right name and no other
      of the question's.

    Words are compared without case, punctuation and articles, as HotpotQA's official script does.
    ``scores`` has that script's ``exact_match`` and ``f1``, and for parallelqa ``within_10_percent``, the
    tolerance for numbers that the paper's script has (names count there as they do above).

    Args:
        kind: which benchmark.
        data: its file, as LLMCompiler's repository has it.
        wikipedia: looks things up.

    Raises:
        ConfigurationError: the data cannot be read; it names the entry.
    """

    def __init__(self, kind: QAKind, data: Path, *, wikipedia: Wikipedia) -> None:
        self._data = load_qa(kind, data)
        self._kind: QAKind = kind
        self._wikipedia = wikipedia
        self._names = tuple(
            dict.fromkeys(item.gold for item in self._data.items if as_number(item.gold) is None)
        )
        """Right answers that are names: in another question they are candidates."""

    @property
    def name(self) -> str:
        """The kind."""
        return self._kind

    @property
    def fingerprint(self) -> str:
        """The kind, the version of the scoring and the data's hash."""
        return f"{self._kind}-{_SCORING}-{self._data.sha256[:16]}"

    @property
    def metric(self) -> str:
        """Right answers."""
        return "answer right"

    @property
    def single_turn(self) -> bool:
        """No: answers need results."""
        return False

    @property
    def real_tools(self) -> bool:
        """Yes: the answer is scored."""
        return True

    @property
    def examples(self) -> Sequence[PlanExample]:
        """Two or three plans for questions of our own."""
        return qa_examples(self._kind)

    def items(self) -> Sequence[Item]:
        """All questions, each with a word on how to answer it."""
        return self._data.items

    def toolbox(self, item: Item, model: ChatModel | None = None) -> Toolbox:
        """``search``, and for parallelqa ``math``.

        ``model`` turns problems in words into expressions; without one, ``math`` takes expressions only.
        """
        if self._kind == "parallelqa":
            return Toolbox([self._search_tool, Maths(model).tool()])
        return Toolbox([self._search_tool])

    def stub(self, tool: Tool, arguments: Mapping[str, Any], number: int) -> Any:
        """A number for ``math`` and a line of text for ``search``."""
        return 1000.5 + number if tool.name == "math" else f"text {number} on {arguments['query']}"

    def score(self, item: Item, attempt: Attempt) -> Verdict:
        """How good the answer is.

        Raises:
            LookupUnavailableError: something could not be looked up for want of a network, so that the
                answer says nothing about the planner; it names what.
        """
        _check_lookups(attempt.run)
        answer = _without_failures(attempt.run.answer)
        correct = bool(answer) and self._is_right(item, answer)
        scores = {
            "exact_match": float(normalized(answer) == normalized(item.gold)),
            "f1": token_f1(answer, item.gold),
        }
        if self._kind == "parallelqa":
            number = as_number(item.gold)
            near = number is not None and says_number(answer, number, tolerance=_PUBLISHED_TOLERANCE)
            scores["within_10_percent"] = float(correct or near)
        return Verdict(correct, scores, "" if correct else _why_wrong(item, attempt.run))

    @cached_property
    def _search_tool(self) -> Tool:
        return Tool.from_function(
            self._search,
            name="search",
            description="Looks up one person, place, work or thing in Wikipedia: the beginning of its page.",
            read_only=True,
            idempotent=True,
            open_world=True,
            timeout_s=_SEARCH_TIMEOUT_S,
            max_concurrency=_SEARCHES_AT_ONCE,
        )

    async def _search(
        self, query: Annotated[str, Field(description="its name alone, as the title of a page")]
    ) -> str:
        prefer = "film" if self._kind == "movie" else ""
        return await self._wikipedia.search(query, prefer=prefer, max_chars=_MAX_CHARS[self._kind])

    def _is_right(self, item: Item, answer: str) -> bool:
        gold, question = str(item.gold), str(item.data["question"])
        if self._kind == "movie":
            return named(item.data["options"], answer) == [gold]
        if self._kind == "hotpotqa":
            if gold.lower() in ("yes", "no"):
                return decision(answer) == gold.lower()
            return says_only(gold, alternatives(question, gold), answer)
        number = as_number(gold)
        if number is not None:
            return says_number(answer, number, tolerance=_TOLERANCE)
        return says_only(gold, rivals(question, gold, self._names), answer)


def _without_failures(answer: str) -> str:
    """``answer`` without the lines that plait itself adds about calls that failed; they answer nothing."""
    return "\n".join(line for line in answer.splitlines() if not line.startswith("Not done: ")).strip()


def _check_lookups(run: Run) -> None:
    found = {_query(outcome) for outcome in run.tasks if outcome.ok}
    missed = [o for o in run.tasks if _is_unavailable(o) and _query(o) not in found]
    queries = list(dict.fromkeys(map(_query, missed)))
    if queries:
        raise LookupUnavailableError(
            f"could not look up {', '.join(map(repr, queries))}, so the answer is not judged; run once with "
            f"a network, then repeat with --retry-errors (the first failure: {missed[0].error})",
            tool="search",
            queries=queries,
        ) from missed[0].error


def _is_unavailable(outcome: TaskOutcome) -> bool:
    late = isinstance(outcome.error, ToolTimeoutError) and outcome.task.tool == "search"
    return late or isinstance(outcome.error, LookupUnavailableError)


def _query(outcome: TaskOutcome) -> str:
    return str(outcome.arguments.get("query", ""))


def _why_wrong(item: Item, run: Run) -> str:
    if run.error is not None:
        return f"there is no answer: {run.error}"
    return (
        f"the answer is {run.answer!r}, and {item.gold!r} is right" if run.answer else "the answer is empty"
    )
