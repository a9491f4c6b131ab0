import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.apps.evaluation._qa_scoring import (
    alternatives,
    as_number,
    decision,
    named,
    normalized,
    rivals,
    says_number,
    says_only,
    token_f1,
)


def test_texts_are_compared_without_case_punctuation_and_articles() -> None:
    assert normalized("  The Glass-Ferry, a NOVEL! ") == "glassferry novel"
    assert normalized("another theory") == "another theory"


@pytest.mark.parametrize(
    ("answer", "gold", "f1"),
    [
        ("The Glass Ferry", "glass ferry", 1.0),
        ("Glass Ferry of Anneke Rool", "The Glass Ferry", 4 / 7),
        ("Nine Winters", "The Glass Ferry", 0.0),
        ("yes it is", "yes", 0.0),
        ("yes", "Yes.", 1.0),
        ("", "yes", 0.0),
    ],
)
def test_f1_is_that_of_words(answer: str, gold: str, f1: float) -> None:
    assert token_f1(answer, gold) == pytest.approx(f1)


@given(st.text(max_size=40), st.text(max_size=40))
def test_f1_is_a_symmetric_share(a: str, b: str) -> None:
    assert 0 <= token_f1(a, b) <= 1
    assert token_f1(a, b) == pytest.approx(token_f1(b, a))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Yes", "yes"),
        ("**No**", "no"),
        ("no they are not", "no"),
        ("Yes, both are. There is no doubt.", "yes"),
        ("Both are composers, so the answer is yes.", "yes"),
        ("They differ. No!", "no"),
        ("There is no such film", None),
        ("No information was found.", None),
        ("nobody knows", None),
        ("", None),
    ],
)
def test_the_first_decision_of_an_answer_counts(answer: str, said: str | None) -> None:
    assert decision(answer) == said


@pytest.mark.parametrize(
    ("gold", "number"),
    [("340", 340.0), ("5,931.80", 5931.8), ("-2", -2.0), ("Mount Selin", None), ("K2", None), ("nan", None)],
)
def test_a_right_answer_is_a_number_or_a_text(gold: str, number: float | None) -> None:
    assert as_number(gold) == number


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("340", 340, True),
        ("The difference is 340 m (1,115 ft).", 340, True),
        ("(340)", 340, True),
        ("4,210 m - 3,870 m = 340 m", 340, True),
        ("about 342 metres", 340, True),
        ("344 metres", 340, False),
        ("-340", 340, False),
        ("\u2212340", -340, True),
        ("340m", 340, True),
        ("8.8 million people", 8.8, True),
        ("8.8 million people", 8_800_000, True),
        ("104.7 million km2", 104_736_200, True),
        ("1,348 km2", 1348, True),
        ("1348.", 1348, True),
        ("none of them", 0, False),
        ("0", 0, True),
        ("", 340, False),
    ],
)
def test_the_last_number_outside_parentheses_counts_within_one_percent(
    answer: str, gold: float, right: bool
) -> None:
    assert says_number(answer, gold, tolerance=0.01) is right


@given(st.floats(0.01, 1e9), st.integers(0, 3))
def test_a_number_is_found_however_it_is_written(gold: float, places: int) -> None:
    shown = f"{gold:,.{places}f}"
    assert says_number(f"It is {shown} km2 (in 2 parts).", float(shown.replace(",", "")), tolerance=1e-9)


def test_an_option_inside_a_longer_one_that_is_named_is_not_named() -> None:
    options = ["Harbour", "The Silent Harbour", "Silent"]
    assert named(options, "It is the silent harbour.") == ["The Silent Harbour"]
    assert named(options, "Silent Harbour, not Harbour!") == ["The Silent Harbour", "Harbour"]
    assert named(options, "harbours") == []


def test_a_name_is_right_if_no_rival_is_named_beside_it() -> None:
    assert says_only("Mount Selin", ["Mount Varga"], "It is Mount Selin (4,063.5 m).")
    assert not says_only("Mount Selin", ["Mount Varga"], "Mount Selin, then Mount Varga")
    assert not says_only("Mount Selin", ["Mount Varga"], "Mount Varga")
    assert says_only("Lake Ombra Dam", ["Lake Ombra"], "lake ombra dam")
    assert says_only("Mount Selin", ["Selin"], "Mount Selin")


def test_a_name_of_articles_or_punctuation_alone_is_found_as_it_is() -> None:
    assert says_only("The The", [], "It is The The.")
    assert not says_only("!!!", [], "It is Puddle.")


@pytest.mark.parametrize(
    ("question", "gold", "expected"),
    [
        (
            "If Mount Varga were lower and the Statue of Unity higher, which one would be higher?",
            "Mount Varga",
            ["Statue of Unity"],
        ),
        ("Take Aconda, K2 and Mount Ansa's height: which is least?", "K2", ["Aconda", "Mount Ansa"]),
        ("Which Norian composer is older, Ilse Varendonk or Danal?", "Danal", ["Ilse Varendonk"]),
        ("If a cheetah outran a slow hare, which would tire?", "cheetah", ["hare"]),
    ],
)
def test_rivals_are_the_other_names_of_the_question(question: str, gold: str, expected: list[str]) -> None:
    assert rivals(question, gold, known=["hare", "cheetah", "wolf"]) == expected


def test_alternatives_are_offered_with_or_and_only_where_the_answer_is_one_of_them() -> None:
    question = "Which writer was from Kesland, Josip Trell or Anneke Rool?"
    assert alternatives(question, "Anneke Rool") == ["Josip Trell"]
    assert alternatives("What are both Josip Trell and Anneke Rool?", "writer") == []
