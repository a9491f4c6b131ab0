"""Data sets as tokens: prompts and plans exactly as the engine has them when the model plans."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from plait.errors import ConfigurationError, PlaitError
from plait.models import ADAPTED_CONTEXT, LlamaModel
from plait.planners import (
    PastCall,
    PastTurn,
    Plan,
    PlanContext,
    TunedPlanner,
    parse_plan,
    plan_grammar,
    print_plan,
    resolve_moments,
)
from plait.tools import Tool, Toolbox

_CALL = re.compile(rb"^\d+ (?P<tool>[^(\n]+)\(", re.MULTILINE)  # a text in quotes has no line breaks


@dataclass(frozen=True, slots=True)
class Example:
    """A request with its right plan, as read from a data set."""

    toolbox: Toolbox
    """What the prompt offers."""
    now: datetime
    """When it is said."""
    query: str
    plan: Plan
    """As the model is to write it: in the relative dialect, with days as the request names them."""
    skeleton: str = ""
    """Where it comes from."""
    instructions: str = ""
    """What the user wants to be kept in mind."""
    history: tuple[PastTurn, ...] = ()
    """Requests before it in the same conversation, with dates in their calls."""

    @property
    def first_number(self) -> int:
        """The number of the plan's first task."""
        return 1 + sum(len(turn.calls) for turn in self.history)

    @property
    def dated_plan(self) -> Plan:
        """The plan with dates in the place of named days."""
        return Plan(tuple(resolve_moments(task, self.toolbox[task.tool], self.now) for task in self.plan))


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """What follows the beginning that a group has in common."""

    tokens: tuple[int, ...]
    """The rest of the prompt, the plan and the token that ends an answer."""
    n_prompt: int
    """How many of them are the prompt's: they are read, not learnt."""
    weights: tuple[float, ...] = ()
    """How much each of the others counts in the loss; all the same if there are none."""


@dataclass(frozen=True, slots=True)
class EncodedGroup:
    """Requests over the same tools as tokens."""

    prefix: tuple[int, ...]
    """What all prompts begin with."""
    examples: tuple[EncodedExample, ...]

    @property
    def n_tokens(self) -> int:
        """Tokens that a step over it computes."""
        return len(self.prefix) + sum(len(example.tokens) for example in self.examples)


def read_groups(path: Path) -> Iterator[list[Example]]:
    """The groups of a file that ``plait train synth`` wrote.

    Raises:
        ConfigurationError: the file cannot be read, or a line is not what it should be; the message has
            its number.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield _group(json.loads(line))
                except (ValueError, KeyError, TypeError, PlaitError) as error:
                    raise ConfigurationError(
                        f"{path}, line {number} cannot be trained on ({error}); make the file again "
                        "with plait train synth"
                    ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error}); make a data set with plait train synth"
        ) from error


def _group(line: dict[str, Any]) -> list[Example]:
    toolbox = Toolbox(map(Tool.from_schema, line["tools"]))
    return [_example(item, toolbox) for item in line["items"]]


def _example(item: dict[str, Any], toolbox: Toolbox) -> Example:
    now = datetime.fromisoformat(item["now"])
    history: list[PastTurn] = []
    first = 1
    for turn in item.get("earlier", ()):
        tasks = [
            resolve_moments(task, toolbox[task.tool], now)
            for task in parse_plan(turn["plan"], first=first, earlier=range(1, first))
        ]
        calls = zip(tasks, turn["results"], strict=True)
        history.append(PastTurn(turn["query"], tuple(PastCall(task, "ok", text) for task, text in calls)))
        first += len(tasks)
    plan = Plan(tuple(parse_plan(item["plan"], first=first, earlier=range(1, first))))
    return Example(
        toolbox,
        now,
        item["query"],
        plan,
        item.get("skeleton", ""),
        item.get("instructions", ""),
        tuple(history),
    )


class PlanEncoder:
    """Turns examples into tokens with the vocabulary and the chat template of a model.

    Which tool to call is decided by one token in twenty, and a plan with a wrong one is worth nothing; so the
    tokens of tools' names may count more than others.

    Args:
        model: the base that is to be trained.
        tool_weight: how much the tokens of a tool's name count in the loss, where others count 1.
    """

    def __init__(self, model: LlamaModel, *, tool_weight: float = 1.0) -> None:
        self._model = model
        self._tool_weight = tool_weight

    def group(self, examples: Sequence[Example], *, max_tokens: int = ADAPTED_CONTEXT) -> EncodedGroup:
        """Examples over the same tools.

        Raises:
            ConfigurationError: one of them is longer than ``max_tokens``, or has a plan that the grammar
                does not allow: with a tool that is not offered, or an argument of a wrong type.
            GrammarError: there is no grammar for these tools.
        """
        planner = TunedPlanner(self._model, examples[0].toolbox)
        grammars = {
            first: plan_grammar(examples[0].toolbox, dialect="relative", first=first)
            for first in {example.first_number for example in examples}
        }
        pairs = [self._pair(planner, example) for example in examples]
        for example, (prompt, plan) in zip(examples, pairs, strict=True):
            if len(prompt) + len(plan) > max_tokens:
                raise ConfigurationError(
                    f"a request of {len(prompt) + len(plan)} tokens is longer than {max_tokens}: "
                    f"{example.query[:60]!r}; offer fewer tools, or shorten their descriptions"
                )
            n = self._model.n_accepted(grammars[example.first_number], plan)
            if n < len(plan):
                written = b"".join(self._model.token_bytes(plan[:n])).decode(errors="replace")
                raise ConfigurationError(
                    f"the plan for {example.query[:60]!r} breaks the grammar after {written[-60:]!r}; its "
                    "calls must be of tools that are offered, with arguments of their types"
                )
        n = _n_common([prompt for prompt, _ in pairs])
        return EncodedGroup(
            tuple(pairs[0][0][:n]),
            tuple(
                EncodedExample((*prompt[n:], *plan), len(prompt) - n, self._weights(plan))
                for prompt, plan in pairs
            ),
        )

    def _pair(self, planner: TunedPlanner, example: Example) -> tuple[list[int], list[int]]:
        first = example.first_number
        context = PlanContext(
            example.query,
            now=example.now,
            history=example.history,
            instructions=example.instructions,
            first_number=first,
        )
        prompt = self._model.prompt_tokens(planner.messages(context))
        text = print_plan(example.plan, example.toolbox, dialect="relative", first=first)
        return prompt, self._model.answer_tokens(text)

    def _weights(self, plan: Sequence[int]) -> tuple[float, ...]:
        if self._tool_weight == 1.0:
            return ()
        pieces = self._model.token_bytes(plan)
        named = {i for found in _CALL.finditer(b"".join(pieces)) for i in range(*found.span("tool"))}
        weights, start = [], 0
        for piece in pieces:
            is_named = not named.isdisjoint(range(start, start + len(piece)))
            weights.append(self._tool_weight if is_named else 1.0)
            start += len(piece)
        return tuple(weights)


def _n_common(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all begin with; at least one of each is left, whose place predicts the next one."""
    shortest = min(map(len, sequences)) - 1
    first = sequences[0]
    return next(
        (i for i in range(shortest) if any(other[i] != first[i] for other in sequences)), max(shortest, 0)
    )
