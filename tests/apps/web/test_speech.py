"""Speaking to the page: the endpoint, and the button in a Chromium whose microphone plays a file."""

import asyncio
import io
import re
import wave
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.async_api import Page, expect

from plait.apps.voice._audio import SAMPLE_RATE, Samples
from plait.apps.voice._dictation import MAX_SECONDS, MAX_WAITING, Dictation
from plait.apps.voice._recognition import Transcript
from plait.apps.web._speech import MAX_BYTES

pytestmark = pytest.mark.anyio

OpenPage = Callable[..., Awaitable[Page]]
PHONE = {"width": 375, "height": 740}
ELSEWHERE = "plait.test"
TONE_HZ = 440.0


class Listener:
    """A recognizer that keeps what it hears, and a detector that takes any sound for speech."""

    def __init__(self, text: str = "look up Maya") -> None:
        self.text = text
        self.heard: list[Samples] = []
        self.hints: list[Sequence[str]] = []
        self.n_opened = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def recognize(self, samples: Samples, hints: Sequence[str] = ()) -> Transcript:
        self.heard.append(samples)
        self.hints.append(hints)
        await self.go_on.wait()
        return Transcript(self.text, -0.1)

    def probability(self, frame: Samples) -> float:
        return float(np.abs(frame).max() > 300)

    def reset(self) -> None:
        pass

    def open(self) -> "Listener":
        self.n_opened += 1
        return self

    def dictation(self, obstacle: str = "") -> Dictation:
        return Dictation(open_recognizer=self.open, open_detector=lambda: self, obstacle=lambda: obstacle)


def tone(seconds: float, rate: int = SAMPLE_RATE) -> Samples:
    at = np.arange(int(seconds * rate)) / rate
    samples: Samples = (8000 * np.sin(2 * np.pi * TONE_HZ * at)).astype(np.int16)
    return samples


def wav(samples: Samples, rate: int = SAMPLE_RATE, channels: int = 1) -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return data.getvalue()


def wrong_size(data: bytes) -> bytes:
    """With a chunk before the sound that claims to be longer than the file."""
    return data[:12] + b"LIST" + (2**31 - 1).to_bytes(4, "little") + data[12:]


