"""What evaluation is about, on one page: items, attempts, verdicts, benchmarks, and what is kept of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from plait.errors import ConfigurationError, PlanError
from plait.models import ChatModel
from plait.orchestrator import Run
from plait.planners import Plan, PlanExample, Task
from plait.planners._scanner import Malformed
from plait.planners._strings import JSON_STRINGS, interpolated
from plait.tools import Tool, Toolbox


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a benchmark."""

    id: str
    """Unique in the benchmark."""
    category: str
    """What it is counted under."""
    query: str
    """The request."""
    gold: Any = None
    """The right answer as JSON types, in the benchmark's own form."""
    now: datetime | None = None
    """The user's clock; ``None``: the question has none."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What else the benchmark needs to build the item's tools or to score it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a planner made of an item."""

    plan: Plan
    """Every call that was planned, in order, numbered from 1. Results of earlier calls are references, also
    where the planner wrote the value that it had seen (react, native)."""
    run: Run
    """The run as it was, with its answer, outcomes and times."""

    @property
    def unreadable(self) -> str:
        """Why what the planner wrote could not be read as a plan; empty if it could."""
        return str(self.run.error) if isinstance(self.run.error, PlanError) else ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How good an attempt is."""

    correct: bool
    """The benchmark's headline metric."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Further metrics from 0 to 1, by name; the report gives their means."""
    detail: str = ""
    """Why it is not correct, in a sentence."""


class Benchmark(Protocol):
    """Questions, the tools to answer them with, and a measure of the answers."""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Identifies data and scoring: runs of two fingerprints cannot be compared."""
        ...

    @property
    def metric(self) -> str:
        """What ``Verdict.correct`` measures, for a heading."""
        ...

    @property
    def single_turn(self) -> bool:
        """Whether a planner with function calling of its own is asked once and shown no results."""
        ...

    @property
    def real_tools(self) -> bool:
        """Whether tools are called and the answer is scored; if not, the plan is, and results are made up."""
        ...

    @property
    def examples(self) -> Sequence[PlanExample]:
        """Worked examples for the compiler's prompt, none of them from the data."""
        ...

    def items(self) -> Sequence[Item]:
        """All items, in the data's order."""
        ...

    def toolbox(self, item: Item, model: ChatModel | None = None) -> Toolbox:
        """The tools that the prompt offers for ``item``; ``model`` is there for tools that ask one."""
        ...

    def stub(self, tool: Tool, arguments: Mapping[str, Any], number: int) -> Any:
        """The made-up result of a call; ``number`` is unique in the run, so that the value can be traced."""
        ...

    def score(self, item: Item, attempt: Attempt) -> Verdict:
        """How good ``attempt`` is."""
        ...


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlannedCall(_Record):
    """One call of a plan as it is kept: references as in the plan language's JSON form."""

    id: int
    tool: str
    arguments: dict[str, Any]


class TokenCounts(_Record):
    """Tokens of all model calls of an item."""

    prompt: int = 0
    cached: int = 0
    """Of the prompt's, those found in a cache."""
    completion: int = 0
    forced: int = 0
    """Of the completion's, those that the grammar determined."""
    drafted: int = 0
    """Tokens that were proposed to be verified."""
    accepted: int = 0
    """Of the drafted, those that stood."""


class Times(_Record):
    """Seconds; ``plan_s``, ``tools_s`` and ``join_s`` may overlap."""

    total_s: float = 0.0
    plan_s: float = 0.0
    prefill_s: float = 0.0
    """Until the first token, over all model calls."""
    decode_s: float = 0.0
    tools_s: float = 0.0
    join_s: float = 0.0
    first_call_s: float | None = None
    """From the start to the first call; ``None``: there was none."""
    last_call_s: float | None = None
    """From the start to the end of the last call."""


class GenerationRecord(_Record):
    """One model call."""

    messages: list[dict[str, Any]]
    """The prompt: role and content of each turn, and its calls where it has some."""
    tools: list[dict[str, Any]] = []
    """Function definitions that were passed beside the messages (native)."""
    output: str
    tool_calls: list[dict[str, Any]] = []
    """Calls by the model's own convention: name and arguments."""
    finish_reason: str | None = None
    tokens: TokenCounts = TokenCounts()
    prefill_s: float = 0.0
    decode_s: float = 0.0


class ErrorRecord(_Record):
    """What an item failed with."""

    type: str
    message: str


class ItemRecord(_Record):
    """One line of ``items.jsonl``."""

    id: str
    category: str
    query: str
    gold: Any = None
    correct: bool
    scores: dict[str, float] = {}
    detail: str = ""
    error: ErrorRecord | None = None
    """The item could not be tried to its end; it counts as wrong."""
    parsed: bool = True
    """Whether what the planner wrote could be read as a plan."""
    plan: list[PlannedCall] = []
    answer: str = ""
    generations: list[GenerationRecord] = []
    """Every call of the model; empty in runs that are kept without prompts."""
    model_calls: int | None = None
    """How many there were; ``None`` in records of older versions, where they all are there."""
    workers: int = 1
    """How many items were tried at a time: they wait for each other."""
    n_calls: int = 0
    """Calls that were made (with made-up or real tools)."""
    tokens: TokenCounts = TokenCounts()
    times: Times = Times()
    finished: str = ""
    """When, ISO 8601 in UTC."""


def plan_of(record: ItemRecord) -> Plan:
    """The plan that ``record`` keeps.

    Raises:
        ConfigurationError: a call refers to one that is not earlier.
    """
    try:
        return Plan(tuple(Task(call.id, call.tool, _value(call.arguments, call.id)) for call in record.plan))
    except Malformed as problem:
        raise ConfigurationError(
            f"the plan of item {record.id!r} cannot be read ({problem.reason}); delete its line in the run "
            "folder to have it tried again"
        ) from None


def _value(value: Any, number: int) -> Any:
    """``value`` of call ``number``, with references where its strings have them."""
    if isinstance(value, str):
        return interpolated(value, range(1, number), JSON_STRINGS)
    if isinstance(value, dict):
        return {key: _value(item, number) for key, item in value.items()}
    return [_value(item, number) for item in value] if isinstance(value, list) else value


class ModelRecord(_Record):
    """Which model a run used."""

    name: str
    sha256: str | None = None
    """Of the weights; ``None`` where there is no file."""
    adapter_sha256: str | None = None
    """Of the adapter; ``None`` where there is none."""
    quantization: str | None = None
    size_bytes: int | None = None
    parameters: int | None = None
    context_length: int
    grammar: str | None = None
    """The form of grammar that it enforces."""


class RunIdentity(_Record):
    """What decides an item's outcome: items of two identities never mix in one folder."""

    benchmark: str
    fingerprint: str
    model: ModelRecord
    planner: str
    prompt_sha256: str
    """Of the first prompts that the planner makes for the first item of every category."""
    plait_version: str
    execute: bool
    tool_latency_s: float
    joiner: str | None = None
    """Who ends executed runs of planners that do not answer; ``None`` is what fits the model."""


class Prices(_Record):
    """Dollars for a million tokens."""

    prompt: float
    completion: float


class RunConfig(_Record):
    """``config.json`` of a run folder."""

    format: int = 1
    identity: RunIdentity
    metric: str
    hardware: dict[str, Any] = {}
    """Processor, cores, memory, system, Python, versions of the engine."""
    command: list[str] = []
    """The command line of the run's first start."""
    started: str = ""
    prices: Prices | None = None
