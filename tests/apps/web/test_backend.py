"""The backend of the command: the model that is there first, then what the settings name."""

from pathlib import Path

import pytest

from plait.apps.assistant import Session, Settings
from plait.apps.web import LocalBackend
from plait.errors import ConfigurationError, ModelServerError, UnknownModelError
from plait.models import ScriptedModel

pytestmark = pytest.mark.anyio


async def test_the_open_model_is_used_first_and_only_once(tmp_path: Path) -> None:
    model = ScriptedModel([])
    backend = LocalBackend(model)
    settings = Settings(tmp_path, "no-such-model")
    assert await backend.open_model(settings) is model
    with pytest.raises(UnknownModelError, match="no-such-model"):
        await backend.open_model(settings)


async def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelServerError):
        await LocalBackend().open_model(Settings(tmp_path, "any", base_url="http://127.0.0.1:9/v1"))


async def test_a_home_that_is_no_folder_changes_nothing(tmp_path: Path) -> None:
    async with Session(LocalBackend(ScriptedModel([])), Settings(tmp_path)) as session:
        with pytest.raises(ConfigurationError, match="does not exist"):
            await session.configure(Settings(tmp_path / "nowhere"))
        assert session.settings.home == tmp_path
