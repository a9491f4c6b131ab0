"""Whether what was said is a yes, a no, or neither."""

from __future__ import annotations

import re

_NO = re.compile(
    r"\b(?:no|nope|nah|don'?t|do not|not|never|stop|cancel|wait|hold on|abort|decline|leave it)\b",
    re.IGNORECASE,
)
_YES = re.compile(
    r"\b(?:yes|yeah|yep|yup|sure|ok|okay|correct|right|confirm(?:ed)?|approved?|absolutely|certainly|definitely"
    r"|do it|do that|go ahead|go on|send it|please do|of course|sounds good)\b",
    re.IGNORECASE,
)
_STOP = re.compile(
    r"(?:please )?(?:stop|cancel(?: that| it)?|never ?mind|(?:be )?quiet|shut up|abort|(?:that'?s )?enough)"
    r"(?: please)?",
    re.IGNORECASE,
)
_MAX_WORDS = 8


def yes_or_no(text: str) -> bool | None:
    """True for a yes, False for a no; ``None`` where it is neither.

    A word of refusal anywhere makes it a no: "yes, no, wait" approves nothing. A long sentence is no yes.
    """
    plain = text.replace("\u2019", "'")
    if _NO.search(plain):
        return False
    return True if _YES.search(plain) and len(plain.split()) <= _MAX_WORDS else None


def says_stop(text: str) -> bool:
    """Whether the whole text says to stop what is being done."""
    return _STOP.fullmatch(text.replace("\u2019", "'").replace(",", "").strip(" .!?")) is not None
