"""The same request said in other ways: as a transcript of speech, hastily typed, with small talk around it.

What a slot stands for keeps its words, but for capitals: a plan must be able to repeat them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from random import Random
from typing import Literal

Style = Literal["written", "spoken", "lower", "hasty"]
STYLES: dict[Style, float] = {"written": 0.5, "spoken": 0.25, "lower": 0.1, "hasty": 0.15}
"""How often requests are phrased so."""

_WORD = re.compile(r"[^\W\d_]{4,}")
_PUNCTUATION = re.compile(r"""[.,;:!?()"“”…]+(?=\s|$)|(?<!\S)[("“]|\s[-\u2013\u2014](?=\s)""")
_MEANINGFUL = re.compile(
    "three|four|five|seven|eight|nine|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|twenty|thirty|forty|fifty|"
    "sixty|ninety|hundred|half|hours?|quarter|minutes?|noon|midnight|past|till|until|today|tomorrow|morning|evening|night|"
    "weeks?|month|(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|june|july|august|september|"
    "october|november|december|dont|never|nobody|nothing|without|walk|walking|foot|drive|driving|train|tram|public|"
    "instead|rather"
)
"""Words that a plan may have as numbers, dates or choices: slips would change what is asked."""
_SHORT: dict[str, tuple[str, ...]] = {
    "about": ("abt",), "address": ("addr", "adress"), "and": ("n", "&"), "are": ("r",), "attach": ("attch",),
    "because": ("cuz", "bc"), "before": ("b4",), "calendar": ("cal", "calender"), "could": ("cld",),
    "for": ("4",), "forward": ("fwd", "frwd"), "from": ("frm",), "have": ("hv",), "just": ("jst",),
    "meeting": ("mtg",), "message": ("msg",), "number": ("nr", "no."), "people": ("ppl",),
    "please": ("pls", "plz"), "remind": ("rmnd",), "reminder": ("rmndr",), "should": ("shld",),
    "something": ("sth",), "thanks": ("thx",), "that": ("tht",), "the": ("teh", "th"), "them": ("em", "thm"),
    "to": ("2",), "what": ("wat", "wht"), "with": ("w", "w/", "wth"), "would": ("wld",), "you": ("u",),
    "your": ("ur",),
}  # fmt: skip
"""How words are shortened by those who type on a telephone."""
_SHORTENED = (0.5, 0.4)
"""The share of hasty requests with such words, and of these words there."""
_COUNTS = re.compile(rf"\W*(?:\d|(?:an?|[ap]m|one|two|six|ten|{_MEANINGFUL.pattern})\b)")
"""A word beside which a "2" or "4" would be read as a number."""
_ANY_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_FILLERS_IN_SPEECH = 0.35
_WRAPS: dict[str, float] = {"before": 0.15, "after": 0.12}
_NEIGHBOURS = dict(zip("abcdefghijklmnopqrstuvwxyz", "svfsdgfujkjlnbipqedrycexts", strict=True))


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a request."""

    text: str
    is_value: bool
    """Whether it is what a slot stands for."""


@dataclass(frozen=True, slots=True)
class _Wraps:
    before: Sequence[str]
    after: Sequence[str]
    fillers: Sequence[str]


def phrase(parts: Sequence[Part], style: Style, random: Random, *, keep: Iterable[str] = ()) -> list[Part]:
    """``parts`` in a style, now and then with small talk before or after.

    Args:
        parts: the request.
        style: how to say it.
        random: decides what varies.
        keep: texts whose words must stay as they are spelled: the plan repeats them.
    """
    wrapped = _wrapped(list(parts), random)
    if style == "spoken":
        return _spoken(wrapped, random)
    if style == "lower":
        return [Part(part.text if part.is_value else part.text.lower(), part.is_value) for part in wrapped]
    if style == "hasty":
        texts = list(keep)
        kept = {word.lower() for text in texts for word in _WORD.findall(text)}
        return _with_typos(_shortened(wrapped, random, texts), random, kept)
    return wrapped


def _wrapped(parts: list[Part], random: Random) -> list[Part]:
    wraps = _wraps()
    if random.random() < _WRAPS["before"]:
        before = random.choice(wraps.before)
        first = parts[0]
        is_plain = (
            not first.is_value
            and re.match(r"[A-Z][a-z]", first.text)
            and not before.rstrip().endswith((".", "!", "?"))
        )
        if is_plain:
            parts = [Part(first.text[0].lower() + first.text[1:], is_value=False), *parts[1:]]
        parts = [Part(before, is_value=False), *parts]
    if random.random() < _WRAPS["after"]:
        after = random.choice(wraps.after)
        starts_sentence = after.lstrip()[:1].isupper()
        if starts_sentence and not parts[-1].text.rstrip().endswith((".", "!", "?", "…")):
            parts = [*parts, Part(".", is_value=False)]
        parts = [*parts, Part(after, is_value=False)]
    return parts


