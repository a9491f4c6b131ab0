"""Moments that are said in words, relative to now, in the user's time zone.

Libraries were tried on the phrases of the tests first. Of 80, dateparser 1.5 read 38 right and 11 wrong,
parsedatetime 2.6 31 right and 44 wrong; both also read what is no date. A date that is wrong in silence is
worse than none, which is why there is a grammar of our own (``_date_words``).
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

from dateutil.relativedelta import relativedelta

from plait.tools.assistant._date_words import Clock, Part, Reading, read_words

MAX_CHARS = 100
FIRST_YEAR, LAST_YEAR = 1900, 2200

_USUAL: Mapping[Part, Clock] = {
    "morning": Clock(9, is_exact=True),
    "afternoon": Clock(14, is_exact=True),
    "evening": Clock(18, is_exact=True),
    "night": Clock(20, is_exact=True),
}
_HOURS: Mapping[Part, range] = {
    "morning": range(12),
    "afternoon": range(12, 19),
    "evening": range(16, 24),
    "night": range(18, 24),
}


def read_moment(text: str, now: datetime, *, after: datetime | None = None) -> datetime | None:
    """The moment that an English phrase means, or None where it is not certain.

    "next Tuesday at half past two", "in 20 minutes", "the last Friday of November at 9". A day without a time
    begins at midnight. A weekday is the next one to come; "next Tuesday" is the one in the week after this
    one, which begins on a Monday. A date without a year is the next one to come. Hours from 1 to 6 are in the
    afternoon and those from 7 to 11 in the morning, where nothing else is said; "02:30" and "14:30" are as
    they stand. A morning is at 9, an afternoon at 14, an evening at 18 and a night at 20 o'clock. A time
    alone is the next one to come.

    Args:
        text: the phrase.
        now: the present, aware, in the user's zone.
        after: what a time alone comes after, in the place of now; naive times are in the zone of ``now``.

    Returns:
        A naive time of the user's zone; an aware one where it was counted in hours or minutes.
    """
    reading = read_words(text) if len(text) <= MAX_CHARS else None
    if reading is None:
        return None
    try:
        moment = _moment(reading, now, after)
    except (ValueError, OverflowError):  # 31 February, or a year that no calendar has
        return None
    return moment if moment is not None and FIRST_YEAR <= moment.year <= LAST_YEAR else None


def _moment(said: Reading, now: datetime, after: datetime | None) -> datetime | None:
    names_day = said.day is not None or bool(said.date or said.in_month) or said.weekday is not None
    if (said.week is not None and said.weekday is None) or (said.is_from_now and names_day):
        return None  # "next week"; "in two weeks on Monday", which may be either of two Mondays
    if "minutes" in said.ahead:
        is_alone = not (names_day or said.clock or said.is_midnight or said.part)
        return _counted(said.ahead, now) if is_alone else None
    if said.is_midnight:
        is_tonight = said.part in (None, "night") and not said.clock and not said.ahead
        is_next = is_tonight and (not names_day or (said.day == 0 and said.part is not None))
        return datetime.combine(now.date() + timedelta(days=1), time()) if is_next else None
    clock = _clock(said)
    if said.clock is not None and clock is None:
        return None
    if not names_day and not said.ahead:
        return _next(said, clock, now, after) if clock else None
    day = _day(said, clock, now)
    return None if day is None else datetime.combine(day, time()) + _since_midnight(clock)


def _counted(ahead: Mapping[str, int], now: datetime) -> datetime:
    """So many minutes, days and months from now."""
    later = now.date() + relativedelta(days=ahead.get("days", 0), months=ahead.get("months", 0))
    start = now.replace(year=later.year, month=later.month, day=later.day, second=0, microsecond=0)
    return (start.astimezone(UTC) + timedelta(minutes=ahead["minutes"])).astimezone(now.tzinfo)


def _clock(said: Reading) -> Clock | None:
    """The time of day, with the half of the day settled."""
    clock, part = said.clock, said.part
    if clock is None:
        return _USUAL[part] if part else None
    if clock.is_exact:
        return clock if part is None or clock.hour in _HOURS[part] else None
    if part is None:
        hour = clock.hour + 12 if 1 <= clock.hour <= 6 else clock.hour
        return Clock(hour, clock.minute, True, clock.before_minutes)
    if part == "morning" and clock.hour == 12:
        return None
    for hour in (clock.hour, clock.hour + 12):
        if hour in _HOURS[part]:
            return Clock(hour, clock.minute, True, clock.before_minutes)
    return None


def _since_midnight(clock: Clock | None) -> timedelta:
    if clock is None:
        return timedelta()
    return timedelta(hours=clock.hour, minutes=clock.minute - clock.before_minutes)


def _next(said: Reading, clock: Clock, now: datetime, after: datetime | None) -> datetime:
    """The first time after now, or after the other moment, at which the clock shows this."""
    start = now if after is None else after
    start = start.astimezone(now.tzinfo).replace(tzinfo=None) if start.tzinfo else start
    clocks = [clock]
    if after is not None and said.clock and not said.clock.is_exact and said.part is None:
        # What follows "19:00" as "nine" is in the evening.
        hour = said.clock.hour % 12
        clocks = [Clock(h, clock.minute, True, clock.before_minutes) for h in (hour, hour + 12)]
    midnights = [datetime.combine(start.date() + timedelta(days=n), time()) for n in (0, 1, 2)]
    return min(m for midnight in midnights for c in clocks if (m := midnight + _since_midnight(c)) > start)


def _day(said: Reading, clock: Clock | None, now: datetime) -> date | None:
    today = now.date()
    day: date | None = None
    if said.day is not None:
        day = today + timedelta(days=said.day)
    if said.date:
        day = None if day else _dated(*said.date, today=today)
        if day is None:
            return None
    if said.in_month:
        day = None if day else _counted_in_month(said, today)
        if day is None:
            return None
    if said.weekday is not None:
        if day is not None:  # "Friday the 27th": both must say the same
            return day if day.weekday() == said.weekday and not (said.ahead or said.which) else None
        day = _weekday(said, clock, now)
        if day is None:
            return None
    return (day or today) + relativedelta(days=said.ahead.get("days", 0), months=said.ahead.get("months", 0))


def _weekday(said: Reading, clock: Clock | None, now: datetime) -> date | None:
    today, weekday = now.date(), said.weekday or 0
    monday = today - timedelta(days=today.weekday())
    if said.week is not None:
        return None if said.which else monday + timedelta(days=7 * said.week + weekday)
    if said.which == "next":
        return monday + timedelta(days=7 + weekday)
    if days := (weekday - today.weekday()) % 7:
        return today + timedelta(days=days)
    if clock is not None and datetime.combine(today, time()) + _since_midnight(clock) > now.replace(
        tzinfo=None
    ):
        return today
    if said.which == "this":  # what of today is over is not meant, and another day would be a guess
        return None if clock else today
    return today + timedelta(days=7)


def _dated(year: int | None, month: int | None, day: int, *, today: date) -> date | None:
    """The date; of one that is not said in full, the next to come."""
    if year is not None and month is not None:
        return date(year, month, day)
    if month is not None:
        for candidate in range(today.year, today.year + 9):
            if (
                day <= calendar.monthrange(candidate, month)[1]
                and (found := date(candidate, month, day)) >= today
            ):
                return found
        return None
    first = today.replace(day=1)
    for n in range(13):
        begin = first + relativedelta(months=n)
        if 1 <= day <= calendar.monthrange(begin.year, begin.month)[1] and begin.replace(day=day) >= today:
            return begin.replace(day=day)
    return None


def _counted_in_month(said: Reading, today: date) -> date | None:
    if said.in_month is None:
        return None
    count, weekday, month = said.in_month
    if month.number is None:
        return _nth(count, weekday, today.replace(day=1) + relativedelta(months=month.ahead))
    found = _nth(count, weekday, date(month.year or today.year, month.number, 1))
    if found is None or found >= today or month.year is not None:
        return found
    return _nth(count, weekday, date(today.year + 1, month.number, 1))


def _nth(count: int, weekday: int | None, first: date) -> date | None:
    """The ``count``-th such day of a month, from its end where negative; None where it has none."""
    n_days = calendar.monthrange(first.year, first.month)[1]
    days = [first + timedelta(days=n) for n in range(n_days)]
    fitting = [day for day in days if weekday is None or day.weekday() == weekday]
    index = count - 1 if count > 0 else count
    return fitting[index] if -len(fitting) <= index < len(fitting) else None
