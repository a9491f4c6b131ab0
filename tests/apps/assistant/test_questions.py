"""Questions about calls that write or send, and every way of answering them."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.apps.assistant import Decided, Decision, Entry, Session, Settings
from plait.errors import ApprovalError, BusyError, ToolArgumentError
from plait.models import ChatModel, ScriptedModel
from plait.planners import Ref
from plait.tools import Draft, Prepared, Tool, Toolbox

PLAN = """\
1. find_email(name="Sid")
2. read_page(url="a")
3. save(text="one")
4. send(to=[$1], text="${2} and ${3}")
5. join()"""

Open = Callable[..., Session]


async def until_asked(session: Session) -> None:
    async with asyncio.timeout(10):
        async for _ in session.follow(session.last_event):
            if session.question is not None:
                return


@pytest.mark.anyio
async def test_reads_run_ahead_and_the_question_has_real_arguments_and_marks(
    open_session: Open, desk: Any
) -> None:
    async with open_session(PLAN) as session:
        running = asyncio.create_task(session.ask("Do it"))
        await until_asked(session)
        assert [name for name, _ in desk.calls] == ["find_email", "read_page"]
        assert session.question is not None
        saving, sending = session.question.request.calls
        assert saving.arguments == {"text": "one"}
        assert sending.arguments["to"] == ["sid@example.com"]
        assert sending.untrusted_arguments == {"text"}
        session.decide_all(1, approved=True)
        turn = await running
    assert turn.run is not None
    assert turn.run.ok
    assert desk.called("send")[0]["text"].endswith("eve@example.net and Saved one")


@pytest.mark.anyio
async def test_some_are_approved_and_the_others_not_called(open_session: Open, desk: Any) -> None:
    async with open_session(PLAN) as session:
        running = asyncio.create_task(session.ask("Do it"))
        await until_asked(session)
        session.decide(1, {3: Decision(True, {"text": "two", "copies": "3"})})
        assert session.question is not None
        assert [call.task.id for call in session.question.undecided] == [4]
        assert desk.called("save") == []  # the whole question is answered first
        session.decide(1, {4: Decision(False)})
        turn = await running
    assert desk.called("save") == [{"text": "two", "copies": 3}]
    assert desk.called("send") == []
    assert turn.run is not None
    assert [o.status for o in turn.run.tasks] == ["ok", "ok", "ok", "declined"]


@pytest.mark.anyio
async def test_the_first_decision_stands_and_a_second_one_does_nothing(open_session: Open, desk: Any) -> None:
    async with open_session(PLAN) as session:
        running = asyncio.create_task(session.ask("Do it"))
        await until_asked(session)
        session.decide(1, {3: Decision(False)})
        assert session.decide(1, {3: Decision(True)}) == {3: Decision(False)}
        session.decide(1, {4: Decision(False)})
        await running
        assert session.decide(1, {3: Decision(True), 4: Decision(True)}) == {
            3: Decision(False),
            4: Decision(False),
        }
        decided = [e.event for e in await _all(session) if isinstance(e.event, Decided)]
    assert [d.task for d in decided] == [3, 4]
    assert desk.called("save") == desk.called("send") == []


@pytest.mark.anyio
@pytest.mark.parametrize("edits", [{"copies": "many"}, {"txt": "x"}])
async def test_a_wrong_edit_is_told_and_nothing_is_decided(
    open_session: Open, desk: Any, edits: dict[str, Any]
) -> None:
    async with open_session(PLAN) as session:
        running = asyncio.create_task(session.ask("Do it"))
        await until_asked(session)
        with pytest.raises(ToolArgumentError):
            session.decide(1, {4: Decision(True), 3: Decision(True, edits)})
        assert session.question is not None
        assert len(session.question.undecided) == 2
        session.decide_all(1, approved=False)
        await running
    assert desk.called("save") == []


@pytest.mark.anyio
async def test_edited_texts_are_read_as_a_plan_is(open_session: Open, desk: Any) -> None:
    async with open_session(PLAN) as session:
        running = asyncio.create_task(session.ask("Do it"))
        await until_asked(session)
        written = {4: {"to": '["$1", "ana@example.com"]', "text": r"${3}, not \${3} for $5"}}
        edits = session.read_edits(1, written)
        assert edits[4]["to"] == [Ref(1), "ana@example.com"]
        for wrong in ({4: {"text": "${4}"}}, {3: {"text": "${4}"}}, {3: {"txt": "x"}}):
            with pytest.raises(ToolArgumentError):
                session.read_edits(1, wrong)
        with pytest.raises(ApprovalError, match="task 1 of turn 1 does not wait"):
            session.read_edits(1, {1: {}})
        with pytest.raises(ToolArgumentError, match=r"text: \$9 is not the result of an earlier step"):
            session.decide(1, {3: Decision(True, {"text": Ref(9)})})
        session.decide(1, {3: Decision(True), 4: Decision(True, edits[4])})
        await running
    (sent,) = desk.called("send")
    assert sent == {"to": ["sid@example.com", "ana@example.com"], "text": "Saved one, not ${3} for $5"}


@pytest.mark.anyio
async def test_answers_to_what_was_not_asked_are_refused(open_session: Open) -> None:
    async with open_session(PLAN) as session:
        running = asyncio.create_task(session.ask("Do it"))
        await until_asked(session)
        for turn, task in ((1, 1), (1, 9), (2, 3), (0, 3)):
            with pytest.raises(ApprovalError):
                session.decide(turn, {task: Decision(True)})
        session.decide_all(1, approved=False)
        await running


@pytest.mark.anyio
async def test_an_answer_after_the_turn_was_cancelled_comes_too_late(open_session: Open, desk: Any) -> None:
    async with open_session(PLAN) as session:
        running = asyncio.create_task(session.ask("Do it"))
        await until_asked(session)
        session.cancel()
        with suppress(ApprovalError):
            session.decide(1, {3: Decision(True), 4: Decision(True)})
        await running
        with pytest.raises(ApprovalError):
            session.decide_all(2, approved=True)
    assert desk.called("save") == desk.called("send") == []


async def _all(session: Session) -> list[Entry]:
    found = []
    async for entry in session.follow():
        found.append(entry)
        if entry.number == session.last_event:
            break
    return found


# Whatever the order of events


@dataclass
class Witness:
    """Tools that note each call, and how long each takes; a call is told by its key."""

    approved: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The arguments that the user saw or put in, by key."""
    made: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    plans: list[str] = field(default_factory=list)

    async def open_model(self, settings: Settings) -> ChatModel:
        return ScriptedModel(self.plans)

    def open_tools(self, settings: Settings, model: ChatModel) -> Toolbox:
        async def read(key: str, text: str, of: Any = None) -> str:
            """Read."""
            await self._work(key)
            return f"result of {key}"

        async def save(key: str, text: str, of: Any = None) -> str:
            """Save."""
            self._check(key, text)
            await self._work(key)
            return f"result of {key}"

        async def send(key: str, text: str, of: Any = None) -> str:
            """Send."""
            self._check(key, text)
            await self._work(key)
            return f"result of {key}"

        async def note(key: str, text: str, of: Any = None) -> str:
            """Write a note from results."""
            self._check(key, text)
            await self._work(key)
            return f"result of {key}"

        async def prepare(draft: Draft) -> Prepared:
            return Prepared(needs_results="of" not in draft.arguments)

        return Toolbox(
            [
                Tool.from_function(note, read_only=False, open_world=False, prepare=prepare),
                Tool.from_function(read, read_only=True, open_world=True),
                Tool.from_function(save, read_only=False, open_world=False),
                Tool.from_function(send, read_only=False, open_world=True),
            ]
        )

    def _check(self, key: str, text: str) -> None:
        self.made[key] += 1
        if key not in self.approved:
            self.wrong.append(f"{key} was not approved")
        elif self.approved[key]["text"] != text:
            self.wrong.append(f"{key} was approved as {self.approved[key]} and called with {text}")

    async def _work(self, key: str) -> None:
        for _ in range(len(key) + ord(key[-1]) % 3):
            await asyncio.sleep(0)


