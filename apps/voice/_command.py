"""The command ``plait voice``."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plait.apps._output import FAILED, INTERRUPTED, OK, Output, execute
from plait.apps._progress import transfer_progress, waiting
from plait.apps._setup import ModelOptions, open_model, open_runner, open_toolbox
from plait.errors import ConfigurationError
from plait.models import DEFAULT_MODEL, RECOGNIZER, VOICE, find_speech

if TYPE_CHECKING:
    from plait.apps.assistant import Settings
    from plait.apps.voice._audio import Sink, Source
    from plait.apps.voice._events import VoiceEvent
    from plait.apps.voice._recognition import WhisperRecognizer
    from plait.apps.voice._responder import Responder
    from plait.apps.voice._session import Parts, VoiceSession
    from plait.apps.voice._triggers import Trigger
    from plait.orchestrator import Agent


class VoiceName(StrEnum):
    """The voices that can be asked for."""

    AUTO = "auto"
    PIPER = "piper"
    ESPEAK = "espeak"
    NONE = "none"


class InterruptName(StrEnum):
    """What makes the voice fall silent."""

    SPEECH = "speech"
    TRIGGER = "trigger"
    OFF = "off"


class TriggerName(StrEnum):
    """What makes the assistant listen."""

    OKAY_NABU = "okay nabu"
    ALEXA = "alexa"
    HEY_JARVIS = "hey jarvis"
    HEY_MYCROFT = "hey mycroft"
    KEY = "key"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class _Options:
    settings: Settings
    deadline_s: float | None
    input: Path | None
    output: Path | None
    microphone: str | None
    speaker: str | None
    trigger: TriggerName
    interrupt: InterruptName
    voice: VoiceName
    voice_model: Path | None
    whisper: Path | None
    language: str


def voice(
    input_file: Annotated[
        Path | None, typer.Option("--input", "-i", help="A sound file in the place of the microphone.")
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option("--output", "-o", help="A WAV file in the place of the loudspeaker.")
    ] = None,
    listen: Annotated[
        TriggerName,
        typer.Option(help="What begins listening: a wake word, key (Enter: push-to-talk), or always."),
    ] = TriggerName.OKAY_NABU,
    interrupt: Annotated[
        InterruptName, typer.Option(help="What makes the voice fall silent: speech, trigger, off.")
    ] = InterruptName.SPEECH,
    voice_name: Annotated[
        VoiceName, typer.Option("--voice", help="Who speaks; auto is the best that is there.")
    ] = VoiceName.AUTO,
    voice_model: Annotated[
        Path | None, typer.Option(help="A voice of piper's, an .onnx file with its .json beside it.")
    ] = None,
    whisper: Annotated[
        Path | None, typer.Option(help="A folder with a Whisper model in CTranslate2's format.")
    ] = None,
    language: Annotated[str, typer.Option(help="The language that is spoken to it.")] = "en",
    microphone: Annotated[str | None, typer.Option(help="Name or number of the input device.")] = None,
    speaker: Annotated[str | None, typer.Option(help="Name or number of the output device.")] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Fetch the recognizer and the voice, and end.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="A model of the catalog, a GGUF file, or a server's model; the one chosen last, at first "
            f"{DEFAULT_MODEL}.",
        ),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server.")] = None,
    context_length: Annotated[
        int | None, typer.Option(help="Tokens of prompt and answer together.", min=256)
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="The folder with your contacts, calendars and notes (PLAIT_HOME).")
    ] = None,
    tools: Annotated[str | None, typer.Option(help="Your own tools, as module:attribute.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask only before calls that send.")] = False,
    deadline: Annotated[
        float | None, typer.Option(help="Seconds that a request may take.", min=0.001)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Each event as a line of JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Speak with the assistant: requests by voice, answers aloud."""
    output = Output(as_json=False, debug=debug)

    def talk() -> int:
        from plait.apps._begin import Chosen, begin_settings
        from plait.apps.assistant import open_settings_file

        chosen = Chosen(home, model, base_url, context_length, tools=tools, is_asking=not yes)
        options = _Options(
            begin_settings(chosen, open_settings_file(), output),
            deadline,
            input_file,
            output_file,
            microphone,
            speaker,
            listen,
            interrupt,
            voice_name,
            voice_model,
            whisper,
            language,
        )
        return _voice(options, output, as_json=as_json)

    execute((lambda: _fetch(output)) if fetch else talk, output)


