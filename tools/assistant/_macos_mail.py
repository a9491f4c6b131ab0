"""The application Mail of macOS."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plait.errors import ToolCallError
from plait.tools import call_in_thread
from plait.tools.assistant._addresses import Address
from plait.tools.assistant._ics import one_line
from plait.tools.assistant._letters import Letter, body_text
from plait.tools.assistant._osascript import Script, ScriptRunner
from plait.tools.assistant._received import Part, Received

READ_SELECTED = Script(
    "Mail",
    "AppleScript",
    """
on run argv
  tell application "Mail"
    set theMessages to {}
    if (count of message viewers) > 0 then
      set theMessages to selected messages of message viewer 1
      if theMessages is missing value then set theMessages to {}
    end if
    if theMessages is {} then
      if (count of messages of inbox) is 0 then return ""
      set theMessages to {message 1 of inbox}
    end if
    return source of item 1 of theMessages
  end tell
end run
""",
)

WRITE = Script(
    "Mail",
    "AppleScript",
    """
on run argv
  set {theKind, theAction, theId, theSubject, theText} to items 1 thru 5 of argv
  set {theTo, theCc} to {my parts(item 6 of argv, 31), my parts(item 7 of argv, 31)}
  set theFiles to my parts(item 8 of argv, 31)
  tell application "Mail"
    if theKind is "reply" then
      set theOriginals to (messages of inbox whose message id is theId)
      if theOriginals is {} then error "the message that is answered is not in the inbox"
      set theMessage to reply (item 1 of theOriginals) opening window false
      delete every to recipient of theMessage
      delete every cc recipient of theMessage
    else
      set theMessage to make new outgoing message with properties {subject:theSubject, visible:false}
    end if
    set content of theMessage to theText
    tell theMessage
      repeat with thePair in theTo
        set {theName, theAddress} to my parts(contents of thePair, 30)
        make new to recipient at end of to recipients with properties {name:theName, address:theAddress}
      end repeat
      repeat with thePair in theCc
        set {theName, theAddress} to my parts(contents of thePair, 30)
        make new cc recipient at end of cc recipients with properties {name:theName, address:theAddress}
      end repeat
      repeat with thePath in theFiles
        set theFile to POSIX file (contents of thePath)
        make new attachment with properties {file name:theFile} at after the last paragraph of content
      end repeat
    end tell
    if theAction is "send" then
      if not (send theMessage) then error "the message was not sent"
    else
      save theMessage
    end if
  end tell
  return "ok"
end run

on parts(theList, theCode)
  if theList is "" then return {}
  set {theOld, text item delimiters} to {text item delimiters, character id theCode}
  set theItems to text items of theList
  set text item delimiters to theOld
  return theItems
end parts
""",
)

_BETWEEN, _INSIDE = "\x1f", "\x1e"


@dataclass(frozen=True)
class MacMail:
    """A ``MailBox`` of the application Mail, from its usual account.

    Mail's own replies keep their thread. A forward is a new message that quotes the original: Mail would drop
    the attachments of its own forwards when their text is set.
    """

    runner: ScriptRunner

    async def selected(self) -> Received:
        """The message that is selected in the front window, or else the newest of the inbox."""
        source = await call_in_thread(self.runner, {"script": READ_SELECTED, "arguments": []})
        if not source:
            raise ToolCallError("There is no email in the inbox of Mail")
        return Received.parse(source.encode("utf-8", "surrogateescape"))

    async def save_draft(self, letter: Letter) -> str:
        """Keep the letter in the drafts of Mail."""
        await call_in_thread(self._write, {"letter": letter, "action": "save"})
        return "Drafts of Mail"

    async def send(self, letter: Letter) -> str:
        """Hand the letter to Mail to send."""
        await call_in_thread(self._write, {"letter": letter, "action": "send"})
        return ""

    def _write(self, letter: Letter, action: str) -> None:
        original = letter.original
        kind = "reply" if letter.kind == "reply" and original and original.message_id else "new"
        identifier = original.message_id.strip("<>") if original else ""
        passed_on = original.attachments if original and letter.kind == "forward" else ()
        paths = _files((*letter.attachments, *passed_on))
        self.runner(
            WRITE,
            [
                *(kind, action, identifier, one_line(letter.title), body_text(letter)),
                *(_joined(letter.to), _joined(letter.cc), _BETWEEN.join(map(str, paths))),
            ],
        )


def _joined(addresses: Sequence[Address]) -> str:
    return _BETWEEN.join(f"{address.name}{_INSIDE}{address.spec}" for address in addresses)


def _files(parts: Sequence[Part]) -> list[Path]:
    """The attachments as temporary files, left to the system: Mail reads them in its own time."""
    if not parts:
        return []
    folder = Path(tempfile.mkdtemp(prefix="plait-mail-"))
    paths = []
    try:
        for number, part in enumerate(parts):
            place = folder / str(number)
            place.mkdir()
            name = one_line(part.name).replace("/", "-").strip(". ")[-150:] or "attachment"
            paths.append(place / name)
            paths[-1].write_bytes(part.content)
    except OSError as error:
        raise ToolCallError(f"cannot write the attachments to {folder}: {error.strerror or error}") from error
    return paths
