"""The command line: ``plait run``, ``plan``, ``chat``, ``serve``, ``voice``, ``history``, ``eval`` ...

Exit codes: 0 all was done; 1 something failed; 2 the command or its options are wrong; 3 a call was not
approved; 130 interrupted. Answers and JSON go to standard output, everything else to standard error.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plait._version import __version__
from plait.apps import _eval, _history, _index, _models, _train
from plait.apps._output import DECLINED, FAILED, INTERRUPTED, OK, Output, execute, leave
from plait.apps._setup import (
    JOINER_HELP,
    JoinerName,
    ModelOptions,
    default_home,
    open_model,
    open_runner,
    open_toolbox,
)
from plait.apps.voice._command import voice
from plait.errors import ConfigurationError, MissingExtraError, PlaitError, RunError
from plait.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from plait.apps._begin import Chosen
    from plait.apps.assistant import ActionLog, Session, Settings, SettingsFile
    from plait.orchestrator import Agent, Event, Run
    from plait.retrieval import Retriever
    from plait.tools import Tool


class PlannerName(StrEnum):
    """The planners that the command line offers."""

    COMPACT = "compact"
    COMPILER = "compiler"
    NATIVE = "native"
    REACT = "react"
    TUNED = "tuned"


app = typer.Typer(
    help="Requests in plain words become plans of tool calls, run by a small model on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(_eval.app, name="eval")
app.add_typer(_history.app, name="history")
app.add_typer(_index.app, name="index")
app.add_typer(_models.app, name="models", help="List, fetch, show, check and remove models.")
app.add_typer(_train.app, name="train")
app.command()(voice)

Query = Annotated[str, typer.Argument(help="The request, in your own words.")]
ModelName = Annotated[
    str, typer.Option("--model", "-m", help="A model of the catalog, a GGUF file, or a server's model.")
]
SessionModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="A model of the catalog, a GGUF file, or a server's model; the one chosen last, at first "
        f"{DEFAULT_MODEL}.",
    ),
]
BaseURL = Annotated[
    str | None,
    typer.Option(
        help="An OpenAI-compatible server, e.g. http://localhost:8080/v1; its key in PLAIT_API_KEY."
    ),
]
ContextLength = Annotated[int | None, typer.Option(help="Tokens of prompt and answer together.", min=256)]
PlannerOption = Annotated[
    PlannerName | None,
    typer.Option(
        help="compiler (one plan for all), compact (that in fewer tokens), tuned (for models that plait "
        "train made), or the baselines react and native; what fits the model if not given."
    ),
]
JoinerOption = Annotated[JoinerName | None, typer.Option(help=JOINER_HELP)]
Home = Annotated[
    Path | None, typer.Option(help="The folder with your contacts, calendars, notes and files (PLAIT_HOME).")
]
Tools = Annotated[
    str | None, typer.Option(help="Your own tools, as module:attribute, in the place of the assistant's.")
]
RetrieverOption = Annotated[
    str | None,
    typer.Option(
        help="Finds the tools that a request may need: the folder of an index (plait index), or auto, "
        "which is kept for you."
    ),
]
AsJSON = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Instructions = Annotated[
    str | None,
    typer.Option(help="What to keep in mind for every request; what was chosen last, if not given."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before calls that write or send.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Deadline = Annotated[float | None, typer.Option(help="Seconds that the run may take.", min=0.001)]


@dataclass(frozen=True, slots=True)
class _Options:
    model: ModelOptions
    planner: PlannerName | None
    joiner: JoinerName | None
    home: Path
    tools: str | None
    retriever: str | None
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
    planner: PlannerOption = None,
    joiner: JoinerOption = None,
    home: Home = None,
    tools: Tools = None,
    retriever: RetrieverOption = None,
    as_json: AsJSON = False,
    yes: Yes = False,
    deadline: Deadline = None,
    debug: Debug = False,
) -> None:
    """Carry out a request: plan it, make the calls in parallel, answer."""
    options = _Options(
        ModelOptions(model, base_url, context_length),
        planner,
        joiner,
        home or default_home(),
        tools,
        retriever,
        yes,
        deadline,
    )
    output = _run_output(query, as_json=as_json, debug=debug)
    execute(lambda: _run(query, options, output), output)


@app.command()
def plan(
    query: Query,
    model: ModelName = DEFAULT_MODEL,
    base_url: BaseURL = None,
    context_length: ContextLength = None,
    planner: PlannerOption = None,
    home: Home = None,
    tools: Tools = None,
    retriever: RetrieverOption = None,
    as_json: AsJSON = False,
    deadline: Deadline = None,
    debug: Debug = False,
) -> None:
    """Plan a request and call nothing."""
    options = _Options(
        ModelOptions(model, base_url, context_length),
        planner,
        None,
        home or default_home(),
        tools,
        retriever,
        False,
        deadline,
    )
    output = _run_output(query, as_json=as_json, debug=debug)
    execute(lambda: _plan(query, options, output), output)


@app.command()
def chat(
    model: SessionModel = None,
    base_url: BaseURL = None,
    context_length: ContextLength = None,
    planner: PlannerOption = None,
    home: Home = None,
    tools: Tools = None,
    retriever: RetrieverOption = None,
    instructions: Instructions = None,
    yes: Yes = False,
    debug: Debug = False,
) -> None:
    """Talk with the assistant: requests that may refer to earlier ones, at the terminal or from a pipe."""
    chosen = _chosen(home, model, base_url, context_length, planner, tools, instructions, is_asking=not yes)
    output = Output(as_json=False, debug=debug)
    execute(lambda: _chat(chosen, retriever, output), output)


@app.command()
def serve(
    model: SessionModel = None,
    base_url: BaseURL = None,
    context_length: ContextLength = None,
    planner: PlannerOption = None,
    home: Home = None,
    tools: Tools = None,
    retriever: RetrieverOption = None,
    instructions: Instructions = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 is any free one.", min=0, max=65535)] = 8765,
    yes: Yes = False,
    debug: Debug = False,
) -> None:
    """Serve the assistant on a web page, and to clients of OpenAI's API."""
    chosen = _chosen(home, model, base_url, context_length, planner, tools, instructions, is_asking=not yes)
    output = Output(as_json=False, debug=debug)
    execute(lambda: _serve(chosen, retriever, host, port, output), output)


