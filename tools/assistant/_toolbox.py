"""The assistant's tools, named as TinyAgent names them (arXiv 2409.00608)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, tzinfo
from pathlib import Path

from plait.errors import ToolCallError
from plait.tools import Tool, call_in_thread
from plait.tools.assistant._calendar import Calendars, Reminders, utc_now
from plait.tools.assistant._contacts import Contacts
from plait.tools.assistant._files import Files, Opener
from plait.tools.assistant._home import Home
from plait.tools.assistant._internet_mail import InternetMail
from plait.tools.assistant._mail import Mail, Writer, context_as_it_is
from plait.tools.assistant._mail_tools import mail_tools
from plait.tools.assistant._maildir import MaildirStore
from plait.tools.assistant._maps import Maps
from plait.tools.assistant._notes import Notes
from plait.tools.assistant._outside_tools import map_tools, meeting_tool, message_tool
from plait.tools.assistant._pdf import pdf_text
from plait.tools.assistant._sms import Messenger
from plait.tools.assistant._zone import local_zone
from plait.tools.assistant._zoom import MeetingService

Summarize = Callable[[str], Awaitable[str]]

SUMMARY_TIMEOUT_S = 600.0
NO_MODEL = "Summaries need a model, and none was given to the assistant's tools; pass summarize="


def assistant_tools(
    home: Home | Path | str,
    *,
    summarize: Summarize | None = None,
    write: Writer = context_as_it_is,
    mail: Mail | None = None,
    maps: Maps | None = None,
    messenger: Messenger | None = None,
    meetings: MeetingService | None = None,
    opener: Opener | None = None,
    tz: tzinfo | None = None,
    now: Callable[[], datetime] | None = None,
) -> list[Tool]:
    """The sixteen tools, named as TinyAgent names them (arXiv 2409.00608), over a home folder.

    They are always all there, so that prompts are the same everywhere. One that nothing has been set up for
    says so, in a sentence for the user, when it is called; it is read-only, since it can do nothing.

    Args:
        home: the folder.
        summarize: makes a summary of a text; without it ``summarize_pdf`` says that it needs a model.
        write: makes an email's text from the context; the context as it is by default.
        mail: writes emails; by default drafts in the Maildir of the home, with ``write``.
        maps: whose maps; OpenStreetMap's by default.
        messenger: sends text messages.
        meetings: makes Zoom meetings.
        opener: shows a file or a map to the user, e.g. ``system_opener()``; without it nothing is shown.
        tz: the zone of times that name none; the machine's by default.
        now: gives the present time, aware; the clock's by default.

    Raises:
        ConfigurationError: the home is a file.
    """
    home = home if isinstance(home, Home) else Home(Path(home))
    tz, now = tz or local_zone(), now or utc_now
    contacts, files = Contacts(home), Files(home, opener)
    mail = mail or Mail(InternetMail(MaildirStore(home), tz=tz, now=now), home, writer=write)
    return [
        *_contact_tools(contacts),
        _calendar_tool(Calendars(home, tz, now)),
        _file_tool(files),
        _summary_tool(home, files, summarize),
        *mail_tools(mail),
        *map_tools(maps or Maps(opener=opener)),
        *_note_tools(Notes(home)),
        _reminder_tool(Reminders(home, tz, now)),
        message_tool(messenger),
        meeting_tool(meetings),
    ]


def _contact_tools(contacts: Contacts) -> list[Tool]:
    def get_phone_number(name: str) -> str:
        """Get a contact's phone number.

        Args:
            name: the person's name
        """
        return contacts.phone(name)

    def get_email_address(name: str) -> str:
        """Get a contact's email address.

        Args:
            name: the person's name
        """
        return contacts.email(name)

    return [_reader(get_phone_number), _reader(get_email_address)]


def _calendar_tool(calendars: Calendars) -> Tool:
    def create_calendar_event(
        title: str,
        start_date: datetime,
        end_date: datetime | None = None,
        location: str = "",
        invitees: list[str] = [],  # noqa: B006  (a literal, so that prompts can show it; never changed)
        notes: str = "",
        calendar: str = "",
    ) -> str:
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

    # Invitations go to other people, so what comes from outsiders must not fill them in unseen.
    return Tool.from_function(create_calendar_event, read_only=False, destructive=False, open_world=True)


def _file_tool(files: Files) -> Tool:
    def open_and_get_file_path(file_name: str) -> str:
        """Find and open a file by its name; gives its path.

        Args:
            file_name: the file's name
        """
        return files.open_and_get_path(file_name)

    return _reader(open_and_get_file_path)


def _summary_tool(home: Home, files: Files, summarize: Summarize | None) -> Tool:
    async def summarize_pdf(pdf_path: str) -> str:
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


def _note_tools(notes: Notes) -> list[Tool]:
    def create_note(name: str, content: str = "", folder: str = "") -> str:
        """Create a new note, for example to save something in.

        Args:
            name: the new note's name
            content: its text
            folder: the folder to put it in
        """
        return notes.create(name, content, folder)

    def open_note(name: str, folder: str = "") -> str:
        """Get the content of an existing note.

        Args:
            name: the note's name
            folder: the folder it is in
        """
        return notes.open(name, folder)

    def append_note_content(name: str, content: str, folder: str = "") -> str:
        """Add text to the end of a note that already exists.

        Args:
            name: the note's name
            content: the text to append
            folder: the folder it is in
        """
        return notes.append(name, content, folder)

    return [_writer(create_note), _reader(open_note), _writer(append_note_content)]


def _reminder_tool(reminders: Reminders) -> Tool:
    def create_reminder(
        name: str,
        due_date: datetime | None = None,
        notes: str = "",
        list_name: str = "",
        priority: int = 0,
        all_day: bool = False,
    ) -> str:
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

    return _writer(create_reminder)


def _reader(function: Callable[..., str]) -> Tool:
    return Tool.from_function(function, read_only=True, open_world=False)


def _writer(function: Callable[..., str]) -> Tool:
    return Tool.from_function(function, read_only=False, destructive=False, open_world=False)
