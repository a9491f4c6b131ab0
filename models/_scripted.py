from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from plait.errors import ModelError
from plait.models._generation import check_context, generate, grammar_form, to_json
from plait.models._types import FinishReason, Generation, Grammar, GrammarKind, Message, ToolCall

_WORD = re.compile(r"\s*\S+")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a :class:`ScriptedModel`."""

    text: str | Sequence[str] = ""
    """What is said: whole, or in the chunks in which it arrives."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls made by the model's own convention."""
    error: Exception | None = None
    """Raised after the text, unless a stop text or ``max_tokens`` ended the answer before."""


Answer: TypeAlias = str | Sequence[str] | Reply
"""What a script may give as an answer; a sequence of strings is the chunks of one answer."""


@dataclass(frozen=True, slots=True)
class ScriptedRequest:
    """What a :class:`ScriptedModel` was asked. The fields are the arguments of ``stream``."""

    messages: tuple[Message, ...]
    grammar: Grammar | None
    max_tokens: int | None
    stop: tuple[str, ...]
    seed: int | None
    temperature: float
    tools: tuple[Mapping[str, Any], ...]


class ScriptedModel:
    """A chat model whose answers are given, for tests of whatever talks to a model.

        model = ScriptedModel(["1. join()", Reply(error=ModelError("out of memory"))])

    A request is recorded in ``requests``, and takes the next reply, when its iteration begins. Its
    tokens are words. A grammar is recorded, not enforced. Every chunk is followed by a checkpoint, so
    that other tasks run between two chunks as they do with a real model.

    Args:
        replies: the answers in order. A callable is given the messages and returns the answer.
        name: what the model calls itself.
        context_length: words that prompt and answer may have together.
        grammar_kind: the form of grammar that it claims to enforce.
        chunk_size: characters in each chunk of an answer given whole; by default a chunk is a word.
        before_chunk: awaited before each chunk, with the chunk's number in its answer from 0 on; an
            event awaited in it stalls the answer there.
    """

    def __init__(
        self,
        replies: Iterable[Answer | Callable[[Sequence[Message]], Answer]],
        *,
        name: str = "scripted",
        context_length: int = 8192,
        grammar_kind: GrammarKind | None = None,
        chunk_size: int | None = None,
        before_chunk: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self.requests: list[ScriptedRequest] = []
        """Every request so far, refused ones too."""
        self._replies = list(replies)
        self._n_replies_taken = 0
        self._name = name
        self._context_length = context_length
        self._grammar_kind = grammar_kind
        self._chunk_size = chunk_size
        self._before_chunk = before_chunk

    @property
    def name(self) -> str:
        """What the model calls itself."""
        return self._name

    @property
    def context_length(self) -> int:
        """Words that prompt and answer may have together."""
        return self._context_length

    @property
    def grammar_kind(self) -> GrammarKind | None:
        """The form of grammar that it claims to enforce."""
        return self._grammar_kind

    def count_tokens(self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """Words of the messages and of the tools' JSON."""
        texts = [message.content for message in messages] + [to_json(tool) for tool in tools]
        return sum(_n_words(text) for text in texts)

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
        """Give the next reply.

        Raises (on iteration):
            ContextLengthError: prompt and ``max_tokens`` do not fit; no reply was taken.
            GrammarError: the grammar has no form that the model claims to enforce.
            ModelError: there are no more replies.
            Exception: the reply's own error, after its text.
        """
        request = ScriptedRequest(
            messages=tuple(messages),
            grammar=grammar,
            max_tokens=max_tokens,
            stop=tuple(stop),
            seed=seed,
            temperature=temperature,
            tools=tuple(tools),
        )
        return generate(lambda generation: self._answer(request, generation))

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release."""

    async def _answer(self, request: ScriptedRequest, generation: Generation) -> AsyncGenerator[str, None]:
        self.requests.append(request)
        generation.usage.prompt_tokens = n_prompt = self.count_tokens(request.messages, tools=request.tools)
        check_context(n_prompt, request.max_tokens, self._context_length, model=self._name)
        grammar_form(request.grammar, self._grammar_kind, model=self._name)

        reply = self._next_reply(request)
        chunks = self._chunks(reply.text)
        end, reason = _end("".join(chunks), request)
        said = ""
        for number, chunk in enumerate(_until(chunks, end)):
            if self._before_chunk is not None:
                await self._before_chunk(number)
            said += chunk
            generation.usage.completion_tokens = _n_words(said)
            yield chunk
            await asyncio.sleep(0)
        if reason is None and reply.error is not None:
            raise reply.error
        generation.tool_calls.extend(reply.tool_calls)
        generation.finish_reason = reason or "stop"

    def _next_reply(self, request: ScriptedRequest) -> Reply:
        if self._n_replies_taken == len(self._replies):
            asked = request.messages[-1].content if request.messages else ""
            raise ModelError(
                f"{self._name} has given all its {len(self._replies)} replies and was asked once more, "
                f"{asked[:80]!r}; script another reply or find out why the request was made",
                model=self._name,
            )
        reply = self._replies[self._n_replies_taken]
        self._n_replies_taken += 1
        answer = reply(request.messages) if callable(reply) else reply
        return answer if isinstance(answer, Reply) else Reply(answer)

    def _chunks(self, text: str | Sequence[str]) -> list[str]:
        if not isinstance(text, str):
            return list(text)
        if self._chunk_size is None:
            return re.findall(r"\s*\S+|\s+$", text)
        return [text[at : at + self._chunk_size] for at in range(0, len(text), self._chunk_size)]


def _n_words(text: str) -> int:
    return len(text.split())


def _end(text: str, request: ScriptedRequest) -> tuple[int, FinishReason | None]:
    """Where the answer ends, and what cut it there: ``None`` if it is whole."""
    stops = [at for stop in request.stop if stop and (at := text.find(stop)) >= 0]
    end = min(stops, default=len(text))
    if request.max_tokens is not None:
        words = [match.end() for match in _WORD.finditer(text, 0, end)]
        if len(words) > request.max_tokens:
            return (words[request.max_tokens - 1] if request.max_tokens else 0), "length"
    return end, "stop" if stops else None


def _until(chunks: Iterable[str], end: int) -> Iterable[str]:
    """``chunks`` up to the character ``end`` of their text."""
    for chunk in chunks:
        if end <= 0:
            return
        yield chunk[:end]
        end -= len(chunk)
