import dataclasses
import enum
import json
import time as clock
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, computed_field, model_serializer

from plait.tools import (
    AnyType,
    ArrayType,
    BooleanType,
    EnumType,
    Field,
    NumberType,
    ObjectType,
    StringType,
    Type,
    UnionType,
    to_jsonable,
    to_text,
)
from plait.tools._values import coerce

NULL = EnumType((None,))
TEXT = StringType()
INTEGER = NumberType(integer=True)
DAY, MOMENT, HOUR = StringType("date"), StringType("date-time"), StringType("time")
UNIT = EnumType(("c", "Fahrenheit", 1, True, None))
PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        (ArrayType(TEXT), "a", ["a"]),
        (ArrayType(TEXT), 1, ["1"]),
        (ArrayType(TEXT), ("a", "b"), ["a", "b"]),
        (ArrayType(TEXT), '["a", 1]', ["a", "1"]),
        (ArrayType(TEXT), "[draft] hello", ["[draft] hello"]),
        (ArrayType(TEXT), '{"a": 1}', ['{"a": 1}']),
        (ArrayType(TEXT), [], []),
        (ArrayType(TEXT), None, None),
        (ArrayType(AnyType()), {"a": 1}, [{"a": 1}]),
        (ArrayType(ArrayType(INTEGER)), ["[1]", 2], [[1], [2]]),
        (ArrayType(TEXT, (INTEGER,)), [" 1 ", 2], ["1", "2"]),
        (ObjectType((), AnyType()), '{"a": 1}', {"a": 1}),
        (ObjectType((), AnyType()), "{a}", "{a}"),
        (ObjectType((), AnyType()), "[1]", "[1]"),
        (ObjectType((), TEXT), {"a": 1}, {"a": "1"}),
        (ObjectType((Field("x", TEXT),)), {"x": 1, "y": 2}, {"x": "1", "y": 2}),
        (ObjectType((Field("x", TEXT),)), MappingProxyType({"x": 1}), {"x": "1"}),
        (NumberType(), " 1.5 ", "1.5"),
        (INTEGER, 7, 7),
        (TEXT, 7, "7"),
        (TEXT, 7.5, "7.5"),
        (TEXT, True, True),
        (TEXT, None, None),
        (TEXT, " as it is ", " as it is "),
        (TEXT, Path("/tmp/a.pdf"), str(Path("/tmp/a.pdf"))),
        (TEXT, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (TEXT, date(2024, 5, 1), "2024-05-01"),
        (TEXT, datetime(2024, 5, 1, 9), "2024-05-01T09:00:00"),
        (BooleanType(), "yes", "yes"),
        (AnyType(), "[1]", "[1]"),
        (UNIT, "C", "c"),
        (UNIT, " FAHRENHEIT ", "Fahrenheit"),
        (UNIT, "kelvin", "kelvin"),
        (UNIT, "1", 1),
        (UNIT, None, None),
        (UNIT, ["c"], ["c"]),
        (EnumType(("a", "A")), "A", "A"),
        (EnumType(("ab", "AB")), "Ab", "Ab"),
        (EnumType(("none", "daily")), None, "none"),
        (UnionType((ArrayType(TEXT), NULL)), "a", ["a"]),
        (UnionType((ArrayType(TEXT), NULL)), None, None),
        (UnionType((UNIT, NULL)), "C", "c"),
        (UnionType((TEXT, ArrayType(TEXT))), "a", "a"),
    ],
    ids=repr,
)
def test_a_value_is_given_the_shape_that_is_wanted(type_: Type, value: Any, expected: Any) -> None:
    assert coerce(type_, value) == expected


def test_an_enumeration_tells_true_from_one() -> None:
    assert coerce(UNIT, True) is True
    assert coerce(UNIT, 1) is not True
    assert coerce(EnumType((1, 0)), "True") == "True"


