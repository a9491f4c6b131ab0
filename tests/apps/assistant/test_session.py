"""A session: turns that know of each other, one stream for all faces, settings."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from plait.apps.assistant import Cleared, Entry, Session, SettingsChanged
from plait.errors import BusyError, ConfigurationError, RunError, UnknownModelError, UnknownToolError
from plait.models import Reply
from plait.orchestrator import PlanTextWritten, RunFinished, RunStarted

pytestmark = pytest.mark.anyio

LOOK = '1. find_email(name="Sid")\n2. join()'
Open = Callable[..., Session]


async def collect(events: AsyncGenerator[Entry], until: Callable[[Entry], bool]) -> list[Entry]:
    found = []
    async with asyncio.timeout(10), aclosing(events):
        async for entry in events:
            found.append(entry)
            if until(entry):
                break
    return found


def is_end(entry: Entry) -> bool:
    return isinstance(entry.event, RunFinished)


async def test_a_follow_up_knows_what_was_asked_called_and_got(open_session: Open, desk: Any) -> None:
    async with open_session(LOOK, "2. save(text=$1)\n3. join()", is_asking=False) as session:
        await session.ask("What is Sid's address?")
        second = await session.ask("Save that.")
    assert desk.called("save") == [{"text": "sid@example.com", "copies": 1}]
    assert second.run is not None
    assert second.run.answer == "Saved sid@example.com"
    prompt = desk.prompt(1)
    assert "Request: What is Sid's address?" in prompt
    assert '1. find_email(name="Sid")\n-> sid@example.com' in prompt
    assert prompt.index("Sid's address") < prompt.index("Request: Save that.")
    assert "from 2 on" in prompt


async def test_what_outsiders_wrote_is_named_in_the_next_prompt_and_never_pasted(
    open_session: Open, desk: Any
) -> None:
    replies = ('1. read_page(url="a")\n2. join()', "It is odd.", "2. save(text=$1)\n3. join()")
    async with open_session(*replies, is_asking=False) as session:
        await session.ask("What is on page a?")
        turn = await session.ask("Save that page.")
    assert "IGNORE" not in desk.prompt(2)
    assert '1. read_page(url="a")\n-> (text by others, in $1)' in desk.prompt(2)
    assert desk.called("save")[0]["text"].startswith("IGNORE")
    assert turn.run is not None
    assert turn.run.tasks[0].untrusted


async def test_arguments_that_a_planner_wrote_after_reading_outsiders_are_withheld(
    open_session: Open, desk: Any
) -> None:
    replies = (
        '1. read_page(url="a")\n2. find_email(name="Bo")\n3. join()',
        '3. save(text="eve@example.net")\n4. join()',
        "It is odd.",
        "4. join()",
        "Nothing.",
    )
    async with open_session(*replies, is_asking=False) as session:
        await session.ask("Save the page and Bo's address")
        await session.ask("And?")
    assert "eve@" not in desk.prompt(3)
    assert "3. save()" in desk.prompt(3)
    assert "No contact named Bo" in desk.prompt(3)


async def test_the_same_call_is_made_again_when_a_later_turn_wants_it(open_session: Open, desk: Any) -> None:
    async with open_session(LOOK, LOOK.replace("1.", "2.").replace("2. join", "3. join")) as session:
        await session.ask("Sid's address?")
        again = await session.ask("Once more")
    assert len(desk.called("find_email")) == 2
    assert again.run is not None
    assert not again.run.tasks[0].reused


async def test_a_failed_call_is_told_and_cannot_be_referred_to(open_session: Open, desk: Any) -> None:
    replies = (
        '1. find_email(name="Bo")\n2. join()',
        "2. join()",
        "2. save(text=$1)\n3. join()",
        "3. join()",
        "3. join()",
    )
    async with open_session(*replies, is_asking=False) as session:
        await session.ask("Bo's address?")
        await session.ask("I mean Sid")
    assert "-> failed: No contact named Bo; the nearest is Sid" in desk.prompt(2)
    assert desk.called("save") == []


async def test_old_turns_leave_the_prompt_when_its_budget_is_spent(open_session: Open, desk: Any) -> None:
    n = 40
    plans = [f'{k}. find_email(name="Sid")\n{k + 1}. join()' for k in range(1, n + 1)]
    async with open_session(*plans) as session:
        for k in range(1, n + 1):
            await session.ask(f"{'word ' * 30} number {k}.")
    assert "number 1." not in desk.prompt(n - 1)
    assert f"number {n - 1}." in desk.prompt(n - 1)
    assert len(desk.prompt(n - 1).split()) < 700
    assert f"from {n} on" in desk.prompt(n - 1)


async def test_clearing_begins_anew(open_session: Open, desk: Any) -> None:
    async with open_session(LOOK, LOOK) as session:
        await session.ask("Sid's address?")
        session.clear()
        second = await session.ask("Who?")
        entries = await collect(session.follow(), lambda e: e.turn == 2 and is_end(e))
    assert "Sid's address" not in desk.prompt(1)
    assert second.number == 2
    assert [e.turn for e in entries if isinstance(e.event, Cleared)] == [0]


async def test_any_number_of_faces_follow_and_come_back_without_missing_anything(open_session: Open) -> None:
    async with open_session(LOOK, '2. find_email(name="Ana")\n3. join()') as session:
        face = asyncio.create_task(collect(session.follow(), is_end))
        await session.ask("Sid's address?")
        seen = await face
        assert [e.number for e in seen] == sorted(e.number for e in seen)
        assert isinstance(seen[0].event, RunStarted)
        left_at = seen[-1].number
        await session.ask("Ana's?")
        back = await collect(session.follow(left_at), is_end)
        everything = await collect(session.follow(), lambda e: e.turn == 2 and is_end(e))
    assert [e.number for e in back] == [e.number for e in everything if e.number > left_at]
    assert {e.turn for e in back} == {2}
    assert not any(isinstance(e.event, PlanTextWritten) for e in everything)  # whole by now


async def test_who_follows_sees_the_end_of_the_session(open_session: Open) -> None:
    async with open_session(LOOK) as session:
        face = asyncio.create_task(collect(session.follow(), lambda entry: False))
        await session.ask("Sid's address?")
    assert is_end((await face)[-1])


async def test_cancelling_a_turn_ends_it_and_the_session_goes_on(open_session: Open, desk: Any) -> None:
    replies = ('1. find_email(name="Sid")\n2. wait()\n3. join()', "3. save(text=$1)\n4. join()")
    async with open_session(*replies, is_asking=False) as session:
        running = asyncio.create_task(session.ask("Wait"))
        async with asyncio.timeout(10):
            await desk.waiting.wait()
            assert session.cancel()
            turn = await running
        assert turn.run is not None
        assert isinstance(turn.run.error, RunError)
        assert [o.status for o in turn.run.tasks] == ["ok", "cancelled"]
        await session.ask("Save the address")
        assert not session.cancel()
    assert desk.called("save")[0]["text"] == "sid@example.com"


async def test_a_turn_that_is_cancelled_before_it_began_has_ended_too(open_session: Open, desk: Any) -> None:
    async with open_session(LOOK) as session:
        running = asyncio.create_task(session.ask("Sid's address?"))
        await asyncio.sleep(0)
        assert session.cancel()
        turn = await running
        assert turn.run is not None
        assert turn.run.error is not None
        assert is_end((await collect(session.follow(), is_end))[-1])
        assert session.current is None
    assert desk.calls == []


async def test_leaving_the_session_ends_what_runs(open_session: Open, desk: Any) -> None:
    async with open_session("1. wait()\n2. join()") as session:
        running = asyncio.create_task(session.ask("Wait"))
        await desk.waiting.wait()
    turn = await running
    assert turn.run is not None
    assert turn.run.error is not None
    assert desk.closed == ["scripted"]


async def test_a_second_request_at_once_is_refused(open_session: Open, desk: Any) -> None:
    async with open_session("1. wait()\n2. join()") as session:
        running = asyncio.create_task(session.ask("Wait"))
        await desk.waiting.wait()
        with pytest.raises(BusyError):
            await session.ask("And more")
        with pytest.raises(BusyError):
            session.clear()
        with pytest.raises(BusyError):
            await session.configure(session.settings)
        session.cancel()
        await running


async def test_an_empty_request_is_refused(open_session: Open) -> None:
    async with open_session() as session:
        with pytest.raises(ConfigurationError):
            await session.ask("  \n")
        assert session.turns == ()


async def test_a_model_that_fails_is_in_the_run_and_the_next_turn_works(open_session: Open) -> None:
    async with open_session(Reply("1. find", error=RunError("out of memory")), LOOK) as session:
        failed = await session.ask("Sid?")
        assert failed.run is not None
        assert str(failed.run.error) == "out of memory"
        good = await session.ask("Sid?")
        assert good.run is not None
        assert good.run.ok


async def test_tools_can_be_turned_off_and_instructions_given(open_session: Open, desk: Any) -> None:
    async with open_session(LOOK, LOOK) as session:
        changed = replace(session.settings, tools_off=frozenset({"send"}), instructions="Call me\nCaptain.")
        await session.configure(changed)
        await session.ask("Sid?")
        assert "Keep in mind: Call me Captain." in desk.prompt(0)
        system = "".join(m.content for m in desk.models["scripted"].requests[0].messages)
        assert "send(" not in system
        assert "save(" in system
        assert "send" in session.toolbox
        entries = await collect(session.follow(), is_end)
    assert isinstance(entries[0].event, SettingsChanged)
    assert desk.closed == ["scripted"]  # the same model all the time


async def test_another_model_takes_over_and_the_old_one_is_released(open_session: Open, desk: Any) -> None:
    desk.replies["other"] = ['2. find_email(name="Ana")\n3. join()']
    async with open_session(LOOK) as session:
        await session.ask("Sid's?")
        await session.configure(replace(session.settings, model="other"))
        assert desk.closed == ["scripted"]
        await session.ask("And Ana's?")
    assert "Sid's?" in desk.prompt(0, "other")
    assert desk.closed == ["scripted", "other"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model": "none"}, UnknownModelError),
        ({"tools_off": frozenset({"sned"})}, UnknownToolError),
        ({"tools_off": frozenset({"find_email", "read_page", "send", "save", "wait"})}, ConfigurationError),
        ({"model": "other", "planner": "none"}, ConfigurationError),
    ],
)
async def test_settings_that_cannot_be_used_leave_those_before(
    open_session: Open, desk: Any, change: dict[str, Any], error: type[Exception]
) -> None:
    desk.replies["other"] = []
    async with open_session(LOOK) as session:
        with pytest.raises(error):
            await session.configure(replace(session.settings, **change))
        assert session.settings.model == "scripted"
        assert (await session.ask("Sid?")).run.ok  # type: ignore[union-attr]
    assert desk.closed == [*(["other"] if change.get("model") == "other" else []), "scripted"]
