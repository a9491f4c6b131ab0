from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.apps.evaluation._tracing import StubExecutor, traced_plan
from plait.errors import DependencyError, ToolArgumentError, ToolCallError, UnknownToolError
from plait.models import ScriptedModel
from plait.orchestrator import Agent, Run
from plait.planners import Plan, Ref, Task, TaskOutcome, Template, parse_plan, substitute
from plait.tools import Toolbox, to_text, tool

pytestmark = pytest.mark.anyio


def done(
    number: int, arguments: Mapping[str, Any], result: Any = None, filled: Any = None, **fields: Any
) -> TaskOutcome:
    """A call that was made; ``filled`` are its arguments where they are not those that were planned."""
    task = Task(number, "call", arguments)
    fields = {"status": "ok", "started_s": 0.1, **fields}
    return TaskOutcome(task, result=result, arguments=filled or arguments, **fields)


def never(number: int, error: Exception, arguments: Mapping[str, Any] | None = None) -> TaskOutcome:
    """A task that failed before a call was made."""
    return done(number, arguments or {}, status="failed", error=error, started_s=None)


def run_of(*outcomes: TaskOutcome) -> Run:
    return Run("q", plans=[Plan(tuple(o.task for o in outcomes))], tasks=list(outcomes))


def second_argument(result: Any, written: Any) -> Any:
    """What becomes of ``written`` in a call after one that gave ``result``."""
    plan = traced_plan(run_of(done(1, {}, result), done(2, {"a": written})))
    return plan.tasks[1].arguments["a"]


EMAIL = "sid.1@example.com"


@pytest.mark.parametrize(
    ("result", "written", "traced"),
    [
        (EMAIL, EMAIL, Ref(1)),
        (EMAIL, "SID.1@Example.com", Ref(1)),
        (EMAIL, [EMAIL, "ana@example.com"], [Ref(1), "ana@example.com"]),
        (EMAIL, {"to": [{"address": EMAIL}]}, {"to": [{"address": Ref(1)}]}),
        (EMAIL, f"Write to {EMAIL}, now", Template(("Write to ", Ref(1), ", now"))),
        (EMAIL, f"<{EMAIL}>{EMAIL}", Template(("<", Ref(1), ">", Ref(1)))),
        ("Costs  fell\nby half", "costs fell by\t half", Ref(1)),
        (10001, 10001, Ref(1)),
        (10001, 10001.0, Ref(1)),
        (10001.0, 10001, Ref(1)),
        (10001.5, "it costs 10001.5 in all", Template(("it costs ", Ref(1), " in all"))),
        (10001, "10001", Ref(1)),
        ("10001", 10001, Ref(1)),
        ({"who": {"mail": EMAIL}}, EMAIL, Ref(1, ("who", "mail"))),
        ([{"mail": EMAIL}], EMAIL, Ref(1, (0, "mail"))),
        ({"mail": EMAIL}, {"mail": EMAIL}, {"mail": Ref(1, ("mail",))}),
        ("Hauptstraße 1001", "in der hauptstraße 1001!", Template(("in der ", Ref(1), "!"))),
        ("Hauptstraße 1001", "HAUPTSTRASSE 1001", Ref(1)),
        ("İZMİR-1001", "\u0131 İZMİR-1001 \u0131", Template(("\u0131 ", Ref(1), " \u0131"))),
        ("Summary 1001: all well.", "总结Summary 1001: all well.谢谢", Template(("总结", Ref(1), "谢谢"))),
        ("<call 1001>", "see<call 1001>there", Template(("see", Ref(1), "there"))),
        ("+1-555-1001", "tel+1-555-1001", Template(("tel", Ref(1)))),
        ("a.b*c(1001)", "A.B*C(1001)", Ref(1)),
    ],
)
def test_a_value_that_was_passed_on_becomes_a_reference(result: Any, written: Any, traced: Any) -> None:
    assert second_argument(result, written) == traced


@pytest.mark.parametrize(
    ("result", "written"),
    [
        ("Sid", "Sid"),
        (100, 100),
        (1.5, "1.5"),
        ("  ok \n", "ok"),
        ("", ""),
        (True, True),
        (None, None),
        ([], []),
        (EMAIL, f"x{EMAIL}"),
        (EMAIL, f"{EMAIL}x"),
        (10001, "100012"),
        (10001, "10001.5"),
        (10001, "3.10001"),
        (10001, 10001.5),
        ("a.b*c1001", "aXbbc1001"),
        ("kino", "k\u0131no"),
        ("hali-1001/hali", "hali-1001/halİ"),
        (EMAIL, "nothing of it"),
        (EMAIL, 7),
    ],
)
def test_a_value_that_could_be_there_by_chance_stays(result: Any, written: Any) -> None:
    assert second_argument(result, written) == written


