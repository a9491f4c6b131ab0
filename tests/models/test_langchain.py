from typing import Any

import pytest
from langchain_core.exceptions import LangChainException
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    FakeMessagesListChatModel,
    GenericFakeChatModel,
)
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from plait.errors import GrammarError, ModelError
from plait.models._langchain import LangChainModel
from plait.models._types import Grammar, Message, ToolCall

pytestmark = pytest.mark.anyio

HELLO = [Message("user", "hello")]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


class ChunksChatModel(BaseChatModel):
    """Streams the given chunks and records what it was asked."""

    chunks: list[Any]
    temperature: float | None = None
    num_predict: int | None = None
    asked: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "chunks"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("".join(self.chunks)))])

    async def _astream(self, messages, stop=None, run_manager=None, **kwargs):
        settings = {"temperature": self.temperature, "num_predict": self.num_predict}
        self.asked.append({"messages": messages, "stop": stop, **settings, **kwargs})
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield ChatGenerationChunk(message=AIMessageChunk(chunk) if isinstance(chunk, str) else chunk)

    def bind_tools(self, tools, **kwargs):
        return self.bind(tools=tools, **kwargs)


async def test_messages_are_handed_on_as_langchains_own() -> None:
    fake = ChunksChatModel(chunks=["ok"])
    call = ToolCall("call_7", "f", {"x": 1})
    await (
        LangChainModel(fake)
        .stream(
            [
                Message("system", "be brief"),
                Message("user", "hello"),
                Message("assistant", "", tool_calls=(call,)),
                Message("tool", "2", tool_call_id="call_7"),
            ]
        )
        .text()
    )
    system, user, assistant, tool = fake.asked[0]["messages"]
    assert (type(system), type(user), type(assistant), type(tool)) == (
        SystemMessage,
        HumanMessage,
        AIMessage,
        ToolMessage,
    )
    assert (system.content, user.content, tool.content) == ("be brief", "hello", "2")
    assert assistant.tool_calls == [{"name": "f", "args": {"x": 1}, "id": "call_7", "type": "tool_call"}]
    assert tool.tool_call_id == "call_7"


async def test_a_setting_is_made_where_the_model_has_a_field_for_it_and_the_model_stays_as_it_was() -> None:
    fake = ChunksChatModel(chunks=["ok"], temperature=0.9)
    model = LangChainModel(fake)
    assert model.settable == {"temperature", "max_tokens"}
    await model.stream(HELLO, max_tokens=5, seed=3, temperature=0.1).text()
    assert (fake.asked[0]["temperature"], fake.asked[0]["num_predict"]) == (0.1, 5)
    assert (fake.temperature, fake.num_predict) == (0.9, None)


async def test_a_model_without_such_fields_is_asked_all_the_same() -> None:
    model = LangChainModel(FakeListChatModel(responses=["fine"]))
    assert model.settable == frozenset()
    assert await model.stream(HELLO, max_tokens=5, seed=3).text() == "fine"


async def test_stop_is_handed_on_and_heeded_even_if_the_model_does_not() -> None:
    fake = ChunksChatModel(chunks=["one <e", "nd", "> two", AssertionError("read on")])
    generation = LangChainModel(fake).stream(HELLO, stop=["<end>", "never"])
    assert await generation.text() == "one "
    assert generation.finish_reason == "stop"
    assert fake.asked[0]["stop"] == ["<end>", "never"]


async def test_text_held_back_for_a_stop_that_does_not_come_is_given_out() -> None:
    model = LangChainModel(ChunksChatModel(chunks=["a <e", "n", "tity> <en"]))
    assert await model.stream(HELLO, stop=["<end>"]).text() == "a <entity> <en"


async def test_tools_are_bound_and_calls_assembled_from_chunks() -> None:
    def part(**part: Any) -> AIMessageChunk:
        return AIMessageChunk("", tool_call_chunks=[{"name": None, "id": None, "index": 0, **part}])

    fake = ChunksChatModel(
        chunks=["calling", part(name="f", id="call_1", args='{"x"'), part(args=": [1, 2]}")],
    )
    generation = LangChainModel(fake).stream(HELLO, tools=[TOOL])
    assert await generation.text() == "calling"
    assert generation.tool_calls == [ToolCall("call_1", "f", {"x": [1, 2]})]
    assert fake.asked[0]["tools"] == [TOOL]


async def test_a_call_whose_arguments_are_no_json_names_its_function() -> None:
    broken = AIMessageChunk("", tool_call_chunks=[{"name": "f", "id": "1", "index": 0, "args": "x=1"}])
    with pytest.raises(ModelError, match=r"function 'f' .*'x=1'"):
        await LangChainModel(ChunksChatModel(chunks=[broken])).stream(HELLO, tools=[TOOL]).text()


async def test_a_model_that_takes_no_tools_says_so() -> None:
    with pytest.raises(ModelError, match="takes no tools"):
        await LangChainModel(FakeListChatModel(responses=["x"])).stream(HELLO, tools=[TOOL]).text()


async def test_a_model_that_cannot_stream_gives_its_message_whole() -> None:
    call = {"name": "f", "args": {"x": 1}, "id": None, "type": "tool_call"}
    fake = FakeMessagesListChatModel(responses=[AIMessage("all at once", tool_calls=[call])])
    generation = LangChainModel(fake).stream(HELLO)
    assert [chunk async for chunk in generation] == ["all at once"]
    assert generation.tool_calls == [ToolCall("call_0", "f", {"x": 1})]


async def test_blocks_of_content_are_flattened_to_their_text() -> None:
    blocks = AIMessageChunk(
        ["plain ", {"type": "text", "text": "text"}, {"type": "reasoning", "reasoning": "hm", "text": "no"}]
    )
    assert await LangChainModel(ChunksChatModel(chunks=[blocks])).stream(HELLO).text() == "plain text"


async def test_usage_and_the_finish_reason_come_from_the_message() -> None:
    end = AIMessageChunk(
        "",
        usage_metadata={
            "input_tokens": 20,
            "output_tokens": 3,
            "total_tokens": 23,
            "input_token_details": {"cache_read": 16},
        },
        response_metadata={"done_reason": "length"},
    )
    generation = LangChainModel(ChunksChatModel(chunks=["one", end])).stream(HELLO)
    await generation.text()
    usage = generation.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (20, 3, 16)
    assert generation.finish_reason == "length"


@pytest.mark.parametrize("error", [LangChainException("bad prompt"), ConnectionResetError("gone")])
async def test_a_failure_of_langchain_or_the_connection_is_a_model_error(error: Exception) -> None:
    with pytest.raises(ModelError, match="chunks-1 failed") as caught:
        await LangChainModel(ChunksChatModel(chunks=["one", error]), name="chunks-1").stream(HELLO).text()
    assert caught.value.__cause__ is error


async def test_a_providers_own_exception_comes_through_as_it_is() -> None:
    class QuotaError(Exception):
        pass

    with pytest.raises(QuotaError):
        await LangChainModel(ChunksChatModel(chunks=[QuotaError()])).stream(HELLO).text()


async def test_a_grammar_is_refused() -> None:
    with pytest.raises(GrammarError, match="enforces no grammar"):
        await (
            LangChainModel(FakeListChatModel(responses=["x"]))
            .stream(HELLO, grammar=Grammar(gbnf="root"))
            .text()
        )


def test_the_name_is_the_models_or_its_class() -> None:
    class Named(FakeListChatModel):
        model: str = "qwen"

    assert LangChainModel(Named(responses=["x"])).name == "qwen"
    assert LangChainModel(GenericFakeChatModel(messages=iter(()))).name == "GenericFakeChatModel"