TASKS = st.tuples(st.sampled_from(["read", "save", "send", "note"]), st.lists(st.integers(1, 5), max_size=2))
STEPS = st.one_of(
    st.tuples(
        st.just("decide"), st.integers(1, 2), st.integers(1, 10), st.booleans(), st.sampled_from("  tov")
    ),
    st.tuples(st.just("all"), st.integers(1, 2), st.booleans()),
    st.tuples(st.sampled_from(["cancel", "clear", "ask"])),
    st.tuples(st.just("follow"), st.integers(0, 40)),
    st.tuples(st.just("turns"), st.integers(1, 25)),
)


def text_of(first: int, tasks: list[tuple[str, list[int]]]) -> str:
    """A plan whose tasks are numbered from ``first`` and have their number as key."""
    lines = []
    for i, (tool, back) in enumerate(tasks):
        number = first + i
        refs = ", ".join(f"${number - k}" for k in back if number - k >= first)
        lines.append(f'{number}. {tool}(key="k{number}", text="t{number}", of=[{refs}])')
    return "\n".join([*lines, f"{first + len(tasks)}. join()"])


EDITS: dict[str, dict[str, Any]] = {
    " ": {},
    "t": {"text": "edited $1"},
    "o": {"of": None},
    "v": {"text": None, "nonsense": 1},
}


