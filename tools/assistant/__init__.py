"""The assistant's sixteen tools over a home folder of ordinary files, and the servers of the user's choice.

They need the extra ``assistant``: ``pip install 'plait[assistant]'``.
"""

from plait.tools.assistant._addresses import Address
from plait.tools.assistant._backends import Backends, open_backends
from plait.tools.assistant._caldav import CalDavStore
from plait.tools.assistant._calendar import (
    Calendars,
    EventStore,
    NewEvent,
    NewReminder,
    Reminders,
    ReminderStore,
)
from plait.tools.assistant._calendar_files import CalendarFiles
from plait.tools.assistant._carddav import CardDavContacts
from plait.tools.assistant._contacts import Contact, ContactBook, Contacts, ContactSource
from plait.tools.assistant._dates import read_moment
from plait.tools.assistant._dav import DavServer
from plait.tools.assistant._files import Files, Opener, system_opener
from plait.tools.assistant._home import Home
from plait.tools.assistant._home_tools import NoteWriter, Summarize
from plait.tools.assistant._imap import ImapStore
from plait.tools.assistant._internet_mail import InternetMail, MailStore, MailTransport
from plait.tools.assistant._letters import Letter
from plait.tools.assistant._mac_undo import MacUndoer
from plait.tools.assistant._macos import MacCalendar, MacContacts, MacMessages, MacReminders
from plait.tools.assistant._macos_mail import MacMail
from plait.tools.assistant._macos_notes import MacNotes
from plait.tools.assistant._mail import Mail, MailBox, Writer
from plait.tools.assistant._maildir import MaildirStore
from plait.tools.assistant._maps import MapProvider, Maps
from plait.tools.assistant._notes import Note, Notes, NoteStore, NoteText
from plait.tools.assistant._osascript import Osascript, Script, ScriptRunner, system_osascript
from plait.tools.assistant._pdf import pdf_text
from plait.tools.assistant._received import Part, Received
from plait.tools.assistant._server_undo import CalDavUndoer, ZoomUndoer
from plait.tools.assistant._servers import Secrets, Server, system_secrets
from plait.tools.assistant._settings import Settings, read_settings
from plait.tools.assistant._sms import Messenger, SmsGateway
from plait.tools.assistant._smtp import SmtpTransport
from plait.tools.assistant._toolbox import assistant_tools, tools_over
from plait.tools.assistant._undoable import UndoableText
from plait.tools.assistant._vcards import ContactFiles
from plait.tools.assistant._zone import local_zone
from plait.tools.assistant._zoom import MeetingService, Zoom

__all__ = [
    "Address",
    "Backends",
    "CalDavStore",
    "CalDavUndoer",
    "CalendarFiles",
    "Calendars",
    "CardDavContacts",
    "Contact",
    "ContactBook",
    "ContactFiles",
    "ContactSource",
    "Contacts",
    "DavServer",
    "EventStore",
    "Files",
    "Home",
    "ImapStore",
    "InternetMail",
    "Letter",
    "MacCalendar",
    "MacContacts",
    "MacMail",
    "MacMessages",
    "MacNotes",
    "MacReminders",
    "MacUndoer",
    "Mail",
    "MailBox",
    "MailStore",
    "MailTransport",
    "MaildirStore",
    "MapProvider",
    "Maps",
    "MeetingService",
    "Messenger",
    "NewEvent",
    "NewReminder",
    "Note",
    "NoteStore",
    "NoteText",
    "NoteWriter",
    "Notes",
    "Opener",
    "Osascript",
    "Part",
    "Received",
    "ReminderStore",
    "Reminders",
    "Script",
    "ScriptRunner",
    "Secrets",
    "Server",
    "Settings",
    "SmsGateway",
    "SmtpTransport",
    "Summarize",
    "UndoableText",
    "Writer",
    "Zoom",
    "ZoomUndoer",
    "assistant_tools",
    "local_zone",
    "open_backends",
    "pdf_text",
    "read_moment",
    "read_settings",
    "system_opener",
    "system_osascript",
    "system_secrets",
    "tools_over",
]