def pitch(samples: Samples) -> float:
    """The strongest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * SAMPLE_RATE / len(samples))


async def speak(served: Any, data: bytes, kind: str = "audio/wav") -> httpx.Response:
    answer: httpx.Response = await served.client.post(
        "/api/speech", content=data, headers={"content-type": kind}
    )
    return answer


async def test_a_recording_becomes_text_with_the_contacts_as_hints(serve: Any) -> None:
    listener = Listener()
    async with serve(dictation=listener.dictation()) as served:
        assert listener.n_opened == 0
        for _ in range(2):
            answer = await speak(served, wav(tone(1.0)))
            assert (answer.status_code, answer.json()) == (200, {"text": "look up Maya"})
    assert listener.n_opened == 1
    assert "Maya Okafor" in listener.hints[0]
    assert abs(len(listener.heard[0]) - SAMPLE_RATE) < 1000


async def test_silence_never_reaches_the_recognizer(serve: Any) -> None:
    listener = Listener()
    async with serve(dictation=listener.dictation()) as served:
        answer = await speak(served, wav(np.zeros(3 * SAMPLE_RATE, np.int16)))
    assert answer.json() == {"text": ""}
    assert listener.heard == []


async def test_what_is_said_in_parts_is_recognized_in_parts(serve: Any) -> None:
    listener = Listener("part")
    pause = np.zeros(3 * SAMPLE_RATE, np.int16)
    async with serve(dictation=listener.dictation()) as served:
        answer = await speak(served, wav(np.concatenate((tone(1.0), pause, tone(1.0)))))
    assert answer.json() == {"text": "part part"}


async def test_a_recording_of_another_rate_is_converted(serve: Any) -> None:
    listener = Listener()
    async with serve(dictation=listener.dictation()) as served:
        assert (await speak(served, wav(tone(1.0, 44_100), 44_100))).status_code == 200
    assert abs(pitch(listener.heard[0]) - TONE_HZ) < 5


async def test_what_is_no_recording_is_refused_in_a_sentence(serve: Any) -> None:
    listener = Listener()
    async with serve(dictation=listener.dictation()) as served:
        cases = [
            (b"no sound", "audio/wav", 400, "no WAV file"),
            (wav(tone(1.0))[:20], "audio/wav", 400, "no WAV file"),
            (wrong_size(wav(tone(1.0))), "audio/wav", 400, "no WAV file"),
            (wav(tone(1.0), channels=2), "audio/wav", 400, "send mono with 16 bits"),
            (wav(tone(1.0, 96_000), 96_000), "audio/wav", 400, "8000 to 48000 Hz"),
            (wav(tone(MAX_SECONDS + 1)), "audio/wav", 400, "longer than 60 s"),
            (b"{}", "application/json", 415, "audio/wav, not as application/json"),
            (bytes(MAX_BYTES + 1), "audio/wav", 413, "send it in parts"),
        ]
        for data, kind, status, said in cases:
            answer = await speak(served, data, kind)
            assert (answer.status_code, said in answer.json()["error"]["message"]) == (status, True), (
                answer.text
            )
    assert listener.heard == []


async def test_no_more_recordings_wait_than_a_person_makes(serve: Any) -> None:
    listener = Listener()
    listener.go_on.clear()
    async with serve(dictation=listener.dictation()) as served, asyncio.TaskGroup() as group:
        waiting = [group.create_task(speak(served, wav(tone(1.0)))) for _ in range(MAX_WAITING + 2)]
        codes = []
        for answer in asyncio.as_completed(waiting):
            codes.append((await answer).status_code)
            if len(codes) == 2:  # the others wait until then
                listener.go_on.set()
    assert codes == [409] * 2 + [200] * MAX_WAITING


async def test_a_long_body_that_does_not_tell_its_length_is_refused_too(serve: Any) -> None:
    async def long() -> Any:
        for _ in range(MAX_BYTES // 65_536 + 2):
            yield bytes(65_536)

    async with serve(dictation=Listener().dictation()) as served:
        kind = {"content-type": "audio/wav"}
        answer = await served.client.post("/api/speech", content=long(), headers=kind)
        assert answer.status_code == 413
        assert (await served.client.get("/api/settings")).status_code == 200


async def test_without_the_token_nobody_is_listened_to(serve: Any) -> None:
    listener = Listener()
    async with (
        serve(dictation=listener.dictation()) as served,
        httpx.AsyncClient(base_url=served.server.address, trust_env=False) as stranger,
    ):
        for path in ("/api/speech", "/api/speech/prepare"):
            headers = {"content-type": "audio/wav"}
            assert (await stranger.post(path, content=wav(tone(1.0)), headers=headers)).status_code == 401
        other = {"origin": "http://evil.example"}
        assert (await served.client.post("/api/speech/prepare", headers=other)).status_code == 403
    assert listener.n_opened == 0


async def test_the_settings_say_whether_speech_is_recognized_and_what_to_do(serve: Any) -> None:
    async with serve() as served:
        assert (await served.client.get("/api/settings")).json()["speech"] is None
        answer = await speak(served, wav(tone(1.0)))
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "ConfigurationError")


async def test_what_is_missing_is_told_by_settings_and_endpoint(serve: Any) -> None:
    reason = "faster-whisper is not installed; install it with: pip install 'plait[voice]'"
    listener = Listener()
    async with serve(dictation=listener.dictation(reason)) as served:
        assert (await served.client.get("/api/settings")).json()["speech"] == {"obstacle": reason}
        for answer in (await speak(served, wav(tone(1.0))), await served.client.post("/api/speech/prepare")):
            assert (answer.status_code, answer.json()["error"]["message"]) == (400, reason)
    assert listener.n_opened == 0


async def test_the_page_may_use_its_own_microphone_and_nothing_more(serve: Any) -> None:
    async with serve() as served:
        policy = (await served.client.get("/")).headers["permissions-policy"]
    allowed = dict(part.strip().split("=") for part in policy.split(","))
    assert allowed.pop("microphone") == "(self)"
    assert {"camera", "geolocation", "display-capture"} <= allowed.keys()
    assert set(allowed.values()) == {"()"}


@pytest.fixture(scope="module")
def spoken(say: Callable[..., list[Samples]]) -> Samples:
    return say("What is the phone number of Maya Okafor?")[0]


async def test_the_real_recognizer_understands_a_recording(serve: Any, spoken: Samples) -> None:
    pause = np.zeros(SAMPLE_RATE, np.int16)
    async with serve(dictation=Dictation()) as served:
        assert (await served.client.post("/api/speech/prepare")).status_code == 204
        text = (await speak(served, wav(np.concatenate((pause, spoken, pause))))).json()["text"]
        assert (await speak(served, wav(pause))).json() == {"text": ""}
    assert "phone number" in text.lower()
    assert "Okafor" in text


# The button


@pytest.fixture
def browser_arguments(tmp_path: Path) -> list[str]:
    path = tmp_path / "microphone.wav"
    path.write_bytes(wav(tone(5.0, 48_000), 48_000))
    return [
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}",
        "--use-fake-ui-for-media-stream",
        f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1",
    ]


def button(page: Page) -> Any:
    return page.get_by_role("button", name="Speak")


async def is_listening(page: Page) -> None:
    """Wait until sound comes in, and then as long as a press must be held, by the page's own clock."""
    await expect(button(page)).to_have_attribute("aria-pressed", "true")
    await expect(button(page)).to_have_attribute("style", re.compile(r"--level: *0?\.[1-9]|--level: *1"))
    await page.evaluate("new Promise((done) => setTimeout(done, 450))")


