"""What the process that quantizes is told."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

REFUSED = 3
"""The exit code where llama.cpp does not do it; the reason is the last line of standard error."""


@dataclass(frozen=True, slots=True)
class QuantizeJob:
    """One call of ``llama_model_quantize``."""

    source: str
    """The file to read."""
    target: str
    """The file to write; deleted again if that fails."""
    file_type: int
    """llama.cpp's number of the quantization."""
    importance: str | None
    """A file with an importance matrix."""
    requantize: bool
    """Whether quantized tensors may be quantized again."""
    n_threads: int
    """CPU threads; 0 is one for each core."""

    def to_json(self) -> str:
        """The job as text of ASCII characters."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> QuantizeJob:
        """The job in what :meth:`to_json` gave."""
        return cls(**json.loads(text))
