"""The home folder: where the assistant's files live, and the one safe way to change them."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from plait.errors import ConfigurationError, MissingExtraError, ToolCallError

LOCK_TIMEOUT_S = 10.0
MAX_NAME_BYTES = 200

_SUBSTITUTES = str.maketrans({"/": "-", "\\": "-", "|": "-", ":": "-", '"': "'", "<": "(", ">": ")"})
_DROPPED = re.compile(r"[?*]")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])[ ]*(\.|$)")
_JOINERS = "\u200c\u200d"  # format characters that Persian, Indic scripts and emoji need


@dataclass(frozen=True)
class Home:
    """A folder that holds contacts, calendars, reminders, notes, mail and any other files.

    Nothing is created before the first write. ``path`` is made absolute and its links are resolved.

    Raises:
        ConfigurationError: ``path`` is a file, or no path that can be resolved.
    """

    path: Path

    def __post_init__(self) -> None:
        try:
            root = Path(self.path).expanduser().resolve()
        except (OSError, RuntimeError, ValueError) as error:  # an unknown user, link loops, NUL characters
            raise ConfigurationError(f"the home {str(self.path)!r} is not a usable path: {error}") from error
        if root.exists() and not root.is_dir():
            raise ConfigurationError(f"the home {root} is not a folder; choose a folder")
        object.__setattr__(self, "path", root)

    @property
    def contacts(self) -> Path:
        """The folder of ``*.vcf`` files, each with one or many cards."""
        return self.path / "contacts"

    @property
    def calendars(self) -> Path:
        """The folder of ``<calendar name>.ics`` files."""
        return self.path / "calendars"

    @property
    def reminders(self) -> Path:
        """The folder of ``<list name>.ics`` files."""
        return self.path / "reminders"

    @property
    def notes(self) -> Path:
        """The folder of ``<name>.md`` and ``<folder>/<name>.md`` files."""
        return self.path / "notes"

    @property
    def mail(self) -> Path:
        """The folder of Maildir folders: ``INBOX``, ``Drafts``, ``Sent``."""
        return self.path / "mail"

    @property
    def kept_apart(self) -> frozenset[Path]:
        """The folders that a search for files leaves out."""
        return frozenset({self.contacts, self.calendars, self.reminders, self.notes, self.mail})

    def resolve(self, path: Path | str) -> Path:
        """The absolute path with its links followed; a relative one starts at the home.

        Raises:
            ToolCallError: it lies outside the home, or is no path at all.
        """
        try:
            resolved = (self.path / path).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # link loops, NUL characters
            raise ToolCallError(f"{str(path)!r} is not a usable path: {error}") from error
        if not resolved.is_relative_to(self.path):
            raise ToolCallError(f"{str(path)!r} is outside the home folder {self.path}; use a file inside it")
        return resolved

    def contains(self, path: Path) -> bool:
        """Whether ``path``, its links followed, lies inside the home."""
        try:
            self.resolve(path)
        except ToolCallError:
            return False
        return True

    def read(self, path: Path) -> bytes:
        """The bytes of a file inside the home.

        Raises:
            ToolCallError: it is outside the home or cannot be read.
        """
        target = self.resolve(path)
        try:
            return target.read_bytes()
        except OSError as error:
            raise ToolCallError(f"cannot read {self.shown(path)}: {_reason(error)}") from error

    def update(self, path: Path, change: Callable[[bytes | None], bytes]) -> None:
        """Replace a file by ``change(its bytes)``, or by ``change(None)`` where there is none.

        The file is locked meanwhile, so that no update of another thread or process is lost, and
        replaced at once, so that a reader sees the old or the new bytes. A link inside the home is
        followed.

        Raises:
            ToolCallError: the path leaves the home, the lock is not free within ``LOCK_TIMEOUT_S``,
                or the file cannot be read or written.
        """
        target = self.resolve(path)
        with self._locked(target):
            data = change(self.read(target) if target.exists() else None)
            try:
                atomic_write(target, data)
            except OSError as error:
                raise ToolCallError(f"cannot write {self.shown(path)}: {_reason(error)}") from error

    def shown(self, path: Path) -> str:
        """The path as messages name it: relative to the home, with forward slashes."""
        return path.relative_to(self.path).as_posix() if path.is_relative_to(self.path) else str(path)

    @contextmanager
    def _locked(self, target: Path) -> Iterator[None]:
        # Names are folded, since some file systems hold "Work.ics" and "work.ics" to be one file.
        key = name_key(self.shown(target))
        folder = self.resolve(".plait/locks")
        lock = FileLock(
            folder / f"{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.lock",
            timeout=LOCK_TIMEOUT_S,
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise ToolCallError(
                f"{self.shown(target)} is being changed by another program; try again in a moment"
            ) from error
        except OSError as error:
            raise ToolCallError(f"cannot lock {self.shown(target)}: {_reason(error)}") from error
        try:
            yield
        finally:
            lock.release()


def atomic_write(path: Path, data: str | bytes) -> None:
    """Write a whole file such that a crash leaves the old one or the new one, never a part.

    Text is written as UTF-8 with its newlines as they are. Folders are created as needed; the mode of
    a file that is there is kept.

    Raises:
        OSError: it cannot be written; the old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".plait-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def safe_name(text: str, what: str) -> str:
    """A name that is one valid file name on every platform, as close to ``text`` as that allows.

    Separators and the like become dashes; white space is folded; leading and trailing dots go.

    Args:
        text: what the user or the model gave.
        what: what it names, for the message, e.g. ``"note name"``.

    Raises:
        ToolCallError: nothing readable stays, it climbs out of its folder, holds control characters,
            is reserved on Windows, or is longer than ``MAX_NAME_BYTES`` bytes of UTF-8.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if ".." in re.split(r"[/\\]", name):
        raise ToolCallError(f"the {what} {text!r} leaves its folder; give a plain name")
    name = "".join(c for c in name if c in _JOINERS or unicodedata.category(c) != "Cf")
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in name):
        raise ToolCallError(
            f"the {what} {text!r} has characters that no file name can hold; give a plain name"
        )
    name = _DROPPED.sub("", name.translate(_SUBSTITUTES)).strip(". ")
    if not any(unicodedata.category(c)[0] in "LNS" for c in name):
        raise ToolCallError(f"the {what} {text!r} has no letters or digits; give a name")
    if _RESERVED.match(name):
        raise ToolCallError(f"the {what} {text!r} is reserved by Windows; give another name")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ToolCallError(
            f"the {what} {text[:40]!r}... has {len(name.encode())} bytes, the limit is {MAX_NAME_BYTES}; "
            "give a shorter name"
        )
    return name


def name_key(name: str) -> str:
    """What two names have in common that some file systems hold to be one."""
    return unicodedata.normalize("NFC", name).casefold()


@contextmanager
def needs(package: str) -> Iterator[None]:
    """Turn a failed import of ``package`` into a ``MissingExtraError`` that names the extra."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(package, "assistant") from error


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
