"""Several requests at once on the real small model; the logic alone is tested in test_batching."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from plait.errors import ModelError, ModelFileError
from plait.models import Generation, Grammar, LlamaModel, Message, _calibration
from plait.models._batch_cost import BatchCost
from plait.models._batching import Batcher, Step, Steps
from plait.models._decoding import Decoding
from plait.models._engine import MAX_SEQUENCES, Chunk, Engine

pytestmark = pytest.mark.anyio

RULES = Message("system", "You answer in one short sentence. " * 8)
CONVERSATIONS = [
    [RULES, Message("user", "What do cats eat?")],
    [RULES, Message("user", "What do dogs like?")],
    [Message("user", "Count from one to twenty.")],
    [Message("user", "The owl and the pussycat went to sea in a pea-green boat. " * 12 + "Who went to sea?")],
    [
        Message("user", "Name a colour."),
        Message("assistant", "Red."),
        Message("user", "Name three more."),
    ],
]
JSON = Grammar(lark='start: "{\\"city\\": \\"" /[A-Za-z ]{1,12}/ "\\", \\"n\\": " /[0-9]{1,3}/ "}"')
TIE = 1.0
"""Logits may differ by so much between batches of different sizes, whose kernels round differently."""


class Recorded:
    """A model, and the answers' tokens and the sizes of the batches behind its texts."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.model = LlamaModel(path, **{"context_length": 2048, "drafts": False, **options})
        self.decodings: list[Decoding] = []
        self.batches: list[int] = []
        submit, decode = self.model._batcher.submit, self.model._engine.decode

        def noted_submit(request: Any) -> None:
            self.decodings.append(request)
            submit(request)

        def noted_decode(chunks: Any) -> Any:
            self.batches.append(len(chunks))
            return decode(chunks)

        self.model._batcher.submit = noted_submit  # type: ignore[method-assign]
        self.model._engine.decode = noted_decode  # type: ignore[method-assign]

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The answer to ``messages``."""
        prompt = self.model._prompt(messages, ())
        [decoding] = [d for d in self.decodings if d._prompt == prompt]
        return decoding._answer


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[Recorded]:
    recorded = Recorded(path, **options)
    try:
        yield recorded
    finally:
        await recorded.model.aclose()


async def ask(
    recorded: Recorded, messages: Sequence[Message], max_tokens: int = 16, **options: Any
) -> Generation:
    generation = recorded.model.stream(messages, max_tokens=max_tokens, **options)
    assert await generation.text()
    return generation


def logits_after(engine: Engine, tokens: list[int]) -> npt.NDArray[np.float32]:
    with engine.lock:
        row = engine.compute(tokens)
    assert row is not None
    return row.copy()


def assert_same_but_for_ties(engine: Engine, prompt: list[int], a: list[int], b: list[int]) -> bool:
    """Whether two answers are equal; where they part, both ways must be about equally likely."""
    if a == b:
        return True
    n = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    row = logits_after(engine, [*prompt, *a[:n]])
    ends = [token for token in range(engine.vocabulary.n_vocab) if engine.vocabulary.is_end(token)]
    chosen = [float(row[answer[n]]) if n < len(answer) else float(row[ends].max()) for answer in (a, b)]
    assert row.max() - min(chosen) < TIE, f"the answers part at token {n}, which is no tie: {chosen}"
    return False


async def test_conversations_at_once_get_the_texts_that_they_get_alone(smollm2: Path) -> None:
    async with opened(smollm2) as alone, opened(smollm2) as together:
        for messages in CONVERSATIONS:
            await ask(alone, messages)
        assert set(alone.batches) == {1}
        await asyncio.gather(*(ask(together, messages) for messages in CONVERSATIONS))
        assert max(together.batches) == len(CONVERSATIONS)
        assert len(together.batches) < 0.5 * len(alone.batches)
        engine = alone.model._engine
        same = [
            assert_same_but_for_ties(
                engine, alone.model._prompt(messages, ()), alone.tokens(messages), together.tokens(messages)
            )
            for messages in CONVERSATIONS
        ]
        assert sum(same) >= 3, "more than an occasional tie"


async def test_the_logits_of_prompts_read_beside_others_are_those_of_a_fresh_engine(smollm2: Path) -> None:
    async with opened(smollm2) as shared:
        await asyncio.gather(*(ask(shared, messages, 8) for messages in CONVERSATIONS))
        prompts = [shared.model._prompt(messages, ()) for messages in CONVERSATIONS]
        engine, fresh = shared.model._engine, Engine(smollm2, context_length=2048)
        off, noise = [], []
        for prompt in prompts:
            assert engine.pool.n_common(prompt) == len(prompt)
            afresh = read(fresh, prompt, 512)
            off.append(distance(logits_after(engine, prompt), afresh))
            noise.append(distance(read(fresh, prompt, 7), afresh))
        fresh.close()
        # Reading the same prompt alone, but in other batches, makes as much of a difference.
        assert max(off) <= 1.5 * max(noise) + 0.3


def read(engine: Engine, tokens: list[int], batch: int) -> npt.NDArray[np.float32]:
    """The logits after ``tokens``, computed in an empty sequence in batches of a given size."""
    with engine.lock:
        sequence = engine.pool.take_empty()
        assert sequence is not None
        for start in range(0, len(tokens), batch):
            part = tokens[start : start + batch]
            [[row]] = engine.decode([Chunk(sequence, part, [len(part) - 1])])
        engine.pool.release(sequence)
        return row.copy()


def distance(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """How far two rows of logits are apart, whatever was added to all of a row."""
    return float(np.abs((a - a.mean()) - (b - b.mean())).max())


class Reading:
    """A request for the logits after a text."""

    beginnings = ()

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens
        self.ended = threading.Event()
        self.row: Any = None

    def steps(self, lane: Any) -> Steps:
        [row] = yield Step(self.tokens, [len(self.tokens) - 1])
        self.row = row.copy()

    def is_cancelled(self) -> bool:
        return False

    def finish(self, error: Exception | None) -> None:
        self.ended.set()


def test_what_one_request_is_told_in_confidence_no_other_one_knows(smollm2: Path) -> None:
    engine, fresh = (Engine(smollm2, context_length=2048) for _ in range(2))
    words = [" banana", " castle", " thunder", " violin"]
    asking = "The secret word is"
    texts = [f"{asking}{word}. " * 8 + asking for word in words]
    tokens = [engine.vocabulary.tokenize(text) for text in (*texts, f"Nobody knows it. {asking}")]
    readings = [Reading(t) for t in tokens]
    batcher = Batcher(engine)
    with engine.lock:
        for reading in readings:
            batcher.submit(reading)
    assert all(reading.ended.wait(60) for reading in readings)
    firsts = [engine.vocabulary.tokenize(f"x{word}")[-1] for word in words]
    for reading, own in zip(readings, [*firsts, None], strict=True):
        alone = log_chances(read(fresh, reading.tokens, 512))
        beside = log_chances(reading.row)
        for token in firsts:
            if token == own:
                assert beside[token] > np.log(0.5), "it knows its own"
            else:
                # A request that saw the others' cells would find their words thousands of times as likely.
                assert beside[token] - alone[token] < 2.0
    engine.close()
    fresh.close()


def log_chances(row: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    logits = row.astype(np.float64) - row.max()
    return np.asarray(logits - np.log(np.exp(logits).sum()))


async def test_cancelling_one_leaves_the_others(smollm2: Path) -> None:
    async with opened(smollm2) as alone, opened(smollm2) as together:
        for messages in CONVERSATIONS[:2]:
            await ask(alone, messages)
        left = together.model.stream([Message("user", "Count to one thousand.")], max_tokens=1500)
        assert await anext(aiter(left))
        others = [asyncio.ensure_future(ask(together, messages)) for messages in CONVERSATIONS[:2]]
        assert await anext(aiter(left))
        await left.aclose()
        await asyncio.gather(*others)
        assert left.finish_reason == "cancelled"
        assert left.usage.completion_tokens < 1500
        for messages in CONVERSATIONS[:2]:
            prompt = alone.model._prompt(messages, ())
            answers = alone.tokens(messages), together.tokens(messages)
            assert_same_but_for_ties(alone.model._engine, prompt, *answers)
        with together.model._engine.lock:  # the thread that decodes has ended
            assert not any(s.is_busy for s in together.model._engine.pool.sequences)


async def test_requests_with_and_without_a_grammar_run_together(smollm2: Path) -> None:
    async with opened(smollm2) as recorded:
        question = [Message("user", "Name a city in JSON.")]
        free = [ask(recorded, messages, 12) for messages in CONVERSATIONS[:2]]
        bound = [recorded.model.stream(question, grammar=JSON) for _ in range(2)]
        texts = await asyncio.gather(*(g.text() for g in bound), *free)
        assert max(recorded.batches) >= 3
        for text in texts[:2]:
            assert set(json.loads(str(text))) == {"city", "n"}
        assert all(g.finish_reason == "stop" and g.usage.forced_tokens > 4 for g in bound)


async def test_an_error_in_one_request_leaves_the_others(smollm2: Path) -> None:
    async with opened(smollm2) as recorded:
        wrong = recorded.model.stream(CONVERSATIONS[0], grammar=Grammar(lark="start: nowhere"))
        results = await asyncio.gather(
            wrong.text(), ask(recorded, CONVERSATIONS[1], 8), return_exceptions=True
        )
        assert "nowhere" in str(results[0])
        assert isinstance(results[1], Generation)


async def test_more_conversations_than_sequences_are_all_answered(smollm2: Path) -> None:
    async with opened(smollm2) as recorded:
        prompts = [[Message("user", f"Say the number {n}.")] for n in range(MAX_SEQUENCES + 3)]
        generations = await asyncio.gather(*(ask(recorded, prompt, 3) for prompt in prompts))
        assert all(g.usage.completion_tokens > 0 for g in generations)
        assert max(recorded.batches) <= MAX_SEQUENCES


async def test_requests_that_outgrow_the_cache_together_are_all_answered(smollm2: Path) -> None:
    async with opened(smollm2, context_length=420) as recorded:
        batcher = recorded.model._batcher
        stepped_back, step_back = [], batcher._step_back

        def noted(job: Any) -> None:
            stepped_back.append(job)
            step_back(job)

        batcher._step_back = noted  # type: ignore[method-assign]
        prompts = [[Message("user", f"Tell a long story about {w}.")] for w in ("a cat", "owls", "the sea")]
        generations = await asyncio.gather(*(ask(recorded, prompt, 140) for prompt in prompts))
        assert stepped_back
        assert [g.usage.completion_tokens for g in generations] == [140] * 3
        engine = recorded.model._engine
        for prompt in prompts:
            # The last token is one that the model says with nobody beside it.
            answer = recorded.tokens(prompt)
            row = read(engine, [*recorded.model._prompt(prompt, ()), *answer[:-1]], 512)
            assert row.max() - row[answer[-1]] < TIE


async def test_closing_a_model_ends_all_its_answers(smollm2: Path) -> None:
    recorded = Recorded(smollm2)
    long = [
        recorded.model.stream([Message("user", f"Count to one thousand from {n}.")], max_tokens=900)
        for n in range(3)
    ]
    for generation in long:
        assert await anext(aiter(generation))
    await recorded.model.aclose()
    async with asyncio.timeout(30):
        for generation in long:
            await generation.text()
    assert [g.finish_reason for g in long] == ["cancelled"] * 3
    with pytest.raises(ModelError, match="was closed"):
        await recorded.model.stream(CONVERSATIONS[0]).text()


async def test_keys_and_values_of_eight_bits_answer_too(smollm2: Path) -> None:
    async with opened(smollm2) as f16, opened(smollm2, kv_type="q8_0") as q8:
        assert (f16.model.placement.kv_type, q8.model.placement.kv_type) == ("f16", "q8_0")
        assert q8.model.placement.estimate.kv_bytes < 0.6 * f16.model.placement.estimate.kv_bytes
        await asyncio.gather(*(ask(q8, messages, 12) for messages in CONVERSATIONS))
        sure = f16.model._engine.vocabulary.tokenize(
            "The capital of France is Paris. The capital of France is"
        )
        rows = [logits_after(recorded.model._engine, sure) for recorded in (f16, q8)]
        assert rows[0].argmax() == rows[1].argmax()
        assert f16.model._engine.vocabulary.piece(int(rows[1].argmax())) == b" Paris"


# Drafts, which are the subject here: with made-up costs, so that many are made on any machine


@pytest.fixture
def free_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large batches cost what small ones do; a small model takes hardly any time."""
    costs = iter([BatchCost((1, 16), (1.0, 1.0)), BatchCost((1, 16), (1e-6, 1e-6))])
    monkeypatch.setattr(_calibration, "costs_of_batches", lambda engine: next(costs))


