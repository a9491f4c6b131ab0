"""Whether a text is what an email or a note says, or an order to write it, and from what.

A finished text must go out unchanged, so only what can hardly be one counts as an order: "ask him whether",
"tell Sid that" in an email to Sid, "a short reply declining the invitation". In doubt it is the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

_KINDS = (
    r"(?:e-?mails?|mails?|messages?|reply|response|answer|letter|invitation|apology|reminder|thank[- ]you"
    r"|nachricht|antwort|einladung|entschuldigung|brief|courriel|reponse|lettre|correo|mensaje|respuesta"
    r"|carta|mensagem|resposta|messaggio|risposta|lettera|bericht|antwoord|uitnodiging|brief)"
)
_WRITE = (
    r"(?:write|draft|compose|schreib\w*|verfass\w*|formulier\w*|ecris|redige[rz]?|ecrivez|escrib\w+|redact\w+"
    r"|escrev\w+|redij\w+|scriv\w+|redigi|schrijf|stel)"
)
_PEOPLE = r"(?:him|her|them|ihm|ihr|ihnen|ihn|lui|leur|ele|ela|eles|elas|hem|haar|hen|hun)"
_TELL = (
    r"(?:tell|ask|inform|notify|remind|thank|invite|congratulate|assure|warn|let|wish|write(?: to)?|reply to"
    r"|apologi[sz]e to|say to|sag\w*|frag\w*|erinner\w*|informier\w*|dank\w*|schreib\w*"
    r"|ecris|diga|pergunte|peca|agradeca|lembre|avise|escreva|vertel|vraag|bedank|herinner|schrijf)"
)
_ENCLITIC = (  # Romance languages write the person behind the verb
    r"(?:dis|dites|ecris|ecrivez|demande|demandez|rappelle|annonce|explique|reponds|propose|envoie|souhaite)-(?:lui|leur)"
    r"|(?:escribe|di|pregunta|pide|agradece|recuerda|explica|informa|invita|responde|desea)(?:le|les|lo|la|los|las)"
    r"|(?:diga|pergunte|agradeca|lembre|responda|escreva)-lhes?"
    r"|(?:scrivi|di|chiedi|ringrazia|ricorda|spiega|rispondi|invita)g?(?:li|le|lo|la)"
)
_EMAIL_ORDERS = (
    rf"{_WRITE}\s(?:[\w'-]+,?\s){{0,5}}?[\w-]*?{_KINDS}\b",
    rf"{_TELL}\s{_PEOPLE}\b",
    rf"(?:{_ENCLITIC})\b",
    r"(?:say|explain|mention)\sthat\b",
    r"apologi[sz]e\s(?:for|that|and|because)\b",
    r"(?:accept|decline)\s(?:the|his|her|their)\b",
    r"an?\s(?:[\w-]+\s){0,3}?(?:e-?mail|message|reply|response|answer|invitation|apology|note|letter)\s"
    r"(?:that|to|asking|saying|thanking|declining|accepting|explaining|inviting|telling|confirming|apologi[sz]ing)\b",
)
_MATERIAL_ORDERS = (
    rf"{_WRITE}\b",
    r"summari[sz]e\b",
    r"(?:list|extract|outline|shorten|rewrite|rephrase)\s(?:the|all|its|this|these|only|main|key)\b",
    r"(?:make|create)\san?\s(?:[\w-]+\s){0,2}?(?:summary|list|outline|overview|table)\b",
    r"fass?e?\b.*\bzusammen\b",
    r"(?:resumez?|resuma|resumi|riassumi|elenca|enumera)\b",
    r"vat\b.*\bsamen\b",
)
_READING = (  # in an order to write an email: who carries it out has to know what the material says
    r"\b(?:summar|digest|overview|outline|translat|shorten|rephras|list of|key points|main points"
    r"|zusammen(?:fass|zufassen)|ubersicht|ubersetz|resum|sintesis|sintetiz|traduc|traduz|traduir|tradui"
    r"|riassun|sintesi|samenvat|overzicht|vertaal|vertaling)"
)
_ORDINARY = (  # parts of addresses that are words: "Thank you for the offer" to thank.you@ is no order
    r"(?:all|alle|and|any|der|die|ele|ela|en|et|eu|everyone|her|him|his|hola|ihr|info|it|its|je|la|le|lei|les|lo|me"
    r"|mail|mich|mir|moi|my|no|nos|not|office|our|sales|she|sie|so|support|team|te|that|the|their|them|they|this|to"
    r"|todos|tu|tua|und|us|van|vos|vous|was|we|with|you|your|zu)"
)
_POLITE = (
    r"(?:(?:please|politely|kindly|briefly|now|and|to|bitte|por favor|per favore|merci de|alstublieft)"
    r"[\s,]+)*"
)


def email_order(text: str, material: Sequence[str] = (), people: Iterable[str] = ()) -> str | None:
    """The order to write an email that ``text`` is, without the material; ``None`` if it is the email's text.

    Args:
        text: what a plan gives as the email's context.
        material: the results of other calls that stand in it.
        people: the recipients' names and addresses.
    """
    order = _without(text, material)
    if _begins(order, _EMAIL_ORDERS) or (material and _begins(order, _MATERIAL_ORDERS)):
        return order
    found = (re.findall(r"[^\W\d_]{2,}", _folded(person.partition("@")[0])) for person in people)
    names = {part for parts in found for part in parts if not re.fullmatch(_ORDINARY, part)}
    named = "|".join(map(re.escape, sorted(names)))
    return order if named and _begins(order, (rf"{_TELL}\s(?:{named})\b",)) else None


def note_order(text: str, material: Sequence[str] = ()) -> str | None:
    """The order to write a note from material; ``None`` if it is the note's text.

    A note without material is always the text: "Write to the landlord" is a thing to do.
    """
    order = _without(text, material)
    return order if material and _begins(order, _MATERIAL_ORDERS) else None


def needs_reading(order: str) -> bool:
    """Whether only who has read the material can carry the order out: "summarize", not "tell her where"."""
    return _begins(order, _MATERIAL_ORDERS) or re.search(_READING, _folded(order)) is not None


def _without(text: str, material: Sequence[str]) -> str:
    for part in material:
        if part:
            text = text.replace(part, " ", 1)
    return re.sub(r"\s+", " ", text).strip(" :;,-")


def _begins(order: str, patterns: Sequence[str]) -> bool:
    return re.match(rf"{_POLITE}(?:{'|'.join(patterns)})", _folded(order)) is not None


def _folded(text: str) -> str:
    """Without case and accents."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in parts if not unicodedata.combining(c))
