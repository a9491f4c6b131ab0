"""Carrying out plans: the agent, the task fetcher, events, approval."""

from plait.orchestrator._events import (
    AnswerTextWritten,
    ApprovalGiven,
    ApprovalRequested,
    Event,
    JoinStarted,
    PlanFinished,
    PlanStarted,
    PlanTextWritten,
    Replanned,
    RunFinished,
    RunStarted,
    TaskFinished,
    TaskPlanned,
    TaskPreparing,
    TaskStarted,
)
from plait.orchestrator._fetcher import Executor, TaskFetcher, call_tool
from plait.orchestrator._policy import POLICIES, Approval, ApprovalRequest, Approver, PendingCall, Policy
from plait.orchestrator._run import Run, Timings
from plait.orchestrator._subagent import SubAgent, fenced
from plait.orchestrator._summarizer import Summarizer
from plait.orchestrator.agent import JOINERS, PLANNERS, Agent, default_planner

__all__ = [
    "JOINERS",
    "PLANNERS",
    "POLICIES",
    "Agent",
    "AnswerTextWritten",
    "Approval",
    "ApprovalGiven",
    "ApprovalRequest",
    "ApprovalRequested",
    "Approver",
    "Event",
    "Executor",
    "JoinStarted",
    "PendingCall",
    "PlanFinished",
    "PlanStarted",
    "PlanTextWritten",
    "Policy",
    "Replanned",
    "Run",
    "RunFinished",
    "RunStarted",
    "SubAgent",
    "Summarizer",
    "TaskFetcher",
    "TaskFinished",
    "TaskPlanned",
    "TaskPreparing",
    "TaskStarted",
    "Timings",
    "call_tool",
    "default_planner",
    "fenced",
]
