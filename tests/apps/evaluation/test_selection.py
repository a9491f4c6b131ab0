import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.apps.evaluation._selection import Selection
from plait.apps.evaluation._types import Item
from plait.errors import ConfigurationError

ITEMS = [Item(f"{category}-{n}", category, "do it") for n in range(10) for category in ("mail", "notes")]


def ids(selection: Selection) -> list[str]:
    return [item.id for item in selection.of(ITEMS)]


def test_everything_is_chosen_if_nothing_is_said() -> None:
    assert Selection().of(ITEMS) == ITEMS


def test_a_limit_counts_in_each_category_and_takes_the_first() -> None:
    assert ids(Selection(limit=2)) == ["mail-0", "notes-0", "mail-1", "notes-1"]
    assert ids(Selection(categories=("notes",), limit=1)) == ["notes-0"]


def test_ids_are_taken_in_the_order_of_the_data() -> None:
    assert ids(Selection(ids=("notes-3", "mail-1", "notes-3"))) == ["mail-1", "notes-3"]


@given(st.integers(), st.integers(1, 10), st.integers(0, 10))
def test_a_larger_sample_keeps_what_a_smaller_one_drew(seed: int, limit: int, more: int) -> None:
    small, large = (set(ids(Selection(limit=n, sample=seed))) for n in (limit, limit + more))
    assert small <= large
    assert len(small) == 2 * limit


@given(st.integers())
def test_a_sample_is_the_same_whichever_categories_are_chosen_with_it(seed: int) -> None:
    both = ids(Selection(limit=3, sample=seed))
    assert ids(Selection(categories=("mail",), limit=3, sample=seed)) == [i for i in both if "mail" in i]


def test_a_sample_is_repeatable_and_another_seed_draws_others() -> None:
    assert ids(Selection(limit=3, sample=1)) == ids(Selection(limit=3, sample=1))
    assert len({tuple(ids(Selection(limit=3, sample=seed))) for seed in range(20)}) > 1


@pytest.mark.parametrize(
    ("selection", "told"),
    [
        (Selection(categories=("post",)), "no category 'post'; choose from mail, notes"),
        (Selection(ids=("mail-1", "mail-99")), "no item 'mail-99'; ids are such as 'mail-0'"),
        (Selection(categories=("notes",), ids=("mail-1",)), "no item is left"),
        (Selection(limit=0), "no item is left"),
    ],
)
def test_a_choice_that_cannot_be_made_is_told(selection: Selection, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        selection.of(ITEMS)


def test_data_without_items_leaves_nothing_to_try() -> None:
    for selection in (Selection(), Selection(ids=("a",))):
        with pytest.raises(ConfigurationError, match="no item is left"):
            selection.of([])