@app.command("tools")
def list_tools(home: Home = None, tools: Tools = None, as_json: AsJSON = False, debug: Debug = False) -> None:
    """List the tools that plans may call."""
    output = Output(as_json=as_json, debug=debug)
    execute(lambda: _tools(home or default_home(), tools, output), output)


def _run(query: str, options: _Options, output: Output) -> int:
    finished: list[Run] = []
    try:
        with open_runner() as runner:
            agent = _open_agent(query, options, output, runner)
            return runner.run(_carry_out(query, agent, output, finished, may_ask=not options.yes))
    except KeyboardInterrupt:  # twice, so that not even what was under way could end in order
        if not finished:
            raise
        _report_interruption(finished[0], output)
        return INTERRUPTED


async def _carry_out(query: str, agent: Agent, output: Output, finished: list[Run], *, may_ask: bool) -> int:
    """Carry out the request; whatever becomes of it, the run is put into ``finished``."""
    from plait.apps._approval import can_ask, terminal_approver
    from plait.apps._view import RunView
    from plait.orchestrator import RunFinished

    async with agent:
        with RunView(output.console) as view:
            if may_ask and can_ask():
                agent.approve = terminal_approver(output, view)

            def on_event(event: Event) -> None:
                view.on_event(event)
                if isinstance(event, RunFinished):
                    finished.append(event.run)

            try:
                result = await agent.run(query, on_event=on_event)
            except asyncio.CancelledError:
                view.pause()
                _report_interruption(finished[0], output)
                leave(INTERRUPTED)
        return _report(result, output, could_ask=agent.approve is not None)


def _plan(query: str, options: _Options, output: Output) -> int:
    with open_runner() as runner:
        agent = _open_agent(query, options, output, runner)
        return runner.run(_write_plan(query, agent, output))


