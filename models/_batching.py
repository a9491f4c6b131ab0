"""Several requests on one model at once, by continuous batching (Orca, OSDI 2022).

Each request is a generator: it yields tokens to append to its sequence, and is sent the logits that it asked
for. One thread puts what all of them want next into one batch. A request that waits for a single token is in
every batch; prompts get what is left of it in equal parts, and beside a request that decodes only a few
tokens at a time, so that nobody's answer stops while another's prompt is read. A prompt that begins as
another one that is being computed waits for that part, and shares its cells.

Where the cache is full, the youngest request steps back, and its tokens are computed again when there is
room (recomputation, as in arXiv 2309.06180).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from plait.errors import ModelError
from plait.models._engine import MAX_BATCH, MAX_ROWS, AbortedError, Chunk, Engine, Row
from plait.models._parking import ParkedStates
from plait.models._sequences import CachedSequence, n_common
from plait.models._warm_start import WarmStart

_SHORT = 32  # tokens of a step that is not cut
_PROMPT_BESIDE_DECODING = 32  # tokens of prompts in a batch that somebody's next token waits for
_WORTH_WAITING = 64  # tokens that a prompt would share with one that is being computed
_WORTH_PARKING = 64  # tokens; fewer are computed about as fast as they are copied
_IDLE_CELLS = 256  # cells that may lie idle beside those in use,
_IDLE_SHARE = 0.25  # or so many for each of these
_PARKED_BYTES = 256 << 20
_HEADROOM = 256  # free cells that a request beside others begins with


@dataclass(frozen=True, slots=True)
class Step:
    """What a request wants next."""

    tokens: Sequence[int]
    """To append to its sequence; at least one."""
    logits_at: Sequence[int]
    """Places among them whose logits it is sent, ascending; of a prompt only the last."""


Steps = Generator[Step, list[Row], None]
"""A request as it goes. The logits are valid until its next step."""


class Lane(Protocol):
    """A request's place in the cache."""

    @property
    def n_cached(self) -> int:
        """Tokens of the first step that were in the cache already."""
        ...

    @property
    def n_restored(self) -> int:
        """Of these, tokens whose state came from disk for this request."""
        ...

    @property
    def is_alone(self) -> bool:
        """Whether no other request runs or waits."""
        ...

    def forget(self, n_tokens: int) -> None:
        """Take the last ``n_tokens`` off the sequence again."""
        ...


class Request(Protocol):
    """Somebody's wish for an answer."""

    @property
    def beginnings(self) -> Sequence[Sequence[int]]:
        """First tokens of the prompt with which others will begin too; each begins with the one before."""
        ...

    def steps(self, lane: Lane) -> Steps:
        """The work. Closed early where it is cancelled or fails."""
        ...

    def is_cancelled(self) -> bool:
        """Whether nobody wants the answer any more; asked before each batch."""
        ...

    def finish(self, error: Exception | None) -> None:
        """The work has ended: by itself, by being cancelled, or by ``error``."""
        ...


@dataclass(slots=True, eq=False)
class _Job:
    """A request under way; is its own lane."""

    request: Request
    forget_in: Callable[[CachedSequence, int], None]
    steps: Steps = field(init=False)
    sequence: CachedSequence | None = None
    target: list[int] = field(default_factory=list)
    """What the sequence holds when the step is done."""
    places: list[int] = field(default_factory=list)
    """Places in the target whose logits the step asks for."""
    n_cached: int = 0
    n_restored: int = 0
    is_alone: bool = True
    was_started: bool = False

    @property
    def n_left(self) -> int:
        return len(self.target) - (len(self.sequence.tokens) if self.sequence else 0)

    @property
    def is_long(self) -> bool:
        """Whether the step may be cut: somewhere before the first place whose logits are wanted."""
        return self.n_left > _SHORT and self._n_before_logits > 0

    @property
    def _n_before_logits(self) -> int:
        return self.places[0] - (len(self.sequence.tokens) if self.sequence else 0)

    def n_next(self, room: int) -> int:
        """How many tokens to compute in a batch with room for so many: all, or some that no logits follow."""
        return self.n_left if self.n_left <= room else min(room, self._n_before_logits)

    def forget(self, n_tokens: int) -> None:
        if self.sequence is not None:
            self.forget_in(self.sequence, len(self.sequence.tokens) - n_tokens)

    def begin(self, step: Step) -> None:
        known = list(self.sequence.tokens) if self.sequence else []
        self.target = [*known, *step.tokens]
        self.places = [len(known) + place for place in step.logits_at]

    def chunk(self, n_tokens: int) -> Chunk:
        assert self.sequence is not None
        start = len(self.sequence.tokens)
        tokens = self.target[start : start + n_tokens]
        return Chunk(self.sequence, tokens, [p - start for p in self.places if start <= p < start + n_tokens])


