import ctypes
import dataclasses
import importlib
import importlib.util
import json
import os
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import llama_cpp
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher
from llguidance.llamacpp import lltokenizer_from_vocab

from plait.errors import ConfigurationError, GrammarError
from plait.models import Grammar
from plait.planners import (
    JSONPlanParser,
    Plan,
    PlanParser,
    Ref,
    Task,
    Template,
    argument_names,
    make_text,
    plan_grammar,
    print_plan,
    references,
    step_grammar,
)
from plait.tools import (
    AnyType,
    ArrayType,
    BooleanType,
    EnumType,
    Field,
    NumberType,
    ObjectType,
    StringType,
    Tool,
    Type,
    UnionType,
    tool,
)

# A vocabulary, and the engines that follow a grammar with it.


Mask: TypeAlias = npt.NDArray[np.bool_]
# Kinds of tokens: a quote, what closes something, what begins a reference, what may end a number.
KINDS = [rb'^ ?"$', rb"^ ?[\])}]+$|^\n$|^ join$|^\(\)$", rb"^ ?\$$|^\{$", rb"^[.0-9]$|^, $", rb""]
CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Vocabulary:
    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.tokenizer = lltokenizer_from_vocab(handle)
        self.end = llama_cpp.llama_vocab_eos(handle)
        n_tokens = llama_cpp.llama_vocab_n_tokens(handle)
        self.pieces = [bytes(self.tokenizer.decode_bytes([k])) for k in range(n_tokens)]
        self.kinds = [np.array([bool(re.match(kind, piece)) for piece in self.pieces]) for kind in KINDS]

    def tokens(self, text: str) -> list[int]:
        return list(self.tokenizer.tokenize_str(text))

    def bytes_of(self, tokens: list[int]) -> bytes:
        return b"".join(self.pieces[token] for token in tokens)


@pytest.fixture(scope="session")
def vocabulary(smollm2: Path) -> Iterator[Vocabulary]:
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(os.fsencode(smollm2), parameters)
    yield Vocabulary(llama_cpp.llama_model_get_vocab(model))
    llama_cpp.llama_model_free(model)


class Engine(Protocol):
    def take(self, token: int) -> bool:
        """Go on with ``token`` if it is allowed."""

    def may_end(self) -> bool: ...

    def allowed(self) -> Mask: ...


class LLGuidance:
    """llguidance, with a grammar in Lark or a JSON schema."""

    def __init__(self, vocabulary: Vocabulary, form: Any) -> None:
        self._n_tokens = len(vocabulary.pieces)
        spaced = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}
        grammar = (
            LLMatcher.grammar_from_lark(form)
            if isinstance(form, str)
            else LLMatcher.grammar_from_json_schema(form, defaults=spaced)
        )
        self._matcher = LLMatcher(vocabulary.tokenizer, grammar, log_level=0)
        assert not self._matcher.is_error(), self._matcher.get_error()
        assert self._matcher.get_grammar_warnings() == []

    def take(self, token: int) -> bool:
        return bool(self._matcher.try_consume_tokens([token]) == 1)

    def may_end(self) -> bool:
        return bool(self._matcher.is_accepting())

    def allowed(self) -> Mask:
        mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        return np.unpackbits(mask, bitorder="little")[: self._n_tokens].astype(bool)


class LlamaCpp:
    """llama.cpp's own engine, with a grammar in GBNF."""

    def __init__(self, vocabulary: Vocabulary, form: str) -> None:
        self._vocabulary = vocabulary
        self._sampler = llama_cpp.llama_sampler_init_grammar(vocabulary.handle, form.encode(), b"root")
        assert self._sampler, "llama.cpp cannot read the grammar"

    def __del__(self) -> None:
        if self._sampler:
            llama_cpp.llama_sampler_free(self._sampler)

    def take(self, token: int) -> bool:
        allowed = bool(self._of(np.array([token]))[0])
        if allowed:
            llama_cpp.llama_sampler_accept(self._sampler, token)
        return allowed

    def may_end(self) -> bool:
        return bool(self._of(np.array([self._vocabulary.end]))[0])

    def allowed(self) -> Mask:
        return self._of(np.arange(len(self._vocabulary.pieces)))

    def _of(self, tokens: npt.NDArray[np.int64]) -> Mask:
        candidates = np.zeros(len(tokens), CANDIDATE)
        candidates["id"] = tokens
        pointer = candidates.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data))
        array = llama_cpp.llama_token_data_array(pointer, len(tokens), -1, False)
        llama_cpp.llama_sampler_apply(self._sampler, ctypes.byref(array))
        allowed: Mask = candidates["logit"] == 0
        return allowed


@dataclass(frozen=True)
class Forms:
    """One grammar in its forms, each with an engine."""

    vocabulary: Vocabulary
    grammar: Grammar

    def engine(self, form: str) -> Engine:
        if form == "gbnf":
            return LlamaCpp(self.vocabulary, str(self.grammar.gbnf))
        return LLGuidance(self.vocabulary, self.grammar.lark if form == "lark" else self.grammar.json_schema)

    def accepted(self, form: str, text: str) -> str:
        """What of ``text`` the grammar accepts; it ends with a mark if the text may not end there."""
        engine, tokens = self.engine(form), self.vocabulary.tokens(text)
        for i, token in enumerate(tokens):
            if not engine.take(token):
                return self.vocabulary.bytes_of(tokens[:i]).decode(errors="replace") + "⛔"
        return text if engine.may_end() else f"{text}…"


@pytest.fixture
def forms(vocabulary: Vocabulary) -> Callable[..., Forms]:
    def build(*tools: Tool, **options: Any) -> Forms:
        return Forms(vocabulary, plan_grammar(tools, **options))

    return build


def schema_tool(name: str, properties: dict[str, Any], required: list[str] | None = None) -> Tool:
    parameters = {"type": "object", "properties": properties, "required": required or []}
    return Tool.from_schema({"name": name, "parameters": parameters})


# A toolbox with a bit of everything


@tool
def find(name: str) -> dict[str, Any]:
    """Find a contact."""
    return {"name": name}


@tool
def create(
    title: str,
    start: datetime,
    minutes: int = 30,
    people: list[str] = [],  # noqa: B006
    kind: Literal["call", "visit"] | None = None,
) -> str:
    """Create an event."""
    return f"{title}{start}{minutes}{people}{kind}"


