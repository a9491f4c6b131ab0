"""How llama.cpp is asked to load weights."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from plait.models._llama_library import model_options

AMX = b"CPU : AVX2 = 1 | AVX512 = 1 | AMX_INT8 = 1 | REPACK = 1 | "
NO_AMX = b"CPU : AVX2 = 1 | AVX512 = 1 | REPACK = 1 | "
GCC = b"\x7fELF\x00GOMP_parallel\x00"
CLANG = b"\x7fELF\x00__kmpc_fork_call\x00"


@pytest.mark.parametrize(
    ("system_info", "compiled", "used"),
    [(NO_AMX, GCC, True), (AMX, GCC, False), (AMX, CLANG, True), (AMX, None, False)],
    ids=["no AMX", "GCC", "clang", "no such file"],
)
def test_buffers_of_another_layout_are_not_used_where_they_may_crash(
    system_info: bytes, compiled: bytes | None, used: bool, tmp_path: Path
) -> None:
    (tmp_path / "lib").mkdir()
    if compiled is not None:
        (tmp_path / "lib" / "libggml-cpu.so").write_bytes(compiled)
    library = SimpleNamespace(
        __file__=str(tmp_path / "__init__.py"),
        llama_model_default_params=lambda: SimpleNamespace(use_extra_bufts=True),
        llama_print_system_info=lambda: system_info,
    )
    assert model_options(library).use_extra_bufts is used
