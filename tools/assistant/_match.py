"""Finding what a name means: exactly, by whole words, by beginnings of words, by close spelling."""

from __future__ import annotations

import difflib
import operator
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T", bound=Hashable)

CLOSE = 0.84  # "Jon" and "John" (0.86) are close, "Maria" and "Mario" (0.80) are two people
_NEAR = 0.5  # for suggestions in messages only
_UNDECOMPOSED = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i"}
)


def fold(text: str) -> str:
    """The text without case and without accents: ``"Zoë ÅSTRÖM"`` gives ``"zoe astrom"``.

    Only diacritics of alphabets go; the vowel signs of other scripts are letters and stay.
    """
    if text.isascii():
        return text.lower()
    bare = (c for c in unicodedata.normalize("NFKD", text) if not "\u0300" <= c <= "\u036f")
    return unicodedata.normalize("NFC", "".join(bare)).casefold().translate(_UNDECOMPOSED)


def words(text: str) -> tuple[str, ...]:
    """The folded words: runs of letters (with their marks) and digits."""
    return tuple("".join(c if _in_word(c) else " " for c in fold(text)).split())


def best(query: str, candidates: Iterable[tuple[str, T]]) -> list[T]:
    """What the query names: all candidates of the first level on which there are any.

    The levels: the same words; the query's words are words of the name; they are beginnings of words
    of the name; they are spelled closely like it.

    Args:
        query: the name that was asked for.
        candidates: pairs of a name and what it names; one thing may have several names.

    Returns:
        The matches in their given order, each once; empty if there are none.
    """
    wanted = _Key.of(query)
    keyed = [(_Key.of(name), item) for name, item in candidates]
    for level in _LEVELS:
        found = [item for key, item in keyed if level(wanted, key)]
        if found:
            return list(dict.fromkeys(found))
    return []


def nearest(query: str, names: Iterable[str], n: int = 3) -> list[str]:
    """At most ``n`` names that look most like the query, best first, for an error message."""
    by_fold = {fold(name): name for name in names}
    return [by_fold[key] for key in difflib.get_close_matches(fold(query), by_fold, n=n, cutoff=_NEAR)]


def did_you_mean(query: str, names: Iterable[str]) -> str:
    """``"; the nearest are A, B"`` for the end of a message, or nothing where nothing is near."""
    near = nearest(query, names)
    if not near:
        return ""
    return f"; the nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}"


@dataclass(frozen=True)
class _Key:
    text: str
    words: tuple[str, ...]

    @classmethod
    def of(cls, name: str) -> _Key:
        return cls(fold(name).strip(), words(name))


def _same(query: _Key, name: _Key) -> bool:
    return query.words == name.words if query.words else query.text == name.text


def _has_words(query: _Key, name: _Key) -> bool:
    return _covered(query.words, name.words, operator.eq)


def _has_beginnings(query: _Key, name: _Key) -> bool:
    return _covered(query.words, name.words, _begins)


def _is_close(query: _Key, name: _Key) -> bool:
    return _close("".join(query.words), "".join(name.words)) or _covered(
        query.words, name.words, lambda part, word: _begins(part, word) or _close(part, word)
    )


_LEVELS: Sequence[Callable[[_Key, _Key], bool]] = (_same, _has_words, _has_beginnings, _is_close)


def _covered(parts: Sequence[str], names: Sequence[str], accepts: Callable[[str, str], bool]) -> bool:
    """Whether each part is accepted by a word of its own; the longest, as the choosiest, goes first."""
    left = list(names)
    for part in sorted(parts, key=len, reverse=True):
        word = next((word for word in left if accepts(part, word)), None)
        if word is None:
            return False
        left.remove(word)
    return bool(parts)


def _begins(part: str, word: str) -> bool:
    return part == word or (word.startswith(part) and not part.isdigit())  # "plan 2" is not "plan 2026"


@lru_cache(maxsize=65536)
def _close(a: str, b: str) -> bool:
    if min(len(a), len(b)) < 3 or 2 * min(len(a), len(b)) < CLOSE * (len(a) + len(b)):
        return a == b
    if _digits(a) != _digits(b):  # "budget-2026" is no misspelling of "budget-2027"
        return False
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    return matcher.quick_ratio() >= CLOSE and matcher.ratio() >= CLOSE


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def _in_word(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char)[0] == "M"
