"""What the machine and the installed build of llama-cpp-python offer."""

from __future__ import annotations

import ctypes
import platform
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from plait.errors import MissingExtraError
from plait.models._available import available_memory
from plait.models._cores import Cores, available_cores

DeviceKind = Literal["cpu", "gpu", "igpu", "accelerator"]
"""What ggml calls a device; ``"igpu"`` is a GPU that shares the main memory."""

_KINDS: dict[int, DeviceKind] = {0: "cpu", 1: "gpu", 2: "igpu", 3: "accelerator"}
_UNIFIED_BACKENDS = {"Metal", "MTL"}


@dataclass(frozen=True, slots=True)
class Device:
    """Something that ggml can compute on."""

    name: str
    """ggml's name: the backend and a number, e.g. ``"CUDA0"``."""
    description: str
    """The maker's name of it."""
    kind: DeviceKind
    """What it is."""
    free_bytes: int
    """Memory of its own, or of its share of the main memory, that is free."""
    total_bytes: int
    """All of that memory."""

    @property
    def backend(self) -> str:
        """The name without the number, e.g. ``"CUDA"``."""
        return re.sub(r"\d+$", "", self.name)

    @property
    def is_unified(self) -> bool:
        """Whether its memory is the main memory."""
        return self.kind == "igpu" or self.backend in _UNIFIED_BACKENDS


@dataclass(frozen=True, slots=True)
class Machine:
    """What models can run on."""

    can_offload: bool
    """Whether the build can put layers on a GPU."""
    devices: tuple[Device, ...]
    """ggml's devices, in its order."""
    cores: Cores
    """The processor cores that this process may use."""
    available_bytes: int | None
    """Main memory that is free, for this process; ``None`` where unknown."""
    processor: str
    """The processor's name."""
    engine_version: str
    """llama-cpp-python's version."""

    @property
    def gpus(self) -> tuple[Device, ...]:
        """The devices that llama.cpp would put layers on; none if it would on no device.

        Those that share the main memory serve only where there is no other, and of two backends that
        show the same GPU only the first counts.
        """
        if not self.can_offload:
            return ()
        found = [d for d in self.devices if d.kind == "gpu"] or [d for d in self.devices if d.kind == "igpu"]
        return tuple(device for device in found if device.backend == found[0].backend)

    @property
    def key(self) -> str:
        """What measurements of speed on this machine depend on, as one text."""
        devices = ",".join(f"{d.name}={d.description}" for d in self.gpus)
        return f"{self.processor}|{self.cores.n_all}|{devices}|{self.engine_version}"


def this_machine() -> Machine:
    """The machine as it is now; asks the system and ggml, in some milliseconds.

    Raises:
        MissingExtraError: llama-cpp-python is not installed.
    """
    try:
        import llama_cpp
    except ImportError as error:
        raise MissingExtraError("llama-cpp-python", "local") from error
    try:
        engine_version = version("llama-cpp-python")
    except PackageNotFoundError:
        engine_version = str(llama_cpp.__version__)
    can_offload = bool(llama_cpp.llama_supports_gpu_offload())
    return Machine(
        can_offload=can_offload,
        devices=tuple(_devices(ggml_functions())),
        cores=available_cores(),
        available_bytes=available_memory(),
        processor=_processor(),
        engine_version=engine_version,
    )


def _devices(function: Callable[[str], Any]) -> Iterator[Device]:
    """The devices that ggml tells of; none in a build whose functions are not found."""
    names = ("count", "get", "name", "description", "type", "memory")
    functions = [function(f"ggml_backend_dev_{name}") for name in names]
    if None in functions:
        return
    count, get, name, description, kind, memory = functions
    count.restype, get.restype, get.argtypes = ctypes.c_size_t, ctypes.c_void_p, [ctypes.c_size_t]
    for text in (name, description):
        text.restype, text.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    kind.argtypes = [ctypes.c_void_p]
    memory.argtypes = [ctypes.c_void_p, *[ctypes.POINTER(ctypes.c_size_t)] * 2]
    memory.restype = None
    for number in range(count()):
        device = get(number)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        memory(device, ctypes.byref(free), ctypes.byref(total))
        if kind(device) in _KINDS:
            texts = [(text(device) or b"").decode(errors="replace") for text in (name, description)]
            yield Device(texts[0], texts[1], _KINDS[kind(device)], free.value, total.value)


def ggml_functions() -> Callable[[str], Any]:
    """Finds ggml's functions by name in llama-cpp-python's libraries; ``None`` for what is not there."""
    libraries = list(_libraries())

    def function(name: str) -> Any:
        return next((found for library in libraries if (found := getattr(library, name, None))), None)

    return function


def _libraries() -> Iterator[Any]:
    """llama-cpp-python's libraries; ggml may be one, two, or part of llama.cpp's."""
    import llama_cpp

    yield getattr(getattr(llama_cpp, "llama_cpp", None), "_lib", None)
    with suppress(ImportError, OSError):
        from llama_cpp import _ggml
        from llama_cpp._ctypes_extensions import load_shared_library

        yield _ggml.libggml
        yield load_shared_library("ggml-base", _ggml.libggml_base_path)


def _processor() -> str:
    """The processor's name, as far as the system tells."""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
        found = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()
