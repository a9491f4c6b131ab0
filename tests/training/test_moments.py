from datetime import date, datetime, time, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.planners import resolve_moment
from plait.training._moments import (
    Said,
    clock,
    day_after,
    duration,
    join,
    moment,
    number_word,
    ordinal,
    say_clock,
    say_day,
    say_duration,
    say_span,
    with_clock_as_said,
)

TODAY = date(2026, 3, 4)  # a Wednesday
MANY = 400


def ways(say: object, *arguments: object) -> set[str]:
    said = [say(*arguments, Random(seed)) for seed in range(MANY)]  # type: ignore[operator]
    return {one.words if isinstance(one, Said) else one for one in said}


def test_numbers_are_said_as_words() -> None:
    said = [number_word(n) for n in (1, 12, 17, 20, 21, 45, 59)]
    assert said == ["one", "twelve", "seventeen", "twenty", "twenty-one", "forty-five", "fifty-nine"]


def test_ordinals_have_their_endings() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30)] == (
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "30th"]
    )


@pytest.mark.parametrize(
    ("at", "some", "never"),
    [
        (
            time(15),
            {"3 pm", "3:00 PM", "15:00", "three o'clock", "three o'clock in the afternoon"},
            {"3:00", "3 am"},
        ),
        (time(9, 30), {"9:30 am", "09:30", "half past nine"}, {"9:30 pm", "half past ten"}),
        (time(16, 45), {"4:45 pm", "16:45", "quarter to five", "four forty-five"}, {"quarter to four"}),
        (time(12), {"noon", "12 pm"}, {"12 am", "12 o'clock at night"}),
    ],
)
def test_a_time_of_day_is_said_in_many_ways(at: time, some: set[str], never: set[str]) -> None:
    said = ways(say_clock, at)
    assert some <= said
    assert not never & said


@pytest.mark.parametrize("hour", [6, 7, 8, 18, 19, 20, 21, 22])
def test_hours_that_could_be_of_the_morning_or_the_evening_always_say_which(hour: int) -> None:
    for words in ways(say_clock, time(hour)):
        marks = ("am", "pm", "a.m.", "p.m.", " in the ", " at night")
        says_which = any(mark in words.lower() for mark in marks)
        assert says_which or words.startswith((f"{hour:02}:", f"{hour}.", f"{hour}:"))


@pytest.mark.parametrize(
    ("days", "some"),
    [
        (0, {"today"}),
        (1, {"tomorrow"}),
        (2, {"the day after tomorrow", "on Friday", "on March 6"}),
        (6, {"on Tuesday", "next Tuesday", "Tuesday next week", "on the 10th"}),
        (7, {"next Wednesday", "in a week"}),
        (9, {"a week from Friday", "Friday week", "Friday next week"}),
        (14, {"in two weeks", "in 2 weeks", "in a fortnight"}),
        (28, {"on April 1", "on the first of next month"}),
    ],
)
def test_a_day_is_said_in_many_ways(days: int, some: set[str]) -> None:
    assert some <= ways(say_day, TODAY + timedelta(days=days), TODAY)


@given(st.integers(0, 400), st.integers(0, 3000))
def test_weekdays_and_dates_in_words_are_those_of_the_day(days: int, seed: int) -> None:
    day = TODAY + timedelta(days=days)
    words = say_day(day, TODAY, Random(seed)).words
    names = [f"{TODAY + timedelta(days=i):%A}" for i in range(7)]
    for name in names:
        if name in words:
            assert name == f"{day:%A}"
    if any(character.isdigit() for character in words) and " days" not in words and " weeks" not in words:
        assert str(day.day) in words or f"{day:%Y-%m-%d}" in words


@given(st.integers(0, 3000))
def test_moments_come_after_now_and_after_the_one_before(seed: int) -> None:
    random, now = Random(seed), datetime(2026, 3, 4, 17, 40)
    first = moment(now, random)
    second = moment(now, random, after=first.at)
    assert now < first.at < second.at
    assert resolve_moment(first.value, now) == f"{first.at:%Y-%m-%d %H:%M}"
    assert resolve_moment(second.value, now) == f"{second.at:%Y-%m-%d %H:%M}"


@given(st.integers(0, 400), st.integers(0, 3000), st.dates(date(2024, 1, 1), date(2028, 12, 31)))
def test_a_day_is_named_in_plans_so_that_it_is_that_day(days: int, seed: int, today: date) -> None:
    day = today + timedelta(days=days)
    said = say_day(day, today, Random(seed))
    assert resolve_moment(said.value, datetime.combine(today, time(12))) == f"{day:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("today", "today"),
        ("tomorrow", "tomorrow"),
        ("the day after tomorrow", "+2d"),
        ("on Friday", "Fri"),
        ("on March 6", "03-06"),
        ("in a week", "+1w"),
        ("next Wednesday", "Wed"),
        ("a week from Friday", "Fri+1w"),
        ("Friday next week", "Fri+1w"),
        ("Tuesday next week", "Tue"),
        ("in a fortnight", "+2w"),
        ("in two weeks", "+2w"),
        ("on the 10th", "10th"),
        ("on 2026-03-10", "2026-03-10"),
        ("on the first of next month", "1st"),
    ],
)
def test_plans_name_a_day_as_it_is_said(words: str, value: str) -> None:
    days = [TODAY + timedelta(days=n) for n in range(30)]
    said = {say_day(day, TODAY, Random(seed)) for day in days for seed in range(MANY)}
    assert {one.value for one in said if one.words == words} == {value}