def _fetch(output: Output) -> int:
    for name in (RECOGNIZER, VOICE):
        with transfer_progress(output.console, name) as progress:
            output.text(str(find_speech(name, progress=progress)))
    return OK


def _voice(options: _Options, output: Output, *, as_json: bool) -> int:
    from plait.apps.voice._agent_responder import AgentResponder

    _check(options)
    recognizer = _open_recognizer(options, output)
    if options.voice in (VoiceName.AUTO, VoiceName.PIPER) and options.voice_model is None:
        with transfer_progress(output.console, VOICE) as progress:
            find_speech(VOICE, progress=progress)
    told = _Told(output, as_json=as_json)
    with open_runner() as runner:
        agent = _open_agent(options, output, runner)

        async def talk() -> int:
            async with agent, _open_parts(options, recognizer, AgentResponder(agent), output) as parts:
                return await _talk(options, parts, told)

        return runner.run(talk())


async def _talk(options: _Options, parts: Parts, told: _Told) -> int:
    from plait.apps.voice._hints import contact_names
    from plait.apps.voice._session import VoiceSession

    hints = contact_names(options.settings)
    session = VoiceSession(parts, told.event, interruption=options.interrupt.value, hints=hints)
    if parts.source.is_live:
        told.ready(options.trigger)
    with _key(parts.trigger):
        code = await _until_interrupted(session, told)
    if options.input is not None and not told.has_heard:
        told.nothing(options.input, options.trigger)
    return code


async def _until_interrupted(session: VoiceSession, told: _Told) -> int:
    try:
        await session.run()
    except asyncio.CancelledError:  # Ctrl-C: what is under way is cancelled, and files are finished
        return INTERRUPTED
    return FAILED if told.has_failed else OK


def _check(options: _Options) -> None:
    """Refuse what cannot work before anything is fetched or loaded."""
    if options.input is not None and not options.input.is_file():
        raise ConfigurationError(f"--input {options.input} is not a file; check its path")
    if options.output is not None and not options.output.parent.is_dir():
        raise ConfigurationError(f"--output {options.output}: its folder does not exist; create it")
    if options.input is not None and options.output is not None and _is_same(options.input, options.output):
        raise ConfigurationError("--input and --output are the same file; choose another for --output")
    if options.input is not None and options.trigger == TriggerName.KEY:
        raise ConfigurationError(
            "--listen key needs the microphone; with --input choose a wake word or always"
        )
    for option, path in (("--voice-model", options.voice_model), ("--whisper", options.whisper)):
        if path is not None and not path.exists():
            raise ConfigurationError(f"{option} {path} does not exist; check its path")


def _is_same(path: Path, other: Path) -> bool:
    return other.exists() and other.samefile(path)


def _open_recognizer(options: _Options, output: Output) -> WhisperRecognizer:
    from plait.apps.voice._recognition import WhisperRecognizer

    folder = options.whisper
    if folder is None:
        with transfer_progress(output.console, RECOGNIZER) as progress:
            folder = find_speech(RECOGNIZER, progress=progress)
    with waiting(output.console, f"loading {folder.name}"):
        return WhisperRecognizer(folder, language=options.language)


def _open_agent(options: _Options, output: Output, runner: asyncio.Runner) -> Agent:
    from plait.apps._examples import assistant_examples
    from plait.apps.voice._agent_responder import ask_for_sends
    from plait.orchestrator import Agent

    settings = options.settings
    served = ModelOptions(settings.model, settings.base_url, settings.context_length)
    model = open_model(served, runner, output.console)
    toolbox = open_toolbox(settings.home, settings.tools, model)
    return Agent(
        model,
        toolbox.subset(name for name in toolbox.names if name not in settings.tools_off),
        examples=assistant_examples() if settings.tools is None else (),
        policy="writes" if settings.is_asking else ask_for_sends,
        deadline_s=options.deadline_s,
        instructions=settings.instructions,
    )


