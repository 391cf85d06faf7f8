"""Tags again, once the model can run, what rules alone had tagged while it could not."""

import asyncio
import logging
from collections.abc import Callable

from anyio.to_thread import run_sync

from data.errors import FenzhenError
from serving.engine import Engine
from serving.logs import anatomy, log_event
from serving.store.leads import LeadStore

PAUSE = 15.0  # seconds between looks
CHUNK = 16  # leads triaged together, so that those who wait for an answer are not held up
_log = logging.getLogger("fenzhen.retag")


class Retagger:
    """A task beside the service. What waits stands in the database, so nothing is lost when the service stops.
    ``wake`` is called when there is something new to tell."""

    def __init__(
        self, leads: LeadStore, engine: Engine, wake: Callable[[], None] = lambda: None, *, pause: float = PAUSE
    ) -> None:
        self._leads, self._engine, self._wake, self._pause = leads, engine, wake, pause
        self._task: asyncio.Task[None] | None = None
        self._after = 0

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop; a chunk under way is finished or left for the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            try:
                while not self._engine.degraded and await self.chunk():
                    pass
            except FenzhenError as error:  # busy, or the database is away: the next look finds them again
                log_event(_log, logging.WARNING, "retag.postponed", **anatomy(error))

    async def chunk(self) -> int:
        """Tag the next few leads again; how many were. One that cannot be does not keep those behind it from it: the
        next chunk goes on behind, and begins anew when there are no more."""
        waiting = await run_sync(self._leads.degraded, CHUNK, self._after)
        self._after = waiting[-1].seq if waiting else 0
        if not waiting:
            return 0
        triages = await self._engine.triage([one.complaint for one in waiting])
        done = 0
        for one, triage in zip(waiting, triages, strict=True):
            if not triage.degraded:
                await run_sync(self._leads.retag, one.complaint.id, triage)
                done += 1
        self._wake()
        return done
