import asyncio
from pathlib import Path
from typing import Any

import pytest

from plait import __version__
from plait.apps.evaluation import _configuration
from plait.apps.evaluation._configuration import hardware, model_record, run_config
from plait.apps.evaluation._trial import Trial
from plait.apps.evaluation._types import Prices, RunConfig
from plait.models import LlamaModel, ScriptedModel, file_sha256

MODEL = ScriptedModel([], name="remote", context_length=77, grammar_kind="gbnf")


def test_a_model_without_a_file_is_identified_by_its_name_and_abilities() -> None:
    record = model_record(MODEL)
    assert (record.name, record.context_length, record.grammar) == ("remote", 77, "gbnf")
    assert record.sha256 is record.quantization is record.size_bytes is record.parameters is None


def test_a_local_model_is_identified_by_the_bytes_of_its_file(smollm2: Path) -> None:
    model = LlamaModel(smollm2, context_length=512)
    record = model_record(model)
    asyncio.run(model.aclose())
    assert record.sha256 == file_sha256(smollm2)
    assert record.size_bytes == smollm2.stat().st_size
    assert record.context_length == 512
    assert record.quantization
    assert record.parameters is not None
    assert record.parameters > 100e6


def test_a_configuration_says_all_that_decides_an_outcome(fake_benchmark: Any) -> None:
    benchmark = fake_benchmark(["q"], fingerprint="data 3")
    trial = Trial(benchmark, MODEL, "react", execute=True, tool_latency_s=0.5)
    prices = Prices(prompt=1, completion=2)
    config = run_config(
        trial, benchmark.items(), model_record(MODEL), command=["plait", "eval"], prices=prices
    )
    identity = config.identity
    assert (identity.benchmark, identity.fingerprint, identity.planner) == ("fake", "data 3", "react")
    assert identity.model.name == "remote"
    assert identity.prompt_sha256 == trial.prompt_sha256(benchmark.items())
    assert identity.plait_version == __version__
    assert (identity.execute, identity.tool_latency_s) == (True, 0.5)
    assert (config.metric, config.command, config.prices) == ("right", ["plait", "eval"], prices)
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_the_same_trial_has_the_same_identity_whichever_items_are_tried_later(fake_benchmark: Any) -> None:
    benchmark = fake_benchmark(["a", "b"])
    first, second = (
        run_config(Trial(benchmark, MODEL, "compiler"), benchmark.items(), model_record(MODEL)) for _ in "ab"
    )
    assert first.identity == second.identity


def test_the_hardware_says_what_times_depend_on() -> None:
    found = hardware()
    assert isinstance(found["cores"], int)
    assert found["processor"]
    assert found["system"]
    assert found["memory_gb"] is None or found["memory_gb"] > 0
    assert found["python"].startswith("3.")
    assert found["httpx"]


def test_packages_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_configuration, "_ENGINES", ("no-such-package", "httpx"))
    assert "no-such-package" not in hardware()
    assert "httpx" in hardware()
