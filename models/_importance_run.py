"""Computes an importance matrix: a model reads a text, and what its weights are multiplied with is watched.

The method is that of llama.cpp's llama-imatrix: sums of squares over all tokens, for each column.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.errors import ConfigurationError, ModelError, ModelFileError
from plait.models._ggml_tensors import TensorAccess
from plait.models._gguf_info import GGUFInfo, read_gguf
from plait.models._hardware import this_machine
from plait.models._importance import ImportanceMatrix, TensorImportance
from plait.models._llama_library import forget_errors, llama_library, model_options, reported_errors
from plait.models._memory import check_memory
from plait.models._placement import Placement, choose_placement
from plait.models._vocabulary import Vocabulary

_CHUNK_LENGTH = 512  # what llama-imatrix takes
_MIN_CHUNK_LENGTH = 16


def compute_importance(
    path: str | Path,
    text: str,
    *,
    chunk_length: int | None = None,
    max_chunks: int | None = None,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImportanceMatrix:
    """The importance matrix of a model for ``text``.

    The text is cut into chunks that the model reads one by one; what remains at the end is left out.
    As in llama.cpp, the layers are watched, not the embedding and the output.

    Args:
        path: a GGUF file, best one of 16-bit weights.
        text: what the model will be used for, or resembles it.
        chunk_length: tokens of a chunk; ``None`` is 512, or the model's context if that is shorter.
        max_chunks: read no more than so many.
        n_threads: CPU threads; ``None`` is one for each core that this process may use.
        progress: called after each chunk with how many are done and how many there are.

    Raises:
        ConfigurationError: the text is too short for one chunk, or an option makes no sense.
        ModelFileError: the model's file is missing, damaged, or llama.cpp cannot load it.
        ModelMemoryError: the model does not fit into memory.
        ModelError: it cannot read text, or llama.cpp failed.
        MissingExtraError: llama-cpp-python is not installed.
    """
    info = read_gguf(path)
    length = _checked_length(chunk_length, info)
    if max_chunks is not None and max_chunks < 1:
        raise ConfigurationError(f"max_chunks is {max_chunks}; give at least 1")
    if not text.strip():
        raise ConfigurationError(
            "the text for the importance matrix is empty; give one of ten thousand words"
        )
    watch = _Watch(TensorAccess(), info)
    with _open(info, length, n_threads, watch) as (context, vocabulary):
        chunks = _chunks(vocabulary.tokenize(text), length, max_chunks)
        for number, chunk in enumerate(chunks, 1):
            _read(context, vocabulary, chunk, info)
            watch.raise_error()
            if progress is not None:
                progress(number, len(chunks))
    return ImportanceMatrix(watch.tensors(), len(chunks), length)


def _checked_length(chunk_length: int | None, info: GGUFInfo) -> int:
    longest = info.context_length or _CHUNK_LENGTH
    if chunk_length is None:
        return min(_CHUNK_LENGTH, longest)
    if not _MIN_CHUNK_LENGTH <= chunk_length <= longest:
        raise ConfigurationError(
            f"chunk_length is {chunk_length}; give {_MIN_CHUNK_LENGTH} to {longest}, the model's context"
        )
    return chunk_length


def _chunks(tokens: Sequence[int], length: int, max_chunks: int | None) -> list[Sequence[int]]:
    if len(tokens) < length:
        raise ConfigurationError(
            f"the text for the importance matrix has {len(tokens)} tokens, and one chunk takes {length}; "
            "give a longer text, better one of ten thousand words, or a smaller chunk length"
        )
    n_chunks = len(tokens) // length
    return [tokens[i * length : (i + 1) * length] for i in range(min(n_chunks, max_chunks or n_chunks))]


class _Watch:
    """Sums the squares of what weights are multiplied with; ``callback`` is llama.cpp's ``cb_eval``."""

    def __init__(self, access: TensorAccess, info: GGUFInfo) -> None:
        self._access = access
        self._n_columns = {
            tensor.name: tensor.shape[0]
            for tensor in info.tensors
            if tensor.name.startswith("blk.") and tensor.name.endswith(".weight") and len(tensor.shape) >= 2
        }
        self._sums: dict[str, npt.NDArray[np.float64]] = {}
        self._counts: dict[str, npt.NDArray[np.int64]] = {}
        self._error: BaseException | None = None
        self._is_checked = False

    def callback(self, address: int, is_question: bool, _: object) -> bool:
        """Answer whether the tensor's inputs are wanted; then, once it is computed, take them."""
        if self._error is not None:
            return False
        try:
            if is_question:
                return self._is_wanted(address)
            self._take(address)
        except BaseException as error:  # noqa: BLE001  (C cannot pass it on; raise_error does)
            self._error = error
            return False
        return True

    def raise_error(self) -> None:
        """Raise what the callback could not, an interruption for example."""
        if self._error is not None:
            raise self._error

    def tensors(self) -> dict[str, TensorImportance]:
        """What was seen, by the names of the weights."""
        return {name: TensorImportance(sums, self._counts[name]) for name, sums in self._sums.items()}

    def _is_wanted(self, address: int) -> bool:
        access = self._access
        if access.op(address) not in {b"MUL_MAT", b"MUL_MAT_ID"}:
            return False
        if not self._is_checked:
            access.check(address)
            self._is_checked = True
        weights, inputs = access.operand(address, 0), access.operand(address, 1)
        n_columns = self._n_columns.get(access.name(weights))
        return n_columns == access.shape(inputs)[-1] and access.is_float32(inputs)

    def _take(self, address: int) -> None:
        access = self._access
        weights, inputs = access.operand(address, 0), access.values(access.operand(address, 1))
        outer, n_matrices = access.shape(weights)[:2]
        if access.op(address) == b"MUL_MAT_ID":
            # (tokens, experts of each) against inputs of (1, tokens, 1 or experts of each, columns)
            matrices = access.values(access.operand(address, 2))[0, 0]
            rows = np.broadcast_to(inputs[0], (*matrices.shape, inputs.shape[-1]))
        else:
            # A few matrices, such as one for each head, may serve many inputs in turn.
            first, second = np.ogrid[: inputs.shape[0], : inputs.shape[1]]
            of_input = (first % outer) * n_matrices + second % n_matrices
            matrices, rows = np.broadcast_to(of_input[:, :, None], inputs.shape[:3]), inputs
        self._add(access.name(weights), outer * n_matrices, matrices.ravel(), rows)

    def _add(self, name: str, n: int, matrices: npt.NDArray[Any], rows: npt.NDArray[np.float32]) -> None:
        """Add ``rows``, each to the sums of the matrix that it was multiplied with."""
        rows = rows.reshape(-1, rows.shape[-1])
        if name not in self._sums:
            self._sums[name] = np.zeros((n, rows.shape[-1]))
            self._counts[name] = np.zeros(n, dtype=np.int64)
        for matrix in np.unique(matrices):
            own = rows[matrices == matrix]
            # Not by a product of matrices, whose threads would contend with llama.cpp's.
            self._sums[name][matrix] += np.einsum("ij,ij->j", own, own)
            self._counts[name][matrix] += len(own)
        if not np.isfinite(self._sums[name]).all():
            raise ModelError(f"the inputs of {name} are no finite numbers; use another file of the model")


