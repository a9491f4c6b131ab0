"""The documentation is run: its Python, what it says that prints, its commands and its links."""

import inspect
import re
import shlex
import shutil
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

import plait
import plait.errors
from plait import Agent, Event, ScriptedModel, tool
from plait.apps.cli import app
from plait.orchestrator import PLANNERS, POLICIES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?P<info>[^`\n]*)\n(?P<text>.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"(?<!`)`(plait [^`]+)`(?!`)")
SHELL_OPERATORS = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>"}


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    info: str
    text: str
    line: int
    follows: bool
    """Whether nothing but blank lines stands between it and the block before it."""


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    blocks, end = [], -1
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text"))
        follows = end >= 0 and not text[end : found.start()].strip()
        blocks.append(Block(found["info"].strip(), found["text"], line, follows))
        end = found.end()
    return blocks


def prose_of(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def commands_of(page: Path) -> Iterator[list[str]]:
    """The arguments of each ``plait`` in the page's console blocks."""
    for block in blocks_of(page):
        if block.info != "console":
            continue
        for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
            if line.startswith("$ "):
                lexer = shlex.shlex(line[2:], posix=True, punctuation_chars=True)
                lexer.whitespace_split = True
                words = list(lexer)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    del words[0]
                ends = [i for i, word in enumerate(words) if word in SHELL_OPERATORS]
                words = words[: min(ends, default=len(words))]
                if words[:3] == ["python", "-m", "plait"]:
                    words = words[2:]
                if words[:1] == ["plait"]:
                    yield words[1:]


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python\n" in page.read_text(encoding="utf-8")], ids=ids
)
def test_the_python_of_a_page_runs_and_prints_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    module = ModuleType(f"page_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    printed: str | None = None
    for block in blocks_of(page):
        if block.info == "python":
            code = compile("\n" * block.line + block.text, page, "exec")
            exec(code, module.__dict__)
            printed = capsys.readouterr().out
        elif block.info == "text" and block.follows and printed is not None:
            assert printed == block.text, f"{page.name}, line {block.line + 1}"
            printed = None
        else:
            printed = None


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_block_has_a_kind_that_is_known(page: Path) -> None:
    assert {block.info for block in blocks_of(page)} <= {
        *("python", "python no-run", "text", "console"),
        *("json", "lark", "toml", "make", "sh"),
    }


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_command_of_a_page_is_one_that_plait_takes(page: Path) -> None:
    for arguments in commands_of(page):
        command, words = typer.main.get_command(app), arguments
        context = None
        try:
            context = command.make_context("plait", list(words))
            while hasattr(command, "resolve_command") and (rest := _rest(context)):
                name, command, words = command.resolve_command(context, rest)
                context = command.make_context(name, list(words), parent=context)
        except typer.Exit:
            pass  # --help and --version
        except Exception as error:
            raise AssertionError(f"{page.name}: plait {shlex.join(arguments)}: {error}") from error


def _rest(context: typer.Context) -> list[str]:
    """What a group's own options have left over."""
    return [*getattr(context, "_protected_args", ()), *context.args]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_command_that_is_mentioned_exists_with_its_options(page: Path) -> None:
    for mention in INLINE.findall(prose_of(page)):
        command = typer.main.get_command(app)
        for word in shlex.split(mention)[1:]:
            if word.startswith("-"):
                known = {name for parameter in command.params for name in parameter.opts}
                assert word.partition("=")[0] in known | {"--help"}, f"{page.name}: {mention}"
            elif hasattr(command, "commands"):
                assert word in command.commands, f"{page.name}: {mention}"
                command = command.commands[word]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"], ids=ids)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(prose_of(page)) if "://" not in link]
    for link in links:
        file, _, anchor = link.partition("#")
        target = page if not file else page.parent / file
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in _anchors(target), f"{page.name}: {link}"


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_option_is_on_the_page_of_the_command_line() -> None:
    text = page("cli.md")
    root = typer.main.get_command(app)
    commands = [root.commands[name] for name in ("run", "plan", "chat", "voice", "tools")]
    commands += root.commands["models"].commands.values()
    commands += root.commands["index"].commands.values()
    commands += root.commands["history"].commands.values()
    for command in commands:
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("-") or f"`{option}`" in text, f"{command.name} {option}"


def test_every_field_of_the_json_document_is_on_the_page_of_the_command_line() -> None:
    text = page("cli.md")
    agent = Agent(ScriptedModel(["1. stock()\n2. join()"]), [stock])
    document = agent.run_sync("How much is there?").to_json()
    objects = [document, document["timings"], document["tokens"], *document["plan"], *document["tasks"]]
    for field in {key for fields in objects for key in fields}:
        assert f"`{field}`" in text, field


def test_every_environment_variable_is_on_the_page_of_the_command_line() -> None:
    text = page("cli.md")
    read = re.compile(r'environ(?:\.get\(|\[)"([A-Z_]+)"')
    folders = [Path(path) for path in plait.__path__]
    names = {
        name
        for folder in folders
        for path in folder.rglob("*.py")
        for name in read.findall(path.read_text(encoding="utf-8"))
    }
    assert {"PLAIT_HOME", "PLAIT_MODELS"} <= names
    for name in names:
        assert f"`{name}`" in text, name


def test_every_argument_event_and_error_is_on_the_page_of_the_agent() -> None:
    text = page("agent.md")
    arguments = [name for name in inspect.signature(Agent).parameters if name != "self"]
    events = [event.__name__ for event in typing.get_args(Event)]
    bases = {"ModelError", "PlaitError", "RunError", "ToolError"}
    for name in [*arguments, *events, *PLANNERS, *POLICIES, *(set(plait.errors.__all__) - bases)]:
        assert f"`{name}`" in text or f'`"{name}"`' in text, name
    for base in bases:
        assert base in text


@tool(read_only=True)
def stock() -> int:
    """How many there are."""
    return 3
