"""The command at a terminal, and what is asked there before calls that write."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are POSIX's", allow_module_level=True)

import pty

SAVES = '1. look_up(name="a")\n2. save(text=$1)\n3. save(text="b")\n4. join()'
QUESTION = "numbers of those to make:"


@contextmanager
def at_a_terminal(start: Callable[..., Any], *arguments: str, **options: Any) -> Iterator[tuple[Any, int]]:
    """The process and the terminal's other side; standard output is a pipe, so that it can be told apart."""
    master, slave = pty.openpty()
    try:
        with start(*arguments, stdin=slave, stderr=slave, stdout=subprocess.PIPE, **options) as process:
            os.close(slave)
            yield process, master
    finally:
        os.close(master)


def ending(process: Any, master: int) -> tuple[str, str, int]:
    """Standard output, what the terminal showed, and the exit code."""
    shown = process.read_all(master)
    return process.read_all(process.popen.stdout.fileno()), shown, process.exit_code()


@pytest.mark.parametrize(
    ("typed", "answer", "code"),
    [
        (b"y\n", "saved a found\nsaved b\n", 0),
        (b"3\n", "saved b\n", 3),
        (b"n\n", "", 3),
        (b"\x04", "", 3),
    ],
    ids=["yes", "number", "no", "end of input"],
)
def test_calls_are_made_as_they_were_approved(start: Any, typed: bytes, answer: str, code: int) -> None:
    with at_a_terminal(start, "run", "save a and b", replies=[SAVES]) as (process, master):
        asked = process.read_until(QUESTION, master)
        assert 'text = "a found"' in asked
        assert 'text = "b"' in asked
        os.write(master, typed)
        out, shown, exit_code = ending(process, master)
    made = [line for line in out.splitlines(keepends=True) if not line.startswith("Not done")]
    assert "".join(made) == answer
    assert exit_code == code
    assert "Traceback" not in shown


def test_what_is_no_answer_is_asked_again(start: Any) -> None:
    with at_a_terminal(start, "run", "save a and b", replies=[SAVES]) as (process, master):
        process.read_until(QUESTION, master)
        for typed in (b"maybe\n", b"7\n", b"\n"):
            seen = process.texts[master].count(QUESTION.encode())
            os.write(master, typed)
            while process.texts[master].count(QUESTION.encode()) == seen:
                assert process.read(master)
        os.write(master, b"yes\n")
        out, _, code = ending(process, master)
    assert out == "saved a found\nsaved b\n"
    assert code == 0


def test_what_was_typed_before_the_question_is_no_answer_to_it(start: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    plan = '1. gate()\n2. save(text="b")\n3. join()'
    with at_a_terminal(start, "run", "save", replies=[plan], env={"GATE": str(gate)}) as (process, master):
        process.read_until("<at the gate>", master)
        os.write(master, b"y\n")
        gate.write_text("open")
        process.read_until("[n]o:", master)
        os.write(master, b"n\n")
        out, _, code = ending(process, master)
    assert "saved" not in out
    assert code == 3


def test_an_interrupt_at_the_question_makes_none_of_the_calls(start: Any) -> None:
    with at_a_terminal(start, "run", "save a and b", replies=[SAVES]) as (process, master):
        process.read_until(QUESTION, master)
        process.popen.send_signal(signal.SIGINT)
        out, shown, code = ending(process, master)
    assert code == 130
    assert out == ""
    account = shown[shown.index("Interrupted.") :]
    assert (
        account.index("Done:") < account.index("look_up") < account.index("Not done:") < account.index("save")
    )
    assert "Traceback" not in shown


def test_text_that_others_wrote_is_marked_and_cannot_steer_the_terminal(start: Any) -> None:
    plan = '1. fetch(url="http://a.example")\n2. save(text=$1)\n3. join()'
    with at_a_terminal(start, "run", "save a page", replies=[plan]) as (process, master):
        asked = process.read_until("[n]o:", master)
        os.write(master, b"n\n")
        ending(process, master)
    assert "text that others wrote" in asked
    assert "\x1b[2J" not in asked
    assert "\u202e" not in asked


def test_a_pipe_as_standard_input_is_nobody_to_ask(start: Any) -> None:
    master, slave = pty.openpty()
    with start("run", "save", replies=[SAVES], stdin=subprocess.PIPE, stderr=slave) as process:
        os.close(slave)
        process.popen.stdin.write(b"y\ny\n")
        process.popen.stdin.close()
        out, shown, code = ending(process, master)
    os.close(master)
    assert "saved" not in out
    assert "--yes" in shown
    assert code == 3


def test_a_terminal_shows_the_plan_the_calls_and_leaves_the_marks(start: Any) -> None:
    plan = '1. look_up(name="a")\n2. join()'
    with at_a_terminal(start, "run", "look", replies=[plan]) as (process, master):
        out, shown, code = ending(process, master)
    assert out == "a found\n"
    assert "✓" in shown
    assert code == 0


def test_colours_stay_away_where_they_are_not_wanted(start: Any) -> None:
    plan = '1. look_up(name="a")\n2. join()'
    with at_a_terminal(start, "run", "look", replies=[plan], env={"NO_COLOR": "1"}) as (process, master):
        _, shown, _ = ending(process, master)
    assert "✓" in shown
    assert "\x1b[32m" not in shown


def test_a_terminal_that_cannot_move_gets_plain_lines(start: Any) -> None:
    with at_a_terminal(start, "run", "save", replies=[SAVES], env={"TERM": "dumb"}) as (process, master):
        process.read_until(QUESTION, master)
        os.write(master, b"y\n")
        out, shown, code = ending(process, master)
    assert "\x1b" not in shown
    assert "✓ 3. saved b" in shown
    assert out == "saved a found\nsaved b\n"
    assert code == 0


def test_a_bar_shows_how_far_an_evaluation_is_and_how_much_of_it_is_right(start: Any, tmp_path: Path) -> None:
    file, out = tmp_path / "requests.jsonl", str(tmp_path / "runs")
    file.write_text(
        "".join(
            json.dumps({"id": id_, "now": None, "query": f"bake {id_}", "plan": []}) + "\n" for id_ in "abc"
        )
    )
    replies = ["1. join()", '1. look_up(name="a")\n2. join()', "1. join()"]
    with at_a_terminal(start, "eval", "plans", str(file), "--out", out, replies=replies) as (process, master):
        results, shown, code = ending(process, master)
    assert code == 0
    assert "overall (3)" in results
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "plans scripted compiler" in plain
    assert "3/3" in plain
    assert "66.7% right" in plain
    assert "run folder:" in plain
