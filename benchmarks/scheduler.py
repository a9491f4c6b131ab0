"""What the task fetcher costs, how soon tasks start, and how it compares with LangGraph.

    python benchmarks/scheduler.py             a table; takes about four minutes
    python benchmarks/scheduler.py --json      the same as JSON, with the machine it ran on
    python benchmarks/scheduler.py --check     ends with an error if a goal is missed

Every graph comes from a fixed seed. Each number is the median of several runs, or of several graphs where
the table says so. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import asyncio
import json
import operator
import os
import platform
import random
import selectors
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Annotated, Any, TypedDict

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from plait import __version__
from plait.orchestrator import Event, Executor, TaskFetcher, TaskFinished, TaskPlanned, TaskStarted, call_tool
from plait.planners import Ref, Task
from plait.tools import Tool, Toolbox

_MS = 1e3
_US = 1e6
_CALL_S = 0.010
_SEEDS = range(5)


async def work(inputs: list[float], seconds: float = 0.0) -> float:
    """Wait; give the seconds that this call and the longest chain of calls before it took."""
    began = now()
    if seconds:
        await asyncio.sleep(seconds)
    return max(inputs, default=0.0) + now() - began


TOOL = Tool.from_function(work)


async def call_function(tool: Tool, arguments: Mapping[str, Any]) -> Any:
    """An executor that does nothing but call: no validation, no deadline."""
    return await tool.function(**arguments)


@dataclass(frozen=True)
class Graph:
    """Tasks 1 to n; each needs earlier ones and takes some seconds."""

    shape: str
    needs: tuple[tuple[int, ...], ...]
    seconds: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.needs)

    @property
    def n_edges(self) -> int:
        """How many references there are."""
        return sum(map(len, self.needs))

    @cached_property
    def tasks(self) -> list[Task]:
        """The graph as a plan."""
        return [Task(k, "work", self.arguments(k, map(Ref, self.needs[k - 1]))) for k in self.numbers]

    @property
    def numbers(self) -> range:
        """The numbers of the tasks."""
        return range(1, len(self.needs) + 1)

    def arguments(self, number: int, inputs: Iterable[Any]) -> dict[str, Any]:
        """What the tool is called with."""
        return {"inputs": list(inputs), "seconds": self.seconds[number - 1]}

    @cached_property
    def levels(self) -> list[list[int]]:
        """The tasks by how many must have ended one after another before them."""
        level: dict[int, int] = {}
        for k in self.numbers:
            level[k] = 1 + max((level[need] for need in self.needs[k - 1]), default=-1)
        found: list[list[int]] = [[] for _ in range(max(level.values()) + 1)]
        for k, depth in level.items():
            found[depth].append(k)
        return found

    @cached_property
    def longest_chain(self) -> list[float]:
        """The seconds of the tasks of the chain that takes longest."""
        ends: dict[int, float] = {}
        before: dict[int, int | None] = {}
        for k in self.numbers:
            last = before[k] = max(self.needs[k - 1], key=ends.__getitem__, default=None)
            ends[k] = self.seconds[k - 1] + (0.0 if last is None else ends[last])
        chain: list[float] = []
        at: int | None = max(ends, key=ends.__getitem__)
        while at is not None:
            chain.append(self.seconds[at - 1])
            at = before[at]
        return chain


def same(rng: random.Random) -> float:
    """The 10 ms of every call."""
    return _CALL_S


def slow(rng: random.Random) -> float:
    """The 100 ms of every call."""
    return 10 * _CALL_S


def nothing(rng: random.Random) -> float:
    """No wait at all."""
    return 0.0


def varying(rng: random.Random) -> float:
    """5 to 50 ms, lognormal around 15 ms."""
    return min(0.050, max(0.005, rng.lognormvariate(-4.2, 0.7)))


def random_graph(n: int, seed: int, seconds: Callable[[random.Random], float], window: int = 100) -> Graph:
    """Each task needs up to three of the ``window`` before it."""
    rng = random.Random(seed)
    needs = [
        tuple({rng.randint(max(1, k - window), k - 1) for _ in range(rng.randint(0, 3))}) if k > 1 else ()
        for k in range(1, n + 1)
    ]
    return Graph("random", tuple(needs), tuple(seconds(rng) for _ in needs))


def layered_graph(depth: int, width: int, seed: int, seconds: Callable[[random.Random], float]) -> Graph:
    """``depth`` levels of ``width`` tasks; each task needs one to three of the level before it."""
    rng = random.Random(seed)
    needs = [
        tuple(rng.sample(range((k // width - 1) * width + 1, k // width * width + 1), rng.randint(1, 3)))
        if k >= width
        else ()
        for k in range(depth * width)
    ]
    return Graph(f"{depth} levels of {width}", tuple(needs), tuple(seconds(rng) for _ in needs))


def chained_graph(n_chains: int, length: int, seed: int, seconds: Callable[[random.Random], float]) -> Graph:
    """``n_chains`` chains; one task in five needs one of another chain, too."""
    rng = random.Random(seed)
    needs: list[tuple[int, ...]] = []
    for k in range(1, n_chains * length + 1):
        own = {k - n_chains} if k > n_chains else set()
        other = {rng.randint(max(1, k - 2 * n_chains), k - n_chains)} if own and rng.random() < 0.2 else set()
        needs.append(tuple(own | other))
    return Graph(f"{n_chains} chains of {length}", tuple(needs), tuple(seconds(rng) for _ in needs))


@dataclass(frozen=True)
class Row:
    """One measured thing; ``goal`` is the most that it may be."""

    group: str
    what: str
    value: float
    unit: str
    goal: float | None = None

    @property
    def passed(self) -> bool | None:
        """Whether the goal is met; ``None`` where there is none."""
        return None if self.goal is None else self.value <= self.goal


# Runners: each carries out a graph once and gives the seconds that it took.


async def all_at_once(graph: Graph) -> AsyncGenerator[Task]:
    """A planner that has the whole plan from the start."""
    for task in graph.tasks:
        yield task


async def fetch(
    graph: Graph, executor: Executor = call_tool, emit: Callable[[Event], None] = lambda event: None
) -> float:
    """The task fetcher, with its default executor."""
    fetcher = TaskFetcher(Toolbox([TOOL]), clock=time.perf_counter, emit=emit, executor=executor)
    _ = graph.tasks
    began = now()
    await fetcher.run(all_at_once(graph))
    took = now() - began
    if sum(outcome.ok for outcome in fetcher.outcomes) != len(graph):
        raise RuntimeError("not every task succeeded")
    return took


async def over_critical_path(graph: Graph) -> float:
    """The task fetcher's wall time over the critical path: the longest chain of calls, by what they took."""
    fetcher = TaskFetcher(Toolbox([TOOL]), clock=time.perf_counter)
    _ = graph.tasks
    began = now()
    await fetcher.run(all_at_once(graph))
    took = now() - began
    return took / max(outcome.result for outcome in fetcher.outcomes)


