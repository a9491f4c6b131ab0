"""Finding files of the home by name and opening them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from plait.errors import ToolCallError
from plait.tools.assistant._home import Home
from plait.tools.assistant._match import best, did_you_mean, fold, words

Opener: TypeAlias = Callable[[Path | str], None]
"""Shows a file (a path) or a web page (a URL) to the user, and returns at once."""

MAX_FILES = 200_000
_EXTENSION = re.compile(r"\.(?!\d+$)[A-Za-z0-9]{1,5}$")
_RUNNABLE = re.compile(
    r"(?i)\.(app|bat|cmd|com|command|cpl|desktop|exe|hta|jar|jse?|lnk|ms[ci]|pif|ps1|pyw?|reg|scr|sh|tool|url|vb[es]"
    r"|workflow|ws[fh]?)$"
)


@dataclass(frozen=True)
class Files:
    """The files of the home, without contacts, calendars, reminders, notes, mail and what is hidden.

    Args:
        home: where they are.
        opener: opens a file for the user to see; None where there is no one to see it.
    """

    home: Home
    opener: Opener | None = None

    def find(self, file_name: str) -> Path:
        """The absolute path of the file that fits the name best.

        The order: that very path; the same name; the same name in another case; the same name without
        its extension; words of the name; beginnings of words; a close spelling; the same name with
        another extension. Of several that fit equally the newest is taken.

        Args:
            file_name: a name or a path, with or without its extension.

        Raises:
            ToolCallError: nothing fits (the message names what is near), or there are more than
                ``MAX_FILES`` files.
        """
        wanted = file_name.strip().strip("\"'").replace("\\", "/").rstrip("/")
        name = wanted.rpartition("/")[2]
        if not words(name):
            raise ToolCallError(f"{file_name!r} is no file name; give the name of a file")
        paths = list(self._walk())
        found = self._at(wanted, paths) or _named(name, paths)
        if not found:
            raise ToolCallError(f"No file matches {file_name!r}{did_you_mean(name, (p.name for p in paths))}")
        return min(found, key=_newest_first)

    def open_and_get_path(self, file_name: str) -> str:
        """Open the file that fits the name best, as ``find``, and return its absolute path.

        A program or a script is never opened, since that would run it; its path is returned.

        Raises:
            ToolCallError: as ``find``, or the file cannot be opened.
        """
        path = self.find(file_name)
        if self.opener and not _RUNNABLE.search(path.name):
            try:
                self.opener(path)
            except OSError as error:
                raise ToolCallError(
                    f"{path} was found but cannot be opened: {error.strerror or error}"
                ) from error
        return str(path)

    def _at(self, wanted: str, paths: list[Path]) -> list[Path]:
        """The files at that very path, absolute or from the home, or at the end of a longer path."""
        if "/" not in wanted:
            return []
        ending = fold(f"/{wanted.lstrip('/')}")
        exact = [path for path in paths if path == self.home.path / wanted]
        return exact or [path for path in paths if fold(f"/{self.home.shown(path)}").endswith(ending)]

    def _walk(self) -> Iterator[Path]:
        """All files, folder by folder; a folder that may not be read counts as empty."""
        apart = [path for path in self.home.kept_apart if path.exists()]
        folders, n_files = [self.home.path], 0
        while folders:
            folder = folders.pop()
            for entry in _entries(folder):
                if entry.is_dir(follow_symlinks=False):
                    if folder != self.home.path or not any(Path(entry.path).samefile(p) for p in apart):
                        folders.append(Path(entry.path))
                elif entry.is_file() and (not entry.is_symlink() or self.home.contains(Path(entry.path))):
                    n_files += 1
                    if n_files > MAX_FILES:
                        raise ToolCallError(
                            f"{self.home.path} has more than {MAX_FILES} files; choose a smaller home"
                        )
                    yield Path(entry.path)


def system_opener() -> Opener | None:
    """A function that opens a file or a URL with the platform's default application and returns at once.

    None where there is no display or no tool to do it.
    """
    if sys.platform == "win32":
        return os.startfile
    else:
        has_display = sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
        command = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
        return partial(_launch, command) if has_display and command else None


def _launch(command: str, target: Path | str) -> None:
    """Start ``command target`` detached: no shell, no terminal of ours, a thread of its own to reap it.

    Raises:
        OSError: it cannot be started.
    """
    process = subprocess.Popen(  # noqa: S603
        [command, str(target)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    threading.Thread(target=process.wait, name=f"reaper of {command}", daemon=True).start()


def _named(name: str, paths: list[Path]) -> list[Path]:
    """The files of the first level on which one fits the name."""
    folded, extension = fold(name), _EXTENSION.search(name)
    stem = name[: extension.start()] if extension else name
    suffix = fold(extension.group()) if extension else None
    asked = set(words(name))
    alike = [p for p in paths if suffix in {None, fold(p.suffix)}]
    return (
        [p for p in paths if p.name == name]
        or [p for p in paths if fold(p.name) == folded]
        or [p for p in alike if fold(p.stem) == fold(stem)]
        or best(stem, ((called, p) for p in alike for called in _names(p, asked)))
        or [p for p in paths if words(p.stem) == words(stem)]
    )


def _names(path: Path, asked: set[str]) -> Iterator[str]:
    """The name without its extension, and with it where the extension is a word that was asked for."""
    yield path.stem
    if fold(path.suffix[1:]) in asked:
        yield path.name


def _newest_first(path: Path) -> tuple[int, str]:
    try:
        changed_ns = path.stat().st_mtime_ns
    except OSError:  # it has just gone
        changed_ns = 0
    return -changed_ns, path.as_posix()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []
