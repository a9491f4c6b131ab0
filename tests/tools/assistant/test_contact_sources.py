"""One suite for every source of contacts: files of the home, a CardDAV server, and macOS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from plait.errors import AmbiguousError, ToolCallError
from plait.tools.assistant import CardDavContacts, ContactFiles, Contacts, DavServer, Home, MacContacts

Put = Callable[[str, str | bytes], Path]
Fill = Callable[[Sequence[tuple[str, str, str]]], Contacts]
PEOPLE = [
    ("Sid Hsu", "sid@example.com", "+1-503-555-0101"),
    ("Sid Rao", "", "555-0102"),
    ("Zoë Åström", "zoe@example.com", ""),
]


def card(name: str, email: str, phone: str) -> str:
    lines = [f"EMAIL:{email}"] * bool(email) + [f"TEL;TYPE=CELL:{phone}"] * bool(phone)
    uid = name.replace(" ", "-")
    return "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", f"UID:{uid}", f"FN:{name}", *lines, "END:VCARD", ""])


@pytest.fixture(params=["files", "carddav", "macos"])
def fill(request: pytest.FixtureRequest, home: Home, put: Put) -> Fill:
    """Puts people into an address book and gives the lookup over it."""
    if request.param == "files":

        def into_file(people: Sequence[tuple[str, str, str]]) -> Contacts:
            put("contacts/a.vcf", "".join(card(*person) for person in people))
            return Contacts(ContactFiles(home))

        return into_file
    if request.param == "macos":
        mac = request.getfixturevalue("mac")

        def into_application(people: Sequence[tuple[str, str, str]]) -> Contacts:
            mac.people = [
                {
                    "name": name,
                    "nickname": "",
                    "organization": "",
                    "emails": [email] * bool(email),
                    "phones": [{"value": phone, "kind": "_$!<Mobile>!$_"}] * bool(phone),
                }
                for name, email, phone in people
            ]
            return Contacts(MacContacts(mac))

        return into_application
    host = request.getfixturevalue("dav_host")

    def onto_server(people: Sequence[tuple[str, str, str]]) -> Contacts:
        host.make("Friends", "addressbook")
        host.make("Work & play", "addressbook")
        for number, person in enumerate(people):
            host.put(f"{('Friends', 'Work & play')[number % 2]}/{number}.vcf", card(*person))
        return Contacts(CardDavContacts(host.server("carddav")))

    return onto_server


def test_people_are_found(fill: Fill) -> None:
    contacts = fill(PEOPLE)
    assert contacts.email("sid hsu") == "sid@example.com"
    assert contacts.phone("Hsu") == "+1-503-555-0101"
    assert contacts.email("zoe") == "zoe@example.com"


def test_a_name_of_several_people_asks_which(fill: Fill) -> None:
    with pytest.raises(
        AmbiguousError, match=r"^Several contacts match 'Sid': Sid (Hsu|Rao), Sid (Hsu|Rao); say which$"
    ):
        fill(PEOPLE).email("Sid")


def test_nobody_and_nothing_are_told(fill: Fill) -> None:
    contacts = fill(PEOPLE)
    with pytest.raises(ToolCallError, match="No contact matches 'Bob'"):
        contacts.email("Bob")
    with pytest.raises(ToolCallError, match="Sid Rao has no email address in the contacts, only 555-0102"):
        contacts.email("Rao")


def test_an_empty_book_says_so(fill: Fill) -> None:
    with pytest.raises(ToolCallError, match="there are no contacts yet"):
        fill([]).email("Sid")


def test_a_wrong_password_is_told(dav_host: Any) -> None:
    dav_host.make("Friends", "addressbook")
    dav_host.password = "wrong"
    with pytest.raises(ToolCallError, match=r"does not accept the password of 'me' .*PLAIT_CARDDAV_PASSWORD"):
        Contacts(CardDavContacts(dav_host.server("carddav"))).email("Sid")


def test_a_damaged_card_on_the_server_is_named_and_its_neighbours_are_kept(stub: Any) -> None:
    properties = (
        "<resourcetype><C:addressbook/></resourcetype>",
        "<C:address-data>BEGIN:VCARD\nFN:Cut off\n</C:address-data>",
        f"<C:address-data>{card('Dee', '', '555-0111')}</C:address-data>",
    )
    answers = "".join(
        f"<response><href>/{number}</href><propstat><prop>{each}</prop></propstat></response>"
        for number, each in enumerate(properties)
    )
    space = 'xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"'
    book = f"<multistatus {space}>{answers}</multistatus>"
    stub.answers = [(207, book)]
    contacts = Contacts(CardDavContacts(DavServer("carddav", stub.url, "me", lambda *_: "x")))
    assert contacts.phone("Dee") == "555-0111"
    with pytest.raises(ToolCallError, match=r"card 1 \(Cut off\) of http.* was skipped: it has no END:VCARD"):
        contacts.find("Cut off")
