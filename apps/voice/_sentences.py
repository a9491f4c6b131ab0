"""Sentences out of a text that is still being written, and what of them can be spoken."""

from __future__ import annotations

import re

_END = re.compile(r"""[.!?\u2026]+["'\u201d\u2019)\]]*(?=\s)|\n""")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|no|vs|etc|e\.g|i\.e|a\.m|p\.m|[a-z])|^\s*\d+)\.$", re.IGNORECASE
)
_MARKUP = re.compile(r"[*_`#|>]+|^\s*[-•]\s+")
_ADDRESS = re.compile(r"https?://([^\s/]+)\S*")
_CLAUSE = re.compile(r"[,;:](?=\s)|\s[-\u2013\u2014](?=\s)")
_MAX_CHARS = 400
_LONG_CHARS = 60
_MIN_CLAUSE_CHARS = 16


class SentenceSplitter:
    """Takes text in pieces of any size and gives each sentence as soon as it is whole."""

    def __init__(self) -> None:
        self._text = ""

    def push(self, text: str) -> list[str]:
        """The sentences that ``text`` completes."""
        self._text += text
        sentences, at = [], 0
        for end in _END.finditer(self._text):
            if not _ABBREVIATION.search(self._text[at : end.end()]) or end.group() == "\n":
                sentences.append(self._text[at : end.end()].strip())
                at = end.end()
        if len(self._text) - at > _MAX_CHARS:  # no sentence has that many: it is a list or a table
            cut = self._text.rfind(" ", at, at + _MAX_CHARS) + 1 or at + _MAX_CHARS
            sentences.append(self._text[at:cut].strip())
            at = cut
        self._text = self._text[at:]
        return [sentence for sentence in sentences if sentence]

    def finish(self) -> list[str]:
        """What is left when the text has ended."""
        rest, self._text = self._text.strip(), ""
        return [rest] if rest else []


def beginning(sentence: str) -> list[str]:
    """A long sentence in two, at its first clause, so that the first can be heard while the second is made.

    A short one, or one in which there is no such place, is left whole.
    """
    if len(sentence) >= _LONG_CHARS:
        for end in _CLAUSE.finditer(sentence, _MIN_CLAUSE_CHARS):
            first, rest = sentence[: end.end()].strip(), sentence[end.end() :].strip()
            if len(rest) >= _MIN_CLAUSE_CHARS:
                return [first, rest]
    return [sentence]


def speakable(text: str) -> str:
    """One line that a voice can read: without markup, of addresses on the web only the host.

    Empty where there is nothing to say.
    """
    plain = _MARKUP.sub("", _ADDRESS.sub(r"\1", text))
    line = " ".join(plain.split())
    return line if any(character.isalnum() for character in line) else ""
