import json

import pytest

from plait.errors import ConfigurationError
from plait.planners import Ref, Template
from plait.tools import Toolbox
from plait.training import assistant_skeletons, other_skeletons, read_skeletons
from plait.training._data_set import UNSEEN
from plait.training._skeletons import Slot, SlotUse, split_marks, tool_of

TOOLS = Toolbox(
    [
        tool_of("find_room(people: int, day?: date): Finds a free room and returns its number."),
        tool_of(
            'book(room: str, title: str, kind: "open" | "closed" = "open", guests?: list[str]): Books it.'
        ),
    ]
)


def read(query: str, plan: str):  # type: ignore[no-untyped-def]
    [skeleton] = read_skeletons(json.dumps({"q": query, "plan": plan}), name="mine", toolbox=TOOLS)
    return skeleton


def test_a_signature_becomes_a_tool() -> None:
    assert [tool.signature for tool in TOOLS] == [
        'book(room: str, title: str, kind: "open" | "closed" = "open", guests?: list[str])',
        "find_room(people: int, day?: date)",
    ]
    assert TOOLS["find_room"].description == "Finds a free room and returns its number."


@pytest.mark.parametrize("line", ["no signature", "f(a): x", "f(a: text): x"])
def test_what_is_no_signature_is_refused(line: str) -> None:
    with pytest.raises(ConfigurationError, match=r"signature|arguments|type"):
        tool_of(line)


def test_a_request_is_read_as_texts_and_slots() -> None:
    skeleton = read(
        "Room for {n1} on {t1:date}, {p1} and {p1:his} dog too", "find_room(people={n1}, day={t1})"
    )
    assert skeleton.id == "mine:1"
    assert skeleton.parts == [
        "Room for ",
        Slot("n1", ""),
        " on ",
        Slot("t1", "date"),
        ", ",
        Slot("p1", ""),
        " and ",
        Slot("p1", "his"),
        " dog too",
    ]
    assert skeleton.tools == {"find_room"}


def test_slots_in_plans_are_marked_in_quotes_and_out_of_them_and_references_are_not() -> None:
    skeleton = read(
        "{topic1} for {n1} with {p1}",
        'find_room(people={n1})\nbook(room=$1, title="{topic1} in ${1}", guests=[{p1}])',
    )
    find, book = skeleton.plan
    assert split_marks(find.arguments["people"]) == [SlotUse("n1", "")]
    assert book.arguments["room"] == Ref(1)
    title = book.arguments["title"]
    assert isinstance(title, Template)
    assert split_marks(str(title.parts[0])) == [SlotUse("topic1", ""), " in "]
    assert title.parts[1] == Ref(1)
    assert split_marks(book.arguments["guests"][0]) == [SlotUse("p1", "")]


def test_an_empty_plan_is_one() -> None:
    assert len(read("sing me a song", "").plan) == 0


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        ("sing()", "no tool 'sing'"),
        ("find_room(people=2, colour=3)", "no argument 'colour'"),
        ("find_room()", "lacks 'people'"),
        ("find_room(people={n2})", "'n2'"),
        ("find_room(people=2, day={t1+m7})", "'m7'"),
        ("find_room(people=$4)", r"\$4|later|earlier"),
        ("find_room(people=", "mine:1"),
    ],
)
def test_a_wrong_skeleton_is_refused_with_its_place(plan: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        read("{n1} on {t1:date}", plan)
    assert "mine:1" in str(caught.value)


@pytest.mark.parametrize("line", ["{", "[]", '{"q": "hello"}'])
def test_a_line_that_is_no_skeleton_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(ConfigurationError, match="mine, line 2"):
        read_skeletons("\n" + line, name="mine", toolbox=TOOLS)


def test_those_that_come_with_plait_are_many_and_no_two_of_one_mould(assistant: Toolbox) -> None:
    main, others = assistant_skeletons(assistant), other_skeletons()
    assert len(main.skeletons) >= 1500
    assert len(others) >= 60
    assert {box.name for box in others} >= UNSEEN
    assert all(len(box.skeletons) >= 10 for box in others)
    assert {name for s in main.skeletons for name in s.tools} == set(assistant.names)
    moulds = [
        " ".join(
            part if isinstance(part, str) else "_" for part in (*skeleton.kept_parts, *skeleton.parts)
        ).casefold()
        for box in (main, *others)
        for skeleton in box.skeletons
    ]
    assert len(set(moulds)) == len(moulds)


@pytest.mark.parametrize(
    ("query", "plan", "problem"),
    [
        ("{x1}", "", r"no slot \{x1\}"),
        ("{f1:foo}", "", r"no slot \{f1:foo\}"),
        ("is {p1:he} there", "", r"no slot \{p1:he\}"),
        ("{P1}", "", "brace"),
        ("{c1:clock} {n1}", "find_room(people={n1}, day={c1+30})", "no moment"),
        ("{t1:date}", 'book(room="a", title="until {t1+60} or so")', "no moment"),
        ("{n1}", "1. find_room(people={n1})\n2. join()", "without numbers"),
    ],
)
def test_slots_that_cannot_be_filled_are_refused(query: str, plan: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        read(query, plan)


@pytest.mark.parametrize(
    "line", ['{"q": 5, "plan": ""}', '{"q": "x", "plan": null}', '{"q": "x", "plan": []}']
)
def test_a_skeleton_has_two_texts(line: str) -> None:
    with pytest.raises(ConfigurationError, match="two texts"):
        read_skeletons(line, name="mine", toolbox=TOOLS)


def test_a_line_is_what_ends_with_a_newline() -> None:
    [found] = read_skeletons(
        '{"q": "one\u2028line", "plan": "\\nfind_room(people=2)\\n"}', name="mine", toolbox=TOOLS
    )
    assert found.query == "one\u2028line"
    assert len(found.plan) == 1


def test_a_request_is_not_empty() -> None:
    with pytest.raises(ConfigurationError, match="empty request"):
        read_skeletons('{"q": " ", "plan": ""}', name="mine", toolbox=TOOLS)
