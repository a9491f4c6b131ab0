"""Planning with the tools that were found for a request."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from retrieval_samples import make_tool

from plait import ScriptedModel, Toolbox
from plait.errors import ConfigurationError, PlanError, ToolCallError
from plait.models import Message, Reply, ToolCall
from plait.planners import (
    CompilerPlanner,
    ExampleFinder,
    NativePlanner,
    PastCall,
    PastTurn,
    Plan,
    PlanContext,
    PlanExample,
    Planner,
    PlannerStep,
    ReactPlanner,
    RetrievingPlanner,
    Task,
    TaskOutcome,
    TunedPlanner,
)
from plait.retrieval import HashingEncoder, Retriever, ScoredTool

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 21, 10, 0)
NAMES = ("add", "call", "divide", "forecast", "mail", "multiply", "rain", "text")
BOX = Toolbox([make_tool(name, f"Says {name} aloud.", "value") for name in NAMES])
GROUPS = (("add", "divide", "multiply"), ("call", "mail", "text"), ("forecast", "rain"))


class Words:
    """Finds the tools whose names are in the request."""

    def search(self, query: str, k: int) -> list[ScoredTool]:
        words = query.split()
        return [ScoredTool(word, 1 / place) for place, word in enumerate(words, 1) if word in NAMES][:k]


class GroupedWords(Words):
    """Knows groups, too."""

    names = NAMES
    groups = GROUPS


class SureWords(GroupedWords):
    """Knows how many are enough: what is wanted above 0.98 is every tool."""

    is_calibrated = True

    def select(self, query: str, recall: float) -> list[ScoredTool]:
        found = self.search(query, len(NAMES))
        rest = [ScoredTool(name, 0.0) for name in NAMES if recall > 0.98 and name not in query.split()]
        return [*found, *rest]


def planner(
    retriever: Retriever,
    model: ScriptedModel | None = None,
    kind: str = "compiler",
    **options: object,
) -> RetrievingPlanner:
    model = model or ScriptedModel(["1. join()"] * 9, grammar_kind="lark")
    makers = {
        "compiler": CompilerPlanner,
        "tuned": TunedPlanner,
        "react": ReactPlanner,
        "native": NativePlanner,
    }
    return RetrievingPlanner(
        lambda box: makers[kind](model, box),
        model,
        BOX,
        retriever,
        **options,  # type: ignore[arg-type]
    )


async def asked(made: RetrievingPlanner, model: ScriptedModel, context: PlanContext) -> list[Message]:
    async for _ in made.plan(context):
        pass
    return list(model.requests[-1].messages)


def listed(messages: Sequence[Message]) -> list[str]:
    """The tools that a prompt lists, in order."""
    return re.findall(
        r"^(?:- )?(\w+)\(.*Says \w+ aloud", "\n".join(m.content for m in messages), re.MULTILINE
    )


def static(messages: Sequence[Message]) -> list[str]:
    """Those among them that are in the part that recurs."""
    last = next(m for m in reversed(messages) if m.static_chars)
    return re.findall(r"^(?:- )?(\w+)\(.*Says \w+ aloud", last.content[: last.static_chars], re.MULTILINE)


def callable_in(model: ScriptedModel) -> set[str]:
    """The tools that the last request's grammar allows."""
    grammar = model.requests[-1].grammar
    assert grammar is not None
    assert grammar.lark is not None
    return {name for name in NAMES if f'"{name}(' in grammar.lark}


def script(*replies: str, kind: str = "lark") -> ScriptedModel:
    return ScriptedModel(replies or ["1. join()"] * 9, grammar_kind=kind)  # type: ignore[arg-type]


async def test_of_few_tools_all_are_listed_and_what_was_found_may_be_called() -> None:
    model = script()
    made = planner(GroupedWords(), model)
    first = await asked(made, model, PlanContext("rain then mail", NOW))
    assert listed(first) == list(NAMES)
    assert callable_in(model) == {"rain", "mail"}
    second = await asked(made, model, PlanContext("add", NOW))
    assert first[:-1] == second[:-1]
    assert static(first) == static(second) == list(NAMES)
    assert callable_in(model) == {"add"}


