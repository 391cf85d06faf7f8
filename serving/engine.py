"""Triage for many callers at once: what arrives together is triaged together, within bounds.

Two workers take turns at the interpreter: while one waits for the encoder, which runs outside of it, the other reads
the rules of the next batch. Requests take turns too, so a batch of five hundred does not hold up a single complaint,
and at most one worker at a time is busy with long texts, so that short ones never queue behind them.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from data.complaint import Complaint
from data.transcript import complaint_from_text
from models.answer import Triage
from models.bundle import EncoderFailed
from models.triage import Triager
from serving.errors import Overloaded, TimedOut
from serving.logs import anatomy, log_event
from serving.settings import Settings

WORKERS = 2
CHARACTERS_PER_TOKEN = 1.3
MOST_TOGETHER = 16  # complaints in a batch: more gain nothing and let the first wait longer
LONG = 2000  # characters
REST = 30.0  # seconds for which an encoder that failed is left alone
PROBE = "窗口没人。"
FIRST_GUESS = 20.0  # complaints a second, until measured
_log = logging.getLogger("fenzhen.engine")


@dataclass(slots=True, kw_only=True, eq=False)
class _Job:
    """One complaint that waits for its answer."""

    complaint: Complaint
    answer: asyncio.Future[Triage]

    @property
    def long(self) -> bool:
        return len(self.complaint.text) > LONG


@dataclass(slots=True, kw_only=True)
class _Lane:
    """Requests that wait, each with what is left of it; they take turns."""

    requests: deque[deque[_Job]] = field(default_factory=deque)

    def take(self, room: float = math.inf) -> _Job | None:
        """The next complaint of the next request; None if nobody waits or it has more than ``room`` characters. Those
        given up on are dropped."""
        while self.requests:
            request = self.requests[0]
            while request and request[0].answer.done():
                request.popleft()
            if not request:
                self.requests.popleft()
                continue
            if len(request[0].complaint.text) > room:
                return None
            self.requests.rotate(-1)
            return request.popleft()
        return None

    def __len__(self) -> int:
        return sum(not job.answer.done() for request in self.requests for job in request)


class Engine:
    """Runs one triager; ``observe`` is told of every batch: how many complaints, how many seconds."""

    def __init__(
        self, triager: Triager, settings: Settings, observe: Callable[[int, float], None] = lambda count, seconds: None
    ) -> None:
        self._triager, self._settings, self._observe = triager, settings, observe
        self._short, self._long = _Lane(), _Lane()
        self._arrived = asyncio.Condition()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="inference")
        self._workers: list[asyncio.Task[None]] = []
        self._at_long = self._closing = False
        self._busy = 0  # workers
        self._rate = FIRST_GUESS
        self._rest_until = 0.0

    @property
    def depth(self) -> int:
        """How many complaints wait."""
        return len(self._short) + len(self._long)

    @property
    def degraded(self) -> bool:
        """Whether the encoder failed lately and rests."""
        return time.monotonic() < self._rest_until

    async def start(self) -> None:
        """Begin to answer."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(WORKERS)]

    async def close(self) -> None:
        """Answer everything that was accepted, then stop."""
        async with self._arrived:
            self._closing = True
            self._arrived.notify_all()
        await asyncio.gather(*self._workers)
        self._pool.shutdown()

    async def triage(self, complaints: Sequence[Complaint]) -> list[Triage]:
        """One triage for each complaint, in order.

        Raises Overloaded if more would wait than may, and TimedOut; what then still waits is dropped.
        """
        if self._closing or self.depth + len(complaints) > max(self._settings.queue, len(complaints)):
            raise Overloaded(retry_after=self._patience())
        loop = asyncio.get_running_loop()
        jobs = [_Job(complaint=complaint, answer=loop.create_future()) for complaint in complaints]
        for lane, some in ((self._short, [j for j in jobs if not j.long]), (self._long, [j for j in jobs if j.long])):
            if some:
                lane.requests.append(deque(some))
        async with self._arrived:
            self._arrived.notify_all()
        try:
            async with asyncio.timeout(self._settings.request_seconds):
                return list(await asyncio.gather(*(job.answer for job in jobs)))
        except TimeoutError as error:
            raise TimedOut(retry_after=self._patience()) from error

    def _patience(self) -> int:
        """Whole seconds after which what waits now will have been answered."""
        return min(max(1, math.ceil(self.depth / self._rate)), 60)

    async def _work(self) -> None:
        while True:
            async with self._arrived:
                await self._arrived.wait_for(lambda: self._closing or len(self._short) or self._may_take_long())
            if self._busy:  # nothing is lost by waiting for company
                await asyncio.sleep(self._settings.batch_wait_ms / 1000)
            batch = self._batch()
            if batch:
                await self._answer(batch)
            elif self._closing and not self.depth:
                return
            else:
                await asyncio.sleep(0.001)

    def _may_take_long(self) -> bool:
        return not self._at_long and len(self._long) > 0

    def _batch(self) -> list[_Job]:
        """What is triaged next: one long complaint, or short ones up to the bounds."""
        if self._may_take_long() and (job := self._long.take()):
            return [job]
        batch: list[_Job] = []
        room = max(self._settings.batch_tokens * CHARACTERS_PER_TOKEN, LONG)
        while len(batch) < MOST_TOGETHER and (job := self._short.take(room)):
            room -= len(job.complaint.text)
            batch.append(job)
        return batch

    async def _answer(self, batch: list[_Job]) -> None:
        long = batch[0].long
        self._at_long, self._busy = self._at_long or long, self._busy + 1
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._pool, self._decide, [job.complaint for job in batch])
        finally:
            self._at_long, self._busy = self._at_long and not long, self._busy - 1
        seconds = time.monotonic() - began
        self._rate = 0.9 * self._rate + 0.1 * WORKERS * len(batch) / max(seconds, 1e-3)
        self._observe(len(batch), seconds)
        for job, one in zip(batch, found, strict=True):
            if job.answer.done():
                continue
            if isinstance(one, Triage):
                job.answer.set_result(one)
            else:
                job.answer.set_exception(one)

    def _decide(self, complaints: Sequence[Complaint]) -> list[Triage | Exception]:
        """The triages, in a worker. One complaint on which the program fails does not fail the others."""
        try:
            return list(self._decide_together(complaints))
        except Exception as error:  # whatever it is: it belongs to whoever sent the complaint it arose from
            if len(complaints) == 1:
                return [error]
            return [one for complaint in complaints for one in self._decide([complaint])]

    def _decide_together(self, complaints: Sequence[Complaint]) -> Sequence[Triage]:
        if not self.degraded:
            try:
                return self._triager.triage(complaints)
            except (EncoderFailed, MemoryError) as error:
                if len(complaints) > 1:
                    return [self._decide_together([complaint])[0] for complaint in complaints]
                self._probe(error)
        return self._triager.triage_without_encoder(complaints)

    def _probe(self, error: Exception) -> None:
        """Leave the encoder alone for a while if it fails on a few words too: then it is not the complaint's fault."""
        try:
            self._triager.triage([complaint_from_text("probe", PROBE)])
        except (EncoderFailed, MemoryError):
            self._rest_until = time.monotonic() + REST
            log_event(_log, logging.ERROR, "engine.degraded", seconds=REST, **anatomy(error))
