"""What the user is shown of an email before it is written: to whom it goes, and what it will say."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from plait.errors import ToolCallError
from plait.tools import Draft, Prepared
from plait.tools.assistant._addresses import Address
from plait.tools.assistant._letters import Letter
from plait.tools.assistant._mail import Mail, MailBox, context_as_it_is
from plait.tools.assistant._received import Received

_QUOTES = frozenset("\"'“„‟‘‚«‹「『:：")  # noqa: RUF001


@dataclass(frozen=True)
class MailReview:
    """Prepares the calls of the tools that write email, each a ``Preparer``.

    What is prepared is what is written later: the message that is answered or passed on is the one that was
    shown, whatever has come in meanwhile, and no text is written any more. What its sender wrote, and to whom
    it has answers go, is untrusted.

    Args:
        mail: writes the emails.
    """

    mail: Mail

    async def new(self, draft: Draft) -> Prepared:
        """A new email."""
        recipients = draft.arguments.get("recipients")
        letter = None
        if recipients is not None:
            subject = draft.text("subject") or ""
            letter = self.mail.new(_texts(recipients), _texts(draft.arguments.get("cc")), subject)
        done = replace(self.mail, writer=context_as_it_is)
        return replace(await self._written(draft, letter), function=done.compose)

    async def reply(self, draft: Draft) -> Prepared:
        """An answer; to whom it goes and its subject are facts."""
        original = await self.mail.box.selected()
        letter = self.mail.answer(original, _texts(draft.arguments.get("cc")))
        facts = {"to": _shown(letter.to), "subject": letter.title}
        written = await self._written(draft, letter)
        return _about_others(written, facts, self._of(original).reply)

    async def forward(self, draft: Draft) -> Prepared:
        """A message that is passed on; which one it is, its subject and its attachments are facts."""
        original = await self.mail.box.selected()
        recipients = draft.arguments.get("recipients")
        letter = None
        if recipients is not None:
            cc = _texts(draft.arguments.get("cc"))
            letter = self.mail.passed_on(original, _texts(recipients), cc)
        title = Letter(to=(), text="", kind="forward", original=original).title
        facts = {
            "from": _shown(original.author) or "someone",
            "subject": title,
            "with": ", ".join(part.name for part in original.attachments),
        }
        written = await self._written(draft, letter)
        return _about_others(written, facts, self._of(original).forward)

    async def _written(self, draft: Draft, letter: Letter | None) -> Prepared:
        """The text, where one is to be written; later, if it needs what is not known yet.

        The marks for results that do not exist yet may stay in it.
        """
        context = draft.text("context") or draft.waiting.get("context")
        has_writer = self.mail.writer is not context_as_it_is
        if not context or not has_writer or is_dictated(context, draft.request):
            return Prepared()
        if letter is None:
            return Prepared(needs_results=True)
        marks, material = draft.marks.get("context", ()), draft.material.get("context", ())
        text = await self.mail.writer(replace(letter, text=context, material=material, waiting=marks))
        if text is None:
            return Prepared(needs_results=True)
        if text == context:
            return Prepared()
        read_others = letter.original is not None
        return Prepared({"context": text}, untrusted=frozenset({"context"} if read_others else ()))

    def _of(self, original: Received) -> Mail:
        """The mail whose selected message is the one that was shown."""
        return replace(self.mail, box=_Selected(self.mail.box, original), writer=context_as_it_is)


@dataclass(frozen=True)
class _Selected:
    """A ``MailBox`` in which one message stays selected."""

    box: MailBox
    message: Received

    async def selected(self) -> Received:
        return self.message

    async def save_draft(self, letter: Letter) -> str:
        return await self.box.save_draft(letter)

    async def send(self, letter: Letter) -> str:
        return await self.box.send(letter)


def is_dictated(text: str, request: str) -> bool:
    """Whether the user said the text word for word, in quotation marks or after a colon."""
    wanted, said = _folded(text), _folded(request)
    at = said.find(wanted) if wanted else -1
    while at >= 0:
        if said[:at].rstrip()[-1:] in _QUOTES:
            return True
        at = said.find(wanted, at + 1)
    return False


def _folded(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip(" .!").casefold()


def _texts(value: Any) -> Sequence[str]:
    """A list of texts; validation has not been there yet."""
    if value is None:
        return ()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise ToolCallError(f"{value!r} is no list of email addresses; give each as a text")


def _about_others(written: Prepared, facts: dict[str, str], function: Callable[..., Any]) -> Prepared:
    """What was written, with the facts that there are, all of them told by a message of others."""
    known = {name: text for name, text in facts.items() if text}
    return replace(written, facts=known, untrusted=written.untrusted | known.keys(), function=function)


def _shown(addresses: Sequence[Address]) -> str:
    """The addresses, each before the name that its bearer gave it, so that no name can pass for one."""
    return ", ".join(f"{a.spec} ({a.name})" if a.name else a.spec for a in addresses)
