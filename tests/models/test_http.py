import asyncio
import email.utils
import time

import httpx
import pytest

from plait.errors import ConfigurationError, ContextLengthError, GrammarError, ModelServerError
from plait.models._http import HTTPModel
from plait.models._types import Grammar, Message, ToolCall

pytestmark = pytest.mark.anyio

HELLO = [Message("user", "hello")]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
GRAMMAR = Grammar(lark="start: /x/", gbnf='root ::= "x"', json_schema={"type": "object"})


class Waits(list[float]):
    """A sleep that records how long it would have been."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def asked(open_server, wire):
    """The request's body and the answer of a model made with the given options."""

    async def ask(*chunks, request=None, messages=HELLO, **options):
        async def handler(received, response):
            await response.chunks(*(chunks or [wire.text("ok", "stop")]))

        async with open_server(handler) as server:
            model = HTTPModel("m", base_url=server.url, **options)
            generation = model.stream(messages, **(request or {}))
            try:
                text = await generation.text()
            finally:
                await model.aclose()
            return server.requests[0], text, generation

    return ask


@pytest.fixture
def refused(open_server):
    """The error that a refusal with this body is raised as."""

    async def ask(body, status=400, request=None, **options):
        async def handler(received, response):
            await response.json(body, status=status)

        async with open_server(handler) as server:
            model = HTTPModel("m", base_url=server.url, sleep=Waits(), **options)
            try:
                with pytest.raises(Exception) as caught:  # noqa: PT011 - its type is the result
                    await model.stream(HELLO, **(request or {})).text()
            finally:
                await model.aclose()
            return caught.value, len(server.requests)

    return ask


async def test_a_plain_request_says_no_more_than_it_must(asked) -> None:
    received, text, _ = await asked()
    assert text == "ok"
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert "authorization" not in received.headers
    assert received.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
    }


async def test_every_option_reaches_the_server(asked) -> None:
    request = {"max_tokens": 9, "stop": ["END"], "seed": 7, "temperature": 0.5, "tools": [TOOL]}
    received, _, _ = await asked(
        request=request,
        api_key="sk-1",
        headers={"X-Team": "plait"},
        extra_body={"cache_prompt": True, "stream_options": None},
    )
    assert received.headers["authorization"] == "Bearer sk-1"
    assert received.headers["x-team"] == "plait"
    assert {name: received.body[name] for name in request} == request
    assert received.body["cache_prompt"] is True
    assert "stream_options" not in received.body


async def test_turns_with_calls_and_their_results_are_written_as_openai_writes_them(asked) -> None:
    received, _, _ = await asked(
        messages=[
            Message("assistant", "", tool_calls=(ToolCall("call_7", "f", {"city": "Zürich"}),)),
            Message("tool", "sunny", tool_call_id="call_7"),
        ]
    )
    assistant, tool = received.body["messages"]
    assert assistant == {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "call_7",
                "type": "function",
                "function": {"name": "f", "arguments": '{"city": "Zürich"}'},
            }
        ],
    }
    assert tool == {"role": "tool", "content": "sunny", "tool_call_id": "call_7"}


async def test_text_usage_and_reason_are_read_from_the_stream(asked, wire) -> None:
    _, text, generation = await asked(
        wire.text(None, role="assistant"),
        wire.text("Grü"),
        wire.text("ße"),
        {"choices": [{"delta": None, "finish_reason": "length"}], "usage": None},
        wire.usage(prompt=20, completion=2, cached=16),
    )
    assert text == "Grüße"
    assert generation.finish_reason == "length"
    usage = generation.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (20, 2, 16)
    assert usage.prefill_s > 0


async def test_a_stream_may_be_cut_into_single_bytes(open_server, wire) -> None:
    stream = b": hi\n\n" + wire.event(wire.text("世界 😀")).replace(b"data: ", b"data:") + b"data: [DONE]\n\n"

    async def handler(received, response):
        await response.sse(*(bytes([byte]) for byte in stream))

    async with open_server(handler) as server:
        model = HTTPModel("m", base_url=server.url)
        assert await model.stream(HELLO).text() == "世界 😀"
        await model.aclose()


def call_delta(wire, index: int | None = 0, call_id: str | None = None, name=None, arguments=None):
    function = {"name": name, "arguments": arguments}
    return wire.text(tool_calls=[{"index": index, "id": call_id, "function": function}])