REPEAT = [Message("user", "Repeat: red fox, blue whale, grey owl, red fox, blue whale, grey owl, red fox,")]


@pytest.mark.usefixtures("free_guesses")
@pytest.mark.parametrize("grammar", [None, JSON], ids=["text", "grammar"])
async def test_greedy_text_is_the_same_with_drafts(smollm2: Path, grammar: Grammar | None) -> None:
    async with opened(smollm2) as plain, opened(smollm2, drafts=True) as drafted:
        for _ in range(2):  # the second time the first answer is known
            plain.decodings.clear()
            drafted.decodings.clear()
            await ask(plain, REPEAT, 40, grammar=grammar)
            generation = await ask(drafted, REPEAT, 40, grammar=grammar)
            prompt = plain.model._prompt(REPEAT, ())
            assert_same_but_for_ties(
                plain.model._engine, prompt, plain.tokens(REPEAT), drafted.tokens(REPEAT)
            )
        assert generation.usage.accepted_tokens >= 3
        assert generation.usage.accepted_tokens <= generation.usage.draft_tokens


@pytest.mark.usefixtures("free_guesses")
async def test_no_guesses_are_made_beside_other_requests(smollm2: Path) -> None:
    async with opened(smollm2, drafts=True) as recorded:
        await ask(recorded, REPEAT, 30)
        n_alone = (await ask(recorded, REPEAT, 30)).usage.draft_tokens
        long = recorded.model.stream([Message("user", "Count to one thousand.")], max_tokens=1500)
        assert await anext(aiter(long))
        beside = await ask(recorded, REPEAT, 30)
        await long.aclose()
        assert (n_alone > 0, beside.usage.draft_tokens) == (True, 0)