async def await_plainly(graph: Graph) -> float:
    """No scheduler: an asyncio task for each call, which awaits those of its inputs. What asyncio can do."""
    running: dict[int, asyncio.Task[float]] = {}

    async def call(number: int) -> float:
        inputs = [await running[need] for need in graph.needs[number - 1]]
        return await work(**graph.arguments(number, inputs))

    began = now()
    for k in graph.numbers:
        running[k] = asyncio.create_task(call(k))
    await asyncio.gather(*running.values())
    return now() - began


async def chain_alone(graph: Graph) -> float:
    """The calls of the longest chain, one after another, and nothing else."""
    began = now()
    for seconds in graph.longest_chain:
        await work([], seconds)
    return now() - began


class _Turn(TypedDict, total=False):
    messages: list[Any]


class _Done(TypedDict, total=False):
    done: Annotated[list[int], operator.add]


def langgraph_by_levels(graph: Graph) -> Callable[[], Awaitable[float]]:
    """LangGraph's ``ToolNode``: a turn of the agent loop for each level of the graph."""
    from langchain_core.messages import AIMessage, ToolMessage
    from langchain_core.tools import StructuredTool
    from langgraph.graph import END, START, StateGraph
    from langgraph.prebuilt import ToolNode

    results: dict[int, int] = {}
    turns: Iterator[list[int]] = iter(())  # set when a run begins

    def next_level(state: _Turn) -> _Turn:
        for message in state.get("messages", ()):
            if isinstance(message, ToolMessage):
                results[int(message.tool_call_id)] = float(str(message.content))
        calls = [
            {
                "name": "work",
                "args": graph.arguments(k, [results[need] for need in graph.needs[k - 1]]),
                "id": str(k),
                "type": "tool_call",
            }
            for k in next(turns, ())
        ]
        return {"messages": [AIMessage("", tool_calls=calls)]}

    builder = StateGraph(_Turn)
    builder.add_node("planner", next_level)
    builder.add_node("tools", ToolNode([StructuredTool.from_function(coroutine=work)]))
    builder.add_edge(START, "planner")
    builder.add_edge("tools", "planner")
    builder.add_conditional_edges(
        "planner", lambda state: "tools" if state["messages"][-1].tool_calls else END
    )
    compiled = builder.compile()

    async def run() -> float:
        nonlocal turns
        results.clear()
        turns = iter(graph.levels)
        began = now()
        await compiled.ainvoke({"messages": []}, {"recursion_limit": 2 * len(graph.levels) + 10})
        took = now() - began
        if len(results) != len(graph):
            raise RuntimeError("not every task succeeded")
        return took

    return run