def test_null_is_left_out_only_where_it_cannot_be_meant() -> None:
    fields = (
        Field("required", TEXT),
        Field("optional", TEXT, required=False),
        Field("nullable", UnionType((TEXT, NULL)), required=False),
        Field("any", AnyType(), required=False),
    )
    given_ = {"required": None, "optional": None, "nullable": None, "any": None}
    assert coerce(ObjectType(fields), given_) == {"required": None, "nullable": None, "any": None}


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        (DAY, "2024-05-01", "2024-05-01"),
        (DAY, "May 1, 2024", "2024-05-01"),
        (DAY, "1 May 2024", "2024-05-01"),
        (DAY, "2024/05/01", "2024-05-01"),
        (DAY, "2024-05-01T09:30:00", "2024-05-01"),
        (MOMENT, "2024-05-01", "2024-05-01T00:00:00"),
        (MOMENT, "2024-05-01 9:30 pm", "2024-05-01T21:30:00"),
        (MOMENT, "2024-05-01T09:30:00Z", "2024-05-01T09:30:00+00:00"),
        (MOMENT, "2024-05-01 09:30 UTC", "2024-05-01T09:30:00+00:00"),
        (MOMENT, "2024-05-01T09:30:00+05:30", "2024-05-01T09:30:00+05:30"),
        (HOUR, "9:30 pm", "21:30:00"),
        (HOUR, "9am", "09:00:00"),
        (HOUR, "09:30:00Z", "09:30:00+00:00"),
        (DAY, datetime(2024, 5, 1, 9), date(2024, 5, 1)),
        (HOUR, datetime(2024, 5, 1, 9, tzinfo=UTC), time(9, tzinfo=UTC)),
        (MOMENT, date(2024, 5, 1), "2024-05-01"),
        (DAY, date(2024, 5, 1), date(2024, 5, 1)),
    ],
    ids=repr,
)
def test_dates_are_read_in_any_common_notation(type_: Type, value: Any, expected: Any) -> None:
    assert coerce(type_, value) == expected


def test_a_moment_keeps_its_zone() -> None:
    moment = datetime(2024, 5, 1, 9, tzinfo=PARIS)
    assert coerce(MOMENT, moment) is moment


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        *((DAY, text) for text in ("tomorrow", "Monday", "May 2024", "2024", "1 May", "", "x", "2024-02-30")),
        *((MOMENT, text) for text in ("3pm", "Friday 3pm", "2024-05-01 09:30 XYZ", "2024-05-01T09:30+99:99")),
        *((HOUR, text) for text in ("10", "Monday", "2024-05-01", "noon", "10:00+99:99", "10:00 XYZ")),
        (DAY, "2024-05-01" + " " * 10**6),
    ],
)
def test_a_date_that_leaves_something_to_guess_is_left_as_it_is(type_: Type, value: str) -> None:
    assert coerce(type_, value) == value


def test_the_zone_of_this_machine_is_known_by_name() -> None:
    name = clock.tzname[0]
    if name.isalpha():
        assert coerce(MOMENT, f"2024-01-01 09:30 {name}").startswith("2024-01-01T09:30:00+")


TYPES = st.recursive(
    st.sampled_from([AnyType(), BooleanType(), INTEGER, TEXT, DAY, MOMENT, HOUR, UNIT, NULL]),
    lambda inner: st.one_of(
        st.builds(lambda t: ArrayType(t), inner),
        st.builds(lambda t: ObjectType((Field("a", t, required=False),), t), inner),
        st.builds(lambda t: UnionType((t, NULL)), inner),
    ),
    max_leaves=4,
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.dates()
    | st.datetimes()
    | st.times(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "b"]) | st.integers(), inner),
    max_leaves=6,
)
DATE_LIKE = st.text("0123456789-/.:+ TZamp,JanFebMonUTC", max_size=30)


@settings(deadline=None)
@given(TYPES, VALUES | DATE_LIKE)
def test_coercion_never_raises(type_: Type, value: Any) -> None:
    coerce(type_, value)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from([DAY, MOMENT, HOUR]), st.datetimes(min_value=datetime(1, 1, 2)))
def test_what_is_iso_already_means_the_same_afterwards(type_: StringType, moment: datetime) -> None:
    reading = {"date": date.fromisoformat, "date-time": datetime.fromisoformat, "time": time.fromisoformat}
    text = {"date": moment.date(), "date-time": moment, "time": moment.time()}[type_.format or ""].isoformat()
    assert reading[type_.format or ""](coerce(type_, text)) == reading[type_.format or ""](text)


class Evil:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Plain:
    def __repr__(self) -> str:
        return "Plain()"


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Place:
    name: str
    at: datetime


class Model(BaseModel):
    x: int = 1


class FailingSerializer(BaseModel):
    x: int = 1

    @model_serializer
    def fail(self) -> Any:
        raise KeyError("x")


