import os
from pathlib import Path

import pytest

from plait.errors import ModelError
from plait.models import resolve

# Threads that spin at a barrier while other processes want the cores make llama.cpp many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# A state that an earlier run of the tests left would change what a test counts.
os.environ["PLAIT_PREFIX_CACHE"] = "off"


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