async def test_of_too_many_the_prompt_begins_with_a_group_and_goes_on_with_what_else_was_found() -> None:
    model = script()
    made = planner(GroupedWords(), model, tool_tokens=40)
    messages = await asked(made, model, PlanContext("rain mail", NOW))
    assert static(messages) == ["forecast", "rain"]
    assert listed(messages) == ["forecast", "rain", "mail"]
    assert callable_in(model) == {"forecast", "rain", "mail"}


async def test_similar_requests_begin_with_the_same_bytes() -> None:
    model = script()
    made = planner(GroupedWords(), model, tool_tokens=40)
    prompts = [
        await asked(made, model, PlanContext(query, NOW)) for query in ("mail add", "text", "call rain mail")
    ]
    beginnings = {(*p[:-1], p[-1].content[: p[-1].static_chars]) for p in map(tuple, prompts)}
    assert len(beginnings) == 1


async def test_a_retriever_without_groups_lists_what_it_found() -> None:
    model = script()
    messages = await asked(planner(Words(), model, tool_tokens=40), model, PlanContext("rain mail", NOW))
    assert listed(messages) == ["mail", "rain"]
    assert static(messages) == []


@pytest.mark.parametrize("tool_tokens", [20, 40])
async def test_where_nothing_is_found_as_many_tools_as_fit_are_listed_and_may_be_called(
    tool_tokens: int,
) -> None:
    model = script()
    made = planner(GroupedWords(), model, tool_tokens=tool_tokens)
    messages = await asked(made, model, PlanContext("hm", NOW))
    names = listed(messages)
    assert 1 < len(names) < len(NAMES)
    assert names == list(NAMES[: len(names)])
    assert callable_in(model) == set(names)


async def test_where_nothing_is_found_and_all_fit_all_may_be_called() -> None:
    model = script()
    await asked(planner(GroupedWords(), model), model, PlanContext("hm", NOW))
    assert callable_in(model) == set(NAMES)


async def test_a_tool_that_does_not_fit_is_listed_alone_for_the_model_to_refuse() -> None:
    model = script()
    messages = await asked(planner(GroupedWords(), model, tool_tokens=1), model, PlanContext("rain", NOW))
    assert listed(messages) == ["rain"]


async def test_another_plan_may_call_everything_that_is_listed_and_lists_more() -> None:
    model = script()
    made = planner(SureWords(), model, tool_tokens=40)
    context = PlanContext("rain mail", NOW)
    narrow = await asked(made, model, context)
    wide = await asked(made, model, replace(context, feedback="call 1 (rain) failed: no"))
    assert static(wide) == static(narrow)
    assert set(listed(narrow)) < set(listed(wide))
    assert callable_in(model) == set(listed(wide))


async def test_where_what_is_selected_does_not_fit_less_recall_is_asked_for() -> None:
    asked_for: list[float] = []

    class Doubtful(SureWords):
        def select(self, query: str, recall: float) -> list[ScoredTool]:
            asked_for.append(recall)
            return super().select(query, 1.0 if recall > 0.95 else recall)

    model = script()
    made = planner(Doubtful(), model, tool_tokens=40)
    messages = await asked(made, model, PlanContext("rain mail", NOW))
    assert listed(messages) == ["forecast", "rain", "mail"]
    assert asked_for == [0.98, 0.95]


async def test_a_calibrated_retriever_that_is_unsure_where_all_are_listed_narrows_nothing() -> None:
    model = script()
    await asked(planner(SureWords(), model), model, PlanContext("rain", NOW))
    assert callable_in(model) == set(NAMES)


async def test_another_plan_may_call_all_tools_where_all_are_listed() -> None:
    model = script()
    made = planner(GroupedWords(), model)
    await asked(made, model, PlanContext("rain", NOW, feedback="call 1 (rain) failed: no"))
    assert callable_in(model) == set(NAMES)


async def test_what_the_conversation_called_may_be_called_again() -> None:
    model = script()
    past = PastTurn("mail Sid", (PastCall(Task(1, "mail", {}), "ok", "sent"),))
    context = PlanContext("and text Maya", NOW, first_number=2, history=[past])
    await asked(planner(GroupedWords(), model), model, context)
    assert callable_in(model) == {"mail", "text"}


