"""What a model server's refusals mean, and the errors that say so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plait.errors import ContextLengthError, GrammarError, ModelServerError, PlaitError

N_QUOTED = 500
"""Characters of a server's words that an error quotes."""

_FIXES = {
    400: "check that the server takes every field of the request (extra_body can remove one)",
    401: "check api_key",
    403: "check api_key and what it may use",
    404: "check the model's name and base_url",
    408: "raise the server's time limit or shorten the input",
    413: "shorten the input",
    429: "send fewer requests, or wait",
    503: "wait until the server has loaded the model",
}

_GRAMMAR_WORDS = re.compile(
    r"grammar|response_format|json_?schema|schema|structured|guided|lark|gbnf|samplers", re.IGNORECASE
)
_CONTEXT_LIMIT = re.compile(r"maximum context length is (\d+)")
_PROMPT_LENGTHS = tuple(
    re.compile(pattern)
    for pattern in (r"(\d+) in the messages", r"resulted in (\d+)", r"(\d+) input tokens", r"requested (\d+)")
)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What an error about a request needs to know of it."""

    model: str
    """The model's name."""
    url: str
    """Where the request went."""
    max_tokens: int | None = None
    """Room asked for the answer."""
    has_grammar: bool = False
    """Whether the request carried a grammar."""

    def failed(self, what: str, *, status: int | None = None) -> ModelServerError:
        """The error that says that the server ``what``, a predicate with a fix in it."""
        return ModelServerError(f"the server at {self.url} {what}", model=self.model, status=status)

    def refused(self, status: int, body: str) -> PlaitError:
        """The error that a refusal with ``body`` means: of the context, of the grammar, or another."""
        error = _error_in(body)
        message = str(error.get("message") or body.strip()[:N_QUOTED] or "no explanation")
        if (numbers := _context_numbers(error, message)) is not None:
            return ContextLengthError(
                n_prompt=numbers[0],
                n_answer=self.max_tokens or 1,
                context_length=numbers[1],
                model=self.model,
            )
        if self.has_grammar and status in {400, 422} and _GRAMMAR_WORDS.search(message):
            return GrammarError(f"{self.model} at {self.url} does not take the grammar: {message}")
        if _is_about_context(error, message):
            fix = "offer fewer tools, shorten the input or raise the server's context length"
        else:
            fix = _FIXES.get(status, "see the server's log")
        return self.failed(f"answered {status}: {message}; {fix}", status=status)


def _error_in(body: str) -> Mapping[str, Any]:
    """The error object of a refusal: OpenAI's, FastAPI's ``detail``, or the body's own fields."""
    try:
        fields = json.loads(body)
    except json.JSONDecodeError:
        return {}
    if not isinstance(fields, dict):
        return {}
    error = fields.get("error") or fields.get("detail") or fields
    return error if isinstance(error, dict) else {"message": error}


def status_in(error: Any) -> int:
    """The HTTP status that an error inside a stream carries, 500 if it has none."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) else 500


def _is_about_context(error: Mapping[str, Any], message: str) -> bool:
    return (
        error.get("type") == "exceed_context_size_error"
        or error.get("code") == "context_length_exceeded"
        or _CONTEXT_LIMIT.search(message) is not None
    )


def _context_numbers(error: Mapping[str, Any], message: str) -> tuple[int, int] | None:
    """Tokens of the prompt and of the context, if this is an error about them that gives them.

    llama-server has fields for them; OpenAI and vLLM put them into the message.
    """
    if not _is_about_context(error, message):
        return None
    n_prompt, context_length = error.get("n_prompt_tokens"), error.get("n_ctx")
    if isinstance(n_prompt, int) and isinstance(context_length, int):
        return n_prompt, context_length
    limit = _CONTEXT_LIMIT.search(message)
    length = next((found for pattern in _PROMPT_LENGTHS if (found := pattern.search(message))), None)
    if limit is None or length is None:
        return None
    return int(length[1]), int(limit[1])
