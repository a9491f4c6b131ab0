"""Settings that are kept between sessions: what is kept, what goes before it, and files that are no good."""

import json
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plait.apps._begin import Chosen, begin_settings
from plait.apps._output import Output
from plait.apps.assistant import KeptSettings, Session, Settings, SettingsFile, open_settings_file
from plait.errors import ConfigurationError, UnknownModelError
from plait.models import DEFAULT_MODEL

HOME = Path(__file__).parents[3] / "examples" / "home"


@pytest.fixture
def file(tmp_path: Path) -> SettingsFile:
    return SettingsFile(tmp_path / "new" / "settings.json")


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLAIT_HOME", raising=False)


def begin(file: SettingsFile | None, **chosen: Any) -> Settings:
    return begin_settings(Chosen(**chosen), file, Output(as_json=False))


def test_before_anything_was_chosen_the_defaults_stand(file: SettingsFile) -> None:
    assert begin(file, home=HOME) == Settings(HOME, DEFAULT_MODEL)
    assert not file.path.exists()


def test_what_was_changed_is_there_in_the_next_session(
    file: SettingsFile, capfd: pytest.CaptureFixture[str]
) -> None:
    first = begin(file, home=HOME)
    changed = replace(
        first, model="smollm2-135m", tools_off=frozenset({"send_sms"}), instructions="Be brief."
    )
    file.keep(first, changed)
    assert begin(file, home=HOME) == changed
    told = " ".join(capfd.readouterr().err.split())
    assert "model, tools off, instructions" in told
    assert "settings.json" in told


def test_only_what_was_changed_is_kept_so_that_two_sessions_do_not_undo_each_other(
    file: SettingsFile,
) -> None:
    first = begin(file, home=HOME, model="given")
    file.keep(first, replace(first, instructions="Be brief."))
    file.keep(first, replace(first, tools_off=frozenset({"send_sms"})))
    file.keep(first, replace(first, tools_off=frozenset({"create_note"})))
    kept = file.read()
    assert (kept.instructions, kept.off_among(None)) == ("Be brief.", {"send_sms", "create_note"})
    assert (kept.models, kept.home) == ({}, None)
    second = replace(first, tools_off=frozenset({"create_note"}))
    file.keep(second, first)
    assert file.read().off_among(None) == {"send_sms"}


def test_options_go_before_what_was_kept(file: SettingsFile, tmp_path: Path) -> None:
    first = begin(file, home=HOME)
    file.keep(first, replace(first, home=tmp_path, model="kept", instructions="Kept."))
    begun = begin(file, home=HOME, model="given", instructions="")
    assert (begun.home, begun.model, begun.instructions) == (HOME, "given", "")
    assert begin(file).home == tmp_path


