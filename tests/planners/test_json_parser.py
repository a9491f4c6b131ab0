import json
import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plait.errors import PlanError
from plait.planners import JSONPlanParser, Ref, Task, Template

PLAN = r"""Here it is:
```json
{
  "tasks" : [
    {"tool": "get_email_address", "arguments": {"name": "S\"id\" \u00fc\ud83d\ude00 }]"}},
    {"arguments": {"x": [1, -2.5e3, {"k": ["$1", "${1.a}"]}], "n": null}, "tool": "f"} ,
    {"tool": "send", "arguments": {"to": ["$1", "$1.name[0]['a]b']"], "t": "Re:\n${2} \\${1} ${1['k']}"}},
    {"tool": "g"}
  ]
}
``` and more [{"""


def tasks_of(chunks: Iterable[str], **options: Any) -> list[Task]:
    parser = JSONPlanParser(**options)
    return [*(task for chunk in chunks for task in parser.feed(chunk)), *parser.finish()]


def plan_of(*arguments: Any) -> str:
    return json.dumps({"tasks": [{"tool": "f", "arguments": a} for a in arguments]})


def value_of(value: Any) -> Any:
    """What is read of an argument of task 3."""
    (task,) = tasks_of([plan_of({"a": value})], first=3, earlier=[1, 2])
    return task.arguments["a"]


def error_of(text: str, **options: Any) -> PlanError:
    with pytest.raises(PlanError) as caught:
        tasks_of([text], **options)
    return caught.value


def test_a_plan_is_read_with_all_that_may_stand_in_it() -> None:
    assert tasks_of([PLAN]) == [
        Task(1, "get_email_address", {"name": 'S"id" ü😀 }]'}),
        Task(2, "f", {"x": [1, -2500.0, {"k": [Ref(1), Ref(1, ("a",))]}], "n": None}),
        Task(
            3,
            "send",
            {
                "to": [Ref(1), Ref(1, ("name", 0, "a]b"))],
                "t": Template(("Re:\n", Ref(2), " ${1} ", Ref(1, ("k",)))),
            },
        ),
        Task(4, "g", {}),
    ]


@given(st.lists(st.integers(0, len(PLAN)), max_size=12).map(sorted))
@settings(max_examples=150, deadline=None)
@example([*range(len(PLAN) + 1)])
def test_the_tasks_are_the_same_wherever_the_text_is_cut(cuts: list[int]) -> None:
    assert tasks_of(PLAN[a:b] for a, b in pairwise([0, *cuts, len(PLAN)])) == tasks_of([PLAN])


def test_a_task_is_out_the_moment_its_closing_brace_arrives() -> None:
    parser = JSONPlanParser()
    assert list(parser.feed('{"tasks": [{"tool": "f", "arguments": {"a": "}"}')) == []
    assert list(parser.feed("}")) == [Task(1, "f", {"a": "}"})]
    assert not parser.joined


def test_the_tasks_before_an_error_are_given_out() -> None:
    tasks = JSONPlanParser().feed('{"tasks": [{"tool": "a"}, {"tool": 1}]}')
    assert next(tasks) == Task(1, "a", {})
    with pytest.raises(PlanError):
        next(tasks)


def test_the_end_of_the_document_ends_the_plan() -> None:
    parser = JSONPlanParser()
    joined = [(list(parser.feed(text)), parser.joined) for text in ('{"tasks": []', " }", " {{{")]
    assert joined == [([], False), ([], True), ([], True)]
    assert list(parser.finish()) == []


