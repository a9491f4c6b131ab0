"""OpenAI's chat completions as data: requests out, chunks of an answer in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from plait.errors import ModelServerError
from plait.models._chunks import Choice, Chunk, Delta, Measured, ToolCallDelta
from plait.models._generation import to_json
from plait.models._refusals import N_QUOTED, RequestContext, status_in
from plait.models._types import FinishReason, Generation, GrammarKind, Message, ToolCall

Server = Literal["llama-server", "ollama", "openai", "vllm"]
"""Whose dialect a server speaks; ``"openai"`` is the plain one: OpenAI, LM Studio, MLX, ..."""

GRAMMAR_KINDS: dict[Server, tuple[GrammarKind, ...]] = {
    # llama-server reads Lark only if built with llguidance; older builds without it stop the whole
    # server on such a grammar, so it is never chosen unasked.
    "llama-server": ("gbnf", "lark", "json_schema"),
    "ollama": ("json_schema",),
    "openai": ("json_schema",),
    # vLLM's default backend, xgrammar, reads GBNF; its guidance backend reads GBNF and Lark.
    "vllm": ("gbnf", "lark", "json_schema"),
}
"""The forms of grammar that each server takes; the first is the one that is chosen for it."""

_CUT_SHORT = {"length", "max_tokens"}
_FAILED = {"abort", "content_filter", "error"}


def message_fields(message: Message) -> dict[str, Any]:
    """``message`` as OpenAI's API has it."""
    fields: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        fields["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": to_json(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    return fields


def grammar_fields(
    server: Server,
    kind: GrammarKind,
    form: str | Mapping[str, Any],
    *,
    field: Literal["guided_grammar", "structured_outputs"] = "structured_outputs",
) -> dict[str, Any]:
    """The fields of a request that make ``server`` enforce a grammar given as ``form``.

    ``field`` is vLLM's for a GBNF or Lark grammar.
    """
    if kind == "json_schema":
        schema = {"name": "plan", "schema": form, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if server == "vllm":
        return {field: form if field == "guided_grammar" else {"grammar": form}}
    if kind == "lark" and not str(form).startswith("%llguidance"):
        form = f"%llguidance {{}}\n{form}"
    return {"grammar": form}


def request_fields(
    model: str,
    messages: Sequence[Message],
    *,
    max_tokens: int | None,
    stop: Sequence[str],
    seed: int | None,
    temperature: float,
    tools: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """A request for a streamed answer, without a grammar."""
    fields: dict[str, Any] = {
        "model": model,
        "messages": [message_fields(message) for message in messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": temperature,
        "max_tokens": max_tokens,
        "stop": list(stop) or None,
        "seed": seed,
        "tools": [dict(tool) for tool in tools] or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


@dataclass
class _PartialCall:
    id: str
    name: str = ""
    arguments: str = ""


class AnswerReader:
    """Reads the chunks of one streamed answer into a :class:`Generation`.

    Args:
        generation: whose usage, tool calls and finish reason are filled in.
        request: what the answer is to, for the errors.
    """

    def __init__(self, generation: Generation, request: RequestContext) -> None:
        self._generation = generation
        self._request = request
        self._calls: list[_PartialCall] = []
        self._open_calls: dict[int | None, _PartialCall] = {}
        self._finish_reason: FinishReason | None = None
        self._measured = Measured()
        self._is_done = False

    def read(self, data: str) -> str:
        """Take in the data of one event; return the text in it.

        Raises:
            ModelServerError: it is no chunk, or the server reports a failure in it.
            ContextLengthError, GrammarError: the server reports that.
        """
        if data.strip() == "[DONE]":
            self._is_done = True
            return ""
        chunk = self._parse(data)
        if chunk.error:
            raise self._request.refused(status_in(chunk.error), data)
        self._measured.take(chunk)
        return "".join(self._take(choice) for choice in chunk.choices)

    def finish(self) -> None:
        """The stream has ended: complete the generation.

        Raises:
            ModelServerError: it ended in the middle of the answer, or a tool call in it is malformed.
        """
        if self._finish_reason is None and not self._is_done:
            raise self._request.failed(
                "closed the connection in the middle of the answer; see the server's log for the cause"
            )
        self._measured.fill(self._generation.usage)
        reason = self._finish_reason or "stop"
        self._generation.tool_calls.extend(self._tool_call(call, reason) for call in self._calls)
        self._generation.finish_reason = reason

    @property
    def is_done(self) -> bool:
        """Whether the server said that nothing more comes."""
        return self._is_done

    def _parse(self, data: str) -> Chunk:
        try:
            return Chunk.model_validate_json(data)
        except ValidationError as error:
            raise self._request.failed(
                f"sent {data[:N_QUOTED]!r}, which is no chunk of a chat completion; "
                "check that base_url is that of an OpenAI-compatible API"
            ) from error

    def _take(self, choice: Choice) -> str:
        delta = choice.delta or Delta()
        for call in delta.tool_calls or ():
            self._take_call(call)
        if choice.finish_reason in _FAILED:
            raise self._request.failed(
                f"broke the answer off with finish_reason {choice.finish_reason!r}; "
                "see the server's log, or change the request"
            )
        if choice.finish_reason is not None:
            self._finish_reason = "length" if choice.finish_reason in _CUT_SHORT else "stop"
        return delta.content or ""

    def _take_call(self, delta: ToolCallDelta) -> None:
        call = self._open_calls.get(delta.index)
        # Some servers give every call the index 0, or none, and a new id.
        if call is None or (delta.id and delta.id != call.id):
            call = _PartialCall(delta.id or f"call_{len(self._calls)}")
            self._calls.append(call)
            self._open_calls[delta.index] = call
        call.name += delta.function.name or ""
        call.arguments += delta.function.arguments or ""

    def _tool_call(self, call: _PartialCall, reason: FinishReason) -> ToolCall:
        try:
            arguments = json.loads(call.arguments or "{}")
        except json.JSONDecodeError as error:
            raise self._malformed(call, reason) from error
        if not isinstance(arguments, dict):
            raise self._malformed(call, reason)
        return ToolCall(call.id, call.name, arguments)

    def _malformed(self, call: _PartialCall, reason: FinishReason) -> ModelServerError:
        fixes = {"length": "raise max_tokens"}
        fix = fixes.get(reason, "try again, or use a model trained to call functions")
        return self._request.failed(
            f"called the function {call.name!r} with arguments that are no JSON object, "
            f"{call.arguments[:N_QUOTED]!r}; {fix}"
        )
