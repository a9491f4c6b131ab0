"""Runs that never were: folders as the evaluation writes them, with a chosen number of items."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plait.apps.evaluation._folder import LoadedRun, load_run
from plait.apps.evaluation._types import (
    Attempt,
    ErrorRecord,
    GenerationRecord,
    Item,
    ItemRecord,
    ModelRecord,
    PlannedCall,
    Prices,
    RunConfig,
    RunIdentity,
    Times,
    TokenCounts,
    Verdict,
)
from plait.models import ChatModel
from plait.planners import PlanExample
from plait.tools import Tool, Toolbox, tool

CATEGORIES = ("mail", "calendar and meetings", "notes", "several tasks", "not served")
_NAMES = ("Sid", "Ana Lopez", "Nora", "陳大文", "Zoë", "Lutfi")
_TOPICS = ("the budget", "Friday's launch", "the quarterly report", "her visa", "flat tyres & insurance")


def make_identity(planner: str = "compiler", **changes: Any) -> RunIdentity:
    """An identity; ``changes`` are its fields."""
    model = ModelRecord(
        name="qwen2.5-coder-1.5b",
        sha256="5a4d" * 16,
        quantization="Q4_K_M",
        size_bytes=1_117_320_768,
        parameters=1_543_714_304,
        context_length=8192,
        grammar="llguidance",
    )
    fields: dict[str, Any] = {
        "benchmark": "plans",
        "fingerprint": "0c3a91",
        "model": model,
        "planner": planner,
        "prompt_sha256": "77e1" * 16,
        "plait_version": "0.1.0",
        "execute": True,
        "tool_latency_s": 0.5,
    }
    return RunIdentity(**{**fields, **changes})


def make_config(planner: str = "compiler", prices: Prices | None = None, **changes: Any) -> RunConfig:
    """A configuration; ``changes`` are fields of its identity."""
    return RunConfig(
        identity=make_identity(planner, **changes),
        metric="plan success",
        hardware={"processor": "Sample CPU", "cores": 2, "memory_bytes": 8 << 30, "system": "Linux 6.1"},
        command=["plait", "eval", "plans", "requests.jsonl", "--planner", planner],
        started="2025-11-22T01:30:00Z",
        prices=prices,
    )


def make_record(id_: str, *, correct: bool = True, **fields: Any) -> ItemRecord:
    """A record with little in it."""
    return ItemRecord(**{"id": id_, "category": "mail", "query": f"do {id_}", "correct": correct, **fields})


def make_run(*records: ItemRecord, label: str = "a compiler", config: RunConfig | None = None) -> LoadedRun:
    """A run as if it had been loaded."""
    path = Path(label.replace(" ", "-"))
    return LoadedRun(path, label, config or make_config(), {record.id: record for record in records})


def write_run(path: Path, planner: str, n: int, accuracy: float, speed: float) -> LoadedRun:
    """Write a run folder of ``n`` items and load it; questions and right plans depend on ``n`` alone."""
    path.mkdir(parents=True)
    config = make_config(planner, Prices(prompt=0.1, completion=0.4))
    (path / "config.json").write_text(config.model_dump_json(), encoding="utf-8")
    questions, answers = random.Random(n), random.Random(planner)
    records = [_answer(_question(i, questions), answers, planner, accuracy, speed) for i in range(n)]
    (path / "items.jsonl").write_text("".join(r.model_dump_json() + "\n" for r in records), encoding="utf-8")
    return load_run(path)


def _question(index: int, random_: random.Random) -> dict[str, Any]:
    category = random_.choices(CATEGORIES, (5, 4, 3, 3, 1))[0]
    people = random_.sample(_NAMES, random_.randint(1, 4 if category == "several tasks" else 2))
    topic = random_.choice(_TOPICS)
    gold: list[dict[str, Any]] = []
    if category != "not served":
        gold = [{"tool": "get_email_address", "args": {"name": name}} for name in people]
        send = {"recipients": [f"${k}" for k in range(1, len(people) + 1)], "subject": topic, "context": None}
        if category != "mail":
            gold.append({"tool": "open_and_get_file_path", "args": {"file_name": f"{topic}.pdf"}})
            gold.append({"tool": "summarize_pdf", "args": {"pdf_path": f"${len(gold)}"}})
            send["context"] = f"Summary: ${len(gold)}"
        gold.append({"tool": "compose_new_email", "args": send})
    return {
        "id": f"{category.split()[0]}-{index:04}",
        "category": category,
        "query": f"Write to {' and '.join(people)} about {topic}, and attach what belongs to it.",
        "gold": gold,
    }


def _answer(
    question: dict[str, Any], random_: random.Random, planner: str, accuracy: float, speed: float
) -> ItemRecord:
    failed = random_.random() < 0.01
    correct = not failed and random_.random() < accuracy
    plan = _plan(question["gold"])
    if not correct and plan:
        del plan[random_.randrange(len(plan))]
        plan = [call.model_copy(update={"id": k}) for k, call in enumerate(plan, 1)]
    prefill, decode = random_.gammavariate(4, 0.2 * speed), random_.gammavariate(5, 0.15 * speed)
    tools, n_turns = 0.5 * len(plan) * (1 if planner != "compiler" else 0.5), 1
    if planner == "react":
        n_turns = len(plan) + 1
    written = 20 + 25 * len(plan)
    tokens = TokenCounts(
        prompt=900 * n_turns,
        cached=850 * n_turns,
        completion=written,
        forced=written // 3,
        drafted=40,
        accepted=31,
    )
    output = "\n".join(f"{c.id}. {c.tool}({json.dumps(c.arguments, ensure_ascii=False)[1:-1]})" for c in plan)
    return ItemRecord(
        **question,
        correct=correct,
        scores={"arguments_right": float(correct and random_.random() < 0.9), "tool_recall": 1.0},
        detail="" if correct else "the plan's graph is not that of the right plan",
        error=ErrorRecord(type="DeadlineError", message="it took longer than 60 s") if failed else None,
        parsed=random_.random() > 0.005,
        plan=plan,
        generations=[
            GenerationRecord(
                messages=[{"role": "user", "content": question["query"]}],
                output=output,
                finish_reason="stop",
                tokens=tokens,
                prefill_s=prefill / n_turns,
                decode_s=decode / n_turns,
            )
        ]
        * n_turns,
        n_calls=len(plan),
        tokens=tokens,
        times=Times(
            total_s=prefill + decode + tools,
            plan_s=prefill + decode,
            prefill_s=prefill,
            decode_s=decode,
            tools_s=tools,
            first_call_s=prefill if plan else None,
            last_call_s=prefill + tools if plan else None,
        ),
    )


def _plan(gold: list[dict[str, Any]]) -> list[PlannedCall]:
    calls = []
    for number, call in enumerate(gold, 1):
        arguments = {k: "The report, in short" if v is None else v for k, v in call["args"].items()}
        if isinstance(arguments.get("context"), str) and "$" in arguments["context"]:
            arguments["context"] = f"Summary: ${{{number - 1}}}"
        calls.append(PlannedCall(id=number, tool=call["tool"], arguments=arguments))
    return calls


@pytest.fixture(name="make_record")
def _make_record() -> Callable[..., ItemRecord]:
    return make_record


@pytest.fixture(name="make_config")
def _make_config() -> Callable[..., RunConfig]:
    return make_config


@pytest.fixture(name="make_run")
def _make_run() -> Callable[..., LoadedRun]:
    return make_run


@pytest.fixture(scope="session")
def three_runs(tmp_path_factory: pytest.TempPathFactory) -> list[LoadedRun]:
    """300 items with three planners."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        write_run(folder / "compiler", "compiler", 300, accuracy=0.82, speed=0.5),
        write_run(folder / "react", "react", 300, accuracy=0.7, speed=2.0),
        write_run(folder / "native", "native", 300, accuracy=0.74, speed=0.9),
    ]


