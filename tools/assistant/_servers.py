"""Servers that want a password: where they are, and where the password comes from."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Literal, TypeAlias

from plait.errors import ConfigurationError, ToolCallError

Security: TypeAlias = Literal["tls", "starttls", "none"]
Secrets: TypeAlias = Callable[[str, str], str | None]
"""Gives the password of a service (``"imap"``, ``"smtp"``, ``"caldav"``, ...) for a user, or None."""

TIMEOUT_S = 30.0


def system_secrets(service: str, user: str) -> str | None:
    """The password in ``PLAIT_<SERVICE>_PASSWORD``, else in the system's keyring under ``plait <service>``.

    The keyring is asked where the package ``keyring`` is installed:
    ``keyring set "plait imap" me@example.org`` puts a password there.

    Raises:
        ToolCallError: the keyring is there and cannot be read, for example because it is locked.
    """
    given = os.environ.get(password_variable(service))
    if given:
        return given
    try:
        import keyring
        from keyring.errors import KeyringError, NoKeyringError
    except ImportError:
        return None
    try:
        found: str | None = keyring.get_password(f"plait {service}", user)
    except NoKeyringError:
        return None
    except KeyringError as error:
        raise ToolCallError(f"The keyring cannot be read: {error}") from error
    return found


def password_variable(service: str) -> str:
    """The environment variable of a service's password."""
    return f"PLAIT_{service.upper()}_PASSWORD"


@dataclass(frozen=True)
class Server:
    """A server and the user's account on it.

    Args:
        service: what it is, e.g. ``"imap"``; the name of its password.
        host: its name.
        port: its port.
        user: the account; empty where none is needed.
        security: TLS from the start, TLS after a greeting, or, on this machine only, none.
        secrets: gives the password when it is needed.
        timeout_s: how long to wait for each answer.
        tls: whom to trust; the usual authorities by default.

    Raises:
        ConfigurationError: another machine would be talked to without TLS.
    """

    service: str
    host: str
    port: int
    user: str = ""
    security: Security = "tls"
    secrets: Secrets = field(default=system_secrets, repr=False)
    timeout_s: float = TIMEOUT_S
    tls: SSLContext | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.security == "none" and not is_loopback(self.host):
            raise ConfigurationError(
                f"security 'none' would send the password to {self.host} in the clear; "
                "use 'tls' or 'starttls'"
            )

    def context(self) -> SSLContext:
        """How TLS checks whom it talks to: ``SSL_CERT_FILE``, else the authorities that come with httpx."""
        import httpx

        return self.tls or httpx.create_ssl_context()

    def password(self) -> str:
        """The password of the account.

        Raises:
            ToolCallError: nobody knows it; the message says where to put it.
        """
        return find_secret(self.secrets, self.service, self.user)

    def refused(self, why: str) -> ToolCallError:
        """What to say when the server does not take the password."""
        return ToolCallError(
            f"{self.host} does not accept the password of {self.user!r} ({why}); "
            f"correct it in {password_variable(self.service)} or the keyring"
        )

    def failed(self, why: object) -> ToolCallError:
        """What to say when the server cannot be reached or breaks off."""
        return ToolCallError(f"The {self.service.upper()} server {self.host}:{self.port} failed: {why}")


def find_secret(secrets: Secrets, service: str, user: str) -> str:
    """The password or other secret of a service.

    Raises:
        ToolCallError: nobody knows it; the message says where to put it.
    """
    found = secrets(service, user)
    if not found:
        raise ToolCallError(
            f"There is no password for {user or service!r}; set {password_variable(service)} or store it "
            f'with: keyring set "plait {service}" "{user}"'
        )
    return found


def is_loopback(host: str) -> bool:
    """Whether the name is this machine's own."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
