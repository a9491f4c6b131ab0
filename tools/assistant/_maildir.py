"""Mail in Maildir folders of the home, as mbsync, OfflineIMAP, mutt and others read and write them."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plait.errors import ToolCallError
from plait.tools.assistant._home import Home
from plait.tools.assistant._internet_mail import MailFolder

if TYPE_CHECKING:
    from mailbox import Maildir

_FLAGS = {"Drafts": "DS", "Sent": "S"}
_COLON = "!" if sys.platform == "win32" else ":"
_DELIVERED = re.compile(r"\d+")


@dataclass(frozen=True)
class MaildirStore:
    """A ``MailStore`` of the folders ``INBOX``, ``Drafts`` and ``Sent`` below ``home.mail``."""

    home: Home

    def newest(self) -> bytes:
        """The message of ``INBOX`` that was delivered last; what is trashed or a draft does not count."""
        inbox = self.home.mail / "INBOX"
        paths = [path for part in ("new", "cur") for path in self._messages(inbox / part)]
        if not paths:
            raise ToolCallError(f"There is no email in {self.home.shown(inbox)}")
        return self.home.read(max(paths, key=_delivered))

    def add(self, message: bytes, folder: MailFolder) -> str:
        """Keep a message, marked as seen; another program sees all of it or nothing."""
        from mailbox import MaildirMessage

        kept = MaildirMessage(message)
        kept.set_subdir("cur")
        kept.set_flags(_FLAGS[folder])
        place = self.home.resolve(self.home.mail / folder)
        try:
            _open(place).add(kept)
        except OSError as error:
            raise ToolCallError(
                f"cannot write to {self.home.shown(place)}: {error.strerror or error}"
            ) from error
        return f"{folder} of {self.home.shown(self.home.mail)}"

    def _messages(self, folder: Path) -> list[Path]:
        try:
            with os.scandir(folder) as entries:
                found = [Path(e.path) for e in entries if not e.name.startswith(".") and e.is_file()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ToolCallError(
                f"cannot read {self.home.shown(folder)}: {error.strerror or error}"
            ) from error
        return [path for path in found if not set(_flags(path)) & {"D", "T"}]


def _open(place: Path) -> Maildir:
    from mailbox import Maildir

    place.parent.mkdir(parents=True, exist_ok=True)
    for part in ("tmp", "new", "cur"):
        (place / part).mkdir(parents=True, exist_ok=True)
    box = Maildir(place, create=False)
    box.colon = _COLON
    return box


def _flags(path: Path) -> str:
    return path.name.partition(f"{_COLON}2,")[2]


def _delivered(path: Path) -> tuple[int, int, str]:
    """When it came in: a name begins with the second, and within it the file's own time decides."""
    second = _DELIVERED.match(path.name)
    try:
        changed_ns = path.stat().st_mtime_ns
    except OSError:  # moved by another program meanwhile
        changed_ns = 0
    return int(second.group()) if second else 0, changed_ns, path.name
