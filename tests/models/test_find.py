"""From what a user writes to the files of a model."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from plait.errors import ModelFileError, UnknownModelError
from plait.models import CATALOG, ModelFiles, find_model, load_model, purpose_of, write_adapter


def adapter(path: Path, base: Path, base_name: str = "") -> Path:
    pair = (np.zeros((2, 576), dtype=np.float32), np.zeros((576, 2), dtype=np.float32))
    write_adapter(path, base, {"blk.0.attn_output.weight": pair}, alpha=4.0, name="test", base_name=base_name)
    return path


def test_a_name_of_the_catalog_is_its_file(smollm2: Path) -> None:
    assert find_model("smollm2-135m", download=False) == ModelFiles("smollm2-135m", smollm2)


def test_a_path_is_itself(smollm2: Path) -> None:
    assert find_model(smollm2) == ModelFiles("SmolLM2-135M-Instruct.Q4_1", smollm2)


def test_an_adapter_brings_the_base_that_the_catalog_has(smollm2: Path, tmp_path: Path) -> None:
    path = adapter(tmp_path / "mine.gguf", smollm2, "smollm2-135m")
    assert find_model(str(path), download=False) == ModelFiles("mine", smollm2, path)


def test_an_adapter_finds_a_base_that_lies_beside_it(smollm2: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.gguf"
    shutil.copy(smollm2, base)
    path = adapter(tmp_path / "mine.gguf", base)
    assert find_model(path) == ModelFiles("mine", base, path)
    base.unlink()
    with pytest.raises(ModelFileError, match=r"is for base\.gguf, which is not beside it; put the file into"):
        find_model(path)


def test_an_entry_of_the_catalog_may_have_an_adapter_in_plaits_own_files(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = replace(CATALOG["smollm2-135m"], name="tuned", adapter="not-there.gguf")
    both = MappingProxyType({**CATALOG, "tuned": tuned})
    monkeypatch.setattr("plait.models._find.CATALOG", both)
    monkeypatch.setattr("plait.models._catalog.CATALOG", both)
    with pytest.raises(ModelFileError, match=r"not-there\.gguf is missing from plait's files"):
        find_model("tuned", download=False)


def test_what_is_neither_is_refused_with_the_choices() -> None:
    with pytest.raises(UnknownModelError, match="the catalog has: "):
        find_model("smollm3")


@pytest.mark.anyio
async def test_a_loaded_model_says_what_its_adapter_is_for(smollm2: Path, tmp_path: Path) -> None:
    model = load_model(adapter(tmp_path / "mine.gguf", smollm2, "smollm2-135m"), context_length=256)
    try:
        assert (model.name, model.purpose) == ("mine", "plans")
        assert purpose_of(model.without_adapter()) == ""
    finally:
        await model.aclose()
