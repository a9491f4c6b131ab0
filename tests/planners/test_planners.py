"""What planners and the joiner say to a model, and what they make of its words."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

import pytest

from plait import ScriptedModel, Tool, Toolbox, tool
from plait.errors import GrammarError, PlanError, ToolCallError
from plait.planners import (
    Answer,
    AnswerText,
    CompilerPlanner,
    ModelJoiner,
    NativePlanner,
    PastCall,
    PastTurn,
    Plan,
    PlanContext,
    PlanExample,
    ReactPlanner,
    Ref,
    Replan,
    ResultsJoiner,
    Task,
    TaskOutcome,
    Template,
    parse_plan,
)
from plait.planners._general_examples import GENERAL_EXAMPLES, PARTS_EXAMPLES, GeneralExample
from plait.planners._step_examples import STEP_EXAMPLES, StepExample

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 21, 10, 0)


@tool(read_only=True)
async def find_email(name: str) -> str:
    """The email address of a person.

    Args:
        name: the person's name
    """
    return name


@tool(read_only=False)
async def send(to: list[str], text: str = "") -> str:
    """Send a message."""
    return text


BOX = Toolbox([send, find_email])
EXAMPLE = PlanExample(
    "Write hello $1 to Bo",
    Plan((Task(1, "find_email", {"name": "Bo"}), Task(2, "send", {"to": [Ref(1)], "text": "hello $1"}))),
)


def context(**changes: object) -> PlanContext:
    return PlanContext("Write to Sid", NOW, **changes)  # type: ignore[arg-type]


def done(number: int, tool: str, result: object, **arguments: object) -> TaskOutcome:
    return TaskOutcome(Task(number, tool, arguments), "ok", result, arguments=arguments)


def failed(number: int, tool: str, why: str, **arguments: object) -> TaskOutcome:
    return TaskOutcome(Task(number, tool, arguments), "failed", error=ToolCallError(why), arguments=arguments)


async def collect(steps: AsyncIterator[object], kind: type) -> list:
    return [step async for step in steps if isinstance(step, kind)]


async def test_the_compilers_prompt_shows_rules_tools_and_examples_in_this_order() -> None:
    planner = CompilerPlanner(ScriptedModel([]), BOX, examples=[EXAMPLE])
    system, user = (m.content for m in planner.messages(context()))
    tools = (
        "Tools:\n"
        "- find_email(name: str) -> str: The email address of a person.\n"
        "    name: the person's name\n"
        '- send(to: list[str], text: str = "") -> str: Send a message.\n'
    )
    assert tools in system
    assert (
        'Request: Write hello $1 to Bo\nPlan:\n1. find_email(name="Bo")\n2. send(to=[$1], text="hello $1")'
        in system
    )
    assert system.index("Rules:") < system.index("Tools:") < system.index("Write hello")
    assert user.startswith("Today: Saturday 2026-11-21 (tomorrow Sunday 2026-11-22, Monday")
    assert user.endswith("Request: Write to Sid\nPlan:")


async def test_examples_with_tools_that_are_not_offered_are_left_out() -> None:
    planner = CompilerPlanner(ScriptedModel([]), Toolbox([find_email]), examples=[EXAMPLE])
    assert "Write hello" not in str(planner.messages(context()))


async def test_without_fitting_examples_general_ones_come_as_turns_and_the_tools_after_them() -> None:
    turns = CompilerPlanner(ScriptedModel([]), BOX).messages(context())
    assert [m.role for m in turns[:3]] == ["system", "user", "assistant"]
    assert "find_email" not in "".join(m.content for m in turns[:-1])
    assert turns[-1].content.index("- find_email(") < turns[-1].content.index("Request: Write to Sid")


async def test_the_prompts_of_two_requests_differ_from_the_clock_on_and_not_before() -> None:
    planner = CompilerPlanner(ScriptedModel([]), BOX)
    first = planner.messages(context())
    second = planner.messages(replace(context(), query="Call Ana"))
    assert first[:-1] == second[:-1]
    assert first[-1].content.partition("Today: ")[0] == second[-1].content.partition("Today: ")[0]


@pytest.mark.parametrize("example", [*GENERAL_EXAMPLES, *PARTS_EXAMPLES], ids=lambda e: e.query)
def test_a_general_example_is_a_plan_over_its_own_tools(example: GeneralExample) -> None:
    offered = re.findall(r"^- ([^\s(]+)\((.*?)\)(?: -> .*)?: ", example.tools, re.MULTILINE)
    arguments = {name: re.findall(r"(\w+)\??:", listed) for name, listed in offered}
    for task in parse_plan(example.plan, arguments):
        assert set(task.arguments) <= set(arguments[task.tool])


@pytest.mark.parametrize("example", STEP_EXAMPLES, ids=lambda e: e.query)
def test_an_example_in_steps_calls_its_own_tools_and_answers(example: StepExample) -> None:
    offered = re.findall(r"^- ([^\s(]+)\((.*?)\): ", example.tools, re.MULTILINE)
    arguments = {name: re.findall(r"(\w+)\??:", listed) for name, listed in offered}
    plan = "\n".join(written.partition("\n")[2] for written, _ in example.turns)
    for number, task in enumerate(parse_plan(f"{plan}\n{len(example.turns) + 1}. join()", arguments), 1):
        assert task.id == number
        assert set(task.arguments) <= set(arguments[task.tool])
    turns = [*(written for written, _ in example.turns), example.answer]
    assert all(turn.startswith("Thought: ") for turn in turns)
    assert "\nAnswer: " in example.answer


@pytest.mark.parametrize("planner", [CompilerPlanner, ReactPlanner, NativePlanner])
async def test_without_a_clock_the_prompt_says_nothing_of_dates(planner: type) -> None:
    timeless = "".join(
        m.content for m in planner(ScriptedModel([]), BOX).messages(replace(context(), now=None))
    )
    assert "Time:" not in timeless
    assert "YYYY" not in timeless
    assert "Time:" in "".join(m.content for m in planner(ScriptedModel([]), BOX).messages(context()))


@pytest.mark.parametrize("kind", ["lark", "gbnf"])
async def test_a_model_that_enforces_a_grammar_is_given_one(kind: str) -> None:
    model = ScriptedModel(['1. find_email(name="Sid")\n2. join()'], grammar_kind=kind)  # type: ignore[arg-type]
    tasks = await collect(CompilerPlanner(model, BOX).plan(context()), Task)
    assert [str(t) for t in tasks] == ['1. find_email(name="Sid")']
    grammar = model.requests[0].grammar
    assert grammar is not None
    assert "find_email(" in getattr(grammar, kind)


async def test_a_model_that_enforces_none_is_given_none() -> None:
    model = ScriptedModel(["1. join()"])
    assert await collect(CompilerPlanner(model, BOX).plan(context()), Task) == []
    assert model.requests[0].grammar is None


async def test_a_model_that_takes_json_schema_plans_in_json() -> None:
    text = (
        '{"tasks": [{"tool": "find_email", "arguments": {"name": "Sid"}}, '
        '{"tool": "send", "arguments": {"to": ["$1"], "text": "mail ${1}, \\\\$1"}}]}'
    )
    model = ScriptedModel([text], grammar_kind="json_schema", chunk_size=5)
    planner = CompilerPlanner(model, BOX, examples=[EXAMPLE])
    tasks = await collect(planner.plan(context()), Task)
    assert tasks[1] == Task(2, "send", {"to": [Ref(1)], "text": Template(("mail ", Ref(1), ", $1"))})
    assert (
        '{"tool": "send", "arguments": {"to": ["$1"], "text": "hello \\\\$1"}}'
        in planner.messages(context())[0].content
    )


async def test_tasks_come_as_soon_as_their_line_is_complete() -> None:
    model = ScriptedModel([['1. find_email(name="Sid")', '\n2. find_email(name="Ana")', "\n3. join()"]])
    steps = [type(s).__name__ async for s in CompilerPlanner(model, BOX).plan(context())]
    assert steps == ["PlanText", "Task", "PlanText", "Task", "PlanText", "Usage"]


async def test_a_plan_that_is_cut_off_is_an_error_after_its_whole_tasks() -> None:
    model = ScriptedModel([['1. find_email(name="Sid")', "\n2. send(to=[$1]", ' , text="and so on']])
    steps = CompilerPlanner(model, BOX, max_tokens=2).plan(context())
    assert [s.id for s in [await anext(steps) for _ in range(2)] if isinstance(s, Task)] == [1]
    with pytest.raises(PlanError, match="cut off after 2 tokens"):
        await collect(steps, Task)


async def test_a_replan_is_numbered_on_and_may_use_what_succeeded_only() -> None:
    outcomes = (done(1, "find_email", "a@x", name="Ana"), failed(2, "find_email", "No Bo", name="Bo"))
    again = context(outcomes=outcomes, feedback="call 2 failed", rounds_left=1)
    model = ScriptedModel(['3. send(to=[$1], text="${2}")'], grammar_kind="lark")
    planner = CompilerPlanner(model, BOX)
    with pytest.raises(PlanError, match="2 is not the result of an earlier task"):
        await collect(planner.plan(again), Task)
    request = model.requests[0]
    assert request.grammar is not None
    assert "start: plan::3" in (request.grammar.lark or "")
    assert '"$2"' not in (request.grammar.lark or "")
    assert (
        '1. find_email(name="Ana")\n-> a@x\n2. find_email(name="Bo")\n-> failed: No Bo'
        in request.messages[-1].content
    )


async def test_a_tool_that_no_grammar_can_express_is_named() -> None:
    nan = Tool.from_schema(
        {"name": "odd", "parameters": {"type": "object", "properties": {"x": {"enum": [float("nan")]}}}}
    )
    planner = CompilerPlanner(ScriptedModel(["1. join()"], grammar_kind="lark"), Toolbox([nan]))
    with pytest.raises(GrammarError, match="'odd'"):
        await collect(planner.plan(context()), Task)


async def test_react_stops_the_model_after_one_call() -> None:
    model = ScriptedModel([['Thought: look.\n1. find_email(name="Sid")', "\nResult of call 1: made up"]])
    steps = [s async for s in ReactPlanner(model, BOX).plan(context())]
    assert [str(s) for s in steps if isinstance(s, Task)] == ['1. find_email(name="Sid")']


async def test_react_refuses_a_turn_that_is_neither_call_nor_answer() -> None:
    with pytest.raises(PlanError, match="neither a call nor an answer"):
        await collect(ReactPlanner(ScriptedModel(["Well, hm."]), BOX).plan(context()), Task)


async def test_native_renames_tools_for_interfaces_that_take_only_plain_names() -> None:
    dotted = Tool.from_schema({"name": "mail.find", "parameters": {"type": "object"}})
    planner = NativePlanner(ScriptedModel([]), Toolbox([dotted, Tool.from_schema({"name": "mail_find"})]))
    names = [d["function"]["name"] for d in planner.definitions]
    assert names == ["mail_find", "mail_find_2"]


async def test_what_actions_report_is_the_answer() -> None:
    outcomes = [done(1, "find_email", "a@x", name="A"), done(2, "send", "Sent", to=["a@x"])]
    outcomes[1] = TaskOutcome(Task(2, "send", {"to": [Ref(1)]}), "ok", "Sent")
    model = ScriptedModel([])
    steps = await collect(ModelJoiner(model, BOX).join(context(outcomes=outcomes)), Answer)
    assert steps == [Answer("Sent")]
    assert model.requests == []


async def test_two_values_are_for_the_model_to_put_into_words() -> None:
    outcomes = [done(1, "find_email", "a@x", name="A"), done(2, "find_email", "b@x", name="B")]
    model = ScriptedModel(["Answer: A has a@x and B has b@x."])
    plan = Plan(tuple(o.task for o in outcomes))
    joiner = ModelJoiner(model, BOX)
    steps = await collect(joiner.join(context(outcomes=outcomes, plans=(plan,), rounds_left=1)), Answer)
    assert steps == [Answer("A has a@x and B has b@x.")]


@pytest.mark.parametrize(
    ("outcomes", "answer"),
    [
        ([], "None of the tools here can do that."),
        ([done(1, "find_email", "a@x", name="A")], "a@x"),
        ([done(1, "find_email", "a@x", name="A"), done(2, "find_email", "b@x", name="B")], "A: a@x\nB: b@x"),
        (
            [done(1, "find_email", "a@x", name="A"), done(2, "rank_pages", 3, page="B")],
            "Email: a@x\nRank pages: 3",
        ),
        (
            [
                done(1, "readNote", "milk\nbread", name="A"),
                done(2, "send", "Sent", to=["a@x"]),
                done(3, "readNote", "", name="B"),
            ],
            "A:\nmilk\nbread\n\nSent\nB: (nothing)",
        ),
        ([done(1, "find_email", "x" * 100, name="A")], "x" * 100),
        ([done(1, "find_email", [], name="A")], "(nothing)"),
        (
            [done(1, "read", "a\nb", text="one\ntwo"), done(2, "read", "c\nd\n", text="x" * 100)],
            f"one two:\na\nb\n\n{'x' * 80}:\nc\nd",
        ),
        (
            [
                done(1, "find_email", "a@x", name="A"),
                done(2, "fetch", "b@x", name="A"),
                done(3, "find_email", "c@x", name="C"),
            ],
            "Email A: a@x\nFetch: b@x\nEmail C: c@x",
        ),
    ],
)
async def test_results_are_shown_with_what_they_are_of(outcomes: list[TaskOutcome], answer: str) -> None:
    steps = [step async for step in ResultsJoiner(BOX).join(context(outcomes=outcomes))]
    assert steps == [Answer(answer)]


async def test_in_a_conversation_nothing_done_does_not_mean_that_nothing_can_be_done() -> None:
    earlier = (PastTurn("A's email?", (PastCall(Task(1, "find_email", {"name": "A"}), "ok", "a@x"),)),)
    steps = [step async for step in ResultsJoiner(BOX).join(context(history=earlier))]
    assert steps == [Answer("Nothing was done: no tool seemed to be needed.")]


async def test_what_is_shown_is_what_was_asked_for_and_what_failed() -> None:
    outcomes = [
        done(1, "find_email", "a@x", name="A"),
        TaskOutcome(Task(2, "read_mail", {"of": Ref(1)}), "ok", "hello\nA"),
        failed(3, "find_email", "No contact named B", name="B"),
    ]
    plan = Plan(tuple(o.task for o in outcomes))
    found = context(outcomes=outcomes, plans=(plan,))
    steps = [step async for step in ResultsJoiner(BOX).join(found)]
    assert steps == [Answer("hello\nA\nNot done: find_email: No contact named B")]


async def test_what_failed_is_told_by_plait_and_not_left_to_the_model() -> None:
    outcomes = [
        done(1, "find_email", "a@x\nb@x", name="A"),
        failed(2, "find_email", "No contact named B", name="B"),
    ]
    model = ScriptedModel(["A has two addresses. I found B, too."])
    plan = Plan(tuple(o.task for o in outcomes))
    steps = await collect(ModelJoiner(model, BOX).join(context(outcomes=outcomes, plans=(plan,))), Answer)
    assert steps[0].text.endswith("\nNot done: find_email: No contact named B")


async def test_the_pieces_of_an_answer_begin_after_the_word_that_announces_it() -> None:
    outcomes = [done(1, "find_email", "x" * 100, name="A")]
    for written in (["An", "swer: ", "It is ", "x."], ["It is ", "x."]):
        model = ScriptedModel([written])
        joiner = ModelJoiner(model, BOX)
        pieces = await collect(joiner.join(context(outcomes=outcomes, rounds_left=1)), AnswerText)
        assert "".join(p.text for p in pieces) == "It is x."


async def test_the_wish_for_another_plan_is_no_answer() -> None:
    outcomes = [done(1, "find_email", "x" * 100, name="A")]
    joiner = ModelJoiner(ScriptedModel([["Re", "plan: look", " further"]]), BOX)
    steps = [s async for s in joiner.join(context(outcomes=outcomes, rounds_left=1))]
    assert [s for s in steps if isinstance(s, Replan)] == [Replan("look further")]
    assert not [s for s in steps if isinstance(s, AnswerText)]
