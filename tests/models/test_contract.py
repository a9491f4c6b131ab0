"""What every chat model must do, whatever stands behind it.

Nothing here prescribes what a model says: a test compares an answer with the model's own whole answer,
which is deterministic at temperature 0. So that a new engine joins by adding a maker to ``MAKERS``: an
async context manager that gives a model of the wanted context length whose answer to ``HELLO`` has at
least four words and arrives in at least two chunks. It may use pytest's ``request`` for fixtures and skips.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from plait.errors import ContextLengthError, GrammarError
from plait.models._http import HTTPModel
from plait.models._langchain import LangChainModel
from plait.models._llama import LlamaModel
from plait.models._scripted import ScriptedModel
from plait.models._types import ChatModel, Generation, Grammar, Message

pytestmark = pytest.mark.anyio

ANSWER = "A plait is three or more strands laid over one another."
HELLO = [
    Message("system", "Repeat what the user says."),
    *(Message(role, "Seven cats sleep in the sun.") for role in ("user", "assistant")),
    *(Message(role, "One dog barks at two old trains.") for role in ("user", "assistant")),
    Message("user", ANSWER),
]
"""A request with little doubt about its answer: small models' doubts are decided by a batch's shape."""
DEADLINE_S = 60

MakeModel = Callable[..., AbstractAsyncContextManager[ChatModel]]


@asynccontextmanager
async def make_scripted(request: pytest.FixtureRequest, context_length: int) -> AsyncIterator[ChatModel]:
    yield ScriptedModel([ANSWER] * 10, context_length=context_length)


@asynccontextmanager
async def make_http(request: pytest.FixtureRequest, context_length: int) -> AsyncIterator[ChatModel]:
    wire = request.getfixturevalue("wire")

    async def handler(received: Any, response: Any) -> None:
        words, reason = cut(received.body.get("stop") or [], received.body.get("max_tokens"))
        await response.chunks(
            *(wire.text(word) for word in words), wire.text(None, reason), wire.usage(20, len(words))
        )

    async with request.getfixturevalue("open_server")(handler) as server:
        model = HTTPModel("m", base_url=server.url, context_length=context_length)
        yield model
        await model.aclose()


class WordsChatModel(BaseChatModel):
    """A LangChain model that streams the answer's words and counts them; it takes no stop texts."""

    max_tokens: int | None = None

    @property
    def _llm_type(self) -> str:
        return "words"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(ANSWER))])

    async def _astream(self, messages, stop=None, run_manager=None, **kwargs):
        words, reason = cut([], self.max_tokens)
        for word in words:
            yield ChatGenerationChunk(message=AIMessageChunk(word))
            await asyncio.sleep(0)
        counts = {"input_tokens": 20, "output_tokens": len(words), "total_tokens": 20 + len(words)}
        end = AIMessageChunk("", usage_metadata=counts, response_metadata={"finish_reason": reason})
        yield ChatGenerationChunk(message=end)


@asynccontextmanager
async def make_langchain(request: pytest.FixtureRequest, context_length: int) -> AsyncIterator[ChatModel]:
    yield LangChainModel(WordsChatModel(), context_length=context_length)


@asynccontextmanager
async def make_llama(request: pytest.FixtureRequest, context_length: int) -> AsyncIterator[ChatModel]:
    path = request.getfixturevalue("smollm2")
    yield LlamaModel(path, context_length=context_length, drafts=False)  # its texts are compared


def cut(stop: list[str], max_tokens: int | None) -> tuple[list[str], str]:
    """The words of the answer, as a model that heeds stop texts and ``max_tokens`` says them."""
    text = ANSWER[: min([at for text in stop if (at := ANSWER.find(text)) >= 0], default=len(ANSWER))]
    words = [word if number == 0 else f" {word}" for number, word in enumerate(text.split(" "))]
    is_cut = max_tokens is not None and len(words) > max_tokens
    return words[:max_tokens], "length" if is_cut else "stop"


MAKERS = {"scripted": make_scripted, "http": make_http, "langchain": make_langchain, "llama": make_llama}


@pytest.fixture(params=MAKERS)
def make_model(request: pytest.FixtureRequest) -> MakeModel:
    """``async with make_model(context_length=n) as model:``, closed afterwards."""

    @asynccontextmanager
    async def make(context_length: int = 2048) -> AsyncIterator[ChatModel]:
        async with asyncio.timeout(DEADLINE_S), MAKERS[request.param](request, context_length) as model:
            yield model
            await model.aclose()

    return make


async def first_chunk(generation: Generation) -> str:
    return await anext(aiter(generation))


async def test_it_is_a_chat_model_with_a_name_and_a_context(make_model: MakeModel) -> None:
    async with make_model(context_length=512) as model:
        assert isinstance(model, ChatModel)
        assert model.name
        assert model.context_length == 512
        assert model.grammar_kind in {None, "lark", "gbnf", "json_schema"}


