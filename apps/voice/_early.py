"""Recognition that begins in a pause, before it is sure that the pause is the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plait.apps.voice._audio import Samples
from plait.apps.voice._recognition import Recognizer, Transcript


@dataclass(slots=True, eq=False)
class _Job:
    samples: Samples
    hints: tuple[str, ...]
    is_working: bool = False
    """Whether the recognizer has begun; what it has begun cannot be interrupted."""

    def is_for(self, samples: Samples, hints: Sequence[str]) -> bool:
        return self.hints == tuple(hints) and np.array_equal(self.samples, samples)


class EarlyRecognizer:
    """A recognizer that may begin with what will probably be asked for.

    It works on one sound at a time. Where speech goes on after a pause, what was begun is dropped: what waits
    costs nothing, and what the recognizer works on is at most one sound that nobody needs.

    Args:
        recognizer: does the work.
        tasks: in which it is done, as long as the group is open.
    """

    def __init__(self, recognizer: Recognizer, tasks: asyncio.TaskGroup) -> None:
        self._recognizer = recognizer
        self._tasks = tasks
        self._free = asyncio.Lock()
        self._begun: tuple[_Job, asyncio.Task[Transcript]] | None = None

    def begin(self, samples: Samples, hints: Sequence[str] = ()) -> None:
        """Begin with this sound, in the place of what was begun before."""
        self._drop()
        job = _Job(samples, tuple(hints))
        self._begun = job, self._tasks.create_task(self._work(job))

    async def recognize(self, samples: Samples, hints: Sequence[str] = ()) -> Transcript:
        """The words in the sound; soon, if it is what was begun with."""
        if self._begun is not None and self._begun[0].is_for(samples, hints):
            _, task = self._begun
            self._begun = None
            return await asyncio.shield(task)
        self._drop()
        return await self._work(_Job(samples, tuple(hints)))

    def _drop(self) -> None:
        if self._begun is not None and not self._begun[0].is_working:
            self._begun[1].cancel()
        self._begun = None

    async def _work(self, job: _Job) -> Transcript:
        async with self._free:
            job.is_working = True
            return await self._recognizer.recognize(job.samples, job.hints)
