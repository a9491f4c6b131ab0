"""What recognizes recordings: what it needs, and that it loads nothing before it is used."""

import subprocess
import sys
from pathlib import Path

import pytest

from plait.apps.voice._dictation import Dictation, whisper_obstacle

HEAVY = ("faster_whisper", "ctranslate2", "onnxruntime", "av", "soxr")


def test_nothing_heavy_is_imported_before_the_first_recording() -> None:
    code = (
        "import sys\n"
        "from plait.apps.voice._dictation import Dictation\n"
        "from plait.apps.web import create_app\n"
        "Dictation().obstacle\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


def test_without_the_extra_the_obstacle_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    assert (
        Dictation().obstacle == "faster-whisper is not installed; install it with: pip install 'plait[voice]'"
    )


def test_without_the_weights_the_obstacle_says_how_to_fetch_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert whisper_obstacle() == ""
    monkeypatch.setenv("PLAIT_MODELS", str(tmp_path))
    assert "is not there; run `plait voice --fetch`" in whisper_obstacle()
