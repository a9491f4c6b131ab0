"""A conversation: listening, understanding, answering and being interrupted.

Time is the sound that is heard: each frame in moves what is played by as much, so that the same files give
the same conversation. A live source goes on while something is computed; a file waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from plait.apps.voice._activity import SpeechDetector
from plait.apps.voice._answers import says_stop, yes_or_no
from plait.apps.voice._audio import FRAME_SAMPLES, SAMPLE_RATE, Clip, Samples, Sink, Source
from plait.apps.voice._early import EarlyRecognizer
from plait.apps.voice._endpoint import Endpointer, Outcome, Silence, Timing, Utterance
from plait.apps.voice._events import (
    Answered,
    Asked,
    Failed,
    Finished,
    Interrupted,
    NothingHeard,
    Recognized,
    Speaking,
    SpeechEnded,
    Stopped,
    VoiceEvent,
    Woken,
)
from plait.apps.voice._player import Player
from plait.apps.voice._recognition import Recognizer
from plait.apps.voice._responder import Question, Responder, Sentence
from plait.apps.voice._sentences import beginning, speakable
from plait.apps.voice._triggers import Trigger
from plait.apps.voice._voices import Voice
from plait.errors import PlaitError, VoiceError

Interruption = Literal["speech", "trigger", "off"]
"""What makes the voice fall silent: any speech, the trigger alone, or nothing."""

_ANSWER_HINTS = ("Yes", "No")
_MAX_QUESTIONS = 3
_AGAIN = "Please say yes or no."
_TO_THE_END = "I have to read it to the end before a yes counts."


@dataclass(frozen=True, slots=True)
class Parts:
    """What a session is made of."""

    source: Source
    sink: Sink
    trigger: Trigger
    detector: SpeechDetector
    recognizer: Recognizer
    voice: Voice
    responder: Responder


class VoiceSession:
    """Carries on a conversation until the source ends.

    Args:
        parts: what hears, understands, answers and speaks; the caller closes them.
        on_event: is called with every event as it happens.
        timing: when something counts as said.
        interruption: what makes the voice fall silent.
        hints: names that may be said.
    """

    def __init__(
        self,
        parts: Parts,
        on_event: Callable[[VoiceEvent], None],
        *,
        timing: Timing | None = None,
        interruption: Interruption = "speech",
        hints: Sequence[str] = (),
    ) -> None:
        self._parts = parts
        self._emit = on_event
        self._timing = timing or Timing()
        self._interruption = interruption
        self._hints = hints
        self._player = Player(parts.sink.rate)
        self._n_heard = 0
        self._n_played = 0
        self._ear: Endpointer | None = None
        self._ear_began = 0
        self._barge = self._watch()
        self._answers: asyncio.Queue[tuple[Outcome, bool]] | None = None
        self._heard_question = False
        self._turns: list[asyncio.Task[None]] = []
        self._may_speak = asyncio.Event()
        self._may_speak.set()
        self._changed = asyncio.Event()
        self._is_sounding = False

    async def run(self) -> None:
        """Listen to the source's end, and until what it asked for is done.

        Raises:
            VoiceError: something that hears or speaks failed.
        """
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._recognizer = EarlyRecognizer(self._parts.recognizer, self._tasks)
                async with aclosing(self._parts.source.frames()) as frames:
                    async for frame in frames:
                        await self._step(frame)
                silence = np.zeros(FRAME_SAMPLES, np.int16)
                while await self._is_going_on():
                    await self._step(silence)
        except BaseExceptionGroup as group:
            raise _first(group) from group

    @property
    def _at_s(self) -> float:
        return self._n_heard / SAMPLE_RATE

    async def _step(self, frame: Samples) -> None:
        if not self._parts.source.is_live:
            await self._settled()
        self._n_heard += len(frame)
        self._listen(frame)
        await self._play()
        await asyncio.sleep(0)  # files never block, and the others want their turn too

    def _is_thinking(self) -> bool:
        """Whether it is the computer's turn, and nothing happens until it has computed."""
        return bool(self._turns) and not self._player.is_playing and self._ear is None

    async def _settled(self) -> None:
        """Wait until it is not the computer's turn."""
        while self._is_thinking():
            self._changed.clear()
            await self._changed.wait()

    async def _is_going_on(self) -> bool:
        """Whether, now that nothing more is to be heard, something is left to do."""
        await self._settled()
        hears = self._ear is not None and (self._ear.has_begun or self._answers is not None)
        return bool(self._turns) or self._player.is_playing or hears

    # Listening

    def _listen(self, frame: Samples) -> None:
        trigger = self._parts.trigger
        probability = self._parts.detector.probability(frame)
        if self._ear is not None:
            outcome = self._ear.push(frame, probability) or (self._ear.finish() if trigger.ends() else None)
            if outcome is not None:
                self._ear = None
                self._end_listening(outcome)
            elif (so_far := self._ear.pausing()) is not None:
                self._recognizer.begin(so_far.samples, self._expected)
        elif self._player.is_playing:
            self._listen_while_speaking(frame, probability)
        elif (not self._turns or trigger.interrupts) and trigger.begins(frame):
            if trigger.interrupts:
                self._emit(Woken(self._at_s))
            self._may_speak.clear()
            self._open_ear(Endpointer(self._timing), self._n_heard)

    @property
    def _expected(self) -> Sequence[str]:
        """The hints for what is being said."""
        return self._hints if self._answers is None else _ANSWER_HINTS

    def _listen_while_speaking(self, frame: Samples, probability: float) -> None:
        trigger = self._parts.trigger
        if self._interruption == "speech":
            self._barge.push(frame, probability)
            if self._barge.has_begun:
                self._interrupt(self._barge, self._barge_began)
        if self._ear is None and self._interruption != "off" and trigger.interrupts and trigger.begins(frame):
            self._interrupt(Endpointer(self._timing), self._n_heard)

    def _interrupt(self, ear: Endpointer, began: int) -> None:
        self._emit(Interrupted(self._at_s))
        self._may_speak.clear()
        self._open_ear(ear, began)
        self._barge = self._watch()
        self._player.stop()
        self._parts.sink.flush()

    def _open_ear(self, ear: Endpointer, began: int) -> None:
        self._parts.trigger.reset()
        self._ear, self._ear_began = ear, began

    def _watch(self) -> Endpointer:
        """An ear for who speaks up while the voice speaks."""
        self._barge_began = self._n_heard
        return Endpointer(replace(self._timing, patience_samples=None))

    def _end_listening(self, outcome: Outcome) -> None:
        self._parts.trigger.reset()
        if isinstance(outcome, Silence):
            self._emit(NothingHeard(self._at_s))
        else:
            start = (self._ear_began + outcome.speech_start) / SAMPLE_RATE
            end = (self._ear_began + outcome.speech_end) / SAMPLE_RATE
            self._emit(SpeechEnded(self._at_s, start, end, outcome.is_cut))
        if self._answers is not None:
            self._answers.put_nowait((outcome, self._heard_question))
        elif isinstance(outcome, Utterance):
            self._begin_turn(outcome)
        else:
            self._may_speak.set()

    # Speaking

    async def _play(self) -> None:
        """Let as much be heard as was listened to."""
        sink = self._parts.sink
        until = self._n_heard * sink.rate // SAMPLE_RATE
        n_due, self._n_played = until - self._n_played, until
        was_playing = self._player.is_playing
        n_samples = n_due if self._is_sounding else n_due + sink.ahead_samples
        samples = self._player.take(n_samples)
        if len(samples):
            await sink.write(samples)
        if len(samples) < n_due:
            await sink.silence(n_due - len(samples))
        self._is_sounding = self._player.is_playing
        if not was_playing:
            self._barge_began = self._n_heard
        elif not self._is_sounding:
            self._barge = self._watch()

    async def _say(self, text: str) -> None:
        """Play ``text`` after what is being said."""
        clip = await self._sound(text)
        await self._player.play(clip)
        self._changed.set()

    async def _sound(self, text: str) -> Clip:
        """The sound of ``text``, once it may be heard."""
        line = speakable(text)
        began = time.perf_counter()
        clip = await self._parts.voice.speak(line) if line else Clip(np.zeros(0, np.int16), SAMPLE_RATE)
        took_s = time.perf_counter() - began
        await self._may_speak.wait()
        if line:
            self._emit(Speaking(self._at_s, line, took_s))
        return clip

    # Requests

    def _begin_turn(self, utterance: Utterance) -> None:
        task = self._tasks.create_task(self._turn(utterance, tuple(self._turns)))
        self._turns.append(task)
        task.add_done_callback(self._end_turn)

    def _end_turn(self, task: asyncio.Task[None]) -> None:
        self._turns.remove(task)
        self._changed.set()

    async def _turn(self, utterance: Utterance, earlier: tuple[asyncio.Task[None], ...]) -> None:
        """Understand what was said, and do it in the place of what was under way."""
        try:
            request = await self._recognize(utterance, self._hints)
            if not request:
                return
            is_stopping = any(not task.done() for task in earlier)
            for task in earlier:
                task.cancel()
            await asyncio.gather(*earlier, return_exceptions=True)
            if is_stopping:
                self._emit(Stopped(self._at_s))
            if says_stop(request):
                return
        finally:
            self._may_speak.set()
        try:
            await self._respond(request)
        except VoiceError:
            raise
        except PlaitError as error:
            self._emit(Failed(self._at_s, str(error)))
            await self._say(f"That did not work. {error}")
        await self._player.finished()
        self._emit(Finished(self._at_s))

    async def _recognize(self, utterance: Utterance, hints: Sequence[str]) -> str:
        began = time.perf_counter()
        heard = await self._recognizer.recognize(utterance.samples, hints)
        took_s = time.perf_counter() - began
        self._emit(Recognized(self._at_s, heard.text, heard.rejected, heard.log_probability, took_s))
        return heard.text

    async def _respond(self, request: str) -> None:
        async with aclosing(self._parts.responder.respond(request)) as replies:
            is_silent = True
            async for reply in replies:
                if isinstance(reply, Sentence):
                    for part in beginning(reply.text) if is_silent else [reply.text]:
                        await self._say(part)
                else:
                    await self._ask(reply)
                is_silent = not isinstance(reply, Sentence)

    async def _ask(self, question: Question) -> None:
        """Read the question aloud, to its end if need be again, and hand the answer over."""
        approved, said, text = False, "", question.text
        await self._player.finished()
        self._emit(Asked(self._at_s, question.text))
        try:
            for _ in range(_MAX_QUESTIONS):
                outcome, is_heard = await self._put(text)
                if isinstance(outcome, Silence) and is_heard:
                    break
                said = "" if isinstance(outcome, Silence) else await self._recognize(outcome, _ANSWER_HINTS)
                answer = yes_or_no(said)
                if answer is False or (answer and is_heard):
                    approved = answer
                    break
                self._may_speak.set()
                text = f"{_AGAIN} {question.text}" if is_heard else f"{_TO_THE_END} {question.text}"
        finally:
            self._answers = None
            self._may_speak.set()
        self._emit(Answered(self._at_s, approved, said))
        if not question.answered.done():
            question.answered.set_result(approved)

    async def _put(self, text: str) -> tuple[Outcome, bool]:
        """Read ``text`` aloud and hear what is said then, or in between; whether it was read to its end."""
        clip = await self._sound(text)
        self._answers, self._heard_question = asyncio.Queue(), False
        await self._player.play(clip, self._question_ended)
        self._changed.set()
        outcome = await self._answers.get()
        self._answers = None
        return outcome

    def _question_ended(self, is_heard: bool) -> None:
        self._heard_question = is_heard
        if self._ear is None:
            self._open_ear(Endpointer(self._timing), self._n_heard)
        self._changed.set()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception that the others follow from."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
