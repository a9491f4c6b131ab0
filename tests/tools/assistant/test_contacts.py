from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.errors import MissingExtraError, ToolCallError
from plait.tools.assistant import ContactFiles, Contacts, Home

Put = Callable[[str, str | bytes], Path]


def card(name: str, *lines: str, version: str = "3.0") -> str:
    return "\r\n".join(["BEGIN:VCARD", f"VERSION:{version}", f"FN:{name}", *lines, "END:VCARD", ""])


@pytest.fixture
def contacts(home: Home, put: Put) -> Contacts:
    put(
        "contacts/friends.vcf",
        card(
            "Sid Hsu",
            "N:Hsu;Sid;;;",
            "EMAIL;TYPE=WORK:sid@work.example.com",
            "EMAIL;TYPE=HOME:sid@example.com",
        )
        + card("Sid Rao", "TEL;TYPE=HOME:555-0102", "TEL;TYPE=CELL:555-0103", "TEL;TYPE=FAX,PREF:555-0109")
        + card(
            "Zoë Åström", "NICKNAME:Zo,The Captain", "TEL;TYPE=PREF,WORK:555-0104", "TEL;TYPE=CELL:555-0105"
        ),
    )
    put(
        "contacts/work.VCF",
        card(
            "Katherine O'Neil",
            'TEL;VALUE=uri;PREF=2;TYPE="voice,cell":tel:+1-555-0106',
            "TEL;VALUE=uri;PREF=1;TYPE=work:tel:+1-555-0107;ext=12",
            "EMAIL:katherine@exam",
            " ple.org",
            version="4.0",
        ),
    )
    return Contacts(ContactFiles(home))


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("Sid Hsu", "Sid Hsu"),
        ("  sid   HSU ", "Sid Hsu"),
        ("Hsu", "Sid Hsu"),
        ("Rao, Sid", "Sid Rao"),
        ("zoe astrom", "Zoë Åström"),
        ("the captain", "Zoë Åström"),
        ("Kath", "Katherine O'Neil"),
        ("Catherine", "Katherine O'Neil"),
        ("SID@example.com", "Sid Hsu"),
    ],
)
def test_a_person_is_found_by_what_people_call_them(contacts: Contacts, asked: str, name: str) -> None:
    assert contacts.find(asked).name == name


def test_several_matches_are_listed(contacts: Contacts) -> None:
    with pytest.raises(ToolCallError, match=r"^Several contacts match 'Sid': Sid Hsu, Sid Rao; say which$"):
        contacts.email("Sid")


def test_namesakes_are_told_apart_by_a_detail(home: Home, put: Put) -> None:
    put("contacts/a.vcf", card("Li Wei", "EMAIL:li@example.com") + card("Li Wei", "TEL:555-0110"))
    with pytest.raises(ToolCallError, match=r"Li Wei \(li@example.com\), Li Wei \(555-0110\)"):
        Contacts(ContactFiles(home)).find("Li Wei")


def test_the_same_card_in_two_files_is_one_contact(home: Home, put: Put) -> None:
    put("contacts/a.vcf", card("Li Wei", "TEL:555-0110"))
    put("contacts/b.vcf", card("Li Wei", "TEL:555-0110"))
    assert Contacts(ContactFiles(home)).phone("Li Wei") == "555-0110"


def test_nobody_gives_the_nearest_names(contacts: Contacts) -> None:
    with pytest.raises(ToolCallError, match=r"No contact matches 'Tim Hsu'; the nearest is Sid Hsu"):
        contacts.find("Tim Hsu")


def test_a_home_without_contacts_says_so(home: Home) -> None:
    with pytest.raises(ToolCallError, match="there are no contacts yet"):
        Contacts(ContactFiles(home)).find("Sid")


def test_the_preferred_address_comes_first_and_then_home_and_mobile(contacts: Contacts) -> None:
    assert contacts.email("Sid Hsu") == "sid@example.com"
    assert contacts.phone("Sid Rao") == "555-0103"
    assert contacts.phone("Zoë") == "555-0104"
    assert contacts.phone("Katherine") == "+1-555-0107 x12"
    assert contacts.email("Katherine") == "katherine@example.org"


