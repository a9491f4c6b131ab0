"""The assistant's tools over real files: contacts, calendars, reminders, notes, documents in one folder.

Reading vCards, iCalendar files and PDFs needs the extra ``assistant``: ``pip install 'plait[assistant]'``.
"""

from plait.tools.assistant._calendar import Calendars, Reminders
from plait.tools.assistant._contacts import Contact, ContactBook, Contacts
from plait.tools.assistant._files import Files, Opener, system_opener
from plait.tools.assistant._home import Home
from plait.tools.assistant._notes import Note, Notes
from plait.tools.assistant._pdf import pdf_text
from plait.tools.assistant._toolbox import assistant_tools
from plait.tools.assistant._zone import local_zone

__all__ = [
    "Calendars",
    "Contact",
    "ContactBook",
    "Contacts",
    "Files",
    "Home",
    "Note",
    "Notes",
    "Opener",
    "Reminders",
    "assistant_tools",
    "local_zone",
    "pdf_text",
    "system_opener",
]
