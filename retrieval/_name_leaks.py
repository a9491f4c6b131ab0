"""Whether a request names a tool, as nobody does who only knows what it is for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from plait.retrieval._text import split_words

_SEPARATOR = re.compile(r"[./:]+|__+")
_ENDINGS = ("", "s", "es", "d", "ed", "ing", "ly")


def names_tool(query: str, name: str, description: str) -> bool:
    """Whether ``query`` names the tool, or ends of its dotted name, in any style of writing identifiers.

    Several words are a name wherever they stand in a row, written together or apart. One word is a name if
    the description does not use it, or if the query marks it as code: in backquotes, or behind a dot.

    Args:
        query: a request.
        name: the tool's name, such as ``numpy.linalg.norm``.
        description: what the tool does, in words that people may use in requests too.
    """
    words = split_words(query)
    parts = [part for part in _SEPARATOR.split(name) if part]
    ends = (split_words(" ".join(parts[i:])) for i in range(len(parts)))
    return any(
        _is_in_a_row(end, words)
        if len(end) > 1
        else _is_marked(parts[-1], query) or (end[0] in words and not _uses(end[0], split_words(description)))
        for end in ends
        if end
    )


def _is_in_a_row(wanted: Sequence[str], words: Sequence[str]) -> bool:
    """Whether neighbouring words, written together, are ``wanted``, written together."""
    joined = "".join(wanted)
    for start in range(len(words)):
        length = 0
        for end in range(start, len(words)):
            length += len(words[end])
            if length >= len(joined):
                if "".join(words[start : end + 1]) == joined:
                    return True
                break
    return False


def _is_marked(word: str, query: str) -> bool:
    """Whether the word is in backquotes or behind a dot."""
    marked = rf"`[^`]*\b{re.escape(word)}\b[^`]*`|\.{re.escape(word)}\b"
    return re.search(marked, query, re.IGNORECASE) is not None


def _uses(word: str, described: Sequence[str]) -> bool:
    """Whether the description uses the word, in one of its plainest forms."""
    stems = (word, word.removesuffix("e"))
    forms = {stem + ending for stem in stems for ending in _ENDINGS}
    return word in described or any(other in forms for other in described)
