"""What `plait voice` hears and how long it takes: word error rate, wake words, false wakes, latency.

    python benchmarks/voice.py                       # a few minutes on two cores
    python benchmarks/voice.py --quick               # two minutes: four requests by one voice
    python benchmarks/voice.py --wake-word           # the wake word and false wakes alone
    python benchmarks/voice.py --false-wake-minutes 2 --requests 6

Latency is measured by the clock, over sound that comes as fast as from a microphone; so nothing else should
run meanwhile. The requests are spoken by piper (one voice) and espeak-ng (two), none of which is a person:
the figures compare settings and find regressions. They are made at run time, over white noise at two levels.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
import shutil
import statistics
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plait.apps.voice._activity import SileroDetector
from plait.apps.voice._audio import FRAME_SAMPLES, SAMPLE_RATE, Samples
from plait.apps.voice._endpoint import Endpointer, Timing, Utterance
from plait.apps.voice._events import Recognized, Speaking, SpeechEnded, VoiceEvent
from plait.apps.voice._recognition import WhisperRecognizer
from plait.apps.voice._responder import Reply, Sentence
from plait.apps.voice._session import Parts, VoiceSession
from plait.apps.voice._triggers import WakeWord
from plait.apps.voice._voices import EspeakVoice, PiperVoice, Voice, open_voice
from plait.models import RECOGNIZER, find_speech

REQUESTS = (
    "Remind me on Friday at nine to water the plants.",
    "What is Maya Okafor's phone number?",
    "Create a note called shopping list with milk and bread.",
    "Send an email to Ana about the budget meeting.",
    "Open the file budget report.",
    "Schedule a meeting with Thandiwe on Monday at ten.",
    "Text Maya that I am running late.",
    "Show me directions to the central station.",
    "Summarize the river survey and save it in a note.",
    "Add eggs to my groceries note.",
    "Reply that I will be there at three.",
    "Set up a Zoom meeting about the project tomorrow at two.",
    "Forward the last email to Maya.",
    "Remind me to call the dentist next Tuesday.",
    "Open my note about survey gear.",
    "Invite Ana to lunch on Wednesday at noon.",
    "Find the email address of Maya.",
    "Show the town hall on the map.",
    "Put the summary of the report into a new note.",
    "Create a reminder to pay the rent on the first of December.",
    "Send a message to Thandiwe and ask when she arrives.",
    "Walk me to the nearest post office.",
    "Make an appointment with the doctor for Thursday morning.",
    "Email the report to everyone in the team.",
)
OTHER = (
    "The weather has been mild for most of the week, and the river has fallen again.",
    "I bought a new pair of shoes, but they were too small, so I took them back.",
    "Did you see the game last night? It went on until after midnight.",
    "Okay, now and then we go to the market on Saturday.",
    "She said that the number of visitors had doubled since the spring.",
    "Nobody knew where the keys were, until we looked under the sofa.",
    "The train leaves at a quarter past seven, if it is on time.",
    "It is a long way to go for a cup of coffee, but it is worth it.",
    "They have been painting the kitchen, and the whole house smells of it.",
    "Okay, I will be there in a minute, just let me finish this page.",
    "A new bridge is being built to the north of the town.",
    "Most of the songs on the record are older than the singer.",
)
_MAX_WAIT_S = 20.0
HINTS = ("Maya Okafor", "Thandiwe Nkosi", "Ana-Sofia Reyes")
SNRS_DB = (30.0, 10.0)
Sound = npt.NDArray[np.float64]
_NUMBERS = dict(
    enumerate(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"))
)


@dataclass(frozen=True, slots=True)
class Take:
    """One request, spoken by one voice over noise."""

    voice: str
    snr_db: float
    text: str
    samples: Samples
    """Noise, the wake word, the request, noise."""
    speech_start: int
    """Sample where the wake word begins."""
    request_start: int


class Paced:
    """Samples as a source that is as fast as a microphone, and then silence until ``is_enough``."""

    is_live = True

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self.is_enough = False
        self.began_at = 0.0
        """When the first sample was heard, by the clock."""

    def __len__(self) -> int:
        return len(self._samples)

    async def frames(self) -> AsyncGenerator[Samples]:
        """The frames, each when its last sample is due."""
        silence = itertools.repeat(np.zeros(FRAME_SAMPLES, np.int16))
        self.began_at = time.perf_counter()
        for number, frame in enumerate(itertools.chain(frames_of(self._samples), silence), 1):
            if self.is_enough:
                return
            due = self.began_at + number * FRAME_SAMPLES / SAMPLE_RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            yield frame

    async def aclose(self) -> None:
        """Nothing to let go of."""


class Nowhere:
    """A sink that keeps nothing."""

    rate = 22_050
    ahead_samples = 0

    async def write(self, samples: Samples) -> None:
        """Forget the samples."""

    async def silence(self, n_samples: int) -> None:
        """Forget it."""

    def flush(self) -> None:
        """Nothing waits."""

    async def aclose(self) -> None:
        """Nothing to let go of."""


class Echo:
    """A responder without a model: what is left of the latency is voice's own."""

    async def respond(self, request: str) -> AsyncGenerator[Reply]:
        """One sentence."""
        yield Sentence("All right, it is done.")


