"""The assistant: one session for its faces (terminal, web page, voice)."""

from plait.apps.assistant._history import Action, ActionLog, history_path, kind_of
from plait.apps.assistant._home_undo import HomeRecorder, HomeUndoer
from plait.apps.assistant._kept import KeptSettings, SettingsFile, open_settings_file
from plait.apps.assistant._questions import Decision, Question, read_edits
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
from plait.apps.assistant._undo import Recorder, Undoable, Undoer, UndoRegistry
from plait.apps.assistant._words import describe_call

__all__ = [
    "Action",
    "ActionLog",
    "Backend",
    "Cleared",
    "Decided",
    "Decision",
    "Entry",
    "EventStream",
    "HomeRecorder",
    "HomeUndoer",
    "KeptSettings",
    "Question",
    "Recorder",
    "Session",
    "SessionEvent",
    "Settings",
    "SettingsChanged",
    "SettingsFile",
    "Turn",
    "UndoRegistry",
    "Undoable",
    "Undoer",
    "describe_call",
    "history_path",
    "kind_of",
    "open_settings_file",
    "read_edits",
]
