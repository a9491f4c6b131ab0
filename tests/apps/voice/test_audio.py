"""Sources and sinks: files of any kind, and devices with a double in the place of PortAudio."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from plait.apps.voice._audio import FRAME_SAMPLES, SAMPLE_RATE, Clip, Samples, Sink, Source
from plait.apps.voice._devices import Microphone, Speaker
from plait.apps.voice._files import FileSink, FileSource
from plait.errors import VoiceError

pytestmark = pytest.mark.anyio


def tone(seconds: float, rate: int) -> np.ndarray[Any, Any]:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)


async def heard(source: Source) -> Samples:
    frames = [frame async for frame in source.frames()]
    assert all(frame.dtype == np.int16 and frame.shape == (FRAME_SAMPLES,) for frame in frames)
    await source.aclose()
    return np.concatenate(frames) if frames else np.zeros(0, np.int16)


@pytest.mark.parametrize(
    ("rate", "channels", "subtype", "suffix"),
    [
        (16_000, 1, "PCM_16", ".wav"),
        (8_000, 1, "ULAW", ".wav"),
        (44_100, 2, "PCM_24", ".wav"),
        (48_000, 6, "FLOAT", ".wav"),
        (22_050, 1, "PCM_U8", ".wav"),
        (96_000, 2, "PCM_16", ".flac"),
    ],
)
async def test_a_file_of_any_rate_width_and_format_gives_the_same_sound(
    tmp_path: Path, rate: int, channels: int, subtype: str, suffix: str
) -> None:
    path = tmp_path / f"tone{suffix}"
    soundfile.write(path, np.tile(tone(2.5, rate)[:, None], channels), rate, subtype)
    samples = await heard(FileSource(path))
    assert 0 <= len(samples) - 2.5 * SAMPLE_RATE < FRAME_SAMPLES + 16
    middle = samples[8000:32000].astype(float) / 32767
    assert np.abs(np.fft.rfft(middle)).argmax() == 440 * len(middle) // SAMPLE_RATE
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


async def test_a_file_without_samples_has_no_frames(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 44_100)
    assert len(await heard(FileSource(tmp_path / "empty.wav"))) == 0


async def test_sound_that_is_too_loud_is_cut_off_not_wrapped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", 4 * tone(0.5, SAMPLE_RATE), SAMPLE_RATE, "FLOAT")
    samples = await heard(FileSource(tmp_path / "loud.wav"))
    assert samples.max() == 32767
    assert samples.min() == -32767 or samples.min() == -32768


async def test_numbers_that_are_none_are_silence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nan.wav", np.full(1000, np.nan), SAMPLE_RATE, "FLOAT")
    assert not (await heard(FileSource(tmp_path / "nan.wav"))).any()


@pytest.mark.parametrize("content", [None, b"", b"RIFF....WAVE", b"not sound at all" * 100])
def test_what_is_no_sound_file_is_refused_with_its_path_and_a_fix(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VoiceError, match=r"broken\.wav cannot be read as sound: .*; ") as caught:
        FileSource(path)
    assert "\n" not in str(caught.value)


async def test_a_file_sink_keeps_speech_and_pauses(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "out.wav", 8000)
    await sink.write(np.full(100, 7, np.int16))
    await sink.silence(50)
    sink.flush()
    await sink.write(np.full(10, -7, np.int16))
    await sink.aclose()
    samples, rate = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert rate == 8000
    assert samples.tolist() == [7] * 100 + [0] * 50 + [-7] * 10


def test_a_file_that_cannot_be_written_is_named_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"out\.wav cannot be written: its folder does not exist; create it"):
        FileSink(tmp_path / "nowhere" / "out.wav")


def test_a_clip_at_another_rate_lasts_as_long() -> None:
    clip = Clip(np.ones(22_050, np.int16), 22_050)
    assert clip.at_rate(22_050) is clip
    assert clip.at_rate(SAMPLE_RATE).seconds == pytest.approx(1.0, abs=0.001)


class PortAudio(ModuleType):
    """A double of sounddevice whose callbacks the test calls."""

    class PortAudioError(Exception):
        pass

    def __init__(self, failure: str = "") -> None:
        super().__init__("sounddevice")
        self.failure = failure
        self.streams: list[Any] = []

    def InputStream(self, **options: Any) -> "PortAudio":
        if self.failure:
            raise PortAudio.PortAudioError(self.failure)
        self.streams.append(options)
        return self

    OutputStream = InputStream

    def start(self) -> None:
        pass

    def close(self) -> None:
        self.streams.clear()

    def hear(self, value: int) -> None:
        data = np.full((FRAME_SAMPLES, 1), value, np.int16)
        self.streams[0]["callback"](data, FRAME_SAMPLES, None, None)

    def play(self, n_samples: int) -> list[int]:
        out = np.empty((n_samples, 1), np.int16)
        self.streams[0]["callback"](out, n_samples, None, None)
        values: list[int] = out[:, 0].tolist()
        return values


@pytest.fixture
def portaudio(monkeypatch: pytest.MonkeyPatch) -> PortAudio:
    double = PortAudio()
    monkeypatch.setitem(sys.modules, "sounddevice", double)
    return double


async def test_a_microphone_gives_what_its_thread_hears_in_order(portaudio: PortAudio) -> None:
    microphone = Microphone()
    await asyncio.to_thread(lambda: [portaudio.hear(value) for value in range(3)])
    frames = microphone.frames()
    assert [int((await anext(frames))[0]) for _ in range(3)] == [0, 1, 2]
    await microphone.aclose()
    assert not portaudio.streams


async def test_a_listener_that_falls_behind_loses_the_oldest_frames(portaudio: PortAudio) -> None:
    microphone = Microphone()
    await asyncio.to_thread(lambda: [portaudio.hear(value) for value in range(605)])
    assert int((await anext(microphone.frames()))[0]) == 5
    assert microphone.n_dropped == 5


async def test_a_microphone_that_is_unplugged_says_so(portaudio: PortAudio) -> None:
    microphone = Microphone()
    portaudio.streams[0]["finished_callback"]()
    with pytest.raises(VoiceError, match="the microphone stopped; check that it is plugged in"):
        await anext(microphone.frames())


async def test_a_speaker_plays_in_order_and_is_silent_when_it_has_nothing(portaudio: PortAudio) -> None:
    speaker = Speaker(rate=1000)
    await speaker.write(np.array([1, 2, 3], np.int16))
    assert portaudio.play(2) == [1, 2]
    assert portaudio.play(2) == [3, 0]
    await speaker.write(np.array([4, 5], np.int16))
    speaker.flush()
    assert portaudio.play(1) == [0]


async def test_writing_waits_while_enough_is_ahead(portaudio: PortAudio) -> None:
    speaker = Speaker(rate=1000)
    await speaker.write(np.ones(251, np.int16))
    async with asyncio.TaskGroup() as tasks:
        more = tasks.create_task(speaker.write(np.full(3, 2, np.int16)))
        await asyncio.to_thread(lambda: None)
        assert not more.done()
        portaudio.play(100)
    assert portaudio.play(154)[-3:] == [2, 2, 2]


@pytest.mark.parametrize("device", [Microphone, Speaker])
async def test_a_device_that_is_not_there_is_said_with_the_ways_out(
    device: Callable[[], Source | Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", PortAudio("Error querying device -1"))
    with pytest.raises(
        VoiceError, match=r"cannot be opened \(Error querying device -1\); plug one in, .*\.wav"
    ):
        device()