@tool
def now() -> str:
    """Tell the time."""
    return ""


ODD = schema_tool(
    "files/read:v2",
    {
        "a b": {"type": "number", "minimum": 0},
        "größe": {
            "enum": ['quo"te', "back\\slash", "new\nline", "üñí", "$1", "${1}", "US$", "", 2, None, True]
        },
        "where": {
            "type": "object",
            "properties": {"lat": {"type": "number"}, "any": {}, "tags": {"type": "array", "default": []}},
            "required": ["lat"],
        },
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        "counts": {"type": "object", "additionalProperties": {"type": "integer", "exclusiveMinimum": 0}},
        "days": {
            "type": "array",
            "items": {"type": "string", "format": "date"},
            "minItems": 1,
            "maxItems": 2,
        },
        "either": {
            "anyOf": [{"enum": ["auto"]}, {"type": "string"}, {"type": "array", "items": {"type": "integer"}}]
        },
        "at": {"type": "string", "format": "time"},
        "anything": {},
    },
    ["a b"],
)
TOOLS = (find, create, now, ODD)


@pytest.fixture(scope="session")
def plans(vocabulary: Vocabulary) -> Forms:
    return Forms(vocabulary, plan_grammar(TOOLS))


@pytest.mark.parametrize("form", ["lark", "gbnf"])
@pytest.mark.parametrize(
    "text",
    [
        "1. join()",
        "1. now()\n2. now()\n3. join()",
        '1. find(name="Sid")\n2. create(title="With ${1.name}", start="2026-02-03 10:00")\n3. join()',
        '1. find(name="$5, US$, \\$1 and \\${1}")\n2. find(name=$1)\n3. find(name="\\$${1}$")\n4. join()',
        "1. now()\n2. create(title=$1, start=$1, minutes=$1, people=$1, kind=$1)\n3. join()",
        '1. now()\n2. create(title="", start="2026-02-03T10:00:59", people=[$1[0].x, "${1}"])\n3. join()',
        '1. create(title="t", start="2026-02-03 10:00", kind="call")\n2. join()',
        '1. create(title="t", start="2026-02-03 10:00", minutes=5, people=[], kind=null)\n2. join()',
        '1. files/read:v2("a b"=0.5e3)\n2. join()',
        '1. files/read:v2("a b"=1, größe="quo\\"te")\n2. join()',
        '1. files/read:v2("a b"=1, größe="new\\nline")\n2. join()',
        '1. files/read:v2("a b"=1, größe="\\$1")\n2. join()',
        '1. files/read:v2("a b"=1, größe="")\n2. join()',
        '1. files/read:v2("a b"=1, größe=true, pair=["x", -3])\n2. join()',
        '1. files/read:v2("a b"=1, where={"lat": -1.5, "tags": [1, {"a": []}]})\n2. join()',
        '1. files/read:v2("a b"=1, where={"lat": 1, "any": {"${x": null}}, counts={})\n2. join()',
        '1. files/read:v2("a b"=1, counts={"a": 1, "b c": 20}, days=["2026-12-31"])\n2. join()',
        '1. files/read:v2("a b"=1, days=["2026-12-31", "2027-01-01"], at="23:59")\n2. join()',
        '1. files/read:v2("a b"=1, either="auto")\n2. join()',
        '1. files/read:v2("a b"=1, either="automatic")\n2. join()',
        '1. files/read:v2("a b"=1, either="a")\n2. join()',
        '1. files/read:v2("a b"=1, either="")\n2. join()',
        '1. files/read:v2("a b"=1, either=[1, 2])\n2. join()',
        '1. files/read:v2("a b"=1, anything=[[[[[1]]]]])\n2. join()',
        '1. files/read:v2("a b"=1, anything={"a": {"b": "${x}"}})\n2. join()'.replace("${x}", "\\${x}"),
    ],
)
def test_a_right_plan_is_accepted(plans: Forms, form: str, text: str) -> None:
    assert plans.accepted(form, text) == text
    assert str(Plan(tuple(PlanParser().feed(text)))).startswith("1. ")


@pytest.mark.parametrize("form", ["lark", "gbnf"])
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("1. find(name=", "$1)"),
        ("1. find(name=", "$)"),
        ('1. find(name="$', '{1}")'),
        ("1. now()\n2. find(name=$", "2)"),
        ("1. now()\n2. find(name=$1", "0)"),
        ('1. now()\n2. find(name="${', '2}")'),
        ('1. now()\n2. find(name="${1', '0}")'),
        ('1. now()\n2. find(name="${', 'x}")'),
        ('1. now()\n2. find(name="$$', '{1}")'),
        ("", "2. now()"),
        ("", " 1. now()"),
        ("1. now()\n", "3. now()"),
        ("1. now()", " "),
        ("1. now()\n2. join()", "\n"),
        ("1. ", "lose()"),
        ("1. now", "here()"),
        ("1. now(", "x=1)"),
        ("1. find(name", 's="x")'),
        ("1. find(", '"x")'),
        ("1. find(", ")"),
        ('1. find(name="x"', ', name="y")'),
        ('1. create(title="x"', ")"),
        ('1. create(title="x", ', "minutes=3)"),
        ('1. create(title="x", start="2026-02-03 10:00", ', 'title="y")'),
        ('1. create(title="x", start="2026-02-03 10:00", people=[], ', "minutes=3)"),
        ('1. create(title="x", start="2026-02-03 10:00", kind="', 'party")'),
        ('1. create(title="x", start="2026-02-03 10:00", kind=', "1)"),
        ('1. create(title="x", start="2026-02-03 10:00", minutes=', "true)"),
        ('1. create(title="x", start="2026-02-03 10:00", minutes=', '"3")'),
        ('1. create(title="x", start="2026-02-03 10:00", minutes=3', ".5)"),
        ('1. create(title="x", start="2026-02-03 10:00", minutes=0', "7)"),
        ('1. create(title="x", start="2026-02-03 10:00", minutes=' + "9" * 19, "9)"),
        ('1. create(title="x", start="2026-02-03 10:00", people=', '"a")'),
        ('1. create(title="x", start="2026-02-03 10:00", people=["a",', "])"),
        ('1. create(title="x", start="', 'tomorrow")'),
        ('1. create(title="x", start="2026-', '20-03 10:00")'),
        ('1. create(title="x", start="2026-02-03', '")'),
        ("1. files/read:v2(", "where={})"),
        ('1. files/read:v2("a b"=', "-1)"),
        ('1. files/read:v2("a b"=1, where={', "})"),
        ('1. files/read:v2("a b"=1, where={"l', 'on": 1})'),
        ('1. files/read:v2("a b"=1, pair=["x"', "])"),
        ('1. files/read:v2("a b"=1, pair=["x", 1', ", 2])"),
        ('1. files/read:v2("a b"=1, counts={"a": ', "0})"),
        ('1. files/read:v2("a b"=1, days=[', "])"),
        ('1. files/read:v2("a b"=1, days=["2026-01-01", "2026-01-01"', ", "),
        ('1. files/read:v2("a b"=1, either=', "{})"),
        ('1. files/read:v2("a b"=1, at="2', '4:00")'),
        ('1. files/read:v2("a b"=1, anything=[[[[[', "[1]]]]]])"),
    ],
)
def test_a_wrong_plan_is_rejected_where_it_goes_wrong(plans: Forms, form: str, good: str, bad: str) -> None:
    """Token by token is too coarse to see the character, so what is right is taken first."""
    engine = plans.engine(form)
    assert all(engine.take(token) for token in plans.vocabulary.tokens(good))
    first = plans.vocabulary.tokens(bad[0])
    assert len(first) == 1
    assert not engine.take(first[0])


