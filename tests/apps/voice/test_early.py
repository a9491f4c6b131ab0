"""Recognition that begins before it is asked for, over a recognizer that works as long as the test wants."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from plait.apps.voice._audio import Samples
from plait.apps.voice._early import EarlyRecognizer
from plait.apps.voice._recognition import Transcript
from plait.errors import VoiceError

pytestmark = pytest.mark.anyio


class Slow:
    """A recognizer that is done with a sound when the test says so; its words are the first sample."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.hints: list[Sequence[str]] = []
        self.done: dict[int, asyncio.Event] = {}
        self.n_at_once = 0

    async def recognize(self, samples: Samples, hints: Sequence[str] = ()) -> Transcript:
        number = int(samples[0])
        self.begun.append(number)
        self.hints.append(hints)
        self.n_at_once += 1
        assert self.n_at_once == 1
        await self.done.setdefault(number, asyncio.Event()).wait()
        self.n_at_once -= 1
        if number == 13:
            raise VoiceError("the recognizer is gone")
        return Transcript(str(number), -0.1)

    def finish(self, number: int) -> None:
        self.done.setdefault(number, asyncio.Event()).set()


def sound(number: int) -> Samples:
    return np.full(8, number, np.int16)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_was_begun_in_the_pause_is_what_comes_out_and_is_computed_once() -> None:
    slow = Slow()
    async with asyncio.TaskGroup() as tasks:
        early = EarlyRecognizer(slow, tasks)
        early.begin(sound(1), ["Maya"])
        await settle()
        assert slow.begun == [1]
        slow.finish(1)
        assert (await early.recognize(sound(1), ("Maya",))).text == "1"
    assert slow.begun == [1]


async def test_without_a_beginning_it_only_recognizes() -> None:
    slow = Slow()
    slow.finish(1)
    async with asyncio.TaskGroup() as tasks:
        assert (await EarlyRecognizer(slow, tasks).recognize(sound(1))).text == "1"


@pytest.mark.parametrize(("number", "hints"), [(2, []), (1, ["Maya"])])
async def test_another_sound_or_other_hints_are_recognized_anew(number: int, hints: list[str]) -> None:
    slow = Slow()
    slow.finish(1)
    slow.finish(2)
    async with asyncio.TaskGroup() as tasks:
        early = EarlyRecognizer(slow, tasks)
        early.begin(sound(1))
        await settle()
        assert (await early.recognize(sound(number), hints)).text == str(number)
    assert slow.begun == [1, number]


async def test_of_many_pauses_only_the_first_and_the_last_cost_anything() -> None:
    slow = Slow()
    async with asyncio.TaskGroup() as tasks:
        early = EarlyRecognizer(slow, tasks)
        for number in range(1, 6):
            early.begin(sound(number))
            await settle()
        answer = tasks.create_task(early.recognize(sound(5)))
        slow.finish(1)
        slow.finish(5)
        assert (await answer).text == "5"
    assert slow.begun == [1, 5]


async def test_who_stops_waiting_does_not_harm_the_next() -> None:
    slow = Slow()
    async with asyncio.TaskGroup() as tasks:
        early = EarlyRecognizer(slow, tasks)
        early.begin(sound(1))
        await settle()
        waiting = tasks.create_task(early.recognize(sound(1)))
        await settle()
        waiting.cancel()
        await settle()
        slow.finish(1)
        slow.finish(2)
        assert (await early.recognize(sound(2))).text == "2"


async def test_a_failure_is_told_to_who_asks() -> None:
    slow = Slow()
    slow.finish(13)

    async def fail() -> None:
        async with asyncio.TaskGroup() as tasks:
            early = EarlyRecognizer(slow, tasks)
            early.begin(sound(13))
            await settle()
            await early.recognize(sound(13))

    with pytest.raises(ExceptionGroup) as told:
        await fail()
    assert told.group_contains(VoiceError, match="the recognizer is gone")
