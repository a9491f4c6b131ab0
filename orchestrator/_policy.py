"""Which calls wait for an approval, and who gives it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from plait.errors import ConfigurationError
from plait.planners import Plan, Task
from plait.tools import Tool

Policy: TypeAlias = Callable[[Tool, bool], bool]
"""Whether a call of the tool needs an approval; the flag says that an argument is untrusted."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call that waits for an approval."""

    task: Task
    tool: Tool
    arguments: Mapping[str, Any]
    """Its arguments; where another waiting call's result is missing, the reference to it stands, within a
    text too (:class:`~plait.planners.Template`)."""
    untrusted: bool
    """Whether outsiders may have written something that stands in the arguments or the facts."""
    untrusted_arguments: frozenset[str] = frozenset()
    """The arguments in which it stands."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the arguments do not tell, such as to whom a reply goes; see :class:`~plait.tools.Prepared`."""
    written: Mapping[str, Any] = field(default_factory=dict)
    """By argument that was written for the call, what the plan says there."""
    untrusted_facts: frozenset[str] = frozenset()
    """The facts that outsiders may have written."""
    known: frozenset[int] = frozenset()
    """Numbers of the tasks to whose results an edited argument may refer."""


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """One question about a plan: which of these calls may be made."""

    plan: Plan
    calls: tuple[PendingCall, ...]
    later: tuple[PendingCall, ...] = ()
    """Calls that need an approval too and are asked about in a later request: their texts are written from
    results of ``calls``, or they use the result of such a call."""


@dataclass(frozen=True, slots=True)
class Approval:
    """An answer to a request that may change the calls."""

    approved: frozenset[int]
    """The numbers of the tasks that may run; the others are declined."""
    edits: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """Arguments that take the place of the planned ones, as they are, by task and name."""


Approver: TypeAlias = Callable[[ApprovalRequest], Awaitable[bool | Set[int] | Approval]]
"""Answers a request: all (``True``), none (``False``), the numbers of the tasks that may run, or an
:class:`Approval`."""


def ask_for_writes(tool: Tool, untrusted: bool) -> bool:
    """Everything that is not known to be read-only."""
    return tool.annotations.read_only is not True


def ask_for_untrusted(tool: Tool, untrusted: bool) -> bool:
    """Calls that send or destroy and whose arguments or facts carry what outsiders wrote."""
    known = tool.annotations
    sends = known.open_world is True and known.read_only is not True
    return untrusted and (sends or known.destructive is True)


def ask_for_all(tool: Tool, untrusted: bool) -> bool:
    """Every call."""
    return True


def ask_for_none(tool: Tool, untrusted: bool) -> bool:
    """No call."""
    return False


POLICIES: Mapping[str, Policy] = {
    "all": ask_for_all,
    "none": ask_for_none,
    "untrusted": ask_for_untrusted,
    "writes": ask_for_writes,
}


def find_policy(policy: str | Policy) -> Policy:
    """The policy of that name.

    Raises:
        ConfigurationError: there is none.
    """
    if not isinstance(policy, str):
        return policy
    if policy not in POLICIES:
        raise ConfigurationError(f"there is no policy {policy!r}; choose one of {', '.join(POLICIES)}")
    return POLICIES[policy]