@pytest.fixture(scope="session")
def compact(vocabulary: Vocabulary) -> Forms:
    return Forms(vocabulary, plan_grammar(TOOLS, dialect="compact"))


@pytest.mark.parametrize("form", ["lark", "gbnf"])
@pytest.mark.parametrize(
    "text",
    [
        "1 join()",
        "1 now()\n2 now()\n3 join()",
        '1 find("Sid")\n2 create("With ${1.name}","2026-02-03 10:00")\n3 join()',
        "1 now()\n2 create($1,$1,minutes=$1,people=[$1,$1])\n3 join()",
        '1 create("t","2026-02-03 10:00",people=["a","b"],kind="call")\n2 join()',
        '1 files/read:v2(1,where={"lat":-1.5,"tags":[1,{"a":[]}]},pair=["x",-3])\n2 join()',
        '1 files/read:v2(0.5e3,größe="quo\\"te",counts={"a":1,"b c":20})\n2 join()',
    ],
)
def test_a_right_compact_plan_is_accepted(compact: Forms, form: str, text: str) -> None:
    assert compact.accepted(form, text) == text
    assert list(PlanParser(argument_names(TOOLS, dialect="compact")).feed(text)) or text == "1 join()"


@pytest.mark.parametrize("form", ["lark", "gbnf"])
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("1", ". now()"),
        ("1 now()\n", "3 now()"),
        ("1 find(", 'name="x")'),
        ("1 find(", ")"),
        ("1 find(", "1)"),
        ("1 find(", "$1)"),
        ('1 find("x"', ',"y")'),
        ('1 create("x"', ")"),
        ('1 create("x",', " "),
        ('1 create("x",', 'start="2026-02-03 10:00")'),
        ('1 create("x",', "3)"),
        ('1 create("x","2026-02-03', 'T10:00")'),
        ('1 create("x","2026-02-03 10:00",', "3)"),
        ('1 create("x","2026-02-03 10:00",', '"2026-02-03 10:00")'),
        ('1 create("x","2026-02-03 10:00",people=[],', "minutes=3)"),
        ('1 create("x","2026-02-03 10:00",people=["a",', " "),
        ("1 files/read:v2(", "-1)"),
        ('1 files/read:v2(1,where={"lat":', " "),
    ],
)
def test_a_wrong_compact_plan_is_rejected_where_it_goes_wrong(
    compact: Forms, form: str, good: str, bad: str
) -> None:
    engine = compact.engine(form)
    assert all(engine.take(token) for token in compact.vocabulary.tokens(good))
    first = compact.vocabulary.tokens(bad[0])
    assert len(first) == 1
    assert not engine.take(first[0])


@pytest.mark.parametrize("form", ["lark", "gbnf"])
def test_required_arguments_stand_first_in_the_compact_dialect_wherever_the_signature_has_them(
    forms: Callable[..., Forms], form: str
) -> None:
    flag = {"type": "boolean"}
    tool = schema_tool("f", {"a": flag, "b": flag, "c": {"type": "integer"}, "d": flag}, ["c", "d"])
    grammar = forms(tool, max_tasks=1, dialect="compact")
    for good in ("1,true", "1,true,a=true", "1,true,b=true", "1,true,a=true,b=true"):
        assert grammar.accepted(form, f"1 f({good})\n2 join()") == f"1 f({good})\n2 join()"
    for bad in ("", "1", "true,1", "1,d=true", "1,true,true", "a=true,1,true", "1,true,b=true,a=true"):
        assert grammar.accepted(form, f"1 f({bad})\n2 join()").endswith("⛔")


@pytest.mark.parametrize("form", ["lark", "gbnf"])
def test_an_optional_argument_can_be_left_out_and_a_required_one_after_it_cannot(
    forms: Callable[..., Forms], form: str
) -> None:
    flag = {"type": "boolean"}
    grammar = forms(schema_tool("f", {"a": flag, "b": flag, "c": flag, "d": flag}, ["c"]), max_tasks=1)
    for chosen in ("c", "ac", "bc", "abc", "cd", "acd", "bcd", "abcd"):
        text = f"1. f({', '.join(f'{name}=true' for name in chosen)})\n2. join()"
        assert grammar.accepted(form, text) == text
    for chosen in ("", "a", "b", "ab", "d", "ad", "ca", "ba", "cc", "dc"):
        text = f"1. f({', '.join(f'{name}=true' for name in chosen)})\n2. join()"
        assert grammar.accepted(form, text) != text


@pytest.mark.parametrize("form", ["lark", "gbnf"])
def test_a_plan_has_no_more_tasks_than_allowed(forms: Callable[..., Forms], form: str) -> None:
    grammar = forms(now, max_tasks=2)
    for good in ("1. join()", "1. now()\n2. join()", "1. now()\n2. now()\n3. join()"):
        assert grammar.accepted(form, good) == good
    accepted = grammar.accepted(form, "1. now()\n2. now()\n3. now()\n4. join()")
    assert accepted.rstrip() in ("1. now()\n2. now()\n3.⛔", "1. now()\n2. now()\n3. ⛔")


