"""Quantizes a GGUF file with llama.cpp.

llama.cpp does it in one call of minutes, which cannot be interrupted and ends the process where it finds
something impossible. So it is made in a process of its own (:mod:`plait.models._quantize_worker`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plait.errors import ConfigurationError, ModelError
from plait.models._files import file_error, file_errors
from plait.models._ggml_types import FILE_TYPES, TENSOR_TYPES, TensorType
from plait.models._gguf import Tensor
from plait.models._gguf_info import GGUFInfo, read_gguf
from plait.models._importance import ImportanceMatrix
from plait.models._quantize_job import REFUSED, QuantizeJob

_SPARE_BYTES = 16 << 20
_TRAINED_FOR = {"TQ1_0", "TQ2_0", "MXFP4", "NVFP4", "Q1_0", "Q2_0"}  # of no use to other models
_NUMBERS = {name: number for number, name in FILE_TYPES.items() if name not in _TRAINED_FOR}
_TYPES = {kind.name: kind for kind in TENSOR_TYPES.values()}
_MAIN_TYPES = {"IQ2_M": "IQ2_S", "IQ3_XS": "IQ3_S", "IQ3_M": "IQ3_S"}  # of names that do not tell
_ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}  # as in llama-quantize
_UNWEIGHTED = {"F32", "F16", "BF16", "Q8_0"}  # what ggml rounds without regard to importance
_NEEDS_IMPORTANCE = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "Q2_K_S"}

QUANTIZATIONS = tuple(sorted(_NUMBERS))
"""The quantizations to choose from, by llama.cpp's names."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """A file that was quantized."""

    source: GGUFInfo
    """What was there."""
    target: GGUFInfo
    """What came out."""
    quantization: str
    """llama.cpp's name of the quantization."""
    seconds: float
    """How long it took, without the importance matrix."""
    n_weighted: int
    """Tensors that were rounded by importance."""
    n_quantized: int
    """Tensors whose new type has fewer bits than 16."""


