"""Contacts on a CardDAV server (RFC 6352)."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from plait.tools.assistant._contacts import ContactBook
from plait.tools.assistant._dav import CARDDAV, DAV, DavServer
from plait.tools.assistant._vcards import read_cards


@dataclass(frozen=True)
class CardDavContacts:
    """A ``ContactSource`` of all the user's address books on a server, asked anew for each lookup.

    Args:
        server: the server and the account.
    """

    server: DavServer

    def read(self) -> ContactBook:
        """All contacts as the server has them now."""
        query = ET.Element(f"{CARDDAV}addressbook-query")
        properties = ET.SubElement(query, f"{DAV}prop")
        ET.SubElement(properties, f"{CARDDAV}address-data")
        ET.SubElement(ET.SubElement(query, f"{CARDDAV}filter"), f"{CARDDAV}prop-filter", {"name": "FN"})
        books = self.server.collections(f"{CARDDAV}addressbook", f"{CARDDAV}addressbook-home-set")
        cards = [item for book in books for item in self.server.report(book.url, query)]
        return read_cards((card.url, card.text(f"{CARDDAV}address-data")) for card in cards)
