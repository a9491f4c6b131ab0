"""Arguments refer only to results of kinds that they take, and literal texts come from the request."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import pytest

from plait.models import Grammar, ScriptedModel
from plait.planners import (
    CompilerPlanner,
    Offer,
    PastCall,
    PastTurn,
    PlanContext,
    Task,
    TaskOutcome,
    TunedPlanner,
    plan_grammar,
)
from plait.planners._forms import FORMS, Source
from plait.planners._grammar import plan_lark
from plait.tools import Kind, Tool, Toolbox, tool

Email = Annotated[str, Kind("email")]
Path_ = Annotated[str, Kind("path")]
Name = Annotated[str, Kind("person", verbatim=True)]
Status = Annotated[str, Kind("status")]


@tool
def email_of(name: Name) -> Email:
    """Find an address."""
    return name


@tool
def phone_of(name: Name) -> Annotated[str, Kind("phone")]:
    """Find a number."""
    return name


@tool
def file(name: Annotated[str, Kind(verbatim=True)]) -> Path_:
    """Find a file."""
    return name


@tool
def summary(path: Path_) -> Annotated[str, Kind("text")]:
    """Summarize a file."""
    return path


@tool
def mail(
    to: list[Email],
    text: Annotated[str, Kind("text", "phone")] = "",
    files: list[Path_] = [],  # noqa: B006
) -> Status:
    """Write an email."""
    return f"{to}{text}{files}"


@tool
def sms(to: list[Annotated[str, Kind("phone")]], text: str, at: datetime | None = None) -> Status:
    """Write a text message."""
    return f"{to}{text}{at}"


@tool
def title(text: Annotated[str, Kind()]) -> Status:
    """Set a title."""
    return text


@tool
def look_up(what: str) -> str:
    """Say anything of anything."""
    return what


BOX = (email_of, phone_of, file, summary, mail, sms, title)
Accepts = Callable[..., str]


@pytest.fixture
def accepts(accepted_by: Callable[[str, str], str]) -> Accepts:
    """What of a plan the grammar accepts for a request; all of it but a mark where it is refused."""

    def accepted(plan: str, request: str | None = None, tools: tuple[Tool, ...] = BOX, **more: Any) -> str:
        source = None if request is None else Source.of([request])
        options = {"copies": True, **more}
        return accepted_by(plan_lark(tools, dialect="compact", source=source, **options), plan)

    return accepted


@pytest.mark.parametrize(
    "plan",
    [
        '1 email_of("Ann")\n2 file("notes.txt")\n3 mail([$1],files=[$2])\n4 join()',
        '1 file("notes.txt")\n2 summary($1)\n3 email_of("Ann")\n4 mail([$3],text=$2)\n5 join()',
        '1 phone_of("Ann")\n2 email_of("Bob")\n3 mail([$2],text="Her number: ${1}.")\n4 join()',
        '1 phone_of("Ann")\n2 sms([$1,$1],"$1 and ${1}")\n3 join()',
        '1 title("A title of one\'s own")\n2 join()',
        "1 join()",
    ],
)
def test_what_fits_is_accepted(accepts: Accepts, plan: str) -> None:
    assert accepts(plan) == plan
    assert accepts(plan, "Ann, Bob, notes.txt") == plan


@pytest.mark.parametrize(
    ("plan", "accepted"),
    [
        ('1 phone_of("Ann")\n2 mail([$1])', '1 phone_of("Ann")\n2⛔'),
        ('1 email_of("Ann")\n2 mail([$1],files=[$1])', '1 email_of("Ann")\n2 mail([$1],⛔'),
        ('1 email_of("Ann")\n2 mail([$1],text=$1)', '1 email_of("Ann")\n2 mail([$1],text=⛔'),
        ('1 email_of("Ann")\n2 mail([$1],text="to ${1}")', '1 email_of("Ann")\n2 mail([$1],text="to $⛔'),
        ('1 email_of("Ann")\n2 mail([$1])\n3 mail([$2])', '1 email_of("Ann")\n2 mail([$1])\n3 mail([$⛔'),
        (
            '1 phone_of("Ann")\n2 sms([$1],"so")\n3 sms([$1],$2)',
            '1 phone_of("Ann")\n2 sms([$1],"so")\n3 sms([$1],$⛔',
        ),
        ('1 phone_of("Ann")\n2 sms([$1],"so",at=$1)', '1 phone_of("Ann")\n2 sms([$1],"so",at=⛔'),
        ('1 phone_of("Ann")\n2 title($1)', '1 phone_of("Ann")\n2 title(⛔'),
    ],
    ids=["number", "no file", "address in a text", "within", "status", "status as text", "date", "title"],
)
def test_results_of_other_kinds_are_refused(accepts: Accepts, plan: str, accepted: str) -> None:
    assert accepts(plan, "Ann and so") == accepted


@pytest.mark.parametrize(
    ("request_", "plan"),
    [
        ("mail a@b.org and Ann", '1 email_of("Ann")\n2 mail([$1,"a@b.org"])\n3 join()'),
        ("mail ann at b dot org", '1 mail(["ann@b.org"])\n2 join()'),
        ("schreib ann at b punkt org", '1 mail(["ann@b.org"])\n2 join()'),
        ("text +47 912 34 567: so", '1 sms(["+47 912 34 567"],"so")\n2 join()'),
        ("text nine one seven five: so", '1 sms(["9175"],"so")\n2 join()'),
        ("sum up /home/ann/my notes.txt now", '1 summary("/home/ann/my notes.txt")\n2 join()'),
        ("sum up ~/notes.txt", '1 summary("~/notes.txt")\n2 join()'),
        ("sum up C:\\data\\notes.txt", '1 summary("C:\\\\data\\\\notes.txt")\n2 join()'),
        ("Zoë's and 山田さん's", '1 email_of("Zoë")\n2 phone_of("山田")\n3 join()'),
        ('a file "US$ (a).txt"', '1 file("US\\$ (a).txt")\n2 join()'),
        ('ask "Bo" Peep', '1 email_of("\\"Bo\\" Peep")\n2 join()'),
    ],
)
def test_texts_are_those_of_the_request(accepts: Accepts, request_: str, plan: str) -> None:
    assert accepts(plan, request_) == plan


@pytest.mark.parametrize(
    ("request_", "plan", "accepted"),
    [
        ("mail a@b.org", '1 mail(["c@b.org"])', '1 mail(["⛔'),
        ("mail a@b.org", '1 email_of("a@b.org")', '1 email_of("a⛔'),
        ("mail Ann and/or Bob", '1 mail(["Ann"])', "1⛔"),
        ("sum up notes.txt", '1 summary("notes.txt")', "1⛔"),
        ("mail Ann on 3/4", '1 summary("/4")', "1⛔"),
        ("text 503-555-0148", '1 phone_of("503-555-0148")', '1 phone_of("⛔'),
        ("mail Ann", '1 email_of("Anna")', '1 email_of("⛔'),
        ("mail Joanna", '1 email_of("anna")', '1 email_of("⛔'),
    ],
)
def test_texts_that_are_not_are_refused(accepts: Accepts, request_: str, plan: str, accepted: str) -> None:
    assert accepts(plan, request_) == accepted


def test_names_need_not_be_copied_by_models_that_were_not_trained_so(accepts: Accepts) -> None:
    plan = '1 email_of("Anna")\n2 mail([$1])\n3 join()'
    assert accepts(plan, "wyślij to do Anny", copies=False) == plan
    assert accepts('1 email_of("a@b.org")', "mail a@b.org", copies=False) == '1 email_of("a⛔'


def test_without_a_request_literal_texts_only_have_the_form(accepts: Accepts) -> None:
    for plan in ('1 mail(["c@b.org"])\n2 join()', '1 summary("/notes.txt")\n2 join()'):
        assert accepts(plan) == plan
    assert accepts('1 mail(["Ann"])') == '1 mail(["Ann⛔'


def test_what_no_tool_can_find_may_be_any_text(accepts: Accepts) -> None:
    plan = '1 summary("notes")\n2 join()'
    assert accepts(plan, "sum up my notes", (summary, mail)) == plan


@pytest.mark.parametrize(
    ("request_", "is_there"),
    [
        ("send Ann invoice_0319.pdf", False),
        ("send Ann scan2024-11b and x5551234y", False),
        ("text 0319 to Ann", True),
        ("text Ann, whose number is (503) 555-0148", True),
        ("mail <ann@x.org>", False),
    ],
)
def test_only_whole_words_are_numbers(accepts: Accepts, request_: str, is_there: bool) -> None:
    assert Source(request_).holds(FORMS["phone"]) == is_there
    assert (accepts("1 sms([", request_) == "1⛔") == (not is_there)


def test_a_tool_that_says_nothing_may_give_anything(accepts: Accepts) -> None:
    plan = '1 look_up("Ann")\n2 mail([$1],text=$1,files=[$1])\n3 title($1)\n4 join()'
    assert accepts(plan, "Ann", (*BOX, look_up)) == plan
    with_status = '1 email_of("Ann")\n2 mail([$1])\n3 look_up($1)\n4 look_up($2)'
    assert accepts(with_status, "Ann", (*BOX, look_up)) == with_status.removesuffix("2)") + "⛔"


def test_earlier_results_are_of_their_kind(accepts: Accepts) -> None:
    earlier = {"first": 4, "unavailable": {3}, "earlier": {1: email_of, 2: file, 3: email_of}}
    plan = "4 summary($2)\n5 mail([$1],text=$4,files=[$2])\n6 join()"
    assert accepts(plan, "go on", **earlier) == plan
    assert accepts("4 mail([$2])", "go on", **earlier) == "4 mail([$⛔"
    assert accepts("4 mail([$3])", "go on", **earlier) == "4 mail([$⛔"


def test_plans_end_where_there_is_no_room_for_more_kinds(accepts: Accepts) -> None:
    calls = "\n".join(f'{k} email_of("Ann")' for k in range(1, 25))
    accepted = accepts(calls, "Ann")
    last = int(accepted.splitlines()[-1].split()[0].removesuffix("⛔"))
    assert 15 <= last < 25
    whole = "\n".join([*calls.splitlines()[: last - 1], f"{last} join()"])
    assert accepts(whole, "Ann") == whole


def test_tools_that_say_nothing_of_kinds_have_the_grammar_that_they_had() -> None:
    assert plan_lark([look_up], source=Source.of(["Ann"])) == plan_grammar([look_up]).lark


def test_a_long_source_is_none() -> None:
    assert Source.of(["x" * 9000]) is None


# In the planner


def lark_for(context: PlanContext, tools: tuple[Tool, ...] = BOX) -> str:
    planner = CompilerPlanner(ScriptedModel([], grammar_kind="lark"), Toolbox(tools), dialect="compact")
    grammar = planner.grammar(context)
    assert isinstance(grammar, Grammar)
    return str(grammar.lark)


def test_the_planner_takes_texts_from_the_request_and_what_came_before() -> None:
    outcome = TaskOutcome(Task(3, "summary", {"path": "/x"}), "ok", "Bo will know")
    past = PastTurn("Where is Cy?", (PastCall(Task(1, "email_of", {}), "ok", "cy@x.org"),))
    context = PlanContext("Ask Ann", outcomes=(outcome,), history=(past,), first_number=3)
    expected = plan_lark(
        BOX,
        dialect="compact",
        first=4,
        unavailable={2},
        earlier={1: email_of, 3: summary},
        source=Source.of(["", "Where is Cy?", "cy@x.org", "Bo will know", "", "Ask Ann"]),
    )
    assert lark_for(context) == expected


def test_only_the_planner_of_trained_models_copies_names() -> None:
    model = ScriptedModel([], grammar_kind="lark")
    grammar = TunedPlanner(model, Toolbox(BOX)).grammar(PlanContext("Ask Ann"))
    assert grammar is not None
    source = Source.of(["", "", "Ask Ann"])
    assert grammar.lark == plan_lark(BOX, dialect="relative", source=source, copies=True)
    assert grammar.lark != plan_lark(BOX, dialect="relative", source=source)


def test_the_planner_heeds_kinds_among_the_tools_that_were_found() -> None:
    context = PlanContext("Ask Ann", offer=Offer(allowed=frozenset({"email_of", "mail"})))
    expected = plan_lark([email_of, mail], dialect="compact", source=Source.of(["", "", "Ask Ann"]))
    assert lark_for(context) == expected
