"""English words for days and times: a small grammar that reads the whole of a phrase, or nothing of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from plait.tools.assistant._number_words import (
    cardinal_number,
    month_number,
    ordinal_number,
    small_number,
    weekday_number,
    year_number,
)

Part: TypeAlias = Literal["morning", "afternoon", "evening", "night"]

UNITS: Mapping[str, tuple[str, int]] = {
    "minute": ("minutes", 1),
    "min": ("minutes", 1),
    "hour": ("minutes", 60),
    "hr": ("minutes", 60),
    "day": ("days", 1),
    "week": ("days", 7),
    "fortnight": ("days", 14),
    "month": ("months", 1),
    "year": ("months", 12),
}
_TOKEN = re.compile(
    r"\s*(\d{4}-\d\d-\d\d|\d{1,2}[:.]\d\d(?:am|pm)?|\d{1,2}(?:am|pm)|\d+(?:st|nd|rd|th)|\d+|[a-z]+(?:-[a-z]+)?)\.?(?![\w:/-])"
)
_CLOCK = re.compile(r"(\d{1,2})(?:[:.](\d\d))?(am|pm)?")


@dataclass(frozen=True)
class Clock:
    """A time of day. Without ``is_exact`` it may be before or after noon, and 1 <= hour <= 12."""

    hour: int
    minute: int = 0
    is_exact: bool = False
    before_minutes: int = 0
    """To be taken off, as in "quarter to five"."""


@dataclass(frozen=True)
class Month:
    """A month by its number, and perhaps a year; or, without a number, one counted from this month."""

    number: int | None = None
    year: int | None = None
    ahead: int = 0


@dataclass
class Reading:
    """What a phrase says, as far as it has been read; unsaid parts are None or zero."""

    day: int | None = None
    """Days after today."""
    date: tuple[int | None, int | None, int] | None = None
    """Year, month and day, of which the first two may be unsaid."""
    in_month: tuple[int, int | None, Month] | None = None
    """The how-manieth (-1: the last) weekday (None: day) of a month."""
    weekday: int | None = None
    which: Literal["", "this", "next"] = ""
    week: int | None = None
    """Weeks after this one: "next week"."""
    clock: Clock | None = None
    is_midnight: bool = False
    part: Part | None = None
    is_from_now: bool = False
    """Whether ``ahead`` is counted from now, and so from no other day."""
    ahead: dict[str, int] = field(default_factory=dict)
    """Minutes, days and months from now, or from the day that is said."""


class _Unread(Exception):  # noqa: N818  (control flow of this module, never seen outside)
    """The words are no part of this grammar."""


def read_words(text: str) -> Reading | None:
    """What the phrase says, or None where any of it is not understood."""
    words = _tokens(text)
    if not words:
        return None
    phrase = _Phrase(words)
    try:
        while not phrase.at_end:
            phrase.read_part()
    except (_Unread, ValueError):
        return None
    return phrase.reading


def _tokens(text: str) -> list[str]:
    line = re.sub(r"\b([ap])\.\s?m\b\.?", r"\1m", text.lower().replace(",", " "))
    line = re.sub(r"o['\N{RIGHT SINGLE QUOTATION MARK}]\s?clock\b", "oclock", line).strip()
    words, end = [], 0
    while end < len(line):
        match = _TOKEN.match(line, end)
        if match is None:
            return []
        words.append(match[1])
        end = match.end()
    return words


class _Phrase:
    """The words of a phrase and how far they have been read."""

    def __init__(self, words: list[str]) -> None:
        self.reading = Reading()
        self._words = words
        self._at = 0
        self._said: set[str] = set()

    @property
    def at_end(self) -> bool:
        return self._at == len(self._words)

    def read_part(self) -> None:
        """Read one part that has not been said before.

        Raises:
            _Unread: there is none here.
        """
        self._take("by")
        start = self._at
        for part in (
            self._ahead,
            self._near_day,
            self._in_month,
            self._date,
            self._week,
            self._weekday,
            self._time,
            self._part,
        ):
            self._at = start
            if part():
                return
        raise _Unread

    def _take(self, *options: str) -> str | None:
        if not self.at_end and self._words[self._at] in options:
            self._at += 1
            return self._words[self._at - 1]
        return None

    def _phrase(self, text: str) -> bool:
        words = text.split()
        if self._words[self._at : self._at + len(words)] != words:
            return False
        self._at += len(words)
        return True

    def _number(self, read: Callable[[str], int | None]) -> int | None:
        found = None if self.at_end else read(self._words[self._at])
        self._at += found is not None
        return found

    def _say(self, **facts: object) -> bool:
        if self._said & facts.keys():
            raise _Unread  # said twice
        self._said |= facts.keys()
        for name, value in facts.items():
            setattr(self.reading, name, value)
        return True

    def _ahead(self) -> bool:
        """Such as "in two hours and 15 minutes", "a week from Friday", "3 hours from now"."""
        if self._phrase("right now") or self._phrase("now"):
            return self._say(ahead={"minutes": 0}, is_from_now=True)
        is_in = self._take("in") is not None
        ahead = self._amounts()
        if ahead is None:
            return False
        if is_in:
            return self._say(ahead=ahead, is_from_now=True)
        if not self._take("from", "on", "after"):
            return False
        if not self._phrase("now") and not self._near_day() and not self._weekday():
            return False
        return self._say(ahead=ahead)

    def _amounts(self) -> dict[str, int] | None:
        total: dict[str, int] = {}
        while True:
            if self._phrase("half an hour"):
                amount, (kind, size) = 30, ("minutes", 1)
            elif self._phrase("a quarter of an hour"):
                amount, (kind, size) = 15, ("minutes", 1)
            else:
                found = 1 if self._take("a", "an") else self._number(cardinal_number)
                unit = next((u for u in UNITS if self._take(u, f"{u}s")), None) if found is not None else None
                if found is None or unit is None:
                    return None
                amount, (kind, size) = found, UNITS[unit]
            total[kind] = total.get(kind, 0) + amount * size
            if size == 60 and self._phrase("and a half"):
                total[kind] += 30
            if not self._take("and"):
                return total

    def _near_day(self) -> bool:
        for words, day in (
            ("the day after tomorrow", 2),
            ("day after tomorrow", 2),
            ("the day before yesterday", -2),
            ("tomorrow", 1),
            ("yesterday", -1),
            ("today", 0),
        ):
            if self._phrase(words):
                return self._say(day=day)
        if self._take("tonight"):
            return self._say(day=0, part="night")
        if self._take("this") and (part := self._take("morning", "afternoon", "evening")):
            return self._say(day=0, part=part)
        return False

    def _in_month(self) -> bool:
        """Such as "the last Friday of November", "the last day of the month", "end of next month"."""
        self._take("on", "at")
        self._take("the")
        if self._phrase("end of"):
            return (month := self._month_named()) is not None and self._say(in_month=(-1, None, month))
        count = -1 if self._take("last") else self._number(ordinal_number)
        if count is None:
            return False
        is_day = count == -1 and self._take("day") is not None
        weekday = None if is_day else self._number(weekday_number)
        if (weekday is None and not is_day) or not self._take("of", "in"):
            return False
        month = self._month_named()
        return month is not None and self._say(in_month=(count, weekday, month))

    def _month_named(self) -> Month | None:
        for words, ahead in (("next month", 1), ("this month", 0), ("the month", 0)):
            if self._phrase(words):
                return Month(ahead=ahead)
        number = self._number(month_number)
        return None if number is None else Month(number, self._number(year_number))

    def _date(self) -> bool:
        """Such as "24 November", "November 24th 2026", "the 24th", "the 5th of next month", "2026-11-24"."""
        self._take("on")
        if not self.at_end and re.fullmatch(r"\d{4}-\d\d-\d\d", self._words[self._at]):
            year, month, day = (int(part) for part in self._words[self._at].split("-"))
            self._at += 1
            return self._say(date=(year, month, day))
        has_article = self._take("the") is not None
        if not has_article and (named := self._number(month_number)) is not None:
            self._take("the")
            in_month = self._number(ordinal_number)
            in_month = self._number(small_number) if in_month is None else in_month
            return in_month is not None and self._say(date=(self._number(year_number), named, in_month))
        nth = self._number(ordinal_number)
        count = self._number(small_number) if nth is None else nth
        if count is None:
            return False
        if nth is not None and self._take("of") and self._at < len(self._words):
            place = self._month_named()
            if place is None:
                return False
            if place.number is None:
                return self._say(in_month=(count, None, place))
            return self._say(date=(place.year, place.number, count))
        if (named := self._number(month_number)) is not None:
            return self._say(date=(self._number(year_number), named, count))
        return nth is not None and has_article and self._say(date=(None, None, count))

    def _week(self) -> bool:
        for words, weeks in (("next week", 1), ("this week", 0)):
            if self._phrase(words):
                return self._say(week=weeks)
        return False

    def _weekday(self) -> bool:
        self._take("on")
        which = self._take("this", "next", "coming", "the")
        weekday = self._number(weekday_number)
        if weekday is None or which == "the":
            return False
        if which in ("this", "next"):
            self._say(which=which)
        if not which and self._take("week"):  # "Tuesday week"
            self._say(ahead={"days": 7})
        return self._say(weekday=weekday)

    def _time(self) -> bool:
        has_at = self._take("at") is not None
        if self._take("noon", "midday"):
            return self._say(clock=Clock(12, is_exact=True))
        if self._take("midnight"):
            return self._say(is_midnight=True)
        clock = self._time_past() or self._time_said(has_at=has_at)
        return clock is not None and self._say(clock=clock)

    def _time_past(self) -> Clock | None:
        """Such as "half past two", "a quarter to five", "twenty past seven"."""
        start = self._at
        self._take("a")
        if self._take("half"):
            minutes: int | None = 30
        elif self._take("quarter"):
            minutes = 15
        else:
            minutes = self._number(cardinal_number)
            self._take("minutes", "minute")
        direction = self._take("past", "to", "after")
        if minutes is None or not 0 < minutes <= 30 or direction is None:
            self._at = start
            return None
        hour = self._time_said(has_at=True, takes_minutes=False)
        if hour is None or hour.minute or (direction == "to" and minutes == 30):
            raise _Unread
        if direction == "to":
            return Clock(hour.hour, 0, hour.is_exact, minutes)
        return Clock(hour.hour, minutes, hour.is_exact)

    def _time_said(self, *, has_at: bool, takes_minutes: bool = True) -> Clock | None:
        """Such as "14:30", "2pm", "8 o'clock"; a bare number needs "at" or a part of the day."""
        if self.at_end:
            return None
        word = self._words[self._at]
        match = _CLOCK.fullmatch(word)
        hour = int(match[1]) if match else cardinal_number(word)
        if hour is None:
            return None
        self._at += 1
        minute = int(match[2]) if match and match[2] else 0
        half = match[3] if match else None
        if takes_minutes and match is None:  # "eight thirty", "nine oh five"
            said = self._number(
                lambda w: n if (n := cardinal_number(w)) is not None and 10 <= n < 60 else None
            )
            minute = said if said is not None else 0
            has_at = has_at or said is not None
        half = half or self._take("am", "pm")
        is_full = self._take("oclock") is not None
        half = half or self._take("am", "pm")
        is_marked = has_at or is_full or half is not None or (match is not None and match[2] is not None)
        if not is_marked and not self._before_part():
            return None
        if not 0 <= minute < 60 or hour > 23 or (half and not 1 <= hour <= 12):
            raise _Unread
        if half:
            return Clock(hour % 12 + 12 * (half == "pm"), minute, is_exact=True)
        is_padded = match is not None and match[2] is not None and match[1].startswith("0")
        return Clock(hour, minute, is_exact=hour == 0 or hour > 12 or is_padded)

    def _before_part(self) -> bool:
        rest = self._words[self._at : self._at + 3]
        return rest[:2] == ["in", "the"] or rest[:1] in (["tonight"], ["morning"], ["evening"])

    def _part(self) -> bool:
        if self._phrase("at night"):
            return self._say(part="night")
        if self._take("in") and not self._take("the"):
            return False
        part = self._take("morning", "afternoon", "evening", "night")
        return part is not None and self._say(part=part)
