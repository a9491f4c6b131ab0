"""Undoing what was made on servers: events and reminders over CalDAV, meetings of Zoom.

The accounts name server and user, so that any later process can do it; passwords are asked for then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from plait.errors import ToolCallError
from plait.tools.assistant._dav import DavServer
from plait.tools.assistant._http import answer_text
from plait.tools.assistant._servers import Secrets, system_secrets
from plait.tools.assistant._zoom import Zoom

_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}


@dataclass(frozen=True)
class CalDavUndoer:
    """Deletes an event or a reminder that a call made, if it is as it was then.

    Args:
        secrets: gives the password.
    """

    secrets: Secrets = field(default=system_secrets, repr=False)
    kind = "caldav item"

    def undo(self, account: Mapping[str, Any]) -> str:
        """Delete it by its address and the ETag that it had (RFC 9110, 13.1.1). It blocks.

        Raises:
            ToolCallError: it has been changed or removed since, or the server refused or failed.
        """
        what, place = account["what"], account["place"]
        server = DavServer("caldav", account["server"], account["user"], self.secrets)
        response = server.request("DELETE", account["url"], b"", {"If-Match": account["etag"]})
        if response.status_code == HTTPStatus.PRECONDITION_FAILED:
            raise ToolCallError(f"{what} in {place} has been changed since; remove it by hand")
        if response.status_code in _GONE:
            raise ToolCallError(f"{what} is not in {place} any more; there is nothing to undo")
        if not response.is_success:
            raise ToolCallError(
                f"{server.name} did not delete it: {response.status_code} {answer_text(response)}"
            )
        return f"{what} was deleted from {place}"


@dataclass(frozen=True)
class ZoomUndoer:
    """Deletes a meeting that a call made.

    Args:
        secrets: gives the client secret.
    """

    secrets: Secrets = field(default=system_secrets, repr=False)
    kind = "zoom meeting"

    def undo(self, account: Mapping[str, Any]) -> str:
        """Delete the meeting by its number. It blocks, and must not be called in an event loop.

        Raises:
            ToolCallError: it is not there any more, or Zoom refused or failed.
        """
        zoom = Zoom(
            account["account_id"],
            account["client_id"],
            secrets=self.secrets,
            api_url=account["api_url"],
            oauth_url=account["oauth_url"],
        )
        asyncio.run(zoom.delete(account["id"]))
        return f"The Zoom meeting {account['topic']!r} was deleted"
