"""A model in llama.cpp with its context: batches of tokens in, logits out, for several sequences at once.

Whoever uses an engine holds its lock. Logits are computed only where they are asked for.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.errors import ModelError, ModelFileError
from plait.models._adapter import Adapter
from plait.models._gguf_info import GGUFInfo, read_gguf
from plait.models._hardware import Machine, this_machine
from plait.models._llama_library import (
    AbortFlag,
    forget_errors,
    llama_library,
    model_options,
    reported_errors,
)
from plait.models._memory import KVType, check_memory
from plait.models._placement import Placement, choose_placement
from plait.models._sequences import CachedSequence, SequencePool, n_common
from plait.models._vocabulary import Vocabulary

Row = npt.NDArray[np.float32]
"""Logits of all tokens, shape (n_vocab,)."""

MAX_BATCH = 512
"""Tokens of one batch."""
MAX_ROWS = 32
"""Tokens of one batch whose logits may be asked for: memory is reserved for so many."""
MAX_SEQUENCES = 8
"""Requests that can run at once; idle sequences keep the beginnings of earlier ones."""

_SMALL_BATCH = 128  # of a small model: more at once is hardly faster, and takes memory
_SPARE = MAX_SEQUENCES  # the id of a sequence that holds a prefix while its state is copied
_DEFAULT_CONTEXT = 8192
_CLOSE_WAIT_S = 10.0
_ABORTED = 2  # what llama_decode returns then


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens that a batch appends to one sequence."""

    sequence: CachedSequence
    """Where they go."""
    tokens: Sequence[int]
    """At least one."""
    logits_at: Sequence[int] = ()
    """Places among them, ascending, whose logits are wanted: those for what comes after that token."""


class AbortedError(Exception):
    """A batch was given up on the way, because :attr:`Engine.abort_flag` was set."""


class Weights:
    """The weights of a GGUF file in memory, which several engines may share.

    Args:
        path: the file.
        placement: where they go.

    Raises:
        ModelFileError: llama.cpp cannot load the file.
    """

    def __init__(self, path: Path, placement: Placement) -> None:
        self._lib = lib = llama_library()
        options = model_options(lib)
        options.n_gpu_layers = placement.n_gpu_layers
        if placement.main_gpu is not None:
            options.split_mode = lib.LLAMA_SPLIT_MODE_NONE
            options.main_gpu = placement.main_gpu
        forget_errors()
        self.pointer: Any = lib.llama_model_load_from_file(os.fsencode(path), options)
        """llama.cpp's own."""
        if not self.pointer:
            raise ModelFileError(
                f"llama.cpp cannot load {path}: {reported_errors()}; fetch the file again, or another one",
                model=str(path),
            )
        self.host_bytes = max(0, placement.estimate.weights_bytes - placement.estimate.device_bytes)
        """What of them lies in main memory, at least."""
        self._n_users = 0
        self._lock = threading.Lock()

    def take(self) -> None:
        """One more engine uses them."""
        with self._lock:
            self._n_users += 1

    def release(self) -> None:
        """One engine uses them no longer; the last one frees them."""
        with self._lock:
            self._n_users -= 1
            if self._n_users == 0:
                self._lib.llama_model_free(self.pointer)


