import pytest

from plait.errors import ModelError
from plait.retrieval import BertEncoder, load_encoder


@pytest.fixture(scope="session")
def minilm() -> BertEncoder:
    """The default encoder."""
    try:
        return load_encoder(download=False)
    except ModelError as error:
        pytest.fail(f"{error}; run: plait models pull all-minilm-l6-v2")