async def play(witness: Witness, steps: list[tuple[Any, ...]]) -> list[list[Entry]]:
    asked: list[asyncio.Task[Any]] = []
    faces: list[asyncio.Task[list[Entry]]] = []

    async def face(session: Session, after: int) -> list[Entry]:
        return [entry async for entry in session.follow(after)]

    def decide(session: Session, turn: int, decisions: dict[int, Decision]) -> None:
        with suppress(ApprovalError, ToolArgumentError):
            questions = session.turns[turn - 1].questions if turn <= len(session.turns) else []
            shown = {c.task.id: c.arguments for q in questions for c in q.request.calls}
            for k, stands in session.decide(turn, decisions).items():
                if stands.approved:
                    witness.approved.setdefault(f"k{k}", {**shown[k], **stands.edits})

    async with Session(witness, Settings(Path(), "scripted")) as session:
        for name, *rest in [("ask",), ("turns", 20), *steps]:
            if name == "decide":
                turn, task, approved, edit = rest
                decide(session, turn, {task: Decision(approved, EDITS[edit])})
            elif name == "all":
                turn, approved = rest
                questions = session.turns[turn - 1].questions if turn <= len(session.turns) else []
                undecided = questions[-1].undecided if questions else ()
                decide(session, turn, {c.task.id: Decision(approved) for c in undecided})
            elif name == "cancel":
                session.cancel()
            elif name == "clear":
                with suppress(BusyError):
                    session.clear()
            elif name == "ask" and len(asked) < 2 and session.current is None:
                asked.append(asyncio.create_task(session.ask("Do it")))
            elif name == "follow":
                faces.append(asyncio.create_task(face(session, rest[0])))
            for _ in range(rest[0] if name == "turns" else 1):
                await asyncio.sleep(0)
        for task in asked:
            while not task.done():
                if session.question is not None:
                    session.decide_all(session.question.turn, approved=False)
                await asyncio.sleep(0)
            await task
        whole = await _all(session)
    found = [await task for task in faces]
    return [whole, *found]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(TASKS, min_size=1, max_size=5),
    st.lists(TASKS, min_size=1, max_size=5),
    st.lists(STEPS, max_size=14),
)
def test_no_write_or_send_ever_runs_without_its_approval(
    first: list[tuple[str, list[int]]], second: list[tuple[str, list[int]]], steps: list[tuple[Any, ...]]
) -> None:
    # The second plan's numbers are its own, so that an answer to the first one's question cannot fit it.
    witness = Witness(plans=[text_of(1, first), text_of(1 + len(first), second), *["99. join()"] * 6])
    whole, *faces = asyncio.run(play(witness, steps))
    assert witness.wrong == []
    assert all(n == 1 for n in witness.made.values())
    decided = Counter((e.turn, e.event.task) for e in whole if isinstance(e.event, Decided))
    assert all(n == 1 for n in decided.values())
    for seen in faces:
        numbers = [entry.number for entry in seen]
        assert all(a < b for a, b in itertools.pairwise(numbers))
        kept = [entry.number for entry in whole if not numbers or entry.number >= numbers[0]]
        assert set(kept) <= set(numbers) or not numbers
