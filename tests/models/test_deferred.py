"""Models that are loaded when they are first used."""

import pytest

from plait.errors import ModelError
from plait.models import ChatModel, Message, ScriptedModel
from plait.models._deferred import DeferredModel

pytestmark = pytest.mark.anyio

HELLO = [Message("user", "Hello")]


class Loader:
    """Loads a model whose answers are known, and counts how often."""

    def __init__(self, *answers: str) -> None:
        self.n_times = 0
        self.model = ScriptedModel(answers)

    def __call__(self) -> ChatModel:
        self.n_times += 1
        return self.model


def deferred(loader: Loader) -> DeferredModel:
    return DeferredModel(loader, name="late", context_length=512, grammar_kind=None)


async def test_a_model_is_loaded_once_when_it_is_first_asked() -> None:
    loader = Loader("one", "two")
    model = deferred(loader)
    assert (model.name, model.context_length, model.grammar_kind) == ("late", 512, None)
    first = model.stream(HELLO)
    assert loader.n_times == 0
    assert await first.text() == "one"
    assert await model.stream(HELLO).text() == "two"
    assert model.count_tokens(HELLO) == loader.model.count_tokens(HELLO)
    assert loader.n_times == 1
    assert (first.finish_reason, first.usage.completion_tokens > 0) == ("stop", True)


async def test_what_cannot_be_loaded_fails_where_it_is_asked() -> None:
    def fail() -> ChatModel:
        raise ModelError("there is no room for it", model="late")

    model = DeferredModel(fail, name="late", context_length=512, grammar_kind=None)
    with pytest.raises(ModelError, match="no room"):
        await model.stream(HELLO).text()


async def test_closing_closes_what_was_loaded_and_nothing_is_loaded_afterwards() -> None:
    loader = Loader("one")
    never = deferred(loader)
    await never.aclose()
    assert loader.n_times == 0
    with pytest.raises(ModelError, match="late was closed; load it again"):
        await never.stream(HELLO).text()
    used = deferred(loader)
    await used.stream(HELLO).text()
    await used.aclose()
    await used.aclose()
    with pytest.raises(ModelError, match="late was closed"):
        used.load()
