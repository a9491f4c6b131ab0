"""The command line: ``plait run``, ``plait plan``, ``plait tools`` and ``plait models``.

Exit codes: 0 all was done; 1 something failed; 2 the command or its options are wrong; 3 a call was not
approved; 130 interrupted. Answers and JSON go to standard output, everything else to standard error.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from plait._version import __version__
from plait.apps import _models
from plait.apps._setup import ModelOptions, default_home, open_model, open_toolbox
from plait.errors import ConfigurationError, PlaitError, UnknownModelError
from plait.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from plait.orchestrator import Agent, ApprovalRequest, Approver, Event, Run
    from plait.tools import Tool

OK, FAILED, USAGE, DECLINED, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    help="Requests in plain words become plans of tool calls, run by a small model on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(_models.app, name="models", help="List, fetch, check and remove models.")

Query = Annotated[str, typer.Argument(help="The request, in your own words.")]
ModelName = Annotated[
    str, typer.Option("--model", "-m", help="A model of the catalog, a GGUF file, or a server's model.")
]
BaseURL = Annotated[
    str | None,
    typer.Option(
        help="An OpenAI-compatible server, e.g. http://localhost:8080/v1; its key in PLAIT_API_KEY."
    ),
]
ContextLength = Annotated[int | None, typer.Option(help="Tokens of prompt and answer together.", min=256)]
PlannerName = Annotated[str, typer.Option(help="compiler (one plan), or the baselines react and native.")]
Home = Annotated[
    Path | None, typer.Option(help="The folder with your contacts, calendars, notes and files (PLAIT_HOME).")
]
Tools = Annotated[
    str | None, typer.Option(help="Your own tools, as module:attribute, in the place of the assistant's.")
]
AsJSON = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before calls that write or send.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Deadline = Annotated[float | None, typer.Option(help="Seconds that the run may take.", min=0.001)]


@dataclass(frozen=True, slots=True)
class _Options:
    model: ModelOptions
    planner: str
    home: Path
    tools: str | None
    as_json: bool
    yes: bool
    deadline_s: float | None


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"plait {__version__}")
        raise typer.Exit


@app.command()
def run(
    query: Query,
    model: ModelName = DEFAULT_MODEL,
    base_url: BaseURL = None,
    context_length: ContextLength = None,
    planner: PlannerName = "compiler",
    home: Home = None,
    tools: Tools = None,
    as_json: AsJSON = False,
    yes: Yes = False,
    deadline: Deadline = None,
    debug: Debug = False,
) -> None:
    """Carry out a request: plan it, make the calls in parallel, answer."""
    options = _Options(
        ModelOptions(model, base_url, context_length),
        planner,
        home or default_home(),
        tools,
        as_json,
        yes,
        deadline,
    )
    _execute(lambda: _run(query, options), debug=debug)


@app.command()
def plan(
    query: Query,
    model: ModelName = DEFAULT_MODEL,
    base_url: BaseURL = None,
    context_length: ContextLength = None,
    planner: PlannerName = "compiler",
    home: Home = None,
    tools: Tools = None,
    as_json: AsJSON = False,
    deadline: Deadline = None,
    debug: Debug = False,
) -> None:
    """Plan a request and call nothing."""
    options = _Options(
        ModelOptions(model, base_url, context_length),
        planner,
        home or default_home(),
        tools,
        as_json,
        False,
        deadline,
    )
    _execute(lambda: _plan(query, options), debug=debug)


@app.command("tools")
def list_tools(home: Home = None, tools: Tools = None, as_json: AsJSON = False, debug: Debug = False) -> None:
    """List the tools that plans may call."""
    _execute(lambda: _tools(home or default_home(), tools, as_json=as_json), debug=debug)


async def _run(query: str, options: _Options) -> int:
    from plait.apps._view import RunView
    from plait.orchestrator import RunFinished

    console = Console(stderr=True)
    finished: list[Run] = []
    async with await _open_agent(options, console) as agent:
        with RunView(console) as view:
            agent.approve = _approver(options, console, view.pause, view.resume)

            def on_event(event: Event) -> None:
                view.on_event(event)
                if isinstance(event, RunFinished):
                    finished.append(event.run)

            try:
                result = await agent.run(query, on_event=on_event)
            except asyncio.CancelledError:
                view.pause()
                _report_interruption(finished, options, console)
                raise
    return _report(result, options, console)


async def _plan(query: str, options: _Options) -> int:
    from plait.apps._view import RunView

    console = Console(stderr=True)
    async with await _open_agent(options, console) as agent:
        if options.as_json or not sys.stdout.isatty():
            result = await agent.plan(query)
        else:
            with RunView(console) as view:
                result = await agent.plan(query, on_event=view.on_event)
    if options.as_json:
        _print_json(result.to_json())
    elif not sys.stdout.isatty():
        typer.echo(str(result.plan))
    if result.error is not None:
        _print_error(console, result.error)
        return FAILED
    return OK


async def _tools(home: Path, tools: str | None, *, as_json: bool) -> int:
    from rich.table import Table
    from rich.text import Text

    toolbox = open_toolbox(home, tools, None)
    if as_json:
        _print_json([{**tool.to_openai()["function"], "annotations": _annotations(tool)} for tool in toolbox])
        return OK
    table = Table("tool", "does", "kind", box=None, pad_edge=False, header_style="bold")
    for tool in toolbox:
        kind = "reads" if tool.annotations.read_only else "sends" if tool.annotations.open_world else "writes"
        table.add_row(Text(tool.signature), Text(tool.description), kind)
    Console().print(table)
    return OK


def _annotations(tool: Tool) -> dict[str, bool | None]:
    known = tool.annotations
    return {
        "read_only": known.read_only,
        "destructive": known.destructive,
        "idempotent": known.idempotent,
        "open_world": known.open_world,
    }


async def _open_agent(options: _Options, console: Console) -> Agent:
    from plait.apps._examples import assistant_examples
    from plait.apps._progress import transfer_progress
    from plait.orchestrator import Agent

    open_toolbox(options.home, options.tools, None)  # a wrong option is told before a model is fetched
    with transfer_progress(console, options.model.model) as progress:
        model = await open_model(options.model, progress=progress)
    return Agent(
        model,
        open_toolbox(options.home, options.tools, model),
        planner=options.planner,
        examples=assistant_examples(),
        policy="none" if options.yes else "writes",
        deadline_s=options.deadline_s,
    )


def _approver(
    options: _Options, console: Console, pause: Callable[[], None], resume: Callable[[], None]
) -> Approver | None:
    """Who is asked: the user at the terminal, or nobody where there is none."""
    if options.yes or not (sys.stdin.isatty() and console.is_terminal):
        return None

    async def ask(request: ApprovalRequest) -> bool | Set[int]:
        from plait.apps._view import show_request
        from plait.tools import call_in_thread

        pause()
        show_request(console, request)
        known = {call.task.id for call in request.calls}
        while True:
            console.print("Make them? \\[y]es, \\[n]o, or the numbers of those to make: ", end="")
            line = await call_in_thread(sys.stdin.readline, {})
            answer = _read_answer(line, known)
            if answer is not None:
                resume()
                return answer

    return ask


def _read_answer(line: str, known: Set[int]) -> bool | Set[int] | None:
    """All, none, or some of ``known``; ``None`` if ``line`` says none of these."""
    words = line.replace(",", " ").lower().split()
    if not line or words in (["n"], ["no"]):
        return False
    if words in (["y"], ["yes"]):
        return True
    numbers = {int(word) for word in words if word.isdecimal()}
    return numbers if numbers and len(numbers) == len(words) and numbers <= known else None


def _report(result: Run, options: _Options, console: Console) -> int:
    if options.as_json:
        _print_json(result.to_json())
    elif result.answer:
        typer.echo(result.answer)
    if result.error is not None:
        _print_error(console, result.error)
        return FAILED
    if any(outcome.status == "declined" for outcome in result.tasks):
        return DECLINED
    return OK if result.ok else FAILED


def _report_interruption(finished: list[Run], options: _Options, console: Console) -> None:
    """Say what was done and what was not."""
    for result in finished:
        if options.as_json:
            _print_json(result.to_json())
        done = [str(o.task) for o in result.tasks if o.ok]
        undone = [str(o.task) for o in result.tasks if not o.ok]
        console.print("Interrupted.", style="yellow")
        for title, calls in (("Done:", done), ("Not done, or not known to be:", undone)):
            if calls:
                console.print(title, *calls, sep="\n  ", markup=False, highlight=False)


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def _print_error(console: Console, error: PlaitError) -> None:
    console.print("error:", style="bold red", end=" ")
    console.print(str(error), markup=False, highlight=False, soft_wrap=True)


def _execute(work: Callable[[], Awaitable[int]], *, debug: bool) -> None:
    """Run ``work`` and exit with its code; errors are one sentence, with a traceback for ``--debug``."""

    async def main() -> int:
        return await work()

    try:
        code = asyncio.run(main())
    except KeyboardInterrupt:
        code = INTERRUPTED
    except PlaitError as error:
        if debug:
            raise
        _print_error(Console(stderr=True), error)
        code = USAGE if isinstance(error, (ConfigurationError, UnknownModelError)) else FAILED
    except BrokenPipeError:  # whoever read standard output has left
        sys.stderr.close()
        code = FAILED
    raise typer.Exit(code)


def main() -> None:
    """The ``plait`` command."""
    app()