async def test_tools_that_the_toolbox_has_not_are_passed_over() -> None:
    class Other(Words):
        def search(self, query: str, k: int) -> list[ScoredTool]:
            return [ScoredTool("unknown", 2.0), *super().search(query, k)]

    model = script()
    await asked(planner(Other(), model), model, PlanContext("rain", NOW))
    assert callable_in(model) == {"rain"}


def test_a_retriever_that_does_not_know_a_tool_is_refused() -> None:
    class Partial(GroupedWords):
        names = NAMES[1:]

    with pytest.raises(ConfigurationError, match="does not know the tool 'add'; bring its index up to date"):
        planner(Partial())


class ManyOthers(Words):
    """Knows twelve tools besides, which it always finds first."""

    def search(self, query: str, k: int) -> list[ScoredTool]:
        others = [ScoredTool(f"other_{i}", 9.0) for i in range(12)]
        return [*others, *super().search(query, k)][:k]


class SureOthers(ManyOthers):
    """Selects the first twelve and one, which is one of the toolbox."""

    is_calibrated = True

    def select(self, query: str, recall: float) -> list[ScoredTool]:
        return self.search(query, 13)


@pytest.mark.parametrize("retriever", [ManyOthers(), SureOthers()])
async def test_tools_that_the_toolbox_has_not_take_no_tools_place(retriever: Retriever) -> None:
    model = script()
    await asked(planner(retriever, model), model, PlanContext("mail rain text add", NOW))
    assert callable_in(model) == {"mail", "rain", "text", "add"}


async def test_of_those_that_a_retriever_knows_besides_it_is_asked_for_so_many_more_at_once() -> None:
    asked_for: list[int] = []

    class Larger(GroupedWords):
        names = (*NAMES, *(f"other_{i}" for i in range(90)))

        def search(self, query: str, k: int) -> list[ScoredTool]:
            asked_for.append(k)
            return [ScoredTool(name, 1.0) for name in reversed(self.names)][:k]

    model = script()
    await asked(planner(Larger(), model), model, PlanContext("rain", NOW))
    assert asked_for == [100]
    assert callable_in(model) == set(NAMES)


async def test_a_follow_up_finds_the_tools_of_the_request_before_it() -> None:
    model = script()
    past = PastTurn("shall I mail Sid about the rain")
    context = PlanContext("yes please go ahead and add it", NOW, history=[PastTurn("text Maya"), past])
    await asked(planner(GroupedWords(), model), model, context)
    assert callable_in(model) == {"add", "mail", "rain"}


async def test_what_the_user_wants_kept_in_mind_is_searched_for_too() -> None:
    model = script()
    context = PlanContext("is there rain", NOW, instructions="always text the answer to Sid")
    await asked(planner(GroupedWords(), model), model, context)
    assert callable_in(model) == {"rain", "text"}


async def test_tools_of_requests_that_the_prompt_has_no_room_for_may_be_called_again() -> None:
    model = script()
    await asked(planner(GroupedWords(), model), model, PlanContext("rain", NOW, called=["divide"]))
    assert callable_in(model) == {"divide", "rain"}


async def test_a_group_that_leaves_no_room_for_what_was_found_and_called_is_not_taken() -> None:
    model = script()
    n_tokens = planner(GroupedWords(), model)._count_tool(BOX["rain"])
    made = planner(GroupedWords(), model, tool_tokens=3 * n_tokens + 3)
    messages = await asked(made, model, PlanContext("rain", NOW, called=["divide", "add"]))
    assert static(messages) == []
    assert listed(messages) == ["add", "divide", "rain"]


async def test_where_the_best_group_does_not_fit_the_next_one_is_taken() -> None:
    model = script()
    n_tokens = planner(GroupedWords(), model)._count_tool(BOX["rain"])
    made = planner(GroupedWords(), model, tool_tokens=3 * n_tokens + 2)
    messages = await asked(made, model, PlanContext("text rain", NOW))
    assert static(messages) == ["forecast", "rain"]
    assert listed(messages) == ["forecast", "rain", "text"]


async def test_a_tool_that_does_not_fit_is_passed_over_for_those_after_it() -> None:
    long = make_tool("rain", "Says rain aloud. " + "It goes on and on. " * 40, "value")
    box = Toolbox([long, BOX["mail"], BOX["text"]])
    model = script()
    made = RetrievingPlanner(lambda b: CompilerPlanner(model, b), model, box, Words(), tool_tokens=40)
    messages = await asked(made, model, PlanContext("rain mail text", NOW))
    assert listed(messages) == ["mail", "text"]


