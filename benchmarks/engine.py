"""The local engine beside llama-cpp-python's own loop, on the same weights, threads and prompts.

    python benchmarks/engine.py                        SmolLM2; about ten minutes
    python benchmarks/engine.py --model NAME           others, also a GGUF file; give it several times
    python benchmarks/engine.py --json > engine.json   the same as JSON, with the machine it ran on

Requests are those of ``assistant_dev.jsonl`` over the assistant's sixteen tools, asked on one day. What is
timed is warm: the part of the prompt that all requests of that day share is in memory on both sides.

*Replayed* rows compare equals: every engine writes the right plan of each request. The model computes all
that it would compute otherwise, but the right token's logit is raised, so that no engine is faster because
its text is shorter or worse. *Own* rows are what the model writes by itself.

Rounds take turns between the engines, and each number is the median of a request's rounds, summed over the
requests; own texts are written once. Drafts begin each round with no memory of earlier answers. Run it on a
machine that does nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from plait import __version__
from plait.apps._examples import assistant_examples
from plait.apps.evaluation._requests import Request, read_requests
from plait.apps.evaluation._sixteen import assistant_toolbox
from plait.models import LlamaModel, resolve
from plait.models._batch_cost import BatchCost, measure_batch_costs
from plait.models._calibration import in_own_thread, speculation
from plait.models._decoding import Decoding
from plait.models._engine import Chunk, Engine, Row
from plait.models._llama_library import model_options
from plait.models._sequences import n_common
from plait.planners import CompilerPlanner, DialectName, Plan, PlanContext, print_plan
from plait.planners._plan import Task
from plait.tools import Tool

REQUESTS = Path(__file__).with_name("assistant_dev.jsonl")
NOW = datetime(2026, 3, 4, 9, 12)
ANY_TEXT = "All that you asked about, in a few words."
"""In the place of a text that a right plan leaves open."""
RAISED = 1e4
TAIL = 24
"""Tokens at the end of a prompt by which it is known: the request is in them."""
N_AT_ONCE = 12
"""Requests that are asked one after another and several at a time."""
MAX_TOKENS = 200
CONTEXT = 4096

DIALECTS: tuple[DialectName, ...] = ("keyword", "compact")
THEIRS = "llama-cpp-python"
ENGINES = (THEIRS, "plain", "forced", "forced, drafts", "compact, drafts")
"""Their loop, and ours with one trick after another."""
OWN = (THEIRS, "forced", "forced, drafts")
"""Those whose own texts are looked at."""


@dataclass(frozen=True, slots=True)
class Case:
    """A request with the text of its right plan in each dialect."""

    request: Request
    texts: dict[str, str]


@dataclass(slots=True)
class Timing:
    """What one answer took, in seconds."""

    prefill_s: float
    decode_s: float
    tokens: int
    text: str
    drafted: int = 0
    accepted: int = 0
    forced: int = 0

    @property
    def total_s(self) -> float:
        """From the request to the finished plan."""
        return self.prefill_s + self.decode_s


@dataclass(slots=True)
class Column:
    """All timings of one engine, by request."""

    timings: dict[str, list[Timing]] = field(default_factory=dict)

    def add(self, case: Case, timing: Timing) -> None:
        """Another round of one request."""
        self.timings.setdefault(case.request.id, []).append(timing)

    def sum_of(self, value: Callable[[Timing], float]) -> float:
        """The sum over the requests of the median of their rounds."""
        return sum(statistics.median(map(value, rounds)) for rounds in self.timings.values())

    @property
    def texts(self) -> list[str]:
        """What was written in the last round."""
        return [rounds[-1].text for rounds in self.timings.values()]


def cases(n: int) -> list[Case]:
    """Requests with a plan, spread evenly over the file."""
    toolbox = assistant_toolbox()
    found = [request for request in read_requests(REQUESTS, toolbox) if len(request.plan)]
    return [_case(request) for request in found[:: max(1, len(found) // n)][:n]]


def _case(request: Request) -> Case:
    toolbox = assistant_toolbox()
    plan = Plan(tuple(_written(task, toolbox[task.tool]) for task in request.plan))
    return Case(request, {name: print_plan(plan, toolbox, dialect=name) for name in DIALECTS})


def _written(task: Task, tool: Tool) -> Task:
    """``task`` with a text in each place that a right plan leaves open, in the order that the grammar has."""
    names = [argument.name for argument in tool.arguments.fields if argument.name in task.arguments]
    values = {name: task.arguments[name] for name in names}
    return Task(task.id, task.tool, {k: ANY_TEXT if v is None else v for k, v in values.items()})


class RightText:
    """Which token brings an answer on to its right text."""

    def __init__(self, engine: Engine) -> None:
        self._vocabulary = vocabulary = engine.vocabulary
        self._end = next(token for token in range(vocabulary.n_vocab) if vocabulary.is_end(token))
        self._texts: dict[tuple[int, ...], bytes] = {}

    def expect(self, texts: dict[tuple[int, ...], str]) -> None:
        """From now on the right answers to these prompts, given as tokens; none: the model's own."""
        self._texts = {prompt: text.encode() for prompt, text in texts.items()}

    def raise_logit(self, tokens: Sequence[int], row: Row) -> None:
        """Raise the logit of the token that comes after ``tokens``, prompt and answer so far."""
        prompt = next((p for p in self._texts if tokens[len(p) - TAIL : len(p)] == list(p[-TAIL:])), None)
        if prompt is None:
            return
        written = b"".join(map(self._vocabulary.piece, tokens[len(prompt) :]))
        if self._texts[prompt].startswith(written):
            rest = self._vocabulary.tokenize(self._texts[prompt][len(written) :].decode())
            row[rest[0] if rest else self._end] += RAISED


