import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.errors import ToolArgumentError, ToolDefinitionError
from plait.tools import (
    AnyType,
    ArrayType,
    BooleanType,
    EnumType,
    NumberType,
    ObjectType,
    StringType,
    Tool,
    UnionType,
    parse_schema,
    render_type,
)

NULL = EnumType((None,))
CHILD = {"type": "object", "properties": {"child": {"$ref": "#/$defs/Node"}}}


def tool_of(parameters: Any) -> Tool:
    return Tool.from_schema({"name": "t", "parameters": parameters}, lambda **arguments: arguments)


def tool_with(argument: Any, **rest: Any) -> Tool:
    return tool_of({"type": "object", "properties": {"a": argument}, "required": ["a"], **rest})


def type_of(argument: Any, **rest: Any) -> Any:
    return tool_with(argument, **rest).arguments.fields[0].type


def accepts(argument: Any, value: Any) -> bool:
    try:
        tool_with(argument).validate({"a": value})
    except ToolArgumentError:
        return False
    return True


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, AnyType()),
        (True, AnyType()),
        ({"type": "any"}, AnyType()),
        ({"description": "whatever"}, AnyType()),
        ({"type": "boolean"}, BooleanType()),
        ({"type": "bool"}, BooleanType()),
        ({"type": "integer"}, NumberType(integer=True)),
        ({"type": "float"}, NumberType()),
        ({"type": "Number"}, NumberType()),
        ({"type": "integer", "minimum": 1, "maximum": 5.0}, NumberType(True, 1, 5)),
        ({"type": "integer", "minimum": 0.5, "maximum": 4.5}, NumberType(True, 1, 4)),
        ({"type": "integer", "exclusiveMinimum": 0.5}, NumberType(True, exclusive_minimum=0)),
        (
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            NumberType(False, None, None, 0, 1),
        ),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, NumberType(exclusive_minimum=0)),
        ({"type": "number", "maximum": 9, "exclusiveMaximum": False}, NumberType(maximum=9)),
        ({"minimum": 3}, NumberType(minimum=3)),
        ({"type": "string", "format": "date"}, StringType("date")),
        ({"type": "string", "minLength": 1, "maxLength": 2.0}, StringType(None, None, 1, 2)),
        ({"pattern": "^a"}, StringType(None, "^a")),
        ({"maxLength": 3}, StringType(max_length=3)),
        ({"type": "null"}, NULL),
        ({"enum": ["a", "b", "a"]}, EnumType(("a", "b"))),
        ({"enum": ["a", None, 1, 1.5, True]}, EnumType(("a", None, 1, 1.5, True))),
        ({"const": "a"}, EnumType(("a",))),
        ({"const": None}, NULL),
        ({"oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]}, EnumType(("a", "b"))),
        ({"type": ["string", "null"]}, UnionType((StringType(), NULL))),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, UnionType((StringType(), NULL))),
        ({"type": "string", "nullable": True}, UnionType((StringType(), NULL))),
        ({"type": "string", "nullable": False}, StringType()),
        ({"anyOf": [{"type": "string"}, {}]}, AnyType()),
        ({"anyOf": [{"type": "string"}, {"type": "str"}]}, StringType()),
        ({"type": "array"}, ArrayType(AnyType())),
        ({"type": "list", "items": {"type": "int"}}, ArrayType(NumberType(True))),
        ({"items": {"type": "string"}, "maxItems": 3}, ArrayType(StringType(), (), None, 3)),
        ({"minItems": 1}, ArrayType(AnyType(), (), 1)),
        (
            {"type": "array", "items": {"type": "string", "nullable": True}},
            ArrayType(UnionType((StringType(), NULL))),
        ),
        (
            {"prefixItems": [{"type": "number"}], "items": False},
            ArrayType(AnyType(), (NumberType(),), None, 1),
        ),
        (
            {"items": [{"type": "number"}], "additionalItems": {"type": "string"}},
            ArrayType(StringType(), (NumberType(),)),
        ),
        ({"items": [{}], "additionalItems": False}, ArrayType(AnyType(), (AnyType(),), None, 1)),
        ({"type": "object"}, ObjectType((), AnyType())),
        ({"type": "object", "properties": None, "required": None}, ObjectType((), AnyType())),
        ({"type": "object", "properties": []}, ObjectType((), AnyType())),
        ({"type": "object", "additionalProperties": False}, ObjectType()),
        ({"additionalProperties": {"type": "integer"}}, ObjectType((), NumberType(True))),
    ],
    ids=repr,
)
def test_a_schema_becomes_a_type(schema: Any, expected: Any) -> None:
    assert type_of(schema) == expected


