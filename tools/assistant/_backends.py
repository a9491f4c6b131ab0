"""Which backend each tool works with: by the user's settings, the platform, and what is in the home."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from plait.errors import ConfigurationError
from plait.tools.assistant._addresses import Address
from plait.tools.assistant._caldav import CalDavStore
from plait.tools.assistant._calendar import Calendars, EventStore, Reminders, ReminderStore
from plait.tools.assistant._calendar_files import CalendarFiles
from plait.tools.assistant._carddav import CardDavContacts
from plait.tools.assistant._contacts import Contacts, ContactSource
from plait.tools.assistant._dav import DavServer
from plait.tools.assistant._files import Files, Opener
from plait.tools.assistant._home import Home
from plait.tools.assistant._imap import ImapStore
from plait.tools.assistant._internet_mail import InternetMail, MailStore, MailTransport
from plait.tools.assistant._macos import MacCalendar, MacContacts, MacMessages, MacReminders
from plait.tools.assistant._macos_mail import MacMail
from plait.tools.assistant._macos_notes import MacNotes
from plait.tools.assistant._mail import Mail, Writer, context_as_it_is
from plait.tools.assistant._maildir import MaildirStore
from plait.tools.assistant._maps import MapProvider, Maps
from plait.tools.assistant._moments import Now
from plait.tools.assistant._notes import Notes, NoteStore
from plait.tools.assistant._osascript import ScriptRunner
from plait.tools.assistant._servers import Secrets, Security, Server, system_secrets
from plait.tools.assistant._settings import (
    FILE_NAME,
    CalendarSettings,
    ContactSettings,
    Settings,
    read_settings,
)
from plait.tools.assistant._sms import Messenger, SmsGateway
from plait.tools.assistant._smtp import SmtpTransport
from plait.tools.assistant._vcards import ContactFiles
from plait.tools.assistant._zone import local_now, local_zone, utc_now
from plait.tools.assistant._zoom import MeetingService, Zoom


@dataclass(frozen=True)
class Backends:
    """What the sixteen tools work with."""

    home: Home
    contacts: Contacts
    calendars: Calendars
    reminders: Reminders
    notes: NoteStore
    files: Files
    mail: Mail
    maps: Maps
    messenger: Messenger | None = None
    meetings: MeetingService | None = None
    now: Now = local_now
    """What dates in words are relative to: the present time, aware, in the user's zone."""


