import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from plait.errors import ModelError
from plait.models import resolve

# Threads that spin at a barrier while other processes want the cores make llama.cpp many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# The user's own history and settings are none of the tests' business.
os.environ["PLAIT_HISTORY"] = "off"
os.environ["PLAIT_SETTINGS"] = "off"
# A state that an earlier run of the tests left would change what a test counts.
os.environ["PLAIT_PREFIX_CACHE"] = "off"


@pytest.fixture(scope="session", autouse=True)
def measurements(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of measurements: each is made once a session, and the user's own are left alone."""
    path = tmp_path_factory.mktemp("cache") / "measurements.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAIT_MEASUREMENTS", str(path))
        yield path


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The small model's file."""
    try:
        return resolve("smollm2-135m", download=False)
    except ModelError as error:
        pytest.fail(f"{error}; run: plait models pull smollm2-135m")