def test_objects_nest_with_required_optional_described_and_defaulted_fields() -> None:
    place = type_of(
        {
            "type": "object",
            "properties": {
                "lat": {"type": "number", "description": "degrees"},
                "tags": {"type": "array", "items": {"type": "string"}, "default": []},
            },
            "required": ["lat"],
        }
    )
    lat, tags = place.fields
    assert (lat.name, lat.type, lat.required, lat.description) == ("lat", NumberType(), True, "degrees")
    assert (tags.required, tags.default, place.extra) == (False, [], None)


def test_every_type_can_be_hashed_whatever_its_defaults() -> None:
    schema = {"anyOf": [{"properties": {"q": {"default": [{}]}}}, {"type": "null"}]}
    assert hash(type_of(schema)) == hash(type_of(schema))


def test_what_is_required_without_a_property_is_an_argument_of_any_type() -> None:
    assert tool_of({"required": ["b", "a"]}).signature == "t(a: any, b: any)"


def test_draft_3_requires_in_the_property_itself() -> None:
    arguments, _ = parse_schema(
        {"properties": {"a": {"type": "string", "required": True}, "b": {"type": "string"}}}, tool="t"
    )
    assert [f.required for f in arguments.fields] == [True, False]


def test_enumerations_tell_true_from_one() -> None:
    assert type_of({"enum": [1, True, 0, False]}).values == (1, True, 0, False)
    assert [type(v) for v in type_of({"enum": [1, True]}).values] == [int, bool]


@pytest.mark.parametrize("where", ["$defs", "definitions"])
def test_references_are_followed(where: str) -> None:
    unit = {"enum": ["c", "f"], "description": "of the scale"}
    tool = tool_with({"$ref": f"#/{where}/Unit", "description": "mine"}, **{where: {"Unit": unit}})
    assert tool.arguments.fields[0].type == EnumType(("c", "f"))
    assert tool.arguments.fields[0].description == "mine"


@pytest.mark.parametrize(
    "pointer",
    [
        "#/$defs/List%3CInt%3E",
        "#/$defs/List<Int>",
        "#/$defs/a~1b",
        "#/properties/p/anyOf/0",
    ],
)
def test_references_may_be_encoded_and_point_into_lists(pointer: str) -> None:
    integer = {"type": "integer"}
    schema = {
        "properties": {"a": {"$ref": pointer}, "p": {"anyOf": [integer, {"type": "null"}]}},
        "$defs": {"List<Int>": integer, "a/b": integer},
    }
    assert tool_of(schema).arguments.fields[0].type == NumberType(integer=True)


def test_the_arguments_themselves_may_be_a_reference() -> None:
    schema = {
        "$ref": "#/$defs/Args",
        "$defs": {"Args": {"type": "object", "properties": {"x": {"type": "int"}}}},
    }
    assert tool_of(schema).signature == "t(x?: int)"


@pytest.mark.parametrize("wrap", [lambda ref: ref, lambda ref: {"allOf": [ref], "description": "x"}])
def test_recursion_is_degraded_and_said(wrap: Any) -> None:
    node = {"type": "object", "properties": {"child": wrap({"$ref": "#/$defs/Node"})}}
    tool = tool_with({"$ref": "#/$defs/Node"}, **{"$defs": {"Node": node}})
    assert tool.signature == "t(a: {child?: any})"
    assert tool.degraded == ("arguments.a.child: the recursion into #/$defs/Node is not checked",)
    assert tool.validate({"a": {"child": {"child": {}}}}) == {"a": {"child": {"child": {}}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}},
        {"allOf": [{"$ref": "#"}]},
    ],
)
def test_references_in_a_circle_end(schema: Any) -> None:
    tool = tool_of(schema)
    assert tool.signature == "t()"
    assert "is not checked" in tool.degraded[0]


