import pytest

from plait.apps.evaluation._sixteen import assistant_toolbox
from plait.tools import Toolbox


@pytest.fixture(scope="session")
def assistant() -> Toolbox:
    return assistant_toolbox()
