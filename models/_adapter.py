"""LoRA adapters: what a GGUF file of one says, and whether it is for a base.

The format is llama.cpp's own: ``general.type`` is ``"adapter"``, ``adapter.type`` is ``"lora"``, and for
each weight that is adapted there are two tensors, its name with ``.lora_a`` and ``.lora_b``. plait adds the
fingerprint of the base, so that an adapter is never put on weights that it was not trained on.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plait.errors import ModelFileError
from plait.models._gguf import read_header

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from plait.models._gguf_writer import Value

PLANS = "plans"
"""The purpose of adapters that ``plait train`` makes: with it a model writes plans, and nothing else well."""

PROMPTS = 2
"""The form of prompts and plans that adapters for plans are trained on; another number, another form."""

_BASE, _BASE_NAME, _PURPOSE = "plait.adapter.base", "plait.adapter.base_name", "plait.adapter.purpose"
_PROMPTS = "plait.adapter.prompts"
_SAMPLE_BYTES = 4096  # of each tensor: enough to tell any two trainings apart


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter in a GGUF file."""

    path: Path
    """The file."""
    architecture: str
    """llama.cpp's name of the base's kind."""
    base: str
    """The base's :func:`weights_fingerprint`; empty if the file does not say."""
    base_name: str
    """The base's name in the catalog, or its file's; empty if the file does not say."""
    purpose: str
    """What it is for: ``"plans"``, or empty if the file does not say."""
    prompts: int = 0
    """The form of prompts and plans that it was trained on; 0 if the file does not say."""

    def check_prompts(self) -> None:
        """Check that an adapter for plans knows the form of prompts and plans that planners use now.

        Raises:
            ModelFileError: it was trained on another one.
        """
        if self.purpose == PLANS and self.prompts != PROMPTS:
            raise ModelFileError(
                f"the adapter {self.path} was trained for another version of plait, which wrote prompts "
                f"otherwise (form {self.prompts or 1}, and this one has {PROMPTS}); go on training it with "
                "plait train lora --start, or use that version",
                model=str(self.path),
            )

    def check_base(self, path: Path) -> None:
        """Check that the adapter was trained on the weights in the GGUF file at ``path``.

        Raises:
            ModelFileError: it was trained on others, or does not say on which.
        """
        if not self.base:
            raise ModelFileError(
                f"the adapter {self.path} does not say which weights it was trained on; export it with "
                "plait train export",
                model=str(path),
            )
        if weights_fingerprint(path) != self.base:
            raise ModelFileError(
                f"the adapter {self.path} was not trained on the weights in {path.name}; give the base "
                "that it was trained on",
                model=str(path),
            )


def read_adapter(path: str | os.PathLike[str]) -> Adapter:
    """What the header of an adapter's file says.

    Raises:
        ModelFileError: the file is missing, cut off, or no LoRA adapter.
    """
    path = Path(path)
    told = read_header(path).metadata
    if (told.get("general.type"), told.get("adapter.type")) != ("adapter", "lora"):
        raise ModelFileError(
            f"{path} is no LoRA adapter; give one that plait train export has written", model=str(path)
        )
    keys = ("general.architecture", _BASE, _BASE_NAME, _PURPOSE)
    architecture, base, base_name, purpose = (str(told.get(key, "")) for key in keys)
    prompts = told.get(_PROMPTS, 0)
    prompts = prompts if isinstance(prompts, int) else 0
    return Adapter(path, architecture, base, base_name, purpose, prompts=prompts)


def is_adapter(path: Path) -> bool:
    """Whether the GGUF file has an adapter instead of a model.

    Raises:
        ModelFileError: it is no whole GGUF file.
    """
    return read_header(path).metadata.get("general.type") == "adapter"


def write_adapter(
    path: str | os.PathLike[str],
    base: Path,
    pairs: Mapping[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]],
    *,
    alpha: float,
    name: str,
    base_name: str = "",
    purpose: str = PLANS,
    prompts: int = PROMPTS,
) -> None:
    """Write a LoRA adapter for the weights in the GGUF file ``base``.

    Args:
        path: the file, which is replaced if there is one.
        base: what it was trained on.
        pairs: by the name of each adapted weight, ``A`` of shape (rank, n_in) and ``B`` of shape
            (n_out, rank); stored in 16 bits.
        alpha: what the adapter adds is ``alpha / rank`` times ``B A x``.
        name: of the adapter.
        base_name: the base's name in the catalog; its file's name by default.
        purpose: what it is for.
        prompts: the form of prompts and plans that it was trained on.

    Raises:
        ModelFileError: the base cannot be read, or the file cannot be written.
    """
    import numpy as np

    from plait.models._gguf_writer import write_gguf

    metadata: dict[str, Value] = {
        "general.type": "adapter",
        "general.architecture": str(read_header(base).metadata.get("general.architecture", "")),
        "general.name": name,
        "adapter.type": "lora",
        "adapter.lora.alpha": float(alpha),
        _BASE: weights_fingerprint(base),
        _BASE_NAME: base_name or base.name,
        _PURPOSE: purpose,
        _PROMPTS: prompts,
    }
    tensors = {
        f"{weight}.lora_{letter}": matrix.astype(np.float16)
        for weight, pair in pairs.items()
        for letter, matrix in zip("ab", pair, strict=True)
    }
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    write_gguf(part, metadata, tensors)
    part.replace(path)


def weights_fingerprint(path: Path) -> str:
    """What tells the weights of a GGUF file from others: the same for copies with another chat template.

    SHA-256 over every tensor's name, shape, type and first 4 KiB, so that files of gigabytes take no time.

    Raises:
        ModelFileError: it is no whole GGUF file.
    """
    header = read_header(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for tensor in sorted(header.tensors):
                digest.update(f"{tensor.name} {tensor.shape} {tensor.type.name} ".encode())
                file.seek(header.weights_start + tensor.offset)
                digest.update(file.read(min(tensor.n_bytes, _SAMPLE_BYTES)))
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error}", model=str(path)) from error
    return digest.hexdigest()
