from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack

from plait.models._generation import check_context, estimate_tokens, generate, grammar_form
from plait.models._openai import AnswerReader, Server, grammar_fields, request_fields
from plait.models._probe import check_kind, probe
from plait.models._refusals import RequestContext
from plait.models._server_facts import ServerFacts
from plait.models._server_options import ServerOptions
from plait.models._sse import SSEDecoder
from plait.models._transport import Transport, api_url, connection_error, read_body
from plait.models._types import Generation, Grammar, GrammarKind, Message

if TYPE_CHECKING:
    import httpx

_ASSUMED_CONTEXT_LENGTH = 8192


class HTTPOptions(TypedDict, total=False):
    """What :meth:`HTTPModel.connect` hands on to the constructor as it is."""

    api_key: str | None
    timeout_s: float
    connect_timeout_s: float
    retries: int
    headers: Mapping[str, str] | None
    client: httpx.AsyncClient | None
    extra_body: Mapping[str, Any] | None
    sleep: Callable[[float], Awaitable[None]]


class HTTPModel:
    """A model behind an OpenAI-compatible server: llama-server, vLLM, Ollama, LM Studio, MLX, OpenAI.

        model = await HTTPModel.connect("qwen2.5-coder-1.5b", base_url="http://localhost:8080")

    :meth:`connect` asks the server what it is. The constructor sends nothing, and takes it from you.

    No connection is kept between two requests: a kept one belongs to one event loop, and would fail the
    second ``asyncio.run`` of a script. Give a ``client`` of your own to pool connections.

    Args:
        model: the model's name on the server.
        base_url: the API's address, such as ``http://localhost:11434/v1``; ``/v1`` is added to one
            without a path.
        api_key: sent as a bearer token.
        server: whose dialect the server speaks.
        context_length: tokens that prompt and answer may have together. If it is not known, 8192 is
            reported, and only the server refuses a prompt for its length.
        grammar: the form in which grammars are sent and enforced; ``None`` if the server enforces none.
        timeout_s: seconds without a byte from the server; the time until the first one includes the
            prompt's computation.
        connect_timeout_s: seconds for the connection.
        retries: how often a request is sent again if the server cannot be reached or is busy. Nothing
            is sent again once an answer has begun.
        headers: more headers for each request.
        client: an httpx client to use; it remains yours to close, and its timeouts apply.
        extra_body: more fields for each completion's request; a field that is ``None`` is left out of it.
        sleep: how the waits between two attempts are spent.

    Raises:
        ConfigurationError: ``base_url`` is no HTTP address, or that server takes no such grammars.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str,
        api_key: str | None = None,
        server: Server = "openai",
        context_length: int | None = None,
        grammar: GrammarKind | None = None,
        timeout_s: float = 120.0,
        connect_timeout_s: float = 5.0,
        retries: int = 2,
        headers: Mapping[str, str] | None = None,
        client: httpx.AsyncClient | None = None,
        extra_body: Mapping[str, Any] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = model
        self._extra_body = dict(extra_body or {})
        self._is_probed = False
        self._transport = Transport(
            client=client,
            url=api_url(base_url),
            headers=({"Authorization": f"Bearer {api_key}"} if api_key else {}) | dict(headers or {}),
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            retries=retries,
            sleep=sleep,
        )
        self._use(ServerFacts(server, check_kind(grammar, server), context_length))

    @classmethod
    async def connect(
        cls,
        model: str,
        *,
        base_url: str,
        server: Server | Literal["auto"] = "auto",
        context_length: int | None = None,
        grammar: GrammarKind | Literal["auto"] | None = "auto",
        **options: Unpack[HTTPOptions],
    ) -> Self:
        """A model whose server was asked for what is not given: its dialect, grammars, context length.

        llama-server and vLLM are also asked what they offer, see :meth:`facts`. A server that is none of
        those known by name is taken to enforce JSON schemas, as OpenAI and LM Studio do; give
        ``grammar=None`` for one that does not.

        Raises:
            ModelServerError: the server cannot be reached, or failed, and something had to be asked.
            ConfigurationError: the server does not take such grammars.
        """
        connected = cls(model, base_url=base_url, **options)
        try:
            await connected._probe(server, grammar, context_length)
        except BaseException:
            await connected.aclose()
            raise
        return connected

    async def facts(self) -> ServerFacts:
        """What the server is and offers; it is asked if :meth:`connect` did not, and once.

        Raises:
            ModelServerError: the server cannot be reached, or failed, and something had to be asked.
            ConfigurationError: the server does not take such grammars.
        """
        if not self._is_probed:
            await self._probe(self.server, self.grammar_kind, self._facts.context_length)
        return self._facts

    @property
    def name(self) -> str:
        """The model's name on the server."""
        return self._name

    @property
    def server(self) -> Server:
        """Whose dialect the server speaks."""
        return self._facts.server

    @property
    def context_length(self) -> int:
        """Tokens that prompt and answer may have together; 8192 if that is not known."""
        return self._facts.context_length or _ASSUMED_CONTEXT_LENGTH

    @property
    def grammar_kind(self) -> GrammarKind | None:
        """The form in which grammars are sent and enforced."""
        return self._facts.grammar_kind

    def count_tokens(self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """An estimate on the high side: a token for every three bytes and eight for every message.

        Only asking the server is exact, and this method cannot wait; :meth:`stream` asks before it refuses
        a prompt.
        """
        return estimate_tokens(messages, tools)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        grammar: Grammar | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        seed: int | None = None,
        temperature: float = 0.0,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Generation:
        """Answer ``messages``; leaving early, or being cancelled, closes the connection at once.

        Raises (on iteration):
            ContextLengthError: prompt and answer do not fit: as the server counts them (llama-server and
                vLLM are asked if the estimate is too large), by the estimate, or as the server refuses them.
            GrammarError: the server refuses the grammar, or takes none of its forms.
            ModelServerError: the server cannot be reached, refused or failed; ``status`` is HTTP's.
        """
        fields = request_fields(
            self._name,
            messages,
            max_tokens=max_tokens,
            stop=stop,
            seed=seed,
            temperature=temperature,
            tools=tools,
        )
        return generate(lambda generation: self._answer(generation, fields, messages, grammar))

    async def aclose(self) -> None:
        """Close the connections, unless the client was given."""
        await self._transport.aclose()

    def _use(self, facts: ServerFacts) -> None:
        self._facts = facts
        self._options = ServerOptions(
            self._transport, self._name, facts, pins_slots="id_slot" not in self._extra_body
        )

    async def _probe(
        self,
        server: Server | Literal["auto"],
        grammar: GrammarKind | Literal["auto"] | None,
        context_length: int | None,
    ) -> None:
        self._use(
            await probe(
                self._transport, self._name, server=server, grammar=grammar, context_length=context_length
            )
        )
        self._is_probed = True

    async def _answer(
        self,
        generation: Generation,
        fields: dict[str, Any],
        messages: Sequence[Message],
        grammar: Grammar | None,
    ) -> AsyncGenerator[str, None]:
        facts, options = self._facts, self._options
        max_tokens = fields.get("max_tokens")
        await self._check_context(messages, fields)
        form = grammar_form(grammar, facts.grammar_kind, model=self._name)
        if form is not None and facts.grammar_kind is not None:
            fields = fields | grammar_fields(
                facts.server, facts.grammar_kind, form, field=facts.grammar_field
            )
        url = f"{self._transport.url}/chat/completions"
        context = RequestContext(self._name, url, max_tokens, has_grammar=form is not None)
        async with options.fields(messages) as offered:
            body = _without_none(fields | offered | self._extra_body)
            response = await self._transport.send(context, "POST", json=body)
            try:
                async with aclosing(_read(response, AnswerReader(generation, context), context)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            finally:
                await response.aclose()

    async def _check_context(self, messages: Sequence[Message], fields: Mapping[str, Any]) -> None:
        """Refuse a request that does not fit, by the server's own count where the estimate says so."""
        context_length, max_tokens = self._facts.context_length, fields.get("max_tokens")
        if context_length is None:
            return
        tools = fields.get("tools", ())
        n_prompt = self.count_tokens(messages, tools=tools)
        if n_prompt + (1 if max_tokens is None else max_tokens) > context_length:
            n_prompt = await self._options.count_tokens(fields["messages"], tools) or n_prompt
        check_context(n_prompt, max_tokens, context_length, model=self._name)


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


async def _read(
    response: httpx.Response, reader: AnswerReader, context: RequestContext
) -> AsyncGenerator[str, None]:
    """The text of a streamed answer, as it arrives."""
    import httpx

    media_type = response.headers.get("Content-Type", "")
    if media_type.startswith(("application/json", "text/html")):
        raise context.failed(
            f"sent {media_type} and no stream, {(await read_body(response, context))[:200]!r}; "
            "check that base_url is that of an OpenAI-compatible API"
        )
    decoder = SSEDecoder()
    try:
        async for received in response.aiter_bytes():
            for data in decoder.feed(received):
                if text := reader.read(data):
                    yield text
            if reader.is_done:
                break
    except httpx.RequestError as error:
        raise connection_error(context, error) from error
    for data in decoder.close():
        if text := reader.read(data):
            yield text
    reader.finish()
