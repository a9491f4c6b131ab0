"""The chat template of a GGUF file: from messages to the text of a prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from plait.errors import MissingExtraError, ModelError
from plait.models._types import Message

Mark = Callable[[Message], int]
"""How many of a message's first characters recur."""
STATIC: Mark = attrgetter("static_chars")
DAILY: Mark = attrgetter("daily_chars")
_OTHERS = ("\u241f", "\u241e")  # no request begins with both


class ChatTemplate:
    """Renders conversations as the model was trained on them.

    Args:
        source: the Jinja template.
        bos: text of the token that begins a prompt.
        eos: text of the token that ends a turn.
        control_texts: texts that stand for control tokens. Where one stands in a message, it is
            broken up, so that no message can end its own turn and speak as another.
        model: the model's name, for errors.
    """

    def __init__(
        self, source: str, *, bos: str = "", eos: str = "", control_texts: Iterable[str] = (), model: str = ""
    ) -> None:
        try:
            from jinja2 import TemplateError
            from jinja2.ext import loopcontrols
            from jinja2.sandbox import ImmutableSandboxedEnvironment
        except ImportError as error:
            raise MissingExtraError("jinja2", "local") from error
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_refuse, strftime_now=_now)
        self._error = TemplateError
        self._special = {"bos_token": bos, "eos_token": eos}
        self._model = model
        texts = sorted(control_texts, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, texts))) if texts else None
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise ModelError(f"the chat template of {model} cannot be read: {error}", model=model) from error

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The prompt's text, up to where the assistant's answer begins.

        Raises:
            ModelError: the template refuses the conversation.
        """
        try:
            return self._template.render(
                messages=[self._message(m) for m in messages],
                tools=[dict(tool) for tool in tools] or None,
                add_generation_prompt=True,
                **self._special,
            )
        except (self._error, TypeError, KeyError) as error:
            raise ModelError(
                f"the chat template of {self._model} refuses the conversation: {error}", model=self._model
            ) from error

    def recurring_length(
        self,
        rendered: str,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] = (),
        *,
        mark: Mark = STATIC,
    ) -> int:
        """How many characters of ``rendered``, which ``messages`` gave, are the same in other requests.

        Found by rendering once more with another text behind what recurs by the messages' ``mark``, since
        only the template knows what it puts where.
        """
        varied = _varied(messages, mark)
        if varied is None:
            return 0
        other = self.render(varied, tools)
        # None differs only in a template that leaves that message's text out.
        return next((i for i, (a, b) in enumerate(zip(rendered, other, strict=False)) if a != b), 0)

    def _message(self, message: Message) -> dict[str, Any]:
        rendered: dict[str, Any] = {"role": message.role, "content": self._safe(message.content)}
        if message.tool_calls:
            rendered["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": dict(c.arguments)}}
                for c in message.tool_calls
            ]
        if message.tool_call_id is not None:
            rendered["tool_call_id"] = message.tool_call_id
        return rendered

    def _safe(self, text: str) -> str:
        if self._control is None:
            return text
        return self._control.sub(lambda found: f"{found[0][0]}\u200b{found[0][1:]}", text)


def _varied(messages: Sequence[Message], mark: Mark) -> list[Message] | None:
    """The conversation with another text right after its last marked character; ``None`` if none is."""
    last = next((i for i in reversed(range(len(messages))) if mark(messages[i]) > 0), None)
    if last is None:
        return None
    at, n_kept = last, mark(messages[last])
    if n_kept >= len(messages[last].content) and last + 1 < len(messages):
        at, n_kept = last + 1, 0
    content = messages[at].content
    other = next(other for other in _OTHERS if not content[n_kept:].lstrip().startswith(other))
    return [*messages[:at], replace(messages[at], content=content[:n_kept] + other), *messages[at + 1 :]]


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)