async def test_the_chunks_make_up_the_text(make_model: MakeModel) -> None:
    async with make_model() as model:
        chunks = [chunk async for chunk in model.stream(HELLO)]
        assert len(chunks) >= 2
        assert all(chunks)
        assert "".join(chunks) == await model.stream(HELLO).text()


async def test_a_finished_generation_tells_how_it_went(make_model: MakeModel) -> None:
    async with make_model() as model:
        generation = model.stream(HELLO)
        assert generation.finish_reason is None
        await generation.text()
        assert generation.finish_reason == "stop"
        assert generation.tool_calls == []
        usage = generation.usage
        assert usage.prompt_tokens > 0
        assert usage.completion_tokens > 0
        assert usage.prefill_s > 0
        assert usage.decode_s > 0


async def test_a_finished_generation_yields_nothing_more_and_may_be_closed_twice(
    make_model: MakeModel,
) -> None:
    async with make_model() as model:
        generation = model.stream(HELLO)
        await generation.text()
        assert await generation.text() == ""
        await generation.aclose()
        await generation.aclose()
        assert generation.finish_reason == "stop"


async def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(make_model: MakeModel) -> None:
    async with make_model() as model:
        whole = await model.stream(HELLO).text()
        stop = " ".join(whole.split()[2:4])[:-1]  # ends inside a word, and spans chunks
        generation = model.stream(HELLO, stop=["\0never\0", stop])
        assert await generation.text() == whole[: whole.index(stop)]
        assert generation.finish_reason == "stop"


async def test_max_tokens_cuts_the_answer_and_says_so(make_model: MakeModel) -> None:
    async with make_model() as model:
        whole = await model.stream(HELLO).text()
        generation = model.stream(HELLO, max_tokens=2)
        text = await generation.text()
        assert text
        assert text != whole
        assert whole.startswith(text)
        assert generation.finish_reason == "length"
        assert generation.usage.completion_tokens == 2


async def test_leaving_early_ends_the_generation(make_model: MakeModel) -> None:
    async with make_model() as model:
        generation = model.stream(HELLO)
        await first_chunk(generation)
        await generation.aclose()
        assert generation.finish_reason == "cancelled"
        assert await generation.text() == ""


async def test_a_generation_may_be_closed_before_it_began(make_model: MakeModel) -> None:
    async with make_model() as model:
        await model.stream(HELLO).aclose()
        assert await model.stream(HELLO).text()


async def test_the_next_request_is_answered_in_full_after_one_was_left(make_model: MakeModel) -> None:
    async with make_model() as model:
        whole = await model.stream(HELLO).text()
        generation = model.stream(HELLO)
        await first_chunk(generation)
        await generation.aclose()
        assert await model.stream(HELLO).text() == whole


async def test_the_next_request_is_answered_in_full_after_the_reader_was_cancelled(
    make_model: MakeModel,
) -> None:
    async with make_model() as model:
        whole = await model.stream(HELLO).text()
        generation, began, never = model.stream(HELLO), asyncio.Event(), asyncio.Event()

        async def read() -> None:
            async for _ in generation:
                began.set()
                await never.wait()

        reader = asyncio.create_task(read())
        await began.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await generation.aclose()
        assert await model.stream(HELLO).text() == whole


async def test_two_answers_at_once_do_not_mix(make_model: MakeModel) -> None:
    async with make_model() as model:
        whole = await model.stream(HELLO).text()
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(model.stream(HELLO).text()) for _ in range(2)]
        assert [answer.result() for answer in answers] == [whole, whole]


async def test_tokens_are_counted_without_a_request_and_grow_with_the_prompt(make_model: MakeModel) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    async with make_model() as model:
        n_tokens = model.count_tokens(HELLO)
        assert n_tokens > 0
        assert model.count_tokens([*HELLO, Message("user", "And a braid?")]) > n_tokens
        assert model.count_tokens(HELLO, tools=[tool]) >= n_tokens


async def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers(make_model: MakeModel) -> None:
    async with make_model(context_length=512) as model:
        generation = model.stream([*HELLO, Message("user", "strand " * 1000)], max_tokens=16)
        with pytest.raises(ContextLengthError) as caught:
            await first_chunk(generation)
        assert caught.value.n_prompt > 512
        assert (caught.value.n_answer, caught.value.context_length) == (16, 512)
        assert generation.usage.completion_tokens == 0
        assert await model.stream(HELLO).text()


async def test_room_for_the_answer_belongs_to_what_must_fit(make_model: MakeModel) -> None:
    async with make_model(context_length=512) as model:
        with pytest.raises(ContextLengthError):
            await model.stream(HELLO, max_tokens=512).text()


async def test_errors_wait_for_the_iteration(make_model: MakeModel) -> None:
    async with make_model() as model:
        generation = model.stream(HELLO, grammar=Grammar())
        with pytest.raises(GrammarError):
            await generation.text()
        assert generation.finish_reason is None


async def test_the_model_may_be_closed_twice(make_model: MakeModel) -> None:
    async with make_model() as model:
        await model.stream(HELLO).text()
        await model.aclose()
        await model.aclose()