def test_a_call_of_join_ends_the_plan() -> None:
    parser = JSONPlanParser()
    text = '{"tasks": [{"tool": "a"}, {"tool": "join", "arguments": {}}, {"tool": "b"}'
    assert [*parser.feed(text), *parser.finish()] == [Task(1, "a", {})]
    assert parser.joined


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("$1", Ref(1)),
        ("${2}", Ref(2)),
        ("$1.a[0]['k']", Ref(1, ("a", 0, "k"))),
        ('$1["k"]', Ref(1, ("k",))),
        ("$1['\\u00e9\\u005d']", Ref(1, ("é]",))),
        ("a ${1} b", Template(("a ", Ref(1), " b"))),
        ("${1}${2}", Template((Ref(1), Ref(2)))),
        ("$${1}", Template(("$", Ref(1)))),
        ("$3", "$3"),
        ("$5", "$5"),
        ("US$", "US$"),
        ("is $1", "is $1"),
        ("${HOME}", "${HOME}"),
        ("\\$1", "$1"),
        ("\\${1}", "${1}"),
        ("\\\\${1}", "\\${1}"),
        ("a\\$b", "a$b"),
        ("\\d+\\n", "\\d+\\n"),
        ("C:\\dir\\", "C:\\dir\\"),
        ('quo"ted', 'quo"ted'),
        (["$1", {"$1": "$2"}], [Ref(1), {"$1": Ref(2)}]),
    ],
)
def test_references_in_strings_are_those_of_the_plan_language(written: Any, value: Any) -> None:
    assert value_of(written) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3),
        max_leaves=8,
    )
)
@settings(max_examples=150, deadline=None)
@example("\\$1")
@example("\\\\${1}$")
@example([math.inf, -math.inf, 10**300])
def test_any_value_survives_if_its_dollars_are_escaped(value: Any) -> None:
    def escaped(item: Any) -> Any:
        if isinstance(item, str):
            return item.replace("$", "\\$")
        if isinstance(item, dict):
            return {key: escaped(inner) for key, inner in item.items()}
        return [escaped(inner) for inner in item] if isinstance(item, list) else item

    assert repr(value_of(escaped(value))) == repr(value)


def test_halves_of_characters_become_the_sign_for_what_cannot_be_read() -> None:
    (task,) = tasks_of(
        [r'{"tasks": [{"tool": "f", "arguments": {"a": "\ud83d! ${1}"}}]}'], first=2, earlier=[1]
    )
    assert task.arguments == {"a": Template(("\ufffd! ", Ref(1)))}


def test_raw_newlines_in_strings_are_read() -> None:
    (task,) = tasks_of(['{"tasks": [{"tool": "f", "arguments": {"a": "two\nlines\t"}}]}'])
    assert task.arguments == {"a": "two\nlines\t"}


def test_a_later_plan_counts_on_and_refers_to_earlier_tasks() -> None:
    first, second = tasks_of([plan_of({"a": "$1", "b": "$2", "c": "$4"}, {"a": "$4"})], first=4, earlier=[1])
    assert first == Task(4, "f", {"a": Ref(1), "b": "$2", "c": "$4"})
    assert second == Task(5, "f", {"a": Ref(4)})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # The character that is wrong stands after the mark.
        ("{^]", "expected '\"'"),
        ("{^}", "expected '\"'"),
        ('{"t^ool": 1}', "expected 'a'"),
        ('{" ^tasks": []}'.replace(" ^", "^ "), "expected 't'"),
        ('{"tasks": ^{}}', "expected '['"),
        ('{"tasks": [^"a"]}', "expected '{' or ']'"),
        ('{"tasks": [^1]}', "expected '{' or ']'"),
        ('{"tasks": [^[]]}', "expected '{' or ']'"),
        ('{"tasks": [{"tool": "a"},^]}', "expected '{'"),
        ('{"tasks": [{"tool": "a"} ^{"tool": "b"}]}', "expected ',' or ']'"),
        ('{"tasks": [{"tool": "a"}^}', "expected ',' or ']'"),
        ('{"tasks": []^, "more": 1}', "expected '}'"),
        ('{"tasks": [{"tool": "a"^]}', "']' closes a bracket"),
        ('{"tasks": [^{}]}', "a task is"),
        ('{"tasks": [^{"tool": 1}]}', "a task is"),
        ('{"tasks": [^{"tool": "f", "args": {}}]}', "a task is"),
        ('{"tasks": [^{"tool": "f", "arguments": []}]}', "a task is"),
        ('{"tasks": [^{"tool": "f", "arguments": null}]}', "a task is"),
        ('{"tasks": [^{"tool": "a b"}]}', "no name of a tool"),
        ('{"tasks": [^{"tool": ""}]}', "no name of a tool"),
        ('{"tasks": [^{"tool": "a", "tool": "b"}]}', "'tool' is given twice"),
        ('{"tasks": [^{"tool": "a", "arguments": {"x": 1, "y": 2, "x": 3}}]}', "'x' is given twice"),
        ('{"tasks": [{"tool": "a", ^}]}', "no JSON"),
        ('{"tasks": [{"tool": "a"}, {"tool" ^"b"}]}', "no JSON"),
        ('{"tasks": [{"tool": ^True}]}', "no JSON"),
        ('{"tasks": [{"tool": ^\'a\'}]}', "no JSON"),
        ('{"tasks": [{"tool": "a", "arguments": {"x": "^\\q"}}]}', "no JSON"),
        ('{"tasks": [^{"tool": "a", "arguments": {"x": NaN}}]}', "NaN"),
        ('{"tasks": [^{"tool": "a", "arguments": {"x": ' + "9" * 5000 + "}}]}", "no JSON"),
        ('{"tasks": [{"tool": "a", "arguments": {"x": "see ^${1}"}}]}', "$1 is not the result"),
        (
            '{"tasks": [{"tool": "a"}, {"tool": "b", "arguments": {"x": [{"y": "^${2.k}"}]}}]}',
            "$2 is not the",
        ),
        ('{"tasks": [{"tool": "a", "arguments": {"x": ' + "[" * 62 + "^[", "nested deeper than 64"),
    ],
)
def test_an_error_points_at_the_character_that_is_wrong(text: str, reason: str) -> None:
    before, after = text.split("^")
    error = error_of(before + after)
    assert reason in error.reason
    assert error.position == len(before)


