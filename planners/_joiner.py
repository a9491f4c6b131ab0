"""The joiner: from results to an answer, or to the wish for another plan."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from plait.models import ChatModel, Grammar, Message
from plait.planners._context import Answer, AnswerText, JoinerStep, PlanContext, Replan
from plait.planners._direct import direct_answer, shown_results, what_failed
from plait.planners._prompts import describe_day, join_instructions, join_request
from plait.tools import Toolbox

_ANSWER, _REPLAN = "Answer: ", "Replan: "
_GRAMMAR = Grammar(
    lark='%llguidance {}\nstart: "Answer: " TEXT | "Replan: " LINE\nTEXT: /[^\\x00]+/\n'
    "LINE: /[^\\n]{1,400}/\n",
    gbnf='root ::= "Answer: " [^\\x00]+ | "Replan: " [^\\n]{1,400}',
)
NO_TOOL = "None of the tools here can do that."
"""The answer where nothing was called, and there is no model to answer by itself."""
NO_CALL = "Nothing was done: no tool seemed to be needed."
"""That in the middle of a conversation, where what is asked for may have been found already."""


class ResultsJoiner:
    """Gives the results themselves, each with what it is of, and says what failed.

    For models that were fine-tuned to write plans and are too small to write answers.

    Args:
        toolbox: tells actions from questions, by the tools' annotations.
    """

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    async def join(self, context: PlanContext) -> AsyncGenerator[JoinerStep]:
        """The answer."""
        nothing = NO_CALL if context.history else NO_TOOL
        yield Answer(
            direct_answer(context, self._toolbox) or shown_results(context, self._toolbox) or nothing
        )


class ModelJoiner:
    """Answers at once where the results already are the answer, and asks a model where they are not.

    What did not succeed is said by plait itself, never left to the model.

    Args:
        model: answers questions.
        toolbox: tells actions from questions, by the tools' annotations.
        max_tokens: length of an answer.
    """

    def __init__(self, model: ChatModel, toolbox: Toolbox, *, max_tokens: int = 512) -> None:
        self._model = model
        self._toolbox = toolbox
        self._max_tokens = max_tokens

    async def join(self, context: PlanContext) -> AsyncGenerator[JoinerStep]:
        """Pieces of an answer and the whole one, or the wish for another plan."""
        direct = direct_answer(context, self._toolbox)
        if direct is not None:
            yield Answer(direct)
            return
        may_replan = context.rounds_left > 0
        messages = [
            Message.instructions(join_instructions(may_replan=may_replan)),
            Message("user", join_request(context), daily_chars=len(describe_day(context.now))),
        ]
        enforced = may_replan and self._model.grammar_kind in ("lark", "gbnf")
        generation = self._model.stream(
            messages, grammar=_GRAMMAR if enforced else None, max_tokens=self._max_tokens
        )
        written, sent = "", 0
        async with aclosing(generation):
            async for text in generation:
                written += text
                start = _answer_start(written)
                if start is not None and len(written) > max(start, sent):
                    yield AnswerText(written[max(start, sent) :])
                    sent = len(written)
        yield generation.usage
        if may_replan and written.lstrip().startswith(_REPLAN.strip()):
            yield Replan(written.lstrip().removeprefix(_REPLAN.strip()).strip())
            return
        answer = written[_answer_start(written, ended=True) or 0 :].strip()
        yield Answer("\n".join([answer, *what_failed(context)]))


def _answer_start(written: str, *, ended: bool = False) -> int | None:
    """Where the answer's own text begins; ``None`` while that cannot be told, or it is no answer."""
    text = written.lstrip()
    skipped = len(written) - len(text)
    if text.startswith(_ANSWER.strip()):
        return skipped + len(_ANSWER)
    undecided = any(word.strip().startswith(text[: len(word.strip())]) for word in (_ANSWER, _REPLAN))
    return None if undecided and not ended else skipped
