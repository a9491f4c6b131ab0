"""Names that may be said."""

from __future__ import annotations

from plait.apps.assistant import Settings


def contact_names(settings: Settings) -> tuple[str, ...]:
    """The names of the home's contacts, each once; none where the tools are the user's own."""
    if settings.tools is not None:
        return ()
    from plait.tools.assistant import ContactFiles, Home

    contacts = ContactFiles(Home(settings.home)).read().contacts
    return tuple(dict.fromkeys(contact.name for contact in contacts))
