"""Cutting a text of any language into sentences, and sentences into terms."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

MAX_SENTENCE_CHARS = 600
"""What has no punctuation, such as a table or a list, is cut at about this length."""

_PARAGRAPH = re.compile(r"\S(?:.|\n(?!\s*\n))*")
# The ends of sentences: in scripts with spaces one must follow, in those without it need not.
_END = re.compile(r"[.!?…؟।॥։።]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[」』”’）]*")  # noqa: RUF001
_LIST_ITEM = re.compile(r"\n[ \t]*(?=(?:[-*+•‣◦·–]|\d{1,3}[.)])[ \t])")  # noqa: RUF001
_BEFORE = re.compile(r"\b(?:[^\W\d_]|Dr|Mr|Mrs|Ms|Prof|St|No|Nr|vs|etc|[Ff]ig)\Z")
_WORD = re.compile(r"\w+")
# Chinese, Japanese, Thai, Lao, Burmese and Khmer are written without spaces.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]+"
)

_N_NEW = 2
_LEAST_TERMS = 5
_LINKS = frozenset(("and", "also", "so", "then", "the", "a", "an", "is", "be", "will", "by", "to"))
_PARAGRAPHS = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a text, by its place."""

    start: int
    """Its first character in the text."""
    end: int
    """The character after its last one."""
    is_first: bool
    """Whether it begins a paragraph."""


def sentences_of(text: str) -> list[Sentence]:
    """The sentences of ``text`` in order; together they are all of it but white space."""
    found = []
    for paragraph in _PARAGRAPH.finditer(text):
        is_first = True
        for start, end in _pieces(text, paragraph.start(), paragraph.end()):
            if text[start:end].strip():
                found.append(Sentence(start, end, is_first))
                is_first = False
    return found


def terms_of(text: str) -> list[str]:
    """The words of ``text``, folded; of scripts without spaces, the pairs of neighbouring characters."""
    terms: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        at = 0
        for run in _UNSPACED.finditer(word):
            terms += [word[at : run.start()]] if run.start() > at else []
            piece = run[0]
            terms += [piece[i : i + 2] for i in range(len(piece) - 1)] or [piece]
            at = run.end()
        terms += [word[at:]] if at < len(word) else []
    return terms


def without_repeats(text: str) -> str:
    """``text`` without the sentences that only say again what an earlier one of it says."""
    kept, end = "", 0
    for sentence, is_repeat in _repeats(text):
        between = text[end : sentence.start]
        if not is_repeat:
            kept += between if kept and not kept.endswith("\n") else ""
            kept += text[sentence.start : sentence.end]
        elif kept and _PARAGRAPHS.search(between) and not kept.endswith("\n"):
            kept += "\n\n"
        end = sentence.end
    return kept.rstrip()


def goes_round(text: str) -> bool:
    """Whether the last two whole sentences of ``text`` only say again what earlier ones say."""
    repeats = [is_repeat for sentence, is_repeat in _repeats(text) if sentence.end < len(text)]
    return len(repeats) > _N_NEW and all(repeats[-_N_NEW:])


def _repeats(text: str) -> Iterator[tuple[Sentence, bool]]:
    """Each sentence, and whether all its words but such as "and" stand in an earlier one.

    Another number, name or "not" makes it a new one. Short sentences never count.
    """
    said: list[set[str]] = []
    for sentence in sentences_of(text):
        terms = set(terms_of(text[sentence.start : sentence.end])) - _LINKS
        yield sentence, len(terms) >= _LEAST_TERMS and any(terms <= earlier for earlier in said)
        said.append(terms)


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the sentences of a paragraph are, none much longer than ``MAX_SENTENCE_CHARS``."""
    ends = {m.end() for m in _END.finditer(text, start, end) if _is_end(text, m)}
    ends |= {m.start() for m in _LIST_ITEM.finditer(text, start, end)}
    for stop in sorted({*ends, end}):
        while stop - start > MAX_SENTENCE_CHARS:
            space = max(text.rfind(mark, start + 1, start + MAX_SENTENCE_CHARS) for mark in " \n\t")
            cut = space if space > start else start + MAX_SENTENCE_CHARS
            yield _stripped(text, start, cut)
            start = cut
        yield _stripped(text, start, stop)
        start = stop


def _is_end(text: str, mark: re.Match[str]) -> bool:
    """Whether it ends a sentence: not after an initial or a title, nor before a small letter."""
    if mark[0] != ".":
        return True
    following = text[mark.end() : mark.end() + 20].lstrip()[:1]
    before = _BEFORE.search(text, max(0, mark.start() - 5), mark.start())
    return not following.islower() and before is None


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
