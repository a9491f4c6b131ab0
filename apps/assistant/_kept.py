"""What the user chose in earlier sessions: a small JSON file in the user's folder for configuration."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from filelock import FileLock
from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict, ValidationError

from plait.apps.assistant._settings import Settings
from plait.errors import ConfigurationError

_VERSION = 1
_LOCK_S = 5.0


class KeptSettings(BaseModel):
    """The choices that were kept; what was never chosen is not in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    models: Mapping[str, str] = {}
    """The model by the address of its server; those that run here under the empty one."""
    home: Path | None = None
    tools_off: Mapping[str, tuple[str, ...]] = {}
    """Tools that no plan may call, by the ``module:attribute`` of the user's own; the assistant's under
    the empty one."""
    instructions: str | None = None

    def model_at(self, base_url: str | None) -> str | None:
        """The model that was chosen last of those at this server, or of those that run here."""
        return self.models.get(base_url or "")

    def off_among(self, tools: str | None) -> frozenset[str]:
        """The tools that were turned off among the user's own, or among the assistant's."""
        return frozenset(self.tools_off.get(tools or "", ()))

    def changed(self, before: Settings, after: Settings) -> KeptSettings:
        """These, and what differs between two settings as it is in ``after``."""
        changes: dict[str, object] = {}
        if (before.model, before.base_url) != (after.model, after.base_url):
            changes["models"] = {**self.models, after.base_url or "": after.model}
        if before.home != after.home:
            changes["home"] = after.home.absolute()
        if before.tools_off != after.tools_off:
            off = self.off_among(after.tools) - (before.tools_off - after.tools_off)
            off |= after.tools_off - before.tools_off
            changes["tools_off"] = {**self.tools_off, after.tools or "": tuple(sorted(off))}
        if before.instructions != after.instructions:
            changes["instructions"] = after.instructions
        return self.model_copy(update=changes)


class SettingsFile:
    """The file with the kept settings.

    Several sessions may keep theirs in it: a choice replaces only what was changed. What cannot be read is
    never replaced, since a tool that was turned off must not come back unseen.

    Args:
        path: the file; it and its folder are made when the first choice is kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> KeptSettings:
        """What was kept.

        Raises:
            ConfigurationError: the file cannot be read, is damaged, or a newer plait's.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return KeptSettings()
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable(str(error)) from error
        try:
            document = json.loads(text)
            version = document.get("version") if isinstance(document, dict) else None
            if isinstance(version, int) and version > _VERSION:
                raise self._unreadable(f"it is of version {version}, this plait knows {_VERSION}")
            return KeptSettings.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise self._unreadable(f"{where}: {first['msg']}" if where else first["msg"]) from error
        except ValueError as error:
            raise self._unreadable(f"no JSON: {error}") from error

    def keep(self, before: Settings, after: Settings) -> None:
        """Keep what was changed from ``before`` to ``after``.

        Raises:
            ConfigurationError: as :meth:`read`, or the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=_LOCK_S):
                kept = self.read()
                changed = kept.changed(before, after)
                if changed != kept:
                    self._replace(changed.model_dump_json(indent=2) + "\n")
        except ConfigurationError as error:
            raise ConfigurationError(f"the settings are changed, but not kept: {error}") from error
        except (OSError, ValueError) as error:  # a ValueError: text that is no UTF-8
            raise ConfigurationError(
                f"the settings are changed, but cannot be kept in {self.path} ({error}); make its folder "
                "writable, or name another file in PLAIT_SETTINGS"
            ) from error

    def _replace(self, text: str) -> None:
        """Write the file so that a reader sees the old one or the new one; nobody else may read it."""
        number, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with open(number, "w", encoding="utf-8") as file:  # noqa: PTH123 - an open descriptor
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise

    def _unreadable(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"the kept settings in {self.path} cannot be used ({why}); mend or delete the file, or set "
            "PLAIT_SETTINGS=off"
        )


def open_settings_file() -> SettingsFile | None:
    """The file in ``PLAIT_SETTINGS``, or that of the user; ``None`` where the variable is ``off``."""
    named = os.environ.get("PLAIT_SETTINGS")
    if named == "off":
        return None
    path = Path(named).expanduser() if named else user_config_path("plait", appauthor=False) / "settings.json"
    return SettingsFile(path)
