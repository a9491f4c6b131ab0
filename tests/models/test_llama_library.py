"""How llama.cpp is asked to load weights."""

from types import SimpleNamespace

import pytest

from plait.models._llama_library import model_options


def library(system_info: bytes) -> SimpleNamespace:
    return SimpleNamespace(
        llama_model_default_params=lambda: SimpleNamespace(use_extra_bufts=True),
        llama_print_system_info=lambda: system_info,
    )


@pytest.mark.parametrize(
    ("system_info", "used"),
    [
        (b"CPU : AVX2 = 1 | AVX512 = 1 | REPACK = 1 | ", True),
        (b"CPU : AVX2 = 1 | AVX512 = 1 | AMX_INT8 = 1 | REPACK = 1 | ", False),
    ],
)
def test_buffers_of_another_layout_are_not_used_where_amx_would_be(system_info: bytes, used: bool) -> None:
    assert model_options(library(system_info)).use_extra_bufts is used