def test_one_definition_used_twice_is_no_recursion() -> None:
    unit = {"$ref": "#/$defs/U"}
    schema = {
        "properties": {"a": unit, "b": unit, "c": {"allOf": [unit, unit]}},
        "$defs": {"U": {"type": "string"}},
    }
    assert tool_of(schema).signature == "t(a?: str, b?: str, c?: str)"
    assert tool_of(schema).degraded == ()


@pytest.mark.parametrize("fan", [2, 6])
def test_references_that_multiply_are_refused_by_name_and_not_expanded(fan: int) -> None:
    defs = {
        f"D{i}": {"properties": {f"p{j}": {"$ref": f"#/$defs/D{i + 1}"} for j in range(fan)}}
        for i in range(25)
    }
    with pytest.raises(ToolDefinitionError, match=r"'t' .* 2000 parts .*simplify"):
        tool_of({"$ref": "#/$defs/D0", "$defs": {**defs, "D25": {}}})


def nested(keyword: str, n: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(n):
        schema = {"properties": {"x": schema}} if keyword == "properties" else {keyword: [schema]}
    return schema


@pytest.mark.parametrize("keyword", ["properties", "allOf", "anyOf"])
def test_a_schema_nested_beyond_reason_is_refused_by_name(keyword: str) -> None:
    with pytest.raises(ToolDefinitionError, match=r"'t' .* nested deeper than 64 levels"):
        tool_with(nested(keyword, 5000))


@pytest.mark.parametrize("keyword", ["properties", "allOf", "anyOf"])
def test_a_schema_nested_deeply_works(keyword: str) -> None:
    assert tool_with(nested(keyword, 25)).signature.startswith("t(a: ")


def test_all_of_is_merged() -> None:
    tool = tool_with(
        {
            "allOf": [
                {"$ref": "#/$defs/Named"},
                True,
                {"allOf": [{"properties": {"age": {"type": "integer"}}, "required": ["age"]}]},
            ],
            "properties": {"name": {"minLength": 2}, "nick": {"type": "string"}},
        },
        **{"$defs": {"Named": {"properties": {"name": {"type": "string"}}, "required": ["name"]}}},
    )
    assert tool.signature == "t(a: {name: str, nick?: str, age: int})"
    assert not accepts({"allOf": [{"type": "string"}, {"minLength": 2}]}, "x")
    with pytest.raises(ToolArgumentError, match=r"a\.name"):
        tool.validate({"a": {"name": "x", "age": 1}})


def test_bounds_that_all_of_gives_twice_are_said_to_be_unchecked() -> None:
    tool = tool_with({"allOf": [{"type": "integer", "minimum": 1}, {"minimum": 2}]})
    assert tool.degraded == ("arguments.a: of two 'minimum' in its allOf only the first is checked",)


def test_what_stands_beside_any_of_applies_to_every_option() -> None:
    schema = {
        "type": "object",
        "properties": {"id": {"type": "integer"}},
        "required": ["id"],
        "anyOf": [
            {"properties": {"mail": {"type": "string"}}, "required": ["mail"]},
            {"properties": {"phone": {"type": "string"}}, "required": ["phone"]},
        ],
    }
    assert accepts(schema, {"id": 1, "mail": "x"})
    assert not accepts(schema, {"mail": "x"})
    assert not accepts(schema, {"id": 1})


def test_arguments_of_which_one_is_required_are_degraded_to_optional_ones() -> None:
    text = {"type": "string"}
    tool = tool_of(
        {
            "type": "object",
            "properties": {"a": text, "b": text, "c": text},
            "required": ["c"],
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        }
    )
    assert tool.signature == "t(a?: str, b?: str, c: str)"
    assert tool.degraded == ("arguments: which of them go together is not checked",)


@pytest.mark.parametrize(
    "keyword",
    [
        "not",
        "if",
        "uniqueItems",
        "multipleOf",
        "patternProperties",
        "dependentRequired",
        "dependencies",
        "$dynamicRef",
    ],
)
def test_a_keyword_that_is_not_checked_is_said(keyword: str) -> None:
    assert tool_with({keyword: {}}).degraded == (f"arguments.a: {keyword!r} is not checked",)


def test_enumerations_of_objects_are_degraded() -> None:
    tool = tool_with({"enum": [{"x": 1}, [2]]})
    assert tool.signature == "t(a: any)"
    assert "enumeration" in tool.degraded[0]


def test_properties_that_match_a_pattern_are_let_through() -> None:
    schema = {
        "properties": {"id": {"type": "integer"}},
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }
    assert accepts(schema, {"id": 1, "x-more": 2})


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            {"$ref": "https://example.com/x.json"},
            "'https://example.com/x.json', which is outside the schema; inline",
        ),
        ({"allOf": [{"$ref": "other.json#/a"}]}, "'other.json#/a', which is outside the schema; inline"),
        ({"$ref": "#/$defs/None"}, "'#/$defs/None', which does not exist"),
        ({"$ref": 5}, "refers to 5"),
        ({"$ref": None}, "refers to None"),
        ({"allOf": [{"$ref": 5}]}, "refers to 5"),
        ({"type": "strnig"}, "has the type 'strnig'; known are any, array"),
        ({"type": None}, "has the type None"),
        ({"type": {"a": 1}}, "has the type {'a': 1}"),
        ({"type": []}, "has the type []"),
        ({"type": [["string"]]}, "has the type ['string']"),
        (5, "is 5, which is no JSON schema"),
        (None, "is None, which is no JSON schema"),
        ("string", "is 'string', which is no JSON schema"),
        (False, "is false, which no value satisfies"),
        ({"anyOf": 5}, "has the anyOf 5, which is no list"),
        ({"anyOf": []}, "has an empty anyOf"),
        ({"oneOf": {"a": {}}}, "has the oneOf {'a': {}}"),
        ({"anyOf": [5]}, "is 5, which is no JSON schema"),
        ({"type": "string", "anyOf": [5]}, "is 5, which is no JSON schema"),
        ({"allOf": 5}, "has the allOf 5"),
        ({"allOf": [None]}, "is None"),
        ({"allOf": [{"properties": {"x": {}}}, {"properties": 5}]}, "a.properties is 5"),
        ({"enum": []}, "has the enumeration []"),
        ({"enum": "abc"}, "has the enumeration 'abc'"),
        ({"enum": {}}, "has the enumeration {}"),
        ({"properties": 5}, "a.properties is 5"),
        ({"properties": {1: {}}}, "has a property named 1"),
        ({"properties": {"x": 5}}, "a.x is 5"),
        ({"type": "object", "required": "x"}, "has the required 'x'"),
        ({"type": "object", "required": [{}]}, "has a property named {}"),
        ({"type": "object", "additionalProperties": 5}, "a.* is 5"),
        ({"type": "array", "items": 5}, "a.items is 5"),
        ({"type": "array", "items": "string"}, "a.items is 'string'"),
        ({"prefixItems": 5}, "has the prefixItems 5"),
        ({"type": "array", "minItems": -1}, "has the minItems -1"),
        ({"type": "array", "maxItems": "3"}, "has the maxItems '3'"),
        ({"type": "string", "minLength": 1.5}, "has the minLength 1.5"),
        ({"type": "string", "maxLength": 10**30}, "has the maxLength 1000"),
        ({"type": "string", "maxLength": True}, "has the maxLength True"),
        ({"type": "string", "pattern": 5}, "has the pattern 5"),
        ({"type": "string", "pattern": "(["}, "pattern '([', which is no regular expression"),
        ({"type": "string", "format": {}}, "has the format {}"),
        ({"type": "integer", "minimum": "1"}, "has the minimum '1'"),
        ({"type": "number", "maximum": float("nan")}, "has the maximum nan"),
        ({"type": "number", "exclusiveMinimum": float("inf")}, "has the exclusiveMinimum inf"),
    ],
    ids=repr,
)
def test_a_schema_that_cannot_be_used_is_refused_with_tool_place_and_value(schema: Any, message: str) -> None:
    with pytest.raises(ToolDefinitionError, match=re.escape(message)) as caught:
        tool_with(schema)
    assert caught.value.tool == "t"
    assert "'t'" in str(caught.value)