@tool
def find(name: str) -> str:
    """Find a person's address.

    Args:
        name: who.
    """
    return f"real address of {name}"


@tool
def send(to: list[str], text: str = "", amount: float = 0.0) -> str:
    """Send a message.

    Args:
        to: addresses.
        text: what to say.
        amount: dollars.
    """
    return f"really sent to {to}"


@dataclass
class FakeBenchmark:
    """A benchmark in memory: right is the plan or, with real tools, the answer that is an item's ``gold``."""

    queries: Sequence[str] = ()
    golds: Sequence[str] = ()
    single_turn: bool = False
    real_tools: bool = False
    tools: Sequence[Tool] = (find, send)
    toolless: Sequence[str] = ()
    """Ids of items that offer no tools."""
    category: Callable[[str], str] = lambda query: "all"
    examples: Sequence[PlanExample] = ()
    fingerprint: str = "1"
    name: str = "fake"
    metric: str = "right"

    def items(self) -> list[Item]:
        golds = self.golds or ("",) * len(self.queries)
        pairs = enumerate(zip(self.queries, golds, strict=True))
        return [Item(f"item-{n}", self.category(query), query, gold) for n, (query, gold) in pairs]

    def toolbox(self, item: Item, model: ChatModel | None = None) -> Toolbox:
        return Toolbox(() if item.id in self.toolless else self.tools)

    def stub(self, tool: Tool, arguments: Mapping[str, Any], number: int) -> Any:
        return f"<{tool.name} {1000 + number}>"

    def score(self, item: Item, attempt: Attempt) -> Verdict:
        if self.real_tools:
            return Verdict(attempt.run.answer == item.gold)
        correct = str(attempt.plan) == item.gold and not attempt.unreadable
        return Verdict(correct, {"calls": float(len(attempt.plan))}, attempt.unreadable)


@pytest.fixture
def fake_benchmark() -> type[FakeBenchmark]:
    return FakeBenchmark
