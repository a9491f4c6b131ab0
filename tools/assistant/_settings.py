"""The assistant's settings: the file ``assistant.toml`` in the home folder."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from plait.errors import ConfigurationError, ToolCallError
from plait.tools.assistant._addresses import read_address
from plait.tools.assistant._home import Home
from plait.tools.assistant._maps import MapProvider
from plait.tools.assistant._servers import Security, password_variable

FILE_NAME = "assistant.toml"

_SECRETS = frozenset({"api_key", "apikey", "client_secret", "key", "password", "passwd", "secret", "token"})


def _known_zone(name: str) -> str:
    try:
        if name:
            ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("give an IANA time zone, such as 'Europe/Lisbon'") from error
    return name


def _address(text: str) -> str:
    try:
        return read_address(text, "address").spec if text else ""
    except ToolCallError as error:
        raise ValueError("give an email address") from error


Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ImapSettings(_Section):
    """``[mail.imap]``: where mail is kept."""

    host: str = Field(min_length=1)
    port: Port = 993
    security: Security = "tls"
    user: str = ""
    """The account; ``mail.address`` by default."""
    inbox: str = "INBOX"
    drafts: str = ""
    """The folder of drafts; the one that the server marks as such by default."""
    sent: str = ""
    """The folder of copies of what was sent; likewise."""


class SmtpSettings(_Section):
    """``[mail.smtp]``: what sends mail."""

    host: str = Field(min_length=1)
    port: Port = 465
    security: Security = "tls"
    user: str = ""
    """The account; ``mail.address`` by default."""


class MailSettings(_Section):
    """``[mail]``."""

    backend: Literal["auto", "maildir", "imap", "macos"] = "auto"
    address: Annotated[str, AfterValidator(_address)] = ""
    """The user's own address."""
    name: str = ""
    """The user's name, as it stands beside the address."""
    send: bool = False
    """Whether emails go out, after approval; else they are left as drafts."""
    keep_sent: bool = True
    """Whether plait keeps a copy of what it sent; some servers do so themselves."""
    imap: ImapSettings | None = None
    smtp: SmtpSettings | None = None


class ContactSettings(_Section):
    """``[contacts]``."""

    backend: Literal["auto", "files", "carddav", "macos"] = "auto"
    url: str = ""
    """Of the CardDAV server or one of its address books."""
    user: str = ""


class CalendarSettings(_Section):
    """``[calendars]`` and ``[reminders]``."""

    backend: Literal["auto", "files", "caldav", "macos"] = "auto"
    url: str = ""
    """Of the CalDAV server or one of its calendars."""
    user: str = ""
    default: str = ""
    """The calendar or list that is used where none is named."""


class NoteSettings(_Section):
    """``[notes]``."""

    backend: Literal["auto", "files", "macos"] = "auto"


class SmsSettings(_Section):
    """``[sms]``: see ``SmsGateway``."""

    url: str = Field(min_length=1)
    method: Literal["GET", "POST", "PUT"] = "POST"
    json_: Any = Field(default=None, alias="json")
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = Field(default_factory=dict)
    user: str = ""
    confirmation: str = ""


class MapSettings(_Section):
    """``[maps]``."""

    provider: Literal["auto", MapProvider] = "auto"


class ZoomSettings(_Section):
    """``[zoom]``: a server-to-server OAuth app."""

    account_id: str = Field(min_length=1)
    client_id: str = Field(min_length=1)
    host: str = "me"
    """Whose meetings they are: an email address in the account, or the app's owner."""


class Settings(_Section):
    """All settings. Each has a default, with which the assistant works on the files of the home."""

    time_zone: Annotated[str, AfterValidator(_known_zone)] = ""
    """The user's time zone, such as ``Europe/Lisbon``; the machine's by default."""
    mail: MailSettings = MailSettings()
    contacts: ContactSettings = ContactSettings()
    calendars: CalendarSettings = CalendarSettings()
    reminders: CalendarSettings = CalendarSettings()
    notes: NoteSettings = NoteSettings()
    sms: SmsSettings | None = None
    maps: MapSettings = MapSettings()
    zoom: ZoomSettings | None = None


def read_settings(home: Home) -> Settings:
    """The settings in ``assistant.toml`` of the home; all defaults where there is no such file.

    Raises:
        ConfigurationError: it is no TOML, or a setting in it is unknown, wrong or a password. The message
            names the file, the setting and the fix.
    """
    path = home.path / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}; mend or remove it") from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is no TOML: {error}; mend it") from error
    if secret := next(_secrets(content), None):
        raise ConfigurationError(
            f"{path}: {secret} does not belong in a file; remove it and put the secret into the environment, "
            f"such as {password_variable('imap')}, or into the keyring"
        )
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_problem(e) for e in error.errors(include_url=False, include_context=False))
        raise ConfigurationError(f"{path}: {problems}") from error


def _secrets(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The settings that are named like a secret; a gateway's own fields may be called what they will."""
    for key, value in content.items():
        if isinstance(value, Mapping) and key not in {"json", "form", "headers"}:
            yield from _secrets(value, f"{prefix}{key}.")
        elif key.lower().replace("-", "_") in _SECRETS:
            yield f"{prefix}{key}"


def _problem(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{where} is missing; add it"
    if error["type"] == "extra_forbidden":
        *path, _ = (str(part) for part in error["loc"])
        return f"{where} is no setting; known are {', '.join(sorted(_fields(path)))}"
    said = error["msg"].removeprefix("Value error, ")
    return f"{where}: {said[:1].lower()}{said[1:]}, not {error['input']!r}"


def _fields(path: list[str]) -> set[str]:
    section: Any = Settings
    for name in path:
        annotation = section.model_fields[name].annotation
        kinds = [annotation, *getattr(annotation, "__args__", ())]
        section = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return {field.alias or name for name, field in section.model_fields.items()}
