from typing import Any

import pytest

from plait.apps.evaluation._nestful_data import Call, plan_of
from plait.apps.evaluation._nestful_metrics import NestfulScores, calls_of, official_scores
from plait.planners import Plan, Ref, Task, Template


def call(name: str, label: str = "", **arguments: Any) -> Call:
    return Call(name=name, arguments=arguments, label=label or None)


GOLD = [call("find", "var1", q="x"), call("book", "var2", id="$var1.id$", n=2)]


def test_a_sequence_equals_itself() -> None:
    assert official_scores([(GOLD, GOLD)]) == NestfulScores(1.0, 1.0, 1.0, 1.0)


def test_references_are_compared_by_tool_and_field_whatever_the_labels() -> None:
    other = [call("find", "var7", q="x"), call("book", "var9", id="$var7.id$", n=2)]
    assert official_scores([(GOLD, other)]).full_accuracy == 1.0
    assert (
        official_scores([(GOLD, [other[0], call("book", "var9", id="$var7.no$", n=2)])]).full_accuracy == 0.0
    )


def test_partial_accuracy_aligns_calls_by_name_before_it_compares_positions() -> None:
    # find and book are aligned, pay stands alone: two of three positions are right.
    assert official_scores([(GOLD, [*GOLD, call("pay")])]).partial_accuracy == pytest.approx(2 / 3)
    assert official_scores([(GOLD, GOLD[:1])]).partial_accuracy == 0.5
    # Of equal length, position by position.
    assert official_scores([(GOLD, GOLD[::-1])]).partial_accuracy == 0.0
    assert official_scores([(GOLD, [])]).partial_accuracy == 0.0


def test_function_f1_is_the_mean_over_the_right_names_of_the_whole_set() -> None:
    pairs = [([call("a")], [call("a")]), ([call("a"), call("b")], [call("c")])]
    # a: precision 1, recall 1/2; b: 0; c is right nowhere and does not count.
    assert official_scores(pairs).f1_functions == pytest.approx((2 / 3 + 0) / 2)


def test_parameter_f1_takes_the_last_call_of_each_tool() -> None:
    gold = [call("a", x=1), call("a", x=2)]
    assert official_scores([(gold, [call("a", x=2)])]).f1_parameters == 1.0
    assert official_scores([(gold, [call("a", x=1)])]).f1_parameters == 0.0


def test_values_of_another_type_print_alike() -> None:
    assert official_scores([([call("a", x=5)], [call("a", x="5")])]).full_accuracy == 1.0


def test_nothing_scores_nothing() -> None:
    assert official_scores([]) == NestfulScores(0.0, 0.0, 0.0, 0.0)


def test_a_plan_is_written_as_nestful_writes_it() -> None:
    plan = Plan(
        (
            Task(1, "find", {"q": "x"}),
            Task(
                2,
                "book",
                {
                    "a": Ref(1, ("author", 0, "id")),
                    "b": Template(("5 * ", Ref(1, ("Rate",)))),
                    "c": [Ref(1)],
                    "d": 2,
                },
            ),
        )
    )
    written = calls_of(plan)
    assert written[1].arguments == {
        "a": "$var1.author[0].id$",
        "b": "5 * $var1.Rate$",
        "c": ["$var1$"],
        "d": 2,
    }
    assert plan_of(written) == plan


def test_numbers_with_a_common_beginning_are_told_apart_where_they_are_compared() -> None:
    many = [call(f"t{i}", f"var{i}") for i in range(1, 11)]
    gold = [*many, call("last", "var11", x="$var10.id$")]
    assert official_scores([(gold, [*many, call("last", "var11", x="$var1.id$")])]).full_accuracy == 0.0
