"""From a trained network to a file that llama.cpp applies."""

from __future__ import annotations

from pathlib import Path

import torch

from plait.models import write_adapter
from plait.training._network import LoRANetwork
from plait.training._session import TrainingRecord
from plait.training._trainer import read_checkpoint


def export_adapter(network: LoRANetwork, base: Path, path: Path, *, name: str, base_name: str = "") -> None:
    """Write the network's adapter as a GGUF file for the weights in ``base``.

    Args:
        network: what was trained.
        base: the GGUF file that it was trained on.
        path: the file to write.
        name: what the adapter is called.
        base_name: the base's name in the catalog; its file's name by default.

    Raises:
        ModelFileError: the file cannot be written.
    """
    pairs = {
        weight: (a.detach().float().cpu().numpy(), b.detach().float().cpu().numpy())
        for weight, a, b in network.adapters()
    }
    write_adapter(path, base, pairs, alpha=network.alpha, name=name, base_name=base_name)


def export_training(folder: Path, path: Path, *, name: str) -> int:
    """Write the adapter of the last checkpoint in ``folder`` as a GGUF file; returns its step.

    Raises:
        ConfigurationError: the folder has no training with a checkpoint.
        ModelFileError: the base or the file cannot be used.
    """
    record = TrainingRecord.read(folder)
    state = read_checkpoint(folder)
    network = LoRANetwork(Path(record.path), rank=record.rank, alpha=record.alpha)
    network.load_state_dict(state["network"])
    with torch.no_grad():
        export_adapter(network, Path(record.path), path, name=name, base_name=record.base_name)
    step: int = state["step"]
    return step
