from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.tools.assistant._dates import read_moment

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 21, 13, 0, tzinfo=BERLIN)  # a Saturday

PHRASES = {
    # the day alone begins at midnight
    "today": "2026-11-21T00:00",
    "tomorrow": "2026-11-22T00:00",
    "the day after tomorrow": "2026-11-23T00:00",
    "yesterday": "2026-11-20T00:00",
    # weekdays: the next to come; "next" means in the week after this one
    "Tuesday": "2026-11-24T00:00",
    "on Saturday": "2026-11-28T00:00",
    "by Friday": "2026-11-27T00:00",
    "this Saturday": "2026-11-21T00:00",
    "this Sunday": "2026-11-22T00:00",
    "next Sunday": "2026-11-29T00:00",
    "next Tuesday": "2026-11-24T00:00",
    "coming Friday": "2026-11-27T00:00",
    "Tuesday next week": "2026-11-24T00:00",
    "next week on Thursday": "2026-11-26T00:00",
    "a week on Tuesday": "2026-12-01T00:00",
    "a week from Friday": "2026-12-04T00:00",
    "Tuesday week": "2026-12-01T00:00",
    "Saturday at 3pm": "2026-11-21T15:00",
    "Saturday at 10 am": "2026-11-28T10:00",
    # times in words
    "next Tuesday at half past two": "2026-11-24T14:30",
    "tomorrow at half past nine": "2026-11-22T09:30",
    "tomorrow at a quarter past three": "2026-11-22T15:15",
    "quarter to five tomorrow": "2026-11-22T16:45",
    "ten to nine on Monday": "2026-11-23T08:50",
    "twenty past seven in the evening tomorrow": "2026-11-22T19:20",
    "twenty-five past 8 tomorrow morning": "2026-11-22T08:25",
    "Monday at eight thirty": "2026-11-23T08:30",
    "Monday at seven fifteen pm": "2026-11-23T19:15",
    "Friday at 2 o'clock": "2026-11-27T14:00",
    "Friday, 11 o'clock": "2026-11-27T11:00",
    "noon tomorrow": "2026-11-22T12:00",
    "tomorrow at midday": "2026-11-22T12:00",
    # times in figures
    "tomorrow at 2:30": "2026-11-22T14:30",
    "tomorrow at 02:30": "2026-11-22T02:30",
    "tomorrow 14:30": "2026-11-22T14:30",
    "tomorrow at 2.30 p.m.": "2026-11-22T14:30",
    "12am tomorrow": "2026-11-22T00:00",
    "12 pm tomorrow": "2026-11-22T12:00",
    "tomorrow at 8 in the evening": "2026-11-22T20:00",
    "tomorrow at 4 in the morning": "2026-11-22T04:00",
    # parts of the day
    "tonight": "2026-11-21T20:00",
    "tonight at 8": "2026-11-21T20:00",
    "tomorrow morning": "2026-11-22T09:00",
    "Monday afternoon": "2026-11-23T14:00",
    "this evening": "2026-11-21T18:00",
    "this evening at 7:30": "2026-11-21T19:30",
    # a time alone is the next to come
    "5pm": "2026-11-21T17:00",
    "at 9": "2026-11-22T09:00",
    "half past twelve": "2026-11-22T12:30",
    "midnight": "2026-11-22T00:00",
    # from now on
    "in 20 minutes": "2026-11-21T13:20",
    "in half an hour": "2026-11-21T13:30",
    "in an hour and a half": "2026-11-21T14:30",
    "in two hours and 15 minutes": "2026-11-21T15:15",
    "3 hours from now": "2026-11-21T16:00",
    "right now": "2026-11-21T13:00",
    "two weeks from Monday": "2026-12-07T00:00",
    "in three days": "2026-11-24T00:00",
    "in a week at noon": "2026-11-28T12:00",
    "two weeks from tomorrow": "2026-12-06T00:00",
    "in a fortnight": "2026-12-05T00:00",
    "in 3 months": "2027-02-21T00:00",
    # dates
    "24 November at 2pm": "2026-11-24T14:00",
    "November 24th, 2 pm": "2026-11-24T14:00",
    "Nov. 20": "2027-11-20T00:00",
    "the 24th at half past two": "2026-11-24T14:30",
    "on the 3rd at noon": "2026-12-03T12:00",
    "the 5th of next month": "2026-12-05T00:00",
    "the first of December": "2026-12-01T00:00",
    "3 January 2028 at 09:15": "2028-01-03T09:15",
    "Friday the 27th at 10": "2026-11-27T10:00",
    "Thursday, 26 November, at 10:00": "2026-11-26T10:00",
    "2026-12-24 at half past six": "2026-12-24T18:30",
    "December 1 at 12": "2026-12-01T12:00",
    "29 February": "2028-02-29T00:00",
    # counted in a month
    "the last Friday of November": "2026-11-27T00:00",
    "the first Monday in December at 9": "2026-12-07T09:00",
    "the second Tuesday of next month": "2026-12-08T00:00",
    "the last day of the month": "2026-11-30T00:00",
    "end of next month": "2026-12-31T00:00",
}
UNREADABLE = [
    *("", "someday", "soon", "next week", "this weekend", "after lunch", "Friday the 14th of November 2026"),
    *(
        "31 February",
        "the 32nd",
        "25:00",
        "tomorrow at 13 pm",
        "tomorrow at 2:75",
        "quarter past",
        "in",
        "at",
    ),
    *(
        "tomorrow Tuesday",
        "Monday Tuesday",
        "3 4 5",
        "tomorrow at 3 at 4",
        "midnight on Tuesday",
        "2pm morning",
    ),
    *(
        "11/12",
        "every Tuesday",
        "in 0.5 hours",
        "not tomorrow",
        "tomorrow or Monday",
        "the sixth Friday of November",
    ),
    *(
        "in two weeks on Monday",
        "Monday in two weeks",
        "this Saturday at 9 am",
        "now tomorrow",
        "by",
        "by by 5pm",
    ),
    *("in 99999999 days", "in 9999999999 minutes", "30 February 2028 at noon", "x" * 500),
]


