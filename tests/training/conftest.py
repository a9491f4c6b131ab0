from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plait.apps.evaluation._sixteen import assistant_toolbox
from plait.models._gguf_writer import write_gguf
from plait.tools import Toolbox

_WIDTH, _FFN, _HEADS, _KV_HEADS, _LAYERS = 32, 48, 4, 2, 2
_CONTROL, _UNKNOWN, _BYTE = 3, 2, 6


@pytest.fixture(scope="session")
def assistant() -> Toolbox:
    return assistant_toolbox()


@pytest.fixture
def write_network(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model with random weights in 32 bits: two layers, two query heads to a key head."""

    def write(architecture: str = "llama", *, tied: bool = False) -> Path:
        return _write_network(tmp_path / f"{architecture}.gguf", architecture, tied=tied)

    return write


def _write_network(path: Path, architecture: str, *, tied: bool) -> Path:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256))]
    metadata: dict[str, Any] = {
        "general.architecture": architecture,
        f"{architecture}.context_length": 512,
        f"{architecture}.embedding_length": _WIDTH,
        f"{architecture}.block_count": _LAYERS,
        f"{architecture}.feed_forward_length": _FFN,
        f"{architecture}.attention.head_count": _HEADS,
        f"{architecture}.attention.head_count_kv": _KV_HEADS,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{architecture}.rope.freq_base": 50_000.0,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.token_type": [_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    shapes = {"token_embd": (len(tokens), _WIDTH), "output_norm": (_WIDTH,)}
    if not tied:
        shapes["output"] = (len(tokens), _WIDTH)
    kv_width = _WIDTH // _HEADS * _KV_HEADS
    for i in range(_LAYERS):
        shapes |= {
            f"blk.{i}.attn_norm": (_WIDTH,),
            f"blk.{i}.ffn_norm": (_WIDTH,),
            f"blk.{i}.attn_q": (_WIDTH, _WIDTH),
            f"blk.{i}.attn_k": (kv_width, _WIDTH),
            f"blk.{i}.attn_v": (kv_width, _WIDTH),
            f"blk.{i}.attn_output": (_WIDTH, _WIDTH),
            f"blk.{i}.ffn_gate": (_FFN, _WIDTH),
            f"blk.{i}.ffn_up": (_FFN, _WIDTH),
            f"blk.{i}.ffn_down": (_WIDTH, _FFN),
        }
    random = np.random.default_rng(0)
    tensors = {f"{name}.weight": random.normal(size=shape) * 0.3 for name, shape in shapes.items()}
    if architecture == "qwen2":
        for i in range(_LAYERS):
            for name in ("attn_q", "attn_k", "attn_v"):
                tensors[f"blk.{i}.{name}.bias"] = random.normal(size=shapes[f"blk.{i}.{name}"][0])
    write_gguf(path, metadata, tensors)
    return path