class FailingField(BaseModel):
    @computed_field  # type: ignore[prop-decorator]
    @property
    def y(self) -> int:
        raise KeyError("y")


def circle() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


def deep() -> list[Any]:
    inner: list[Any] = []
    for _ in range(100_000):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("value", "jsonable", "text"),
    [
        (None, None, "null"),
        (True, True, "true"),
        (7, 7, "7"),
        (2**100, 2**100, str(2**100)),
        (1.5, 1.5, "1.5"),
        ("", "", ""),
        ('é \n "x"', 'é \n "x"', 'é \n "x"'),
        ([1, "é"], [1, "é"], '[1, "é"]'),
        ((1, (2,)), [1, [2]], "[1, [2]]"),
        ({"a": {"b": None}}, {"a": {"b": None}}, '{"a": {"b": null}}'),
        ({1: 2, None: 3, (4, 5): 6}, {"1": 2, "None": 3, "4,5": 6}, '{"1": 2, "None": 3, "4,5": 6}'),
        (frozenset([1]), [1], "[1]"),
        (float("nan"), "NaN", "NaN"),
        ([float("inf"), -float("inf")], ["Infinity", "-Infinity"], '["Infinity", "-Infinity"]'),
        (b"ab", "YWI=", "YWI="),
        ([b"\xff"], ["_w=="], '["_w=="]'),
        (datetime(2024, 5, 1, 9, 30), "2024-05-01T09:30:00", "2024-05-01T09:30:00"),
        (
            datetime(2024, 5, 1, tzinfo=timezone(timedelta(hours=1))),
            "2024-05-01T00:00:00+01:00",
            "2024-05-01T00:00:00+01:00",
        ),
        ([date(2024, 5, 1), time(9)], ["2024-05-01", "09:00:00"], '["2024-05-01", "09:00:00"]'),
        (timedelta(hours=1), "PT1H", "PT1H"),
        (
            Place("a", datetime(2024, 5, 1)),
            {"name": "a", "at": "2024-05-01T00:00:00"},
            '{"name": "a", "at": "2024-05-01T00:00:00"}',
        ),
        ([Model(), Model(x=2)], [{"x": 1}, {"x": 2}], '[{"x": 1}, {"x": 2}]'),
        (Colour.RED, "red", "red"),
        (Decimal("1.50"), "1.50", "1.50"),
        (Path("a/b"), str(Path("a/b")), str(Path("a/b"))),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001"),
        (Plain(), "Plain()", "Plain()"),
        ({"a": [Plain()]}, {"a": ["Plain()"]}, '{"a": ["Plain()"]}'),
        (np.array([1, 2]), "array([1, 2])", "array([1, 2])"),
        (ValueError("x"), "ValueError('x')", "ValueError('x')"),
        (int, "<class 'int'>", "<class 'int'>"),
        (circle(), "[[...]]", "[[...]]"),
        (deep(), "<list>", "<list>"),
        (Evil(), "<Evil>", "<Evil>"),
        ([1, Evil()], [1, "<Evil>"], '[1, "<Evil>"]'),
        ({Evil(): 1}, {"<Evil>": 1}, '{"<Evil>": 1}'),
        (FailingSerializer(), "FailingSerializer(x=1)", "FailingSerializer(x=1)"),
        (FailingField(), "<FailingField>", "<FailingField>"),
        (10**5000, "<int>", "<int>"),
        ("a\udcffb", "'a\\udcffb'", "a\\udcffb"),
        (["a\udcffb"], "['a\\udcffb']", "['a\\udcffb']"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_result_has_a_json_form_and_a_text(value: Any, jsonable: Any, text: str) -> None:
    assert to_jsonable(value) == jsonable
    assert to_text(value) == text
    json.dumps(to_jsonable(value), allow_nan=False).encode()
    to_text(value).encode()


def test_ten_megabytes_stay_what_they_are() -> None:
    text = "é" * 5 * 10**6
    assert to_text(text) is text
    assert to_jsonable([text]) == [text]


@settings(deadline=None)
@given(VALUES)
def test_every_result_can_be_written_as_json(value: Any) -> None:
    assert json.loads(json.dumps(to_jsonable(value), allow_nan=False)) == to_jsonable(value)
    assert isinstance(to_text(value), str)
