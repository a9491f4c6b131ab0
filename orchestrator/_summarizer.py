"""A sub-agent that summarizes a text with a chat model, however long the text is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from plait.models import ChatModel, Message

_RULES = (
    "You summarize documents. Write three to five sentences that stand on their own: what the document is, "
    "what it says, and its most important names, figures and dates, exactly as they stand there. "
    "Write only the summary."
)


class Summarizer:
    """Summarizes; what is longer than the model's context is summarized in parts, and the parts together.

    Args:
        model: writes the summaries.
        max_tokens: length of a summary.
    """

    def __init__(self, model: ChatModel, *, max_tokens: int = 256) -> None:
        self._model = model
        self._max_tokens = max_tokens

    async def __call__(self, text: str) -> str:
        """The summary of ``text``.

        Raises:
            ModelError: the model failed.
        """
        while not self._fits(text):
            summaries = [await self._summary(part) for part in self._parts(text)]
            text = "\n\n".join(summaries)
        return await self._summary(text)

    async def _summary(self, text: str) -> str:
        generation = self._model.stream(self._messages(text), max_tokens=self._max_tokens)
        written = (await generation.text()).strip()
        if generation.finish_reason != "length":
            return written
        end = max(written.rfind(mark) for mark in ".!?")  # not in the middle of a sentence
        return written[: end + 1] or written

    def _parts(self, text: str) -> Iterator[str]:
        """Parts of ``text`` that fit, cut between paragraphs, else sentences, else words."""
        while text:
            low, high = 1, len(text)
            while low < high:  # the longest beginning that fits
                middle = (low + high + 1) // 2
                low, high = (middle, high) if self._fits(text[:middle]) else (low, middle - 1)
            end = low if low == len(text) else _last_break(text, low)
            yield text[:end]
            text = text[end:].lstrip()

    def _fits(self, text: str) -> bool:
        n_prompt = self._model.count_tokens(self._messages(text))
        return n_prompt + self._max_tokens <= self._model.context_length

    def _messages(self, text: str) -> list[Message]:
        return [Message.instructions(_RULES), Message("user", f"Document:\n{text}\n\nSummary:")]


def _last_break(text: str, end: int) -> int:
    """Where to cut ``text`` at or before ``end``: after the last paragraph, else sentence, else word."""
    for pattern in (r"\n\s*\n", r"(?<=[.!?])\s+", r"\s+"):
        found = [m.end() for m in re.finditer(pattern, text[:end]) if m.end() > end // 2]
        if found:
            return found[-1]
    return end
