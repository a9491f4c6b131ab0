import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from plait.apps.evaluation._plans import PlansBenchmark, category_of
from plait.apps.evaluation._sixteen import assistant_toolbox
from plait.apps.evaluation._types import Attempt, Benchmark, Item
from plait.errors import ConfigurationError
from plait.orchestrator import Run
from plait.planners import Plan, Ref, Task, Template, parse_plan
from plait.tools import Tool, Toolbox

TOOLBOX = assistant_toolbox()


def line(*calls: tuple[str, dict[str, Any]], item_id: str = "one") -> str:
    plan = [{"tool": tool, "args": args} for tool, args in calls]
    return json.dumps({"id": item_id, "now": "2026-11-20T09:00:00", "query": "Do it", "plan": plan})


def written(folder: Path, *lines: str) -> Path:
    path = folder / "requests.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def gold_of(folder: Path, *calls: tuple[str, dict[str, Any]]) -> Plan:
    benchmark = PlansBenchmark(written(folder, line(*calls)), TOOLBOX)
    return benchmark._request(benchmark.items()[0]).plan


def test_items_are_the_files_requests_in_order(tmp_path: Path) -> None:
    calls = [("open_note", {"name": "a"}), ("open_note", {"name": "b"})]
    path = written(tmp_path, line(item_id="b"), "", line(*calls, item_id="a"))
    benchmark: Benchmark = PlansBenchmark(path, TOOLBOX)
    first, second = benchmark.items()
    assert (first.id, first.category, second.id, second.category) == ("b", "none", "a", "2-3 calls")
    assert second.now == datetime(2026, 11, 20, 9)
    assert second.gold == [{"tool": "open_note", "args": {"name": n}} for n in "ab"]
    assert benchmark.toolbox(second) is TOOLBOX


def test_categories_go_by_the_number_of_calls() -> None:
    assert [category_of(n) for n in range(6)] == ["none", "1 call", *["2-3 calls"] * 2, *["4+ calls"] * 2]


def test_references_in_right_plans_are_read_wherever_they_stand(tmp_path: Path) -> None:
    plan = gold_of(
        tmp_path,
        ("open_note", {"name": "$5 ideas"}),
        ("get_email_address", {"name": "Sid"}),
        (
            "compose_new_email",
            {"recipients": ["$2"], "subject": "\\$2", "context": "On ${1} and $2. Costs $1.50 or $7"},
        ),
        ("open_note", {"name": "$1.title"}),
    )
    assert plan.tasks[0].arguments == {"name": "$5 ideas"}
    assert plan.tasks[2].arguments == {
        "recipients": [Ref(2)],
        "subject": "$2",
        "context": Template(("On ", Ref(1), " and ", Ref(2), ". Costs $1.50 or $7")),
    }
    assert plan.tasks[3].arguments == {"name": Ref(1, ("title",))}


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ("{", "it is no JSON"),
        ('{"id": NaN}', "NaN is no value"),
        ("[]", "valid dictionary"),
        ('{"id": "x", "now": null, "query": "q"}', "plan: field required"),
        ('{"id": "x", "now": "soon", "query": "q", "plan": []}', "now: "),
        ('{"id": "x", "now": null, "query": "q", "plan": [{"tool": "open_note"}]}', "plan.0.args"),
        (
            '{"id": "x", "now": null, "query": "q", "plan": [{"tool": "join", "args": {}, "a": 1}]}',
            "plan.0.a: extra",
        ),
        (line(("opn_note", {})), "call 1: there is no tool 'opn_note'; did you mean open_note"),
        (
            line(("open_note", {"title": "x"})),
            "call 1 of open_note has the argument 'title'; it takes name, folder",
        ),
        (line(("open_note", {"name": "$1"})), "refers to $1, which is not the result of an earlier call"),
        (line(("open_note", {"name": "$9"})), "refers to $9"),
        (line(("open_note", {"name": "see ${2}"})), "refers to $2"),
        (
            line(("create_reminder", {"name": "x", "due_date": "next week"})),
            "due_date of call 1 of create_reminder is 'next week', which is no date-time",
        ),
        (line(item_id="first"), "the id 'first' is line 1's already"),
    ],
)
def test_a_broken_line_is_named_with_its_problem(tmp_path: Path, broken: str, problem: str) -> None:
    path = written(tmp_path, line(item_id="first"), "", broken)
    with pytest.raises(ConfigurationError, match=r"requests\.jsonl, line 3: ") as caught:
        PlansBenchmark(path, TOOLBOX)
    assert problem in str(caught.value)


