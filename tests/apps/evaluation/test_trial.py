import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.apps.evaluation._trial import Trial, planned_calls, try_items
from plait.apps.evaluation._types import ItemRecord, PlannedCall, plan_of
from plait.errors import ConfigurationError, ModelError, ModelServerError
from plait.models import Message, ScriptedModel, ToolCall
from plait.models._scripted import Answer, Reply
from plait.planners import Plan, PlanExample, Ref, Task, Template, parse_plan
from plait.tools import Toolbox, tool

pytestmark = pytest.mark.anyio

PLAN = '1. find(name="Sid")\n2. send(to=[$1], text="Hi")\n3. join()'
DEAD = Reply(error=ModelError("out of memory"))
RIGHT = Reply(PLAN)


def calls(*named: tuple[str, dict[str, Any]]) -> Reply:
    """A turn of a model with function calling of its own."""
    return Reply(
        "", tuple(ToolCall(f"call_{n}", name, arguments) for n, (name, arguments) in enumerate(named))
    )


async def tried(trial: Trial, *, workers: int = 1) -> list[ItemRecord]:
    records: list[ItemRecord] = []
    await try_items(trial, trial.benchmark.items(), records.append, workers=workers)
    return records


async def test_the_compiler_is_asked_once_and_nothing_is_called(fake_benchmark: Any) -> None:
    model = ScriptedModel([PLAN])
    (record,) = await tried(Trial(fake_benchmark(["write to Sid"], [PLAN]), model, "compiler"))
    assert record.correct
    assert record.parsed
    assert record.error is None
    assert record.plan == [
        PlannedCall(id=1, tool="find", arguments={"name": "Sid"}),
        PlannedCall(id=2, tool="send", arguments={"to": ["$1"], "text": "Hi"}),
    ]
    assert str(plan_of(record)) == PLAN
    assert (record.n_calls, record.answer) == (0, "")
    assert record.scores == {"calls": 2.0}
    assert len(model.requests) == 1


async def test_a_record_has_prompt_output_usage_and_times(fake_benchmark: Any) -> None:
    benchmark = fake_benchmark(["write to Sid"], [PLAN])
    (record,) = await tried(Trial(benchmark, ScriptedModel([PLAN]), "compiler"))
    assert (record.id, record.category, record.query, record.gold) == ("item-0", "all", "write to Sid", PLAN)
    (generation,) = record.generations
    assert generation.messages[0]["role"] == "system"
    assert any("find" in message["content"] for message in generation.messages)
    assert "write to Sid" in generation.messages[-1]["content"]
    assert PLAN.startswith(generation.output.rstrip())
    assert record.tokens.prompt == generation.tokens.prompt > 0
    assert record.tokens.completion > 0
    assert record.times.total_s >= record.times.plan_s > 0
    assert datetime.fromisoformat(record.finished).tzinfo is not None
    assert ItemRecord.model_validate_json(record.model_dump_json()) == record


async def test_executed_the_compilers_calls_are_made_and_an_answer_is_written(fake_benchmark: Any) -> None:
    model = ScriptedModel([PLAN, "Answer: It is sent."])
    trial = Trial(fake_benchmark(["q"], [PLAN]), model, "compiler", execute=True, tool_latency_s=0.001)
    (record,) = await tried(trial)
    assert record.correct
    assert record.n_calls == 2
    assert record.answer
    assert record.times.first_call_s is not None
    assert record.times.last_call_s is not None
    assert record.times.last_call_s > record.times.first_call_s
    assert record.times.tools_s >= 0.002


async def test_executed_runs_may_end_with_the_results_themselves(fake_benchmark: Any) -> None:
    model = ScriptedModel([PLAN])
    trial = Trial(fake_benchmark(["q"], [PLAN]), model, "compiler", execute=True, joiner="results")
    (record,) = await tried(trial)
    assert (record.correct, len(record.generations)) == (True, 1)
    assert record.answer


async def test_react_sees_made_up_results_and_its_plan_has_references(fake_benchmark: Any) -> None:
    def second(messages: Sequence[Message]) -> Answer:
        assert "<find 1001>" in messages[-1].content
        return '2. send(to=["<find 1001>"], text="Hi")'

    model = ScriptedModel(['1. find(name="Sid")', second, "Answer: sent"])
    (record,) = await tried(Trial(fake_benchmark(["q"], [PLAN]), model, "react"))
    assert record.correct
    assert (record.n_calls, record.answer, len(record.generations)) == (2, "sent", 3)
    assert record.tokens.prompt == sum(g.tokens.prompt for g in record.generations)