async def test_tool_calls_are_assembled_by_index(asked, wire) -> None:
    _, text, generation = await asked(
        call_delta(wire, 0, "a", "f", ""),
        call_delta(wire, 0, None, None, '{"x"'),
        call_delta(wire, 1, "b", "g"),
        call_delta(wire, 0, None, None, ": 1}"),
        wire.text(None, "tool_calls"),
        request={"tools": [TOOL]},
    )
    assert text == ""
    assert generation.tool_calls == [ToolCall("a", "f", {"x": 1}), ToolCall("b", "g", {})]
    assert generation.finish_reason == "stop"


async def test_calls_that_share_an_index_are_told_apart_by_their_ids(asked, wire) -> None:
    _, _, generation = await asked(
        call_delta(wire, 0, "a", "f", '{"x": 1}'),
        call_delta(wire, 0, "b", "f", '{"x": 2}'),
        wire.text(None, "tool_calls"),
    )
    assert [call.arguments for call in generation.tool_calls] == [{"x": 1}, {"x": 2}]


@pytest.mark.parametrize(
    ("arguments", "reason", "fix"),
    [
        ("{x: 1}", "tool_calls", "try again"),
        ("[1]", "tool_calls", "try again"),
        ('{"x', "length", "max_tokens"),
    ],
)
async def test_arguments_that_are_no_json_object_name_their_function(
    asked, wire, arguments, reason, fix
) -> None:
    with pytest.raises(ModelServerError, match=rf"the function 'f' with arguments.*{fix}"):
        await asked(call_delta(wire, 0, "a", "f", arguments), wire.text(None, reason))


@pytest.mark.parametrize(
    ("server", "kind", "fields"),
    [
        ("llama-server", "gbnf", {"grammar": 'root ::= "x"'}),
        ("llama-server", "lark", {"grammar": "%llguidance {}\nstart: /x/"}),
        ("vllm", "gbnf", {"structured_outputs": {"grammar": 'root ::= "x"'}}),
        ("vllm", "lark", {"structured_outputs": {"grammar": "start: /x/"}}),
        *(
            (
                server,
                "json_schema",
                {
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "plan", "schema": {"type": "object"}, "strict": True},
                    }
                },
            )
            for server in ("llama-server", "vllm", "ollama", "openai")
        ),
    ],
)
async def test_each_server_is_given_the_grammar_in_its_own_field(asked, server, kind, fields) -> None:
    received, _, _ = await asked(server=server, grammar=kind, request={"grammar": GRAMMAR})
    assert {name: received.body.get(name) for name in fields} == fields


def test_a_server_is_not_given_a_grammar_that_it_does_not_take() -> None:
    with pytest.raises(ConfigurationError, match="'ollama' takes json_schema"):
        HTTPModel("m", base_url="http://localhost", server="ollama", grammar="gbnf")
    with pytest.raises(ConfigurationError, match="choose one of llama-server, ollama, openai, vllm"):
        HTTPModel("m", base_url="http://localhost", server="llamafile")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    [
        {
            "error": {
                "code": 400,
                "message": "Failed to initialize samplers: ...",
                "type": "invalid_request_error",
            }
        },
        {"error": {"message": "Cannot use custom grammar constraints with tools."}},
        {"error": {"message": "Invalid schema for response_format 'plan'", "code": None}},
        {"error": "invalid response_format"},
        {"object": "error", "message": "Invalid grammar specification.", "code": 400},
    ],
)
async def test_a_refused_grammar_is_a_grammar_error_and_is_not_tried_without(refused, body) -> None:
    error, n_requests = await refused(
        body, server="llama-server", grammar="gbnf", request={"grammar": GRAMMAR}
    )
    assert isinstance(error, GrammarError)
    assert n_requests == 1


async def test_the_same_words_without_a_grammar_are_another_error(refused) -> None:
    error, _ = await refused({"error": {"message": "bad schema in tools[0]"}})
    assert isinstance(error, ModelServerError)
    assert error.status == 400


LLAMA_CONTEXT = {
    "error": {
        "code": 400,
        "message": "the request exceeds the available context size",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 1407,
        "n_ctx": 256,
    }
}


