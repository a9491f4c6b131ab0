import errno
import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from plait.apps.evaluation import _packages
from plait.apps.evaluation._packages import BenchmarkPackage, unpacked
from plait.errors import DownloadError
from plait.models._pip import PipError


def wheel_bytes() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("sample_data/items.json", "[1, 2]")
        archive.writestr("sample_data-1.0.dist-info/METADATA", "Name: sample-data")
    return file.getvalue()


WHEEL = wheel_bytes()
PACKAGE = BenchmarkPackage("sample-data", "1.0", hashlib.sha256(WHEEL).hexdigest())


class FakePip:
    """Delivers a wheel, and counts how often it is asked."""

    def __init__(self, content: bytes = WHEEL, failure: Exception | None = None) -> None:
        self.content = content
        self.failure = failure
        self.asked: list[tuple[str, str]] = []

    def __call__(self, wanted: Sequence[tuple[str, str]], target: Path) -> None:
        self.asked += wanted
        if self.failure is not None:
            raise self.failure
        (target / "sample_data-1.0-py3-none-any.whl").write_bytes(self.content)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> FakePip:
    fake = FakePip()
    monkeypatch.setattr(_packages, "pip_download", fake)
    return fake


def test_a_package_is_fetched_once_and_unpacked(tmp_path: Path, pip: FakePip) -> None:
    folder = unpacked(PACKAGE, tmp_path / "new")
    assert (folder / "sample_data" / "items.json").read_text(encoding="utf-8") == "[1, 2]"
    assert unpacked(PACKAGE, tmp_path / "new") == folder
    assert pip.asked == [("sample-data", "1.0")]


def test_the_wheel_is_not_kept(tmp_path: Path, pip: FakePip) -> None:
    unpacked(PACKAGE, tmp_path)
    assert not list(tmp_path.rglob("*.whl"))


def test_a_package_that_is_there_needs_no_network(tmp_path: Path, pip: FakePip) -> None:
    folder = unpacked(PACKAGE, tmp_path)
    pip.failure = PipError("no network")
    assert unpacked(PACKAGE, tmp_path) == folder


def test_a_wheel_of_another_hash_is_deleted_and_told(tmp_path: Path, pip: FakePip) -> None:
    pip.content = b"something else"
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(DownloadError, match=rf"SHA-256 {found}, not {PACKAGE.sha256}; it was deleted"):
        unpacked(PACKAGE, tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_without_a_network_the_fix_is_told_and_the_next_call_tries_again(
    tmp_path: Path, pip: FakePip
) -> None:
    pip.failure = PipError("pip failed for sample-data==1.0: no route to host")
    with pytest.raises(DownloadError, match=r"no route to host.*run this once with a connection"):
        unpacked(PACKAGE, tmp_path)
    pip.failure = None
    assert (unpacked(PACKAGE, tmp_path) / "sample_data").is_dir()


def test_pip_without_the_wheel_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_packages, "pip_download", lambda wanted, target: None)
    with pytest.raises(DownloadError, match=r"pip fetched no wheel of sample-data==1.0"):
        unpacked(PACKAGE, tmp_path)


def test_a_folder_that_was_unpacked_only_in_part_is_built_anew(tmp_path: Path, pip: FakePip) -> None:
    folder = unpacked(PACKAGE, tmp_path)
    (folder / ".complete").unlink()
    shutil.rmtree(folder / "sample_data")
    (folder / "left over").touch()
    (tmp_path / "sample-data-1.0.wheels").mkdir()  # of a process that was killed
    assert unpacked(PACKAGE, tmp_path) == folder
    assert (folder / "sample_data" / "items.json").exists()
    assert not (folder / "left over").exists()
    assert len(pip.asked) == 2


def test_a_full_disk_while_pip_writes_is_told_with_its_own_fix(tmp_path: Path, pip: FakePip) -> None:
    failure = PipError("pip failed for sample-data==1.0: No space left on device")
    failure.is_disk_full = True
    pip.failure = failure
    with pytest.raises(DownloadError, match=r"No space left on device.*make room there") as caught:
        unpacked(PACKAGE, tmp_path)
    assert "connection" not in str(caught.value)


def test_a_full_disk_while_unpacking_is_told_and_leaves_nothing_that_counts_as_complete(
    tmp_path: Path, pip: FakePip, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: zipfile.ZipFile, path: Path) -> None:
        path.mkdir()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(zipfile.ZipFile, "extractall", full)
    with pytest.raises(
        DownloadError, match=r"sample-data cannot be unpacked into .*No space left.*make room"
    ):
        unpacked(PACKAGE, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(_packages, "pip_download", pip)
    assert (unpacked(PACKAGE, tmp_path) / "sample_data" / "items.json").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, pip: FakePip) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"cannot be unpacked into .*XDG_CACHE_HOME"):
        unpacked(PACKAGE, tmp_path / "file")
    assert pip.asked == []


def test_two_versions_of_a_package_live_side_by_side(tmp_path: Path, pip: FakePip) -> None:
    folder = unpacked(PACKAGE, tmp_path)
    (folder / "mine").touch()
    with pytest.raises(DownloadError, match=r"no wheel of sample-data==2.0"):
        unpacked(BenchmarkPackage("sample-data", "2.0", PACKAGE.sha256), tmp_path)
    assert (folder / "mine").exists()
