"""A run on disk: what it was run with, and one line for every item that was tried."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from plait.apps.evaluation._types import ItemRecord, RunConfig, RunIdentity
from plait.errors import ConfigurationError

_CONFIG, _ITEMS, _LOCK = "config.json", "items.jsonl", ".lock"
_NEW_CONFIG = "config.json.new"
_FORMAT = 1
"""Of the run folders that this version reads and writes."""


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """A run folder as it was read."""

    path: Path
    label: str
    """What a table calls it: model and planner."""
    config: RunConfig
    items: dict[str, ItemRecord]
    """The last record of every item, by the item's id, in the order of their first trial."""


def load_run(path: Path) -> LoadedRun:
    """Read a run folder.

    Raises:
        ConfigurationError: it is no run folder, or something in it cannot be read.
    """
    config = _read_config(path)
    label = f"{config.identity.model.name} {config.identity.planner}"
    return LoadedRun(path, label, config, {record.id: record for record in _read_items(path / _ITEMS)})


class RunFolder:
    """A run folder that is being filled; one process at a time.

    Args:
        path: the folder, made where it does not exist.
        config: of this run. Where the folder has one already, their identities must be the same.

    Raises:
        ConfigurationError: the folder holds another configuration's items, another process fills it,
            or it cannot be read or written.
    """

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        with _writing(path):
            path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(path)
        try:
            self.config = self._adopt(config)
            self.done = {record.id: record for record in _read_items(path / _ITEMS)}
            """The last record of every item that was tried."""
            self._file = self._open()
        except BaseException:
            self._lock.release()
            raise

    def add(self, record: ItemRecord) -> None:
        """Keep a record; it is on disk when this returns."""
        with _writing(self.path):
            self._file.write(_line(record))
            self._file.flush()
            os.fsync(self._file.fileno())
        self.done[record.id] = record

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with _writing(self.path):
                self._file.close()
        finally:
            self._lock.release()

    def _adopt(self, config: RunConfig) -> RunConfig:
        """The folder's configuration; this one, where it has none."""
        if not (self.path / _CONFIG).exists():
            if (self.path / _ITEMS).exists():
                raise ConfigurationError(
                    f"{self.path} has items and no {_CONFIG}, so that nobody knows what made them; "
                    "choose another --out"
                )
            return self._write_config(config)
        found = _checked_config(self.path, config)
        if config.prices not in (None, found.prices):  # they decide no outcome, so the last ones given count
            return self._write_config(found.model_copy(update={"prices": config.prices}))
        return found

    def _write_config(self, config: RunConfig) -> RunConfig:
        with _writing(self.path):
            new = self.path / _NEW_CONFIG
            new.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
            new.replace(self.path / _CONFIG)
        return config

    def _open(self) -> IO[str]:
        """The file of items, for appending; a line that a crash tore is cut off."""
        with _writing(self.path):
            path = self.path / _ITEMS
            data = path.read_bytes() if path.exists() else b""
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.truncate(path, whole)
            # A model may write half of a character, which no encoding can.
            return path.open("a", encoding="utf-8", errors="replace", newline="\n")


def _line(record: ItemRecord) -> str:
    return json.dumps(record.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":")) + "\n"


def remove_run(path: Path) -> None:
    """Delete a run's records and configuration, and nothing else in its folder.

    Raises:
        ConfigurationError: the folder holds files and is no run folder, another process fills it, or it
            cannot be written.
    """
    if not path.exists():
        return
    with _writing(path):
        others = {file.name for file in path.iterdir()} - {_LOCK, _NEW_CONFIG}
        if others and _CONFIG not in others:
            raise ConfigurationError(
                f"{path} is no run folder, so nothing in it is deleted; choose another --out"
            )
        lock = _locked(path)
        try:
            for name in (_CONFIG, _NEW_CONFIG, _ITEMS):
                (path / name).unlink(missing_ok=True)
        finally:
            lock.release()


def check_run(path: Path, config: RunConfig) -> None:
    """Check that the run folder ``path``, if there is one, can go on with ``config``.

    Raises:
        ConfigurationError: it was made with another configuration, or cannot be read.
    """
    if (path / _CONFIG).exists():
        _checked_config(path, config)


def _checked_config(path: Path, config: RunConfig) -> RunConfig:
    """The configuration of the run folder, which ``config`` does not contradict."""
    found = _read_config(path)
    differences = _differences(found.identity, config.identity)
    if differences:
        raise ConfigurationError(
            f"{path} was made with another configuration ({'; '.join(differences)}), and runs "
            "do not mix; choose another --out, or start it anew with --fresh"
        )
    return found


def find_runs(path: Path) -> list[Path]:
    """``path`` if it is a run folder, or else the run folders in it that have items, by name.

    Raises:
        ConfigurationError: there are none.
    """
    if (path / _CONFIG).is_file():
        return [path]
    configs = sorted(path.rglob(_CONFIG)) if path.is_dir() else []
    found = [config.parent for config in configs if (config.parent / _ITEMS).is_file()]
    found = [folder for folder in found if (folder / _ITEMS).stat().st_size]
    if not found:
        raise ConfigurationError(f"{path} has no run in it; give the folder that plait eval wrote to")
    return found


def _read_config(path: Path) -> RunConfig:
    try:
        text = (path / _CONFIG).read_text(encoding="utf-8")
        _check_format(path, json.loads(text))
        return RunConfig.model_validate_json(text)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path} is no run folder: it has no {_CONFIG}; give the folder that plait eval wrote to"
        ) from error
    except (OSError, ValueError) as error:
        why = "made by another version of plait, or damaged" if isinstance(error, ValueError) else str(error)
        raise ConfigurationError(
            f"{path / _CONFIG} cannot be read ({why}); run the evaluation anew"
        ) from error


def _check_format(path: Path, config: Any) -> None:
    found = config.get("format") if isinstance(config, dict) else None
    if isinstance(found, int) and found != _FORMAT:
        raise ConfigurationError(
            f"{path} is a run folder of format {found}, and this version of plait reads format {_FORMAT}; "
            "use the version that made it, or run the evaluation anew"
        )


def _read_items(path: Path) -> Iterator[ItemRecord]:
    """The records in order; a last line without its end was torn by a crash, and is left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error}); mend its permissions") from error
    for number, line in enumerate(text.split("\n")[:-1], 1):
        try:
            yield ItemRecord.model_validate_json(line)
        except ValidationError as error:
            raise ConfigurationError(
                f"{path}, line {number} is no record of an item; delete the line to have the item tried again"
            ) from error


def _differences(found: RunIdentity, wanted: RunIdentity) -> list[str]:
    old, new = found.model_dump(mode="json"), wanted.model_dump(mode="json")
    flat_old, flat_new = (
        {**{k: v for k, v in d.items() if k != "model"}, **{f"model.{k}": v for k, v in d["model"].items()}}
        for d in (old, new)
    )
    return [
        f"{key}: {json.dumps(flat_old[key])} there, {json.dumps(flat_new[key])} here"
        for key in flat_new
        if flat_old[key] != flat_new[key]
    ]


def _locked(path: Path) -> FileLock:
    """The lock of the run folder, taken."""
    lock = FileLock(path / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigurationError(
            f"{path} is being filled by another process; wait for it, or choose another --out"
        ) from error
    return lock


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"the run folder {path} cannot be written ({error.strerror or error}); choose another --out"
        ) from error
