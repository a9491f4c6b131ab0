"""A model that keeps what it is asked and what it writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from plait.apps.evaluation._types import GenerationRecord, TokenCounts
from plait.errors import ModelError, PlaitError
from plait.models import (
    ChatModel,
    Generation,
    Grammar,
    GrammarKind,
    Message,
    Usage,
    plain_model,
    purpose_of,
)


class RecordingModel:
    """Passes everything on to ``model`` and keeps a record of each generation; it does not own the model.

    Args:
        model: who answers.
    """

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self.generations: list[GenerationRecord] = []
        """What was asked and written so far, in the order in which it ended."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model.name

    @property
    def context_length(self) -> int:
        """The model's context length, in tokens."""
        return self._model.context_length

    @property
    def grammar_kind(self) -> GrammarKind | None:
        """The form of grammar that the model enforces."""
        return self._model.grammar_kind

    @property
    def purpose(self) -> str:
        """What the model's adapter is for."""
        return purpose_of(self._model)

    def without_adapter(self) -> RecordingModel:
        """The model without its adapter, whose generations are kept here, too."""
        plain = plain_model(self._model)
        if plain is self._model:
            return self
        recording = RecordingModel(plain)
        recording.generations = self.generations
        return recording

    def count_tokens(self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """The model's count."""
        return self._model.count_tokens(messages, tools=tools)

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
        """The model's generation, recorded when it ends, however it does."""
        inner = self._model.stream(
            messages,
            grammar=grammar,
            max_tokens=max_tokens,
            stop=stop,
            seed=seed,
            temperature=temperature,
            tools=tools,
        )
        outer = Generation(inner.chunks, usage=inner.usage, tool_calls=inner.tool_calls)
        outer.chunks = self._recorded(inner, outer, messages, tools)
        return outer

    async def aclose(self) -> None:
        """Nothing: the model goes on serving others."""

    async def _recorded(
        self,
        inner: Generation,
        outer: Generation,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
    ) -> AsyncIterator[str]:
        written: list[str] = []
        try:
            async with aclosing(inner):
                async for text in inner:
                    written.append(text)
                    yield text
        except PlaitError:
            raise
        except Exception as error:  # what the packages of LangChain's providers raise has no base in common
            raise ModelError(
                f"the model {self.name} failed ({type(error).__name__}: {error}); see what its provider says",
                model=self.name,
            ) from error
        finally:
            outer.finish_reason = inner.finish_reason
            self.generations.append(_record(inner, messages, tools, "".join(written)))


def _record(
    generation: Generation, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], output: str
) -> GenerationRecord:
    return GenerationRecord(
        messages=[_message(message) for message in messages],
        tools=[dict(tool) for tool in tools],
        output=output,
        tool_calls=[{"name": call.name, "arguments": dict(call.arguments)} for call in generation.tool_calls],
        finish_reason=generation.finish_reason,
        tokens=token_counts(generation.usage),
        prefill_s=round(generation.usage.prefill_s, 6),
        decode_s=round(generation.usage.decode_s, 6),
    )


def token_counts(usage: Usage) -> TokenCounts:
    """The tokens of ``usage``, as they are kept."""
    return TokenCounts(
        prompt=usage.prompt_tokens,
        cached=usage.cached_tokens,
        completion=usage.completion_tokens,
        forced=usage.forced_tokens,
        drafted=usage.draft_tokens,
        accepted=usage.accepted_tokens,
    )


def _message(message: Message) -> dict[str, Any]:
    kept: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        kept["tool_calls"] = [{"name": c.name, "arguments": dict(c.arguments)} for c in message.tool_calls]
    return kept
