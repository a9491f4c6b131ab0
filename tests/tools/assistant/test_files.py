from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plait.errors import ToolCallError
from plait.tools.assistant import Files, Home, _files, system_opener

Put = Callable[[str, str | bytes], Path]
symlinks = pytest.mark.skipif(os.name == "nt", reason="making links needs a privilege on Windows")


@pytest.fixture
def files(home: Home, put: Put) -> Files:
    for age, name in enumerate(
        [
            "documents/budget-2027.pdf",
            "documents/budget-2026.pdf",
            "documents/archive/Report.pdf",
            "documents/report.docx",
            "documents/report.pdf",
            "photos/Résumé Photo.JPG",
            "v1.2 notes",
            "notes/report.pdf",
            "contacts/report.pdf",
            "work/notes/inner.txt",
            ".hidden/secret.txt",
            "documents/.secret.txt",
        ]
    ):
        os.utime(put(name, name), ns=(0, 10**18 - age * 10**9))
    return Files(home)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("report.pdf", "documents/report.pdf"),  # the very name goes before a newer Report.pdf
        ("REPORT.PDF", "documents/archive/Report.pdf"),  # the newest of two
        ("report", "documents/archive/Report.pdf"),
        ("archive/report.pdf", "documents/archive/Report.pdf"),
        ("documents\\report.docx", "documents/report.docx"),
        ("report.doc", "documents/archive/Report.pdf"),
        ("report docx", "documents/report.docx"),
        ("budget", "documents/budget-2027.pdf"),
        ("budget 2026", "documents/budget-2026.pdf"),
        ("Budget_2026.pdf", "documents/budget-2026.pdf"),
        ("budgte-2026.pdf", "documents/budget-2026.pdf"),
        ("resume photo", "photos/Résumé Photo.JPG"),
        ("'photo.jpg'", "photos/Résumé Photo.JPG"),
        ("v1.2 notes", "v1.2 notes"),
        ("inner", "work/notes/inner.txt"),
        ("elsewhere/report.docx", "documents/report.docx"),
    ],
)
def test_the_best_match_is_found(files: Files, asked: str, found: str) -> None:
    assert files.find(asked) == files.home.path / found


def test_an_absolute_path_in_the_home_is_that_file(files: Files) -> None:
    path = files.home.path / "documents" / "report.pdf"
    assert files.find(str(path)) == path


@pytest.mark.parametrize("asked", ["budget-2028.pdf", "secret.txt", "/etc/passwd", "../../etc/passwd"])
def test_another_year_a_hidden_file_or_one_outside_is_no_match(files: Files, asked: str) -> None:
    with pytest.raises(ToolCallError, match="No file matches"):
        files.find(asked)


def test_no_match_gives_the_near_names(files: Files) -> None:
    with pytest.raises(
        ToolCallError, match=r"'budget-2028\.pdf'; the nearest are budget-202[67]\.pdf, budget"
    ):
        files.find("budget-2028.pdf")
    with pytest.raises(ToolCallError, match="is no file name"):
        files.find(" . ")


def test_of_files_of_one_age_the_first_path_is_taken(home: Home, put: Put) -> None:
    for name in ("b/x.txt", "a/x.txt", "c/x.txt"):
        os.utime(put(name, ""), ns=(0, 0))
    assert Files(home).find("x.txt") == home.path / "a" / "x.txt"


def test_an_empty_home_has_no_files(home: Home) -> None:
    with pytest.raises(ToolCallError, match=r"No file matches 'x'$"):
        Files(home).find("x")


@symlinks
def test_links_that_leave_the_home_and_loops_are_not_followed(files: Files, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "passwords.txt").write_text("x")
    (files.home.path / "loop").symlink_to(files.home.path)
    (files.home.path / "out").symlink_to(tmp_path / "outside")
    (files.home.path / "passwords.txt").symlink_to(tmp_path / "outside" / "passwords.txt")
    (files.home.path / "broken.txt").symlink_to("nowhere")
    for name in ("passwords.txt", "broken.txt"):
        with pytest.raises(ToolCallError, match="No file matches"):
            files.find(name)


def test_more_files_than_the_limit_are_refused(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "MAX_FILES", 3)
    with pytest.raises(ToolCallError, match="has more than 3 files; choose a smaller home"):
        files.find("report")


def test_the_file_is_opened_and_its_path_returned(files: Files) -> None:
    opened: list[Path] = []
    path = Files(files.home, opened.append).open_and_get_path("budget")
    assert opened == [Path(path)] == [files.home.path / "documents" / "budget-2027.pdf"]
    assert files.open_and_get_path("budget") == path


def test_a_program_is_found_and_not_run(home: Home, put: Put) -> None:
    put("tools/setup.EXE", "")
    opened: list[Path] = []
    assert Files(home, opened.append).open_and_get_path("setup") == str(home.path / "tools" / "setup.EXE")
    assert not opened


def test_a_file_that_cannot_be_opened_is_named(files: Files) -> None:
    def fail(path: Path) -> None:
        raise FileNotFoundError(2, "No such program")

    with pytest.raises(ToolCallError, match=r"report\.docx was found but cannot be opened: No such program"):
        Files(files.home, fail).open_and_get_path("report.docx")


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="these always have a display")
def test_there_is_no_opener_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert system_opener() is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has a function for it")
def test_the_opener_passes_the_path_as_one_argument_and_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / ("open" if sys.platform == "darwin" else "xdg-open")
    fifo, strange = tmp_path / "fifo", tmp_path / "a $(touch b); 'c'.txt"
    os.mkfifo(fifo)
    tool.write_text(f'#!/bin/sh\nprintf %s "$1" > "{fifo}"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    opener = system_opener()
    assert opener is not None
    opener(strange)  # returns although the tool hangs until the pipe is read
    assert fifo.read_text() == str(strange)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has a function for it")
def test_an_opener_that_has_gone_raises_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        _files._launch(str(tmp_path / "gone"), tmp_path)
