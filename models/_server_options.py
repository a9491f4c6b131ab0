"""What requests to one server say beyond OpenAI's fields, and ask beside them, by what it offers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from plait.models._refusals import RequestContext
from plait.models._server_facts import ServerFacts, read_slots
from plait.models._slots import SlotMap, prompt_kind
from plait.models._told import Count
from plait.models._transport import Transport
from plait.models._types import Message

_SLOTS_TIMEOUT_S = 0.25  # a server that is busy with a batch answers after it; then it chooses the slot
_COUNT_TIMEOUT_S = 5.0


class ServerOptions:
    """The benefits of one server, for each request to it.

    Args:
        transport: asks the server.
        model: the model's name there.
        facts: what the server offers.
        pins_slots: whether prompts may be given slots; not if the user's own fields name one.
    """

    def __init__(
        self, transport: Transport, model: str, facts: ServerFacts, *, pins_slots: bool = True
    ) -> None:
        self._transport = transport
        self._model = model
        self._facts = facts
        has_choice = facts.tells_idle_slots and (facts.n_slots or 0) > 1
        self._slots = SlotMap() if pins_slots and has_choice else None

    @asynccontextmanager
    async def fields(self, messages: Sequence[Message]) -> AsyncGenerator[dict[str, Any]]:
        """More fields for a request with ``messages``, until whose end the context is kept open.

        Speculative decoding has none: llama-server reads none in requests, nor does vLLM.
        """
        if self._facts.server != "llama-server":
            yield {}
            return
        slot = await self._take_slot(messages)
        try:
            yield {"cache_prompt": True} | ({} if slot is None else {"id_slot": slot})
        finally:
            if self._slots is not None and slot is not None:
                self._slots.release(slot)

    async def count_tokens(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
    ) -> int | None:
        """Tokens of the prompt as the server counts them; ``None`` if it does not.

        Args:
            messages: as OpenAI's API has them.
            tools: function definitions in OpenAI's format.
        """
        request = {"model": self._model, "messages": messages} | ({"tools": tools} if tools else {})
        match self._facts.server:
            case "llama-server":
                path = "/v1/chat/completions/input_tokens"
                answer = await self._post(path, request)
                return await self._count_in_two_steps(request) if answer is None else answer.input_tokens
            case "vllm":
                answer = await self._post("/tokenize", request | {"add_generation_prompt": True})
                return None if answer is None else answer.count
            case _:
                return None

    async def _count_in_two_steps(self, request: Mapping[str, Any]) -> int | None:
        """How llama-server counted before 2026."""
        rendered = await self._post("/apply-template", request)
        if rendered is None or rendered.prompt is None:
            return None
        text = {"content": rendered.prompt, "add_special": True, "parse_special": True}
        answer = await self._post("/tokenize", {"model": self._model} | text)
        return None if answer is None or answer.tokens is None else len(answer.tokens)

    async def _post(self, path: str, body: Mapping[str, Any]) -> _Counted | None:
        context = RequestContext(self._model, self._transport.root + path)
        answer = await self._transport.ask(context, "POST", timeout_s=_COUNT_TIMEOUT_S, json=body)
        try:
            return _Counted.model_validate_json(answer or "")
        except ValidationError:
            return None

    async def _take_slot(self, messages: Sequence[Message]) -> int | None:
        kind = prompt_kind(messages)
        if self._slots is None or kind is None:
            return None
        query = f"?model={quote(self._model, safe='')}" if self._facts.is_router else ""
        context = RequestContext(self._model, f"{self._transport.root}/slots{query}")
        slots = read_slots(await self._transport.ask(context, timeout_s=_SLOTS_TIMEOUT_S))
        if slots is None or len(slots) < 2:
            return None
        return self._slots.take(kind, [slot.id for slot in slots if not slot.is_processing])


class _Counted(BaseModel):
    """The answers about tokens, of several endpoints."""

    input_tokens: Count | None = None
    count: Count | None = None
    prompt: str | None = None
    tokens: list[Any] | None = None