def test_the_variable_for_the_home_goes_before_what_was_kept(
    file: SettingsFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begin(file, home=HOME)
    file.keep(first, replace(first, home=tmp_path))
    monkeypatch.setenv("PLAIT_HOME", str(HOME))
    assert begin(file).home == HOME


def test_a_model_belongs_to_its_server_and_tools_that_are_off_to_their_toolbox(file: SettingsFile) -> None:
    served = begin(file, home=HOME, model="a", base_url="http://localhost:1/v1")
    file.keep(served, replace(served, model="b"))
    file.keep(served, replace(served, tools_off=frozenset({"send_sms"})))
    assert begin(file, home=HOME).model == DEFAULT_MODEL
    assert begin(file, home=HOME, base_url="http://localhost:1/v1").model == "b"
    assert file.read().off_among("shop:TOOLS") == frozenset()


def test_a_tool_that_is_no_longer_there_is_named_and_left_out(
    file: SettingsFile, capfd: pytest.CaptureFixture[str]
) -> None:
    first = begin(file, home=HOME)
    file.keep(first, replace(first, tools_off=frozenset({"send_sms", "send_fax"})))
    assert begin(file, home=HOME).tools_off == {"send_sms"}
    assert "no longer there: send_fax" in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[]", "valid dictionary"),
        ("{}", ""),
        ('{"version": 2}', "it is of version 2, this plait knows 1"),
        ('{"version": 1, "colour": "red"}', "colour"),
        ('{"version": 1, "tools_off": {"": 3}}', "tools_off"),
        ("\udcff", "utf-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_the_fix_and_never_replaced(
    file: SettingsFile, text: str, said: str
) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(text.encode("utf-8", "surrogateescape"))
    if not said:  # nothing was ever chosen
        assert file.read() == KeptSettings()
        return
    with pytest.raises(
        ConfigurationError, match=r"mend or delete the file, or set PLAIT_SETTINGS=off"
    ) as told:
        begin(file, home=HOME)
    assert said in str(told.value)
    first = Settings(HOME)
    with pytest.raises(ConfigurationError):
        file.keep(first, replace(first, model="other"))
    assert file.path.read_bytes() == text.encode("utf-8", "surrogateescape")


def test_a_folder_that_cannot_be_written_is_told_and_the_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    file = SettingsFile(tmp_path / "file" / "settings.json")
    first = Settings(HOME)
    with pytest.raises(ConfigurationError, match="PLAIT_SETTINGS"):
        file.keep(first, replace(first, model="other"))


def test_what_has_no_form_in_the_file_is_told_and_the_old_file_stays(file: SettingsFile) -> None:
    first = Settings(HOME)
    file.keep(first, replace(first, instructions="Be brief."))
    with pytest.raises(ConfigurationError, match="are changed, but cannot be kept"):
        file.keep(first, replace(first, instructions="a lone surrogate: \udcff"))
    assert file.read().instructions == "Be brief."


def test_the_file_is_whole_alone_in_its_folder_and_nobody_elses(file: SettingsFile) -> None:
    first = Settings(HOME)
    file.keep(first, replace(first, instructions="Mind my heart."))
    file.keep(first, replace(first, tools_off=frozenset("ba")))
    document = json.loads(file.path.read_text())
    assert (document["version"], document["tools_off"]) == (1, {"": ["a", "b"]})
    others = [path.name for path in file.path.parent.iterdir() if path != file.path]
    assert others == [".settings.json.lock"]
    if sys.platform != "win32":
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


@pytest.mark.anyio
async def test_a_session_keeps_what_is_changed_and_not_what_was_refused(
    open_session: Callable[..., Session], desk: Any, file: SettingsFile, tmp_path: Path
) -> None:
    desk.replies |= {"scripted": [], "other": []}
    begun = Settings(tmp_path, "scripted")
    async with Session(desk, begun, kept=file) as session:
        with pytest.raises(UnknownModelError):
            await session.configure(replace(begun, model="broken"))
        assert not file.path.exists()
        await session.configure(replace(begun, model="other", tools_off=frozenset({"send"})))
    assert file.read() == KeptSettings(models={"": "other"}, tools_off={"": ("send",)})


@pytest.mark.anyio
async def test_settings_that_cannot_be_kept_are_used_and_it_is_told(
    desk: Any, file: SettingsFile, tmp_path: Path
) -> None:
    desk.replies["scripted"] = []
    file.path.parent.mkdir()
    file.path.write_text("{")
    begun = Settings(tmp_path, "scripted")
    async with Session(desk, begun, kept=file) as session:
        with pytest.raises(ConfigurationError, match="mend or delete"):
            await session.configure(replace(begun, instructions="Be brief."))
        assert session.settings.instructions == "Be brief."


def test_the_variable_names_another_file_or_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLAIT_SETTINGS", "off")
    assert open_settings_file() is None
    assert begin(None, home=HOME) == Settings(HOME)
    monkeypatch.setenv("PLAIT_SETTINGS", str(tmp_path / "mine.json"))
    named = open_settings_file()
    assert named is not None
    assert named.path == tmp_path / "mine.json"
    monkeypatch.delenv("PLAIT_SETTINGS")
    own = open_settings_file()
    assert own is not None
    assert own.path.parts[-2:] == ("plait", "settings.json")
