"""Days, times of day and durations as people say them, with what they mean and how a plan has them.

A plan names a day as the request does, where that leaves nothing to be reckoned; see
:func:`~plait.planners.resolve_moment`.

What a phrase means never depends on taste: hours without "am" or "pm" are said only where nobody would
take them otherwise, and a weekday is "this" one in the same week and "next" in the following one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from random import Random

_NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = {20: "twenty", 30: "thirty", 40: "forty", 50: "fifty"}
_PLAINLY_SPOKEN = 0.4
"""How often it is "four thirty" rather than "half past four"."""
_OPEN_HOURS = (9, 10, 11, 13, 14, 15, 16, 17)
"""Hours that may be said without the half of the day: nobody meets at three in the night."""


@dataclass(frozen=True, slots=True)
class Said:
    """Words, and what they mean."""

    words: str
    value: str
    """As a plan in the relative dialect has it, such as "Fri" or "03-05"."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A day with a time, as said."""

    words: str
    value: str
    """As a plan in the relative dialect has it, such as "Fri 15:00"."""
    at: datetime


def number_word(n: int) -> str:
    """``n`` in words, from 1 to 59: "forty-five"."""
    if n < len(_NUMBERS):
        return _NUMBERS[n]
    tens, rest = n - n % 10, n % 10
    return _TENS[tens] + (f"-{_NUMBERS[rest]}" if rest else "")


def say_clock(at: time, random: Random) -> str:
    """A time of day, without a preposition: "3 pm", "half past nine in the morning", "17:45"."""
    hour, minute = at.hour, at.minute
    short, half = hour % 12 or 12, "am" if hour < 12 else "pm"
    digits = f"{short}:{minute:02}" if minute else f"{short}"
    ways: list[tuple[int, str]] = [
        (4, f"{digits} {half}"),
        (4, f"{digits}{half}"),
        (1, f"{digits} {half[0]}.m."),
        (2, f"{short}:{minute:02} {half.upper()}"),
        (1, f"{digits}{half.upper()}"),
        (4, f"{hour}:{minute:02}" if hour >= 13 or hour in (10, 11) else f"{hour:02}:{minute:02}"),
        (1, f"{hour:02}:{minute:02}"),
        (2, f"{_spoken(at, random)} {_part_of_day(hour)}"),
    ]
    if hour >= 13:
        ways.append((1, f"{hour}.{minute:02}"))
    if hour in _OPEN_HOURS:
        ways.append((3, _spoken(at, random)))
        ways.append((1, digits if minute else f"{short} o'clock"))
    if (hour, minute) == (12, 0):
        ways = [(3, "noon"), (1, "12 noon"), (1, "midday"), (1, "12 pm"), (1, "12:00")]
    return random.choices([way for _, way in ways], [weight for weight, _ in ways])[0]


def _spoken(at: time, random: Random) -> str:
    hour, minute = at.hour % 12 or 12, at.minute
    if minute == 0:
        return f"{number_word(hour)} o'clock"
    if minute in (15, 30, 45) and random.random() < _PLAINLY_SPOKEN:
        return f"{number_word(hour)} {number_word(minute)}"
    if minute == 15:
        return f"quarter past {number_word(hour)}"
    if minute == 30:
        return f"half past {number_word(hour)}"
    if minute == 45:
        return f"quarter to {number_word(hour % 12 + 1)}"
    return f"{number_word(hour)} {number_word(minute) if minute >= 10 else f'oh {number_word(minute)}'}"


def _part_of_day(hour: int) -> str:
    if hour < 12:
        return "in the morning"
    return "in the afternoon" if hour < 18 else "in the evening" if hour < 22 else "at night"


def clock(random: Random) -> time:
    """A time at which people do things."""
    hour = random.choices(range(6, 23), (1, 3, 5, 8, 8, 7, 6, 5, 7, 8, 8, 6, 6, 6, 5, 2, 1))[0]
    minute = random.choices((0, 30, 15, 45, 10, 20, 40, 50, 5), (40, 25, 9, 9, 3, 3, 3, 3, 2))[0]
    return time(hour, minute)