async def test_a_call_that_failed_widens_what_may_be_called_also_where_nothing_is_said_of_it() -> None:
    model = script("Thought: done\nAnswer: yes")
    failed = TaskOutcome(Task(1, "rain", {}), "failed", error=ToolCallError("no", tool="rain"))
    context = PlanContext("rain", NOW, outcomes=[failed], plans=[Plan((failed.task,))])
    await asked(planner(GroupedWords(), model, "react"), model, context)
    assert callable_in(model) == set(NAMES)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("compiler", '1. mail(value="a")\n2. add(value="b")\n3. join()'),
        ("native", Reply(tool_calls=(ToolCall("1", "mail", {}), ToolCall("2", "add", {})))),
    ],
)
async def test_a_call_of_a_tool_that_was_not_listed_is_no_plan(kind: str, said: str | Reply) -> None:
    model = ScriptedModel([said])
    made = planner(GroupedWords(), model, kind, tool_tokens=100 if kind == "native" else 40)
    tasks: list[str] = []

    async def plan() -> None:
        async for step in made.plan(PlanContext("rain mail", NOW)):
            if isinstance(step, Task):
                tasks.append(step.tool)  # noqa: PERF401  (what came before the error is wanted)

    with pytest.raises(
        PlanError, match="tool add of task 2 was not offered; offered are forecast, rain, mail"
    ):
        await plan()
    assert tasks == ["mail"]


async def test_groups_are_not_made_before_they_are_needed() -> None:
    class Slow(Words):
        names = NAMES

        @property
        def groups(self) -> Sequence[Sequence[str]]:
            raise AssertionError("groups take long")

    model = script()
    await asked(planner(Slow(), model), model, PlanContext("rain", NOW))
    assert callable_in(model) == {"rain"}


async def test_the_tuned_prompt_lists_further_tools_after_its_group() -> None:
    model = script("1 join()")
    made = planner(GroupedWords(), model, "tuned", tool_tokens=40)
    system, _ = await asked(made, model, PlanContext("rain mail", NOW))
    assert listed([system]) == ["forecast", "rain", "mail"]
    assert static([system]) == ["forecast", "rain"]


async def test_react_takes_turns_with_the_same_tools() -> None:
    model = script("Thought: x\n1. rain(value='a')\n", "Thought: done\nAnswer: yes")
    made = planner(GroupedWords(), model, "react", tool_tokens=40)
    assert made.answers
    first = await asked(made, model, PlanContext("rain mail", NOW))
    second = await asked(made, model, PlanContext("rain mail", NOW))
    assert first[0] == second[0]
    assert listed(first) == ["forecast", "rain", "mail"]


async def test_native_offers_the_functions_of_the_group_first() -> None:
    model = ScriptedModel([Reply(tool_calls=(ToolCall("1", "mail", {"value": "a"}),))])
    made = planner(GroupedWords(), model, "native", tool_tokens=100)
    steps: list[PlannerStep] = [step async for step in made.plan(PlanContext("rain mail", NOW))]
    assert [t["function"]["name"] for t in model.requests[-1].tools] == ["forecast", "rain", "mail"]
    assert Task(1, "mail", {"value": "a"}) in steps


def test_native_tells_of_a_call_of_a_tool_that_is_not_listed_under_a_name_that_servers_accept() -> None:
    done = TaskOutcome(Task(1, "sums.add", {}), "ok", result=3)
    context = PlanContext("rain", NOW, outcomes=[done], plans=[Plan((done.task,))])
    messages = NativePlanner(ScriptedModel([]), BOX).messages(context)
    assert [call.name for m in messages for call in m.tool_calls] == ["sums_add"]


async def test_a_planner_of_ones_own_is_told_the_offer() -> None:
    offers = []

    class Own:
        max_rounds = 1
        answers = True

        async def plan(self, context: PlanContext):  # type: ignore[no-untyped-def]
            offers.append(context.offer)
            yield Task(1, "rain", {})

    def make(box: Toolbox) -> Planner:
        return Own()

    made = RetrievingPlanner(make, script(), BOX, GroupedWords(), tool_tokens=40)
    assert [step async for step in made.plan(PlanContext("rain mail"))] == [Task(1, "rain", {})]
    assert offers[0].allowed == set()
    assert [tool.name for tool in offers[0].tools] == ["mail"]


