from plait.apps.evaluation._calls import gold_calls, planned_calls
from plait.apps.evaluation._types import PlannedCall


def _planned(*arguments: dict) -> list[PlannedCall]:
    return [PlannedCall(id=k, tool=f"t{k}", arguments=a) for k, a in enumerate(arguments, 1)]


def test_references_alone_in_paths_in_texts_and_in_lists_are_needs() -> None:
    *_, last = planned_calls(
        _planned({}, {}, {}, {}, {"a": "$1", "b": "$2.name[0]", "c": "both ${3}!", "d": [{"e": "$4"}]})
    )
    assert last.needs == {1, 2, 3, 4}
    assert str(last) == '5. t5(a=$1, b=$2.name[0], c="both ${3}!", d=[{"e": $4}])'


def test_an_escaped_dollar_and_an_unknown_number_are_text() -> None:
    *_, last = planned_calls(_planned({}, {"a": "\\$1", "b": "costs \\${1}", "c": "$9", "d": "$2"}))
    assert last.needs == frozenset()
    assert str(last) == '2. t2(a="$1", b="costs ${1}", c="$9", d="$2")'


def test_in_a_right_plan_a_reference_may_stand_anywhere_in_a_text() -> None:
    calls = gold_calls([{"tool": "a", "args": {}}, {"tool": "b", "args": {"x": "see $1, and $2", "y": None}}])
    assert calls is not None
    assert calls[1].needs == {1}
    assert str(calls[1]) == '2. b(x="see $1, and $2", y=null)'


def test_labels_of_nested_calls_are_references() -> None:
    calls = gold_calls(
        [
            {"name": "a", "arguments": {"x": 1}, "label": "$var_1"},
            {"name": "b", "arguments": {"y": "$var_1.result$"}, "label": "$var_2"},
        ]
    )
    assert calls is not None
    assert [call.needs for call in calls] == [frozenset(), {1}]
    assert str(calls[1]) == "2. b(y=$var_1.result$)"


def test_an_empty_right_plan_is_a_plan() -> None:
    assert gold_calls([]) == ()


def test_what_is_no_list_of_calls_is_no_plan() -> None:
    for gold in (
        None,
        "Paris",
        7,
        {"tool": "a"},
        [{"f": {"x": [1]}}],
        [{"tool": 1}],
        [{"tool": "a", "args": [1]}],
    ):
        assert gold_calls(gold) is None
