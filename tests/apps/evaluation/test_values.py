from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.apps.evaluation._values import has_perfect_matching, is_right, read_moment, with_defaults
from plait.planners import Ref, Template
from plait.tools import AnyType, ArrayType, BooleanType, NumberType, StringType, Tool, Type, parse_schema

ANY, TEXT, DATE_TIME = AnyType(), StringType(), StringType("date-time")


def right(gold: Any, value: Any, type_: Type = ANY, **options: bool) -> bool:
    return is_right(gold, value, type_, lambda k, m: k == m, **options)


@pytest.mark.parametrize(
    ("gold", "value", "type_"),
    [
        ("Sid Patel", " sid  PATEL ", TEXT),
        ("Straße", "STRASSE", TEXT),
        (60, "60", NumberType(integer=True)),
        ("60", 60, TEXT),
        (5, 5.0, NumberType()),
        (True, "true", BooleanType()),
        ("2026-11-20T15:00:00", "20 Nov 2026 3pm", DATE_TIME),
        ("2026-11-20 15:00", "2026-11-20T15:00", ANY),
        ("2026-11-20T15:00:00Z", "2026-11-20T16:00:00+01:00", DATE_TIME),
        ("2026-11-20", "Nov 20, 2026", StringType("date")),
        ("15:00", "3pm", StringType("time")),
        ("a@x.com", ["A@x.com"], ArrayType(TEXT)),
        (["a@x.com"], "a@x.com", ArrayType(TEXT)),
        ({"city": "Rome"}, {"city": "rome", "extra": 1}, ANY),
        (None, "anything", TEXT),
        (None, Ref(1), TEXT),
        (None, Template(("see ", Ref(1))), TEXT),
        (Ref(1), Ref(1), TEXT),
        (Ref(1), Ref(1, ("name",)), TEXT),
        (Ref(1, ("name",)), Ref(1, ("name",)), TEXT),
        (Template(("a ", Ref(1), Ref(2))), Template((Ref(2), " b ", Ref(1), Ref(1))), TEXT),
        (Template(("Summary: ", Ref(3))), Ref(3), TEXT),
        ([Ref(1)], Ref(1), ArrayType(TEXT)),
    ],
)
def test_what_means_the_same_is_right(gold: Any, value: Any, type_: Type) -> None:
    assert right(gold, value, type_)


@pytest.mark.parametrize(
    ("gold", "value", "type_"),
    [
        ("Sid", "Sid Patel", TEXT),
        ("007", "7", TEXT),
        (60, "sixty", NumberType()),
        (60, 61, NumberType()),
        (1, True, ANY),
        ("2026-11-20 15:00", "2026-11-20 15:01", DATE_TIME),
        ("2026-11-20T15:00:00", "2026-11-20T15:00:00Z", DATE_TIME),
        ("2026-11-20 15:00", "3pm", DATE_TIME),
        ("a@x.com", ["a@x.com", "b@x.com"], ArrayType(TEXT)),
        ([["a"], ["b"]], [["b"], ["a"]], ANY),
        ({"city": "Rome"}, {"town": "Rome"}, ANY),
        ({"city": "Rome"}, "Rome", ANY),
        (3, "sNaN", ANY),
        (3, "NaN", ANY),
        (None, "  ", TEXT),
        (None, [], ANY),
        (None, None, TEXT),
        (Ref(1), Ref(2), TEXT),
        (Ref(1), "$1", TEXT),
        (Ref(1), Template(("at ", Ref(1))), TEXT),
        (Ref(1, ("name",)), Ref(1), TEXT),
        (Template(("a ", Ref(1), Ref(2))), Template(("a ", Ref(1))), TEXT),
        (Template(("a ", Ref(1))), Template((Ref(1), Ref(2))), TEXT),
        (Template(("a ", Ref(1))), "a", TEXT),
    ],
)
def test_what_means_something_else_is_wrong(gold: Any, value: Any, type_: Type) -> None:
    assert not right(gold, value, type_)


def test_order_matters_only_in_ordered_lists() -> None:
    assert right(["a", Ref(1), "b"], ["b", "a", Ref(1)], ArrayType(TEXT), unordered=True)
    assert not right(["a", "a", "b"], ["a", "b", "b"], ArrayType(TEXT), unordered=True)
    assert not right([1.5, 2.5], [2.5, 1.5], ArrayType(NumberType()))


def test_free_text_is_any_text_that_uses_the_same_results() -> None:
    assert right("I am late", "running late, sorry", TEXT, free_text=True)
    assert right(Ref(1), Template(("Here: ", Ref(1))), TEXT, free_text=True)
    assert not right("I am late", " ", TEXT, free_text=True)
    assert not right(Ref(1), "Here it is", TEXT, free_text=True)
    assert not right("", "something", TEXT, free_text=True)


def test_left_out_arguments_get_their_defaults() -> None:
    tool = Tool.from_schema(
        {
            "name": "book",
            "parameters": {
                "properties": {
                    "who": {"type": "string"},
                    "n": {"type": "integer", "default": 2},
                    "at": {"type": "string"},
                },
                "required": ["who"],
            },
        }
    )
    assert with_defaults(tool, {"who": "Sid", "n": None}) == {"who": "Sid", "n": 2}
    assert with_defaults(tool, {"who": "Sid", "n": 5, "at": "x"}) == {"who": "Sid", "n": 5, "at": "x"}


def test_a_moment_must_be_named_completely() -> None:
    assert str(read_moment("20 Nov 2026 3pm")) == "2026-11-20 15:00:00"
    assert read_moment("tomorrow") is None
    assert read_moment("3pm") is None


@given(st.permutations(range(8)), st.lists(st.sets(st.integers(0, 7)), min_size=8, max_size=8))
def test_a_matching_that_exists_is_found(wanted: list[int], others: list[set[int]]) -> None:
    assert has_perfect_matching([{j} | more for j, more in zip(wanted, others, strict=True)])


def test_three_positions_cannot_share_two_options() -> None:
    assert not has_perfect_matching([{0, 1}, {0, 1}, {0, 1}, {0, 1, 2, 3}])


def test_objects_are_compared_by_the_types_of_their_fields() -> None:
    parsed, _ = parse_schema(
        {"type": "object", "properties": {"at": {"type": "string", "format": "date-time"}}}, tool="t"
    )
    assert right({"at": "2026-11-20 15:00"}, {"at": "20 Nov 2026 3pm"}, parsed)
