import json
from pathlib import Path
from typing import Any

import pytest

from plait.apps.evaluation._nestful import NestfulBenchmark
from plait.apps.evaluation._nestful_data import Call, plan_of
from plait.apps.evaluation._types import Attempt, Benchmark
from plait.errors import ConfigurationError
from plait.orchestrator import Run
from plait.planners import Plan, Ref, Template, parse_plan

SPECS: list[dict[str, Any]] = [
    {
        "name": "Find_Stop",
        "description": "Find a tram stop.",
        "host": "trams.example.com",
        "query_parameters": {"place": {"type": "string", "required": True, "description": "where"}},
        "output_parameters": {
            "stop": {"type": "object", "properties": {"id": {"type": "string"}, "zone": {"type": "float"}}},
            "Next Tram": {"type": "string"},
            "lines": {"type": "array", "items": {"type": "object", "properties": {"no": {"type": "string"}}}},
            "open": {"type": "boolean"},
        },
    },
    {
        "name": "Trips(Fast).Search",
        "query_parameters": {
            "from_id": {"type": "string", "required": True},
            "day": {"type": "Date (yyyy-mm-dd)", "required": False},
            "kind": {"description": "which", "default_value": "tram", "allowed_values": ["tram", "bus"]},
            "limit": {"type": "number", "default": 5, "optional": True},
            "note": {"type": "string", "enum": [], "default": None},
        },
        "output_parameters": {},
    },
    *({"name": f"Other_{i}", "query_parameters": {}, "output_parameters": {}} for i in range(20)),
]
SAMPLE = {
    "input": " Trams from the harbour ",
    "output": [
        {"name": "Find_Stop", "arguments": {"place": "Harbour"}, "label": "var1"},
        {
            "name": "Trips(Fast).Search",
            "arguments": {"from_id": "$var1.stop.id$", "day": "2026-11-20", "limit": 5},
            "label": "var2",
        },
        {"name": "var_result", "arguments": {"trips": "$var2$"}},
    ],
}
RIGHT = '1. Find_Stop(place="harbour")\n2. Trips_Fast_.Search(from_id=$1.stop.id, day="2026-11-20")'


def unpacked(folder: Path, samples: Any = None, specs: Any = SPECS, part: str = "executable") -> Path:
    where = folder / "data_v1" / part
    where.mkdir(parents=True, exist_ok=True)
    (where / f"{part}-data.json").write_text(json.dumps(samples or [SAMPLE]), encoding="utf-8")
    (where / f"{part}-spec.json").write_text(json.dumps(specs), encoding="utf-8")
    return folder


def attempt(text: str) -> Attempt:
    return Attempt(Plan(tuple(parse_plan(text))), Run("?"))


def test_samples_are_items_without_the_closing_call(tmp_path: Path) -> None:
    benchmark: Benchmark = NestfulBenchmark(unpacked(tmp_path))
    (item,) = benchmark.items()
    assert (item.id, item.category, item.query) == ("executable-0001", "executable", "Trams from the harbour")
    assert [call["name"] for call in item.gold] == ["Find_Stop", "Trips_Fast_.Search"]


def test_specifications_become_tools_that_tell_their_results_fields(tmp_path: Path) -> None:
    benchmark = NestfulBenchmark(unpacked(tmp_path))
    toolbox = benchmark.toolbox(benchmark.items()[0])
    assert toolbox["Find_Stop"].description == (
        'Find a tram stop. Returns {stop: {id: str, zone: float}, "Next Tram": str, '
        "lines: list[{no: str}], open: bool}"
    )
    assert toolbox["Trips_Fast_.Search"].signature == (
        'Trips_Fast_.Search(from_id: str, day?: str, kind: "tram" | "bus" = "tram", '
        "limit: float = 5, note?: str)"
    )


def test_a_prompt_offers_the_right_tools_among_others_and_always_the_same(tmp_path: Path) -> None:
    folder = unpacked(tmp_path, [SAMPLE, SAMPLE])
    first, second = (NestfulBenchmark(folder) for _ in range(2))
    one, two = first.items()
    names = first.toolbox(one).names
    assert len(names) == 10
    assert {"Find_Stop", "Trips_Fast_.Search"} <= set(names)
    assert second.toolbox(one).names == names
    assert first.toolbox(two).names != names
    assert len(NestfulBenchmark(folder, n_tools=1).toolbox(one)) == 2


def test_huge_results_are_told_only_as_deep_as_there_is_room(tmp_path: Path) -> None:
    deep = {f"field_{i}": {"type": "object", "properties": {"x" * 40: {"type": "string"}}} for i in range(60)}
    specs = [{**SPECS[0], "output_parameters": deep}, *SPECS[1:]]
    benchmark = NestfulBenchmark(unpacked(tmp_path, specs=specs))
    description = benchmark.toolbox(benchmark.items()[0])["Find_Stop"].description
    assert "field_59: dict" in description
    assert len(description) < 2000


