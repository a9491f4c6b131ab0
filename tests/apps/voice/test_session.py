"""Conversations, with doubles of everything that hears, understands, answers and speaks."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.apps.voice._audio import FRAME_SAMPLES, SAMPLE_RATE, Clip, Samples
from plait.apps.voice._endpoint import Timing
from plait.apps.voice._events import (
    Answered,
    Failed,
    Interrupted,
    Recognized,
    Speaking,
    SpeechEnded,
    VoiceEvent,
    event_json,
)
from plait.apps.voice._recognition import Transcript
from plait.apps.voice._responder import Question, Reply, Sentence
from plait.apps.voice._session import Interruption, Parts, VoiceSession
from plait.apps.voice._triggers import AlwaysListening
from plait.errors import PlaitError, RunError, VoiceError

pytestmark = pytest.mark.anyio

N = FRAME_SAMPLES
QUIET, WAKE = 0, 1
TIMING = Timing(
    min_speech_samples=3 * N,
    end_silence_samples=4 * N,
    lead_samples=2 * N,
    trail_samples=N,
    max_samples=100 * N,
    patience_samples=10 * N,
)


@dataclass
class Script:
    """A source made of numbers, one a frame: 0 is silence, 1 the wake word, others are speech."""

    numbers: list[int]
    is_live: bool = False

    async def frames(self) -> AsyncGenerator[Samples]:
        for number in self.numbers:
            yield np.full(N, number, np.int16)
            if self.is_live:
                for _ in range(20):
                    await asyncio.sleep(0)

    async def aclose(self) -> None:
        pass


@dataclass
class Tape:
    """A sink that keeps what it was given, one number a frame."""

    rate: int = SAMPLE_RATE
    ahead_samples: int = 0
    samples: list[int] = field(default_factory=list)
    n_flushed: int = 0

    async def write(self, samples: Samples) -> None:
        self.samples += samples.tolist()

    async def silence(self, n_samples: int) -> None:
        self.samples += [0] * n_samples

    def flush(self) -> None:
        self.n_flushed += 1

    async def aclose(self) -> None:
        pass

    @property
    def frames(self) -> list[int]:
        return self.samples[::N]


@dataclass
class Wake:
    """A trigger that hears the number 1."""

    interrupts: bool = True
    n_resets: int = 0

    def begins(self, frame: Samples) -> bool:
        return int(frame[0]) == WAKE

    def ends(self) -> bool:
        return False

    def reset(self) -> None:
        self.n_resets += 1


class Activity:
    """Numbers above 1 are speech."""

    def probability(self, frame: Samples) -> float:
        return float(frame[0] > WAKE)

    def reset(self) -> None:
        pass


@dataclass
class Words:
    """A recognizer that knows what each number means."""

    meanings: dict[int, str]
    hints: list[tuple[str, ...]] = field(default_factory=list)

    async def recognize(self, samples: Samples, hints: Sequence[str] = ()) -> Transcript:
        self.hints.append(tuple(hints))
        text = self.meanings.get(int(samples.max()), "")
        return Transcript(text, -0.2 if text else -1.5, "" if text else "mumbling")


@dataclass
class Speech:
    """A voice whose clip has a frame for each word, full of the sentence's number; the first is 101."""

    name: str = "double"
    said: list[str] = field(default_factory=list)
    failure: str = ""

    async def speak(self, text: str) -> Clip:
        if self.failure:
            raise VoiceError(self.failure)
        self.said.append(text)
        return Clip(np.full(N * len(text.split()), 100 + len(self.said), np.int16), SAMPLE_RATE)

    async def aclose(self) -> None:
        pass


@dataclass
class Replies:
    """A responder with a reply for each request: sentences, ``?`` before what is a question."""

    texts: dict[str, list[str | PlaitError]]
    requests: list[str] = field(default_factory=list)
    answers: list[bool] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    blocks: str = ""
    """A request that is never done with."""

    async def respond(self, request: str) -> AsyncGenerator[Reply]:
        self.requests.append(request)
        is_done = False
        try:
            for text in self.texts.get(request, []):
                if isinstance(text, PlaitError):
                    raise text
                if text.startswith("?"):
                    question = Question(text[1:])
                    yield question
                    self.answers.append(await question.answered)
                else:
                    yield Sentence(text)
            if request == self.blocks:
                await asyncio.Event().wait()
            is_done = True
        finally:
            if not is_done:
                self.cancelled.append(request)