@pytest.mark.parametrize("form", ["lark", "gbnf"])
def test_a_later_plan_counts_on_and_refers_to_what_succeeded(forms: Callable[..., Forms], form: str) -> None:
    grammar = forms(find, first=4, unavailable={2}, max_tasks=12)
    good = '4. find(name=$1)\n5. find(name="${3} ${4}")\n6. find(name=$4.x[0])\n7. join()'
    assert grammar.accepted(form, good) == good
    for wrong in (
        "4. find(name=$2)",
        "4. find(name=$4)",
        '4. find(name="${2}")',
        "1. find(name=$3)",
        "5. join()",
    ):
        assert grammar.accepted(form, wrong).endswith("⛔")
    numbers = "\n".join(f"{k}. find(name=${k - 1})" for k in range(4, 16))
    assert grammar.accepted(form, f"{numbers}\n16. join()") == f"{numbers}\n16. join()"


@pytest.mark.parametrize("form", ["lark", "gbnf"])
def test_paths_are_offered_only_where_a_result_may_have_parts(forms: Callable[..., Forms], form: str) -> None:
    text = "1. now()\n2. find(name=$1.x)\n3. join()"
    flat = Tool.from_function(lambda name: name, name="find")
    assert flat.returns == ""
    assert forms(now, find).accepted(form, text) == text
    assert forms(now, flat).accepted(form, text) == text

    @tool
    def find_text(name: str) -> str:
        """Find text."""
        return name

    @tool
    def find_maybe(name: str) -> str | list[int] | None:
        """Find text or numbers."""
        return None if name else [1]

    text = "1. now()\n2. find_text(name=$1[0])\n3. join()"
    assert forms(now, find_text).accepted(form, text).endswith("$1⛔")
    assert forms(now, find_text, find_maybe).accepted(form, text) == text


def test_kinds_of_values_that_python_takes_for_equal_are_told_apart(forms: Callable[..., Forms]) -> None:
    grammar = forms(schema_tool("f", {"a": {"enum": [1]}, "b": {"enum": [True]}, "c": {"enum": [1.0]}}))
    good = "1. f(a=1, b=true, c=1.0)\n2. join()"
    for form in ("lark", "gbnf"):
        assert grammar.accepted(form, good) == good
        assert grammar.accepted(form, "1. f(b=1)").endswith("⛔")


def test_names_that_look_like_grammar_are_names(forms: Callable[..., Forms]) -> None:
    tools = [
        schema_tool(name, {"x::_": {"enum": ["::_", "(_", "//", "%if"]}})
        for name in ("a::_", "_", "%x", "//")
    ]
    for form in ("lark", "gbnf"):
        for name in ("a::_", "_", "%x", "//"):
            text = f'1. {name}("x::_"="::_")\n2. {name}("x::_"=$1)\n3. join()'
            assert forms(*tools).accepted(form, text) == text


# Any toolbox, any plan

STRING = StringType()
# The vocabulary has no token of the byte that the planes from 4 on begin with; and llguidance's JSON has
# no bare DEL, which the plan language escapes.
characters = st.characters(codec="utf-8", max_codepoint=0x3FFFF, blacklist_characters="\x7f")
short_texts = st.text(characters, max_size=6)

names = st.one_of(
    st.sampled_from(
        ["a", "b", "name", "a b", "größe", "x.y-z", 'q"', "\\", "n\nl", "$", "true", "😀", "::_"]
    ),
    st.text(characters, max_size=4),
)
tool_names = st.text(
    st.characters(
        max_codepoint=0x3FFFF, blacklist_categories=["Z", "C"], blacklist_characters="()[]{}\"'`,=$#"
    ),
    min_size=1,
    max_size=5,
).filter(lambda name: name.isprintable() and not re.search(r"\s", name) and name != "join")
enum_values = st.one_of(
    names, short_texts, st.integers(-9, 99), st.booleans(), st.none(), st.sampled_from([0.5, -1.25])
)


def _enum(values: list[Any]) -> dict[str, Any]:
    return {"enum": list({repr(v): v for v in values}.values())}


def _counted(array: dict[str, Any], low: int | None, more: int | None) -> dict[str, Any]:
    bounds = {"minItems": low, "maxItems": None if more is None else (low or 0) + more}
    return {**array, **{k: v for k, v in bounds.items() if v is not None}}


def _object(properties: dict[str, Any], mask: int) -> dict[str, Any]:
    required = [name for i, name in enumerate(properties) if mask >> i & 1]
    return {"type": "object", "properties": properties, "required": required}


leaf_schemas = st.one_of(
    st.sampled_from(
        [
            {},
            {"type": "string"},
            {"type": "boolean"},
            {"type": "integer"},
            {"type": "integer", "minimum": 0},
            {"type": "integer", "minimum": 1},
            {"type": "integer", "exclusiveMinimum": 0},
            {"type": "integer", "minimum": -5},
            {"type": "number"},
            {"type": "number", "minimum": 0},
            {"type": "string", "format": "date"},
            {"type": "string", "format": "time"},
            {"type": "string", "format": "date-time"},
            {"type": "string", "format": "email"},
            {"type": ["string", "null"]},
            {"type": "object", "additionalProperties": False},
        ]
    ),
    st.lists(enum_values, min_size=1, max_size=4).map(_enum),
)
schemas = st.recursive(
    leaf_schemas,
    lambda inner: st.one_of(
        st.builds(
            _counted,
            st.builds(lambda items: {"type": "array", "items": items}, inner),
            st.none() | st.integers(0, 2),
            st.none() | st.integers(0, 2),
        ),
        st.builds(
            lambda prefix, items: {"type": "array", "prefixItems": prefix, "items": items},
            st.lists(inner, min_size=1, max_size=2),
            st.one_of(st.just(False), inner),
        ),
        st.builds(_object, st.dictionaries(names, inner, min_size=1, max_size=3), st.integers(0, 7)),
        st.builds(lambda extra: {"type": "object", "additionalProperties": extra}, inner),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=4,
)
tools = st.builds(
    lambda name, arguments: Tool.from_schema({"name": name, "parameters": arguments}),
    tool_names,
    st.builds(_object, st.dictionaries(names, schemas, max_size=4), st.integers(0, 15)),
)
toolboxes = st.lists(tools, min_size=1, max_size=3, unique_by=lambda t: t.name)


def floats(low: float) -> st.SearchStrategy[float]:
    return st.floats(low, 1e9).map(lambda number: round(number, 4))


any_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | floats(-1e9) | short_texts,
    lambda v: st.lists(v, max_size=2) | st.dictionaries(names, v, max_size=2),
    max_leaves=3,
)
moments = st.datetimes(datetime(1000, 1, 1), datetime(2999, 12, 31)).map(lambda d: d.replace(microsecond=0))
path_steps = st.one_of(st.integers(0, 999), st.sampled_from(["name", "_x", "a1"]))