def frames_of(samples: Samples) -> Iterator[Samples]:
    """Whole frames, in order."""
    for at in range(0, len(samples) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        yield samples[at : at + FRAME_SAMPLES]


def over_noise(sound: Sound, snr_db: float, seed: int) -> Samples:
    """The sound at a third of full scale, over white noise so many decibels below its speech."""
    loud = sound[np.abs(sound) > 0.02 * np.abs(sound).max()]
    gain = 0.1 / np.sqrt((loud**2).mean())
    noise = np.random.default_rng(seed).normal(0, 0.1 / 10 ** (snr_db / 20), len(sound))
    mixed: Samples = np.clip((sound * gain + noise) * 32767, -32768, 32767).astype(np.int16)
    return mixed


async def spoken(voice: Voice, text: str) -> Sound:
    """The text as numbers from -1 to 1, at the rate that is listened to."""
    return (await voice.speak(text)).at_rate(SAMPLE_RATE).samples.astype(np.float64) / 32768


async def make_takes(voices: dict[str, Voice], n_requests: int) -> list[Take]:
    """Each request by each voice, over each level of noise."""
    takes = []
    pause = np.zeros(SAMPLE_RATE // 2)
    for number, (name, voice) in enumerate(voices.items()):
        for at, text in enumerate(REQUESTS[:n_requests]):
            wake = await spoken(voice, "Okay Nabu.")  # piper never says it twice in the same way
            request = await spoken(voice, text)
            sound = np.concatenate((pause, wake, pause[:2000], request, pause, pause, pause))
            start = len(pause) + len(wake) + 2000
            for snr_db in SNRS_DB:
                samples = over_noise(sound, snr_db, 1000 * number + at)
                takes.append(Take(name, snr_db, text, samples, len(pause), start))
    return takes


def words(text: str) -> list[str]:
    """The words of a text, numbers written out."""
    plain = re.sub(r"[^a-z0-9 ]", "", text.lower().replace("-", " "))
    known = {**{str(n): word for n, word in _NUMBERS.items()}, "1st": "first", "12": "noon"}
    return [known.get(word, word) for word in plain.split()]


def errors(right: list[str], heard: list[str]) -> int:
    """Words to insert, delete or replace."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(right, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1]


def report_wakes(takes: list[Take]) -> None:
    """In how many takes the wake word is heard."""
    for name in dict.fromkeys(take.voice for take in takes):
        for snr_db in SNRS_DB:
            some = [take for take in takes if (take.voice, take.snr_db) == (name, snr_db)]
            n_hits = sum(wakes_in(take.samples, stop=True) > 0 for take in some)
            print(f"| wake word: {name}, {snr_db:g} dB | {n_hits} of {len(some)} |")


def wakes_in(samples: Samples, *, stop: bool) -> int:
    """How often the wake word is heard; with ``stop``, whether it is."""
    trigger, n_wakes = WakeWord(), 0
    for frame in frames_of(samples):
        if trigger.begins(frame):
            n_wakes += 1
            trigger.reset()
            if stop:
                break
    return n_wakes


async def report_false_wakes(voices: dict[str, Voice], minutes: float) -> None:
    """Wakes in other speech: each sentence by each voice, faster and slower, over other noise each time."""
    sounds = [await spoken(voice, text) for voice in voices.values() for text in OTHER]
    speeds = (1.0, 0.9, 1.1, 0.95, 1.05)
    n_samples, parts, round_ = 0, [], 0
    while n_samples < minutes * 60 * SAMPLE_RATE:
        for at, sound in enumerate(sounds):
            if n_samples >= minutes * 60 * SAMPLE_RATE:
                break
            old = np.arange(len(sound))
            changed = np.interp(np.arange(0, len(sound) - 1, speeds[round_ % len(speeds)]), old, sound)
            parts.append(over_noise(changed, SNRS_DB[(at + round_) % 2], 77 * round_ + at))
            n_samples += len(changed)
        round_ += 1
    n_wakes = wakes_in(np.concatenate(parts), stop=False)
    print(f"| false wakes in {n_samples / SAMPLE_RATE / 60:.1f} minutes of other speech | {n_wakes} |")


def report_words(
    takes: list[Take], recognizer: WhisperRecognizer, hints: tuple[str, ...], label: str
) -> None:
    """Word error rates by voice and noise, and the time that recognition takes."""
    seconds = []
    for name in dict.fromkeys(take.voice for take in takes):
        for snr_db in SNRS_DB:
            n_errors = n_words = n_dropped = n = 0
            for take in takes:
                if (take.voice, take.snr_db) != (name, snr_db):
                    continue
                began = time.perf_counter()
                heard = recognizer.recognize_now(utterance_of(take), hints)
                seconds.append(time.perf_counter() - began)
                right = words(take.text)
                n_errors += errors(right, words(heard.text))
                n_words += len(right)
                n_dropped += bool(heard.rejected)
                n += 1
            rate = n_errors / max(1, n_words)
            facts = f"{rate:.1%} ({n} requests, {n_dropped} dropped)"
            print(f"| word error rate: {name}, {snr_db:g} dB, {label} | {facts} |")
    print(f"| recognition, {label}: median, maximum | {middle_and_most(seconds)} |")


def middle_and_most(seconds: list[float]) -> str:
    """Median and maximum, in words."""
    return f"{statistics.median(seconds):.2f} s, {max(seconds):.2f} s"


def utterance_of(take: Take) -> Samples:
    """The request as the session would cut it out, after the wake word."""
    detector, endpointer = SileroDetector(), Endpointer(Timing())
    for frame in frames_of(take.samples[take.request_start - 1000 :]):
        outcome = endpointer.push(frame, detector.probability(frame))
        if isinstance(outcome, Utterance):
            return outcome.samples
    return take.samples[take.request_start :]


@dataclass(frozen=True, slots=True)
class Latency:
    """What passed from the end of speech to the first spoken word, in seconds."""

    silence_s: float
    """Until it was sure that speech had ended."""
    recognition_s: float
    """Waited for the text after that."""
    speaking_s: float
    """Making the first sound."""
    total_s: float
    """All of it, by the clock."""


async def latency_of(take: Take, recognizer: WhisperRecognizer, voice: Voice) -> Latency | None:
    """One conversation up to its first spoken word; ``None`` where it came to none."""
    source = Paced(np.concatenate((take.samples, np.zeros(SAMPLE_RATE, np.int16))))
    ended: list[SpeechEnded] = []
    recognized: list[Recognized] = []
    spoke: list[tuple[Speaking, float]] = []

    def on_event(event: VoiceEvent) -> None:
        if isinstance(event, SpeechEnded):
            ended.append(event)
        elif isinstance(event, Recognized):
            recognized.append(event)
        elif isinstance(event, Speaking):
            spoke.append((event, time.perf_counter()))
        source.is_enough = bool(spoke) or (bool(recognized) and not recognized[-1].text)

    parts = Parts(source, Nowhere(), WakeWord(), SileroDetector(), recognizer, voice, Echo())
    async with asyncio.timeout(len(source) / SAMPLE_RATE + _MAX_WAIT_S):
        await VoiceSession(parts, on_event, hints=HINTS).run()
    if not spoke:
        return None
    speaking, at = spoke[0]
    silence_s = ended[0].at_s - ended[0].speech_end_s
    total_s = at - source.began_at - ended[0].speech_end_s
    return Latency(silence_s, recognized[0].took_s, speaking.took_s, total_s)


async def report_latency(takes: list[Take], recognizer: WhisperRecognizer, voice: Voice) -> None:
    """Whole conversations: what passes from the end of speech to the first spoken word."""
    latencies = []
    for take in takes:
        try:
            latency = await latency_of(take, recognizer, voice)
        except TimeoutError:  # the wake word was not heard
            continue
        if latency is not None:
            latencies.append(latency)
    print(f"| whole conversations, answered | {len(latencies)} of {len(takes)} |")
    if not latencies:
        return
    for label, values in (
        ("end of speech is sure", [latency.silence_s for latency in latencies]),
        ("waited for recognition after that", [latency.recognition_s for latency in latencies]),
        ("first sound made", [latency.speaking_s for latency in latencies]),
        ("end of speech to first spoken word, by the clock", [latency.total_s for latency in latencies]),
    ):
        print(f"| latency: {label}: median, maximum | {middle_and_most(values)} |")


async def main() -> None:
    """Make the takes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=24)
    parser.add_argument("--false-wake-minutes", type=float, default=10.0)
    parser.add_argument("--wake-word", action="store_true", help="the wake word and false wakes alone")
    parser.add_argument("--compare", action="store_true", help="also without hints, and in the full window")
    parser.add_argument(
        "--quick", action="store_true", help="four requests by piper alone, a minute of speech"
    )
    options = parser.parse_args()
    if options.quick:
        options.requests, options.false_wake_minutes = 4, 1.0
    piper = await open_voice("piper", print)
    voices: dict[str, Voice] = {"piper": piper}
    if shutil.which("espeak-ng") and not options.quick:
        voices |= {"espeak en-us": EspeakVoice(), "espeak en-gb": EspeakVoice("en-gb")}
    assert isinstance(piper, PiperVoice)
    try:
        takes = await make_takes(voices, options.requests)
        print("| what | measured |\n|---|---:|")
        report_wakes(takes)
        await report_false_wakes(voices, options.false_wake_minutes)
        if options.wake_word:
            return
        recognizer = WhisperRecognizer(find_speech(RECOGNIZER))
        report_words(takes, recognizer, HINTS, "hints")
        if options.compare:
            report_words(takes, recognizer, (), "no hints")
            whole = WhisperRecognizer(find_speech(RECOGNIZER), min_window_s=30.0)
            report_words(takes, whole, HINTS, "hints, full window")
        some = [take for take in takes if take.voice == "piper" and take.snr_db == SNRS_DB[0]]
        await report_latency(some[:12], recognizer, piper)
    finally:
        await piper.aclose()


if __name__ == "__main__":
    asyncio.run(main())
