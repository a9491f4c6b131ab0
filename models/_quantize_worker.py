"""The process that quantizes: ``python -m plait.models._quantize_worker JOB``.

Writes a line to standard output for each tensor: how many were begun before it, and how many there are.
Ends with 0, or with :data:`~plait.models._quantize_job.REFUSED`.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plait.errors import PlaitError
from plait.models._importance import ImportanceMatrix, load_importance
from plait.models._llama_library import llama_library
from plait.models._quantize_job import REFUSED, QuantizeJob

_INFO, _ERROR = 2, 4  # ggml's levels of log messages
_TENSOR = re.compile(rb"\[ *(\d+)/ *(\d+)\]")  # "[   1/ 272]   token_embd.weight - [576, 49152, 1, 1], ..."


def main() -> int:
    """Do the job that is the only argument; the process's exit code."""
    job = QuantizeJob.from_json(sys.argv[1])
    target = Path(job.target)
    try:
        lib = llama_library()
        importance = load_importance(job.importance) if job.importance else None
    except PlaitError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    log = lib.llama_log_callback(_log(target))
    lib.llama_log_set(log, None)
    parameters = _parameters(lib, job, importance)
    status = lib.llama_model_quantize(os.fsencode(job.source), os.fsencode(job.target), parameters)
    if status != 0:
        target.unlink(missing_ok=True)
        return REFUSED
    return 0


def _log(target: Path) -> Callable[[int, bytes, object], None]:
    def log(level: int, text: bytes, _: object) -> None:
        if level == _ERROR:
            reason = text.decode(errors="replace").strip().rpartition("failed to quantize: ")[2]
            sys.stderr.write(f"{reason}\n")
        elif level == _INFO and (found := _TENSOR.match(text)):
            _report(int(found[1]) - 1, int(found[2]), target)

    return log


def _report(n_done: int, n_all: int, target: Path) -> None:
    try:
        sys.stdout.write(f"{n_done} {n_all}\n")
        sys.stdout.flush()
    except OSError:  # whoever wanted the file has gone
        target.unlink(missing_ok=True)
        os._exit(1)


def _parameters(lib: Any, job: QuantizeJob, importance: ImportanceMatrix | None) -> Any:
    parameters = lib.llama_model_quantize_default_params()
    parameters.nthread = job.n_threads
    parameters.ftype = job.file_type
    parameters.allow_requantize = job.requantize
    if importance is not None:
        parameters.imatrix = _entries(lib, importance)
        parameters.kv_overrides = _metadata(lib, importance)
    return parameters


def _entries(lib: Any, importance: ImportanceMatrix) -> Any:
    """The matrix as llama.cpp takes it: an array that ends with an entry of no name."""
    entries = (lib.llama_model_imatrix_data * (len(importance.tensors) + 1))()
    for entry, (name, tensor) in zip(entries, importance.tensors.items(), strict=False):
        means = tensor.means
        entry.name, entry.size = name.encode(), means.size
        entry.data = (ctypes.c_float * means.size)(*means.ravel().tolist())
    return entries


def _metadata(lib: Any, importance: ImportanceMatrix) -> Any:
    """What the new file tells of the matrix, as files of llama-quantize do."""
    facts = {
        "quantize.imatrix.entries_count": len(importance.tensors),
        "quantize.imatrix.chunks_count": importance.n_chunks,
    }
    overrides = (lib.llama_model_kv_override * (len(facts) + 1))()
    for override, (key, number) in zip(overrides, facts.items(), strict=False):
        override.tag, override.key = lib.LLAMA_KV_OVERRIDE_TYPE_INT, key.encode()
        override.value.val_i64 = number
    return overrides


if __name__ == "__main__":
    sys.exit(main())
