"""What each dialect of the plan language costs to decode: a simulation with a tokenizer and no weights.

    python benchmarks/dialects.py                 a table; takes a few seconds
    python benchmarks/dialects.py --json          the same as JSON, with the lengths of forced runs
    python benchmarks/dialects.py --model FILE    the tokenizer of another GGUF file

The right plans of the assistant's development set are replayed token by token under the plan grammar, as a
model would write them that always takes the tokenizer's own next token. A batch holds one sampled token and
those that the grammar forces after it. Texts that the set leaves to the model are the request's first words.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import llama_cpp
import numpy as np
import typer
from llguidance import LLMatcher
from llguidance.llamacpp import lltokenizer_from_vocab
from rich.console import Console
from rich.table import Table

from plait.apps._examples import assistant_examples
from plait.apps.evaluation._sixteen import assistant_toolbox
from plait.models import ScriptedModel, resolve
from plait.planners import (
    CompilerPlanner,
    DialectName,
    JSONPlanParser,
    Plan,
    PlanContext,
    plan_grammar,
    print_plan,
)
from plait.tools import Toolbox

REQUESTS = Path(__file__).with_name("assistant_dev.jsonl")
DIALECTS: tuple[DialectName, ...] = ("keyword", "compact")
BATCH_SIZES = (1, 2, 4, 16)
CURVES = {
    "Qwen2.5-Coder-1.5B": (1.0, 1.5, 2.4, 4.4),
    "SmolLM2-135M": (1.0, 1.8, 2.5, 7.6),
}
"""Costs of batches of these sizes on two cores, in units of a batch of one token."""
N_WORDS = 6
"""Of a request, in the place of text that the set leaves to the model."""


_SILENT = llama_cpp.llama_log_callback(lambda level, text, user_data: None)


class Tokenizer:
    """The tokens of a GGUF file, without its weights."""

    def __init__(self, path: Path) -> None:
        llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p())
        options = llama_cpp.llama_model_default_params()
        options.vocab_only = True
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(path), options)
        if not self._model:
            raise typer.BadParameter(f"{path} has no tokenizer that llama.cpp can load")
        self.table: Any = lltokenizer_from_vocab(llama_cpp.llama_model_get_vocab(self._model))

    def encode(self, data: bytes) -> list[int]:
        """The tokens of a text."""
        return list(self.table.tokenize_bytes(data))

    def size(self, token: int) -> int:
        """How many bytes a token is."""
        return len(self.table.decode_bytes([token]))

    def matcher(self, grammar: str) -> Any:
        """The matcher of llguidance for a grammar in Lark."""
        return LLMatcher(self.table, LLMatcher.grammar_from_lark(grammar), log_level=0)


@dataclass
class Totals:
    """What writing the plans takes in one dialect."""

    dialect: DialectName
    n_prompt_tokens: int = 0
    """Of one prompt's static part."""
    n_plans: int = 0
    n_tokens: int = 0
    n_sampled: int = 0
    forced_runs: dict[int, int] = field(default_factory=dict)
    """How many sampled tokens force so many after them."""
    batches: dict[int, int] = field(default_factory=dict)
    """How many batches of each size are decoded. What is forced at the start goes with the prompt, and what
    comes after the last decision is not decoded."""

    def add(self, runs: list[int]) -> None:
        """Count one plan, given what is forced at its start and after each sampled token."""
        self.n_plans += 1
        self.n_tokens += sum(runs) + len(runs) - 1
        self.n_sampled += len(runs) - 1
        for n_forced in runs[1:]:
            self.forced_runs[n_forced] = self.forced_runs.get(n_forced, 0) + 1
        for n_forced in runs[1:-1]:
            self.batches[1 + n_forced] = self.batches.get(1 + n_forced, 0) + 1

    def cost(self, costs: Sequence[float]) -> float:
        """Of decoding, in units of a batch of one token."""
        return sum(n * float(np.interp(size, BATCH_SIZES, costs)) for size, n in self.batches.items())


