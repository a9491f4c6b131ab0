"""What a folder of a training holds beside its checkpoint, and the adapter in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from plait.errors import ConfigurationError

_FILE = "training.json"


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """What was trained."""

    base: str
    """The base's name in the catalog, or its file's path."""
    path: str
    """The base's file."""
    rank: int
    """Of the low-rank matrices."""
    alpha: float
    """Scale of what the adapter adds, times the rank."""

    @property
    def base_name(self) -> str:
        """What an adapter calls its base: the catalog's name, or the file's."""
        return Path(self.base).name

    def write(self, folder: Path) -> None:
        """Write it into ``folder``.

        Raises:
            ConfigurationError: it cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"{folder} cannot be written ({error}); choose another folder"
            ) from error

    @classmethod
    def read(cls, folder: Path) -> TrainingRecord:
        """That of a training in ``folder``.

        Raises:
            ConfigurationError: there is none.
        """
        path = folder / _FILE
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{path} cannot be read ({error}); give the folder of a training by plait train lora"
            ) from error
