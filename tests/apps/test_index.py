"""``plait index``: from a file of usages to the tools for a request."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from retrieval_samples import TOOLS, UNTRAINED, USAGES
from typer.testing import CliRunner, Result

from plait.apps import _index, _learning
from plait.apps.assistant import ActionLog
from plait.apps.cli import app
from plait.errors import ContextLengthError, ModelError
from plait.models import Reply, ScriptedModel
from plait.retrieval import RANKINGS, HashingEncoder, Usage, load_index

QUERY = "will it rain in Porto"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tools in a module and in a file, usages in a file, and the current folder."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType("shop_tools")
    module.TOOLS = TOOLS  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop_tools", module)
    lines = [json.dumps({"query": usage.query, "tools": usage.tools}) for usage in USAGES]
    Path("usages.jsonl").write_text("\n".join(lines))
    new = {"name": "new_tool", "description": "Something new.", "parameters": {}}
    Path("new.json").write_text(json.dumps([new]))
    return tmp_path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashed words are the encoder."""
    sizes = {"other": 64}
    monkeypatch.setattr(_index, "open_encoder", lambda name, output: HashingEncoder(sizes.get(name, 256)))


uses_hashed_words = pytest.mark.usefixtures("hashed")


def index(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["index", *arguments])


def document(*arguments: str) -> dict[str, Any]:
    done = index(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def build(*arguments: str) -> dict[str, Any]:
    return document("build", "here", "--tools", "shop_tools:TOOLS", *arguments)


@uses_hashed_words
def test_what_was_built_is_searched() -> None:
    built = build("--usages", "usages.jsonl")
    assert built.pop("seconds") >= 0
    assert built == {"folder": "here", "n_tools": 4, "n_usages": 4, "n_encoded": 8, "notes": []}
    found = document("search", "here", "is an umbrella needed", "-k", "2")
    assert (found["query"], found["by"]) == ("is an umbrella needed", "fused")
    assert found["tools"][0]["name"] == "get_weather"
    assert len(found["tools"]) == 2


@uses_hashed_words
@pytest.mark.parametrize("by", UNTRAINED)
def test_every_ranking_can_be_asked_for(by: str) -> None:
    build("--usages", "usages.jsonl")
    query = "the forecast for a city"
    assert document("search", "here", query, "--by", by)["tools"][0]["name"] == "get_weather"


def test_the_rankings_of_the_command_line_are_those_of_the_library() -> None:
    assert tuple(_index.RankingName) == RANKINGS


@uses_hashed_words
def test_results_are_lines_with_tabs_in_a_pipe() -> None:
    built = index("build", "here", "--tools", "shop_tools:TOOLS").stdout
    assert built.startswith("here: 4 tools, 0 usages; 4 texts encoded, ")
    lines = index("search", "here", "the sum of two numbers", "-k", "1", "--by", "bm25").stdout.splitlines()
    assert [line.split("\t")[1] for line in lines] == ["add"]


@uses_hashed_words
def test_the_assistants_tools_are_indexed_if_none_are_given() -> None:
    assert document("build", "here")["n_tools"] == 16


@uses_hashed_words
def test_building_again_keeps_usages_and_encodes_only_what_is_new() -> None:
    build("--usages", "usages.jsonl")
    again = build()
    assert (again["n_usages"], again["n_encoded"]) == (4, 0)
    assert build("--fresh")["n_usages"] == 0


@uses_hashed_words
def test_tools_and_usages_are_added_and_removed() -> None:
    build()
    added = document("add", "here", "--tools", "new.json")
    assert (added["n_tools"], added["n_encoded"]) == (5, 1)
    Path("more.jsonl").write_text('{"query": "q", "tools": ["new_tool", "no_tool"]}')
    added = document("add", "here", "--usages", "more.jsonl", "--usages", "usages.jsonl")
    assert (added["n_usages"], added["n_encoded"]) == (5, 5)
    assert added["notes"] == ["usages name tools that are not there, which are left out: no_tool"]
    removed = document("remove", "here", "new_tool", "add")
    assert (removed["n_tools"], removed["n_usages"], removed["n_encoded"]) == (3, 4, 0)
    found = document("search", "here", QUERY, "-k", "99")["tools"]
    assert sorted(tool["name"] for tool in found) == ["get_weather", "play_song", "sendMail"]


@uses_hashed_words
def test_stats_tell_what_is_in_an_index() -> None:
    build("--usages", "usages.jsonl")
    stats = document("stats", "here")
    assert stats["encoder"] == "hashed words 256"
    counts = ("version", "n_tools", "n_without_usages", "n_usages", "dimension", "graphs")
    assert [stats[name] for name in counts] == [2, 4, 2, 4, 256, []]
    assert stats["size_bytes"] > 8 * 256 * 4
    lines = dict(line.split("\t") for line in index("stats", "here").stdout.splitlines())
    assert (lines["n_usages"], lines["graphs"]) == ("4", "none")


@uses_hashed_words
def test_a_trained_index_ranks_and_selects_by_what_it_learnt() -> None:
    names = ("add", "play_song")
    lines = [json.dumps({"query": f"request {i} of w{i % 2}", "tools": [names[i % 2]]}) for i in range(60)]
    Path("many.jsonl").write_text("\n".join(lines))
    build("--usages", "many.jsonl")
    assert document("search", "here", "w1")["by"] == "fused"
    assert document("stats", "here")["trained"] is False
    assert document("train", "here")["n_usages"] == 60
    assert document("stats", "here")["trained"] is True
    found = document("search", "here", "request of w1", "-k", "1")
    assert (found["by"], found["tools"][0]["name"]) == ("refined", "play_song")
    selected = document("search", "here", "request of w1", "--recall", "0.9")["tools"]
    assert selected[0]["name"] == "play_song"
    assert len(document("search", "here", "request of w1", "--recall", "1")["tools"]) == 4


@uses_hashed_words
def test_a_damaged_index_is_built_anew_and_that_is_said() -> None:
    build("--usages", "usages.jsonl")
    (damaged,) = Path("here").glob("vectors-*")
    damaged.write_bytes(b"")
    failed = index("search", "here", QUERY)
    assert failed.exit_code == 1
    assert "build it anew with `plait index build`" in failed.stderr
    assert failed.stderr.count("\n") == 1
    again = index("build", "here", "--tools", "shop_tools:TOOLS")
    assert "built anew" in again.stderr
    assert "4 usages" in again.stdout


@uses_hashed_words
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["search", "nowhere", QUERY], 1, "there is no index in nowhere"),
        (["stats", "nowhere"], 1, "there is no index in nowhere"),
        (["add", "nowhere", "--usages", "usages.jsonl"], 1, "there is no index in nowhere"),
        (["remove", "nowhere", "x"], 1, "there is no index in nowhere"),
        (["add", "here"], 2, "nothing to add"),
        (["train", "here"], 2, "too few to learn from"),
        (["search", "here", QUERY, "--by", "refined"], 2, "plait index train"),
        (["search", "here", QUERY, "--recall", "0.9"], 2, "plait index train"),
        (["search", "here", QUERY, "--recall", "0.9", "--by", "bm25"], 2, "leave --by out"),
        (["search", "here", QUERY, "--recall", "7"], 2, "between 0 and 1"),
        (["remove", "here", "no_tool"], 1, "no tool 'no_tool'"),
        (["search", "here", QUERY, "--encoder", "other"], 1, "give the encoder that made it"),
        (["build", "here", "--usages", "none.jsonl"], 2, "cannot be read"),
        (["build", "here", "--usages", "new.json"], 2, "line 1 is no usage"),
        (["build", "here", "--tools", "none.json"], 2, "cannot be read"),
        (["build", "usages.jsonl"], 2, "choose another folder"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: list[str], code: int, said: str) -> None:
    build()
    done = index(*arguments)
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_errors_are_documents_with_json() -> None:
    done = index("stats", "nowhere", "--json")
    assert json.loads(done.stdout)["error"]["type"] == "ToolIndexError"


