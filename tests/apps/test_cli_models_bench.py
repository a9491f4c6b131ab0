"""``plait models bench``."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from plait.apps import cli
from plait.models import measure_speed
from plait.models._measurements import measurements_path


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["models", "bench", *map(str, arguments)])


def test_a_model_is_measured_and_what_the_engine_keeps_is_kept(smollm2: Path) -> None:
    result = bench(smollm2, "--context-length", 512, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["path"] == str(smollm2)
    assert found["device"] == "CPU" or found["n_gpu_layers"] > 0
    assert list(found["batch_s"]) == ["1", "2", "4", "8", "16"]
    assert list(found["batch_s"].values()) == sorted(found["batch_s"].values())
    speeds = ("load_s", "decode_tokens_per_s", "prefill_tokens_per_s", "cold_start_s", "warm_start_s")
    assert all(found[name] > 0 for name in speeds)
    assert found["static_tokens"] == 480
    assert found["resident_bytes"] > smollm2.stat().st_size / 2
    kept = json.loads(measurements_path().read_text())["entries"]
    assert any(entry.get("sizes") == [1, 2, 4, 8, 16] for entry in kept.values())


def test_a_person_reads_lines(smollm2: Path) -> None:
    result = bench(smollm2, "--context-length", 256, "--threads", 1, "--kv-type", "q8_0")
    assert result.exit_code == 0, result.stderr
    facts = {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in result.stdout.splitlines()}
    assert facts["device"].endswith("KV q8_0")
    assert facts["threads"] == "1, 1 for prompts"
    assert facts["prefill"].endswith(" tokens/s")
    assert facts["batch of 1"].endswith("1.00 times one token")
    assert "a prompt of 224 tokens" in facts["cold start"]
    assert facts["memory, estimated"].endswith(" MB")


@pytest.mark.parametrize("model", ["no-such-model", "no/such/file.gguf"])
def test_a_model_that_is_not_there_is_an_error_in_one_sentence(model: str) -> None:
    result = bench(model)
    assert result.exit_code != 0
    assert model in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_file_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(b"GGUF" + bytes(100))
    result = bench(wrong, "--json")
    assert result.exit_code == 1
    assert "wrong.gguf" in json.loads(result.stdout)["error"]["message"]


def test_what_is_measured_is_said_step_by_step(smollm2: Path) -> None:
    said: list[str] = []
    speed = measure_speed(smollm2, context_length=256, n_threads=1, said=said.append)
    assert said == ["loading", "threads", "batches", "prefill", "cold start", "decode", "warm start"]
    assert speed.threads.n_threads == 1
