"""How a model file that cannot be used is reported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plait.errors import ModelFileError


def file_error(path: Path, problem: str, fix: str, name: str | None = None) -> ModelFileError:
    """The error that says in one sentence what is wrong with the file and what to do."""
    return ModelFileError(f"{path}: {problem}; {fix}", model=name or str(path))


@contextmanager
def file_errors(path: Path, name: str | None = None) -> Iterator[None]:
    """Turn what the file system refuses into a ModelFileError."""
    try:
        yield
    except OSError as error:
        fix = "check the permissions, and that no other program has it open"
        raise file_error(path, error.strerror or str(error), fix, name) from error
