"""Sentences out of text, and yes and no out of what was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.apps.voice._answers import says_stop, yes_or_no
from plait.apps.voice._sentences import SentenceSplitter, beginning, speakable

TEXT = 'Dr. Reyes is at 3.5 km, i.e. near. "Call her!" she said...\nAt 9 a.m. on Friday? 1. Go'
SENTENCES = [
    "Dr. Reyes is at 3.5 km, i.e. near.",
    '"Call her!"',
    "she said...",
    "At 9 a.m. on Friday?",
    "1. Go",
]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_the_same_sentences_come_out_however_the_text_comes_in(size: int) -> None:
    splitter = SentenceSplitter()
    found: list[str] = []
    for at in range(0, len(TEXT), size):
        found += splitter.push(TEXT[at : at + size])
    assert [*found, *splitter.finish()] == SENTENCES


def test_a_sentence_is_given_as_soon_as_it_is_known_to_have_ended() -> None:
    splitter = SentenceSplitter()
    assert splitter.push("It is done.") == []
    assert splitter.push(" More") == ["It is done."]


def test_a_text_without_an_end_is_cut_between_words() -> None:
    splitter = SentenceSplitter()
    pieces = [*splitter.push("word " * 200), *splitter.finish()]
    assert max(map(len, pieces)) <= 640
    assert " ".join(pieces).split() == ["word"] * 200


@given(st.text(max_size=300), st.integers(1, 20))
def test_no_character_but_white_space_is_lost(text: str, size: int) -> None:
    splitter = SentenceSplitter()
    pieces = [piece for at in range(0, len(text), size) for piece in splitter.push(text[at : at + size])]
    assert "".join("".join([*pieces, *splitter.finish()]).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("**Done**: see `notes`", "Done: see notes"),
        ("Join at https://zoom.example.org/j/12345?pwd=x now", "Join at zoom.example.org now"),
        ("- milk\n- bread", "milk - bread"),
        (" --- ", ""),
        ("", ""),
    ],
)
def test_markup_is_not_read_aloud(text: str, spoken: str) -> None:
    assert speakable(text) == spoken


@pytest.mark.parametrize(
    ("sentence", "parts"),
    [
        ("Short, and to the point.", ["Short, and to the point."]),
        (
            "On Monday you meet Ana at ten, and on Tuesday there is nothing at all.",
            ["On Monday you meet Ana at ten,", "and on Tuesday there is nothing at all."],
        ),
        (
            "Yes, sir, there is one at 10:30 on 3,000 Main Street - the second one is later.",
            ["Yes, sir, there is one at 10:30 on 3,000 Main Street -", "the second one is later."],
        ),
        ("There is not a single place at which one could breathe in here, no.", None),
        ("A sentence without any place at which it could be cut in two halves.", None),
    ],
)
def test_a_long_sentence_begins_with_its_first_clause(sentence: str, parts: list[str] | None) -> None:
    assert beginning(sentence) == (parts or [sentence])


@pytest.mark.parametrize(
    "text",
    [
        "Yes.",
        "yeah",
        "OK",
        "Okay, go ahead.",
        "Yes, please do it.",
        "Sure!",
        "That's right.",
        "Please do",
        "Send it.",
    ],
)
def test_a_yes_is_heard(text: str) -> None:
    assert yes_or_no(text) is True


@pytest.mark.parametrize(
    "text",
    ["No.", "nope", "Don't.", "don\u2019t send it", "No, wait, yes", "Yes... no", "Stop", "cancel that",
     "never mind", "Do not send it", "yes but not now"],
)  # fmt: skip
def test_a_no_is_heard_even_beside_a_yes(text: str) -> None:
    assert yes_or_no(text) is False


@pytest.mark.parametrize(
    "text",
    ["", "perhaps", "what did you say", "Yesterday I was there", "the weather is nice", "nobody",
     "yes I was telling him about the house that we saw there"],
)  # fmt: skip
def test_what_is_neither_is_neither(text: str) -> None:
    assert yes_or_no(text) is None


@pytest.mark.parametrize("text", ["Stop.", "stop, please", "Never mind.", "cancel it", "That's enough!"])
def test_stop_is_heard(text: str) -> None:
    assert says_stop(text)


@pytest.mark.parametrize("text", ["", "Stop the music at nine", "Remind me to cancel the order", "Stopwatch"])
def test_a_request_with_stop_in_it_is_a_request(text: str) -> None:
    assert not says_stop(text)
