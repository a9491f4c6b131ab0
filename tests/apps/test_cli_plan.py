"""``plait plan``: the plan and nothing else."""

import json
from collections.abc import Callable
from typing import Any

from typer.testing import Result

from plait.errors import ModelError
from plait.models import Reply

Invoke = Callable[..., Result]

SAVE = '1. look_up(name="a")\n2. save(text=$1)\n3. join()'


def test_the_plan_goes_to_standard_output_and_nothing_is_called(invoke: Invoke) -> None:
    result = invoke("plan", "save a", replies=[SAVE])
    assert result.stdout == SAVE + "\n"
    assert result.exit_code == 0


def test_the_document_of_a_plan_is_that_of_a_run_without_tasks(
    invoke: Invoke, check: Callable[[dict[str, Any]], None]
) -> None:
    document = json.loads(invoke("plan", "save a", "--json", replies=[SAVE]).stdout)
    check(document)
    assert document["plan"] == [
        {"id": 1, "tool": "look_up", "arguments": {"name": "a"}},
        {"id": 2, "tool": "save", "arguments": {"text": "$1"}},
    ]
    assert document["tasks"] == []


def test_a_plan_that_breaks_off_is_shown_as_far_as_it_came(invoke: Invoke) -> None:
    broken = Reply('1. look_up(name="a")\n', error=ModelError("out of memory; close something"))
    result = invoke("plan", "look a up", replies=[broken])
    assert result.stdout == '1. look_up(name="a")\n2. join()\n'
    assert result.stderr == "error: out of memory; close something\n"
    assert result.exit_code == 1


def test_nothing_is_shown_of_a_plan_that_never_began(invoke: Invoke) -> None:
    result = invoke("plan", "look a up", replies=[Reply(error=ModelError("out of memory; close something"))])
    assert result.stdout == ""
    assert result.exit_code == 1