@dataclass(frozen=True)
class Writer:
    """Draws values of types, for a task that may refer to ``known``."""

    known: list[int]
    kinds: dict[Type, st.SearchStrategy[Any]] = field(default_factory=dict, compare=False)

    @property
    def refs(self) -> st.SearchStrategy[Ref]:
        return st.builds(Ref, st.sampled_from(self.known), st.lists(path_steps, max_size=2).map(tuple))

    def value(self, type_: Type) -> st.SearchStrategy[Any]:
        return st.one_of(self.literal(type_), self.refs) if self.known else self.literal(type_)

    def literal(self, type_: Type) -> st.SearchStrategy[Any]:
        match type_:
            case AnyType():
                return any_values.filter(lambda v: not isinstance(v, Ref))
            case BooleanType():
                return st.booleans()
            case NumberType():
                above = type_.exclusive_minimum
                low = type_.minimum if above is None else above + 1
                if type_.integer:
                    return st.integers(-(10**18) if low is None else int(low), 10**18)
                return floats(-1e9 if low is None else low) | st.integers(0, 99)
            case StringType("date"):
                return moments.map(lambda d: d.date().isoformat())
            case StringType("time"):
                return moments.map(lambda d: d.time().isoformat())
            case StringType("date-time"):
                return moments.map(lambda d: d.isoformat(" "))
            case StringType():
                text = short_texts | st.text("$1{}\\\"'", max_size=5)
                return st.lists(text | self.refs, max_size=3).map(make_text) if self.known else text
            case EnumType():
                return st.sampled_from(type_.values)
            case ArrayType():
                return self._array(type_)
            case ObjectType():
                return self.object(type_)
            case UnionType():
                return st.one_of([self.literal(option) for option in type_.options])

    def _array(self, type_: ArrayType) -> st.SearchStrategy[list[Any]]:
        prefix = [self.value(p) for p in type_.prefix]
        low, high = max((type_.min_items or 0) - len(prefix), 0), (type_.max_items or 99) - len(prefix)
        if type_.max_items == 0:
            return st.just([])
        rest = st.lists(self.value(type_.items), min_size=low, max_size=max(min(high, low + 2), 0))
        return st.builds(lambda head, tail: [*head, *tail], st.tuples(*prefix), rest)

    def object(self, type_: ObjectType) -> st.SearchStrategy[dict[str, Any]]:
        if type_.extra is not None and not type_.fields:
            return st.dictionaries(names, self.value(type_.extra), max_size=2)
        required = {f.name: self.value(f.type) for f in type_.fields if f.required}
        optional = {f.name: self.value(f.type) for f in type_.fields if not f.required}
        drawn = st.fixed_dictionaries(required, optional=optional)
        return drawn.map(lambda d: {f.name: d[f.name] for f in type_.fields if f.name in d})


@st.composite
def plans_over(draw: st.DrawFn, toolbox: list[Tool]) -> Plan:
    tasks: list[Task] = []
    for number in range(1, draw(st.integers(1, 4))):
        chosen = draw(st.sampled_from(toolbox))
        arguments = draw(Writer(list(range(1, number))).object(chosen.arguments))
        tasks.append(Task(number, chosen.name, arguments))
    return Plan(tuple(tasks))