async def test_native_is_shown_results_unless_the_benchmark_is_one_of_single_turns(
    fake_benchmark: Any,
) -> None:
    first = calls(("find", {"name": "Sid"}))
    second = calls(("send", {"to": ["<find 1001>"], "text": "Hi"}))
    model = ScriptedModel([first, second, "sent"])
    (record,) = await tried(Trial(fake_benchmark(["q"], [PLAN]), model, "native"))
    assert record.correct
    assert (record.n_calls, record.answer) == (2, "sent")
    assert record.generations[0].tool_calls == [{"name": "find", "arguments": {"name": "Sid"}}]
    assert [t["function"]["name"] for t in record.generations[0].tools] == ["find", "send"]

    model = ScriptedModel([first])
    single = fake_benchmark(["q"], ['1. find(name="Sid")\n2. join()'], single_turn=True)
    (record,) = await tried(Trial(single, model, "native"))
    assert record.correct
    assert (record.n_calls, len(model.requests)) == (0, 1)


async def test_a_single_turn_benchmark_is_carried_out_all_the_same_when_that_is_wanted(
    fake_benchmark: Any,
) -> None:
    model = ScriptedModel([calls(("find", {"name": "Sid"})), "found"])
    (record,) = await tried(Trial(fake_benchmark(["q"], single_turn=True), model, "native", execute=True))
    assert (record.n_calls, record.answer) == (1, "found")


@pytest.mark.parametrize(
    ("planner", "script"),
    [
        ("compiler", ['1. find(name="Sid")\n2. join()']),
        ("react", ['1. find(name="Sid")', "Answer: real address of Sid"]),
        ("native", [calls(("find", {"name": "Sid"})), "real address of Sid"]),
    ],
)
async def test_real_tools_are_called_and_the_answer_is_scored(
    fake_benchmark: Any, planner: str, script: list[Answer]
) -> None:
    benchmark = fake_benchmark(["where is Sid?"], ["real address of Sid"], real_tools=True, single_turn=True)
    (record,) = await tried(Trial(benchmark, ScriptedModel(script), planner, tool_latency_s=60))
    assert record.correct
    assert (record.answer, record.n_calls) == ("real address of Sid", 1)


@pytest.mark.parametrize("planner", ["compiler", "react", "native"])
async def test_an_item_whose_model_fails_is_an_error_and_the_others_go_on(
    fake_benchmark: Any, planner: str
) -> None:
    good: Answer = {"native": calls(), "react": "Answer: no"}.get(planner, "1. join()")
    empty = "1. join()"
    trial = Trial(
        fake_benchmark(["a", "b", "c"], [empty] * 3, single_turn=True),
        ScriptedModel([good, DEAD, good]),
        planner,
    )
    records = await tried(trial)
    assert [record.correct for record in records] == [True, False, True]
    assert records[1].error is not None
    assert (records[1].error.type, records[1].error.message) == ("ModelError", "out of memory")
    assert records[1].detail == "out of memory"
    assert len(records[1].generations) == 1  # the prompt is kept, to see what it was
    assert [record.error for record in (records[0], records[2])] == [None, None]


async def test_a_prompt_that_does_not_fit_is_an_error_of_its_item_and_does_not_end_the_run(
    fake_benchmark: Any,
) -> None:
    trial = Trial(fake_benchmark(["q"] * 7), ScriptedModel([], context_length=5), "compiler")
    records = await tried(trial)
    assert [r.error is not None and r.error.type for r in records] == ["ContextLengthError"] * 7


async def test_five_failures_of_the_model_in_a_row_end_the_run_and_keep_the_records(
    fake_benchmark: Any,
) -> None:
    refused = Reply(error=ModelServerError("refused"))
    script = [RIGHT, DEAD, DEAD, DEAD, DEAD, RIGHT, DEAD, refused, DEAD, refused, DEAD, RIGHT]
    trial = Trial(
        fake_benchmark([f"q{n}" for n in range(20)]), ScriptedModel(script, name="small"), "compiler"
    )
    records: list[ItemRecord] = []
    with pytest.raises(
        ModelError, match=r"model small failed 5 times in a row.*out of memory.*--retry-errors"
    ):
        await try_items(trial, trial.benchmark.items(), records.append)
    assert len(records) == 11
    assert sum(record.error is not None for record in records) == 9


async def test_text_that_is_no_plan_is_wrong_and_no_error(fake_benchmark: Any) -> None:
    benchmark = fake_benchmark(["a", "b"], ["1. join()"] * 2)
    records = await tried(Trial(benchmark, ScriptedModel(["1. find(name=", "1. find(name=$4)"]), "compiler"))
    for record in records:
        assert not record.parsed
        assert not record.correct
        assert record.error is None
        assert record.detail


async def test_tasks_before_the_place_where_a_plan_broke_off_are_kept(fake_benchmark: Any) -> None:
    (record,) = await tried(
        Trial(fake_benchmark(["q"]), ScriptedModel(['1. find(name="Sid")\n2. send(to=']), "compiler")
    )
    assert [call.tool for call in record.plan] == ["find"]
    assert not record.parsed