def say_day(day: date, today: date, random: Random) -> Said:
    """A day from today on, with its preposition: "tomorrow", "on the 14th", "next Tuesday"."""
    n, name = (day - today).days, f"{day:%a}"
    ways: list[tuple[int, str, str]] = list(_dates(day, today))
    if n == 0:
        ways = [(1, "today", "today")]
    elif n == 1:
        ways = [(24, "tomorrow", "tomorrow"), (1, "tmrw", "tomorrow"), *ways[:1]]
    elif n == 2:
        ways += [(5, "the day after tomorrow", "+2d"), (1, "in two days", "+2d")]
    if 2 <= n <= 6:
        this = "this" if today.weekday() < day.weekday() else "next"
        days = random.choice((str(n), number_word(n)))
        ways += [(14, f"on {day:%A}", name), (5, f"{day:%A}", name), (4, f"{this} {day:%A}", name)]
        ways += [(1, f"on {name}", name), (1, name, name), (2, f"in {days} days", f"+{n}d")]
        ways += [(1, f"this coming {day:%A}", name)]
        if this == "next":
            ways += [(3, f"{day:%A} next week", name), (1, f"next week on {day:%A}", name)]
    elif n == 7:
        ways += [
            (8, f"next {day:%A}", name),
            (4, "in a week", "+1w"),
            (4, "a week from today", "+1w"),
            (2, f"{day:%A} next week", name),
        ]
    elif 8 <= n <= 13:
        ways += [(3, f"a week from {day:%A}", f"{name}+1w"), (3, f"{day:%A} week", f"{name}+1w")]
        if today.weekday() < day.weekday():
            ways += [(4, f"{day:%A} next week", f"{name}+1w"), (2, f"next week {day:%A}", f"{name}+1w")]
    elif n in (14, 21):
        weeks = random.choice((str(n // 7), number_word(n // 7)))
        value = f"+{n // 7}w"
        ways += [(4, f"in {weeks} weeks", value), (2, f"{weeks} weeks from today", value)]
    if n == 14:
        ways += [(2, "in a fortnight", "+2w"), (1, "a fortnight from today", "+2w")]
    return random.choices(
        [Said(words, value) for _, words, value in ways], [weight for weight, _, _ in ways]
    )[0]


def _dates(day: date, today: date) -> list[tuple[int, str, str]]:
    month, short, d, value = f"{day:%B}", f"{day:%b}", day.day, f"{day:%m-%d}"
    if day >= _a_year_after(today):
        return [
            (1, f"on {day:%Y-%m-%d}", f"{day:%Y-%m-%d}"),
            (2, f"on {month} {d}, {day.year}", f"{day:%Y-%m-%d}"),
        ]
    ways = [
        (3, f"on {month} {d}", value),
        (2, f"on {d} {month}", value),
        (2, f"on {month} {ordinal(d)}", value),
        (2, f"on the {ordinal(d)} of {month}", value),
        (1, f"on {short} {d}", value),
        (1, f"{d} {short}", value),
        (1, f"{short} {d}", value),
        (1, f"{month} {ordinal(d)}", value),
        (1, f"on {day:%A}, {month} {d}", value),
        (1, f"on {day:%a} {d} {short}", value),
        (1, f"on {day:%Y-%m-%d}", f"{day:%Y-%m-%d}"),
        (1, f"on {month} {d}, {day.year}", f"{day:%Y-%m-%d}"),
    ]
    if d > 12:
        ways += [(1, f"on {d}.{day.month}.", value), (1, f"on {d}/{day.month:02}", value)]
        ways += [(1, f"on {day.month}/{d}", value)]
    if 0 < (day - today).days < 28 and (day.month == today.month or d < today.day):
        ways.append((4, f"on the {ordinal(d)}", ordinal(d)))
    if d == 1 < today.day and (day - today).days < 31:
        ways += [(12, "on the first of next month", "1st"), (4, "on the 1st of next month", "1st")]
    return ways


def _a_year_after(today: date) -> date:
    """The first day that month and day do not tell from one before."""
    return today.replace(year=today.year + 1, day=min(today.day, 28))


def ordinal(n: int) -> str:
    """An English ordinal: "1st", "22nd", "13th"."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def day_after(first: date, random: Random) -> date:
    """A day from ``first`` on, mostly a near one."""
    n = random.choices(
        (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 14, 20, 30, 60, 120), (12, 6, 5, 5, 4, 4, 4, 1, 2, 1, 2, 1, 2, 1, 1)
    )[0]
    if n >= 20:
        n += random.randrange(-6, 7)
    return first + timedelta(days=n)


def moment(now: datetime, random: Random, *, after: datetime | None = None) -> Moment:
    """A day with a time from ``now`` on, later than ``after``."""
    ways: list[tuple[int, Callable[[datetime, Random], Moment]]] = [
        (16, _day_and_clock),
        (3, _today),
        (2, _soon),
    ]
    while True:
        way = random.choices([way for _, way in ways], [weight for weight, _ in ways])[0]
        found = way(now, random)
        if found.at > (after or now) and found.at > now:
            return found
        if after is not None:
            later = _day_and_clock(now, random, first=after.date())
            if later.at > after:
                return later


def say_span(start: datetime, end: time, today: date, random: Random) -> Moment:
    """A stretch of a day: "on Friday from 7 to 11:30", "14:00-15:30 tomorrow".

    Args:
        start: when it begins.
        end: when on that day it ends.
        today: the day of the request.
        random: decides how.
    """
    said = say_day(start.date(), today, random)
    on, value = said.words, f"{said.value} {start:%H:%M}"
    between = _say_clocks(start.time(), end, random)
    if _takes_part(on, start.date()) and not _NAMES_HALF.search(between) and random.random() < 0.3:
        return Moment(f"{on} {_part(start.hour, random)} {between}", value, start)
    ways = (f"{on} {between}", f"{between} {on}", f"{on}, {between}")
    return Moment(random.choices(ways, (10, 4, 2))[0], value, start)


_NAMES_HALF = re.compile(r"[ap]\.?m\b|noon| in the | at night|\b(?:1[3-9]|2\d)[:.]|\b0\d:", re.IGNORECASE)


def _say_clocks(start: time, end: time, random: Random) -> str:
    """Two times of one day: "from 3 to 4:30 pm", "between nine and half past ten"."""
    first, last = _halves(start), _halves(end)
    same = first[1] == last[1]
    close = random.choice(("", " "))
    a, b = first[0], f"{last[0]}{close}{last[1]}"
    ways: list[tuple[int, str, str]] = [
        (5, f"{start:%H:%M}", f"{end:%H:%M}"),
        (3 if same else 6, f"{a}{close}{first[1]}", b),
        (5 * same, a, b),
        (2 * same, _spoken(start, random), f"{_spoken(end, random)} {_part_of_day(end.hour)}"),
    ]
    if start.hour in _OPEN_HOURS or (start.hour in (7, 8) and end.hour <= 12):
        ways += [(5, a, last[0]), (3, _bare(start, random), _bare(end, random))]
    if end == time(12):
        ways.append((4, f"{a}{close}{first[1]}", "noon"))
    weights = [weight for weight, _, _ in ways]
    _, one, other = random.choices(ways, weights)[0]
    links = ["from {} to {}"] * 5 + [
        "from {} until {}",
        "from {} till {}",
        "between {} and {}",
        "{} to {}",
    ] * 2
    if one[0].isdigit() and other[0].isdigit():
        links += ["{}-{}"] * 3 + ["{} - {}", "{}\u2013{}"]
    return random.choice(links).format(one, other)


def _halves(at: time) -> tuple[str, str]:
    """A time of day in digits, and its half of the day."""
    hour = at.hour % 12 or 12
    return f"{hour}:{at.minute:02}" if at.minute else f"{hour}", "am" if at.hour < 12 else "pm"


def _bare(at: time, random: Random) -> str:
    return _spoken(at, random).removesuffix(" o'clock")


def _day_and_clock(now: datetime, random: Random, *, first: date | None = None) -> Moment:
    day, at = day_after(first or now.date(), random), clock(random)
    said = join(day, at, now.date(), random)
    return Moment(said.words, said.value, datetime.combine(day, at))


def join(day: date, at: time, today: date, random: Random) -> Said:
    """A day and a time in one phrase: "on Friday at 3 pm", "at noon tomorrow"."""
    said, o_clock = say_day(day, today, random), say_clock(at, random)
    on, value = said.words, f"{said.value} {at:%H:%M}"
    if _takes_part(on, day) and at.hour != 12 and random.random() < 0.15:
        return Said(f"{on} {_part(at.hour, random)} at {_without_part(o_clock)}", value)
    ways = (f"{on} at {o_clock}", f"at {o_clock} {on}", f"{on}, {o_clock}", f"{on} {o_clock}")
    return Said(random.choices(ways, (10, 4, 2, 2))[0], value)


def _takes_part(on: str, day: date) -> bool:
    """Whether a part of the day may follow: "on Friday evening"."""
    return on == "tomorrow" or on.removeprefix("on ") == f"{day:%A}"


def _part(hour: int, random: Random) -> str:
    parts = {range(5, 12): "morning", range(12, 18): "afternoon", range(18, 22): "evening"}
    part = next((name for hours, name in parts.items() if hour in hours), "night")
    return "night" if part == "evening" and random.random() < 0.2 else part


def _without_part(words: str) -> str:
    for part in (" in the morning", " in the afternoon", " in the evening", " at night"):
        words = words.removesuffix(part)
    return words


def _today(now: datetime, random: Random) -> Moment:
    at = clock(random)
    o_clock = say_clock(at, random)
    ways = [f"today at {o_clock}", f"at {o_clock} today"]
    if at.hour >= 18:
        bare = _without_part(o_clock)
        ways += [f"tonight at {bare}", f"this evening at {bare}", f"tonight, {bare}", f"at {bare} tonight"]
    elif at.hour >= 12 and at != time(12):
        ways.append(f"this afternoon at {_without_part(o_clock)}")
    elif at.hour < 12:
        ways.append(f"this morning at {_without_part(o_clock)}")
    return Moment(random.choice(ways), f"today {at:%H:%M}", datetime.combine(now.date(), at))


def _soon(now: datetime, random: Random) -> Moment:
    minutes = random.choice((10, 15, 20, 30, 45, 60, 90, 120, 180, 240))
    later = now + timedelta(minutes=minutes)
    return Moment(f"in {say_duration(minutes, random)}", f"+{minutes}m", later)


def with_clock_as_said(value: str, words: str) -> str:
    """A moment of a plan with its time of day as the request says it, so that nothing is left to be reckoned.

    It is "Fri 3:00pm" unless the request has the very digits without "am" or "pm": what it writes as "15:00",
    "15.00", "0930" or "9:30 in the morning" stays "15:00" and "09:30"; so do noon and midnight.

    Args:
        value: as a plan in the relative dialect has it, with 24 hours: "Fri 15:00", "Fri 15:00+90m".
        words: the request.
    """
    found = _CLOCK.search(value)
    if found is None:
        return value
    hour, minute = int(found[1]), int(found[2])
    digits = rf"(?<!\d)0?{hour}[:.h]?{minute:02}(?!\d|\s*[ap]\.?m)"
    is_noon = (hour, minute) == (12, 0) and _NOON.search(words)
    if hour == 0 or is_noon or re.search(digits, words, re.IGNORECASE):
        return value
    said = f" {hour % 12 or 12}:{minute:02}{'am' if hour < 12 else 'pm'}"
    return value[: found.start()] + said + value[found.end() :]


_CLOCK = re.compile(r" (\d\d):(\d\d)(?=$|\+)")
_NOON = re.compile(r"\b(?:noon|midday)\b", re.IGNORECASE)


def duration(random: Random) -> int:
    """A number of minutes that things take."""
    return random.choices(
        (10, 15, 20, 25, 30, 40, 45, 50, 60, 75, 90, 120, 150, 180, 240),
        (2, 5, 5, 3, 12, 4, 10, 3, 10, 2, 8, 8, 3, 4, 1),
    )[0]


def say_duration(minutes: int, random: Random) -> str:
    """A duration: "half an hour", "90 minutes", "two hours"."""
    ways = [f"{minutes} minutes", f"{minutes} min"]
    if minutes < 60:
        ways.append(f"{number_word(minutes)} minutes")
    hours, rest = divmod(minutes, 60)
    if rest == 0:
        ways += (
            ["an hour", "one hour"]
            if hours == 1
            else [f"{number_word(hours)} hours"] * 3 + [f"{hours} hours"]
        )
    if minutes == 30:
        ways += ["half an hour"] * 2
    if rest == 30 and hours:
        ways += ["an hour and a half"] * 2 if hours == 1 else [f"{number_word(hours)} and a half hours"]
        ways.append(f"{hours}.5 hours")
    if minutes == 45:
        ways.append("three quarters of an hour")
    if minutes == 15:
        ways.append("a quarter of an hour")
    return random.choice(ways)