def test_a_reference_written_with_escapes_is_an_error_at_its_task() -> None:
    text = '{"tasks": [^{"tool": "a", "arguments": {"x": "\\u0024{1}"}}]}'
    assert error_of(text.replace("^", "")).position == text.index("^")


@pytest.mark.parametrize("n", range(len('{"tasks": [{"tool": "a", "arguments": {"x": "y"}}]}')))
def test_a_plan_that_ends_in_the_middle_is_an_error_at_its_end(n: int) -> None:
    text = '{"tasks": [{"tool": "a", "arguments": {"x": "y"}}]}'
    error = error_of(text[:n])
    assert error.reason == "the plan ends in the middle"
    assert error.position == n


def test_an_endless_text_is_stopped() -> None:
    for endless in ("x" * 200, '{"tasks": [' + " " * 200, '{"tasks": [{"tool": "' + "x" * 200):
        error = error_of(endless, max_chars=100)
        assert "longer than 100 characters" in error.reason
        assert error.position == 100


def test_more_tasks_than_allowed_are_an_error_at_the_first_too_many() -> None:
    text = plan_of({}, {}, {})
    parser = JSONPlanParser(first=5, max_tasks=2)
    tasks = parser.feed(text)
    assert [next(tasks).id, next(tasks).id] == [5, 6]
    with pytest.raises(PlanError, match="more than 2 tasks") as caught:
        next(tasks)
    assert caught.value.position == text.rindex('{"tool"')


pieces = st.sampled_from(
    [
        '{"tasks":[',
        '{"tool":"f"',
        ',"arguments":{',
        '"a":',
        "}",
        "]",
        "}}",
        ",",
        ":",
        '"',
        "\\",
        '"$1"',
        '"${1}"',
        "[" * 70,
        *("{" * 70, "1e999", "NaN", "-Infinity", "9" * 5000, "\\ud800", "\x00", "null", " ", "$2", "\ud800"),
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(pieces, max_size=25).map("".join)), st.booleans())
@settings(max_examples=500, deadline=None)
def test_no_text_raises_anything_but_a_plan_error_and_cutting_it_changes_nothing(
    text: str, prefixed: bool
) -> None:
    text = '{"tasks": [{"tool": "f", "arguments": {' + text if prefixed else text

    def outcome(chunks: Iterable[str]) -> tuple[list[str], Any]:
        parser = JSONPlanParser(first=2, earlier=[1])
        tasks: list[str] = []
        try:
            for chunk in chunks:
                tasks.extend(map(repr, parser.feed(chunk)))
            tasks.extend(map(repr, parser.finish()))
        except PlanError as error:
            return tasks, (error.reason, error.position)
        return tasks, None

    tasks, error = outcome([text])
    assert outcome(text) == (tasks, error)
    assert error is None or 0 <= error[1] <= len(text)
