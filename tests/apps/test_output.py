"""What is harmless on a terminal, and which answers approve what."""

from collections.abc import Set

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.apps._approval import read_answer
from plait.apps._output import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext, ünïcödé 日本 🙂", "plain\n\ttext, ünïcödé 日本 🙂"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m\x07\r", "\\x9b31m\\x07\\r"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_steers_a_terminal_is_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(alphabet=st.characters()))
def test_no_text_at_all_can_steer_a_terminal(text: str) -> None:
    assert not set(printable(text)) & {*map(chr, (*range(9), *range(11, 32), *range(127, 160), 0x202E))}


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("y\n", True),
        (" YES \n", True),
        ("n\n", False),
        ("No\n", False),
        ("", False),
        ("3\n", {3}),
        ("3, 5\n", {3, 5}),
        ("5 3 3\n", {3, 5}),
        ("\n", None),
        ("maybe\n", None),
        ("4\n", None),
        ("3 4\n", None),
        ("y 3\n", None),
        ("²\n", None),
        ("9" * 5000 + "\n", None),
        ("-3\n", None),
    ],
)
def test_an_answer_approves_what_it_says_and_nothing_else(line: str, answer: bool | Set[int] | None) -> None:
    assert read_answer(line, {"3": 3, "5": 5}) == answer