def quantize(
    source: str | Path,
    target: str | Path,
    quantization: str,
    *,
    importance: ImportanceMatrix | None = None,
    requantize: bool = False,
    force: bool = False,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Quantized:
    """Write the model in ``source`` to ``target`` with fewer bits.

    The target appears when it is complete; a failure or an interruption leaves nothing behind.

    Args:
        source: a GGUF file in one part.
        target: the file to write.
        quantization: one of :data:`QUANTIZATIONS`, in any case; the smallest of them need ``importance``.
        importance: what :func:`~plait.models._importance_run.compute_importance` gave for ``source``.
        requantize: take a source that is quantized already, which costs quality.
        force: replace a target that exists.
        n_threads: CPU threads; ``None`` is one for each core.
        progress: called with how many tensors are done and how many there are.

    Raises:
        ConfigurationError: an option or the target cannot be used; the message says what to do.
        ModelFileError: the source is missing or damaged, the matrix belongs to another model, or the disk
            is too small or cannot be written to.
        ModelError: llama.cpp failed.
        MissingExtraError: llama-cpp-python is not installed.
    """
    name = find_quantization(quantization)
    source, target = Path(source), Path(target)
    info = check_quantize(
        source, target, name, has_importance=importance is not None, requantize=requantize, force=force
    )
    if importance is not None:
        importance.check(info)
    began = time.perf_counter()
    with _beside(target, "part") as part, _saved(importance, target) as matrix:
        job = QuantizeJob(
            source=os.fspath(source),
            target=os.fspath(part),
            file_type=_NUMBERS[name],
            importance=os.fspath(matrix) if matrix else None,
            requantize=requantize,
            n_threads=n_threads or 0,
        )
        _run(job, name, progress)
        read_gguf(part)
        with file_errors(target):
            part.replace(target)
    result, known = read_gguf(target), importance.tensors if importance else {}
    quantized = [tensor for tensor in result.tensors if tensor.type.block_weights > 1]
    n_weighted = sum(t.name in known and t.type.name not in _UNWEIGHTED for t in quantized)
    return Quantized(info, result, name, time.perf_counter() - began, n_weighted, len(quantized))


def find_quantization(name: str) -> str:
    """llama.cpp's spelling of ``name``.

    Raises:
        ConfigurationError: there is no such quantization; the message lists those that there are.
    """
    found = _ALIASES.get(name.upper(), name.upper())
    if found not in _NUMBERS:
        raise ConfigurationError(
            f"there is no quantization {name!r}; choose one of {', '.join(QUANTIZATIONS)}"
        )
    return found


def check_quantize(
    source: Path, target: Path, quantization: str, *, has_importance: bool, requantize: bool, force: bool
) -> GGUFInfo:
    """What is in ``source``, if :func:`quantize` would begin; for the arguments, see there."""
    info = read_gguf(source)
    _check_target(source, target, force=force)
    n_parts = info.metadata.get("split.count")
    if isinstance(n_parts, int) and n_parts > 1:
        fix = "join them first with llama-gguf-split --merge"
        raise ConfigurationError(f"{source} is one of {n_parts} parts of a model; {fix}")
    if not requantize and any(tensor.type.block_weights > 1 for tensor in info.tensors):
        raise ConfigurationError(
            f"{source} is quantized already ({info.quantization}), and rounding twice costs quality; "
            "give a file of 16-bit weights, or say --requantize (requantize=True)"
        )
    _check_importance(quantization, has_importance=has_importance)
    _check_space(info, target, quantization)
    return info


def _check_target(source: Path, target: Path, *, force: bool) -> None:
    if not target.parent.is_dir():
        raise ConfigurationError(f"the folder of {target} does not exist; make it, or give another target")
    if target.is_dir():
        raise ConfigurationError(f"{target} is a folder; give the path of the file to write")
    if not target.exists():
        return
    if target.samefile(source):
        raise ConfigurationError(f"{target} is the file that is to be quantized; give another target")
    if not force:
        raise ConfigurationError(f"{target} exists; give another target, or say --force (force=True)")


def _check_importance(quantization: str, *, has_importance: bool) -> None:
    if has_importance and quantization in _UNWEIGHTED:
        raise ConfigurationError(
            f"{quantization} makes no use of an importance matrix; leave it out, or choose fewer bits"
        )
    if not has_importance and quantization in _NEEDS_IMPORTANCE:
        raise ConfigurationError(
            f"{quantization} needs an importance matrix; give a text to compute one from, or choose more bits"
        )


def _check_space(info: GGUFInfo, target: Path, quantization: str) -> None:
    """Refuse what will not fit; the estimate is a little low, as some tensors get more bits."""
    main = _main_type(quantization)
    needed = sum(_n_bytes(tensor, main) for tensor in info.tensors) + _SPARE_BYTES
    with file_errors(target):
        free = shutil.disk_usage(target.parent).free
    if free < needed:
        problem = f"it needs {needed / 1e6:,.0f} MB, and the disk has {free / 1e6:,.0f} MB free"
        raise file_error(target, problem, "make room, or give a target on another disk")


def _main_type(quantization: str) -> TensorType:
    name = _MAIN_TYPES.get(quantization, quantization)
    return _TYPES[name] if name in _TYPES else _TYPES[name.rpartition("_")[0]]


def _n_bytes(tensor: Tensor, main: TensorType) -> int:
    return (
        tensor.n_bytes if len(tensor.shape) < 2 else tensor.n_weights // main.block_weights * main.block_bytes
    )


@contextmanager
def _beside(target: Path, suffix: str) -> Iterator[Path]:
    """A path in the target's folder for the time being; what is there at the end is deleted."""
    path = target.with_name(f".{target.name}.{secrets.token_hex(4)}.{suffix}")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _saved(importance: ImportanceMatrix | None, target: Path) -> Iterator[Path | None]:
    """The matrix as a file, for the time being."""
    if importance is None:
        yield None
        return
    with _beside(target, "importance") as path:
        importance.save(path)
        yield path


def _run(job: QuantizeJob, quantization: str, progress: Callable[[int, int], None] | None) -> None:
    command = [sys.executable, "-P", "-m", "plait.models._quantize_worker", job.to_json()]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 - this Python, and no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        ) as worker,
    ):
        try:
            for line in worker.stdout or ():
                n_done, n_all = map(int, line.split())
                if progress is not None:
                    progress(n_done, n_all)
            status = worker.wait()
        finally:
            worker.kill()
            worker.wait()
        if status != 0:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            ending = lines[-1].strip() if lines else "it gives no reason"
            reason = ending if status == REFUSED else f"its process ended with status {status} ({ending})"
            raise ModelError(
                f"llama.cpp could not quantize {job.source} to {quantization}: {reason}; "
                "try another quantization or another file of the model",
                model=job.source,
            )
