"""The assistant's tools over real files: contacts, calendars, reminders, notes, documents in one folder.

Reading vCards, iCalendar files and PDFs needs the extra ``assistant``: ``pip install 'plait[assistant]'``.
"""

from plait.tools.assistant._addresses import Address
from plait.tools.assistant._calendar import Calendars, Reminders
from plait.tools.assistant._contacts import Contact, ContactBook, Contacts
from plait.tools.assistant._files import Files, Opener, system_opener
from plait.tools.assistant._home import Home
from plait.tools.assistant._imap import ImapStore
from plait.tools.assistant._internet_mail import InternetMail, MailStore, MailTransport
from plait.tools.assistant._letters import Letter
from plait.tools.assistant._mail import Mail, MailBox, Writer
from plait.tools.assistant._maildir import MaildirStore
from plait.tools.assistant._maps import MapProvider, Maps
from plait.tools.assistant._notes import Note, Notes
from plait.tools.assistant._pdf import pdf_text
from plait.tools.assistant._received import Part, Received
from plait.tools.assistant._servers import Secrets, Server, system_secrets
from plait.tools.assistant._sms import Messenger, SmsGateway
from plait.tools.assistant._smtp import SmtpTransport
from plait.tools.assistant._toolbox import assistant_tools
from plait.tools.assistant._zone import local_zone
from plait.tools.assistant._zoom import MeetingService, Zoom

__all__ = [
    "Address",
    "Calendars",
    "Contact",
    "ContactBook",
    "Contacts",
    "Files",
    "Home",
    "ImapStore",
    "InternetMail",
    "Letter",
    "Mail",
    "MailBox",
    "MailStore",
    "MailTransport",
    "MaildirStore",
    "MapProvider",
    "Maps",
    "MeetingService",
    "Messenger",
    "Note",
    "Notes",
    "Opener",
    "Part",
    "Received",
    "Reminders",
    "Secrets",
    "Server",
    "SmsGateway",
    "SmtpTransport",
    "Writer",
    "Zoom",
    "assistant_tools",
    "local_zone",
    "pdf_text",
    "system_opener",
    "system_secrets",
]
