"""What a chat model is, on one page: messages in, text out, as it decodes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

GrammarKind = Literal["lark", "gbnf", "json_schema"]
FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call that a model made by its own function-calling convention."""

    id: str
    """What the answer to it must carry as ``tool_call_id``."""
    name: str
    """The function's name."""
    arguments: Mapping[str, Any]
    """The arguments, decoded from JSON."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    """Who speaks."""
    content: str = ""
    """What is said."""
    tool_calls: tuple[ToolCall, ...] = ()
    """The calls of an assistant's turn."""
    tool_call_id: str | None = None
    """On a tool's turn: which call this is the result of."""
    static_chars: int = field(default=0, compare=False)
    """How many characters, from the content's first on, are the same in every request of this kind, as is
    all that comes before this message. A hint for engines that keep what recurs; the last one counts."""
    daily_chars: int = field(default=0, compare=False)
    """The same for text that recurs for a while, such as all that comes before the time of day."""

    @classmethod
    def instructions(cls, content: str) -> Message:
        """A system message that is the same in every request."""
        return cls("system", content, static_chars=len(content))


@dataclass(frozen=True, slots=True)
class Grammar:
    """One language in the forms that engines take; a form that is ``None`` is not available."""

    lark: str | None = None
    """llguidance's dialect of Lark."""
    gbnf: str | None = None
    """llama.cpp's GBNF."""
    json_schema: Mapping[str, Any] | None = None
    """JSON schema. Its language is JSON, so the text a model writes differs from the other forms'."""


@dataclass(slots=True)
class Usage:
    """What one generation took. Engines that cannot tell a number leave it at zero."""

    prompt_tokens: int = 0
    """Tokens of the prompt, whether computed or found in a cache."""
    cached_tokens: int = 0
    """Tokens of the prompt that were found in a cache."""
    restored_tokens: int = 0
    """Of the cached tokens, those whose state came from disk."""
    completion_tokens: int = 0
    """Tokens of the answer, forced ones included."""
    forced_tokens: int = 0
    """Tokens of the answer that the grammar determined, so that none was sampled."""
    draft_tokens: int = 0
    """Tokens that were proposed by a draft, to be verified in one batch."""
    accepted_tokens: int = 0
    """Of the drafted tokens, those that stood."""
    prefill_s: float = 0.0
    """Seconds from the start to the first token of the answer; as a server measured it, where it does."""
    decode_s: float = 0.0
    """Seconds from there to the end; likewise."""

    @property
    def prefill_tokens(self) -> int:
        """Tokens of the prompt that had to be computed."""
        return self.prompt_tokens - self.cached_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.restored_tokens + other.restored_tokens,
            self.completion_tokens + other.completion_tokens,
            self.forced_tokens + other.forced_tokens,
            self.draft_tokens + other.draft_tokens,
            self.accepted_tokens + other.accepted_tokens,
            self.prefill_s + other.prefill_s,
            self.decode_s + other.decode_s,
        )


@dataclass(slots=True)
class Generation:
    """One answer as it is written: an async iterator of text.

    ``usage``, ``tool_calls`` and ``finish_reason`` are filled in by the engine and complete when the
    iteration has ended. Leave early with ``await generation.aclose()``, which stops the decoding.
    """

    chunks: AsyncIterator[str] = field(repr=False)
    """Where the text comes from; an async generator that the engine made."""
    usage: Usage = field(default_factory=Usage)
    """Token counts and times."""
    tool_calls: list[ToolCall] = field(default_factory=list)
    """Calls made by the model's own convention, when ``tools`` were given; never part of the text."""
    finish_reason: FinishReason | None = None
    """``"length"`` where ``max_tokens`` cut the answer, or the local engine a text that only repeated itself;
    ``None`` while it is being written."""

    def __aiter__(self) -> AsyncIterator[str]:
        return self.chunks

    async def aclose(self) -> None:
        """Stop decoding and release what the generation holds."""
        aclose = getattr(self.chunks, "aclose", None)
        if aclose is not None:
            await aclose()

    async def text(self) -> str:
        """The whole answer."""
        return "".join([chunk async for chunk in self])


@runtime_checkable
class AdaptedModel(Protocol):
    """A chat model with an adapter that can be left off."""

    @property
    def purpose(self) -> str:
        """What the adapter is for, such as ``"plans"``; empty if there is none."""
        ...

    def without_adapter(self) -> ChatModel:
        """The same model for texts of other kinds than the adapter's; itself if there is no adapter."""
        ...


@runtime_checkable
class ChatModel(Protocol):
    """The seam between plait and any language model."""

    @property
    def name(self) -> str:
        """What a person calls this model."""
        ...

    @property
    def context_length(self) -> int:
        """Tokens that prompt and answer may have together."""
        ...

    @property
    def grammar_kind(self) -> GrammarKind | None:
        """The form of :class:`Grammar` that ``stream`` enforces; ``None`` if it enforces none."""
        ...

    def count_tokens(self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """Tokens of the prompt that ``messages`` make, chat template included.

        An engine that cannot count exactly estimates, and never too low on plain English.
        """
        ...

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
        """Answer ``messages``; the text arrives as it is decoded.

        Returns at once; errors are raised by the iteration. ``grammar`` is enforced in the form that
        ``grammar_kind`` names. ``stop`` texts end the answer and are not part of it. ``temperature`` 0
        is greedy. ``tools`` are function definitions in OpenAI's format, offered by the model's own
        convention; calls appear in ``Generation.tool_calls``.

        Raises (on iteration):
            ContextLengthError: prompt and ``max_tokens`` do not fit; nothing was generated.
            GrammarError: the grammar is refused, or has no form that this model takes.
            ModelError: the engine or the server failed.
        """
        ...

    async def aclose(self) -> None:
        """Release the weights or the connections. Safe to call twice."""
        ...


def purpose_of(model: ChatModel) -> str:
    """What the model's adapter is for; empty for a model without one."""
    return model.purpose if isinstance(model, AdaptedModel) else ""


def plain_model(model: ChatModel) -> ChatModel:
    """The model for texts of all kinds: without its adapter, if it has one."""
    return model.without_adapter() if isinstance(model, AdaptedModel) else model