@pytest.mark.parametrize(
    "schema", [5, "x", [], False, {"type": "string"}, {"type": "array"}, {"enum": ["a"]}]
)
def test_arguments_that_are_no_object_are_refused_by_name(schema: Any) -> None:
    with pytest.raises(ToolDefinitionError, match="'t'"):
        tool_of(schema)


@pytest.mark.parametrize("schema", [None, {}, True, {"type": "object"}, {"type": ["object", "null"]}])
def test_arguments_may_be_none_at_all(schema: Any) -> None:
    tool = tool_of(schema)
    assert tool.signature == "t()"
    assert tool.validate({}) == {}
    assert tool.to_openai()["function"]["parameters"].get("type", "object")


WORDS = st.sampled_from(
    [
        *(
            "type",
            "properties",
            "required",
            "items",
            "prefixItems",
            "enum",
            "const",
            "anyOf",
            "oneOf",
            "allOf",
        ),
        *("$ref", "$defs", "additionalProperties", "minimum", "exclusiveMinimum", "maxLength", "minItems"),
        *(
            "pattern",
            "format",
            "nullable",
            "default",
            "description",
            "maxItems",
            "a",
            "_x",
            "x y",
            "model_config",
        ),
    ]
)
VALUES = st.sampled_from(
    [
        *(
            "string",
            "integer",
            "number",
            "boolean",
            "array",
            "object",
            "null",
            "#",
            "#/$defs/a",
            "http://x",
            "(",
        ),
        *(True, False, None, 0, -1, 3, 1.5, 10**20, "date", [], {}),
    ]
)
JSON = st.recursive(
    VALUES | st.text(max_size=3) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=2), inner, max_size=4)
    ),
    max_leaves=20,
)
SCHEMA_LIKE = st.recursive(
    st.sampled_from(
        [{"type": "string"}, {"type": "integer"}, {"enum": ["a", 1]}, {}, True, {"$ref": "#/$defs/a"}]
    ),
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"properties": st.dictionaries(WORDS, inner, max_size=3)},
            optional={
                "required": st.lists(WORDS, max_size=2),
                "additionalProperties": inner,
                "default": JSON,
            },
        ),
        st.builds(
            lambda k, v: {k: v}, st.sampled_from(["anyOf", "oneOf", "allOf"]), st.lists(inner, max_size=3)
        ),
        st.fixed_dictionaries(
            {"type": st.just("array")},
            optional={"items": inner, "prefixItems": st.lists(inner, max_size=2), "maxItems": VALUES},
        ),
        st.dictionaries(WORDS, inner | VALUES, max_size=4),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(JSON | SCHEMA_LIKE, st.dictionaries(st.just("a"), SCHEMA_LIKE, max_size=1), JSON)
