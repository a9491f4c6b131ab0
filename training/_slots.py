"""What slots stand for: people, files, places, moments; as words in a request and as values in a plan."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from functools import cached_property
from importlib.resources import files
from random import Random
from typing import Any
from zlib import crc32

from plait.errors import ConfigurationError
from plait.planners import is_day
from plait.training._moments import (
    clock,
    day_after,
    duration,
    moment,
    say_clock,
    say_day,
    say_duration,
)
from plait.training._skeletons import Skeleton, Slot, SlotUse

_OWNER = re.compile(r"^(?:my|the|our|your) ", re.IGNORECASE)
_NAME_BEHIND_ROLE = re.compile(r"(?:my|the|our|your) (?:[a-z][\w-]* )+((?:[A-Z][\w.\u2019'-]*(?: |$))+)")
_PRONOUNS: Mapping[str, Mapping[str, str]] = {
    "he": {"he": "he", "him": "him", "his": "his", "she": "he", "her": "him"},
    "she": {"he": "she", "him": "her", "his": "her", "she": "she", "her": "her"},
}
_LISTS = {"note": "note", "list": "list", "folder": "folder", "cal": "calendar"}
_DOMAINS = [
    "example.com",
    "example.org",
    "mail.example",
    "example.net",
    "post.example",
    "studio.example",
    "clinic.example",
    "school.example",
    "farm.example",
    "law.example",
    "city.example",
    "garage.example",
    "press.example",
    "choir.example",
]
_MAX_DRAWS = 1000
_SOON = re.compile(r"\+[0-9]+m")
_EXTENSION = re.compile(r"\.\w{2,4}$")


@dataclass(frozen=True, slots=True)
class Filled:
    """What a slot stands for."""

    words: str
    """In the request, and in the texts of the plan."""
    value: Any
    """As an argument: text or a number."""
    at: datetime | None = None
    """Where it is a moment: which one; the value names it as the words do."""
    pronoun: str = "they"
    """Where it is a person."""

    @property
    def names(self) -> frozenset[str]:
        """What no other slot of the same request may be called."""
        return frozenset({self.words.casefold(), str(self.value).casefold()})


class Vocabulary:
    """The names of people, places and things that slots are filled with.

    Args:
        random: decides which.
        share: the part of all names that may be used, as a range from 0 to 1: two ranges that do not
            meet have no name in common, of whatever kind.
    """

    def __init__(self, random: Random, share: tuple[float, float] = (0.0, 1.0)) -> None:
        self._random = random
        self._share = share

    def person(self, *, is_singular: bool = False) -> Filled:
        """Somebody; "he" or "she" where ``is_singular``."""
        words, pronoun = self._random.choice(self._lists["people"])
        while is_singular and pronoun == "they":
            words, pronoun = self._random.choice(self._lists["people"])
        behind = _NAME_BEHIND_ROLE.fullmatch(words)
        return Filled(words, behind[1] if behind else _OWNER.sub("", words), pronoun=pronoun)

    def named(self, kind: str) -> str:
        """A name of that kind: "place", "note", "pdf"."""
        name: str = self._random.choice(self._lists[kind])
        return name

    def file(self, kind: str, *, spoken: bool) -> str:
        """The name of a file; one that is spoken has no extension."""
        if kind in ("any", ""):
            kind = self._random.choices(("pdf", "doc", "image", "sheet"), (2, 2, 1, 1))[0]
        while True:
            name = self.named(kind)
            if not (spoken and _EXTENSION.search(name)):
                return name

    def address(self) -> str:
        """An email address."""
        words = re.findall(r"[a-z]+", self._random.choice(self._lists["people"])[0].lower())
        words = [word for word in words if word not in ("my", "the", "our", "dr", "mrs", "mr")] or ["info"]
        name = self._random.choice(
            (words[-1], ".".join(words[:2]), words[0][0] + "." + words[-1], "_".join(words[:2]))
        )
        role = self._random.choice(("info", "office", "bookings", "hello", "contact", "accounts"))
        number = self._random.choice(("", "", "", str(self._random.randrange(2, 99))))
        return f"{role if self._random.random() < 0.2 else name + number}@{self._random.choice(_DOMAINS)}"

    def folder_path(self) -> str:
        """Where a file may lie, with the separator at its end."""
        words = re.findall(r"[a-z]+", self._random.choice(self._lists["people"])[0].lower())
        user = words[-1] if words else "user"
        forms = (
            "/home/{user}/",
            "/home/{user}/Documents/",
            "/Users/{user}/Downloads/",
            "/Users/{user}/Desktop/",
            "~/",
            "~/Documents/{user}/",
            "C:\\Users\\{user}\\Documents\\",
            "/media/usb/",
            "/srv/shared/{user}/",
        )
        return self._random.choice(forms).format(user=user)

    def phone(self) -> str:
        """A phone number that nobody has."""
        digits = "".join(str(self._random.randrange(10)) for _ in range(4))
        forms = (
            "555-01{b}",
            "+1 202 555 01{b}",
            "+44 7700 900{c}",
            "020 7946 0{c}",
            "(415) 555-01{b}",
            "+49 30 23125 {c}",
            "06 39 98 {a} {b}",
            "5550{a}{b}",
        )
        return self._random.choice(forms).format(a=digits[:2], b=digits[2:], c=digits[1:])

    @cached_property
    def _lists(self) -> dict[str, Sequence[Any]]:
        subjects, names, documents = _data("subjects"), _data("names"), _data("files")
        lists = {"people": _data("people"), **subjects, **documents}
        lists |= {stem: names[kind] for stem, kind in _LISTS.items()}
        return {kind: self._part(values) for kind, values in lists.items()}

    def _part(self, values: Sequence[Any]) -> Sequence[Any]:
        first, last = self._share
        return [value for value in values if first <= _place_of(value) < last]


def _place_of(value: Any) -> float:
    """Where a name is on the range from 0 to 1: the same in every run."""
    name: str = value if isinstance(value, str) else value[0]
    return crc32(_OWNER.sub("", name).casefold().encode()) / 2**32


def _data(name: str) -> Any:
    text = (files("plait.training") / "data" / f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text)


class Filler:
    """Fills the slots of one request.

    Args:
        vocabulary: the names.
        now: when the request is made.
        random: decides what varies.
        spoken: whether it is a transcript of speech.
    """

    def __init__(self, vocabulary: Vocabulary, now: datetime, random: Random, *, spoken: bool) -> None:
        self._vocabulary = vocabulary
        self._now = now
        self._random = random
        self._spoken = spoken
        self._latest: datetime | None = None
        self._clocks: list[time] = []
        self._filled: dict[str, Filled] = {}
        self._singular: frozenset[str] = frozenset()

    def fill(self, skeleton: Skeleton) -> dict[str, Filled]:
        """What each slot of ``skeleton`` stands for; all differ, and moments come in their order."""
        found = skeleton.slots
        self._singular = frozenset(slot.name for slot in found if slot.is_pronoun)
        kinds: dict[str, str] = {}
        for slot in found:
            if not slot.is_pronoun:
                kinds[slot.name] = kinds.get(slot.name) or slot.kind
        clocks = {clock(self._random) for _ in range(len(kinds))}
        while len(clocks) < len(kinds):
            clocks.add(clock(self._random))
        self._clocks = sorted(clocks)
        for slot in sorted(
            (Slot(*kind) for kind in kinds.items()), key=lambda slot: (slot.stem, len(slot.name), slot.name)
        ):
            self._filled[slot.name] = self._another(slot)
        return self._filled

    def _another(self, slot: Slot) -> Filled:
        for _ in range(_MAX_DRAWS):
            filled = self._one(slot)
            if not filled.names & {name for other in self._filled.values() for name in other.names}:
                return filled
        raise ConfigurationError(f"there are too few values for {slot} beside the others; use fewer slots")

    def _one(self, slot: Slot) -> Filled:
        make: dict[str, Callable[[], Filled]] = {
            "p": lambda: self._vocabulary.person(is_singular=slot.name in self._singular),
            "t": lambda: self._moment(is_day=slot.kind == "date"),
            "c": self._clock,
            "m": self._duration,
            "n": self._number,
            "f": lambda: self._text(self._vocabulary.file(slot.kind, spoken=self._spoken)),
            "email": lambda: self._text(self._vocabulary.address()),
            "phone": lambda: self._text(self._vocabulary.phone()),
        }
        if slot.stem in make:
            return make[slot.stem]()
        return self._text(self._vocabulary.named(slot.stem))

    def _text(self, words: str) -> Filled:
        return Filled(words, words)

    def _moment(self, *, is_day: bool) -> Filled:
        if is_day:
            day = day_after((self._latest or self._now).date(), self._random)
            self._latest = datetime.combine(day, time())
            said = say_day(day, self._now.date(), self._random)
            return Filled(said.words, said.value, self._latest)
        found = moment(self._now, self._random, after=self._latest)
        self._latest = found.at
        return Filled(found.words, found.value, found.at)

    def _clock(self) -> Filled:
        at = self._clocks.pop(0)
        return Filled(say_clock(at, self._random), f"{at:%H:%M}")

    def _duration(self) -> Filled:
        minutes = duration(self._random)
        return Filled(say_duration(minutes, self._random), minutes)

    def _number(self) -> Filled:
        number = self._random.choice((*range(2, 13), 15, 18, 20, 24, 25, 30, 40, 50, 60, 75, 120))
        return Filled(str(number), number)


def pronoun(person: Filled, kind: str) -> str:
    """Whichever of "he", "him" and "his" the slot asks for, as that person has it."""
    return _PRONOUNS[person.pronoun][kind]


def value_of(use: SlotUse, filled: Mapping[str, Filled]) -> Any:
    """What a slot that is a whole argument stands for."""
    one = filled[use.name]
    if not use.more:
        return one.value
    minutes = int(use.more) if use.more.isdecimal() else filled[use.more].value
    if one.at is None:
        raise ValueError(f"{use.name} is no moment that minutes could be added to")
    if not minutes:
        return one.value
    if _SOON.fullmatch(one.value):
        return f"+{int(one.value[1:-1]) + minutes}m"
    return f"{one.value}{' 00:00' if is_day(one.value) else ''}+{minutes}m"
