"""The assistant's sixteen tools, named as TinyAgent names them (arXiv 2409.00608)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path

from plait.tools import Tool
from plait.tools.assistant._backends import Backends, open_backends
from plait.tools.assistant._files import Opener
from plait.tools.assistant._home import Home
from plait.tools.assistant._home_tools import (
    NoteWriter,
    Summarize,
    calendar_tool,
    contact_tools,
    file_tool,
    note_tools,
    reminder_tool,
    summary_tool,
)
from plait.tools.assistant._mail import Writer, context_as_it_is
from plait.tools.assistant._mail_tools import mail_tools
from plait.tools.assistant._osascript import ScriptRunner
from plait.tools.assistant._outside_tools import map_tools, meeting_tool, message_tool
from plait.tools.assistant._servers import Secrets, system_secrets
from plait.tools.assistant._settings import Settings
from plait.tools.assistant._zone import utc_now


def assistant_tools(
    home: Home | Path | str,
    *,
    settings: Settings | None = None,
    secrets: Secrets = system_secrets,
    summarize: Summarize | None = None,
    write: Writer = context_as_it_is,
    write_note: NoteWriter | None = None,
    opener: Opener | None = None,
    native: ScriptRunner | None = None,
    tz: tzinfo | None = None,
    now: Callable[[], datetime] = utc_now,
) -> list[Tool]:
    """The sixteen tools over a home folder and what its settings say.

    They are always all there, so that prompts are the same everywhere. One that nothing has been set up for
    says so, in a sentence for the user, when it is called; it is read-only, since it can do nothing.

    Args:
        home: the folder.
        settings: what the user wants; by default what ``assistant.toml`` in the home says.
        secrets: gives passwords when they are needed.
        summarize: makes a summary of a text; without it ``summarize_pdf`` says that it needs a model.
        write: makes an email's text from the context; the context as it is by default.
        write_note: makes what is put into a note from the content; the content as it is by default.
        opener: shows a file or a map to the user, e.g. ``system_opener()``; without it nothing is shown.
        native: runs scripts of macOS, e.g. ``system_osascript()``; with it, what the settings leave open and
            the home has no folder for is in the applications of macOS.
        tz: the zone of times that name none; by default the settings', else the machine's.
        now: gives the present time, aware.

    Raises:
        ConfigurationError: the home is a file, or a setting is missing or cannot be used.
    """
    backends = open_backends(
        home,
        settings=settings,
        secrets=secrets,
        write=write,
        opener=opener,
        native=native,
        tz=tz,
        now=now,
    )
    return tools_over(backends, summarize=summarize, write_note=write_note)


def tools_over(
    backends: Backends, *, summarize: Summarize | None = None, write_note: NoteWriter | None = None
) -> list[Tool]:
    """The sixteen tools over these backends, some of which may be your own.

    Args:
        backends: what they work with.
        summarize: makes a summary of a text.
        write_note: makes what is put into a note from the content.
    """
    return [
        *contact_tools(backends.contacts),
        calendar_tool(backends.calendars, backends.now),
        file_tool(backends.files),
        summary_tool(backends.files, summarize),
        *mail_tools(backends.mail),
        *map_tools(backends.maps),
        *note_tools(backends.notes, write_note),
        reminder_tool(backends.reminders, backends.now),
        message_tool(backends.messenger),
        meeting_tool(backends.meetings, backends.now),
    ]
