import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plait.errors import PlanError
from plait.planners import PlanParser, Ref, Task, Template, parse_plan, print_value

SIGNATURES = {"f": ["a", "b", "c"], "g": [], "send": ["to", "subject"]}

PLAN = """\
Here is the plan (three steps):
```python
# first "the (contact
1. get_email_address(name="Sid \\"S\\" \\u00fc\\ud83d\\ude00 $5 (x]")
Thought: now I call send(to="$1")
2. f('it\\'s', [1, [-2.5e3, {"k": ["}", ')']}]], c=None)  # why (not
3. send(to=[$1, "$1", $1.name[0]['a]b']], subject="Re:
${2} \\${1} ${1['k']}", "odd name"={a: true})
```
4. join()
5. ignored("""


def tasks_of(chunks: Iterable[str], **options: Any) -> list[Task]:
    parser = PlanParser(SIGNATURES, **options)
    return [*(task for chunk in chunks for task in parser.feed(chunk)), *parser.finish()]


def values_of(arguments: str) -> list[Any]:
    """The values of a call of f that may refer to tasks 1 and 2."""
    (task,) = tasks_of([f"3. f({arguments})"], earlier=[1, 2])
    return list(task.arguments.values())


def value_of(text: str) -> Any:
    (value,) = values_of(f"a={text}")
    return value


def error_of(text: str, **options: Any) -> PlanError:
    with pytest.raises(PlanError) as caught:
        tasks_of([text], **options)
    return caught.value


# Chunks


def test_a_plan_is_read_with_all_that_may_stand_in_it() -> None:
    assert tasks_of([PLAN]) == [
        Task(1, "get_email_address", {"name": 'Sid "S" ü😀 $5 (x]'}),
        Task(2, "f", {"a": "it's", "b": [1, [-2500.0, {"k": ["}", ")"]}]], "c": None}),
        Task(
            3,
            "send",
            {
                "to": [Ref(1), Ref(1), Ref(1, ("name", 0, "a]b"))],
                "subject": Template(("Re:\n", Ref(2), " ${1} ", Ref(1, ("k",)))),
                "odd name": {"a": True},
            },
        ),
    ]


@given(st.lists(st.integers(0, len(PLAN)), max_size=12).map(sorted), st.booleans())
@settings(max_examples=150, deadline=None)
@example([*range(len(PLAN) + 1)], False)
@example([*range(len(PLAN) + 1)], True)
def test_the_tasks_are_the_same_wherever_the_text_is_cut(cuts: list[int], crlf: bool) -> None:
    whole = PLAN.replace("\n", "\r\n") if crlf else PLAN
    chunks = [whole[a:b] for a, b in pairwise([0, *cuts, len(whole)])]
    assert tasks_of(chunks) == tasks_of([whole])


def test_a_task_is_out_the_moment_its_closing_parenthesis_arrives() -> None:
    parser = PlanParser()
    assert list(parser.feed('1. f(a=")", b=[(')) == []
    with pytest.raises(PlanError):
        list(parser.feed("1)])"))
    parser = PlanParser()
    assert list(parser.feed('1. f(a=")", b=[{}]')) == []
    assert list(parser.feed(")")) == [Task(1, "f", {"a": ")", "b": [{}]})]


def test_tasks_are_given_out_one_by_one_as_they_are_asked_for() -> None:
    tasks = PlanParser().feed("1. a()\n2. b()\n3. c(")
    assert next(tasks) == Task(1, "a", {})
    assert next(tasks) == Task(2, "b", {})


def test_the_tasks_before_an_error_are_given_out() -> None:
    tasks = PlanParser().feed("1. a()\n2. b(x=$1)\n3. c(x=$3)\n4. d()")
    assert [next(tasks), next(tasks)] == [Task(1, "a", {}), Task(2, "b", {"x": Ref(1)})]
    with pytest.raises(PlanError):
        next(tasks)


