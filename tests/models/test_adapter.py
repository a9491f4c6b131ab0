"""LoRA adapters in the engine: applied, refused for another base, and kept apart from the plain model."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plait.errors import ModelFileError, ModelMemoryError
from plait.models import (
    ChatModel,
    LlamaModel,
    Message,
    PrefixCache,
    _engine,
    read_adapter,
    read_gguf,
    weights_fingerprint,
    write_adapter,
)
from plait.models._deferred import DeferredModel

pytestmark = pytest.mark.anyio

QUESTION = [Message.instructions("Answer in one sentence. " * 20), Message("user", "What do cats eat?")]


def adapter_for(base: Path, path: Path, *, size: float) -> Path:
    """One on the output of every attention layer; ``size`` 0 changes nothing."""
    random = np.random.default_rng(0)
    info = read_gguf(base)
    width = info.embedding_length
    pairs = {
        f"blk.{i}.attn_output.weight": (
            random.standard_normal((4, width)).astype(np.float32) / np.sqrt(width),
            random.standard_normal((width, 4)).astype(np.float32) * size,
        )
        for i in range(info.n_layers)
    }
    write_adapter(path, base, pairs, alpha=8.0, name="test")
    return path


@pytest.fixture(scope="module")
def strong(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapter_for(smollm2, tmp_path_factory.mktemp("adapter") / "strong.gguf", size=1.0)


@pytest.fixture(scope="module")
def adapted(smollm2: Path, strong: Path) -> Iterator[LlamaModel]:
    model = LlamaModel(
        smollm2, context_length=1024, drafts=False, adapter=strong, merge=False, prefix_cache=False
    )
    yield model
    asyncio.run(model.aclose())


def loaded_plain(model: LlamaModel) -> LlamaModel:
    deferred = model.without_adapter()
    assert isinstance(deferred, DeferredModel)
    plain = deferred.load()
    assert isinstance(plain, LlamaModel)
    return plain


async def said(model: ChatModel) -> str:
    return await model.stream(QUESTION, max_tokens=8).text()


async def test_an_adapter_changes_what_is_said_and_one_of_zeros_does_not(
    smollm2: Path, adapted: LlamaModel, tmp_path: Path
) -> None:
    plain = LlamaModel(smollm2, context_length=1024, drafts=False)
    zeros = LlamaModel(
        smollm2,
        context_length=1024,
        drafts=False,
        adapter=adapter_for(smollm2, tmp_path / "zeros.gguf", size=0.0),
        merge=False,
    )
    try:
        assert await said(zeros) == await said(plain)
        assert await said(adapted) != await said(plain)
    finally:
        await plain.aclose()
        await zeros.aclose()


async def test_the_model_without_its_adapter_shares_the_weights_and_speaks_as_before(
    smollm2: Path, adapted: LlamaModel
) -> None:
    fresh = LlamaModel(smollm2, context_length=1024, drafts=False)
    expected = await said(fresh)
    await fresh.aclose()
    first = await said(adapted)
    plain = loaded_plain(adapted)
    assert plain._engine.weights is adapted._engine.weights
    assert await said(plain) == expected
    assert await said(adapted) == first
    assert plain.without_adapter() is plain


async def test_shared_weights_need_no_memory_of_their_own(
    adapted: LlamaModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = adapted._engine.placement.estimate
    room = alone.kv_bytes + alone.compute_bytes + 1000
    assert alone.kv_bytes + alone.compute_bytes < room
    machine = replace(adapted._engine.machine, available_bytes=room)
    monkeypatch.setattr(_engine, "this_machine", lambda: machine)
    assert await said(adapted.without_adapter())
    with pytest.raises(ModelMemoryError):
        LlamaModel(adapted._engine.path, context_length=adapted.context_length)


async def test_weights_live_until_the_last_engine_that_shares_them_is_closed(
    smollm2: Path, strong: Path
) -> None:
    model = LlamaModel(smollm2, context_length=512, drafts=False, adapter=strong, merge=False)
    plain = loaded_plain(model)
    expected = await said(plain)
    await asyncio.to_thread(model._engine.close)
    assert await said(plain) == expected
    await model.aclose()
    assert plain._closed.is_set()


async def test_states_on_disk_of_the_adapted_and_of_the_plain_model_are_two(
    smollm2: Path, strong: Path, tmp_path: Path
) -> None:
    cache = PrefixCache(tmp_path)
    for adapter in (None, strong):
        model = LlamaModel(
            smollm2,
            context_length=512,
            drafts=False,
            prefix_cache=cache,
            adapter=adapter,
            merge=False,
            n_threads=1,
        )
        generation = model.stream(QUESTION, max_tokens=2)
        await generation.text()
        await model.aclose()
        assert generation.usage.cached_tokens == 0
    assert n_states(tmp_path) == 2


def n_states(folder: Path) -> int:
    return len(list(folder.glob("*.plaitkv")))


def test_an_adapter_for_other_weights_is_refused(smollm2: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    data = bytearray(smollm2.read_bytes())
    data[read_weights_start(smollm2)] ^= 1
    other.write_bytes(data)
    path = adapter_for(other, tmp_path / "adapter.gguf", size=0.1)
    assert weights_fingerprint(other) != weights_fingerprint(smollm2)
    with pytest.raises(ModelFileError, match="was not trained on the weights in SmolLM2"):
        LlamaModel(smollm2, context_length=256, adapter=path)


def read_weights_start(path: Path) -> int:
    from plait.models._gguf import read_header

    return read_header(path).weights_start


def test_what_is_no_adapter_is_refused(smollm2: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is no LoRA adapter"):
        read_adapter(smollm2)
    with pytest.raises(ModelFileError, match="there is no such file"):
        read_adapter(tmp_path / "none.gguf")


def test_an_adapter_whose_shapes_are_not_the_bases_is_refused(smollm2: Path, tmp_path: Path) -> None:
    path = tmp_path / "narrow.gguf"
    pair = (np.zeros((4, 64), dtype=np.float32), np.zeros((64, 4), dtype=np.float32))
    write_adapter(path, smollm2, {"blk.0.attn_output.weight": pair}, alpha=8.0, name="narrow")
    with pytest.raises(ModelFileError, match=r"cannot apply the adapter .*narrow\.gguf"):
        LlamaModel(smollm2, context_length=256, adapter=path, merge=False)


def test_a_file_says_what_the_adapter_is(smollm2: Path, strong: Path) -> None:
    found = read_adapter(strong)
    assert (found.architecture, found.base, found.purpose) == (
        "llama",
        weights_fingerprint(smollm2),
        "plans",
    )


# The form of prompts


@pytest.mark.parametrize("prompts", [0, 1, 3])
def test_an_adapter_for_prompts_of_another_form_is_refused(
    smollm2: Path, tmp_path: Path, prompts: int
) -> None:
    width = read_gguf(smollm2).embedding_length
    pair = (np.zeros((4, width), np.float32), np.zeros((width, 4), np.float32))
    path = tmp_path / "old.gguf"
    pairs = {"blk.0.attn_output.weight": pair}
    write_adapter(path, smollm2, pairs, alpha=8.0, name="old", prompts=prompts)
    assert read_adapter(path).prompts == prompts
    with pytest.raises(ModelFileError, match=f"form {prompts or 1}, and this one has 2.*train lora --start"):
        LlamaModel(smollm2, adapter=path)
    write_adapter(path, smollm2, pairs, alpha=8.0, name="other", purpose="answers", prompts=prompts)
    read_adapter(path).check_prompts()
