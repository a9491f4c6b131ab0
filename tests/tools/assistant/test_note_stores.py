"""One suite for every store of notes: the files of the home, and macOS."""

from __future__ import annotations

from typing import Any

import pytest

from plait.errors import AmbiguousError, ToolCallError
from plait.tools.assistant import Home, MacNotes, Notes, NoteStore


@pytest.fixture(params=["files", "macos"])
def notes(request: pytest.FixtureRequest, home: Home) -> NoteStore:
    return Notes(home) if request.param == "files" else MacNotes(request.getfixturevalue("mac"))


def test_a_note_is_made_read_and_appended_to(notes: NoteStore) -> None:
    text = 'Milk & "eggs"\n<b>not bold</b>\n\nthe end'
    assert notes.create("Groceries", text, "Home").startswith("Created the note 'Groceries' in folder Home")
    assert notes.open("groceries").strip() == text
    assert notes.append("Grocer", "rice").startswith("Appended to the note 'Groceries' in folder Home")
    assert notes.open("Groceries", "home").split("\n\n")[-1].strip() == "rice"


def test_a_note_is_not_made_twice(notes: NoteStore) -> None:
    notes.create("Groceries", folder="Home")
    with pytest.raises(
        ToolCallError, match=r"The note 'Home/[Gg]roceries' exists; append to it or pick another name"
    ):
        notes.create("groceries", "x", "home")


def test_a_name_of_several_notes_asks_which_and_of_none_says_so(notes: NoteStore) -> None:
    notes.create("Trip to Rome", folder="Travel")
    notes.create("Trip to Oslo", folder="Travel")
    with pytest.raises(AmbiguousError, match=r"Several notes match 'trip': Travel/.*, Travel/.*; say which"):
        notes.open("trip")
    with pytest.raises(ToolCallError, match="No note matches 'Budget'"):
        notes.append("Budget", "x")


def test_a_made_up_folder_does_no_harm_to_who_reads_and_stops_who_writes(notes: NoteStore) -> None:
    notes.create("Groceries", "milk", "Home")
    assert notes.open("Groceries", "Shopping").strip() == "milk"
    with pytest.raises(ToolCallError, match="No note matches 'Groceries' in folder Shopping"):
        notes.append("Groceries", "x", "Shopping")


def test_nothing_is_not_appended_and_no_name_is_no_note(notes: NoteStore) -> None:
    notes.create("Groceries")
    with pytest.raises(ToolCallError, match="There is nothing to append to the note 'Groceries'"):
        notes.append("Groceries", " \n")
    with pytest.raises(ToolCallError, match=r"has no (name|letters or digits); give"):
        notes.create(" ")


@pytest.mark.parametrize(
    ("folder", "trash_names"),
    [
        ("Recently Deleted", []),
        ("Zuletzt gelöscht", []),
        ("Zuletzt Gelo\u0308scht", ["Recently Deleted"]),
        ("Nýlega eytt", ["Nýlega eytt"]),
    ],
)
def test_deleted_notes_are_none_whatever_language_the_mac_speaks(
    mac: Any, folder: str, trash_names: list[str]
) -> None:
    notes = MacNotes(mac)
    mac.trash_names = trash_names
    mac.notes.append({"id": "N", "name": "Groceries", "folder": folder, "text": "Groceries\nold"})
    with pytest.raises(ToolCallError, match="No note matches 'Groceries'"):
        notes.append("Groceries", "rice")
    notes.create("Groceries", "milk")
    assert notes.open("Groceries") == "milk"


def test_what_notes_on_a_mac_hold_is_escaped(mac: Any) -> None:
    MacNotes(mac).create("<h1>A</h1>", "</div><script>x</script>")
    (_, arguments) = mac.asked[-1]
    assert "<script>" not in arguments[0]
    assert MacNotes(mac).open("A").strip() == "</div><script>x</script>"
