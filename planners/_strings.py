"""What stands in a string: escapes and references."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from plait.planners._plan import Ref, Template, make_text
from plait.planners._scanner import Malformed

# A key in quotes; the quotes may be escaped, because the whole may stand in a string of its own.
_KEY = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\\'(?:[^'\\]|\\[^'])*\\'|\\"(?:[^"\\]|\\[^"])*\\")"""
_STEP_FORMS = (r"\.(?P<field>[A-Za-z_]\w*)", r"\[(?P<index>-?[0-9]{1,18})\]", rf"\[(?P<key>{_KEY})\]")
_STEP = re.compile("|".join(_STEP_FORMS), re.DOTALL)
_PATH = f"(?:{'|'.join(re.sub('[?]P<[a-z]+>', '?:', form) for form in _STEP_FORMS)})*"
_BRACED = rf"\$\{{(?P<task>[0-9]+)(?P<path>{_PATH})\}}"
BARE_REFERENCE = re.compile(rf"\$(?P<task>[0-9]+)(?P<path>{_PATH})", re.DOTALL)
BRACED_REFERENCE = re.compile(_BRACED, re.DOTALL)

_ESCAPE = re.compile(
    r"\\(?:u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|u(?P<unit>[0-9a-fA-F]{4})|(?P<char>.))",
    re.DOTALL,
)
_ESCAPED = {
    "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
    '"': '"', "'": "'", "\\": "\\", "/": "/", "$": "$", "\n": "\n",
}  # fmt: skip
_SURROGATE = re.compile("[\ud800-\udfff]")


def unescaped(text: str) -> str:
    r"""``text`` with escapes resolved. One that is unknown keeps its backslash: ``\d`` is two characters."""
    return _ESCAPE.sub(_resolve, text) if "\\" in text else text


def _resolve(escape: re.Match[str]) -> str:
    if escape["high"]:
        return chr(0x10000 + (int(escape["high"], 16) - 0xD800) * 0x400 + int(escape["low"], 16) - 0xDC00)
    if escape["unit"]:
        return without_surrogates(chr(int(escape["unit"], 16)))
    return _ESCAPED.get(escape["char"], escape[0])


def without_surrogates(text: str) -> str:
    """``text`` with halves of characters, which no encoding can write, replaced."""
    return _SURROGATE.sub("\ufffd", text)


@dataclass(frozen=True, slots=True)
class StringSyntax:
    """How one form of a plan writes dollars and other odd characters in its strings."""

    special: re.Pattern[str]
    """Finds references and the escapes that could hide a dollar."""
    unescape: Callable[[str], str]


CALL_STRINGS = StringSyntax(re.compile(rf"\\.|{_BRACED}", re.DOTALL), unescaped)
JSON_STRINGS = StringSyntax(
    re.compile(rf"\\\$|{_BRACED}", re.DOTALL), lambda text: without_surrogates(text.replace("\\$", "$"))
)


def interpolated(body: str, known: Collection[int], syntax: StringSyntax) -> str | Ref | Template:
    """The value of a string: its text, the reference that it is, or a template.

    ``$k`` alone is a reference where task k is ``known``, and plain text where it is not ("$5").

    Raises:
        Malformed: ``${k}`` stands in it, and task k is not known.
    """
    whole = BARE_REFERENCE.fullmatch(body)
    if whole and task_number(whole) in known:
        return _reference(whole)
    parts: list[str | Ref] = []
    begin = 0
    for found in syntax.special.finditer(body):
        if found["task"] is None:
            continue
        parts += [syntax.unescape(body[begin : found.start()]), _known_reference(found, known)]
        begin = found.end()
    return make_text([*parts, syntax.unescape(body[begin:])])


def reference_at(text: str, at: int, known: Collection[int]) -> tuple[Ref, int]:
    """The reference that stands at ``at``, and where it ends.

    Raises:
        Malformed: there is none, or not to a known task.
    """
    found = BARE_REFERENCE.match(text, at) or BRACED_REFERENCE.match(text, at)
    if found is None:
        raise Malformed("expected a reference such as $1", at)
    return _known_reference(found, known), found.end()


def _known_reference(found: re.Match[str], known: Collection[int]) -> Ref:
    if task_number(found) not in known:
        raise Malformed(f"${found['task'][:20]} is not the result of an earlier task", found.start())
    return _reference(found)


def task_number(found: re.Match[str]) -> int:
    digits = found["task"]
    return int(digits) if len(digits) < 10 else 0  # 0 is no task; nor can there be one so high


def _reference(found: re.Match[str]) -> Ref:
    return Ref(task_number(found), tuple(_step(step) for step in _STEP.finditer(found["path"])))


def _step(step: re.Match[str]) -> str | int:
    if step["index"] is not None:
        return int(step["index"])
    if step["field"] is not None:
        return step["field"]
    n_quote = 2 if step["key"].startswith("\\") else 1
    return unescaped(step["key"][n_quote:-n_quote])