@pytest.mark.usefixtures("free_guesses")
async def test_a_model_that_drafts_for_itself_is_nearly_always_right(smollm2: Path) -> None:
    async with opened(smollm2) as plain, opened(smollm2, drafts=smollm2) as drafted:
        await ask(plain, CONVERSATIONS[0], 40)
        usage = (await ask(drafted, CONVERSATIONS[0], 40)).usage
        prompt = plain.model._prompt(CONVERSATIONS[0], ())
        answers = plain.tokens(CONVERSATIONS[0]), drafted.tokens(CONVERSATIONS[0])
        assert_same_but_for_ties(plain.model._engine, prompt, *answers)
        assert usage.draft_tokens > 10
        # At a tie within the noise all the guesses behind it fall, too.
        assert usage.accepted_tokens > 0.7 * usage.completion_tokens
        assert len(drafted.batches) < 0.4 * len(plain.batches)


async def test_a_draft_model_of_another_vocabulary_is_refused(
    smollm2: Path, write_tiny: Callable[..., Path]
) -> None:
    tiny = write_tiny()
    with pytest.raises(ModelError, match="draft model has 285 tokens and the model 49152"):
        LlamaModel(smollm2, context_length=256, drafts=tiny)


async def test_a_draft_model_that_cannot_be_loaded_is_refused_by_name(smollm2: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.gguf").write_bytes(b"no model" * 9)
    for name in ("missing.gguf", "wrong.gguf"):
        with pytest.raises(ModelFileError, match=name):
            LlamaModel(smollm2, context_length=256, drafts=str(tmp_path / name))
