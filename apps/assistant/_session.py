"""A session: one conversation with an agent, for any number of faces at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from plait.apps.assistant._history import ActionLog
from plait.apps.assistant._kept import SettingsFile
from plait.apps.assistant._questions import Decision, Question
from plait.apps.assistant._settings import Settings
from plait.apps.assistant._stream import (
    Cleared,
    Decided,
    Entry,
    EventStream,
    SessionEvent,
    SettingsChanged,
)
from plait.apps.assistant._undo import UndoRegistry
from plait.errors import ApprovalError, BusyError, ConfigurationError, RunError, ToolError
from plait.models import ChatModel
from plait.orchestrator import (
    Agent,
    Approval,
    ApprovalRequest,
    ApprovalRequested,
    Event,
    Executor,
    Run,
    RunFinished,
    RunStarted,
    call_tool,
)
from plait.planners import PlanExample
from plait.tools import Tool, Toolbox, to_text

if TYPE_CHECKING:
    from plait.retrieval import Retriever


class Backend(Protocol):
    """Makes what a session works with from its settings."""

    async def open_model(self, settings: Settings) -> ChatModel:
        """The model; the session closes it.

        Raises:
            PlaitError: it cannot be had, and why.
        """
        ...

    def open_tools(self, settings: Settings, model: ChatModel) -> Toolbox:
        """All tools, those that are turned off too.

        Raises:
            PlaitError: the home or the tools cannot be used.
        """
        ...


@dataclass(slots=True)
class Turn:
    """A request of the user's and what became of it."""

    number: int
    """Counts from 1 through the session; clearing the conversation does not begin anew."""
    query: str
    run: Run | None = None
    """What it came to, once it has ended."""
    questions: list[Question] = field(default_factory=list)
    """What the user was asked, a question for each plan with calls that wait."""
    actions: list[int] = field(default_factory=list)
    """The numbers of its calls in the history."""