@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desktop", "phone"])
async def test_pressed_twice_it_puts_what_was_said_into_the_request_to_be_mended_and_sent(
    serve: Any, open_page: OpenPage, viewport: Any
) -> None:
    listener = Listener("look up Maya")
    plan = '1. get_email_address(name="Maya Okafor")\n2. join()'
    async with serve(plan, dictation=listener.dictation()) as served:
        page = await open_page(served, **({"viewport": viewport} if viewport else {}))
        await button(page).click()
        await is_listening(page)
        await expect(page.get_by_role("status")).to_contain_text("Listening")
        await button(page).click()
        box = page.get_by_label("Your request")
        await expect(box).to_have_value("look up Maya")
        await expect(box).to_be_focused()
        await expect(button(page)).to_have_attribute("aria-pressed", "false")
        await expect(page.get_by_role("status")).to_contain_text("Heard: look up Maya. Enter sends it.")
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert served.session.turns == ()
        await page.keyboard.type(" Okafor")
        await page.keyboard.press("Enter")
        await expect(page.locator(".answer")).to_be_visible()
        assert served.session.turns[0].query == "look up Maya Okafor"
    assert abs(pitch(listener.heard[0]) - TONE_HZ) < 20


async def test_held_by_the_mouse_it_listens_until_it_is_let_go(serve: Any, open_page: OpenPage) -> None:
    async with serve(dictation=Listener("hello").dictation()) as served:
        page = await open_page(served)
        await button(page).hover()
        await page.mouse.down()
        await is_listening(page)
        await page.mouse.move(5, 5)
        await page.mouse.up()
        await expect(page.get_by_label("Your request")).to_have_value("hello")


@pytest.mark.parametrize("key", ["Space", "Enter"])
async def test_held_by_a_key_it_listens_until_it_is_let_go(serve: Any, open_page: OpenPage, key: str) -> None:
    async with serve(dictation=Listener("world").dictation()) as served:
        page = await open_page(served)
        await page.get_by_label("Your request").fill("hello")
        await page.keyboard.press("Tab")
        await expect(button(page)).to_be_focused()
        await page.keyboard.down(key)
        await is_listening(page)
        await page.keyboard.up(key)
        await expect(page.get_by_label("Your request")).to_have_value("hello world")
        assert served.session.turns == ()


async def test_a_screen_readers_click_begins_and_ends(serve: Any, open_page: OpenPage) -> None:
    async with serve(dictation=Listener("hello").dictation()) as served:
        page = await open_page(served)
        await button(page).evaluate("button => button.click()")
        await is_listening(page)
        await button(page).evaluate("button => button.click()")
        await expect(page.get_by_label("Your request")).to_have_value("hello")