def example(query: str, *tools: str) -> PlanExample:
    return PlanExample(query, Plan(tuple(Task(i, name, {"value": "x"}) for i, name in enumerate(tools, 1))))


def n_words(text: str) -> int:
    return len(text.split())


EXAMPLES = [
    example("will it rain in Porto", "rain"),
    example("will it rain in Porto now", "rain"),
    example("mail Sid about the rain", "mail"),
    example("call the plumber", "call"),
]


def test_examples_are_like_the_request_and_unlike_each_other_the_likest_last() -> None:
    finder = ExampleFinder(EXAMPLES, HashingEncoder(), k=2)
    found = finder.find("will it rain in Braga", NAMES, n_words)
    assert found[-1] == EXAMPLES[0]
    assert found[0] in (EXAMPLES[2], EXAMPLES[3])


def test_examples_of_other_tools_and_the_request_itself_are_left_out() -> None:
    finder = ExampleFinder(EXAMPLES, HashingEncoder(), k=4)
    assert finder.find("call the plumber", {"mail", "call"}, n_words) == (EXAMPLES[2],)
    assert finder.find("call the plumber", (), n_words) == ()
    assert ExampleFinder([], HashingEncoder()).find("call", NAMES, n_words) == ()


def test_examples_that_call_nothing_are_not_shown_alone() -> None:
    nothing = example("will it rain cats")
    finder = ExampleFinder([nothing, EXAMPLES[3]], HashingEncoder(), k=1)
    assert finder.find("will it rain dogs", NAMES, n_words) == ()
    both = ExampleFinder([nothing, EXAMPLES[3]], HashingEncoder(), k=2)
    assert both.find("will it rain dogs", NAMES, n_words) == (EXAMPLES[3], nothing)


def test_an_example_that_does_not_fit_makes_way_for_one_that_does() -> None:
    long = example("will it rain " + "again " * 50, "rain")
    finder = ExampleFinder([long, EXAMPLES[3]], HashingEncoder(), k=2, max_tokens=20)
    assert finder.find("will it rain again", NAMES, n_words) == (EXAMPLES[3],)


@pytest.mark.parametrize("options", [{"k": 0}, {"max_tokens": 0}])
def test_numbers_of_examples_that_make_no_sense_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="give positive numbers"):
        ExampleFinder(EXAMPLES, HashingEncoder(), **options)


@pytest.mark.parametrize(
    ("kind", "written"), [("lark", '1. rain(value="x")'), ("json_schema", '{"tool": "rain"')]
)
async def test_chosen_examples_come_after_the_static_part_and_before_the_request(
    kind: str, written: str
) -> None:
    model = script('{"tasks": []}' if kind == "json_schema" else "1. join()", kind=kind)
    finder = ExampleFinder(EXAMPLES, HashingEncoder(), k=1)
    made = planner(GroupedWords(), model, example_finder=finder)
    messages = await asked(made, model, PlanContext("rain in Faro", NOW))
    last = messages[-1]
    changing = last.content[last.static_chars :]
    assert changing.index("Request: will it rain in Porto") < changing.index(written)
    assert changing.index(written) < changing.index("Today:") < changing.index("Request: rain in Faro")


async def test_examples_that_a_group_lacks_the_tools_for_follow_where_these_are_listed() -> None:
    model = script()
    both = example("if it rains mail Sid", "rain", "mail")
    given = [both, example("will it rain", "rain"), example("call Sid", "call"), example("hm")]
    made = RetrievingPlanner(
        lambda box: CompilerPlanner(model, box, examples=given),
        model,
        BOX,
        GroupedWords(),
        examples=given,
        tool_tokens=40,
    )
    system, user = await asked(made, model, PlanContext("rain mail", NOW))
    assert [e.query in system.content for e in given] == [False, True, False, True]
    assert [f"Request: {e.query}\n" in user.content for e in given] == [True, False, False, False]


def test_an_example_that_calls_nothing_is_not_shown_alone() -> None:
    shown = CompilerPlanner(script(), BOX, examples=[example("hm"), example("call Sid", "other")])
    assert "Request: hm" not in "".join(m.content for m in shown.messages(PlanContext("x")))
