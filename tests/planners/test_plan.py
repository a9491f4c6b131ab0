import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plait.planners import (
    Plan,
    PlanParser,
    Ref,
    Task,
    Template,
    make_text,
    print_value,
    references,
    substitute,
)

KNOWN = (1, 2, 3, 41)

# Texts that are likely to be mistaken for something else, and any others.
texts = st.one_of(
    st.text(alphabet="$123{}[].'\"\\ab\n", max_size=12),
    st.text(max_size=20),
    st.sampled_from(
        ["$1", "${1}", "$1.name", "US$", "\\$1", "\\", "$", "$$", "\r\n", "\x7f\x00", "é😀\u2028"]
    ),
)
names = st.one_of(st.sampled_from(["to", "a-b", "x.y", "true", "größe", "a b", "", "=", '"', "$1"]), texts)
tool_names = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="()[]{}\"'`,=$#"), min_size=1, max_size=12
).filter(lambda name: not any(char.isspace() for char in name) and name != "join")
refs = st.builds(
    Ref,
    st.sampled_from(KNOWN),
    st.lists(st.one_of(texts, st.integers(-(10**6), 10**6)), max_size=3).map(tuple),
)
templates = st.lists(st.one_of(texts, refs), min_size=2, max_size=5).map(make_text)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**30, 10**200),
    st.floats(allow_nan=False),
    texts,
    refs,
    templates,
)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(texts, v, max_size=3), max_leaves=8
)
arguments = st.dictionaries(names, values, max_size=4)


def read(text: str) -> list[Task]:
    parser = PlanParser(earlier=KNOWN)
    return [*parser.feed(text), *parser.finish()]


@given(st.lists(st.tuples(tool_names, arguments), max_size=3))
@settings(max_examples=250, deadline=None)
@example([("f", {"a": make_text(["$", Ref(1)]), "b": make_text(["\\$", Ref(2)])})])
@example([("f", {"a": "$5", "b": "${x}", "c": "${99}", "d": "\\${1}", "e": "\\\\$"})])
@example([("f", {"a": Ref(1, ("a]b", "it's", 'say "x"', "new\nline", -1))})])
def test_printing_a_plan_and_reading_it_gives_the_same_plan(calls: list[tuple[str, dict[str, Any]]]) -> None:
    plan = Plan(tuple(Task(100 + i, tool, arguments) for i, (tool, arguments) in enumerate(calls)))
    # repr tells True from 1 and 1.0.
    assert repr(Plan(tuple(read(str(plan))))) == repr(plan)


@given(values)
@settings(max_examples=100, deadline=None)
def test_a_value_is_printed_without_control_characters(value: Any) -> None:
    assert not any(ord(char) < 32 or ord(char) == 127 for char in print_value(value))


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("Sid", '"Sid"'),
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (-0.5, "-0.5"),
        (math.inf, "1e999"),
        (-math.inf, "-1e999"),
        ([1, "a", Ref(1)], '[1, "a", $1]'),
        ((1, 2), "[1, 2]"),
        ({"a b": {"c": []}}, '{"a b": {"c": []}}'),
        (Ref(2), "$2"),
        (Ref(2, ("name", 0, "a b", "größe")), "$2.name[0]['a b']['gr\\u00f6\\u00dfe']"),
        (Template(("Summary: ", Ref(3))), '"Summary: ${3}"'),
        (Template((Ref(1, ("city",)), ", ", Ref(2))), '"${1.city}, ${2}"'),
        ("$5", '"\\$5"'),
        ("costs $5", '"costs $5"'),
        ("${HOME}", '"\\${HOME}"'),
        ('quote " and \\ and \n', '"quote \\" and \\\\ and \\n"'),
    ],
)
def test_a_value_has_one_canonical_form(value: Any, printed: str) -> None:
    assert print_value(value) == printed


def test_a_task_is_printed_as_a_call() -> None:
    task = Task(4, "send", {"to": [Ref(1)], "body": "hi", "reply to": None})
    assert str(task) == '4. send(to=[$1], body="hi", "reply to"=null)'


def test_a_plan_ends_with_a_join_of_the_next_number() -> None:
    assert str(Plan((Task(3, "a", {}), Task(7, "b", {"x": 1})))) == "3. a()\n7. b(x=1)\n8. join()"
    assert str(Plan()) == "1. join()"


def test_what_has_no_written_form_is_refused() -> None:
    with pytest.raises(ValueError, match="not-a-number"):
        print_value([math.nan])
    with pytest.raises(TypeError, match="object"):
        print_value({"a": object()})
    with pytest.raises(TypeError, match="keys are text"):
        print_value({1: "a"})


def test_a_text_without_references_stays_a_text() -> None:
    assert make_text([]) == ""
    assert make_text(["a", "", "b"]) == "ab"


def test_a_reference_alone_stays_a_reference() -> None:
    assert make_text(["", Ref(1), ""]) == Ref(1)


def test_neighbouring_texts_of_a_template_are_one() -> None:
    assert make_text(["a", "b", Ref(1), Ref(2), "c", "d"]) == Template(("ab", Ref(1), Ref(2), "cd"))


def test_references_are_found_wherever_they_stand_and_in_order() -> None:
    value = {"a": [Ref(2), {"b": Template(("x", Ref(1, ("y",))))}], "c": (Ref(2),), "d": "$3"}
    assert list(references(value)) == [Ref(2), Ref(1, ("y",)), Ref(2)]


def test_a_task_depends_on_the_tasks_that_its_arguments_refer_to() -> None:
    assert Task(4, "f", {"a": Ref(1, ("x",)), "b": [Template(("", Ref(3)))]}).dependencies == {1, 3}
    assert Task(1, "f", {"a": "$2"}).dependencies == frozenset()


def test_the_sinks_of_a_plan_are_what_no_other_task_uses() -> None:
    first, second, third = (
        Task(1, "a", {}),
        Task(2, "b", {"x": Template(("t", Ref(1)))}),
        Task(3, "c", {}),
    )
    plan = Plan((first, second, third))
    assert plan.sinks == (second, third)
    assert list(plan) == [first, second, third]
    assert len(plan) == 3


def test_results_keep_their_types_as_values_and_become_text_in_templates() -> None:
    results = {1: [1, 2], 2: {"k": 5}}

    def result_of(ref: Ref) -> Any:
        return results[ref.task]

    value = {"a": Ref(1), "b": Template(("n: ", Ref(2), "!")), "c": (Ref(2), 1), "d": "$1"}
    assert substitute(value, result_of, json.dumps) == {
        "a": [1, 2],
        "b": 'n: {"k": 5}!',
        "c": [{"k": 5}, 1],
        "d": "$1",
    }


def test_plans_and_their_parts_cannot_be_changed() -> None:
    for thing, name in [
        (Ref(1), "task"),
        (Template(("a",)), "parts"),
        (Task(1, "a", {}), "id"),
        (Plan(), "tasks"),
    ]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, None)