def replaying(engine: Engine, right: RightText) -> None:
    """Let ``engine`` compute as ever, and then raise the logits of right tokens."""
    decode = engine.decode

    def replayed(chunks: Sequence[Chunk]) -> list[list[Row]]:
        batch = decode(chunks)
        for chunk, rows in zip(chunks, batch, strict=True):
            start = len(chunk.sequence.tokens) - len(chunk.tokens)
            for place, row in zip(chunk.logits_at, rows, strict=True):
                right.raise_logit(chunk.sequence.tokens[: start + place + 1], row)
        return batch

    engine.decode = replayed  # type: ignore[method-assign]


@contextmanager
def without_forced_tokens() -> Iterator[None]:
    """Sample every token, also where the grammar leaves no choice."""
    forced = Decoding._forced
    Decoding._forced = lambda self, limit: []  # type: ignore[method-assign]
    try:
        yield
    finally:
        Decoding._forced = forced  # type: ignore[method-assign]


class Bench:
    """One model in both engines.

    Args:
        path: its file.
    """

    def __init__(self, path: Path) -> None:
        import llama_cpp

        self.model = LlamaModel(path, context_length=CONTEXT, prefix_cache=False, drafts=False)
        self.engine = self.model._engine
        self.right = RightText(self.engine)
        replaying(self.engine, self.right)
        n_threads = self.engine.n_threads
        options = model_options(llama_cpp)  # which its class offers no way to say
        llama_cpp.llama_cpp.llama_model_default_params = lambda: options
        self.theirs = llama_cpp.Llama(
            str(path), n_ctx=CONTEXT, n_threads=n_threads, n_threads_batch=n_threads, verbose=False
        )
        self.planners = {
            dialect: CompilerPlanner(
                self.model, assistant_toolbox(), examples=assistant_examples(), dialect=dialect
            )
            for dialect in DIALECTS
        }

        self.statics = [self._shared_beginning(planner) for planner in self.planners.values()]

    def _shared_beginning(self, planner: CompilerPlanner) -> list[int]:
        """The tokens that all prompts of ``planner`` begin with."""
        moments = (NOW, NOW.replace(hour=21, minute=30))
        a, b = (self.model._prompt(planner.messages(PlanContext("", now=now)), ()) for now in moments)
        return a[: n_common(a, b)]

    def forget_answers(self) -> None:
        """Begin with drafts that have seen nothing."""
        self._drafts = speculation(self.engine, drafts=True)

    def batch_costs(self) -> BatchCost:
        """What batches cost behind the part of the prompt that requests share."""
        asyncio.run(self.warm_up("keyword"))

        def decode(n_tokens: int) -> None:
            sequence = self.engine.pool.take([*self.statics[0], 0])
            assert sequence is not None, "nobody else uses the engine"
            n_before = len(sequence.tokens)
            self.engine.decode([Chunk(sequence, [0] * n_tokens, range(n_tokens))])
            self.engine.pool.truncate(sequence, n_before)
            self.engine.pool.release(sequence)

        return in_own_thread(lambda: measure_batch_costs(decode, rounds=9, budget_s=30.0))

    def forget_requests(self) -> None:
        """Keep only what prompts share in memory, so that nobody finds a request computed already."""
        pool = self.engine.pool
        for sequence in pool.sequences:
            pool.truncate(sequence, max(n_common(sequence.tokens, static) for static in self.statics))
        self.theirs.n_tokens = min(self.theirs.n_tokens, len(self.statics[0]))

    def run(self, engine: str, case: Case, *, replay: bool) -> Timing:
        """One answer of one engine."""
        dialect: DialectName = "compact" if "compact" in engine else "keyword"
        context = PlanContext(case.request.query, now=NOW)
        messages = self.planners[dialect].messages(context)
        if engine != THEIRS:
            asyncio.run(self.warm_up(dialect))
        self.forget_requests()
        prompt = tuple(self.model._prompt(messages, ()))
        self.right.expect({prompt: case.texts[dialect]} if replay else {})
        if engine == THEIRS:
            # As plait's does: OpenMP's workers for two threads are more than the cores, and slow down both.
            return in_own_thread(lambda: self._run_theirs(messages, replay=replay))
        self.model._speculation = self._drafts if "drafts" in engine else None
        if engine != "plain":
            return asyncio.run(self._run_ours(dialect, context))
        with without_forced_tokens():
            return asyncio.run(self._run_ours(dialect, context))

    async def warm_up(self, dialect: DialectName) -> None:
        """Bring what prompts of ``dialect`` share to where it is when the last request was one of these."""
        messages = self.planners[dialect].messages(PlanContext("", now=NOW))
        await self.model.stream(messages, max_tokens=1).text()

    async def _run_ours(self, dialect: DialectName, context: PlanContext) -> Timing:
        began = time.perf_counter()
        planner = self.planners[dialect]
        generation = self.model.stream(
            planner.messages(context), grammar=planner.grammar(context), max_tokens=MAX_TOKENS
        )
        text = await generation.text()
        took = time.perf_counter() - began
        usage = generation.usage
        return Timing(
            prefill_s=took - usage.decode_s,
            decode_s=usage.decode_s,
            tokens=usage.completion_tokens,
            text=text,
            drafted=usage.draft_tokens,
            accepted=usage.accepted_tokens,
            forced=usage.forced_tokens,
        )

    def _run_theirs(self, messages: Sequence[Any], *, replay: bool) -> Timing:
        from llama_cpp import LogitsProcessorList

        def raised(tokens: Any, scores: Any) -> Any:
            self.right.raise_logit(tokens.tolist(), scores)
            return scores

        began = time.perf_counter()
        first, pieces = 0.0, []
        for chunk in self.theirs.create_chat_completion(
            [{"role": m.role, "content": m.content} for m in messages],
            temperature=0.0,
            max_tokens=MAX_TOKENS,
            stop=["join()"],
            stream=True,
            logits_processor=LogitsProcessorList([raised]) if replay else None,
        ):
            text = chunk["choices"][0]["delta"].get("content")
            if text:
                first = first or time.perf_counter()
                pieces.append(text)
        took = time.perf_counter() - began
        decode_s = began + took - first if first else 0.0
        return Timing(took - decode_s, decode_s, len(pieces), "".join(pieces))

    async def requests_per_minute(self, found: Sequence[Case], n_at_once: int) -> float:
        """All requests, replayed, by so many askers at once, with everything that the engine has."""
        planner = self.planners["keyword"]
        contexts = [PlanContext(case.request.query, now=NOW) for case in found]
        prompts = [tuple(self.model._prompt(planner.messages(context), ())) for context in contexts]
        self.forget_requests()
        self.right.expect({p: case.texts["keyword"] for p, case in zip(prompts, found, strict=True)})
        self.forget_answers()
        self.model._speculation = self._drafts
        waiting = iter(contexts)

        async def ask() -> None:
            for context in waiting:
                messages, grammar = planner.messages(context), planner.grammar(context)
                await self.model.stream(messages, grammar=grammar, max_tokens=MAX_TOKENS).text()

        began = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(n_at_once)))
        return 60.0 * len(found) / (time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class Report:
    """What one model gave."""

    model: str
    n_requests: int
    batch_costs: dict[int, float]
    """Seconds of a batch of so many tokens behind a prompt."""
    n_shared: int
    """Tokens of that prompt."""
    replayed: dict[str, dict[str, float]]
    own: dict[str, dict[str, float]]
    n_texts_drafts_changed: int
    """Own texts that are another one with drafts than without."""
    per_minute: dict[int, float]
    """Requests a minute by how many were asked at once."""
    peak_bytes: dict[str, int]
    """Resident memory at its peak, by the type of the cache."""


def numbers(column: Column, theirs: Column) -> dict[str, float]:
    """A row of the table; ratios are theirs over this engine's."""
    decode, total = column.sum_of(lambda t: t.decode_s), column.sum_of(lambda t: t.total_s)
    drafted = column.sum_of(lambda t: t.drafted)
    return {
        "total_s": total,
        "decode_s": decode,
        "tokens": column.sum_of(lambda t: t.tokens),
        "forced": column.sum_of(lambda t: t.forced),
        "total_ratio": theirs.sum_of(lambda t: t.total_s) / total,
        "decode_ratio": theirs.sum_of(lambda t: t.decode_s) / decode,
        "drafted": drafted,
        "accepted": column.sum_of(lambda t: t.accepted),
    }


def report_of(name: str, n: int, rounds: int, progress: Progress) -> Report:
    """Everything about one model."""
    path = resolve(name, download=False)
    found = cases(n)
    bench = Bench(path)
    bar = progress.add_task(name, total=(rounds * len(ENGINES) + len(OWN)) * len(found))
    for engine in ENGINES:  # brings what prompts share into memory
        bench.forget_answers()
        bench.run(engine, found[0], replay=True)
    replayed = {engine: Column() for engine in ENGINES}
    own = {engine: Column() for engine in OWN}
    for columns, n_rounds in ((replayed, rounds), (own, 1)):
        for _ in range(n_rounds):
            bench.forget_answers()
            for case in found:
                for engine, column in columns.items():
                    column.add(case, bench.run(engine, case, replay=columns is replayed))
                    progress.advance(bar)
    check_replayed(replayed, found)
    per_minute: dict[int, list[float]] = {1: [], 4: []}
    for _ in range(rounds):
        for n_at_once, seen in per_minute.items():
            seen.append(asyncio.run(bench.requests_per_minute(found[:N_AT_ONCE], n_at_once)))
    costs = bench.batch_costs()
    asyncio.run(bench.model.aclose())
    drafted, plain = (own[engine].texts for engine in ("forced, drafts", "forced"))
    return Report(
        model=path.stem,
        n_requests=len(found),
        n_shared=len(bench.statics[0]),
        batch_costs=dict(zip(costs.sizes, costs.seconds, strict=True)),
        replayed={engine: numbers(column, replayed[THEIRS]) for engine, column in replayed.items()},
        own={engine: numbers(column, own[THEIRS]) for engine, column in own.items()},
        n_texts_drafts_changed=sum(a != b for a, b in zip(drafted, plain, strict=True)),
        per_minute={n_at_once: statistics.median(seen) for n_at_once, seen in per_minute.items()},
        peak_bytes={kind: peak_bytes(name, kind) for kind in ("f16", "q8_0")},
    )


def check_replayed(columns: dict[str, Column], found: Sequence[Case]) -> None:
    """Say so if an engine wrote something else than it was given to write."""
    for engine, column in columns.items():
        dialect = "compact" if "compact" in engine else "keyword"
        for case, text in zip(found, column.texts, strict=True):
            right = case.texts[dialect]
            if text.rstrip() not in (right, right.removesuffix("join()").rstrip()):
                print(f"{engine}, {case.request.id}: wrote {text!r} for {right!r}", file=sys.stderr)


def peak_bytes(name: str, kind: str) -> int:
    """Resident memory of a process that answers two requests with a cache of that type."""
    done = subprocess.run(
        [sys.executable, __file__, "--model", name, "--peak", kind],
        env={**os.environ, "PLAIT_PREFIX_CACHE": "off"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return int(done.stdout)


def measure_peak(name: str, kind: Any) -> int:
    """The same in this process, in bytes."""
    model = LlamaModel(resolve(name, download=False), context_length=CONTEXT, kv_type=kind)
    planner = CompilerPlanner(model, assistant_toolbox(), examples=assistant_examples())

    async def ask() -> None:
        for case in cases(2):
            context = PlanContext(case.request.query, now=NOW)
            messages, grammar = planner.messages(context), planner.grammar(context)
            await model.stream(messages, grammar=grammar, max_tokens=MAX_TOKENS).text()
        await model.aclose()

    asyncio.run(ask())
    try:  # what getrusage says has the parent process in it
        return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def tables_of(report: Report) -> Iterator[Table]:
    """What a person reads."""
    for title, rows in (
        ("the right plans, replayed", report.replayed),
        ("what it writes itself", report.own),
    ):
        table = Table(title=f"{report.model}, {report.n_requests} requests: {title}")
        table.add_column("engine")
        columns = ("seconds", "decode", "tokens", "forced", "guessed", "stood", "total x", "decode x")
        for column in columns:
            table.add_column(column, justify="right")
        for engine, row in rows.items():
            table.add_row(
                engine,
                f"{row['total_s']:.1f}",
                f"{row['decode_s']:.1f}",
                *(f"{row[key]:.0f}" for key in ("tokens", "forced", "drafted", "accepted")),
                f"{row['total_ratio']:.2f}",
                f"{row['decode_ratio']:.2f}",
            )
        yield table


def facts_of(report: Report) -> str:
    """What stands below the tables."""
    one = report.batch_costs[1]
    costs = ", ".join(f"{n}: {seconds / one:.2f}" for n, seconds in report.batch_costs.items())
    speedup = report.per_minute[4] / report.per_minute[1]
    peaks = ", ".join(f"{kind} {n / 1e6:.0f} MB" for kind, n in report.peak_bytes.items())
    return (
        f"A batch of n tokens behind {report.n_shared} costs, in single tokens: {costs} "
        f"(one: {one * 1e3:.1f} ms).\n"
        f"Requests a minute: {report.per_minute[1]:.1f} one after another, "
        f"{report.per_minute[4]:.1f} with four at once: {speedup:.2f} x.\nPeak memory: {peaks}.\n"
        f"Own texts that drafts changed: {report.n_texts_drafts_changed} of {report.n_requests}."
    )


def machine() -> dict[str, str]:
    """Where the numbers come from."""
    import llama_cpp

    return {
        "plait": __version__,
        "llama-cpp-python": llama_cpp.__version__,
        "Python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load average": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
    }


def main(
    model: Annotated[list[str] | None, typer.Option(help="A catalog name or a GGUF file.")] = None,
    requests: Annotated[int, typer.Option(help="How many requests.", min=2)] = 32,
    rounds: Annotated[int, typer.Option(help="How often each is asked.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    peak: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure what each of the engine's tricks saves."""
    models = model or ["smollm2-135m"]
    if peak is not None:
        print(measure_peak(models[0], peak))
        return
    where = machine()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        reports = [report_of(name, requests, rounds, progress) for name in models]
    if as_json:
        print(json.dumps({"machine": where, "reports": [asdict(report) for report in reports]}, indent=2))
        return
    console = Console(width=None if sys.stdout.isatty() else 140)
    for report in reports:
        for table in tables_of(report):
            console.print(table)
        console.print(facts_of(report), highlight=False)
    console.print(", ".join(f"{key} {value}" for key, value in where.items()), highlight=False)


if __name__ == "__main__":
    typer.run(main)