def langgraph_by_nodes(graph: Graph) -> Callable[[], Awaitable[float]]:
    """LangGraph's ``StateGraph`` with a node for each task, compiled beforehand."""
    from langchain_core.tools import StructuredTool
    from langgraph.graph import START, StateGraph

    tool = StructuredTool.from_function(coroutine=work)
    results: dict[int, int] = {}

    def node_of(number: int) -> Callable[[_Done], Awaitable[_Done]]:
        async def node(state: _Done) -> _Done:
            inputs = [results[need] for need in graph.needs[number - 1]]
            results[number] = await tool.ainvoke(graph.arguments(number, inputs))
            return {"done": [number]}

        return node

    builder = StateGraph(_Done)
    for k in graph.numbers:
        builder.add_node(str(k), node_of(k))
    for k in graph.numbers:
        needs = [str(need) for need in graph.needs[k - 1]]
        builder.add_edge(needs if len(needs) > 1 else needs[0] if needs else START, str(k))
    compiled = builder.compile()

    async def run() -> float:
        results.clear()
        began = now()
        await compiled.ainvoke({"done": []}, {"recursion_limit": len(graph.levels) + 10})
        took = now() - began
        if len(results) != len(graph):
            raise RuntimeError("not every task succeeded")
        return took

    return run


class _SkippingSelector(selectors.SelectSelector):
    """Does not wait for timers, and adds up what it did not wait."""

    skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self.skipped_s += timeout
            timeout = 0
        return super().select(timeout)


class IdleMachineLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock is the process's CPU time and the waits, which are skipped.

    A run takes on it what it would take on a machine that does nothing else and whose timers are exact:
    what is left over the critical path is the work of this process alone.
    """

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Seconds; only differences mean something."""
        return time.process_time() + self._skipping.skipped_s


LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop] | None] = {
    "CPU time + exact waits": IdleMachineLoop,
    "real time, the default event loop": None,
    "real time, timers to the microsecond": lambda: asyncio.SelectorEventLoop(selectors.SelectSelector()),
}


def now() -> float:
    """Seconds by the running event loop's clock."""
    return asyncio.get_running_loop().time()