def spans(start: datetime, end: time) -> set[str]:
    return {say_span(start, end, TODAY, Random(seed)).words for seed in range(2 * MANY)}


@pytest.mark.parametrize(
    ("start", "end", "some"),
    [
        (time(15), time(16, 30), {"from 3 to 4:30 pm", "15:00-16:30", "between 3pm and 4:30pm"}),
        (time(10), time(12), {"from 10 to 12", "from 10 am until noon", "10:00 to 12:00"}),
        (time(9), time(11, 30), {"from nine to half past eleven", "9-11:30", "from 9 to 11:30 am"}),
    ],
)
def test_a_stretch_of_a_day_is_said_in_many_ways(start: time, end: time, some: set[str]) -> None:
    said = spans(datetime.combine(TODAY + timedelta(days=1), start), end)
    assert {f"tomorrow {words}" for words in some} <= said
    assert any(words.endswith(" tomorrow") for words in said)


def test_in_the_evening_a_stretch_of_a_day_says_so() -> None:
    for words in spans(datetime.combine(TODAY + timedelta(days=1), time(19)), time(21)):
        assert any(mark in words for mark in ("pm", "19:00", "evening", "night"))


@given(st.integers(1, 400), st.integers(0, 3000))
def test_a_stretch_of_a_day_begins_when_it_says(days: int, seed: int) -> None:
    start = datetime.combine(TODAY, time(14)) + timedelta(days=days)
    said = say_span(start, time(15), TODAY, Random(seed))
    assert resolve_moment(said.value, datetime.combine(TODAY, time(9))) == f"{start:%Y-%m-%d %H:%M}"


def test_late_in_the_evening_there_still_is_a_moment() -> None:
    assert moment(datetime(2026, 3, 4, 23, 59), Random(1)).at > datetime(2026, 3, 4, 23, 59)


def test_a_part_of_the_day_is_said_once() -> None:
    said = {join(TODAY + timedelta(days=1), time(8), TODAY, Random(seed)).words for seed in range(MANY)}
    assert any(words.startswith("tomorrow morning at") for words in said)
    assert all(words.count("morning") <= 1 for words in said)


@pytest.mark.parametrize(
    ("minutes", "some"),
    [
        (30, {"half an hour", "30 minutes", "thirty minutes"}),
        (60, {"an hour"}),
        (90, {"an hour and a half"}),
        (150, {"two and a half hours"}),
        (15, {"a quarter of an hour"}),
    ],
)
def test_a_duration_is_said_in_many_ways(minutes: int, some: set[str]) -> None:
    assert some <= ways(say_duration, minutes)


def test_what_is_drawn_varies() -> None:
    assert len({clock(Random(seed)) for seed in range(MANY)}) > 40
    assert len({duration(Random(seed)) for seed in range(MANY)}) > 10
    assert len({day_after(TODAY, Random(seed)) for seed in range(MANY)}) > 20


@pytest.mark.parametrize(
    ("value", "words", "said"),
    [
        ("Fri 15:00", "on Friday at 3 pm", "Fri 3:00pm"),
        ("Fri 15:00", "three in the afternoon on friday", "Fri 3:00pm"),
        ("Fri 15:00", "friday 15:00", "Fri 15:00"),
        ("Fri 15:30", "Friday, 15.30 sharp", "Fri 15:30"),
        ("Fri 15:30+90m", "friday half past three, an hour and a half", "Fri 3:30pm+90m"),
        ("Fri 15:30+90m", "fri 1530", "Fri 15:30+90m"),
        ("tomorrow 09:30", "tomorrow at 9:30", "tomorrow 09:30"),
        ("tomorrow 09:30", "tomorrow at 9:30 a.m.", "tomorrow 9:30am"),
        ("tomorrow 09:30", "call 555-01093012 tomorrow at half nine", "tomorrow 9:30am"),
        ("03-05 12:00", "on March 5 at noon", "03-05 12:00"),
        ("03-05 12:00", "on March 5 at 12", "03-05 12:00pm"),
        ("03-05 00:00", "on March 5", "03-05 00:00"),
        ("+20m", "in twenty minutes", "+20m"),
        ("03-05", "on March 5", "03-05"),
    ],
)
def test_a_plan_has_a_time_of_day_as_the_request_says_it(value: str, words: str, said: str) -> None:
    assert with_clock_as_said(value, words) == said
    now = datetime(2026, 3, 4, 8, 0)
    assert resolve_moment(said, now) == resolve_moment(value, now)


@given(st.times(), st.randoms())
def test_however_a_time_is_said_it_means_the_same(at: time, random: Random) -> None:
    at = at.replace(second=0, microsecond=0)
    now, value = datetime.combine(TODAY, time(8)), f"Fri {at:%H:%M}"
    assert resolve_moment(with_clock_as_said(value, say_clock(at, random)), now) == resolve_moment(value, now)
