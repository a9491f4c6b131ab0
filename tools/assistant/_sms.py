"""Text messages, through an HTTP gateway of the user's choice."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

from plait.errors import ConfigurationError, ToolCallError
from plait.tools.assistant._http import answer_text, check_url, request
from plait.tools.assistant._ics import one_line, plain
from plait.tools.assistant._servers import TIMEOUT_S, Secrets, find_secret, system_secrets

_SLOT = re.compile(r"\{(to|message|password)\}")
_NUMBER = re.compile(r"\+?[0-9][0-9 ()./-]{1,28}[0-9]")
_SEPARATORS = re.compile(r"[ ()./-]")


class Messenger(Protocol):
    """Sends text messages."""

    async def send(self, number: str, message: str) -> None:
        """Send one message to one number, which has digits only and perhaps a leading ``+``.

        Raises:
            ToolCallError: it was not sent; where that cannot be known, the message says so.
        """
        ...


async def send_all(messenger: Messenger, recipients: Sequence[str], message: str) -> str:
    """Send the same message to each number once, and return a sentence that says so.

    Raises:
        ToolCallError: a recipient is no number or the message is empty, and nothing was sent; or sending
            failed, and the message says who has got it.
    """
    numbers = list(dict.fromkeys(read_number(recipient) for recipient in recipients))
    if not numbers:
        raise ToolCallError("The message has no recipient; give a phone number")
    text = plain(message)
    if not text:
        raise ToolCallError("The message is empty; say what it should say")
    for position, number in enumerate(numbers):
        try:
            await messenger.send(number, text)
        except ToolCallError as error:
            before = f"; {', '.join(numbers[:position])} got the message already" if position else ""
            raise ToolCallError(f"The message to {number} failed: {error}{before}") from error
    return f"Sent the message to {', '.join(numbers)}"


def read_number(text: str) -> str:
    """The phone number without its separators.

    Raises:
        ToolCallError: it is none, or has an extension, which no text message can go to.
    """
    shown = one_line(text)
    if not _NUMBER.fullmatch(shown):
        raise ToolCallError(
            f"The recipient {shown!r} is no phone number that takes messages; look the number up first"
        )
    return _SEPARATORS.sub("", shown)


@dataclass(frozen=True)
class SmsGateway:
    """A ``Messenger`` over HTTP. ``{to}``, ``{message}`` and ``{password}`` are filled in where they stand.

    Args:
        url: of the gateway; what is filled in is percent-encoded.
        method: ``"POST"``, ``"PUT"`` or ``"GET"``.
        json: the body as JSON, of objects, lists and strings; or
        form: the body as a form.
        headers: may hold ``{password}`` only.
        user: for basic authentication, with the password; empty for none.
        confirmation: a text that stands in the answer if, and only if, the message was taken; many gateways
            answer 200 to what they refuse. Empty where the status tells.
        secrets: gives the password of ``"sms"``.
        timeout_s: how long to wait.

    Raises:
        ConfigurationError: the URL is none, there are two bodies, or a header would hold a message.
    """

    url: str
    method: str = "POST"
    json: Any = None
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    confirmation: str = ""
    secrets: Secrets = field(default=system_secrets, repr=False)
    timeout_s: float = TIMEOUT_S

    def __post_init__(self) -> None:
        check_url(self.url, "sms.url")
        if self.json is not None and self.form is not None:
            raise ConfigurationError("sms.json and sms.form are both given; a request has one body")
        slots = {slot for value in self.headers.values() for slot in _SLOT.findall(value)}
        if slots - {"password"}:
            raise ConfigurationError(
                "sms.headers may hold {password} only; put {to} and {message} into url, json or form"
            )
        if not {"to", "message"} <= set(_SLOT.findall(f"{self.url} {self.json} {self.form}")):
            raise ConfigurationError(
                "sms has no place for {to} and {message}; put them into url, json or form"
            )

    async def send(self, number: str, message: str) -> None:
        """Ask the gateway to send the message."""
        values = {"to": number, "message": message, "password": self._password()}
        options: dict[str, Any] = {"headers": _filled(dict(self.headers), values, str)}
        if self.json is not None:
            options["json"] = _filled(self.json, values, str)
        if self.form is not None:
            options["data"] = _filled(dict(self.form), values, str)
        if self.user:
            options["auth"] = (self.user, values["password"])
        url = _filled(self.url, values, lambda value: quote(value, safe=""))
        response = await request("The SMS gateway", self.method, url, timeout_s=self.timeout_s, **options)
        if not response.is_success or self.confirmation not in response.text:
            raise ToolCallError(
                f"the gateway answered {response.status_code} {answer_text(response)}; "
                "the message was not taken"
            )

    def _password(self) -> str:
        needed = self.user or "{password}" in f"{self.url} {self.json} {self.form} {self.headers}"
        return find_secret(self.secrets, "sms", self.user) if needed else ""


def _filled(template: Any, values: Mapping[str, str], encoded: Callable[[str], str]) -> Any:
    """The template with its slots filled, in strings at any depth; what is filled in is not read again."""
    if isinstance(template, str):
        return _SLOT.sub(lambda slot: encoded(values[slot[1]]), template)
    if isinstance(template, Mapping):
        return {key: _filled(value, values, encoded) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, values, encoded) for value in template]
    return template