def open_backends(
    home: Home | Path | str,
    *,
    settings: Settings | None = None,
    secrets: Secrets = system_secrets,
    write: Writer = context_as_it_is,
    opener: Opener | None = None,
    native: ScriptRunner | None = None,
    tz: tzinfo | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Backends:
    """The backends that the settings ask for. Nothing is connected to or created.

    Args:
        home: the folder.
        settings: what the user wants; by default what ``assistant.toml`` in the home says.
        secrets: gives passwords when they are needed.
        write: makes an email's text from the context.
        opener: shows a file or a map to the user; without it nothing is shown.
        native: runs scripts of macOS, e.g. ``system_osascript()``; with it, what the settings leave open and
            the home has no folder for is in the applications of macOS.
        tz: the zone of times that name none; by default the settings', else the machine's.
        now: gives the present time, aware.

    Raises:
        ConfigurationError: the home is a file, or a setting is missing or cannot be used.
    """
    home = home if isinstance(home, Home) else Home(Path(home))
    settings = read_settings(home) if settings is None else settings
    tz = tz or (ZoneInfo(settings.time_zone) if settings.time_zone else local_zone())
    choose = _Choice(home, settings, secrets, native, tz, now)
    try:
        return Backends(
            home=home,
            contacts=Contacts(choose.contacts()),
            calendars=Calendars(choose.events(), tz),
            reminders=Reminders(choose.reminders(), tz),
            notes=choose.notes(),
            files=Files(home, opener),
            mail=choose.mail(write),
            maps=Maps(choose.map_provider(), opener),
            messenger=choose.messenger(),
            meetings=choose.meetings(),
            now=lambda: now().astimezone(tz),
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{home.path / FILE_NAME}: {error}") from error


@dataclass(frozen=True)
class _Choice:
    home: Home
    settings: Settings
    secrets: Secrets
    native: ScriptRunner | None
    tz: tzinfo
    now: Callable[[], datetime]

    def contacts(self) -> ContactSource:
        contacts = self.settings.contacts
        if runner := self._native(contacts.backend, self.home.contacts, elsewhere=bool(contacts.url)):
            return MacContacts(runner)
        if contacts.backend == "files" or (contacts.backend == "auto" and not contacts.url):
            return ContactFiles(self.home)
        return CardDavContacts(self._dav("carddav", contacts, "contacts"))

    def events(self) -> EventStore:
        calendars = self.settings.calendars
        if runner := self._native(calendars.backend, self.home.calendars, elsewhere=bool(calendars.url)):
            return MacCalendar(runner, calendars.default)
        return self._calendar_store(calendars, "calendars")

    def reminders(self) -> ReminderStore:
        reminders = self.settings.reminders
        if runner := self._native(reminders.backend, self.home.reminders, elsewhere=bool(reminders.url)):
            return MacReminders(runner, reminders.default, self.tz)
        return self._calendar_store(reminders, "reminders")

    def notes(self) -> NoteStore:
        runner = self._native(self.settings.notes.backend, self.home.notes)
        return MacNotes(runner) if runner else Notes(self.home)

    def map_provider(self) -> MapProvider:
        provider = self.settings.maps.provider
        if provider != "auto":
            return provider
        return "apple" if self.native else "openstreetmap"

    def mail(self, write: Writer) -> Mail:
        mail = self.settings.mail
        own = self._own()
        owners = (own,) if own else ()
        elsewhere = mail.imap is not None or mail.smtp is not None
        if runner := self._native(mail.backend, self.home.mail, elsewhere=elsewhere):
            return Mail(MacMail(runner), self.home, sends=mail.send, writer=write, own=owners)
        if mail.send and (own is None or mail.smtp is None):
            missing = "mail.address" if own is None else "[mail.smtp]"
            raise ConfigurationError(
                f"mail.send is true and {missing} is missing; add it, or set mail.send to false"
            )
        box = InternetMail(
            self._mail_store(), own, self._transport(), keeps_sent=mail.keep_sent, tz=self.tz, now=self.now
        )
        return Mail(box, self.home, sends=mail.send, writer=write, own=owners)

    def messenger(self) -> Messenger | None:
        sms = self.settings.sms
        if sms is None:
            return MacMessages(self.native) if self.native else None
        return SmsGateway(
            url=sms.url,
            method=sms.method,
            json=sms.json_,
            form=sms.form,
            headers=sms.headers,
            user=sms.user,
            confirmation=sms.confirmation,
            secrets=self.secrets,
        )

    def meetings(self) -> MeetingService | None:
        zoom = self.settings.zoom
        if zoom is None:
            return None
        return Zoom(zoom.account_id, zoom.client_id, zoom.host, secrets=self.secrets, tz=self.tz)

    def _native(self, backend: str, folder: Path, *, elsewhere: bool = False) -> ScriptRunner | None:
        """The runner, where the application of macOS is what the user wants."""
        if backend == "macos" and self.native is None:
            raise ConfigurationError("the backend 'macos' needs a Mac; choose another, or 'auto'")
        is_open = backend == "auto" and not elsewhere and not folder.exists()
        return self.native if backend == "macos" or is_open else None

    def _calendar_store(self, chosen: CalendarSettings, section: str) -> CalendarFiles | CalDavStore:
        if chosen.backend == "files" or (chosen.backend == "auto" and not chosen.url):
            return CalendarFiles(self.home, self.tz, self.now, chosen.default)
        server = self._dav("caldav", chosen, section)
        return CalDavStore(server, chosen.default, self._own(), self.tz, self.now)

    def _dav(
        self,
        service: Literal["caldav", "carddav"],
        account: ContactSettings | CalendarSettings,
        section: str,
    ) -> DavServer:
        user = account.user or self.settings.mail.address
        for key, value in (("url", account.url), ("user", user)):
            if not value:
                raise ConfigurationError(
                    f"{section}.{key} is missing; add it, or set {section}.backend to 'files'"
                )
        return DavServer(service, account.url, user, self.secrets)

    def _own(self) -> Address | None:
        mail = self.settings.mail
        return Address(mail.address, mail.name) if mail.address else None

    def _mail_store(self) -> MailStore:
        mail, imap = self.settings.mail, self.settings.mail.imap
        if mail.backend == "maildir" or (mail.backend == "auto" and imap is None):
            return MaildirStore(self.home)
        if imap is None:
            raise ConfigurationError(
                "mail.backend is 'imap' and [mail.imap] is missing; add it with the host"
            )
        server = self._server("imap", imap.host, imap.port, imap.security, imap.user)
        return ImapStore(server, imap.inbox, imap.drafts, imap.sent)

    def _transport(self) -> MailTransport | None:
        smtp = self.settings.mail.smtp
        if smtp is None:
            return None
        return SmtpTransport(self._server("smtp", smtp.host, smtp.port, smtp.security, smtp.user))

    def _server(self, service: str, host: str, port: int, security: Security, user: str) -> Server:
        user = user or self.settings.mail.address
        if not user:
            raise ConfigurationError(f"mail.{service}.user is missing; add it, or mail.address")
        return Server(service, host, port, user, security, self.secrets)
