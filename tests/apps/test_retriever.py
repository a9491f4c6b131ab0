"""``--retriever``: an index of one's own, or one that plait keeps."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from retrieval_samples import make_tool
from typer.testing import CliRunner, Result

from plait.apps import _index, cli
from plait.apps._retriever import auto_folder
from plait.models import ScriptedModel
from plait.retrieval import HashingEncoder, Tool2Vec, Usage, load_index, save_index, update_index
from plait.tools import Toolbox

Invoke = Callable[..., Result]

PLAN = '1. look_up(name="a")\n2. join()'
NAMES = {"look_up", "fail", "odd", "save"}


@pytest.fixture(autouse=True)
def hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashed words are the encoder, and everything is kept in a folder of the test's."""
    monkeypatch.setattr(_index, "open_encoder", lambda name, output: HashingEncoder())
    monkeypatch.setenv("PLAIT_INDEXES", str(tmp_path / "indexes"))
    monkeypatch.setenv("PLAIT_HISTORY", "off")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_auto_keeps_an_index_for_the_tools(invoke: Invoke, command: str) -> None:
    result = invoke(command, "look a up", "--retriever", "auto", "--json", replies=[PLAN])
    assert result.exit_code == 0, result.output
    assert [task["tool"] for task in json.loads(result.stdout)["plan"]] == ["look_up"]
    folder = auto_folder("sample_tools:TOOLS")
    update_index(folder, lambda old: old.adding((), [Usage("find a", ("look_up",))]), HashingEncoder())
    assert invoke("plan", "look a up", "--retriever", "auto", replies=[PLAN]).exit_code == 0
    index = load_index(folder)
    assert set(index.names) == NAMES
    assert [usage.query for usage in index.usages] == ["find a"]


def test_the_assistants_index_knows_its_worked_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "open_model", lambda *_: ScriptedModel(["1. join()"]))
    arguments = ["plan", "hm", "--retriever", "auto", "--home", str(tmp_path)]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    index = load_index(auto_folder(None))
    assert len(index) == 16
    assert "what does my packing list say" in {usage.query for usage in index.usages}


def test_an_index_of_ones_own_stays_as_it_is_and_lacking_tools_are_told(
    invoke: Invoke, tmp_path: Path
) -> None:
    save_index(Tool2Vec.fit([make_tool("look_up", "Look something up.")], (), HashingEncoder()), "own")
    before = (tmp_path / "own" / "index.json").read_bytes()
    result = invoke("run", "look a up", "--retriever", "own", replies=[PLAN])
    assert result.stdout == "a found\n"
    assert "does not know 4 of the tools as they are, such as fail" in " ".join(result.stderr.split())
    assert (tmp_path / "own" / "index.json").read_bytes() == before


def test_a_chat_takes_it_too(invoke: Invoke) -> None:
    result = invoke("chat", "--retriever", "auto", replies=[PLAN])
    assert result.exit_code == 0, result.output
    assert set(load_index(auto_folder("sample_tools:TOOLS")).names) == NAMES


@pytest.mark.parametrize("command", [("run", "x"), ("plan", "x"), ("chat",)])
def test_an_index_that_is_not_there_is_told_before_a_model_is_opened(
    invoke: Invoke, command: tuple[str, ...]
) -> None:
    result = invoke(*command, "--retriever", "nowhere")
    assert "there is no index in nowhere; build one with" in " ".join(result.output.split())
    assert result.exit_code != 0


def test_one_of_another_encoder_is_refused(invoke: Invoke) -> None:
    save_index(Tool2Vec.fit(Toolbox(), (), HashingEncoder(32)), "other")
    result = invoke("run", "x", "--retriever", "other")
    assert "the index was made with the encoder" in " ".join(result.output.split())
    assert result.exit_code != 0