def test_of_two_equal_values_the_first_is_where_it_came_from() -> None:
    plan = traced_plan(run_of(done(1, {}, EMAIL), done(2, {}, EMAIL), done(3, {"a": EMAIL})))
    assert plan.tasks[2].arguments == {"a": Ref(1)}


def test_the_longer_of_two_values_wins_where_one_is_in_the_other() -> None:
    link = f"https://example.com/{EMAIL}"
    plan = traced_plan(run_of(done(1, {}, EMAIL), done(2, {}, link), done(3, {"a": f"see {link}"})))
    assert plan.tasks[2].arguments == {"a": Template(("see ", Ref(2)))}


def test_a_call_cannot_use_its_own_result_or_a_later_one() -> None:
    plan = traced_plan(run_of(done(1, {"a": EMAIL}, EMAIL), done(2, {"a": "later"}), done(3, {}, "later")))
    assert [task.arguments for task in plan] == [{"a": EMAIL}, {"a": "later"}, {}]


def test_the_result_of_a_call_that_failed_is_no_value() -> None:
    failed = done(1, {}, EMAIL, status="failed", error=ToolCallError("no"))
    plan = traced_plan(run_of(failed, done(2, {"a": EMAIL})))
    assert [(task.id, dict(task.arguments)) for task in plan] == [(1, {}), (2, {"a": EMAIL})]


def test_references_stay_and_texts_around_them_are_traced() -> None:
    arguments = {"a": Ref(1, ("x",)), "b": Template((f"{EMAIL} and ", Ref(1)))}
    plan = traced_plan(run_of(done(1, {}, EMAIL), done(2, arguments)))
    assert plan.tasks[1].arguments == {"a": Ref(1, ("x",)), "b": Template((Ref(1), " and ", Ref(1)))}


@pytest.mark.parametrize(
    "error", [ToolArgumentError("wrong"), UnknownToolError("none"), DependencyError("no")]
)
def test_calls_that_never_reached_a_tool_are_left_out_and_numbers_have_no_gap(error: Exception) -> None:
    lost = never(2, error)
    outcomes = [done(1, {}, EMAIL), lost, done(3, {"a": EMAIL}, "other"), done(4, {"a": Ref(3), "b": Ref(1)})]
    assert str(traced_plan(run_of(*outcomes))) == "1. call()\n2. call(a=$1)\n3. call(a=$2, b=$1)\n4. join()"


def test_a_call_whose_arguments_were_refused_is_left_out_though_it_was_begun() -> None:
    refused = done(1, {"a": 1}, status="failed", error=ToolArgumentError("wrong"))
    assert str(traced_plan(run_of(refused, done(2, {"a": 2})))) == "1. call(a=2)\n2. join()"


def test_what_depends_on_a_call_that_was_refused_is_left_out_with_it() -> None:
    refused = done(1, {}, status="failed", error=ToolArgumentError("wrong"))
    skipped = [never(2, DependencyError("no"), {"a": Ref(1)}), never(3, DependencyError("no"), {"a": Ref(2)})]
    mended = [done(4, {}, "found"), done(5, {"a": Ref(4)})]
    plan = traced_plan(run_of(refused, *skipped, *mended))
    assert str(plan) == "1. call()\n2. call(a=$1)\n3. join()"


def test_what_needs_a_call_that_was_reused_needs_the_call_that_was_made() -> None:
    """A replan repeats a chain of two calls that were made before, and goes on from there."""
    first = [done(1, {"n": 1}, "one1"), done(2, {"a": Ref(1)}, "two2", filled={"a": "one1"})]
    failed = done(3, {"a": Ref(2)}, status="failed", error=ToolCallError("no"), filled={"a": "two2"})
    again = [
        done(4, {"n": 1}, "one1", reused=True, started_s=None),
        done(5, {"a": Ref(4)}, "two2", reused=True, started_s=None, filled={"a": "one1"}),
        done(6, {"b": Ref(5), "c": Ref(4)}, filled={"b": "two2", "c": "one1"}),
    ]
    plan = traced_plan(run_of(*first, failed, *again))
    assert str(plan) == ("1. call(n=1)\n2. call(a=$1)\n3. call(a=$2)\n4. call(b=$2, c=$1)\n5. join()")


def test_where_nothing_was_carried_out_every_planned_task_counts() -> None:
    plan = Plan(tuple(parse_plan('1. call(a=1)\n2. call(b="${1} and sid.1@example.com")\n3. join()')))
    assert traced_plan(Run("q", plans=[plan])) == plan
    assert traced_plan(Run("q")) == Plan()


@tool
def call(a: Any = None, b: Any = None) -> str:
    """Do something."""
    raise AssertionError("stubs are called in its place")


