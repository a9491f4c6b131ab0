"""A model that takes memory only once it is used."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from plait.errors import ModelError
from plait.models._generation import generate
from plait.models._types import ChatModel, Generation, Grammar, GrammarKind, Message


class DeferredModel:
    """A model that is loaded when something is asked of it for the first time.

    Args:
        load: loads it.
        name: what it is called.
        context_length: tokens that prompt and answer may have together.
        grammar_kind: the form of grammar that it enforces.
    """

    def __init__(
        self,
        load: Callable[[], ChatModel],
        *,
        name: str,
        context_length: int,
        grammar_kind: GrammarKind | None,
    ) -> None:
        self.name = name
        self.context_length = context_length
        self.grammar_kind: GrammarKind | None = grammar_kind
        self._load = load
        self._loaded: ChatModel | None = None
        self._closed = False
        self._lock = threading.Lock()

    def load(self) -> ChatModel:
        """The model itself, loaded if it was not.

        Raises:
            ModelError: this was closed, or the model cannot be loaded.
        """
        with self._lock:
            if self._closed:
                raise ModelError(f"{self.name} was closed; load it again", model=self.name)
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def count_tokens(self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """The model's count."""
        return self.load().count_tokens(messages, tools=tools)

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
        """The model's answer; loading it keeps nothing else waiting."""

        async def answer(generation: Generation) -> AsyncGenerator[str, None]:
            model = await asyncio.to_thread(self.load)
            inner = model.stream(
                messages,
                grammar=grammar,
                max_tokens=max_tokens,
                stop=stop,
                seed=seed,
                temperature=temperature,
                tools=tools,
            )
            generation.usage, generation.tool_calls = inner.usage, inner.tool_calls
            try:
                async with aclosing(inner):
                    async for chunk in inner:
                        yield chunk
            finally:
                generation.finish_reason = inner.finish_reason

        return generate(answer)

    async def aclose(self) -> None:
        """Release the model, if it was loaded."""
        loaded = await asyncio.to_thread(self._close)  # it waits for a load that is under way
        if loaded is not None:
            await loaded.aclose()

    def _close(self) -> ChatModel | None:
        with self._lock:
            self._closed = True
            return self._loaded
