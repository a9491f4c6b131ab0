"""A second prompt on the same model, for one kind of text."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from plait.errors import ModelError
from plait.models import ChatModel, Generation, Message
from plait.orchestrator._selection import Ranking, rank
from plait.orchestrator._sentences import goes_round, without_repeats
from plait.tools import call_in_thread

_N_SPARE_CHARS = 2000
_MAX_TOKEN_CHARS = 16  # on average; no text has longer tokens
_SAMPLE_CHARS, _N_SAMPLES = 4000, 3
_MARKS = ".!?。！？।؟"  # noqa: RUF001


class SubAgent:
    """Writes texts of one kind: its instructions are the same each time, so that engines keep their state.

    What others wrote goes into its task with :func:`fenced`, and the instructions must say that it is data.

    Args:
        model: writes.
        instructions: what it writes, and how.
        max_tokens: length of a text.
        timeout_s: how long one text may take.
    """

    def __init__(
        self, model: ChatModel, instructions: str, *, max_tokens: int = 256, timeout_s: float = 300.0
    ) -> None:
        self._model = model
        self._instructions = Message.instructions(instructions)
        self._max_tokens = max_tokens
        self._timeout_s = timeout_s

    async def write(self, task: str) -> str:
        """The text for a task, without sentences that only repeat others.

        Where it reached its length, or went round in circles, it ends with its last whole sentence.

        Raises:
            ModelError: the model failed, or took more than ``timeout_s``.
            ContextLengthError: the task does not fit; see ``fits``.
        """
        generation = self._model.stream(self._messages(task), max_tokens=self._max_tokens)
        try:
            async with asyncio.timeout(self._timeout_s) as deadline:
                written, is_whole = await _text(generation)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise ModelError(
                f"{self._model.name} wrote no text within {self._timeout_s:g} s; take a faster model",
                model=self._model.name,
            ) from error
        finally:
            await generation.aclose()
        if not is_whole or generation.finish_reason == "length":
            end = max(written.rfind(mark) for mark in _MARKS)
            written = written[: end + 1] or written
        return without_repeats(written)

    def fits(self, task: str, *, max_prompt_tokens: int | None = None) -> bool:
        """Whether the model can take a task, in a prompt of at most that length.

        What is far longer is told from its length alone, so that no book is tokenized to learn that.
        """
        room = self._model.context_length - self._max_tokens
        limit = room if max_prompt_tokens is None else min(room, max_prompt_tokens)
        if len(task) > _MAX_TOKEN_CHARS * limit:
            return False
        return self._model.count_tokens(self._messages(task)) <= limit

    async def shortened(
        self, text: str, frame: Callable[[str], str], *, max_prompt_tokens: int, about: str = ""
    ) -> str:
        """The task that ``frame`` makes of ``text``, or of the part of it that the prompt has room for.

        The part is its most telling sentences, see :func:`rank`.
        """

        def fits(part: str) -> bool:
            return self.fits(frame(part), max_prompt_tokens=max_prompt_tokens)

        if fits(text):
            return frame(text)
        sample = _sample(text)
        n_tokens = self._model.count_tokens(self._messages(sample))
        max_chars = _N_SPARE_CHARS + 2 * len(sample) * max_prompt_tokens // n_tokens
        # Only what needs no model is in the thread: it goes on when this is cancelled, the model may not.
        ranking: Ranking = await call_in_thread(rank, {"text": text, "about": about, "max_chars": max_chars})
        return frame(ranking.longest(fits))

    def _messages(self, task: str) -> list[Message]:
        return [self._instructions, Message("user", task)]


async def _text(generation: Generation) -> tuple[str, bool]:
    """What a model writes, and whether it ended by itself and did not just go on repeating itself."""
    written = ""
    async for piece in generation:
        written += piece
        if any(mark in piece for mark in _MARKS) and goes_round(f"{written} "):
            return written.strip(), False
    return written.strip(), True


def _sample(text: str) -> str:
    """What tells how long a text's tokens are: of a long one, parts from its beginning to its end."""
    if len(text) <= _SAMPLE_CHARS * _N_SAMPLES:
        return text
    step = (len(text) - _SAMPLE_CHARS) // (_N_SAMPLES - 1)
    return "".join(text[k * step : k * step + _SAMPLE_CHARS] for k in range(_N_SAMPLES))


def fenced(name: str, text: str) -> str:
    """``text`` between ``<name>`` and ``</name>``, which it cannot leave."""
    inside = re.sub(rf"<(?=\s*/?\s*{name}\b)", "‹", text, flags=re.IGNORECASE)  # noqa: RUF001
    return f"<{name}>\n{inside}\n</{name}>"
