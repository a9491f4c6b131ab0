"""Whether an answer in free text is the right one.

Texts are compared as HotpotQA's official script does: lower case, no punctuation, no articles.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NUMBER = re.compile(
    r"(?<![\w.^])([-\u2212]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?)(?!\d)(?:\s+([a-z]+))?", re.IGNORECASE
)
_SCALES = {
    "thousand": 1e3,
    "million": 1e6,
    "millions": 1e6,
    "billion": 1e9,
    "billions": 1e9,
    "trillion": 1e12,
}
_PARENTHESES = re.compile(r"\([^()]*\)")
_DECISION = re.compile(r"^\W*(yes|no)\b|\b(yes|no)(?=\s*(?:[.,;:!?*\"')\n]|$))", re.IGNORECASE)
_NOT_A_DECISION = re.compile(
    r"^\W*no\s+(?:one|answer|data|evidence|idea|information|mention|pages?|results?)\b", re.IGNORECASE
)
_WORD = re.compile(r"[^\s,;:?!()]+")
_CONNECTING = frozenset({"of", "the", "de", "del", "la", "le", "du", "von", "van", "to", "for", "in"})


def normalized(text: str) -> str:
    """``text`` in lower case without punctuation, articles and double spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def token_f1(answer: str, gold: str) -> float:
    """Harmonic mean of precision and recall of words, HotpotQA's: yes and no match as a whole only."""
    said, right = normalized(answer), normalized(gold)
    if said != right and {said, right} & {"yes", "no", "noanswer"}:
        return 0.0
    common = sum((Counter(said.split()) & Counter(right.split())).values())
    if not common:
        return 0.0
    precision, recall = common / len(said.split()), common / len(right.split())
    return 2 * precision * recall / (precision + recall)


def decision(answer: str) -> str | None:
    """``"yes"`` or ``"no"``, whichever the answer says first as a word of its own; ``None``: neither.

    That is one at the answer's beginning, or one that punctuation or the end follows: "no" in "there is
    no such film" decides nothing, and neither does "No information was found".
    """
    if _NOT_A_DECISION.match(answer):
        return None
    found = _DECISION.search(answer)
    return (found[1] or found[2]).lower() if found else None


def as_number(gold: str) -> float | None:
    """The number that ``gold`` is; ``None`` where it is text."""
    plain = gold.replace(",", "").strip()
    return float(plain) if re.fullmatch(r"[-+]?\d+(?:\.\d+)?", plain) else None


def says_number(answer: str, gold: float, *, tolerance: float) -> bool:
    """Whether the answer's number is ``gold``, but for ``tolerance`` as a share of it.

    The answer's number is the last one outside parentheses (where conversions stand), as it stands or
    times the million or billion that follows it. Digits that belong to a word (km2) are none.
    """
    found = list(_NUMBER.finditer(_PARENTHESES.sub(" ", answer))) or list(_NUMBER.finditer(answer))
    if not found:
        return False
    digits, word = found[-1].groups()
    number = float(digits.replace(",", "").replace("\u2212", "-"))
    scaled = number * _SCALES.get((word or "").lower(), 1.0)
    return any(abs(value - gold) <= tolerance * abs(gold) for value in (number, scaled))


def named(options: Iterable[str], answer: str) -> list[str]:
    """The options that the answer names as whole words; one inside a longer one that is named is not."""
    said = f" {normalized(answer)} "
    by_length = sorted(dict.fromkeys(options), key=lambda option: len(normalized(option)), reverse=True)
    found = []
    for option in by_length:
        words = f" {normalized(option)} "
        if words.strip() and words in said:
            found.append(option)
            # Doubled spaces keep the neighbours apart, and each other's.
            said = said.replace(words, " \x00 ")
    return found


def says_only(gold: str, rivals: Iterable[str], answer: str) -> bool:
    """Whether the answer has the words of ``gold`` together and, outside of them, those of no rival."""
    if not normalized(gold):  # a band called The The, or !!!
        return gold.lower() in answer.lower()
    others = [rival for rival in rivals if f" {normalized(rival)} " not in f" {normalized(gold)} "]
    return named([gold, *others], answer) == [gold]


def rivals(question: str, gold: str, known: Iterable[str] = ()) -> list[str]:
    """What else ``question`` names that could be answered in the place of ``gold``.

    These are the ``known`` names that are in it, and its runs of capitalized words ("Mount Kilimanjaro",
    "Statue of Unity"). A capitalized word alone counts only beside "and", "or" or punctuation, for else
    it is likely to be an adjective ("Which American director ...").
    """
    asked = f" {normalized(question)} "
    candidates = [name for name in known if f" {normalized(name)} " in asked]
    candidates += _names(question)
    right = f" {normalized(gold)} "
    return [c for c in dict.fromkeys(candidates) if normalized(c) and f" {normalized(c)} " not in right]


def alternatives(question: str, gold: str) -> list[str]:
    """Those :func:`rivals` that ``question`` offers with "or", where ``gold`` is in the question itself."""
    asked = f" {normalized(question)} "
    if f" {normalized(gold)} " not in asked:
        return []
    found = [(name, normalized(name)) for name in rivals(question, gold)]
    return [name for name, words in found if f" or {words} " in asked or f" {words} or " in asked]


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    ends: bool
    """Punctuation follows."""

    @property
    def is_capitalized(self) -> bool:
        return self.text[:1].isupper()


def _names(question: str) -> Iterator[str]:
    """Runs of capitalized words, without the one that begins a sentence."""
    for sentence in re.split(r"(?<=[.?!])\s+", question):
        words = list(_words(sentence))
        i = 1
        while i < len(words):
            end = _end_of_name(words, i)
            if end > i and (end - i > 1 or _stands_alone(words, i)):
                yield " ".join(word.text for word in words[i:end])
            i = max(end, i + 1)


def _words(sentence: str) -> Iterator[_Word]:
    for found in _WORD.finditer(sentence):
        text = re.sub(r"['\u2019]s?$", "", found[0].strip("\"'.“”"))
        after = sentence[found.end() : found.end() + 1]
        if text:
            yield _Word(
                text, ends=after in set(",;:?!()") or found.end() == len(sentence) or text != found[0]
            )


def _end_of_name(words: Sequence[_Word], start: int) -> int:
    """Behind the last word of the name that begins at ``start``; ``start`` itself if none does."""
    end = start
    while end < len(words) and (end == start or not words[end - 1].ends):
        if words[end].is_capitalized:
            end += 1
        elif end > start and _connects(words, end):
            end += 2
        else:
            break
    return end


def _connects(words: Sequence[_Word], i: int) -> bool:
    follows = i + 1 < len(words) and words[i + 1].is_capitalized and not words[i].ends
    return words[i].text in _CONNECTING and follows


def _stands_alone(words: Sequence[_Word], i: int) -> bool:
    beside = {word.text for word in (*words[i - 1 : i], *words[i + 1 : i + 2])}
    return bool(beside & {"and", "or"}) or words[i].ends or words[i - 1].ends