class Engine:
    """One model with its context.

    Args:
        path: a GGUF file.
        context_length: tokens of prompt and answer together; ``None`` is the model's own, at most 8192.
        n_threads: CPU threads; ``None`` is what the placement says.
        kv_type: how keys and values are stored; ``None`` is 16 bits, or 8 where the model fits only so.
        adapter: a LoRA adapter that is applied to all that this engine computes.
        weights: those of another engine of the same file, to be shared.

    Raises:
        MissingExtraError: llama-cpp-python is not installed.
        ModelFileError: llama.cpp cannot load the file, or the adapter is for another one.
        ModelMemoryError: there is not enough memory; nothing was loaded.
    """

    def __init__(
        self,
        path: Path,
        *,
        context_length: int | None = None,
        n_threads: int | None = None,
        kv_type: KVType | None = None,
        adapter: Adapter | None = None,
        weights: Weights | None = None,
    ) -> None:
        self._lib = lib = llama_library()
        self.path = path
        self.adapter = adapter
        """What is applied to all that is computed."""
        if adapter is not None:
            adapter.check_base(path)
        self.info: GGUFInfo = read_gguf(path)
        self.machine: Machine = this_machine()
        self.context_length = context_length or min(
            self.info.context_length or _DEFAULT_CONTEXT, _DEFAULT_CONTEXT
        )
        self.placement: Placement = self._place(kv_type, loaded_bytes=weights.host_bytes if weights else 0)
        self.weights = weights or Weights(path, self.placement)
        """What other engines may share."""
        self._model = self.weights.pointer
        self.weights.take()
        self.vocabulary = Vocabulary(lib, lib.llama_model_get_vocab(self._model))
        self.state_format: tuple[str, ...] = ()
        """What the bytes of a KV state depend on, beside the model's file and the tokens."""
        try:
            self._context = self._make_context(n_threads)
        except BaseException:
            self.weights.release()
            raise
        self.lock = threading.Lock()
        """Held by whoever uses the context."""
        self._finalizer = weakref.finalize(self, _free, lib, self._context, self.weights, self.lock)
        self._memory = lib.llama_get_memory(self._context)
        self.abort_flag = AbortFlag(lib, self._context)
        """Stops a batch; the one thing that may be used without the lock."""
        self._batch = lib.llama_batch_init(MAX_BATCH, 0, 1)
        weakref.finalize(self, lib.llama_batch_free, self._batch)
        self._cells = _Cells(lib, self._memory)
        self.pool = SequencePool(self._cells, MAX_SEQUENCES, self.context_length, can_split=self.can_split)

    @property
    def _n_at_once(self) -> int:
        """Tokens of a batch that are computed together; what is held between layers grows with it."""
        return _SMALL_BATCH if self.info.is_small else MAX_BATCH

    def _place(self, kv_type: KVType | None, *, loaded_bytes: int) -> Placement:
        available = self.machine.available_bytes
        room = None if available is None else available + loaded_bytes  # the estimate has all weights
        placement = choose_placement(
            self.info,
            replace(self.machine, available_bytes=room),
            context_length=self.context_length,
            kv_type=kv_type,
            n_batch=self._n_at_once,
            n_sequences=MAX_SEQUENCES + 1,
            n_outputs=MAX_ROWS,
        )
        check_memory(
            placement.estimate,
            room,
            model=self.path.name,
            kv_type=placement.kv_type,
        )
        return placement

    def _make_context(self, n_threads: int | None) -> Any:
        lib, placement = self._lib, self.placement
        options = lib.llama_context_default_params()
        options.n_ctx = self.context_length
        options.n_batch, options.n_ubatch = MAX_BATCH, self._n_at_once
        options.n_seq_max = MAX_SEQUENCES + 1
        options.kv_unified = True  # sequences share all cells, so each may be as long as the context
        if hasattr(options, "n_outputs_max"):
            options.n_outputs_max = MAX_ROWS
        options.n_threads = n_threads or placement.n_threads
        options.n_threads_batch = n_threads or placement.n_threads_batch
        if placement.kv_type == "q8_0":
            options.type_k = options.type_v = lib.GGML_TYPE_Q8_0
        if placement.flash_attention is not None:
            options.flash_attn_type = int(placement.flash_attention)
        options.no_perf = True
        self.state_format = _state_format(lib, self._model, options, placement)
        context = lib.llama_init_from_model(self._model, options)
        if not context:
            raise ModelError(
                f"no context of {self.context_length} tokens for {self.path.name}: {reported_errors()}; "
                "choose a smaller context_length",
                model=self.path.name,
            )
        if self.adapter is not None:
            self._apply(context, self.adapter)
        return context

    def _apply(self, context: Any, adapter: Adapter) -> None:
        lib = self._lib
        forget_errors()
        pointer = lib.llama_adapter_lora_init(
            self._model, os.fsencode(adapter.path)
        )  # freed with the weights
        kind = lib.llama_adapter_lora_p_ctypes
        if not pointer or lib.llama_set_adapters_lora(
            context, (kind * 1)(pointer), 1, (ctypes.c_float * 1)(1.0)
        ):
            lib.llama_free(context)
            raise ModelFileError(
                f"llama.cpp cannot apply the adapter {adapter.path}: {reported_errors()}; export it again",
                model=self.path.name,
            )

    def close(self) -> None:
        """Free the context, when nobody uses it any more, and the weights, if no other engine shares them."""
        self._finalizer()

    def set_threads(self, n_threads: int, n_threads_batch: int) -> None:
        """Use so many CPU threads for one token at a time, and for many."""
        self._lib.llama_set_n_threads(self._context, n_threads, n_threads_batch)

    @property
    def n_threads(self) -> int:
        """CPU threads for one token at a time."""
        return int(self._lib.llama_n_threads(self._context))

    @property
    def n_threads_batch(self) -> int:
        """CPU threads for many tokens at a time."""
        return int(self._lib.llama_n_threads_batch(self._context))

    @property
    def chat_template(self) -> str | None:
        """The Jinja template that the file carries, if any."""
        template = self._lib.llama_model_chat_template(self._model, None)
        return template.decode() if template else None

    @property
    def description(self) -> str:
        """Architecture, size and quantization as llama.cpp names them: ``"qwen2 1.5B Q4_K - Medium"``."""
        buffer = ctypes.create_string_buffer(256)
        self._lib.llama_model_desc(self._model, buffer, 256)
        return buffer.value.decode(errors="replace")

    @property
    def n_parameters(self) -> int:
        """The number of weights."""
        return int(self._lib.llama_model_n_params(self._model))

    @cached_property
    def can_split(self) -> bool:
        """Whether the state of a part of a sequence can be copied, stored and forgotten."""
        lib, model = self._lib, self._model
        fixed_size = lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model)
        return not fixed_size and not lib.llama_model_has_encoder(model)

    def decode(self, chunks: Sequence[Chunk]) -> list[list[Row]]:
        """Compute one batch, at most :data:`MAX_BATCH` tokens and :data:`MAX_ROWS` logits in all.

        Returns:
            For each chunk the logits that it asked for: views that the next batch overwrites.

        Raises:
            ModelError: llama.cpp failed, or the cells do not suffice; all these sequences are empty now.
            AbortedError: the flag was set; the sequences are what they were.
        """
        n_new = self._fill(chunks)
        if not self.pool.make_room(n_new):
            self._fail(chunks, f"{n_new} more tokens do not fit into {self.context_length}")
        status = self._lib.llama_decode(self._context, self._batch)
        if status == _ABORTED:
            for chunk in chunks:
                if not self._cells.remove(chunk.sequence.id, len(chunk.sequence.tokens)):
                    self.pool.truncate(chunk.sequence, 0)
            raise AbortedError
        if status != 0:  # some of the batch may be in the cache, and nobody knows how much
            self._fail(chunks, f"status {status}: {reported_errors()}")
        rows = []
        start = 0
        for chunk in chunks:
            self.pool.append(chunk.sequence, chunk.tokens)
            rows.append([self._row(start + place) for place in chunk.logits_at])
            start += len(chunk.tokens)
        return rows

    def _fill(self, chunks: Sequence[Chunk]) -> int:
        """Put the chunks into the batch; returns how many tokens they are."""
        batch, n = self._batch, 0
        if sum(len(chunk.tokens) for chunk in chunks) > MAX_BATCH:
            raise ValueError(f"a batch has at most {MAX_BATCH} tokens")
        if sum(len(chunk.logits_at) for chunk in chunks) > MAX_ROWS:
            raise ValueError(f"a batch gives at most {MAX_ROWS} rows of logits")
        for chunk in chunks:
            wanted, position = set(chunk.logits_at), len(chunk.sequence.tokens)
            for place, token in enumerate(chunk.tokens):
                batch.token[n] = token
                batch.pos[n] = position + place
                batch.n_seq_id[n] = 1
                batch.seq_id[n][0] = chunk.sequence.id
                batch.logits[n] = place in wanted
                n += 1
        batch.n_tokens = n
        return n

    def _fail(self, chunks: Sequence[Chunk], why: str) -> None:
        for chunk in chunks:
            self.pool.truncate(chunk.sequence, 0)
            self._cells.remove(chunk.sequence.id, 0)
        raise ModelError(f"llama.cpp could not decode ({why})", model=self.path.name)

    def _row(self, place: int) -> Row:
        pointer = self._lib.llama_get_logits_ith(self._context, place)
        return np.ctypeslib.as_array(pointer, shape=(self.vocabulary.n_vocab,))

    def compute(self, tokens: Sequence[int], cancelled: Callable[[], bool] = lambda: False) -> Row | None:
        """The logits after ``tokens``, of which only those are computed that no sequence begins with.

        Returns:
            A view that the next batch overwrites; ``None`` if it was cancelled between two batches.

        Raises:
            ModelError: llama.cpp failed, or every sequence is busy.
        """
        sequence = self.pool.take(tokens)
        if sequence is None:
            raise ModelError("every sequence of the context is busy; wait for one", model=self.path.name)
        try:
            for start in range(len(sequence.tokens), len(tokens), MAX_BATCH):
                if cancelled():
                    return None
                part = tokens[start : start + MAX_BATCH]
                rows = self.decode([Chunk(sequence, part, [len(part) - 1])])
            return rows[0][0]
        finally:
            self.pool.release(sequence)

    def export_state(
        self, sequence: CachedSequence, tokens: Sequence[int], *, first: int = 0
    ) -> bytearray | None:
        """The KV state of ``tokens`` from the ``first`` on; ``None`` if ``sequence`` begins otherwise."""
        lib, n = self._lib, len(tokens)
        if not self.can_split or n_common(sequence.tokens, tokens) < n:
            return None
        lib.llama_memory_seq_cp(self._memory, sequence.id, _SPARE, first, n)
        try:
            if not self._holds(_SPARE, first, n):
                return None
            state = bytearray(lib.llama_state_seq_get_size(self._context, _SPARE))
            data = (ctypes.c_uint8 * len(state)).from_buffer(state)
            n_written = lib.llama_state_seq_get_data(self._context, data, len(state), _SPARE)
            return state if n_written == len(state) else None
        finally:
            lib.llama_memory_seq_rm(self._memory, _SPARE, -1, -1)

    def import_state(self, tokens: Sequence[int], *states: tuple[int, bytearray]) -> bool:
        """Put back what :meth:`export_state` gave for ``tokens``, in an idle sequence.

        Args:
            tokens: of which the states are.
            states: in their order, each with the number of the token at which it ends.

        Returns:
            False if llama.cpp does not take one of them, or there is no room.
        """
        target = self.pool.take_empty()
        if target is None:
            return False
        try:
            if not self.pool.make_room(len(tokens)):
                return False
            first = 0
            for end, state in states:
                if not self._import_part(target.id, state, first, end):
                    self._cells.remove(target.id, 0)
                    return False
                first = end
            self.pool.append(target, tokens)
            return True
        finally:
            self.pool.release(target)

    def _import_part(self, target_id: int, state: bytearray, first: int, end: int) -> bool:
        """Put a state behind what ``target_id`` has; llama.cpp reads it only into an empty sequence."""
        lib, memory = self._lib, self._memory
        data = (ctypes.c_uint8 * len(state)).from_buffer(state)
        try:
            n_read = lib.llama_state_seq_set_data(self._context, data, len(state), _SPARE)
            if n_read != len(state) or not self._holds(_SPARE, first, end):
                return False
            lib.llama_memory_seq_cp(memory, _SPARE, target_id, first, end)
            return True
        finally:
            lib.llama_memory_seq_rm(memory, _SPARE, -1, -1)

    def _holds(self, sequence_id: int, first: int, end: int) -> bool:
        """Whether llama.cpp has the positions from ``first`` to ``end`` in a sequence, and no other one."""
        lib, memory = self._lib, self._memory
        lowest = lib.llama_memory_seq_pos_min(memory, sequence_id)
        highest = lib.llama_memory_seq_pos_max(memory, sequence_id)
        return bool((lowest, highest) == (first, end - 1))


class _Cells:
    """llama.cpp's memory, for the pool."""

    def __init__(self, lib: Any, memory: Any) -> None:
        self._lib = lib
        self._memory = memory

    def copy(self, source: int, target: int, n_tokens: int) -> None:
        self._lib.llama_memory_seq_cp(self._memory, source, target, 0, n_tokens)

    def remove(self, sequence: int, first: int) -> bool:
        return bool(self._lib.llama_memory_seq_rm(self._memory, sequence, first, -1))


def _state_format(lib: Any, model: Any, options: Any, placement: Placement) -> tuple[str, ...]:
    sizes = (lib.llama_model_n_layer(model), lib.llama_model_n_embd(model))
    kinds = (options.type_k, options.type_v, options.flash_attn_type, placement.device)
    # Some models rotate positions by other factors in a longer context, so its length is part of it.
    return (f"llama-cpp-python {lib.__version__}", f"{sizes} {kinds} {options.n_ctx}")


def _free(lib: Any, context: Any, weights: Weights, lock: threading.Lock) -> None:
    if lock.acquire(timeout=_CLOSE_WAIT_S):  # a decode that does not end keeps what it uses
        lib.llama_free(context)
        weights.release()
        lock.release()
