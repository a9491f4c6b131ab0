"""llama-cpp-python's low-level API, loaded once, its log silenced but for the last errors."""

from __future__ import annotations

import ctypes
import sys
from collections import deque
from functools import cache
from pathlib import Path
from typing import Any

from plait.errors import MissingExtraError

_ERROR_LEVEL = 4  # ggml's; llama-cpp-python does not export it
_last_errors: deque[str] = deque(maxlen=5)


@cache
def llama_library() -> Any:
    """The module ``llama_cpp``.

    Raises:
        MissingExtraError: llama-cpp-python is not installed.
    """
    try:
        import llama_cpp
    except ImportError as error:
        raise MissingExtraError("llama-cpp-python", "local") from error
    llama_cpp.llama_log_set(_log_callback(llama_cpp), None)
    llama_cpp.llama_backend_init()
    return llama_cpp


def model_options(lib: Any) -> Any:
    """llama.cpp's default ``llama_model_params``, without what crashes.

    Where it is compiled for Intel's AMX it moves weights to buffers of a layout of its own. Compiled by GCC
    12, the first product with such weights ends the process: the compiler drops stores to the configuration,
    since its ``_tile_loadconfig`` claims to read 8 of the 64 bytes (the crash is ggml-org/llama.cpp#20824).
    So where AMX would be used, these buffers are only used if clang compiled it.
    """
    options = lib.llama_model_default_params()
    if b"AMX_INT8 = 1" in lib.llama_print_system_info() and not _is_compiled_by_clang(lib):
        options.use_extra_bufts = False
    return options


def _is_compiled_by_clang(lib: Any) -> bool:
    """Whether its products on CPUs are clang's: loops in parallel call LLVM's runtime, GCC's never do."""
    libraries = (Path(lib.__file__).parent / "lib").glob("*ggml-cpu*")
    return any(b"__kmpc_fork_call" in library.read_bytes() for library in libraries)


@cache
def _log_callback(lib: Any) -> Any:
    def log(level: int, text: bytes, _: object) -> None:
        if level == _ERROR_LEVEL:
            _last_errors.append(text.decode(errors="replace").strip())

    return lib.llama_log_callback(log)


def forget_errors() -> None:
    """Forget what was reported so far."""
    _last_errors.clear()


def reported_errors() -> str:
    """The last errors that llama.cpp reported, for messages."""
    return "; ".join(_last_errors) or "it gives no reason"


class AbortFlag:
    """A byte that stops llama.cpp in the middle of a batch, where it computes on the CPU.

    llama.cpp asks a function after every operation, hundreds of times a batch and from its own threads. A
    Python function would wait for the interpreter's lock each time, so it is the C library's ``strlen``: on
    an empty text that gives 0, false; on one letter 1, true.
    """

    def __init__(self, lib: Any, context: Any) -> None:
        self._text = ctypes.create_string_buffer(2)
        library = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
        self._function = ctypes.cast(library.strlen, lib.ggml_abort_callback)
        lib.llama_set_abort_callback(context, self._function, ctypes.addressof(self._text))

    def set(self) -> None:
        """Stop the batch that is being computed, and those to come."""
        self._text[0] = b"x"

    def clear(self) -> None:
        """Compute again."""
        self._text[0] = b"\0"
