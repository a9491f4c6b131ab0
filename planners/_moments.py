"""Moments as people say them, in the plans of small models: "Fri 15:00" instead of a date to be reckoned.

A small model need not count days or add minutes if it may repeat what it reads. So plans in the dialect
"relative" may name a day as the request does, and what is meant is worked out here, from the clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from plait.planners._plan import Task
from plait.tools import ArrayType, EnumType, ObjectType, StringType, Tool, Type, options_of

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_DAY = (
    rf"today|tomorrow|(?P<weekday>{'|'.join(WEEKDAYS)})(?:\+(?P<later>[0-9]{{1,2}})w)?"
    r"|\+(?P<count>[0-9]{1,3})(?P<unit>[dw])|(?P<nth>[0-9]{1,2})(?:st|nd|rd|th)"
    r"|(?P<month>[0-9]{2})-(?P<of_month>[0-9]{2})|(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
)
_IS_DAY = re.compile(_DAY)
_MOMENT = re.compile(
    rf"(?P<day>{_DAY})(?: (?P<clock>[0-9]{{2}}:[0-9]{{2}}|[0-9]{{1,2}}:[0-9]{{2}}(?P<half>[ap])m)"
    r"(?:\+(?P<more>[0-9]{1,5})m)?)?"
    r"|\+(?P<soon>[0-9]{1,5})m"
)
_MONTHS = 12
_NOON = 12
_YEARS_TO_LEAP = 9


def is_day(text: str) -> bool:
    """Whether ``text`` names a day, and no time."""
    return _IS_DAY.fullmatch(text) is not None


def resolve_moments(task: Task, tool: Tool, now: datetime) -> Task:
    """``task`` with dates in the place of days that are named, in arguments that are dates or moments."""
    types = {argument.name: argument.type for argument in tool.arguments.fields}
    arguments = {
        name: _resolved(value, types[name], now) if name in types else value
        for name, value in task.arguments.items()
    }
    return replace(task, arguments=arguments)


def resolve_moment(text: str, now: datetime) -> str:
    """What ``text`` means at ``now``: ``YYYY-MM-DD``, or with ``HH:MM`` behind it.

    ========================  ================================================
    ``today``, ``tomorrow``
    ``Fri``, ``Fri+1w``       the next Friday after today; a week after that
    ``+3d``, ``+2w``          in so many days or weeks
    ``14th``                  the next 14th of a month, from today on
    ``03-05``                 the next March 5, from today on
    ``2027-03-05``            that day
    ``Fri 15:00``             a day with a time
    ``Fri 3:00pm``            the same, of twelve hours
    ``Fri 15:00+90m``         so many minutes later
    ``+20m``                  in so many minutes from now
    ========================  ================================================

    What is none of these, or no day of the calendar, is given back as it is.
    """
    found = _MOMENT.fullmatch(text)
    if found is None:
        return text
    try:
        if found["soon"]:
            return f"{_later(now, int(found['soon'])):%Y-%m-%d %H:%M}"
        day = _day(found, now.date())
        if not found["clock"]:
            return f"{day:%Y-%m-%d}"
        at = datetime.combine(day, _time(found["clock"], found["half"]))
        return f"{at + timedelta(minutes=int(found['more'] or 0)):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return text


def _time(clock: str, half: str | None) -> time:
    """A time of day, of 24 hours, or of twelve where ``half`` is "a" or "p".

    Raises:
        ValueError: there is none such.
    """
    hour, minute = (int(digits) for digits in clock.removesuffix("am").removesuffix("pm").split(":"))
    if half and not 1 <= hour <= _NOON:
        raise ValueError("no hour of twelve")
    return time(hour % _NOON + _NOON * (half == "p") if half else hour, minute)


def _later(now: datetime, minutes: int) -> datetime:
    """Of minutes that pass; where the clocks are changed meanwhile, it shows another hour."""
    if now.tzinfo is None:
        return now + timedelta(minutes=minutes)
    return (now.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(now.tzinfo)


def _day(found: re.Match[str], today: date) -> date:
    if found["weekday"]:
        ahead = (WEEKDAYS.index(found["weekday"]) - today.weekday() - 1) % 7 + 1
        return today + timedelta(days=ahead, weeks=int(found["later"] or 0))
    if found["count"]:
        return today + int(found["count"]) * timedelta(days=7 if found["unit"] == "w" else 1)
    if found["nth"]:
        months = ((today.month - 1 + n) for n in range(_MONTHS))
        return _next(today, [(today.year + n // 12, n % 12 + 1, int(found["nth"])) for n in months])
    if found["month"]:
        years = range(today.year, today.year + _YEARS_TO_LEAP)
        return _next(today, [(year, int(found["month"]), int(found["of_month"])) for year in years])
    if found["date"]:
        return date.fromisoformat(found["date"])
    return today + timedelta(days=found["day"] == "tomorrow")


def _next(today: date, candidates: Sequence[tuple[int, int, int]]) -> date:
    """The first of the candidates, as year, month and day, that exists and is not over.

    Raises:
        ValueError: there is none.
    """
    for year, month, day in candidates:
        try:
            found = date(year, month, day)
        except ValueError:
            continue  # no February 30
        if found >= today:
            return found
    raise ValueError("no such day")


def _resolved(value: Any, type_: Type, now: datetime) -> Any:
    options = options_of(type_)
    if isinstance(value, str):
        return resolve_moment(value, now) if _is_moment(value, options) else value
    for option in options:
        match value, option:
            case list(), ArrayType():
                types = [*option.prefix[: len(value)], *[option.items] * (len(value) - len(option.prefix))]
                return [_resolved(item, kind, now) for item, kind in zip(value, types, strict=True)]
            case Mapping(), ObjectType():
                known = {field.name: field.type for field in option.fields}
                kinds = {key: known.get(key, option.extra) for key in value}
                return {
                    key: item if (kind := kinds[key]) is None else _resolved(item, kind, now)
                    for key, item in value.items()
                }
    return value


def _is_moment(text: str, options: Sequence[Type]) -> bool:
    """Whether ``text`` stands for a date or a moment, and not for itself."""
    texts = [one for one in options if isinstance(one, StringType)]
    if any(text in one.values for one in options if isinstance(one, EnumType)):
        return False
    return bool(texts) and all(one.format in ("date", "date-time") for one in texts)
