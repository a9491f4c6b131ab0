import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait import ScriptedModel, Tool, Toolbox, tool
from plait.errors import ConfigurationError, ToolCallError
from plait.planners import (
    CompilerPlanner,
    Plan,
    PlanContext,
    PlanExample,
    PlanParser,
    Ref,
    Task,
    TaskOutcome,
    Template,
    argument_names,
    parse_plan,
    print_plan,
)
from plait.planners._general_examples import GENERAL_EXAMPLES, PARTS_EXAMPLES, GeneralExample

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
async def send(to: list[str], text: str = "", urgent: bool = False, copies: int = 1) -> str:
    """Send a message."""
    return text


ROUTE = Tool.from_schema(
    {
        "name": "route",
        "description": "Show the way.",
        "parameters": {
            "type": "object",
            "properties": {
                "start": {"type": "string", "default": "here"},
                "end": {"type": "string"},
                "at": {"type": ["string", "null"], "format": "date-time"},
                "mode": {"enum": ["walk", "ride"]},
                "via": {"type": "array", "default": []},
            },
            "required": ["end", "mode"],
        },
    }
)
BOX = Toolbox([send, find_email, ROUTE])
EXAMPLE = PlanExample(
    "Write hello to Bo",
    Plan((Task(1, "find_email", {"name": "Bo"}), Task(2, "send", {"to": [Ref(1)], "text": "hello"}))),
)


def printed(task: str, arguments: dict[str, Any]) -> str:
    """The line of a call, without its number."""
    text = print_plan(Plan((Task(1, task, arguments),)), BOX, dialect="compact")
    return text.removeprefix("1 ").removesuffix("\n2 join()")


def context(**changes: object) -> PlanContext:
    return PlanContext("Write to Sid", NOW, **changes)  # type: ignore[arg-type]


# Printing


def test_a_compact_plan_has_numbers_calls_and_an_end_and_no_spaces_between_arguments() -> None:
    plan = Plan((Task(3, "find_email", {"name": "Bo"}), Task(4, "send", {"to": [Ref(3), "a@b"]})))
    assert print_plan(plan, BOX, dialect="compact") == '3 find_email("Bo")\n4 send([$3,"a@b"])\n5 join()'
    assert print_plan(Plan(), BOX, dialect="compact") == "1 join()"


def test_keywords_are_the_default_and_print_as_a_plan_does() -> None:
    assert (
        print_plan(EXAMPLE.plan, BOX) == print_plan(EXAMPLE.plan, [], dialect="keyword") == str(EXAMPLE.plan)
    )


@pytest.mark.parametrize(
    ("tool", "arguments", "line"),
    [
        ("send", {"to": ["a"], "text": "", "urgent": False, "copies": 1}, 'send(["a"])'),
        ("send", {"to": ["a"], "urgent": True, "copies": 2}, 'send(["a"],urgent=true,copies=2)'),
        ("send", {"to": ["a"], "copies": True}, 'send(["a"],copies=true)'),
        ("send", {"to": ["a"], "urgent": 0}, 'send(["a"],urgent=0)'),
        ("send", {"to": ["a"], "text": Ref(1)}, 'send(["a"],text=$1)'),
        ("send", {"copies": 2, "text": "x", "to": Ref(1)}, 'send($1,text="x",copies=2)'),
        ("route", {"end": "A", "mode": "walk", "start": "B"}, 'route("A","walk",start="B")'),
        ("route", {"start": "here", "end": "A", "mode": "walk", "via": []}, 'route("A","walk")'),
        ("route", {"end": "A", "mode": "walk", "at": None}, 'route("A","walk",at=null)'),
        ("route", {"mode": "walk", "start": "B"}, 'route(mode="walk",start="B")'),
        ("route", {"end": "A", "start": "B"}, 'route("A",start="B")'),
        ("route", {"end": "A", "mode": "ride", "odd one": {"k": []}}, 'route("A","ride","odd one"={"k":[]})'),
        ("unheard_of", {"a": 1, "b": "x, y"}, 'unheard_of(a=1,b="x, y")'),
        ("unheard_of", {}, "unheard_of()"),
    ],
)  # fmt: skip
def test_a_compact_call_has_required_arguments_bare_others_by_name_and_no_defaults(
    tool: str, arguments: dict[str, Any], line: str
) -> None:
    assert printed(tool, arguments) == line


texts = st.text(max_size=8) | st.sampled_from(["", "$1", "a, b", '"', "here", "${1}"])
refs = st.sampled_from([Ref(1), Ref(2, ("x", 0))])
values = st.one_of(
    st.none(), st.booleans(), st.integers(0, 3), texts, refs, st.lists(texts | refs, max_size=2),
    st.builds(lambda text: Template((text, Ref(1))), st.text("ab,$ ", min_size=1)),
    st.dictionaries(texts, texts | refs, max_size=2),
)  # fmt: skip
calls = st.sampled_from(list(BOX)).flatmap(
    lambda t: st.tuples(
        st.just(t.name),
        st.dictionaries(st.sampled_from([*(f.name for f in t.arguments.fields), "more"]), values),
    )
)


def with_defaults(task: Task) -> dict[str, Any]:
    defaults = {f.name: f.default for f in BOX[task.tool].arguments.fields if f.default is not None}
    return {**defaults, **task.arguments}


