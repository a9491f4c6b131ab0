"""Questions about calls that wait for an approval, and the answers that faces give."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plait.errors import ApprovalError, ReferenceValueError, ToolArgumentError
from plait.orchestrator import Approval, ApprovalRequest, PendingCall
from plait.planners import Value, read_value, references


@dataclass(frozen=True, slots=True)
class Decision:
    """What the user says about one call."""

    approved: bool
    """Whether it may be made."""
    edits: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that take the place of the planned ones, by name; only for what is approved. They are values,
    as in a task; :func:`read_edits` makes them from what somebody has written."""


class Question:
    """The calls of one plan that wait, each until somebody has decided on it; the first decision stands.

    Args:
        turn: the number of the turn.
        request: the calls.
        tell: is called with each decision that stands from now on.
    """

    def __init__(self, turn: int, request: ApprovalRequest, tell: Callable[[int, Decision], None]) -> None:
        self.turn = turn
        self.request = request
        self._calls = {call.task.id: call for call in request.calls}
        self._decisions: dict[int, Decision] = {}
        self._tell = tell
        self._answer: asyncio.Future[Approval] = asyncio.get_running_loop().create_future()

    @property
    def is_open(self) -> bool:
        """Whether a decision is still waited for."""
        return not self._answer.done()

    @property
    def calls(self) -> Mapping[int, PendingCall]:
        """The calls that it is about, by task."""
        return self._calls

    @property
    def undecided(self) -> tuple[PendingCall, ...]:
        """The calls on which nobody has decided."""
        return tuple(call for k, call in self._calls.items() if k not in self._decisions)

    @property
    def decisions(self) -> Mapping[int, Decision]:
        """The decisions that stand, by task."""
        return dict(self._decisions)

    def decide(self, decisions: Mapping[int, Decision]) -> Mapping[int, Decision]:
        """Decide on calls, by task; gives back what stands for them, which an earlier decision may have set.

        All or none of ``decisions`` are taken.

        Raises:
            ApprovalError: the question is not about such a task, or it was withdrawn.
            ToolArgumentError: an edited argument is wrong.
        """
        for k, decision in decisions.items():
            call = self._call(k)
            if k not in self._decisions:
                if not self.is_open:
                    raise ApprovalError(
                        f"turn {self.turn} has ended; its task {k} will not be called", task=k
                    )
                check_edits(call, decision.edits)
        for k, decision in decisions.items():
            if k not in self._decisions:
                self._decisions[k] = decision
                self._tell(k, decision)
        if not self.undecided and self.is_open:
            self._answer.set_result(self._approval())
        return {k: self._decisions[k] for k in decisions}

    def read_edits(self, task: int, written: Mapping[str, Any]) -> dict[str, Value]:
        """The values of arguments of a task's call that somebody has edited; see :func:`read_edits`.

        Raises:
            ApprovalError: the question is not about such a task.
            ToolArgumentError: they are wrong.
        """
        return read_edits(self._call(task), written)

    async def answer(self) -> Approval:
        """What was decided, once it is for every call."""
        return await self._answer

    def withdraw(self) -> None:
        """Take no more decisions: the turn has ended."""
        self._answer.cancel()

    def _call(self, task: int) -> PendingCall:
        if task not in self._calls:
            asked = ", ".join(map(str, self._calls))
            raise ApprovalError(
                f"task {task} of turn {self.turn} does not wait for an approval; {asked} do", task=task
            )
        return self._calls[task]

    def _approval(self) -> Approval:
        approved = {k: d for k, d in self._decisions.items() if d.approved}
        return Approval(frozenset(approved), {k: d.edits for k, d in approved.items() if d.edits})


def read_edits(call: PendingCall, written: Mapping[str, Any]) -> dict[str, Value]:
    r"""The values of arguments that somebody has edited.

    References are written as in a plan: ``$1`` alone, ``${1}`` within a text, and ``\$`` for a dollar that
    begins none. That is how :func:`plait.planners.written_value` shows them.

    Args:
        call: what waits.
        written: by name, JSON types, or texts in their place.

    Raises:
        ToolArgumentError: the call's tool does not take them, or they refer to what is not there.
    """
    values = {}
    for name, value in call.tool.shaped(written).items():
        try:
            values[name] = read_value(value, call.known)
        except ReferenceValueError as error:
            raise ToolArgumentError(f"{name}: {error}", tool=call.tool.name) from error
    check_edits(call, values)
    return values


def check_edits(call: PendingCall, edits: Mapping[str, Any]) -> None:
    """That the call's tool takes the edited arguments, as far as the other ones are known.

    Raises:
        ToolArgumentError: it does not, or they refer to what is not there.
    """
    if not edits:
        return
    for name, value in edits.items():
        unknown = {ref.task for ref in references(value)} - call.known
        if unknown:
            raise ToolArgumentError(
                f"{name}: ${min(unknown)} is not the result of an earlier step", tool=call.tool.name
            )
    names = [f.name for f in call.tool.arguments.fields]
    for name in edits:
        if name not in names and call.tool.arguments.extra is None:
            raise ToolArgumentError(
                f"{call.tool.name} has no argument {name!r}; it has {', '.join(names) or 'none'}",
                tool=call.tool.name,
            )
    arguments = {**call.arguments, **edits}
    if not any(True for _ in references(arguments)):
        call.tool.validate(arguments)
