"""States outside of the KV cache."""

import pytest

from plait.models._parking import ParkedStates


def test_the_state_that_has_most_of_a_prompt_is_found_and_taken_out() -> None:
    parked = ParkedStates(100)
    parked.put([1, 2, 3, 4], bytearray(4))
    parked.put([1, 2, 9], bytearray(3))
    assert parked.find([1, 2, 3, 7, 7]) == (1, 2, 3, 4)
    assert parked.find([1, 2, 9, 9]) == (1, 2, 9)
    assert parked.take((1, 2, 3, 4)) == bytearray(4)
    assert parked.find([1, 2, 3, 7, 7]) == (1, 2, 9)
    with pytest.raises(KeyError):
        parked.take((1, 2, 3, 4))


def test_nothing_is_found_where_nothing_is_parked() -> None:
    assert ParkedStates(100).find([1, 2]) == ()


def test_the_oldest_make_room_and_what_is_too_large_is_not_kept() -> None:
    parked = ParkedStates(10)
    for first in (1, 2, 3):
        parked.put([first, 0], bytearray(4))
    assert parked.n_bytes == 8
    assert parked.find([1, 0]) != (1, 0)
    assert parked.find([3, 0]) == (3, 0)
    parked.put([4], bytearray(11))
    assert parked.n_bytes == 8
    assert parked.find([4]) != (4,)


def test_a_longer_text_replaces_its_own_beginning() -> None:
    parked = ParkedStates(100)
    parked.put([1, 2], bytearray(2))
    parked.put([1, 2, 3], bytearray(3))
    parked.put([1, 5], bytearray(2))
    assert parked.n_bytes == 5
