"""Finding what ``plait voice`` hears and speaks with."""

from __future__ import annotations

import os
from pathlib import Path

from plait.errors import ModelFileError, UnknownModelError
from plait.models._download import pull_files
from plait.models._speech_catalog import SPEECH
from plait.models._store import ProgressCallback, is_verified, model_path


def find_speech(
    name: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    download: bool = True,
    progress: ProgressCallback | None = None,
) -> Path:
    """The folder with the files of a recognizer or a voice, which are fetched if they are not there.

    Raises:
        UnknownModelError: the catalog has no such name.
        ModelFileError: a file is not there, or not what it should be, and ``download`` is false.
        DownloadError: as :func:`plait.models.pull`.
    """
    if name not in SPEECH:
        message = f"no recognizer or voice is named {name!r}; the catalog has: {', '.join(SPEECH)}"
        raise UnknownModelError(message, model=name)
    files = SPEECH[name].files
    if download:
        return pull_files(files, folder=folder, progress=progress).parent
    for spec in files:
        path = model_path(spec, folder)
        if not is_verified(spec, path):
            raise ModelFileError(f"{name}: {path} is not there; run `plait voice --fetch`", model=name)
    return model_path(files[0], folder).parent