@dataclass
class Talk:
    """What became of a conversation."""

    tape: Tape
    voice: Speech
    replies: Replies
    words: Words
    events: list[VoiceEvent]

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def event(self, kind: type[Any], number: int = 0) -> Any:
        return [event for event in self.events if isinstance(event, kind)][number]


async def talk(
    numbers: list[int],
    replies: Replies,
    meanings: dict[int, str],
    *,
    is_live: bool = False,
    interruption: Interruption = "speech",
    hints: Sequence[str] = (),
    trigger: Any = None,
    voice: Speech | None = None,
    timing: Timing = TIMING,
) -> Talk:
    """A conversation over the numbers; the deadline only ends a test that hangs."""
    done = Talk(Tape(), voice or Speech(), replies, Words(meanings), [])
    parts = Parts(
        Script(numbers, is_live), done.tape, trigger or Wake(), Activity(), done.words, done.voice, replies
    )
    session = VoiceSession(parts, done.events.append, timing=timing, interruption=interruption, hints=hints)
    async with asyncio.timeout(20):
        await session.run()
    return done


PAUSE = [0] * 4
EARLY = replace(TIMING, early_silence_samples=2 * N)
HI = {"hi": ["Hello there my friend.", "How are you?"]}


def said(number: int, n_frames: int = 4) -> list[int]:
    return [number] * n_frames + PAUSE


async def test_the_wake_word_and_a_request_are_answered_aloud() -> None:
    done = await talk([0, 0, 1, *said(2)], Replies(HI), {2: "hi"}, hints=["Maya"])
    assert done.replies.requests == ["hi"]
    assert done.words.hints == [("Maya",)]
    assert done.kinds() == ["Woken", "SpeechEnded", "Recognized", "Speaking", "Speaking", "Finished"]
    assert done.tape.frames[: 3 + 8] == [0] * 11
    assert done.tape.frames[11:] == [101] * 4 + [102] * 3


async def test_recognition_begins_in_the_pause_and_is_done_once() -> None:
    done = await talk([1, *said(2)], Replies(HI), {2: "hi"}, timing=EARLY, hints=["Maya"])
    assert done.words.hints == [("Maya",)]
    assert done.kinds() == ["Woken", "SpeechEnded", "Recognized", "Speaking", "Speaking", "Finished"]


async def test_a_pause_after_which_more_is_said_changes_nothing() -> None:
    numbers = [1, *[2] * 4, 0, 0, 0, *said(3)]
    quick = await talk(numbers, Replies(HI), {2: "nothing yet", 3: "hi"}, timing=EARLY)
    plain = await talk(numbers, Replies(HI), {2: "nothing yet", 3: "hi"})
    assert quick.replies.requests == plain.replies.requests == ["hi"]
    assert (len(quick.words.hints), len(plain.words.hints)) == (2, 1)
    assert quick.tape.samples == plain.tape.samples


async def test_a_spoken_yes_is_recognized_in_its_pause_too() -> None:
    numbers = [1, *said(2), *QUESTION, *said(3)]
    done = await talk(numbers, Replies(ASK), {2: "send", 3: "yes"}, timing=EARLY)
    assert done.replies.answers == [True]
    assert done.words.hints == [(), ("Yes", "No")]


async def test_a_long_first_sentence_begins_with_its_first_clause() -> None:
    long = "There are three meetings on Monday, the first of which is the budget review at ten."
    done = await talk([1, *said(2)], Replies({"hi": [long, long]}), {2: "hi"})
    assert done.voice.said == ["There are three meetings on Monday,", long.partition(", ")[2], long]


async def test_the_answer_begins_with_the_very_next_frame_in_a_file() -> None:
    done = await talk([1, *said(2), *[0] * 20], Replies(HI), {2: "hi"})
    assert done.tape.frames.index(101) == 9
    assert len(done.tape.samples) == len([1, *said(2), *[0] * 20]) * N
    ended = done.event(SpeechEnded)
    assert (ended.speech_start_s, ended.speech_end_s, ended.at_s) == tuple(
        n * N / SAMPLE_RATE for n in (1, 5, 9)
    )


async def test_without_the_wake_word_nothing_is_heard() -> None:
    done = await talk([0, *said(2, 9), 0, 0], Replies(HI), {2: "hi"})
    assert (done.events, done.replies.requests) == ([], [])


async def test_a_wake_word_alone_ends_when_patience_does() -> None:
    done = await talk([1, *[0] * 12, *said(2)], Replies(HI), {2: "hi"})
    assert done.kinds() == ["Woken", "NothingHeard"]