# Values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("True", True),
        ("false", False),
        ("False", False),
        ("null", None),
        ("None", None),
        ("0", 0),
        ("-12", -12),
        ("+3", 3),
        ("007", 7),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1.5e-3", -0.0015),
        ("1e3", 1000.0),
        ("1e999", math.inf),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ('""', ""),
        ("''", ""),
        ("[]", []),
        ("[ 1 ,2, ]", [1, 2]),
        ("{}", {}),
        ("{'a': 1, b-c: [True],}", {"a": 1, "b-c": [True]}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('{"$1": "$1"}', {"$1": Ref(1)}),
    ],
)
def test_literals_are_those_of_json_and_of_python(text: str, value: Any) -> None:
    assert repr(value_of(text)) == repr(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\"b\\c\/d"', 'a"b\\c/d'),
        (r'"\b\f\n\r\t"', "\b\f\n\r\t"),
        (r"'it\'s'", "it's"),
        ('"it\'s"', "it's"),
        ("'say \"x\"'", 'say "x"'),
        (r'"\u00e9\u4e2d"', "é中"),
        (r'"\ud83d\ude00\uD83D\uDE00"', "😀😀"),
        (r'"\ud83d!\ude00"', "\ufffd!\ufffd"),
        (r'"\ud83d\u0041"', "\ufffdA"),
        (r'"\d+\.\u12"', r"\d+\.\u12"),
        ('"two\nlines\r\nthree"', "two\nlines\r\nthree"),
        ("\"a)], 'b' {(\"", "a)], 'b' {("),
        ('"# no comment"', "# no comment"),
        ('"é😀\u2028"', "é😀\u2028"),
    ],
)
def test_strings_may_hold_any_character(text: str, value: str) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$1", Ref(1)),
        ("${1}", Ref(1)),
        ('"$1"', Ref(1)),
        ("'${2}'", Ref(2)),
        ("$1.field", Ref(1, ("field",))),
        ("$1.a.b[0].c", Ref(1, ("a", "b", 0, "c"))),
        ("$1[-1]", Ref(1, (-1,))),
        ("$1['k']", Ref(1, ("k",))),
        ('$1["a key"]', Ref(1, ("a key",))),
        ("$1['a]b']", Ref(1, ("a]b",))),
        (r"$1['it\'s']", Ref(1, ("it's",))),
        ("$1['two\nlines'].x", Ref(1, ("two\nlines", "x"))),
        (r"$1['\u005d']", Ref(1, ("]",))),
        ('"$1.field"', Ref(1, ("field",))),
        ('"${1.field}"', Ref(1, ("field",))),
        ("\"$1['k']\"", Ref(1, ("k",))),
        (r'"$1[\"k\"]"', Ref(1, ("k",))),
        (r"'$1[\'k\']'", Ref(1, ("k",))),
        ("$01", Ref(1)),
        ('"text ${1} text"', Template(("text ", Ref(1), " text"))),
        ('"${1}${2}"', Template((Ref(1), Ref(2)))),
        ('"${1}.txt"', Template((Ref(1), ".txt"))),
        ('"$${1}"', Template(("$", Ref(1)))),
        (r'"\\${1}"', Template(("\\", Ref(1)))),
        (r'"a ${1[\"k\"]}\n"', Template(("a ", Ref(1, ("k",)), "\n"))),
        ("\"a ${1['}']} b\"", Template(("a ", Ref(1, ("}",)), " b"))),
    ],
)
def test_results_are_referred_to(text: str, value: Any) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"$5"', "$5"),
        ('"$3"', "$3"),
        ('"$5.00"', "$5.00"),
        ('"$1 off"', "$1 off"),
        ('"is $1"', "is $1"),
        ('" $1"', " $1"),
        (r'"\$1"', "$1"),
        (r'"\${1}"', "${1}"),
        (r'"a \${1} b"', "a ${1} b"),
        (r'"\u00241"', "$1"),
        ('"US$"', "US$"),
        ('"$"', "$"),
        ('"${HOME}"', "${HOME}"),
        ('"${}"', "${}"),
        ('"${1"', "${1"),
        ('"${1 }"', "${1 }"),
        ('"$٣"', "$٣"),
        ('"$' + "1" * 5000 + '"', "$" + "1" * 5000),
    ],
)
def test_a_dollar_that_begins_no_reference_is_a_dollar(text: str, value: str) -> None:
    assert value_of(text) == value


def test_a_quoted_reference_is_one_only_to_an_earlier_task() -> None:
    first, second = tasks_of(['1. f(a="$2")\n2. f(a="$1")'])
    assert first.arguments == {"a": "$2"}
    assert second.arguments == {"a": Ref(1)}


# Arguments


