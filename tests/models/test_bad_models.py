"""Files that are no chat models, that do not fit, or whose tokens do not suffice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase

import pytest

from plait.errors import GrammarError, ModelError, ModelMemoryError
from plait.models import Grammar, LlamaModel, Message, _engine

pytestmark = pytest.mark.anyio

WriteTiny = Callable[..., Path]
HELLO = [Message("user", "hello")]
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


def load(path: Path, **options: object) -> LlamaModel:
    return LlamaModel(path, context_length=256, prefix_cache=False, drafts=False, **options)  # type: ignore[arg-type]


async def test_a_model_without_a_chat_template_is_refused_unless_one_is_given(write_tiny: WriteTiny) -> None:
    path = write_tiny()
    with pytest.raises(ModelError, match=r"tiny has no chat template.*chat_template="):
        load(path)
    model = load(path, chat_template=TEMPLATE)
    generation = model.stream(HELLO, max_tokens=4)
    await generation.text()
    assert generation.usage.completion_tokens > 0
    assert generation.finish_reason in ("length", "stop")
    await model.aclose()


@pytest.mark.parametrize("template", ["{% for m in messages %}", "{{ messages | no_such_filter }}"])
def test_a_broken_chat_template_is_refused_with_the_reason(write_tiny: WriteTiny, template: str) -> None:
    with pytest.raises(ModelError, match=r"the chat template of tiny cannot be read: .+"):
        load(write_tiny(template=template))


async def test_a_template_that_fails_on_a_message_fails_that_request_only(write_tiny: WriteTiny) -> None:
    strict = (
        "{{ raise_exception('no systems') if messages[0]['role'] == 'system' else messages[0]['content'] }}"
    )
    model = load(write_tiny(template=strict))
    with pytest.raises(ModelError, match="no systems"):
        await model.stream([Message("system", "rules"), *HELLO], max_tokens=2).text()
    generation = model.stream(HELLO, max_tokens=2)
    await generation.text()
    assert generation.usage.prompt_tokens > 0
    await model.aclose()


async def test_a_vocabulary_without_bytes_answers_but_refuses_what_it_cannot_write(
    write_tiny: WriteTiny,
) -> None:
    model = load(write_tiny(letters=["\u2581", *ascii_lowercase], has_bytes=False, template=TEMPLATE))
    for _ in range(2):
        with pytest.raises(ModelError, match=r"no token for 'Ω'.*falls back on bytes"):
            await model.stream([Message("user", "hello Ω")], max_tokens=2).text()
        with pytest.raises(GrammarError, match=r"llguidance cannot read this model's vocabulary.*bytes"):
            await model.stream(HELLO, grammar=Grammar(lark='start: "yes" | "no"'), max_tokens=8).text()
        generation = model.stream(HELLO, max_tokens=8)
        await generation.text()
        assert generation.usage.completion_tokens > 0
    await model.aclose()


async def test_a_grammar_of_letters_that_the_vocabulary_has_only_as_bytes_is_obeyed(
    write_tiny: WriteTiny,
) -> None:
    model = load(write_tiny(letters=[*"ab"], template=TEMPLATE))
    text = await model.stream(HELLO, grammar=Grammar(lark='start: "yéΩ" | "no"'), max_tokens=20).text()
    assert text in ("yéΩ", "no")
    await model.aclose()


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(
    write_tiny: WriteTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = replace(_engine.this_machine(), available_bytes=100_000)
    monkeypatch.setattr(_engine, "this_machine", lambda: machine)

    def loaded(*_: object) -> object:
        raise AssertionError("it was loaded")

    monkeypatch.setattr(_engine, "Weights", loaded)
    with pytest.raises(ModelMemoryError) as caught:
        load(write_tiny(template=TEMPLATE))
    assert caught.value.needed_bytes > caught.value.available_bytes == 100_000
