from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.errors import ToolCallError
from plait.tools.assistant import Home, Notes
from plait.tools.assistant._notes import joined

Put = Callable[[str, str | bytes], Path]


def test_a_new_note_is_a_markdown_file_in_its_folder(home: Home) -> None:
    assert Notes(home).create("Trip: Oslo", "Pack a coat", "Travel") == (
        "Created the note 'Trip- Oslo' in folder Travel"
    )
    assert (home.notes / "Travel" / "Trip- Oslo.md").read_bytes() == b"Pack a coat\n"
    assert Notes(home).open("trip: oslo") == "Pack a coat\n"


def test_a_note_is_never_overwritten(home: Home) -> None:
    notes = Notes(home)
    notes.create("Ideas", "one", "Work")
    for name, folder in [("Ideas", "Work"), ("IDEAS.md", "work"), (" ideas ", "Work/")]:
        with pytest.raises(ToolCallError, match="exists; append to it or pick another name"):
            notes.create(name, "two", folder)
    assert notes.create("Ideas") == "Created the note 'Ideas'"
    assert notes.open("Ideas", "Work") == "one\n"


def test_of_threads_that_create_one_note_exactly_one_succeeds(home: Home) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(6)

    def work(n: int) -> None:
        start.wait()
        try:
            outcomes.append(Notes(home).create("Same", str(n)))
        except ToolCallError:
            outcomes.append("refused")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["Created the note 'Same'"] + ["refused"] * 5


@pytest.mark.parametrize(
    ("name", "folder", "content"),
    [
        ("groceries", "", "g"),
        ("GROCERIES.md", "", "g"),
        ("meeting sid", "", "m"),
        ("Grocereis", "", "g"),
        ("Plan", "work", "wp"),
        ("Work/Plan", "", "wp"),
        ("plan", "Home/Deep", "hp"),
    ],
)
def test_a_note_is_found_in_any_case_by_a_part_or_a_close_spelling(
    home: Home, put: Put, name: str, folder: str, content: str
) -> None:
    put("notes/Groceries.md", "g")
    put("notes/Work/Meeting with Sid.md", "m")
    put("notes/Work/Plan.md", "wp")
    put("notes/Home/Deep/Plan.md", "hp")
    assert Notes(home).open(name, folder) == content


def test_an_ambiguous_name_lists_the_notes_with_their_folders(home: Home, put: Put) -> None:
    put("notes/Plan.md", "")
    put("notes/Work/Plan.md", "")
    with pytest.raises(ToolCallError, match="Several notes match 'plan': Plan, Work/Plan; say which"):
        Notes(home).open("plan")


def test_a_missing_note_gives_the_near_names(home: Home, put: Put) -> None:
    put("notes/Reading list.md", "")
    for call in (Notes(home).open, lambda name: Notes(home).append(name, "x")):
        with pytest.raises(
            ToolCallError, match="No note matches 'Wedding list'; the nearest is Reading list"
        ):
            call("Wedding list")
    put("notes/Work/Plan.md", "")
    with pytest.raises(ToolCallError, match="No note matches 'Reading list' in folder Work"):
        Notes(home).open("Reading list", "Work")


def test_a_folder_that_does_not_exist_is_ignored_when_reading_and_not_when_writing(
    home: Home, put: Put
) -> None:
    put("notes/Reading list.md", "Middlemarch")
    assert Notes(home).open("Reading list", "November") == "Middlemarch"
    with pytest.raises(ToolCallError, match="No note matches 'Reading list' in folder November"):
        Notes(home).append("Reading list", "Emma", "November")


def test_hidden_files_and_links_out_of_the_home_are_no_notes(home: Home, put: Put, tmp_path: Path) -> None:
    put("notes/.trash/Old.md", "")
    put("notes/Real.md", "")
    if os.name != "nt":
        (tmp_path / "secret.md").write_text("secret")
        (home.notes / "Secret.md").symlink_to(tmp_path / "secret.md")
    for name in ("Old", "Secret"):
        with pytest.raises(ToolCallError, match="No note matches"):
            Notes(home).open(name)


@pytest.mark.parametrize(
    ("text", "content", "result"),
    [
        ("", "new", "new\n"),
        ("old", "new", "old\n\nnew\n"),
        ("old\n\n\n", "new\n", "old\n\nnew\n"),
        ("old\r\n", "a\nb", "old\r\n\r\na\r\nb\r\n"),
        ("- milk\n", "- eggs", "- milk\n- eggs\n"),
        ("1. milk", "2. eggs\n3. tea", "1. milk\n2. eggs\n3. tea\n"),
        ("- milk", "Call Sid", "- milk\n\nCall Sid\n"),
        ("    code  \n", "  indented", "    code  \n\n  indented\n"),
    ],
)
def test_appending_starts_a_paragraph_or_carries_on_a_list(text: str, content: str, result: str) -> None:
    assert joined(text, content) == result


def test_an_append_keeps_the_bytes_before_it(home: Home, put: Put) -> None:
    path = put("notes/A.md", b"\xef\xbb\xbf# T\xc3\xa9\r\n\r\nmixed\nline\r\n")
    assert Notes(home).append("a", "more") == "Appended to the note 'A'"
    assert path.read_bytes() == b"\xef\xbb\xbf# T\xc3\xa9\r\n\r\nmixed\nline\r\n\r\nmore\r\n"
    assert Notes(home).open("a").startswith("# Té\r\n")


def test_appending_nothing_is_refused(home: Home, put: Put) -> None:
    put("notes/A.md", "x")
    with pytest.raises(ToolCallError, match="nothing to append"):
        Notes(home).append("A", " \n")


def test_a_note_in_another_encoding_is_left_alone(home: Home, put: Put) -> None:
    path = put("notes/A.md", b"caf\xe9")
    with pytest.raises(ToolCallError, match="not in UTF-8"):
        Notes(home).append("A", "x")
    assert path.read_bytes() == b"caf\xe9"


@pytest.mark.parametrize(
    ("name", "folder"), [("../x", ""), ("x", ".."), ("x", "a/../../.."), ("x", "..\\..")]
)
def test_names_that_climb_are_refused(home: Home, name: str, folder: str) -> None:
    with pytest.raises(ToolCallError, match="leaves its folder"):
        Notes(home).create(name, "", folder)


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_no_name_escapes_the_notes(tmp_path: Path, name: str, folder: str, content: str) -> None:
    home = Home(tmp_path / "inner" / "home")
    with contextlib.suppress(ToolCallError):
        Notes(home).create(name, content, folder)
    apart = {home.notes, home.path / ".plait"}
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        assert apart & set(path.parents)
