"""English words for numbers, weekdays and months. Each function gives None for any other word."""

from __future__ import annotations

import re

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORT_WEEKDAYS = {
    "mon": 0,
    "tue": 1,
    "tues": 1,
    "wed": 2,
    "thu": 3,
    "thur": 3,
    "thurs": 3,
    "fri": 4,
    "sat": 5,
    "sun": 6,
}
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_NUMBERS = (
    *(
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
    ),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50}
_ORDINALS = (
    *(
        "",
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
        "eighth",
        "ninth",
        "tenth",
        "eleventh",
    ),
    *(
        "twelfth",
        "thirteenth",
        "fourteenth",
        "fifteenth",
        "sixteenth",
        "seventeenth",
        "eighteenth",
        "nineteenth",
    ),
)


def cardinal_number(word: str) -> int | None:
    """The number that a word or figures say: ``"12"``, ``"twelve"``, ``"twenty-five"``."""
    tens, _, ones = word.partition("-")
    if word.isdecimal() and word.isascii() and len(word) <= 6:
        return int(word)
    if word in _NUMBERS:
        return _NUMBERS.index(word)
    if tens in _TENS and (not ones or ones in _NUMBERS[1:10]):
        return _TENS[tens] + (_NUMBERS.index(ones) if ones else 0)
    return None


def ordinal_number(word: str) -> int | None:
    """The place that a word says: ``"24th"``, ``"first"``, ``"twenty-first"``."""
    if match := re.fullmatch(r"(\d{1,2})(st|nd|rd|th)", word):
        return int(match[1])
    tens, _, ones = word.partition("-")
    if word in _ORDINALS[1:]:
        return _ORDINALS.index(word)
    if tens in ("twenty", "thirty") and ones in _ORDINALS[1:10]:
        return _TENS[tens] + _ORDINALS.index(ones)
    return {"twentieth": 20, "thirtieth": 30}.get(word)


def small_number(word: str) -> int | None:
    """A number that can be a day of a month."""
    number = cardinal_number(word)
    return number if number is not None and 1 <= number <= 31 else None


def weekday_number(word: str) -> int | None:
    """0 for Monday to 6 for Sunday, by its name or a short one."""
    return _WEEKDAYS.index(word) if word in _WEEKDAYS else _SHORT_WEEKDAYS.get(word)


def month_number(word: str) -> int | None:
    """1 for January to 12 for December, by its name or a short one."""
    found = [number for number, name in enumerate(_MONTHS, 1) if word in (name, name[:3])]
    return 9 if word == "sept" else found[0] if found else None


def year_number(word: str) -> int | None:
    """A year of four figures that a calendar is for."""
    return int(word) if re.fullmatch(r"(19|20|21)\d\d", word) else None
