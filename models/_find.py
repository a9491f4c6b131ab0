"""From what a user calls a model to the files that it is made of."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from plait.errors import ModelFileError
from plait.models._adapter import is_adapter, read_adapter
from plait.models._catalog import CATALOG
from plait.models._download import resolve
from plait.models._store import Progress


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a local model."""

    name: str
    """What to call it."""
    path: Path
    """The GGUF file with its weights."""
    adapter: Path | None = None
    """The GGUF file of the adapter that goes with them, if any."""


def find_model(
    model: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str] | None = None,
    download: bool = True,
    progress: Callable[[Progress], None] | None = None,
) -> ModelFiles:
    """The files of a model: a name of the catalog, the path of a GGUF file, or that of an adapter.

    An adapter says which base it is for: a name of the catalog, or a file that lies beside it.

    Args:
        model: what the user wrote.
        folder: the models folder, if it is not the user's own.
        download: whether a catalog's model that is not there is fetched.
        progress: told of bytes fetched and hashed.

    Raises:
        UnknownModelError: neither a name of the catalog nor a path.
        ModelFileError: a file is missing or is not what it should be; the message says what to do.
        DownloadError: it cannot be fetched.
    """
    path = resolve(model, folder=folder, download=download, progress=progress)
    text = os.fspath(model)
    spec = CATALOG.get(text)
    if spec is not None:
        return ModelFiles(text, path, _packaged(spec.adapter) if spec.adapter else None)
    if not is_adapter(path):
        return ModelFiles(path.stem, path)
    base = read_adapter(path).base_name
    if base in CATALOG:
        found = resolve(base, folder=folder, download=download, progress=progress)
    else:
        found = path.parent / base
        if not base or not found.is_file():
            raise ModelFileError(
                f"the adapter {path} is for {base or 'a base that it does not name'}, which is not beside "
                f"it; put the file into {path.parent}",
                model=str(path),
            )
    return ModelFiles(path.stem, found, path)


def _packaged(name: str) -> Path:
    path = Path(str(files("plait.models") / "adapters" / name))
    if not path.is_file():
        raise ModelFileError(f"the adapter {name} is missing from plait's files; install plait again")
    return path
