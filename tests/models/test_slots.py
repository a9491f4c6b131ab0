from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from plait.models._slots import SlotMap, prompt_kind
from plait.models._types import Message

PLANNER = [Message.instructions("You write plans."), Message("user", "tools\nhello", static_chars=6)]
JOINER = [Message.instructions("You answer."), Message("user", "hello")]
A, B, C = (prompt_kind([Message.instructions(text)]) or "" for text in "abc")


def test_a_kind_is_told_by_how_the_static_part_begins() -> None:
    assert prompt_kind(PLANNER) is not None
    assert prompt_kind(PLANNER) != prompt_kind(JOINER)
    other_request = [PLANNER[0], replace(PLANNER[1], content="other tools\nbye", static_chars=12)]
    assert prompt_kind(other_request) == prompt_kind(PLANNER)


def test_a_long_beginning_tells_the_kind_whatever_tools_follow() -> None:
    rules = "You write plans. " * 50
    kinds = {prompt_kind([Message.instructions(rules + tools)]) for tools in ("f(x)", "g(y)")}
    assert len(kinds) == 1


def test_what_is_not_static_is_no_part_of_the_kind() -> None:
    kinds = {prompt_kind([Message("user", f"Now: {clock}", static_chars=5)]) for clock in ("12:00", "12:01")}
    assert len(kinds) == 1


def test_a_prompt_that_is_new_throughout_has_no_kind() -> None:
    assert prompt_kind([Message("system", "You answer."), Message("user", "hello")]) is None
    assert prompt_kind([]) is None


def test_a_kind_may_hold_any_text() -> None:
    assert prompt_kind([Message.instructions("\ud800")]) is not None


def test_each_kind_goes_back_to_its_own_slot() -> None:
    slots = SlotMap()
    homes = {}
    for kind in (A, B, C):
        homes[kind] = taken = slots.take(kind, range(4))
        assert taken is not None
        slots.release(taken)
    assert len(set(homes.values())) == 3
    for kind in (C, A, B):
        taken = slots.take(kind, range(4))
        assert taken == homes[kind]
        slots.release(taken)


def test_another_process_chooses_the_same_slot() -> None:
    assert SlotMap().take(A, range(4)) == SlotMap().take(A, [3, 2, 1, 0])


def test_a_new_kind_takes_the_slot_that_was_least_recently_used() -> None:
    slots = SlotMap()
    homes = {}
    for kind in (A, B, A):
        homes[kind] = taken = slots.take(kind, range(2))
        assert taken is not None
        slots.release(taken)
    assert slots.take(C, range(2)) == homes[B]


def test_a_kind_whose_slot_is_held_takes_another_one() -> None:
    slots = SlotMap()
    first, second = slots.take(A, range(2)), slots.take(A, range(2))
    assert {first, second} == {0, 1}
    assert slots.take(A, range(2)) is None
    assert second is not None
    slots.release(second)
    assert slots.take(A, range(2)) == second


def test_no_slot_is_taken_that_the_server_says_is_busy() -> None:
    slots = SlotMap()
    home = slots.take(A, range(3))
    assert home is not None
    slots.release(home)
    idle = [slot for slot in range(3) if slot != home]
    assert slots.take(A, idle) in idle
    assert slots.take(B, []) is None


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.sets(st.integers(0, 4)), st.booleans())))
def test_a_slot_is_held_by_one_request_at_a_time(requests: list[tuple[str, set[int], bool]]) -> None:
    slots, held = SlotMap(), set()
    for kind, idle, ends in requests:
        taken = slots.take(kind, idle)
        if taken is None:
            assert idle <= held
            continue
        assert taken in idle - held
        held.add(taken)
        if ends:
            slots.release(taken)
            held.discard(taken)
