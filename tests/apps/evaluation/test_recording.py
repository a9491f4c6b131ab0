import pytest

from plait.apps.evaluation._recording import RecordingModel, token_counts
from plait.errors import ContextLengthError, ModelError
from plait.models import Grammar, Message, ScriptedModel, ToolCall, Usage
from plait.models._scripted import Reply

pytestmark = pytest.mark.anyio

ASK = [Message("system", "be brief"), Message("user", "two words please")]


async def test_what_is_asked_and_written_is_kept_and_passed_on() -> None:
    model = RecordingModel(ScriptedModel(["hello there"]))
    assert await model.stream(ASK).text() == "hello there"
    (record,) = model.generations
    assert record.messages == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "two words please"},
    ]
    assert (record.output, record.finish_reason) == ("hello there", "stop")
    assert (record.tokens.prompt, record.tokens.completion) == (5, 2)
    assert record.prefill_s > 0


async def test_the_model_is_given_every_argument() -> None:
    inner = ScriptedModel(["a b c"], grammar_kind="gbnf")
    grammar = Grammar(gbnf="root ::= [a-z ]+")
    tools = [{"type": "function", "function": {"name": "find"}}]
    generation = RecordingModel(inner).stream(
        ASK, grammar=grammar, max_tokens=9, stop=["b"], seed=3, temperature=0.5, tools=tools
    )
    assert await generation.text() == "a "
    (request,) = inner.requests
    assert request.grammar is grammar
    assert (request.max_tokens, request.stop, request.seed, request.temperature) == (9, ("b",), 3, 0.5)
    assert request.tools == tuple(tools)


async def test_calls_by_the_models_own_convention_are_kept_with_the_definitions() -> None:
    calls = (ToolCall("call_0", "find", {"name": "Sid"}),)
    model = RecordingModel(ScriptedModel([Reply("", calls)]))
    tools = [{"type": "function", "function": {"name": "find"}}]
    earlier = Message("assistant", tool_calls=(ToolCall("x", "find", {"name": "Ana"}),))
    generation = model.stream([*ASK, earlier], tools=tools)
    await generation.text()
    assert tuple(generation.tool_calls) == calls
    (record,) = model.generations
    assert record.tool_calls == [{"name": "find", "arguments": {"name": "Sid"}}]
    assert record.tools == tools
    assert record.messages[-1]["tool_calls"] == [{"name": "find", "arguments": {"name": "Ana"}}]


async def test_a_generation_that_is_left_early_is_kept_as_far_as_it_went() -> None:
    model = RecordingModel(ScriptedModel(["one two three"]))
    generation = model.stream(ASK)
    async for _ in generation:
        break
    await generation.aclose()
    assert generation.finish_reason == "cancelled"
    assert [(r.output, r.finish_reason) for r in model.generations] == [("one", "cancelled")]


async def test_a_generation_that_fails_is_kept_as_far_as_it_went() -> None:
    model = RecordingModel(ScriptedModel([Reply("one two", error=ModelError("out of memory"))]))
    with pytest.raises(ModelError, match="out of memory"):
        await model.stream(ASK).text()
    assert [(r.output, r.finish_reason) for r in model.generations] == [("one two", None)]


async def test_a_failure_that_a_provider_made_up_becomes_one_of_the_model() -> None:
    model = RecordingModel(ScriptedModel([Reply(error=ZeroDivisionError("odd"))], name="remote"))
    with pytest.raises(ModelError, match=r"the model remote failed \(ZeroDivisionError: odd\)"):
        await model.stream(ASK).text()
    assert len(model.generations) == 1


async def test_a_prompt_that_is_refused_is_kept() -> None:
    model = RecordingModel(ScriptedModel(["never"], context_length=3))
    with pytest.raises(ContextLengthError):
        await model.stream(ASK).text()
    assert [r.output for r in model.generations] == [""]


async def test_what_describes_the_model_is_the_models_own() -> None:
    inner = ScriptedModel([], name="small", context_length=77, grammar_kind="lark")
    model = RecordingModel(inner)
    assert (model.name, model.context_length, model.grammar_kind) == ("small", 77, "lark")
    assert model.count_tokens(ASK) == 5


async def test_the_model_serves_others_when_the_recording_is_closed() -> None:
    inner = ScriptedModel(["one", "two"])
    first, second = RecordingModel(inner), RecordingModel(inner)
    assert await first.stream(ASK).text() == "one"
    await first.aclose()
    assert await second.stream(ASK).text() == "two"
    assert (len(first.generations), len(second.generations)) == (1, 1)


def test_every_count_of_tokens_is_kept() -> None:
    usage = Usage(
        prompt_tokens=1,
        cached_tokens=2,
        completion_tokens=3,
        forced_tokens=4,
        draft_tokens=5,
        accepted_tokens=6,
    )
    assert list(token_counts(usage).model_dump().values()) == [1, 2, 3, 4, 5, 6]
