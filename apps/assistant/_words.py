"""What a call will do, in words, with its real arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from plait.planners import Ref, Template
from plait.tools import Tool, to_text

_Facts = Mapping[str, str]
_Words = Callable[[Mapping[str, str], _Facts], str]
_NO_FACTS: _Facts = {}


def describe_call(tool: Tool, arguments: Mapping[str, Any], facts: Mapping[str, str] = _NO_FACTS) -> str:
    """One sentence about what a call of ``tool`` will do.

    The assistant's own tools have sentences of their own; of another tool it is the name and all arguments.
    A result that does not exist yet is named as "the result of 3", in brackets within a text.

    Args:
        tool: what is called.
        arguments: with what.
        facts: what the arguments do not tell, as of a :class:`~plait.orchestrator.PendingCall`.
    """
    words = {name: _word(value) for name, value in arguments.items()}
    phrase = _PHRASES.get(tool.name)
    if phrase is None or _is_other(tool, words):
        listed = ", ".join(f"{name} {text}" for name, text in [*facts.items(), *words.items()])
        return f"{tool.name}: {listed}" if listed else tool.name
    return phrase({field.name: "" for field in tool.arguments.fields} | words, facts)


def _is_other(tool: Tool, words: Mapping[str, str]) -> bool:
    """Whether it has the name alone of an assistant's tool, and arguments that the words would not tell."""
    names = {field.name for field in tool.arguments.fields} | words.keys()
    return names != _ARGUMENTS[tool.name]


def _word(value: Any) -> str:
    if isinstance(value, Ref):
        return f"the result of {value.task}"
    if isinstance(value, Template):
        return "".join(f"[{_word(part)}]" if isinstance(part, Ref) else part for part in value.parts)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_word, value))
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return "" if value is None else to_text(value)


def _event(a: Mapping[str, str], _: _Facts) -> str:
    end = f" to {a['end_date']}" if a["end_date"] else ""
    title, start = a["title"], a["start_date"]
    return f"Create the event “{title}” from {start}{end}" + _tail(
        a, location="at", invitees="invite", notes="notes", calendar="calendar"
    )


def _email(a: Mapping[str, str], _: _Facts) -> str:
    about = f" about “{a['subject']}”" if a["subject"] else ""
    return f"Email {a['recipients']}{about}" + _tail(a, cc="copy to", context="saying", attachments="attach")


def _reply(a: Mapping[str, str], facts: _Facts) -> str:
    to = f"Reply to {facts['to']}" if "to" in facts else "Reply to the email"
    return f"{to}{_about(facts)}" + _tail(a, cc="copy to", context="saying", attachments="attach")


def _forward(a: Mapping[str, str], facts: _Facts) -> str:
    whose = f" of {facts['from']}" if "from" in facts else ""
    carried = f", with {facts['with']}" if "with" in facts else ""
    return f"Forward the email{whose}{_about(facts)} to {a['recipients']}{carried}" + _tail(
        a, cc="copy to", context="saying", attachments="attach"
    )


def _about(facts: _Facts) -> str:
    return f" with the subject “{facts['subject']}”" if "subject" in facts else ""


def _note(a: Mapping[str, str], _: _Facts) -> str:
    return f"Create the note “{a['name']}”" + _tail(a, folder="in the folder", content="saying")


def _append(a: Mapping[str, str], _: _Facts) -> str:
    return f"Add to the note “{a['name']}”" + _tail(a, folder="in the folder", content="saying")


def _reminder(a: Mapping[str, str], _: _Facts) -> str:
    day = a["due_date"][:10] if a["all_day"] == "true" else a["due_date"]
    priority = a["priority"] if a["priority"] != "0" else ""
    return f"Remind you of “{a['name']}”" + _tail(
        {**a, "due_date": day, "priority": priority},
        due_date="due",
        list_name="in the list",
        notes="notes",
        priority="priority",
    )


def _sms(a: Mapping[str, str], _: _Facts) -> str:
    return f"Send a text message to {a['recipients']}, saying “{a['message']}”"


def _zoom(a: Mapping[str, str], _: _Facts) -> str:
    return f"Set up the Zoom meeting “{a['topic']}” at {a['start_time']}" + _tail(
        a, duration="minutes", meeting_invitees="invite"
    )


def _tail(a: Mapping[str, str], **labels: str) -> str:
    """The arguments that were given, each after its label; longer texts in quotation marks."""
    quoted = {"content", "context", "notes"}
    parts = (f"{label} “{a[n]}”" if n in quoted else f"{label} {a[n]}" for n, label in labels.items() if a[n])
    return "".join(f", {part}" for part in parts)


_MAIL = {"cc", "context", "attachments"}
_PHRASES: Mapping[str, _Words] = {
    "append_note_content": _append,
    "compose_new_email": _email,
    "create_calendar_event": _event,
    "create_note": _note,
    "create_reminder": _reminder,
    "forward_email": _forward,
    "get_zoom_meeting_link": _zoom,
    "reply_to_email": _reply,
    "send_sms": _sms,
}
_ARGUMENTS: Mapping[str, set[str]] = {
    "append_note_content": {"name", "content", "folder"},
    "compose_new_email": {"recipients", "subject", *_MAIL},
    "create_calendar_event": {"title", "start_date", "end_date", "location", "invitees", "notes", "calendar"},
    "create_note": {"name", "content", "folder"},
    "create_reminder": {"name", "due_date", "notes", "list_name", "priority", "all_day"},
    "forward_email": {"recipients", *_MAIL},
    "get_zoom_meeting_link": {"topic", "start_time", "duration", "meeting_invitees"},
    "reply_to_email": set(_MAIL),
    "send_sms": {"recipients", "message"},
}
