"""References reach only into what results have, and identifiers are found before they are used."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from plait.models import ScriptedModel
from plait.planners import CompilerPlanner, PlanContext, Task, TaskOutcome, parse_plan, plan_grammar
from plait.planners._forms import Source
from plait.planners._grammar import plan_lark
from plait.planners._results import gives_identifier, has_known_parts, identifier_of, thing_of
from plait.tools import Field, NumberType, ObjectType, StringType, Tool, Toolbox, tool

Accepts = Callable[..., str]


class Place(BaseModel):
    name: str
    sky_id: str
    stars: float | None = None


class Hotel(BaseModel):
    id: int
    title: str
    place: Place
    tags: list[str]
    is_open: bool
    extra: Any = None


@tool
def find_place(query: str) -> Place:
    """Find a place."""
    raise NotImplementedError(query)


@tool
def list_hotels(near_sky_id: str, limit: int = 10) -> list[Hotel]:
    """List hotels."""
    raise NotImplementedError(near_sky_id, limit)


@tool
def book(hotel_id: int, nights: int, note: str = "", tags: list[str] = [], breakfast: bool = False) -> str:  # noqa: B006
    """Book a room."""
    raise NotImplementedError(hotel_id, nights, note, tags, breakfast)


@tool
def tell(text: str) -> str:
    """Tell a text."""
    return text


BOX = (find_place, list_hotels, book, tell)
HOTELS = '1. find_place(query="Rome")\n2. list_hotels(near_sky_id=$1.sky_id)\n3. '


@pytest.fixture
def accepts(accepted_by: Callable[[str, str], str]) -> Accepts:
    def accepted(plan: str, request: str | None = "a room in Rome", tools: tuple[Tool, ...] = BOX) -> str:
        source = None if request is None else Source.of([request])
        return accepted_by(plan_lark(tools, source=source), plan)

    return accepted


@pytest.mark.parametrize(
    "call",
    [
        "book(hotel_id=$2[0].id, nights=2)",
        "book(hotel_id=$2[10].id, nights=$1.stars)",
        "book(hotel_id=$2[0].id, nights=2, note=$1.name)",
        'book(hotel_id=$2[0].id, nights=2, note="${1.name}, ${2[0].place.stars} of ${2}", tags=$2[1].tags)',
        "book(hotel_id=$2[0].id, nights=2, tags=[$2[0].tags[1], $1.name], breakfast=$2[0].is_open)",
        "tell(text=$2[0].extra.whatever[3])",
        'tell(text="${2[0].place}")',
    ],
)
def test_what_results_have_is_referred_to(accepts: Accepts, call: str) -> None:
    plan = f"{HOTELS}{call}\n4. join()"
    assert accepts(plan) == plan
    assert [task.tool for task in parse_plan(plan)][:2] == ["find_place", "list_hotels"]


@pytest.mark.parametrize(
    ("call", "accepted"),
    [
        ("tell(text=$1.nam)", "tell(text=$1.nam⛔"),
        ("tell(text=$1.country)", "tell(text=$1.⛔"),
        ("tell(text=$1)", "tell(text=$1⛔"),  # an object is no text, but may stand in one
        ("tell(text=$2.title)", "tell(text=$2⛔"),
        ("tell(text=$2[0].place)", "tell(text=$2[0].place⛔"),
        ("tell(text=$2[0].tags)", "tell(text=$2[0].tags⛔"),
        ("book(hotel_id=$1.sky_id", "book(hotel_id=$⛔"),
        ("book(hotel_id=$2[0].title", "book(hotel_id=$2[0].⛔"),
        ("book(hotel_id=$2[0].id, nights=$2[0].is_open", "book(hotel_id=$2[0].id, nights=$2[0].is⛔"),
        ("book(hotel_id=$2[0].id, nights=1, breakfast=$1", "book(hotel_id=$2[0].id, nights=1, breakfast=$⛔"),
        ('tell(text="${1.town}")', 'tell(text="${1.⛔'),
    ],
)
def test_what_they_have_not_is_not(accepts: Accepts, call: str, accepted: str) -> None:
    said = accepts(f"{HOTELS}{call}")
    assert said.startswith(f"{HOTELS}{accepted[:-2]}"[: len(said) - 1])
    assert said.endswith("⛔")
    assert len(said) <= len(f"{HOTELS}{accepted}")


def test_an_identifier_is_found_before_it_is_used(accepts: Accepts) -> None:
    assert accepts('1. list_hotels(near_sky_id="Rome")') == "1.⛔"
    assert accepts("1. book(hotel_id=12, nights=1)") == "1.⛔"
    found = '1. find_place(query="Rome")\n2. list_hotels(near_sky_id="Rome")'
    assert accepts(found) == '1. find_place(query="Rome")\n2. list_hotels(near_sky_id⛔'


def test_an_identifier_that_the_request_gives_is_copied(accepts: Accepts) -> None:
    plan = '1. list_hotels(near_sky_id="ROM4x")\n2. join()'
    assert accepts(plan, "hotels near ROM4x") == plan
    assert accepts(plan, "hotels near MIL4x").endswith("⛔")
    by_word = '1. list_hotels(near_sky_id="rome")\n2. join()'
    assert accepts(by_word, "hotels near the id rome") == by_word
    numbered = "1. book(hotel_id=84213, nights=1)\n2. join()"
    assert accepts(numbered, "book hotel 84213 for a night") == numbered
    assert accepts(numbered, "book hotel 84214 for a night").startswith("1. book(hotel_id=8421⛔"[:-1])
    assert accepts(numbered, "book hotel 84214 for a night").endswith("⛔")
    assert accepts(numbered, "book the hotel with the code xyz") == "1.⛔"  # no number: it has to be found


def test_without_a_source_an_identifier_may_be_any_word(accepts: Accepts) -> None:
    plan = '1. list_hotels(near_sky_id="ROM4x")\n2. join()'
    assert accepts(plan, None) == plan


@pytest.mark.parametrize(
    ("request_", "identifier"),
    [
        ("close PL-7 please", "PL-7"),
        ("close issue 12", "12"),
        ("issue #12 can be closed", "12"),
        ("close 84213", "84213"),
        ("close the one with the number twelve", "twelve"),
    ],
)
def test_requests_name_things_in_many_ways(accepts: Accepts, request_: str, identifier: str) -> None:
    plan = f'1. close(issueId="{identifier}")\n2. join()'
    assert accepts(plan, request_, tuple(issues(""))) == plan


@pytest.mark.parametrize(
    "request_", ["close the issue of Tuesday", "on the 20th at 10am close what is open", "on 2026-03-04"]
)
def test_other_words_and_numbers_name_nothing(accepts: Accepts, request_: str) -> None:
    assert accepts('1. close(issueId="5")', request_, tuple(issues(""))) == "1.⛔"


@pytest.mark.parametrize(
    ("name", "thing"),
    [("issue_id", "issue"), ("openIssueID", "issue"), ("hotelRoomId", "room"), ("id", ""), ("userid", "")],
)
def test_the_thing_is_the_word_before_the_id(name: str, thing: str) -> None:
    assert thing_of(Field(name, StringType())) == thing


def issues(description: str) -> list[Tool]:
    found = {"type": "object", "properties": {"id": {"type": "string"}, "title": {"type": "string"}}}
    return [
        Tool.from_schema({"name": "list_issues", "outputSchema": {"type": "array", "items": found}}),
        Tool.from_schema(
            {
                "name": "close",
                "parameters": {
                    "type": "object",
                    "properties": {"issueId": {"type": "string", "description": description}},
                    "required": ["issueId"],
                },
            }
        ),
    ]


def test_what_its_description_quotes_is_an_identifier_too(accepts: Accepts) -> None:
    plan = '1. close(issueId="latest")\n2. join()'
    assert accepts(plan, "close it", tuple(issues('of the issue, or "latest"'))) == plan
    assert accepts(plan, "close it", tuple(issues("of the issue"))) == "1.⛔"


def test_the_types_of_definitions_results_are_told() -> None:
    listing, close = issues("")
    assert listing.signature == "list_issues() -> list[{id?: str, title?: str}]"
    assert has_known_parts(listing.result)
    assert close.result is None
    assert gives_identifier(listing, "issueid")
    assert not gives_identifier(listing, "userid")


@pytest.mark.parametrize(
    ("name", "type_", "identifier"),
    [
        ("issue_id", StringType(), "issueid"),
        ("authorID", NumberType(integer=True), "authorid"),
        ("id", StringType(), ""),
        ("issue_id", StringType(format="date"), ""),
        ("issue_id", ObjectType(), ""),
        ("title", StringType(), ""),
    ],
)
def test_identifiers_are_told_by_their_names(name: str, type_: Any, identifier: str) -> None:
    assert identifier_of(Field(name, type_)) == identifier


@dataclass
class Loose:
    anything: dict[str, Any]


def test_where_nothing_is_known_of_results_the_grammar_is_as_it_was() -> None:
    @tool
    def loose(query: str) -> dict[str, Any]:
        """Find something."""
        return {query: query}

    assert not has_known_parts(loose.result)
    assert plan_lark([loose, tell]) == plan_grammar([loose, tell]).lark
    assert "tail" not in plan_lark([loose, tell])


def test_with_too_many_tools_there_is_still_room_for_tasks(accepts: Accepts) -> None:
    def numbered(k: int) -> Tool:
        output = {"type": "object", "properties": {f"field{k}": {"type": "string"}}}
        parameters = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
        return Tool.from_schema({"name": f"tool{k}", "parameters": parameters, "outputSchema": output})

    few, many = [numbered(k) for k in range(20)], [numbered(k) for k in range(150)]
    calls = '1. tool0(x="a")\n' + "".join(f"{k}. tool1(x=$1.field0)\n" for k in range(2, 11))
    assert accepts(calls + "11. join()", "", tuple(few)) == calls + "11. join()"
    assert accepts(calls + "11. join()", "", tuple(many)) == calls + "11. join()"
    wrong = '1. tool0(x="a")\n2. tool1(x=$1.other)\n3. join()'
    assert accepts(wrong, "", tuple(few)).endswith("⛔")
    assert accepts(wrong, "", tuple(many)) == wrong


def test_the_planner_heeds_what_earlier_results_hold(accepted_by: Callable[[str, str], str]) -> None:
    outcome = TaskOutcome(Task(1, "find_place", {"query": "Rome"}), "ok", Place(name="Rome", sky_id="R"))
    planner = CompilerPlanner(ScriptedModel([], grammar_kind="lark"), Toolbox(BOX))
    grammar = planner.grammar(PlanContext("hotels in Rome", outcomes=(outcome,)))
    assert grammar is not None
    plan = "2. list_hotels(near_sky_id=$1.sky_id)\n3. join()"
    assert accepted_by(str(grammar.lark), plan) == plan
    assert accepted_by(str(grammar.lark), "2. list_hotels(near_sky_id=$1.name)").endswith("⛔")


@pytest.mark.parametrize("as_json", [False, True])
def test_prompts_say_how_to_refer_to_parts_where_there_are_some(as_json: bool) -> None:
    def told(*tools: Tool) -> str:
        model = ScriptedModel([], grammar_kind="json_schema" if as_json else "lark")
        messages = CompilerPlanner(model, Toolbox(tools)).messages(PlanContext("hotels in Rome"))
        return "\n".join(message.content for message in messages)

    parts = ["$1.name is a field of that result", "cinema_id=$1[0].cinema_id"]
    if as_json:
        parts[1] = '"cinema_id": "$1[0].cinema_id"'
    assert all(part in told(*BOX) for part in parts)
    assert not any(part in told(tell) for part in parts)
