"""How what a call did can be undone.

A result says it itself, by an attribute ``undo`` that is a mapping with a ``kind`` (the protocol
:class:`Undoable`); or a :class:`Recorder` that is registered for the tool finds it out, by comparing what
was there before the call and after it. Either way it is plain JSON, kept in the history, and the
:class:`Undoer` of that kind does it, perhaps days later and in another process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from plait.errors import ToolCallError
from plait.orchestrator import Executor, call_tool
from plait.tools import Tool, call_in_thread


@runtime_checkable
class Undoable(Protocol):
    """A tool's result that carries how to undo the call."""

    @property
    def undo(self) -> Mapping[str, Any]:
        """JSON with a ``kind``, which names an undoer, and what that needs."""
        ...


class Recorder(Protocol):
    """Finds out what a call of some tools did."""

    @property
    def tools(self) -> frozenset[str]:
        """The tools' names."""
        ...

    def before(self, tool: str) -> Any:
        """What to compare with; called in a thread."""
        ...

    def after(self, tool: str, before: Any) -> Mapping[str, Any] | None:
        """How to undo what has changed since, as of :attr:`Undoable.undo`; ``None`` where nothing can."""
        ...


class Undoer(Protocol):
    """Undoes what calls did that left this kind of account."""

    @property
    def kind(self) -> str:
        """The kind."""
        ...

    def undo(self, account: Mapping[str, Any]) -> str:
        """Undo it, and say so in a sentence; called in a thread.

        Raises:
            ToolCallError: it cannot be undone any more, and why; nothing was changed.
        """
        ...


class UndoRegistry:
    """Recorders by tool, and undoers by kind.

    Args:
        recorders: for tools whose results do not say themselves how to undo the call.
        undoers: for every kind that recorders and results give.
    """

    def __init__(self, recorders: Iterable[Recorder] = (), undoers: Iterable[Undoer] = ()) -> None:
        self._recorders = {name: recorder for recorder in recorders for name in recorder.tools}
        self._undoers = {undoer.kind: undoer for undoer in undoers}
        self._comparing = asyncio.Lock()

    async def call(
        self, tool: Tool, arguments: Mapping[str, Any], executor: Executor = call_tool
    ) -> tuple[Any, Mapping[str, Any] | None]:
        """Make a call; its result, and how to undo it, if that can be.

        Calls that a recorder watches are made one after another, so that each sees its own changes.
        """
        recorder = self._recorders.get(tool.name)
        if recorder is None:
            result = await executor(tool, arguments)
            return result, _own_account(result)
        async with self._comparing:
            before = await call_in_thread(recorder.before, {"tool": tool.name})
            result = await executor(tool, arguments)
            account = _own_account(result)
            if account is None:
                account = await call_in_thread(recorder.after, {"tool": tool.name, "before": before})
        return result, account

    def undo(self, account: Mapping[str, Any]) -> str:
        """Undo what a call did, and say so in a sentence.

        Raises:
            ToolCallError: it cannot be undone, and why.
        """
        undoer = self._undoers.get(str(account.get("kind")))
        if undoer is None:
            raise ToolCallError(f"nothing here can undo {account.get('kind')!r}; undo it by hand")
        return undoer.undo(account)


def _own_account(result: Any) -> Mapping[str, Any] | None:
    """What the result itself says; strings and other plain values say nothing."""
    if isinstance(result, Undoable) and isinstance(result.undo, Mapping):
        return result.undo
    return None
