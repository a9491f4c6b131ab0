"""The assistant: one session for its faces (terminal, web page, voice)."""

from plait.apps.assistant._questions import Decision, Question
from plait.apps.assistant._session import Backend, Session, Turn
from plait.apps.assistant._settings import Settings
from plait.apps.assistant._stream import (
    Cleared,
    Decided,
    Entry,
    EventStream,
    SessionEvent,
    SettingsChanged,
)
from plait.apps.assistant._words import describe_call

__all__ = [
    "Backend",
    "Cleared",
    "Decided",
    "Decision",
    "Entry",
    "EventStream",
    "Question",
    "Session",
    "SessionEvent",
    "Settings",
    "SettingsChanged",
    "Turn",
    "describe_call",
]