async def test_escape_drops_what_was_said(serve: Any, open_page: OpenPage) -> None:
    listener = Listener()
    async with serve(dictation=listener.dictation()) as served:
        page = await open_page(served)
        await button(page).click()
        await is_listening(page)
        await page.keyboard.press("Escape")
        await expect(button(page)).to_have_attribute("aria-pressed", "false")
        await expect(page.get_by_label("Your request")).to_have_value("")
    assert listener.heard == []


async def test_while_it_recognizes_it_says_so_and_nothing_understood_is_told(
    serve: Any, open_page: OpenPage
) -> None:
    listener = Listener("")
    listener.go_on.clear()
    async with serve(dictation=listener.dictation()) as served:
        page = await open_page(served)
        await button(page).click()
        await is_listening(page)
        await button(page).click()
        await expect(button(page)).to_have_attribute("aria-busy", "true")
        await expect(page.get_by_role("status")).to_contain_text("Recognizing")
        listener.go_on.set()
        await expect(page.get_by_role("alert")).to_contain_text(["Nothing was understood"])
        await expect(button(page)).to_have_attribute("aria-busy", "false")


async def test_where_speech_cannot_be_recognized_a_press_says_what_to_do(
    serve: Any, open_page: OpenPage
) -> None:
    reason = "faster-whisper is not installed; install it with: pip install 'plait[voice]'"
    async with serve(dictation=Listener().dictation(reason)) as served:
        page = await open_page(served)
        await button(page).click()
        await expect(page.get_by_role("alert")).to_contain_text(
            ["Faster-whisper is not installed; install it"]
        )
        await expect(button(page)).to_have_attribute("aria-pressed", "false")


async def test_without_a_recognizer_there_is_no_button(serve: Any, open_page: OpenPage) -> None:
    async with serve() as served:
        page = await open_page(served)
        await expect(page.locator("#model")).to_have_text("scripted")
        await expect(button(page)).to_have_count(0)


async def test_from_another_machine_without_encryption_a_press_says_why_there_is_no_microphone(
    serve: Any, open_page: OpenPage
) -> None:
    async with serve(host=ELSEWHERE, dictation=Listener().dictation()) as served:
        page = await open_page(served)
        assert not await page.evaluate("isSecureContext")
        await button(page).click()
        port = served.server.address.rpartition(":")[2]
        await expect(page.get_by_role("alert")).to_contain_text(
            [
                f"comes unencrypted from another machine. Open it at localhost, through a tunnel: "
                f"ssh -L {port}:localhost:{port} {ELSEWHERE}"
            ]
        )
        await expect(button(page)).to_have_attribute("aria-pressed", "false")


async def test_a_microphone_that_is_refused_is_told(serve: Any, open_page: OpenPage) -> None:
    async with serve(dictation=Listener().dictation()) as served:
        page = await open_page(served)
        await page.evaluate("""() => {
            const refuse = async () => { throw new DOMException("no", "NotAllowedError"); };
            navigator.mediaDevices.getUserMedia = refuse;
        }""")
        await button(page).click()
        await expect(page.get_by_role("alert")).to_contain_text(["does not let this page use the microphone"])
        await expect(button(page)).to_have_attribute("aria-pressed", "false")


async def test_a_browser_that_converts_no_rates_lets_the_server_do_it(
    serve: Any, open_page: OpenPage
) -> None:
    listener = Listener("hello")
    async with serve(dictation=listener.dictation()) as served:
        page = await open_page(served)
        await page.evaluate("""() => {
            const make = AudioContext.prototype.createMediaStreamSource;
            AudioContext.prototype.createMediaStreamSource = function (stream) {
                if (this.sampleRate === 16000) throw new DOMException("other rate", "NotSupportedError");
                return make.call(this, stream);
            };
        }""")
        await button(page).click()
        await is_listening(page)
        await button(page).click()
        await expect(page.get_by_label("Your request")).to_have_value("hello")
    assert abs(pitch(listener.heard[0]) - TONE_HZ) < 20