def _spoken(parts: Sequence[Part], random: Random) -> list[Part]:
    """Without capitals and punctuation, perhaps with a filler."""
    said = [
        Part(part.text.lower() if part.is_value else _unpunctuated(part.text), part.is_value)
        for part in parts
    ]
    for i in range(1, len(said) - 1):  # where only a comma parted two names, there must be a word now
        if said[i - 1].is_value and said[i + 1].is_value and not said[i].text.strip():
            said[i] = Part(" and ", is_value=False)
    said = [part for part in said if part.text]
    if random.random() >= _FILLERS_IN_SPEECH:
        return said
    gaps = [
        (i, found.start())
        for i, part in enumerate(said)
        if not part.is_value and len(part.text.split()) > 2  # nothing between two names
        for found in re.finditer(" ", part.text)
    ]
    if gaps:
        i, place = random.choice(gaps)
        text = said[i].text
        said[i] = Part(
            f"{text[:place]} {random.choice(_wraps().fillers).lower()}{text[place:]}", is_value=False
        )
    return said


def _unpunctuated(text: str) -> str:
    bare = _PUNCTUATION.sub("", text.lower().replace("...", " ").replace("\n", " "))
    return re.sub(r" {2,}", " ", bare)


def _shortened(parts: Sequence[Part], random: Random, keep: Iterable[str]) -> list[Part]:
    """Now and then as typed on a telephone: "fwd this 2 Ada n tell thm", but for what the plan repeats."""
    if random.random() >= _SHORTENED[0]:
        return list(parts)
    texts = [_ANY_WORD.findall(text.lower()) for text in keep]
    repeated = {pair for words in texts for pair in pairwise(words)}
    alone = {words[0] for words in texts if len(words) == 1}
    found = [(i, word) for i, part in enumerate(parts) for word in _ANY_WORD.finditer(part.text)]
    around = ["", *(word[0].lower() for _, word in found), ""]
    changed = [""] * len(parts)
    ends = [0] * len(parts)
    for (i, match), before, word, after in zip(found, around, around[1:], around[2:], strict=False):
        is_free = word not in alone and repeated.isdisjoint({(before, word), (word, after)})
        is_free = is_free and not (_COUNTS.match(before) or _COUNTS.match(after) or parts[i].is_value)
        if word in _SHORT and is_free and random.random() < _SHORTENED[1]:
            changed[i] += parts[i].text[ends[i] : match.start()] + random.choice(_SHORT[word])
            ends[i] = match.end()
    return [
        Part(text + part.text[end:], part.is_value)
        for part, text, end in zip(parts, changed, ends, strict=True)
    ]


def _with_typos(parts: Sequence[Part], random: Random, kept: set[str]) -> list[Part]:
    """One to three slips in words that do not matter."""
    words = [
        (i, found)
        for i, part in enumerate(parts)
        if not part.is_value
        for found in _WORD.finditer(part.text)
        if found[0].lower() not in kept and not _MEANINGFUL.fullmatch(found[0].lower())
    ]
    slips = sorted(
        random.sample(words, min(len(words), random.choice((1, 1, 2, 3)))),
        key=lambda slip: (slip[0], slip[1].start()),
    )
    changed = list(parts)
    for i, found in reversed(slips):
        text = changed[i].text
        changed[i] = Part(
            text[: found.start()] + _slip(found[0], random) + text[found.end() :], is_value=False
        )
    return changed


def _slip(word: str, random: Random) -> str:
    """``word`` as hasty fingers type it."""
    at = random.randrange(1, len(word) - 1)
    ways: tuple[Callable[[], str], ...] = (
        lambda: word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        lambda: word[:at] + word[at + 1 :],
        lambda: word[:at] + word[at] + word[at:],
        lambda: word[:at] + _NEIGHBOURS.get(word[at].lower(), word[at]) + word[at + 1 :],
    )
    return random.choice(ways)()


@cache
def _wraps() -> _Wraps:
    text = (files("plait.training") / "data" / "wraps.json").read_text(encoding="utf-8")
    return _Wraps(**json.loads(text))
