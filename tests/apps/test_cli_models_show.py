"""``plait models show``."""

import json
import struct
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from plait.apps import _model_show, cli
from plait.errors import MissingExtraError


def show(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["models", "show", *arguments])


def test_a_model_is_described_with_its_memory_and_its_place(smollm2: Path) -> None:
    result = show(str(smollm2))
    assert result.exit_code == 0
    facts = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    facts = {label: value.strip() for label, value in facts.items()}
    assert facts["architecture"] == "llama"
    assert facts["quantization"] == "Q4_1"
    assert facts["licence"] == "apache-2.0"
    assert facts["chat template"] == "without tools"
    assert facts["tensors Q4_1"].startswith("210, 66 MB")
    assert "with 8192 tokens of context, KV f16" in facts["memory"]
    assert facts["free memory"].endswith("B")
    assert "threads" in facts["runs on"]


def test_a_model_of_the_catalog_is_found_by_its_name(smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIT_MODELS", str(smollm2.parent))
    document = json.loads(show("smollm2-135m", "--json").stdout)
    assert document["path"] == str(smollm2)


def test_the_document_has_the_numbers_for_the_context_that_is_asked_for(smollm2: Path) -> None:
    result = show(str(smollm2), "--context-length", "2048", "--kv-type", "q8_0", "--json")
    document = json.loads(result.stdout)
    memory = document["memory"]
    assert (memory["context_length"], memory["kv_type"], memory["fits"]) == (2048, "q8_0", True)
    assert memory["kv_bytes"] == 2048 * 30 * 2 * 192 // 32 * 34
    parts = ("weights_bytes", "kv_bytes", "compute_bytes")
    assert memory["total_bytes"] == sum(memory[part] for part in parts)
    assert document["tensor_types"].keys() == {"Q4_1", "Q8_0", "F32"}
    assert document["placement"]["threads"] >= 1


def test_too_little_memory_is_said(smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingExtraError("llama-cpp-python", "local")

    monkeypatch.setattr(_model_show, "this_machine", missing)
    monkeypatch.setattr(_model_show, "available_memory", lambda: 50_000_000)
    result = show(str(smollm2))
    assert "50 MB: too little" in result.stdout
    assert "runs on" not in result.stdout  # without llama.cpp nobody knows
    document = json.loads(show(str(smollm2), "--json").stdout)
    assert (document["memory"]["fits"], document["placement"]) == (False, None)


def test_a_file_of_an_unknown_architecture_is_shown(tmp_path: Path) -> None:
    key, value = b"general.architecture", b"new\nkind"
    entry = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value
    path = tmp_path / "m.gguf"
    path.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + entry)
    result = show(str(path))
    assert result.exit_code == 0
    assert "architecture   new kind\n" in result.stdout
    assert json.loads(show(str(path), "--json").stdout)["layers"] is None


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"just text", "no GGUF file"), (b"GGUF\x03\0\0\0", "cut off"), (b"", "empty or cut off")],
)
def test_a_file_that_is_no_model_is_named_in_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    result = show(str(path))
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert json.loads(show(str(path), "--json").stdout)["error"]["type"] == "ModelFileError"


def test_a_model_that_is_not_there_is_named_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIT_MODELS", str(tmp_path))
    assert "plait models pull smollm2-135m" in show("smollm2-135m").stderr
    assert show("smollm3").exit_code == 2
    assert show("smollm2-135m", "--kv-type", "q3").exit_code == 2
    assert "no such file" in show(str(tmp_path / "absent.gguf")).stderr
