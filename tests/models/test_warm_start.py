"""Static prompts on disk, with the real engine."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from plait.models import Generation, LlamaModel, Message
from plait.models._engine import Engine
from plait.models._prefix_cache import PrefixCache
from plait.models._sequences import CachedSequence
from plait.models._template import ChatTemplate
from plait.models._warm_start import file_identity, shared_tokens
from plait.planners import CompilerPlanner, NativePlanner, PlanContext, ReactPlanner
from plait.tools import Tool, Toolbox

pytestmark = pytest.mark.anyio

RULES = Message.instructions("You answer in one short sentence. " * 12)
CATS = [RULES, Message("user", "What do cats eat?")]
DOGS = [RULES, Message("user", "What do dogs like?")]


@asynccontextmanager
async def opened(path: Path, folder: Path | PrefixCache) -> AsyncIterator[LlamaModel]:
    cache = folder if isinstance(folder, PrefixCache) else PrefixCache(folder)
    model = LlamaModel(path, context_length=2048, n_threads=1, prefix_cache=cache, drafts=False)
    try:
        yield model
    finally:
        await model.aclose()


async def ask(model: LlamaModel, messages: list[Message], max_tokens: int = 3) -> Generation:
    generation = model.stream(messages, max_tokens=max_tokens)
    await generation.text()
    return generation


async def ask_afresh(path: Path, folder: Path | PrefixCache, messages: list[Message]) -> Generation:
    async with opened(path, folder) as model:
        return await ask(model, messages)


def stored(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.plaitkv"))


async def test_a_new_engine_takes_the_static_part_from_disk(smollm2: Path, tmp_path: Path) -> None:
    first = await ask_afresh(smollm2, tmp_path, CATS)
    second = await ask_afresh(smollm2, tmp_path, DOGS)
    assert (first.usage.cached_tokens, first.usage.restored_tokens) == (0, 0)
    assert second.usage.restored_tokens == second.usage.cached_tokens > 60
    assert second.usage.prompt_tokens - second.usage.restored_tokens < 20
    assert len(stored(tmp_path)) == 1
    assert (first.usage + second.usage).restored_tokens == second.usage.restored_tokens


async def test_a_restored_state_gives_the_text_that_computing_gives(smollm2: Path, tmp_path: Path) -> None:
    async with opened(smollm2, tmp_path) as model:
        computed = await model.stream(CATS, max_tokens=30).text()
    async with opened(smollm2, tmp_path) as model:
        generation = model.stream(CATS, max_tokens=30)
        assert await generation.text() == computed
        assert generation.usage.restored_tokens > 60


def test_a_restored_state_gives_the_logits_that_memory_gives_bit_for_bit(smollm2: Path) -> None:
    text = "The owl and the pussycat went to sea in a beautiful pea-green boat. " * 8
    engine, other = (Engine(smollm2, context_length=512, n_threads=1) for _ in range(2))
    prompt = engine.vocabulary.tokenize(text)
    n_static = len(prompt) - 12
    computed = computed_row(engine, prompt)
    state = engine.export_state(holder(engine, prompt), prompt[:n_static])
    computed_row(engine, [*prompt[:n_static], 5])  # what follows is forgotten
    assert engine.pool.n_common(prompt) == n_static
    reused = computed_row(engine, prompt)
    assert state is not None
    assert other.import_state(prompt[:n_static], (n_static, state))
    assert other.pool.n_common(prompt) == n_static
    restored = computed_row(other, prompt)
    engine.close()
    other.close()
    assert (restored == reused).all()
    # A batch of another length is computed by other kernels, so this is equal but for their noise.
    assert np.abs(_probabilities(restored) - _probabilities(computed)).max() < 0.1
    assert restored.argmax() == computed.argmax()


def computed_row(engine: Engine, tokens: list[int]) -> npt.NDArray[np.float32]:
    row = engine.compute(tokens)
    assert row is not None
    return row.copy()


def holder(engine: Engine, tokens: list[int]) -> CachedSequence:
    """The sequence that begins with ``tokens``."""
    return next(s for s in engine.pool.sequences if s.tokens[: len(tokens)] == tokens)


def _probabilities(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


async def test_a_state_put_back_is_bit_for_bit_the_one_taken_out(smollm2: Path) -> None:
    engine = Engine(smollm2, context_length=512, n_threads=1)
    text = "The owl and the pussycat went to sea in a beautiful pea-green boat. " * 3
    tokens = engine.vocabulary.tokenize(text)
    engine.compute(tokens)
    sequence = holder(engine, tokens)
    state = engine.export_state(sequence, tokens[:40])
    assert state is not None
    assert engine.export_state(sequence, [*tokens[:40], 1]) is None
    assert engine.pool.n_common(tokens) == len(tokens)
    other = Engine(smollm2, context_length=512, n_threads=1)
    assert other.import_state(tokens[:40], (40, state))
    assert other.pool.n_common(tokens) == 40
    assert other.export_state(holder(other, tokens[:40]), tokens[:40]) == state
    engine.close()
    other.close()


async def test_a_state_put_back_in_parts_is_the_whole_one(smollm2: Path) -> None:
    engine, other = (Engine(smollm2, context_length=512, n_threads=1) for _ in range(2))
    tokens = engine.vocabulary.tokenize("The owl and the pussycat went to sea in a beautiful boat. " * 5)
    engine.compute(tokens)
    sequence, parts = holder(engine, tokens), ((0, 40), (40, 50), (50, 64))
    states = [engine.export_state(sequence, tokens[:end], first=first) for first, end in parts]
    whole = engine.export_state(sequence, tokens[:64])
    assert engine.pool.n_common(tokens) == len(tokens)
    assert whole is not None
    first, second, third = (bytearray(state or b"") for state in states)
    assert 0 < len(second) < len(third) < len(first) < len(whole)
    assert not other.import_state(tokens[:64], (40, first), (54, third))
    assert not other.import_state(tokens[:64], (40, first), (64, second))
    assert other.pool.n_used == 0
    assert other.import_state(tokens[:64], (40, first), (50, second), (64, third))
    assert other.pool.n_common(tokens) == 64
    assert other.export_state(holder(other, tokens[:64]), tokens[:64]) == whole
    engine.close()
    other.close()


def on(day: str, question: str) -> list[Message]:
    """A prompt with a text of that day between the rules and the request."""
    start = f"{day}, and tomorrow is another day, as are the days after tomorrow. " * 4
    return [RULES, Message("user", start + question, daily_chars=len(start))]


async def test_what_recurs_for_a_day_is_kept_in_a_small_file_of_its_own(
    smollm2: Path, tmp_path: Path
) -> None:
    first = await ask_afresh(smollm2, tmp_path, on("Monday", "What do cats eat?"))
    assert (first.usage.restored_tokens, len(stored(tmp_path))) == (0, 2)
    sizes = sorted(path.stat().st_size for path in stored(tmp_path))
    same_day = await ask_afresh(smollm2, tmp_path, on("Monday", "What do dogs like?"))
    assert same_day.usage.prompt_tokens - same_day.usage.restored_tokens < 20
    assert len(stored(tmp_path)) == 2
    next_day = await ask_afresh(smollm2, tmp_path, on("Tuesday", "What do cats eat?"))
    assert 60 < next_day.usage.restored_tokens < same_day.usage.restored_tokens - 40
    assert next_day.usage.restored_tokens == next_day.usage.cached_tokens
    added = sorted(path.stat().st_size for path in stored(tmp_path))
    assert len(added) == 3
    assert added[0] + added[1] < 1.5 * added[2] == 1.5 * sizes[1]
    again = await ask_afresh(smollm2, tmp_path, on("Tuesday", "What do dogs like?"))
    assert again.usage.restored_tokens > next_day.usage.restored_tokens + 40


async def test_of_a_days_file_that_is_damaged_the_rules_are_still_taken(
    smollm2: Path, tmp_path: Path
) -> None:
    whole = await ask_afresh(smollm2, tmp_path, on("Monday", "What do cats eat?"))
    rules, day = sorted(stored(tmp_path), key=lambda path: -path.stat().st_size)
    day.write_bytes(day.read_bytes()[:-1])
    mended = await ask_afresh(smollm2, tmp_path, on("Monday", "What do cats eat?"))
    assert 60 < mended.usage.restored_tokens < whole.usage.prompt_tokens - 40
    rules.unlink()
    assert (await ask_afresh(smollm2, tmp_path, on("Monday", "Why?"))).usage.restored_tokens == 0
    assert sorted(stored(tmp_path)) == sorted([rules, day])
    assert (await ask_afresh(smollm2, tmp_path, on("Monday", "Why?"))).usage.restored_tokens > 120


@pytest.mark.parametrize("planner", ["compiler", "react", "native"])
async def test_a_new_process_computes_only_the_time_and_the_request_of_the_same_day(
    smollm2: Path, tmp_path: Path, planner: str
) -> None:
    def prompt(model: LlamaModel, query: str, now: datetime) -> tuple[list[Message], list[dict[str, Any]]]:
        toolbox = Toolbox([Tool.from_function(weigh)])
        context = PlanContext(query, now=now)
        if planner == "native":
            native = NativePlanner(model, toolbox)
            return native.messages(context), native.definitions
        chosen = CompilerPlanner if planner == "compiler" else ReactPlanner
        return chosen(model, toolbox).messages(context), []

    usages = []
    for query, now in (
        ("Weigh jar 3.", datetime(2026, 3, 4, 9, 12)),
        ("Is jar 7 heavy?", datetime(2026, 3, 4, 18, 30)),
        ("Weigh jar 12.", datetime(2026, 3, 5, 9, 12)),
    ):
        async with opened(smollm2, tmp_path) as model:
            messages, tools = prompt(model, query, now)
            generation = model.stream(messages, max_tokens=1, tools=tools)
            await generation.text()
            usages.append(generation.usage)
    first, same_day, next_day = usages
    assert first.restored_tokens == 0
    assert same_day.prompt_tokens - same_day.restored_tokens < 35
    assert next_day.restored_tokens < same_day.restored_tokens - 60
    assert (next_day.restored_tokens > 0) == (planner != "native")  # whose rules are too few to keep


@pytest.mark.parametrize("at", [9, 20, 60, 5000, -1], ids=["version", "size", "hash", "state", "last byte"])
async def test_a_damaged_file_is_rebuilt(smollm2: Path, tmp_path: Path, at: int) -> None:
    await ask_afresh(smollm2, tmp_path, CATS)
    (path,) = stored(tmp_path)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[at] ^= 0xFF
    path.write_bytes(damaged)
    assert (await ask_afresh(smollm2, tmp_path, CATS)).usage.cached_tokens == 0
    assert path.read_bytes() == whole
    assert (await ask_afresh(smollm2, tmp_path, CATS)).usage.restored_tokens > 60


@pytest.mark.parametrize("change", [lambda s: s[:1000], lambda s: s + b"\0" * 64, lambda s: b"\xff" * len(s)])
async def test_a_state_that_llama_cpp_does_not_take_is_rebuilt(
    smollm2: Path, tmp_path: Path, change: Callable[[bytearray], bytes]
) -> None:
    cache = PrefixCache(tmp_path)
    async with opened(smollm2, cache) as model:
        await ask(model, CATS)
        prompt = model._prompt(CATS, ())
    n_static = (await ask_afresh(smollm2, cache, CATS)).usage.restored_tokens
    async with opened(smollm2, cache) as model:
        assert model._warm_start is not None
        tokens = prompt[:n_static]
        fingerprint = model._warm_start.fingerprint(tokens)
        state = cache.load(fingerprint)
        assert state is not None
        cache.store(fingerprint, change(state))  # with a header that is right
        again = await ask(model, CATS)
        assert (again.usage.cached_tokens, again.usage.restored_tokens) == (0, 0)
    assert (await ask_afresh(smollm2, cache, CATS)).usage.restored_tokens == n_static


async def test_another_models_state_is_not_taken(smollm2: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    shutil.copyfile(smollm2, copy)
    folder = tmp_path / "prefixes"
    await ask_afresh(smollm2, folder, CATS)
    (theirs,) = stored(folder)
    assert (await ask_afresh(copy, folder, CATS)).usage.restored_tokens == 0
    ours = next(path for path in stored(folder) if path != theirs)
    theirs.replace(ours)
    assert (await ask_afresh(copy, folder, CATS)).usage.restored_tokens == 0
    assert (await ask_afresh(copy, folder, CATS)).usage.restored_tokens > 60


def test_a_file_is_identified_by_its_hash_or_by_size_time_and_beginning(
    smollm2: Path, tmp_path: Path
) -> None:
    assert file_identity(smollm2).startswith("sha256 ")
    file = tmp_path / "model.gguf"
    file.write_bytes(b"a" * 100)
    first = file_identity(file)
    assert file_identity(file) == first
    os.utime(file, ns=(1, 1))
    second = file_identity(file)
    file.write_bytes(b"b" * 100)
    os.utime(file, ns=(1, 1))
    assert len({first, second, file_identity(file)}) == 3


async def test_another_context_length_has_states_of_its_own(smollm2: Path, tmp_path: Path) -> None:
    await ask_afresh(smollm2, tmp_path, CATS)
    model = LlamaModel(smollm2, context_length=1024, n_threads=1, prefix_cache=PrefixCache(tmp_path))
    assert (await ask(model, CATS)).usage.restored_tokens == 0
    await model.aclose()
    assert len(stored(tmp_path)) == 2


async def test_planners_of_two_toolboxes_keep_their_prompts_side_by_side(
    smollm2: Path, tmp_path: Path
) -> None:
    queries = [PlanContext("Weigh jar 3."), PlanContext("Which jar is heaviest?")]
    async with opened(smollm2, tmp_path) as model:
        for planner in planners(model):
            await ask(model, planner.messages(queries[0]))
        n_tools = [
            model.count_tokens([p.messages(queries[0])[-1]]) - model.count_tokens([Message("user", "Hi.")])
            for p in planners(model)
        ]
    assert len(stored(tmp_path)) == 2
    async with opened(smollm2, tmp_path) as model:
        usages = [(await ask(model, p.messages(queries[1]))).usage for p in planners(model)]
    for usage, n in zip(usages, n_tools, strict=True):
        # The tools are in the user's turn, after the examples, and recur too: only the request is computed.
        assert usage.prompt_tokens - usage.cached_tokens < 20 < n
        assert usage.restored_tokens == usage.cached_tokens


def planners(model: LlamaModel) -> list[CompilerPlanner]:
    return [CompilerPlanner(model, Toolbox([Tool.from_function(f)])) for f in (weigh, stock)]


def weigh(jar: int) -> float:
    """Weigh a jar, whatever is in it, on the scales that stand at the end of the long kitchen table.

    Args:
        jar: the number that is written on the jar's lid in red ink.
    """
    return float(jar)


def stock(product: str) -> int:
    """How many of a product there are, in the cellar and on all the shelves of the shop together.

    Args:
        product: what it is called on the list of prices that hangs at the door.
    """
    return len(product)


async def test_tools_that_the_template_renders_are_static_too(smollm2: Path) -> None:
    model = LlamaModel(smollm2, context_length=2048, chat_template=_WITH_TOOLS, prefix_cache=False)
    planner = NativePlanner(model, Toolbox([Tool.from_function(weigh)]))
    messages = planner.messages(PlanContext("Weigh jar 3."))
    text = model._template.render(messages, planner.definitions)
    static = text[: model._template.recurring_length(text, messages, planner.definitions)]
    assert "red ink" in static
    assert static.endswith("user: ")
    await model.aclose()


_WITH_TOOLS = (
    "{{ messages[0].role }}: {{ messages[0].content }}{{ tools | tojson }}\n"
    "{% for m in messages[1:] %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
)


@pytest.mark.parametrize(
    ("messages", "static"),
    [
        ([Message("user", "Hello")], ""),
        ([Message.instructions("Be brief."), Message("user", "Hello")], "[system]Be brief.[user]"),
        ([Message("user", "Hello, you", static_chars=6)], "[user]Hello,"),
        ([Message("user", "Hello", static_chars=5)], "[user]Hello"),
        ([Message("user", "Hello", static_chars=50)], "[user]Hello"),
        (
            [Message.instructions("A"), Message("user", "B. C", static_chars=2), Message("assistant", "D")],
            "[system]A[user]B.",
        ),
        ([Message.instructions("A"), Message("tool", "never shown"), Message("user", "B")], ""),
    ],
)
def test_the_static_part_ends_where_the_template_puts_the_first_other_character(
    messages: list[Message], static: str
) -> None:
    template = ChatTemplate(
        "{% for m in messages if m.role != 'tool' %}[{{ m.role }}]{{ m.content | trim }}{% endfor %}[answer]"
    )
    rendered = template.render(messages)
    assert rendered[: template.recurring_length(rendered, messages)] == static


def test_a_mark_for_what_is_static_changes_no_message() -> None:
    message = Message("user", "Hello")
    assert replace(message, static_chars=3) == message


@pytest.mark.parametrize(
    ("beginning", "prompt", "static"),
    [
        ([], [1, 2], []),
        ([1], [1, 2], []),
        ([1, 2, 3], [1, 2, 3, 4], [1, 2]),
        ([1, 2, 3], [1, 2, 9, 4], [1, 2]),
        ([1, 2, 3], [1, 9], [1]),
        ([1, 2, 3], [9], []),
    ],
)
def test_the_last_static_token_never_counts(
    beginning: list[int], prompt: list[int], static: list[int]
) -> None:
    assert shared_tokens(beginning, prompt) == static


async def test_what_is_in_memory_is_not_read_again(smollm2: Path, tmp_path: Path) -> None:
    async with opened(smollm2, tmp_path) as model:
        await ask(model, CATS)
        second = await ask(model, DOGS)
        assert (second.usage.restored_tokens, second.usage.cached_tokens > 60) == (0, True)


async def test_prompts_without_a_mark_and_short_ones_are_not_stored(smollm2: Path, tmp_path: Path) -> None:
    async with opened(smollm2, tmp_path) as model:
        await ask(model, [Message("system", RULES.content), Message("user", "Hello")])
        await ask(model, [Message.instructions("Be brief."), Message("user", "Hello")])
    assert stored(tmp_path) == []


async def test_a_process_with_ever_new_prompts_stores_only_those_that_come_again(
    smollm2: Path, tmp_path: Path
) -> None:
    prompts = [[Message.instructions(f"You are number {n}. " * 8), CATS[1]] for n in range(10)]
    async with opened(smollm2, tmp_path) as model:
        for prompt in prompts:
            await ask(model, prompt, max_tokens=1)
        model._warm_start.wait()  # type: ignore[union-attr]
        assert len(stored(tmp_path)) == 8
        await ask(model, prompts[9], max_tokens=1)
    assert len(stored(tmp_path)) == 9


async def test_a_small_limit_keeps_the_prompt_used_last(smollm2: Path, tmp_path: Path) -> None:
    await ask_afresh(smollm2, tmp_path, CATS)
    size = stored(tmp_path)[0].stat().st_size
    os.utime(stored(tmp_path)[0], (1, 1))
    other = [Message.instructions("You tell a story about an owl. " * 12), CATS[1]]
    await ask_afresh(smollm2, PrefixCache(tmp_path, max_bytes=int(size * 1.5)), other)
    assert len(stored(tmp_path)) == 1
    assert (await ask_afresh(smollm2, tmp_path, other)).usage.restored_tokens > 60
    assert (await ask_afresh(smollm2, tmp_path, CATS)).usage.restored_tokens == 0


async def test_a_folder_that_cannot_be_written_to_costs_only_the_speed(smollm2: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = PrefixCache(tmp_path / "file" / "prefixes")
    for _ in range(2):
        generation = await ask_afresh(smollm2, cache, CATS)
        assert (generation.finish_reason, generation.usage.cached_tokens) == ("length", 0)
    assert cache.problem is not None
    assert "file" in cache.problem


async def test_two_models_at_once_share_a_folder(smollm2: Path, tmp_path: Path) -> None:
    async with opened(smollm2, tmp_path) as a, opened(smollm2, tmp_path) as b:
        first = await asyncio.gather(ask(a, CATS, 10), ask(b, CATS, 10))
    assert len(stored(tmp_path)) == 1
    async with opened(smollm2, tmp_path) as a, opened(smollm2, tmp_path) as b:
        again = await asyncio.gather(ask(a, DOGS, 10), ask(b, DOGS, 10))
    assert [g.usage.restored_tokens for g in first] == [0, 0]
    assert all(g.usage.restored_tokens > 60 for g in again)


async def test_a_restored_prompt_makes_room_for_itself(smollm2: Path) -> None:
    engine = Engine(smollm2, context_length=256, n_threads=1)
    tokens = engine.vocabulary.tokenize("one two three four five six seven eight " * 10)
    engine.compute(tokens)
    state = engine.export_state(holder(engine, tokens), tokens)
    assert state is not None
    for word in (" cat", " dog", " cow", " owl"):
        engine.compute(engine.vocabulary.tokenize(word * 60))
    assert engine.pool.n_common(tokens) < len(tokens)
    assert engine.import_state(tokens, (len(tokens), state))
    assert engine.pool.n_common(tokens) == len(tokens) > 64
    assert sum(len(s.tokens) for s in engine.pool.sequences) <= 256
    assert engine.compute([*tokens, *engine.vocabulary.tokenize(" nine" * 100)]) is not None
    engine.close()


async def test_a_state_that_finds_no_room_now_stays_on_disk(smollm2: Path, tmp_path: Path) -> None:
    await ask_afresh(smollm2, tmp_path, CATS)
    async with opened(smollm2, tmp_path) as model:
        assert model._warm_start is not None
        n_static = (await ask(model, CATS)).usage.restored_tokens
        static, pool = model._prompt(CATS, ())[:n_static], model._engine.pool
        with model._engine.lock:
            taken = [pool.take_empty() for _ in pool.sequences]
            assert model._warm_start.restore([static]) == 0
            for sequence in taken:
                assert sequence is not None
                pool.release(sequence)
            assert model._warm_start.restore([static]) == n_static
    assert len(stored(tmp_path)) == 1


async def test_an_answer_that_is_left_early_still_leaves_its_prompt_behind(
    smollm2: Path, tmp_path: Path
) -> None:
    async with opened(smollm2, tmp_path) as model:
        generation = model.stream(CATS, max_tokens=500)
        assert await anext(aiter(generation))
        await generation.aclose()
    assert len(stored(tmp_path)) == 1


def test_a_process_that_ends_at_once_leaves_its_prompt_for_the_next(smollm2: Path, tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from plait.models import LlamaModel, Message\n"
        "m = LlamaModel(sys.argv[1], context_length=1024, n_threads=1)\n"
        "g = m.stream([Message.instructions('You are brief. ' * 20), Message('user', 'Hi')], max_tokens=1)\n"
        "asyncio.run(g.text())\n"
        "print(g.usage.restored_tokens)\n"
    )
    environment = {**os.environ, "PLAIT_PREFIX_CACHE": str(tmp_path)}
    restored = [
        int(
            subprocess.run(
                [sys.executable, "-c", script, str(smollm2)],
                env=environment,
                check=True,
                capture_output=True,
                timeout=60,
            ).stdout
        )
        for _ in range(2)
    ]
    assert restored[0] == 0 < 60 < restored[1]


async def test_models_whose_state_has_no_parts_are_left_out(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(smollm2, tmp_path) as model:
        monkeypatch.setattr(model._engine, "can_split", False)
        await ask(model, CATS)
    assert stored(tmp_path) == []


async def test_without_a_cache_nothing_is_kept(smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LlamaModel(smollm2, context_length=512, prefix_cache=False)
    assert model.prefix_cache is None
    await model.aclose()