def test_an_unknown_encoder_is_a_usage_error() -> None:
    done = index("build", "here", "--encoder", "no-such-encoder")
    assert done.exit_code == 2
    assert "all-minilm-l6-v2" in done.stderr


def test_the_default_encoder_finds_what_a_request_means() -> None:
    build("--usages", "usages.jsonl")
    found = document("search", "here", "Should I take a raincoat to Lisbon?", "-k", "1")["tools"]
    assert [tool["name"] for tool in found] == ["get_weather"]


def test_models_of_sentence_transformers_are_named_with_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    done = index("build", "here", "--encoder", "sentence-transformers:BAAI/bge-small-en-v1.5")
    assert done.exit_code == 1
    assert "pip install 'plait[sentence-transformers]'" in done.stderr


def write_usage(messages: Any) -> str:
    """What a scripted model writes: a request in the words of the tool's description."""
    described = re.findall(r"^- \w+\(.*?: (.*)", messages[-1].content, re.MULTILINE)
    return f"1. please, {' and '.join(described)} today"


@uses_hashed_words
def test_a_model_writes_usages_for_tools_that_have_none(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(_index, "open_model", lambda *_: ScriptedModel([write_usage] * 9))
    built = build("--usages", "usages.jsonl", "--generate", "1")
    assert built["n_usages"] == len(USAGES) + 2  # add and play_song
    assert "2 usages were written, and refused none" in built["notes"]
    assert not (folder / "here" / "generating.jsonl").exists()
    found = document("search", "here", "please, The sum of two numbers", "-k", "1")
    assert [tool["name"] for tool in found["tools"]] == ["add"]


def model_that_breaks() -> ScriptedModel:
    """Writes for the first two of the four tools, and fails for the others."""

    def write(messages: Any) -> str | Reply:
        is_known = re.search(r"^- (?:add|get_weather)\(", messages[-1].content, re.MULTILINE)
        return write_usage(messages) if is_known else Reply(error=ModelError("out of memory"))

    return ScriptedModel([write] * 8)


@uses_hashed_words
def test_an_interrupted_generation_goes_on(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(_index, "open_model", lambda *_: model_that_breaks())
    build_options = ("build", "here", "--tools", "shop_tools:TOOLS", "--generate", "1")
    failed = index(*build_options)
    assert "out of memory" in failed.output
    assert failed.exit_code != 0
    rest = ScriptedModel([write_usage] * 4)
    monkeypatch.setattr(_index, "open_model", lambda *_: rest)
    assert index(*build_options).exit_code == 0
    assert len(rest.requests) == 4
    assert len(load_index(folder / "here").usages) == 4


@uses_hashed_words
def test_a_fresh_build_forgets_an_interrupted_generation(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(_index, "open_model", lambda *_: model_that_breaks())
    index("build", "here", "--tools", "shop_tools:TOOLS", "--generate", "1")
    assert (folder / "here" / "generating.jsonl").exists()
    build("--fresh")
    assert not (folder / "here" / "generating.jsonl").exists()


@uses_hashed_words
def test_a_fresh_build_that_generates_goes_on_too(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(_index, "open_model", lambda *_: model_that_breaks())
    options = ("build", "here", "--tools", "shop_tools:TOOLS", "--generate", "1", "--fresh")
    assert index(*options).exit_code != 0
    rest = ScriptedModel([write_usage] * 4)
    monkeypatch.setattr(_index, "open_model", lambda *_: rest)
    assert index(*options).exit_code == 0
    assert len(rest.requests) == 4


@uses_hashed_words
def test_tools_that_are_too_long_for_the_model_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ContextLengthError(n_prompt=9000, n_answer=80, context_length=8192)
    monkeypatch.setattr(_index, "open_model", lambda *_: ScriptedModel([Reply(error=error)] * 9))
    notes = " ".join(build("--usages", "usages.jsonl", "--generate", "1")["notes"])
    assert "refused 2 (longer than the model's context); the model has no room for add, play_song" in notes


@pytest.fixture
def history(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests: two that went well, one that failed in part, a declined one, and one of an older plait."""
    path = folder / "history.sqlite3"
    monkeypatch.setenv("PLAIT_HISTORY", str(path))
    with ActionLog(path) as log:
        for request, calls, became in (
            ("is it wet in Faro, and tell Sid", {"get_weather": "ok", "sendMail": "ok"}, "done"),
            ("sing and add", {"play_song": "ok", "add": "failed"}, "unfinished"),
            ("is it wet in Porto, and tell Sid", {"get_weather": "ok"}, "unfinished"),  # a mail was declined
            ("is it wet in Braga, and tell Sid", {"get_weather": "ok"}, None),
            ("a tune for dinner", {"play_song": "ok"}, "done"),
        ):
            numbers = []
            for name, status in calls.items():
                numbers.append(log.begin(request, TOOLS[name], {}))
                log.finish(numbers[-1], status, "")  # type: ignore[arg-type]
            if became is not None:
                log.conclude(numbers, became)  # type: ignore[arg-type]


LEARNT = "is it wet in Faro, and tell Sid"


@uses_hashed_words
@pytest.mark.usefixtures("history")
def test_requests_that_went_well_are_learnt_from_the_history(folder: Path) -> None:
    build()
    assert document("learn", "here", "--yes")["n_usages"] == 2
    usages = {usage.query: set(usage.tools) for usage in load_index(folder / "here").usages}
    assert usages == {LEARNT: {"get_weather", "sendMail"}, "a tune for dinner": {"play_song"}}
    assert "Nothing in the history is new" in index("learn", "here", "--yes").stderr


def test_calls_of_two_requests_at_the_same_time_are_told_apart(tmp_path: Path) -> None:
    with ActionLog(tmp_path / "history.sqlite3") as log:
        one, other, two = (
            log.begin(r, TOOLS[t], {}) for r, t in (("a b", "add"), ("c", "add"), ("a b", "sendMail"))
        )
        for number in (one, other, two):
            log.finish(number, "ok", "")
        log.conclude([one, two], "done")
        log.conclude([other], "unfinished")
        assert _learning.usages_of(log.actions()[::-1]) == [Usage("a b", ("add", "sendMail"))]


@uses_hashed_words
@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("typed", "learnt"),
    [("y\n", [LEARNT, "a tune for dinner"]), ("what\n1\n", [LEARNT]), ("n\n", []), ("", [])],
)
def test_the_user_chooses_what_is_learnt(
    folder: Path, monkeypatch: pytest.MonkeyPatch, typed: str, learnt: list[str]
) -> None:
    build()
    monkeypatch.setattr(_learning, "can_ask", lambda: True)
    done = CliRunner().invoke(app, ["index", "learn", "here"], input=typed)
    assert done.exit_code == 0, done.output
    assert "on this machine, and nowhere else" in " ".join(done.stderr.split())
    assert f"1. {LEARNT} -> get_weather, sendMail" in " ".join(done.stderr.split())
    assert [usage.query for usage in load_index(folder / "here").usages] == learnt


@uses_hashed_words
@pytest.mark.usefixtures("history")
def test_where_nobody_can_be_asked_nothing_is_learnt(folder: Path) -> None:
    build()
    done = index("learn", "here")
    assert "Nothing was learnt" in done.stderr
    assert load_index(folder / "here").usages == ()


@uses_hashed_words
def test_without_a_history_nothing_can_be_learnt() -> None:
    build()
    assert "PLAIT_HISTORY is off" in index("learn", "here").output


@uses_hashed_words
def test_a_reranker_puts_what_is_found_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    build("--usages", "usages.jsonl")

    class LastFirst:
        def __init__(self, name: str) -> None:
            assert name == "small"

        def score(self, query: str, texts: list[str], /) -> list[float]:
            return [float(place) for place, _ in enumerate(texts)]

    monkeypatch.setattr("plait.retrieval.CrossEncoderReranker", LastFirst)
    plain = document("search", "here", QUERY, "-k", "4")
    found = document("search", "here", QUERY, "-k", "4", "--reranker", "small")
    assert found["by"] == "small"
    assert [t["name"] for t in found["tools"]] == [t["name"] for t in plain["tools"]][::-1]
    refused = index("search", "here", QUERY, "--reranker", "small", "--by", "bm25")
    assert "leave --by and --recall out" in " ".join(refused.output.split())