def test_arguments_without_a_name_are_bound_by_the_signature() -> None:
    assert tasks_of(['1. f(1, "x", c=true)']) == [Task(1, "f", {"a": 1, "b": "x", "c": True})]


def test_the_order_of_named_arguments_is_kept() -> None:
    (task,) = tasks_of(["1. f(c=1, a=2, zzz=3)"])
    assert list(task.arguments) == ["c", "a", "zzz"]


@pytest.mark.parametrize("name", ["a", "_a", "a.b-c", "größe", "true", "None", "to2"])
def test_a_word_names_an_argument(name: str) -> None:
    assert tasks_of([f"1. f({name}=1)"]) == [Task(1, "f", {name: 1})]


@pytest.mark.parametrize("name", ["", "a b", 'q"q', "$1", "(", "=", "a\nb"])
def test_any_text_in_quotes_names_an_argument(name: str) -> None:
    printed = print_value({name: 1}).removeprefix("{").removesuffix(": 1}")
    assert tasks_of([f"1. f({printed} = 1)"]) == [Task(1, "f", {name: 1})]


@pytest.mark.parametrize("name", ["a.b-c", "größe", "files/read:v2", "a*b?", "x;y"])
def test_a_tool_may_have_any_name_without_punctuation(name: str) -> None:
    assert tasks_of([f"1. {name}()"]) == [Task(1, name, {})]


def test_white_space_stands_anywhere_between() -> None:
    text = "\n\n \t1 .\tf  (\n  a = 1 ,\n\tb\n=\n[ 1\n, 2 ]\n)\n2.f()"
    assert tasks_of([text]) == [Task(1, "f", {"a": 1, "b": [1, 2]}), Task(2, "f", {})]


# What stands around


@pytest.mark.parametrize(
    "text",
    [
        "Sure! Here is the plan (in two steps):\n\n1. g()",
        "We don't need much :-)\n1. g()",
        "2024 was long ago (they say)\n1. g()",
        "3 (three) steps\n1. g()",
        "Thought: I call g() and send(to='x\n1. g()",
        "<think>\nfirst g, it's 'easy\n</think>\n1. g()",
        "<plan (of g(1. f())>\n1. g()",
        "```\n1. g()\n```",
        "```python title='x(y)'\r\n1. g()\r\n```\r\n",
        '# 1. f(\n1. g() # 2. f(\n# "\n',
        "1. g()\nThought: done (or f() it seems\n</s>\n<END_OF_PLAN>\n",
        "1. g()",
        "1. g()\n\n\n",
        "1. g()\r\n2. join()\r\n",
    ],
)
def test_prose_before_the_plan_and_remarks_anywhere_are_passed_over(text: str) -> None:
    assert tasks_of([text]) == [Task(1, "g", {})]


@pytest.mark.parametrize("text", ["", " \n", "I can do nothing about that.", "```\n```", "# none"])
def test_a_text_without_a_task_is_an_empty_plan(text: str) -> None:
    assert tasks_of([text]) == []


@pytest.mark.parametrize(
    "end",
    [
        "2. join()",
        "2.join()",
        "join()",
        "2. join",
        "join",
        "2. join\n",
        "2. join\r\n",
        "2. join(1, 'x",
        "9. join ()",
    ],
)
def test_join_ends_the_plan_and_what_follows_is_ignored(end: str) -> None:
    parser = PlanParser()
    tasks = [*parser.feed(f"1. g()\n{end}"), *parser.finish()]
    assert parser.joined
    assert [*tasks, *parser.feed("\n2. h(]"), *parser.finish()] == [Task(1, "g", {})]


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_a_number_needs_no_full_stop(chunk: int) -> None:
    text = '1 f("a",[1,2],c={"k":$7})\n2 .odd(x=$1)\n3 join()\n4 ignored('
    parser = PlanParser(SIGNATURES, earlier=[7])
    tasks = [task for i in range(0, len(text), chunk) for task in parser.feed(text[i : i + chunk])]
    assert tasks == [
        Task(1, "f", {"a": "a", "b": [1, 2], "c": {"k": Ref(7)}}),
        Task(2, ".odd", {"x": Ref(1)}),
    ]
    assert parser.joined


def test_prose_that_begins_with_a_number_is_passed_over() -> None:
    assert tasks_of(["2 steps (in order):\n3 calls\n1. g()\n2. join()"]) == [Task(1, "g", {})]


