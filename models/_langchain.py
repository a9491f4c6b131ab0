from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from plait.errors import ModelError
from plait.models._generation import StopTexts, check_context, estimate_tokens, generate, grammar_form
from plait.models._types import Generation, Grammar, GrammarKind, Message, ToolCall

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage

_FIELDS = {
    "max_tokens": ("max_tokens", "num_predict", "max_output_tokens", "max_new_tokens"),
    "seed": ("seed",),
    "temperature": ("temperature",),
}
"""How LangChain's chat models call what ``stream`` can be told."""

_FINISH_REASON_KEYS = ("finish_reason", "stop_reason", "done_reason")
_CUT_SHORT = {"length", "max_tokens", "MAX_TOKENS"}


class LangChainModel:
    """Any chat model of LangChain's.

    LangChain has no common way to give a request a seed, a temperature or a length: each model has its
    own fields. They are set, on a copy of the model for each request, where the model declares them;
    ``settable`` says which. The others are as the model was built, and giving them changes nothing.
    Grammars cannot be enforced.

    A failure of LangChain's own, or of the connection, is raised as :class:`ModelError`. The exceptions
    of a provider's package have no base in common, and come through as they are.

    Args:
        chat_model: the model.
        context_length: tokens that prompt and answer may have together. LangChain does not know.
        name: what to call it; by default the model's own name, or else its class.
    """

    def __init__(
        self, chat_model: BaseChatModel, *, context_length: int = 8192, name: str | None = None
    ) -> None:
        self._chat_model = chat_model
        self._context_length = context_length
        self._name = name or _name_of(chat_model)
        self._fields = _fields_of(chat_model)

    @property
    def name(self) -> str:
        """What a person calls this model."""
        return self._name

    @property
    def context_length(self) -> int:
        """Tokens that prompt and answer may have together, as it was given."""
        return self._context_length

    @property
    def grammar_kind(self) -> GrammarKind | None:
        """``None``: a grammar cannot be enforced through LangChain."""
        return None

    @property
    def settable(self) -> frozenset[str]:
        """Which of ``max_tokens``, ``seed`` and ``temperature`` this model can be told."""
        return frozenset(self._fields)

    def count_tokens(self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """An estimate on the high side: a token for every three bytes and eight for every message."""
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
        """Answer ``messages``.

        ``stop`` is given to the model, and looked for here too, as some models do not heed it.

        Raises (on iteration):
            ContextLengthError: by the estimate, prompt and ``max_tokens`` do not fit.
            GrammarError: a grammar was given.
            ModelError: LangChain or the connection failed, or the model takes no tools.
        """
        asked = {"max_tokens": max_tokens, "seed": seed, "temperature": temperature}
        settings = {self._fields[key]: asked[key] for key in self._fields if asked[key] is not None}

        async def answer(generation: Generation) -> AsyncGenerator[str, None]:
            n_prompt = self.count_tokens(messages, tools=tools)
            check_context(n_prompt, max_tokens, self._context_length, model=self._name)
            grammar_form(grammar, self.grammar_kind, model=self._name)
            source = self._source(messages, settings, stop, tools)
            async with aclosing(self._read(source, stop, generation)) as chunks:
                async for chunk in chunks:
                    yield chunk

        return generate(answer)

    async def aclose(self) -> None:
        """Do nothing: the model given remains its maker's to close."""

    def _source(
        self,
        messages: Sequence[Message],
        settings: Mapping[str, Any],
        stop: Sequence[str],
        tools: Sequence[Mapping[str, Any]],
    ) -> AsyncGenerator[AIMessage, None]:
        """LangChain's own stream of the answer."""
        model = self._chat_model.model_copy(update=dict(settings))
        converted = [_to_langchain(message) for message in messages]
        if not tools:
            return cast("AsyncGenerator[AIMessage, None]", model.astream(converted, stop=list(stop) or None))
        try:
            bound = model.bind_tools([dict(tool) for tool in tools])
        except NotImplementedError as error:
            raise ModelError(
                f"{self._name} takes no tools (its class has no bind_tools); "
                "use a model with function calling, or a planner that does without",
                model=self._name,
            ) from error
        return cast("AsyncGenerator[AIMessage, None]", bound.astream(converted, stop=list(stop) or None))

    async def _read(
        self, source: AsyncGenerator[AIMessage, None], stop: Sequence[str], generation: Generation
    ) -> AsyncGenerator[str, None]:
        import httpx
        from langchain_core.exceptions import LangChainException

        received: list[AIMessage] = []
        stops = StopTexts(stop)
        try:
            async with aclosing(source) as messages:
                async for message in messages:
                    received.append(message)
                    if text := stops.feed(_text(message)):
                        yield text
                    if stops.found:
                        break
        except (LangChainException, httpx.HTTPError, OSError, ValueError) as error:
            raise ModelError(f"{self._name} failed: {error}", model=self._name) from error
        if text := stops.flush():
            yield text
        if received:
            self._complete(generation, _joined(received))
        generation.finish_reason = "stop" if stops.found else generation.finish_reason or "stop"

    def _complete(self, generation: Generation, answer: AIMessage) -> None:
        """Fill in what only the whole answer tells."""
        if answer.invalid_tool_calls:
            call = answer.invalid_tool_calls[0]
            raise ModelError(
                f"{self._name} called the function {call['name']!r} with arguments that are no JSON object, "
                f"{call['args']!r}; try again, or use a model trained to call functions",
                model=self._name,
            )
        generation.tool_calls.extend(
            ToolCall(call["id"] or f"call_{number}", call["name"], call["args"])
            for number, call in enumerate(answer.tool_calls)
        )
        if (counted := answer.usage_metadata) is not None:
            generation.usage.prompt_tokens = counted["input_tokens"]
            generation.usage.completion_tokens = counted["output_tokens"]
            generation.usage.cached_tokens = counted.get("input_token_details", {}).get("cache_read", 0)
        if any(answer.response_metadata.get(key) in _CUT_SHORT for key in _FINISH_REASON_KEYS):
            generation.finish_reason = "length"


def _to_langchain(message: Message) -> BaseMessage:
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

    match message.role:
        case "system":
            return SystemMessage(message.content)
        case "user":
            return HumanMessage(message.content)
        case "tool":
            return ToolMessage(message.content, tool_call_id=message.tool_call_id or "")
        case "assistant":
            calls = [
                {"name": call.name, "args": dict(call.arguments), "id": call.id, "type": "tool_call"}
                for call in message.tool_calls
            ]
            return AIMessage(message.content, tool_calls=calls)


def _text(message: AIMessage) -> str:
    """The text of a message whose content is a text or a list of blocks."""
    if isinstance(message.content, str):
        return message.content
    return "".join(
        block if isinstance(block, str) else block.get("text", "")
        for block in message.content
        if isinstance(block, str) or block.get("type") == "text"
    )


def _joined(messages: Sequence[AIMessage]) -> AIMessage:
    """The chunks of an answer as one message; a model that cannot stream sends one whole message."""
    from langchain_core.messages import AIMessageChunk
    from langchain_core.messages.ai import add_ai_message_chunks

    chunks = [message for message in messages if isinstance(message, AIMessageChunk)]
    return add_ai_message_chunks(chunks[0], *chunks[1:]) if chunks else messages[-1]


def _name_of(chat_model: BaseChatModel) -> str:
    names = (getattr(chat_model, field, None) for field in ("model", "model_name", "model_id"))
    return next((name for name in names if isinstance(name, str) and name), type(chat_model).__name__)


def _fields_of(chat_model: BaseChatModel) -> dict[str, str]:
    """Which field of ``chat_model`` stands for which argument of ``stream``, as far as it has them."""
    declared = type(chat_model).model_fields
    found = {key: next((name for name in names if name in declared), None) for key, names in _FIELDS.items()}
    return {key: name for key, name in found.items() if name is not None}
