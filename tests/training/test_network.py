"""The network that is trained is the one that llama.cpp computes; its shared prefix changes no gradient."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from plait.errors import ConfigurationError
from plait.models import read_adapter
from plait.models._engine import Engine
from plait.models._merge import merged_weights
from plait.training._export import export_adapter
from plait.training._network import Batch, LoRANetwork

TOKENS = [1, *np.random.default_rng(1).integers(3, 250, 60).tolist()]
TEXT = (
    "The ferry leaves the harbour at seven every morning. It carries bread, letters and a few sleepy people "
    "across the sound, and it comes back in the evening with empty crates and full stories."
)


def with_random_adapter(path: Path, size: float) -> LoRANetwork:
    """What training might have made: ``B`` is not zero any more."""
    network = LoRANetwork(path, rank=4, alpha=8.0)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, _, b in network.adapters():
            b.copy_(torch.randn(b.shape, generator=generator) * size)
    return network


def torch_logits(network: LoRANetwork, tokens: list[int]) -> np.ndarray:
    """Those after every token but the first."""
    batch = Batch(torch.tensor(tokens[:1]), (torch.tensor([tokens[1:]]),))
    with torch.no_grad():
        return network(batch, torch.arange(len(tokens) - 1)).numpy()


def llama_logits(path: Path, adapter: Path | None, tokens: list[int]) -> np.ndarray:
    engine = Engine(path, context_length=512, adapter=None if adapter is None else read_adapter(adapter))
    try:
        with engine.lock:
            return np.stack([engine.compute(tokens[:n]).copy() for n in range(2, len(tokens) + 1)])
    finally:
        engine.close()


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_an_adapter_in_weights_of_32_bits_computes_what_it_computes_beside_them(
    architecture: str,
    write_network: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLAIT_MODELS", str(tmp_path))
    base, adapter = write_network(architecture), tmp_path / "adapter.gguf"
    export_adapter(with_random_adapter(base, 0.05), base, adapter, name="test")
    merged = merged_weights(base, read_adapter(adapter))
    assert merged is not None
    beside = llama_logits(base, adapter, TOKENS)
    effect = np.abs(beside - llama_logits(base, None, TOKENS)).max()
    assert np.abs(llama_logits(merged, None, TOKENS) - beside).max() < effect / 5


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_the_logits_with_an_exported_adapter_are_those_of_llama_cpp(
    architecture: str, tied: bool, write_network: Callable[..., Path], tmp_path: Path
) -> None:
    base = write_network(architecture, tied=tied)
    network = with_random_adapter(base, 0.05)
    export_adapter(network, base, tmp_path / "adapter.gguf", name="test")
    ours, theirs = torch_logits(network, TOKENS), llama_logits(base, tmp_path / "adapter.gguf", TOKENS)
    plain = llama_logits(base, None, TOKENS)
    noise = np.abs(ours - theirs).max()
    assert noise < 0.02 * np.abs(theirs - plain).max()


def test_on_quantized_weights_they_differ_by_no_more_than_the_quantization_of_inputs_does(
    smollm2: Path, tmp_path: Path
) -> None:
    network = with_random_adapter(smollm2, 0.1)
    export_adapter(network, smollm2, tmp_path / "adapter.gguf", name="test")
    tokens = tokens_of(smollm2, TEXT)
    plain = torch_logits(LoRANetwork(smollm2), tokens)
    noise = np.abs(plain - llama_logits(smollm2, None, tokens)).mean()
    with_adapter = torch_logits(network, tokens)
    difference = np.abs(with_adapter - llama_logits(smollm2, tmp_path / "adapter.gguf", tokens)).mean()
    effect = np.abs(with_adapter - plain).mean()
    assert difference < 1.5 * noise
    assert effect > 5 * noise


def tokens_of(path: Path, text: str) -> list[int]:
    engine = Engine(path, context_length=256)
    try:
        return engine.vocabulary.tokenize(text)
    finally:
        engine.close()


def gradients(network: LoRANetwork, batches: list[tuple[Batch, torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    network.zero_grad()
    for batch, places, targets in batches:
        functional.cross_entropy(network(batch, places), targets, reduction="sum").backward()
    return torch.cat([p.grad.flatten() for p in network.parameters()])


def test_a_shared_prefix_gives_the_gradient_of_the_whole_sequences(
    write_network: Callable[..., Path],
) -> None:
    network = with_random_adapter(write_network(), 0.05)
    random = torch.Generator().manual_seed(0)
    prefix = torch.randint(3, 250, (17,), generator=random)
    tails = [torch.randint(3, 250, (n,), generator=random) for n in (9, 9, 5)]
    shared = Batch(prefix, (torch.stack(tails[:2]), functional.pad(tails[2], (0, 3))[None]))
    places = torch.tensor([*range(4, 8), *range(13, 17), *range(18 + 1, 18 + 4)])
    targets = torch.cat([tails[0][5:], tails[1][5:], tails[2][2:]])
    alone = []
    for tail, learnt in zip(tails, (5, 5, 2), strict=True):
        whole = torch.cat([prefix, tail])
        at = torch.arange(len(prefix) + learnt, len(whole)) - 2  # behind a prefix of one token
        alone.append((Batch(whole[:1], (whole[None, 1:],)), at, tail[learnt:]))
    torch.testing.assert_close(
        gradients(network, [(shared, places, targets)]), gradients(network, alone), rtol=1e-3, atol=1e-5
    )


def test_in_16_bits_the_gradient_has_the_same_direction(smollm2: Path) -> None:
    tokens = tokens_of(smollm2, TEXT)
    batch = Batch(torch.tensor(tokens[:10]), (torch.tensor([tokens[10:30], tokens[15:35]]),))
    learnt = [(batch, torch.arange(38), torch.tensor(tokens[:38]))]
    found = []
    for precision in (torch.float32, torch.bfloat16):
        network = LoRANetwork(smollm2, rank=4, precision=precision)
        found.append(gradients(network, learnt))
    assert functional.cosine_similarity(*found, dim=0) > 0.99
    assert not torch.equal(*found)


def test_a_base_of_another_architecture_is_refused_by_name(write_network: Callable[..., Path]) -> None:
    with pytest.raises(
        ConfigurationError, match=r"'gemma3', which cannot be trained; choose .* llama, qwen2"
    ):
        LoRANetwork(write_network("gemma3"))