def timed(
    run: Callable[[], Awaitable[float]],
    *,
    repeats: int = 1,
    loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> float:
    """The median of what ``run`` gives."""
    with asyncio.Runner(loop_factory=loop) as runner:
        return statistics.median(runner.run(_started(run)) for _ in range(repeats))


async def _started(run: Callable[[], Awaitable[float]]) -> float:
    return await run()


# Measurements: each gives rows of the table, and calls ``step`` whenever one part of it is done.

Step = Callable[[], None]


def overhead(step: Step) -> list[Row]:
    """(a) What a task costs when its call does nothing: CPU time, which other processes disturb least."""
    group = "CPU time per task (no-op calls, random graphs)"
    rows: list[Row] = []
    per_part: dict[int, float] = {}
    for n, repeats in ((100, 31), (1_000, 15), (10_000, 7), (100_000, 3)):
        graph = random_graph(n, 0, nothing)
        goal = 50.0 if n == 10_000 else None
        alone = timed(partial(cpu_of, graph, call_function), repeats=repeats) / n * _US
        rows.append(Row(group, f"{n:,} tasks: fetcher alone", alone, "µs", goal))
        if n <= 10_000:
            whole = timed(partial(cpu_of, graph, call_tool), repeats=repeats) / n * _US
            rows.append(Row(group, f"{n:,} tasks: and the call's validation and deadline", whole, "µs"))
        per_part[n] = alone * n / (n + graph.n_edges)
        rows.append(Row(group, f"{n:,} tasks: fetcher alone, per task + reference", per_part[n], "µs"))
        step()
    growth = per_part[100_000] / per_part[1_000]
    return [*rows, Row(group, "growth per task + reference from 1,000 to 100,000 tasks", growth, "x")]


async def cpu_of(graph: Graph, executor: Executor) -> float:
    """CPU seconds of the whole process for one run."""
    began = time.process_time()
    await fetch(graph, executor)
    return time.process_time() - began


def critical_path(step: Step) -> list[Row]:
    """(b) Wall time over the critical path: 1,000 calls of the same length."""
    rows: list[Row] = []
    for clock, loop in LOOPS.items():
        group = f"wall time over critical path, 1,000 calls ({clock})"
        skips = loop is IdleMachineLoop
        repeats = 3 if skips else 1  # waits that are skipped cost nothing to repeat
        for seconds in (same, slow) if skips else (same,):
            for family in _families(seconds):
                rows += _over_critical_path(group, family, loop, repeats)
                step()
    return rows


def _families(seconds: Callable[[random.Random], float]) -> list[list[Graph]]:
    return [
        [chained_graph(5, 200, seed, seconds) for seed in _SEEDS],
        [layered_graph(100, 10, seed, seconds) for seed in _SEEDS],
        [layered_graph(50, 20, seed, seconds) for seed in _SEEDS],
        [random_graph(1_000, seed, seconds) for seed in _SEEDS],
    ]


def _over_critical_path(
    group: str, family: Sequence[Graph], loop: Callable[[], asyncio.AbstractEventLoop] | None, repeats: int
) -> Iterator[Row]:
    ratios: dict[str, list[float]] = defaultdict(list)
    for graph in family:
        nominal = sum(graph.longest_chain)
        over = timed(partial(over_critical_path, graph), repeats=repeats, loop=loop)
        ratios["fetcher / critical path"].append(over)
        wall = timed(partial(fetch, graph), repeats=repeats, loop=loop)
        ratios["fetcher / (depth x call)"].append(wall / nominal)
        ratios["fetcher / longest chain alone"].append(wall / timed(partial(chain_alone, graph), loop=loop))
        bare = timed(partial(fetch, graph, call_function), repeats=repeats, loop=loop)
        ratios["fetcher, bare calls / (depth x call)"].append(bare / nominal)
        plain = timed(partial(await_plainly, graph), repeats=repeats, loop=loop)
        ratios["plain asyncio / (depth x call)"].append(plain / nominal)
    depth = statistics.median(len(graph.levels) for graph in family)
    name = f"{max(family[0].seconds) * _MS:.0f} ms, {family[0].shape}, {depth:.0f} deep"
    for what, found in ratios.items():
        is_named = what == "fetcher / critical path"
        is_exact = loop is IdleMachineLoop and what.startswith("fetcher")
        goal = 1.02 if family[0].shape == "random" and (is_named or is_exact) else None
        yield Row(group, f"{name}: {what}, median of {len(family)}", statistics.median(found), "x", goal)
        if what == "fetcher / (depth x call)":
            yield Row(group, f"{name}: {what}, worst of {len(family)}", max(found), "x")


def latency(step: Step) -> list[Row]:
    """(c) From the moment the last input exists to the start of the call, by the events' times."""
    group = "last input exists -> call starts (1,000 calls of 5 to 50 ms, random graphs)"
    rows: list[Row] = []
    for name, n_lines in (("all lines at once", 1_000), ("planner stalls after every 100 lines", 100)):
        by_result: list[float] = []
        by_plan: list[float] = []
        for seed in _SEEDS:
            graph = random_graph(1_000, seed, varying)
            results, plans = asyncio.run(_start_latencies(graph, n_lines))
            by_result += results
            by_plan += plans
            step()
        for what, latencies in (("result -> start", by_result), ("planned -> start", by_plan)):
            cuts = statistics.quantiles(latencies, n=100, method="inclusive")
            rows += [
                Row(group, f"{name}, {what}: p50 of {len(latencies):,}", cuts[49] * _MS, "ms"),
                Row(group, f"{name}, {what}: p99", cuts[98] * _MS, "ms", 1.0),
                Row(group, f"{name}, {what}: max", max(latencies) * _MS, "ms"),
            ]
    return rows


async def _start_latencies(graph: Graph, n_lines: int) -> tuple[list[float], list[float]]:
    """Seconds to the start, for tasks that waited for a result and for those that waited for their line.

    The planner writes ``n_lines`` lines and stalls in the next one until all calls that there are have
    ended, so that every call which waits for a result starts while it stalls.
    """
    finished: dict[int, float] = {}
    available: dict[int, float] = {}
    waited_for_line: set[int] = set()
    started: dict[int, float] = {}
    n_open = 0
    all_ended = asyncio.Event()

    def emit(event: Event) -> None:
        nonlocal n_open
        if isinstance(event, TaskPlanned):
            n_open += 1
            inputs = [finished[need] for need in graph.needs[event.task.id - 1] if need in finished]
            if len(inputs) == len(graph.needs[event.task.id - 1]):
                waited_for_line.add(event.task.id)
                available[event.task.id] = event.at_s
        elif isinstance(event, TaskStarted):
            started[event.task.id] = event.at_s
        elif isinstance(event, TaskFinished):
            finished[event.outcome.task.id] = event.at_s
            n_open -= 1
            if not n_open:
                all_ended.set()

    async def stalling() -> AsyncGenerator[Task]:
        for i, task in enumerate(graph.tasks):
            if i and i % n_lines == 0:
                all_ended.clear()
                if n_open:
                    await all_ended.wait()
            yield task

    fetcher = TaskFetcher(Toolbox([TOOL]), clock=time.perf_counter, emit=emit)
    await fetcher.run(stalling())
    for k in graph.numbers:
        if k not in waited_for_line:
            available[k] = max(finished[need] for need in graph.needs[k - 1])
    latencies = {k: started[k] - available[k] for k in graph.numbers}
    by_result = [latencies[k] for k in graph.numbers if k not in waited_for_line]
    return by_result, [latencies[k] for k in sorted(waited_for_line)]


def against_langgraph(step: Step) -> list[Row]:
    """(d) The same graphs by LangGraph."""
    group = f"LangGraph and plait: wall time, same graphs and calls ({len(_SEEDS)} graphs each)"
    rows: list[Row] = []
    families: list[tuple[str, Sequence[Graph]]] = [
        ("200 no-op calls", [random_graph(200, seed, nothing, window=40) for seed in _SEEDS]),
        ("200 calls of 10 ms", [random_graph(200, seed, same, window=40) for seed in _SEEDS]),
        ("200 calls of 5 to 50 ms", [random_graph(200, seed, varying, window=40) for seed in _SEEDS]),
        ("20 calls of 5 to 50 ms", [random_graph(20, seed, varying, window=8) for seed in _SEEDS]),
    ]
    for name, family in families:
        seconds: dict[str, list[float]] = defaultdict(list)
        for graph in family:
            seconds["plait"].append(timed(partial(fetch, graph), repeats=3))
            seconds["ToolNode, one turn per level"].append(timed(langgraph_by_levels(graph), repeats=3))
            seconds["StateGraph, one node per task"].append(timed(langgraph_by_nodes(graph), repeats=3))
            step()
        for runner, found in seconds.items():
            rows.append(Row(group, f"{name}: {runner}, median", statistics.median(found) * _MS, "ms"))
        for runner in list(seconds)[1:]:
            ratios = [other / ours for other, ours in zip(seconds[runner], seconds["plait"], strict=True)]
            rows.append(Row(group, f"{name}: {runner} / plait, median", statistics.median(ratios), "x"))
    return rows


MEASUREMENTS: Mapping[str, tuple[Callable[[Step], list[Row]], int]] = {
    "overhead": (overhead, 4),
    "critical-path": (critical_path, 12),
    "latency": (latency, 2 * len(_SEEDS)),
    "langgraph": (against_langgraph, 4 * len(_SEEDS)),
}


def machine() -> dict[str, Any]:
    """Where this ran."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "plait": __version__,
    }


def table_of(rows: Iterable[Row]) -> Table:
    """The rows for people."""
    table = Table("measured", "value", "goal", "", title="task fetcher")
    table.columns[1].justify = table.columns[2].justify = "right"
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            table.add_section()
            table.add_row(f"[bold]{group}[/bold]")
        goal = "" if row.goal is None else f"<= {row.goal:g} {row.unit}"
        verdict = {None: "", True: "[green]pass[/green]", False: "[red]FAIL[/red]"}[row.passed]
        table.add_row(
            f"  {row.what}",
            f"{row.value:.4g} {row.unit}" if row.unit == "x" else f"{row.value:.3g} {row.unit}",
            goal,
            verdict,
        )
    return table


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    check: Annotated[bool, typer.Option(help="End with an error if a goal is missed.")] = False,
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(MEASUREMENTS)}.")] = None,
) -> None:
    """Measure the task fetcher."""
    if unknown := set(only or ()) - set(MEASUREMENTS):
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(MEASUREMENTS)}")
    chosen = {name: found for name, found in MEASUREMENTS.items() if not only or name in only}
    rows: list[Row] = []
    where = machine()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for name, (measure, n_steps) in chosen.items():
            bar = progress.add_task(name, total=n_steps)
            rows += measure(lambda bar=bar: progress.advance(bar))
    if as_json:
        report = [{**asdict(row), "passed": row.passed} for row in rows]
        print(json.dumps({"machine": where, "rows": report}, indent=2, ensure_ascii=False))
    else:
        console = Console(width=None if sys.stdout.isatty() else 140)
        console.print(table_of(rows))
        console.print(", ".join(f"{key} {value}" for key, value in where.items()))
    if check and any(row.passed is False for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
