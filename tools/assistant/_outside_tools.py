"""The tools that show maps, send messages and make meetings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Literal

from plait.errors import ToolCallError
from plait.tools import Tool
from plait.tools.assistant._kinds import EmailAddress, Link, Message, PhoneNumber, Place, Status, Title
from plait.tools.assistant._maps import Maps
from plait.tools.assistant._moments import Now, moment
from plait.tools.assistant._sms import Messenger, send_all
from plait.tools.assistant._zoom import MeetingService

SEND_TIMEOUT_S = 300.0  # several recipients, one after the other

NO_GATEWAY = (
    "Text messages are not set up: add [sms] with the URL of a gateway to assistant.toml in the home folder"
)
NO_ZOOM = "Zoom is not set up: add [zoom] with account_id and client_id to assistant.toml in the home folder"


def map_tools(maps: Maps) -> list[Tool]:
    """``maps_open_location`` and ``maps_show_directions``."""

    def maps_open_location(location: Place) -> Link:
        """Show a place on the map; gives its map link.

        Args:
            location: a place or an address
        """
        return maps.location(location)

    def maps_show_directions(
        *, start_location: Place = "", end_location: Place, transport: Literal["d", "w", "r"] = "d"
    ) -> Link:
        """Show the way to a place on the map; gives the link to the directions.

        Args:
            start_location: where to start; here if left out
            end_location: where to go
            transport: d by car, w on foot, r by public transport
        """
        return maps.directions(start_location, end_location, transport)

    readers = (maps_open_location, maps_show_directions)
    return [Tool.from_function(f, read_only=True, open_world=False) for f in readers]


def message_tool(messenger: Messenger | None) -> Tool:
    """``send_sms``; without a messenger, every call says what to set up."""

    async def send_sms(recipients: list[PhoneNumber], message: Message) -> Status:
        """Send a text message.

        Args:
            recipients: phone numbers
            message: what it says
        """
        if messenger is None:
            raise ToolCallError(NO_GATEWAY)
        return await send_all(messenger, recipients, message)

    return _sender(send_sms, is_set_up=messenger is not None)


def meeting_tool(service: MeetingService | None, now: Now) -> Tool:
    """``get_zoom_meeting_link``; without a service, every call says what to set up."""

    async def get_zoom_meeting_link(
        topic: Title,
        start_time: datetime,
        duration: int = 60,
        meeting_invitees: list[EmailAddress] = [],  # noqa: B006  (a literal, so that prompts can show it; never changed)
    ) -> Link:
        """Create a Zoom meeting; gives the link to join it.

        Args:
            topic: what the meeting is about
            start_time: when it starts
            duration: in minutes
            meeting_invitees: email addresses of those invited
        """
        if service is None:
            raise ToolCallError(NO_ZOOM)
        return await service.create(topic, start_time, duration, meeting_invitees)

    get_zoom_meeting_link.__annotations__ |= {"start_time": moment(now)}
    return _sender(get_zoom_meeting_link, is_set_up=service is not None)


def _sender(function: Callable[..., Awaitable[str]], *, is_set_up: bool) -> Tool:
    # What can do nothing is honestly read-only: it fails before anyone is asked to approve it.
    return Tool.from_function(
        function, read_only=not is_set_up, destructive=False, open_world=is_set_up, timeout_s=SEND_TIMEOUT_S
    )
