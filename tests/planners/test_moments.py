"""Days that plans name as people do, resolved against the clock."""

import contextlib
import re
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.models import ScriptedModel
from plait.planners import (
    CompilerPlanner,
    PlanContext,
    Task,
    is_day,
    plan_grammar,
    resolve_moment,
    resolve_moments,
)
from plait.planners._moments import WEEKDAYS
from plait.planners._terminals import patterns
from plait.tools import Toolbox, tool

NOW = datetime(2026, 3, 4, 17, 40)  # a Wednesday


@tool
def book(what: str, day: date, times: list[datetime] | None = None, until: datetime | None = None) -> str:
    """Book something."""
    return what


BOX = Toolbox([book])


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("today", "2026-03-04"),
        ("tomorrow", "2026-03-05"),
        ("Thu", "2026-03-05"),
        ("Tue", "2026-03-10"),
        ("Wed", "2026-03-11"),
        ("Fri+1w", "2026-03-13"),
        ("+3d", "2026-03-07"),
        ("+2w", "2026-03-18"),
        ("4th", "2026-03-04"),
        ("3rd", "2026-04-03"),
        ("31st", "2026-03-31"),
        ("03-04", "2026-03-04"),
        ("03-03", "2027-03-03"),
        ("02-29", "2028-02-29"),
        ("2027-03-05", "2027-03-05"),
        ("Fri 15:00", "2026-03-06 15:00"),
        ("today 08:00", "2026-03-04 08:00"),
        ("Fri 3:00pm", "2026-03-06 15:00"),
        ("Fri 9:05am", "2026-03-06 09:05"),
        ("Fri 12:30pm", "2026-03-06 12:30"),
        ("Fri 12:30am", "2026-03-06 00:30"),
        ("Fri 11:30pm+90m", "2026-03-07 01:00"),
        ("Fri 23:30+90m", "2026-03-07 01:00"),
        ("2026-12-31 23:30+30m", "2027-01-01 00:00"),
        ("+20m", "2026-03-04 18:00"),
        ("+400m", "2026-03-05 00:20"),
    ],
)
def test_a_moment_is_worked_out_from_the_clock(text: str, meant: str) -> None:
    assert resolve_moment(text, NOW) == meant
    assert is_day(text) == (" " not in meant)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Friday",
        "fri",
        "02-30",
        "32nd",
        "Fri 25:00",
        "13-01",
        "2026-02-30",
        "+20",
        "Fri 9:00",
        "0th",
        "Fri 13:00pm",
        "Fri 0:10am",
        "Fri 3:60pm",
    ],
)
def test_what_names_no_moment_is_left_for_the_tool_to_judge(text: str) -> None:
    assert resolve_moment(text, NOW) == text


@given(st.dates(date(2000, 1, 1), date(2090, 1, 1)), st.sampled_from(WEEKDAYS))
def test_a_weekday_is_the_next_one_and_never_today(today: date, name: str) -> None:
    found = date.fromisoformat(resolve_moment(name, datetime.combine(today, datetime.min.time())))
    assert timedelta(days=1) <= found - today <= timedelta(days=7)
    assert WEEKDAYS[found.weekday()] == name


def test_only_arguments_that_are_dates_or_moments_are_resolved() -> None:
    arguments = {
        "what": "Fri",
        "day": "Fri",
        "times": ["tomorrow 09:00", "+1w 09:00"],
        "until": "Fri 10:00+15m",
    }
    assert resolve_moments(Task(1, "book", arguments), book, NOW) == Task(
        1,
        "book",
        {
            "what": "Fri",
            "day": "2026-03-06",
            "times": ["2026-03-05 09:00", "2026-03-11 09:00"],
            "until": "2026-03-06 10:15",
        },
    )
    strange = Task(1, "book", {"unknown": "Fri", "day": 7})
    assert resolve_moments(strange, book, NOW) == strange


@tool
def nested(
    spans: list[tuple[date, date]],
    by_name: dict[str, datetime],
    kind: Literal["today", "later"] | date,
    text: str | date,
) -> str:
    """Dates in all places where types may have them."""
    return text


