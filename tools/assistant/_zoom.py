"""Zoom meetings, by its REST API with server-to-server OAuth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import quote

import httpx

from plait.errors import ToolCallError
from plait.tools.assistant._addresses import read_addresses
from plait.tools.assistant._http import answer_text, check_url, request
from plait.tools.assistant._ics import one_line
from plait.tools.assistant._servers import TIMEOUT_S, Secrets, find_secret, password_variable, system_secrets
from plait.tools.assistant._undoable import undoable
from plait.tools.assistant._zone import in_zone, local_zone, zone_name

MAX_MINUTES = 24 * 60
MAX_TOPIC_CHARS = 200  # Zoom's own limit

_SCHEDULED = 2


class MeetingService(Protocol):
    """Makes online meetings."""

    async def create(
        self, topic: str, start: datetime, minutes: int = 60, invitees: Sequence[str] = ()
    ) -> str:
        """Schedule a meeting and return the link to join it, with how to undo that where it can be
        (:class:`UndoableText`).

        Args:
            topic: what it is about.
            start: when it starts; a naive time is in the user's zone.
            minutes: how long it takes.
            invitees: email addresses.

        Raises:
            ToolCallError: an argument cannot be used, or the service refused or failed.
        """
        ...


@dataclass(frozen=True)
class Zoom:
    """A ``MeetingService`` for the account of a server-to-server OAuth app.

    Args:
        account_id: the app's account.
        client_id: the app; its client secret is the password of ``"zoom"``.
        host: whose meeting it is: an email address in the account, or the owner of the app.
        secrets: gives the client secret.
        tz: the zone of naive times.
        timeout_s: how long to wait for each answer.
        api_url: of the API.
        oauth_url: of the tokens.

    Raises:
        ConfigurationError: a URL is not encrypted.
    """

    account_id: str
    client_id: str
    host: str = "me"
    secrets: Secrets = field(default=system_secrets, repr=False)
    tz: tzinfo = field(default_factory=local_zone)
    timeout_s: float = TIMEOUT_S
    api_url: str = "https://api.zoom.us/v2"
    oauth_url: str = "https://zoom.us/oauth/token"

    def __post_init__(self) -> None:
        check_url(self.api_url, "zoom.api_url")
        check_url(self.oauth_url, "zoom.oauth_url")

    async def create(
        self, topic: str, start: datetime, minutes: int = 60, invitees: Sequence[str] = ()
    ) -> str:
        """Schedule the meeting."""
        body = self._meeting(topic, start, minutes, invitees)
        token = await self._token()
        response = await request(
            "Zoom",
            "POST",
            f"{self.api_url}/users/{quote(self.host, safe='@')}/meetings",
            timeout_s=self.timeout_s,
            json=body,
            headers={"Authorization": f"Bearer {token}"},
        )
        made = _json(response) if response.is_success else {}
        link = made.get("join_url")
        if not isinstance(link, str) or not link:
            raise ToolCallError(
                f"Zoom made no meeting: it answered {response.status_code} {answer_text(response)}"
            )
        return undoable(link, self._account(made, body["topic"]))

    async def delete(self, meeting: str) -> None:
        """Delete a meeting by its number.

        Raises:
            ToolCallError: it is not there any more, or Zoom refused or failed.
        """
        token = await self._token()
        response = await request(
            "Zoom",
            "DELETE",
            f"{self.api_url}/meetings/{quote(meeting, safe='')}",
            timeout_s=self.timeout_s,
            headers={"Authorization": f"Bearer {token}"},
        )
        if response.status_code == HTTPStatus.NOT_FOUND:
            raise ToolCallError(f"Zoom has no meeting {meeting} any more; there is nothing to undo")
        if not response.is_success:
            raise ToolCallError(
                f"Zoom did not delete the meeting: it answered {response.status_code} "
                f"{answer_text(response)}; the app needs the scope to delete meetings"
            )

    def _account(self, made: dict[str, Any], topic: str) -> dict[str, str] | None:
        if not isinstance(made.get("id"), (int, str)):
            return None
        return {
            "kind": "zoom meeting",
            "id": str(made["id"]),
            "topic": topic,
            "account_id": self.account_id,
            "client_id": self.client_id,
            "api_url": self.api_url,
            "oauth_url": self.oauth_url,
        }

    def _meeting(self, topic: str, start: datetime, minutes: int, invitees: Sequence[str]) -> dict[str, Any]:
        topic = one_line(topic)
        if not topic:
            raise ToolCallError("The meeting has no topic; give one")
        if not 1 <= minutes <= MAX_MINUTES:
            raise ToolCallError(f"A meeting of {minutes} minutes is none; give 1 to {MAX_MINUTES}")
        meeting: dict[str, Any] = {
            "topic": topic[:MAX_TOPIC_CHARS],
            "type": _SCHEDULED,
            "start_time": f"{in_zone(start, self.tz).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "duration": minutes,
        }
        if name := zone_name(self.tz):
            meeting["timezone"] = name
        if addresses := read_addresses(invitees, "invitee"):
            meeting["settings"] = {"meeting_invitees": [{"email": address.spec} for address in addresses]}
        return meeting

    async def _token(self) -> str:
        secret = find_secret(self.secrets, "zoom", self.client_id)
        response = await request(
            "Zoom",
            "POST",
            self.oauth_url,
            timeout_s=self.timeout_s,
            data={"grant_type": "account_credentials", "account_id": self.account_id},
            auth=(self.client_id, secret),
        )
        token = _json(response).get("access_token") if response.is_success else None
        if not isinstance(token, str) or not token:
            raise ToolCallError(
                f"Zoom does not accept the credentials ({response.status_code} {answer_text(response)}); "
                f"check zoom.account_id, zoom.client_id and the client secret in {password_variable('zoom')} "
                "or the keyring"
            )
        return token


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        content = response.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