def test_a_plan_is_not_joined_before_it_says_so() -> None:
    parser = PlanParser()
    list(parser.feed("1. g()\n2. joi"))
    assert not parser.joined
    list(parser.feed("n("))
    assert parser.joined


def test_a_tool_whose_name_begins_with_join_does_not_end_the_plan() -> None:
    assert [task.tool for task in tasks_of(["1. joiner()\n2. join_all()\n3. join()"])] == [
        "joiner",
        "join_all",
    ]


# Errors


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # The character that is wrong stands after the mark.
        ("1. f(a=^$1)", "$1 is not the result of an earlier task"),
        ("1. g()\n2. f(a=[1, ^$2])", "$2 is not the result"),
        ("1. g()\n2. f(a=^${7})", "$7 is not the result"),
        ("1. g()\n2. f(a='x', b=\"see ${1} and ^${3}\")", "$3 is not the result"),
        ('1. f(a="^${1}")', "$1 is not the result"),
        ("1. f(a=^$0)", "$0 is not the result"),
        ("1. f(a=^$)", "expected a reference"),
        ("1. f(a=^${x})", "expected a reference"),
        ("1. g()\n2. f(a=$1^.5)", "expected ',' or ')', not '.5)'"),
        ("1. g()\n2. f(a=$1 ^+ 1)", "expected ',' or ')'"),
        ("1. g()\n^1. g()", "there is already a task 1"),
        ("^0. g()", "they count from 1"),
        ("^99999999999. g()", "is no number of a task"),
        ("1. g()\n2. ^{x}()", "is no name of a tool"),
        ('1. g()\n2. ^"f"()', "is no name of a tool"),
        ("1. f(a=[1, 2^)", "')' closes a bracket that was not opened"),
        ("1. f(a={1^])", "']' closes"),
        ("1. g()^)\n", "expected a call"),
        ("1. f(a=1, ^a=2)", "the argument 'a' of f is given twice"),
        ("1. f(1, ^a=2)", "the argument 'a' of f is given twice"),
        ("1. f(b=1, ^2)", "a positional argument follows one with a name"),
        ("1. f(1, 2, 3, ^4)", "argument 4 of f has no name, and f takes 3 arguments"),
        ("1. g(^$1)", "argument 1 of g has no name, and g takes 0 arguments"),
        ("1. unheard_of(^1)", "argument 1 of unheard_of has no name, and unheard_of is unknown"),
        ("1. f(a=^Sid)", "expected a value, not 'Sid)'"),
        ("1. f(a=^)", "expected a value"),
        ("1. f(^,)", "expected a value"),
        ("1. f(a=1^;b=2)", "expected ',' or ')'"),
        ("1. f(a=1 ^b=2)", "expected ',' or ')'"),
        ("1. f(a=[1 ^2])", "expected ',' or ']'"),
        ("1. f(a={^1: 2})", "expected a key"),
        ("1. f(a={b^, c})", "expected ':'"),
        ("1. f(a={b: 1 ^c: 2})", "expected ',' or '}'"),
        ("1. f(a='x' ^'y')", "expected ',' or ')'"),
        ("1. f(a=2026^-01-01)", "expected ',' or ')'"),
        ("1. f(a=^(1, 2))", "expected a value"),
        ("1. f(a=^" + "9" * 5000 + ")", "too many digits"),
        ("1. f(a=" + "[" * 63 + "^[", "nested deeper than 64"),
        ("1. f^\n", "expected a call"),
        ("1 find_ema^", "expected a call"),
        ("1 g()\n^2 find_ema", "expected a call"),
        ("1 g()\n^1 g()", "there is already a task 1"),
        ("1 g()\n^4 calls (or 5)", "expected a call"),
        ("1. First, ^ask (someone)", "expected a call"),
        ("1. f ^then g\n", "expected a call"),
        ("1^) f()", "expected a call"),
        ("1.^(a=1)", "expected a call"),
        ("^f(a=1)", "expected a call"),
        ("^- f(a=1)", "expected a call"),
        ("^`1. f()`", "expected a call"),
        ("^Plan: 1. f()", "expected a call"),
        ("1. g()\n^then g\n2. g()", "expected a call"),
        ("1. g()\n ^then (maybe) g", "expected a call"),
    ],
)
def test_an_error_points_at_the_character_that_is_wrong(text: str, reason: str) -> None:
    before, after = text.split("^")
    error = error_of(before + after)
    assert reason in error.reason
    assert error.position == len(before)
    line = (before.rpartition("\n")[2] + after.partition("\n")[0]).strip()
    assert error.line.strip(". ")[:20] in line


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "1.",
        "1. f",
        "1. f(",
        "1. f(a",
        "1. f(a=",
        "1. f(a='x",
        "1. f(a='x\\",
        "1. f(a=[1, 2",
        "1. g()\n2. f(a=$1",
    ],
)
def test_a_plan_that_ends_in_the_middle_of_a_task_is_an_error_at_its_end(text: str) -> None:
    assert error_of(text).position == len(text)


