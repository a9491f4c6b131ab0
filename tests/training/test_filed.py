import json
from random import Random

import pytest

from plait.tools import Toolbox
from plait.training import assistant_skeletons
from plait.training._filed import file_away
from plait.training._skeletons import Skeleton, mark_of, read_skeletons

EVENT = 'create_calendar_event(title="Dentist", start_date={t1})'
NOTE = 'create_note(name={note1}, content="milk")'


def skeleton(assistant: Toolbox, query: str, plan: str) -> Skeleton:
    [found] = read_skeletons(json.dumps({"q": query, "plan": plan}), name="test", toolbox=assistant)
    return found


def filed(assistant: Toolbox, query: str, plan: str) -> list[Skeleton]:
    found = skeleton(assistant, query, plan)
    return [file_away(found, assistant, Random(seed), share=1.0) for seed in range(60)]


@pytest.mark.parametrize(
    ("query", "plan", "argument", "slot", "some"),
    [
        (
            'new note "{note1}": milk',
            NOTE,
            "folder",
            "folder1",
            {'new note "{note1}" (folder {folder1}): milk', 'new note "{note1}": milk, folder {folder1}'},
        ),
        (
            "remind me {t1:datetime} to swim!",
            'create_reminder(name="Swim", due_date={t1})',
            "list_name",
            "list1",
            {"remind me {t1:datetime} to swim. Put it on the {list1} list."},
        ),
        (
            "dentist {t1:datetime}, put it in my calendar please",
            EVENT,
            "calendar",
            "cal1",
            {"dentist {t1:datetime}, put it in the calendar called {cal1} please"},
        ),
        ("Dentist {t1:datetime}", EVENT, "calendar", "cal1", {"{cal1} calendar: Dentist {t1:datetime}"}),
    ],
)
def test_a_request_may_say_where_its_thing_belongs(
    assistant: Toolbox, query: str, plan: str, argument: str, slot: str, some: set[str]
) -> None:
    found = filed(assistant, query, plan)
    assert some <= {one.query for one in found}
    for one in found:
        assert one.query.count(f"{{{slot}}}") == 1
        assert one.plan.tasks[0].arguments[argument] == mark_of(slot)


@pytest.mark.parametrize(
    ("query", "plan"),
    [
        ("open {note1} and {note2}", "open_note(name={note1})\nopen_note(name={note2})"),  # which of them?
        (
            "new note {note1}, folder {folder1}: milk",
            'create_note(name={note1}, content="milk", folder={folder1})',
        ),
        ("reminder on some list: swim", 'create_reminder(name="Swim")'),
        ("dentist {t1:datetime}, into the diary", EVENT),
        (
            "remind me {t1:datetime} to swim and text {p1} hello",
            'create_reminder(name="Swim", due_date={t1})\nget_phone_number(name={p1})\n'
            'send_sms(recipients=[$2], message="hello")',  # where what belongs?
        ),
        ("is it going to rain", ""),
    ],
)
def test_a_request_stays_as_it_is_where_such_words_could_mean_something_else(
    assistant: Toolbox, query: str, plan: str
) -> None:
    found = skeleton(assistant, query, plan)
    assert all(one == found for one in filed(assistant, query, plan))


def test_words_follow_a_name_only_where_they_fit(assistant: Toolbox) -> None:
    found = filed(assistant, "what does {note1}'s last line say", "open_note(name={note1})")
    assert all("{note1}'s last line say" in one.query for one in found)
    twice = filed(assistant, "new note {note1}, yes, {note1}: milk", NOTE)
    assert all("{note1}, yes, {note1}: milk" in one.query for one in twice)


def test_only_the_share_that_is_wanted_says_it(assistant: Toolbox) -> None:
    main, random = assistant_skeletons(assistant), Random(4)
    none = [file_away(one, main.toolbox, random, share=0.0) for one in main.skeletons]
    assert none == list(main.skeletons)
    some = [file_away(one, main.toolbox, random, share=0.5) for one in main.skeletons]
    changed = [one for one, before in zip(some, main.skeletons, strict=True) if one != before]
    assert 50 < len(changed) < len(main.skeletons) / 5
    assert all(len(one.plan) for one in changed)