slow = settings(
    max_examples=60,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


@slow
@given(data=st.data())
def test_any_right_plan_over_any_toolbox_is_accepted_in_every_form(
    vocabulary: Vocabulary, data: st.DataObject
) -> None:
    toolbox = data.draw(toolboxes)
    plan = data.draw(plans_over(toolbox))
    grammar = Forms(vocabulary, plan_grammar(toolbox, max_tasks=3))
    text = str(plan)
    assert grammar.accepted("lark", text) == text
    assert grammar.accepted("gbnf", text) == text
    text = json_form(plan)
    assert grammar.accepted("json", text) == text


@slow
@given(data=st.data())
def test_any_right_plan_over_any_toolbox_is_accepted_and_read_in_the_compact_dialect(
    vocabulary: Vocabulary, data: st.DataObject
) -> None:
    toolbox = data.draw(toolboxes)
    plan = data.draw(plans_over(toolbox))
    grammar = Forms(vocabulary, plan_grammar(toolbox, max_tasks=3, dialect="compact"))
    text = print_plan(plan, toolbox, dialect="compact")
    assert grammar.accepted("lark", text) == text
    assert grammar.accepted("gbnf", text) == text
    parser = PlanParser(argument_names(toolbox, dialect="compact"))
    tasks = [*parser.feed(text), *parser.finish()]
    assert Plan(tuple(tasks)) == plan
    assert parser.joined


def json_form(plan: Plan) -> str:
    entries = [
        {"tool": t.tool, "arguments": {k: json_value(v) for k, v in t.arguments.items()}} for t in plan
    ]
    return json.dumps({"tasks": entries}, ensure_ascii=False)


def json_value(value: Any) -> Any:
    if isinstance(value, Ref):
        return str(value)
    if isinstance(value, Template):
        return "".join(f"${{{str(p)[1:]}}}" if isinstance(p, Ref) else json_value(p) for p in value.parts)
    if isinstance(value, str):
        return value.replace("$", "\\$")
    if isinstance(value, dict):
        return {key: json_value(item) for key, item in value.items()}
    return [json_value(item) for item in value] if isinstance(value, list) else value


# Text that is sampled under the grammar


def walk(engine: Engine, vocabulary: Vocabulary, seed: int, *, max_tokens: int = 2000) -> str:
    """Text of random tokens that the engine allows, at every step; after a while rather those that close."""
    chance = random.Random(seed)
    tokens: list[int] = []
    while len(tokens) < max_tokens:
        allowed = engine.allowed()
        allowed[vocabulary.end] = False
        if engine.may_end() and (not allowed.any() or chance.random() < 0.7):
            return vocabulary.bytes_of(tokens).decode()
        assert allowed.any(), f"a dead end: {vocabulary.bytes_of(tokens)!r}"
        weights = [0.25, 0, 0.2, 0.1, 0.45] if len(tokens) < 120 else [0.4, 0.5, 0, 0.07, 0.03]
        begin = chance.choices(range(len(weights)), weights)[0]
        kinds = [allowed & kind for kind in vocabulary.kinds[begin:]]
        token = int(chance.choice(np.flatnonzero(next(kind for kind in kinds if kind.any()))))
        assert engine.take(token), vocabulary.bytes_of([*tokens, token])
        tokens.append(token)
    raise AssertionError(f"the text does not end: {vocabulary.bytes_of(tokens)!r}")


def fits(type_: Type, value: Any, known: set[int]) -> bool:
    """Whether a value that was read is one of the type, or a reference to a known task."""
    if isinstance(value, Ref):
        return value.task in known
    match type_:
        case AnyType():
            return all(ref.task in known for ref in references(value))
        case BooleanType():
            return isinstance(value, bool)
        case NumberType():
            low = type_.minimum if type_.exclusive_minimum is None else type_.exclusive_minimum + 1
            right = isinstance(value, int if type_.integer else (int, float)) and not isinstance(value, bool)
            return right and (low is None or low < 0 or value >= low)
        case StringType():
            if isinstance(value, Template):
                return all(fits(type_, part, known) for part in value.parts)
            return isinstance(value, str)
        case EnumType():
            return any(repr(value) == repr(v) for v in type_.values)
        case ArrayType():
            low, high = max(type_.min_items or 0, len(type_.prefix)), type_.max_items
            types = [*type_.prefix, *[type_.items] * 500]
            return (
                isinstance(value, list)
                and low <= len(value) <= (500 if high is None else high)
                and all(fits(t, item, known) for t, item in zip(types, value, strict=False))
            )
        case ObjectType():
            return isinstance(value, dict) and fits_object(type_, value, known)
        case UnionType():
            return any(fits(option, value, known) for option in type_.options)


def fits_object(type_: ObjectType, value: dict[str, Any], known: set[int]) -> bool:
    types = {f.name: f.type for f in type_.fields}
    if not types and type_.extra is not None:
        return all(fits(type_.extra, item, known) for item in value.values())
    missing = {f.name for f in type_.fields if f.required} - set(value)
    return not missing and all(name in types and fits(types[name], v, known) for name, v in value.items())


def check(tasks: list[Task], toolbox: dict[str, Tool], known: set[int]) -> None:
    for task in tasks:
        arguments = toolbox[task.tool].arguments
        assert fits_object(arguments, dict(task.arguments), known), str(task)
        known.add(task.id)


@pytest.mark.parametrize("seed", range(25))
def test_text_sampled_under_the_grammar_is_a_plan_of_the_right_types(plans: Forms, seed: int) -> None:
    text = walk(plans.engine("lark"), plans.vocabulary, seed)
    parser = PlanParser()
    tasks = [*parser.feed(text), *parser.finish()]
    assert parser.joined
    check(tasks, {t.name: t for t in TOOLS}, set())


@settings(slow, max_examples=25)
@given(toolbox=toolboxes, seed=st.integers(0, 2**20))
def test_text_sampled_over_any_toolbox_is_a_plan_of_the_right_types(
    vocabulary: Vocabulary, toolbox: list[Tool], seed: int
) -> None:
    grammar = Forms(vocabulary, plan_grammar(toolbox, max_tasks=2, first=3, unavailable={1}))
    text = walk(grammar.engine("lark"), vocabulary, seed)
    parser = PlanParser(first=3, earlier=[2])
    tasks = [*parser.feed(text), *parser.finish()]
    assert parser.joined
    check(tasks, {t.name: t for t in toolbox}, {2})


@settings(slow, max_examples=25)
@given(toolbox=toolboxes, seed=st.integers(0, 2**20))
def test_text_sampled_in_the_compact_dialect_is_a_plan_of_the_right_types(
    vocabulary: Vocabulary, toolbox: list[Tool], seed: int
) -> None:
    options: dict[str, Any] = {"max_tasks": 2, "first": 3, "unavailable": {1}, "dialect": "compact"}
    grammar = Forms(vocabulary, plan_grammar(toolbox, **options))
    text = walk(grammar.engine("lark"), vocabulary, seed)
    parser = PlanParser(argument_names(toolbox, dialect="compact"), first=3, earlier=[2])
    tasks = [*parser.feed(text), *parser.finish()]
    assert parser.joined
    check(tasks, {t.name: t for t in toolbox}, {2})


@pytest.mark.parametrize("seed", range(2))
def test_compact_text_sampled_by_llama_cpp_is_a_plan_of_the_right_types(compact: Forms, seed: int) -> None:
    text = walk(compact.engine("gbnf"), compact.vocabulary, seed)
    parser = PlanParser(argument_names(TOOLS, dialect="compact"))
    tasks = [*parser.feed(text), *parser.finish()]
    assert parser.joined
    check(tasks, {t.name: t for t in TOOLS}, set())


@pytest.mark.parametrize("seed", range(3))
def test_text_sampled_by_llama_cpp_is_a_plan_of_the_right_types(plans: Forms, seed: int) -> None:
    text = walk(plans.engine("gbnf"), plans.vocabulary, seed)
    parser = PlanParser()
    tasks = [*parser.feed(text), *parser.finish()]
    assert parser.joined
    check(tasks, {t.name: t for t in TOOLS}, set())


@pytest.mark.parametrize("seed", range(12))
def test_text_sampled_under_the_schema_is_a_plan_of_the_right_types(plans: Forms, seed: int) -> None:
    text = walk(plans.engine("json"), plans.vocabulary, seed)
    parser = JSONPlanParser()
    tasks = [*parser.feed(text), *parser.finish()]
    assert parser.joined
    check(tasks, {t.name: t for t in TOOLS}, set())


def test_sampled_plans_pass_the_validation_of_their_tools(plans: Forms) -> None:
    checked = 0
    for seed in range(100, 125):
        for task in PlanParser().feed(walk(plans.engine("lark"), plans.vocabulary, seed)):
            if not task.dependencies and task.tool in ("find", "now"):
                {t.name: t for t in TOOLS}[task.tool].validate(task.arguments)
                checked += 1
    assert checked > 5


# The JSON schema


def json_plan(*calls: tuple[str, dict[str, Any]]) -> str:
    return json.dumps({"tasks": [{"tool": t, "arguments": a} for t, a in calls]}, ensure_ascii=False)


@pytest.mark.parametrize(
    "text",
    [
        json_plan(),
        json_plan(("now", {}), ("now", {})),
        json_plan(
            ("find", {"name": "Sid $5 ${1"}), ("create", {"title": "With ${1.name}", "start": "$1.at[0]"})
        ),
        json_plan(("create", {"title": "$1", "start": "2026-02-03 10:00", "people": ["a"], "kind": None})),
        json_plan(
            ("now", {}), ("create", {"title": "", "start": "$1", "minutes": "$1", "people": ["$1", "b"]})
        ),
        json_plan(("files/read:v2", {"a b": 0.5, "größe": "\\$1", "pair": ["x", 1]})),
        json_plan(
            ("files/read:v2", {"a b": 0, "größe": True, "counts": {"a": 1, "b": 2}, "either": "autos"})
        ),
        json_plan(
            ("files/read:v2", {"a b": 0, "where": {"lat": 1.5, "any": [{"a": [None]}]}, "at": "10:30"})
        ),
    ],
)
def test_a_right_plan_is_accepted_by_the_schema(plans: Forms, text: str) -> None:
    assert plans.accepted("json", text) == text


@pytest.mark.parametrize(
    "text",
    [
        json_plan(("lose", {})),
        json_plan(("find", {})),
        json_plan(("find", {"names": "x"})),
        json_plan(("find", {"name": "x", "more": 1})),
        json_plan(("find", {"name": 1})),
        json_plan(("create", {"title": "x", "start": "tomorrow"})),
        json_plan(("create", {"title": "x", "start": "$1"})),
        json_plan(("create", {"title": "x", "start": "2026-02-03 10:00", "minutes": 1.5})),
        json_plan(("create", {"title": "x", "start": "2026-02-03 10:00", "kind": "party"})),
        json_plan(("now", {}), ("create", {"title": "x", "start": "$2"})),
        json_plan(("now", {}), ("create", {"title": "x", "start": "$10"})),
        json_plan(("now", {}), ("create", {"title": "x", "start": "$1", "people": "$2"})),
        json_plan(("files/read:v2", {"a b": -1})),
        json_plan(("files/read:v2", {"a b": 1, "größe": "$1"})),
        json_plan(("files/read:v2", {"a b": 1, "pair": ["x"]})),
        json_plan(("files/read:v2", {"a b": 1, "pair": ["x", 1, 2]})),
        json_plan(("files/read:v2", {"a b": 1, "counts": {"a": 0}})),
        json_plan(("files/read:v2", {"a b": 1, "days": []})),
        json_plan(("files/read:v2", {"a b": 1, "where": {}})),
        json_plan(("files/read:v2", {"a b": 1, "anything": [[[[[[1]]]]]]})),
        json_plan(*[("now", {})] * 25),
        '{"tasks": [{"tool": "now"}]}',
        '{"tasks": [{"tool": "now", "arguments": {}, "id": 1}]}',
        '{"tasks": [], "more": 1}',
        "{}",
        "[]",
    ],
)
def test_a_wrong_plan_is_rejected_by_the_schema(plans: Forms, text: str) -> None:
    assert plans.accepted("json", text) != text


@pytest.mark.skipif(importlib.util.find_spec("jsonschema") is None, reason="jsonschema is not installed")
def test_the_schema_is_a_valid_one(plans: Forms) -> None:
    jsonschema = importlib.import_module("jsonschema")

    jsonschema.Draft202012Validator.check_schema(plans.grammar.json_schema)
    validator = jsonschema.Draft202012Validator(plans.grammar.json_schema)
    assert validator.is_valid({"tasks": [{"tool": "now", "arguments": {}}]})
    assert not validator.is_valid({"tasks": [{"tool": "lose", "arguments": {}}]})


def test_a_later_plan_in_json_refers_to_what_succeeded(forms: Callable[..., Forms]) -> None:
    grammar = forms(create, first=4, unavailable={2}, max_tasks=2)
    good = json_plan(*[("create", {"title": "x", "start": "$3"}), ("create", {"title": "x", "start": "$4"})])
    assert grammar.accepted("json", good) == good
    for k in (2, 4, 5):
        wrong = json_plan(("create", {"title": "x", "start": f"${k}"}))
        assert grammar.accepted("json", wrong) != wrong


# One turn


@pytest.mark.parametrize("form", ["lark", "gbnf"])
def test_a_turn_is_a_thought_and_then_one_call_or_the_answer(vocabulary: Vocabulary, form: str) -> None:
    grammar = Forms(vocabulary, step_grammar(TOOLS, number=3, unavailable={1}))
    for good in (
        'Thought: look (at "it\n3. find(name=$2)',
        "Thought: it's 10 o'clock\n3. now()",
        "Thought: done.\nAnswer: It is\n\nlate (really) — ünïcode.",
    ):
        assert grammar.accepted(form, good) == good
    for wrong in (
        "3. now()",
        "Thought: \n3. now()",
        "Thought: x\n2. now()",
        "Thought: x\n3. find(name=$1)",
        "Thought: x\n3. find(name=$3)",
        "Thought: x\n3. now()\n",
        "Thought: x\n3. join()",
        "Thought: x\nAnswer: ",
        f"Thought: {'x' * 401}\n3. now()",
    ):
        assert grammar.accepted(form, wrong) != wrong


@pytest.mark.parametrize("number", [1, 3])
def test_a_turn_sampled_under_the_grammar_is_a_call_of_the_right_types_or_an_answer(
    vocabulary: Vocabulary, number: int
) -> None:
    grammar = Forms(vocabulary, step_grammar(TOOLS, number=number))
    assert grammar.grammar.json_schema is None
    earlier = set(range(1, number))
    calls = 0
    for seed in range(12):
        text = walk(grammar.engine("lark"), vocabulary, seed)
        if "\nAnswer: " not in text:
            calls += 1
            check(list(PlanParser(earlier=earlier).feed(text)), {t.name: t for t in TOOLS}, set(earlier))
    assert calls > 2


# What no grammar can be built for


def test_a_toolbox_without_tools_has_no_grammar() -> None:
    with pytest.raises(GrammarError, match="empty"):
        plan_grammar([])
    with pytest.raises(GrammarError, match="empty"):
        step_grammar([], number=1)


def test_a_plan_without_room_for_a_task_has_no_grammar() -> None:
    with pytest.raises(GrammarError, match="at least one task"):
        plan_grammar(TOOLS, max_tasks=0)


def broken_tool(type_: Type = STRING, *, name: str = "broken", argument: str = "x") -> Tool:
    return dataclasses.replace(find, name=name, arguments=ObjectType((Field(argument, type_),)))


@pytest.mark.parametrize(
    "broken",
    [
        broken_tool(EnumType((1, float("nan")))),
        broken_tool(EnumType(("\ud800",))),
        broken_tool(ArrayType(EnumType((float("nan"),)))),
        broken_tool(ArrayType(STRING, min_items=3, max_items=2)),
        broken_tool(argument="\udfff"),
        broken_tool(name="broken\x01"),
        broken_tool(name="broken\x7f"),
        broken_tool(name="broken\ud800"),
    ],
)
def test_a_tool_that_cannot_be_written_is_named(broken: Tool) -> None:
    with pytest.raises(GrammarError, match="broken") as caught:
        plan_grammar([find, broken])
    assert caught.value.tool == broken.name
    with pytest.raises(GrammarError, match="broken"):
        step_grammar([find, broken], number=1)


def test_a_tool_whose_defaults_are_lists_can_be_written(forms: Callable[..., Forms]) -> None:
    nested = {"type": "object", "properties": {"tags": {"type": "array", "default": [{"a": 1}]}}}
    text = '1. f(x={"tags": [1]})\n2. join()'
    assert forms(schema_tool("f", {"x": nested})).accepted("lark", text) == text


def test_a_number_without_a_written_form_as_a_default_is_no_matter(forms: Callable[..., Forms]) -> None:
    text = "1. f(x=1.5)\n2. join()"
    assert (
        forms(schema_tool("f", {"x": {"type": "number", "default": float("nan")}})).accepted("lark", text)
        == text
    )


# Size and sameness


def test_the_dialect_with_keywords_is_the_default_and_the_json_form_has_none() -> None:
    keyword, compact = plan_grammar(TOOLS, dialect="keyword"), plan_grammar(TOOLS, dialect="compact")
    assert plan_grammar(TOOLS) == keyword
    assert compact.json_schema == keyword.json_schema
    assert compact.lark != keyword.lark


def test_a_dialect_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigurationError, match="'terse'; choose one of: keyword, compact"):
        plan_grammar(TOOLS, dialect="terse")  # type: ignore[arg-type]


