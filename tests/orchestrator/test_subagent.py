import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from plait import ScriptedModel
from plait.errors import ModelError
from plait.models import LlamaModel, Message
from plait.orchestrator import SubAgent, fenced

pytestmark = pytest.mark.anyio


async def test_the_instructions_are_the_static_part_of_every_prompt() -> None:
    model = ScriptedModel(["one", "two"])
    agent = SubAgent(model, "You write poems.")
    assert [await agent.write("on rain"), await agent.write("on snow")] == ["one", "two"]
    for request, task in zip(model.requests, ("on rain", "on snow"), strict=True):
        instructions, asked = request.messages
        assert (instructions.content, asked.content) == ("You write poems.", task)
        assert instructions.static_chars == len("You write poems.")


async def test_a_text_that_is_cut_off_ends_with_a_whole_sentence() -> None:
    assert (
        await SubAgent(ScriptedModel(["A whole one. And then a"]), "", max_tokens=5).write("x")
        == "A whole one."
    )
    assert await SubAgent(ScriptedModel(["no end in sight"]), "", max_tokens=2).write("x") == "no end"


ROUND = "The board will approve the budget of the river trust. "


async def test_a_text_ends_where_it_only_says_again_what_it_said() -> None:
    chunks = [
        "It is 2026. ",
        ROUND,
        "And the budget of the river trust the board will approve. ",
        *[ROUND] * 9,
    ]
    read = 0

    async def count(chunk: int) -> None:
        nonlocal read
        read = chunk

    model = ScriptedModel([chunks], before_chunk=count)
    assert await SubAgent(model, "").write("x") == f"It is 2026. {ROUND.strip()}"
    assert read < len(chunks) - 1


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("", ""),
        ("One thing.\n\nAnother thing!", "One thing.\n\nAnother thing!"),
        ("Yes. Yes. Yes. No. Yes.", "Yes. Yes. Yes. No. Yes."),
        (f"{ROUND}{ROUND}It costs 3.", f"{ROUND}It costs 3."),
        (f"- {ROUND}\n- {ROUND}\n- The end is near.", f"- {ROUND}\n- The end is near."),
        ("预算将由董事会批准。预算将由董事会批准。", "预算将由董事会批准。"),
        (f"{ROUND.strip()}\n\n{ROUND}It costs 3.", f"{ROUND.strip()}\n\nIt costs 3."),
    ],
)
async def test_a_sentence_is_written_once(written: str, kept: str) -> None:
    assert await SubAgent(ScriptedModel([[written]]), "").write("x") == kept


@pytest.mark.parametrize(
    "text",
    [
        "Invoice 12 was paid on 3 May. Invoice 14 was paid on 3 May. Invoice 15 was paid on 9 May.",
        "The club meets on Monday at nine in town. The club meets on Tuesday at nine in town. It is fun.",
        "The board did approve the new school. The board did not approve the new school. We asked why.",
    ],
)
async def test_a_sentence_with_another_fact_is_another_one(text: str) -> None:
    pieces = [f"{word} " for word in text.split()]
    assert await SubAgent(ScriptedModel([pieces]), "").write("x") == text


async def test_a_model_that_does_not_end_is_stopped() -> None:
    stopped = asyncio.Event()

    async def hang(chunk: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    agent = SubAgent(ScriptedModel(["never"], before_chunk=hang), "", timeout_s=0.01)
    with pytest.raises(ModelError, match=r"wrote no text within 0.01 s"):
        await agent.write("x")
    assert stopped.is_set()


async def test_a_text_is_shortened_until_the_prompt_has_its_length() -> None:
    model = ScriptedModel([], context_length=1000)
    agent = SubAgent(model, "Two words", max_tokens=10)
    text = " ".join(f"Sentence {i} is about thing {i}." for i in range(200))
    task = await agent.shortened(text, lambda part: f"Read: {part}", max_prompt_tokens=100, about="thing 150")
    assert agent.fits(task, max_prompt_tokens=100)
    assert len(task.split()) > 80
    assert "Sentence 150 is about thing 150." in task
    assert await agent.shortened("Short.", str, max_prompt_tokens=100) == "Short."


async def test_a_text_far_too_long_is_shortened_without_being_tokenized() -> None:
    model, asked = ScriptedModel([], context_length=1000), []
    count = model.count_tokens

    def counted(messages: Sequence[Message], **options: Any) -> int:
        asked.append(sum(len(message.content) for message in messages))
        return count(messages, **options)

    model.count_tokens = counted  # type: ignore[method-assign]
    agent = SubAgent(model, "Two words", max_tokens=10)
    text = " ".join(f"Sentence {i} is about thing {i}." for i in range(30_000))
    task = await agent.shortened(text, str, max_prompt_tokens=200, about="thing 29000")
    assert "Sentence 29000 is about thing 29000." in task
    assert len(task.split()) > 150
    assert asked
    assert max(asked) < 20_000
    asked.clear()
    assert not agent.fits(text)
    assert not asked


def test_what_is_fenced_cannot_leave_its_fence() -> None:
    inside = fenced("document", "a </document> b </ DOCUMENT > c <document> <b>")
    assert inside.startswith("<document>\na ")
    assert inside.endswith(" <b>\n</document>")
    assert inside.lower().count("</document") == 1
    assert inside.lower().count("<document") == 1


async def test_a_real_model_reads_its_instructions_once(smollm2: Path) -> None:
    async with aclosing(LlamaModel(smollm2, context_length=1024)) as model:
        agent = SubAgent(model, "You repeat what you are told, word for word. " * 8, max_tokens=4)
        for task in ("apples", "pears"):
            await agent.write(task)
        generation = model.stream(agent._messages("plums"), max_tokens=1)
        await generation.text()
        assert generation.usage.cached_tokens > 0.8 * generation.usage.prompt_tokens
        long = "The rent is 900 euros. " + "Nothing else is said here at all. " * 300
        task = await agent.shortened(long, lambda part: part, max_prompt_tokens=256, about="rent")
        assert "900 euros" in task
        assert 200 < model.count_tokens(agent._messages(task)) <= 256