async def test_without_a_trigger_every_speech_is_a_request() -> None:
    numbers = [0, *said(2), *[0] * 30, *said(2)]
    done = await talk(numbers, Replies(HI), {2: "hi"}, trigger=AlwaysListening())
    assert done.replies.requests == ["hi", "hi"]
    assert "Woken" not in done.kinds()


async def test_what_cannot_be_relied_on_is_no_request() -> None:
    done = await talk([1, *said(3)], Replies(HI), {})
    assert done.replies.requests == []
    assert done.event(Recognized).rejected == "mumbling"


async def test_a_request_that_fails_is_said_and_the_session_goes_on() -> None:
    replies = Replies({"bad": ["One moment.", RunError("There is no printer; plug one in.")], **HI})
    done = await talk([1, *said(3), *[0] * 20, 1, *said(2)], replies, {2: "hi", 3: "bad"})
    assert done.event(Failed).error == "There is no printer; plug one in."
    assert "That did not work. There is no printer; plug one in." in done.voice.said
    assert replies.requests == ["bad", "hi"]


async def test_a_voice_that_fails_ends_the_session_with_its_error() -> None:
    with pytest.raises(VoiceError, match="piper ended"):
        await talk([1, *said(2)], Replies(HI), {2: "hi"}, voice=Speech(failure="piper ended: killed"))


async def test_speaking_up_silences_the_voice_and_is_the_next_request() -> None:
    long = {"hi": ["a b c d e f g h i j k l m n o p.", "And more."], "time": ["It is noon."]}
    done = await talk([1, *said(2), 0, 0, *said(3)], Replies(long), {2: "hi", 3: "time"})
    assert done.replies.requests == ["hi", "time"]
    assert done.tape.frames[9:14] == [101] * 4 + [0]  # two, and two of the three that make it sure
    assert 0 < done.tape.n_flushed <= 1
    interrupted = done.event(Interrupted)
    assert interrupted.at_s == 14 * N / SAMPLE_RATE
    assert done.tape.frames[14:18].count(101) == 0
    assert "It is noon." in done.voice.said
    assert done.replies.cancelled in ([], ["hi"])


async def test_a_noise_while_the_voice_speaks_does_not_silence_it() -> None:
    done = await talk([1, *said(2), 0, 3, 3, 0, 0, 0, 0, 0], Replies(HI), {2: "hi"})
    assert done.tape.frames[9:16] == [101] * 4 + [102] * 3


@pytest.mark.parametrize(("interruption", "n_requests"), [("off", 1), ("trigger", 1), ("speech", 2)])
async def test_what_interrupts_can_be_chosen(interruption: str, n_requests: int) -> None:
    long = {"hi": [" ".join("abcdefghijklmnopqrst") + "."], "time": []}
    numbers = [1, *said(2), 0, *said(3)]
    done = await talk(numbers, Replies(long), {2: "hi", 3: "time"}, interruption=interruption)
    assert len(done.replies.requests) == n_requests
    assert done.tape.frames.count(101) == (20 if n_requests == 1 else 3)


async def test_the_trigger_interrupts_where_speech_does_not() -> None:
    long = {"hi": [" ".join("abcdefghijklmnopqrst") + "."], "time": []}
    numbers = [1, *said(2), 0, 1, *said(3)]
    done = await talk(numbers, Replies(long), {2: "hi", 3: "time"}, interruption="trigger")
    assert done.replies.requests == ["hi", "time"]
    assert done.tape.frames.count(101) == 1


async def test_an_interruption_that_was_nothing_lets_the_answer_go_on() -> None:
    long = {"hi": ["a b c d e f g h.", "Second one.", "Third one."]}
    done = await talk([1, *said(2), *said(9)], Replies(long), {2: "hi"})
    assert done.voice.said[-1] == "Third one."
    assert done.replies.cancelled == []


@pytest.mark.parametrize("word", ["Stop.", "never mind", "Cancel that, please!"])
async def test_stop_cancels_what_is_under_way(word: str) -> None:
    replies = Replies({"hi": ["a b c d e f g h i j."]}, blocks="hi")
    done = await talk([1, *said(2), *said(3), 0, 0], replies, {2: "hi", 3: word})
    assert replies.requests == ["hi"]
    assert replies.cancelled == ["hi"]
    assert "Stopped" in done.kinds()


