from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.orchestrator._selection import GAP, MAX_KINDS, rank
from plait.orchestrator._sentences import MAX_SENTENCE_CHARS, sentences_of, terms_of

REPORT = """\
The water company raises its prices by 4 % in March. The board of the water company decided so on Monday.

Lunch was served at noon. Somebody had brought a dog. It rained a little.

Prices of the water company had not changed for six years. New pipes cost the company 12 million, and \
therefore the company raises prices. The weather stayed mild.
"""


def pieces(text: str) -> list[str]:
    return [text[s.start : s.end] for s in sentences_of(text)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        (
            "Dr. J. Smith paid 3.5 euros, i.e. too much. He left.",
            ["Dr. J. Smith paid 3.5 euros, i.e. too much.", "He left."],
        ),
        ("He said “Go.” She went.", ["He said “Go.”", "She went."]),
        ("今天天气很好。我们去公园吧。好", ["今天天气很好。", "我们去公园吧。", "好"]),
        ("هل وصلت؟ نعم.", ["هل وصلت؟", "نعم."]),
        ("Bring:\n- tea\n- milk", ["Bring:", "- tea", "- milk"]),
        ("A title\n\nA text over\ntwo lines.", ["A title", "A text over\ntwo lines."]),
        ("", []),
    ],
)
def test_a_text_is_cut_into_its_sentences(text: str, sentences: list[str]) -> None:
    assert pieces(text) == sentences


def test_what_has_no_punctuation_is_cut_all_the_same() -> None:
    assert all(len(piece) <= MAX_SENTENCE_CHARS for piece in pieces("word " * 1000 + "x" * 3000))


@given(st.text())
def test_the_sentences_are_the_whole_text_in_order(text: str) -> None:
    found = sentences_of(text)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert "".join(pieces(text)).split() == [] or "".join("".join(pieces(text)).split()) == "".join(
        text.split()
    )


def test_terms_are_words_or_where_there_are_no_spaces_pairs_of_characters() -> None:
    assert terms_of("Straße, STRASSE 12") == ["strasse", "strasse", "12"]
    assert terms_of("東京タワーtower") == ["東京", "京タ", "タワ", "ワー", "tower"]


def test_the_central_sentences_are_kept_in_their_order() -> None:
    short = rank(REPORT).longest(lambda text: len(text) < 240)
    assert short.startswith("The water company raises its prices by 4 % in March.")
    assert "six years" in short or "12 million" in short
    assert "dog" not in short
    assert "noon" not in short
    assert GAP in short


def test_what_the_reader_asks_for_goes_first() -> None:
    assert rank(REPORT, about="Was there a dog?").longest(lambda text: len(text) < 60) == (
        f"{GAP}\nSomebody had brought a dog.\n{GAP}"
    )


def test_one_thing_is_not_said_twice() -> None:
    text = "The red bridge is closed for repairs. " * 4 + "Ferries cross the red river each hour."
    assert set(rank(text).best[:2]) == {0, 4}


def test_all_that_fits_is_the_text_itself_and_nothing_fits_into_nothing() -> None:
    assert rank(REPORT).longest(lambda text: True) == REPORT.strip()
    assert rank(REPORT).longest(lambda text: not text) == ""
    assert rank("").longest(lambda text: True) == ""


def test_no_more_is_ranked_than_is_needed() -> None:
    assert len(rank(REPORT, max_chars=60).best) <= 3


@pytest.mark.parametrize(
    "text",
    [
        "aa! " * 50_000,  # one sentence again and again
        " ".join(f"Thing {i} is a thing of things, with a {i % 7}." for i in range(20_000)),
        " ".join(f"w{i % 997} w{i % 991} w{i % 89}!" for i in range(20_000)),
    ],
)
def test_a_long_text_of_many_like_sentences_is_ranked_at_once(text: str) -> None:
    """In the square of its length it would take minutes, in a thread that cannot be stopped."""
    best = rank(text, about="w17 and thing 17", max_chars=20_000).best
    assert len(best) > 300
    assert len(set(best)) == len(best)


def test_of_very_many_sentences_the_most_telling_are_ranked() -> None:
    fillers = [f"Filler {i}." for i in range(2 * MAX_KINDS)]
    ranking = rank(" ".join([*fillers, "The rent is high.", "The rent is high."]), about="rent")
    assert len(ranking.best) in (MAX_KINDS, MAX_KINDS + 1)
    assert 2 * MAX_KINDS in ranking.best[:1]


@given(st.lists(st.text("ab 你.\n"), max_size=20).map(" ".join), st.integers(0, 60))
def test_what_is_kept_fits_and_stands_in_the_text(text: str, n_chars: int) -> None:
    short = rank(text).longest(lambda part: len(part) <= n_chars)
    assert len(short) <= n_chars
    assert all(piece.strip() in text for piece in short.split(GAP))
