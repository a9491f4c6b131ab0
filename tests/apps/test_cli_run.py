"""``plait run``: what is called, what is said where, and the exit code."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from plait.apps import cli
from plait.apps._setup import JoinerName
from plait.errors import ModelError
from plait.models import Reply
from plait.orchestrator import JOINERS, PLANNERS

Invoke = Callable[..., Result]
Check = Callable[[dict[str, Any]], None]

TWO_LOOKUPS = '1. look_up(name="a")\n2. look_up(name="b")\n3. join()'
SAVE = '1. look_up(name="a")\n2. save(text=$1)\n3. join()'


def test_the_answer_alone_goes_to_standard_output(invoke: Invoke) -> None:
    result = invoke("run", "look a and b up", replies=[TWO_LOOKUPS, "Answer: both are there"])
    assert result.exit_code == 0
    assert result.stdout == "both are there\n"
    assert '1. look_up(name="a")' in result.stderr
    assert "✓ 2. b found" in result.stderr


def test_the_json_document_is_all_there_is_on_standard_output(invoke: Invoke, check: Check) -> None:
    result = invoke("run", "look a and b up", "--json", replies=[TWO_LOOKUPS, "Answer: both are there"])
    document = json.loads(result.stdout)
    check(document)
    assert document["answer"] == "both are there"
    assert [task["result"] for task in document["tasks"]] == ["a found", "b found"]
    assert document["plan"][1] == {"id": 2, "tool": "look_up", "arguments": {"name": "b"}}
    assert result.exit_code == 0


def test_a_write_is_refused_where_nobody_can_be_asked(invoke: Invoke, check: Check) -> None:
    result = invoke("run", "save a", "--json", replies=[SAVE, "Answer: nothing was saved"])
    document = json.loads(result.stdout)
    check(document)
    assert [task["status"] for task in document["tasks"]] == ["ok", "declined"]
    assert result.exit_code == 3
    assert "--yes" in result.stderr


def test_with_yes_a_write_is_made_without_a_question(invoke: Invoke) -> None:
    result = invoke("run", "save a", "--yes", replies=[SAVE])
    assert result.stdout == "saved a found\n"
    assert result.exit_code == 0


def test_a_failed_call_makes_the_exit_code_one(invoke: Invoke, check: Check) -> None:
    plan = '1. fail(why="no paper")\n2. save(text=$1)\n3. join()'
    result = invoke("run", "fail", "--yes", "--json", replies=[plan, "3. join()", "3. join()"])
    document = json.loads(result.stdout)
    check(document)
    assert [task["status"] for task in document["tasks"]] == ["failed", "skipped"]
    assert "no paper" in document["tasks"][0]["error"]["message"]
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr


def test_debug_shows_where_a_tool_failed(invoke: Invoke) -> None:
    plan = '1. fail(why="no paper")\n2. join()'
    result = invoke("run", "fail", "--debug", replies=[plan, "2. join()", "2. join()"])
    assert "raise ValueError(why)" in result.stderr


def test_a_result_that_json_has_no_number_for_is_still_json(invoke: Invoke) -> None:
    result = invoke("run", "be odd", "--json", replies=["1. odd()\n2. join()", "Answer: odd"])
    document = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(name))
    assert document["tasks"][0]["result"] == "NaN"


def test_a_model_that_fails_is_in_the_document_and_one_sentence(invoke: Invoke, check: Check) -> None:
    broken = Reply('1. look_up(name="a")\n', error=ModelError("out of memory; close something"))
    result = invoke("run", "look a up", "--json", replies=[broken])
    document = json.loads(result.stdout)
    check(document)
    assert document["error"] == {"type": "ModelError", "message": "out of memory; close something"}
    assert document["tasks"][0]["status"] == "ok"
    assert result.exit_code == 1
    assert result.stderr.endswith("error: out of memory; close something\n")


def test_a_run_that_passes_its_deadline_is_in_the_document(invoke: Invoke, check: Check) -> None:
    async def stall(_: int) -> None:
        await asyncio.Event().wait()

    result = invoke("run", "look", "--json", "--deadline", "0.001", replies=["1. join()"], before_chunk=stall)
    document = json.loads(result.stdout)
    check(document)
    assert document["error"]["type"] == "DeadlineError"
    assert result.exit_code == 1


@pytest.mark.parametrize("command", ["run", "plan"])
def test_the_document_says_so_where_a_run_could_not_begin(invoke: Invoke, check: Check, command: str) -> None:
    result = invoke(command, " ", "--json")
    document = json.loads(result.stdout)
    check(document)
    assert document["error"]["type"] == "ConfigurationError"
    assert result.exit_code == 2


def test_a_bug_is_one_sentence_that_says_how_to_see_more(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    invoke("tools")  # registers the tools
    monkeypatch.setattr(cli, "open_toolbox", broken)
    result = invoke("run", "look a up")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "ZeroDivisionError: by zero" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" in invoke("run", "look a up", "--debug").stderr


def test_a_replan_is_told_with_its_reason(invoke: Invoke) -> None:
    plans = ['1. fail(why="no paper")\n2. join()', '2. look_up(name="a")\n3. join()']
    result = invoke("run", "look", replies=plans)
    assert result.stdout == "a found\n"
    assert "Planning again: call 1 (fail) failed" in result.stderr
    assert result.exit_code == 0


def test_results_are_the_answer_where_that_is_wanted(invoke: Invoke) -> None:
    result = invoke("run", "look a and b up", "--joiner", "results", replies=[TWO_LOOKUPS])
    assert result.exit_code == 0
    assert "a found" in result.stdout
    assert "b found" in result.stdout


def test_the_planners_and_joiners_offered_are_those_that_there_are() -> None:
    assert {name.value for name in cli.PlannerName} == set(PLANNERS)
    assert {name.value for name in JoinerName} == set(JOINERS)


def test_an_unknown_planner_is_refused_before_a_model_is_opened(invoke: Invoke) -> None:
    result = invoke("run", "look", "--planner", "tarot")
    assert result.exit_code == 2
    assert "compiler" in result.stderr