def test_the_right_plan_is_right_by_all_measures(tmp_path: Path) -> None:
    benchmark = NestfulBenchmark(unpacked(tmp_path))
    verdict = benchmark.score(
        benchmark.items()[0], attempt(RIGHT.replace("harbour", "Harbour") + "\n3. join()")
    )
    assert verdict.correct
    assert verdict.scores["arguments_right"] == 1.0
    assert verdict.scores["f1_functions"] == 1.0
    # NESTFUL's own measures fill in no defaults: the limit of 5 is missing.
    assert verdict.scores["partial_accuracy"] == 0.5
    assert verdict.scores["full_accuracy"] == 0.0


def test_a_reference_to_another_field_is_a_wrong_argument(tmp_path: Path) -> None:
    benchmark = NestfulBenchmark(unpacked(tmp_path))
    verdict = benchmark.score(benchmark.items()[0], attempt(RIGHT.replace("$1.stop.id", "$1.stop.zone")))
    assert verdict.correct
    assert verdict.scores["arguments_right"] == 0.0
    assert verdict.detail == "from_id of Trips_Fast_.Search is $1.stop.zone, not $1.stop.id"


def test_made_up_results_have_the_fields_and_no_value_twice(tmp_path: Path) -> None:
    benchmark = NestfulBenchmark(unpacked(tmp_path))
    toolbox = benchmark.toolbox(benchmark.items()[0])
    first, second = (benchmark.stub(toolbox["Find_Stop"], {}, number) for number in (1, 2))
    assert first == {
        "stop": {"id": "id_1001", "zone": 1001002},
        "Next Tram": "next_tram_1003",
        "lines": [{"no": "no_1004"}],
        "open": True,
    }
    assert second["stop"] != first["stop"]
    assert benchmark.stub(toolbox["Trips_Fast_.Search"], {}, 3) == "trips_fast_.search_3001"


def test_references_are_read_with_their_paths_alone_or_in_text() -> None:
    calls = [
        Call(name="a", arguments={}, label="var1"),
        Call(
            name="b",
            arguments={
                "x": "$var1.author[0].id$",
                "y": "5 * $var1.Exchange Rate$",
                "z": ["$var1$"],
                "unclosed": "$var1.artist_id",
                "money": "$100-$200",
                "later": "$var9.x$",
                "n": 3,
            },
            label="var2",
        ),
    ]
    assert plan_of(calls).tasks[1].arguments == {
        "x": Ref(1, ("author", 0, "id")),
        "y": Template(("5 * ", Ref(1, ("Exchange Rate",)))),
        "z": [Ref(1)],
        "unclosed": Ref(1, ("artist_id",)),
        "money": "$100-$200",
        "later": "$var9.x$",
        "n": 3,
    }


def test_parts_are_categories(tmp_path: Path) -> None:
    unpacked(tmp_path)
    unpacked(tmp_path, part="complexfuncbench")
    benchmark = NestfulBenchmark(tmp_path, ("executable", "complexfuncbench"))
    assert [item.category for item in benchmark.items()] == ["executable", "complexfuncbench"]
    assert benchmark.fingerprint != NestfulBenchmark(tmp_path).fingerprint


def test_an_unknown_part_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no part 'v9'; choose from executable, sgd, glaive"):
        NestfulBenchmark(tmp_path, ("v9",))


def test_missing_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        NestfulBenchmark(tmp_path)


@pytest.mark.parametrize(
    ("samples", "specs", "problem"),
    [
        ([{"input": "x"}], SPECS, "executable-data.json is not as NESTFUL writes it: 0.output"),
        ([SAMPLE], [{"description": "x"}], "executable-spec.json is not as NESTFUL writes it: 0.name"),
        ([SAMPLE], SPECS[:1], "sample 1: executable-spec.json has no tool 'Trips_Fast_.Search'"),
        ([SAMPLE], [{"name": "join"}], "'join' cannot be the name of a tool"),
    ],
)
def test_data_in_another_form_is_refused(tmp_path: Path, samples: Any, specs: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        NestfulBenchmark(unpacked(tmp_path, samples, specs))
    assert problem in str(caught.value)


def test_data_that_is_no_json_is_refused(tmp_path: Path) -> None:
    unpacked(tmp_path)
    (tmp_path / "data_v1" / "executable" / "executable-data.json").write_text("[", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is no JSON"):
        NestfulBenchmark(tmp_path)