class Batcher:
    """Runs requests on an engine, in a thread that lives as long as there are any.

    Args:
        engine: whose lock the thread holds meanwhile.
        warm_start: where beginnings of prompts are kept between processes.
    """

    def __init__(self, engine: Engine, warm_start: WarmStart | None = None) -> None:
        self._engine = engine
        self._warm_start = warm_start
        self._mutex = threading.Lock()
        self._submitted: deque[_Job] = deque()
        self._is_working = False
        self._waiting: deque[_Job] = deque()
        self._running: list[_Job] = []
        self._in_batch: list[_Job] = []
        self._parked = ParkedStates(_PARKED_BYTES)

    def submit(self, request: Request) -> None:
        """Run ``request``; its ``finish`` is called, in another thread, whatever happens."""
        job = _Job(request, self._engine.pool.truncate)
        with self._mutex:
            self._submitted.append(job)
            if self._is_working:
                return
            self._is_working = True
        name = f"plait-decode-{self._engine.path.stem}"
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def notice_cancelled(self) -> None:
        """Stop the batch under way if nobody wants anything of it any more; from any thread."""
        jobs = self._in_batch
        if jobs and all(job.request.is_cancelled() for job in jobs):
            self._engine.abort_flag.set()

    def _work(self) -> None:
        with self._engine.lock:
            try:
                while self._receive():
                    self._drop_cancelled()
                    self._admit()
                    self._compute()
            except Exception as error:  # noqa: BLE001  (handed to all who wait: nobody else would tell them)
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        with self._mutex:
            jobs = [*self._running, *self._waiting, *self._submitted]
            self._submitted.clear()
            self._is_working = False
        self._running.clear()
        self._waiting.clear()
        for job in jobs:
            self._release(job)
            job.request.finish(error)

    def _receive(self) -> bool:
        """Take in what was submitted; False, and the thread's end, if there is nothing to do."""
        with self._mutex:
            new = list(self._submitted)
            self._submitted.clear()
            self._is_working = bool(new or self._waiting or self._running)
        for job in new:
            job.steps = job.request.steps(job)
            if self._advance(job, None):
                self._waiting.append(job)
        return self._is_working

    def _drop_cancelled(self) -> None:
        for job in [*self._waiting, *self._running]:
            if job.request.is_cancelled():
                self._end(job, None)

    def _admit(self) -> None:
        """Give sequences to those that wait, in their order, as far as there is room."""
        for job in list(self._waiting):
            if self._is_worth_waiting(job):
                continue
            if not self._has_room(job):
                return
            if not self._running:
                self._clear_for(job)
            self._unpark(job)
            if not job.was_started and self._warm_start is not None:
                job.n_restored = self._warm_start.restore(job.request.beginnings)
            sequence = self._engine.pool.take(job.target, job.places[0])
            assert sequence is not None, "one is idle"
            job.sequence = sequence
            if not job.was_started:
                job.n_cached, job.was_started = len(sequence.tokens), True
            self._waiting.remove(job)
            self._running.append(job)
            self._park_idle()

    def _unpark(self, job: _Job) -> None:
        """Bring what ``job`` begins with back into the cache, if it was taken out and there is room."""
        parked, pool = self._parked.find(job.target), self._engine.pool
        n_gained = n_common(parked, tuple(job.target)) - pool.n_common(job.target)
        if n_gained >= _WORTH_PARKING and pool.has_room_for(len(parked)):
            self._engine.import_state(parked, (len(parked), self._parked.take(parked)))

    def _clear_for(self, job: _Job) -> None:
        """Take all out of the cache, where much of it would slow down ``job``, which will run alone.

        What it begins with comes back into the first cells, so that attention passes over little else.
        """
        pool = self._engine.pool
        n_shared = pool.n_common(job.target)
        if not _is_much(pool.n_used - n_shared, beside=n_shared):
            return
        for sequence in sorted(pool.idle, key=lambda s: n_common(s.tokens, job.target)):
            if self._park(sequence) or n_common(sequence.tokens, job.target) < n_shared:
                pool.truncate(sequence, 0)

    def _park_idle(self) -> None:
        """Take idle sequences out of the cache where they would slow down those that run."""
        pool = self._engine.pool
        n_busy = pool.n_busy
        for sequence in pool.idle:
            if not _is_much(pool.n_used - n_busy, beside=n_busy):
                return
            self._park(sequence)
            pool.truncate(sequence, 0)

    def _park(self, sequence: CachedSequence) -> bool:
        """Keep a copy of an idle sequence, if that is worth it and there is room."""
        if self._engine.pool.n_own(sequence) < _WORTH_PARKING:
            return False
        state = self._engine.export_state(sequence, sequence.tokens)
        return state is not None and self._parked.put(sequence.tokens, state)

    def _has_room(self, job: _Job) -> bool:
        """Whether a sequence is idle, and ``job`` fits beside what runs when that has read its prompts."""
        pool = self._engine.pool
        if all(sequence.is_busy for sequence in pool.sequences):
            return False
        n_more = _HEADROOM + sum(other.n_left for other in self._running)
        return not self._running or pool.fits(job.target, n_more)

    def _is_worth_waiting(self, job: _Job) -> bool:
        """Whether a running request is about to compute much of what ``job`` begins with."""
        if not self._engine.can_split:
            return False
        n_here = self._engine.pool.n_common(job.target)
        prompts = [other.target for other in self._running if other.is_long]
        return any(n_common(job.target, prompt) - n_here >= _WORTH_WAITING for prompt in prompts)

    def _compute(self) -> None:
        """One batch, and what comes of it."""
        parts = self._compose()
        while len(self._running) > 1 and not self._engine.pool.make_room(sum(n for _, n in parts)):
            self._step_back(self._running[-1])
            parts = self._compose()
        if not parts:
            return
        try:
            batch = self._decode(parts)
        except AbortedError:
            return  # those who do not want it any more are dropped before the next one
        except ModelError as error:
            for job, _ in parts:
                self._end(job, error)
            return
        for (job, _), rows in zip(parts, batch, strict=True):
            if job.n_left == 0:
                self._advance(job, rows)

    def _decode(self, parts: list[tuple[_Job, int]]) -> list[list[Row]]:
        flag = self._engine.abort_flag
        flag.clear()
        self._in_batch = [job for job, _ in parts]
        self.notice_cancelled()  # who was cancelled a moment ago could not set the flag
        try:
            return self._engine.decode([job.chunk(n) for job, n in parts])
        finally:
            self._in_batch = []
            flag.clear()

    def _compose(self) -> list[tuple[_Job, int]]:
        """Who gets how many tokens of the next batch."""
        parts: list[tuple[_Job, int]] = []
        n_rows = 0
        for job in self._running:
            if job.is_long:
                continue
            if n_rows + len(job.places) <= MAX_ROWS:
                parts.append((job, job.n_left))
                n_rows += len(job.places)
        room = MAX_BATCH - sum(n for _, n in parts)
        if parts:
            room = min(room, _PROMPT_BESIDE_DECODING)
        long = sorted((job for job in self._running if job.is_long), key=lambda job: job.n_left)
        for i, job in enumerate(long):
            n = job.n_next(-(-room // (len(long) - i)))
            if n > 0 and n_rows + len(job.places) <= MAX_ROWS:
                parts.append((job, n))
                n_rows += len(job.places)
                room -= n
        return parts

    def _step_back(self, job: _Job) -> None:
        """Let others have the cells of ``job``; it goes on where it was when there is room again."""
        self._release(job)
        self._running.remove(job)
        self._waiting.appendleft(job)

    def _advance(self, job: _Job, rows: list[Row] | None) -> bool:
        """Send ``job`` its logits, ``None`` to start it; False if it has ended."""
        job.is_alone = len(self._running) + len(self._waiting) + len(self._submitted) <= 1
        try:
            job.begin(next(job.steps) if rows is None else job.steps.send(rows))
        except StopIteration:
            self._end(job, None)
            return False
        except Exception as error:  # noqa: BLE001  (handed to whoever waits for the answer)
            self._end(job, error)
            return False
        return True

    def _end(self, job: _Job, error: Exception | None) -> None:
        job.steps.close()
        if job in self._waiting:
            self._waiting.remove(job)
        if job in self._running:
            self._running.remove(job)
        job.request.finish(error)
        if job.sequence is not None and self._warm_start is not None:
            # Only now, when nobody waits for it any more.
            self._warm_start.save(job.sequence, job.request.beginnings)
        self._release(job)

    def _release(self, job: _Job) -> None:
        if job.sequence is not None:
            self._engine.pool.release(job.sequence)
            job.sequence = None


def _is_much(n_idle: int, *, beside: int) -> bool:
    """Whether so many cells that lie idle slow down work on ``beside`` others."""
    return n_idle > max(_IDLE_CELLS, beside * _IDLE_SHARE)