@pytest.mark.parametrize(
    ("body", "status", "numbers"),
    [
        (LLAMA_CONTEXT, 400, (1407, 256)),
        (LLAMA_CONTEXT, 500, (1407, 256)),
        (
            {
                "error": {
                    "message": "This model's maximum context length is 8192 tokens. However, you requested "
                    "9000 tokens (8000 in the messages, 1000 in the completion).",
                    "code": "context_length_exceeded",
                }
            },
            400,
            (8000, 8192),
        ),
        (
            {
                "error": {
                    "message": "This model's maximum context length is 2048 tokens and your request has 100 "
                    "input tokens (4096 > 2048 - 100).",
                    "type": "BadRequestError",
                    "code": 400,
                }
            },
            400,
            (100, 2048),
        ),
    ],
)
async def test_a_prompt_that_the_server_finds_too_long_is_a_context_error(
    refused, body, status, numbers
) -> None:
    error, n_requests = await refused(body, status, request={"max_tokens": 10})
    assert isinstance(error, ContextLengthError)
    assert (error.n_prompt, error.context_length, error.n_answer) == (*numbers, 10)
    assert n_requests == 1


async def test_a_context_error_without_numbers_says_what_to_do(refused) -> None:
    error, _ = await refused({"error": {"message": "too long", "code": "context_length_exceeded"}})
    assert isinstance(error, ModelServerError)
    assert "offer fewer tools" in str(error)


async def test_a_known_context_is_checked_before_anything_is_sent(asked) -> None:
    model = HTTPModel("m", base_url="http://127.0.0.1:1", context_length=20)
    with pytest.raises(ContextLengthError) as caught:
        await model.stream(HELLO, max_tokens=11).text()
    assert (caught.value.n_prompt, caught.value.n_answer) == (10, 11)
    await model.aclose()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"error": {"message": "invalid key"}}, "answered 401: invalid key; check api_key"),
        (404, {"error": {"message": "no such model"}}, "no such model; check the model's name"),
        (404, {"detail": "Not Found"}, "Not Found; check the model's name and base_url"),
        (400, ["odd"], r'answered 400: \["odd"\]; check that the server takes every field'),
        (418, {}, "answered 418: {}; see the server's log"),
    ],
)
async def test_a_refusal_carries_status_message_and_fix_and_is_final(refused, status, body, said) -> None:
    error, n_requests = await refused(body, status)
    assert isinstance(error, ModelServerError)
    assert (error.status, error.model, n_requests) == (status, "m", 1)
    with pytest.raises(ModelServerError, match=said):
        raise error


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
async def test_a_busy_server_is_asked_again_and_again_but_not_for_ever(refused, status) -> None:
    error, n_requests = await refused({"error": {"message": "busy"}}, status)
    assert (error.status, n_requests) == (status, 3)


async def after_refusals(open_server, wire, headers, retries=2):
    """The waits of a model whose server refuses once with these headers, and then answers."""
    waits = Waits()

    async def handler(received, response):
        if len(server.requests) == 1:
            await response.json({"error": {"message": "Loading model"}}, status=503, **headers)
        else:
            await response.chunks(wire.text("ok", "stop"))

    async with open_server(handler) as server:
        model = HTTPModel("m", base_url=server.url, sleep=waits, retries=retries)
        try:
            assert await model.stream(HELLO).text() == "ok"
        finally:
            await model.aclose()
    return waits


async def test_an_answer_after_a_retry_is_an_answer(open_server, wire) -> None:
    (wait,) = await after_refusals(open_server, wire, {})
    assert 0.25 <= wait <= 0.75


async def test_the_server_says_how_long_to_wait(open_server, wire) -> None:
    assert await after_refusals(open_server, wire, {"Retry-After": "7"}) == [7.0]
    date = email.utils.formatdate(time.time() + 20, usegmt=True)
    (wait,) = await after_refusals(open_server, wire, {"Retry-After": date})
    assert 15 < wait <= 20


async def test_a_wait_that_is_too_long_is_not_waited(open_server, wire) -> None:
    with pytest.raises(ModelServerError, match="503: Loading model; wait until"):
        await after_refusals(open_server, wire, {"Retry-After": "3600"})


async def test_no_retries_means_one_request(open_server, wire) -> None:
    with pytest.raises(ModelServerError):
        await after_refusals(open_server, wire, {}, retries=0)


