"""``plait voice``: what it refuses, and a conversation between files in which all is real but the model."""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import Result

from plait.apps._output import Output
from plait.apps.assistant import Settings
from plait.apps.voice import _command
from plait.apps.voice._audio import SAMPLE_RATE, Clip, Samples
from plait.apps.voice._recognition import WhisperRecognizer
from plait.errors import ModelError
from plait.models import RECOGNIZER, ScriptedModel, find_speech

Invoke = Callable[..., Result]
OPTIONS = _command._Options(
    Settings(Path()),
    None,
    None,
    None,
    None,
    None,
    _command.TriggerName.ALWAYS,
    _command.InterruptName.OFF,
    _command.VoiceName.NONE,
    None,
    None,
    "en",
)
LINES = (
    "Okay Nabu. Please look up Maya and save it.",
    "Yes, go ahead.",
    "What is the weather in London today?",
)


@pytest.fixture
def run(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """``plait voice`` with a scripted model."""

    def run(*arguments: str, replies: Sequence[str] = ()) -> Result:
        monkeypatch.setattr(_command, "open_model", lambda *_: ScriptedModel(replies))
        return invoke("voice", *arguments)

    return run


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "in.wav"
    soundfile.write(path, np.zeros(8000), 16_000)
    return path


def test_an_input_that_is_not_there_is_refused_with_its_path(run: Invoke, tmp_path: Path) -> None:
    done = run("--input", str(tmp_path / "no.wav"))
    assert done.exit_code == 2
    assert "no.wav is not a file; check its path" in done.stderr


def test_an_output_without_a_folder_is_refused(run: Invoke, sound: Path) -> None:
    done = run("--input", str(sound), "--output", str(sound.parent / "no" / "out.wav"))
    assert done.exit_code == 2
    assert "its folder does not exist; create it" in done.stderr


def test_the_output_may_not_replace_the_input(run: Invoke, sound: Path) -> None:
    done = run("--input", str(sound), "--output", str(sound))
    assert done.exit_code == 2
    assert "choose another for --output" in done.stderr


def test_a_key_cannot_be_pressed_in_a_file(run: Invoke, sound: Path) -> None:
    done = run("--input", str(sound), "--listen", "key")
    assert done.exit_code == 2
    assert "with --input choose a wake word or always" in done.stderr


@pytest.mark.parametrize("option", ["--whisper", "--voice-model"])
def test_a_model_that_is_not_there_is_refused(run: Invoke, sound: Path, option: str) -> None:
    done = run("--input", str(sound), option, str(sound.parent / "no"))
    assert done.exit_code == 2
    assert f"{option} {sound.parent / 'no'} does not exist; check its path" in done.stderr


def test_without_the_extra_the_message_says_how_to_install_it(
    run: Invoke, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    done = run("--input", str(sound), "--voice", "none")
    assert done.exit_code == 1
    assert "faster-whisper is not installed; install it with: pip install 'plait[voice]'" in done.stderr


def test_what_was_chosen_in_other_sessions_holds_for_voice_too(
    run: Invoke, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.json"
    kept = {"version": 1, "tools_off": {"sample_tools:TOOLS": ["save"]}, "instructions": "Be brief."}
    file.write_text(json.dumps(kept))
    monkeypatch.setenv("PLAIT_SETTINGS", str(file))
    used: list[Settings] = []
    monkeypatch.setattr(_command, "_voice", lambda options, *_, **__: used.append(options.settings) or 0)
    done = run("--input", str(sound))
    assert done.exit_code == 0
    assert (used[0].tools_off, used[0].instructions) == ({"save"}, "Be brief.")
    assert "tools off, instructions" in " ".join(done.stderr.split())


def test_a_tool_that_is_off_is_none_of_the_voices(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ScriptedModel(["1. join()"])
    monkeypatch.setattr(_command, "open_model", lambda *_: model)
    invoke("tools")
    settings = Settings(
        Path(), tools="sample_tools:TOOLS", tools_off=frozenset({"save"}), instructions="Be brief."
    )
    options = replace(OPTIONS, settings=settings)
    with asyncio.Runner() as runner:
        agent = _command._open_agent(options, Output(as_json=False), runner)
        runner.run(agent.plan("Look Maya up"))
    prompt = "\n".join(message.content for message in model.requests[0].messages)
    assert "look_up(" in prompt
    assert "save(" not in prompt
    assert "Be brief." in prompt


def test_what_is_no_sound_is_told_in_one_sentence(run: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "in.wav"
    path.write_bytes(b"no sound")
    done = run("--input", str(path), "--output", str(tmp_path / "out.wav"), "--voice", "none")
    assert done.exit_code == 1
    assert "in.wav cannot be read as sound" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def recognizer() -> WhisperRecognizer:
    try:
        return WhisperRecognizer(find_speech(RECOGNIZER, download=False))
    except ModelError as error:
        pytest.fail(f"{error}")


@pytest.fixture(scope="module")
def spoken(say: Callable[..., list[Samples]]) -> list[Samples]:
    return say(*LINES)


def scene(pieces: Sequence[Samples | float]) -> np.ndarray[Any, Any]:
    """Sound and seconds of silence in turn, over a little noise, in stereo with 44.1 kHz."""
    parts = [
        np.zeros(int(piece * SAMPLE_RATE)) if isinstance(piece, (int, float)) else 0.6 * piece / 32768
        for piece in pieces
    ]
    mono = np.concatenate(parts)
    mono = mono + np.random.default_rng(3).normal(0, 0.001, len(mono))
    at = np.arange(0, len(mono) - 1, SAMPLE_RATE / 44_100)
    return np.repeat(np.interp(at, np.arange(len(mono)), mono)[:, None], 2, axis=1)


def test_from_a_wake_word_over_a_spoken_yes_to_a_spoken_answer(
    run: Invoke, spoken: list[Samples], recognizer: WhisperRecognizer, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "in.wav", scene([0.6, spoken[0], 5.0, spoken[1], 1.5]), 44_100)
    files = ("--input", str(tmp_path / "in.wav"), "--output", str(tmp_path / "out.wav"))
    replies = ['1. look_up(name="Maya")\n2. save(text=$1)\n3. join()', "Maya was found and saved."]
    done = run(*files, "--voice", "piper", "--json", replies=replies)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert done.exit_code == 0, done.stderr
    assert kinds == [
        *("woken", "speech_ended", "recognized", "asked", "speaking"),
        *("speech_ended", "recognized", "answered", "speaking", "finished"),
    ]
    assert "save" in events[2]["text"].lower()
    assert events[3]["text"] == "I would save: text, Maya found. Shall I?"
    assert events[7]["approved"]
    assert len(events[8]["text"].split()) >= 2
    samples, rate = soundfile.read(tmp_path / "out.wav", dtype="int16")
    answer = samples[int(events[8]["at_s"] * rate) :]
    assert np.abs(answer).max() > 3000
    assert recognizer.recognize_now(Clip(answer, rate).at_rate(SAMPLE_RATE).samples).text


def test_what_is_said_without_the_wake_word_goes_nowhere(
    run: Invoke, spoken: list[Samples], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "in.wav", scene([0.5, spoken[2], 1.0, spoken[1], 1.0]), 44_100)
    files = ("--input", str(tmp_path / "in.wav"), "--output", str(tmp_path / "out.wav"))
    done = run(*files, "--voice", "none", "--json")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "Nothing was said to plait in in.wav; a request begins with 'okay nabu'." in done.stderr


def test_hints_are_not_heard_in_noise(recognizer: WhisperRecognizer) -> None:
    noise = (np.random.default_rng(1).normal(0, 300, 2 * SAMPLE_RATE)).astype(np.int16)
    assert recognizer.recognize_now(noise).text in ("", "you", "You", ".")


def test_a_request_is_recognized(recognizer: WhisperRecognizer, spoken: list[Samples]) -> None:
    heard = recognizer.recognize_now(spoken[2], ("Maya Okafor", "Ana-Sofía Reyes"))
    assert "weather in london" in heard.text.lower()
    assert heard.log_probability > -1.0