async def test_react_without_an_end_is_scored_by_what_it_called(fake_benchmark: Any) -> None:
    script = [f'{n}. find(name="N{n}")' for n in range(1, 30)]
    (record,) = await tried(Trial(fake_benchmark(["q"]), ScriptedModel(script), "react"))
    assert record.error is None
    assert record.parsed
    assert "no answer after" in record.detail
    assert record.n_calls == len(record.plan) > 1


async def test_an_item_without_tools_makes_no_model_call_and_has_the_empty_plan(fake_benchmark: Any) -> None:
    model = ScriptedModel([PLAN])
    benchmark = fake_benchmark(["a", "b"], ["1. join()", PLAN], toolless=["item-0"])
    records = await tried(Trial(benchmark, model, "compiler"))
    assert [record.correct for record in records] == [True, True]
    assert (records[0].generations, records[0].plan) == ([], [])
    assert len(model.requests) == 1


async def test_a_toolbox_that_cannot_be_built_is_an_error_of_its_item(fake_benchmark: Any) -> None:
    class Broken(fake_benchmark):  # type: ignore[misc]
        def toolbox(self, item: Any, model: Any = None) -> Toolbox:
            if item.id == "item-0":
                raise ConfigurationError("no such tools")
            return super().toolbox(item, model)  # type: ignore[no-any-return]

    records = await tried(Trial(Broken(["a", "b"], [PLAN] * 2), ScriptedModel([PLAN]), "compiler"))
    assert records[0].error is not None
    assert records[0].error.message == "no such tools"
    assert records[1].correct
    assert Trial(Broken(["a"]), ScriptedModel([]), "compiler").prompt_sha256(Broken(["a"]).items())


async def test_workers_try_items_at_the_same_time(fake_benchmark: Any) -> None:
    together = asyncio.Barrier(3)

    async def wait(chunk: int) -> None:
        if chunk == 0:
            await together.wait()

    model = ScriptedModel([PLAN] * 6, before_chunk=wait)
    trial = Trial(fake_benchmark([f"q{n}" for n in range(6)], [PLAN] * 6), model, "compiler")
    async with asyncio.timeout(10):
        records = await tried(trial, workers=3)
    assert sorted(record.id for record in records) == [f"item-{n}" for n in range(6)]
    assert all(record.correct for record in records)


async def test_one_worker_tries_one_item_after_the_other(fake_benchmark: Any) -> None:
    model = ScriptedModel([PLAN] * 3)
    trial = Trial(fake_benchmark(["a", "b", "c"]), model, "compiler")
    assert [record.query for record in await tried(trial)] == ["a", "b", "c"]
    assert len(model.requests) == 3


async def test_cancelling_keeps_what_was_finished(fake_benchmark: Any) -> None:
    stalled, never = asyncio.Event(), asyncio.Event()
    records: list[ItemRecord] = []

    async def wait(chunk: int) -> None:
        if len(records) == 2:
            stalled.set()
            await never.wait()

    trial = Trial(fake_benchmark(["q"] * 5), ScriptedModel([PLAN] * 5, before_chunk=wait), "compiler")
    running = asyncio.create_task(try_items(trial, trial.benchmark.items(), records.append, workers=2))
    async with asyncio.timeout(10):
        await stalled.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert len(records) == 2


async def test_a_record_that_cannot_be_kept_ends_the_run_with_its_reason(fake_benchmark: Any) -> None:
    def keep(record: ItemRecord) -> None:
        raise ConfigurationError("the disk is full")

    trial = Trial(fake_benchmark(["q"] * 5), ScriptedModel([PLAN] * 5), "compiler")
    with pytest.raises(ConfigurationError, match="the disk is full"):
        await try_items(trial, trial.benchmark.items(), keep, workers=2)


@tool
def find(name: str, place: str = "") -> str:
    """Find a person's address, near a place.

    Args:
        name: who.
        place: where.
    """
    return name


def digest(trial: Trial) -> str:
    return trial.prompt_sha256(trial.benchmark.items())


@pytest.mark.parametrize("planner", ["compiler", "react", "native"])
@pytest.mark.parametrize("kind", [None, "lark", "gbnf", "json_schema"])
async def test_the_hash_of_the_prompts_says_whether_the_model_is_told_the_same(
    fake_benchmark: Any, planner: str, kind: Any
) -> None:
    def trial(*, name: str = "m", **fields: Any) -> Trial:
        benchmark = fake_benchmark(**{"queries": ["q"], **fields})
        return Trial(benchmark, ScriptedModel([], name=name, grammar_kind=kind), planner)

    same = digest(trial())
    assert digest(trial()) == same
    assert digest(trial(name="other", golds=["x"], fingerprint="2")) == same
    executed = digest(replace(trial(), execute=True, tool_latency_s=1.0))
    assert executed != same  # it is told how to answer, too
    assert digest(replace(trial(), execute=True, tool_latency_s=2.0)) == executed
    assert digest(trial(queries=["q", "second of the category"])) == same
    assert digest(trial(queries=["another"])) != same
    assert digest(trial(tools=[find])) != same
    by_query = {"category": lambda query: query}
    assert digest(trial(queries=["q", "r"], **by_query)) != digest(trial(queries=["q", "s"], **by_query))