async def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    waits = Waits()
    model = HTTPModel("m", base_url="http://127.0.0.1:9/v1", sleep=waits)
    with pytest.raises(
        ModelServerError, match=r"http://127\.0\.0\.1:9/v1/chat/completions cannot be reached.*start it"
    ) as caught:
        await model.stream(HELLO).text()
    assert caught.value.status is None
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    first, second = waits
    assert 0.25 <= first <= 0.75
    assert 0.5 <= second <= 1.5
    await model.aclose()


async def test_a_server_that_hangs_up_without_a_word_is_asked_again(open_server, wire) -> None:
    async def handler(received, response):
        if len(server.requests) > 1:
            await response.chunks(wire.text("ok", "stop"))

    async with open_server(handler) as server:
        model = HTTPModel("m", base_url=server.url, sleep=Waits())
        assert await model.stream(HELLO).text() == "ok"
        await model.aclose()


@pytest.mark.parametrize("hangs_up_cleanly", [True, False])
async def test_an_answer_that_breaks_off_is_an_error_and_is_not_asked_for_again(
    open_server, wire, hangs_up_cleanly
) -> None:
    async def handler(received, response):
        await response.sse(wire.event(wire.text("half an")), ends=hangs_up_cleanly)

    async with open_server(handler) as server:
        model = HTTPModel("m", base_url=server.url, sleep=Waits())
        generation = model.stream(HELLO)
        assert await anext(aiter(generation)) == "half an"
        with pytest.raises(ModelServerError, match=r"clos|broke"):
            await generation.text()
        assert len(server.requests) == 1
        await model.aclose()


async def test_an_error_inside_the_stream_is_raised_with_its_status(asked, wire) -> None:
    with pytest.raises(ModelServerError, match="answered 500: CUDA out of memory") as caught:
        await asked(wire.text("half"), {"error": {"code": 500, "message": "CUDA out of memory"}})
    assert caught.value.status == 500


async def test_a_filtered_answer_is_an_error(asked, wire) -> None:
    with pytest.raises(ModelServerError, match="finish_reason 'content_filter'"):
        await asked(wire.text("half"), wire.text(None, "content_filter"))


async def test_what_is_no_chunk_is_quoted(asked) -> None:
    with pytest.raises(ModelServerError, match="no chunk of a chat completion"):
        await asked({"choices": "none"})


async def test_an_answer_that_is_no_stream_is_quoted(open_server) -> None:
    async def handler(received, response):
        await response.raw(b"<title>Router login</title>")

    async with open_server(handler) as server:
        model = HTTPModel("m", base_url=server.url)
        with pytest.raises(ModelServerError, match="text/html and no stream, '<title>Router login"):
            await model.stream(HELLO).text()
        await model.aclose()


async def test_a_silent_server_runs_into_the_timeout(open_server) -> None:
    async def handler(received, response):
        await received.hung_up.wait()

    async with open_server(handler) as server:
        model = HTTPModel("m", base_url=server.url, timeout_s=0.05, sleep=Waits())
        with pytest.raises(ModelServerError, match=r"did not answer in time.*raise timeout_s"):
            await model.stream(HELLO).text()
        assert len(server.requests) == 1
        await model.aclose()


@pytest.fixture
def endless(open_server, wire):
    """A server that writes one chunk and then stalls until the reader hangs up."""

    async def handler(received, response):
        await response.begin_sse()
        await response.piece(wire.event(wire.text("first")))
        await received.hung_up.wait()

    return open_server(handler)


async def test_leaving_early_closes_the_connection_at_once(endless) -> None:
    async with endless as server, asyncio.timeout(5):
        model = HTTPModel("m", base_url=server.url)
        generation = model.stream(HELLO)
        assert await anext(aiter(generation)) == "first"
        await generation.aclose()
        await server.requests[0].hung_up.wait()
        assert generation.finish_reason == "cancelled"
        await model.aclose()


async def test_cancelling_the_reader_closes_the_connection_at_once(endless) -> None:
    async with endless as server, asyncio.timeout(5):
        model = HTTPModel("m", base_url=server.url)
        generation, got_first = model.stream(HELLO), asyncio.Event()

        async def read() -> None:
            async for _ in generation:
                got_first.set()

        task = asyncio.create_task(read())
        await got_first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.requests[0].hung_up.wait()
        assert generation.finish_reason == "cancelled"
        await model.aclose()