@pytest.mark.parametrize("phrase", PHRASES)
def test_words_mean_a_moment_from_now(phrase: str) -> None:
    moment = read_moment(phrase, NOW)
    assert moment is not None
    assert moment.replace(tzinfo=None).isoformat(timespec="minutes") == PHRASES[phrase]
    assert read_moment(f"  {phrase.upper()} ", NOW) == moment


@pytest.mark.parametrize("phrase", UNREADABLE)
def test_what_is_not_certain_is_not_guessed(phrase: str) -> None:
    assert read_moment(phrase, NOW) is None


@pytest.mark.parametrize(
    ("today", "phrase", "meant"),
    [
        (
            "2026-11-23",
            "next Tuesday",
            "2026-12-01",
        ),  # a Monday; tomorrow would be "tomorrow" or "this Tuesday"
        ("2026-11-23", "this Tuesday", "2026-11-24"),
        ("2026-11-23", "Monday", "2026-11-30"),
        ("2026-11-22", "next Monday", "2026-11-23"),  # a Sunday
        ("2026-12-31", "tomorrow", "2027-01-01"),
        ("2027-01-31", "in a month", "2027-02-28"),
        ("2026-12-15", "the first Monday of next month", "2027-01-04"),
        ("2026-12-15", "the 5th of next month", "2027-01-05"),
    ],
)
def test_the_day_that_it_is_matters(today: str, phrase: str, meant: str) -> None:
    moment = read_moment(phrase, datetime.fromisoformat(f"{today}T10:00").replace(tzinfo=BERLIN))
    assert moment is not None
    assert moment.date().isoformat() == meant


def test_hours_are_counted_through_a_change_of_the_clocks() -> None:
    before = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).astimezone(BERLIN)  # 02:30, for the first time
    moment = read_moment("in 2 hours", before)
    assert moment is not None
    assert moment.astimezone(UTC) - before.astimezone(UTC) == timedelta(hours=2)
    assert (moment.hour, moment.minute) == (3, 30)


def test_a_time_alone_may_follow_another_moment() -> None:
    start = datetime(2026, 11, 24, 14, 30)
    for phrase, end in (("half past three", "15:30"), ("16:00", "16:00"), ("noon", "12:00")):
        moment = read_moment(phrase, NOW, after=start)
        assert moment is not None
        assert f"{moment:%H:%M}" == end
        assert moment.replace(tzinfo=None) > start
    tomorrow = read_moment("tomorrow at 3", NOW, after=start)
    assert tomorrow is not None
    assert tomorrow.day == 22


@given(
    st.lists(st.sampled_from([*" ".join(PHRASES).split(), "99", "-", "of", "ago"]), max_size=7).map(" ".join)
    | st.text()
)
def test_no_text_makes_it_fail(text: str) -> None:
    moment = read_moment(text, NOW)
    assert moment is None or 1900 <= moment.year <= 2200
