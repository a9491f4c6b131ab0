"""The kinds of texts that the assistant's tools give and take."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from plait.tools import Kind

EmailAddress: TypeAlias = Annotated[str, Kind("email")]
PhoneNumber: TypeAlias = Annotated[str, Kind("phone")]
FilePath: TypeAlias = Annotated[str, Kind("path")]
Link: TypeAlias = Annotated[str, Kind("link")]
Content: TypeAlias = Annotated[str, Kind("text")]
Status: TypeAlias = Annotated[str, Kind("status")]
"""That something was done: nothing takes it."""

PersonName: TypeAlias = Annotated[str, Kind("person", verbatim=True)]
GivenName: TypeAlias = Annotated[str, Kind(verbatim=True)]
"""The name of something that exists, as the request says it."""
Place: TypeAlias = Annotated[str, Kind("text", verbatim=True)]
"""A place or an address, as the request says it, or a note's content."""
Venue: TypeAlias = Annotated[str, Kind("text", "link", verbatim=True)]
Title: TypeAlias = Annotated[str, Kind()]
"""A text that no result is part of."""
Message: TypeAlias = Annotated[str, Kind("text", "link", "email", "phone", "path")]
"""What somebody will read."""