@given(st.lists(calls, max_size=3), st.sampled_from(["keyword", "compact"]))
@settings(max_examples=250, deadline=None)
def test_printing_a_plan_in_a_dialect_and_reading_it_gives_the_same_plan_up_to_defaults(
    drawn: list[tuple[str, dict[str, Any]]], dialect: Any
) -> None:
    """Any arguments, wrong ones and gaps among them."""
    plan = Plan(tuple(Task(i, tool, arguments) for i, (tool, arguments) in enumerate(drawn, 3)))
    parser = PlanParser(argument_names(BOX, dialect=dialect), earlier=[1, 2])
    read = [*parser.feed(print_plan(plan, BOX, dialect=dialect)), *parser.finish()]
    assert parser.joined
    assert [(t.id, t.tool) for t in read] == [(t.id, t.tool) for t in plan]
    for task, original in zip(read, plan, strict=True):
        same, wanted = with_defaults(task), with_defaults(original)
        assert {k: repr(v) for k, v in same.items()} == {k: repr(v) for k, v in wanted.items()}


def test_arguments_without_names_are_bound_as_the_dialect_orders_them() -> None:
    assert argument_names(BOX)["route"] == ["start", "end", "at", "mode", "via"]
    assert argument_names(BOX, dialect="compact")["route"] == ["end", "mode", "start", "at", "via"]


@pytest.mark.parametrize("use", [lambda d: print_plan(Plan(), BOX, dialect=d), lambda d: argument_names(BOX, dialect=d), lambda d: CompilerPlanner(ScriptedModel([]), BOX, dialect=d)])  # fmt: skip  # noqa: E501
def test_an_unknown_dialect_is_refused_with_those_that_there_are(use: Any) -> None:
    with pytest.raises(ConfigurationError, match="no dialect 'short'; choose one of: keyword, compact"):
        use("short")


# Prompts


async def test_the_compact_prompt_shows_signatures_rules_and_examples_in_that_dialect() -> None:
    model = ScriptedModel([], grammar_kind="lark")
    (system, _) = CompilerPlanner(model, BOX, examples=[EXAMPLE], dialect="compact").messages(context())
    assert '1 find_email("Bo")\n2 send([$1],text="hello")\n3 join()' in system.content
    assert '- route(end: str, mode: "walk" | "ride", start: str = "here", at?' in system.content
    assert "Required arguments come first" in system.content
    assert "the plan is just: 1 join()" in system.content
    assert not any(keyword in system.content for keyword in ("1. join", "arguments by name", "name=", "to="))


async def test_general_examples_are_printed_from_the_same_plans_in_either_dialect() -> None:
    turns = {
        dialect: [m.content for m in planner.messages(context())]
        for dialect in ("keyword", "compact")
        for planner in [CompilerPlanner(ScriptedModel([]), BOX, dialect=dialect)]
    }
    assert turns["keyword"][2::2] == [example.plan for example in GENERAL_EXAMPLES]
    assert turns["compact"][1:-1:2] == turns["keyword"][1:-1:2]
    assert turns["compact"][2].splitlines() == [
        '1 city.population("Porto",year=1990)',
        '2 city.population("Braga")',
        '3 city.population("Faro")',
        '4 book_table("Cantina",2,time="20:00")',
        "5 join()",
    ]
    assert turns["compact"][12].endswith("\n2 shopping_list($1)\n3 join()")


@pytest.mark.parametrize("example", [*GENERAL_EXAMPLES, *PARTS_EXAMPLES], ids=lambda e: e.query)
def test_a_general_example_knows_what_its_tools_require(example: GeneralExample) -> None:
    offered = dict(re.findall(r"^- ([^\s(]+)\((.*?)\)(?: -> .*)?: ", example.tools, re.MULTILINE))
    for task in parse_plan(example.plan):
        required = [a.split(":")[0] for a in offered[task.tool].split(", ") if "?:" not in a and "=" not in a]
        assert list(example.required[task.tool]) == required


async def test_a_compact_plan_is_read_with_its_arguments_in_the_prompts_order() -> None:
    model = ScriptedModel(['1 route("A","walk",start="B")\n2 send([$1])\n3 join()'], chunk_size=4)
    planner = CompilerPlanner(model, BOX, dialect="compact")
    tasks = [step async for step in planner.plan(context()) if isinstance(step, Task)]
    assert tasks == [
        Task(1, "route", {"end": "A", "mode": "walk", "start": "B"}),
        Task(2, "send", {"to": [Ref(1)]}),
    ]


async def test_a_replan_shows_what_was_done_in_the_same_dialect_and_counts_on() -> None:
    outcomes = (
        TaskOutcome(Task(1, "find_email", {"name": "Ana"}), "ok", "a@x"),
        TaskOutcome(Task(2, "send", {"to": ["b", "c"], "text": "hi"}), "failed", error=ToolCallError("no")),
    )
    model = ScriptedModel(['3 send([$1],text="hi")\n4 join()'], grammar_kind="lark")
    planner = CompilerPlanner(model, BOX, dialect="compact")
    steps = [step async for step in planner.plan(context(outcomes=outcomes, feedback="2 failed"))]
    assert [step for step in steps if isinstance(step, Task)] == [
        Task(3, "send", {"to": [Ref(1)], "text": "hi"})
    ]
    request = model.requests[0]
    assert (
        '1 find_email("Ana")\n-> a@x\n2 send(["b","c"],text="hi")\n-> failed: no'
        in request.messages[-1].content
    )
    assert request.grammar is not None
    assert '"3 "' in (request.grammar.lark or "")
    assert '"$2"' not in (request.grammar.lark or "")


async def test_where_plans_are_json_the_dialect_changes_nothing() -> None:
    def prompt(dialect: Any) -> Any:
        model = ScriptedModel([], grammar_kind="json_schema")
        planner = CompilerPlanner(model, BOX, examples=[EXAMPLE], dialect=dialect)
        outcomes = (TaskOutcome(Task(1, "find_email", {"name": "Ana"}), "ok", "a@x"),)
        asked = [context(), context(outcomes=outcomes)]
        return [(planner.messages(c), getattr(planner.grammar(c), "json_schema", None)) for c in asked]

    assert prompt("compact") == prompt("keyword")