def test_dates_are_found_at_any_depth_and_texts_that_mean_themselves_are_left() -> None:
    arguments = {
        "spans": [["Fri", "Fri+1w"], ["tomorrow", "+3d"]],
        "by_name": {"Mon": "Mon 09:00", "x": "+5m"},
        "kind": "today",
        "text": "tomorrow",
    }
    assert resolve_moments(Task(1, "nested", arguments), nested, NOW).arguments == {
        "spans": [["2026-03-06", "2026-03-13"], ["2026-03-05", "2026-03-07"]],
        "by_name": {"Mon": "2026-03-09 09:00", "x": "2026-03-04 17:45"},
        "kind": "today",
        "text": "tomorrow",
    }
    later = resolve_moments(Task(1, "nested", {"kind": "Fri"}), nested, NOW)
    assert later.arguments == {"kind": "2026-03-06"}


def test_minutes_from_now_are_those_that_pass_when_clocks_are_changed() -> None:
    before = datetime(2026, 3, 29, 1, 50, tzinfo=ZoneInfo("Europe/Berlin"))
    assert resolve_moment("+20m", before) == "2026-03-29 03:10"


@pytest.mark.anyio
@pytest.mark.parametrize("now", [NOW, None])
async def test_a_planner_of_the_relative_dialect_gives_dates(now: datetime | None) -> None:
    written = '1 book("a room","tomorrow",until="2026-03-06 10:00+15m")\n2 other(day="Fri")\n3 join()'
    planner = CompilerPlanner(ScriptedModel([written]), BOX, dialect="relative")
    steps = [step async for step in planner.plan(PlanContext("Book a room", now=now))]
    first, second = (step for step in steps if isinstance(step, Task))
    tomorrow = (now or datetime.now()).date() + timedelta(days=1)
    assert first.arguments == {"what": "a room", "day": f"{tomorrow}", "until": "2026-03-06 10:15"}
    assert second.arguments == {"day": "Fri"}


@pytest.mark.anyio
async def test_other_dialects_have_dates_only() -> None:
    planner = CompilerPlanner(ScriptedModel(['1 book("x","Fri")\n2 join()']), BOX, dialect="compact")
    steps = [step async for step in planner.plan(PlanContext("Book", now=NOW))]
    assert Task(1, "book", {"what": "x", "day": "Fri"}) in steps
    for dialect in ("compact", "relative"):
        grammar = plan_grammar(BOX, dialect=dialect)  # type: ignore[arg-type]
        for form in (grammar.lark, grammar.gbnf):
            assert form is not None
            assert ("[F][r][i]" in form) == (dialect == "relative")


@given(st.data(), st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1)))
def test_whatever_the_grammar_allows_is_a_date_then_or_no_day_of_the_calendar(
    data: st.DataObject, now: datetime
) -> None:
    allowed = patterns(separator="[ ]", relative=True)
    for name, form in (("DATE", "%Y-%m-%d"), ("DATETIME", "%Y-%m-%d %H:%M")):
        text = data.draw(st.from_regex(allowed[name], fullmatch=True))
        found = resolve_moment(text, now)
        if found == text:
            with contextlib.suppress(ValueError):
                datetime.strptime(text, form)
                return
            assert re.search(r"02-(29|3.)|(04|06|09|11)-31|[0-9]-(29|3.)", text), text
        else:
            assert datetime.strptime(found, form) is not None


def test_what_is_resolved_is_what_the_grammar_allows() -> None:
    """Both read the same forms; days that no calendar has are for the resolution to leave."""
    allowed = patterns(separator="[ ]", relative=True)
    for text in ("today", "Sun+1w", "+3d", "+12w", "1st", "22nd", "31st", "12-31", "2026-01-01"):
        assert re.fullmatch(allowed["DATE"], text), text
        assert re.fullmatch(allowed["DATETIME"], f"{text} 07:05"), text
        assert re.fullmatch(allowed["DATETIME"], f"{text} 07:05+1440m"), text
    assert re.fullmatch(allowed["DATETIME"], "+45m")
    for text in ("Friday", "fri", "0th", "32nd", "+0d", "13-01", "12-32"):
        assert not re.fullmatch(allowed["DATE"], text), text
