"""``plait chat`` at a pseudo-terminal and from a pipe."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are POSIX's", allow_module_level=True)

import pty
import termios

LOOK = '1. look_up(name="a")\n2. join()'
SAVE = "2. save(text=$1)\n3. join()"
QUESTION = "Make it? [y]es, [n]o or [e]dit:"
QUESTIONS = "Make them? [y]es, [n]o,"
PROMPT = "\x1b[0m>"
CTRL_C, CTRL_D, BACKSPACE = "\x03", "\x04", "\x7f"


class Terminal:
    """A chat at a terminal of its own, whose standard output is a pipe."""

    def __init__(self, process: Any, master: int) -> None:
        self._process = process
        self._master = master
        self._seen = 0

    def until(self, text: str) -> str:
        """What the terminal shows after what was seen before, once ``text`` is in it."""
        shown = self._process.texts.setdefault(self._master, b"")
        while text.encode() not in shown[self._seen :]:
            assert self._process.read(self._master), (text, shown)
            shown = self._process.texts[self._master]
        new = shown[self._seen :].decode(errors="replace")
        self._seen = shown.index(text.encode(), self._seen) + len(text.encode())
        return new

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def ask(self, request: str) -> None:
        """Type a request at the prompt, once that is there."""
        self.until(PROMPT)
        self.type(f"{request}\r")

    def leave(self) -> tuple[str, str, int]:
        """End the chat at its prompt: standard output, all that the terminal showed, and the exit code."""
        self.until(PROMPT)
        self.type(CTRL_D)
        while self._process.read(self._master):
            shown = self._process.texts[self._master]
            if PROMPT.encode() in shown[self._seen :]:  # the first one was the last line's, drawn once more
                self._seen = len(shown)
                with suppress(OSError):  # it has ended meanwhile
                    self.type(CTRL_D)
        shown = self._process.texts[self._master].decode()
        out = self._process.read_all(self._process.popen.stdout.fileno())
        assert "Traceback" not in shown
        return out, shown, self._process.exit_code()

    def interrupt(self) -> None:
        self._process.popen.send_signal(signal.SIGINT)


@pytest.fixture
def chat(start: Any, tmp_path: Path) -> Any:
    """``with chat(*replies) as terminal``: a chat with a scripted model."""

    @contextmanager
    def chat(
        *replies: str, options: tuple[str, ...] = (), columns: int = 100, **env: str
    ) -> Iterator[Terminal]:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        ours = {
            "PLAIT_HISTORY": str(tmp_path / "history.sqlite3"),
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "COLUMNS": str(columns),
            **env,
        }
        try:
            with start(
                "chat",
                *options,
                replies=list(replies),
                stdin=slave,
                stderr=slave,
                stdout=subprocess.PIPE,
                env=ours,
            ) as process:
                os.close(slave)
                yield Terminal(process, master)
        finally:
            os.close(master)

    return chat


def test_a_follow_up_uses_what_came_before_and_is_approved_in_place(chat: Any) -> None:
    with chat(LOOK, SAVE) as terminal:
        terminal.ask("look a up")
        terminal.ask("save that")
        asked = terminal.until(QUESTION)
        assert "save: text a found" in asked
        terminal.type("y\r")
        out, shown, code = terminal.leave()
    assert out == "a found\nsaved a found\n"
    assert "✓" in shown
    assert code == 0


def test_an_argument_is_edited_before_the_call(chat: Any) -> None:
    with chat(LOOK, SAVE) as terminal:
        terminal.ask("look a up")
        terminal.ask("save that")
        terminal.until(QUESTION)
        terminal.type("e\r")
        terminal.until("text:")
        terminal.type(" twice\r")
        assert "save: text a found twice" in terminal.until(QUESTION)
        terminal.type("y\r")
        out, _, code = terminal.leave()
    assert out == "a found\nsaved a found twice\n"
    assert code == 0


def test_a_reference_in_an_edited_text_is_filled_in_and_an_escaped_one_is_not(chat: Any) -> None:
    with chat('1. save(text="b")\n2. save(text="see ${1}")\n3. join()') as terminal:
        terminal.ask("save b")
        asked = terminal.until(QUESTIONS)
        assert "save: text see [the result of 1]" in asked
        assert "text = see ${1}" in asked
        assert "the result of 1 is filled in when it is there" in asked
        terminal.type("e 2\r")
        terminal.until("text:")
        terminal.type(" and ${7}\r")
        terminal.until(r"${7} is not the result of an earlier step; write \${7}")
        terminal.until("text:")
        terminal.type(f"{BACKSPACE * 4}\\${{1}}\r")
        asked = terminal.until(QUESTIONS)
        assert "save: text see [the result of 1] and ${1}" in asked
        assert r"text = see ${1} and \${1}" in asked
        terminal.type("y\r")
        out, _, code = terminal.leave()
    assert out == "saved see saved b and ${1}\n"
    assert code == 0


def test_a_declined_call_is_not_made(chat: Any) -> None:
    with chat('1. save(text="b")\n2. join()') as terminal:
        terminal.ask("save b")
        terminal.until(QUESTION)
        terminal.type("n\r")
        out, _, code = terminal.leave()
    assert "saved" not in out
    assert code == 3


def test_an_interrupt_cancels_the_turn_and_not_the_chat(chat: Any) -> None:
    with chat('1. wait(name="x")\n2. join()', '2. look_up(name="b")\n3. join()') as terminal:
        terminal.ask("wait")
        terminal.until("<waiting for x>")
        terminal.interrupt()
        terminal.until("Cancelled.")
        terminal.ask("look b up")
        out, _, code = terminal.leave()
    assert out == "b found\n"
    assert code == 0


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
def test_leaving_the_question_calls_nothing_and_the_chat_goes_on(chat: Any, key: str) -> None:
    with chat('1. save(text="b")\n2. join()', '2. look_up(name="b")\n3. join()') as terminal:
        terminal.ask("save b")
        terminal.until(QUESTION)
        terminal.type(key)
        terminal.until("Cancelled.")
        terminal.ask("look b up")
        out, _, code = terminal.leave()
    assert out == "b found\n"
    assert code == 0


def test_a_second_interrupt_leaves_a_turn_that_does_not_end(chat: Any) -> None:
    with chat('1. linger(name="x")\n2. join()') as terminal:
        terminal.ask("linger")
        terminal.until("<waiting for x>")
        terminal.interrupt()
        terminal.until("<clearing up>")
        terminal.interrupt()
        assert terminal._process.exit_code() == 130


def test_an_interrupt_at_the_prompt_drops_the_line(chat: Any) -> None:
    with chat(LOOK) as terminal:
        terminal.until(PROMPT)
        terminal.type("never mind")
        terminal.until("mind")
        terminal.type(CTRL_C)
        terminal.until("Ctrl-D leaves.")
        terminal.ask("look a up")
        out, _, code = terminal.leave()
    assert out == "a found\n"
    assert code == 0


def test_commands_are_completed_and_wrong_ones_told(chat: Any) -> None:
    with chat() as terminal:
        terminal.until(PROMPT)
        terminal.type("/hist\t\r")
        terminal.ask("/nope")
        terminal.until("there is no command /nope")
        terminal.ask("/tools off save")
        terminal.until("off save")
        _, shown, code = terminal.leave()
    assert "/history" in shown
    assert code == 0


def test_earlier_inputs_come_back_with_the_arrow(chat: Any, tmp_path: Path) -> None:
    with chat(LOOK) as terminal:
        terminal.ask("look a up")
        terminal.leave()
    with chat(LOOK) as terminal:
        terminal.until(PROMPT)
        terminal.type("\x1b[A\r")
        out, _, _ = terminal.leave()
    assert out == "a found\n"
    assert (tmp_path / "history.inputs").stat().st_mode & 0o077 == 0


def test_text_that_others_wrote_is_marked_and_cannot_steer_the_terminal(chat: Any) -> None:
    with chat('1. fetch(url="http://a.example")\n2. save(text=$1)\n3. join()') as terminal:
        terminal.ask("save a page")
        asked = terminal.until(QUESTION)
        terminal.type("n\r")
        terminal.leave()
    assert "contains text that others wrote" in asked
    assert "\\u202epage" in asked
    assert "\u202e" not in asked


def test_a_narrow_terminal_without_colours_is_enough(chat: Any) -> None:
    with chat(LOOK, SAVE, columns=24, NO_COLOR="1") as terminal:
        terminal.ask("look a up")
        terminal.ask("save that")
        terminal.until("[e]dit:")
        terminal.type("y\r")
        out, shown, code = terminal.leave()
    assert out == "a found\nsaved a found\n"
    assert not re.search(r"\x1b\[(?:[0-9;]*;)?(?:3[0-7]|9[0-7]|38;[0-9;]*)m", shown)
    assert code == 0


def test_without_prompt_toolkit_the_extra_is_named(chat: Any) -> None:
    with chat(BLOCKED="prompt_toolkit") as terminal:
        shown = terminal._process.read_all(terminal._master)
        assert terminal._process.exit_code() == 1
    assert "plait[assistant]" in shown.replace("\r\n", "")


def piped(start: Any, text: str, *options: str, **how: Any) -> tuple[str, str, int]:
    with start("chat", *options, stdin=subprocess.PIPE, **how) as process:
        process.popen.stdin.write(text.encode())
        process.popen.stdin.close()
        out = process.read_all(process.popen.stdout.fileno())
        return out, process.read_all(process.popen.stderr.fileno()), process.exit_code()


@pytest.mark.parametrize(
    ("options", "last", "code"), [((), "Not done: save was declined", 3), (("--yes",), "saved a found", 0)]
)
def test_a_pipe_gives_requests_line_by_line(
    start: Any, options: tuple[str, ...], last: str, code: int
) -> None:
    out, said, exit_code = piped(start, "look a up\n\nsave that\n", *options, replies=[LOOK, SAVE])
    assert out.splitlines() == ["a found", last]
    assert ("--yes" in said) == (not options)
    assert exit_code == code


def test_what_is_turned_off_in_one_chat_is_off_in_the_next(start: Any, tmp_path: Path) -> None:
    env = {"PLAIT_SETTINGS": str(tmp_path / "settings.json")}
    piped(start, "/tools off save\n/instructions Be brief.\n", replies=[], env=env)
    _, told, code = piped(start, "/tools\n/instructions\n", replies=[], env=env)
    assert code == 0
    assert "tools off, instructions" in " ".join(told.split())
    assert "off save(text: str)" in told
    assert "instructions: Be brief." in told
    (tmp_path / "settings.json").write_text("{")
    _, told, code = piped(start, "/tools\n", replies=[], env=env)
    assert code == 2
    assert "mend or delete the file" in " ".join(told.split())


def test_an_interrupt_while_a_pipe_says_nothing_ends_the_chat(start: Any) -> None:
    with start("chat", stdin=subprocess.PIPE, replies=[LOOK]) as process:
        process.popen.stdin.write(b"look a up\n")
        process.popen.stdin.flush()
        process.read_until("a found\n", process.popen.stdout.fileno())
        process.popen.send_signal(signal.SIGINT)
        assert process.exit_code() == 130