async def _write_plan(query: str, agent: Agent, output: Output) -> int:
    from plait.apps._view import RunView
    from plait.orchestrator import PlanFinished, Run

    written = Run(query)
    async with agent:
        with RunView(output.console, transient=True) as view:

            def on_event(event: Event) -> None:
                view.on_event(event)
                if isinstance(event, PlanFinished):
                    written.plans.append(event.plan)

            try:
                result = await agent.plan(query, on_event=on_event)
            except asyncio.CancelledError:
                view.pause()
                written.error = RunError("the planning was interrupted")
                output.interrupted(written.to_json(), "Interrupted while planning; nothing was called.")
                leave(INTERRUPTED)
    if output.as_json:
        output.document(result.to_json())
    elif len(result.plan) or result.error is None:
        output.text(str(result.plan))
    if result.error is not None:
        output.error(result.error)
        return FAILED
    return OK


def _chosen(
    home: Path | None,
    model: str | None,
    base_url: str | None,
    context_length: int | None,
    planner: PlannerName | None,
    tools: str | None,
    instructions: str | None,
    *,
    is_asking: bool,
) -> Chosen:
    from plait.apps._begin import Chosen

    named = None if planner is None else planner.value
    return Chosen(home, model, base_url, context_length, named, tools, instructions, is_asking)


@contextmanager
def _open_log() -> Iterator[ActionLog | None]:
    from plait.apps.assistant import ActionLog, history_path

    path = history_path()
    with nullcontext() if path is None else ActionLog(path) as log:
        yield log


def _open_session(
    settings: Settings,
    kept: SettingsFile | None,
    retriever: str | None,
    runner: asyncio.Runner,
    log: ActionLog | None,
    output: Output,
) -> Session:
    """The session, not entered yet; its model is open."""
    from plait.apps._examples import assistant_examples
    from plait.apps.assistant import Session
    from plait.apps.assistant._backend import AssistantBackend, assistant_undo

    index = _open_index(settings.home, settings.tools, retriever, output)
    options = ModelOptions(settings.model, settings.base_url, settings.context_length)
    model = open_model(options, runner, output.console)
    backend = AssistantBackend(output.console, model)
    return Session(
        backend,
        settings,
        examples=assistant_examples(),
        log=log,
        undo=assistant_undo,
        kept=kept,
        retriever=index,
    )


def _open_index(home: Path, tools: str | None, retriever: str | None, output: Output) -> Retriever | None:
    """What ``--retriever`` names. Done first: a wrong option is told before a model is fetched."""
    from plait.apps._retriever import open_retriever

    toolbox = open_toolbox(home, tools, None)
    return None if retriever is None else open_retriever(retriever, tools, toolbox, output)


def _chat(chosen: Chosen, retriever: str | None, output: Output) -> int:
    from plait.apps._begin import begin_settings
    from plait.apps.assistant import open_settings_file

    kept = open_settings_file()
    settings = begin_settings(chosen, kept, output)
    with open_runner() as runner, _open_log() as log:
        session = _open_session(settings, kept, retriever, runner, log, output)
        return runner.run(_converse(session, log, output))


async def _converse(session: Session, log: ActionLog | None, output: Output) -> int:
    from plait.apps._approval import can_ask
    from plait.apps.assistant._backend import assistant_undo
    from plait.apps.assistant._chat import Chat, Names
    from plait.apps.assistant._reader import PipeReader, Reader, TerminalReader

    try:
        async with session:
            names = Names()
            inputs = None if log is None else log.path.with_suffix(".inputs")
            reader: Reader = TerminalReader(names.complete, inputs) if can_ask() else PipeReader()
            chat = Chat(session, reader, output, names=names, log=log, undo=assistant_undo)
            return await chat.run()
    except asyncio.CancelledError:
        output.interrupted()
        leave(INTERRUPTED)


