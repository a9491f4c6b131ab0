"""What the engines that are not in this process share: filling in a generation, stop texts, estimates."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from plait.errors import ContextLengthError, GrammarError
from plait.models._types import Generation, Grammar, GrammarKind, Message

_BYTES_PER_TOKEN = 3
_TOKENS_PER_MESSAGE = 8


def generate(engine: Callable[[Generation], AsyncGenerator[str, None]]) -> Generation:
    """A generation whose text is what ``engine`` yields.

    ``engine`` is given the generation, so that it can fill in usage, tool calls and the finish reason.
    What it leaves out of the times, and ``"cancelled"`` where the reader leaves early, is filled in here.
    """
    generation = Generation(chunks=_nothing())
    generation.chunks = _observed(generation, engine(generation))
    return generation


async def _nothing() -> AsyncGenerator[str, None]:
    return
    yield


async def _observed(generation: Generation, chunks: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    started = time.perf_counter()
    first: float | None = None
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                first = first or time.perf_counter()
                yield chunk
    except (GeneratorExit, asyncio.CancelledError):
        generation.finish_reason = generation.finish_reason or "cancelled"
        raise
    finally:
        took = time.perf_counter() - started
        usage = generation.usage
        usage.prefill_s = usage.prefill_s or (first - started if first is not None else took)
        usage.decode_s = usage.decode_s or max(0.0, took - usage.prefill_s)


def grammar_form(
    grammar: Grammar | None, kind: GrammarKind | None, *, model: str
) -> str | Mapping[str, Any] | None:
    """The form of ``grammar`` that ``kind`` names; ``None`` only if there is no grammar.

    Raises:
        GrammarError: the model enforces no grammar, or this one has no form that it takes.
    """
    if grammar is None:
        return None
    if kind is None:
        raise GrammarError(
            f"{model} enforces no grammar, and one was given; "
            "look at grammar_kind first, send none where it is None, and check the text afterwards"
        )
    form: str | Mapping[str, Any] | None = getattr(grammar, kind)
    if form is None:
        raise GrammarError(f"{model} takes grammars as {kind}, and this grammar has no such form")
    return form


def check_context(n_prompt: int, max_tokens: int | None, context_length: int, *, model: str) -> None:
    """Refuse a prompt that leaves no room for ``max_tokens`` (for one token where that is ``None``).

    Raises:
        ContextLengthError: with the numbers, in tokens.
    """
    n_answer = 1 if max_tokens is None else max_tokens
    if n_prompt + n_answer > context_length:
        raise ContextLengthError(
            n_prompt=n_prompt, n_answer=n_answer, context_length=context_length, model=model
        )


def estimate_tokens(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> int:
    """About how many tokens a prompt has, on the high side: three bytes of UTF-8 each.

    English takes four to five bytes a token and JSON about three and a half in current vocabularies.
    """
    texts = [message.content for message in messages]
    texts += [call.name + to_json(call.arguments) for message in messages for call in message.tool_calls]
    texts += [to_json(tool) for tool in tools]
    n_bytes = sum(len(text.encode()) for text in texts)
    return math.ceil(n_bytes / _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE * len(messages)


def to_json(value: Mapping[str, Any]) -> str:
    """``value`` as JSON, with any script's letters as themselves."""
    return json.dumps(dict(value), ensure_ascii=False)


class StopTexts:
    """Ends a text before the first of some texts, however it is cut into chunks.

    Args:
        texts: what ends the text; empty ones are ignored.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = tuple(text for text in texts if text)
        self._held = ""
        self.found = False
        """Whether one of the texts was met; nothing is released after that."""

    def feed(self, chunk: str) -> str:
        """Take in ``chunk``; return what is certain not to belong to a stop text."""
        if self.found:
            return ""
        text = self._held + chunk
        ends = [at for stop in self._texts if (at := text.find(stop)) >= 0]
        if ends:
            self.found, self._held = True, ""
            return text[: min(ends)]
        n_held = max((_overlap(text, stop) for stop in self._texts), default=0)
        self._held = text[len(text) - n_held :]
        return text[: len(text) - n_held]

    def flush(self) -> str:
        """What was held back, now that no more text comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of ``text`` begin ``stop``, all of it excluded."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
