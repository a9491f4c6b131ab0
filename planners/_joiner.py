"""The joiner: from results to an answer, or to the wish for another plan."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from datetime import date, time
from typing import Any

from plait.models import ChatModel, Grammar, Message
from plait.planners._context import Answer, AnswerText, JoinerStep, PlanContext, Replan, TaskOutcome
from plait.planners._prompts import describe_day, join_instructions, join_request
from plait.tools import Toolbox, to_text

_ANSWER, _REPLAN = "Answer: ", "Replan: "
_GRAMMAR = Grammar(
    lark='%llguidance {}\nstart: "Answer: " TEXT | "Replan: " LINE\nTEXT: /[^\\x00]+/\n'
    "LINE: /[^\\n]{1,400}/\n",
    gbnf='root ::= "Answer: " [^\\x00]+ | "Replan: " [^\\n]{1,400}',
)
_MAX_VALUE_CHARS = 80
NO_TOOL = "None of the tools here can do that."
"""The answer where nothing was called, and the model is none to answer by itself."""


class ModelJoiner:
    """Answers at once where the results already are the answer, and asks a model where they are not.

    What did not succeed is said by plait itself, never left to the model.

    Args:
        model: answers questions.
        toolbox: tells actions from questions, by the tools' annotations.
        max_tokens: length of an answer.
        may_answer_alone: whether the model is asked where nothing was called. Small ones that were fine-tuned
            for planning would make something up, so plait says that no tool can do it.
    """

    def __init__(
        self,
        model: ChatModel,
        toolbox: Toolbox,
        *,
        max_tokens: int = 512,
        may_answer_alone: bool = True,
    ) -> None:
        self._model = model
        self._toolbox = toolbox
        self._max_tokens = max_tokens
        self._may_answer_alone = may_answer_alone

    async def join(self, context: PlanContext) -> AsyncGenerator[JoinerStep]:
        """Pieces of an answer and the whole one, or the wish for another plan."""
        direct = direct_answer(context, self._toolbox)
        if not context.outcomes and not self._may_answer_alone:
            direct = NO_TOOL
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
        undone = [_not_done(o) for o in _unmended(context)]
        yield Answer("\n".join([answer, *undone]))


def _call(outcome: TaskOutcome) -> tuple[str, Mapping[str, Any]]:
    """What was planned to be called; the same for a call that is wanted again."""
    planned = outcome.planned_arguments
    return outcome.task.tool, outcome.arguments if planned is None else planned


def direct_answer(context: PlanContext, toolbox: Toolbox) -> str | None:
    """The answer, where no model is needed to give it: what actions report, one value, or what failed."""
    used = {k for o in context.outcomes for k in o.task.dependencies}
    repeated = [_call(o) for o in context.outcomes if o.reused]
    reports: list[str] = []
    n_values = 0
    for outcome in context.outcomes:
        is_repeated = not outcome.reused and _call(outcome) in repeated
        if outcome.task.id in used or not outcome.ok or is_repeated:
            continue
        if _is_action(outcome, toolbox):
            reports.append(
                to_text(outcome.result) if outcome.result not in (None, "") else f"{outcome.task.tool}: done"
            )
        elif _is_value(outcome.result):
            n_values += 1
            reports.append(to_text(outcome.result))
        else:
            return None
    undone = [_not_done(outcome) for outcome in _unmended(context)]
    if n_values > 1 or not (reports or undone):
        return None
    return "\n".join([*reports, *undone])


def _is_action(outcome: TaskOutcome, toolbox: Toolbox) -> bool:
    tool = toolbox.get(outcome.task.tool)
    return tool is not None and tool.annotations.read_only is False


def _is_value(result: Any) -> bool:
    if isinstance(result, str):
        return 0 < len(result) <= _MAX_VALUE_CHARS and "\n" not in result
    return isinstance(result, (bool, int, float, date, time))


def _unmended(context: PlanContext) -> Iterable[TaskOutcome]:
    """What failed in the last plan that did anything; earlier failures were replanned."""
    last = next((plan for plan in reversed(context.plans) if len(plan)), None)
    ids = {task.id for task in last} if last else set()
    return (o for o in context.outcomes if o.task.id in ids and not o.ok)


def _not_done(outcome: TaskOutcome) -> str:
    why = str(outcome.error or outcome.status)
    return (
        f"Not done: {why}" if why.startswith(outcome.task.tool) else f"Not done: {outcome.task.tool}: {why}"
    )


def _answer_start(written: str, *, ended: bool = False) -> int | None:
    """Where the answer's own text begins; ``None`` while that cannot be told, or it is no answer."""
    text = written.lstrip()
    skipped = len(written) - len(text)
    if text.startswith(_ANSWER.strip()):
        return skipped + len(_ANSWER)
    undecided = any(word.strip().startswith(text[: len(word.strip())]) for word in (_ANSWER, _REPLAN))
    return None if undecided and not ended else skipped
