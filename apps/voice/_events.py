"""What happens in a session, as events. ``at_s`` is the time in the sound that was heard, in seconds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Woken:
    """Listening has begun."""

    at_s: float


@dataclass(frozen=True, slots=True)
class NothingHeard:
    """Listening has ended without speech."""

    at_s: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """Somebody has said something; it ended at ``speech_end_s``, which was known at ``at_s``."""

    at_s: float
    speech_start_s: float
    speech_end_s: float
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Recognized:
    """What was said, or with ``rejected`` what was not relied on.

    ``took_s`` seconds were waited for it after it was known that speech had ended.
    """

    at_s: float
    text: str
    rejected: str
    log_probability: float
    took_s: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that needs a yes is read aloud."""

    at_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The question was answered."""

    at_s: float
    approved: bool
    text: str


@dataclass(frozen=True, slots=True)
class Speaking:
    """A sentence is about to be played; making its sound took ``took_s`` seconds."""

    at_s: float
    text: str
    took_s: float


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Somebody spoke up, and the voice fell silent."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """What was under way was cancelled, for another request or because the user said so."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A request came to nothing."""

    at_s: float
    error: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A request was carried out and all was said."""

    at_s: float


VoiceEvent: TypeAlias = (
    Woken
    | NothingHeard
    | SpeechEnded
    | Recognized
    | Asked
    | Answered
    | Speaking
    | Interrupted
    | Stopped
    | Failed
    | Finished
)

_NAMES = {
    Woken: "woken",
    NothingHeard: "nothing_heard",
    SpeechEnded: "speech_ended",
    Recognized: "recognized",
    Asked: "asked",
    Answered: "answered",
    Speaking: "speaking",
    Interrupted: "interrupted",
    Stopped: "stopped",
    Failed: "failed",
    Finished: "finished",
}


def event_json(event: VoiceEvent) -> dict[str, Any]:
    """The event as JSON types, its kind under ``event``; times are rounded to milliseconds."""
    fields = {
        key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(event).items()
    }
    return {"event": _NAMES[type(event)], **fields}