class Session:
    """One conversation: turns one after another, each told what the earlier ones asked, called and got.

    Use it as an async context manager, in one event loop. Faces call :meth:`ask`, :meth:`decide` and
    :meth:`cancel`, and show what :meth:`follow` tells; a face that comes back follows from where it was.

    Args:
        backend: makes model and tools from settings.
        settings: what to begin with.
        examples: worked examples for the planner's prompt.
        log: where every call is recorded; ``None`` keeps no history.
        undo: finds out how calls can be undone, for the settings.
        kept: where changed settings are kept for later sessions; ``None`` forgets them with this one.
        executor: carries out a call.
        now: the user's clock.
        retriever: finds the tools that a request may need, out of all tools of the settings.
    """

    def __init__(
        self,
        backend: Backend,
        settings: Settings,
        *,
        examples: Sequence[PlanExample] = (),
        log: ActionLog | None = None,
        undo: Callable[[Settings], UndoRegistry] = lambda settings: UndoRegistry(),
        kept: SettingsFile | None = None,
        executor: Executor = call_tool,
        now: Callable[[], datetime] = datetime.now,
        retriever: Retriever | None = None,
    ) -> None:
        self._backend = backend
        self._settings = settings
        self._examples = examples
        self._log = log
        self._undo_for = undo
        self._undo = UndoRegistry()
        self._kept = kept
        self._executor = executor
        self._now = now
        self._retriever = retriever
        self._stream = EventStream()
        self._turns: list[Turn] = []
        self._n_forgotten = 0
        self._current: Turn | None = None
        self._running: asyncio.Task[None] | None = None
        self._is_configuring = False
        self._model: ChatModel | None = None
        self._toolbox = Toolbox()
        self._agent: Agent | None = None

    async def __aenter__(self) -> Session:
        self._model = await self._backend.open_model(self._settings)
        try:
            self._use(self._settings, self._model)
        except BaseException:
            await self._model.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        running = self._running
        if running is not None:
            running.cancel()
            await asyncio.wait({running})
        self._stream.close()
        if self._model is not None:
            await self._model.aclose()

    @property
    def settings(self) -> Settings:
        """What the session works with now."""
        return self._settings

    @property
    def kept(self) -> SettingsFile | None:
        """Where changed settings are kept for later sessions."""
        return self._kept

    @property
    def toolbox(self) -> Toolbox:
        """All tools of the settings, those that are turned off too."""
        return self._toolbox

    @property
    def turns(self) -> Sequence[Turn]:
        """All turns of the session, the current one too."""
        return tuple(self._turns)

    @property
    def current(self) -> Turn | None:
        """The turn that runs now."""
        return self._current

    @property
    def question(self) -> Question | None:
        """What the user is asked now."""
        asked = self._current.questions[-1:] if self._current is not None else []
        return asked[0] if asked and asked[0].is_open else None

    @property
    def last_event(self) -> int:
        """The number of the newest event."""
        return self._stream.last

    def follow(self, after: int = 0) -> AsyncGenerator[Entry]:
        """The session's events with numbers above ``after``, and those to come, until the session ends."""
        return self._stream.follow(after)

    async def ask(self, query: str) -> Turn:
        """Carry out a request; returns when it has ended. Cancelling this cancels the turn.

        What fails, or is cancelled by :meth:`cancel`, does not raise: it is in the turn's run.

        Raises:
            BusyError: a turn is running, or the settings are being changed.
            ConfigurationError: the request is empty.
        """
        self._check_idle()
        if not query.strip():
            raise ConfigurationError("the request is empty; say in a few words what is to be done")
        turn = Turn(len(self._turns) + 1, query.strip())
        self._turns.append(turn)
        self._current = turn
        try:
            async with asyncio.TaskGroup() as group:
                self._running = group.create_task(self._carry_out(turn))
        except BaseExceptionGroup as failures:  # a bug in a planner or an executor
            raise failures.exceptions[0] from None
        finally:
            self._end(turn)
        return turn

    def cancel(self) -> bool:
        """Cancel the current turn, if one runs: what runs is stopped, what waits is not called."""
        if self._running is None:
            return False
        return self._running.cancel()

    def decide(self, turn: int, decisions: Mapping[int, Decision]) -> Mapping[int, Decision]:
        """Decide on calls that wait, by task; gives back what stands for them.

        The first decision on a task stands, whoever gives another one and however often. When there is one
        for every call of the question, those that are approved are made.

        Raises:
            ApprovalError: no such task waits in that turn, or the turn has ended.
            ToolArgumentError: an edited argument is wrong; nothing was decided.
        """
        return self._asked(turn, decisions.keys()).decide(decisions)

    def read_edits(self, turn: int, written: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
        """The values of edited arguments, by task, as :func:`read_edits` reads them.

        Raises:
            ApprovalError: no such task waits in that turn.
            ToolArgumentError: an edited argument is wrong.
        """
        return {k: self._asked(turn, {k}).read_edits(k, edits) for k, edits in written.items()}

    def decide_all(self, turn: int, *, approved: bool) -> Mapping[int, Decision]:
        """Approve or decline all calls of the turn's last question on which nobody has decided.

        Raises:
            ApprovalError: as :meth:`decide`.
        """
        questions = self._turns[turn - 1].questions if 0 < turn <= len(self._turns) else []
        undecided = questions[-1].undecided if questions else ()
        return self.decide(turn, {call.task.id: Decision(approved) for call in undecided})

    def _asked(self, turn: int, tasks: Set[int]) -> Question:
        """The question about these tasks, or else the turn's last one, which refuses them."""
        questions = self._turns[turn - 1].questions if 0 < turn <= len(self._turns) else []
        if not questions:
            raise ApprovalError(f"turn {turn} has asked nothing")
        return next((q for q in questions if tasks <= q.calls.keys()), questions[-1])

    def clear(self) -> None:
        """Begin a new conversation: no later turn is told of the turns so far.

        Raises:
            BusyError: a turn is running, or the settings are being changed.
        """
        self._check_idle()
        self._n_forgotten = len(self._turns)
        self._stream.append(0, Cleared())

    async def configure(self, settings: Settings) -> None:
        """Go on with other settings, and keep what is changed; where they cannot be used, those before stay.

        Raises:
            BusyError: a turn is running, or the settings are being changed.
            PlaitError: the model or the tools cannot be had, and why.
            ConfigurationError: the settings are used, but cannot be kept.
        """
        self._check_idle()
        assert self._model is not None
        self._is_configuring = True
        old, before = self._model, self._settings
        is_same = settings.same_model(self._settings)
        try:
            model = old if is_same else await self._backend.open_model(settings)
            try:
                self._use(settings, model)
            except BaseException:
                if not is_same:
                    await model.aclose()
                raise
            if not is_same:
                await old.aclose()
        finally:
            self._is_configuring = False
        self._stream.append(0, SettingsChanged(settings))
        if self._kept is not None:
            self._kept.keep(before, settings)

    def _use(self, settings: Settings, model: ChatModel) -> None:
        toolbox = self._backend.open_tools(settings, model)
        for name in settings.tools_off:
            toolbox[name]  # an unknown name is told, with the closest ones
        agent = Agent(
            model,
            toolbox.subset(name for name in toolbox.names if name not in settings.tools_off),
            planner=settings.planner,
            examples=self._examples,
            policy="writes" if settings.is_asking else "none",
            approve=self._approve,
            executor=self._execute,
            now=self._now,
            instructions=settings.instructions,
            retriever=self._retriever,
        )
        self._settings, self._model, self._toolbox, self._agent = settings, model, toolbox, agent
        self._undo = self._undo_for(settings)

    def _check_idle(self) -> None:
        if self._is_configuring:
            raise BusyError("the settings are being changed; wait until that is done")
        if self._current is not None:
            raise BusyError(f"turn {self._current.number} is running; wait for it, or cancel it")

    async def _carry_out(self, turn: Turn) -> None:
        assert self._agent is not None
        past = (t.run for t in self._turns[self._n_forgotten :])
        await self._agent.run(
            turn.query,
            earlier=[run for run in past if run is not None],
            on_event=lambda event: self._take_in(turn, event),
        )

    async def _execute(self, tool: Tool, arguments: Mapping[str, Any]) -> Any:
        """Make a call and record it; one that cannot be recorded is not made."""
        if self._log is None:
            return await self._executor(tool, arguments)
        turn = self._current
        number = self._log.begin(turn.query if turn else "", tool, arguments)
        if turn is not None:
            turn.actions.append(number)
        try:
            result, undo = await self._undo.call(tool, arguments, self._executor)
        except ToolError as error:
            self._log.finish(number, "failed", str(error))
            raise
        except BaseException:
            self._log.finish(number, "cancelled", "")
            raise
        self._log.finish(number, "ok", to_text(result), undo)
        return result

    def _take_in(self, turn: Turn, event: Event) -> None:
        if isinstance(event, ApprovalRequested):
            turn.questions.append(
                Question(turn.number, event.request, lambda k, d: self._tell(turn, Decided(k, d)))
            )
        elif isinstance(event, RunFinished):
            turn.run = event.run
        self._tell(turn, event)

    def _tell(self, turn: Turn, event: SessionEvent) -> None:
        self._stream.append(turn.number, event)

    async def _approve(self, request: ApprovalRequest) -> Approval:
        assert self._current is not None
        return await self._current.questions[-1].answer()

    def _end(self, turn: Turn) -> None:
        for question in turn.questions:
            question.withdraw()
        if turn.run is None:  # cancelled before it began
            run = Run(turn.query, error=RunError("the run was cancelled"))
            self._take_in(turn, RunStarted(0.0, turn.query))
            self._take_in(turn, RunFinished(0.0, run))
        if self._log is not None and turn.actions:
            self._log.conclude(turn.actions, "done" if _is_done(turn.run) else "unfinished")
        self._stream.forget_pieces(turn.number)
        self._current = self._running = None


def _is_done(run: Run | None) -> bool:
    """Whether the request was answered and every call that was planned for it succeeded."""
    return run is not None and run.error is None and all(outcome.ok for outcome in run.tasks)