async def test_the_answer_ends_with_done_even_if_the_server_does_not_hang_up(open_server, wire) -> None:
    async def handler(received, response):
        await response.begin_sse()
        await response.piece(wire.event(wire.text("ok", "stop")) + b"data: [DONE]\n\n")
        await received.hung_up.wait()

    async with open_server(handler) as server, asyncio.timeout(5):
        model = HTTPModel("m", base_url=server.url)
        assert await model.stream(HELLO).text() == "ok"
        await model.aclose()


async def test_no_connection_is_kept_for_the_next_request(open_server) -> None:
    async def handler(received, response):
        await response.json({"version": "0.12.3"})
        await received.hung_up.wait()

    async with open_server(handler) as server, asyncio.timeout(5):
        model = await HTTPModel.connect("m", base_url=server.url)
        for request in server.requests:
            await request.hung_up.wait()
        await model.aclose()


async def test_a_proxy_of_the_environment_does_not_stand_before_this_machine(
    open_server, wire, monkeypatch
) -> None:
    async def handler(received, response):
        await response.chunks(wire.text("ok", "stop"))

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with open_server(handler) as server:
        model = HTTPModel("m", base_url=server.url, retries=0)
        assert await model.stream(HELLO).text() == "ok"
        await model.aclose()


async def test_a_closed_model_says_so(asked) -> None:
    model = HTTPModel("m", base_url="http://127.0.0.1:9")
    await model.aclose()
    await model.aclose()
    with pytest.raises(ModelServerError, match="the model was closed"):
        await model.stream(HELLO).text()


async def test_a_given_client_is_used_and_left_open(open_server, wire) -> None:
    async def handler(received, response):
        await response.chunks(wire.text("ok", "stop"))

    async with open_server(handler) as server, httpx.AsyncClient(headers={"X-Mine": "yes"}) as client:
        model = HTTPModel("m", base_url=server.url, client=client)
        assert await model.stream(HELLO).text() == "ok"
        await model.aclose()
        assert not client.is_closed
        assert server.requests[0].headers["x-mine"] == "yes"


def test_one_model_serves_two_event_loops(open_server, wire) -> None:
    async def handler(received, response):
        await response.chunks(wire.text("ok", "stop"))

    async def ask(model: HTTPModel) -> str:
        async with open_server(handler) as server:
            model._transport.url = server.url
            return await model.stream(HELLO).text()

    model = HTTPModel("m", base_url="http://127.0.0.1:9")
    assert [asyncio.run(ask(model)), asyncio.run(ask(model))] == ["ok", "ok"]
    asyncio.run(model.aclose())


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://localhost:8080", "http://localhost:8080/v1"),
        ("http://localhost:8080/", "http://localhost:8080/v1"),
        ("http://localhost:11434/v1/", "http://localhost:11434/v1"),
        ("https://example.org/api/openai", "https://example.org/api/openai"),
    ],
)
def test_an_address_without_a_path_gets_v1(base_url: str, url: str) -> None:
    assert HTTPModel("m", base_url=base_url)._transport.url == url


@pytest.mark.parametrize("base_url", ["localhost:8080", "ftp://localhost", "", "http://"])
def test_what_is_no_http_address_is_refused(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="no HTTP address"):
        HTTPModel("m", base_url=base_url)


def test_tokens_are_not_estimated_too_low() -> None:
    model = HTTPModel("m", base_url="http://localhost")
    words = "Email the summary of report.pdf to Sid and book a room for Tuesday at noon. "
    assert model.count_tokens([Message("user", words * 10)]) > 10 * 20
    assert model.count_tokens(HELLO, tools=[TOOL]) > model.count_tokens(HELLO)
    assert model.context_length == 8192


