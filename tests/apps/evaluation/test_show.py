import csv
import io
import json

import pytest
from rich.cells import cell_len
from rich.console import Console

from plait.apps.evaluation._comparison import compare
from plait.apps.evaluation._show import CSV_COLUMNS, as_csv, as_json, render
from plait.apps.evaluation._types import ErrorRecord, PlannedCall


def _shown(comparison, *, width: int = 100, terminal: bool = False, differences: int = 10, **options) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, **options)
    render(comparison, console, differences)
    return file.getvalue()


def test_runs_stand_beside_each_other_with_accuracy_times_tokens_and_tests(three_runs) -> None:
    text = _shown(compare(three_runs))
    overall = next(line for line in text.splitlines() if line.startswith("overall (300)"))
    assert overall.count("%") == 3
    for title in ("Accuracy: plan success", "Time", "Tokens and calls", "Cost", "Against A", "p, by Holm"):
        assert title in text
    for row in ("prefill", "decode", "tools", "from a cache", "drafts accepted", "arguments right"):
        assert f"\n{row}" in text


def test_a_pipe_gets_plain_text_with_each_call_on_one_line(make_run, make_record) -> None:
    call = PlannedCall(id=1, tool="write", arguments={"text": "word " * 80})
    runs = [make_run(make_record("a", plan=[call])), make_run(make_record("a", correct=False), label="b")]
    text = _shown(compare(runs), width=60)
    assert "\x1b" not in text
    assert f'    1. write(text="{"word " * 80}")' in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_nothing_is_wider_than_the_terminal_or_cut(three_runs, width: int) -> None:
    text = _shown(compare(three_runs), width=width, terminal=True, no_color=True, color_system=None)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "\u2026" not in text
    for run, share in zip("ABC", compare(three_runs).runs, strict=True):
        assert f"{100 * share.overall.accuracy:.1f} %  {100 * share.overall.interval.low:.1f}" in text, run


