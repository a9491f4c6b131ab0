"""Data sets as tokens: exactly those that the engine sees when it plans."""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from plait.errors import ConfigurationError
from plait.models import LlamaModel, Message
from plait.planners import PlanContext, TunedPlanner, parse_plan
from plait.planners._plan import Plan
from plait.tools import Toolbox
from plait.training import Example, PlanEncoder, read_groups

NOW = datetime(2026, 2, 27, 9, 12)


@pytest.fixture(scope="module")
def model(smollm2: Path) -> Iterator[LlamaModel]:
    loaded = LlamaModel(smollm2, context_length=1024, prefix_cache=False, drafts=False, n_threads=1)
    yield loaded
    asyncio.run(loaded.aclose())


def example(toolbox: Toolbox, query: str, plan: str) -> Example:
    return Example(toolbox, NOW, query, Plan(tuple(parse_plan(plan))))


@pytest.fixture
def two(assistant: Toolbox) -> list[Example]:
    return [
        example(assistant, "What is Ada's number?", '1. get_phone_number(name="Ada")'),
        example(
            assistant, "Write (soon)\nto Ada", '1. open_note(name="(a) b(")\n2. get_phone_number(name="Ada")'
        ),
    ]


def text_of(model: LlamaModel, tokens: tuple[int, ...]) -> str:
    return b"".join(model._engine.vocabulary.piece(token, special=True) for token in tokens).decode()


def test_the_tokens_are_those_of_the_planners_prompt_and_of_the_plan_in_its_dialect(
    model: LlamaModel, two: list[Example]
) -> None:
    group = PlanEncoder(model).group(two)
    for one, encoded in zip(two, group.examples, strict=True):
        messages = TunedPlanner(model, one.toolbox).messages(PlanContext(one.query, now=NOW))
        prompt = (*group.prefix, *encoded.tokens[: encoded.n_prompt])
        assert list(prompt) == model.prompt_tokens(messages)
    assert text_of(model, group.examples[0].tokens[group.examples[0].n_prompt :]) == (
        '1 get_phone_number("Ada")\n2 join()<|im_end|>'
    )


def test_a_request_of_a_conversation_has_the_prompt_that_the_assistant_gives_it(
    model: LlamaModel, assistant: Toolbox, tmp_path: Path
) -> None:
    earlier = {
        "query": "Invite Ada to tea tomorrow at five",
        "plan": '1. get_email_address(name="Ada")\n'
        '2. create_calendar_event(title="Tea", start_date="tomorrow 17:00", invitees=[$1])\n3. join()',
        "results": ["ada@example.com", None],
    }
    mail = '3. compose_new_email(recipients=[$1], context="Hello")\n4. join()'
    items = [
        {"now": f"{NOW:%Y-%m-%dT%H:%M}", "earlier": [earlier], "query": "Mail her hello", "plan": mail},
        {"now": f"{NOW:%Y-%m-%dT%H:%M}", "earlier": [earlier], "query": "Thanks!", "plan": "1. join()"},
        {
            "now": f"{NOW:%Y-%m-%dT%H:%M}",
            "instructions": "I keep bees.",
            "query": "Thanks!",
            "plan": "1. join()",
        },
    ]
    tools = [tool.to_openai()["function"] for tool in assistant]
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"toolbox": "assistant", "tools": tools, "items": items}), encoding="utf-8")
    [examples] = read_groups(path)
    group = PlanEncoder(model).group(examples)
    plans = [text_of(model, one.tokens[one.n_prompt :]).removesuffix("<|im_end|>") for one in group.examples]
    assert plans == ['3 compose_new_email([$1],context="Hello")\n4 join()', "3 join()", "1 join()"]
    assert "Keep in mind: I keep bees.\nThanks!" in text_of(model, group.examples[2].tokens)
    context = PlanContext("Mail her hello", now=NOW, history=examples[0].history, first_number=3)
    prompt = model.prompt_tokens(TunedPlanner(model, examples[0].toolbox).messages(context))
    assert [*group.prefix, *group.examples[0].tokens[: group.examples[0].n_prompt]] == prompt
    told = text_of(model, tuple(prompt))
    assert (
        'Request: Invite Ada to tea tomorrow at five\n1 get_email_address("Ada")\n-> ada@example.com' in told
    )
    assert (
        '2 create_calendar_event("Tea","2026-02-28 17:00",invitees=[$1])\n-> (text by others, in $2)' in told
    )


