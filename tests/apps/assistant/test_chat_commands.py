"""The chat's commands and completions, in this process."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from plait.apps._output import Output
from plait.apps.assistant import ActionLog, Session, Settings, UndoRegistry
from plait.apps.assistant._chat import Chat, Names
from plait.apps.assistant._chat_commands import COMMANDS
from plait.apps.assistant._completion import Completion, complete, names_at
from plait.models import ChatModel, LlamaModel
from plait.planners import Plan, PlanExample, Task
from plait.tools import Toolbox

HOME = Path(__file__).parents[3] / "examples" / "home"
NAMES = ["Maya Okafor", "Maya Lindqvist", "budget-2027.pdf"]


class Lines:
    """A reader whose lines are given."""

    can_ask = False

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = list(lines)

    async def request(self) -> str:
        if not self._lines:
            raise EOFError
        return self._lines.pop(0)

    async def reply(self, question: str, default: str = "") -> str:
        raise EOFError

    def interrupt(self) -> bool:
        return False


async def chat(session: Session, *lines: str, log: ActionLog | None = None) -> int:
    output = Output(as_json=False)
    return await Chat(
        session, Lines(lines), output, names=Names(), log=log, undo=lambda settings: UndoRegistry()
    ).run()


@pytest.mark.anyio
async def test_settings_change_while_one_talks(
    open_session: Callable[..., Session], desk: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    desk.replies["other"] = []
    async with open_session() as session:
        code = await chat(
            session,
            "/tools off send",
            "/tools off save",
            "/tools on save",
            "/instructions Be brief.",
            "/model other",
            f"/home {tmp_path}",
        )
        settings = session.settings
    assert code == 0
    assert settings.tools_off == {"send"}
    assert settings.instructions == "Be brief."
    assert settings.model == "other"
    assert settings.home == tmp_path
    assert "model: other" in capfd.readouterr().err


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/nope", "there is no command /nope"),
        ("/tools off sned", "did you mean send"),
        ("/tools of send", "on NAME or off NAME"),
        ("/model none", "there is no model 'none'"),
        ("/undo x", "the number of an action"),
        ("/undo", "nothing in the history"),
        ("/undo 7", "no action 7"),
    ],
)
async def test_what_a_command_does_not_take_is_told_and_the_chat_goes_on(
    open_session: Callable[..., Session],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    line: str,
    said: str,
) -> None:
    with ActionLog(tmp_path / "history") as log:
        async with open_session() as session:
            assert await chat(session, line, "/help", log=log) == 0
    told = " ".join(capfd.readouterr().err.split())
    assert said in told
    assert "/quit" in told


@pytest.mark.anyio
async def test_clear_forgets_and_quit_leaves(open_session: Callable[..., Session], desk: Any) -> None:
    look = '1. find_email(name="Sid")\n2. join()'
    async with open_session(look, look) as session:
        await chat(session, "Sid's?", "/clear", "Sid's again?", "/quit", "never")
        assert [turn.query for turn in session.turns] == ["Sid's?", "Sid's again?"]
    assert "Sid's?" not in desk.prompt(1)


@pytest.mark.anyio
async def test_without_a_history_there_is_nothing_to_undo(
    open_session: Callable[..., Session], capfd: pytest.CaptureFixture[str]
) -> None:
    async with open_session() as session:
        await chat(session, "/undo", "/history")
    assert capfd.readouterr().err.count("PLAIT_HISTORY is off") == 2


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("/h", ["/help", "/home", "/history"]),
        ("/help", []),
        ("Write to ma", ["Maya Okafor", "Maya Lindqvist"]),
        ("Write to maya l", ["Maya Lindqvist"]),
        ("summarize bud", ["budget-2027.pdf"]),
        ("Write to m", []),
        ("Maya Okafor", []),
        ("gamay", []),
    ],
)
def test_a_line_goes_on_with_commands_and_names(line: str, texts: list[str]) -> None:
    found = complete(line, COMMANDS, NAMES)
    assert sorted(c.text for c in found) == sorted(texts)


def test_a_completion_takes_the_place_of_what_was_typed() -> None:
    assert complete("Tell maya o", COMMANDS, NAMES) == [Completion("Maya Okafor", len("maya o"))]


def test_names_are_those_of_contacts_and_files() -> None:
    names = names_at(HOME)
    assert "Maya Okafor" in names
    assert "budget-2027.pdf" in names
    assert not any(name.endswith((".ics", ".vcf")) for name in names)


def test_a_home_that_is_not_there_has_no_names(tmp_path: Path) -> None:
    assert names_at(tmp_path / "none") == []
    file = tmp_path / "file"
    file.touch()
    assert names_at(file) == []


@pytest.mark.anyio
async def test_a_real_model_carries_on_a_conversation(smollm2: Path, desk: Any, tmp_path: Path) -> None:
    class Local:
        async def open_model(self, settings: Settings) -> ChatModel:
            return LlamaModel(smollm2, context_length=4096)

        def open_tools(self, settings: Settings, model: ChatModel) -> Toolbox:
            return desk.open_tools(settings, model).subset(["find_email"])

    shown = PlanExample("What is the email address of Tom?", Plan((Task(1, "find_email", {"name": "Tom"}),)))
    async with Session(Local(), Settings(tmp_path, "smollm2-135m"), examples=[shown]) as session:
        await chat(session, "What is the email address of Sid?", "And what is the one of Ana?")
        first, second = (turn.run for turn in session.turns)
    assert first is not None
    assert second is not None
    for run in (first, second):
        assert run.error is None, run.to_json()
    numbers = [outcome.task.id for run in (first, second) for outcome in run.tasks]
    assert numbers  # it is small, and the grammar keeps even what it does not understand a plan
    assert numbers == sorted(set(numbers))
