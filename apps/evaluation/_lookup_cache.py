"""What was looked up, kept on disk: one JSON file a query."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from plait.errors import ConfigurationError


class Page(BaseModel):
    """A page's title and its lead section as plain text; the text of a disambiguation page is empty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    text: str


class LookupEntry(BaseModel):
    """What is kept of a query."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    api: str
    query: str
    exact: Page | None
    """The page of that name, redirects followed."""
    hits: tuple[Page, ...] = ()
    """Where there is none: pages that a search finds, best first."""


class LookupCache:
    """One JSON file a query, named by its hash; what cannot be read counts as not there.

    Raises:
        ConfigurationError: it is to be written to, and the folder cannot be made.
    """

    def __init__(self, folder: Path, *, writable: bool) -> None:
        self._folder = folder
        if writable:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigurationError(
                    f"the cache folder {folder} cannot be made ({error.strerror or error}); choose another"
                ) from error

    def read(self, api: str, query: str) -> LookupEntry | None:
        """What was found for ``query``, if it was looked up."""
        try:
            entry = LookupEntry.model_validate_json(self._path(api, query).read_bytes())
        except (OSError, ValidationError):
            return None
        return entry if (entry.api, entry.query) == (api, query) else None

    def write(self, entry: LookupEntry) -> None:
        """Keep ``entry``; readers see the old file or the new one, never half of one."""
        path = self._path(entry.api, entry.query)
        with suppress(OSError):  # a full disk costs the next run a lookup, not this one its answer
            handle, name = tempfile.mkstemp(dir=self._folder, prefix=path.stem, suffix=".new")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(entry.model_dump_json(indent=1) + "\n")
                Path(name).replace(path)
            finally:
                Path(name).unlink(missing_ok=True)

    def _path(self, api: str, query: str) -> Path:
        name = hashlib.sha256(f"{api}\n{query}".encode()).hexdigest()
        return self._folder / f"{name[:32]}.json"
