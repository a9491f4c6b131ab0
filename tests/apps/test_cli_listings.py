"""``plait tools``, ``plait models`` and what is said about options that cannot be used."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from plait import __version__
from plait.apps import cli
from plait.models import CATALOG, DEFAULT_ENCODER, DEFAULT_MODEL, ENCODERS, RECOGNIZER, SPEECH, VOICE

Invoke = Callable[..., Result]


@pytest.fixture(autouse=True)
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("PLAIT_MODELS", str(folder))
    return folder


def plait(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


def test_every_tool_is_one_line_in_a_pipe(invoke: Invoke) -> None:
    lines = invoke("tools").stdout.splitlines()
    assert [line.split("(")[0] for line in lines] == ["fail", "look_up", "odd", "save"]
    assert lines[3] == "save(text: str) -> str\twrites\tSave a text."


def test_tools_as_json_have_schemas_and_annotations(invoke: Invoke) -> None:
    tools = json.loads(invoke("tools", "--json").stdout)
    assert tools[3]["name"] == "save"
    assert tools[3]["annotations"]["read_only"] is False
    assert tools[3]["parameters"]["properties"]["text"]["type"] == "string"


def test_the_assistant_has_its_tools_over_any_home(tmp_path: Path) -> None:
    result = plait("tools", "--home", str(tmp_path), "--json")
    assert {"create_note", "summarize_pdf"} <= {tool["name"] for tool in json.loads(result.stdout)}


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ("sample_tools", "module:attribute"),
        (":TOOLS", "module:attribute"),
        ("no_such_module:x:TOOLS", "no_such_module"),
        ("sample_tools:NO_SUCH", "NO_SUCH"),
        ("sample_tools:NONE", "no tools"),
        ("json:dumps", "of type function"),
        ("math:pi", "of type float"),
    ],
)
def test_tools_that_cannot_be_loaded_are_one_sentence(invoke: Invoke, tools: str, said: str) -> None:
    result = invoke("tools", tools=tools)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_tools_module_with_a_bug_is_one_sentence(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "buggy_tools_of_mine.py").write_text("TOOLS = [\n")
    monkeypatch.chdir(tmp_path)
    result = invoke("tools", tools="buggy_tools_of_mine:TOOLS")
    assert result.exit_code == 2
    assert "SyntaxError" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_home_that_does_not_exist_is_named_with_the_fix(tmp_path: Path) -> None:
    result = plait("run", "look", "--home", str(tmp_path / "nowhere"), "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["type"] == "ConfigurationError"
    assert "nowhere" in result.stderr
    assert "--home" in result.stderr


def test_an_unknown_model_is_named_with_the_choices(tmp_path: Path) -> None:
    result = plait("run", "look", "--home", str(tmp_path), "--model", "smollm3", "--json")
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert document["error"]["type"] == "UnknownModelError"
    assert document["tasks"] == []
    assert "smollm2-135m" in result.stderr


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("just text")
    result = plait("run", "look", "--home", str(tmp_path), "--model", str(tmp_path / "text.gguf"), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["type"] == "ModelFileError"


def test_the_catalog_is_one_line_a_model_in_a_pipe() -> None:
    lines = plait("models", "list").stdout.splitlines()
    assert len(lines) == len(CATALOG) + len(ENCODERS) + len(SPEECH)
    assert any(line.startswith(f"{DEFAULT_MODEL} (default)\tnot installed") for line in lines)


def test_the_catalog_as_json_says_what_is_installed() -> None:
    entries = json.loads(plait("models", "list", "--json").stdout)
    assert [entry["name"] for entry in entries] == [*CATALOG, *ENCODERS, *SPEECH]
    assert not any(entry["installed"] for entry in entries)
    defaults = [DEFAULT_MODEL, DEFAULT_ENCODER, RECOGNIZER, VOICE]
    assert [entry["name"] for entry in entries if entry["default"]] == defaults
    kinds = {entry["name"]: entry["kind"] for entry in entries}
    assert [kinds[name] for name in defaults] == ["chat", "encoder", "recognizer", "voice"]
    assert all(entry["size_bytes"] for entry in entries if entry["name"] in SPEECH)
    assert {entry["licence"] for entry in entries if entry["name"] in SPEECH} == {"MIT", "CC0-1.0"}


@pytest.mark.parametrize("command", ["pull", "verify", "remove"])
def test_an_unknown_model_is_a_usage_error_of_every_models_command(command: str) -> None:
    result = plait("models", command, "smollm3", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["type"] == "UnknownModelError"


def test_verifying_a_model_that_is_not_there_says_how_to_fetch_it() -> None:
    result = plait("models", "verify", "smollm2-135m")
    assert result.exit_code == 1
    assert "plait models pull smollm2-135m" in result.stderr


def test_removing_what_is_not_there_frees_nothing() -> None:
    result = plait("models", "remove", "smollm2-135m", "--json")
    assert json.loads(result.stdout) == {"name": "smollm2-135m", "freed_bytes": 0}
    assert plait("models", "remove", "smollm2-135m").stdout == "smollm2-135m was not installed\n"


def test_an_installed_model_is_verified_by_its_hash(smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIT_MODELS", str(smollm2.parent))
    result = plait("models", "verify", "smollm2-135m", "--json")
    assert json.loads(result.stdout) == {"name": "smollm2-135m", "path": str(smollm2), "ok": True}
    assert result.exit_code == 0


def test_the_version_is_printed() -> None:
    assert plait("--version").stdout == f"plait {__version__}\n"


@pytest.mark.parametrize("command", [[], ["run"], ["plan"], ["tools"], ["models"], ["models", "pull"]])
def test_every_command_explains_itself(command: list[str]) -> None:
    result = plait(*command, "--help")
    assert result.exit_code == 0
    assert re.search(r"Usage", result.stdout)
