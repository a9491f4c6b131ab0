from datetime import datetime

import pytest

from plait.models import ScriptedModel
from plait.planners import PlanContext, Ref, Task, TaskOutcome, TunedPlanner
from plait.tools import Toolbox, tool

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 2, 27, 9, 12)


@tool
def find(name: str) -> str:
    """Find somebody's
    address."""
    return name


@tool
def send(to: list[str], text: str = "", when: datetime | None = None, urgent: bool = False) -> str:
    """Send a message."""
    return text


BOX = Toolbox([find, send])


def test_the_prompt_is_the_tools_a_line_each_then_the_clock_and_the_request() -> None:
    system, user = TunedPlanner(ScriptedModel([]), BOX).messages(PlanContext("Write to Ada", now=NOW))
    assert system.content.splitlines() == [
        "find(name): Find somebody's address.",
        'send(to:list[str],text="",when?:datetime,urgent:bool=false): Send a message.',
    ]
    assert user.content == "Fri 2026-02-27 09:12\nWrite to Ada"


def test_engines_are_told_that_the_tools_recur() -> None:
    planner = TunedPlanner(ScriptedModel([]), BOX)
    system, user = planner.messages(PlanContext("Write to Ada", now=NOW))
    assert system.static_chars == len(system.content)
    assert user.static_chars == user.daily_chars == 0


async def test_days_that_the_model_names_are_dates_in_the_plan() -> None:
    model = ScriptedModel(['1 send(["ada@example.com"],when="Mon 09:00")\n2 join()'])
    steps = [step async for step in TunedPlanner(model, BOX).plan(PlanContext("Write", now=NOW))]
    [task] = [step for step in steps if isinstance(step, Task)]
    assert task.arguments["when"] == "2026-03-02 09:00"


def test_without_a_clock_the_request_stands_alone() -> None:
    _, user = TunedPlanner(ScriptedModel([]), BOX).messages(PlanContext("Write to Ada", now=None))
    assert user.content == "Write to Ada"


def test_what_was_done_follows_the_request_when_a_plan_is_mended() -> None:
    done = TaskOutcome(Task(1, "find", {"name": "Ada"}), status="ok", result="ada@example.com")
    context = PlanContext("Write to Ada", now=None, outcomes=(done,), feedback="Nothing was sent.")
    _, user = TunedPlanner(ScriptedModel([]), BOX).messages(context)
    assert user.content == 'Write to Ada\nDone:\n1 find("Ada")\n-> ada@example.com\nNothing was sent.'


async def test_a_compact_plan_is_read() -> None:
    model = ScriptedModel(['1 find("Ada")\n2 send([$1],text="hi")\n3 join()'])
    steps = [step async for step in TunedPlanner(model, BOX).plan(PlanContext("Write to Ada", now=NOW))]
    assert [step for step in steps if isinstance(step, Task)] == [
        Task(1, "find", {"name": "Ada"}),
        Task(2, "send", {"to": [Ref(1)], "text": "hi"}),
    ]
