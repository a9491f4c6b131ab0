import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from plait.apps.evaluation._report import embedded_json, report_html, write_report
from plait.apps.evaluation._types import ErrorRecord, GenerationRecord, PlannedCall, Times
from plait.errors import ConfigurationError

EVIL = "</script><img src=x onerror=alert(1)>\"'&lt;<!--<svg onload=alert(1)>\u2028"


class _Page(HTMLParser):
    """Elements with their attributes, and the text of the embedded data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self.scripts[-1] += data

    @property
    def data(self) -> dict:
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def page(three_runs) -> _Page:
    return _Page(report_html(three_runs))


@pytest.fixture
def evil_page(make_run, make_record, make_config) -> _Page:
    config = make_config(planner=EVIL, benchmark=EVIL, fingerprint=EVIL, plait_version=EVIL)
    config = config.model_copy(
        update={"metric": EVIL, "hardware": {EVIL: EVIL}, "command": [EVIL], "started": EVIL}
    )
    fields = {
        "category": EVIL,
        "query": EVIL,
        "gold": [{"tool": EVIL, "args": {EVIL: [EVIL]}}],
        "detail": EVIL,
        "answer": EVIL,
        "scores": {EVIL: 0.5},
        "plan": [PlannedCall(id=1, tool=EVIL, arguments={EVIL: EVIL})],
        "generations": [
            GenerationRecord(messages=[], output=EVIL, tool_calls=[{"name": EVIL, "arguments": {}}])
        ],
        "times": Times(total_s=1.0),
    }
    runs = [
        make_run(make_record(EVIL, **fields), label=EVIL, config=config),
        make_run(
            make_record(EVIL, correct=False, error=ErrorRecord(type=EVIL, message=EVIL), **fields),
            label=f"b{EVIL}",
            config=config,
        ),
    ]
    return _Page(report_html(runs))


def test_the_data_of_every_item_and_run_is_in_the_file(page: _Page, three_runs) -> None:
    items = page.data["items"]
    assert [item["id"] for item in items] == list(three_runs[0].items)
    assert all(len(item["runs"]) == 3 for item in items)
    record = next(iter(three_runs[1].items.values()))
    shown = items[0]["runs"][1]
    assert (items[0]["query"], shown["correct"]) == (record.query, record.correct)
    assert len(shown["outputs"]) == len(record.generations)


def test_plans_that_are_alike_share_one_drawing(make_run, make_record) -> None:
    one, two = (PlannedCall(id=1, tool="find", arguments={"name": name}) for name in ("Sid", "Ana"))
    gold = [{"tool": "find", "args": {"name": "Sid"}}]
    records = [make_record("a", plan=[one], gold=gold), make_record("b", plan=[two]), make_record("c")]
    data = _Page(report_html([make_run(*records)])).data
    assert data["items"][0]["gold"]["drawing"] == data["items"][0]["runs"][0]["drawing"] == 0
    assert [item["runs"][0]["drawing"] for item in data["items"]] == [0, 1, -1]
    assert [drawing.startswith("<svg") for drawing in data["drawings"]] == [True, True]


def test_a_right_answer_that_is_no_plan_is_shown_as_text(make_run, make_record) -> None:
    data = _Page(
        report_html([make_run(make_record("a", gold={"answer": ["Paris"]}), make_record("b", gold="x"))])
    ).data
    assert json.loads(data["items"][0]["gold"]["text"]) == {"answer": ["Paris"]}
    assert data["items"][1]["gold"]["text"] == "x"


def test_the_file_asks_for_nothing_from_anywhere(page: _Page, three_runs) -> None:
    assert not re.search(r"https?:|url\(|@import|src=", report_html(three_runs))
    assert {tag for tag, _ in page.elements}.isdisjoint({"link", "img", "iframe", "object", "embed"})
    assert all(attributes["href"].startswith("#") for tag, attributes in page.elements if tag == "a")


def test_only_the_reports_own_script_may_run(page: _Page) -> None:
    policy = next(a["content"] for tag, a in page.elements if "http-equiv" in a)
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy


def test_hostile_text_from_models_and_data_is_text(evil_page: _Page) -> None:
    assert len(evil_page.scripts) == 2
    assert "img" not in {tag for tag, _ in evil_page.elements}
    assert not [a for _, a in evil_page.elements if any(name.startswith("on") for name in a)]
    assert evil_page.data["items"][0]["query"] == EVIL
    drawings = _Page("".join(evil_page.data["drawings"]))
    assert {tag for tag, _ in drawings.elements} <= {"svg", "g", "title", "rect", "text"}


def test_embedded_json_has_no_character_of_markup_and_reads_the_same() -> None:
    value = {EVIL: [EVIL, 1, None]}
    text = embedded_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_tables_say_what_their_columns_and_rows_are(page: _Page) -> None:
    cells = [attributes for tag, attributes in page.elements if tag == "th"]
    assert cells
    assert {attributes.get("scope") for attributes in cells} == {"col", "row"}
    charts = [a for tag, a in page.elements if tag == "svg"]
    assert charts
    assert all(a["role"] == "img" and a["aria-label"] for a in charts)


def test_what_was_run_is_told(three_runs) -> None:
    text = report_html(three_runs)
    for fact in ("qwen2.5-coder-1.5b", "Q4_K_M", "1.54 billion", "Sample CPU", "8.00 GiB"):
        assert fact in text
    assert "plait eval plans requests.jsonl --planner react" in text


def test_one_run_in_which_everything_failed_still_gives_a_report(make_run, make_record) -> None:
    error = ErrorRecord(type="ModelServerError", message="gone")
    data = _Page(report_html([make_run(make_record("a", correct=False, error=error))])).data
    assert data["items"][0]["runs"][0]["error"] == "ModelServerError: gone"


def test_metrics_of_the_whole_set_are_in_the_report(make_run, make_record, make_config) -> None:
    gold = [{"name": "find", "arguments": {"q": "x"}, "label": "var1"}]
    run = make_run(make_record("a", gold=gold), config=make_config(benchmark="nestful"))
    text = report_html([run])
    assert "Whole set" in text
    assert "full accuracy" in text


def test_an_item_that_a_run_did_not_try_is_nothing_there(make_run, make_record) -> None:
    data = _Page(report_html([make_run(make_record("a")), make_run(make_record("b"), label="b")])).data
    assert [[run is None for run in item["runs"]] for item in data["items"]] == [[False, True], [True, False]]


def test_the_report_is_written_into_a_new_folder(three_runs, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write_report(three_runs[:1], path)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_report_that_cannot_be_written_is_an_error_with_its_path(three_runs, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"report cannot be written to .*file"):
        write_report(three_runs[:1], tmp_path / "file" / "report.html")