def test_what_is_missing_is_named(contacts: Contacts) -> None:
    with pytest.raises(ToolCallError, match=r"Sid Hsu has no phone number in the contacts, only sid@"):
        contacts.phone("Sid Hsu")
    with pytest.raises(ToolCallError, match="Sid Rao has no email address in the contacts, only 555-0103"):
        contacts.email("Sid Rao")


def test_a_broken_card_is_skipped_and_named_and_its_neighbours_are_kept(home: Home, put: Put) -> None:
    broken = card("Ann") + card("Bo\r\nno colon here") + "BEGIN:VCARD\r\nFN:Cut off\r\n"
    latin = card("Jürgen").encode("latin-1")
    nameless = card("").encode()
    put("contacts/a.vcf", broken.encode() + latin + nameless + card("Dee", "TEL:555-0111").encode())
    book = ContactFiles(home).read()
    assert [c.name for c in book.contacts] == ["Ann", "Dee"]
    assert [w.partition(" was skipped: ")[0] for w in book.warnings] == [
        "card 2 (Bo) of contacts/a.vcf",
        "card 3 (Cut off) of contacts/a.vcf",
        "card 4 (J?rgen) of contacts/a.vcf",
        "card 5 of contacts/a.vcf",
    ]
    with pytest.raises(
        ToolCallError, match=r"No contact matches 'Cut off'.*card 3 \(Cut off\).*no END:VCARD"
    ):
        Contacts(ContactFiles(home)).find("Cut off")


def test_escapes_commas_byte_order_marks_and_old_newlines_are_read(home: Home, put: Put) -> None:
    text = card("Rao, Dr. Anil\\, MD", "NICKNAME:Nilu").replace("\r\n", "\n")
    put("contacts/a.vcf", b"\xef\xbb\xbf" + text.encode())
    assert Contacts(ContactFiles(home)).find("nilu").name == "Rao, Dr. Anil, MD"


def test_a_name_is_made_of_its_parts_where_the_full_one_is_missing(home: Home, put: Put) -> None:
    put(
        "contacts/a.vcf",
        "BEGIN:VCARD\nVERSION:2.1\nN;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:M=C3=BCller;Eva\nTEL;CELL:555-0112\nEND:VCARD\n",
    )
    assert Contacts(ContactFiles(home)).find("Eva").name == "Eva Müller"
    assert Contacts(ContactFiles(home)).phone("Muller") == "555-0112"


def test_a_damaged_photo_does_not_cost_the_card(home: Home, put: Put) -> None:
    put("contacts/a.vcf", card("Eve", "PHOTO;ENCODING=b;TYPE=JPEG:!!!not base64", "TEL:555-0113"))
    assert Contacts(ContactFiles(home)).phone("Eve") == "555-0113"


def test_a_file_that_cannot_be_read_is_skipped_and_named(home: Home, put: Put) -> None:
    put("contacts/a.vcf", card("Dee", "TEL:555-0111"))
    (home.contacts / "folder.vcf").mkdir()
    book = ContactFiles(home).read()
    assert [c.name for c in book.contacts] == ["Dee"]
    assert [w.partition(" was skipped: ")[0] for w in book.warnings] == ["contacts/folder.vcf"]


def test_a_missing_extra_is_named(contacts: Contacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vobject.base", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'plait\[assistant\]'"):
        contacts.find("Sid Hsu")


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_in_a_card_hide_the_next_card(home: Home, junk: bytes) -> None:
    home.contacts.mkdir(parents=True, exist_ok=True)
    before = b"BEGIN:VCARD\r\nVERSION:3.0\r\n" + junk + b"\r\nEND:VCARD\r\n"
    (home.contacts / "a.vcf").write_bytes(before + card("Dee", "TEL:555-0111").encode())
    logging.disable()
    try:
        book = ContactFiles(home).read()
    finally:
        logging.disable(logging.NOTSET)
    assert "Dee" in [c.name for c in book.contacts]
    assert len(book.contacts) + len(book.warnings) >= 2
