"""What is to be played, handed out by and by as time passes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plait.apps.voice._audio import Clip, Samples

_MAX_WAITING = 2


@dataclass(slots=True, eq=False)
class _Item:
    samples: Samples
    then: Callable[[bool], None] | None
    at: int = 0


class Player:
    """A queue of clips at one rate. Time passes when :meth:`take` is called.

    Args:
        rate: samples a second of what is handed out, in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._items: deque[_Item] = deque()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = asyncio.Event()
        self._ended.set()

    @property
    def is_playing(self) -> bool:
        """Whether something is left to play."""
        return bool(self._items)

    async def play(self, clip: Clip, then: Callable[[bool], None] | None = None) -> None:
        """Play ``clip`` after what waits; returns when it waits behind one other at most.

        ``then`` is called when it has ended: with True if it was played to its end, False if it was stopped.
        """
        samples = clip.at_rate(self._rate).samples
        while len(self._items) >= _MAX_WAITING:
            self._room.clear()
            await self._room.wait()
        if len(samples):
            self._items.append(_Item(samples, then))
            self._ended.clear()
        elif then is not None:
            then(True)

    async def finished(self) -> None:
        """Wait until nothing is left to play."""
        await self._ended.wait()

    def take(self, n_samples: int) -> Samples:
        """The next samples, at most ``n_samples``; none where nothing waits."""
        parts: list[Samples] = []
        n_missing = n_samples
        while n_missing and self._items:
            item = self._items[0]
            part = item.samples[item.at : item.at + n_missing]
            item.at += len(part)
            n_missing -= len(part)
            parts.append(part)
            if item.at == len(item.samples):
                self._end(self._items.popleft(), heard=True)
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)

    def stop(self) -> None:
        """Be silent, and forget what waits."""
        items = list(self._items)
        self._items.clear()
        for item in items:
            self._end(item, heard=False)

    def _end(self, item: _Item, *, heard: bool) -> None:
        self._room.set()
        if not self._items:
            self._ended.set()
        if item.then is not None:
            item.then(heard)