def test_any_json_as_schema_gives_a_tool_or_a_refusal_by_name(schema: Any, defs: Any, value: Any) -> None:
    parameters = {**schema, "$defs": defs} if isinstance(schema, dict) else schema
    try:
        tool = tool_of(parameters)
    except ToolDefinitionError as error:
        assert error.tool == "t"  # noqa: PT017
        return
    assert "\n" not in tool.signature
    hash(tool.arguments)
    arguments = value if isinstance(value, dict) else {f.name: value for f in tool.arguments.fields}
    try:
        tool.validate(arguments)
    except ToolArgumentError as error:
        assert error.tool == "t"  # noqa: PT017


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, [5, "5", -1], ["x", 1.5, None, [1, 2]]),
        ({"type": "number", "exclusiveMinimum": 0}, [0.5, "3"], [0, -1, "0"]),
        ({"type": "integer", "minimum": 1, "maximum": 3}, [1, 3], [0, 4]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", 12], ["a", "abcd", None, {}]),
        ({"type": "string", "pattern": "b+"}, ["abc"], ["ac"]),
        ({"type": "string", "pattern": "^(?!x)"}, ["abc"], ["xbc"]),
        ({"type": "boolean"}, [True, "false"], ["perhaps", 7]),
        ({"type": "null"}, [None], [0, ""]),
        ({"enum": [1, "a", None]}, [1, "a", None, "1"], [2, "b", []]),
        ({"enum": [1.5]}, [1.5], [1]),
        (
            {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
            [[1], 1],
            [[], [1, 2, 3], ["x"]],
        ),
        (
            {"prefixItems": [{"type": "number"}, {"type": "string"}], "items": False},
            [[1, "a"], [1]],
            [[1, "a", 2], [[]]],
        ),
        (
            {"prefixItems": [{"type": "integer"}, {"enum": ["a"]}], "minItems": 2, "maxItems": 2},
            [[1, "a"]],
            [[1], ["a", 1], [1, "a", 2]],
        ),
        ({"additionalProperties": {"type": "integer"}}, [{}, {"x": 1}], [{"x": "y"}, 5]),
        (
            {"properties": {"x": {}}, "additionalProperties": {"type": "integer"}},
            [{"x": "y", "z": 1}, {"z": "2"}],
            [{"z": "y"}],
        ),
        ({"properties": {"x": {"type": "integer"}}}, [{}, {"x": 1}], [{"y": 1}, {"x": {}}]),
        (
            {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
            [1, [1]],
            ["x", ["x"]],
        ),
        ({"type": ["integer", "null"]}, [1, None], ["x"]),
    ],
    ids=repr,
)
def test_arguments_are_checked_against_the_schema(schema: Any, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not accepts(schema, value)] == []
    assert [value for value in bad if accepts(schema, value)] == []


def test_objects_reach_the_function_as_plain_dictionaries_without_what_was_left_out() -> None:
    inner = {"properties": {"x y": {"type": "integer"}, "z": {"type": "integer", "default": 1}}}
    schema = {"properties": {"list": {"type": "array", "items": {"properties": {"in": inner}}}}}
    assert tool_with(schema).validate({"a": {"list": [{"in": {"x y": "1"}}]}}) == {
        "a": {"list": [{"in": {"x y": 1}}]}
    }


ODD_NAMES = [
    *("model_config", "model_fields", "model_dump_it", "model_validate", "schema", "copy", "json", "dict"),
    *(
        "_x",
        "__class__",
        "__config__",
        "x y",
        "x-y",
        "x.y",
        "class",
        "self",
        "cls",
        "",
        'q"',
        "a\nb",
        "naïve",
        "日本",
    ),
    *("field_0", "field_1", "tool", "function", "keywords", "arguments", "construct", "validate"),
]


@pytest.mark.anyio
@pytest.mark.parametrize("name", ODD_NAMES)
async def test_an_argument_may_have_any_name(name: str) -> None:
    tool = tool_of({"properties": {name: {"type": "integer"}}})
    assert await tool.ainvoke({name: "1"}) == {name: 1}
    assert "\n" not in tool.signature


def test_odd_names_do_not_get_in_each_others_way() -> None:
    tool = tool_of({"properties": {name: {"type": "integer"} for name in ODD_NAMES}})
    given_ = {name: i for i, name in enumerate(ODD_NAMES)}
    assert tool.validate(given_) == given_


def test_a_placeholder_is_not_the_name_of_an_argument() -> None:
    with pytest.raises(ToolArgumentError, match="no argument field_0"):
        tool_of({"properties": {"x y": {}}}).validate({"field_0": 1})


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, "any"),
        ({"type": "integer"}, "int"),
        ({"type": "number"}, "float"),
        ({"type": "boolean"}, "bool"),
        ({"type": "string", "format": "date-time"}, "datetime"),
        ({"type": "string", "format": "date"}, "date"),
        ({"type": "string", "format": "time"}, "time"),
        ({"type": "string", "format": "email"}, "str"),
        ({"enum": ["d", 1, True, None]}, '"d" | 1 | true | null'),
        ({"enum": ['a"b', "c\nd", "é"]}, r'"a\"b" | "c\nd" | "é"'),
        ({"type": "array"}, "list"),
        ({"type": "array", "items": {"type": ["string", "integer"]}}, "list[str | int]"),
        ({"prefixItems": [{"type": "number"}, {"type": "number"}]}, "[float, float]"),
        ({"type": "object"}, "dict"),
        (
            {"properties": {"lat": {"type": "number"}, "x y": {}}, "required": ["lat"]},
            '{lat: float, "x y"?: any}',
        ),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "str | null"),
    ],
    ids=repr,
)
def test_a_type_is_rendered_as_a_person_reads_it(schema: Any, expected: str) -> None:
    assert render_type(type_of(schema)) == expected