def test_equal_toolboxes_in_any_order_have_identical_grammars() -> None:
    forward, backward = plan_grammar(TOOLS), plan_grammar(TOOLS[::-1])
    assert forward.lark == backward.lark
    assert forward.gbnf == backward.gbnf
    assert json.dumps(forward.json_schema) == json.dumps(backward.json_schema)
    assert step_grammar(TOOLS, number=2) == step_grammar(TOOLS[::-1], number=2)


def test_the_size_of_the_lark_form_does_not_grow_with_tasks_times_tools() -> None:
    def size(n_tools: int, n_tasks: int) -> int:
        return len(str(plan_grammar(TOOLS[:n_tools], max_tasks=n_tasks).lark))

    assert size(4, 60) - size(4, 20) == size(1, 60) - size(1, 20)


def test_long_lists_are_not_counted_item_by_item(forms: Callable[..., Forms]) -> None:
    items = {"type": "array", "items": {"type": "integer"}, "minItems": 100_000, "maxItems": 200_000}
    grammar = forms(schema_tool("f", {"x": items}), max_tasks=1)
    text = f"1. f(x=[{', '.join('1' * 60)}])\n2. join()"
    for form in ("lark", "gbnf"):
        assert grammar.accepted(form, text) == text


def test_dates_have_one_pattern_in_every_form(forms: Callable[..., Forms]) -> None:
    @tool
    def f(at: time, on: date, when: datetime) -> str:
        """F."""
        return f"{at}{on}{when}"

    grammar = forms(f, max_tasks=1)
    for at, on, when in (
        ("10:30", "2026-01-31", "2026-01-31 10:30"),
        ("23:59:59", "1999-12-01", "2999-10-10T00:00:00"),
    ):
        text = f'1. f(at="{at}", on="{on}", when="{when}")\n2. join()'
        assert grammar.accepted("lark", text) == grammar.accepted("gbnf", text) == text
        text = json_plan(("f", {"at": at, "on": on, "when": when}))
        assert grammar.accepted("json", text) == text
        assert f.validate({"at": at, "on": on, "when": when})["on"] == date.fromisoformat(on)


def test_sampled_plans_differ_and_use_results(plans: Forms) -> None:
    texts = {walk(plans.engine("lark"), plans.vocabulary, seed) for seed in range(25)}
    assert len(texts) > 8
    assert any("$1" in text for text in texts)


def test_lists_come_to_an_end(accepted_by: Callable[[str, str], str]) -> None:
    @tool
    def paint(colours: list[str], amounts: list[float], anything: Any = None) -> str:
        """Mix paint."""
        raise NotImplementedError(colours, amounts, anything)

    def plan(n_colours: int, n_amounts: int, n_others: int) -> str:
        colours = ", ".join(['"red"'] * n_colours)
        amounts, others = ", ".join(["1"] * n_amounts), ", ".join(["true"] * n_others)
        return f"1. paint(colours=[{colours}], amounts=[{amounts}], anything=[{others}])\n2. join()"

    lark = plan_grammar([paint]).lark
    assert lark is not None
    assert accepted_by(lark, plan(64, 256, 64)) == plan(64, 256, 64)
    for too_long in (plan(65, 1, 1), plan(1, 257, 1), plan(1, 1, 65)):
        assert accepted_by(lark, too_long).endswith("⛔")