def test_a_file_without_requests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no requests"):
        PlansBenchmark(written(tmp_path, ""), TOOLBOX)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PlansBenchmark(tmp_path / "missing.jsonl", TOOLBOX)
    (tmp_path / "latin.jsonl").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigurationError, match="in UTF-8"):
        PlansBenchmark(tmp_path / "latin.jsonl", TOOLBOX)


def test_the_fingerprint_tells_files_and_toolboxes_apart(tmp_path: Path) -> None:
    path = written(tmp_path, line(("open_note", {"name": "x"})))
    before = PlansBenchmark(path, TOOLBOX).fingerprint
    assert PlansBenchmark(path, assistant_toolbox()).fingerprint == before
    assert PlansBenchmark(path, TOOLBOX.subset(["open_note"])).fingerprint != before
    path.write_text(line(("open_note", {"name": "y"})), encoding="utf-8")
    assert PlansBenchmark(path, TOOLBOX).fingerprint != before


def test_a_verdict_has_success_and_the_stricter_scores(tmp_path: Path) -> None:
    benchmark = PlansBenchmark(written(tmp_path, line(("open_note", {"name": "Ideas"}))), TOOLBOX)
    item = benchmark.items()[0]
    attempt = Attempt(Plan(tuple(parse_plan('1. open_note(name="Idea")'))), Run(item.query))
    verdict = benchmark.score(item, attempt)
    assert verdict.correct
    assert verdict.scores == {"arguments_right": 0.0, "tool_recall": 1.0, "right_tools": 1.0}
    assert verdict.detail == 'name of open_note is "Idea", not "Ideas"'


def test_items_of_another_file_are_not_scored(tmp_path: Path) -> None:
    benchmark = PlansBenchmark(written(tmp_path, line()), TOOLBOX)
    with pytest.raises(ConfigurationError, match="no item 'other'"):
        benchmark.score(Item("other", "none", "?"), Attempt(Plan(), Run("?")))


def test_every_made_up_result_is_unique_to_its_call(tmp_path: Path) -> None:
    benchmark = PlansBenchmark(written(tmp_path, line()), TOOLBOX)
    arguments = {"name": "Sid Patel", "file_name": "a/report.pdf", "location": "Rome", "end_location": "Rome"}
    results = [benchmark.stub(tool, arguments, number) for tool in TOOLBOX for number in range(1, 40)]
    assert len({str(result) for result in results}) == len(results)
    assert benchmark.stub(TOOLBOX["get_email_address"], arguments, 3) == "sid.patel.3@example.com"
    assert benchmark.stub(TOOLBOX["open_and_get_file_path"], arguments, 3).endswith("/report.pdf")


def test_results_of_other_tools_have_the_type_that_they_say(tmp_path: Path) -> None:
    def population(city: str) -> int:
        """How many live there."""
        raise NotImplementedError

    def twins(city: str) -> list[str]:
        """Its twin cities."""
        raise NotImplementedError

    toolbox = Toolbox([population, twins, Tool.from_schema({"name": "look"})])
    benchmark = PlansBenchmark(written(tmp_path, line()), toolbox)
    assert benchmark.stub(toolbox["population"], {}, 7) == 10007
    assert benchmark.stub(toolbox["twins"], {}, 7) == ["<twins result 7>"]
    assert benchmark.stub(toolbox["look"], {}, 7) == "<look result 7>"


def test_a_plan_is_read_back_as_the_right_one(tmp_path: Path) -> None:
    plan = gold_of(tmp_path, ("get_phone_number", {"name": "A"}), ("send_sms", {"recipients": "$1"}))
    assert plan.tasks[1] == Task(2, "send_sms", {"recipients": Ref(1)})
