"""Triage for many callers at once: what arrives together is triaged together, within bounds."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from data.complaint import Complaint
from models.answer import Triage
from models.triage import Triager
from serving.errors import Overloaded, TimedOut
from serving.settings import Settings

CHARACTERS_PER_TOKEN = 1.3
RETRY_SECONDS = 30  # how long a failing model rests before it is tried again


@dataclass(slots=True, kw_only=True, eq=False)
class _Waiting:
    complaint: Complaint
    answer: asyncio.Future[Triage]
    since: float = field(default_factory=time.monotonic)


class Engine:
    """One worker thread over one triager."""

    def __init__(self, triager: Triager, settings: Settings) -> None:
        self._triager, self._settings = triager, settings
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="inference")
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._rate = 20.0
        self.degraded = False

    @property
    def depth(self) -> int:
        """How many complaints wait."""
        return len(self._waiting)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Answer everything that was accepted, then stop."""
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await self._task
        self._pool.shutdown()

    async def triage(self, complaints: Sequence[Complaint]) -> list[Triage]:
        """One triage for each complaint, in order; raises Overloaded or TimedOut."""
        if self._closing or self.depth + len(complaints) > self._settings.queue:
            raise Overloaded(retry_after=max(1, math.ceil(self.depth / self._rate)))
        loop = asyncio.get_running_loop()
        jobs = [_Waiting(complaint=complaint, answer=loop.create_future()) for complaint in complaints]
        self._waiting.extend(jobs)
        self._arrived.set()
        gathered = asyncio.gather(*(job.answer for job in jobs))
        try:
            return await asyncio.wait_for(gathered, self._settings.request_seconds)
        except TimeoutError as error:
            raise TimedOut(retry_after=max(1, math.ceil(self.depth / self._rate))) from error

    async def _run(self) -> None:
        while not (self._closing and not self._waiting):
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await asyncio.sleep(self._settings.batch_wait_ms / 1000)
            batch = self._next()
            if batch:
                await self._answer(batch)

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        room = self._settings.batch_tokens * CHARACTERS_PER_TOKEN
        while self._waiting and (not batch or len(self._waiting[0].complaint.text) <= room):
            job = self._waiting.popleft()
            if not job.answer.done():
                batch.append(job)
                room -= len(job.complaint.text)
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        triages = await loop.run_in_executor(self._pool, self._triager.triage, [job.complaint for job in batch])
        for job, triage in zip(batch, triages, strict=True):
            if not job.answer.done():
                job.answer.set_result(triage)
        self._rate = 0.9 * self._rate + 0.1 * len(batch) / max(time.monotonic() - began, 1e-3)
