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
from plait.tools.assistant._mail import Mail, Writer, context_as_it_is
from plait.tools.assistant._maildir import MaildirStore
from plait.tools.assistant._maps import Maps
from plait.tools.assistant._notes import Notes, NoteStore
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
from plait.tools.assistant._zone import local_zone, utc_now
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


def open_backends(
    home: Home | Path | str,
    *,
    settings: Settings | None = None,
    secrets: Secrets = system_secrets,
    write: Writer = context_as_it_is,
    opener: Opener | None = None,
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
        tz: the zone of times that name none; by default the settings', else the machine's.
        now: gives the present time, aware.

    Raises:
        ConfigurationError: the home is a file, or a setting is missing or cannot be used.
    """
    home = home if isinstance(home, Home) else Home(Path(home))
    settings = read_settings(home) if settings is None else settings
    tz = tz or (ZoneInfo(settings.time_zone) if settings.time_zone else local_zone())
    choose = _Choice(home, settings, secrets, tz, now)
    try:
        return Backends(
            home=home,
            contacts=Contacts(choose.contacts()),
            calendars=Calendars(choose.events(), tz),
            reminders=Reminders(choose.reminders(), tz),
            notes=Notes(home),
            files=Files(home, opener),
            mail=choose.mail(write),
            maps=Maps(settings.maps.provider, opener),
            messenger=choose.messenger(),
            meetings=choose.meetings(),
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{home.path / FILE_NAME}: {error}") from error


@dataclass(frozen=True)
class _Choice:
    home: Home
    settings: Settings
    secrets: Secrets
    tz: tzinfo
    now: Callable[[], datetime]

    def contacts(self) -> ContactSource:
        contacts = self.settings.contacts
        if contacts.backend == "files" or (contacts.backend == "auto" and not contacts.url):
            return ContactFiles(self.home)
        return CardDavContacts(self._dav("carddav", contacts, "contacts"))

    def events(self) -> EventStore:
        return self._calendar_store(self.settings.calendars, "calendars")

    def reminders(self) -> ReminderStore:
        return self._calendar_store(self.settings.reminders, "reminders")

    def mail(self, write: Writer) -> Mail:
        mail = self.settings.mail
        own = self._own()
        if mail.send and (own is None or mail.smtp is None):
            missing = "mail.address" if own is None else "[mail.smtp]"
            raise ConfigurationError(
                f"mail.send is true and {missing} is missing; add it, or set mail.send to false"
            )
        box = InternetMail(
            self._mail_store(), own, self._transport(), keeps_sent=mail.keep_sent, tz=self.tz, now=self.now
        )
        return Mail(box, self.home, sends=mail.send, writer=write, own=(own,) if own else ())

    def messenger(self) -> Messenger | None:
        sms = self.settings.sms
        if sms is None:
            return None
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

    def _calendar_store(self, chosen: CalendarSettings, section: str) -> CalendarFiles | CalDavStore:
        if chosen.backend == "files" or (chosen.backend == "auto" and not chosen.url):
            return CalendarFiles(self.home, self.tz, self.now)
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
