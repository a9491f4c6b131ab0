"""The home in examples/home, which `make run` starts with, is whole and says what the examples rely on."""

from __future__ import annotations

from pathlib import Path

import pytest
from icalendar import Calendar

from plait.errors import ToolCallError
from plait.tools.assistant import ContactFiles, Contacts, Files, Home, MaildirStore, Notes, Received, pdf_text


@pytest.fixture
def sample() -> Home:
    return Home(Path(__file__).parents[3] / "examples" / "home")


def test_all_its_cards_can_be_read_and_their_addresses_are_fictional(sample: Home) -> None:
    book = ContactFiles(sample).read()
    assert len(book.contacts) == 8
    assert not book.warnings
    assert all("555-01" in phone for c in book.contacts for phone in c.phones)
    assert all(email.endswith(("example.com", "example.org")) for c in book.contacts for email in c.emails)


def test_one_first_name_is_shared(sample: Home) -> None:
    assert Contacts(ContactFiles(sample)).email("Sid") == "sid@example.com"
    assert Contacts(ContactFiles(sample)).find("渡辺").name == "Kenji Watanabe"
    with pytest.raises(ToolCallError, match="Maya Okafor, Maya Lindqvist; say which"):
        Contacts(ContactFiles(sample)).phone("Maya")


@pytest.mark.parametrize(("folder", "kind", "n"), [("calendars", "VEVENT", 6), ("reminders", "VTODO", 5)])
def test_its_calendars_and_reminders_are_valid(sample: Home, folder: str, kind: str, n: int) -> None:
    found = [Calendar.from_ical(path.read_bytes()) for path in (sample.path / folder).glob("*.ics")]
    assert sum(len(calendar.walk(kind)) for calendar in found) == n
    assert not any(calendar.get_missing_tzids() for calendar in found)


@pytest.mark.parametrize(("name", "fact"), [("budget", "$412,000"), ("river survey", "37 salmon redds")])
def test_its_documents_have_text(sample: Home, name: str, fact: str) -> None:
    text = pdf_text(Files(sample).find(name), sample)
    assert fact in text
    assert 300 <= len(text.split()) <= 450


def test_its_notes_are_found(sample: Home) -> None:
    assert Notes(sample).open("groceries") == "- oat milk\n- rice\n- coriander\n- coffee beans\n"


def test_its_newest_email_is_a_question(sample: Home) -> None:
    newest = Received.parse(MaildirStore(sample).newest())
    assert newest.subject == "Papers for the board"
    assert Contacts(ContactFiles(sample)).find(newest.answer_to[0].spec).name == "Maya Lindqvist"
