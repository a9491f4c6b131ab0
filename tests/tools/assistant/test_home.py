from __future__ import annotations

import os
import stat
import threading
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import ConfigurationError, ToolCallError
from plait.tools.assistant import Home, _home
from plait.tools.assistant._home import MAX_NAME_BYTES, atomic_write, safe_name

symlinks = pytest.mark.skipif(os.name == "nt", reason="making links needs a privilege on Windows")


def test_nothing_is_created_before_the_first_write(home: Home) -> None:
    assert not home.contains(Path("/etc/passwd"))
    assert not home.path.exists()


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError, match="choose a folder"):
        Home(tmp_path / "file")
    with pytest.raises(ConfigurationError, match="not a usable path"):
        Home(Path("a\0b"))


@pytest.mark.parametrize("path", ["..", "../other", "a/../../b", "/etc/passwd", "a\0b"])
def test_a_path_outside_the_home_is_refused(home: Home, path: str) -> None:
    with pytest.raises(ToolCallError):
        home.resolve(path)


def test_an_update_sees_the_old_bytes_and_leaves_no_other_file(home: Home) -> None:
    seen: list[bytes | None] = []

    def change(raw: bytes | None) -> bytes:
        seen.append(raw)
        return b"new"

    path = home.notes / "a.md"
    home.update(path, change)
    home.update(path, change)
    assert seen == [None, b"new"]
    assert [p.name for p in home.notes.iterdir()] == ["a.md"]


def test_updates_of_many_threads_are_all_kept(home: Home) -> None:
    path = home.notes / "count"
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(5):
            home.update(path, lambda raw: str(int(raw or b"0") + 1).encode())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == b"40"


def test_a_file_that_stays_locked_gives_an_error_that_says_so(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home.notes / "a.md"
    home.update(path, lambda _: b"x")
    (lock,) = (home.path / ".plait" / "locks").iterdir()
    monkeypatch.setattr(_home, "LOCK_TIMEOUT_S", 0)
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with FileLock(lock):
            held.set()
            free.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    try:
        with pytest.raises(ToolCallError, match=r"notes/a\.md is being changed"):
            home.update(path, lambda _: b"y")
    finally:
        free.set()
        thread.join()
    assert path.read_bytes() == b"x"


def test_a_failing_change_leaves_the_file_and_frees_the_lock(home: Home) -> None:
    path = home.notes / "a.md"
    home.update(path, lambda _: b"x")

    def fail(raw: bytes | None) -> bytes:
        raise ToolCallError("no")

    with pytest.raises(ToolCallError, match="no"):
        home.update(path, fail)
    home.update(path, lambda raw: (raw or b"") + b"y")
    assert path.read_bytes() == b"xy"


@symlinks
def test_a_link_that_leaves_the_home_is_not_written_through(home: Home, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    home.notes.mkdir(parents=True)
    (home.notes / "out").symlink_to(outside)
    with pytest.raises(ToolCallError, match="outside the home"):
        home.update(home.notes / "out" / "a.md", lambda _: b"x")
    assert not list(outside.iterdir())


@symlinks
def test_a_link_inside_the_home_is_written_through(home: Home) -> None:
    home.notes.mkdir(parents=True)
    (home.notes / "real.md").write_bytes(b"old")
    (home.notes / "link.md").symlink_to("real.md")
    home.update(home.notes / "link.md", lambda raw: (raw or b"") + b" new")
    assert (home.notes / "link.md").is_symlink()
    assert (home.notes / "real.md").read_bytes() == b"old new"


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_an_atomic_write_keeps_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    atomic_write(path, "né\r\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.read_bytes() == "né\r\n".encode()


def test_an_atomic_write_that_fails_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic_write(path, "new")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_a_full_disk_is_told_by_the_name_of_the_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_home, "atomic_write", full)
    with pytest.raises(ToolCallError, match=r"cannot write notes/a\.md: No space left on device"):
        home.update(home.notes / "a.md", lambda _: b"x")


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("Q3/Q4 plan", "Q3-Q4 plan"),
        ("  two\n words\t", "two words"),
        ("What next?", "What next"),
        ('The "big" <one>', "The 'big' (one)"),
        (".hidden.", "hidden"),
        ("C:\\temp", "C--temp"),
        ("e\u0301te\u0301", "été"),
        ("\u202egpj.exe", "gpj.exe"),
        ("👩\u200d🔬 lab", "👩\u200d🔬 lab"),
        ("日記", "日記"),
        ("console", "console"),
    ],
)
def test_readable_names_are_kept_as_far_as_they_are_safe(given_name: str, name: str) -> None:
    assert safe_name(given_name, "note name") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "..",
        ".",
        "../x",
        "a/../../x",
        "..\\x",
        "a\0b",
        "CON",
        "nul.txt",
        "com1",
        "LPT¹",
        "x" * 201,
        "???",
        "\ud800",
        "é" * 101,
        "aux ",
        "---",
    ],
)
def test_names_that_stay_unsafe_are_refused(name: str) -> None:
    with pytest.raises(ToolCallError, match="note name"):
        safe_name(name, "note name")


@given(st.text(max_size=250))
def test_a_safe_name_is_one_plain_file_name_everywhere(text: str) -> None:
    try:
        name = safe_name(text, "note name")
    except ToolCallError:
        return
    assert PurePosixPath(name).name == name == PureWindowsPath(name).name
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert not name.startswith(".")
    assert not name.endswith((".", " "))
    assert safe_name(name, "note name") == name
