import asyncio

import pytest

from plait.errors import ContextLengthError, GrammarError, ModelError
from plait.models._scripted import Reply, ScriptedModel
from plait.models._types import Generation, Grammar, Message, ToolCall

pytestmark = pytest.mark.anyio

HELLO = [Message("user", "hello there")]


async def chunks_of(model: ScriptedModel, **options) -> list[str]:
    return [chunk async for chunk in model.stream(HELLO, **options)]


async def listen(generation: Generation, heard: list[str]) -> None:
    async for chunk in generation:
        heard.append(chunk)  # noqa: PERF401 - what was heard before an error counts


async def test_replies_come_in_order() -> None:
    model = ScriptedModel(["one", "two"])
    assert await model.stream(HELLO).text() == "one"
    assert await model.stream(HELLO).text() == "two"


async def test_one_request_too_many_says_how_many_replies_there_were_and_what_was_asked() -> None:
    model = ScriptedModel(["one"], name="double")
    await model.stream(HELLO).text()
    with pytest.raises(ModelError, match=r"all its 1 replies.*'hello there'") as caught:
        await model.stream(HELLO).text()
    assert caught.value.model == "double"


async def test_every_argument_of_a_request_is_recorded() -> None:
    model = ScriptedModel(["one"], grammar_kind="lark")
    grammar, tool = Grammar(lark="start: /x/"), {"type": "function", "function": {"name": "f"}}
    await model.stream(
        HELLO, grammar=grammar, max_tokens=5, stop=["."], seed=7, temperature=0.5, tools=[tool]
    ).text()
    (request,) = model.requests
    assert request.messages == tuple(HELLO)
    assert (request.grammar, request.max_tokens, request.stop) == (grammar, 5, (".",))
    assert (request.seed, request.temperature, request.tools) == (7, 0.5, (tool,))


@pytest.mark.parametrize(
    ("reply", "chunk_size", "chunks"),
    [
        ("1. f(x=2)\n2. join()\n", None, ["1.", " f(x=2)", "\n2.", " join()", "\n"]),
        ("abcdefg", 3, ["abc", "def", "g"]),
        (["1. f(", "x=2)"], 3, ["1. f(", "x=2)"]),
        (Reply(["a", "", "b"]), None, ["a", "", "b"]),
        (lambda messages: messages[-1].content, None, ["hello", " there"]),
        ("", None, []),
    ],
)
async def test_an_answer_arrives_in_the_chunks_that_were_asked_for(reply, chunk_size, chunks) -> None:
    assert await chunks_of(ScriptedModel([reply], chunk_size=chunk_size)) == chunks


@pytest.mark.parametrize(
    ("options", "text", "reason"),
    [
        ({}, "one two three", "stop"),
        ({"max_tokens": 3}, "one two three", "stop"),
        ({"max_tokens": 2}, "one two", "length"),
        ({"max_tokens": 0}, "", "length"),
        ({"stop": ["o th", "three"]}, "one tw", "stop"),
        ({"stop": ["three"], "max_tokens": 1}, "one", "length"),
        ({"stop": [" three"], "max_tokens": 2}, "one two", "stop"),
        ({"stop": [""]}, "one two three", "stop"),
    ],
)
async def test_the_answer_ends_where_a_stop_text_or_max_tokens_ends_it(options, text, reason) -> None:
    generation = ScriptedModel([["on", "e two th", "ree"]]).stream(HELLO, **options)
    assert (await generation.text(), generation.finish_reason) == (text, reason)


async def test_a_reply_may_carry_tool_calls_and_counts_words() -> None:
    call = ToolCall("call_0", "f", {"x": 1})
    generation = ScriptedModel([Reply("two words", tool_calls=(call,))]).stream(HELLO)
    await generation.text()
    assert generation.tool_calls == [call]
    assert (generation.usage.prompt_tokens, generation.usage.completion_tokens) == (2, 2)


async def test_a_replys_error_comes_after_its_text() -> None:
    generation = ScriptedModel([Reply("half an", error=ModelError("out of memory"))]).stream(HELLO)
    heard: list[str] = []
    with pytest.raises(ModelError, match="out of memory"):
        await listen(generation, heard)
    assert heard == ["half", " an"]
    assert generation.finish_reason is None


async def test_a_stop_text_before_the_error_spares_it() -> None:
    model = ScriptedModel([Reply("half an", error=ModelError("out of memory"))])
    assert await model.stream(HELLO, stop=[" an"]).text() == "half"


async def test_a_refused_request_is_recorded_and_takes_no_reply() -> None:
    model = ScriptedModel(["one"], context_length=10)
    with pytest.raises(ContextLengthError) as caught:
        await model.stream(HELLO, max_tokens=9).text()
    assert (caught.value.n_prompt, caught.value.n_answer, caught.value.context_length) == (2, 9, 10)
    assert len(model.requests) == 1
    assert await model.stream(HELLO, max_tokens=8).text() == "one"


async def test_a_grammar_without_the_claimed_form_is_refused() -> None:
    with pytest.raises(GrammarError, match="takes grammars as gbnf"):
        await (
            ScriptedModel(["one"], grammar_kind="gbnf")
            .stream(HELLO, grammar=Grammar(lark="start: /x/"))
            .text()
        )


async def test_before_chunk_stalls_the_answer_at_a_chunk() -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def before_chunk(number: int) -> None:
        if number == 1:
            reached.set()
            await go_on.wait()

    heard: list[str] = []
    generation = ScriptedModel(["one two"], before_chunk=before_chunk).stream(HELLO)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(listen(generation, heard))
        await reached.wait()
        assert heard == ["one"]
        go_on.set()
    assert heard == ["one", " two"]


async def test_other_tasks_run_between_two_chunks() -> None:
    seen: list[str] = []

    async def tick() -> None:
        for _ in range(3):
            seen.append("tick")
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(listen(ScriptedModel([["a", "b", "c"]]).stream(HELLO), seen))
        group.create_task(tick())
    assert seen == ["a", "tick", "b", "tick", "c", "tick"]
