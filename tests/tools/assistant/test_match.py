from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.tools.assistant._match import best, did_you_mean, fold, words


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Zoë ÅSTRÖM", "zoe astrom"),
        ("Straße", "strasse"),
        ("Łukasz Ødegård", "lukasz odegard"),
        ("हिन्दी", "हिन्दी"),
    ],
)
def test_case_and_accents_fold_and_other_scripts_stay(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_words_are_runs_of_letters_and_digits() -> None:
    assert words("Budget_2027 (final)-v2.pdf") == ("budget", "2027", "final", "v2", "pdf")
    assert words("हिन्दी नोट") == ("हिन्दी", "नोट")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("an", ["An"]),  # a whole word goes before a beginning
        ("ann", ["Anna Berg", "Annika"]),
        ("berg anna", ["Anna Berg"]),
        ("a a", []),  # each word of the query needs one of its own
        ("Anika", ["Annika"]),
        ("plan 2026", ["Plan 2026"]),
        ("plan 20", []),
        ("plan 2027", []),  # another number is another thing
        ("", []),
        ("?!", []),
    ],
)
def test_the_first_level_that_fits_wins(query: str, found: list[str]) -> None:
    names = ["An", "Anna Berg", "Annika", "Plan 2026", "Maria"]
    assert best(query, ((name, name) for name in names)) == found


def test_one_letter_more_or_less_is_close_and_another_vowel_is_somebody_else() -> None:
    assert best("Jon", [("John", 1)]) == [1]
    assert best("Mario", [("Maria", 1)]) == []


def test_a_suggestion_names_the_nearest_or_nothing() -> None:
    assert did_you_mean("Roberta", ["Robert", "Xi"]) == "; the nearest is Robert"
    assert did_you_mean("Roberta", ["Xi"]) == ""


@given(st.lists(st.text(max_size=12), max_size=6), st.text(max_size=12))
def test_whatever_has_the_very_name_is_found(names: list[str], name: str) -> None:
    found = best(name, ((n, n) for n in [*names, name]))
    assert name in found
