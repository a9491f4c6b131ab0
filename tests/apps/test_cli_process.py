"""The command as a process: interrupts, pipes, missing extras, and one run with a real model."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Check = Callable[[dict[str, Any]], None]

posix_only = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no signal for one other process, and no select on pipes"
)
LONG_PLAN = '1. look_up(name="a")\n2. wait(name="b")\n3. save(text=$2)\n4. join()'


def interrupt(process: Any) -> tuple[str, str, int]:
    """Standard output, standard error and the exit code after an interrupt."""
    process.popen.send_signal(signal.SIGINT)
    error = process.read_all(process.popen.stderr.fileno())
    return process.read_all(process.popen.stdout.fileno()), error, process.exit_code()


@posix_only
def test_an_interrupted_call_is_told_apart_from_what_was_done_and_what_was_not(start: Any) -> None:
    with start("run", "look", "--yes", replies=[LONG_PLAN]) as process:
        process.read_until("<waiting for b>", process.popen.stderr.fileno())
        process.read_until("3. save", process.popen.stderr.fileno())
        out, error, code = interrupt(process)
    assert code == 130
    assert out == ""
    assert "Traceback" not in error
    assert error[error.index("Interrupted.") :].splitlines() == [
        "Interrupted.",
        "Done:",
        '  1. look_up(name="a")',
        "Stopped on the way, may have been done:",
        '  2. wait(name="b")',
        "Not done:",
        "  3. save(text=$2)",
    ]


@posix_only
def test_an_interrupted_run_still_writes_its_document(start: Any, check: Check) -> None:
    with start("run", "look", "--yes", "--json", replies=[LONG_PLAN]) as process:
        process.read_until("<waiting for b>", process.popen.stderr.fileno())
        process.read_until("3. save", process.popen.stderr.fileno())
        out, error, code = interrupt(process)
    document = json.loads(out)
    check(document)
    assert [task["status"] for task in document["tasks"]] == ["ok", "cancelled", "cancelled"]
    assert document["ok"] is False
    assert code == 130
    assert "Traceback" not in error


@posix_only
@pytest.mark.parametrize("tool", ["block", "block_pool"])
def test_a_call_that_blocks_its_thread_does_not_hold_an_interrupt_up(start: Any, tool: str) -> None:
    with start("run", "block", replies=[f'1. {tool}(name="b")\n2. join()']) as process:
        process.read_until("<blocked by b>", process.popen.stderr.fileno())
        _, error, code = interrupt(process)
    assert code == 130
    assert f'  1. {tool}(name="b")' in error
    assert "Traceback" not in error


@posix_only
def test_a_second_interrupt_ends_a_call_that_does_not_end_at_the_first(start: Any, check: Check) -> None:
    with start("run", "linger", "--json", replies=['1. linger(name="b")\n2. join()']) as process:
        process.read_until("<waiting for b>", process.popen.stderr.fileno())
        process.popen.send_signal(signal.SIGINT)
        process.read_until("<clearing up>", process.popen.stderr.fileno())
        out, error, code = interrupt(process)
    document = json.loads(out)
    check(document)
    assert [task["status"] for task in document["tasks"]] == ["cancelled"]
    assert code == 130
    assert '  1. linger(name="b")' in error
    assert "Traceback" not in error


@posix_only
@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_interrupt_while_the_plan_is_written_ends_cleanly(start: Any, check: Check, command: str) -> None:
    with start(command, "look", "--json", replies=[LONG_PLAN], env={"STALL": "3"}) as process:
        process.read_until("<stalled>", process.popen.stderr.fileno())
        out, error, code = interrupt(process)
    document = json.loads(out)
    check(document)
    assert [call["tool"] for call in document["plan"]] == ["look_up"]
    assert document["error"]["type"] == "RunError"
    assert code == 130
    assert "Interrupted" in error
    assert "Traceback" not in error


@posix_only
def test_an_interrupt_while_the_answer_is_written_says_what_was_done(start: Any) -> None:
    plan = '1. look_up(name="a")\n2. look_up(name="b")\n3. join()'
    with start(
        "run", "look", replies=[plan, "Answer: a and b and c and d and e"], env={"STALL": "7"}
    ) as process:
        process.read_until("<stalled>", process.popen.stderr.fileno())
        _, error, code = interrupt(process)
    assert code == 130
    assert 'Interrupted.\nDone:\n  1. look_up(name="a")\n  2. look_up(name="b")\n' in error


@posix_only
def test_a_reader_that_leaves_early_causes_no_traceback(start: Any) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with start("tools", "--json", stdout=writer) as process:
            error = process.read_all(process.popen.stderr.fileno())
            code = process.exit_code()
    finally:
        os.close(writer)
    assert error == ""
    assert code == 1


@pytest.mark.parametrize(("encoding", "text"), [("utf-8", "naïve 日本\n"), ("cp1252", "naïve ??\n")])
def test_an_answer_in_any_script_comes_through_a_pipe_of_any_encoding(
    start: Any, encoding: str, text: str
) -> None:
    replies = ["1. join()", "Answer: naïve 日本"]
    environment = {"PYTHONIOENCODING": encoding}
    with start("run", "look", replies=replies, env=environment) as process:
        out, _ = process.popen.communicate()
    assert out.decode(encoding).splitlines() == text.splitlines()
    assert process.exit_code() == 0
    with start("run", "look", "--json", replies=replies, env=environment) as process:
        out, _ = process.popen.communicate()
    assert json.loads(out.decode(encoding))["answer"] == "naïve 日本"


@pytest.mark.parametrize(
    "package",
    [
        "llama_cpp",
        "jinja2",
        "llguidance",
    ],
)
def test_a_missing_package_of_the_local_engine_is_one_sentence_with_its_extra(
    start: Any, check: Check, smollm2: Path, package: str
) -> None:
    with start("run", "look", "--json", "-m", str(smollm2), env={"BLOCKED": package}) as process:
        out, error = process.popen.communicate()
    assert process.exit_code() == 1
    document = json.loads(out)
    check(document)
    assert document["error"]["type"] == "MissingExtraError"
    assert "pip install 'plait[local]'" in error.decode()
    assert error.count(b"\n") == 1


def test_a_missing_package_of_the_assistant_names_its_extra(start: Any, tmp_path: Path) -> None:
    plan = '1. create_reminder(name="post the letter")\n2. join()'
    with start(
        "run",
        "remind me",
        "--yes",
        "--home",
        str(tmp_path),
        replies=[plan, "2. join()", "2. join()"],
        env={"BLOCKED": "icalendar"},
        tools=None,
    ) as process:
        _, error = process.popen.communicate()
    assert process.exit_code() == 1
    assert "plait[assistant]" in error.decode()
    assert "Traceback" not in error.decode()


REAL_TOOLS = '''
from plait.tools import tool

@tool(read_only=True, open_world=False)
def population(city: str) -> int:
    """The number of people who live in a city."""
    return 1000 * len(city)

@tool(read_only=False, open_world=False)
def save(text: str) -> str:
    """Save a text."""
    return "saved"

TOOLS = [population, save]
'''


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_real_model_gives_one_whole_document(
    command: str, check: Check, smollm2: Path, tmp_path: Path
) -> None:
    (tmp_path / "city_tools.py").write_text(REAL_TOOLS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "plait", command, "How many people live in Lyon?"),
            *("--json", "--model", str(smollm2), "--tools", "city_tools:TOOLS", "--deadline", "60"),
        ],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    document = json.loads(done.stdout)
    check(document)
    assert document["tokens"]["prompt"] > 0
    statuses = {task["status"] for task in document["tasks"]}
    if command == "plan":
        assert not statuses
    else:
        assert [task["id"] for task in document["tasks"]] == [call["id"] for call in document["plan"]]
    if document["error"] is not None:
        assert done.returncode == 1
    elif "declined" in statuses:
        assert done.returncode == 3
    else:
        assert done.returncode == (0 if document["ok"] else 1)
    assert b"Traceback" not in done.stderr