def _serve(chosen: Chosen, retriever: str | None, host: str, port: int, output: Output) -> int:
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise MissingExtraError("fastapi", "serve")
    from plait.apps._begin import begin_settings
    from plait.apps.assistant import open_settings_file
    from plait.apps.assistant._backend import assistant_undo
    from plait.apps.voice._dictation import Dictation
    from plait.apps.web import WebServer, bind

    kept = open_settings_file()
    settings = begin_settings(chosen, kept, output)
    with open_runner() as runner, bind(host, port) as bound, _open_log() as log:
        session = _open_session(settings, kept, retriever, runner, log, output)
        token = os.environ.get("PLAIT_SERVE_TOKEN")
        server = WebServer(
            session, bound, host=host, token=token, log=log, undo=assistant_undo, dictation=Dictation()
        )

        def tell() -> None:
            output.text(server.link)
            output.note("Open this link. It lets in whoever has it; Ctrl-C stops the server.")

        runner.run(server.run(tell))
    return OK


def _tools(home: Path, tools: str | None, output: Output) -> int:
    toolbox = open_toolbox(home, tools, None)
    if output.as_json:
        output.document(
            [{**tool.to_openai()["function"], "annotations": _annotations(tool)} for tool in toolbox]
        )
        return OK
    for tool in toolbox:
        known = tool.annotations
        kind = "reads" if known.read_only else "sends" if known.open_world else "writes"
        output.entry(tool.signature, kind, tool.description)
    return OK


def _annotations(tool: Tool) -> dict[str, bool | None]:
    known = tool.annotations
    return {
        "read_only": known.read_only,
        "destructive": known.destructive,
        "idempotent": known.idempotent,
        "open_world": known.open_world,
    }


def _open_agent(query: str, options: _Options, output: Output, runner: asyncio.Runner) -> Agent:
    from plait.apps._examples import assistant_examples
    from plait.orchestrator import Agent

    if not query.strip():
        raise ConfigurationError("the request is empty; say in a few words what is to be done")
    retriever = _open_index(options.home, options.tools, options.retriever, output)
    model = open_model(options.model, runner, output.console)
    return Agent(
        model,
        open_toolbox(options.home, options.tools, model),
        planner=None if options.planner is None else options.planner.value,
        joiner=None if options.joiner is None else options.joiner.value,
        examples=assistant_examples(),
        policy="none" if options.yes else "writes",
        deadline_s=options.deadline_s,
        retriever=retriever,
    )


def _run_output(query: str, *, as_json: bool, debug: bool) -> Output:
    """An output whose document is that of a run, even where the run never began."""

    def failure(error: PlaitError) -> dict[str, Any]:
        from plait.orchestrator import Run

        return Run(query, error=error).to_json()

    return Output(as_json=as_json, debug=debug, failure=failure)


def _report(result: Run, output: Output, *, could_ask: bool) -> int:
    if output.as_json:
        output.document(result.to_json())
    elif result.answer:
        output.text(result.answer)
    for outcome in result.tasks:
        if outcome.error is not None and outcome.status == "failed":
            output.trace(outcome.error)
    if result.error is not None:
        output.error(result.error)
        return FAILED
    if any(outcome.status == "declined" for outcome in result.tasks):
        if not could_ask:
            output.note("Calls that write or send were refused: run this at a terminal, or with --yes.")
        return DECLINED
    return OK if result.ok else FAILED


def _report_interruption(result: Run, output: Output) -> None:
    """Say what was done and what was not."""
    done = [o.task for o in result.tasks if o.ok]
    stopped = [o.task for o in result.tasks if o.status == "cancelled" and o.started_s is not None]
    undone = [o.task for o in result.tasks if o.task not in done and o.task not in stopped]
    lines = ["Interrupted." if result.tasks else "Interrupted while planning; nothing was called."]
    for title, tasks in (
        ("Done:", done),
        ("Stopped on the way, may have been done:", stopped),
        ("Not done:", undone),
    ):
        lines += [title, *(f"  {task}" for task in tasks)] if tasks else []
    output.interrupted(result.to_json(), "\n".join(lines))


def main() -> None:
    """The ``plait`` command."""
    app()