def test_the_error_shows_the_line_that_it_is_in() -> None:
    error = error_of('1. g()\n2. f(a="x",\n  b=Sid,\n  c=1)')
    assert error.line == "  b=Sid,"
    assert str(error) == "expected a value, not 'Sid,' (at character 23 in 'b=Sid,')"


def test_the_error_shows_of_a_long_line_what_is_around_it() -> None:
    error = error_of(f"1. f(a='{'x' * 500}', b=Sid, c='{'y' * 500}')")
    assert "b=Sid" in error.line
    assert len(error.line) < 140


def test_an_endless_text_is_stopped() -> None:
    for endless in ("1. f(a='" + "x" * 200, "1. f" + "x" * 200, "x" * 200, "\n" * 200, "# " + "x" * 200):
        error = error_of(endless, max_chars=100)
        assert error.position == 100
        assert "longer than 100 characters" in error.reason


def test_a_text_of_the_allowed_length_is_read() -> None:
    assert tasks_of(["1. g()\n2. join"], max_chars=14) == [Task(1, "g", {})]
    assert tasks_of(["1. g()"], max_chars=6) == [Task(1, "g", {})]


def test_more_tasks_than_allowed_are_an_error_at_the_first_too_many() -> None:
    parser = PlanParser(max_tasks=2)
    tasks = parser.feed("1. g()\n2. g()\n3. g()")
    assert [next(tasks).id, next(tasks).id] == [1, 2]
    with pytest.raises(PlanError, match="more than 2 tasks") as caught:
        next(tasks)
    assert caught.value.position == 14


def test_a_later_plan_counts_on_and_refers_to_earlier_tasks() -> None:
    text = '4. f(a=$1, b="${3}", c="$2")'
    assert tasks_of([text], first=4, earlier=[1, 3]) == [Task(4, "f", {"a": Ref(1), "b": Ref(3), "c": "$2"})]
    assert "they count from 4" in error_of("2. g()", first=4, earlier=[1, 3]).reason
    assert "already a task 3" in error_of("3. g()", earlier=[1, 3]).reason
    assert "$2 is not" in error_of("4. f(a=$2)", first=4, earlier=[1, 3]).reason


def test_numbers_may_have_gaps_and_any_order() -> None:
    assert [task.id for task in tasks_of(["7. g()\n3. f(a=$7)\n10. f(a=$3)"])] == [7, 3, 10]


def test_a_whole_text_is_read_at_once() -> None:
    assert parse_plan("1. f(1)\n2. join()", SIGNATURES) == [Task(1, "f", {"a": 1})]
    with pytest.raises(PlanError):
        parse_plan("1. f(")


pieces = st.sampled_from(
    [
        *"()[]{}\"'\\$,=:.#`<1230-+eE \n\r_x",
        "1. f(",
        "2. g(",
        "a=",
        "${1}",
        "$1",
        "['",
        "']",
        "\\u",
        "d83d",
        "join",
        *(
            "Thought",
            "```",
            "true",
            "None",
            ")\n",
            "٣",
            "²",
            "\x00",
            "\ufeff",
            "\ud800",
            "1" * 5000,
            "[" * 70,
        ),
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(pieces, max_size=25).map("".join)), st.booleans())
@settings(max_examples=600, deadline=None)
def test_no_text_raises_anything_but_a_plan_error_and_cutting_it_changes_nothing(
    text: str, prefixed: bool
) -> None:
    text = f"1. f(a={text}" if prefixed else text

    def outcome(chunks: Iterable[str]) -> tuple[list[str], Any]:
        parser = PlanParser(SIGNATURES, earlier=[2])
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