@tool
def wants_number(n: int) -> int:
    """Do something with a number."""
    raise AssertionError("stubs are called in its place")


SHAPES: list[Callable[[int], Any]] = [
    lambda n: f"<result {1000 + n}>",
    lambda n: 10000 + n,
    lambda n: 10000.5 + n,
    lambda n: {"name": f"Name-{1000 + n}", "more": [{"size": 20000 + n}, f"ß-{3000 + n}"]},
    lambda n: [f"Item {1000 + n}", [f"Deep {2000 + n}"]],
]
PATHS: list[list[tuple[str | int, ...]]] = [
    [()],
    [()],
    [()],
    [("name",), ("more", 0, "size"), ("more", 1)],
    [(0,), (1, 0)],
]
WORDS = st.text("ab ,:\n$ßİ大{}\\", max_size=6)


@st.composite
def plans(draw: st.DrawFn) -> tuple[Plan, list[Any]]:
    """A plan in which calls use values of earlier results, and the results."""
    tasks: list[Task] = []
    results: list[Any] = []
    paths: list[Ref] = []
    for number in range(1, draw(st.integers(1, 7)) + 1):
        refs = st.sampled_from(paths) if paths else st.nothing()
        text = st.tuples(WORDS, refs, WORDS).map(lambda t: Template((f"{t[0]} ", t[1], f" {t[2]}")))
        values = st.recursive(
            refs | text | WORDS | st.booleans() | st.integers(0, 99),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=2),
            max_leaves=4,
        )
        tasks.append(Task(number, "call", draw(st.dictionaries(st.sampled_from("ab"), values))))
        shape = draw(st.integers(0, len(SHAPES) - 1))
        results.append(SHAPES[shape](number))
        paths += [Ref(number, path) for path in PATHS[shape]]
    return Plan(tuple(tasks)), results


def reached(results: list[Any], ref: Ref) -> Any:
    value = results[ref.task - 1]
    for step in ref.path:
        value = value[step]
    return value


def renumbered(value: Any, numbers: Mapping[int, int]) -> Any:
    if isinstance(value, Ref):
        return Ref(numbers[value.task], value.path)
    if isinstance(value, Template):
        return Template(tuple(renumbered(part, numbers) for part in value.parts))
    if isinstance(value, dict):
        return {key: renumbered(item, numbers) for key, item in value.items()}
    return [renumbered(item, numbers) for item in value] if isinstance(value, list) else value


@given(plans())
def test_tracing_finds_every_reference_that_was_replaced_by_its_value(drawn: tuple[Plan, list[Any]]) -> None:
    plan, results = drawn
    outcomes = []
    for task, result in zip(plan, results, strict=True):
        filled = substitute(dict(task.arguments), lambda ref: reached(results, ref), to_text)
        outcomes.append(done(task.id, filled, result))
    assert traced_plan(run_of(*outcomes)) == plan


@given(plans(), st.sets(st.integers(1, 14)))
def test_no_reference_dangles_or_changes_its_target_when_refused_calls_stand_between(
    drawn: tuple[Plan, list[Any]], gaps: set[int]
) -> None:
    plan, results = drawn
    numbers: dict[int, int] = {}
    outcomes: list[TaskOutcome] = []
    for task, result in zip(plan, results, strict=True):
        if len(outcomes) + 1 in gaps:
            outcomes.append(never(len(outcomes) + 1, UnknownToolError("none"), {"a": "<result 1001>"}))
        numbers[task.id] = number = len(outcomes) + 1
        outcomes.append(done(number, renumbered(dict(task.arguments), numbers), result))
    assert traced_plan(run_of(*outcomes)) == plan


async def test_stub_results_are_made_up_once_for_every_call(fake_benchmark: Any) -> None:
    stubs = StubExecutor(fake_benchmark())
    assert [await stubs(call, {}), await stubs(call, {"a": 1})] == ["<call 1001>", "<call 1002>"]


async def test_a_stub_refuses_wrong_arguments_as_the_tool_would(fake_benchmark: Any) -> None:
    with pytest.raises(ToolArgumentError):
        await StubExecutor(fake_benchmark())(wants_number, {"n": "many"})


async def test_a_plan_that_was_executed_with_stubs_is_traced_as_it_was_written(fake_benchmark: Any) -> None:
    text = '1. call(a="x")\n2. wants_number(n="many")\n3. call(a=$1, b=["${1}!"])\n4. join()'
    toolbox = Toolbox([call, wants_number])
    executor = StubExecutor(fake_benchmark())
    agent = Agent(ScriptedModel([text, "1. join()"]), toolbox, policy="none", executor=executor, now=None)
    run = await agent.run("do it")
    assert str(traced_plan(run)) == '1. call(a="x")\n2. call(a=$1, b=["${1}!"])\n3. join()'
