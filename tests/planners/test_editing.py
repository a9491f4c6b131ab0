"""Arguments as people read and edit them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import ReferenceValueError
from plait.planners import Ref, Template, make_text, read_value, written_value

KNOWN = (1, 2)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("see ${1}", Template(("see ", Ref(1)))),
        ("$1", Ref(1)),
        ("${1}", Ref(1)),
        ("$2.name", Ref(2, ("name",))),
        (r"see \${1}", "see ${1}"),
        (r"\$1", "$1"),
        (r"C:\\${1}", Template(("C:\\", Ref(1)))),
        (["$1", "a@b"], [Ref(1), "a@b"]),
        ({"a": "${2}!"}, {"a": Template((Ref(2), "!"))}),
    ],
)
def test_references_and_escapes_are_read_as_in_a_plan(written: Any, value: Any) -> None:
    assert read_value(written, KNOWN) == value
    assert read_value(written_value(value, KNOWN), KNOWN) == value


@pytest.mark.parametrize(
    "text",
    ["$5", "from $1 to $2", "${HOME}", "${x} costs 5 $", "C:\\new", "a\\", "$", "${", 'say "hi"\n', ""],
)
def test_a_text_without_a_reference_is_written_and_read_as_it_is(text: str) -> None:
    assert written_value(text, KNOWN) == text
    assert read_value(text, KNOWN) == text


def test_what_looks_like_a_reference_and_is_none_is_written_with_a_backslash() -> None:
    assert written_value("cat ${1}, not ${2}", KNOWN) == r"cat \${1}, not \${2}"
    assert written_value("$1", KNOWN) == r"\$1"
    assert written_value("$9", KNOWN) == "$9"
    assert written_value("${9}", KNOWN) == r"\${9}"
    assert written_value(Template(("${1} is ", Ref(1))), KNOWN) == r"\${1} is ${1}"


@pytest.mark.parametrize("written", ["see ${9}", ["${9.name}"], {"a": "x ${9} y"}])
def test_a_reference_to_nothing_is_told_with_what_to_write(written: Any) -> None:
    with pytest.raises(
        ReferenceValueError, match=r"\$\{9.*\} is not the result of an earlier step; write \\"
    ):
        read_value(written, KNOWN)


PARTS = st.lists(st.one_of(st.text(alphabet="a1\\${} ", max_size=8), st.builds(Ref, st.sampled_from(KNOWN))))


@given(PARTS.map(make_text))
def test_whatever_is_written_is_read_as_it_was(value: Any) -> None:
    assert read_value(written_value(value, KNOWN), KNOWN) == value
    assert read_value(written_value([value], KNOWN), KNOWN) == [value]
