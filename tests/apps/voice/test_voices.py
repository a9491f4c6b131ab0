"""Voices: how the programs are driven, with doubles of them on the path."""

import asyncio
import importlib.util
import sys
from pathlib import Path

import pytest

from plait.apps.voice import _voices
from plait.apps.voice._voices import EspeakVoice, NoVoice, PiperVoice, Voice, open_voice
from plait.errors import ConfigurationError, VoiceError

pytestmark = pytest.mark.anyio

PROGRAM = """#!{python}
import sys, wave
def write(path, text):
    with wave.open(path, "wb") as file:
        file.setnchannels(1); file.setsampwidth(2); file.setframerate(1000)
        file.writeframes(bytes([len(text), 0]) * 10)
"""
PIPER = """
folder = sys.argv[sys.argv.index("--output-dir") + 1]
print("a warning", file=sys.stderr)
for n, line in enumerate(sys.stdin):
    if "crash" in line:
        sys.exit("RuntimeError: no such phoneme")
    write(f"{folder}/{n}.wav", line.strip())
    print(f"INFO:__main__:Wrote {folder}/{n}.wav", file=sys.stderr, flush=True)
"""
ESPEAK = """
text = sys.stdin.read()
if "crash" in text:
    sys.exit("no such voice")
write(sys.argv[sys.argv.index("-w") + 1], text)
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are found; piper cannot be imported."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    return folder


def install(folder: Path, name: str, program: str) -> None:
    (folder / name).write_text(PROGRAM.replace("{python}", sys.executable) + program)
    (folder / name).chmod(0o755)


async def opened(wanted: str, programs: Path) -> Voice:
    install(programs, "piper", PIPER)
    install(programs, "espeak-ng", ESPEAK)
    return await open_voice(wanted, pytest.fail, model=programs / "voice.onnx")


@pytest.mark.parametrize("wanted", ["piper", "espeak"])
async def test_a_voice_gives_each_sentence_its_own_sound(wanted: str, programs: Path) -> None:
    voice = await opened(wanted, programs)
    assert voice.name == wanted
    for text in ("short", "a longer sentence", "x"):
        clip = await voice.speak(text)
        assert (clip.rate, clip.samples.tolist()) == (1000, [len(text)] * 10)
    await voice.aclose()


@pytest.mark.parametrize("wanted", ["piper", "espeak"])
async def test_a_sentence_that_was_given_up_does_not_shift_the_next_ones(wanted: str, programs: Path) -> None:
    voice = await opened(wanted, programs)
    given_up = asyncio.create_task(voice.speak("given up"))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    assert (await voice.speak("next")).samples[0] == 4
    await voice.aclose()


@pytest.mark.parametrize(("wanted", "why"), [("piper", "no such phoneme"), ("espeak", "no such voice")])
async def test_a_program_that_fails_says_why(wanted: str, why: str, programs: Path) -> None:
    voice = await opened(wanted, programs)
    with pytest.raises(VoiceError, match=why):
        await voice.speak("crash")
    await voice.aclose()


async def test_piper_leaves_no_process_and_no_folder(programs: Path) -> None:
    voice = await opened("piper", programs)
    assert isinstance(voice, PiperVoice)
    folder = Path(voice._folder.name)
    await voice.aclose()
    assert voice._process.returncode is not None
    assert not folder.exists()  # noqa: ASYNC240


async def test_a_line_break_in_a_sentence_is_one_line_for_piper(programs: Path) -> None:
    voice = await opened("piper", programs)
    assert (await voice.speak("one\ntwo")).samples[0] == len("one two")
    await voice.aclose()


async def test_without_piper_espeak_speaks_and_without_both_nobody(programs: Path) -> None:
    told: list[str] = []
    install(programs, "espeak-ng", ESPEAK)
    assert isinstance(await open_voice("auto", told.append, model=programs / "v.onnx"), EspeakVoice)
    assert told == [
        "piper is not installed; install it with: pip install 'plait[voice]'; espeak-ng speaks instead"
    ]
    (programs / "espeak-ng").unlink()
    voice = await open_voice("auto", told.append, model=programs / "v.onnx")
    assert isinstance(voice, NoVoice)
    assert told[-1].endswith("answers are shown and not spoken")
    assert len((await voice.speak("anything")).samples) == 0
    await voice.aclose()


async def test_a_voice_that_does_not_load_is_noticed_before_it_is_needed(programs: Path) -> None:
    install(programs, "piper", "sys.exit('ValueError: Unable to find voice')")
    with pytest.raises(VoiceError, match=r"piper ended: .*Unable to find voice"):
        await open_voice("piper", pytest.fail, model=programs / "v.onnx")


async def test_a_program_that_hangs_is_given_up(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(programs, "piper", "import threading; threading.Event().wait()")
    monkeypatch.setattr(_voices, "_SENTENCE_TIMEOUT_S", 0.3)
    with pytest.raises(VoiceError, match=r"piper said nothing for 0\.3 s; use --voice espeak"):
        await open_voice("piper", pytest.fail, model=programs / "v.onnx")


@pytest.mark.parametrize("wanted", ["piper", "espeak"])
async def test_a_voice_asked_for_by_name_is_not_replaced(wanted: str, programs: Path) -> None:
    with pytest.raises(VoiceError, match="is not installed; install it"):
        await open_voice(wanted, pytest.fail, model=programs / "v.onnx")


async def test_an_unknown_voice_is_answered_with_the_choices() -> None:
    with pytest.raises(ConfigurationError, match="no voice 'siri'; choose one of auto, piper, espeak, none"):
        await open_voice("siri", pytest.fail)