@contextmanager
def _open(
    info: GGUFInfo, length: int, n_threads: int | None, watch: _Watch
) -> Iterator[tuple[Any, Vocabulary]]:
    """A context of the model's that calls ``watch``, and the vocabulary; freed at the end."""
    lib = llama_library()
    placement = _placement(info, length)
    options = model_options(lib)
    options.n_gpu_layers = placement.n_gpu_layers
    forget_errors()
    model = lib.llama_model_load_from_file(os.fsencode(info.path), options)
    if not model:
        raise ModelFileError(
            f"llama.cpp cannot load {info.path}: {reported_errors()}; fetch the file again, or another one",
            model=str(info.path),
        )
    try:
        if lib.llama_model_has_encoder(model) or not lib.llama_model_has_decoder(model):
            problem = "is no model that writes text, so that no text can be run through it"
            raise ModelError(f"{info.path} {problem}; quantize it without text", model=str(info.path))
        vocabulary = Vocabulary(lib, lib.llama_model_get_vocab(model))
        callback = lib.ggml_backend_sched_eval_callback(watch.callback)
        options = _context_options(lib, length, n_threads or placement.n_threads_batch, callback)
        context = lib.llama_init_from_model(model, options)
        if not context:
            raise ModelError(f"no context for {info.path}: {reported_errors()}; free some memory")
        try:
            yield context, vocabulary
        finally:
            lib.llama_free(context)
    finally:
        lib.llama_model_free(model)


def _placement(info: GGUFInfo, length: int) -> Placement:
    machine = this_machine()
    placement = choose_placement(
        info,
        machine,
        context_length=length,
        kv_type="f16",
        n_batch=length,
        n_sequences=1,
        n_outputs=length,
    )
    check_memory(placement.estimate, machine.available_bytes, model=str(info.path))
    return placement


def _context_options(lib: Any, length: int, n_threads: int, callback: Any) -> Any:
    options = lib.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = length
    options.n_threads = options.n_threads_batch = n_threads
    options.no_perf = True
    options.cb_eval = callback
    return options


def _read(context: Any, vocabulary: Vocabulary, chunk: Sequence[int], info: GGUFInfo) -> None:
    """Run one chunk through the model, with nothing before it."""
    lib = llama_library()
    lib.llama_memory_clear(lib.llama_get_memory(context), True)
    starts_with_bos = lib.llama_vocab_get_add_bos(vocabulary.pointer)
    batch = lib.llama_batch_init(len(chunk), 0, 1)
    try:
        batch.n_tokens = len(chunk)
        for i, token in enumerate(chunk):
            is_bos = i == 0 and starts_with_bos
            batch.token[i] = lib.llama_vocab_bos(vocabulary.pointer) if is_bos else token
            batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = i, 1, 0
            batch.logits[i] = True  # or the last layer would compute the last token alone
        status = lib.llama_decode(context, batch)
    finally:
        lib.llama_batch_free(batch)
    if status != 0:
        raise ModelError(
            f"llama.cpp could not run the text through {info.path} (status {status}): {reported_errors()}",
            model=str(info.path),
        )