LLAMA_SERVER = {"/props": {"default_generation_settings": {"n_ctx": 16384}, "model_path": "/m.gguf"}}
VLLM_MODELS = {"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 32768}]}
VLLM = {"/v1/models": VLLM_MODELS, "/version": {"version": "0.12.0"}}
GUIDED_VLLM = {"/v1/models": VLLM_MODELS, "/version": {"version": "0.10.1.1"}}
OLD_VLLM = {"/v1/models": VLLM_MODELS, "/version": {"version": "0.8.5"}}
OLLAMA = {
    "/v1/models": {"data": [{"id": "m:latest", "owned_by": "library"}]},
    "/api/version": {"version": "0.12.3"},
    "/api/ps": {"models": [{"name": "m:latest", "context_length": 8000}]},
}
LM_STUDIO = {"/v1/models": {"data": [{"id": "m", "owned_by": "organization_owner"}]}}


@pytest.fixture
def connected(open_server):
    """The model that ``connect`` makes of a server with these answers."""

    async def connect(answers, model="m", **options):
        async def handler(received, response):
            if received.path in answers:
                await response.json(answers[received.path])
            else:
                await response.json({"detail": "Not Found"}, status=404)

        async with open_server(handler) as server:
            model = await HTTPModel.connect(model, base_url=server.url, **options)
            await model.aclose()
            return model, [request.path for request in server.requests]

    return connect


@pytest.mark.parametrize(
    ("answers", "server", "kind", "context_length"),
    [
        (LLAMA_SERVER, "llama-server", "gbnf", 16384),
        (VLLM, "vllm", "gbnf", 32768),
        (GUIDED_VLLM, "vllm", "gbnf", 32768),
        (OLD_VLLM, "vllm", "json_schema", 32768),
        (OLLAMA, "ollama", "json_schema", 8000),
        ({"/api/version": {"version": "0.5.0"}}, "ollama", "json_schema", 4096),
        (LM_STUDIO, "openai", "json_schema", 8192),
        ({"/props": ["no object"], "/v1/models": {"data": None}}, "openai", "json_schema", 8192),
    ],
)
async def test_connect_finds_out_what_the_server_is(connected, answers, server, kind, context_length) -> None:
    model, _ = await connected(answers)
    assert (model.server, model.grammar_kind, model.context_length) == (server, kind, context_length)


async def test_connect_believes_what_it_is_told(connected) -> None:
    model, paths = await connected(LLAMA_SERVER, server="llama-server", context_length=100, grammar=None)
    assert paths == ["/props", "/slots"]
    assert (model.grammar_kind, model.context_length) == (None, 100)


async def test_a_plain_server_is_asked_nothing_that_was_told(connected) -> None:
    model, paths = await connected({}, server="openai", grammar="json_schema")
    assert (paths, model.grammar_kind) == ([], "json_schema")


async def test_connect_needs_no_server_if_all_is_told() -> None:
    options = {"server": "llama-server", "context_length": 100, "grammar": "gbnf", "sleep": Waits()}
    model = await HTTPModel.connect("m", base_url="http://127.0.0.1:9", **options)  # type: ignore[arg-type]
    assert (model.server, model.context_length) == ("llama-server", 100)
    await model.aclose()


async def test_connect_refuses_a_server_that_it_does_not_know(connected) -> None:
    with pytest.raises(ConfigurationError, match="'llamafile'; choose one of llama-server"):
        await connected({}, server="llamafile")


async def test_ollamas_cloud_is_not_trusted_with_a_schema(connected) -> None:
    model, _ = await connected(OLLAMA, model="gpt-oss:120b-cloud")
    assert model.grammar_kind is None


async def test_connect_refuses_a_grammar_that_the_server_would_not_enforce(connected) -> None:
    with pytest.raises(ConfigurationError, match="'ollama' takes json_schema"):
        await connected(OLLAMA, grammar="gbnf")
    with pytest.raises(ConfigurationError, match=r"vLLM 0\.8\.5 .*would ignore a grammar given as lark"):
        await connected(OLD_VLLM, grammar="lark")


async def test_connect_raises_if_nobody_answers() -> None:
    with pytest.raises(ModelServerError, match="cannot be reached"):
        await HTTPModel.connect("m", base_url="http://127.0.0.1:9", sleep=Waits())


async def test_connect_does_not_take_a_failing_server_for_a_plain_one(open_server) -> None:
    async def handler(received, response):
        await response.json({"error": {"message": "Loading model"}}, status=503)

    async with open_server(handler) as server:
        with pytest.raises(ModelServerError, match="wait until the server has loaded the model"):
            await HTTPModel.connect("m", base_url=server.url, sleep=Waits())