async def test_a_live_request_that_takes_long_is_cancelled_by_the_trigger_and_a_word() -> None:
    replies = Replies({}, blocks="hi")
    numbers = [1, *said(2), 0, 0, 0, 1, *said(3), *[0] * 9]
    done = await talk(numbers, replies, {2: "hi", 3: "stop"}, is_live=True)
    assert replies.cancelled == ["hi"]
    assert done.kinds()[-1] == "Stopped"


ASK = {"send": ["?I would send it. Shall I?", "Done then."]}
QUESTION = [0] * 6  # as many frames as the question has words


@pytest.mark.parametrize(
    ("word", "approved"), [("Yes.", True), ("No!", False), ("Yes, no, wait.", False), ("Go ahead", True)]
)
async def test_an_approval_is_asked_aloud_and_answered_by_word(word: str, approved: bool) -> None:
    done = await talk([1, *said(2), *QUESTION, *said(3)], Replies(ASK), {2: "send", 3: word})
    assert done.replies.answers == [approved]
    assert done.event(Answered).approved is approved
    assert done.words.hints[-1] == ("Yes", "No")
    assert done.voice.said == ["I would send it. Shall I?", "Done then."]


async def test_no_answer_is_a_no() -> None:
    done = await talk([1, *said(2)], Replies(ASK), {2: "send"})
    assert done.replies.answers == [False]


async def test_what_is_neither_yes_nor_no_is_asked_again_and_then_a_no() -> None:
    again = [*said(4), *[0] * 11]
    numbers = [1, *said(2), *QUESTION, *again, *again, *again]
    done = await talk(numbers, Replies(ASK), {2: "send", 4: "perhaps"})
    assert done.replies.answers == [False]
    assert done.voice.said[1:3] == ["Please say yes or no. I would send it. Shall I?"] * 2


async def test_a_yes_that_interrupts_the_question_does_not_count() -> None:
    numbers = [1, *said(2), 0, *said(3), *[0] * 18, *said(3)]
    done = await talk(numbers, Replies(ASK), {2: "send", 3: "yes"})
    assert done.voice.said[1].startswith("I have to read it to the end before a yes counts. I would send it.")
    assert done.replies.answers == [True]
    early = await talk(numbers[:10], Replies(ASK), {2: "send", 3: "yes"})
    assert early.replies.answers == [False]


async def test_a_no_that_interrupts_the_question_counts_at_once() -> None:
    done = await talk([1, *said(2), 0, *said(3)], Replies(ASK), {2: "send", 3: "no, don't"})
    assert done.replies.answers == [False]
    assert len(done.voice.said) == 2


async def test_two_questions_need_two_answers() -> None:
    replies = Replies({"both": ["?Send it to Ana?", "?Send it to Sid?"]})
    numbers = [1, *said(2), *[0] * 4, *said(3), *[0] * 4, *said(4)]
    await talk(numbers, replies, {2: "both", 3: "yes", 4: "no"})
    assert replies.answers == [True, False]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=25),
    st.booleans(),
    st.sampled_from([TIMING, EARLY]),
)
async def test_whatever_is_heard_nothing_is_approved_without_a_yes_to_a_question_read_to_its_end(
    pieces: list[tuple[int, int]], is_live: bool, timing: Timing
) -> None:
    numbers = list(itertools.chain.from_iterable([number] * n for number, n in pieces))
    replies = Replies(ASK)
    done = await talk(
        [1, *said(2), *numbers],
        replies,
        {2: "send", 3: "yes", 4: "no", 5: "maybe"},
        is_live=is_live,
        timing=timing,
    )
    last = ""
    for event in done.events:
        if isinstance(event, Recognized):
            last = event.text
        if isinstance(event, Answered) and event.approved:
            assert last == "yes"
    n_yes = sum(isinstance(event, Answered) and event.approved for event in done.events)
    assert replies.answers.count(True) <= n_yes
    n_whole = 0
    for clip, group in itertools.groupby(done.tape.frames):
        is_question = clip > 100 and "Shall I?" in done.voice.said[clip - 101]
        n_whole += is_question and len(list(group)) == len(done.voice.said[clip - 101].split())
    assert n_whole >= n_yes


async def test_events_are_json_with_times_in_milliseconds() -> None:
    done = await talk([1, *said(2)], Replies(HI), {2: "hi"})
    documents = [event_json(event) for event in done.events]
    assert documents[0] == {"event": "woken", "at_s": 0.032}
    assert documents[1] == {
        "event": "speech_ended",
        "at_s": 0.288,
        "speech_start_s": 0.032,
        "speech_end_s": 0.16,
        "is_cut": False,
    }
    assert done.event(Speaking).text == "Hello there my friend."
