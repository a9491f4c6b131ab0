"""What a request may know of the conversation before it: few tokens, and nothing that outsiders wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from plait.errors import ConfigurationError
from plait.models import ChatModel, Message
from plait.orchestrator._run import Run
from plait.planners import PastCall, PastTurn, PlanContext, TaskOutcome, describe_conversation
from plait.tools import to_text

MAX_QUERY_CHARS = 400
MAX_RESULT_CHARS = 160


@dataclass(frozen=True, slots=True)
class History:
    """The part of a conversation that a run is told of, and what its tasks may refer to."""

    turns: tuple[PastTurn, ...] = ()
    """What planners see."""
    outcomes: tuple[TaskOutcome, ...] = ()
    """The outcomes of the calls in ``turns``, with their real results."""
    first_number: int = 1
    """The number of the next task of the conversation."""
    called: tuple[str, ...] = ()
    """The tools that all of the conversation's runs have called, the last ones first."""


def recall(runs: Sequence[Run], model: ChatModel, *, max_tokens: int) -> History:
    """The newest of ``runs`` that fit into ``max_tokens`` of the prompt, oldest first.

    What outsiders may have written is withheld: results and errors of untrusted calls, and the arguments
    that a planner wrote after it had read such results. The results themselves can still be referred to.

    Raises:
        ConfigurationError: two of the runs number their tasks alike, so they are of different conversations.
    """
    numbers = [outcome.task.id for run in runs for outcome in run.tasks]
    if len(numbers) != len(set(numbers)):
        twice = min(n for n in numbers if numbers.count(n) > 1)
        raise ConfigurationError(
            f"two of the earlier runs have a task {twice}; give the runs of one conversation, "
            "each made with those before it as earlier="
        )
    turns: list[PastTurn] = []
    for run in reversed(runs):
        turn = _past_turn(run)
        fitting = next(
            (cut for cut in _shortened(turn, last=not turns) if _size([cut, *turns], model) <= max_tokens),
            None,
        )
        if fitting is None:
            break
        turns.insert(0, fitting)
    shown = {call.task.id for turn in turns for call in turn.calls}
    outcomes = tuple(o for run in runs for o in run.tasks if o.task.id in shown)
    first_number = max((task.id for run in runs for task in run.plan), default=0) + 1
    called = dict.fromkeys(outcome.task.tool for run in reversed(runs) for outcome in reversed(run.tasks))
    return History(tuple(turns), outcomes, first_number, tuple(called))


def _shortened(turn: PastTurn, *, last: bool) -> Iterable[PastTurn]:
    """The turn, and, if it is the newest one, what it is without its first calls."""
    yield turn
    if last:
        for k in range(1, len(turn.calls) + 1):
            yield replace(turn, calls=turn.calls[k:])


def _past_turn(run: Run) -> PastTurn:
    first = {task.id for task in run.plans[0]} if run.plans else set()
    calls = tuple(_past_call(outcome, is_first=outcome.task.id in first) for outcome in run.tasks)
    return PastTurn(_cut(run.query, MAX_QUERY_CHARS), calls)


def _past_call(outcome: TaskOutcome, *, is_first: bool) -> PastCall:
    """The call; the arguments of a first plan are the user's words and references, and so always shown."""
    task = outcome.task if is_first or not outcome.untrusted else replace(outcome.task, arguments={})
    if outcome.untrusted:
        return PastCall(task, outcome.status, None)
    if outcome.ok:
        return PastCall(task, "ok", _cut(to_text(outcome.result), MAX_RESULT_CHARS) or "(empty)")
    text = f"{outcome.status}: {outcome.error}" if outcome.error else outcome.status
    return PastCall(task, outcome.status, _cut(text, MAX_RESULT_CHARS))


def _cut(text: str, n_chars: int) -> str:
    text = " ".join(text.split())
    if len(text) <= n_chars:
        return text
    return f"{text[:n_chars]} [... {len(text) - n_chars} more characters]"


def _size(turns: Sequence[PastTurn], model: ChatModel) -> int:
    return model.count_tokens([Message("user", describe_conversation(PlanContext("", history=turns)))])
