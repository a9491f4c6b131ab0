"""``plait models quantize``: a GGUF file with fewer bits, rounded by what a text shows to be important."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from plait.apps._model_show import size
from plait.apps._output import OK, Output
from plait.apps._progress import is_animated
from plait.errors import ConfigurationError
from plait.models import GGUFInfo, resolve
from plait.models._importance import ImportanceMatrix, load_importance
from plait.models._importance_run import compute_importance
from plait.models._quantize import Quantized, check_quantize, find_quantization
from plait.models._quantize import quantize as quantize_file


@dataclass(frozen=True, slots=True)
class ImportanceOptions:
    """Where the importance matrix comes from, if there is to be one."""

    text: Path | None = None
    """A file of text that the model reads."""
    matrix: Path | None = None
    """A file with a matrix that was computed before."""
    save: Path | None = None
    """Where to keep the matrix that is computed."""
    chunk_length: int | None = None
    """Tokens that the model reads at a time."""
    max_chunks: int | None = None
    """How many times it reads, at most."""

    @property
    def is_given(self) -> bool:
        """Whether there is to be a matrix."""
        return self.text is not None or self.matrix is not None

    def check(self, *, force: bool) -> None:
        """Refuse what contradicts itself, and to write over a file unless ``force``.

        Raises:
            ConfigurationError: two sources of the matrix, options of a text without one, or a place that
                the matrix cannot be kept in.
        """
        if self.text is not None and self.matrix is not None:
            raise ConfigurationError("--text and --importance both give an importance matrix; leave one out")
        needs_text = {
            "--save-importance": self.save,
            "--chunk-length": self.chunk_length,
            "--max-chunks": self.max_chunks,
        }
        given = next((name for name, value in needs_text.items() if value is not None), None)
        if given is not None and self.text is None:
            raise ConfigurationError(f"{given} needs a text; give one with --text")
        if self.save is not None and not self.save.absolute().parent.is_dir():
            raise ConfigurationError(
                f"the folder of {self.save} does not exist; make it, or give another one"
            )
        if self.save is not None and self.save.exists() and (not force or self.save.is_dir()):
            raise ConfigurationError(f"{self.save} exists; give another --save-importance, or --force")


def quantize(
    source: str,
    target: Path,
    kind: str,
    importance: ImportanceOptions,
    *,
    requantize: bool,
    force: bool,
    n_threads: int | None,
    output: Output,
) -> int:
    """Quantize the file of a catalog name or a path.

    Raises:
        PlaitError: see :func:`plait.models._quantize.quantize` and
            :func:`plait.models._importance_run.compute_importance`.
    """
    quantization = find_quantization(kind)
    importance.check(force=force)
    path = resolve(source, download=False)
    if importance.save is not None and importance.save.resolve() in {path.resolve(), target.resolve()}:
        raise ConfigurationError(f"--save-importance is {importance.save}, a model's file; give another one")
    # What can be refused is refused before the matrix is computed, which takes minutes.
    info = check_quantize(
        path, target, quantization, has_importance=importance.is_given, requantize=requantize, force=force
    )
    began = time.perf_counter()
    matrix = _matrix(info, importance, n_threads, output)
    matrix_s = time.perf_counter() - began if importance.text is not None else None
    with _steps(output.console, f"quantizing to {quantization}") as progress:
        done = quantize_file(
            path,
            target,
            quantization,
            importance=matrix,
            requantize=requantize,
            force=force,
            n_threads=n_threads,
            progress=progress,
        )
    if output.as_json:
        output.document(_document(done, matrix, matrix_s))
    else:
        output.text("\n".join(f"{label:10}  {value}" for label, value in _lines(done, matrix, matrix_s)))
    return OK


def _matrix(
    info: GGUFInfo, options: ImportanceOptions, n_threads: int | None, output: Output
) -> ImportanceMatrix | None:
    if options.matrix is not None:
        matrix = load_importance(options.matrix)
        matrix.check(info, options.matrix)
        return matrix
    if options.text is None:
        return None
    text = _read_text(options.text)
    with _steps(output.console, "computing the importance matrix") as progress:
        matrix = compute_importance(
            info.path,
            text,
            chunk_length=options.chunk_length,
            max_chunks=options.max_chunks,
            n_threads=n_threads,
            progress=progress,
        )
    if options.save is not None:
        matrix.save(options.save)
    return matrix


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path} is no UTF-8 text (at byte {error.start}); save it as UTF-8, or give another file"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the text {path}: {error.strerror}; give a file of plain text"
        ) from error


@contextmanager
def _steps(console: Console, title: str) -> Iterator[Callable[[int, int], None]]:
    """What to hand on as ``progress``: a bar of steps, where it can move."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not is_animated(console)) as bar:
        task = bar.add_task(escape(title), total=None)
        yield lambda n_done, n_all: bar.update(task, completed=n_done, total=n_all)


def _lines(
    done: Quantized, matrix: ImportanceMatrix | None, matrix_s: float | None
) -> Iterator[tuple[str, str]]:
    yield "file", str(done.target.path)
    yield "type", f"{done.quantization}, before {done.source.quantization}"
    yield "size", f"{size(done.target.file_bytes)}, before {size(done.source.file_bytes)}"
    yield "weights", f"{_bits(done.target):.2f} bits each, before {_bits(done.source):.2f}"
    if matrix is not None:
        yield (
            "importance",
            f"{done.n_weighted} of {done.n_quantized} quantized tensors, "
            f"from {matrix.n_chunks} chunks of {matrix.chunk_length} tokens",
        )
    before = "" if matrix_s is None else f"{matrix_s:.1f} s for the importance matrix, "
    yield "time", f"{before}{done.seconds:.1f} s to quantize"


def _document(done: Quantized, matrix: ImportanceMatrix | None, matrix_s: float | None) -> dict[str, Any]:
    return {
        "path": str(done.target.path),
        "source": str(done.source.path),
        "quantization": done.quantization,
        "source_quantization": done.source.quantization,
        "size_bytes": done.target.file_bytes,
        "source_size_bytes": done.source.file_bytes,
        "bits_per_weight": round(_bits(done.target), 3),
        "source_bits_per_weight": round(_bits(done.source), 3),
        "tensor_types": done.target.bytes_by_type,
        "quantized_tensors": done.n_quantized,
        "importance": matrix
        and {
            "tensors": done.n_weighted,
            "share": round(done.n_weighted / done.n_quantized, 4) if done.n_quantized else 0.0,
            "chunks": matrix.n_chunks,
            "chunk_length": matrix.chunk_length,
            "seconds": matrix_s,
        },
        "seconds": done.seconds,
    }


def _bits(info: GGUFInfo) -> float:
    return 8 * info.weights_bytes / info.n_parameters if info.n_parameters else 0.0