@asynccontextmanager
async def _open_parts(
    options: _Options, recognizer: WhisperRecognizer, responder: Responder, output: Output
) -> AsyncIterator[Parts]:
    from plait.apps.voice._activity import SileroDetector
    from plait.apps.voice._session import Parts
    from plait.apps.voice._voices import open_voice

    async with AsyncExitStack() as stack:
        voice = await open_voice(options.voice.value, output.note, model=options.voice_model)
        stack.push_async_callback(voice.aclose)
        trigger, detector = _open_trigger(options.trigger), SileroDetector()
        sink = _open_sink(options)
        stack.push_async_callback(sink.aclose)
        source = _open_source(options)  # last, so that nothing is heard before all is ready
        stack.push_async_callback(source.aclose)
        yield Parts(source, sink, trigger, detector, recognizer, voice, responder)


def _open_source(options: _Options) -> Source:
    if options.input is not None:
        from plait.apps.voice._files import FileSource

        return FileSource(options.input)
    from plait.apps.voice._devices import Microphone

    return Microphone(_device(options.microphone))


def _open_sink(options: _Options) -> Sink:
    if options.output is not None:
        from plait.apps.voice._files import FileSink

        return FileSink(options.output)
    from plait.apps.voice._devices import Speaker

    return Speaker(_device(options.speaker))


def _device(name: str | None) -> int | str | None:
    return int(name) if name is not None and name.isdecimal() else name


def _open_trigger(name: TriggerName) -> Trigger:
    from plait.apps.voice._triggers import AlwaysListening, PushToTalk, WakeWord

    if name == TriggerName.KEY:
        return PushToTalk()
    return AlwaysListening() if name == TriggerName.ALWAYS else WakeWord(name.value)


@contextmanager
def _key(trigger: Trigger) -> Iterator[None]:
    """While the block runs, each line of standard input is a press of the key, if there is one."""
    from plait.apps.voice._triggers import PushToTalk

    if isinstance(trigger, PushToTalk):
        loop, press = asyncio.get_running_loop(), trigger.press

        def read() -> None:
            for _ in sys.stdin:
                if loop.is_closed():
                    return
                loop.call_soon_threadsafe(press)

        threading.Thread(target=read, name="plait-key", daemon=True).start()
    yield


class _Told:
    """Tells the user what happens: as lines of JSON, or in words."""

    def __init__(self, output: Output, *, as_json: bool) -> None:
        self._output = output
        self._as_json = as_json
        self.has_failed = False
        """Whether a request came to nothing."""
        self.has_heard = False
        """Whether anybody has spoken after the wake word."""

    def ready(self, trigger: TriggerName) -> None:
        """Listening has begun."""
        ways = {TriggerName.KEY: "press Enter and speak", TriggerName.ALWAYS: "speak"}
        way = ways.get(trigger, f"say {trigger.value!r}")
        self._output.note(f"Ready: {way}. Ctrl-C ends.", style="dim")

    def nothing(self, heard: Path, trigger: TriggerName) -> None:
        """Nobody has spoken in a file."""
        begins = "" if trigger == TriggerName.ALWAYS else f"; a request begins with {trigger.value!r}"
        self._output.note(f"Nothing was said to plait in {heard.name}{begins}.", style="yellow")

    def event(self, event: VoiceEvent) -> None:
        """One event."""
        from plait.apps.voice._events import Answered, Failed, Recognized, Speaking, event_json

        self.has_heard = self.has_heard or isinstance(event, Recognized)
        self.has_failed = self.has_failed or isinstance(event, Failed)
        if self._as_json:
            typer.echo(json.dumps(event_json(event)))
            sys.stdout.flush()
        elif isinstance(event, Recognized):
            self._output.note(f"> {event.text}" if event.text else "(not understood)", style="cyan")
        elif isinstance(event, Speaking):
            self._output.text(event.text)
        elif isinstance(event, Answered):
            self._output.note("(approved)" if event.approved else "(declined)", style="dim")