def test_what_all_prompts_begin_with_is_the_prefix(model: LlamaModel, two: list[Example]) -> None:
    group = PlanEncoder(model).group(two)
    assert text_of(model, group.prefix).endswith("Fri 2026-02-27 09:12\n")
    assert all(encoded.n_prompt > 0 for encoded in group.examples)


def test_a_group_of_one_keeps_a_token_of_its_prompt(model: LlamaModel, two: list[Example]) -> None:
    [encoded] = PlanEncoder(model).group(two[:1]).examples
    assert encoded.n_prompt == 1


def test_the_tokens_of_tools_names_may_count_more(model: LlamaModel, two: list[Example]) -> None:
    encoded = PlanEncoder(model, tool_weight=4.0).group(two).examples[1]
    heavy = [
        token
        for token, weight in zip(encoded.tokens[encoded.n_prompt :], encoded.weights, strict=True)
        if weight == 4.0
    ]
    assert text_of(model, tuple(heavy)).split() == ["open_note", "get_phone_number", "join"]
    assert set(encoded.weights) == {1.0, 4.0}


def test_an_answer_ends_with_the_token_that_ends_a_turn(model: LlamaModel) -> None:
    *answer, end = model.answer_tokens("1 join()")
    assert text_of(model, tuple(answer)) == "1 join()"
    assert model._engine.vocabulary.is_end(end)
    whole = model._template.render([Message("user", "x"), Message("assistant", "1 join()")])
    assert "1 join()" + text_of(model, (end,)) in whole


def test_a_request_that_is_too_long_is_refused_with_its_length(model: LlamaModel, two: list[Example]) -> None:
    with pytest.raises(
        ConfigurationError, match=r"a request of \d+ tokens is longer than 100: \"What is Ada's"
    ):
        PlanEncoder(model).group(two, max_tokens=100)


@pytest.mark.parametrize(
    "plan", ['1. no_such_tool(name="Ada")', "1. get_phone_number(name=5)", '1. get_phone_number(nom="Ada")']
)
def test_a_plan_that_the_grammar_does_not_allow_is_refused(
    plan: str, model: LlamaModel, assistant: Toolbox
) -> None:
    with pytest.raises(ConfigurationError, match="the plan for 'x' breaks the grammar after '1"):
        PlanEncoder(model).group([example(assistant, "x", plan)])


@pytest.mark.parametrize("line", ["{", "[]", '{"tools": [], "items": []}' * 2, '{"toolbox": "x"}'])
def test_a_line_that_is_no_group_is_told_by_its_number(line: str, tmp_path: Path) -> None:
    good = {"toolbox": "x", "tools": [], "items": []}
    path = tmp_path / "train.jsonl"
    path.write_text(f"{json.dumps(good)}\n{line}\n")
    with pytest.raises(ConfigurationError, match="line 2 cannot be trained on"):
        list(read_groups(path))


def test_a_plan_that_breaks_the_language_is_told(tmp_path: Path, assistant: Toolbox) -> None:
    tools = [tool.to_openai()["function"] for tool in assistant]
    item = {"now": "2026-02-27T09:12", "query": "x", "plan": "1. get_phone_number(name="}
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"toolbox": "x", "tools": tools, "items": [item]}))
    with pytest.raises(ConfigurationError, match="line 1 cannot be trained on"):
        list(read_groups(path))
