"""The tools that work with contacts, calendars, files, notes and reminders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from plait.errors import ToolCallError
from plait.tools import Draft, Prepared, Tool, call_in_thread
from plait.tools.assistant._calendar import Calendars, Reminders
from plait.tools.assistant._contacts import Contacts
from plait.tools.assistant._files import Files
from plait.tools.assistant._kinds import (
    Content,
    EmailAddress,
    FilePath,
    GivenName,
    Message,
    PersonName,
    PhoneNumber,
    Status,
    Title,
    Venue,
)
from plait.tools.assistant._moments import Now, moment
from plait.tools.assistant._notes import NoteStore, NoteText
from plait.tools.assistant._pdf import pdf_text

Summarize: TypeAlias = Callable[[str], Awaitable[str]]
NoteWriter: TypeAlias = Callable[[NoteText], Awaitable[str | None]]
"""Writes what is put into a note. What needs no writing it gives back. It keeps the marks for results that do
not exist yet in the text, or gives ``None``: then it is asked again when they do."""

SUMMARY_TIMEOUT_S = 1800.0  # a long document is read in parts
NOTE_TIMEOUT_S = 600.0  # a model may write the text
NO_MODEL = "Summaries need a model, and none was given to the assistant's tools; pass summarize="


def contact_tools(contacts: Contacts) -> list[Tool]:
    """``get_phone_number`` and ``get_email_address``."""

    def get_phone_number(name: PersonName) -> PhoneNumber:
        """Get a contact's phone number.

        Args:
            name: the person's name
        """
        return contacts.phone(name)

    def get_email_address(name: PersonName) -> EmailAddress:
        """Get a contact's email address.

        Args:
            name: the person's name
        """
        return contacts.email(name)

    return [_reader(get_phone_number), _reader(get_email_address)]


def calendar_tool(calendars: Calendars, now: Now) -> Tool:
    """``create_calendar_event``."""

    def create_calendar_event(
        title: Title,
        start_date: datetime,
        end_date: datetime | None = None,
        location: Venue = "",
        invitees: list[EmailAddress] = [],  # noqa: B006  (a literal, so that prompts can show it; never changed)
        notes: Message = "",
        calendar: GivenName = "",
    ) -> Status:
        """Create a calendar event, such as a meeting, a call or an appointment.

        Args:
            title: what it is called
            start_date: when it starts
            end_date: when it ends; 60 minutes after the start if left out
            location: a place or a link
            invitees: email addresses of those invited
            notes: a longer description
            calendar: the calendar's name
        """
        return calendars.create_event(title, start_date, end_date, location, invitees, notes, calendar)

    create_calendar_event.__annotations__ |= {
        "start_date": moment(now),
        "end_date": moment(now, after="start_date") | None,
    }
    # Invitations go to other people, so what comes from outsiders must not fill them in unseen.
    return Tool.from_function(create_calendar_event, read_only=False, destructive=False, open_world=True)


def file_tool(files: Files) -> Tool:
    """``open_and_get_file_path``."""

    def open_and_get_file_path(file_name: GivenName) -> FilePath:
        """Find and open a file by its name; gives its path.

        Args:
            file_name: the file's name
        """
        return files.open_and_get_path(file_name)

    return _reader(open_and_get_file_path)


def summary_tool(files: Files, summarize: Summarize | None) -> Tool:
    """``summarize_pdf``; without ``summarize``, every call says that it needs a model."""
    home = files.home

    async def summarize_pdf(pdf_path: FilePath) -> Content:
        """Summarize a PDF file; gives the summary.

        Args:
            pdf_path: its path, which open_and_get_file_path gives
        """
        if summarize is None:
            raise ToolCallError(NO_MODEL)
        return await summarize(await call_in_thread(_text_of, {"name": pdf_path}))

    def _text_of(name: str) -> str:
        # Models also give the name of a file that they should have looked for first.
        is_name = not {"/", "\\"} & set(name) and not (home.path / name).exists()
        return pdf_text(files.find(name) if is_name else name, home)

    return Tool.from_function(summarize_pdf, read_only=True, open_world=True, timeout_s=SUMMARY_TIMEOUT_S)


def note_tools(notes: NoteStore, write: NoteWriter | None = None) -> list[Tool]:
    """``create_note``, ``open_note`` and ``append_note_content``; with ``write``, texts are written by it."""

    def create_note(name: Title, content: Message = "", folder: GivenName = "") -> Status:
        """Create a new note, for example to save something in.

        Args:
            name: the new note's name
            content: its text
            folder: the folder to put it in
        """
        return notes.create(name, content, folder)

    def open_note(name: GivenName, folder: GivenName = "") -> Content:
        """Get the content of an existing note.

        Args:
            name: the note's name
            folder: the folder it is in
        """
        return notes.open(name, folder)

    def append_note_content(name: GivenName, content: Message, folder: GivenName = "") -> Status:
        """Add text to the end of a note that already exists.

        Args:
            name: the note's name
            content: the text to append
            folder: the folder it is in
        """
        return notes.append(name, content, folder)

    async def prepare(draft: Draft) -> Prepared:
        content = draft.text("content") or draft.waiting.get("content")
        if write is None or not content:
            return Prepared()
        name, material = draft.text("name") or "", draft.material.get("content", ())
        text = await write(NoteText(name, content, material, draft.marks.get("content", ())))
        if text is None:
            return Prepared(needs_results=True)
        if text == content:
            return Prepared()
        # The note's name was read when it was written: what others wrote in it may have a part in the text.
        return Prepared(
            {"content": text}, untrusted=frozenset({"content"} if draft.material.get("name") else ())
        )

    writers = [_writer(create_note), _writer(append_note_content)]
    if write is not None:
        writers = [replace(tool, prepare=prepare, timeout_s=NOTE_TIMEOUT_S) for tool in writers]
    create, append = writers
    return [create, _reader(open_note), append]


def reminder_tool(reminders: Reminders, now: Now) -> Tool:
    """``create_reminder``."""

    def create_reminder(
        name: Title,
        due_date: datetime | None = None,
        notes: Message = "",
        list_name: GivenName = "",
        priority: int = 0,
        all_day: bool = False,
    ) -> Status:
        """Create a reminder.

        Args:
            name: what to be reminded of
            due_date: when it is due
            notes: a longer description
            list_name: the list's name
            priority: 0 none, 1 highest to 9 lowest
            all_day: whether it is due on a day and at no time
        """
        return reminders.create(name, due_date, notes, list_name, priority, all_day)

    create_reminder.__annotations__ |= {"due_date": moment(now) | None}
    return _writer(create_reminder)


def _reader(function: Callable[..., str]) -> Tool:
    return Tool.from_function(function, read_only=True, open_world=False)


def _writer(function: Callable[..., str]) -> Tool:
    return Tool.from_function(function, read_only=False, destructive=False, open_world=False)