def test_without_colour_there_is_no_colour(three_runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = _shown(compare(three_runs), terminal=True)
    codes = {code for part in text.split("\x1b[")[1:] for code in part.split("m")[0].split(";")}
    assert codes <= {"", "0", "1", "2"}


def test_one_run_is_compared_with_nothing(three_runs) -> None:
    text = _shown(compare(three_runs[:1]))
    assert "Against" not in text
    assert "differ" not in text


def test_differing_items_are_shown_with_the_request_and_both_plans(make_run, make_record) -> None:
    gold = [{"tool": "find", "args": {"name": "Sid"}}]
    plan = [PlannedCall(id=1, tool="find", arguments={"name": "Sid"})]
    runs = [
        make_run(make_record("a", query="Who is Sid?", gold=gold, plan=plan)),
        make_run(
            make_record("a", query="Who is Sid?", gold=gold, correct=False, detail="no call"), label="b"
        ),
    ]
    text = _shown(compare(runs))
    assert "Who is Sid?" in text
    assert "A right\n" in text
    assert "B wrong: no call\n    no calls\n" in text
    assert text.count('1. find(name="Sid")') == 2
    assert "Who is Sid?" not in _shown(compare(runs), differences=0)


def test_no_more_differences_are_shown_than_asked_for(make_run, make_record) -> None:
    ids = [f"i{k}" for k in range(5)]
    runs = [
        make_run(*(make_record(id_) for id_ in ids)),
        make_run(*(make_record(id_, correct=False) for id_ in ids), label="b"),
    ]
    text = _shown(compare(runs), differences=2)
    assert "the first 2 of 5" in text
    assert "do i1" in text
    assert "do i2" not in text


def test_texts_of_models_cannot_steer_the_terminal_or_its_markup(make_run, make_record) -> None:
    evil = "\x1b[2J\x9b [bold]x[/bold] \u202e"
    error = ErrorRecord(type="E", message=evil)
    runs = [
        make_run(make_record("a", category=evil, query=evil, scores={evil: 1.0}), label=evil),
        make_run(make_record("a", category=evil, query=evil, correct=False, error=error), label="b"),
    ]
    text = _shown(compare(runs), terminal=False)
    assert not {"\x1b", "\x9b", "\u202e"} & set(text)
    assert "[bold]x[/bold]" in text


def test_runs_of_different_items_are_shown_with_a_warning(make_run, make_record) -> None:
    runs = [make_run(make_record("a"), make_record("b")), make_run(make_record("a"), label="b")]
    assert "did not try the same items: 1 are common" in _shown(compare(runs))
    assert "did not try the same items" not in _shown(compare(runs[:1] * 2))


def test_csv_has_a_row_for_every_run_and_category_and_overall(three_runs) -> None:
    comparison = compare(three_runs)
    rows = list(csv.DictReader(io.StringIO(as_csv(comparison))))
    assert tuple(rows[0])[: len(CSV_COLUMNS)] == CSV_COLUMNS
    assert tuple(rows[0])[len(CSV_COLUMNS) :] == ("score.arguments_right", "score.tool_recall")
    assert [row["category"] for row in rows].count("overall") == 3
    assert len(rows) == 3 * (len(comparison.categories) + 1)
    overall = next(row for row in rows if row["category"] == "overall")
    assert float(overall["accuracy"]) == pytest.approx(comparison.runs[0].overall.accuracy, abs=1e-6)
    assert int(overall["n"]) == 300
    assert "" not in overall.values()


@pytest.fixture
def nested_run(make_run, make_record, make_config):
    gold = [{"name": "find", "arguments": {"q": "x"}, "label": "var1"}]
    plan = [PlannedCall(id=1, tool="find", arguments={"q": "x"})]
    records = [
        make_record("a", gold=gold, plan=plan, scores={"f1_functions": 1.0}),
        make_record("b", gold=gold, scores={"f1_functions": 0.0}, correct=False),
    ]
    return make_run(*records, config=make_config(benchmark="nestful"))


def test_metrics_of_the_whole_set_stand_beside_the_means_of_items(nested_run) -> None:
    text = _shown(compare([nested_run]))
    means, whole = (text[text.index(title) :].splitlines() for title in ("Further scores", "Whole set"))
    assert means[2].split() == ["f1", "functions", "50.0", "%"]
    assert whole[2].split() == ["f1", "functions", "66.7", "%"]
    document = as_json(compare([nested_run]))
    assert document["runs"][0]["totals"]["f1_functions"] == pytest.approx(2 / 3)


def test_only_the_overall_row_of_the_csv_has_metrics_of_the_whole_set(nested_run) -> None:
    category, overall = csv.DictReader(io.StringIO(as_csv(compare([nested_run]))))
    assert (category["total.f1_functions"], overall["total.f1_functions"]) == ("", "0.666667")


def test_where_no_metric_is_of_the_whole_set_there_is_no_table_of_them(three_runs) -> None:
    assert "Whole set" not in _shown(compare(three_runs))


def test_csv_leaves_empty_what_is_not_known(make_run, make_record) -> None:
    (row, _) = csv.DictReader(io.StringIO(as_csv(compare([make_run(make_record("a"))]))))
    assert (row["cost_usd"], row["draft_acceptance"], row["first_call_p50_s"]) == ("", "", "")


def test_json_has_runs_pairs_and_differing_items(three_runs) -> None:
    comparison = compare(three_runs)
    document = json.loads(json.dumps(as_json(comparison), allow_nan=False))
    assert document["benchmark"] == "plans"
    assert [run["label"] for run in document["runs"]] == [run.label for run in three_runs]
    assert document["runs"][0]["overall"]["accuracy"] == comparison.runs[0].overall.accuracy
    assert set(document["pairs"][0]["overall"]) >= {"value", "p_value", "p_adjusted", "interval"}
    assert {item["id"] for item in document["differing"]} == {item.id for item in comparison.differing}