async def test_the_hash_changes_with_planner_grammar_and_examples(fake_benchmark: Any) -> None:
    def trial(planner: str = "compiler", kind: Any = None, examples: Any = ()) -> str:
        benchmark = fake_benchmark(["q"], examples=examples)
        return digest(Trial(benchmark, ScriptedModel([], grammar_kind=kind), planner))

    example = PlanExample("write to Ana", tuple(parse_plan('1. find(name="Ana")\n2. join()')))
    found = [
        *(trial(planner) for planner in ("compiler", "react", "native")),
        trial(kind="lark"),
        trial("react", kind="lark"),
        trial(examples=[example]),
    ]
    assert len(set(found)) == len(found)


async def test_the_hash_passes_over_items_without_tools(fake_benchmark: Any) -> None:
    model = ScriptedModel([])
    with_both = fake_benchmark(["none", "q"], toolless=["item-0"])
    assert digest(Trial(with_both, model, "compiler")) == digest(
        Trial(fake_benchmark(["q"]), model, "compiler")
    )
    assert digest(Trial(fake_benchmark(["q"], toolless=["item-0"]), model, "compiler"))


TEXTS = st.text("ab $1{}\"'\n.[]大", max_size=8)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    tasks: list[Task] = []
    for number in range(1, draw(st.integers(0, 4)) + 1):
        path = st.lists(st.integers(0, 9) | st.text("ab' $é", min_size=1, max_size=3), max_size=2).map(tuple)
        refs = st.builds(Ref, st.integers(1, number - 1), path) if number > 1 else st.nothing()
        texts = st.builds(lambda a, ref, b: Template((f"{a}-", ref, f"-{b}")), TEXTS, refs, TEXTS)
        values = st.recursive(
            TEXTS | refs | texts | st.none() | st.booleans() | st.integers() | st.floats(-9, 9),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
            max_leaves=4,
        )
        name = draw(st.sampled_from(["find", "join", "made up", "", "a.b"]))
        tasks.append(Task(number, name, draw(st.dictionaries(TEXTS, values, max_size=3))))
    return Plan(tuple(tasks))


@given(plans())
def test_a_plan_comes_back_from_its_record_as_it_was(plan: Plan) -> None:
    record = ItemRecord(id="a", category="c", query="q", correct=True, plan=planned_calls(plan))
    assert plan_of(ItemRecord.model_validate_json(record.model_dump_json())) == plan


def test_a_plan_of_many_calls_and_deep_arguments_comes_back() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    plan = Plan(tuple(Task(n, "find", {"a": deep}) for n in range(1, 150)))
    record = ItemRecord(id="a", category="c", query="q", correct=True, plan=planned_calls(plan))
    assert plan_of(record) == plan


def test_a_record_with_a_reference_to_a_later_call_is_told_by_its_id() -> None:
    call = PlannedCall(id=1, tool="find", arguments={"name": ["${2}"]})
    record = ItemRecord(id="mail-7", category="c", query="q", correct=True, plan=[call])
    with pytest.raises(
        ConfigurationError, match=r"item 'mail-7' cannot be read \(\$2 is not .*delete its line"
    ):
        plan_of(record)


async def test_a_plan_that_cannot_be_scored_is_an_error_of_its_item(
    fake_benchmark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = fake_benchmark(["write to Sid", "again"], [PLAN, PLAN])
    score, n_scored = benchmark.score, 0

    def odd(*arguments: Any) -> Any:
        nonlocal n_scored
        n_scored += 1
        if n_scored == 1:
            raise OverflowError("date value out of range")
        return score(*arguments)

    monkeypatch.setattr(benchmark, "score", odd, raising=False)
    first, second = await tried(Trial(benchmark, ScriptedModel([PLAN, PLAN]), "compiler"))
    assert first.error is not None
    assert (first.error.type, first.correct, len(first.plan)) == ("ScoringError", False, 2)
    assert "OverflowError: date value out of range" in first.error.message
    assert second.correct


async def test_a_record_says_how_many_items_were_tried_at_a_time(fake_benchmark: Any) -> None:
    trial = Trial(fake_benchmark(["write to Sid"], [PLAN]), ScriptedModel([PLAN]), "compiler")
    (record,) = await tried(trial, workers=3)
    assert (record.workers, record.model_calls) == (3, 1)
