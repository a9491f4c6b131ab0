"""llama.cpp's low-level API: weights, tokens, and a KV cache shared by several sequences.

One request at a time runs through :meth:`Engine.prefill` and :meth:`Engine.decode`. Logits are computed
only for the last token of a batch. What a finished request left in the KV cache stays, in one of a few
sequences, and the next request that begins with the same tokens starts behind them.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.errors import MissingExtraError, ModelError, ModelFileError

_BATCH = 512
_MAX_SEQUENCES = 4
_SPARE = _MAX_SEQUENCES  # the id of a sequence that holds a prefix while its state is copied
_CLOSE_WAIT_S = 10.0
_last_errors: deque[str] = deque(maxlen=5)


@dataclass(slots=True)
class _Sequence:
    id: int
    tokens: list[int] = field(default_factory=list)
    used_at: int = 0


class Engine:
    """One model with its context.

    Args:
        path: a GGUF file.
        context_length: tokens of prompt and answer together; ``None`` is the model's own, at most 8192.
        n_threads: CPU threads; ``None`` is one for each core that this process may use.

    Raises:
        MissingExtraError: llama-cpp-python is not installed.
        ModelFileError: llama.cpp cannot load the file.
    """

    def __init__(
        self, path: Path, *, context_length: int | None = None, n_threads: int | None = None
    ) -> None:
        self._lib = lib = _llama_cpp()
        self.path = path
        model_options = lib.llama_model_default_params()
        model_options.n_gpu_layers = 999 if lib.llama_supports_gpu_offload() else 0
        _last_errors.clear()
        self._model = lib.llama_model_load_from_file(os.fsencode(path), model_options)
        if not self._model:
            raise ModelFileError(
                f"llama.cpp cannot load {path}: {_reported()}; fetch the file again, or another one",
                model=str(path),
            )
        self.vocab = lib.llama_model_get_vocab(self._model)
        self.n_vocab: int = lib.llama_vocab_n_tokens(self.vocab)
        trained: int = lib.llama_model_n_ctx_train(self._model)
        self.context_length = context_length or min(trained, 8192)
        self.state_format: tuple[str, ...] = ()
        """What the bytes of a KV state depend on, beside the model's file and the tokens."""
        self._context = self._make_context(n_threads or _n_cores())
        self.lock = threading.Lock()
        """Held by whoever uses the context."""
        self._finalizer = weakref.finalize(self, _free, lib, self._context, self._model, self.lock)
        self._memory = lib.llama_get_memory(self._context)
        self._batch = lib.llama_batch_init(_BATCH, 0, 1)
        weakref.finalize(self, lib.llama_batch_free, self._batch)
        self._sequences = [_Sequence(i) for i in range(_MAX_SEQUENCES)]
        self._current = self._sequences[0]
        self._clock = 0

    def _make_context(self, n_threads: int) -> Any:
        lib = self._lib
        options = lib.llama_context_default_params()
        options.n_ctx = self.context_length
        options.n_batch = options.n_ubatch = _BATCH
        options.n_seq_max = _MAX_SEQUENCES + 1
        options.kv_unified = True  # sequences share all cells, so each may be as long as the context
        options.n_threads = options.n_threads_batch = n_threads
        options.no_perf = True
        self.state_format = _state_format(lib, self._model, options)
        context = lib.llama_init_from_model(self._model, options)
        if not context:
            lib.llama_model_free(self._model)
            raise ModelError(
                f"no context of {self.context_length} tokens for {self.path.name}: {_reported()}; "
                "choose a smaller context_length",
                model=self.path.name,
            )
        return context

    def close(self) -> None:
        """Free the weights and the context, when nobody uses them any more."""
        self._finalizer()

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

    def special_text(self, kind: str) -> str:
        """The text of the ``"bos"`` or ``"eos"`` token; empty if there is none."""
        token = getattr(self._lib, f"llama_vocab_{kind}")(self.vocab)
        return self.piece(token, special=True).decode(errors="replace") if token >= 0 else ""

    def control_texts(self) -> Iterator[str]:
        """The texts of all control tokens, such as ``<|im_end|>``."""
        for token in range(self.n_vocab):
            if self._lib.llama_vocab_get_attr(self.vocab, token) & self._lib.LLAMA_TOKEN_ATTR_CONTROL:
                text = self.piece(token, special=True).decode(errors="replace")
                if len(text) > 1:
                    yield text

    def tokenize(self, text: str) -> list[int]:
        """The tokens of ``text``, in which control tokens are recognized."""
        data = text.encode()
        size = len(data) + 16
        while True:
            tokens = (ctypes.c_int32 * size)()
            n = self._lib.llama_tokenize(
                self.vocab, data, len(data), tokens, size, self._adds_bos(text), True
            )
            if n >= 0:
                return list(tokens[:n])
            size = -n

    def _adds_bos(self, text: str) -> bool:
        if not self._lib.llama_vocab_get_add_bos(self.vocab):
            return False
        return not text.startswith(self.special_text("bos") or "\0")

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; control tokens have some only if ``special``."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            n = self._lib.llama_token_to_piece(self.vocab, token, buffer, size, 0, special)
            if n >= 0:
                return buffer.raw[:n]
            size = -n

    def is_end(self, token: int) -> bool:
        """Whether ``token`` ends an answer."""
        return bool(self._lib.llama_vocab_is_eog(self.vocab, token))

    def prefill(self, tokens: Sequence[int], cancelled: Callable[[], bool]) -> tuple[int, bool]:
        """Make ``tokens`` the current sequence, computing only what no earlier request computed.

        Returns:
            How many tokens were found in the cache, and whether it was cancelled on the way.
        """
        self._current, n_common = self._resume(tokens)
        self._clock += 1
        self._current.used_at = self._clock
        for start in range(n_common, len(tokens), _BATCH):
            if cancelled():
                return n_common, True
            self.decode(tokens[start : start + _BATCH])
        return n_common, False

    def _resume(self, tokens: Sequence[int]) -> tuple[_Sequence, int]:
        """The sequence in which ``tokens`` go on, and how many of them are in it already.

        Where most of the sequence with the longest common beginning would be lost, what is common is
        copied to another one: prompts of different kinds keep their beginnings side by side.
        """
        best = max(self._sequences, key=lambda s: (_common(s.tokens, tokens), s.used_at))
        # The last token is computed in any case: its logits are needed.
        n_common = min(_common(best.tokens, tokens), len(tokens) - 1)
        if 2 * n_common >= len(best.tokens):
            return best, self._truncate(best, n_common)
        target = min((s for s in self._sequences if s is not best), key=lambda s: (bool(s.tokens), s.used_at))
        self._truncate(target, 0)
        self._lib.llama_memory_seq_cp(self._memory, best.id, target.id, 0, n_common)
        target.tokens = best.tokens[:n_common]
        return target, n_common

    def decode(self, tokens: Sequence[int]) -> None:
        """Append up to one batch of ``tokens`` to the current sequence; :meth:`logits` are the last one's."""
        current = self._current
        self._make_room(len(tokens))
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = len(current.tokens) + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = current.id
            batch.logits[i] = i == len(tokens) - 1
        status = self._lib.llama_decode(self._context, batch)
        if status != 0:  # some of the batch may be in the cache, and nobody knows how much
            self._lib.llama_memory_seq_rm(self._memory, current.id, -1, -1)
            current.tokens.clear()
            raise ModelError(
                f"llama.cpp could not decode (status {status}): {_reported()}", model=self.path.name
            )
        current.tokens.extend(tokens)

    def logits(self) -> npt.NDArray[np.float32]:
        """The logits after the last token, shape (n_vocab,): a view that the next decode overwrites."""
        pointer = self._lib.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(pointer, shape=(self.n_vocab,))

    @cached_property
    def can_copy_state(self) -> bool:
        """Whether the state of a beginning can be taken out of a longer sequence, and put back."""
        lib, model = self._lib, self._model
        fixed_size = lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model)
        return not fixed_size and not lib.llama_model_has_encoder(model)

    def n_in_memory(self, tokens: Sequence[int]) -> int:
        """How many of ``tokens``, from the first on, earlier requests have left in the KV cache."""
        return max(_common(s.tokens, tokens) for s in self._sequences)

    def export_state(self, tokens: Sequence[int]) -> bytearray | None:
        """The KV state of ``tokens``; ``None`` if the current sequence does not begin with them."""
        lib, n = self._lib, len(tokens)
        if not self.can_copy_state or _common(self._current.tokens, tokens) < n:
            return None
        lib.llama_memory_seq_cp(self._memory, self._current.id, _SPARE, 0, n)
        try:
            if not self._holds(_SPARE, n):
                return None
            state = bytearray(lib.llama_state_seq_get_size(self._context, _SPARE))
            data = (ctypes.c_uint8 * len(state)).from_buffer(state)
            n_written = lib.llama_state_seq_get_data(self._context, data, len(state), _SPARE)
            return state if n_written == len(state) else None
        finally:
            lib.llama_memory_seq_rm(self._memory, _SPARE, -1, -1)

    def import_state(self, tokens: Sequence[int], state: bytearray) -> bool:
        """Put back what :meth:`export_state` gave for ``tokens``; False if llama.cpp does not take it."""
        target = min(self._sequences, key=lambda s: (bool(s.tokens), s.used_at))
        self._truncate(target, 0)
        self._current = target
        self._make_room(len(tokens))
        data = (ctypes.c_uint8 * len(state)).from_buffer(state)
        n_read = self._lib.llama_state_seq_set_data(self._context, data, len(state), target.id)
        if n_read != len(state) or not self._holds(target.id, len(tokens)):
            self._lib.llama_memory_seq_rm(self._memory, target.id, -1, -1)
            return False
        target.tokens = list(tokens)
        return True

    def _holds(self, sequence_id: int, n_tokens: int) -> bool:
        """Whether llama.cpp has the positions from 0 to ``n_tokens`` in a sequence, and no further one."""
        lib, memory = self._lib, self._memory
        first = lib.llama_memory_seq_pos_min(memory, sequence_id)
        last = lib.llama_memory_seq_pos_max(memory, sequence_id)
        return bool((first, last) == (0, n_tokens - 1))

    def _make_room(self, n_tokens: int) -> None:
        """Forget the least recently used other sequences until ``n_tokens`` more fit."""
        used = sum(len(s.tokens) for s in self._sequences)
        others = sorted((s for s in self._sequences if s is not self._current), key=lambda s: s.used_at)
        for sequence in others:
            if used + n_tokens <= self.context_length:
                return
            used -= len(sequence.tokens)
            self._truncate(sequence, 0)

    def _truncate(self, sequence: _Sequence, n_tokens: int) -> int:
        """Forget all but the first ``n_tokens``; returns how many are left."""
        if len(sequence.tokens) == n_tokens:
            return n_tokens
        if not self._lib.llama_memory_seq_rm(self._memory, sequence.id, n_tokens, -1):
            # Recurrent models cannot forget a part; they start over.
            self._lib.llama_memory_seq_rm(self._memory, sequence.id, -1, -1)
            n_tokens = 0
        del sequence.tokens[n_tokens:]
        return n_tokens


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common prefix."""
    n = min(len(a), len(b))
    if a[:n] == b[:n]:
        return n
    return next(i for i in range(n) if a[i] != b[i])


def _state_format(lib: Any, model: Any, options: Any) -> tuple[str, ...]:
    sizes = (lib.llama_model_n_layer(model), lib.llama_model_n_embd(model))
    kinds = (options.type_k, options.type_v, options.flash_attn_type, lib.llama_supports_gpu_offload())
    # Some models rotate positions by other factors in a longer context, so its length is part of it.
    return (f"llama-cpp-python {lib.__version__}", f"{sizes} {kinds} {options.n_ctx}")


def _n_cores() -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, available if available <= 4 else available // 2)


def _free(lib: Any, context: Any, model: Any, lock: threading.Lock) -> None:
    if lock.acquire(timeout=_CLOSE_WAIT_S):  # a decode that does not end keeps what it uses
        lib.llama_free(context)
        lib.llama_model_free(model)
        lock.release()


def _reported() -> str:
    return "; ".join(_last_errors) or "it gives no reason"


@cache
def _llama_cpp() -> Any:
    """The library, its log silenced but for the last errors, which go into messages of exceptions."""
    try:
        import llama_cpp
    except ImportError as error:
        raise MissingExtraError("llama-cpp-python", "local") from error
    llama_cpp.llama_log_set(_log_callback(llama_cpp), None)
    llama_cpp.llama_backend_init()
    return llama_cpp


@cache
def _log_callback(lib: Any) -> Any:
    def log(level: int, text: bytes, _: object) -> None:
        if level == lib.GGML_LOG_LEVEL_ERROR if hasattr(lib, "GGML_LOG_LEVEL_ERROR") else level == 4:
            _last_errors.append(text.decode(errors="replace").strip())

    return lib.llama_log_callback(log)
