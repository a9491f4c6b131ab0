"""What texts of a kind look like, and which of them a request holds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

_MAX_SOURCE = 8000
_MOST_CHUNKS = 40
_PLAIN = r'"\\$\x00-\x1f\x7f'
_CHUNK = re.compile(r"[A-Za-z0-9_\u00c0-\u024f]+?(?=s?(?![A-Za-z0-9_\u00c0-\u024f]))|.", re.DOTALL)

_DOTS = (
    "dot punkt punt point punto ponto kropka nokta tečka bodka piste prick pont точка крапка τελεία "
    "نقطة נקודה डॉट 点 點 ドット 점"
)
_DIGITS = (
    "zero oh one two three four five six seven eight nine double "
    "null eins zwei zwo drei vier fünf sechs sieben acht neun "
    "zéro un deux trois quatre cinq sept huit neuf "
    "cero uno dos tres cuatro cinco seis siete ocho nueve "
    "due tre quattro cinque sei sette otto nove "
    "um dois três quatro sete oito "
    "nul een twee drie vijf zes zeven negen"
)


def _words(words: str) -> str:
    return "|".join(sorted({re.escape(word) for word in words.split()}, key=lambda w: (-len(w), w)))


@dataclass(frozen=True, slots=True)
class Form:
    """What all texts of a kind look like."""

    pattern: str
    """Of a whole text, as a plan writes it; for llguidance."""
    found: re.Pattern[str]
    """Finds whether a request holds one."""
    spelled: re.Pattern[str] | None = None
    """Finds whether a request may say one in words, so that it has to be put together."""


FORMS = {
    "email": Form(
        rf"[^\s@,;:<>(){_PLAIN}]{{1,64}}@[^\s@,;:<>(){_PLAIN}]{{1,200}}",
        re.compile(r"[^\s@]@[^\s@]"),
        re.compile(rf"\b(?:{_words(_DOTS)})\b|[点點점]|ドット", re.IGNORECASE),
    ),
    "phone": Form(
        r"[+]?[(]?[0-9][0-9 ()./\-]{1,30}",
        re.compile(r"\d[\d ()./-]{1,30}\d"),
        re.compile(rf"(?:\b(?:{_words(_DIGITS)})\b\W*){{3}}", re.IGNORECASE),
    ),
    "path": Form(
        rf"(~?/|[.]{{1,2}}/|[A-Za-z]:(/|\\\\))([^{_PLAIN}]|\\\\){{1,300}}",
        re.compile(r"(?<![\w/.~])(?:~?/|\.{1,2}/|[A-Za-z]:[\\/])\w"),
    ),
}
"""The kinds whose texts can be told by looking at them. (A person's name is what none of these is.)"""

PERSON = "person"
_ESCAPED = r'\\["\\$]'
_NO_ADDRESS = rf"([^@{_PLAIN}]|{_ESCAPED})*\p{{L}}([^@{_PLAIN}]|{_ESCAPED})*"
_EDGE = rf"([^\s,;{_PLAIN}]|{_ESCAPED})"
_TRIMMED = rf"{_EDGE}(([^{_PLAIN}]|{_ESCAPED})*{_EDGE})?"


DIGITS = Form("[0-9]{1,19}", re.compile(r"\d"))
"""A number that is an identifier."""
_MEASURE = r"\d+-?(?:st|nd|rd|th|am|pm|h|hrs?|mins?|days?|k?m|k?g|[kmg]b|k|%)\b"


def identifier_form(thing: str) -> Form:
    """The form of identifiers of a ``thing``, what another system calls it.

    A request holds one if it has a word of letters and digits, a long number, or a number after the thing's
    name ("issue 12"); or if it speaks of an id, a code or a number, for then any word may be one.
    """
    named = rf"|\b{re.escape(thing)}s?\b\W+\w*\d" if thing else ""
    return Form(
        rf"[^\s,;{_PLAIN}]{{1,200}}",
        re.compile(
            rf"(?<![\w-])(?!{_MEASURE})(?=[\w-]*\d)(?=[\w-]*[^\W\d_])[\w-]{{4,}}|\b\d{{5,}}\b|#\w*\d"
            rf"|\b(?:ids?|identifiers?|codes?|numbers?)\b{named}",
            re.IGNORECASE,
        ),
    )


@dataclass(frozen=True)
class Source:
    """What texts can be copied from: the request, and what is known from before it."""

    text: str

    @classmethod
    def of(cls, texts: Sequence[str]) -> Source | None:
        """All of ``texts``; ``None`` where that is too much to look through for every token."""
        text = "\n".join(texts)
        return cls(text) if len(text) <= _MAX_SOURCE else None

    @cached_property
    def lark(self) -> str:
        """The terminal of its parts, for llguidance.

        Where words are set apart by spaces, none is cut, but for an "s" at its end. All words stand there in
        lower case as well, since sentences begin with capitals, and with a capital.
        """
        cases = dict.fromkeys((self.text, self.text.lower(), self.text.title()))
        chunks = [_written(chunk) for chunk in _CHUNK.findall("\n".join(cases))]
        return f"%regex {json.dumps({'substring_chunks': chunks}, ensure_ascii=False)}"

    def holds(self, form: Form) -> bool:
        """Whether it has a text of this form as such, in whole words: a file's number is no phone's."""
        if form.found.search(self.text) is None:
            return False
        pattern, chunks = re.compile(form.pattern), [_written(chunk) for chunk in _CHUNK.findall(self.text)]
        return any(
            pattern.fullmatch(text)
            for i in range(len(chunks))
            for text in accumulate(chunks[i : i + _MOST_CHUNKS])
        )

    def may_spell(self, form: Form) -> bool:
        """Whether it may say one in words."""
        return form.spelled is not None and form.spelled.search(self.text) is not None


def form_terminal(form: Form, source: Source | None) -> str | None:
    """The terminal, for llguidance, of texts of ``form`` in a plan; ``None`` if there is none to write."""
    if source is None or source.may_spell(form):
        return f"/{_slashed(form.pattern)}/"
    return f"SOURCE & /{_slashed(form.pattern)}/" if source.holds(form) else None


def text_terminal(*, is_person: bool, is_copied: bool) -> str | None:
    """The terminal, for llguidance, of texts without a form; ``None`` if they may be any.

    Args:
        is_person: whether they are names of people.
        is_copied: whether they are parts of the source.
    """
    parts = [
        *(["SOURCE", f"/{_slashed(_TRIMMED)}/"] if is_copied else []),
        *([f"/{_slashed(_NO_ADDRESS)}/"] if is_person else []),
    ]
    return " & ".join(parts) or None


def _written(chunk: str) -> str:
    """``chunk`` as the strings of a plan have it."""
    return json.dumps(chunk, ensure_ascii=False)[1:-1].replace("$", "\\$")


def _slashed(pattern: str) -> str:
    """``pattern`` as it stands between slashes."""
    return re.sub(r"(?<!\\)/", r"\\/", pattern)