def gold_plans(toolbox: Toolbox) -> Iterator[Plan]:
    """The development set's right plans, with arguments in the order of the signatures."""
    for line in REQUESTS.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        words = " ".join(item["query"].split()[:N_WORDS])
        tasks = []
        for call in item["plan"]:
            names = [f.name for f in toolbox[call["tool"]].arguments.fields if f.name in call["args"]]
            values = {name: call["args"][name] for name in names}
            arguments = {name: words if value is None else value for name, value in values.items()}
            tasks.append({"tool": call["tool"], "arguments": arguments})
        yield Plan(tuple(JSONPlanParser().feed(json.dumps({"tasks": tasks}))))


def runs_of(tokenizer: Tokenizer, grammar: str, text: str) -> list[int]:
    """How many tokens are forced at the start of ``text``, and after each one that is sampled."""
    matcher, rest, runs = tokenizer.matcher(grammar), text.encode(), []
    while True:
        forced = [] if matcher.is_stopped() else matcher.compute_ff_tokens()
        runs.append(len(forced))
        sampled = tokenizer.encode(rest[sum(map(tokenizer.size, forced)) :])[:1]
        if not matcher.consume_tokens([*forced, *sampled]):
            raise RuntimeError(f"the grammar does not go on with {rest!r}: {matcher.get_error()}")
        rest = rest[sum(map(tokenizer.size, [*forced, *sampled])) :]
        if not sampled:
            return runs


def measure(tokenizer: Tokenizer) -> list[Totals]:
    """Replay all plans in each dialect."""
    toolbox = assistant_toolbox()
    plans = list(gold_plans(toolbox))
    found = []
    for dialect in DIALECTS:
        grammar = plan_grammar(toolbox, dialect=dialect).lark or ""
        planner = CompilerPlanner(ScriptedModel([]), toolbox, examples=assistant_examples(), dialect=dialect)
        static = planner.messages(PlanContext("", datetime(2026, 3, 4, 9, 12)))[0].content
        totals = Totals(dialect, n_prompt_tokens=len(tokenizer.encode(static.encode())))
        for plan in plans:
            totals.add(runs_of(tokenizer, grammar, print_plan(plan, toolbox, dialect=dialect)))
        found.append(totals)
    return found


@dataclass(frozen=True)
class Row:
    """One dialect, on one machine."""

    curve: str
    """Whose costs of batches."""
    totals: Totals
    cost: float
    """Of decoding all plans, in units of a batch of one token."""
    speedup: float
    """Against the first dialect, in both with forced tokens."""
    over_plain: float
    """Against the first dialect without forced tokens."""


def rows_of(found: list[Totals]) -> list[Row]:
    """With every curve."""
    plain = found[0].n_tokens - found[0].n_plans  # the first token of each comes from the prompt's batch
    return [
        Row(curve, t, t.cost(costs), found[0].cost(costs) / t.cost(costs), plain / t.cost(costs))
        for curve, costs in CURVES.items()
        for t in found
    ]


def main(
    model: Annotated[
        str, typer.Option(help="Catalog name or GGUF file whose tokenizer is used.")
    ] = "smollm2-135m",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Simulate what each dialect costs to decode."""
    rows = rows_of(measure(Tokenizer(resolve(model, download=False))))
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=1, sort_keys=True))
        return
    n_plans = rows[0].totals.n_plans
    table = Table(
        title=f"{n_plans} plans, tokenizer of {Path(model).name}; tokens and cost of one (simulated)"
    )
    for heading in ("costs of", "dialect", "prompt", "tokens", "sampled", "cost", "speed-up", "over plain"):
        table.add_column(heading, justify="left" if heading in ("costs of", "dialect") else "right")
    for row in rows:
        t = row.totals
        per_plan = (f"{n / n_plans:.1f}" for n in (t.n_tokens, t.n_sampled, row.cost))
        speedups = (f"{row.speedup:.2f}x", f"{row.over_plain:.2f}x")
        table.add_row(row.curve, t.dialect, str(t.n_prompt_tokens), *per_plan, *speedups)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
